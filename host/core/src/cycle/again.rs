//! A plan that was given up waits before the same one begins again, longer each time: what stood in its way may be
//! there still, and each try moves members, asks for approvals and fills the log. A person's order begins it at once.

use super::{since, stamp};
use plimsoll_wire::journal::{Attempt, Memory, PlanState};
use plimsoll_wire::size::Leg;
use plimsoll_wire::snapshot::{Now, Snapshot};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The wait after the first time, in milliseconds; it doubles with each further one.
const FIRST_MS: u64 = 30_000;
/// The longest wait, in milliseconds.
const LONGEST_MS: u64 = 3_600_000;

/// Why this plan does not begin yet, if it waits.
pub(super) fn bars(
    memory: &Memory,
    now: &Now,
    snapshot: &Snapshot,
    from: Option<u32>,
    to: Option<u32>,
) -> Option<String> {
    let attempt = memory.attempt.as_ref().filter(|attempt| attempt.given_up > 0)?;
    let leg = from.zip(to).map(|(from, to)| Leg::members(from, to));
    let is_same = leg.is_some_and(|leg| attempt.legs == [leg]) && attempt.places == places(snapshot);
    let left_ms = wait_ms(attempt.given_up).saturating_sub(since(&attempt.at, now));
    (is_same && left_ms > 0).then(|| {
        let times =
            if attempt.given_up == 1 { "once".to_owned() } else { format!("{} times", attempt.given_up) };
        let (from, to) = (from.unwrap_or(0), to.unwrap_or(0));
        format!(
            "the plan from {from} to {to} was given up {times}; it may begin again in {} s",
            left_ms.div_ceil(1_000)
        )
    })
}

fn wait_ms(given_up: u32) -> u64 {
    let doublings = given_up.saturating_sub(1).min(16);
    FIRST_MS.saturating_mul(1 << doublings).min(LONGEST_MS)
}

/// A digest of the places in use. Not of who is there: a plan that took one away and was turned has left another one in
/// its place. Another build may make another one of it: then a plan begins sooner than it would have.
fn places(snapshot: &Snapshot) -> String {
    let rows = snapshot.members.value().map_or(&[][..], Vec::as_slice);
    let mut slots: Vec<&str> = rows.iter().filter_map(|row| row.slot.as_deref()).collect();
    slots.sort_unstable();
    let mut hasher = DefaultHasher::new();
    slots.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// A plan begins: the same as before, or another.
pub(super) fn began(memory: &mut Memory, now: &Now, snapshot: &Snapshot, plan: &PlanState) {
    let places = places(snapshot);
    let is_same = |before: &Attempt| (&before.legs, &before.places) == (&plan.legs, &places);
    let given_up = memory.attempt.take().filter(is_same).map_or(0, |before| before.given_up);
    memory.attempt = Some(Attempt { legs: plan.legs.clone(), places, given_up, at: stamp(now) });
}

/// A plan has ended: where it was to, or given up.
pub(super) fn ended(memory: &mut Memory, now: &Now, was_given_up: bool) {
    if !was_given_up {
        memory.attempt = None;
    } else if let Some(attempt) = &mut memory.attempt {
        attempt.given_up = attempt.given_up.saturating_add(1);
        attempt.at = stamp(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_the_one_before_up_to_an_hour() {
        assert_eq!(
            [1, 2, 3, 7, 8, u32::MAX].map(wait_ms),
            [30_000, 60_000, 120_000, 1_920_000, 3_600_000, 3_600_000]
        );
    }
}
