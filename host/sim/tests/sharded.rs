//! The sharded world with two drivers: a naive one, which proves that the oracle is alive, and a gentle one.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use plimsoll_core::observation::SystemMember;
use plimsoll_sim::faults::{Class, FaultSetup, PlannedFault};
use plimsoll_sim::load::{Load, Shape};
use plimsoll_sim::oracle::Harm;
use plimsoll_sim::sharded::ShardedSetup;
use plimsoll_sim::sim::{Setup, Sim, WorldSetup};
use plimsoll_wire::journal::{Outcome, PlatformVerb, SystemVerb, Verb};
use plimsoll_wire::snapshot::{Lifecycle, OperationKind, PlacementState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn store(seed: u64, setup: ShardedSetup, faults: FaultSetup) -> Sim {
    let day = Shape::Daily { low: 1_500, high: 6_000, period_ms: DAY };
    Sim::new(Setup {
        seed,
        world: WorldSetup::Sharded(setup),
        load: Load::new(day).with_noise(50, seed),
        faults,
        sample_ms: 15_000,
        window_ms: 600_000,
    })
}

fn calm(seed: u64) -> Sim {
    store(seed, ShardedSetup::default(), FaultSetup::None)
}

fn pass(sim: &mut Sim, ms: u64) {
    let to_ms = sim.now_ms() + ms;
    sim.advance(to_ms);
}

fn members(sim: &mut Sim) -> Vec<SystemMember> {
    sim.observe(true).system.members.value().cloned().unwrap_or_default()
}

fn act(sim: &mut Sim, verb: &Verb) {
    assert_eq!(sim.act(verb, "plan/test").outcome, Outcome::Applied, "{verb:?}");
}

fn stop(sim: &mut Sim, slot: Arc<str>, member: Arc<str>) {
    let size_after = sim.size() - 1;
    act(sim, &Verb::Platform(PlatformVerb::Stop { slot, member, size_after }));
}

/// Waits until a condition of the world holds; there is always an end to it.
fn until(sim: &mut Sim, what: &str, condition: impl Fn(&mut Sim) -> bool) {
    for _ in 0..2_000 {
        if condition(sim) {
            return;
        }
        pass(sim, 5_000);
    }
    panic!("never: {what}");
}

fn is_balanced(sim: &mut Sim) -> bool {
    let seen = sim.observe(true);
    let operations = seen.system.operations.value().unwrap();
    operations.iter().all(|operation| operation.kind != OperationKind::Rebalance)
        && seen.system.members.value().unwrap().iter().all(|it| it.hosted.value().unwrap().moving == 0)
}

fn add_one(sim: &mut Sim) {
    let before = members(sim).len();
    let slot = sim.observe(true).platform.vacant.value().unwrap()[0].slot.clone();
    let size_after = sim.size() + 1;
    act(sim, &Verb::Platform(PlatformVerb::Start { slot, size_after, join: None }));
    until(sim, "joined", |sim| members(sim).len() == before + 1);
    act(sim, &Verb::System(SystemVerb::Rebalance));
    until(sim, "balanced", is_balanced);
}

fn remove_one(sim: &mut Sim) {
    let victim = members(sim).last().unwrap().clone();
    act(sim, &Verb::System(SystemVerb::Cordon { member: victim.id.clone() }));
    while let Some(group) = led_by(sim, &victim.id) {
        act(sim, &Verb::System(SystemVerb::MoveLeader { group, from: victim.id.clone(), to: None }));
    }
    act(sim, &Verb::System(SystemVerb::Drain { member: victim.id.clone() }));
    let id = victim.id.clone();
    until(sim, "drained", |sim| {
        members(sim).iter().any(|it| it.id == id && it.lifecycle.value() == Some(&Lifecycle::Drained))
    });
    pass(sim, MINUTE);
    stop(sim, victim.slot.clone().unwrap(), victim.id.clone());
    assert!(members(sim).iter().all(|it| it.id != victim.id), "an empty member that is stopped is forgotten");
}

/// The first shard that a member leads.
fn led_by(sim: &mut Sim, id: &Arc<str>) -> Option<Arc<str>> {
    let seen = sim.observe(true);
    let groups = seen.system.groups.value().unwrap();
    groups.iter().find(|group| group.leader.value() == Some(id)).map(|group| group.id.clone())
}

fn size(wanted: usize) -> u32 {
    u32::try_from(wanted).unwrap()
}

/// The size follows the load, at once, and nobody asks what the members hold.
fn run_unguarded(sim: &mut Sim, until_ms: u64) {
    while sim.now_ms() < until_ms {
        pass(sim, 30_000);
        let seen = sim.observe(false);
        let Some(slots) = seen.platform.slots.value() else { continue };
        let Some(demand) = seen.signals.get("demand").and_then(|signal| signal.samples.last()) else {
            continue;
        };
        let wanted = (demand.value / 700.0).ceil().clamp(1.0, 12.0) as usize;
        let vacant = seen.platform.vacant.value().cloned().unwrap_or_default();
        for place in vacant.into_iter().take(wanted.saturating_sub(slots.len())) {
            let verb = Verb::Platform(PlatformVerb::Start {
                slot: place.slot,
                size_after: size(wanted),
                join: None,
            });
            sim.act(&verb, "hpa");
        }
        for slot in slots.iter().rev().take(slots.len().saturating_sub(wanted)) {
            sim.act(
                &Verb::Platform(PlatformVerb::Stop {
                    slot: slot.slot.clone(),
                    member: "".into(),
                    size_after: size(wanted),
                }),
                "hpa",
            );
        }
    }
}

#[test]
fn a_gentle_sequence_loses_nothing_and_breaks_no_rule() {
    for seed in 0..6 {
        let mut sim = calm(seed);
        pass(&mut sim, HOUR);
        for _ in 0..2 {
            add_one(&mut sim);
            add_one(&mut sim);
            assert_eq!(sim.size(), 8);
            // Each of three domains keeps a copy of each shard: two members share what three share elsewhere.
            let copies: Vec<u64> =
                members(&mut sim).iter().map(|it| it.hosted.value().unwrap().copies).collect();
            assert!(copies.iter().all(|copies| (4..=6).contains(copies)), "uneven: {copies:?}");
            for _ in 0..4 {
                remove_one(&mut sim);
                pass(&mut sim, 10 * MINUTE);
            }
            assert_eq!(sim.size(), 4);
            add_one(&mut sim);
            add_one(&mut sim);
        }
        let summary = sim.summary();
        assert_eq!(summary.ours, BTreeMap::new(), "seed {seed}: {:?}", sim.oracle().findings());
        assert_eq!(summary.nature, BTreeMap::new(), "seed {seed}");
        assert_eq!((summary.lost_by_us, summary.lost_by_nature), (0, 0), "seed {seed}");
        assert!(summary.acknowledged > 1_000_000, "{summary:?}");
    }
}

#[test]
fn without_a_guard_acknowledged_writes_are_lost() {
    let (mut losing, mut lost, seeds) = (0, 0, 40);
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..seeds {
        let mut sim = store(seed, ShardedSetup::default(), FaultSetup::Drawn { until_ms: DAY });
        let until_ms = sim.now_ms() + DAY;
        run_unguarded(&mut sim, until_ms);
        let summary = sim.summary();
        losing += u64::from(summary.lost_by_us > 0);
        lost += summary.lost_by_us;
        for kind in summary.ours.keys() {
            *kinds.entry(kind).or_default() += 1;
        }
    }
    println!(
        "unguarded, sharded: {losing} of {seeds} seeds lost {lost} acknowledged writes; seeds by harm: {kinds:?}"
    );
    for kind in ["acknowledged-writes-lost", "majority-lost", "stopped-while-holding", "size-jumped"] {
        assert!(kinds.contains_key(kind), "no seed showed {kind}: {kinds:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut sim = store(seed, ShardedSetup::default(), FaultSetup::Drawn { until_ms: DAY });
        let until_ms = sim.now_ms() + DAY;
        run_unguarded(&mut sim, until_ms);
        (sim.digest(), sim.summary())
    };
    for seed in 0..6 {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(1).0, run(2).0);
}

#[test]
fn a_drain_onto_small_disks_fills_a_survivor_and_the_oracle_says_whose_it_is() {
    let setup = ShardedSetup { disk_bytes: 27_000_000_000, ..ShardedSetup::default() };
    let mut sim = store(1, setup, FaultSetup::None);
    pass(&mut sim, MINUTE);
    let victim = members(&mut sim).last().unwrap().id.clone();
    act(&mut sim, &Verb::System(SystemVerb::Drain { member: victim }));
    pass(&mut sim, HOUR);
    let full = |harm: &Harm| matches!(harm, Harm::DiskOverfull { .. });
    assert!(sim.oracle().findings().iter().any(|it| full(&it.harm) && it.call == Some(1)));
}

/// A store of eight members, two of them new and filled by a rebalance of ours, of which nature then takes some.
fn bereft(lost: u64) -> Sim {
    let setup = ShardedSetup { disk_bytes: 34_000_000_000, ..ShardedSetup::default() };
    let losses = (0..lost).map(|nth| PlannedFault {
        class: Class::MemberLost,
        at_ms: 30 * MINUTE + nth * MINUTE,
        for_ms: 0,
    });
    let mut sim = store(2, setup, FaultSetup::Planned(losses.collect()));
    pass(&mut sim, MINUTE);
    for (slot, size) in [("db-6", 7), ("db-7", 8)] {
        act(
            &mut sim,
            &Verb::Platform(PlatformVerb::Start { slot: slot.into(), size_after: size, join: None }),
        );
        until(&mut sim, "one member more", |sim| members(sim).len() == size as usize);
    }
    act(&mut sim, &Verb::System(SystemVerb::Rebalance));
    pass(&mut sim, 2 * HOUR);
    sim
}

#[test]
fn where_nature_takes_members_until_no_placement_fits_a_full_disk_is_not_ours() {
    let full = |harm: &Harm| matches!(harm, Harm::DiskOverfull { .. });
    let fits = bereft(1);
    assert!(!fits.oracle().findings().iter().chain(fits.oracle().misfortunes()).any(|it| full(&it.harm)));
    let sim = bereft(4);
    assert_eq!(sim.oracle().findings(), []);
    assert!(sim.oracle().misfortunes().iter().any(|it| full(&it.harm)));
}

#[test]
fn data_that_only_grows_fills_a_disk_without_us() {
    let setup = ShardedSetup { disk_bytes: 26_000_000_000, write_bytes: 2_000, ..ShardedSetup::default() };
    let mut sim = store(1, setup, FaultSetup::None);
    pass(&mut sim, 3 * HOUR);
    assert!(sim.oracle().findings().is_empty());
    let full = |harm: &Harm| matches!(harm, Harm::DiskOverfull { .. });
    assert!(sim.oracle().misfortunes().iter().any(|it| full(&it.harm)));
}

#[test]
fn a_member_that_dies_for_good_is_replaced_by_copies_elsewhere() {
    let only = BTreeSet::from([Class::MemberLost]);
    let mut sim = store(3, ShardedSetup::default(), FaultSetup::Only { classes: only, until_ms: HOUR });
    pass(&mut sim, 2 * HOUR);
    let seen = sim.observe(true);
    let all = seen.system.members.value().unwrap();
    let dead = all.iter().filter(|it| it.lifecycle.value() == Some(&Lifecycle::Dead)).count();
    assert_eq!(dead, 1, "the store keeps it in its list, for somebody to take it away");
    for group in seen.system.groups.value().unwrap() {
        let placements = group.placements.value().unwrap();
        assert_eq!(placements.len(), 3);
        assert!(placements.iter().all(|it| it.state == PlacementState::InSync), "{}", group.id);
    }
    assert_eq!(sim.summary().lost_by_us + sim.summary().lost_by_nature, 0);
}

#[test]
fn a_drain_that_is_taken_back_lets_the_member_serve_again() {
    let mut sim = calm(2);
    pass(&mut sim, MINUTE);
    let victim = members(&mut sim).last().unwrap().id.clone();
    act(&mut sim, &Verb::System(SystemVerb::Cordon { member: victim.clone() }));
    act(&mut sim, &Verb::System(SystemVerb::Drain { member: victim.clone() }));
    pass(&mut sim, 30_000);
    let state = |sim: &mut Sim| {
        let member = members(sim).into_iter().find(|it| it.id == victim).unwrap();
        (*member.lifecycle.value().unwrap(), member.hosted.value().unwrap().copies)
    };
    assert_eq!(state(&mut sim).0, Lifecycle::Draining);
    act(&mut sim, &Verb::System(SystemVerb::CancelDrain { member: victim.clone() }));
    assert_eq!(state(&mut sim).0, Lifecycle::Draining, "still cordoned");
    act(&mut sim, &Verb::System(SystemVerb::Uncordon { member: victim.clone() }));
    let (lifecycle, copies) = state(&mut sim);
    assert_eq!(lifecycle, Lifecycle::Serving);
    pass(&mut sim, HOUR);
    assert_eq!(state(&mut sim).1, copies, "nothing leaves it any more");
    assert!(sim.oracle().findings().is_empty());
}

#[test]
fn a_move_that_stands_still_keeps_the_member_from_being_drained() {
    let only = BTreeSet::from([Class::MovesSlow]);
    let mut held = 0;
    for seed in 0..20 {
        let faults = FaultSetup::Only { classes: only.clone(), until_ms: 1 };
        let mut sim = store(seed, ShardedSetup::default(), faults);
        pass(&mut sim, 1_000);
        let victim = members(&mut sim).last().unwrap().id.clone();
        act(&mut sim, &Verb::System(SystemVerb::Drain { member: victim.clone() }));
        pass(&mut sim, 10_000);
        let before = members(&mut sim).last().unwrap().hosted.value().unwrap().copies;
        pass(&mut sim, 20_000);
        let after = members(&mut sim).last().unwrap().hosted.value().unwrap().copies;
        held += u64::from(before == after && before > 0);
        until(&mut sim, "drained in the end", |sim| {
            members(sim).iter().any(|it| it.id == victim && it.lifecycle.value() == Some(&Lifecycle::Drained))
        });
    }
    assert!(held > 0, "no seed slowed a move");
}
