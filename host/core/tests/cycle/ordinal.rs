//! A platform that says itself who goes: the highest ordinal, whoever that is.

use crate::desk::{Desk, hasty, spec};
use plimsoll_core::cycle::Order;
use plimsoll_core::observation::Reading;
use plimsoll_core::profile::SIM_QUORUM;
use plimsoll_wire::fact::Gap;
use plimsoll_wire::journal::{PlanStatus, SystemVerb, Verb};
use plimsoll_wire::profile::{Profile, Victim};
use std::sync::{Arc, LazyLock};

static ORDINALS: LazyLock<Arc<Profile>> =
    LazyLock::new(|| Arc::new(Profile { victim: Victim::HighestOrdinal, ..Profile::clone(&SIM_QUORUM) }));

/// A group of five in which the last one leads.
fn desk() -> Desk {
    let mut desk = Desk::new(5, spec(&ORDINALS, hasty()));
    let system = desk.sim.observe(true).system;
    let from = system.groups.value().unwrap()[0].leader.value().unwrap().clone();
    let last = system.members.value().unwrap().iter().find(|member| member.slot.as_deref() == Some("db-4"));
    let to = last.unwrap().id.clone();
    desk.sim.act(
        &Verb::System(SystemVerb::MoveLeader { group: "control".into(), from, to: Some(to) }),
        "a person",
    );
    desk
}

#[test]
fn a_leader_that_the_platform_removes_first_is_moved_by_the_plan_and_waits_for_nobody() {
    let mut desk = desk();
    desk.wished = Some(3);
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 3, String::new()));
    assert_eq!(desk.kinds()[..2], ["move-leader", "deregister"]);
    assert!(desk.sim.oracle().findings().is_empty(), "{:?}", desk.sim.oracle().findings());
}

#[test]
fn what_comes_back_in_the_place_of_a_member_that_was_struck_is_stopped_all_the_same() {
    let mut desk = desk();
    desk.wished = Some(3);
    desk.until_about_to("barrier");
    // Evicted, and made anew by the platform under the same name.
    desk.lens = Some(Box::new(|observation| {
        let Reading::Value { value: slots, .. } = &mut observation.platform.slots else { return };
        for slot in slots.iter_mut().filter(|slot| &*slot.slot == "db-4") {
            (slot.incarnation, slot.running) = ("another".to_owned(), true);
        }
    }));
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 3, String::new()));
}

#[test]
fn a_shrinking_that_is_given_up_goes_on_where_nobody_knows_what_lies_on_the_volume_on_the_way_back() {
    let mut desk = desk();
    desk.wished = Some(3);
    desk.until("the first member to be gone", |desk| desk.sim.size() == 4);
    // As claims that a StatefulSet leaves behind.
    desk.lens = Some(Box::new(|observation| {
        let Reading::Value { value: vacant, .. } = &mut observation.platform.vacant else { return };
        vacant.iter_mut().for_each(|place| place.marker = Reading::gap(Gap::NotScraped, "a claim is there"));
    }));
    desk.say(Order::Cancel).unwrap();
    let (status, size, why) = desk.until_ended();
    assert_eq!((status, size), (PlanStatus::Done, 3), "{why}");
    assert!(why.contains("ZombieVolume"), "{why}");
}
