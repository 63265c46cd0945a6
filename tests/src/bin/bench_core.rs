//! Figures of the core, printed and never asserted: one whole cycle (observe, snapshot, decide, record) by the
//! number of members, many groups, and simulated hours an hour of the wall clock.

use plimsoll_core::change::Change;
use plimsoll_core::combine::OnError;
use plimsoll_core::cycle::{Effect, Evaluated, Event, PolicyRef, Spec, State, step};
use plimsoll_core::judge::judge;
use plimsoll_core::observation::Observation;
use plimsoll_core::profile;
use plimsoll_core::snapshot::{Context, Tracker};
use plimsoll_sim::faults::FaultSetup;
use plimsoll_sim::load::{Load, Shape};
use plimsoll_sim::pilot::{Pilot, Policy};
use plimsoll_sim::platform::PlatformSetup;
use plimsoll_sim::quorum::QuorumSetup;
use plimsoll_sim::sharded::ShardedSetup;
use plimsoll_sim::sim::{Setup, Sim, WorldSetup};
use plimsoll_wire::profile::Profile;
use plimsoll_wire::proposal::{Answer, Proposal, Reason, Sizes};
use plimsoll_wire::record::Wisher;
use plimsoll_wire::snapshot::{Behavior, Group, History, Mode, Snapshot, Target};
use plimsoll_wire::{Fact, Gap, Safety};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

const HOUR_MS: u64 = 3_600_000;

fn main() {
    println!("A whole cycle of the core, one group a member, three copies each:");
    for members in [5_u32, 50, 1_000] {
        let cycles = (20_000 / members).max(20);
        let (each, worst) = cycle(members, cycles);
        println!("  {members:>5} members: {each:>10.1?} a cycle (longest {worst:.1?}, of {cycles})");
    }
    many_groups();
    println!("Simulated hours an hour of the wall clock, one core:");
    for (name, sharded, faults) in [
        ("quorum group, quiet", false, FaultSetup::None),
        ("quorum group, faults", false, FaultSetup::Drawn { until_ms: 22 * HOUR_MS }),
        ("sharded store, quiet", true, FaultSetup::None),
        ("sharded store, faults", true, FaultSetup::Drawn { until_ms: 22 * HOUR_MS }),
    ] {
        let (seeds, hours) = (4, 24);
        let began = Instant::now();
        for seed in 0..seeds {
            day(seed, sharded, faults.clone(), hours);
        }
        let took = began.elapsed();
        let rate = (seeds * hours) as f64 * 3_600.0 / took.as_secs_f64();
        println!(
            "  {name:<22} {rate:>9.0} ({:.2?} for {hours} hours)",
            took / u32::try_from(seeds).unwrap_or(1)
        );
    }
}

fn spec(profile: &Arc<Profile>, max: u32) -> Spec {
    let policy = PolicyRef {
        name: "demand".to_owned(),
        module: "native".to_owned(),
        on_error: OnError::Hold,
        settings: serde_json::Value::Null,
    };
    Spec {
        key: "bench/target".into(),
        profile: profile.clone(),
        platform: "sim".to_owned(),
        mode: Mode::Enforce,
        min: 3,
        max,
        behavior: Behavior::default(),
        safety: Safety::default(),
        policies: vec![policy],
        interval_ms: 15_000,
        held: None,
        pauses: plimsoll_core::pauses::Pauses::default(),
        pace_ms: 1_000,
    }
}

fn wish(members: u32) -> Answer {
    Answer::Proposal(Proposal {
        sizes: Sizes::of_members(members),
        reason: Reason { code: "Bench".to_owned(), message: String::new() },
        signals: vec!["demand".to_owned()],
        ..Proposal::default()
    })
}

/// The mean and the longest time of a cycle in which a scale-in is wished, judged and refused for the reason that
/// nothing was wished for long enough: every rule is asked.
fn cycle(members: u32, cycles: u32) -> (Duration, Duration) {
    let count = usize::try_from(members).unwrap_or(0);
    let mut sim = Sim::new(Setup {
        seed: 1,
        world: WorldSetup::Sharded(ShardedSetup {
            platform: PlatformSetup { slots: count + 3, running: count, ..PlatformSetup::default() },
            shards: count,
            ..ShardedSetup::default()
        }),
        load: Load::new(Shape::Constant(100)),
        faults: FaultSetup::None,
        sample_ms: 15_000,
        window_ms: 600_000,
    });
    let mut spec = spec(&profile::SIM_SHARDED, members);
    spec.mode = Mode::Dryrun;
    let mut state = State::new(spec);
    let (mut total, mut worst) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..cycles {
        sim.advance(sim.now_ms() + 15_000);
        let took = one(&mut state, &sim.observe(true), members - 1);
        total += took;
        worst = worst.max(took);
    }
    (total / cycles, worst)
}

/// How many groups there are, on how many members: three copies on neighbours, which makes one kind of group a member.
const GROUPS: usize = 10_000;
const HOLDERS: usize = 12;

/// What many groups cost: where those that are alike are one row, and where each is one.
fn many_groups() {
    let mut sim = Sim::new(Setup {
        seed: 1,
        world: WorldSetup::Sharded(ShardedSetup {
            platform: PlatformSetup { slots: HOLDERS + 3, running: HOLDERS, ..PlatformSetup::default() },
            shards: GROUPS,
            ..ShardedSetup::default()
        }),
        load: Load::new(Shape::Constant(100)),
        faults: FaultSetup::None,
        sample_ms: 15_000,
        window_ms: 600_000,
    });
    let mut tracker = Tracker::default();
    let seen = sim.observe(true);
    tracker.assemble(&seen, &seen.at, context());
    sim.advance(sim.now_ms() + 15_000);
    let seen = sim.observe(true);
    let began = Instant::now();
    let folded = tracker.assemble(&seen, &seen.at, context());
    let assembled = began.elapsed();
    let single = unfolded(&folded);
    println!(
        "{GROUPS} groups on {HOLDERS} members, three copies each (a snapshot is made in {assembled:.1?}):"
    );
    for (name, snapshot) in [("alike as one row", &folded), ("each a row", &single)] {
        let rows = snapshot.groups.value().map_or(0, Vec::len);
        let bytes = serde_json::to_vec(snapshot).map_or(0, |bytes| bytes.len());
        let judged = judging(snapshot);
        println!("  {name:<16} {rows:>6} rows {bytes:>9} bytes {judged:>9.1?} to judge a scale-in");
    }
}

fn context() -> Context {
    let spec = spec(&profile::SIM_SHARDED, 15);
    let bounds = spec.bounds();
    Context {
        target: Target {
            key: spec.key,
            system: spec.profile.system.to_string(),
            platform: spec.platform,
            mode: spec.mode,
            bounds,
            settings: serde_json::Value::Null,
            behavior: spec.behavior,
        },
        safety: spec.safety,
        profile: spec.profile,
        owner: Fact::unknown(Gap::NotScraped, "nobody asks"),
        history: History::default(),
        plan: None,
        state: None,
    }
}

/// The same groups, each with a row of its own.
fn unfolded(snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = snapshot.clone();
    if let Fact::Known(groups) = &mut snapshot.groups {
        let each = groups.value.iter().flat_map(|row| {
            (0..row.count.get()).map(|number| Group {
                id: format!("{}-{number}", row.id).into(),
                count: NonZeroU32::MIN,
                ..row.clone()
            })
        });
        groups.value = each.collect();
    }
    snapshot
}

/// The mean time of a judgement.
fn judging(snapshot: &Snapshot) -> Duration {
    const TIMES: u32 = 20;
    let to = u32::try_from(HOLDERS - 1).unwrap_or(u32::MAX);
    let change = Change::Wish { to, by: Wisher::Person, rests_on: None };
    let began = Instant::now();
    for _ in 0..TIMES {
        let _ = std::hint::black_box(judge(&change, snapshot, true));
    }
    began.elapsed() / TIMES
}

/// Drives one cycle to its end; only the time inside the core counts.
fn one(state: &mut State, seen: &Observation, wished: u32) -> Duration {
    let mut total = Duration::ZERO;
    let mut events = vec![Event::Tick];
    while let Some(event) = events.pop() {
        let began = Instant::now();
        let effects = step(state, &seen.at, event);
        total += began.elapsed();
        events.extend(effects.into_iter().filter_map(|effect| answer(effect, seen, wished)));
    }
    total
}

fn answer(effect: Effect, seen: &Observation, wished: u32) -> Option<Event> {
    Some(match effect {
        Effect::Load { request } => Event::Loaded { request, result: Ok(None) },
        Effect::Observe { request, .. } => Event::Observed { request, observation: Box::new(seen.clone()) },
        Effect::Evaluate { request, .. } => {
            let (policy, module) = ("demand".to_owned(), String::new());
            let answers = vec![Evaluated { policy, module, fuel: 0, answer: Ok(wish(wished)) }];
            Event::Evaluated { request, answers }
        }
        Effect::Store { request, expected, .. } => {
            Event::Stored { request, result: Ok(expected.unwrap_or(0) + 1) }
        }
        Effect::Record { request, .. } => Event::Recorded { request, result: Ok(String::new()) },
        Effect::Stamp { request, .. } => Event::Stamped { request, result: Ok(()) },
        Effect::AskPermit { request, .. } => Event::Permitted { request, granted: true },
        Effect::Act { .. } | Effect::GivePermit | Effect::Reply { .. } | Effect::Wake { .. } => return None,
    })
}

fn demand() -> Policy {
    Box::new(|_, snapshot: &Snapshot| {
        let newest = snapshot.signals.get("demand").and_then(|signal| signal.samples.last());
        let wished = newest.map_or(0.0, |sample| (sample.value / 600.0).ceil().clamp(0.0, 100.0));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped above")]
        let wished = wished as u32;
        wish(wished)
    })
}

fn day(seed: u64, sharded: bool, faults: FaultSetup, hours: u64) {
    let world = if sharded {
        WorldSetup::Sharded(ShardedSetup::default())
    } else {
        WorldSetup::Quorum(QuorumSetup::default())
    };
    let shape = Shape::Daily { low: 900, high: 3_600, period_ms: 24 * HOUR_MS };
    let load = Load::new(shape).with_noise(100, seed);
    let mut sim = Sim::new(Setup { seed, world, load, faults, sample_ms: 15_000, window_ms: 600_000 });
    let (profile, most) = if sharded { (&profile::SIM_SHARDED, 9) } else { (&profile::SIM_QUORUM, 7) };
    let mut pilot = Pilot::new(spec(profile, most), demand(), &sim);
    let until_ms = sim.now_ms() + hours * HOUR_MS;
    pilot.run(&mut sim, until_ms);
}
