//! How far consumers are behind, as a message queue's driver tells it: a fact that a policy can read without an exporter.

use serde::{Deserialize, Serialize};

/// The name of the fact, a list of [`ConsumerLag`].
pub const CONSUMER_LAG: &str = "consumerLag";

/// One group of consumers on one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerLag {
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// How many partitions the topic has: more consumers than these have nothing to do.
    pub partitions: u32,
    /// How many consumers the group has now.
    pub consumers: u32,
    /// The sum of the partitions' newest offsets: how many records were ever written.
    pub written: u64,
    /// The sum of the offsets that the group has committed. A partition that it never committed counts from its oldest record.
    pub committed: u64,
}

impl ConsumerLag {
    /// How many records wait.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.written.saturating_sub(self.committed)
    }
}
