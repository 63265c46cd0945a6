//! A group of one grows to three: the letter of QUORUM-6 alone would keep it at one for ever.

use crate::desk::{Desk, MINUTE, hasty, spec};
use plimsoll_core::cycle::Order;
use plimsoll_core::profile;
use plimsoll_wire::Safety;
use plimsoll_wire::journal::PlanStatus;

#[test]
fn a_lone_voter_grows_to_three_with_all_defaults() {
    let mut desk = Desk::new(1, spec(&profile::SIM_QUORUM, Safety::default()));
    desk.wished = Some(3);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 3, String::new()));
    assert!(desk.sim.oracle().findings().is_empty(), "{:?}", desk.sim.oracle().findings());
    let votes = desk.kinds().into_iter().filter(|kind| *kind == "promote").count();
    assert_eq!(votes, 2, "every new voter learns first");
}

#[test]
fn a_lone_voter_does_not_come_to_rest_at_two() {
    let mut desk = Desk::new(1, spec(&profile::SIM_QUORUM, hasty()));
    desk.wished = Some(2);
    desk.pass(10 * MINUTE);
    assert_eq!((desk.plan(), desk.kinds()), (None, Vec::new()));
    assert_eq!(desk.reason(), "EvenVoters");
}

#[test]
fn a_growth_that_is_given_up_at_two_voters_goes_on_to_three() {
    let mut desk = Desk::new(1, spec(&profile::SIM_QUORUM, hasty()));
    desk.wished = Some(3);
    desk.until("two voters", |desk| desk.plan().is_some_and(|plan| plan.unit == 1));
    desk.wished = None;
    desk.say(Order::Cancel).unwrap();
    let (_, size, why) = desk.until_ended();
    assert_eq!((size, desk.sim.size()), (3, 3), "{why}");
    assert!(desk.sim.oracle().findings().is_empty(), "{:?}", desk.sim.oracle().findings());
}

#[test]
fn beside_a_lone_voter_a_dead_learner_gets_no_vote() {
    let mut desk = Desk::new(1, spec(&profile::SIM_QUORUM, hasty()));
    desk.wished = Some(3);
    // It has caught up, and is then seen dead: what is known of its log is still there.
    desk.until_about_to("promote");
    desk.restart(None);
    desk.lens = Some(Box::new(|seen| {
        if let plimsoll_core::observation::Reading::Value { value: rows, .. } = &mut seen.system.members {
            for row in rows.iter_mut().skip(1) {
                if let plimsoll_core::observation::Reading::Value { value, .. } = &mut row.alive {
                    *value = false;
                }
            }
        }
    }));
    desk.pass(10 * MINUTE);
    assert!(!desk.kinds().contains(&"promote"), "{:?}", desk.kinds());
}
