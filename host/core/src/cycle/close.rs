//! The end of a plan: what is remembered of it, and what it gives back.

use super::ledger::remember;
use super::note::{note_plan, update};
use super::{Action, State, again, stamp};
use crate::plan::unit_sizes;
use plimsoll_wire::journal::{Changed, Ended, PlanStatus};
use plimsoll_wire::size::{Leg, Sizes};
use plimsoll_wire::snapshot::Now;

/// How many ended plans are remembered.
const HISTORY: usize = 16;

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
        remember(&mut journal.memory.changes, Changed { leg: Leg::members(plan.from(), size), began, at });
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
