//! Where a unit stands, derived from the world and not from what we did: level-triggered (P3, P4).

pub(super) mod undo;

use crate::change::Direction;
use crate::plan;
use crate::plan::together;
use crate::step::{self, Look, Met, Step};
use plimsoll_wire::journal::{PlanState, Subject, Verb};
use plimsoll_wire::profile::{Phase, Profile};
use plimsoll_wire::snapshot::Snapshot;

/// What a unit needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A subject has to be chosen.
    Choose,
    /// This effect.
    Do {
        /// At which index of the profile's list.
        index: u32,
        /// What.
        verb: Verb,
    },
    /// This effect on a member that goes beside the subject.
    Beside {
        /// The member.
        subject: Subject,
        /// What.
        verb: Verb,
        /// At which index of the profile's list the subject is.
        index: u32,
    },
    /// Time.
    Wait {
        /// In which step.
        step: &'static str,
        /// At which index of the profile's list.
        index: u32,
        /// For what.
        why: String,
    },
    /// The unit is complete, or is taken back completely.
    Finished,
}

/// The steps of a plan's units.
#[must_use]
pub fn phases<'a>(plan: &PlanState, profile: &'a Profile) -> &'a [Phase] {
    match plan::direction(plan) {
        Some(Direction::In) => profile.shrink(),
        Some(Direction::Out) | None => profile.grow(),
    }
}

/// The steps of the unit under way, with their places. What is done once for all members that come together is done in the
/// turn of the last one.
pub fn steps<'a>(
    plan: &PlanState,
    profile: &'a Profile,
) -> impl Iterator<Item = (u32, &'static Step, &'a Phase)> {
    let comes = plan::direction(plan) != Some(Direction::In);
    let closes = !comes || together::closes(plan.unit, plan::turns(plan), plan.together);
    step::of(phases(plan, profile)).filter(move |(_, step, _)| closes || !step.once)
}

/// What the unit under way needs next, in this snapshot.
#[must_use]
pub fn next(snapshot: &Snapshot, plan: &PlanState) -> Next {
    let Some(subject) = &plan.subject else { return Next::Choose };
    let look = Look { snapshot, plan, subject, past: false };
    if plan.undoing {
        return together::back(&look);
    }
    let next = forward(look, None);
    together::beside(&look, &next).unwrap_or(next)
}

/// What the subject itself needs next, whoever goes beside.
#[must_use]
pub fn alone(snapshot: &Snapshot, plan: &PlanState) -> Next {
    let Some(subject) = &plan.subject else { return Next::Choose };
    forward(Look { snapshot, plan, subject, past: false }, None)
}

/// The first step, up to the last one that is asked for, whose end is not seen.
pub(super) fn forward(look: Look, last: Option<&str>) -> Next {
    for (index, step, _) in steps(look.plan, &look.snapshot.profile) {
        let look = Look { past: look.plan.phase > index, ..look };
        if let Some(next) = pending(&look, step, index) {
            return next;
        }
        if last == Some(step.name) {
            break;
        }
    }
    Next::Finished
}

/// What a step needs; none where its end is seen.
fn pending(look: &Look, step: &Step, index: u32) -> Option<Next> {
    let Met::No(why) = seen(look, step) else { return None };
    let effect = look.rows().and_then(|_| (step.effect)(look));
    Some(match effect {
        Some(verb) => Next::Do { index, verb },
        None => {
            let why = format!("{why}{}", (step.lacks)(look.snapshot));
            Next::Wait { step: step.name, index, why }
        }
    })
}

/// Whether the end of a step is seen. Nothing is where the members are not known.
fn seen(look: &Look, step: &Step) -> Met {
    match look.rows() {
        Some(_) => (step.done)(look),
        None => Met::No("the member list is not known".to_owned()),
    }
}

/// The first step whose end is not seen; for DRAIN-1.
#[must_use]
pub fn first_unmet(snapshot: &Snapshot, plan: &PlanState) -> Option<&'static Step> {
    let subject = plan.subject.as_ref()?;
    let unmet = steps(plan, &snapshot.profile).find(|(index, step, _)| {
        let look = Look { snapshot, plan, subject, past: plan.phase > *index };
        matches!(seen(&look, step), Met::No(_))
    });
    unmet.map(|(_, step, _)| step)
}
