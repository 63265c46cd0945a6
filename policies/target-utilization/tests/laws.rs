//! What holds for every input.

use plimsoll_policy_sdk::build::snapshot;
use plimsoll_policy_sdk::program::answer;
use plimsoll_policy_sdk::snapshot::{Behavior, Rate, RateKind, Rules, Sample, SignalState};
use plimsoll_policy_sdk::{Policy, Snapshot};
use plimsoll_policy_target_utilization::TargetUtilization;
use proptest::prelude::*;
use serde_json::json;

fn signal_state() -> impl Strategy<Value = SignalState> {
    prop_oneof![
        4 => Just(SignalState::Ok),
        2 => Just(SignalState::Partial),
        1 => Just(SignalState::Stale),
        1 => Just(SignalState::Skewed),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    let rate = (any::<bool>(), any::<u32>(), 1_u32..5_000).prop_map(|(members, value, period_seconds)| {
        Rate { kind: if members { RateKind::Members } else { RateKind::Percent }, value, period_seconds }
    });
    let rules = (proptest::option::of(0_u32..4_000), proptest::option::of(0.0_f64..2.0));
    (rules, proptest::collection::vec(rate, 0..3)).prop_map(|((window, tolerance), policies)| Rules {
        stabilization_window_seconds: window,
        tolerance,
        policies,
        select_policy: None,
    })
}

fn state() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        Just(None),
        ".{0,40}".prop_map(Some),
        (any::<u64>(), any::<u64>()).prop_map(|(at, size)| Some(format!("2;{at};1000;;{at}={size};boot-1"))),
        (0_u64..200_000_000, 0_u32..50)
            .prop_map(|(at, size)| Some(format!("2;{at};60000;{at}={size};;boot-1"))),
    ]
}

prop_compose! {
    fn any_snapshot()(
        size in 0_u32..40,
        (min, max) in (0_u32..20, 0_u32..60),
        value_type in any::<bool>(),
        target in prop_oneof![4 => 0.01_f64..10.0, 1 => proptest::num::f64::POSITIVE],
        values in proptest::collection::vec(prop_oneof![20 => 0.0_f64..10.0, 1 => proptest::num::f64::ANY], 0..6),
        signal_state in signal_state(),
        (up, down) in (rules(), rules()),
        change in proptest::option::of((0_u32..40, 0_u64..5_000_000)),
        state in state(),
    ) -> Snapshot {
        let kind = if value_type { "Value" } else { "AverageValue" };
        let now_ms = snapshot().build().now.wall_ms;
        let at = |index: usize| now_ms - 1_000 * index as i64;
        let samples = values.iter().enumerate().map(|(index, value)| Sample { at_ms: at(index), value: *value });
        let mut input = snapshot()
            .members(size)
            .bounds(min, max)
            .settings(json!({"signal": "load", "target": target, "type": kind}))
            .behavior(Behavior { scale_up: up, scale_down: down })
            .signal_in_state("load", signal_state, samples.rev().collect())
            .state(state);
        if let Some((from, age_ms)) = change {
            input = input.change(from, size, age_ms);
        }
        input.build()
    }
}

proptest! {
    #[test]
    fn any_snapshot_has_an_answer_within_the_owners_bounds(input in any_snapshot()) {
        if let Ok(proposal) = TargetUtilization::evaluate(&input) {
            let members = proposal.sizes.members.expect("a wish");
            let (min, max) = input.target.member_bounds();
            prop_assert!(members <= max);
            prop_assert!(members >= min.min(max));
            prop_assert!(proposal.state.is_some_and(|state| state.len() <= 16 * 1_024));
        }
    }

    #[test]
    fn whatever_is_not_known_never_shrinks(input in any_snapshot()) {
        let state = input.signals["load"].state;
        if let (true, Ok(proposal)) = (state != SignalState::Ok, TargetUtilization::evaluate(&input)) {
            prop_assert_eq!(state, SignalState::Partial);
            prop_assert!(proposal.sizes.members > input.sizes.members.value().copied());
        }
    }

    #[test]
    fn more_load_never_asks_for_fewer_members(input in any_snapshot(), index in 0_usize..6, more in 0.0_f64..5.0) {
        let mut loaded = input.clone();
        let samples = &mut loaded.signals.get_mut("load").expect("a signal").samples;
        if let Some(sample) = samples.get_mut(index) {
            sample.value += more;
        }
        let answers = (TargetUtilization::evaluate(&input), TargetUtilization::evaluate(&loaded));
        if let (Ok(before), Ok(after)) = answers {
            prop_assert!(after.sizes.members >= before.sizes.members);
        }
    }

    #[test]
    fn its_own_state_is_never_lost_on_the_way(input in any_snapshot()) {
        if let Ok(proposal) = TargetUtilization::evaluate(&input) {
            let mut again = input.clone();
            again.state = proposal.state.clone();
            let answer = TargetUtilization::evaluate(&again).expect("the same signal");
            prop_assert_eq!(answer.state, proposal.state);
        }
    }

    #[test]
    fn any_bytes_have_an_answer(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        let refused = answer::<TargetUtilization>(&input).starts_with(br#"{"refusal":"#);
        prop_assert!(refused);
    }
}
