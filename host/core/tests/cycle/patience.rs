//! What the judge denies for a moment is waited for; what it goes on denying is taken back.

use crate::desk::{Desk, MINUTE, SECOND};
use plimsoll_core::observation::{Observation, Reading};
use plimsoll_wire::journal::PlanStatus;

/// Two of three do not answer until then: the others' word is that they are down.
fn silent_until(until_ms: u64) -> impl FnMut(&mut Observation) {
    move |observation| {
        let is_over = observation.at.mono_ms >= until_ms;
        let Reading::Value { value: members, .. } = &mut observation.system.members else { return };
        for member in members.iter_mut().take(2).filter(|_| !is_over) {
            if let Reading::Value { value, .. } = &mut member.alive {
                *value = false;
            }
        }
    }
}

/// A growth of which the first effect is under way; what comes next is judged on what is seen from now on.
fn growing(silent_ms: u64) -> (Desk, u64) {
    let mut desk = Desk::quorum(3);
    desk.wished = Some(5);
    desk.until_about_to("register");
    let began = desk.now().mono_ms;
    desk.lens = Some(Box::new(silent_until(began + silent_ms)));
    (desk, began)
}

#[test]
fn members_that_fail_to_answer_for_a_moment_are_no_reason_to_give_up_a_plan() {
    let (mut desk, _) = growing(5 * SECOND);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
}

#[test]
fn members_that_stay_silent_are_one_where_the_plan_can_be_taken_back() {
    let (mut desk, began) = growing(10 * MINUTE);
    let (status, size, why) = desk.until_ended();
    assert_eq!((status, size), (PlanStatus::Aborted, 3));
    assert!(why.contains("QuorumAtRisk"), "{why}");
    // As long as anything else has to have stood.
    assert!(desk.now().mono_ms >= began + 10 * SECOND);
}
