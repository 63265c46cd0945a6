//! Checks that no series of a signal is missing, by what was there before or by what its owner expects. The series that
//! remain could pass for a lower load.

use super::answer::{Parsed, Series};
use super::{Fault, excerpt};
use crate::collect::definition::{SignalDefinition, shown_ms};
use crate::collect::series::{missed_from_ms, reach_ms};
use plimsoll_wire::snapshot::{Signal, SignalState};
use std::collections::BTreeMap;

/// A signal as it is when its series are looked at too: what is missing makes it partial. Nothing becomes better.
pub(in crate::collect) fn judge_behind(
    signal: Signal,
    definition: &SignalDefinition,
    counted: &Result<Parsed, Fault>,
    now_ms: i64,
) -> Signal {
    let missing = match counted {
        Ok(parsed) => missing(definition, parsed, now_ms),
        Err(found) => Some(not_counted(&found.detail)),
    };
    match missing {
        Some(missing) => with_missing(signal, &missing),
        None => signal,
    }
}

/// The same where it cannot even be asked.
pub(in crate::collect) fn not_countable(signal: Signal, problem: &str) -> Signal {
    with_missing(signal, &not_counted(problem))
}

fn not_counted(problem: &str) -> String {
    format!("how many series are behind it is not known: {problem}; see `series` of the signal")
}

fn with_missing(mut signal: Signal, missing: &str) -> Signal {
    // Otherwise something worse was found.
    if signal.state.is_there() {
        signal.state = SignalState::Partial;
        let and = if signal.detail.is_empty() { "" } else { "; " };
        signal.detail = format!("{missing}{and}{}", signal.detail);
    }
    signal
}

/// One moment at which series were counted.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at_ms: i64,
    /// Of the count that falls short, how many there were, and how many there should have been.
    short: Option<(f64, f64)>,
}

fn missing(definition: &SignalDefinition, parsed: &Parsed, now_ms: i64) -> Option<String> {
    if let Some(warning) = parsed.warnings.first() {
        return Some(not_counted(&format!("the source warns: {}", excerpt(warning.as_bytes()))));
    }
    let moments = moments(definition, parsed, now_ms);
    let newest = moments.last()?;
    if let Some((counted, wanted)) = newest.short {
        return Some(shortage(definition, counted, wanted));
    }
    let reach_ms = i64::try_from(reach_ms(definition)).unwrap_or(i64::MAX);
    let reached: Vec<&Moment> =
        moments.iter().filter(|moment| moment.at_ms >= newest.at_ms.saturating_sub(reach_ms)).collect();
    let whole = reached.iter().filter(|moment| moment.short.is_none()).count();
    let (whole, all) = (u64::try_from(whole).unwrap_or(0), u64::try_from(reached.len()).unwrap_or(1));
    if whole * 1_000 < u64::from(definition.min_coverage_permille) * all {
        return Some(format!(
            "series behind it were missing at {} of {all} moments of the {} that it reaches back",
            all - whole,
            shown_ms(reach_ms.unsigned_abs())
        ));
    }
    None
}

fn shortage(definition: &SignalDefinition, counted: f64, wanted: f64) -> String {
    if counted < 1.0 && wanted <= 1.0 && definition.series.expect.is_none() {
        return "no series with a fresh sample is behind it".to_owned();
    }
    let those = match definition.series.expect {
        Some(_) => "expected".to_owned(),
        None => format!("of the last {}", shown_ms(definition.series.forget_ms)),
    };
    format!("{counted} of the {wanted} series {those} are behind it")
}

/// What was counted at each moment that counts, oldest first; the newest is always there.
fn moments(definition: &SignalDefinition, parsed: &Parsed, now_ms: i64) -> Vec<Moment> {
    let question = &parsed.question;
    let end_ms = question.end_ms(parsed.asked_ms);
    let step_ms = i64::try_from(question.step_ms.max(1)).unwrap_or(i64::MAX);
    let mine = parsed.series.iter().filter(|line| is_mine(definition, line));
    let lines: Vec<BTreeMap<i64, f64>> = mine.map(|line| counts(line, end_ms, step_ms)).collect();
    let from_ms = missed_from_ms(definition, now_ms).unwrap_or(i64::MIN);
    let points = i64::try_from(question.points()).unwrap_or(1);
    let mut most = vec![0.0_f64; lines.len()];
    let mut moments = Vec::new();
    for back in (0..points).rev() {
        let at_ms = end_ms.saturating_sub(back.saturating_mul(step_ms));
        if at_ms < from_ms && back > 0 {
            continue;
        }
        let counted: Vec<f64> = lines.iter().map(|line| line.get(&back).copied().unwrap_or(0.0)).collect();
        moments.push(Moment { at_ms, short: short(definition, &counted, &mut most) });
    }
    moments
}

/// What falls short of what there was before, or of what is expected; no series at all is always short.
fn short(definition: &SignalDefinition, counted: &[f64], most: &mut [f64]) -> Option<(f64, f64)> {
    let mut found = None;
    for (count, most) in counted.iter().zip(most) {
        *most = most.max(*count);
        let wanted = definition.series.expect.map_or(*most, f64::from);
        if *count < wanted {
            found = found.or(Some((*count, wanted)));
        }
    }
    let none = counted.iter().all(|count| *count <= 0.0);
    let wanted = definition.series.expect.map_or(1.0, f64::from);
    found.or(none.then_some((0.0, wanted)))
}

fn is_mine(definition: &SignalDefinition, line: &Series) -> bool {
    let of_ours = |batch: &crate::collect::BatchBy| line.labels.get(&batch.label) == Some(&batch.value);
    definition.batch_by.as_ref().is_none_or(of_ours)
}

/// How many there were, by how many steps ago it was; what is no number counts none. Some sources move the moments
/// asked for to whole steps of the clock, so each stands for the step that it is in.
fn counts(line: &Series, end_ms: i64, step_ms: i64) -> BTreeMap<i64, f64> {
    let numbers = line.points.iter().filter(|(_, count)| count.is_finite());
    numbers.map(|(at_ms, count)| (end_ms.saturating_sub(*at_ms).max(0) / step_ms, *count)).collect()
}

#[cfg(test)]
mod tests;
