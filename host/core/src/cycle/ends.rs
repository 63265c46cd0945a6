//! The end of a unit, and of a plan: what is remembered, and what must not be left half done.

use super::advance::{note_plan, update};
use super::{Action, State, again, decide, rest, stamp};
use crate::change::Direction;
use crate::plan::{self, together, unit_sizes};
use plimsoll_wire::journal::{Changed, Ended, PlanState, PlanStatus};
use plimsoll_wire::size::{Leg, Sizes};
use plimsoll_wire::snapshot::{Now, Snapshot};

/// How many ended plans are remembered.
const HISTORY: usize = 16;

/// A unit is complete, or taken back completely.
pub(super) fn finished(state: &mut State, now: &Now, plan: &PlanState) {
    if plan.undoing {
        update(state, |plan| {
            plan.undoing = false;
            plan.subject = None;
            plan.leaving.clear();
            plan.phase = 0;
        });
        let Some(plan) = state.durable.plan().cloned() else { return };
        if together::is_half_done(&plan) || !rest::rests(state, now, &plan) {
            note_plan(state, now, None);
        }
        return;
    }
    update(state, |plan| {
        let comes = plan::direction(plan) == Some(Direction::Out);
        match plan.subject.take().filter(|_| comes) {
            Some(subject) if !together::closes(plan.unit, plan::turns(plan), plan.together) => {
                plan.joined.push(subject);
            }
            Some(_) | None => plan.joined.clear(),
        }
        plan.unit += 1;
        plan.phase = 0;
        plan.point_of_no_return = false;
        plan.progressed = stamp(now);
    });
    let Some(plan) = state.durable.plan().cloned() else { return };
    if plan.unit >= plan::turns(&plan) {
        end(state, now, PlanStatus::Done, "");
        return;
    }
    state.due.look_ms = now.mono_ms;
    let may_rest = plan.status == PlanStatus::Stopping && !together::is_half_done(&plan);
    if may_rest && rest::rests(state, now, &plan) {
        return;
    }
    note_plan(state, now, None);
}

/// A plan that is given up leaves nobody half on the way: those that give their data away serve again, and over those that
/// came the data is spread. Says whether there is something left to do for that.
pub(super) fn leaves_nothing_half_done(
    state: &mut State,
    now: &Now,
    snapshot: &Snapshot,
    plan: &PlanState,
) -> bool {
    let Some(other) = together::rounded_off(plan, &state.spec.profile, &state.spec.safety) else {
        return false;
    };
    let members = plan::member_ids(snapshot);
    update(state, |plan| *plan = PlanState { progressed: stamp(now), members, ..other });
    note_plan(state, now, None);
    state.due.look_ms = now.mono_ms;
    true
}

/// The plan is over: remembered, and the permit given back.
pub(super) fn end(state: &mut State, now: &Now, status: PlanStatus, why: &str) {
    let plan = state.durable.plan();
    let has_begun = plan.is_some_and(|plan| plan.status != PlanStatus::AwaitingApproval);
    update(state, |plan| {
        plan.status = status;
        if plan.why.is_empty() {
            why.clone_into(&mut plan.why);
        }
    });
    note_plan(state, now, None);
    let Some(journal) = &mut state.durable.journal else { return };
    let Some(plan) = journal.plan.take() else { return };
    let (size, _) = unit_sizes(&plan);
    if size != plan.from() {
        let (began, at) = (plan.started.clone(), stamp(now));
        decide::remember(
            &mut journal.memory.changes,
            Changed { leg: Leg::members(plan.from(), size), began, at },
        );
    }
    if journal.memory.asked.as_ref().is_some_and(|asked| asked.sizes.members == Some(size)) {
        journal.memory.asked = None;
    }
    // One that was turned on its way to rest is done where it rests, and was given up all the same.
    if has_begun {
        again::ended(&mut journal.memory, now, status != PlanStatus::Done || !plan.why.is_empty());
    }
    journal.memory.wish = None;
    journal.memory.approved = None;
    journal.intent = None;
    journal.history.push(Ended {
        id: plan.id,
        legs: plan.legs,
        ended_at: Sizes::of_members(size),
        status,
        why: if plan.why.is_empty() { why.to_owned() } else { plan.why },
        at: stamp(now),
    });
    let surplus = journal.history.len().saturating_sub(HISTORY);
    journal.history.drain(..surplus);
    state.attempt.waiting_for.clear();
    state.attempt.refused_at = None;
    state.attempt.applied_at = None;
    state.attempt.denied_since = None;
    state.queue.push([Action::Store, Action::GivePermit]);
    state.due.decision_ms = now.mono_ms + state.spec.pace_ms;
}
