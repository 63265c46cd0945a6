//! The one immutable document that a decision rests on.

mod signal;

pub use self::signal::{Sample, Signal, SignalState};
use crate::fact::Fact;
use crate::journal::PlanState;
use crate::profile::Profile;
use crate::safety::Safety;
use crate::shards::ShardMap;
use crate::size::{Bounds, Each, Leg, Observed, Sizes};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;

/// Everything that is known of one target at one moment. Policies see it, the judge judges it, the record
/// keeps it: the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// See [`crate::FORMAT_VERSION`].
    pub format_version: u32,
    /// When.
    pub now: Now,
    /// What the owner asks for.
    pub target: Target,
    /// The safety parameters in force.
    #[serde(default)]
    pub safety: Safety,
    /// What is true of the system and of its platform.
    pub profile: Arc<Profile>,
    /// How much the target has of each dimension: what a policy's wish is compared with.
    pub sizes: Observed,
    /// The system's own id (an etcd cluster id, a PostgreSQL system identifier).
    pub fingerprint: Fact<String>,
    /// Changes on every change of membership.
    pub epoch: Fact<String>,
    /// What the platform was asked for and what it has acted on.
    pub generation: Fact<Generation>,
    /// Who may actuate.
    pub owner: Fact<String>,
    /// All members, of the platform and of the system, in order of their slots.
    pub members: Fact<Vec<Member>>,
    /// Slots where a new member could run, in the order in which they would be taken.
    pub vacant: Fact<Vec<Vacancy>>,
    /// Units of agreement or placement, those that are alike in one row; see [`GROUPS_LEFT_OUT`].
    pub groups: Fact<Vec<Group>>,
    /// How the data is divided among owners, as all members see it; not applicable where it is not divided.
    pub shards: Fact<ShardMap>,
    /// Operations in flight, ours and others'.
    pub operations: Fact<Vec<Operation>>,
    /// What the system still keeps for members that were added or removed.
    pub debts: Fact<Vec<Debt>>,
    /// What we did lately.
    #[serde(default)]
    pub history: History,
    /// The plan that is running, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanState>,
    /// Named series with their states.
    #[serde(default)]
    pub signals: BTreeMap<String, Signal>,
    /// An open list of further facts, so that a new one does not change the contract.
    #[serde(default)]
    pub facts: BTreeMap<String, Fact<serde_json::Value>>,
    /// What this policy itself returned last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// Addresses by purpose, such as `client` and `peer`.
pub type Endpoints = BTreeMap<String, String>;

/// A moment on two clocks (`decisions.md` D3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Now {
    /// Milliseconds since the boot `boot`; never goes back within it.
    pub mono_ms: u64,
    /// Milliseconds since 1970, for people; may jump.
    pub wall_ms: i64,
    /// Which boot `mono_ms` counts from.
    pub boot: Arc<str>,
}

/// What the owner asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// `namespace/name`.
    pub key: Arc<str>,
    /// The kind of data system, such as `etcd`.
    pub system: String,
    /// Where its members run, such as `exec`.
    pub platform: String,
    /// Whether decisions are carried out.
    pub mode: Mode,
    /// The owner's least and greatest size in each dimension that may change.
    pub bounds: Each<Bounds>,
    /// The settings of the policy that is asked.
    #[serde(default)]
    pub settings: serde_json::Value,
    /// How fast a policy may go, in the shape of the HPA.
    #[serde(default)]
    pub behavior: Behavior,
}

impl Target {
    /// The owner's least and greatest number of members; none at all where that number may not change.
    #[must_use]
    pub fn member_bounds(&self) -> (u32, u32) {
        members_of(&self.bounds)
    }
}

/// The least and the greatest number of members that bounds allow.
#[must_use]
pub fn members_of(bounds: &Each<Bounds>) -> (u32, u32) {
    let fits = |size: u64| u32::try_from(size).unwrap_or(u32::MAX);
    bounds.members.map_or((0, 0), |bounds| (fits(bounds.min), fits(bounds.max)))
}

/// Whether decisions are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Observe only.
    Off,
    /// Decide and record, touch nothing. The default.
    #[default]
    Dryrun,
    /// Decide, record and act.
    Enforce,
}

/// How fast a policy may go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// Rules for growing.
    #[serde(default)]
    pub scale_up: Rules,
    /// Rules for shrinking.
    #[serde(default)]
    pub scale_down: Rules,
}

/// The HPA's scaling rules for one direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// The most careful wish of this many seconds counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stabilization_window_seconds: Option<u32>,
    /// Differences from the goal within this part of it are ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// How much may change in how long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Rate>,
    /// Which of the policies counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<Select>,
}

/// How much may change in how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// Members or percent of members.
    #[serde(rename = "type")]
    pub kind: RateKind,
    /// How many of them.
    pub value: u32,
    /// In how many seconds.
    pub period_seconds: u32,
}

/// What a [`Rate`] counts. `Pods` is what users of the HPA write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum RateKind {
    /// Members.
    #[serde(alias = "Pods")]
    Members,
    /// Percent of the members.
    Percent,
}

/// Which of several rates counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Select {
    /// The one that allows the largest change.
    Max,
    /// The one that allows the smallest change.
    Min,
    /// This direction is switched off.
    Disabled,
}

/// What the platform was asked for and what it has acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Generation {
    /// Of the wish.
    pub spec: u64,
    /// Of what was acted on.
    pub observed: u64,
}

/// One member: what the platform runs in a slot and what the system knows under an id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The platform's name of the place it runs in; absent for a member that only the system knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Arc<str>>,
    /// Where it is reached, by purpose (`client`, `peer`, ...), as the platform says.
    #[serde(default, skip_serializing_if = "Endpoints::is_empty")]
    pub endpoints: Endpoints,
    /// Its identity inside the system.
    pub id: Fact<Arc<str>>,
    /// What changes when the process or its volume is replaced.
    pub incarnation: Fact<String>,
    /// Where it stands in its life.
    pub lifecycle: Fact<Lifecycle>,
    /// Whether the platform runs it.
    pub running: Fact<bool>,
    /// Whether it answers.
    pub alive: Fact<bool>,
    /// What it does.
    pub roles: Fact<BTreeSet<Role>>,
    /// Its failure domain, widest first, parts separated by `/`.
    pub domain: Fact<String>,
    /// What it holds.
    pub hosted: Fact<Hosted>,
    /// Bytes of data on it that would have to go elsewhere.
    pub load_bytes: Fact<u64>,
    /// Size of its file system.
    pub disk_capacity_bytes: Fact<u64>,
    /// Used bytes of its file system.
    pub disk_used_bytes: Fact<u64>,
    /// Bytes a second by which its data grows.
    pub growth_bytes_per_s: Fact<u64>,
    /// Bytes a second at which data can leave it.
    pub drain_bytes_per_s: Fact<u64>,
    /// Use of its cpu, in thousandths.
    pub cpu_permille: Fact<u32>,
    /// Use of its memory, in thousandths.
    pub memory_permille: Fact<u32>,
    /// Use of its network, in thousandths.
    pub network_permille: Fact<u32>,
    /// Whether a restart keeps its data.
    pub persistent: Fact<bool>,
    /// Whether it waits for a restart to take up its configuration.
    pub config_pending: Fact<bool>,
    /// What is on its volume: whose data, and whether that member was removed.
    pub marker: Fact<Marker>,
}

/// Where a member stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Lifecycle {
    /// Registered or created, not seen alive yet.
    Provisioning,
    /// Started, not a member yet.
    Joining,
    /// A member without all data.
    CatchingUp,
    /// Does its work.
    Serving,
    /// Gives its data away.
    Draining,
    /// Has given its data away.
    Drained,
    /// No longer a member.
    Removed,
    /// Failed.
    Dead,
}

/// What a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Votes in the control group.
    Voter,
    /// Follows without a vote.
    Learner,
    /// Leads the control group.
    Leader,
    /// Confirms writes.
    SyncStandby,
    /// Holds data.
    Data,
}

/// What a member holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Hosted {
    /// Copies of groups.
    pub copies: u64,
    /// Groups that it leads.
    pub leaders: u64,
    /// Copies on their way to it or from it.
    pub moving: u64,
    /// Writes that are open on it.
    pub open_writes: u64,
    /// Moves from it that failed.
    pub failed_moves: u64,
    /// Copies that it would get if everything were spread evenly, beyond what is on its way: 0 where nothing is owed to it.
    pub due: u64,
}

/// Whose data is on a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Marker {
    /// Of which cluster; empty for a blank volume.
    pub fingerprint: String,
    /// Of which member.
    pub member_id: String,
    /// Whether that member was removed for good.
    pub tombstoned: bool,
}

/// A slot where a new member could run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Vacancy {
    /// The platform's name of the place.
    pub slot: Arc<str>,
    /// Where its member will be reached, by purpose.
    #[serde(default)]
    pub endpoints: Endpoints,
    /// Its failure domain.
    pub domain: Fact<String>,
    /// What lies on its volume.
    pub marker: Fact<Marker>,
}

/// How many groups have no row because others speak for them, among the further facts: sound groups whose members are all in
/// rows of the same rule. No rule that asks about one member could tell them apart.
pub const GROUPS_COVERED: &str = "groupsCovered";

/// How many groups the snapshot says nothing of, among its further facts; absent where there is none. They bar a removal.
pub const GROUPS_LEFT_OUT: &str = "groupsLeftOut";

/// A unit of agreement or placement, or several that are alike: with the same members, states, leader and rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Its name in the system; of several the first in order.
    pub id: Arc<str>,
    /// How many groups this row stands for. What differs among them is the worst of them: the oldest reading, the
    /// greatest lag, the least progress.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: NonZeroU32,
    /// What it holds.
    pub kind: GroupKind,
    /// How it agrees.
    pub model: GroupModel,
    /// How many copies it should have.
    pub target_copies: Fact<u32>,
    /// How many copies must confirm a write.
    pub min_ack: Fact<u32>,
    /// Where its copies are.
    pub placements: Fact<Vec<Placement>>,
    /// Its leader's id.
    pub leader: Fact<Arc<str>>,
    /// The version of its configuration.
    pub config_version: Fact<u64>,
    /// Whether it is between two configurations.
    pub in_joint_config: Fact<bool>,
    /// Whether it has writes in flight that are on no disk yet.
    pub open: Fact<bool>,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(count: &NonZeroU32) -> bool {
    *count == NonZeroU32::MIN
}

/// What a group holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum GroupKind {
    /// The system's membership or metadata.
    Control,
    /// Users' data.
    Data,
    /// The system's own data.
    System,
}

/// How a group agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum GroupModel {
    /// More than half of all votes.
    StaticMajority,
    /// `min_ack` copies.
    AckSet,
    /// One primary; copies follow when they can.
    AsyncPrimary,
}

/// Where one copy of a group is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// On which member, by id.
    pub member: Arc<str>,
    /// How many votes it has; 0 for a learner.
    pub weight: u32,
    /// How good it is.
    pub state: PlacementState,
    /// How far it is behind: bytes or entries, as the system counts.
    pub lag: Fact<u64>,
    /// How far it has come compared with the leader, in thousandths.
    pub progress_permille: Fact<u32>,
}

/// How good a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PlacementState {
    /// Has everything that was acknowledged.
    InSync,
    /// Is being filled.
    CatchingUp,
    /// Has fallen behind.
    Stale,
    /// Follows without a vote.
    Learner,
    /// Is being given up.
    Leaving,
}

/// The owner of an operation that bears nobody's name.
pub const UNKNOWN_OWNER: &str = "unknown";

/// An operation in flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// The system's or platform's name for it.
    pub id: String,
    /// What it does.
    pub kind: OperationKind,
    /// Who started it: `plan/<id>` for ours, else `system`, `operator`, `human` or `unknown`.
    pub owner: String,
    /// The member that it is about, by id or slot, or the group; empty for the whole.
    #[serde(default)]
    pub scope: String,
    /// How far it is, in thousandths.
    pub progress_permille: Fact<u32>,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the words are the field's own")]
pub enum OperationKind {
    Join,
    Drain,
    Remove,
    Rebalance,
    Repair,
    Cleanup,
    Backup,
    Restore,
    Restart,
    Upgrade,
    SchemaChange,
    VolumeResize,
    Failover,
    Recovery,
    Reshard,
    /// A command of ours that still runs.
    Command,
}

/// What is still owed after a change; it must be paid before the opposite change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Debt {
    /// What: `cleanup`, `registration`, `volume`, ...
    pub kind: String,
    /// For which member, by id.
    pub member: Arc<str>,
}

/// What we did lately, as far as waits and budgets need it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// Finished changes, oldest first, at most 32.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// For how long the combined wish has pointed in its present direction, in milliseconds.
    #[serde(default)]
    pub wish_held_ms: u64,
    /// Which direction that is: -1 in, 0 none, 1 out.
    #[serde(default)]
    pub wish_direction: i8,
    /// Dry run only: the sizes that there would be had we acted.
    #[serde(default, skip_serializing_if = "Sizes::is_empty")]
    pub ghost: Sizes,
}

/// One finished change of size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What changed, from which size to which.
    pub leg: Leg,
    /// How long ago it ended, in milliseconds.
    pub age_ms: u64,
    /// How long ago it began, in milliseconds: rates count from there, since a move may take longer than their period.
    #[serde(default)]
    pub began_age_ms: u64,
}
