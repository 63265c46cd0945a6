//! `spec.behavior`, in the shape of the HPA, with far tighter defaults for scale-in.

use crate::config::problem::Sink;
use crate::config::raw::{Field, List, Scalar, raw};
use plimsoll_wire::snapshot::{Behavior, Rate, RateKind, Rules, Select};

/// The HPA allows an hour; data takes longer to move than pods take to start.
const MAX_WINDOW_SECONDS: u32 = 86_400;
/// More rates than this cannot be told apart by whoever reads them.
const MAX_RATES: usize = 16;

raw! {
    /// `spec.behavior` as it is written.
    struct RawBehavior {
        scale_up: RawRules = "scaleUp",
        scale_down: RawRules = "scaleDown",
    }
}

raw! {
    struct RawRules {
        window: Scalar = "stabilizationWindowSeconds",
        tolerance: Scalar = "tolerance",
        policies: List<RawRate> = "policies",
        select: Scalar = "selectPolicy",
    }
}

raw! {
    struct RawRate {
        kind: Scalar = "type",
        value: Scalar = "value",
        period: Scalar = "periodSeconds",
    }
}

/// What holds for growing where nothing is said: a minute's load counts, a member a minute or half as many
/// again, whichever is more.
fn default_up() -> Rules {
    Rules {
        stabilization_window_seconds: Some(60),
        tolerance: Some(0.1),
        policies: vec![
            Rate { kind: RateKind::Members, value: 1, period_seconds: 60 },
            Rate { kind: RateKind::Percent, value: 50, period_seconds: 60 },
        ],
        select_policy: Some(Select::Max),
    }
}

/// What holds for shrinking where nothing is said: half an hour's highest wish counts, and one legal step
/// of two members an hour, as a consensus group shrinks by two.
fn default_down() -> Rules {
    Rules {
        stabilization_window_seconds: Some(1_800),
        tolerance: Some(0.1),
        policies: vec![Rate { kind: RateKind::Members, value: 2, period_seconds: 3_600 }],
        select_policy: Some(Select::Min),
    }
}

/// The rules in force: each key that was written replaces its default.
pub(super) fn behavior(field: &Field<RawBehavior>, sink: &mut Sink) -> Behavior {
    let raw = field.get();
    Behavior {
        scale_up: rules(raw.and_then(|raw| raw.scale_up.get()), default_up(), sink),
        scale_down: rules(raw.and_then(|raw| raw.scale_down.get()), default_down(), sink),
    }
}

fn rules(raw: Option<&RawRules>, default: Rules, sink: &mut Sink) -> Rules {
    let Some(raw) = raw else { return default };
    let words = [("Max", Select::Max), ("Min", Select::Min), ("Disabled", Select::Disabled)];
    let window = raw.window.get().map(|window| seconds(window, 0, sink));
    // Beyond its whole goal nothing would ever be different enough.
    let tolerance = raw.tolerance.get().map(|tolerance| f64::from(permille(tolerance, sink)) / 1_000.0);
    let select = raw.select.get().map(|word| word.choice(&words, Select::Min, sink));
    Rules {
        stabilization_window_seconds: window.or(default.stabilization_window_seconds),
        tolerance: tolerance.or(default.tolerance),
        policies: raw.policies.get().map_or(default.policies, |list| rates(list, sink)),
        select_policy: select.or(default.select_policy),
    }
}

fn permille(scalar: &Scalar, sink: &mut Sink) -> u32 {
    u32::try_from(scalar.permille(0..=1_000, sink)).unwrap_or(1_000)
}

/// The HPA's seconds: a whole number without a unit.
fn seconds(scalar: &Scalar, floor: u32, sink: &mut Sink) -> u32 {
    if let Ok(meant) = crate::config::unit::duration(&scalar.text) {
        let message = format!("{} has a unit", crate::config::problem::quote(&scalar.text));
        sink.add(
            &scalar.at,
            message,
            format!("this key counts seconds, as the HPA's does: write `{}`", meant.as_secs()),
        );
        return floor;
    }
    scalar.count(floor..=MAX_WINDOW_SECONDS, sink)
}

fn rates(list: &List<RawRate>, sink: &mut Sink) -> Vec<Rate> {
    if list.items.len() > MAX_RATES {
        sink.add(&list.at, format!("has more than {MAX_RATES} rates"), "");
    }
    if list.items.is_empty() {
        let hint = "write one, or `selectPolicy: Disabled` to switch this direction off";
        sink.add(&list.at, "has no rate", hint);
    }
    list.items.iter().take(MAX_RATES).map(|raw| rate(raw, sink)).collect()
}

fn rate(raw: &RawRate, sink: &mut Sink) -> Rate {
    let words = [("Members", RateKind::Members), ("Pods", RateKind::Members), ("Percent", RateKind::Percent)];
    let kind = raw.kind.required(&raw.at, "type", "one of: Members, Percent", sink);
    let value = raw.value.required(&raw.at, "value", "how many members, or how many percent of them", sink);
    let period = raw.period.required(&raw.at, "periodSeconds", "in how many seconds", sink);
    Rate {
        kind: kind.map_or(RateKind::Members, |word| word.choice(&words, RateKind::Members, sink)),
        value: value.map_or(1, |value| value.count(1..=10_000, sink)),
        period_seconds: period.map_or(1, |period| seconds(period, 1, sink)),
    }
}
