//! Carrying out one effect: who may, for how long, and what came of it.

pub mod journal;

use std::sync::Arc;
use std::time::Duration;

/// The permission to carry out one verb: a durable intent, and a deadline after which its outcome is unknown.
#[derive(Clone, Debug)]
pub struct Licence {
    /// `namespace/name`.
    pub target: Arc<str>,
    /// The plan that the intent belongs to.
    pub plan: Arc<str>,
    /// The intent that was journaled. It licenses one effect.
    pub intent: Arc<str>,
    /// The epoch of the journal with that intent: whoever meets a later one in the world was deposed.
    pub epoch: u64,
    /// How long the effect may take.
    pub deadline: Duration,
}
