//! `spec.signals`: what is measured for a target.

mod brackets;

use super::TargetKey;
use super::series::RawSeries;
use crate::collect::{Aggregation, BatchBy, SignalDefinition};
use crate::config::daemon::DaemonConfig;
use crate::config::named;
use crate::yaml::form::{self, Form};
use crate::yaml::problem::{Sink, quote};
use crate::yaml::raw::{Field, List, Scalar, raw};
use crate::yaml::unit;
use crate::yaml::value::millis;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A query is a line or a few; what is longer belongs into a recording rule.
const MAX_QUERY: usize = 8_192;
/// Each costs a query a cycle.
const MAX_SIGNALS: usize = 32;

const SECOND: Duration = Duration::from_secs(1);
const DAY_SECONDS: u64 = 86_400;

const WINDOW: RangeInclusive<Duration> = SECOND..=Duration::from_secs(DAY_SECONDS);
const USUAL_WINDOW: Duration = Duration::from_secs(5 * 60);
const STEP: RangeInclusive<Duration> = SECOND..=Duration::from_secs(DAY_SECONDS);
/// The usual scrape interval.
const USUAL_STEP: Duration = Duration::from_secs(15);
/// A measured load that is older than an hour is history.
const MAX_AGE: RangeInclusive<Duration> = SECOND..=Duration::from_secs(3_600);
/// Of the same size as EVID-1's.
const USUAL_MAX_AGE: Duration = Duration::from_secs(60);
/// In thousandths.
const COVERAGE: RangeInclusive<u32> = 100..=1_000;
/// After a restart a Prometheus has a short history, which must not look like a quiet time.
const USUAL_COVERAGE: u32 = 800;
const AGGREGATIONS: [(&str, Aggregation); 4] = [
    ("sum", Aggregation::Sum),
    ("avg", Aggregation::Avg),
    ("min", Aggregation::Min),
    ("max", Aggregation::Max),
];

/// One measured series.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalConfig {
    /// The line where its query stands.
    pub line: usize,
    /// What the source is asked, and on which terms the answer counts.
    pub definition: SignalDefinition,
}

raw! {
    /// One of `spec.signals` as it is written.
    struct RawSignal {
        name: Scalar = "name" => form::name().required().doc("What policies call it."),
        source: Scalar = "source" => form::name().required()
            .doc("Who answers: one of the `sources` of the daemon's file that are open to this namespace."),
        query: Scalar = "query" => form::text(MAX_QUERY).required()
            .doc("What is asked, in PromQL: one series, or several with `aggregation`."),
        window: Scalar = "window" => form::duration(WINDOW)
            .doc(&format!("How far back it is read; by default `{}`.", unit::show_duration(USUAL_WINDOW))),
        step: Scalar = "step" => form::duration(STEP)
            .doc(&format!("The distance between samples; by default `{}`.", unit::show_duration(USUAL_STEP))),
        max_age: Scalar = "maxAge" => form::duration(MAX_AGE).doc(&format!(
            "How old the newest sample may be; by default `{}`. An older one is no number.",
            unit::show_duration(USUAL_MAX_AGE)
        )),
        coverage: Scalar = "coverage" => form::ratio(COVERAGE).doc(&format!(
            "Which part of the window must have samples; by default `{}`.",
            unit::show_permille(USUAL_COVERAGE.into())
        )),
        aggregation: Scalar = "aggregation" => form::words(&AGGREGATIONS)
            .doc("How several series become one; without it one is expected."),
        counter: Scalar = "counter" => form::switch()
            .doc("Whether the query gives a bare counter: its falling means a restart."),
        batch_by: Scalar = "batchBy" => form::pattern("^[a-zA-Z_][a-zA-Z0-9_]*$", 128)
            .doc("The label by which one query can serve many targets."),
        series: RawSeries = "series" => RawSeries::form()
            .doc("How many series are to be behind it: fewer make it partial. By default as many as in the last hour."),
        optional: Scalar = "optional" => form::switch().doc(
            "Whether a shrink may go while it is not `ok`; by default none does, whatever the policy names as its evidence."
        ),
    }
}

/// What `spec.signals` may hold.
pub(super) fn form() -> Form {
    let step = form::not_longer(("step", USUAL_STEP), ("window", USUAL_WINDOW));
    let signal = RawSignal::form().rule(&step, "`step` is longer than `window`: choose a shorter step");
    form::named_list(signal, MAX_SIGNALS)
}

/// The signals of a target's document.
pub(super) fn signals(
    field: &Field<List<RawSignal>>,
    target: &TargetKey,
    daemon: &DaemonConfig,
    sink: &mut Sink,
) -> Vec<SignalConfig> {
    let Some(list) = field.get() else { return Vec::new() };
    if list.items.len() > MAX_SIGNALS {
        let hint = "combine some of them in a recording rule";
        sink.add(&list.at, format!("has more than {MAX_SIGNALS} signals"), hint);
    }
    let mut seen = BTreeSet::new();
    list.items.iter().take(MAX_SIGNALS).map(|raw| signal(raw, target, daemon, &mut seen, sink)).collect()
}

fn signal(
    raw: &RawSignal,
    target: &TargetKey,
    daemon: &DaemonConfig,
    seen: &mut BTreeSet<String>,
    sink: &mut Sink,
) -> SignalConfig {
    let before = sink.len();
    let source = named(
        &raw.source,
        &raw.at,
        "source",
        "sources",
        &daemon.sources,
        &target.namespace,
        |s| &s.namespaces,
        sink,
    );
    let label = raw.batch_by.get().map(|label| label_name(label, sink));
    let definition = SignalDefinition {
        name: super::document::unique_name(&raw.name, &raw.at, seen, sink),
        source: source.map(|source| source.config.name.clone()).unwrap_or_default(),
        query: raw
            .query
            .required(&raw.at, "query", "write PromQL", sink)
            .map(|query| promql(query, sink))
            .unwrap_or_default(),
        window_ms: millis(raw.window.wait(USUAL_WINDOW, WINDOW, sink)),
        step_ms: millis(raw.step.wait(USUAL_STEP, STEP, sink)),
        max_age_ms: millis(raw.max_age.wait(USUAL_MAX_AGE, MAX_AGE, sink)),
        min_coverage_permille: raw.coverage.get().map_or(USUAL_COVERAGE, |part| coverage(part, sink)),
        aggregation: raw.aggregation.get().map(|word| word.choice(&AGGREGATIONS, Aggregation::Sum, sink)),
        counter: raw.counter.get().is_some_and(|counter| counter.switch(sink)),
        batch_by: label.map(|label| BatchBy { label, value: target.name.clone() }),
        series: super::series::series(&raw.series, sink),
        taken_away_ms: None,
        optional: raw.optional.get().is_some_and(|optional| optional.switch(sink)),
    };
    // What was not read would only repeat the problem.
    if sink.len() == before {
        fits(raw, &definition, sink);
    }
    bare_counter(raw, sink);
    SignalConfig { line: raw.query.get().map_or(raw.at.line, |query| query.at.line), definition }
}

fn coverage(scalar: &Scalar, sink: &mut Sink) -> u32 {
    let (floor, ceiling) = COVERAGE.into_inner();
    u32::try_from(scalar.permille(floor.into()..=ceiling.into(), sink)).unwrap_or(ceiling)
}

/// A query: text of some length whose brackets and quotes close. Whether it is PromQL, Prometheus says.
pub(super) fn promql(scalar: &Scalar, sink: &mut Sink) -> String {
    let query = scalar.text.trim();
    scalar.quoted(sink);
    if query.is_empty() {
        sink.add(&scalar.at, "is empty", "write PromQL");
    } else if query.len() > MAX_QUERY {
        let hint = "make it a recording rule and query that";
        sink.add(&scalar.at, format!("is longer than {MAX_QUERY} bytes"), hint);
    } else if let Some(open) = brackets::unclosed(query) {
        sink.add(&scalar.at, format!("is no PromQL: {open}"), "close every bracket and every quote once");
    }
    query.to_owned()
}

fn label_name(scalar: &Scalar, sink: &mut Sink) -> String {
    let text = scalar.text.as_str();
    let inner = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if text.is_empty() || text.len() > 128 || !inner || text.starts_with(|c: char| c.is_ascii_digit()) {
        sink.add(&scalar.at, format!("{} is not a label's name", quote(text)), "write it like `cluster`");
    }
    text.to_owned()
}

/// What the collector could not ask is refused when it is read: there is one reader of signals.
fn fits(raw: &RawSignal, definition: &SignalDefinition, sink: &mut Sink) {
    for problem in definition.problems() {
        let (key, field) = match problem.field {
            "window" => ("window", &raw.window),
            "aggregation" => ("aggregation", &raw.aggregation),
            "counter" => ("counter", &raw.counter),
            _ => ("step", &raw.step),
        };
        let at = field.get().map_or_else(|| raw.at.child(key), |scalar| scalar.at.clone());
        let (message, hint) = problem.message.split_once("; ").unwrap_or((&problem.message, ""));
        sink.add(&at, message, hint);
    }
}

/// A bare counter measures how long something has run, not how busy it is. An owner who means it says so.
fn bare_counter(raw: &RawSignal, sink: &mut Sink) {
    let Some(query) = raw.query.get().filter(|_| raw.counter.is_absent()) else { return };
    let text = query.text.trim();
    let name = text.split_once('{').map_or(text, |(name, _)| name.trim_end());
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':');
    // With a selector the query ends where the selector does; anything behind it is a calculation.
    let bare = text == name || text.ends_with('}');
    if is_name && bare && name.ends_with("_total") {
        let hint = "write `rate(...)` around it; if the counter itself is meant, `counter: true`; if it is none, `false`";
        sink.add(&query.at, format!("{} looks like a counter, which only rises", quote(name)), hint);
    }
}
