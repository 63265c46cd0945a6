//! A person's wish for a size.

use crate::desk::{Desk, HOUR, MINUTE, SECOND, spec};
use plimsoll_core::cycle::{Event, Order};
use plimsoll_core::profile;
use plimsoll_wire::journal::PlanStatus;
use plimsoll_wire::record::Wisher;
use plimsoll_wire::snapshot::SignalState;
use plimsoll_wire::status::OutsideWish;
use plimsoll_wire::{Safety, Sizes};

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
    assert_eq!(desk.decisions().last().unwrap().wish.from, Wisher::Person);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
    assert_eq!(desk.journal().memory.asked, None);
    // Now the policies are followed again.
    desk.wished = Some(3);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 3, String::new()));
    assert_eq!(desk.decisions().last().unwrap().wish.from.policy(), Some("load"));
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
    assert_eq!(desk.decisions().last().unwrap().wish.from.policy(), Some("load"));
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
fn a_wish_for_what_cannot_change_is_a_failure_of_the_policy_and_nothing_of_it_is_done() {
    let mut desk = decided(3);
    (desk.wished, desk.besides) = (Some(5), Sizes { memory_bytes: Some(8 << 30), ..Sizes::default() });
    desk.pass(HOUR);
    assert_eq!((desk.plan(), desk.kinds()), (None, Vec::new()));
    let answer = desk.decisions().last().unwrap().answers[0].clone();
    assert_eq!((answer.failed, &*answer.reason.code), (true, "OUT_OF_RANGE"));
    assert_eq!(answer.reason.message, "sim-quorum cannot change memoryBytes; it can change members");
    desk.besides = Sizes::default();
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
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
        (PlanStatus::Aborted, 3, "the wish was withdrawn: a person wishes 3".to_owned())
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

/// Its signals are unavailable.
fn deaf(desk: &mut Desk) {
    desk.lens = Some(Box::new(|observation| {
        observation.signals.values_mut().for_each(|signal| signal.state = SignalState::Unavailable);
    }));
}

#[test]
fn a_policy_is_a_policy_whatever_it_is_called_and_its_wish_rests_on_its_signals() {
    for name in ["load", "person", "a person", "scale", "outside", "nobody", ""] {
        let mut desk = Desk::quorum(5);
        desk.configure(|spec| spec.policies[0].name = name.to_owned());
        deaf(&mut desk);
        desk.wished = Some(3);
        desk.pass(HOUR);
        assert_eq!((desk.plan(), desk.kinds()), (None, Vec::new()), "{name}");
        assert_eq!(desk.decisions().last().unwrap().wish.from, Wisher::Policy(name.to_owned()));
        assert_eq!(desk.reason(), "StaleMetrics", "{name}");
    }
}

#[test]
fn a_wish_from_outside_is_not_a_policys_of_the_same_name() {
    let mut desk = Desk::quorum(3);
    desk.configure(|spec| spec.policies[0].name = "scale".to_owned());
    desk.wished = Some(3);
    deaf(&mut desk);
    let outside = OutsideWish { members: 5, who: "an-hpa".to_owned(), when: String::new() };
    desk.feed(Event::Wished(Some(outside)));
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
    let began = desk.decisions().into_iter().find(|decision| decision.plan.is_some()).unwrap();
    assert_eq!(began.wish.from, Wisher::Outside);
}

/// A group of so many, with the waits of the catalogue, that has gone that way an hour ago.
fn after(members: u32, next: u32) -> Desk {
    let mut spec = spec(&profile::SIM_QUORUM, Safety::default());
    spec.safety.fraction_permille = 1_000;
    let mut desk = Desk::new(members, spec);
    desk.wished = Some(next);
    assert_eq!(desk.until_ended().1, next);
    desk.pass(HOUR);
    desk
}

#[test]
fn growing_waits_for_no_shrinking_however_young() {
    let mut desk = after(5, 3);
    desk.wished = Some(5);
    let began_ms = desk.now().mono_ms;
    desk.until_plan(PlanStatus::Running);
    assert!(desk.now().mono_ms - began_ms <= 2 * MINUTE);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
}

#[test]
fn shrinking_after_a_growth_waits_until_the_wish_has_lasted_and_the_members_are_not_new() {
    let mut desk = after(3, 5);
    desk.wished = Some(3);
    desk.pass(4 * HOUR);
    assert_eq!((desk.plan(), &*desk.reason()), (None, "Flapping"));
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 3, String::new()));
}

#[test]
fn a_person_waits_for_nothing_against_flapping() {
    let mut desk = after(3, 5);
    desk.wished = None;
    desk.scale(3).unwrap();
    let began_ms = desk.now().mono_ms;
    desk.until_plan(PlanStatus::Running);
    assert!(desk.now().mono_ms - began_ms <= 10 * SECOND);
    // And at once the other way.
    assert_eq!(desk.until_ended().1, 3);
    desk.scale(5).unwrap();
    desk.pass(10 * SECOND);
    assert!(desk.plan().is_some(), "{}", desk.reason());
}
