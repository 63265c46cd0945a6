//! A person's pause: nothing is done, in every phase of a plan and before one.

use crate::desk::{Desk, HOUR, MINUTE};
use plimsoll_core::cycle::{Effect, Order};
use plimsoll_wire::journal::PlanStatus;
use std::collections::BTreeSet;

fn pause(desk: &mut Desk) {
    desk.say(Order::Pause { why: "the weekend".to_owned() }).unwrap();
}

/// Each place of a plan where it could be paused: the status's word for the phase, and whether an effect is licensed.
fn places(mut desk: Desk) -> BTreeSet<(String, u32)> {
    let mut places = BTreeSet::new();
    desk.until_plan(PlanStatus::Running);
    while let Some(unit) =
        desk.state.journal().and_then(|journal| journal.plan.as_ref()).map(|plan| plan.unit)
    {
        places.insert((desk.status().phase, unit));
        desk.once();
    }
    places
}

fn asked(make: fn(u32) -> Desk, from: u32, to: u32) -> Desk {
    let mut desk = make(from);
    desk.wished = Some(to);
    desk
}

/// Pauses in every phase, sees that nothing moves for an hour, and that the plan then goes to its end.
fn paused_everywhere(make: fn(u32) -> Desk, from: u32, to: u32) {
    let places = places(asked(make, from, to));
    assert!(places.len() >= 5, "{places:?}");
    for (phase, unit) in places {
        let mut desk = asked(make, from, to);
        desk.until("the phase", |desk| {
            let plan = desk.state.journal().and_then(|journal| journal.plan.as_ref());
            desk.status().phase == phase && plan.is_some_and(|plan| plan.unit == unit)
        });
        pause(&mut desk);
        let (done, plan) = (desk.kinds(), desk.plan().cloned());
        desk.pass(HOUR);
        assert_eq!(desk.kinds(), done, "{phase} {unit}: something was done while paused");
        let now = desk.plan().map(|plan| (plan.id.clone(), plan.unit, plan.point_of_no_return));
        assert_eq!(now, plan.map(|plan| (plan.id, plan.unit, plan.point_of_no_return)), "{phase} {unit}");
        if now.is_none() {
            continue;
        }
        let held = desk.condition("Paused");
        assert_eq!((held.0, held.2.as_str()), (true, "the weekend"), "{phase} {unit}");
        desk.say(Order::Resume).unwrap();
        assert_eq!(desk.until_ended(), (PlanStatus::Done, to, String::new()), "{phase} {unit}");
    }
}

#[test]
fn a_growing_group_can_be_paused_in_every_phase_and_goes_on() {
    paused_everywhere(Desk::quorum, 3, 5);
}

#[test]
fn a_shrinking_group_can_be_paused_in_every_phase_and_goes_on() {
    paused_everywhere(Desk::quorum, 5, 3);
}

#[test]
fn a_growing_store_can_be_paused_in_every_phase_and_goes_on() {
    paused_everywhere(Desk::sharded, 5, 6);
}

#[test]
fn a_shrinking_store_can_be_paused_in_every_phase_and_goes_on() {
    paused_everywhere(Desk::sharded, 6, 5);
}

#[test]
fn while_a_target_is_paused_no_plan_begins() {
    let mut desk = Desk::quorum(3);
    desk.until("the first decision", |desk| !desk.decisions().is_empty());
    pause(&mut desk);
    desk.wished = Some(5);
    desk.pass(10 * MINUTE);
    assert_eq!((desk.plan(), desk.kinds()), (None, Vec::new()));
    assert_eq!(desk.reason(), "NotInControl");
    desk.say(Order::Resume).unwrap();
    assert_eq!(desk.until_ended().0, PlanStatus::Done);
}

#[test]
fn a_pause_between_a_decision_and_its_permit_stops_the_plan_and_gives_the_permit_back() {
    let mut desk = Desk::quorum(3);
    desk.wished = Some(5);
    desk.until("the permit", |desk| matches!(desk.pending, Some(Effect::AskPermit { .. })));
    pause(&mut desk);
    desk.pass(MINUTE);
    assert_eq!(desk.plan(), None);
    assert!(desk.arbiter.ask(&"somebody/else".into(), false), "the permit was kept without a plan");
}

#[test]
fn a_pause_outlives_a_restart() {
    let mut desk = Desk::quorum(3);
    desk.until("the first decision", |desk| !desk.decisions().is_empty());
    pause(&mut desk);
    desk.wished = Some(5);
    desk.restart(None);
    desk.pass(10 * MINUTE);
    assert_eq!(desk.plan(), None);
    assert!(desk.status().paused.is_some());
}

#[test]
fn the_owners_hold_in_the_document_stops_a_plan_where_it_is() {
    let mut desk = Desk::quorum(5);
    desk.wished = Some(3);
    desk.until_about_to("barrier");
    desk.configure(|spec| spec.held = Some("a migration".to_owned()));
    desk.once();
    let done = desk.kinds();
    desk.pass(HOUR);
    assert_eq!(desk.kinds(), done);
    desk.configure(|spec| spec.held = None);
    assert_eq!(desk.until_ended().0, PlanStatus::Done);
}

#[test]
fn who_was_not_paused_cannot_be_resumed() {
    let mut desk = Desk::quorum(3);
    desk.until("the first decision", |desk| !desk.decisions().is_empty());
    assert_eq!(desk.say(Order::Resume).unwrap_err(), "default/db is not paused");
}
