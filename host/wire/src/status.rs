//! What a target is doing and why, at one glance.

use crate::journal::{Ended, Note, PlanState};
use crate::record::{Judgement, PolicyAnswer, Wish};
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
    /// The owner's least number of members.
    pub min: u32,
    /// The owner's greatest number of members.
    pub max: u32,
    /// Members now; absent when not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// Dry run: members that there would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ghost_size: Option<u32>,
    /// The last decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<LastDecision>,
    /// The plan that is running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanState>,
    /// The phase of that plan, in the profile's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// What the plan waits for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub waiting_for: String,
    /// What a person has to approve, word for word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// A person's pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Note>,
    /// Ended plans, newest last.
    #[serde(default)]
    pub history: Vec<Ended>,
    /// What is wrong with us, not with the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Conditions, in the words of Kubernetes.
    pub conditions: Vec<Condition>,
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
    /// The size that was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<u32>,
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
