//! What a target is doing and why, at one glance.

use crate::journal::{Answered, Ended, Note, PlanState};
use crate::record::{Judgement, PolicyAnswer, Wish};
use crate::size::{Bounds, Each, Sizes};
use crate::snapshot::Mode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The status of one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// `namespace/name`.
    pub target: Arc<str>,
    /// The kind of data system.
    pub system: String,
    /// Where its members run.
    pub platform: String,
    /// Whether decisions are carried out.
    pub mode: Mode,
    /// The owner's least and greatest size in each dimension that may change.
    pub bounds: Each<Bounds>,
    /// The sizes now, those that are known.
    #[serde(default, skip_serializing_if = "Sizes::is_empty")]
    pub sizes: Sizes,
    /// Dry run: the sizes that there would be.
    #[serde(default, skip_serializing_if = "Sizes::is_empty")]
    pub ghost: Sizes,
    /// The last decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<LastDecision>,
    /// The plan that is running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanState>,
    /// The phase of that plan, in the profile's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// How far the data that the unit under way moves has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<Moving>,
    /// What the plan waits for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub waiting_for: String,
    /// What a person has to approve, word for word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// A person's pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Note>,
    /// The wish from outside that stands, where the target takes such wishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<OutsideWish>,
    /// Written orders that stand, each with what was answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<Answered>,
    /// Ended plans, newest last.
    #[serde(default)]
    pub history: Vec<Ended>,
    /// What is wrong with us, not with the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Which daemon leads, where it is another one than the one that was asked: plans and decisions are told there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<String>,
    /// Conditions, in the words of Kubernetes.
    pub conditions: Vec<Condition>,
}

/// How far data on the move has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Moving {
    /// Copies that are still to be moved.
    pub copies_left: u64,
    /// Bytes that are still to be moved.
    pub bytes_left: u64,
    /// Bytes that were moved while this daemon has watched.
    pub bytes_moved: u64,
    /// Bytes a second meanwhile; absent before anything has moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_s: Option<u64>,
    /// How long the rest takes at that rate, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
}

/// A size that somebody wishes through the target's `scale` (`decisions.md` D24). It stands until it is taken away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OutsideWish {
    /// How many members.
    pub members: u32,
    /// Who wrote it, as the server names its writers.
    pub who: String,
    /// When it was written, as the server tells it; empty when it does not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub when: String,
}

/// The last decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LastDecision {
    /// For reading only.
    pub id: Arc<str>,
    /// Milliseconds since 1970.
    pub wall_ms: i64,
    /// What each policy said.
    #[serde(default)]
    pub answers: Vec<PolicyAnswer>,
    /// The combined wish.
    pub wish: Wish,
    /// The sizes that were decided.
    #[serde(default, skip_serializing_if = "Sizes::is_empty")]
    pub decided: Sizes,
    /// One word.
    pub reason: String,
    /// The check.
    pub judgement: Judgement,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Ready`, `AbleToScale`, `Limited`, `Safe`, `Moving`, `AwaitingApproval`, `Paused`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds.
    pub status: bool,
    /// One word.
    pub reason: String,
    /// One sentence.
    #[serde(default)]
    pub message: String,
}

impl Status {
    /// The owner's least and greatest number of members.
    #[must_use]
    pub fn member_bounds(&self) -> (u32, u32) {
        crate::snapshot::members_of(&self.bounds)
    }
}
