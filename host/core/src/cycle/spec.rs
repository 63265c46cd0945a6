//! What the owner asks of a target.

use crate::combine::OnError;
use crate::pauses::Pauses;
use plimsoll_wire::Safety;
use plimsoll_wire::profile::Profile;
use plimsoll_wire::size::{Bounds, Each};
use plimsoll_wire::snapshot::{Behavior, Mode};
use std::sync::Arc;

/// What the owner wrote, checked and complete.
#[derive(Clone, Debug)]
pub struct Spec {
    /// `namespace/name`.
    pub key: Arc<str>,
    /// What is true of the system.
    pub profile: Arc<Profile>,
    /// Where members run, by kind.
    pub platform: String,
    /// Whether decisions are carried out.
    pub mode: Mode,
    /// The owner's least number of members.
    pub min: u32,
    /// The owner's greatest number of members.
    pub max: u32,
    /// How fast policies may go.
    pub behavior: Behavior,
    /// The safety parameters in force.
    pub safety: Safety,
    /// Who is asked.
    pub policies: Vec<PolicyRef>,
    /// The owner's own hold in the document: who and why.
    pub held: Option<String>,
    /// What else the owner has paused in the document.
    pub pauses: Pauses,
    /// How often a decision is made, in milliseconds.
    pub interval_ms: u64,
    /// How often a running plan is looked at, in milliseconds.
    pub pace_ms: u64,
}

impl Spec {
    /// The owner's bounds, as documents have them.
    #[must_use]
    pub fn bounds(&self) -> Each<Bounds> {
        Bounds::of_members(self.min, self.max)
    }
}

/// A policy of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyRef {
    /// Its name in the document.
    pub name: String,
    /// Its module's name in the policy directory.
    pub module: String,
    /// What happens when it fails.
    pub on_error: OnError,
    /// Its settings.
    pub settings: serde_json::Value,
}
