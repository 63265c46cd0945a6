//! Counts the requests of the kinds that a daemon sends, by the API server's own count.

use crate::cluster::Cluster;
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::fmt;

/// What a daemon asks about, and next to nobody else in a cluster of the tests.
const RESOURCES: [&str; 8] = [
    "statefulautoscalers",
    "scalingplans",
    "statefulsets",
    "pods",
    "persistentvolumeclaims",
    "horizontalpodautoscalers",
    "poddisruptionbudgets",
    "events",
];

/// Requests, by verb and resource, such as `GET statefulsets/`.
#[derive(Clone, Debug, Default)]
pub struct Asked(BTreeMap<String, u64>);

impl Asked {
    /// All that the server has been asked since it was started. What is watched is one request that lasts.
    ///
    /// # Errors
    /// When the server does not tell its metrics, or in an odd way.
    pub fn of(cluster: &Cluster) -> anyhow::Result<Self> {
        let metrics = cluster.kubectl(["get", "--raw", "/metrics"])?;
        let mut counts = BTreeMap::new();
        for line in metrics.lines().filter_map(|line| line.strip_prefix("apiserver_request_total{")) {
            let (labels, value) = line.rsplit_once("} ").context("an odd line")?;
            let label = |name: &str| {
                let (_, rest) = labels.split_once(&format!("{name}=\"")).unwrap_or_default();
                rest.split('"').next().unwrap_or_default()
            };
            if RESOURCES.contains(&label("resource")) {
                let key = format!("{} {}/{}", label("verb"), label("resource"), label("subresource"));
                *counts.entry(key).or_default() += value.parse::<f64>()? as u64;
            }
        }
        Ok(Self(counts))
    }

    /// What came since then.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let more = |(what, count): (&String, &u64)| {
            let more = count.saturating_sub(before.count(what));
            (more > 0).then(|| (what.clone(), more))
        };
        Self(self.0.iter().filter_map(more).collect())
    }

    /// How many of one kind.
    #[must_use]
    pub fn count(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// All but watches.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.0.iter().filter(|(what, _)| !what.starts_with("WATCH")).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, count)| writeln!(formatter, "{count:>6} {what}"))
    }
}
