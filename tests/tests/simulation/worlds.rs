//! Worlds, loads, policies and specifications for the tests.

use plimsoll_core::combine::OnError;
use plimsoll_core::cycle::{PolicyRef, Spec};
use plimsoll_core::profile;
use plimsoll_sim::faults::FaultSetup;
use plimsoll_sim::load::{Load, Shape};
use plimsoll_sim::pilot::Policy;
use plimsoll_sim::platform::{PlatformSetup, Volumes};
use plimsoll_sim::quorum::QuorumSetup;
use plimsoll_sim::rng::Rng;
use plimsoll_sim::sharded::ShardedSetup;
use plimsoll_sim::sim::{Setup, Sim, WorldSetup};
use plimsoll_wire::Safety;
use plimsoll_wire::proposal::{Answer, Proposal, Reason, Refusal, Sizes};
use plimsoll_wire::snapshot::{Behavior, Mode, Snapshot};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) const SECOND: u64 = 1_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;

/// Kinds of worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum World {
    Quorum,
    Sharded,
    /// Sharded, and three members may come or go together.
    Together,
}

impl World {
    pub(crate) const ALL: [Self; 3] = [Self::Quorum, Self::Sharded, Self::Together];

    /// How many members may change at the same time.
    fn together(self) -> usize {
        if self == Self::Together { 3 } else { 1 }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Quorum => "quorum",
            Self::Sharded => "sharded",
            Self::Together => "together",
        }
    }
}

pub(crate) fn spec(world: World, safety: Safety) -> Spec {
    let (profile, max) = match world {
        World::Quorum => (&profile::SIM_QUORUM, 7),
        World::Sharded => (&profile::SIM_SHARDED, 9),
        World::Together => (&profile::SIM_TOGETHER, 9),
    };
    Spec {
        key: "default/sim".into(),
        profile: Arc::clone(profile),
        platform: "sim".to_owned(),
        mode: Mode::Enforce,
        min: 3,
        max,
        behavior: Behavior::default(),
        safety,
        policies: vec![PolicyRef {
            name: "policy".to_owned(),
            module: "native".to_owned(),
            on_error: OnError::Hold,
            settings: serde_json::Value::Null,
        }],
        interval_ms: 15 * SECOND,
        held: None,
        pauses: plimsoll_core::pauses::Pauses::default(),
        pace_ms: 2 * SECOND,
    }
}

/// Waits short enough for several plans a day: what is to be shown is that plans are safe, not that there are few.
pub(crate) fn brisk() -> Safety {
    Safety {
        cooldown_in_ms: 10 * MINUTE,
        cooldown_out_ms: MINUTE,
        reverse_ms: 30 * MINUTE,
        sustain_ms: 5 * MINUTE,
        fraction_permille: 1_000,
        ..Safety::default()
    }
}

/// Hardly any waits: a plan is over in minutes, and can be disturbed at each of its points.
pub(crate) fn hasty() -> Safety {
    Safety {
        hold_ms: 10 * SECOND,
        leader_stable_ms: SECOND,
        leader_quiet_ms: 5 * SECOND,
        cooldown_in_ms: SECOND,
        cooldown_out_ms: SECOND,
        reverse_ms: SECOND,
        sustain_ms: SECOND,
        fraction_permille: 1_000,
        ..Safety::default()
    }
}

fn wish(members: u32) -> Answer {
    Answer::Proposal(Proposal {
        sizes: Sizes::of_members(members),
        reason: Reason { code: "Wish".to_owned(), message: String::new() },
        signals: vec!["demand".to_owned()],
        ..Proposal::default()
    })
}

/// The size that the newest sample asks for, whatever its state, and no brakes at all: what is unsafe must be
/// stopped by the judge.
pub(crate) fn greedy() -> Policy {
    Box::new(|_, snapshot: &Snapshot| {
        let newest = snapshot.signals.get("demand").and_then(|signal| signal.samples.last());
        let Some(newest) = newest else {
            let reason = Reason { code: "NoData".to_owned(), message: String::new() };
            return Answer::Refusal { refusal: Refusal { reason } };
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        wish((newest.value / 600.0).ceil().clamp(0.0, 100.0) as u32)
    })
}

/// A wish that the test changes.
pub(crate) fn told(wished: &Arc<AtomicU32>) -> Policy {
    let wished = wished.clone();
    Box::new(move |_, _| wish(wished.load(Ordering::Relaxed)))
}

/// A steady load with crowds that come and go until `until_ms`, as the seed draws them.
fn crowds(seed: u64, until_ms: u64) -> Load {
    let mut rng = Rng::stream(seed, "test-crowds");
    let mut shapes = vec![Shape::Constant(1_500)];
    for _ in 0..rng.between(3, 9) {
        let rise_ms = rng.between(MINUTE, HOUR);
        let fall_ms = rng.between(10 * MINUTE, 2 * HOUR);
        let start_ms = rng.below(until_ms.saturating_sub(rise_ms + fall_ms));
        shapes.push(Shape::FlashCrowd { peak: rng.between(500, 2_500), start_ms, rise_ms, fall_ms });
    }
    Load::new(Shape::Sum(shapes)).with_noise(50, seed)
}

/// A run of a seed: what breaks and what is asked of it ends at `until_ms`.
pub(crate) fn drawn(seed: u64, world: World, until_ms: u64) -> Sim {
    let mut rng = Rng::stream(seed, "test-world");
    let volumes = [Volumes::SetAside, Volumes::Owed, Volumes::Keep];
    let volumes = volumes[usize::try_from(rng.below(3)).unwrap()];
    let kind = world;
    let world = match world {
        World::Quorum => {
            let running = [3, 5, 5, 7][usize::try_from(rng.below(4)).unwrap()];
            let platform = PlatformSetup { running, volumes, ..PlatformSetup::default() };
            WorldSetup::Quorum(QuorumSetup { platform, strict: rng.chance(500), ..QuorumSetup::default() })
        }
        World::Sharded | World::Together => {
            let running = usize::try_from(rng.between(4, 8)).unwrap();
            let platform = PlatformSetup { slots: 12, running, volumes, ..PlatformSetup::default() };
            let disk_bytes = if rng.chance(300) { 40_000_000_000 } else { 100_000_000_000 };
            let together = kind.together();
            WorldSetup::Sharded(ShardedSetup { platform, disk_bytes, together, ..ShardedSetup::default() })
        }
    };
    Sim::new(Setup {
        seed,
        world,
        load: crowds(seed, until_ms),
        faults: FaultSetup::Drawn { until_ms },
        sample_ms: 15 * SECOND,
        window_ms: 2 * MINUTE,
    })
}

/// A small world in which nothing breaks but what is told.
pub(crate) fn calm(world: World, running: usize, volumes: Volumes, faults: FaultSetup) -> Sim {
    let platform = PlatformSetup { running, slots: 9, volumes, ..PlatformSetup::default() };
    let kind = world;
    let world = match world {
        World::Quorum => {
            WorldSetup::Quorum(QuorumSetup { platform, data_bytes: 500_000_000, ..QuorumSetup::default() })
        }
        World::Sharded | World::Together => WorldSetup::Sharded(ShardedSetup {
            platform,
            together: kind.together(),
            shards: 6,
            shard_bytes: 500_000_000,
            ..ShardedSetup::default()
        }),
    };
    Sim::new(Setup {
        seed: 11,
        world,
        load: Load::new(Shape::Constant(600)),
        faults,
        sample_ms: 15 * SECOND,
        window_ms: MINUTE,
    })
}
