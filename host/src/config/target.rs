//! The document of one target, kind `StatefulAutoscaler`: what to scale, between which sizes, by whose
//! advice, and how carefully.

mod behavior;
mod document;
mod pause;
mod series;
mod signal;
mod sketch;

pub(super) use document::{form, read};
pub use pause::{Pause, Pauses};
pub use signal::SignalConfig;
pub use sketch::Stops;
pub(super) use sketch::identity;

use super::daemon::{Platform, System};
use super::key::TargetKey;
use plimsoll_core::cycle::PolicyRef;
use plimsoll_wire::safety::Safety;
use plimsoll_wire::snapshot::{Behavior, Mode};
use std::sync::Arc;
use std::time::Duration;

/// The kind of a target's document.
pub(super) const KIND: &str = "StatefulAutoscaler";

/// One target's configuration, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetConfig {
    /// What it is called.
    pub key: TargetKey,
    /// The file that it was read from, or the object, such as `StatefulAutoscaler shop/db`.
    pub file: Arc<str>,
    /// Where documents like it come from.
    pub origin: Origin,
    /// The line where its document begins.
    pub line: usize,
    /// What its owner has paused in annotations.
    pub pauses: Pauses,
    /// The plan that its owner approves in an annotation, word for word.
    pub approve: Option<String>,
    /// Whether sizes may be wished from outside, through the object's `scale` (`decisions.md` D24).
    pub external_wish: bool,
    /// Whether a removed member's data is set aside before the next one starts on its volume (`decisions.md` D22).
    pub set_aside: bool,
    /// Where its members run, as the daemon's file had it when this document was read.
    pub platform: Arc<Platform>,
    /// What data its members hold.
    pub system: Arc<System>,
    /// The owner's least number of members.
    pub min_replicas: u32,
    /// The owner's greatest number of members.
    pub max_replicas: u32,
    /// Whether decisions are carried out.
    pub mode: Mode,
    /// How often it is looked at.
    pub interval: Duration,
    /// Who is asked, in the order of the document.
    pub policies: Vec<PolicyConfig>,
    /// What is measured.
    pub signals: Vec<SignalConfig>,
    /// How fast policies may go.
    pub behavior: Behavior,
    /// The invariants' parameters in force.
    pub safety: Safety,
}

/// Where a document comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file in `targetsDir`.
    File,
    /// An object of the cluster.
    Object,
}

/// One policy that is asked for a target.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyConfig {
    /// The line where it stands.
    pub line: usize,
    /// Whom the core asks.
    pub asked: PolicyRef,
}
