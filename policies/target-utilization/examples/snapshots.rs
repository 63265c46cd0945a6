//! Prints the 50 snapshots of `tests/data/snapshots-50.jsonl`, on which every twin of this policy must give the
//! same bytes:
//!
//! ```text
//! cargo run -q -p plimsoll-policy-target-utilization --example snapshots > tests/data/snapshots-50.jsonl
//! cargo run -q -p plimsoll-policy-target-utilization --example snapshots answers > tests/data/answers-50.jsonl
//! ```
//!
//! Every situation has a target and a boot of its own, so that a state carried from another one is lost.

use plimsoll_policy_sdk::build::{Builder, snapshot};
use plimsoll_policy_sdk::journal::PlanStatus;
use plimsoll_policy_sdk::snapshot::{Behavior, Rate, RateKind, Rules, Sample, Select, SignalState};
use plimsoll_policy_sdk::{Fact, Gap, Policy, Snapshot, program::answer};
use plimsoll_policy_target_utilization::TargetUtilization;
use serde_json::{Value, json};

fn main() {
    let answers = std::env::args().nth(1).is_some_and(|word| word == "answers");
    for snapshot in all() {
        let line = serde_json::to_vec(&snapshot).unwrap_or_default();
        let line = if answers { answer::<TargetUtilization>(&line) } else { line };
        println!("{}", String::from_utf8_lossy(&line));
    }
}

/// All situations, in order.
pub fn all() -> Vec<Snapshot> {
    let mut all = Vec::new();
    plain(&mut all);
    silent(&mut all);
    wrong(&mut all);
    bounded(&mut all);
    planned(&mut all);
    carried(&mut all);
    all
}

fn cpu() -> Value {
    json!({"signal": "cpu", "target": 0.7})
}

fn case(name: &str) -> Builder {
    snapshot().named(name).settings(cpu())
}

/// No stabilisation and wide rates, so that one evaluation shows the bare formula.
fn prompt() -> Behavior {
    let rates = vec![Rate { kind: RateKind::Percent, value: 1_000, period_seconds: 1 }];
    let rules = Rules {
        stabilization_window_seconds: Some(0),
        tolerance: None,
        policies: rates,
        select_policy: None,
    };
    Behavior { scale_up: rules.clone(), scale_down: rules }
}

/// The formula, tolerance, aggregates and units.
fn plain(all: &mut Vec<Snapshot>) {
    let bare = |name: &str| case(name).behavior(prompt());
    all.push(bare("grows").signal("cpu", [0.9, 1.0, 1.1]).build());
    all.push(bare("shrinks").members(5).signal("cpu", [0.2, 0.25, 0.3]).build());
    all.push(bare("just-within").signal("cpu", [0.77]).build());
    all.push(bare("just-beyond").signal("cpu", [0.7700001]).build());
    all.push(bare("whole-quotient").members(5).signal("cpu", [0.42]).build());
    all.push(bare("real-zero").members(5).signal("cpu", [0.0, 0.0, 0.0]).build());
    let max = json!({"signal": "cpu", "target": 0.7, "aggregate": "max", "window": "30s"});
    all.push(bare("peak").settings(max).signal("cpu", [5.0, 0.5, 1.3, 0.6]).build());
    let last = json!({"signal": "cpu", "target": 0.7, "aggregate": "last"});
    all.push(bare("newest").settings(last).signal("cpu", [0.1, 0.1, 1.4]).build());
    let share = json!({"signal": "requests", "target": 1500, "type": "AverageValue"});
    all.push(bare("sum").settings(share.clone()).signal("requests", [7_200.5, 7_400.25]).build());
    all.push(bare("sum-within").settings(share.clone()).members(5).signal("requests", [7_000.0]).build());
    all.push(bare("sum-of-none").settings(share).members(0).signal("requests", [4_000.0]).build());
    let huge = json!({"signal": "bytes", "target": 1e12, "type": "AverageValue"});
    all.push(bare("huge").settings(huge).bounds(1, 4_000_000_000).signal("bytes", [1e300]).build());
    let odd = "cpu <p99> & \"q\" \\ é 日本";
    let settings = json!({"signal": odd, "target": 1e-4 / 3.0});
    all.push(bare("odd-name").settings(settings).signal(odd, [1e-4 + 2e-4, 2e-4 / 3.0]).build());
}

/// What is not known never shrinks anything.
fn silent(all: &mut Vec<Snapshot>) {
    let states = [
        SignalState::Stale,
        SignalState::Absent,
        SignalState::NotANumber,
        SignalState::Ambiguous,
        SignalState::Skewed,
        SignalState::Malformed,
        SignalState::Unavailable,
    ];
    for (index, state) in states.into_iter().enumerate() {
        let mut input = case(&format!("silent-{index}")).signal_in_state("cpu", state, Vec::new()).build();
        if let Some(signal) = input.signals.get_mut("cpu").filter(|_| index % 2 == 0) {
            signal.detail = format!("the source said \"no\" <{index}>");
        }
        all.push(input);
    }
    let now_ms = snapshot().build().now.wall_ms;
    let at = |age_ms: i64, value: f64| Sample { at_ms: now_ms - age_ms, value };
    let partial = |name: &str, value: f64| {
        case(name).behavior(prompt()).signal_in_state("cpu", SignalState::Partial, vec![at(0, value)]).build()
    };
    all.push(partial("partial-grows", 1.0));
    all.push(partial("partial-shrinks", 0.1));
    all.push(case("no-signal").build());
    all.push(case("no-samples").signal_in_state("cpu", SignalState::Ok, Vec::new()).build());
    all.push(case("old").signal_in_state("cpu", SignalState::Ok, vec![at(120_001, 0.1)]).build());
    all.push(case("negative").signal("cpu", [0.5, -0.1]).build());
    let before = vec![at(60_000, 0.1), at(45_000, 0.1)];
    all.push(
        case("just-grown").size_stable_ms(30_000).signal_in_state("cpu", SignalState::Ok, before).build(),
    );
    all.push(case("unknown-size").unknown_size(Gap::Conflicting).signal("cpu", [0.1]).build());
    let mut without = case("without-size").signal("cpu", [0.1]).build();
    without.sizes.members = Fact::NotApplicable;
    all.push(without);
}

/// Bad settings and another version.
fn wrong(all: &mut Vec<Snapshot>) {
    let settings = [
        json!(null),
        json!({"signal": "cpu", "target": 0.7, "tolerance": 0.1, "Window": "5m"}),
        json!({"signal": "", "target": -1, "type": "value", "window": "5 m", "aggregate": 3}),
        json!(["cpu", 0.7]),
    ];
    for (index, settings) in settings.into_iter().enumerate() {
        all.push(case(&format!("wrong-{index}")).settings(settings).signal("cpu", [0.7]).build());
    }
    let mut behavior = prompt();
    behavior.scale_up.tolerance = Some(-0.5);
    behavior.scale_down.policies.push(Rate { kind: RateKind::Members, value: 1, period_seconds: 0 });
    all.push(case("wrong-behavior").behavior(behavior).signal("cpu", [0.7]).build());
    let mut next = case("next-version").signal("cpu", [0.7]).build();
    next.format_version = plimsoll_policy_sdk::FORMAT_VERSION + 1;
    all.push(next);
}

/// Bounds and rates.
fn bounded(all: &mut Vec<Snapshot>) {
    let bare = |name: &str| case(name).behavior(prompt());
    all.push(bare("at-maximum").bounds(3, 7).signal("cpu", [9.0]).build());
    all.push(bare("at-minimum").members(5).bounds(3, 7).signal("cpu", [0.1]).build());
    all.push(case("default-growth").members(2).bounds(1, 50).signal("cpu", [30.0]).build());
    let rules = |kind, value, period_seconds, select_policy| Rules {
        stabilization_window_seconds: Some(0),
        tolerance: Some(0.0),
        policies: vec![
            Rate { kind, value, period_seconds },
            Rate { kind: RateKind::Members, value: 1, period_seconds: 60 },
        ],
        select_policy,
    };
    let behavior = Behavior {
        scale_up: rules(RateKind::Percent, 25, 600, Some(Select::Min)),
        scale_down: rules(RateKind::Percent, 30, 600, Some(Select::Max)),
    };
    let rated = |name: &str| case(name).bounds(1, 100).members(10).behavior(behavior.clone());
    all.push(rated("least-growth").long_change(9, 10, 300_000, 400_000).signal("cpu", [2.0]).build());
    all.push(
        rated("most-shrinking").change(14, 12, 500_000).change(12, 10, 70_000).signal("cpu", [0.1]).build(),
    );
    let mut disabled = behavior.clone();
    disabled.scale_down.select_policy = Some(Select::Disabled);
    all.push(case("disabled").behavior(disabled).signal("cpu", [0.1]).build());
}

/// A wish is compared with where the running plan ends.
fn planned(all: &mut Vec<Snapshot>) {
    let bare = |name: &str| case(name).members(4).behavior(prompt());
    let turns = bare("turns-back").plan(5, 3, PlanStatus::Running, 40_000).signal("cpu", [0.9]);
    all.push(turns.build());
    let mut rates = Behavior::default();
    rates.scale_up.policies = vec![Rate { kind: RateKind::Members, value: 2, period_seconds: 300 }];
    let goes_on = case("goes-on").members(4).behavior(rates).plan(3, 5, PlanStatus::Held, 40_000);
    all.push(goes_on.signal("cpu", [1.6]).build());
}

/// Load that comes and goes, with the state carried from one evaluation to the next.
fn carried(all: &mut Vec<Snapshot>) {
    let mut behavior = prompt();
    behavior.scale_up.stabilization_window_seconds = Some(60);
    behavior.scale_down.stabilization_window_seconds = Some(120);
    let mut state = Some("not a state".to_owned());
    let loads = [0.7, 1.4, 1.5, 1.2, 0.3, 0.2, 0.2];
    for (minute, load) in (0_u32..).zip(loads) {
        let input = case("carried").behavior(behavior.clone()).later_ms(minute * 45_000);
        let input = input.signal("cpu", [load]).state(state.clone()).build();
        if let Ok(proposal) = TargetUtilization::evaluate(&input) {
            state = proposal.state;
        }
        all.push(input);
    }
}
