//! The view: all that the daemon shows, as plain values.

use plimsoll_wire::Snapshot;
use plimsoll_wire::status::Status;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that is shown.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Every target's status, by name.
    pub targets: BTreeMap<Arc<str>, Arc<Status>>,
    /// Every target's newest snapshot.
    pub snapshots: BTreeMap<Arc<str>, Arc<Snapshot>>,
    /// How this daemon stands; none where it is the only one.
    pub standing: Option<Standing>,
    /// What is wrong with the configuration as it is on disk, and with what was to be built from it.
    pub problems: Vec<String>,
    /// Those of the problems for which nobody should rely on us yet: what a document or the daemon's file says is not
    /// in force. None until the files have been read.
    pub refused: Option<Vec<String>>,
    /// Targets whose documents are right and which could not be built all the same, each with the reason.
    pub unbuilt: BTreeMap<Arc<str>, String>,
    /// The documents that are objects of the cluster, by name.
    pub(crate) autoscalers: Arc<BTreeMap<Arc<str>, Arc<Autoscaler>>>,
}

/// A document that is an object of the cluster, as it was read last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Autoscaler {
    /// Which object.
    pub(crate) uid: String,
    /// Which of its generations.
    pub(crate) generation: Option<i64>,
    /// Why it is not used, if it is not.
    pub(crate) refused: Option<String>,
    /// Whether sizes may be wished through it.
    pub(crate) external_wish: bool,
    /// Where the workload tells which pods are its members.
    pub(crate) scale: Option<String>,
}

/// How one policy stands, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyView {
    /// Its name: the file's, without `.wasm`.
    pub name: String,
    /// SHA-256 of the running module; absent if none runs.
    pub module: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// What is wrong with the file in the directory, if something is.
    pub trouble: Option<String>,
    /// The version that stands beside the running one and does not decide yet, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<String>,
    /// The targets that went back to an earlier version, each with that one's digest and the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rolled_back: BTreeMap<Arc<str>, String>,
}

/// Whether this daemon leads, and how it stands with its lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Whether it leads.
    pub leads: bool,
    /// Who does, in words.
    pub leader: String,
    /// Who this daemon is.
    pub identity: String,
    /// Which lease, as `namespace/name`.
    pub lease: String,
    /// How often this daemon was elected.
    pub elected: u64,
    /// How often it lost leadership.
    pub lost: u64,
    /// Why the lease could not be read or written last time, if it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}
