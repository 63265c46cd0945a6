//! How a system divides its data: the map from shards to their owners.

use serde::{Deserialize, Serialize};

/// The map of shards, on which every member that was asked agrees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ShardMap {
    /// What is counted.
    pub scheme: Scheme,
    /// How many shards there are.
    pub count: u64,
    /// How many of them have an owner that serves.
    pub covered: u64,
    /// How many are between two owners, whoever moves them.
    pub open: u64,
    /// How many members own at least one shard.
    pub owners: u32,
    /// How many owners the system needs at least; 0 where any number will do.
    #[serde(default)]
    pub least_owners: u32,
}

/// What the shards of a map are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Slots, whose number the system has fixed for ever (Redis Cluster: 16384).
    FixedSlots,
    /// Partitions, whose number may only grow, which gives keys another partition (Kafka).
    Partitions,
}

impl Scheme {
    /// The word for one shard, for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::FixedSlots => "slot",
            Self::Partitions => "partition",
        }
    }
}
