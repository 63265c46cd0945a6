//! What the daemon shows: an immutable view that readers take without stopping the loop.

use crate::policy::Library;
use plimsoll_wire::Snapshot;
use plimsoll_wire::status::Status;
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

/// The place where the newest view is.
#[derive(Clone)]
pub struct Published {
    view: Arc<RwLock<Arc<View>>>,
    library: Arc<Library>,
}

impl Published {
    /// An empty view.
    #[must_use]
    pub fn new(library: Arc<Library>) -> Self {
        Self { view: Arc::default(), library }
    }

    /// The newest view.
    #[must_use]
    pub fn get(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The policies.
    #[must_use]
    pub fn library(&self) -> &Library {
        &self.library
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
