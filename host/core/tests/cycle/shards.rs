//! Shards of a primary and a replica: a unit of two members comes by being let in and filled, and goes after its slots have.

use crate::desk::{Desk, HOUR, MINUTE, SECOND, hasty, spec};
use plimsoll_core::cycle::{Order, Spec};
use plimsoll_core::profile::SIM_SHARDS;
use plimsoll_sim::platform::PlatformSetup;
use plimsoll_sim::shards::ShardsSetup;
use plimsoll_sim::sim::WorldSetup;
use plimsoll_sim::world::Blow;
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
    let until_ms = desk.sim.now_ms() + MINUTE;
    desk.sim.suffer(&Blow::Crash { slot: 6, until_ms: Some(until_ms) });
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
    desk.until("a slot on its way", is_open);
    desk.wished = None;
    desk.say(Order::Cancel).unwrap();
    let (status, size, why) = desk.until_ended();
    assert_eq!((status, size), (PlanStatus::Aborted, 8), "{why}");
    desk.pass(MINUTE);
    assert!(held(&mut desk).iter().all(|one| one.moving == 0));
    // What it took with it comes back with the next growth, or stays: no plan of members is about an uneven share.
    no_harm(&desk);
}

/// A cluster that moves so many bytes a second, on its way from eight members to six.
fn slowly(bytes_per_s: u64) -> Desk {
    let platform = PlatformSetup { running: 8, slots: 9, ..PlatformSetup::default() };
    let setup =
        ShardsSetup { platform, slots: 48, slot_bytes: 300_000_000, bytes_per_s, ..ShardsSetup::default() };
    let spec = Spec { max: 9, ..spec(&SIM_SHARDS, hasty()) };
    let mut desk = Desk::within(WorldSetup::Shards(setup), 8, spec);
    desk.wished = Some(6);
    desk
}

fn is_open(desk: &Desk) -> bool {
    let seen = desk.sim.world().system_report(desk.sim.now_ms());
    seen.operations.value().is_some_and(|all| !all.is_empty())
}

#[test]
fn a_drain_that_stands_is_told_and_goes_on_when_slots_move_again() {
    let mut desk = slowly(10_000_000);
    desk.until("a slot on its way", is_open);
    let until_ms = desk.sim.now_ms() + HOUR;
    desk.sim.suffer(&Blow::SlowMoves { until_ms, permille: 0 });
    desk.until_plan(PlanStatus::Held);
    let why = desk.plan().unwrap().why.clone();
    assert!(why.starts_with("Stalled"), "{why}");
    assert!(desk.sim.now_ms() < until_ms);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 6, String::new()));
    no_harm(&desk);
}

#[test]
fn a_slot_that_somebody_else_moves_bars_the_next_effect_of_a_plan() {
    let mut desk = towards(8, 6);
    desk.until_about_to("deregister");
    desk.restart(None);
    desk.sim.act(&Verb::System(SystemVerb::Drain { member: "n-0001".into() }), "a person");
    desk.sim.advance(desk.sim.now_ms() + 30 * SECOND);
    desk.pass(10 * MINUTE);
    assert!(!desk.kinds().contains(&"deregister"), "{:?}", desk.kinds());
    let waits = desk.status().waiting_for;
    assert!(waits.contains("slot-"), "{waits}");
    desk.sim.act(&Verb::System(SystemVerb::Uncordon { member: "n-0001".into() }), "a person");
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 6, String::new()));
}

#[test]
fn a_daemon_that_is_killed_while_a_slot_is_open_goes_on_with_it() {
    for (from, to) in [(6, 8), (8, 6)] {
        let mut desk = towards(from, to);
        desk.until("a slot on its way", is_open);
        desk.restart(None);
        // It comes back when the call is long over.
        desk.sim.advance(desk.sim.now_ms() + MINUTE);
        assert!(is_open(&desk), "{from} to {to}");
        desk.restart(None);
        assert_eq!(desk.until_ended(), (PlanStatus::Done, to, String::new()));
        assert!(held(&mut desk).iter().all(|one| (one.moving, one.due) == (0, 0)), "{from} to {to}");
        no_harm(&desk);
    }
}

#[test]
fn a_cluster_that_was_left_at_half_a_shard_is_filled_up() {
    let mut desk = towards(7, 8);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 8, String::new()));
    no_harm(&desk);
}

#[test]
fn a_wish_for_half_a_shard_is_told_as_such() {
    let mut desk = towards(8, 7);
    desk.pass(5 * MINUTE);
    let told: Vec<String> = desk
        .decisions()
        .iter()
        .flat_map(|one| one.judgement.violations.iter().map(|it| it.rule.to_string()))
        .collect();
    assert!(told.iter().all(|rule| rule == "STEP-5"), "{told:?}");
    assert!(!told.is_empty());
}
