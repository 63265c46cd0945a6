//! Members that come or go together: data is spread once over all that come, those that go drain side by side, and they are
//! removed one after the other.

use crate::desk::{Desk, HOUR, hasty, spec};
use plimsoll_core::cycle::Order;
use plimsoll_core::observation::Reading;
use plimsoll_core::plan::preview::{Asked, preview};
use plimsoll_core::profile::{SIM_TOGETHER, flaws, sim_quorum};
use plimsoll_wire::journal::PlanStatus;
use plimsoll_wire::profile::{Profile, Together};
use plimsoll_wire::record::Wisher;
use plimsoll_wire::{Safety, Snapshot};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// So many members, of which three may come or go together, on their way to another size.
fn towards(from: u32, to: u32) -> Desk {
    let mut desk = Desk::new(from, spec(&SIM_TOGETHER, hasty()));
    desk.wished = Some(to);
    desk
}

fn count(desk: &Desk, kind: &str) -> usize {
    desk.kinds().iter().filter(|one| **one == kind).count()
}

/// The largest number of members that were seen to give their data away at the same time, until a plan has ended.
fn draining_until_ended(desk: &mut Desk) -> usize {
    let most = Cell::new(0);
    let ended = desk.journal().history.len();
    desk.until("the end of the plan", |desk| {
        most.set(most.get().max(desk.plan().map_or(0, |plan| plan.leaving.len() + 1)));
        desk.journal().history.len() > ended
    });
    most.get()
}

fn no_harm(desk: &Desk) {
    assert!(desk.sim.oracle().findings().is_empty(), "{:?}", desk.sim.oracle().findings());
}

#[test]
fn data_is_spread_once_over_all_members_that_come_together() {
    let mut desk = towards(4, 7);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 7, String::new()));
    assert_eq!(desk.kinds(), ["start", "start", "start", "rebalance"]);
    no_harm(&desk);
}

#[test]
fn members_that_go_drain_side_by_side_and_are_removed_one_after_the_other() {
    let mut desk = towards(8, 5);
    desk.until_about_to("stop");
    assert_eq!(
        count(&desk, "drain"),
        3,
        "all give their data away before the first ends: {:?}",
        desk.kinds()
    );
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
    let stops: Vec<&str> =
        desk.kinds().into_iter().filter(|kind| matches!(*kind, "drain" | "stop")).collect();
    assert_eq!(stops, ["drain", "drain", "drain", "stop", "stop", "stop"]);
    no_harm(&desk);
}

#[test]
fn the_owner_may_ask_for_fewer_and_a_system_that_cannot_is_left_alone() {
    let two = Safety { together: 2, ..hasty() };
    let mut desk = Desk::new(8, spec(&SIM_TOGETHER, two));
    desk.wished = Some(5);
    desk.until_about_to("stop");
    assert_eq!(count(&desk, "drain"), 2, "{:?}", desk.kinds());
    assert_eq!(draining_until_ended(&mut desk), 2);
    let mut desk = Desk::sharded(8);
    desk.wished = Some(6);
    assert_eq!(draining_until_ended(&mut desk), 1);
}

#[test]
fn a_plan_that_is_given_up_while_they_drain_lets_all_of_them_serve_again() {
    let mut desk = towards(8, 5);
    desk.until("three that drain", |desk| count(desk, "drain") == 3);
    desk.wished = None;
    desk.say(Order::Cancel).unwrap();
    assert_eq!(desk.until_ended(), (PlanStatus::Aborted, 8, "cancelled by ann".to_owned()));
    assert_eq!((count(&desk, "uncordon"), count(&desk, "stop")), (3, 0), "{:?}", desk.kinds());
    desk.pass(HOUR);
    let serving = desk.sim.observe(true);
    let Reading::Value { value, .. } = serving.system.members else { panic!("members") };
    assert_eq!(value.len(), 8);
    no_harm(&desk);
}

#[test]
fn a_plan_that_is_given_up_after_the_first_has_gone_lets_the_others_serve_again() {
    let mut desk = towards(8, 5);
    desk.until("the first to be gone", |desk| desk.sim.size() == 7);
    desk.wished = None;
    desk.say(Order::Cancel).unwrap();
    let (status, size, _) = desk.until_ended();
    assert_eq!((status, size, desk.sim.size()), (PlanStatus::Aborted, 7, 7), "{:?}", desk.kinds());
    assert_eq!((count(&desk, "stop"), count(&desk, "uncordon")), (1, 2), "{:?}", desk.kinds());
    no_harm(&desk);
}

#[test]
fn a_plan_that_is_given_up_between_two_that_come_spreads_the_data_over_the_first() {
    let mut desk = towards(4, 7);
    desk.until("the first to have come", |desk| desk.plan().is_some_and(|plan| plan.joined.len() == 1));
    desk.wished = None;
    desk.say(Order::Cancel).unwrap();
    let (_, size, why) = desk.until_ended();
    assert_eq!((size, desk.sim.size()), (5, 5), "{why}: {:?}", desk.kinds());
    assert_eq!(count(&desk, "rebalance"), 1, "{:?}", desk.kinds());
    assert!(why.starts_with("cancelled by ann"), "{why}");
    no_harm(&desk);
}

#[test]
fn a_member_whose_data_finds_no_room_drains_in_its_own_turn() {
    let mut desk = towards(8, 6);
    let full = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&full);
    desk.lens = Some(Box::new(move |observation| {
        let Reading::Value { value, .. } = &mut observation.system.members else { return };
        for member in value.iter_mut().filter(|_| seen.load(Ordering::Relaxed)) {
            if let Reading::Value { value, .. } = &mut member.disk_capacity_bytes {
                *value = 1;
            }
        }
    }));
    desk.until_about_to("drain");
    full.store(true, Ordering::Relaxed);
    desk.until_about_to("stop");
    assert_eq!(count(&desk, "drain"), 1, "{:?}", desk.kinds());
    full.store(false, Ordering::Relaxed);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 6, String::new()));
    no_harm(&desk);
}

#[test]
fn a_restart_between_two_drains_goes_on_with_the_same_members() {
    let mut desk = towards(8, 5);
    desk.until("two that drain", |desk| count(desk, "drain") == 2);
    let before = desk.plan().unwrap().clone();
    desk.restart(None);
    desk.until("three that drain", |desk| count(desk, "drain") == 3);
    let after = desk.plan().unwrap().clone();
    assert_eq!((before.subject, before.leaving), (after.subject, after.leaving));
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
    no_harm(&desk);
}

#[test]
fn a_preview_shows_that_data_is_spread_once() {
    let base = include_str!("../../../../tests/scenarios/base/sharded-at-rest.json");
    let mut snapshot: Snapshot = serde_json::from_str(base).unwrap();
    snapshot.profile = Arc::clone(&SIM_TOGETHER);
    let shown = preview(&snapshot, Asked { to: 8, by: Wisher::Person, rests_on: None });
    let plan = shown.plan.expect("a plan");
    let spreads = |unit: usize| plan.units[unit].steps.iter().any(|step| step.phase == "rebalance");
    assert_eq!((plan.together, spreads(0), spreads(1)), (2, false, true));
}

#[test]
fn voters_come_and_go_one_by_one() {
    let profile = Profile { together: Together { join: 2, drain: 1 }, ..sim_quorum() };
    let told = flaws(&profile);
    assert!(
        told.iter().any(|flaw| flaw.starts_with("together: only where data moves by itself")),
        "{told:?}"
    );
}
