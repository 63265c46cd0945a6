//! How far consumers are behind, as a message queue's driver tells it: a fact that a policy can read without an exporter.

use serde::{Deserialize, Serialize};

/// The name of the fact, a [`Consumers`].
pub const CONSUMER_LAG: &str = "consumerLag";

/// How far all groups of consumers are behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consumers {
    /// Each group on each topic.
    pub groups: Vec<ConsumerLag>,
    /// How many groups were not looked at, since there are too many.
    pub left_out: u32,
    /// How many groups are in no row, since where a partition of theirs ends is not known.
    pub unknown: u32,
}

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
    /// The sum of the newest offsets of these partitions: how many records were ever written.
    pub written: u64,
    /// The sum of the offsets that the group has committed, over the partitions in which it ever committed one.
    pub committed: u64,
}
