//! Where plans that are given up come to rest: back where that can be, onward where not.

use crate::flight::{Case, End, Flight, undisturbed};
use crate::worlds::{MINUTE, SECOND, World};
use plimsoll_core::cycle::Order;
use plimsoll_sim::faults::FaultSetup;
use plimsoll_sim::platform::Volumes;
use plimsoll_wire::journal::PlanStatus;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

const SHRINKS: Case = Case { world: World::Quorum, from: 5, to: 3 };

/// The wish turns back when the first of two members is past saving, and its volume will bar its place.
fn stranded() -> Flight {
    let mut flight = Flight::with(SHRINKS, Volumes::Keep, FaultSetup::None);
    let gone = |flight: &Flight| {
        let plan = flight.pilot.journal().and_then(|journal| journal.plan.as_ref());
        plan.is_some_and(|plan| plan.point_of_no_return)
    };
    while !gone(&flight) {
        flight.pass(SECOND);
    }
    // A person's wish is decided on at once.
    flight.say(Order::Scale { members: Some(5) });
    flight
}

#[test]
fn a_plan_whose_way_back_is_barred_by_a_removed_members_volume_goes_onward_to_the_next_legal_size() {
    let mut flight = stranded();
    flight.settle();
    assert_eq!(flight.end(), End::at(3), "{:?}", flight.pilot.state().status());
    let history = &flight.pilot.journal().unwrap().history;
    let ended = history.last().unwrap();
    assert_eq!((ended.status, ended.ended_at.members), (PlanStatus::Done, Some(3)), "{history:?}");
    for word in ["the way from 4 to 5 is barred", "ZombieVolume", "it goes to 3"] {
        assert!(ended.why.contains(word), "{history:?}");
    }
}

#[test]
fn a_plan_with_both_ways_barred_keeps_its_place_and_says_why_until_one_is_clear() {
    let mut flight = stranded();
    while flight.sim.size() != 4 {
        flight.pass(SECOND);
    }
    flight.pilot.look_through(Some(Box::new(|seen| {
        // Who leads is out of sight: nobody may be removed.
        if let plimsoll_core::observation::Reading::Value { value, .. } = &mut seen.system.groups {
            for group in value.iter_mut() {
                group.leader = crate::flight::gap();
            }
        }
    })));
    flight.pass(40 * MINUTE);
    let status = flight.pilot.state().status();
    let plan = status.plan.clone().unwrap();
    assert_eq!((plan.status, plan.from()), (PlanStatus::Stopping, 4), "{status:?}");
    assert!(!plan.why.is_empty() && !status.waiting_for.is_empty(), "{status:?}");
    flight.pilot.look_through(None);
    flight.settle();
    assert_eq!(flight.end(), End::at(3));
}

#[test]
fn a_wish_that_turns_at_any_tick_never_leaves_a_group_at_an_illegal_size_whatever_becomes_of_volumes() {
    let (_, took_ms) = undisturbed(SHRINKS);
    for volumes in [Volumes::Keep, Volumes::Owed, Volumes::SetAside] {
        let mut ends = BTreeSet::new();
        for tick in 0..took_ms / (10 * SECOND) {
            let mut flight = Flight::with(SHRINKS, volumes, FaultSetup::None);
            flight.pass(tick * 10 * SECOND);
            flight.wished.store(5, Ordering::Relaxed);
            flight.settle();
            let end = flight.end();
            assert!(
                end == End::at(5) || (volumes == Volumes::Keep && end == End::at(3)),
                "{volumes:?} turned at tick {tick}: {end:?}, {:?}",
                flight.pilot.state().status().waiting_for
            );
            ends.insert(end.slots);
        }
        assert!(ends.contains(&5), "{volumes:?}: {ends:?}");
        assert_eq!(ends.contains(&3), volumes == Volumes::Keep, "{ends:?}");
    }
}
