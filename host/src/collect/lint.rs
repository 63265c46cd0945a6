//! Warns of queries that are legal and still nearly always a mistake.

use super::definition::{SignalDefinition, shown_ms};
use super::promql::{self, Reading};

/// Functions that make something of a counter that does not only grow.
const TAKES_COUNTERS: [&str; 11] = [
    "rate",
    "irate",
    "increase",
    "resets",
    "changes",
    "absent",
    "absent_over_time",
    "count",
    "count_over_time",
    "present_over_time",
    "timestamp",
];
/// Functions that take a counter and do not know that it restarts.
const MISREADS_COUNTERS: [&str; 4] = ["delta", "idelta", "deriv", "predict_linear"];
/// Warnings on the query of `definition`, for `check`: each one sentence with what to do. It reads names, not
/// types, so it warns and never refuses.
#[must_use]
pub fn lint(definition: &SignalDefinition) -> Vec<String> {
    let reading = promql::read(&definition.query);
    let mut warnings = counters(definition, &reading);
    warnings.extend(silence(definition, &reading));
    warnings.dedup();
    warnings
}

/// What reads silence as a number.
fn silence(definition: &SignalDefinition, reading: &Reading) -> Vec<String> {
    let mut warnings = Vec::new();
    let farthest = reading.selectors.iter().max_by_key(|selector| selector.range_ms);
    if let Some(selector) = farthest.filter(|selector| selector.range_ms > definition.max_age_ms) {
        warnings.push(format!(
            "{} is looked back at over {}, longer than `maxAge` ({}): what falls silent goes on counting for that long, less and less; make the range shorter, or `maxAge` longer",
            selector.text,
            shown_ms(selector.range_ms),
            shown_ms(definition.max_age_ms)
        ));
    }
    let series = &definition.series;
    if let Some(aggregator) = reading.aggregators.first().filter(|_| !series.is_declared()) {
        warnings.push(format!(
            "{aggregator}() hides that a series is missing; the most of the last {} count as all until `series: {{expect: N}}` or `series: {{query: ...}}` says how many there are",
            shown_ms(series.forget_ms)
        ));
    }
    if reading.fills_silence {
        warnings.push(
            "`or vector()` makes a number of silence; remove it: a signal without series is absent, which never shrinks anything"
                .to_owned(),
        );
    }
    warnings
}

/// Counters that are not taken for what they are.
fn counters(definition: &SignalDefinition, reading: &Reading) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut takes_rate = false;
    for selector in &reading.selectors {
        let (Some(name), inside) = (selector.name, &selector.inside) else { continue };
        let is_counter = name.ends_with("_total");
        if inside.iter().any(|function| matches!(*function, "rate" | "irate" | "increase")) {
            takes_rate = true;
        }
        if let Some(function) = inside.iter().find(|function| MISREADS_COUNTERS.contains(function)) {
            if is_counter {
                warnings.push(format!(
                    "{function}() does not know that the counter {name} restarts at zero and then turns negative; use increase() or rate()"
                ));
            }
        } else if is_counter
            && !definition.counter
            && !inside.iter().any(|function| TAKES_COUNTERS.contains(function))
        {
            warnings.push(format!(
                "{name} is a counter and only ever grows; use rate({name}[1m]), or declare `counter: true` if the policy takes differences itself"
            ));
        }
    }
    if definition.counter && takes_rate {
        warnings.push(
            "`counter: true` on a rate, which may fall: every fall would be taken for a restart; remove it"
                .to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::SeriesWatch;

    fn warnings(query: &str) -> Vec<String> {
        lint(&declared(query))
    }

    /// One of which is said how many series are behind it.
    fn declared(query: &str) -> SignalDefinition {
        let series = SeriesWatch { expect: Some(3), ..SeriesWatch::default() };
        SignalDefinition { max_age_ms: 3_600_000, series, ..SignalDefinition::new("load", "main", query) }
    }

    #[test]
    fn warns_of_a_raw_counter() {
        let found = warnings("sum by (instance) (http_requests_total{code=~\"5..\"})");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("http_requests_total is a counter"), "{found:?}");
    }

    #[test]
    fn is_content_with_rates_gauges_and_recorded_rates() {
        for query in [
            "sum(rate(http_requests_total{job=\"a\"}[5m]))",
            "sum by (le_total) (increase(a_total[1m])) / 5",
            "job:http_requests_total:rate5m",
            "queue_length + 3m_total",
            "up{job=\"x_total)\"} # http_requests_total",
            "max_over_time(rate (a_total[1m])[5m:])",
            "label_replace(up, \"a\", \"b_total\", '', 'c\\'_total')",
        ] {
            assert_eq!(warnings(query), Vec::<String>::new(), "{query}");
        }
    }

    #[test]
    fn warns_of_a_delta_of_a_counter() {
        assert!(warnings("delta(a_total[5m])")[0].starts_with("delta() does not know"));
    }

    #[test]
    fn a_declared_counter_may_be_raw_but_not_a_rate() {
        let counter = |query| lint(&SignalDefinition { counter: true, ..declared(query) });
        assert_eq!(counter("a_total"), Vec::<String>::new());
        assert_eq!(counter("rate(a_total[1m])").len(), 1);
    }

    #[test]
    fn warns_of_a_range_longer_than_the_age_that_is_allowed() {
        let definition = |max_age_ms| SignalDefinition { max_age_ms, ..declared("sum(rate(a_total[2m]))") };
        let found = lint(&definition(10_000));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("a_total is looked back at over 2m, longer than `maxAge` (10s): "),
            "{found:?}"
        );
        assert_eq!(lint(&definition(120_000)), Vec::<String>::new());
    }

    #[test]
    fn warns_of_an_aggregation_unless_it_is_said_how_many_series_there_are() {
        let found = lint(&SignalDefinition::new("load", "main", "sum by (a) (queue)"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("sum() hides that a series is missing; the most of the last 1h"),
            "{found:?}"
        );
        assert_eq!(warnings("sum by (a) (queue)"), Vec::<String>::new());
        assert_eq!(lint(&SignalDefinition::new("load", "main", "queue")), Vec::<String>::new());
    }

    #[test]
    fn warns_of_a_number_in_the_place_of_silence() {
        assert!(
            warnings("sum(queue) or vector(0)")[0].starts_with("`or vector()` makes a number of silence")
        );
    }
}
