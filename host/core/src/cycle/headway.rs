//! How much a plan has still to move, and whether that has become less: data that leaves a member is progress, though the
//! plan stays in one step for hours.

use super::{State, stamp};
use crate::case::is_same;
use crate::change::Direction;
use crate::plan;
use plimsoll_wire::journal::{PlanState, PlanStatus};
use plimsoll_wire::snapshot::{Now, Snapshot};
use std::sync::Arc;

/// The least that was ever left to be moved in a unit. Load comes and goes with the clients; only a new least counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Least {
    /// Of which plan and unit.
    unit: (Arc<str>, u32),
    copies: u64,
    bytes: u64,
}

/// Notes what is left. Where it is less than ever, the plan has made progress, and what was accepted before is to be seen.
pub(super) fn note(state: &mut State, now: &Now, snapshot: &Snapshot) {
    let Some(plan) = state.durable.plan() else { return };
    let Some((copies, bytes)) = left(snapshot, plan) else { return };
    let seen = Least { unit: (plan.id.clone(), plan.unit), copies, bytes };
    let Some(before) = state.attempt.least.as_ref().filter(|before| before.unit == seen.unit) else {
        state.attempt.least = Some(seen);
        return;
    };
    if copies >= before.copies && bytes >= before.bytes {
        return;
    }
    let least = Least { copies: copies.min(before.copies), bytes: bytes.min(before.bytes), ..seen };
    state.attempt.least = Some(least);
    state.attempt.applied_at = None;
    if let Some(plan) = state.durable.plan_mut() {
        plan.progressed = stamp(now);
        if plan.status == PlanStatus::Held && plan.why.starts_with("Stalled") {
            plan.status = PlanStatus::Running;
            plan.why.clear();
        }
    }
}

/// Copies and bytes that are still to leave those that go, or to reach those that came; none where that is not known.
fn left(snapshot: &Snapshot, plan: &PlanState) -> Option<(u64, u64)> {
    let rows = snapshot.members.value()?;
    let goes = plan::direction(plan) == Some(Direction::In);
    let leaving = || plan.subject.iter().chain(&plan.leaving);
    let mut sum = (0_u64, 0_u64);
    for row in rows.iter().filter(|row| !goes || leaving().any(|one| is_same(one, row))) {
        let Some(hosted) = row.hosted.value() else {
            if row.id.value().is_some() {
                return None;
            }
            continue;
        };
        if goes {
            sum.0 = sum.0.saturating_add(hosted.copies);
            sum.1 = sum.1.saturating_add(row.load_bytes.value().copied().unwrap_or(0));
        } else {
            sum.0 = sum.0.saturating_add(hosted.due).saturating_add(hosted.moving);
        }
    }
    Some(sum)
}
