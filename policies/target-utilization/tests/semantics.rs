//! What users of the HPA expect, situation by situation.

use plimsoll_policy_sdk::build::{Builder, snapshot};
use plimsoll_policy_sdk::journal::PlanStatus;
use plimsoll_policy_sdk::snapshot::{Behavior, Rate, RateKind, Rules, Sample, Select, SignalState};
use plimsoll_policy_sdk::{Policy, Proposal, Snapshot};
use plimsoll_policy_target_utilization::TargetUtilization;
use serde_json::{Value, json};

fn at_70_percent() -> Value {
    json!({"signal": "cpu", "target": 0.7})
}

/// No stabilisation and no rates, so that one evaluation shows the rule under test.
fn prompt() -> Behavior {
    let rates = vec![Rate { kind: RateKind::Percent, value: 100_000, period_seconds: 1 }];
    let rules = Rules {
        stabilization_window_seconds: Some(0),
        tolerance: None,
        policies: rates,
        select_policy: None,
    };
    Behavior { scale_up: rules.clone(), scale_down: rules }
}

fn bare(members: u32) -> Builder {
    snapshot().members(members).bounds(1, 1_000).settings(at_70_percent()).behavior(prompt())
}

fn evaluate(input: &Snapshot) -> Result<Proposal, String> {
    TargetUtilization::evaluate(input).map_err(|refusal| refusal.reason.code)
}

fn members(input: &Snapshot) -> Result<u32, String> {
    let proposal = evaluate(input)?;
    proposal.sizes.members.ok_or_else(|| "no wish".to_owned())
}

fn code(input: &Snapshot) -> String {
    evaluate(input).map_or_else(|code| code, |proposal| proposal.reason.code)
}

#[test]
fn wishes_the_smallest_size_that_brings_the_signal_to_its_target() {
    for (size, value, expected) in
        [(3, 1.4, 6), (3, 1.0, 5), (5, 0.35, 3), (5, 0.42, 3), (5, 0.43, 4), (10, 0.07, 1), (1, 70.0, 100)]
    {
        assert_eq!(members(&bare(size).signal("cpu", [value]).build()), Ok(expected), "{size} at {value}");
    }
}

#[test]
fn divides_a_sum_by_each_members_share() {
    let settings = json!({"signal": "requests", "target": 100, "type": "AverageValue"});
    for (size, value, expected) in
        [(3, 550.0, 6), (3, 310.0, 3), (5, 120.0, 2), (3, 600.0, 6), (3, 600.001, 7)]
    {
        let input = bare(size).settings(settings.clone()).signal("requests", [value]).build();
        assert_eq!(members(&input), Ok(expected), "{size} at {value}");
    }
}

#[test]
fn ignores_a_difference_within_the_tolerance_of_its_direction() {
    let mut behavior = prompt();
    behavior.scale_up.tolerance = Some(0.05);
    behavior.scale_down.tolerance = Some(0.5);
    for (value, expected) in [(0.735, 10), (0.74, 11), (0.35, 10), (0.34, 5)] {
        let input = bare(10).behavior(behavior.clone()).signal("cpu", [value]).build();
        assert_eq!(members(&input), Ok(expected), "{value}");
    }
    for (value, expected) in [(0.77, 10), (0.78, 12), (0.63, 10), (0.62, 9)] {
        assert_eq!(members(&bare(10).signal("cpu", [value]).build()), Ok(expected), "{value} by default");
    }
}

#[test]
fn aggregates_the_samples_of_its_window_only() {
    for (aggregate, window, expected) in
        [("avg", "30s", 4), ("max", "30s", 6), ("last", "30s", 3), ("max", "45s", 9), ("avg", "1s", 3)]
    {
        let settings =
            json!({"signal": "cpu", "target": 1, "aggregate": aggregate, "window": window, "type": "Value"});
        let input = bare(3).settings(settings).signal("cpu", [3.0, 2.0, 1.0, 0.9]).build();
        assert_eq!(members(&input), Ok(expected), "{aggregate} over {window}");
    }
}

#[test]
fn shrinks_at_a_real_zero() {
    let input = bare(5).bounds(3, 9).signal("cpu", [0.0; 20]).build();
    assert_eq!((members(&input), code(&input).as_str()), (Ok(3), "AtMinimum"));
}

#[test]
fn never_acts_on_a_signal_that_may_not_be_used() {
    for (state, expected) in [
        (SignalState::Stale, "StaleMetrics"),
        (SignalState::Absent, "NoMetrics"),
        (SignalState::NotANumber, "InvalidMetrics"),
        (SignalState::Ambiguous, "AmbiguousMetrics"),
        (SignalState::Skewed, "SkewedMetrics"),
        (SignalState::Malformed, "InvalidMetrics"),
        (SignalState::Unavailable, "MetricsUnavailable"),
    ] {
        // Samples lie there all the same: the state decides, not their presence.
        for value in [0.0, 9.0] {
            let at_ms = snapshot().build().now.wall_ms;
            let input = bare(5).signal_in_state("cpu", state, vec![Sample { at_ms, value }]).build();
            assert_eq!(evaluate(&input), Err(expected.to_owned()), "{state:?} at {value}");
        }
    }
}

#[test]
fn partial_data_may_grow_and_never_shrink() {
    let at_ms = snapshot().build().now.wall_ms;
    for (value, expected) in [(1.4, Ok(10)), (0.7, Err("PartialMetrics")), (0.0, Err("PartialMetrics"))] {
        let input =
            bare(5).signal_in_state("cpu", SignalState::Partial, vec![Sample { at_ms, value }]).build();
        assert_eq!(members(&input), expected.map_err(str::to_owned), "{value}");
    }
}

#[test]
fn a_figure_measured_at_another_size_does_not_count() {
    let old = |input: Builder| input.size_stable_ms(20_000).signal("cpu", [7.0, 7.0, 7.0, 0.7, 0.7]).build();
    assert_eq!(members(&old(bare(3))), Ok(3), "only the two samples since the change");
    let sum = json!({"signal": "cpu", "target": 1, "type": "AverageValue", "aggregate": "max"});
    assert_eq!(members(&old(bare(3).settings(sum))), Ok(7), "a sum does not depend on the size");
    let at_ms = snapshot().build().now.wall_ms - 20_001;
    let samples = vec![Sample { at_ms, value: 7.0 }];
    let input = bare(3).size_stable_ms(20_000).signal_in_state("cpu", SignalState::Ok, samples).build();
    assert_eq!(code(&input), "SizeChanged");
}

/// Feeds loads 60 seconds apart, the size following every wish.
fn follow(behavior: &Behavior, size: u32, loads: &[f64]) -> Vec<u32> {
    let (mut size, mut state, mut sizes) = (size, None, Vec::new());
    let settings = json!({"signal": "sum", "target": 1, "type": "AverageValue"});
    for (minute, load) in (0_u32..).zip(loads) {
        let input = snapshot().members(size).bounds(1, 100).settings(settings.clone());
        let input = input.behavior(behavior.clone()).later_ms(minute * 60_000).signal("sum", [*load]);
        let proposal = evaluate(&input.state(state).build()).expect("a usable signal");
        size = proposal.sizes.members.expect("a wish");
        state = proposal.state;
        sizes.push(size);
    }
    sizes
}

#[test]
fn shrinks_only_to_the_most_that_was_wanted_in_the_window() {
    let mut behavior = prompt();
    behavior.scale_down.stabilization_window_seconds = Some(180);
    let sizes = follow(&behavior, 5, &[5.0, 9.0, 4.0, 6.0, 4.0, 4.0, 4.0, 2.0, 2.0, 2.0]);
    assert_eq!(sizes, [5, 9, 9, 9, 6, 6, 4, 4, 4, 2]);
}

#[test]
fn grows_only_to_the_least_that_was_wanted_in_the_window() {
    let mut behavior = prompt();
    behavior.scale_up.stabilization_window_seconds = Some(120);
    assert_eq!(follow(&behavior, 3, &[3.0, 9.0, 7.0, 8.0, 3.0, 9.0]), [3, 3, 7, 7, 3, 3]);
}

#[test]
fn a_lost_state_begins_the_wait_again() {
    let mut behavior = prompt();
    behavior.scale_down.stabilization_window_seconds = Some(180);
    let kept =
        evaluate(&bare(5).behavior(behavior.clone()).signal("cpu", [0.3]).build()).expect("a wish").state;
    let later =
        |state| bare(5).behavior(behavior.clone()).later_ms(180_000).signal("cpu", [0.3]).state(state);
    assert_eq!(
        members(&later(kept.clone()).build()),
        Ok(5),
        "the window has passed without an evaluation in it"
    );
    let mut other_boot = later(kept).build();
    other_boot.now.boot = "boot-2".into();
    for input in [later(None).build(), later(Some("2;1;1;;1=x;boot-1".to_owned())).build(), other_boot] {
        assert_eq!(code(&input), "ScaleDownStabilized");
        assert_eq!(members(&input), Ok(5));
    }
}

#[test]
fn a_long_window_keeps_a_small_state_and_forgets_no_peak() {
    let mut behavior = prompt();
    behavior.scale_down.stabilization_window_seconds = Some(86_400);
    let falling: Vec<f64> = (0_u32..300).map(|minute| f64::from(400 - minute)).collect();
    let mut state = None;
    for (minute, load) in (0_u32..).zip(&falling) {
        let settings = json!({"signal": "sum", "target": 1, "type": "AverageValue"});
        let input = bare(400).settings(settings).behavior(behavior.clone()).later_ms(minute * 60_000);
        let proposal = evaluate(&input.signal("sum", [*load]).state(state).build()).expect("a usable signal");
        assert_eq!(proposal.sizes.members, Some(400), "the first wish is in the window all the time");
        state = proposal.state;
    }
    assert!(state.is_some_and(|state| state.len() < 2_000));
}

#[test]
fn the_rates_count_from_the_size_at_the_start_of_their_period() {
    let rules = |select| Rules {
        stabilization_window_seconds: Some(0),
        tolerance: None,
        policies: vec![
            Rate { kind: RateKind::Members, value: 2, period_seconds: 60 },
            Rate { kind: RateKind::Percent, value: 50, period_seconds: 600 },
        ],
        select_policy: select,
    };
    for (select, load, expected) in [
        (None, 7.0, 15),
        (Some(Select::Max), 7.0, 15),
        (Some(Select::Min), 7.0, 12),
        (Some(Select::Disabled), 7.0, 10),
        (None, 0.1, 5),
        (Some(Select::Min), 0.1, 8),
        (Some(Select::Disabled), 0.1, 10),
    ] {
        let behavior = Behavior { scale_up: rules(select), scale_down: rules(select) };
        let input = bare(10).behavior(behavior).signal("cpu", [load]).build();
        assert_eq!(members(&input), Ok(expected), "{select:?} at {load}");
    }
    let behavior = Behavior { scale_up: rules(None), scale_down: rules(None) };
    let grown = bare(10).behavior(behavior.clone()).change(8, 10, 59_999).signal("cpu", [7.0]);
    assert_eq!(members(&grown.build()), Ok(12), "half of 8 in ten minutes");
    let grown = bare(10).behavior(behavior).change(6, 10, 60_000).signal("cpu", [7.0]);
    assert_eq!(members(&grown.build()), Ok(12), "two more in a minute");
}

#[test]
fn a_move_that_took_longer_than_a_rates_period_does_not_slow_down_the_next_one() {
    let rules = |period_seconds| Rules {
        stabilization_window_seconds: Some(0),
        tolerance: None,
        policies: vec![Rate { kind: RateKind::Percent, value: 100, period_seconds }],
        select_policy: None,
    };
    let behavior = Behavior { scale_up: rules(60), scale_down: rules(60) };
    // Four members came within half an hour, the last of them a second ago.
    let half_an_hour_ms = 1_800_000;
    let grown = bare(8).behavior(behavior.clone()).long_change(4, 8, 1_000, half_an_hour_ms);
    assert_eq!(members(&grown.clone().signal("cpu", [70.0]).build()), Ok(16), "eight doubled, and not four");
    assert_eq!(members(&bare(8).signal("cpu", [70.0]).behavior(behavior).change(4, 8, 1_000).build()), Ok(8));
    let mut untold = grown.signal("cpu", [70.0]).build();
    untold.history.changes[0].began_age_ms = 0;
    assert_eq!(members(&untold), Ok(8), "a beginning that is not told is the end");
}

#[test]
fn a_small_figure_keeps_its_digits_in_the_sentence() {
    let settings = json!({"signal": "latency", "target": 0.0004, "type": "Value"});
    let input = bare(5).settings(settings).signal("latency", [0.000_812_34]).build();
    let said = evaluate(&input).map(|proposal| proposal.reason.message);
    let told = "avg of latency over 120 s is 0.000812, target 0.0004: asks for 11, there are 5";
    assert_eq!(said, Ok(told.to_owned()));
}

#[test]
fn shrinks_by_two_members_or_a_tenth_an_hour_unless_told_otherwise() {
    let state = |size: u32| Some(format!("2;172000001;1;;172000000={size},172000001=1;boot-1"));
    for (size, expected) in [(5, 3), (20, 18), (100, 90)] {
        let input = snapshot().members(size).bounds(1, 1_000).settings(at_70_percent()).signal("cpu", [0.0]);
        assert_eq!(members(&input.clone().build()), Ok(size), "half an hour of patience");
        let input = input.state(state(1)).build();
        assert_eq!((members(&input), code(&input).as_str()), (Ok(expected), "ScaleDownLimit"), "{size}");
    }
}

#[test]
fn a_wish_stands_where_the_running_plan_ends() {
    let patient = |status| {
        let input = snapshot().members(4).bounds(1, 9).settings(at_70_percent()).plan(3, 5, status, 60_000);
        input.signal("cpu", [0.7]).build()
    };
    assert_eq!(members(&patient(PlanStatus::Running)), Ok(5), "fewer would do, but not yet for half an hour");
    assert_eq!(members(&patient(PlanStatus::Stopping)), Ok(4), "a plan that stops has no goal");
    let back = snapshot().members(4).bounds(1, 9).settings(at_70_percent());
    let back = back.plan(5, 3, PlanStatus::Running, 60_000).signal("cpu", [0.9]).build();
    assert_eq!(members(&back), Ok(6), "load that returns turns a shrinking plan back at once");
}

#[test]
fn the_answer_names_its_signal_and_is_the_same_bytes_every_time() {
    let input = serde_json::to_vec(&bare(3).signal("cpu", [1.0]).build()).expect("a snapshot");
    let answer = plimsoll_policy_sdk::program::answer::<TargetUtilization>(&input);
    assert_eq!(answer, plimsoll_policy_sdk::program::answer::<TargetUtilization>(&input));
    let text = String::from_utf8(answer).expect("text");
    assert_eq!(
        text,
        r#"{"sizes":{"members":5},"reason":{"code":"DemandAboveTarget","message":"avg of cpu over 120 s is 1, target 0.7: asks for 5, there are 3"},"signals":["cpu"],"state":"2;172800000;0;;;boot-1"}"#
    );
}
