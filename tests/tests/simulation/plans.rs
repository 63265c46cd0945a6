//! Plans that are disturbed at each of their points: the daemon killed between any two effects, the wish turned,
//! the plan cancelled, parts of the world out of sight, calls that are applied and not answered.

use crate::flight::{CASES, Case, End, Flight, HIDDEN, each_case, gap, undisturbed};
use crate::worlds::{HOUR, MINUTE, SECOND, World};
use plimsoll_core::cycle::Order;
use plimsoll_core::observation::Observation;
use plimsoll_sim::faults::{Class, FaultSetup, PlannedFault};
use plimsoll_sim::pilot::Passage;
use plimsoll_sim::platform::Volumes;
use plimsoll_wire::journal::{PlanStatus, Verb};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

#[test]
fn killed_between_any_two_effects_a_plan_ends_where_it_would_have_ended() {
    each_case(|case| {
        let (effects, _) = undisturbed(case);
        println!("{case:?}: killed at {effects} points");
        for effect in 0..=effects {
            let mut flight = Flight::new(case);
            flight.pilot = flight.pilot.killed_before(effect);
            flight.settle();
            assert_eq!(flight.pilot.kills(), 1, "{case:?} at {effect}");
            assert_eq!(flight.end(), End::at(case.to), "{case:?} killed before effect {effect}");
            // A unit is done once: no second member comes or goes.
            let stops = flight.pilot.tally().effects.get("stop").copied().unwrap_or(0);
            assert!(
                stops <= u64::from(case.from.abs_diff(case.to)) + 1,
                "{case:?} at {effect}: {stops} stops"
            );
            let last = flight.statuses().last().copied();
            assert_eq!(last, Some((PlanStatus::Done, case.to)), "{case:?} killed before effect {effect}");
        }
    });
}

/// The sizes at which a plan may end when it is given up.
fn legal(case: Case) -> Vec<End> {
    let sizes = case.from.min(case.to)..=case.from.max(case.to);
    sizes.filter(|size| case.world != World::Quorum || size % 2 == 1).map(End::at).collect()
}

#[test]
fn a_wish_that_turns_at_any_tick_ends_at_the_size_that_is_wished_last() {
    each_case(|case| {
        let (_, took_ms) = undisturbed(case);
        for tick in 0..took_ms / (5 * SECOND) {
            let mut flight = Flight::new(case);
            flight.pass(tick * 5 * SECOND);
            flight.wished.store(case.from, Ordering::Relaxed);
            flight.settle();
            assert_eq!(
                flight.end(),
                End::at(case.from),
                "{case:?} turned at tick {tick}: {:?}",
                flight.statuses()
            );
        }
    });
}

#[test]
fn a_plan_that_is_cancelled_at_any_tick_ends_at_a_legal_size_with_everybody_well() {
    each_case(|case| {
        let (_, took_ms) = undisturbed(case);
        for tick in 0..took_ms / (5 * SECOND) {
            let mut flight = Flight::new(case);
            flight.pass(tick * 5 * SECOND);
            flight.wished.store(case.from, Ordering::Relaxed);
            flight.say(Order::Cancel);
            let until_ms = flight.sim.now_ms() + 30 * MINUTE;
            flight.pilot.run(&mut flight.sim, until_ms);
            let end = flight.end();
            assert!(legal(case).contains(&end), "{case:?} cancelled at tick {tick}: {end:?}");
        }
    });
}

#[test]
fn whatever_is_out_of_sight_at_any_tick_the_plan_waits_and_then_ends_where_it_would_have_ended() {
    each_case(|case| {
        let (_, took_ms) = undisturbed(case);
        for tick in 0..took_ms / (10 * SECOND) {
            for (what, hide) in HIDDEN {
                let mut flight = Flight::new(case);
                flight.pass(tick * 10 * SECOND);
                flight.pilot.look_through(Some(Box::new(hide)));
                flight.pass(40 * SECOND);
                flight.pilot.look_through(None);
                flight.settle();
                assert_eq!(flight.end(), End::at(case.to), "{case:?}, {what} hidden at tick {tick}");
            }
        }
    });
}

#[test]
fn nothing_is_done_that_cannot_be_taken_back_while_the_members_are_out_of_sight() {
    each_case(|case| {
        let mut flight = Flight::new(case);
        flight.pilot.look_through(Some(Box::new(|seen: &mut Observation| seen.system.members = gap())));
        flight.pass(HOUR);
        assert_eq!(flight.pilot.tally().effects, BTreeMap::new(), "{case:?}");
    });
}

#[test]
fn a_call_that_is_applied_and_not_answered_or_lost_or_refused_is_done_once_in_the_end() {
    each_case(|case| {
        let mut verbs: BTreeSet<String> = BTreeSet::new();
        let mut plain = Flight::new(case);
        plain.settle();
        verbs.extend(plain.pilot.tally().effects.keys().cloned());
        assert!(verbs.len() >= 2, "{verbs:?}");
        for verb in verbs {
            for passage in [Passage::Unanswered, Passage::Lost, Passage::Refused] {
                let mut flight = Flight::new(case);
                let (mut left, name) = (1, verb.clone());
                flight.pilot.speak_over(Some(Box::new(move |call: &Verb| {
                    let chosen = call.kind() == name && left > 0;
                    left -= i32::from(chosen);
                    if chosen { passage } else { Passage::Through }
                })));
                flight.settle();
                assert_eq!(flight.end(), End::at(case.to), "{case:?}: {verb} {passage:?}");
                assert_eq!(flight.statuses(), [(PlanStatus::Done, case.to)], "{case:?}: {verb} {passage:?}");
            }
        }
    });
}

#[test]
fn a_member_that_has_died_for_good_is_the_one_that_goes_once_others_hold_all_that_it_held() {
    for case in CASES.into_iter().filter(|case| case.to < case.from) {
        let lost = PlannedFault { class: Class::MemberLost, at_ms: SECOND, for_ms: 0 };
        let mut flight = Flight::with(case, Volumes::SetAside, FaultSetup::Planned(vec![lost]));
        flight.settle();
        assert_eq!(flight.end(), End::at(case.to), "{case:?}: {:?}", flight.pilot.state().status());
        assert_eq!(flight.statuses().last(), Some(&(PlanStatus::Done, case.to)), "{case:?}");
    }
}
