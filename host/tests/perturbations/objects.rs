//! The objects of the cluster, and the controller that keeps pods as they are asked for.
#![allow(clippy::unwrap_used, reason = "a test may end here")]

use super::cluster::{Cluster, WORKLOAD};
use plimsoll_wire::journal::{Join, PlatformVerb, Verb};
use serde_json::{Value, json};

impl Cluster {
    pub(crate) fn reconcile(&mut self) {
        let object = self.store.get(WORKLOAD).cloned().unwrap();
        let wanted = u32::try_from(object["spec"]["replicas"].as_u64().unwrap()).unwrap();
        for ordinal in 0..wanted {
            if self.store.get(&pod_path(ordinal)).is_none() {
                self.create_pod(ordinal);
                let slot = slot(ordinal).into();
                // What runs in the pod asks the cluster how it is to join.
                let join = Some(Join { existing: true, ..Join::default() });
                self.sim.act(
                    &Verb::Platform(PlatformVerb::Start { slot, size_after: ordinal + 1, join }),
                    "controller",
                );
            }
        }
        for ordinal in wanted..7 {
            if self.store.get(&pod_path(ordinal)).is_some() {
                self.store.remove(&pod_path(ordinal));
                let slot = slot(ordinal).into();
                self.sim.act(
                    &Verb::Platform(PlatformVerb::Stop { slot, member: "".into(), size_after: ordinal }),
                    "controller",
                );
            }
        }
        let mut next = object.clone();
        next["status"]["observedGeneration"] = object["metadata"]["generation"].clone();
        next["status"]["replicas"] = json!(wanted);
        self.put_if_other(WORKLOAD, &object, next);
        self.show_pods();
    }

    fn put_if_other(&mut self, path: &str, now: &Value, next: Value) {
        if *now != next {
            self.store.put(path, next);
        }
    }

    pub(crate) fn create_pod(&mut self, ordinal: u32) {
        let claim = format!("/api/v1/namespaces/shop/persistentvolumeclaims/data-{}", slot(ordinal));
        if self.store.get(&claim).is_none() {
            self.store.put(&claim, json!({ "metadata": { "name": format!("data-{}", slot(ordinal)) } }));
        }
        self.store.put(&pod_path(ordinal), pod(ordinal));
    }

    /// What the kubelets report.
    pub(crate) fn show_pods(&mut self) {
        let report = self.sim.world().platform().report();
        for place in report.slots.value().unwrap() {
            let path = format!("/api/v1/namespaces/shop/pods/{}", place.slot);
            let Some(now) = self.store.get(&path).cloned() else { continue };
            let mut next = now.clone();
            let state = if place.running {
                json!({ "running": {} })
            } else {
                json!({ "waiting": { "reason": "CrashLoopBackOff" } })
            };
            next["status"]["containerStatuses"][0]["state"] = state;
            self.put_if_other(&path, &now, next);
        }
    }

    /// Its process was so fast that nobody saw it gone: another pod with the same data.
    pub(crate) fn replace_highest_pod(&mut self) {
        let Some(ordinal) = (0..7).rev().find(|ordinal| self.store.get(&pod_path(*ordinal)).is_some()) else {
            return;
        };
        self.store.remove(&pod_path(ordinal));
        self.store.put(&pod_path(ordinal), pod(ordinal));
        self.show_pods();
    }

    pub(crate) fn edit_and_back(&mut self) {
        let now = self.store.get(WORKLOAD).cloned().unwrap();
        let generation = now["metadata"]["generation"].as_u64().unwrap();
        let mut next = now;
        next["metadata"]["generation"] = json!(generation + 2);
        self.store.put(WORKLOAD, next);
        self.touch();
    }
}

pub(crate) fn slot(ordinal: u32) -> String {
    format!("db-{ordinal}")
}

pub(crate) fn pod_path(ordinal: u32) -> String {
    format!("/api/v1/namespaces/shop/pods/{}", slot(ordinal))
}

pub(crate) fn workload(replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": { "name": "db", "namespace": "shop", "uid": "workload", "generation": 1 },
        "spec": {
            "replicas": replicas, "serviceName": "db", "selector": { "matchLabels": { "app": "db" } },
            "template": { "metadata": { "labels": { "app": "db" } }, "spec": { "containers": [] } },
            "volumeClaimTemplates": [{ "metadata": { "name": "data" }, "spec": {} }],
        },
        "status": {
            "observedGeneration": 1, "replicas": replicas, "currentRevision": "r1", "updateRevision": "r1",
        },
    })
}

pub(crate) fn pod(ordinal: u32) -> Value {
    let owner = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "workload", "controller": true,
    });
    let container = json!({
        "name": "db", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": { "running": {} },
    });
    json!({
        "metadata": {
            "name": slot(ordinal),
            "labels": { "app": "db", "controller-revision-hash": "r1" },
            "ownerReferences": [owner],
        },
        "spec": { "nodeName": format!("machine-{}", ordinal % 3), "containers": [] },
        "status": { "phase": "Running", "podIP": format!("10.0.0.{ordinal}"), "containerStatuses": [container] },
    })
}
