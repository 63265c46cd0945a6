//! What a platform tells beside its members, of the object whose size it scales and of the room that there is: facts of the snapshot's open list
//! ([`crate::Snapshot::facts`]), so that policies of every contract see them and none of them has to change.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The name of the fact with the [`Identity`] of the object.
pub const IDENTITY: &str = "workload.identity";
/// The name of the fact with all [`Rival`]s.
pub const RIVALS: &str = "workload.rivals";
/// The name of the fact with all [`Budget`]s.
pub const BUDGETS: &str = "workload.budgets";
/// The name of the fact with the [`Room`] for more members.
pub const ROOM: &str = "platform.room";

/// The name of the fact with all [`Refusal`]s.
pub const REFUSALS: &str = "workload.refusals";

/// Something that the platform would refuse, as it knows before it is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Which verb: `start` or `stop`.
    pub verb: String,
    /// Why, in the platform's words, and what to do about it.
    pub why: String,
}

/// Which object it is, and who has last said what size it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The platform's own id of it: another object of the same name has another one.
    pub uid: String,
    /// Who owns its size beside us, each once.
    #[serde(default)]
    pub size_owners: BTreeSet<SizeOwner>,
}

/// Another writer of an object's size.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SizeOwner {
    /// The name that it gives itself.
    pub name: String,
    /// How people make it leave the size alone, in the platform's words.
    pub remedy: String,
}

/// Something else that changes the size of the very same object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Rival {
    /// What it is, such as `HorizontalPodAutoscaler`.
    pub kind: String,
    /// What it is called.
    pub name: String,
    /// How people take it away, in the platform's words.
    pub remedy: String,
}

/// How many members must stay healthy, by the word of an owner of the platform (a `PodDisruptionBudget`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// What it is called.
    pub name: String,
    /// How many of what it covers must be healthy.
    pub desired: u32,
    /// How many of what it covers are healthy now.
    pub healthy: u32,
    /// The members among those that are healthy, by their slots.
    #[serde(default)]
    pub members: BTreeSet<Arc<str>>,
}

/// How many more members can be placed now. A platform without a limit says that it does not apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// So many.
    pub members: u32,
    /// What ends first, in words that name it: a quota, a class of volumes, the machines.
    #[serde(default)]
    pub bound: String,
}
