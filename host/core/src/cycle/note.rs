//! What is written down of the plan under way, and in which words.

use super::{Action, State};
use crate::plan;
use plimsoll_wire::journal::PlanState;
use plimsoll_wire::record::{Body, Judgement};
use plimsoll_wire::snapshot::Now;

/// Changes the plan, where there is one.
pub(super) fn update(state: &mut State, change: impl FnOnce(&mut PlanState)) {
    if let Some(plan) = state.durable.plan_mut() {
        change(plan);
    }
}

/// Writes the plan down, in the journal and in the log.
pub(super) fn note_plan(state: &mut State, now: &Now, judgement: Option<Judgement>) {
    let Some(plan) = state.durable.plan().cloned() else { return };
    let phase = phase_name(state, &plan);
    let record = state.record(now, Body::Plan { plan, phase: phase.to_owned(), judgement });
    state.queue.push([Action::Store, Action::Record(record, None)]);
}

/// The phase that a plan is in, in the profile's words.
pub(super) fn phase_name(state: &State, plan: &PlanState) -> &'static str {
    plan::phase_name(plan, &state.spec.profile)
}
