//! The examples that Kubernetes publishes for its horizontal pod autoscaler, with the numbers that stand there.
//!
//! *Docs* is <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/>, *API* the reference of
//! `autoscaling/v2`, *KEP* the proposal that brought `behavior`, `keps/sig-autoscaling/853-configurable-hpa-scale-velocity`
//! of `kubernetes/enhancements`. Where we differ on purpose, `policies/README.md` says so and a test here shows it.

use plimsoll_policy_sdk::Policy;
use plimsoll_policy_sdk::build::snapshot;
use plimsoll_policy_sdk::snapshot::{Behavior, Rate, RateKind, Rules, Sample, Select, SignalState};
use plimsoll_policy_target_utilization::TargetUtilization;
use serde_json::{Value, json};

const MINUTE_MS: u32 = 60_000;

fn pods(value: u32, period_seconds: u32) -> Rate {
    Rate { kind: RateKind::Members, value, period_seconds }
}

fn percent(value: u32, period_seconds: u32) -> Rate {
    Rate { kind: RateKind::Percent, value, period_seconds }
}

fn rules(window_s: u32, policies: &[Rate]) -> Rules {
    Rules {
        stabilization_window_seconds: Some(window_s),
        tolerance: None,
        policies: policies.to_vec(),
        select_policy: None,
    }
}

/// The HPA's defaults, which are not ours.
fn hpa() -> Behavior {
    Behavior {
        scale_up: rules(0, &[percent(100, 15), pods(4, 15)]),
        scale_down: rules(300, &[percent(100, 15)]),
    }
}

/// What one evaluation wishes for `size` members at this value of the signal.
fn once(behavior: &Behavior, size: u32, settings: &Value, value: f64) -> u32 {
    let input = snapshot().members(size).bounds(1, 1_000).settings(settings.clone());
    let input = input.behavior(behavior.clone()).signal("metric", [value]).build();
    let proposal = TargetUtilization::evaluate(&input).expect("a usable signal");
    proposal.sizes.members.expect("a wish")
}

/// The sizes of a target that follows every wish at once, looked at every `step_ms`, when the formula alone asks
/// for these.
fn follow(behavior: &Behavior, size: u32, step_ms: u32, asked: &[u32]) -> Vec<u32> {
    let mut behavior = behavior.clone();
    (behavior.scale_up.tolerance, behavior.scale_down.tolerance) = (Some(0.0), Some(0.0));
    let settings = json!({"signal": "metric", "target": 1, "type": "AverageValue"});
    let (mut size, mut state, mut sizes) = (size, None, Vec::new());
    let mut changes: Vec<(u32, u32, u32)> = Vec::new();
    for (cycle, asked) in (0_u32..).zip(asked) {
        let now_ms = cycle * step_ms;
        let mut input = snapshot().members(size).bounds(1, 1_000).settings(settings.clone());
        input = input.behavior(behavior.clone()).later_ms(now_ms).signal("metric", [f64::from(*asked)]);
        for (from, to, at_ms) in &changes {
            input = input.change(*from, *to, u64::from(now_ms - at_ms));
        }
        let proposal = TargetUtilization::evaluate(&input.state(state).build()).expect("a usable signal");
        let wished = proposal.sizes.members.expect("a wish");
        if wished != size {
            changes.push((size, wished, now_ms));
        }
        (size, state) = (wished, proposal.state);
        sizes.push(size);
    }
    sizes
}

/// Docs, "Algorithm details": `desired = ceil(current × value ÷ target)`; 200m of 100m doubles, 50m halves, and
/// nothing happens within a tenth of the target.
#[test]
fn the_formula_doubles_halves_and_tolerates_a_tenth() {
    let mut behavior = hpa();
    behavior.scale_down.stabilization_window_seconds = Some(0);
    let settings = json!({"signal": "metric", "target": 0.1});
    for (value, expected) in
        [(0.2, 8), (0.05, 2), (0.11, 4), (0.0901, 4), (0.1101, 5), (0.0899, 4), (0.07, 3)]
    {
        assert_eq!(once(&behavior, 4, &settings, value), expected, "4 at {value}");
    }
}

/// API, `HPAScalingRules.tolerance`: with a target of 100Mi, 5 % for scaling down and 1 % for scaling up, "scaling
/// will be triggered when the actual consumption falls below 95Mi or exceeds 101Mi".
#[test]
fn each_direction_has_its_own_tolerance() {
    let mut behavior = hpa();
    behavior.scale_down.stabilization_window_seconds = Some(0);
    behavior.scale_up.tolerance = Some(0.01);
    behavior.scale_down.tolerance = Some(0.05);
    let mebi = f64::from(1 << 20);
    let settings = json!({"signal": "metric", "target": 100.0 * mebi});
    for (value, expected) in [(101.0, 100), (101.01, 102), (95.0, 100), (94.99, 95)] {
        assert_eq!(once(&behavior, 100, &settings, value * mebi), expected, "100 at {value}Mi");
    }
}

/// Docs, "Scaling policies": 4 pods or 10 % a minute. "If there are 80 replicas and the target has to be scaled
/// down to 10 replicas then during the first step 8 replicas will be reduced. In the next iteration when the number
/// of replicas is 72, 10% of the pods is 7.2 but the number is rounded up to 8. [...] When the number of replicas
/// falls below 40 the first policy (Pods) is applied and 4 replicas will be reduced at a time."
#[test]
fn the_wider_of_two_rates_counts_unless_told_otherwise() {
    let mut behavior = hpa();
    behavior.scale_down = rules(0, &[pods(4, 60), percent(10, 60)]);
    let sizes = follow(&behavior, 80, MINUTE_MS, &[10; 15]);
    assert_eq!(sizes, [72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16, 12, 10, 10]);
}

/// Docs, "Example: limit scale down rate": 10 % and at most 5 pods a minute with `selectPolicy: Min`.
#[test]
fn the_narrower_of_two_rates_counts_with_min() {
    let mut behavior = hpa();
    behavior.scale_down = rules(0, &[percent(10, 60), pods(5, 60)]);
    behavior.scale_down.select_policy = Some(Select::Min);
    assert_eq!(follow(&behavior, 80, MINUTE_MS, &[1; 3]), [75, 70, 65], "five are fewer than a tenth");
    assert_eq!(follow(&behavior, 40, MINUTE_MS, &[1; 3]), [36, 32, 28], "a tenth is fewer than five");
}

/// Docs, "Example: disable scale down", and KEP, story 4.
#[test]
fn a_disabled_direction_stands_still_and_the_other_goes_on() {
    let mut behavior = hpa();
    behavior.scale_down = rules(0, &[]);
    behavior.scale_down.select_policy = Some(Select::Disabled);
    assert_eq!(follow(&behavior, 10, MINUTE_MS, &[1, 1, 12, 1]), [10, 10, 12, 12]);
}

/// Docs, "Default behavior": "4 pods or a 100% of the currently running replicas will be added every 15 seconds
/// till the HPA reaches its steady state"; down to the minimum after 300 s.
#[test]
fn the_defaults_of_the_hpa_do_what_they_do_there() {
    assert_eq!(follow(&hpa(), 1, 15_000, &[60; 6]), [5, 10, 20, 40, 60, 60]);
    let falls = follow(&hpa(), 20, MINUTE_MS, &[20, 1, 1, 1, 1, 1, 1]);
    assert_eq!(falls, [20, 20, 20, 20, 20, 1, 1], "twenty were wanted until five minutes ago");
}

/// KEP, stories 1 to 3: `1 -> 10 -> 100 -> 1000`; one pod less every ten minutes; one pod more every five.
#[test]
fn rates_hold_over_their_whole_period() {
    let mut behavior = hpa();
    behavior.scale_up = rules(0, &[percent(900, 60)]);
    behavior.scale_down = rules(0, &[pods(1, 600)]);
    assert_eq!(follow(&behavior, 1, MINUTE_MS, &[1_000; 4]), [10, 100, 1_000, 1_000]);
    let mut gradual = vec![999; 10];
    gradual.extend([998; 10]);
    gradual.push(997);
    assert_eq!(follow(&behavior, 1_000, MINUTE_MS, &[1; 21]), gradual);
    behavior.scale_up = rules(0, &[pods(1, 300)]);
    let slow = follow(&behavior, 1, MINUTE_MS, &[9; 16]);
    assert_eq!(slow, [2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 5]);
}

/// What was added and taken away within a period is counted against the size at its start, as the HPA's controller
/// counts its scale events.
#[test]
fn a_period_remembers_changes_in_both_directions() {
    let mut behavior = hpa();
    behavior.scale_up = rules(0, &[pods(4, 300)]);
    behavior.scale_down = rules(0, &[pods(2, 60)]);
    assert_eq!(follow(&behavior, 10, MINUTE_MS, &[14, 12, 20, 20]), [14, 12, 14, 14], "four more than ten");
}

/// KEP, story 5: a window of 600 s, a cycle a minute, and these recommendations: ten minutes of 10, then 9.
#[test]
fn the_greatest_recommendation_of_the_window_counts_for_shrinking() {
    let mut behavior = hpa();
    behavior.scale_down = rules(600, &[pods(5, 60)]);
    let sizes = follow(&behavior, 10, MINUTE_MS, &[10, 9, 8, 9, 9, 8, 9, 8, 9, 8, 7]);
    assert_eq!(sizes, [10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 9]);
}

/// KEP, story 6: a window of 300 s for growing. The example has six recommendations in the window, so the cycle is
/// 50 s here: both the HPA and we leave out one that is exactly 300 s old.
#[test]
fn the_least_recommendation_of_the_window_counts_for_growing() {
    let mut behavior = hpa();
    behavior.scale_up = rules(300, &[pods(20, 60)]);
    let sizes = follow(&behavior, 2, 50_000, &[2, 3, 19, 10, 3, 4, 7]);
    assert_eq!(sizes, [2, 2, 2, 2, 2, 2, 3]);
}

/// Docs, "Algorithm details": pods without metrics count as fully used for scaling down and as idle for scaling up.
/// A series cannot say how many members are missing in it, so we are stricter: it never shrinks the target, and
/// grows it by what is there.
#[test]
fn missing_samples_never_shrink() {
    let wishes = |value: f64| {
        let at_ms = snapshot().build().now.wall_ms;
        let input = snapshot().members(5).bounds(1, 1_000).settings(json!({"signal": "metric", "target": 1}));
        let input = input.behavior(hpa());
        let samples = vec![Sample { at_ms, value }];
        let input = input.signal_in_state("metric", SignalState::Partial, samples).build();
        TargetUtilization::evaluate(&input).map(|proposal| proposal.sizes.members).map_err(|r| r.reason.code)
    };
    assert_eq!(wishes(0.2), Err("PartialMetrics".to_owned()));
    assert_eq!(wishes(1.6), Ok(Some(8)));
}

/// Where we differ: the HPA takes a window that holds no earlier recommendation as agreement, and shrinks at the
/// first low figure. We want two in a row; a silence begins the window again.
#[test]
fn a_window_shorter_than_the_cycle_wants_two_wishes_in_a_row() {
    let mut behavior = hpa();
    behavior.scale_up = rules(0, &[percent(900, 60)]);
    behavior.scale_down = rules(30, &[percent(100, 15)]);
    let steady = follow(&behavior, 9, MINUTE_MS, &[9, 9, 3, 3, 9, 3, 4, 2, 2]);
    assert_eq!(steady, [9, 9, 9, 3, 9, 9, 4, 4, 2]);
    let begins = follow(&behavior, 9, MINUTE_MS, &[3, 3, 3]);
    assert_eq!(begins, [9, 9, 3], "how far apart evaluations are is known after the second one");
}

#[test]
fn a_silence_begins_a_short_window_again() {
    let settings = json!({"signal": "metric", "target": 1, "type": "AverageValue"});
    let mut behavior = hpa();
    behavior.scale_down = rules(30, &[percent(100, 15)]);
    let mut state = None;
    let mut wishes = Vec::new();
    // Every minute, one evaluation missed, then an hour of silence.
    for minute in [0, 1, 2, 4, 64, 65] {
        let input = snapshot().members(9).bounds(1, 99).settings(settings.clone()).behavior(behavior.clone());
        let input = input.later_ms(minute * MINUTE_MS).signal("metric", [3.0]).state(state).build();
        let proposal = TargetUtilization::evaluate(&input).expect("a usable signal");
        wishes.push(proposal.sizes.members.expect("a wish"));
        state = proposal.state;
    }
    assert_eq!(wishes, [9, 9, 3, 3, 9, 3]);
}
