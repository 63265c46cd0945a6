//! How much a plan has still to move, and whether that has become less: data that leaves a member is progress, though the
//! plan stays in one step for hours.

use super::{State, stamp};
use crate::plan::price::left;
use plimsoll_wire::journal::{PlanState, PlanStatus};
use plimsoll_wire::snapshot::{Now, Snapshot};
use plimsoll_wire::status::Moving;
use std::sync::Arc;

/// The least that was ever left to be moved in a unit. Load comes and goes with the clients; only a new least counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Least {
    /// Of which plan and unit.
    unit: (Arc<str>, u32),
    copies: u64,
    bytes: u64,
    /// When the daemon began to watch the unit, and how many bytes were left then.
    since_ms: u64,
    first: u64,
    /// When the least was seen.
    at_ms: u64,
}

impl Least {
    /// How far the unit has come; none where nothing is left to be moved.
    fn moving(&self) -> Option<Moving> {
        let moved = self.first.saturating_sub(self.bytes);
        if self.copies == 0 && self.bytes == 0 {
            return None;
        }
        let took_ms = self.at_ms.saturating_sub(self.since_ms);
        let rate =
            u128::from(moved).saturating_mul(1_000).checked_div(u128::from(took_ms)).filter(|rate| *rate > 0);
        let left_ms = rate.map(|rate| u128::from(self.bytes) * 1_000 / rate);
        Some(Moving {
            copies_left: self.copies,
            bytes_left: self.bytes,
            bytes_moved: moved,
            bytes_per_s: rate.and_then(|rate| u64::try_from(rate).ok()),
            left_ms: left_ms.and_then(|ms| u64::try_from(ms).ok()),
        })
    }
}

/// How far the data of a plan's unit has come.
pub(super) fn moving(state: &State, plan: &PlanState) -> Option<Moving> {
    let least = state
        .attempt
        .least
        .as_ref()
        .filter(|least| (&least.unit.0, least.unit.1) == (&plan.id, plan.unit))?;
    least.moving()
}

/// Notes what is left. Where it is less than ever, the plan has made progress, and what was accepted before is to be seen.
pub(super) fn note(state: &mut State, now: &Now, snapshot: &Snapshot) {
    let Some(plan) = state.durable.plan() else { return };
    let Some((copies, bytes)) = left(snapshot, plan) else { return };
    let (since_ms, at_ms) = (now.mono_ms, now.mono_ms);
    let seen = Least { unit: (plan.id.clone(), plan.unit), copies, bytes, since_ms, first: bytes, at_ms };
    let Some(before) = state.attempt.least.as_ref().filter(|before| before.unit == seen.unit) else {
        state.attempt.least = Some(seen);
        return;
    };
    if copies >= before.copies && bytes >= before.bytes {
        return;
    }
    let least =
        Least { copies: copies.min(before.copies), bytes: bytes.min(before.bytes), at_ms, ..before.clone() };
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
