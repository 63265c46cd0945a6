//! `spec.signals`: what is measured for a target.

use crate::config::daemon::DaemonConfig;
use crate::config::named;
use crate::config::problem::{Sink, quote};
use crate::config::raw::{Field, List, Scalar, raw};
use std::collections::BTreeSet;
use std::time::Duration;

/// A query is a line or a few; what is longer belongs into a recording rule.
const MAX_QUERY: usize = 8_192;
/// Each costs a query a cycle.
const MAX_SIGNALS: usize = 32;
/// Samples of one signal: they go into the snapshot, which every policy reads and every record keeps.
const MAX_SAMPLES: u64 = 2_000;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// One measured series.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalConfig {
    /// What policies call it.
    pub name: String,
    /// Which source of the daemon's file answers.
    pub source: String,
    /// The PromQL.
    pub query: String,
    /// How far back it is read.
    pub window: Duration,
    /// The distance between samples.
    pub step: Duration,
    /// How old the newest sample may be.
    pub max_age: Duration,
    /// Which part of the window must have samples, in thousandths.
    pub coverage_permille: u32,
    /// How several series become one; absent where one is expected.
    pub aggregation: Option<Aggregation>,
    /// Whether the query gives a bare counter, which may only rise.
    pub counter: bool,
    /// The label by which one query can serve many targets.
    pub batch_by: Option<String>,
}

/// How several series become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are PromQL's own")]
pub enum Aggregation {
    Sum,
    Avg,
    Min,
    Max,
}

raw! {
    /// One of `spec.signals` as it is written.
    struct RawSignal {
        name: Scalar = "name",
        source: Scalar = "source",
        query: Scalar = "query",
        window: Scalar = "window",
        step: Scalar = "step",
        max_age: Scalar = "maxAge",
        coverage: Scalar = "coverage",
        aggregation: Scalar = "aggregation",
        counter: Scalar = "counter",
        batch_by: Scalar = "batchBy",
    }
}

/// The signals of a document in `namespace`.
pub(super) fn signals(
    field: &Field<List<RawSignal>>,
    namespace: &str,
    daemon: &DaemonConfig,
    sink: &mut Sink,
) -> Vec<SignalConfig> {
    let Some(list) = field.get() else { return Vec::new() };
    if list.items.len() > MAX_SIGNALS {
        let hint = "combine some of them in a recording rule";
        sink.add(&list.at, format!("has more than {MAX_SIGNALS} signals"), hint);
    }
    let mut seen = BTreeSet::new();
    list.items.iter().take(MAX_SIGNALS).map(|raw| signal(raw, namespace, daemon, &mut seen, sink)).collect()
}

fn signal(
    raw: &RawSignal,
    namespace: &str,
    daemon: &DaemonConfig,
    seen: &mut BTreeSet<String>,
    sink: &mut Sink,
) -> SignalConfig {
    let words = [
        ("sum", Aggregation::Sum),
        ("avg", Aggregation::Avg),
        ("min", Aggregation::Min),
        ("max", Aggregation::Max),
    ];
    let signal = SignalConfig {
        name: super::document::unique_name(&raw.name, &raw.at, seen, sink),
        source: named(
            &raw.source,
            &raw.at,
            "source",
            "sources",
            &daemon.sources,
            namespace,
            |s| &s.namespaces,
            sink,
        )
        .map(|source| source.name.clone())
        .unwrap_or_default(),
        query: raw
            .query
            .required(&raw.at, "query", "write PromQL", sink)
            .map(|query| promql(query, sink))
            .unwrap_or_default(),
        window: raw.window.get().map_or(5 * MINUTE, |window| window.duration(SECOND..=31 * DAY, sink)),
        // The usual scrape interval.
        step: raw.step.get().map_or(15 * SECOND, |step| step.duration(SECOND..=DAY, sink)),
        // Of the same size as EVID-1's; a measured load that is older than an hour is history.
        max_age: raw.max_age.get().map_or(MINUTE, |age| age.duration(SECOND..=60 * MINUTE, sink)),
        // After a restart a Prometheus has a short history, which must not look like a quiet time.
        coverage_permille: raw
            .coverage
            .get()
            .map_or(800, |part| u32::try_from(part.permille(100..=1_000, sink)).unwrap_or(1_000)),
        aggregation: raw.aggregation.get().map(|word| word.choice(&words, Aggregation::Sum, sink)),
        counter: raw.counter.get().is_some_and(|counter| counter.switch(sink)),
        batch_by: raw.batch_by.get().map(|label| label_name(label, sink)),
    };
    fits(raw, &signal, sink);
    signal
}

/// A query: text of some length with balanced brackets. Whether it is PromQL, Prometheus says.
fn promql(scalar: &Scalar, sink: &mut Sink) -> String {
    let query = scalar.text.trim();
    if query.is_empty() {
        sink.add(&scalar.at, "is empty", "write PromQL");
    } else if query.len() > MAX_QUERY {
        let hint = "make it a recording rule and query that";
        sink.add(&scalar.at, format!("is longer than {MAX_QUERY} bytes"), hint);
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

fn fits(raw: &RawSignal, signal: &SignalConfig, sink: &mut Sink) {
    let place = raw.step.get().or(raw.window.get());
    let Some(place) = place else { return };
    if signal.step > signal.window {
        sink.add(
            &place.at,
            "`step` is longer than `window`",
            "no sample would be read: choose a shorter step",
        );
    }
    let samples = signal.window.as_millis() / signal.step.as_millis().max(1);
    if samples > u128::from(MAX_SAMPLES) {
        let hint = "choose a longer step or a shorter window";
        sink.add(&place.at, format!("a window of {samples} samples is more than {MAX_SAMPLES}"), hint);
    }
}
