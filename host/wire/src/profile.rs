//! What is true of a kind of data system and of the way its members come and go: data, no code (`decisions.md` D7).
//!
//! A profile stands in every snapshot, like the safety parameters, so that what was judged can be judged again without
//! the configuration of the daemon that judged it.

use crate::size::Each;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A kind of system on a kind of platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// The kind of system, such as `etcd`.
    pub system: Arc<str>,
    /// How many members make one unit of scale: they come and go in one plan (STEP-5).
    pub unit: u32,
    /// The least number of members with which the system works at all.
    pub min_size: u32,
    /// The greatest number of voters, where members vote (QUORUM-10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_voters: Option<u32>,
    /// Whether members vote in the control group, so that parity and tolerance are theirs.
    pub members_vote: bool,
    /// Whether a member is registered before it is started, and so needs to be told how to join.
    pub registers_first: bool,
    /// What proves that a member may go.
    pub evidence: Evidence,
    /// Whether the system itself chooses who leads a group next, or has to be told.
    #[serde(default)]
    pub picks_leader: bool,
    /// Which member goes.
    pub victim: Victim,
    /// Whether scale-in is on unless the owner says otherwise (FLOOR-4).
    pub scale_in: bool,
    /// How many units may come, and how many may give their data away, at the same time.
    #[serde(default, skip_serializing_if = "Together::is_single")]
    pub together: Together,
    /// For how long all members must have been connected before the system accepts a change, in milliseconds.
    pub connected_ms: u64,
    /// The system's own high-water mark of a disk, in thousandths (CAP-1).
    pub disk_watermark_permille: u32,
    /// How it grows and shrinks, in each dimension that can change; what is absent cannot.
    pub ways: Each<Ways>,
    /// Facts that do not exist here: nobody looks for them. Anything else that is missing blocks.
    #[serde(default)]
    pub absent: BTreeSet<Topic>,
}

impl Default for Profile {
    /// A system of which nothing is known: it has no steps, so no plan changes it.
    fn default() -> Self {
        Self {
            system: "".into(),
            unit: 1,
            min_size: 1,
            max_voters: None,
            members_vote: false,
            registers_first: false,
            evidence: Evidence::Empty,
            picks_leader: false,
            victim: Victim::Named,
            scale_in: false,
            together: Together::default(),
            connected_ms: 0,
            disk_watermark_permille: 1_000,
            ways: Each::default(),
            absent: BTreeSet::new(),
        }
    }
}

impl Profile {
    /// Whether members hold data that must go elsewhere before they go.
    #[must_use]
    pub fn moves_data(&self) -> bool {
        self.evidence == Evidence::Empty
    }

    /// The steps that add one unit of members, in order.
    #[must_use]
    pub fn grow(&self) -> &[Phase] {
        self.ways.members.as_ref().map_or(&[], |ways| &ways.grow)
    }

    /// The steps that remove one unit of members, in order.
    #[must_use]
    pub fn shrink(&self) -> &[Phase] {
        self.ways.members.as_ref().map_or(&[], |ways| &ways.shrink)
    }

    /// Whether a fact does not exist here.
    #[must_use]
    pub fn lacks(&self, topic: Topic) -> bool {
        self.absent.contains(&topic)
    }

    /// How many members come or go together; at least one.
    #[must_use]
    pub fn unit(&self) -> u32 {
        self.unit.max(1)
    }
}

/// What proves that a member may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// The system's own list of members no longer names it. Every member holds everything.
    Unlisted,
    /// Others say that it holds nothing, and have said so for long enough.
    Empty,
    /// Others hold everything that it holds, and enough of them confirm every write.
    Replaceable,
}

/// Which member goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Victim {
    /// The member that the effect names.
    Named,
    /// The member with the highest ordinal.
    HighestOrdinal,
}

/// How many units may change at the same time. They are removed one after the other all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Together {
    /// How many may come before the data is spread over them.
    pub join: u32,
    /// How many may give their data away side by side.
    pub drain: u32,
}

impl Default for Together {
    /// One after the other.
    fn default() -> Self {
        Self { join: 1, drain: 1 }
    }
}

impl Together {
    fn is_single(&self) -> bool {
        *self == Self::default()
    }
}

/// How a system changes in one dimension.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ways {
    /// The steps that add one unit, in order; none where it cannot grow.
    #[serde(default)]
    pub grow: Vec<Phase>,
    /// The steps that remove one unit, in order; none where it cannot shrink.
    #[serde(default)]
    pub shrink: Vec<Phase>,
}

/// One step of a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Phase {
    /// The step's word, such as `drain`.
    pub step: Arc<str>,
    /// Whether the system cannot take its effect back.
    #[serde(default)]
    pub no_return: bool,
}

/// A group of facts that a rule may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each names fields of the snapshot")]
pub enum Topic {
    Fingerprint,
    Epoch,
    Owner,
    Generation,
    Size,
    Members,
    Incarnation,
    Domain,
    Leader,
    Placements,
    ConfigVersion,
    JointConfig,
    Copies,
    Operations,
    Debts,
    Hosted,
    Load,
    Disk,
    Growth,
    DrainRate,
    Cpu,
    Memory,
    Network,
    Volume,
    Lag,
    Pending,
    Shards,
}
