//! Shares one watch among all who read the same objects.

use super::{Keep, Watched};
use crate::kubernetes::ApiServer;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The watches of a server that somebody holds, by path.
#[derive(Debug, Default)]
pub(in crate::kubernetes) struct Shared(Mutex<BTreeMap<String, Weak<Watched>>>);

impl ApiServer {
    /// The watch of the objects below a path: the one that is there, or a new one. It ends with its last handle.
    #[must_use]
    pub fn watched(self: &Arc<Self>, path: &str) -> Arc<Watched> {
        let mut shared = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|_, watched| watched.strong_count() > 0);
        if let Some(watched) = shared.get(path).and_then(Weak::upgrade) {
            return watched;
        }
        let keep: Keep = match path.rsplit('/').next() {
            Some("nodes") => place,
            Some("pods") => member,
            Some(
                "persistentvolumeclaims"
                | "persistentvolumes"
                | "storageclasses"
                | "resourcequotas"
                | "horizontalpodautoscalers"
                | "poddisruptionbudgets",
            ) => unmanaged,
            Some(_) | None => |object| object,
        };
        let watched = Watched::keeping(self.clone(), path, "", keep);
        shared.insert(path.to_owned(), Arc::downgrade(&watched));
        watched
    }
}

/// What tells where a machine is and what it takes: machines report their state all the time, and list every image that
/// they have.
fn place(machine: Value) -> Value {
    let (metadata, spec) = (&machine["metadata"], &machine["spec"]);
    json!({
        "metadata": {
            "name": metadata["name"], "resourceVersion": metadata["resourceVersion"], "labels": metadata["labels"],
        },
        "spec": {
            "taints": spec["taints"], "unschedulable": spec["unschedulable"], "providerID": spec["providerID"],
        },
        "status": { "allocatable": machine["status"]["allocatable"] },
    })
}

/// All but who wrote which of its fields: of a kind that is only read nobody asks for that, and it may be half of an object.
fn unmanaged(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// What tells of a member; no other pod is held. One of a StatefulSet has its ordinal at the end of its name.
fn member(mut pod: Value) -> Value {
    let ordinal = pod["metadata"]["name"].as_str().and_then(|name| Some(name.rsplit_once('-')?.1));
    if !ordinal.is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit())) {
        return Value::Null;
    }
    let (mut metadata, status) = (pod["metadata"].take(), pod["status"].take());
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.retain(|key, _| key != "managedFields" && key != "annotations");
    }
    json!({
        "metadata": metadata,
        "spec": { "nodeName": pod["spec"]["nodeName"], "containers": [] },
        "status": {
            "phase": status["phase"], "podIP": status["podIP"], "conditions": status["conditions"],
            "containerStatuses": status["containerStatuses"],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_only_read_it_is_not_held_who_wrote_it() {
        let claim = json!({
            "metadata": { "name": "data-db-0", "managedFields": [{ "manager": "kubectl" }], "annotations": { "a": "b" } },
            "spec": { "volumeName": "v" },
        });
        let held = json!({ "metadata": { "name": "data-db-0", "annotations": { "a": "b" } }, "spec": { "volumeName": "v" } });
        assert_eq!(unmanaged(claim), held);
        assert_eq!(unmanaged(json!(7)), json!(7), "odd, and no reason to fall over");
    }

    #[test]
    fn of_pods_only_members_are_held_and_of_those_what_tells_of_them() {
        let pod = |name: &str| {
            json!({
                "metadata": { "name": name, "uid": "u", "managedFields": [1], "annotations": { "a": "b" } },
                "spec": { "nodeName": "one", "containers": [{ "name": "db", "env": [] }] },
                "status": { "phase": "Running", "podIP": "10.0.0.1", "qosClass": "Burstable" },
            })
        };
        for name in ["web-7d4b9c6f5d-x2x9k", "alone", "db-", "db-1a"] {
            assert_eq!(member(pod(name)), Value::Null, "{name}");
        }
        let held = member(pod("db-12"));
        assert_eq!(held["metadata"], json!({ "name": "db-12", "uid": "u" }));
        assert_eq!(held["spec"], json!({ "nodeName": "one", "containers": [] }));
        assert_eq!(
            (&held["status"]["podIP"], &held["status"]["qosClass"]),
            (&json!("10.0.0.1"), &Value::Null)
        );
    }
}
