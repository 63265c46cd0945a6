//! `spec.behavior`, in the shape of the HPA, with far tighter defaults for scale-in.

use crate::yaml::form;
use crate::yaml::problem::Sink;
use crate::yaml::raw::{Field, List, Scalar, raw};
use plimsoll_wire::snapshot::{Behavior, Rate, RateKind, Rules, Select};
use std::ops::RangeInclusive;

/// The HPA allows an hour; data takes longer to move than pods take to start.
const MAX_WINDOW_SECONDS: u32 = 86_400;
/// In thousandths: beyond its whole goal nothing would ever be different enough.
const TOLERANCE: RangeInclusive<u32> = 0..=1_000;
/// Members, or percent of them.
const VALUE: RangeInclusive<u32> = 1..=10_000;
const SELECTS: [(&str, Select); 3] =
    [("Max", Select::Max), ("Min", Select::Min), ("Disabled", Select::Disabled)];
const RATES: [(&str, RateKind); 3] =
    [("Members", RateKind::Members), ("Pods", RateKind::Members), ("Percent", RateKind::Percent)];
/// Nobody who reads more rates than this can keep them apart.
const MAX_RATES: usize = 16;

raw! {
    /// `spec.behavior` as it is written.
    struct RawBehavior {
        scale_up: RawRules = "scaleUp" => RawRules::form().doc("How fast it may grow. By default at once, and by four \
            members or as many again, whichever is more."),
        scale_down: RawRules = "scaleDown" => RawRules::form().doc("How fast it may shrink. By default half an hour's \
            highest wish counts, and two members an hour."),
    }
}

raw! {
    struct RawRules {
        window: Scalar = "stabilizationWindowSeconds" => form::whole(0..=MAX_WINDOW_SECONDS)
            .doc("Over how many seconds wishes are looked back at: the most careful of them counts."),
        tolerance: Scalar = "tolerance" => form::ratio(TOLERANCE)
            .doc("How far the load may be from its goal before a size is changed, such as `0.1` or `10%`."),
        policies: List<RawRate> = "policies" => form::some(RawRate::form(), MAX_RATES)
            .doc("At most so many members, or so many percent of them, in so many seconds."),
        select: Scalar = "selectPolicy" => form::words(&SELECTS)
            .doc("Which of `policies` counts: the one that allows the most, the one that allows the least, or none: this \
                direction is off."),
    }
}

raw! {
    struct RawRate {
        kind: Scalar = "type" => form::words(&RATES).required()
            .doc("What `value` counts."),
        value: Scalar = "value" => form::whole(VALUE).required().doc("How many."),
        period: Scalar = "periodSeconds" => form::whole(1..=MAX_WINDOW_SECONDS).required()
            .doc("In how many seconds."),
    }
}

/// What holds for growing where nothing is said: what the HPA does. A step that is too small is worse here than there,
/// since nothing can be added while it is carried out; STEP-7 and the places that there are say how large it may be.
fn default_up() -> Rules {
    Rules {
        stabilization_window_seconds: Some(0),
        tolerance: Some(0.1),
        policies: vec![
            Rate { kind: RateKind::Members, value: 4, period_seconds: 15 },
            Rate { kind: RateKind::Percent, value: 100, period_seconds: 15 },
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
    let window = raw.window.get().map(|window| seconds(window, 0, sink));
    let tolerance = raw.tolerance.get().map(|tolerance| f64::from(permille(tolerance, sink)) / 1_000.0);
    let select = raw.select.get().map(|word| word.choice(&SELECTS, Select::Min, sink));
    Rules {
        stabilization_window_seconds: window.or(default.stabilization_window_seconds),
        tolerance: tolerance.or(default.tolerance),
        policies: raw.policies.get().map_or(default.policies, |list| rates(list, sink)),
        select_policy: select.or(default.select_policy),
    }
}

fn permille(scalar: &Scalar, sink: &mut Sink) -> u32 {
    let (floor, ceiling) = TOLERANCE.into_inner();
    u32::try_from(scalar.permille(floor.into()..=ceiling.into(), sink)).unwrap_or(ceiling)
}

/// The HPA's seconds: a whole number without a unit.
fn seconds(scalar: &Scalar, floor: u32, sink: &mut Sink) -> u32 {
    if let Ok(meant) = crate::yaml::unit::duration(&scalar.text) {
        let message = format!("{} has a unit", crate::yaml::problem::quote(&scalar.text));
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
    let kind = raw.kind.required(&raw.at, "type", "one of: Members, Percent", sink);
    let value = raw.value.required(&raw.at, "value", "how many members, or how many percent of them", sink);
    let period = raw.period.required(&raw.at, "periodSeconds", "in how many seconds", sink);
    Rate {
        kind: kind.map_or(RateKind::Members, |word| word.choice(&RATES, RateKind::Members, sink)),
        value: value.map_or(1, |value| value.count(VALUE, sink)),
        period_seconds: period.map_or(1, |period| seconds(period, 1, sink)),
    }
}
