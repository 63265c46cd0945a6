//! Systems whose unit of scale has several members: they rest only at whole units, and each function counts all members.

use crate::desk::{Desk, hasty, spec};
use plimsoll_core::cycle::Order;
use plimsoll_core::plan::preview::{Asked, preview};
use plimsoll_core::profile::SIM_SHARDED;
use plimsoll_wire::Snapshot;
use plimsoll_wire::journal::PlanStatus;
use plimsoll_wire::profile::Profile;
use plimsoll_wire::record::Wisher;
use std::sync::{Arc, LazyLock};

static PAIRS: LazyLock<Arc<Profile>> =
    LazyLock::new(|| Arc::new(Profile { unit: 2, ..Profile::clone(&SIM_SHARDED) }));

fn pairs(members: u32) -> Desk {
    Desk::new(members, spec(&PAIRS, hasty()))
}

#[test]
fn a_plan_ends_when_all_members_of_its_units_have_come_or_gone() {
    for (from, to, verb) in [(4, 6, "start"), (6, 4, "stop")] {
        let mut desk = pairs(from);
        desk.wished = Some(to);
        assert_eq!(desk.until_ended(), (PlanStatus::Done, to, String::new()));
        assert_eq!(desk.sim.size(), to);
        assert_eq!(desk.kinds().iter().filter(|kind| **kind == verb).count(), 2, "{:?}", desk.kinds());
        assert!(desk.sim.oracle().findings().is_empty(), "{:?}", desk.sim.oracle().findings());
    }
}

#[test]
fn a_plan_that_is_given_up_between_two_members_of_a_unit_goes_back_to_a_whole_one() {
    let mut desk = pairs(6);
    desk.wished = Some(4);
    desk.until("the first member to be gone", |desk| desk.sim.size() == 5);
    desk.wished = Some(6);
    desk.say(Order::Cancel).unwrap();
    let (_, size, why) = desk.until_ended();
    assert!(size.is_multiple_of(2), "{size}: {why}");
}

#[test]
fn a_preview_shows_each_member_of_a_unit() {
    let base = include_str!("../../../../tests/scenarios/base/sharded-at-rest.json");
    let mut snapshot: Snapshot = serde_json::from_str(base).unwrap();
    snapshot.profile = Arc::clone(&PAIRS);
    let shown = preview(&snapshot, Asked { to: 4, by: Wisher::Person, rests_on: None });
    let plan = shown.plan.expect("a plan");
    let sizes: Vec<u32> = plan.units.iter().map(|unit| unit.size_after).collect();
    assert_eq!((plan.from, plan.to, sizes), (6, 4, vec![5, 4]));
}
