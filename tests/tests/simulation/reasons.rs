//! A plan that does not go on says why, in words, at every moment.

use crate::flight::{CASES, Case, Flight, HIDDEN, undisturbed};
use crate::worlds::{HOUR, MINUTE, SECOND};
use plimsoll_sim::pilot::{Passage, Pilot};
use plimsoll_wire::journal::{PlanStatus, Verb};
use std::collections::BTreeSet;

/// What is wrong with what a target says of its plan; nothing where all is well.
pub(crate) fn silence(pilot: &Pilot, now_ms: u64) -> Option<String> {
    let status = pilot.state().status();
    let plan = status.plan.as_ref()?;
    if status.waiting_for.is_empty() {
        return Some(format!("plan {} → {}, {:?}: waits for nothing", plan.from(), plan.to(), plan.status));
    }
    let held = match plan.status {
        PlanStatus::Held | PlanStatus::Stopping => true,
        PlanStatus::Running | PlanStatus::AwaitingApproval | PlanStatus::Done | PlanStatus::Aborted => false,
    };
    if held && plan.why.is_empty() {
        return Some(format!("plan {} → {}, {:?}: no reason", plan.from(), plan.to(), plan.status));
    }
    // A look takes a while, and a daemon that was killed comes back first.
    let still_ms = now_ms.saturating_sub(plan.progressed.mono_ms);
    let late_ms = pilot.state().spec().safety.stall_ms + 2 * MINUTE;
    (plan.status == PlanStatus::Running && still_ms > late_ms).then(|| {
        format!(
            "plan {} → {} has been running for {still_ms} ms without progress, waiting for {:?}",
            plan.from(),
            plan.to(),
            status.waiting_for
        )
    })
}

/// Lets time pass and asks all the while.
fn listen(flight: &mut Flight, for_ms: u64, about: &str) {
    let end_ms = flight.sim.now_ms() + for_ms;
    while flight.sim.now_ms() < end_ms {
        flight.pass(7 * SECOND);
        let silence = silence(&flight.pilot, flight.sim.now_ms());
        assert_eq!(silence, None, "{about}");
    }
}

fn verbs(case: Case) -> BTreeSet<String> {
    let mut plain = Flight::new(case);
    plain.settle();
    plain.pilot.tally().effects.keys().cloned().collect()
}

#[test]
fn a_plan_whose_calls_never_work_holds_and_says_so() {
    for case in CASES {
        for verb in verbs(case) {
            for passage in [Passage::Lost, Passage::Refused] {
                let mut flight = Flight::new(case);
                let name = verb.clone();
                flight.pilot.speak_over(Some(Box::new(move |call: &Verb| {
                    if call.kind() == name { passage } else { Passage::Through }
                })));
                let about = format!("{case:?}: {verb} always {passage:?}");
                listen(&mut flight, HOUR, &about);
                let plan = flight.pilot.state().status().plan;
                assert_eq!(plan.map(|plan| plan.status), Some(PlanStatus::Held), "{about}");
            }
        }
    }
}

#[test]
fn a_plan_that_cannot_see_says_so_from_any_tick_on() {
    for case in CASES {
        let (_, took_ms) = undisturbed(case);
        for tick in 0..took_ms / (30 * SECOND) {
            for (what, hide) in HIDDEN {
                let mut flight = Flight::new(case);
                flight.pass(tick * 30 * SECOND);
                flight.pilot.look_through(Some(Box::new(hide)));
                listen(&mut flight, 45 * MINUTE, &format!("{case:?}: {what} hidden at tick {tick}"));
            }
        }
    }
}
