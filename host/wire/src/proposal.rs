//! What a policy answers.

pub use crate::size::Sizes;
use crate::snapshot::Sample;
use serde::{Deserialize, Serialize};

/// What a policy wishes for one target. A wish, nothing more: the invariants have the last word.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// The wished sizes; what is absent stays as it is.
    #[serde(default)]
    pub sizes: Sizes,
    /// Why.
    pub reason: Reason,
    /// The names of the signals that the wish rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<String>,
    /// What load the policy expects, so that movement can be priced against it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forecast: Vec<Sample>,
    /// What the policy wants to be handed back next time, at most 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// When the policy wants to be asked again at the latest, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask_again_ms: Option<u64>,
}

/// A code for machines and a sentence for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// A `CamelCase` word.
    pub code: String,
    /// One sentence.
    #[serde(default)]
    pub message: String,
}

/// A policy's own "I cannot say": the target holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
}

/// The one document that a policy writes: a proposal, or a refusal under the key `refusal`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Answer {
    /// The policy does not know.
    Refusal {
        /// Why.
        refusal: Refusal,
    },
    /// The policy wishes something.
    Proposal(Proposal),
}
