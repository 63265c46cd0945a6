//! Collect: turns what metric sources answer into [`Signal`]s, each a series with a state.
//!
//! Unknown is not zero: whatever is wrong with an answer becomes a state other than `ok`, never a number.
//! `judge` decides and does no I/O; `prometheus` transports and decides nothing.

mod breaker;
mod definition;
mod judge;
mod lint;
mod prometheus;
mod promql;
mod series;
mod taken;

pub use definition::{Aggregation, BatchBy, Problem, Question, SeriesWatch, SignalDefinition};
pub use judge::{Answer, Failure, Reply, judge_answer};
pub use lint::lint;
pub use prometheus::{CollectError, Credentials, MAX_DEADLINE, Prometheus, SourceConfig};
pub use taken::TakenAway;

use crate::causes;
use plimsoll_wire::snapshot::{Now, Signal, SignalState};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A target's `namespace/name`.
pub type TargetKey = Arc<str>;

/// The signals of several targets, each by name.
pub type SignalsByTarget = BTreeMap<TargetKey, BTreeMap<String, Signal>>;

/// The moment of a read, carried forward while the read takes its time.
#[derive(Clone, Copy, Debug)]
struct Moment {
    mono_ms: u64,
    wall_ms: i64,
    started: Instant,
}

impl Moment {
    fn new(now: &Now) -> Self {
        Self { mono_ms: now.mono_ms, wall_ms: now.wall_ms, started: Instant::now() }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn mono_ms(&self) -> u64 {
        self.mono_ms.saturating_add(self.elapsed_ms())
    }

    fn wall_ms(&self) -> i64 {
        self.wall_ms.saturating_add_unsigned(self.elapsed_ms())
    }
}

/// All metric sources of the daemon's file, by name.
///
/// Cloning is cheap, and clones share what is in flight: targets that ask the same question at the same time
/// are served by one query, however many callers there are.
#[derive(Clone, Debug, Default)]
pub struct Collector {
    sources: BTreeMap<String, Prometheus>,
    /// Sources that cannot be used, each with the reason.
    broken: BTreeMap<String, String>,
}

impl Collector {
    /// Builds all sources, or says of each that cannot be built why.
    ///
    /// # Errors
    /// Every [`CollectError`], not the first only.
    pub fn new(configs: Vec<SourceConfig>) -> Result<Self, Vec<CollectError>> {
        let (collector, errors) = Self::of(configs);
        if errors.is_empty() { Ok(collector) } else { Err(errors) }
    }

    /// Builds the sources that can be built, and says of the others why not: what asks those hears that they are
    /// unavailable, and the others answer.
    #[must_use]
    pub fn of(configs: Vec<SourceConfig>) -> (Self, Vec<CollectError>) {
        let (mut collector, mut errors) = (Self::default(), Vec::new());
        for config in configs {
            let name = config.name.clone();
            match Prometheus::new(config) {
                Ok(source) => {
                    collector.sources.insert(name, source);
                }
                Err(error) => {
                    collector.broken.insert(name, causes::on_one_line(&error));
                    errors.push(error);
                }
            }
        }
        (collector, errors)
    }

    /// Sources that cannot be used, each with the reason.
    pub fn broken(&self) -> impl Iterator<Item = (&str, &str)> {
        self.broken.iter().map(|(name, why)| (name.as_str(), why.as_str()))
    }

    /// Whether there is a source of this name.
    #[must_use]
    pub fn has_source(&self, name: &str) -> bool {
        self.sources.contains_key(name)
    }

    /// Reads all wanted signals. Every one that was wanted is in the result, with whatever state it has.
    ///
    /// Takes at most twice the longest deadline of the sources asked (once to wait for a turn, once to ask).
    /// Dropping the future cancels the queries that no other caller waits for.
    pub async fn read(&self, wanted: &[(TargetKey, SignalDefinition)], now: &Now) -> SignalsByTarget {
        let mut by_source: BTreeMap<&str, Vec<(TargetKey, SignalDefinition)>> = BTreeMap::new();
        let mut signals = SignalsByTarget::new();
        for (target, definition) in wanted {
            match self.sources.get_key_value(&definition.source) {
                Some((name, _)) => {
                    by_source.entry(name).or_default().push((target.clone(), definition.clone()));
                }
                None => {
                    let signal = match self.broken.get(&definition.source) {
                        Some(why) => judge::fault(SignalState::Unavailable, why),
                        None => judge::no_such_source(&definition.source, self.sources.keys()),
                    };
                    signals.entry(target.clone()).or_default().insert(definition.name.clone(), signal);
                }
            }
        }
        let mut reads = JoinSet::new();
        for (name, wanted) in by_source {
            let (Some(source), now) = (self.sources.get(name).cloned(), now.clone()) else { continue };
            reads.spawn(async move { source.read(&wanted, &now).await });
        }
        while let Some(joined) = reads.join_next().await {
            let Ok(part) = joined else { continue };
            for (target, read) in part {
                signals.entry(target).or_default().extend(read);
            }
        }
        for (target, definition) in wanted {
            signals.entry(target.clone()).or_default().entry(definition.name.clone()).or_insert_with(|| {
                judge::fault(SignalState::Unavailable, "the read ended without an answer")
            });
            if let Some(signal) = signals.get_mut(target).and_then(|read| read.get_mut(&definition.name)) {
                // Whatever came of it, it is what its owner has declared.
                signal.optional = definition.optional;
            }
        }
        signals
    }
}
