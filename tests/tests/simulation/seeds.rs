//! Many seeds, each a day long: twenty hours in which things break as the seed draws it, then four in which they
//! do not, so that a run also shows that it recovers.

use crate::reasons::silence;
use crate::worlds::{HOUR, MINUTE, World, brisk, drawn, greedy, spec};
use plimsoll_sim::pilot::{Pilot, Tally, Unguarded};
use plimsoll_sim::sim::{Sim, Summary};
use plimsoll_wire::journal::PlanStatus;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const FAULTS_MS: u64 = 20 * HOUR;
const DAY_MS: u64 = 24 * HOUR;

/// Few in the short form: `make test-long` asks for 500.
fn count() -> u64 {
    std::env::var("PLIMSOLL_SEEDS").map_or(16, |count| count.parse().unwrap())
}

fn chosen() -> Option<(u64, Option<String>)> {
    let seed = std::env::var("PLIMSOLL_SEED").ok()?.parse().unwrap();
    Some((seed, std::env::var("PLIMSOLL_WORLD").ok()))
}

/// What came of one seed.
#[derive(Debug, PartialEq)]
struct Ran {
    summary: Summary,
    tally: Tally,
    digest: u64,
    records: Vec<u8>,
    kills: u64,
    faults: Vec<String>,
    /// What is wrong, in words.
    wrong: Vec<String>,
}

fn run(seed: u64, world: World, keep: bool) -> Ran {
    let mut sim = drawn(seed, world, FAULTS_MS);
    let loud = chosen().is_some();
    if loud {
        sim.trace().keep();
    }
    let mut pilot = Pilot::new(spec(world, brisk()), greedy(), &sim);
    if keep || loud {
        pilot = pilot.keeping_records();
    }
    let end_ms = sim.now_ms() + DAY_MS;
    let mut silent = None;
    while sim.now_ms() < end_ms {
        let next_ms = sim.now_ms() + MINUTE;
        pilot.run(&mut sim, next_ms);
        silent = silent.or_else(|| silence(&pilot, sim.now_ms()));
    }
    let wrong = complaints(&sim, &pilot, end_ms).into_iter().chain(silent).collect();
    if loud {
        tell(&mut sim, &pilot);
    }
    let records = pilot.records().iter().flat_map(|record| plimsoll_wire::canonical(record).unwrap());
    Ran {
        records: records.collect(),
        summary: sim.summary(),
        tally: pilot.tally().clone(),
        digest: sim.digest(),
        kills: pilot.kills(),
        faults: sim.faults().hits().keys().map(|class| format!("{class:?}")).collect(),
        wrong,
    }
}

fn complaints(sim: &Sim, pilot: &Pilot, end_ms: u64) -> Vec<String> {
    let mut wrong: Vec<String> = sim
        .oracle()
        .findings()
        .iter()
        .take(5)
        .map(|harm| format!("{:?} by call {:?}", harm.harm, harm.call))
        .collect();
    if sim.summary().lost_by_us > 0 {
        wrong.push(format!("{} acknowledged writes lost", sim.summary().lost_by_us));
    }
    let status = pilot.state().status();
    if let Some(trouble) = &status.trouble {
        wrong.push(format!("trouble hours after the last fault: {trouble}"));
    }
    // N14: decisions go on.
    let silent_ms = sim.now().wall_ms - status.last_decision.as_ref().map_or(0, |last| last.wall_ms);
    if silent_ms > 60_000 {
        wrong.push(format!("no decision for {silent_ms} ms"));
    }
    // Every plan ends, or says why it does not.
    if let Some(plan) = &status.plan {
        let still_ms = end_ms.saturating_sub(plan.progressed.mono_ms);
        // What cannot go on (a member that died for good, a volume in the way) keeps its place and says so.
        let kept = matches!(plan.status, PlanStatus::Held | PlanStatus::Stopping);
        let told = kept && !plan.why.is_empty();
        if still_ms > 45 * MINUTE && !told {
            wrong.push(format!(
                "plan {} → {} stands still for {still_ms} ms, {:?}, {:?}, waiting for {:?}",
                plan.from(),
                plan.to(),
                plan.status,
                plan.why,
                status.waiting_for
            ));
        }
    }
    let last = status.last_decision.as_ref().map(|last| &last.judgement.violations);
    let owed = last.into_iter().flatten().find(|one| one.kind == "DebtUnpaid" && !one.unknown);
    if let Some(owed) = owed.filter(|_| status.plan.is_none()) {
        wrong.push(format!("nobody pays: {}", owed.detail));
    }
    wrong.extend(unsettled(sim, pilot));
    wrong
}

/// A quorum group that lost nobody for good is at the size that is wished four hours after the last fault.
fn unsettled(sim: &Sim, pilot: &Pilot) -> Option<String> {
    let status = pilot.state().status();
    let lost = sim.faults().hits().keys().any(|class| format!("{class:?}") == "MemberLost");
    let world = pilot.state().spec().profile.system.clone();
    if &*world != "sim-quorum" || lost || status.plan.is_some() {
        return None;
    }
    let last = status.last_decision?;
    // A volume that is in the way is nothing that we clear.
    let blocked = last.judgement.violations.iter().any(|one| one.kind == "ZombieVolume");
    let wished = last.wish.sizes.members?.max(3);
    let wished = if wished % 2 == 0 { wished - 1 } else { wished };
    (sim.size() != wished && !blocked).then(|| {
        format!(
            "{} members, {wished} are wished: {} {:?}",
            sim.size(),
            last.reason,
            last.judgement.violations
        )
    })
}

fn tell(sim: &mut Sim, pilot: &Pilot) {
    let mut lines: Vec<(u64, String)> = sim.trace().take();
    for record in pilot.records() {
        let dull = matches!(&record.body, plimsoll_wire::record::Body::Decision(decision) if decision.plan.is_none());
        if !dull {
            let said = plimsoll_core::explain::explain(record);
            lines.extend(said.into_iter().map(|line| (record.now.mono_ms, format!("  {line}"))));
        }
    }
    lines.sort_by_key(|(at_ms, _)| *at_ms);
    for (at_ms, line) in lines {
        println!("{:>9.1} s {line}", (at_ms - plimsoll_sim::sim::ORIGIN_MS) as f64 / 1_000.0);
    }
}

/// Runs a function for all seeds on all cores.
fn on_all_cores(seeds: u64, each: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    each(seed);
                }
            });
        }
    });
}

/// What came of all seeds of a world.
#[derive(Default)]
struct Total {
    plans: BTreeMap<String, u64>,
    refusals: BTreeMap<String, u64>,
    effects: BTreeMap<String, u64>,
    faults: BTreeMap<String, u64>,
    acknowledged: u64,
    lost_by_us: u64,
    lost_by_nature: u64,
    violated_ms: u64,
    kills: u64,
    wrong: Vec<String>,
}

impl Total {
    fn add(&mut self, seed: u64, world: World, ran: Ran) {
        let sum = |into: &mut BTreeMap<String, u64>, from: BTreeMap<String, u64>| {
            for (kind, count) in from {
                *into.entry(kind).or_default() += count;
            }
        };
        sum(&mut self.plans, ran.tally.plans);
        sum(&mut self.refusals, ran.tally.refusals);
        sum(&mut self.effects, ran.tally.effects);
        sum(&mut self.faults, ran.faults.into_iter().map(|class| (class, 1)).collect());
        self.acknowledged += ran.summary.acknowledged;
        self.lost_by_us += ran.summary.lost_by_us;
        self.lost_by_nature += ran.summary.lost_by_nature;
        self.violated_ms += ran.summary.violated_ms;
        self.kills += ran.kills;
        if !ran.wrong.is_empty() {
            self.wrong.push(format!(
                "{}\n    PLIMSOLL_SEED={seed} PLIMSOLL_WORLD={} cargo test -p plimsoll-tests --test simulation seeds -- --nocapture",
                ran.wrong.join("; "),
                world.name()
            ));
        }
    }
}

fn nothing_goes_wrong(world: World) {
    if let Some((seed, wanted)) = chosen() {
        if wanted.is_none_or(|wanted| wanted == world.name()) {
            let ran = run(seed, world, true);
            assert!(ran.wrong.is_empty(), "{:?}", ran.wrong);
        }
        return;
    }
    let began = std::time::Instant::now();
    let total = Mutex::new(Total::default());
    on_all_cores(count(), |seed| {
        let ran = run(seed, world, false);
        total.lock().unwrap().add(seed, world, ran);
    });
    let total = total.into_inner().unwrap();
    println!(
        "{}, guarded: {} seeds of 24 h in {:.1?}: {} writes acknowledged, {} lost by us, {} by nature; objective \
         violated for {} h; daemon killed {} times\n  plans {:?}\n  effects {:?}\n  findings {:?}\n  seeds by fault {:?}",
        world.name(),
        count(),
        began.elapsed(),
        total.acknowledged,
        total.lost_by_us,
        total.lost_by_nature,
        total.violated_ms / HOUR,
        total.kills,
        total.plans,
        total.effects,
        total.refusals,
        total.faults
    );
    assert!(total.wrong.is_empty(), "{} seeds:\n{}", total.wrong.len(), total.wrong.join("\n"));
    assert!(total.plans.get("done").is_some_and(|done| *done > count()), "hardly a plan was carried out");
    assert_eq!(total.lost_by_us, 0);
}

#[test]
fn no_seed_of_a_quorum_group_loses_anything_because_of_us() {
    nothing_goes_wrong(World::Quorum);
}

#[test]
fn no_seed_of_a_sharded_store_loses_anything_because_of_us() {
    nothing_goes_wrong(World::Sharded);
}

#[test]
fn no_seed_of_a_store_in_which_members_change_together_loses_anything_because_of_us() {
    nothing_goes_wrong(World::Together);
}

#[test]
fn each_run_of_a_seed_is_the_same_byte_for_byte() {
    let sample = count().div_ceil(50).max(2);
    on_all_cores(sample, |seed| {
        for world in World::ALL {
            let (one, two) = (run(seed * 50, world, true), run(seed * 50, world, true));
            assert!(!one.records.is_empty());
            assert!(one == two, "seed {} of {}", seed * 50, world.name());
        }
    });
}

/// The same day with the same policy and nobody who asks whether it is safe.
fn unguarded(seed: u64, world: World) -> Summary {
    let mut sim = drawn(seed, world, FAULTS_MS);
    if chosen().is_some() {
        sim.trace().keep();
    }
    let end_ms = sim.now_ms() + DAY_MS;
    Unguarded::new(spec(world, brisk()), greedy()).run(&mut sim, end_ms);
    for (at_ms, line) in sim.trace().take() {
        println!("{:>9.1} s {line}", (at_ms - plimsoll_sim::sim::ORIGIN_MS) as f64 / 1_000.0);
    }
    sim.summary()
}

#[test]
fn without_the_guard_the_same_seeds_lose_acknowledged_writes_and_majorities() {
    let seeds = |each: &(dyn Fn(u64) + Sync)| match chosen() {
        Some((seed, _)) => each(seed),
        None => on_all_cores(count(), each),
    };
    for world in World::ALL {
        let harms = Mutex::new(BTreeMap::<&str, u64>::new());
        let (lost, stopped_ms) = (AtomicU64::new(0), AtomicU64::new(0));
        seeds(&|seed| {
            let summary = unguarded(seed, world);
            lost.fetch_add(summary.lost_by_us, Ordering::Relaxed);
            stopped_ms.fetch_add(summary.violated_ms, Ordering::Relaxed);
            for kind in summary.ours.into_keys() {
                *harms.lock().unwrap().entry(kind).or_default() += 1;
            }
        });
        let (harms, lost) = (harms.into_inner().unwrap(), lost.into_inner());
        println!(
            "{}, without the guard: {} seeds of 24 h: {lost} acknowledged writes lost by us; objective violated for \
             {} h; seeds by harm {harms:?}",
            world.name(),
            count(),
            stopped_ms.into_inner() / HOUR
        );
        if chosen().is_none() {
            assert!(lost > 0, "{}: {harms:?}", world.name());
            assert!(harms.contains_key("majority-lost"), "{}: {harms:?}", world.name());
        }
    }
}
