//! Taking a plan back: by a person, and by leaving enforce (`decisions.md` D8, D9).

use crate::desk::{Desk, HOUR};
use plimsoll_core::cycle::Order;
use plimsoll_wire::journal::PlanStatus;
use plimsoll_wire::snapshot::Mode;

fn towards(make: fn(u32) -> Desk, from: u32, to: u32) -> Desk {
    let mut desk = make(from);
    desk.wished = Some(to);
    desk
}

/// The policy says nothing more, so that what is taken back is not wished again.
fn cancel(desk: &mut Desk) -> String {
    desk.wished = None;
    desk.say(Order::Cancel).unwrap()
}

#[test]
fn before_the_point_of_no_return_a_growth_is_taken_back_completely() {
    for kind in ["register", "start"] {
        let mut desk = towards(Desk::quorum, 3, 5);
        desk.until_about_to(kind);
        // The effect that is under way is carried out first; what follows is the way back.
        let told = cancel(&mut desk);
        assert!(told.ends_with(" is being taken back"), "{told}");
        let ended = desk.until_ended();
        assert_eq!(ended, (PlanStatus::Aborted, 3, "cancelled by ann".to_owned()), "{kind}");
        assert_eq!(desk.sim.size(), 3, "{kind}: {:?}", desk.kinds());
        assert!(!desk.kinds().contains(&"promote"), "{kind}: {:?}", desk.kinds());
    }
}

#[test]
fn after_the_vote_is_given_the_unit_is_finished_and_the_group_goes_back_to_a_legal_size() {
    let mut desk = towards(Desk::quorum, 3, 5);
    desk.until_about_to("promote");
    let told = cancel(&mut desk);
    assert!(told.contains("can no longer be taken back"), "{told}");
    let (_, size, why) = desk.until_ended();
    assert_eq!((size, desk.sim.size()), (3, 3), "{:?}", desk.kinds());
    assert_eq!(why, "cancelled by ann (began at 3; 4 is no legal size to rest at)");
    assert_eq!(desk.kinds(), ["register", "start", "promote", "barrier", "deregister", "barrier", "stop"]);
}

#[test]
fn before_the_point_of_no_return_a_member_that_drains_serves_again() {
    for kind in ["cordon", "drain"] {
        let mut desk = towards(Desk::sharded, 6, 5);
        desk.until_about_to(kind);
        cancel(&mut desk);
        assert_eq!(desk.until_ended().1, 6, "{kind}");
        assert!(desk.kinds().contains(&"uncordon"), "{kind}: {:?}", desk.kinds());
        assert!(!desk.kinds().contains(&"stop"), "{kind}: {:?}", desk.kinds());
        assert_eq!(desk.sim.size(), 6, "{kind}");
    }
}

#[test]
fn after_the_point_of_no_return_the_member_goes_and_the_group_comes_to_a_legal_size() {
    let mut desk = towards(Desk::quorum, 5, 3);
    desk.until_about_to("stop");
    let told = cancel(&mut desk);
    assert!(told.contains("can no longer be taken back"), "{told}");
    let (_, size, why) = desk.until_ended();
    assert_eq!((size, desk.sim.size()), (5, 5), "{:?}", desk.kinds());
    assert_eq!(why, "cancelled by ann (began at 5; 4 is no legal size to rest at)");
}

#[test]
fn a_plan_that_is_being_given_up_is_not_cancelled_twice() {
    let mut desk = towards(Desk::quorum, 3, 5);
    desk.until_about_to("start");
    cancel(&mut desk);
    let refused = desk.say(Order::Cancel).unwrap_err();
    assert!(refused.contains("is being given up already: cancelled by ann"), "{refused}");
}

#[test]
fn without_a_plan_there_is_nothing_to_cancel() {
    let mut desk = Desk::quorum(3);
    desk.until("the first decision", |desk| !desk.decisions().is_empty());
    assert_eq!(desk.say(Order::Cancel).unwrap_err(), "default/db has no running plan");
}

#[test]
fn a_cancelled_wish_of_a_person_is_forgotten() {
    let mut desk = Desk::quorum(3);
    desk.until("the first decision", |desk| !desk.decisions().is_empty());
    desk.scale(5).unwrap();
    desk.until_about_to("start");
    cancel(&mut desk);
    desk.until_ended();
    desk.pass(HOUR);
    assert_eq!(desk.plan(), None);
    assert_eq!(desk.sim.size(), 3);
}

#[test]
fn leaving_enforce_before_the_point_of_no_return_takes_the_unit_back() {
    for mode in [Mode::Dryrun, Mode::Off] {
        let mut desk = towards(Desk::quorum, 3, 5);
        desk.until_about_to("start");
        desk.configure(|spec| spec.mode = mode);
        assert_eq!(desk.until_ended(), (PlanStatus::Aborted, 3, "the target left enforce".to_owned()));
        let done = desk.kinds();
        desk.pass(HOUR);
        assert_eq!((desk.kinds(), desk.sim.size()), (done, 3), "{mode:?}");
    }
}

#[test]
fn leaving_enforce_after_the_point_of_no_return_finishes_the_member_and_rests_at_a_legal_size() {
    let mut desk = towards(Desk::quorum, 5, 3);
    desk.until_about_to("barrier");
    desk.configure(|spec| spec.mode = Mode::Dryrun);
    let (_, size, why) = desk.until_ended();
    assert_eq!(size, 5, "{:?}", desk.kinds());
    assert!(why.starts_with("the target left enforce"), "{why}");
    let done = desk.kinds();
    desk.pass(HOUR);
    assert_eq!((desk.kinds(), desk.sim.size()), (done, 5));
}

#[test]
fn leaving_enforce_in_the_last_member_of_a_plan_finishes_the_plan() {
    let mut desk = towards(Desk::sharded, 6, 5);
    desk.until_about_to("stop");
    desk.configure(|spec| spec.mode = Mode::Dryrun);
    let (_, size, _) = desk.until_ended();
    assert_eq!((size, desk.sim.size()), (5, 5));
}

#[test]
fn what_was_decided_in_enforce_is_not_begun_after_leaving_it() {
    let mut desk = towards(Desk::quorum, 3, 5);
    desk.until("the permit", |desk| {
        matches!(desk.pending, Some(plimsoll_core::cycle::Effect::AskPermit { .. }))
    });
    desk.configure(|spec| spec.mode = Mode::Dryrun);
    desk.pass(HOUR);
    assert_eq!((desk.plan(), desk.kinds()), (None, Vec::new()));
    assert!(desk.arbiter.ask(&"somebody/else".into(), false), "the permit was kept without a plan");
}
