//! A person's wish for a size.

use crate::desk::{Desk, MINUTE};
use plimsoll_core::cycle::Order;
use plimsoll_wire::journal::PlanStatus;

fn decided(members: u32) -> Desk {
    let mut desk = Desk::quorum(members);
    desk.until("the first decision", |desk| !desk.decisions().is_empty());
    desk
}

#[test]
fn a_persons_wish_outranks_the_policies_until_it_is_reached() {
    let mut desk = decided(3);
    desk.wished = None;
    desk.scale(5).unwrap();
    desk.until_plan(PlanStatus::Running);
    assert_eq!(desk.decisions().last().unwrap().wish.from, "person");
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
    assert_eq!(desk.journal().memory.asked, None);
    // Now the policies are followed again.
    desk.wished = Some(3);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 3, String::new()));
    assert_eq!(desk.decisions().last().unwrap().wish.from, "load");
}

#[test]
fn a_wish_that_is_cleared_leaves_the_size_to_the_policies() {
    let mut desk = decided(3);
    desk.say(Order::Pause { why: String::new() }).unwrap();
    desk.scale(5).unwrap();
    desk.say(Order::Scale { members: None }).unwrap();
    desk.say(Order::Resume).unwrap();
    desk.pass(5 * MINUTE);
    assert_eq!((desk.plan(), desk.kinds()), (None, Vec::new()));
    assert_eq!(desk.decisions().last().unwrap().wish.from, "load");
}

#[test]
fn a_wish_beyond_the_owners_bounds_is_refused_with_the_bounds() {
    let mut desk = decided(3);
    for members in [0, 8, u32::MAX] {
        let refused = desk.scale(members).unwrap_err();
        assert!(refused.contains("may have 1 to 7 members"), "{refused}");
    }
    assert_eq!(desk.journal().memory.asked, None);
}

#[test]
fn a_wish_that_comes_to_lie_beyond_the_bounds_is_limited_to_them() {
    let mut desk = decided(3);
    desk.say(Order::Pause { why: String::new() }).unwrap();
    desk.scale(7).unwrap();
    desk.configure(|spec| spec.max = 5);
    desk.say(Order::Resume).unwrap();
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
}

#[test]
fn a_wish_outlives_a_restart() {
    let mut desk = decided(3);
    desk.say(Order::Pause { why: String::new() }).unwrap();
    desk.scale(5).unwrap();
    desk.restart(None);
    desk.until("the journal", |desk| desk.state.journal().is_some());
    desk.say(Order::Resume).unwrap();
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
}

#[test]
fn a_wish_for_the_present_size_is_reached_at_once() {
    let mut desk = decided(3);
    desk.scale(3).unwrap();
    desk.until("the wish to be forgotten", |desk| desk.journal().memory.asked.is_none());
    desk.wished = Some(5);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
}

#[test]
fn a_wish_for_the_size_that_there_was_turns_the_plan() {
    let mut desk = decided(3);
    desk.wished = Some(5);
    desk.until_about_to("start");
    desk.scale(3).unwrap();
    assert_eq!(
        desk.until_ended(),
        (PlanStatus::Aborted, 3, "the wish was withdrawn: person wishes 3".to_owned())
    );
}

#[test]
fn a_wish_passes_the_same_judge_as_everybodys() {
    let mut desk = decided(3);
    desk.scale(1).unwrap();
    desk.pass(5 * MINUTE);
    assert_eq!((desk.plan(), desk.kinds()), (None, Vec::new()));
    let last = desk.status().last_decision.unwrap();
    assert!(last.judgement.violations.iter().any(|one| one.kind == "BelowFloor"), "{last:?}");
}
