//! The cluster of shards: what it does when it is told to, what it does by itself, and what it refuses.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use plimsoll_core::observation::SystemReport;
use plimsoll_sim::faults::FaultSetup;
use plimsoll_sim::load::{Load, Shape};
use plimsoll_sim::platform::PlatformSetup;
use plimsoll_sim::shards::ShardsSetup;
use plimsoll_sim::sim::{Setup, Sim, WorldSetup};
use plimsoll_sim::world::Blow;
use plimsoll_wire::journal::{Outcome, PlatformVerb, SystemVerb, Verb};
use plimsoll_wire::snapshot::{Endpoints, Lifecycle};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// A slot takes three seconds to move, and a call moves for twenty.
fn cluster(running: usize) -> Sim {
    let platform = PlatformSetup { running, slots: 9, ..PlatformSetup::default() };
    let setup = ShardsSetup { platform, slots: 48, slot_bytes: 300_000_000, ..ShardsSetup::default() };
    Sim::new(Setup {
        seed: 5,
        world: WorldSetup::Shards(setup),
        load: Load::new(Shape::Constant(600)),
        faults: FaultSetup::None,
        sample_ms: 15 * SECOND,
        window_ms: MINUTE,
    })
}

fn pass(sim: &mut Sim, ms: u64) {
    sim.advance(sim.now_ms() + ms);
}

fn told(sim: &mut Sim, verb: impl Into<Verb>) -> Outcome {
    sim.act(&verb.into(), "test").outcome
}

fn start(sim: &mut Sim, slot: &str) {
    let size_after = sim.size() + 1;
    assert_eq!(
        told(sim, PlatformVerb::Start { slot: slot.into(), size_after, join: None }),
        Outcome::Applied
    );
    pass(sim, 2 * MINUTE);
}

fn admit(sim: &mut Sim, slot: &str) -> Outcome {
    let outcome = told(sim, SystemVerb::Admit { slot: slot.into(), endpoints: Endpoints::new() });
    pass(sim, 10 * SECOND);
    outcome
}

fn drain(sim: &mut Sim, member: &str) -> Outcome {
    told(sim, SystemVerb::Drain { member: member.into() })
}

fn seen(sim: &Sim) -> SystemReport {
    sim.world().system_report(sim.now_ms())
}

/// What each member owns, and what is on its way to it or from it, in the order of their ids.
fn held(sim: &Sim) -> Vec<(u64, u64)> {
    let seen = seen(sim);
    let rows = seen.members.value().unwrap();
    rows.iter().map(|row| row.hosted.value().map(|it| (it.copies, it.moving)).unwrap()).collect()
}

fn leaders(sim: &Sim) -> Vec<String> {
    let seen = seen(sim);
    let groups = seen.groups.value().unwrap();
    groups.iter().map(|group| group.leader.value().map_or_else(String::new, ToString::to_string)).collect()
}

#[test]
fn the_first_that_is_let_in_is_a_primary_without_slots_and_the_next_its_replica() {
    let mut sim = cluster(6);
    start(&mut sim, "db-6");
    assert_eq!(seen(&sim).members.value().unwrap().len(), 6, "nobody knows it yet");
    assert_eq!([admit(&mut sim, "db-6"), admit(&mut sim, "db-6")], [Outcome::Applied, Outcome::Applied]);
    start(&mut sim, "db-7");
    admit(&mut sim, "db-7");
    let onto = vec!["n-0008".into()];
    for _ in 0..3 {
        told(&mut sim, SystemVerb::Spread { onto: onto.clone() });
        pass(&mut sim, 30 * SECOND);
    }
    assert_eq!(held(&sim), [(12, 0); 8]);
    assert_eq!(leaders(&sim), ["n-0001", "n-0003", "n-0005", "n-0007"]);
    assert!(matches!(admit(&mut sim, "db-8"), Outcome::Refused { .. }), "nothing runs there");
}

#[test]
fn a_call_moves_slots_for_its_time_and_the_next_one_ends_what_it_left_open() {
    let mut sim = cluster(8);
    assert_eq!(drain(&mut sim, "n-0008"), Outcome::Applied);
    pass(&mut sim, 5 * MINUTE);
    // Six slots and two thirds of one.
    assert_eq!(held(&sim)[6..], [(6, 1), (6, 1)]);
    let map = seen(&sim).shards;
    assert_eq!(map.value().map(|map| (map.count, map.covered, map.open, map.owners)), Some((48, 48, 1, 4)));
    assert_eq!(seen(&sim).operations.value().map(Vec::len), Some(1));
    drain(&mut sim, "n-0007");
    pass(&mut sim, 5 * MINUTE);
    assert_eq!(held(&sim)[6..], [(0, 0), (0, 0)]);
    assert!(sim.summary().ours.is_empty());
}

#[test]
fn members_need_a_while_to_agree_after_a_change() {
    let mut sim = cluster(8);
    drain(&mut sim, "n-0008");
    pass(&mut sim, 4 * SECOND);
    assert_eq!(seen(&sim).shards.value(), None, "one slot has just come to another shard");
    pass(&mut sim, MINUTE);
    assert!(seen(&sim).shards.value().is_some());
}

#[test]
fn no_member_is_forgotten_while_its_shard_owns_slots() {
    let mut sim = cluster(8);
    let forget = |member: &str| SystemVerb::Deregister { member: member.into() };
    for member in ["n-0007", "n-0008"] {
        assert!(matches!(told(&mut sim, forget(member)), Outcome::Refused { .. }), "{member}");
    }
    for _ in 0..3 {
        drain(&mut sim, "n-0007");
        pass(&mut sim, 30 * SECOND);
    }
    assert_eq!(told(&mut sim, forget("n-0007")), Outcome::Applied);
    assert_eq!(sim.summary().ours.keys().collect::<Vec<_>>(), [&"followers-stranded"], "it had a replica");
}

#[test]
fn a_replica_takes_over_and_the_old_primary_comes_back_as_a_replica() {
    let mut sim = cluster(6);
    let until_ms = sim.now_ms() + 2 * MINUTE;
    sim.suffer(&Blow::Crash { slot: 0, until_ms: Some(until_ms) });
    pass(&mut sim, 30 * SECOND);
    assert_eq!(leaders(&sim), ["n-0002", "n-0003", "n-0005"]);
    pass(&mut sim, 10 * MINUTE);
    assert_eq!(leaders(&sim), ["n-0002", "n-0003", "n-0005"]);
    let seen = seen(&sim);
    let stages = seen.members.value().unwrap().iter().map(|row| row.lifecycle.value().copied());
    assert!(stages.into_iter().all(|stage| stage == Some(Lifecycle::Serving)));
    assert_eq!((sim.summary().lost_by_nature, sim.summary().lost_by_us), (0, 0));
}

#[test]
fn no_failover_is_agreed_on_where_most_owners_are_down() {
    let mut sim = cluster(6);
    for slot in [0, 2] {
        sim.suffer(&Blow::Crash { slot, until_ms: None });
    }
    pass(&mut sim, 10 * MINUTE);
    assert_eq!(leaders(&sim), ["", "", "n-0005"]);
}

#[test]
fn what_both_members_of_a_shard_had_is_lost_with_them_and_whose_it_is_is_told() {
    let mut sim = cluster(6);
    for slot in [0, 1] {
        sim.suffer(&Blow::Crash { slot, until_ms: None });
    }
    assert!(sim.summary().lost_by_nature > 0 && sim.summary().lost_by_us == 0, "{:?}", sim.summary());
    let mut sim = cluster(6);
    for (slot, size_after) in [("db-5", 5), ("db-4", 4)] {
        let member = "".into();
        told(&mut sim, PlatformVerb::Stop { slot: slot.into(), member, size_after });
    }
    let summary = sim.summary();
    assert!(summary.lost_by_us > 0, "{summary:?}");
    for kind in ["acknowledged-writes-lost", "majority-lost", "stopped-while-holding"] {
        assert!(summary.ours.contains_key(kind), "{kind}: {summary:?}");
    }
}

#[test]
fn to_leave_two_owners_is_ours() {
    let mut sim = cluster(6);
    for _ in 0..5 {
        drain(&mut sim, "n-0006");
        pass(&mut sim, 30 * SECOND);
    }
    assert_eq!(held(&sim)[4..], [(0, 0), (0, 0)]);
    assert_eq!(sim.summary().ours.keys().collect::<Vec<_>>(), [&"too-few-owners"]);
}
