//! Holds the newest view. Readers take it without stopping the loop.

use crate::metrics::Counters;
use crate::policy::{Library, Stopped, Trouble};
use crate::view::{Autoscaler, PolicyView, Standing, View};
use plimsoll_wire::Snapshot;
use plimsoll_wire::status::Status;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

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

    pub(crate) fn set(&self, status: Status, snapshot: Option<Arc<Snapshot>>) {
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

    pub(crate) fn set_standing(&self, standing: Option<Standing>) {
        self.change(|view| view.standing = standing);
    }

    pub(crate) fn remove(&self, key: &str) {
        self.change(|view| {
            view.targets.remove(key);
            view.snapshots.remove(key);
        });
    }

    pub(crate) fn set_autoscalers(&self, autoscalers: BTreeMap<Arc<str>, Arc<Autoscaler>>) {
        self.change(|view| view.autoscalers = Arc::new(autoscalers));
    }

    pub(crate) fn set_problems(
        &self,
        problems: Vec<String>,
        refused: Vec<String>,
        unbuilt: BTreeMap<Arc<str>, String>,
    ) {
        self.change(|view| {
            view.problems = problems;
            view.refused = Some(refused);
            view.unbuilt = unbuilt;
        });
    }
}
