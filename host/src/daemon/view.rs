//! What the daemon shows: an immutable view that readers take without stopping the loop.

use crate::metrics::Counters;
use crate::policy::{Library, Trouble};
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
    /// What is wrong with the configuration as it is on disk.
    pub problems: Vec<String>,
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
        };
        self.library.status().into_iter().map(view).collect()
    }

    /// What is wrong with the policies' directory as a whole.
    #[must_use]
    pub fn policy_directory(&self) -> Option<Trouble> {
        self.library.directory()
    }

    fn change(&self, change: impl FnOnce(&mut View)) {
        let mut place = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let mut view = View::clone(&place);
        change(&mut view);
        *place = Arc::new(view);
    }

    pub(super) fn set(&self, status: Status, snapshot: Option<Arc<Snapshot>>) {
        self.change(|view| {
            let key = status.target.clone();
            if let Some(snapshot) = snapshot {
                view.snapshots.insert(key.clone(), snapshot);
            }
            view.targets.insert(key, Arc::new(status));
        });
    }

    pub(super) fn remove(&self, key: &str) {
        self.change(|view| {
            view.targets.remove(key);
            view.snapshots.remove(key);
        });
    }

    pub(super) fn set_problems(&self, problems: Vec<String>) {
        self.change(|view| view.problems = problems);
    }
}
