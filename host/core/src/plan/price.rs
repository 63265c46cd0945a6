//! What a plan is expected to move before it ends, and what it has moved so far.

use crate::change::Direction;
use crate::count::{bytes, count, span};
use crate::plan;
use crate::snapshot::is_same;
use crate::step::{REBALANCE, SPREAD};
use plimsoll_wire::journal::{PlanState, Price, Subject};
use plimsoll_wire::snapshot::{Member, Snapshot};
use plimsoll_wire::status::Moving;

/// What a plan between these sizes would move; none where nothing moves, or nobody knows how much.
///
/// Of members that go it is all that they hold. Members that come get an even share of all there is. The time is that of
/// the slowest way: one member after the other, at the rate that the system tells.
#[must_use]
pub fn of(snapshot: &Snapshot, from: u32, to: u32) -> Option<Price> {
    let profile = &snapshot.profile;
    let rows = snapshot.members.value().filter(|_| profile.moves_data())?;
    let spreads = profile.grow().iter().any(|phase| [REBALANCE, SPREAD].contains(&&*phase.step));
    match Direction::between(from, to)? {
        Direction::In => {
            let goes = plan::victims(snapshot, from.saturating_sub(to));
            let goes = || rows.iter().filter(|row| goes.iter().any(|one| is_same(one, row)));
            let ms = goes().try_fold(0_u64, |sum, row| Some(sum.saturating_add(drain_ms(row)?)));
            Some(Price { bytes: load(goes())?, ms })
        }
        Direction::Out if spreads => {
            let all = u128::from(load(rows.iter())?);
            let share = all * u128::from(to.saturating_sub(from)) / u128::from(to.max(1));
            let bytes = u64::try_from(share).unwrap_or(u64::MAX);
            let slowest = rows.iter().filter_map(|row| row.drain_bytes_per_s.value()).min();
            let ms = slowest.filter(|rate| **rate > 0).map(|rate| millis(bytes, *rate));
            Some(Price { bytes, ms })
        }
        Direction::Out => None,
    }
}

/// All data on these members; none where that of one is not known. What is no member of the system has none.
fn load<'a>(rows: impl Iterator<Item = &'a Member>) -> Option<u64> {
    let mut sum = 0_u64;
    for row in rows.filter(|row| row.id.value().is_some()) {
        sum = sum.saturating_add(*row.load_bytes.value()?);
    }
    Some(sum)
}

/// How long it takes until all data has left a member; none where that is not known.
#[must_use]
pub fn drain_ms(row: &Member) -> Option<u64> {
    let (load, rate) = (row.load_bytes.value()?, row.drain_bytes_per_s.value()?);
    match (load, rate) {
        (0, _) => Some(0),
        (_, 0) => None,
        (load, rate) => Some(millis(*load, *rate)),
    }
}

fn millis(bytes: u64, rate: u64) -> u64 {
    u64::try_from((u128::from(bytes) * 1_000).div_ceil(u128::from(rate.max(1)))).unwrap_or(u64::MAX)
}

/// A price as the rest of a sentence.
#[must_use]
pub fn told(price: &Price) -> String {
    match price.ms {
        Some(ms) => format!("moves about {} in about {}", bytes(price.bytes), span(ms)),
        None => format!("moves about {}; how long that takes is not known", bytes(price.bytes)),
    }
}

/// Copies and bytes that are still to leave those that go, or to reach those that came; none where that is not known.
#[must_use]
pub fn left(snapshot: &Snapshot, plan: &PlanState) -> Option<(u64, u64)> {
    let rows = snapshot.members.value().filter(|_| snapshot.profile.moves_data())?;
    let goes = plan::direction(plan) == Some(Direction::In);
    let names =
        |row: &Member| plan.subject.iter().chain(&plan.leaving).any(|one: &Subject| is_same(one, row));
    let (mut copies, mut bytes, mut all, mut held) = (0_u64, 0_u64, 0_u64, 0_u64);
    for row in rows.iter().filter(|row| row.id.value().is_some() && (!goes || names(row))) {
        let (hosted, load) = (row.hosted.value()?, row.load_bytes.value().copied().unwrap_or(0));
        if goes {
            copies = copies.saturating_add(hosted.copies);
            bytes = bytes.saturating_add(load);
        } else {
            copies = copies.saturating_add(hosted.due).saturating_add(hosted.moving);
            (all, held) = (all.saturating_add(load), held.saturating_add(hosted.copies));
        }
    }
    if !goes {
        // What comes is told in copies; a copy weighs what one weighs on average.
        let weighed = u128::from(copies) * u128::from(all) / u128::from(held.max(1));
        bytes = u64::try_from(weighed).unwrap_or(u64::MAX);
    }
    Some((copies, bytes))
}

/// How far a move has come, as the rest of a sentence.
#[must_use]
pub fn progress(moving: &Moving) -> String {
    let left = format!("{} ({}) left", count(moving.copies_left, "copy"), bytes(moving.bytes_left));
    let rate = moving.bytes_per_s.map(|rate| format!(", {}/s", bytes(rate)));
    let time = moving.left_ms.map(|ms| format!(", about {}", span(ms)));
    format!(
        "{} moved, {left}{}{}",
        bytes(moving.bytes_moved),
        rate.unwrap_or_default(),
        time.unwrap_or_default()
    )
}
