//! Members that come or go together, where the system can: how many, and what is to be done of those beside the one whose
//! turn it is.
//!
//! Data moves once for all that come: it is spread in the turn of the last of them. Those that go give their data away side
//! by side, and are removed one after the other.

use super::progress::{Next, forward, steps, undo};
use crate::change::Direction;
use crate::plan;
use crate::snapshot::is_same;
use crate::step::{self, DRAIN, Look};
use plimsoll_wire::Safety;
use plimsoll_wire::journal::{PlanState, PlanStatus, Subject, Verb};
use plimsoll_wire::profile::Profile;
use plimsoll_wire::size::Leg;
use plimsoll_wire::snapshot::Snapshot;

/// How many members may come, or go, together: as many as the system can take, and the owner allows.
#[must_use]
pub fn most(profile: &Profile, safety: &Safety, direction: Option<Direction>) -> u32 {
    let units = match direction {
        Some(Direction::Out) => profile.together.join,
        Some(Direction::In) => profile.together.drain,
        None => 1,
    };
    let units = units.min(safety.together).max(1);
    // Where data moves, a unit's members come before any is moved onto them, and go once it has left all of them.
    if profile.moves_data() && !profile.members_vote { units.saturating_mul(profile.unit()) } else { units }
}

/// Whether what is done once for all that come together is done in this turn, counted from 0.
#[must_use]
pub fn closes(turn: u32, turns: u32, together: u32) -> bool {
    let next = turn.saturating_add(1);
    next.is_multiple_of(together.max(1)) || next >= turns
}

/// Whose turn it is next, and who goes beside; none where nobody can be chosen.
#[must_use]
pub fn chosen(snapshot: &Snapshot, plan: &PlanState) -> Option<(Subject, Vec<Subject>)> {
    let is_here = |one: &&Subject| {
        let rows = snapshot.members.value().map_or(&[][..], Vec::as_slice);
        rows.iter().any(|row| is_same(one, row))
    };
    let mut left = plan.leaving.iter().filter(is_here).cloned();
    if let Some(first) = left.next() {
        return Some((first, left.collect()));
    }
    if plan::direction(plan) != Some(Direction::In) {
        return Some((plan::next_subject(snapshot, plan)?, Vec::new()));
    }
    // An owner who asks for fewer meanwhile is heard from here on.
    let most = most(&snapshot.profile, &snapshot.safety, Some(Direction::In)).min(plan.together.max(1));
    let count = most.min(plan::turns(plan).saturating_sub(plan.unit));
    let mut goes = plan::victims(snapshot, count).into_iter().take_while(|one| !one.slot.is_empty());
    Some((goes.next()?, goes.collect()))
}

/// Whether a plan between two of its members has others half on the way.
#[must_use]
pub fn is_half_done(plan: &PlanState) -> bool {
    !plan.leaving.is_empty() || !plan.joined.is_empty()
}

/// What is still to be done of a plan that is given up between two members, before it may rest: take back those that give
/// their data away, or spread the data over those that have come. None where there is nothing.
#[must_use]
pub fn rounded_off(plan: &PlanState, profile: &Profile, safety: &Safety) -> Option<PlanState> {
    let other = PlanState { phase: 0, point_of_no_return: false, ..plan.clone() };
    if let [first, rest @ ..] = &*plan.leaving {
        return Some(PlanState {
            subject: Some(first.clone()),
            leaving: rest.to_vec(),
            undoing: true,
            ..other
        });
    }
    let [rest @ .., last] = &*plan.joined else { return None };
    let (size, _) = plan::unit_sizes(plan);
    // The turn of the last one that came is taken up again, as the plan's last one.
    plan::is_legal(size, profile, safety).then(|| PlanState {
        subject: Some(last.clone()),
        joined: rest.to_vec(),
        legs: vec![Leg::members(plan.from(), size)],
        unit: plan.unit.saturating_sub(1),
        ..other
    })
}

/// The plan as a member beside sees it: its own turn, with the others beside. Past the subject's point of no return a plan that
/// is given up still takes those beside back.
#[must_use]
pub fn view(plan: &PlanState, subject: &Subject) -> PlanState {
    let others = plan.subject.iter().chain(&plan.leaving).filter(|one| *one != subject);
    PlanState {
        subject: Some(subject.clone()),
        leaving: others.cloned().collect(),
        phase: 0,
        point_of_no_return: false,
        undoing: plan.undoing || plan.status == PlanStatus::Stopping,
        ..plan.clone()
    }
}

/// What the members beside need: while the one whose turn it is waits they give their data away as well, and no more; once
/// the plan is given up they serve again.
pub(super) fn beside(look: &Look, next: &Next) -> Option<Next> {
    let at = match next {
        Next::Wait { index, .. } | Next::Do { index, .. } => *index,
        Next::Finished | Next::Choose | Next::Beside { .. } => return None,
    };
    if look.plan.status == PlanStatus::Stopping {
        return each(look, at, undo::undo).into_iter().find(is_effect);
    }
    if !matches!(next, Next::Wait { .. }) {
        return None;
    }
    let gives = |own: Look| match forward(own, Some(DRAIN)) {
        Next::Do { index, verb } if can_be_done_beside(&own, index, &verb) => Next::Do { index, verb },
        Next::Do { .. } | Next::Wait { .. } | Next::Finished | Next::Choose | Next::Beside { .. } => {
            Next::Finished
        }
    };
    each(look, at, gives).into_iter().find(is_effect)
}

/// Whether an effect leaves the way back open, and its own trace in the world: the cursor is the subject's alone. Leadership
/// goes to a member that stays; where there is none it is handed on in the member's own turn.
fn can_be_done_beside(own: &Look, index: u32, verb: &Verb) -> bool {
    let step = steps(own.plan, &own.snapshot.profile).find(|(at, ..)| *at == index);
    step.is_some_and(|(_, step, phase)| !step.is_traceless && !phase.no_return)
        && step::goes_to_one_that_stays(own, verb)
}

/// What is left to take back, of the members beside and then of the subject. One that can only be waited for keeps no other
/// from serving again.
pub(super) fn back(look: &Look) -> Next {
    let mut left = each(look, look.plan.phase, undo::undo);
    left.push(undo::undo(*look));
    left.retain(|next| *next != Next::Finished);
    let at = left.iter().position(is_effect).unwrap_or(0);
    if left.is_empty() { Next::Finished } else { left.swap_remove(at) }
}

fn is_effect(next: &Next) -> bool {
    matches!(next, Next::Do { .. } | Next::Beside { .. })
}

/// What each member beside needs, while the subject is at this index.
fn each(look: &Look, at: u32, ask: impl Fn(Look) -> Next) -> Vec<Next> {
    let asked = look.plan.leaving.iter().map(|subject| {
        let plan = view(look.plan, subject);
        match ask(Look { snapshot: look.snapshot, plan: &plan, subject, past: false }) {
            Next::Do { verb, .. } => Next::Beside { subject: subject.clone(), verb, index: at },
            other @ (Next::Choose | Next::Beside { .. } | Next::Wait { .. } | Next::Finished) => other,
        }
    });
    asked.collect()
}
