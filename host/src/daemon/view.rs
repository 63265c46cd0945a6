//! What the daemon shows: an immutable view that readers take without stopping the loop.

use super::lease::Standing;
use super::trouble::Troubles;
use crate::metrics::Counters;
use crate::policy::{Library, Stopped, Trouble};
use plimsoll_wire::Snapshot;
use plimsoll_wire::status::Status;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

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
    pub(super) autoscalers: Arc<BTreeMap<Arc<str>, Arc<Autoscaler>>>,
}

/// A document that is an object of the cluster, as it was read last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Autoscaler {
    /// Which object.
    pub(super) uid: String,
    /// Which of its generations.
    pub(super) generation: Option<i64>,
    /// Why it is not used, if it is not.
    pub(super) refused: Option<String>,
    /// Whether sizes may be wished through it.
    pub(super) external_wish: bool,
    /// Where the workload tells which pods are its members.
    pub(super) scale: Option<String>,
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

/// The place where the newest view is.
#[derive(Clone)]
pub struct Published {
    view: Arc<RwLock<Arc<View>>>,
    library: Arc<Library>,
    counters: Arc<Counters>,
}

impl Published {
    /// An empty view.
    #[must_use]
    pub fn new(library: Arc<Library>, counters: Arc<Counters>) -> Self {
        Self { view: Arc::default(), library, counters }
    }

    /// The newest view.
    #[must_use]
    pub fn get(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How all policies stand, by name.
    #[must_use]
    pub fn policies(&self) -> Vec<PolicyView> {
        let view = |policy: crate::policy::PolicyStatus| PolicyView {
            name: policy.name,
            module: policy.module,
            failures: policy.failures,
            trouble: policy.trouble.map(|trouble| trouble.rejection.to_string()),
            shadow: policy.shadow.map(|shadow| shadow.to_string()),
            rolled_back: policy
                .rolled_back
                .into_iter()
                .map(|(target, back)| (target, back.to_string()))
                .collect(),
        };
        self.library.status().into_iter().map(view).collect()
    }

    /// What is wrong with the policies' directory as a whole.
    #[must_use]
    pub fn policy_directory(&self) -> Option<Trouble> {
        self.library.directory()
    }

    /// What is wrong with policies and stops somebody, each in one line; and what is only being loaded.
    #[must_use]
    pub fn stopping_policies(&self) -> (Vec<String>, Vec<String>) {
        let (wrong, loading): (Vec<_>, Vec<_>) =
            self.library.stopped().into_iter().partition(|stopped| stopped.why.is_some());
        let lines = |all: Vec<Stopped>| all.iter().map(Stopped::to_string).collect();
        (lines(wrong), lines(loading))
    }

    /// Of each target, the policies that went back to an earlier version for it.
    #[must_use]
    pub fn rolled_back(&self) -> BTreeMap<Arc<str>, Vec<String>> {
        let mut targets: BTreeMap<Arc<str>, Vec<String>> = BTreeMap::new();
        for policy in self.library.status() {
            for (target, back) in policy.rolled_back {
                targets.entry(target).or_default().push(format!("policy {}: {back}", policy.name));
            }
        }
        targets
    }

    fn change(&self, change: impl FnOnce(&mut View)) {
        let mut place = self.view.write().unwrap_or_else(PoisonError::into_inner);
        // In place, unless somebody reads the one before: that stays as it was.
        change(Arc::make_mut(&mut place));
    }

    pub(super) fn set(&self, status: Status, snapshot: Option<Arc<Snapshot>>) {
        self.change(|view| {
            let key = status.target.clone();
            let before = view.targets.get(&key).and_then(|before| before.trouble.clone());
            self.counters.trouble(before.as_deref(), &status);
            if let Some(snapshot) = snapshot {
                view.snapshots.insert(key.clone(), snapshot);
            }
            view.targets.insert(key, Arc::new(status));
        });
    }

    pub(super) fn set_standing(&self, standing: Option<Standing>) {
        self.change(|view| view.standing = standing);
    }

    pub(super) fn remove(&self, key: &str) {
        self.change(|view| {
            view.targets.remove(key);
            view.snapshots.remove(key);
        });
    }

    pub(super) fn set_autoscalers(&self, autoscalers: BTreeMap<Arc<str>, Arc<Autoscaler>>) {
        self.change(|view| view.autoscalers = Arc::new(autoscalers));
    }

    pub(super) fn set_problems(&self, problems: Vec<String>, troubles: &Troubles) {
        self.change(|view| {
            view.problems = problems;
            view.refused = Some(troubles.refused());
            view.unbuilt.clone_from(&troubles.unbuilt);
        });
    }
}
