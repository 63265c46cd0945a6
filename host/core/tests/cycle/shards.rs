//! Shards of a primary and a replica: a unit of two members comes by being let in and filled, and goes after its slots have.

use crate::desk::{Desk, MINUTE};
use plimsoll_core::cycle::Order;
use plimsoll_wire::journal::{PlanStatus, PlatformVerb, SystemVerb, Verb};
use plimsoll_wire::snapshot::Hosted;

fn towards(from: u32, to: u32) -> Desk {
    let mut desk = Desk::shards(from);
    desk.wished = Some(to);
    desk
}

/// What was done to the world, repeats of the same left out.
fn told(desk: &Desk) -> Vec<&'static str> {
    let mut kinds = desk.kinds();
    kinds.dedup();
    kinds
}

fn no_harm(desk: &Desk) {
    assert!(desk.sim.oracle().findings().is_empty(), "{:?}", desk.sim.oracle().findings());
}

/// What each member holds, in the order of their slots.
fn held(desk: &mut Desk) -> Vec<Hosted> {
    let seen = desk.sim.observe(true);
    let rows = seen.system.members.value().unwrap();
    rows.iter().map(|row| *row.hosted.value().unwrap()).collect()
}

fn copies(desk: &mut Desk) -> Vec<u64> {
    held(desk).iter().map(|one| one.copies).collect()
}

/// The slots that were stopped, in order.
fn stopped(desk: &Desk) -> Vec<&str> {
    let stops = desk.done.iter().filter_map(|intent| match &intent.verb {
        Verb::Platform(PlatformVerb::Stop { slot, .. }) => Some(&**slot),
        Verb::Platform(_) | Verb::System(_) => None,
    });
    stops.collect()
}

#[test]
fn a_cluster_grows_by_a_shard_and_shrinks_by_one_again() {
    let mut desk = towards(6, 8);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 8, String::new()));
    let mut kinds = desk.kinds();
    kinds.retain(|kind| *kind != "spread");
    kinds.dedup();
    assert_eq!(kinds, ["start", "admit", "start", "admit"]);
    assert_eq!(copies(&mut desk), [12; 8]);
    desk.wished = Some(6);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 6, String::new()));
    assert_eq!(copies(&mut desk), [16; 6]);
    no_harm(&desk);
}

#[test]
fn data_is_spread_once_over_both_members_and_is_asked_for_until_nothing_is_due() {
    let mut desk = towards(6, 8);
    desk.until_about_to("spread");
    assert_eq!(desk.sim.size(), 8, "both members are there before any slot is moved");
    assert_eq!(held(&mut desk).iter().map(|one| one.due).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 0, 12, 12]);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 8, String::new()));
    let spreads: Vec<&Verb> =
        desk.done.iter().map(|it| &it.verb).filter(|verb| verb.kind() == "spread").collect();
    assert!(spreads.len() > 1, "one call moves for a while only: {spreads:?}");
    let onto = SystemVerb::Spread { onto: vec!["n-0007".into(), "n-0008".into()] };
    assert!(spreads.iter().all(|verb| **verb == Verb::System(onto.clone())), "{spreads:?}");
    assert!(held(&mut desk).iter().all(|one| one.due == 0));
    no_harm(&desk);
}

#[test]
fn the_replica_goes_first_and_its_primary_last_and_both_after_the_slots() {
    let mut desk = towards(8, 6);
    desk.until_about_to("deregister");
    assert_eq!(copies(&mut desk), [16, 16, 16, 16, 16, 16, 0, 0]);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 6, String::new()));
    assert_eq!(stopped(&desk), ["db-7", "db-6"], "db-6 is the primary");
    let mut kinds = told(&desk);
    kinds.retain(|kind| !matches!(*kind, "cordon" | "drain"));
    assert_eq!(kinds, ["deregister", "stop", "deregister", "stop"]);
    no_harm(&desk);
}

#[test]
fn after_a_failover_the_member_that_follows_now_goes_first() {
    let mut desk = towards(8, 8);
    desk.pass(MINUTE);
    desk.sim.crash("db-6", Some(MINUTE));
    desk.pass(10 * MINUTE);
    desk.wished = Some(6);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 6, String::new()));
    let last = stopped(&desk);
    assert!(last == ["db-6", "db-7"], "{last:?}");
    no_harm(&desk);
}

#[test]
fn a_plan_that_is_given_up_with_one_of_two_members_gone_ends_at_a_whole_shard() {
    let mut desk = towards(8, 6);
    desk.until("one member gone", |desk| desk.sim.size() == 7);
    desk.wished = None;
    desk.say(Order::Cancel).unwrap();
    let (status, size, why) = desk.until_ended();
    assert!([6, 8].contains(&size), "{status:?} {size} {why}");
    assert!(
        copies(&mut desk).iter().all(|copies| *copies == 96 / u64::from(size)),
        "{:?}",
        copies(&mut desk)
    );
    no_harm(&desk);
}

#[test]
fn a_growth_that_is_given_up_with_one_of_two_members_there_is_taken_back() {
    let mut desk = towards(6, 8);
    desk.until("one member there", |desk| desk.plan().is_some_and(|plan| plan.unit == 1));
    desk.wished = None;
    desk.say(Order::Cancel).unwrap();
    let (_, size, why) = desk.until_ended();
    assert_eq!(size, 6, "{why}");
    assert!(why.starts_with("cancelled by ann"), "{why}");
    no_harm(&desk);
}

#[test]
fn a_drain_that_is_given_up_leaves_no_slot_between_two_shards() {
    let mut desk = towards(8, 6);
    desk.until("a slot on its way", |desk| {
        desk.sim
            .world()
            .system_report(desk.sim.now_ms())
            .operations
            .value()
            .is_some_and(|all| !all.is_empty())
    });
    desk.wished = None;
    desk.say(Order::Cancel).unwrap();
    let (status, size, why) = desk.until_ended();
    assert_eq!((status, size), (PlanStatus::Aborted, 8), "{why}");
    desk.pass(MINUTE);
    assert!(held(&mut desk).iter().all(|one| one.moving == 0));
    // What it took with it comes back with the next growth, or stays: no plan of members is about an uneven share.
    no_harm(&desk);
}
