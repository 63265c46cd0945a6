//! One watch for all who look at the same objects.

use super::{Keep, Watched};
use crate::kubernetes::ApiServer;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The watches of a server that somebody holds, by path and selector.
#[derive(Debug, Default)]
pub(in crate::kubernetes) struct Shared(Mutex<BTreeMap<(String, String), Weak<Watched>>>);

impl ApiServer {
    /// The watch of the objects below a path that a label selector fits: the one that is there, or a new one. It ends
    /// with its last handle.
    #[must_use]
    pub fn watched(self: &Arc<Self>, path: &str, selector: &str) -> Arc<Watched> {
        let mut shared = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|_, watched| watched.strong_count() > 0);
        let key = (path.to_owned(), selector.to_owned());
        if let Some(watched) = shared.get(&key).and_then(Weak::upgrade) {
            return watched;
        }
        let keep: Keep = if path == "/api/v1/nodes" { place } else { |object| object };
        let watched = Watched::keeping(self.clone(), path, selector, keep);
        shared.insert(key, Arc::downgrade(&watched));
        watched
    }
}

/// What tells where a machine is: machines report their state all the time, and list every image that they have.
fn place(machine: Value) -> Value {
    let metadata = &machine["metadata"];
    json!({ "metadata": {
        "name": metadata["name"], "resourceVersion": metadata["resourceVersion"], "labels": metadata["labels"],
    } })
}
