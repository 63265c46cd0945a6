//! The steps of a plan: one entry each, walked and never matched.
//!
//! An entry says when its step is done, which effect it needs, how it is taken back and how it is told. A new step is an
//! entry in the file of its family; profiles name it by its word.

mod drain;
mod join;
mod lead;
mod leave;
mod settle;

pub(crate) use lead::goes_to_one_that_stays;

use crate::change::Direction;
use crate::course;
use crate::explain::describe;
use crate::quorum::member;
use crate::snapshot::is_same;
use plimsoll_wire::fact::Authority;
use plimsoll_wire::journal::{PlanState, Subject, Verb};
use plimsoll_wire::profile::{Evidence, Phase, Profile};
use plimsoll_wire::snapshot::{Member, Snapshot};
use std::sync::Arc;

/// The system knows the new member, without a vote.
pub const REGISTER: &str = "register";
/// The system lets in the new member, whose process runs already.
pub const ADMIT: &str = "admit";
/// The platform runs the new member.
pub const START: &str = "start";
/// The new member has all data.
pub const CATCH_UP: &str = "catch-up";
/// The new member votes, or serves.
pub const PROMOTE: &str = "promote";
/// One later write is known to be committed.
pub const BARRIER: &str = "barrier";
/// The data is spread over all members.
pub const REBALANCE: &str = "rebalance";
/// Each member holds its share of the data.
pub const SPREAD: &str = "spread";
/// The member takes no new data.
pub const CORDON: &str = "cordon";
/// The member leads nothing.
pub const MOVE_LEADERS: &str = "move-leaders";
/// The member gives its data away.
pub const DRAIN: &str = "drain";
/// The member is known to be empty, and stays so.
pub const VERIFY: &str = "verify";
/// The system no longer knows the member.
pub const DEREGISTER: &str = "deregister";
/// The platform no longer runs the member.
pub const STOP: &str = "stop";
/// Everything is whole, and stays so.
pub const SETTLE: &str = "settle";
/// Nothing is owed.
pub const PAY_DEBTS: &str = "pay-debts";

/// One step of a plan.
pub struct Step {
    /// The stable word for profiles, records, status and metrics.
    pub name: &'static str,
    /// The word of the verb that it sends; none for a step that only waits.
    pub verb: Option<&'static str>,
    /// Whether its end is seen, derived from the world and not from what was done.
    pub done: fn(&Look) -> Met,
    /// The effect that it needs now; none where only time helps.
    pub effect: fn(&Look) -> Option<Verb>,
    /// Whether it is done once for all members that come together, in the turn of the last one.
    pub once: bool,
    /// Whether its effect leaves no trace of its own in the world, so that its answer is its evidence.
    pub is_traceless: bool,
    /// What takes it back before the point of no return.
    pub undo: fn(&Look) -> Undo,
    /// The effect as far as it is known before its turn; none where it is not.
    pub foreseen: fn(&Subject, u32) -> Option<Verb>,
    /// What it will do or wait for, before its turn.
    pub tells: fn(&Step, &Ahead) -> Foretold,
    /// What is missing for an effect that is only waited for, as the rest of a sentence.
    pub lacks: fn(&Snapshot) -> String,
}

/// Whether the end of a step is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met {
    /// It is.
    Yes,
    /// It is not, and this is missing.
    No(String),
}

impl Met {
    pub(crate) fn when(condition: bool, why: impl FnOnce() -> String) -> Self {
        if condition { Self::Yes } else { Self::No(why()) }
    }

    pub(crate) fn no(why: &str) -> Self {
        Self::No(why.to_owned())
    }
}

/// What takes a step back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// Nothing is left of it.
    Nothing,
    /// This effect.
    Do(Verb),
    /// Time.
    Wait(String),
}

/// A step before its turn, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foretold {
    /// The effect's word; none where it only waits or checks.
    pub effect: Option<&'static str>,
    /// What it does, or waits for.
    pub does: String,
}

/// What a step is asked about: the world and a unit's member in it.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The world.
    pub snapshot: &'a Snapshot,
    /// The plan.
    pub plan: &'a PlanState,
    /// The member that the unit is about.
    pub subject: &'a Subject,
    /// Whether the plan's cursor has passed the step.
    pub past: bool,
}

/// What is known of a unit before its turn.
#[derive(Clone, Debug)]
pub struct Ahead<'a> {
    /// The world.
    pub snapshot: &'a Snapshot,
    /// The member, or words for one that is chosen then.
    pub subject: Subject,
    /// How many members there are afterwards.
    pub size_after: u32,
    /// Whether the member leads now.
    pub leads: bool,
    /// Whether the member goes.
    pub goes: bool,
}

/// A step that only waits, for entries to fill in.
const WAITS: Step = Step {
    name: "",
    verb: None,
    done: |_| Met::Yes,
    effect: |_| None,
    once: false,
    is_traceless: false,
    undo: |_| Undo::Nothing,
    foreseen: |_, _| None,
    tells: by_effect,
    lacks: |_| String::new(),
};

/// All steps, a family a file.
pub fn all() -> impl Iterator<Item = &'static Step> {
    [join::FAMILY, lead::FAMILY, drain::FAMILY, leave::FAMILY, settle::FAMILY].into_iter().flatten()
}

/// The step with a word; none where there is none.
#[must_use]
pub fn find(name: &str) -> Option<&'static Step> {
    all().find(|step| step.name == name)
}

/// The steps of a list with their places and their remarks. [`crate::profile::compose`] lets no unknown word in; one in a
/// document from elsewhere is left out here, and STEP-1 finds the plan out of step.
pub fn of(phases: &[Phase]) -> impl Iterator<Item = (u32, &'static Step, &Phase)> {
    (0..).zip(phases).filter_map(|(index, phase)| Some((index, find(&phase.step)?, phase)))
}

/// Whether members that go pass this step.
#[must_use]
pub fn shrinks_by(profile: &Profile, name: &str) -> Option<u32> {
    (0..).zip(profile.shrink()).find(|(_, phase)| &*phase.step == name).map(|(index, _)| index)
}

/// Whether a plan has removed its member, which ran empty, from the system, and only its process is left: the system knows
/// nobody by that id any more, and nobody tells what the process holds. Before the plan's own removal of it, not to be listed
/// proves nothing.
#[must_use]
pub(crate) fn was_removed(snapshot: &Snapshot, plan: &PlanState, subject: &Subject) -> bool {
    let profile = &*snapshot.profile;
    let Some(at) = shrinks_by(profile, DEREGISTER).filter(|_| profile.evidence == Evidence::Empty) else {
        return false;
    };
    let goes = course::direction(plan) == Some(Direction::In) && plan.phase >= at;
    let (Some(id), Some(list)) = (&subject.id, snapshot.members.known()) else { return false };
    (plan.undoing || goes) && list.authority >= Authority::Survivors && member(&list.value, id).is_none()
}

impl Step {
    /// Whether an effect is what this step does.
    #[must_use]
    pub fn does(&self, verb: &Verb) -> bool {
        self.verb == Some(verb.kind())
    }
}

/// In the words of the effect.
fn by_effect(step: &Step, ahead: &Ahead) -> Foretold {
    let verb = (step.foreseen)(&ahead.subject, ahead.size_after);
    Foretold { effect: verb.as_ref().and(step.verb), does: verb.as_ref().map_or_else(String::new, describe) }
}

fn waiting(does: String) -> Foretold {
    Foretold { effect: None, does }
}

impl<'a> Look<'a> {
    /// The members, where they are known.
    pub(crate) fn rows(&self) -> Option<&'a [Member]> {
        self.snapshot.members.value().map(Vec::as_slice)
    }

    /// The subject's row.
    pub(crate) fn row(&self) -> Option<&'a Member> {
        self.rows()?.iter().find(|row| is_same(self.subject, row))
    }

    /// The row in the subject's slot, whoever runs there.
    pub(crate) fn in_slot(&self) -> Option<&'a Member> {
        self.rows()?.iter().find(|row| row.slot.as_deref() == Some(&*self.subject.slot))
    }

    /// A member that the system knows for the slot's addresses while the platform does not run the slot yet: the
    /// drivers match members to vacant slots too, but the platform lists only slots in use.
    pub(crate) fn homeless(&self) -> Option<&'a Member> {
        member(self.rows()?, self.subject.id.as_ref()?)
    }

    /// Gone is as good as cordoned, empty and deregistered: the steps before a stop stay done after it.
    pub(crate) fn is_gone(&self) -> bool {
        let is_nowhere = self.row().is_none() && self.in_slot().is_none();
        is_nowhere || was_removed(self.snapshot, self.plan, self.subject)
    }

    pub(crate) fn id(&self) -> Option<Arc<str>> {
        self.subject.id.clone()
    }

    /// How many members there are before and after the unit.
    pub(crate) fn sizes(&self) -> (u32, u32) {
        course::unit_sizes(self.plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_a_word_of_its_own() {
        let mut names: Vec<&str> = all().map(|step| step.name).collect();
        let many = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), many);
        assert!(names.iter().all(|name| find(name).is_some_and(|step| step.name == *name)));
    }
}
