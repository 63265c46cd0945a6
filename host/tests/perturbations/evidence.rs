//! Records what happened, as seen on the wire.

use plimsoll_sim::oracle::Finding;
use plimsoll_wire::journal::{Intent, Journal, PlanState};
use serde_json::Value;

/// Everything that the oracles look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) log: Vec<Entry>,
    /// What the oracle of the simulated group found: it shares no code with the judge.
    pub(crate) harms: Vec<Finding>,
    /// The size that was wished, and what there was in the end: pods that are asked for, and voters.
    pub(crate) wish: u32,
    pub(crate) replicas: u32,
    pub(crate) voters: u32,
    /// The plan that is left, for readers.
    pub(crate) plan: Option<PlanState>,
    /// The owner's bounds.
    pub(crate) bounds: (u32, u32),
    /// When the last fault was over, and when the run was.
    pub(crate) calm_ms: u64,
    pub(crate) end_ms: u64,
    /// How often a decision is due.
    pub(crate) interval_ms: u64,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at_ms: u64,
    /// Of which life of the daemon, counted from 1.
    pub(crate) life: u32,
    pub(crate) what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// An object was read; none was there where it has no version.
    Read { path: String, version: Option<u64> },
    /// A write was sent.
    Write(Box<Write>),
    /// A write that was sent earlier, the entry of that number, was carried out now.
    Landed(usize),
    /// A call to the data system.
    Call { intent: Box<Intent>, epoch: u64, applied: bool },
    /// The daemon recorded a decision; why is for readers, and judged by nobody.
    Decided(String),
}

/// A write as the server got it.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) method: String,
    /// Of the object, without the subresource.
    pub(crate) path: String,
    pub(crate) part: String,
    pub(crate) body: Value,
    /// The object before, where there was one.
    pub(crate) before: Value,
    /// The version that it was given, where the write was carried out.
    pub(crate) version: Option<u64>,
    /// Whether the daemon got the server's answer.
    pub(crate) answered: bool,
    /// Whether all signals were good at that time.
    pub(crate) signals: bool,
}

impl Write {
    /// The version that it was bound to.
    pub(crate) fn bound_to(&self) -> Option<u64> {
        number(&self.body["metadata"]["resourceVersion"])
    }

    /// The journal in it.
    pub(crate) fn journal(&self) -> Option<Journal> {
        let is_status = self.path.contains("/scalingplans/") && self.part == "status";
        is_status.then(|| serde_json::from_value(self.body["status"]["journal"].clone()).ok())?
    }

    /// The size that it asks for.
    pub(crate) fn size(&self) -> Option<i64> {
        (self.part == "scale").then(|| self.body["spec"]["replicas"].as_i64())?
    }

    pub(crate) fn is_of_workload(&self) -> bool {
        self.path.contains("/statefulsets/")
    }
}

/// A number that is written as text.
pub(crate) fn number(value: &Value) -> Option<u64> {
    value.as_str().and_then(|text| text.parse().ok())
}
