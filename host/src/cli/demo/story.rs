//! What happens on the day of the demo: the cluster, its load, what breaks, and what its owner wrote.

use plimsoll_core::combine::OnError;
use plimsoll_core::cycle::{PolicyRef, Spec};
use plimsoll_core::profile;
use plimsoll_sim::faults::{Class, FaultSetup, PlannedFault};
use plimsoll_sim::load::{Load, Shape};
use plimsoll_sim::platform::PlatformSetup;
use plimsoll_sim::sharded::ShardedSetup;
use plimsoll_sim::sim::{Setup, WorldSetup};
use plimsoll_wire::Safety;
use plimsoll_wire::snapshot::{Behavior, Mode, Rate, RateKind, Rules};
use serde_json::json;

pub(super) const SECOND: u64 = 1_000;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// The name of the policy in the target's document.
pub(super) const POLICY: &str = "target-utilization";
/// What one member serves, in requests a second.
const MEMBER_PER_S: u64 = 1_000;
/// What each should serve: 60 % of it.
const TARGET_PER_S: u64 = MEMBER_PER_S * 60 / 100;

/// When metrics stop, and for how long.
pub(super) const STALE: PlannedFault =
    PlannedFault { class: Class::MetricsStale, at_ms: 15 * HOUR + 10 * MINUTE, for_ms: 40 * MINUTE };
/// When a member fails, and for how long: the crowd has left, and a scale-in is wished already.
pub(super) const CRASH: PlannedFault =
    PlannedFault { class: Class::MemberCrash, at_ms: 19 * HOUR + 38 * MINUTE, for_ms: 12 * MINUTE };
/// In which phases the daemon is killed, once each.
pub(super) const KILLED_IN: [&str; 2] = ["catch-up", "drain"];

/// A store of 24 shards on four members in three domains, quiet at night, busy at noon, with a crowd in the evening.
pub(super) fn setup(seed: u64) -> Setup {
    let world = ShardedSetup {
        platform: PlatformSetup { slots: 12, running: 4, ..PlatformSetup::default() },
        shards: 24,
        shard_bytes: 2_000_000_000,
        disk_bytes: 120_000_000_000,
        bytes_per_s: 80_000_000,
        requests_per_s: MEMBER_PER_S,
        ..ShardedSetup::default()
    };
    let day = Shape::Daily { low: 1_700, high: 4_600, period_ms: DAY };
    // A match: they come little by little, and all of them leave when it is over.
    let crowd = Shape::FlashCrowd {
        peak: 3_600,
        start_ms: 18 * HOUR + 30 * MINUTE,
        rise_ms: 40 * MINUTE,
        fall_ms: 4 * MINUTE,
    };
    Setup {
        seed,
        world: WorldSetup::Sharded(world),
        load: Load::new(Shape::Sum(vec![day, crowd])).with_noise(40, seed),
        faults: FaultSetup::Planned(vec![STALE, CRASH]),
        sample_ms: 15 * SECOND,
        window_ms: 10 * MINUTE,
    }
}

/// The pace of an HPA, copied as people copy it: five minutes of patience, and then everything at once. What may go, and
/// when, is the guard's to say.
fn behavior() -> Behavior {
    let all = Rate { kind: RateKind::Percent, value: 100, period_seconds: 15 };
    let scale_down =
        Rules { stabilization_window_seconds: Some(300), policies: vec![all], ..Rules::default() };
    Behavior { scale_down, ..Behavior::default() }
}

/// What its owner wrote. A day is short: the waits are, and a day may remove as many members as it added; all of it
/// within the hard bounds that every document has. Whatever guards data is at its default.
pub(super) fn spec() -> Spec {
    let safety = Safety {
        cooldown_in_ms: 20 * MINUTE,
        cooldown_out_ms: 2 * MINUTE,
        reverse_ms: 45 * MINUTE,
        sustain_ms: 10 * MINUTE,
        fraction_permille: 1_000,
        ..Safety::default()
    };
    let settings = json!({
        "signal": "demand", "type": "AverageValue", "target": TARGET_PER_S, "window": "5m", "aggregate": "avg"
    });
    let policy =
        PolicyRef { name: POLICY.to_owned(), module: POLICY.to_owned(), on_error: OnError::Hold, settings };
    Spec {
        key: "demo/store".into(),
        profile: std::sync::Arc::clone(&profile::SIM_SHARDED),
        platform: "sim".to_owned(),
        mode: Mode::Enforce,
        min: 3,
        max: 12,
        behavior: behavior(),
        safety,
        policies: vec![policy],
        held: None,
        pauses: plimsoll_core::pauses::Pauses::default(),
        interval_ms: 30 * SECOND,
        pace_ms: 5 * SECOND,
    }
}

/// The time of day, as people write it.
pub(super) fn clock(at_ms: u64) -> String {
    let seconds = at_ms / SECOND;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}
