//! What status names as the reason of the last decision: the cause, and nothing that only follows from it.

use crate::desk::{Desk, HOUR, MINUTE};
use plimsoll_core::observation::{Observation, Reading};
use plimsoll_wire::fact::Gap;
use plimsoll_wire::journal::PlanStatus;
use plimsoll_wire::record::Verdict;
use plimsoll_wire::snapshot::Lifecycle;

fn kill_the_last(seen: &mut Observation) {
    if let Reading::Value { value: rows, .. } = &mut seen.system.members {
        let row = rows.last_mut().unwrap();
        if let (Reading::Value { value: alive, .. }, Reading::Value { value: lifecycle, .. }) =
            (&mut row.alive, &mut row.lifecycle)
        {
            (*alive, *lifecycle) = (false, Lifecycle::Dead);
        }
    }
}

#[test]
fn of_several_equally_strong_findings_the_first_in_the_catalogue_is_the_reason() {
    let mut desk = Desk::quorum(3);
    desk.lens = Some(Box::new(kill_the_last));
    desk.wished = Some(5);
    desk.pass(5 * MINUTE);
    let last = desk.status().last_decision.unwrap();
    let strongest: Vec<&str> = last
        .judgement
        .violations
        .iter()
        .filter(|one| one.verdict == Verdict::Deny)
        .map(|one| &*one.kind)
        .collect();
    assert!(strongest.len() >= 2, "{strongest:?}");
    assert_eq!(last.reason, strongest[0]);
    assert_eq!(desk.condition("AbleToScale").1, strongest[0]);
}

#[test]
fn a_wish_for_the_present_size_is_no_change_and_is_not_judged() {
    let mut desk = Desk::quorum(3);
    desk.configure(|spec| spec.safety.leader_stable_ms = 24 * HOUR);
    desk.pass(5 * MINUTE);
    let last = desk.status().last_decision.unwrap();
    assert_eq!((&*last.reason, last.judgement.violations.len()), ("AtSize", 0), "{last:?}");
    assert!(desk.condition("AbleToScale").0);
    desk.wished = Some(5);
    desk.pass(MINUTE);
    assert_eq!(desk.reason(), "LeaderUnstable");
}

#[test]
fn while_a_plan_runs_the_plan_is_the_reason_whatever_it_makes_the_group_look_like() {
    for (from, to) in [(3, 5), (5, 3)] {
        let mut desk = Desk::quorum(from);
        desk.wished = Some(to);
        desk.until_plan(PlanStatus::Running);
        let before = desk.decisions().len();
        // A decision every second, so that one falls into each phase.
        desk.configure(|spec| spec.interval_ms = 1_000);
        desk.until_ended();
        let during = desk.decisions();
        assert!(during.len() > before + 20, "{from} to {to}: only {} decisions", during.len());
        let beside: Vec<_> =
            during[before..].iter().filter(|one| one.reason.code != "OperationInProgress").collect();
        assert!(beside.is_empty(), "{from} to {to}: {beside:#?}");
        for decision in &during[before..] {
            assert!(decision.reason.message.starts_with("a plan is under way: "), "{decision:?}");
            let kinds: Vec<&str> = decision.judgement.violations.iter().map(|one| &*one.kind).collect();
            assert!(kinds.iter().all(|kind| *kind == "OperationInProgress"), "{from} to {to}: {kinds:?}");
        }
    }
}

#[test]
fn a_target_that_is_being_scaled_is_able_to_scale() {
    let mut desk = Desk::quorum(3);
    desk.wished = Some(5);
    desk.until_about_to("promote");
    let (able, reason, _) = desk.condition("AbleToScale");
    assert_eq!((able, &*reason), (true, "OperationInProgress"));
    assert!(desk.condition("Moving").0);
}

#[test]
fn a_plan_carries_the_id_of_the_decision_that_it_carries_out() {
    let mut desk = Desk::quorum(3);
    desk.wished = Some(5);
    desk.until_plan(PlanStatus::Running);
    let plan = desk.plan().unwrap();
    let decided = desk.log.iter().find(|record| record.decision_id == plan.decision).expect("its record");
    let lines = plimsoll_core::explain::explain(decided);
    assert_eq!(lines.last().unwrap(), &format!("Decided to go from 3 to 5 by plan {}.", plan.id));
}

#[test]
fn a_target_of_unknown_size_is_not_ready_and_says_why() {
    let mut desk = Desk::quorum(3);
    assert_eq!(desk.condition("Ready").1, "NotObserved");
    desk.pass(MINUTE);
    assert_eq!(desk.condition("Ready"), (true, "Observed".to_owned(), String::new()));
    desk.lens = Some(Box::new(|seen| seen.system.members = Reading::gap(Gap::Error, "connection refused")));
    desk.pass(MINUTE);
    let (ready, reason, message) = desk.condition("Ready");
    assert_eq!((ready, &*reason), (false, "SizeUnknown"));
    assert!(message.ends_with("members of the system: connection refused"), "{message}");
    assert_eq!(desk.reason(), "Hold");
}
