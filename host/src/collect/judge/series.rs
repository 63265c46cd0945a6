//! Turns series into a signal: selects them, and checks that they are fresh, complete and finite.

use super::answer::{MAX_SKEW_MS, Parsed, Series};
use super::{Fault, excerpt, fault};
use crate::collect::definition::{Aggregation, SignalDefinition};
use plimsoll_wire::snapshot::{Sample, Signal, SignalState};
use std::collections::{BTreeMap, BTreeSet};

/// Judges the series that are `definition`'s.
pub(in crate::collect) fn judge_series(
    definition: &SignalDefinition,
    parsed: &Parsed,
    now_ms: i64,
) -> Signal {
    match merge(definition, parsed, now_ms) {
        Ok(merged) => weigh(definition, parsed, &merged, now_ms),
        Err(found) => fault(found.state, found.detail),
    }
}

/// One series made of all that are meant.
struct Merged {
    /// Each made of all series: what may be called whole.
    whole: Vec<Sample>,
    /// Each made of those series that had a point.
    any: Vec<Sample>,
    /// How many series there are.
    count: usize,
}

fn merge(definition: &SignalDefinition, parsed: &Parsed, now_ms: i64) -> Result<Merged, Fault> {
    let mine = select(definition, parsed)?;
    let windowed = mine.iter().map(|one| in_window(definition, parsed, one, now_ms));
    let windowed = windowed.collect::<Result<Vec<_>, _>>()?;
    let mut by_time: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (at_ms, value) in windowed.into_iter().flatten() {
        by_time.entry(at_ms).or_default().push(value);
    }
    let mut merged = Merged { whole: Vec::new(), any: Vec::new(), count: mine.len() };
    for (at_ms, values) in by_time {
        let sample = Sample { at_ms, value: aggregate(definition.aggregation, &values) };
        // Finite parts can add up to infinity.
        finite(sample.at_ms, sample.value)?;
        merged.any.push(sample);
        if values.len() == mine.len() {
            merged.whole.push(sample);
        }
    }
    let most = parsed.question.points().saturating_add(1);
    if u64::try_from(merged.any.len()).unwrap_or(u64::MAX) > most {
        return Err(Fault::malformed(format!(
            "{} points answer, asked for {most} at most",
            merged.any.len()
        )));
    }
    Ok(merged)
}

/// The series that are this target's.
fn select<'a>(definition: &SignalDefinition, parsed: &'a Parsed) -> Result<Vec<&'a Series>, Fault> {
    let absent = |detail: String| Fault { state: SignalState::Absent, detail };
    let mine: Vec<&Series> = match &definition.batch_by {
        Some(batch) => {
            let mine = parsed.labelled(&batch.label, &batch.value);
            if mine.is_empty() && !parsed.series.is_empty() {
                let (label, value, count) = (&batch.label, &batch.value, parsed.series.len());
                let labelled = parsed.series.iter().filter(|one| one.labels.contains_key(label)).count();
                return Err(absent(format!(
                    "none of {count} series has {label}={value:?}, {labelled} have the label at all; see `by ({label})` in the query"
                )));
            }
            mine
        }
        None => parsed.series.iter().collect(),
    };
    match (mine.as_slice(), definition.aggregation) {
        ([], _) => Err(absent(format!(
            "the query selects no series{}; see that its exporter is scraped",
            warned(parsed)
        ))),
        ([first, second, ..], None) => Err(Fault {
            state: SignalState::Ambiguous,
            detail: format!(
                "{} series answer, such as {} and {}; aggregate in the query or declare an aggregation",
                mine.len(),
                first.shown(),
                second.shown()
            ),
        }),
        ([_, ..], _) => Ok(mine),
    }
}

/// The usable points of one series: in the window, finite and, of a counter, since its last restart.
fn in_window(
    definition: &SignalDefinition,
    parsed: &Parsed,
    one: &Series,
    now_ms: i64,
) -> Result<Vec<(i64, f64)>, Fault> {
    if let Some((at_ms, _)) = one.points.iter().find(|(at_ms, _)| *at_ms > now_ms.saturating_add(MAX_SKEW_MS))
    {
        let ahead_s = at_ms.saturating_sub(now_ms) / 1_000;
        let detail = format!("a sample is {ahead_s} s in the future; synchronise the clocks");
        return Err(Fault { state: SignalState::Skewed, detail });
    }
    let question = &parsed.question;
    let start_ms = question.start_ms(question.end_ms(parsed.asked_ms));
    // A point of before the window is kept when it is all there is, so that it shows as stale, not as absent.
    let from = one.points.partition_point(|(at_ms, _)| *at_ms < start_ms);
    let from = from.min(one.points.len().saturating_sub(1));
    let points = &one.points[from..];
    for (at_ms, value) in points {
        finite(*at_ms, *value)?;
    }
    let after_restart = if definition.counter { last_restart(points) } else { 0 };
    Ok(points[after_restart..].to_vec())
}

fn finite(at_ms: i64, value: f64) -> Result<(), Fault> {
    if value.is_finite() {
        return Ok(());
    }
    let detail = format!("the sample at {} s is {value}", at_ms / 1_000);
    Err(Fault { state: SignalState::NotANumber, detail })
}

/// Where a counter was reset for the last time. What lies before is history of another life, which is as good
/// as none: a difference taken across the restart would be negative, and coverage tells how much is left.
fn last_restart(points: &[(i64, f64)]) -> usize {
    points.windows(2).rposition(|pair| pair[1].1 < pair[0].1).map_or(0, |before| before + 1)
}

fn aggregate(aggregation: Option<Aggregation>, values: &[f64]) -> f64 {
    let sum = || values.iter().sum::<f64>();
    match aggregation {
        // Without one there is a single series.
        None | Some(Aggregation::Sum) => sum(),
        #[expect(clippy::cast_precision_loss, reason = "a body of 1 MiB has far fewer than 2^52 series")]
        Some(Aggregation::Avg) => sum() / values.len() as f64,
        Some(Aggregation::Max) => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Some(Aggregation::Min) => values.iter().copied().fold(f64::INFINITY, f64::min),
    }
}

/// Fresh, and whole enough?
fn weigh(definition: &SignalDefinition, parsed: &Parsed, merged: &Merged, now_ms: i64) -> Signal {
    let Some(newest) = merged.any.last() else {
        return fault(SignalState::Absent, "the series that answer have no samples");
    };
    let age_ms = age(newest, now_ms);
    let coverage_permille = coverage(parsed, &merged.whole);
    let signal = |state, detail, samples| Signal {
        state,
        age_ms: Some(age_ms),
        coverage_permille: Some(coverage_permille),
        detail,
        optional: false,
        samples,
    };
    let limit_ms = definition.max_age_ms;
    if age_ms > limit_ms {
        let detail = format!("the newest sample is {age_ms} ms old, at most {limit_ms} ms are allowed");
        return signal(SignalState::Stale, detail, Vec::new());
    }
    let whole_is_fresh = merged.whole.last().is_some_and(|newest| age(newest, now_ms) <= limit_ms);
    let mut missing = Vec::new();
    if coverage_permille < definition.min_coverage_permille {
        let (least, points) = (definition.min_coverage_permille, parsed.question.points());
        missing.push(format!(
            "{} of {points} points, {coverage_permille} of the {least} thousandths asked for",
            merged.whole.len()
        ));
    }
    if !whole_is_fresh {
        missing.push(format!("not all of {} series have a fresh sample", merged.count));
    }
    if !parsed.warnings.is_empty() {
        missing.push(warned(parsed).trim_start_matches("; ").to_owned());
    }
    if missing.is_empty() {
        return signal(SignalState::Ok, String::new(), merged.whole.clone());
    }
    signal(SignalState::Partial, missing.join("; "), merged.any.clone())
}

/// How long ago, in milliseconds. One of the near future (within the allowed skew) is of now.
fn age(sample: &Sample, now_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(sample.at_ms)).unwrap_or(0)
}

/// Which part of the points asked for is there, in thousandths. Points crowded into one step count once.
fn coverage(parsed: &Parsed, samples: &[Sample]) -> u32 {
    let question = &parsed.question;
    let end_ms = question.end_ms(parsed.asked_ms);
    let (start_ms, step_ms) =
        (question.start_ms(end_ms), i64::try_from(question.step_ms.max(1)).unwrap_or(1));
    let slots: BTreeSet<i64> = samples
        .iter()
        .filter(|sample| sample.at_ms >= start_ms || question.window_ms == 0)
        .map(|sample| (sample.at_ms.saturating_sub(start_ms).saturating_add(step_ms / 2)) / step_ms)
        .collect();
    let filled = u64::try_from(slots.len()).unwrap_or(u64::MAX).min(question.points());
    u32::try_from(filled.saturating_mul(1_000) / question.points()).unwrap_or(1_000)
}

fn warned(parsed: &Parsed) -> String {
    match parsed.warnings.first() {
        Some(first) => format!("; the source warns: {}", excerpt(first.as_bytes())),
        None => String::new(),
    }
}
