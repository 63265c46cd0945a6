//! The production cycle in both worlds, over many seeds with faults: nothing goes wrong because of us.
//!
//! `SEED=17 cargo test -p plimsoll-sim --test guarded` runs one seed and prints what happened in it.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use plimsoll_core::combine::OnError;
use plimsoll_core::cycle::{PolicyRef, Spec};
use plimsoll_core::profile;
use plimsoll_sim::faults::{Class, FaultSetup};
use plimsoll_sim::load::{Load, Shape};
use plimsoll_sim::pilot::{Pilot, Policy, Tally, Unguarded};
use plimsoll_sim::platform::PlatformSetup;
use plimsoll_sim::quorum::QuorumSetup;
use plimsoll_sim::sharded::ShardedSetup;
use plimsoll_sim::shards::ShardsSetup;
use plimsoll_sim::sim::{Setup, Sim, Summary, WorldSetup};
use plimsoll_wire::Safety;
use plimsoll_wire::profile::Profile;
use plimsoll_wire::proposal::{Answer, Proposal, Reason, Refusal, Sizes};
use plimsoll_wire::snapshot::{Behavior, Mode, Snapshot};
use std::collections::BTreeMap;
use std::sync::Arc;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Waits short enough for several plans a day: what is to be shown is that plans are safe, not that there are few.
fn brisk() -> Safety {
    Safety {
        cooldown_in_ms: 10 * MINUTE,
        cooldown_out_ms: MINUTE,
        reverse_ms: 30 * MINUTE,
        sustain_ms: 5 * MINUTE,
        fraction_permille: 1_000,
        ..Safety::default()
    }
}

fn spec(profile: &Arc<Profile>, max: u32) -> Spec {
    Spec {
        key: "default/sim".into(),
        profile: profile.clone(),
        platform: "sim".to_owned(),
        mode: Mode::Enforce,
        min: 3,
        max,
        behavior: Behavior::default(),
        safety: brisk(),
        policies: vec![PolicyRef {
            name: "greedy".to_owned(),
            module: "greedy".to_owned(),
            on_error: OnError::Hold,
            settings: serde_json::Value::Null,
        }],
        interval_ms: 30_000,
        held: None,
        pauses: plimsoll_core::pauses::Pauses::default(),
        pace_ms: 5_000,
    }
}

/// The size that the newest sample asks for, whatever its state, and no brakes at all: what is unsafe must be
/// stopped by the judge.
fn greedy() -> Policy {
    Box::new(|_, snapshot: &Snapshot| {
        let newest = snapshot.signals.get("demand").and_then(|signal| signal.samples.last());
        let Some(newest) = newest else {
            let reason = Reason { code: "NoData".to_owned(), message: String::new() };
            return Answer::Refusal { refusal: Refusal { reason } };
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let members = (newest.value / 600.0).ceil().clamp(0.0, 100.0) as u32;
        Answer::Proposal(Proposal {
            sizes: Sizes::of_members(members),
            reason: Reason { code: "Demand".to_owned(), message: String::new() },
            signals: vec!["demand".to_owned()],
            ..Proposal::default()
        })
    })
}

/// Kinds of worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Quorum,
    Sharded,
    /// Sharded, and three members may come or go together.
    Together,
    /// Slots that primaries with replicas own.
    Shards,
}

const KINDS: [Kind; 4] = [Kind::Quorum, Kind::Sharded, Kind::Together, Kind::Shards];

impl Kind {
    fn spec(self) -> Spec {
        match self {
            Self::Quorum => spec(&profile::SIM_QUORUM, 7),
            Self::Sharded => spec(&profile::SIM_SHARDED, 9),
            Self::Together => spec(&profile::SIM_TOGETHER, 9),
            Self::Shards => spec(&profile::SIM_SHARDS, 12),
        }
    }

    fn world(self, seed: u64) -> WorldSetup {
        match self {
            Self::Quorum => {
                let platform = PlatformSetup { running: 5, ..PlatformSetup::default() };
                let strict = seed.is_multiple_of(2);
                WorldSetup::Quorum(QuorumSetup { platform, strict, ..QuorumSetup::default() })
            }
            Self::Sharded => WorldSetup::Sharded(ShardedSetup::default()),
            Self::Together => WorldSetup::Sharded(ShardedSetup { together: 3, ..ShardedSetup::default() }),
            Self::Shards => WorldSetup::Shards(ShardsSetup::default()),
        }
    }
}

fn setup(seed: u64, kind: Kind) -> Setup {
    let world = kind.world(seed);
    // A cluster of shards begins at its least size.
    let base = if kind == Kind::Shards { 1_800 } else { 0 };
    let shape = match seed % 3 {
        0 => Shape::Daily { low: base + 900, high: base + 3_600, period_ms: DAY },
        1 => Shape::Daily { low: base + 900, high: base + 3_600, period_ms: DAY / 4 },
        _ => Shape::Sum(vec![
            Shape::Constant(base + 1_500),
            Shape::Spikes { height: 2_000, every_ms: 5 * HOUR, width_ms: HOUR },
        ]),
    };
    let faults = FaultSetup::Drawn { until_ms: DAY - 2 * HOUR };
    let load = Load::new(shape).with_noise(100, seed);
    Setup { seed, world, load, faults, sample_ms: 15_000, window_ms: 10 * MINUTE }
}

struct Ran {
    summary: Summary,
    tally: Tally,
    digest: u64,
    kills: u64,
    hits: BTreeMap<Class, u64>,
    told: String,
}

fn run(seed: u64, kind: Kind) -> Ran {
    let mut sim = Sim::new(setup(seed, kind));
    let spec = kind.spec();
    let wanted = std::env::var("SEED").is_ok();
    if wanted {
        sim.trace().keep();
    }
    let mut pilot = Pilot::new(spec, greedy(), &sim);
    let until_ms = sim.now_ms() + DAY;
    pilot.run(&mut sim, until_ms);
    for (at_ms, line) in sim.trace().take() {
        println!("{at_ms} {line}");
    }
    let status = pilot.state().status();
    let plan =
        status.plan.map(|plan| format!("{:?} {}→{} {}", plan.status, plan.from(), plan.to(), plan.why));
    Ran {
        summary: sim.summary(),
        tally: pilot.tally().clone(),
        digest: sim.digest(),
        kills: pilot.kills(),
        hits: sim.faults().hits().clone(),
        told: format!(
            "size {}, plan {plan:?}, {:?}; classes {:?}; {:?}",
            sim.size(),
            status.waiting_for,
            sim.faults().classes(),
            sim.oracle().findings().iter().take(3).collect::<Vec<_>>()
        ),
    }
}

fn seeds() -> Vec<u64> {
    match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..std::env::var("SEEDS").map_or(20, |count| count.parse().unwrap())).collect(),
    }
}

fn nothing_goes_wrong(kind: Kind) {
    let (mut plans, mut reasons, mut hits) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let (mut kills, mut lost, mut nature, mut acknowledged, mut bad) = (0, 0, 0, 0, Vec::new());
    let began = std::time::Instant::now();
    let seeds = seeds();
    for seed in &seeds {
        let ran = run(*seed, kind);
        for (kind, count) in ran.tally.plans {
            *plans.entry(kind).or_insert(0) += count;
        }
        for (kind, count) in ran.tally.refusals {
            *reasons.entry(kind).or_insert(0) += count;
        }
        for class in ran.hits.into_keys() {
            *hits.entry(class).or_insert(0) += 1;
        }
        kills += ran.kills;
        lost += ran.summary.lost_by_us;
        nature += ran.summary.lost_by_nature;
        acknowledged += ran.summary.acknowledged;
        if !ran.summary.ours.is_empty() || ran.summary.lost_by_us > 0 {
            bad.push(format!("SEED={seed}: {:?}; {}", ran.summary.ours, ran.told));
        }
    }
    println!(
        "guarded, {kind:?}: {} seeds, {acknowledged} writes acknowledged, lost by us: {lost}, by nature: \
         {nature}; plans {plans:?}; daemon killed {kills} times; in {:?}\nfindings {reasons:?}\nfaults {hits:?}",
        seeds.len(),
        began.elapsed()
    );
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(plans.values().sum::<u64>() > 0, "no plan was ever made");
}

#[test]
fn nothing_goes_wrong_in_a_quorum_group_because_of_us() {
    nothing_goes_wrong(Kind::Quorum);
}

#[test]
fn nothing_goes_wrong_in_a_sharded_store_because_of_us() {
    nothing_goes_wrong(Kind::Sharded);
}

#[test]
fn nothing_goes_wrong_where_members_come_and_go_together_because_of_us() {
    nothing_goes_wrong(Kind::Together);
}

#[test]
fn nothing_goes_wrong_where_shards_come_and_go_because_of_us() {
    nothing_goes_wrong(Kind::Shards);
}

/// A group that is asked to shrink and grow again, without faults: the size at each end, and effects so far.
fn out_and_in(kind: Kind, kill_at: Option<u64>) -> (u32, u32, u64, Summary, String) {
    let mut setup = setup(0, kind);
    setup.faults = FaultSetup::None;
    let busy = Shape::Spikes { height: 1_400, every_ms: 12 * HOUR, width_ms: 6 * HOUR };
    let base = if kind == Kind::Shards { 3_500 } else { 1_600 };
    setup.load = Load::new(Shape::Sum(vec![Shape::Constant(base), busy]));
    let mut sim = Sim::new(setup);
    if let Some(effect) = kill_at {
        sim.kill_at(effect);
    }
    let spec = kind.spec();
    let mut pilot = Pilot::new(spec, greedy(), &sim);
    let start_ms = sim.now_ms();
    pilot.run(&mut sim, start_ms + 6 * HOUR);
    let first = sim.size();
    pilot.run(&mut sim, start_ms + 10 * HOUR);
    let told = format!("{:?} {:?}", pilot.state().status().waiting_for, sim.oracle().findings());
    (first, sim.size(), sim.faults().effects(), sim.summary(), told)
}

/// From six to twelve members: virtual minutes until the plan has ended, and gigabytes that were moved.
fn six_to_twelve(kind: Kind) -> (u64, u64) {
    let mut setup = setup(0, kind);
    (setup.faults, setup.load) = (FaultSetup::None, Load::new(Shape::Constant(7_000)));
    let mut sim = Sim::new(setup);
    let mut pilot = Pilot::new(Spec { max: 12, ..kind.spec() }, greedy(), &sim);
    let start_ms = sim.now_ms();
    while pilot.state().status().history.is_empty() {
        let until_ms = sim.now_ms() + MINUTE;
        assert!(until_ms < start_ms + DAY, "{:?}", pilot.state().status());
        pilot.run(&mut sim, until_ms);
    }
    assert_eq!((sim.size(), sim.summary().ours), (12, BTreeMap::new()));
    ((sim.now_ms() - start_ms) / MINUTE, sim.world().moved_bytes() / 1_000_000_000)
}

#[test]
fn to_spread_the_data_once_takes_less_time_and_moves_no_more_data() {
    let [single, together] = [Kind::Sharded, Kind::Together].map(six_to_twelve);
    println!(
        "6 to 12 members, (minutes, gigabytes moved): one by one {single:?}, three together {together:?}"
    );
    assert!(together.0 < single.0 && together.1 <= single.1, "{single:?} {together:?}");
}

/// The oracle is not the judge: where the system takes one change at a time, a profile that says otherwise is found out.
#[test]
fn a_profile_that_promises_what_the_system_cannot_is_found_out() {
    let spec = Kind::Together.spec();
    let mut setup = setup(0, Kind::Sharded);
    setup.faults = FaultSetup::None;
    setup.load = Load::new(Shape::Sum(vec![
        Shape::Constant(1_600),
        Shape::Spikes { height: 1_400, every_ms: 12 * HOUR, width_ms: 6 * HOUR },
    ]));
    let mut sim = Sim::new(setup);
    let mut pilot = Pilot::new(spec, greedy(), &sim);
    let until_ms = sim.now_ms() + DAY;
    pilot.run(&mut sim, until_ms);
    assert!(sim.summary().ours.contains_key("changes-overlap"), "{:?}", sim.summary().ours);
}

/// What stops the highest places as they are is caught where those own slots.
#[test]
fn without_the_guard_shards_are_stopped_with_their_slots() {
    let (mut harms, mut lost) = (BTreeMap::new(), 0);
    for seed in 0..6 {
        let mut sim = Sim::new(setup(seed, Kind::Shards));
        let end_ms = sim.now_ms() + DAY;
        Unguarded::new(Kind::Shards.spec(), greedy()).run(&mut sim, end_ms);
        let summary = sim.summary();
        lost += summary.lost_by_us;
        for (kind, count) in summary.ours {
            *harms.entry(kind).or_insert(0) += count;
        }
    }
    println!("without the guard, shards: lost by us {lost}; {harms:?}");
    assert!(lost > 0, "{harms:?}");
    for kind in ["acknowledged-writes-lost", "majority-lost", "stopped-while-holding"] {
        assert!(harms.contains_key(kind), "no {kind}: {harms:?}");
    }
}

#[test]
fn killed_between_any_two_effects_the_daemon_ends_at_the_same_size() {
    for kind in KINDS {
        let (first, last, effects, summary, told) = out_and_in(kind, None);
        assert_ne!(first, last, "there must be plans to be killed in: {told}");
        assert_eq!(summary.ours, BTreeMap::new());
        let tries = std::env::var("KILLS").map_or(12, |count| count.parse().unwrap());
        for at in (0..tries).map(|at| 1 + at * effects / tries) {
            let (one, two, _, summary, told) = out_and_in(kind, Some(at));
            assert_eq!((one, two), (first, last), "{kind:?}, killed at {at}: {told}");
            assert_eq!(summary.ours, BTreeMap::new(), "{kind:?}, killed at {at}: {told}");
        }
    }
}

#[test]
fn each_run_of_a_seed_is_the_same() {
    for seed in seeds().into_iter().take(2) {
        for kind in KINDS {
            let (one, two) = (run(seed, kind), run(seed, kind));
            assert_eq!((one.digest, one.summary, one.tally), (two.digest, two.summary, two.tally));
        }
    }
}
