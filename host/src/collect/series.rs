//! Counts the series that a signal should rest on, with a second question beside the query.
//!
//! An aggregation does not show that a member's series is missing, and a range goes on for a while without it: both
//! could pass for a lower load. So the source is asked how many series the query had over the remembered time, each
//! with a sample no older than `maxAge`. The source remembers them, so a restart of the daemon loses nothing.

use super::definition::{Question, SignalDefinition};
use super::promql::{self, Selector};
use std::fmt::Write as _;

/// The label that tells the selectors of a query apart.
const SELECTOR_LABEL: &str = "plimsoll_selector";
/// Selectors of a query that are counted. One that has more is generated.
const MAX_SELECTORS: usize = 64;
/// Moments of the time that is remembered, at most: as fine as half a minute in an hour, and a small answer.
const MAX_POINTS: u64 = 120;
/// Longer than this nothing is remembered, whatever the window.
const MAX_SPAN_MS: u64 = 24 * 60 * 60 * 1_000;
/// A member may be gone a while before its source has noticed: the usual scrape interval.
const NOTICED_MS: i64 = 60_000;

/// What is to be asked about the series behind a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// Nothing: the answer itself shows every series that it is made of, or the owner wants none of it.
    Nothing,
    /// This.
    Ask(Question),
    /// It cannot be asked, in words.
    Unreadable(String),
}

/// The question beside `definition`'s own.
pub(super) fn count(definition: &SignalDefinition) -> Count {
    let watch = &definition.series;
    if watch.expect == Some(0) {
        return Count::Nothing;
    }
    let query = match &watch.query {
        Some(query) => query.clone(),
        None => match worked_out(definition) {
            Ok(Some(query)) => query,
            Ok(None) => return Count::Nothing,
            Err(problem) => return Count::Unreadable(problem),
        },
    };
    let (span_ms, own) = (span_ms(definition), definition.question());
    // Whole seconds, as sources count.
    let step_ms = span_ms.div_ceil(MAX_POINTS).div_ceil(1_000).max(1) * 1_000;
    let (window_ms, step_ms) = if span_ms < 1_000 { (0, 0) } else { (span_ms, step_ms) };
    Count::Ask(Question { query, window_ms, step_ms, lookback_ms: own.lookback_ms })
}

/// Counts each of the query's selectors: those of its series that have a fresh sample.
fn worked_out(definition: &SignalDefinition) -> Result<Option<String>, String> {
    let reading = promql::read(&definition.query);
    if reading.is_bare && definition.aggregation.is_none() && definition.batch_by.is_none() {
        return Ok(None);
    }
    let mut selectors: Vec<&Selector> = Vec::new();
    for selector in reading.selectors.iter().filter(|selector| !selector.is_of_absence()) {
        if !selectors.iter().any(|known| known.text == selector.text) {
            selectors.push(selector);
        }
    }
    if selectors.len() > MAX_SELECTORS {
        return Err(format!("it has more than {MAX_SELECTORS} different selectors"));
    }
    let mut query = String::new();
    for (index, selector) in selectors.iter().enumerate() {
        let or = if index == 0 { "" } else { " or " };
        let counted = counted(selector, definition);
        // Writing to a string cannot fail.
        let _ = match selectors.len() {
            1 => write!(query, "{counted}"),
            _ => write!(query, "{or}label_replace({counted}, \"{SELECTOR_LABEL}\", \"{index}\", \"\", \"\")"),
        };
    }
    Ok(Some(query).filter(|query| !query.is_empty()))
}

fn counted(selector: &Selector, definition: &SignalDefinition) -> String {
    let by = definition.batch_by.as_ref().map_or_else(String::new, |batch| format!(" by ({})", batch.label));
    let text = selector.text;
    if selector.name.is_none() {
        // Several metrics may be meant, of which `timestamp` would make doubles.
        return format!("count{by} ({text})");
    }
    let (seconds, ms) = (definition.max_age_ms / 1_000, definition.max_age_ms % 1_000);
    format!("count{by} (time() - timestamp({text}) <= {seconds}.{ms:03})")
}

/// Over which time series are counted: what is remembered, and all that the answer reaches back over.
fn span_ms(definition: &SignalDefinition) -> u64 {
    let remembered = match definition.series.expect {
        Some(_) => 0,
        None => definition.series.forget_ms,
    };
    remembered.max(reach_ms(definition)).min(MAX_SPAN_MS)
}

/// How far back the answer reaches: the window, and the longest range of the query.
pub(super) fn reach_ms(definition: &SignalDefinition) -> u64 {
    let reading = promql::read(&definition.query);
    let range_ms = reading.selectors.iter().map(|selector| selector.range_ms).max().unwrap_or(0);
    definition.window_ms.saturating_add(range_ms)
}

/// From when on fewer series than before are missed, at `now_ms`: members that we took away ourselves are not.
pub(super) fn missed_from_ms(definition: &SignalDefinition, now_ms: i64) -> Option<i64> {
    let taken_ms = definition.taken_away_ms?.min(now_ms);
    Some(taken_ms.saturating_add_unsigned(definition.max_age_ms).saturating_add(NOTICED_MS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::{Aggregation, BatchBy, SeriesWatch};

    fn signal(query: &str) -> SignalDefinition {
        SignalDefinition { max_age_ms: 10_000, ..SignalDefinition::new("load", "main", query) }
    }

    fn asked(definition: &SignalDefinition) -> Question {
        match count(definition) {
            Count::Ask(question) => question,
            other @ (Count::Nothing | Count::Unreadable(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_shows_every_series_itself_is_not_counted() {
        for query in ["queue", "queue{a=\"b\"}", "vector(1)", "time()", "absent(up)"] {
            assert_eq!(count(&signal(query)), Count::Nothing, "{query}");
        }
        let none = SeriesWatch { expect: Some(0), ..SeriesWatch::default() };
        assert_eq!(count(&SignalDefinition { series: none, ..signal("sum(queue)") }), Count::Nothing);
    }

    #[test]
    fn fresh_series_are_counted_over_the_time_that_is_remembered() {
        let question = asked(&signal("sum(rate(requests_total{a=\"b\"}[2m] offset 1h))"));
        assert_eq!(question.query, "count (time() - timestamp(requests_total{a=\"b\"}) <= 10.000)");
        assert_eq!((question.window_ms, question.step_ms, question.lookback_ms), (3_600_000, 30_000, 10_000));
    }

    #[test]
    fn every_selector_is_counted_for_itself_and_each_once() {
        let question = asked(&signal("sum(a) / (sum(a offset 1w) + sum({__name__=~\"b.*\"}))"));
        assert_eq!(
            question.query,
            "label_replace(count (time() - timestamp(a) <= 10.000), \"plimsoll_selector\", \"0\", \"\", \"\") or \
             label_replace(count ({__name__=~\"b.*\"}), \"plimsoll_selector\", \"1\", \"\", \"\")"
        );
    }

    #[test]
    fn several_series_and_many_targets_are_counted_too() {
        let several = SignalDefinition { aggregation: Some(Aggregation::Sum), ..signal("queue") };
        assert_eq!(asked(&several).query, "count (time() - timestamp(queue) <= 10.000)");
        let batch_by = Some(BatchBy { label: "cluster".to_owned(), value: "a".to_owned() });
        let batched = asked(&SignalDefinition { batch_by, ..signal("sum by (cluster) (queue)") });
        assert_eq!(batched.query, "count by (cluster) (time() - timestamp(queue) <= 10.000)");
    }

    #[test]
    fn what_the_owner_counts_is_asked_as_it_is_and_nothing_remembered_of_a_number() {
        let series = SeriesWatch { query: Some("count(up == 1)".to_owned()), ..SeriesWatch::default() };
        let own = asked(&SignalDefinition { series: series.clone(), ..signal("sum(queue)") });
        assert_eq!((own.query.as_str(), own.window_ms), ("count(up == 1)", 3_600_000));
        let expected = SeriesWatch { expect: Some(3), ..series };
        let own = SignalDefinition { series: expected, window_ms: 0, ..signal("sum(queue)") };
        assert_eq!((asked(&own).window_ms, asked(&own).step_ms), (0, 0));
    }

    #[test]
    fn a_query_of_too_many_selectors_is_not_counted_and_says_so() {
        let many: Vec<String> = (0..=MAX_SELECTORS).map(|index| format!("m{index}")).collect();
        assert!(matches!(count(&signal(&many.join("+"))), Count::Unreadable(_)));
    }
}
