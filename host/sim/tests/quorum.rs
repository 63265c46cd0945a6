//! The quorum world with two drivers: a naive one, which proves that the oracle is alive, and a gentle one.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use plimsoll_sim::faults::FaultSetup;
use plimsoll_sim::load::{Load, Shape};
use plimsoll_sim::oracle::Harm;
use plimsoll_sim::platform::{PlatformSetup, Volumes};
use plimsoll_sim::quorum::QuorumSetup;
use plimsoll_sim::sim::{Setup, Sim, WorldSetup};
use plimsoll_wire::journal::{Outcome, PlatformVerb, SystemVerb, Verb};
use plimsoll_wire::snapshot::Role;
use std::collections::BTreeMap;
use std::sync::Arc;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

fn day_of(seed: u64, strict: bool, faults: FaultSetup) -> Sim {
    let day = Shape::Daily { low: 700, high: 4_000, period_ms: DAY };
    let crowd = Shape::FlashCrowd { peak: 2_000, start_ms: 5 * HOUR, rise_ms: 60_000, fall_ms: HOUR };
    Sim::new(Setup {
        seed,
        world: WorldSetup::Quorum(QuorumSetup { strict, ..QuorumSetup::default() }),
        load: Load::new(Shape::Sum(vec![day, crowd])).with_noise(50, seed),
        faults,
        sample_ms: 15_000,
        window_ms: 600_000,
    })
}

fn calm(seed: u64) -> Sim {
    day_of(seed, true, FaultSetup::None)
}

/// What an HPA would do: the size follows the load, at once, and nobody asks what the members hold. A `tidy`
/// one has a hook that removes each member from the membership before it is stopped, as many charts have.
fn run_unguarded(sim: &mut Sim, until_ms: u64, tidy: bool) {
    while sim.now_ms() < until_ms {
        let next_ms = sim.now_ms() + 30_000;
        sim.advance(next_ms);
        let seen = sim.observe(false);
        let Some(slots) = seen.platform.slots.value() else { continue };
        let Some(demand) = seen.signals.get("demand").and_then(|signal| signal.samples.last()) else {
            continue;
        };
        let wanted = (demand.value / 700.0).ceil().clamp(1.0, 9.0) as usize;
        if let Some(members) = seen.system.members.value() {
            let learners = members
                .iter()
                .filter(|member| member.roles.value().is_some_and(|it| it.contains(&Role::Learner)));
            for learner in learners {
                sim.act(&Verb::System(SystemVerb::Promote { member: learner.id.clone() }), "hpa");
            }
        }
        if wanted > slots.len() {
            let vacant = seen.platform.vacant.value().cloned().unwrap_or_default();
            for place in vacant.into_iter().take(wanted - slots.len()) {
                let verb = Verb::System(SystemVerb::Register {
                    slot: place.slot.clone(),
                    endpoints: place.endpoints,
                });
                sim.act(&verb, "hpa");
                start(sim, place.slot, wanted);
            }
        }
        for slot in slots.iter().rev().take(slots.len().saturating_sub(wanted)) {
            let member = seen.system.members.value().into_iter().flatten();
            for member in member.filter(|it| tidy && it.slot.as_ref() == Some(&slot.slot)) {
                sim.act(&Verb::System(SystemVerb::Deregister { member: member.id.clone() }), "hpa");
            }
            stop(sim, slot.slot.clone(), "", wanted);
        }
    }
}

fn start(sim: &mut Sim, slot: Arc<str>, size_after: usize) -> Outcome {
    let size_after = u32::try_from(size_after).unwrap();
    let join = sim.observe(true).system.join.value().cloned();
    sim.act(&Verb::Platform(PlatformVerb::Start { slot, size_after, join }), "plan/test").outcome
}

fn stop(sim: &mut Sim, slot: Arc<str>, member: &str, size_after: usize) -> Outcome {
    let size_after = u32::try_from(size_after).unwrap();
    sim.act(&Verb::Platform(PlatformVerb::Stop { slot, member: member.into(), size_after }), "plan/test")
        .outcome
}

fn members(sim: &Sim) -> usize {
    usize::try_from(sim.size()).unwrap()
}

fn pass(sim: &mut Sim, ms: u64) {
    let to_ms = sim.now_ms() + ms;
    sim.advance(to_ms);
}

/// Adds one member as etcd's manual says: learner, start, catch up, promote, one more write.
fn add_one(sim: &mut Sim) {
    let vacant = sim.observe(true).platform.vacant.value().unwrap()[0].clone();
    let verb = Verb::System(SystemVerb::Register { slot: vacant.slot.clone(), endpoints: vacant.endpoints });
    assert_eq!(sim.act(&verb, "plan/test").outcome, Outcome::Applied);
    assert_eq!(start(sim, vacant.slot, members(sim) + 1), Outcome::Applied);
    let members = sim.observe(true).system.members.value().unwrap().clone();
    let learner = members.iter().find(|it| it.roles.value().unwrap().contains(&Role::Learner)).unwrap();
    let promote = Verb::System(SystemVerb::Promote { member: learner.id.clone() });
    for _ in 0..100 {
        pass(sim, 10_000);
        if sim.act(&promote, "plan/test").outcome == Outcome::Applied {
            assert_eq!(sim.act(&Verb::System(SystemVerb::Barrier), "plan/test").outcome, Outcome::Applied);
            return pass(sim, 60_000);
        }
    }
    panic!("the learner never caught up");
}

/// Removes the last member as etcd's manual says: not while it leads, and out of the membership first.
fn remove_one(sim: &mut Sim) {
    let members = sim.observe(true).system.members.value().unwrap().clone();
    let (first, last) = (members.first().unwrap(), members.last().unwrap());
    if last.roles.value().unwrap().contains(&Role::Leader) {
        let verb = Verb::System(SystemVerb::MoveLeader {
            group: "control".into(),
            from: last.id.clone(),
            to: Some(first.id.clone()),
        });
        assert_eq!(sim.act(&verb, "plan/test").outcome, Outcome::Applied);
        pass(sim, 10_000);
    }
    let verb = Verb::System(SystemVerb::Deregister { member: last.id.clone() });
    assert_eq!(sim.act(&verb, "plan/test").outcome, Outcome::Applied);
    assert_eq!(sim.act(&Verb::System(SystemVerb::Barrier), "plan/test").outcome, Outcome::Applied);
    assert_eq!(stop(sim, last.slot.clone().unwrap(), &last.id, members.len() - 1), Outcome::Applied);
    pass(sim, 60_000);
}

#[test]
fn a_gentle_sequence_loses_nothing_and_breaks_no_rule() {
    for seed in 0..20 {
        let mut sim = calm(seed);
        pass(&mut sim, HOUR);
        for _ in 0..3 {
            add_one(&mut sim);
            add_one(&mut sim);
            assert_eq!(sim.size(), 5);
            pass(&mut sim, HOUR);
            remove_one(&mut sim);
            remove_one(&mut sim);
            assert_eq!(sim.size(), 3);
            pass(&mut sim, HOUR);
        }
        let summary = sim.summary();
        assert_eq!(summary.ours, BTreeMap::new(), "seed {seed}: {:?}", sim.oracle().findings());
        assert_eq!(summary.nature, BTreeMap::new(), "seed {seed}");
        assert_eq!((summary.lost_by_us, summary.lost_by_nature), (0, 0), "seed {seed}");
        assert!(summary.acknowledged > 1_000_000, "{summary:?}");
    }
}

#[test]
fn without_a_guard_majorities_and_acknowledged_writes_are_lost() {
    let mut losing = 0;
    let mut lost = 0;
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    let seeds = 60;
    for seed in 0..seeds {
        let mut sim = day_of(seed, seed % 2 == 0, FaultSetup::Drawn { until_ms: DAY });
        let until_ms = sim.now_ms() + DAY;
        run_unguarded(&mut sim, until_ms, seed % 4 < 2);
        let summary = sim.summary();
        losing += u64::from(summary.lost_by_us > 0);
        lost += summary.lost_by_us;
        for kind in summary.ours.keys() {
            *kinds.entry(kind).or_default() += 1;
        }
    }
    println!(
        "unguarded, quorum: {losing} of {seeds} seeds lost {lost} acknowledged writes; seeds by harm: {kinds:?}"
    );
    for kind in [
        "acknowledged-writes-lost",
        "majority-lost",
        "stopped-while-holding",
        "changes-overlap",
        "leader-removed",
        "size-jumped",
    ] {
        assert!(kinds.contains_key(kind), "no seed showed {kind}: {kinds:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let run = |seed| {
        let mut sim = day_of(seed, false, FaultSetup::Drawn { until_ms: DAY });
        let until_ms = sim.now_ms() + DAY;
        run_unguarded(&mut sim, until_ms, seed % 4 < 2);
        (sim.digest(), sim.summary())
    };
    for seed in 0..8 {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(1).0, run(2).0);
}

#[test]
fn a_group_without_strictness_accepts_a_removal_that_loses_the_majority() {
    let attempt = |strict| {
        let mut sim = day_of(1, strict, FaultSetup::None);
        pass(&mut sim, 60_000);
        let members = sim.observe(true).system.members.value().unwrap().clone();
        let leads = |it: &&plimsoll_core::observation::SystemMember| {
            it.roles.value().unwrap().contains(&Role::Leader)
        };
        let mut others = members.iter().filter(|it| !leads(it));
        let (dead, healthy) = (others.next().unwrap(), others.next().unwrap());
        stop(&mut sim, dead.slot.clone().unwrap(), &dead.id, 2);
        let outcome = sim
            .act(&Verb::System(SystemVerb::Deregister { member: healthy.id.clone() }), "plan/test")
            .outcome;
        let lost = sim.oracle().findings().iter().any(|it| it.harm == Harm::MajorityLost { group: 0 });
        (outcome, lost)
    };
    let (outcome, lost) = attempt(true);
    assert!(matches!(outcome, Outcome::Refused { .. }) && !lost, "{outcome:?}");
    assert_eq!(attempt(false), (Outcome::Applied, true));
}

#[test]
fn a_leader_that_is_stopped_is_replaced_after_an_election() {
    let mut sim = calm(3);
    pass(&mut sim, 60_000);
    let leader = |sim: &mut Sim| {
        let groups = sim.observe(true).system.groups;
        groups.value().and_then(|groups| groups[0].leader.value().cloned())
    };
    let first = leader(&mut sim).unwrap();
    let members = sim.observe(true).system.members.value().unwrap().clone();
    let slot = members.iter().find(|it| it.id == first).and_then(|it| it.slot.clone()).unwrap();
    stop(&mut sim, slot, &first, 2);
    assert_eq!(leader(&mut sim), None, "nobody leads while the election goes on");
    pass(&mut sim, 10_000);
    let second = leader(&mut sim).unwrap();
    assert_ne!(first, second);
}

#[test]
fn a_volume_that_is_kept_brings_a_removed_member_back_as_a_stranger() {
    let platform = PlatformSetup { volumes: Volumes::Keep, ..PlatformSetup::default() };
    let mut sim = Sim::new(Setup {
        seed: 5,
        world: WorldSetup::Quorum(QuorumSetup { platform, ..QuorumSetup::default() }),
        load: Load::new(Shape::Constant(500)),
        faults: FaultSetup::None,
        sample_ms: 15_000,
        window_ms: 600_000,
    });
    pass(&mut sim, 60_000);
    add_one(&mut sim);
    remove_one(&mut sim);
    let vacant = sim.observe(true).platform.vacant.value().unwrap()[0].clone();
    assert!(vacant.marker.value().unwrap().tombstoned);
    let verb = Verb::System(SystemVerb::Register { slot: vacant.slot.clone(), endpoints: vacant.endpoints });
    assert_eq!(sim.act(&verb, "plan/test").outcome, Outcome::Applied);
    start(&mut sim, vacant.slot.clone(), 4);
    pass(&mut sim, HOUR);
    let members = sim.observe(true).system.members.value().unwrap().clone();
    let joined = members.iter().find(|it| it.slot.as_ref() == Some(&vacant.slot)).unwrap();
    assert_eq!(joined.alive.value(), Some(&false), "it runs with the old identity");
    let harm = Harm::VolumeReturned { slot: vacant.slot };
    assert!(sim.oracle().findings().iter().any(|it| it.harm == harm));
}
