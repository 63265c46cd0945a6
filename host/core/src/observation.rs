//! What drivers and platforms tell: raw readings, before the core gives them an age and a history.

use plimsoll_wire::fact::{Authority, Gap};
use plimsoll_wire::journal::Join;
use plimsoll_wire::shards::ShardMap;
use plimsoll_wire::snapshot::{
    Debt, Endpoints, Generation, GroupKind, GroupModel, Hosted, Lifecycle, Marker, Now, Operation,
    PlacementState, Role, Signal,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One reading: a value on the word of its source, or the reason why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading<T> {
    /// Somebody said so.
    Value {
        /// What.
        value: T,
        /// On whose word.
        source: Source,
    },
    /// Nobody said anything that can be used.
    Gap {
        /// Why.
        reason: Gap,
        /// One line for people.
        detail: String,
    },
    /// The system has no such thing; only for what its profile declares.
    NotApplicable,
}

/// On whose word a reading is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// How much the word counts.
    pub authority: Authority,
    /// Who spoke.
    pub observer: Arc<str>,
    /// How long the speaker had been up, in milliseconds.
    pub observer_up_ms: u64,
    /// How long before the reading began this was said, in milliseconds; none where it was asked for the reading.
    pub age_ms: u64,
}

impl Source {
    /// A source that speaks now.
    #[must_use]
    pub fn new(authority: Authority, observer: impl Into<Arc<str>>, observer_up_ms: u64) -> Self {
        Self { authority, observer: observer.into(), observer_up_ms, age_ms: 0 }
    }

    /// The same source, that had spoken so long before the reading began.
    #[must_use]
    pub fn aged(self, age_ms: u64) -> Self {
        Self { age_ms, ..self }
    }

    /// This source saying `value`.
    #[must_use]
    pub fn tells<T>(&self, value: T) -> Reading<T> {
        Reading::Value { value, source: self.clone() }
    }
}

impl<T> Reading<T> {
    /// No reading, for a reason.
    #[must_use]
    pub fn gap(reason: Gap, detail: impl Into<String>) -> Self {
        Self::Gap { reason, detail: detail.into() }
    }

    /// The same reading without its value: on whose word, or why not.
    #[must_use]
    pub fn as_unit(&self) -> Reading<()> {
        match self {
            Self::Value { source, .. } => source.tells(()),
            Self::Gap { reason, detail } => Reading::Gap { reason: reason.clone(), detail: detail.clone() },
            Self::NotApplicable => Reading::NotApplicable,
        }
    }

    /// The value, where there is one.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value { value, .. } => Some(value),
            Self::Gap { .. } | Self::NotApplicable => None,
        }
    }
}

impl<T> Default for Reading<T> {
    /// Nobody has asked yet.
    fn default() -> Self {
        Self::Gap { reason: Gap::NotScraped, detail: String::new() }
    }
}

/// Everything that was read for one target in one go.
#[derive(Clone, Debug)]
pub struct Observation {
    /// When the reading began: the age of everything in it counts from here, and from earlier where its source says so.
    pub at: Now,
    /// Whether it was read past every cache.
    pub direct: bool,
    /// What the platform said.
    pub platform: PlatformReport,
    /// What the system said.
    pub system: SystemReport,
    /// What the sources of signals said.
    pub signals: BTreeMap<String, Signal>,
}

/// What the platform said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlatformReport {
    /// The slots that are in use, all of them.
    pub slots: Reading<Vec<Slot>>,
    /// The slots where a new member could run, in the order in which they would be taken.
    pub vacant: Reading<Vec<VacantSlot>>,
    /// What it was asked for and what it has acted on.
    pub generation: Reading<Generation>,
    /// What it is doing.
    pub operations: Reading<Vec<Operation>>,
    /// What it tells of the object that it scales and of the room that there is, by the names of
    /// [`plimsoll_wire::workload`].
    pub facts: BTreeMap<String, Reading<serde_json::Value>>,
}

/// A slot in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The platform's name of the place.
    pub slot: Arc<str>,
    /// Where the member in it is reached, by purpose.
    pub endpoints: Endpoints,
    /// Whether a member runs in it.
    pub running: bool,
    /// What changes when the process or its volume is replaced.
    pub incarnation: String,
    /// Its failure domain, widest first, parts separated by `/`.
    pub domain: Reading<String>,
    /// What lies on its volume.
    pub marker: Reading<Marker>,
}

/// A slot where a new member could run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VacantSlot {
    /// The platform's name of the place.
    pub slot: Arc<str>,
    /// Where its member will be reached, by purpose.
    pub endpoints: Endpoints,
    /// Its failure domain.
    pub domain: Reading<String>,
    /// What lies on its volume.
    pub marker: Reading<Marker>,
}

/// What the system said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemReport {
    /// The system's own id.
    pub fingerprint: Reading<String>,
    /// Changes on every change of membership.
    pub epoch: Reading<String>,
    /// All members that the system knows.
    pub members: Reading<Vec<SystemMember>>,
    /// All groups that the system has.
    pub groups: Reading<Vec<SystemGroup>>,
    /// How its data is divided among owners, as all members that were asked see it. Where they do not agree it is a gap.
    pub shards: Reading<ShardMap>,
    /// What it is doing.
    pub operations: Reading<Vec<Operation>>,
    /// What it still keeps for members that came or went.
    pub debts: Reading<Vec<Debt>>,
    /// What the member that was registered last needs to join; handed to the platform's start verb.
    pub join: Reading<Join>,
    /// Whatever else it has to say.
    pub facts: BTreeMap<String, Reading<serde_json::Value>>,
}

/// A member as the system knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `plimsoll_wire::snapshot::Member`")]
pub struct SystemMember {
    pub id: Arc<str>,
    /// The slot that it runs in, by the addresses that the system knows for it; none if no slot fits.
    pub slot: Option<Arc<str>>,
    pub lifecycle: Reading<Lifecycle>,
    pub alive: Reading<bool>,
    pub roles: Reading<BTreeSet<Role>>,
    pub hosted: Reading<Hosted>,
    pub load_bytes: Reading<u64>,
    pub disk_capacity_bytes: Reading<u64>,
    pub disk_used_bytes: Reading<u64>,
    pub growth_bytes_per_s: Reading<u64>,
    pub drain_bytes_per_s: Reading<u64>,
    pub cpu_permille: Reading<u32>,
    pub memory_permille: Reading<u32>,
    pub network_permille: Reading<u32>,
    pub persistent: Reading<bool>,
    pub config_pending: Reading<bool>,
}

/// A group as the system knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `plimsoll_wire::snapshot::Group`")]
pub struct SystemGroup {
    pub id: Arc<str>,
    pub kind: GroupKind,
    pub model: GroupModel,
    pub target_copies: Reading<u32>,
    pub min_ack: Reading<u32>,
    pub placements: Reading<Vec<SystemPlacement>>,
    pub leader: Reading<Arc<str>>,
    pub config_version: Reading<u64>,
    pub in_joint_config: Reading<bool>,
    pub open: Reading<bool>,
}

/// One copy of a group as the system knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `plimsoll_wire::snapshot::Placement`")]
pub struct SystemPlacement {
    pub member: Arc<str>,
    pub weight: u32,
    pub state: PlacementState,
    pub lag: Reading<u64>,
    pub progress_permille: Reading<u32>,
}
