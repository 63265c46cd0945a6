//! The platform against an API server that checks what the real one checks, and misbehaves on demand.
#![allow(clippy::unwrap_used, reason = "a test may end here")]

mod front;
mod reader;
mod room;
mod volumes;
mod workload;

use super::*;
use crate::testing::objects::{Objects, Received, Reply};
use crate::testing::scripted::Scripted;
use plimsoll_wire::snapshot::OperationKind;

const WORKLOAD: &str = "/apis/apps/v1/namespaces/shop/statefulsets/db-main";

/// A cluster with a StatefulSet of three.
struct Cluster {
    server: Scripted,
    objects: Arc<Mutex<Objects>>,
    kube: Kube,
}

fn workload() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": { "name": "db-main", "namespace": "shop", "uid": "workload", "generation": 4 },
        "spec": {
            "replicas": 3, "serviceName": "db", "selector": { "matchLabels": { "app": "db" } },
            "template": { "metadata": { "labels": { "app": "db" } }, "spec": { "containers": [] } },
            "volumeClaimTemplates": [{ "metadata": { "name": "data" }, "spec": {} }],
        },
        "status": { "observedGeneration": 4, "replicas": 3, "currentRevision": "r1", "updateRevision": "r1" },
    })
}

fn pod(ordinal: i32) -> Value {
    json!({
        "metadata": {
            "name": format!("db-main-{ordinal}"), "uid": format!("pod-{ordinal}"),
            "labels": { "app": "db", "controller-revision-hash": "r1" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db-main", "uid": "workload", "controller": true }],
        },
        "spec": { "nodeName": format!("machine-{}", ordinal % 2), "containers": [] },
        "status": {
            "phase": "Running", "podIP": format!("10.0.0.{ordinal}"),
            "containerStatuses": [{ "name": "db", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": { "running": {} } }],
        },
    })
}

fn pod_path(ordinal: i32) -> String {
    format!("/api/v1/namespaces/shop/pods/db-main-{ordinal}")
}

impl Cluster {
    async fn new() -> Self {
        let mut objects = Objects::default();
        objects.put(WORKLOAD, workload());
        for ordinal in 0..3 {
            objects.put(&pod_path(ordinal), pod(ordinal));
        }
        let machine = |name: &str, zone: Value| json!({ "metadata": { "name": name, "labels": zone } });
        objects.put(
            "/api/v1/nodes/machine-0",
            machine("machine-0", json!({ "topology.kubernetes.io/zone": "a" })),
        );
        objects.put("/api/v1/nodes/machine-1", machine("machine-1", json!({})));
        let objects = Arc::new(Mutex::new(objects));
        let server = Scripted::start({
            let objects = objects.clone();
            move |call| objects.lock().unwrap().answer(call)
        })
        .await;
        let config = KubeConfig {
            namespace: "shop".into(),
            workload: "db-main".into(),
            kind: Scalable::stateful_set(),
            endpoints: BTreeMap::from([
                ("client".into(), "http://{ip}:2379".into()),
                ("peer".into(), "http://{pod}.{service}.{namespace}.svc:2380".into()),
            ]),
            set_aside: false,
        };
        let kube = Kube::new(Arc::new(server.client().await), config);
        Self { server, objects, kube }
    }

    fn change(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut objects = self.objects.lock().unwrap();
        let mut object = objects.get(path).unwrap().clone();
        change(&mut object);
        objects.put(path, object);
    }

    fn workload(&self) -> Value {
        self.objects.lock().unwrap().get(WORKLOAD).unwrap().clone()
    }

    /// Lets calls that fit be answered otherwise, after they were carried out or without.
    fn spoil(
        &self,
        fits: impl Fn(&Received) -> bool + Send + Sync + 'static,
        carried_out: bool,
        reply: Reply,
    ) {
        let objects = self.objects.clone();
        self.server.script(move |call| {
            let mut objects = objects.lock().unwrap();
            if !fits(call) {
                return objects.answer(call);
            }
            if carried_out {
                objects.answer(call);
            }
            reply.clone()
        });
    }

    async fn act(&self, verb: &PlatformVerb) -> Outcome {
        self.kube.act(&permit(7), verb).await
    }

    fn writes(&self) -> Vec<Received> {
        let is_kept = |call: &Received| call.method != "GET" && !call.path.contains("dryRun=All");
        self.server.calls().into_iter().filter(is_kept).collect()
    }
}

fn permit(epoch: u64) -> Permit {
    Permit {
        target: "shop/db".into(),
        plan: "p".into(),
        intent: "i".into(),
        epoch,
        deadline: ACT_DEADLINE,
        membership: None,
    }
}

fn start(slot: &str, size_after: u32) -> PlatformVerb {
    PlatformVerb::Start { slot: slot.into(), size_after, join: None }
}

fn stop(slot: &str, size_after: u32) -> PlatformVerb {
    PlatformVerb::Stop { slot: slot.into(), member: "m".into(), size_after }
}

fn is_scale(call: &Received) -> bool {
    call.method == "PATCH" && call.path.ends_with("/scale")
}

fn message(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Refused { message } | Outcome::Unknown { message } => message,
        Outcome::Applied => "applied",
    }
}

#[tokio::test]
async fn members_are_pods_with_their_uid_their_addresses_and_their_domain() {
    let cluster = Cluster::new().await;
    let report = cluster.kube.read(true).await;
    let slots = report.slots.value().unwrap();
    let reading: Vec<_> = slots
        .iter()
        .map(|slot| (&*slot.slot, slot.running, &*slot.incarnation, slot.domain.value().unwrap().as_str()))
        .collect();
    assert_eq!(
        reading,
        [
            ("db-main-0", true, "pod-0", "a/machine-0"),
            ("db-main-1", true, "pod-1", "machine-1"),
            ("db-main-2", true, "pod-2", "a/machine-0")
        ]
    );
    assert_eq!(slots[1].endpoints["client"], "http://10.0.0.1:2379");
    assert_eq!(slots[1].endpoints["peer"], "http://db-main-1.db.shop.svc:2380");
    let vacant = report.vacant.value().unwrap();
    assert_eq!(&*vacant[0].slot, "db-main-3");
    assert_eq!(vacant[0].endpoints.keys().collect::<Vec<_>>(), ["peer"], "nobody is there to be asked");
    assert_eq!(vacant[0].marker.value().unwrap().fingerprint, "");
    let generation = report.generation.value().unwrap();
    assert_eq!((generation.spec, generation.observed), (4, 4));
    assert!(report.operations.value().unwrap().is_empty());
}

#[tokio::test]
async fn a_pod_that_is_not_there_or_does_not_run_has_no_address_of_its_own() {
    let cluster = Cluster::new().await;
    cluster.objects.lock().unwrap().remove(&pod_path(1));
    cluster.change(&pod_path(2), |pod| pod["status"]["phase"] = json!("Failed"));
    cluster.change(&pod_path(0), |pod| {
        pod["status"]["containerStatuses"][0]["state"] =
            json!({ "waiting": { "reason": "CrashLoopBackOff" } });
    });
    let report = cluster.kube.read(true).await;
    let slots = report.slots.value().unwrap();
    let reading: Vec<_> = slots
        .iter()
        .map(|slot| (slot.running, &*slot.incarnation, slot.endpoints.get("client").map(String::as_str)))
        .collect();
    assert_eq!(
        reading,
        [(false, "pod-0", Some("http://10.0.0.0:2379")), (false, "", None), (false, "pod-2", None)]
    );
}

#[tokio::test]
async fn a_pod_beyond_the_wished_size_is_still_a_member_and_nothing_is_vacant() {
    let cluster = Cluster::new().await;
    cluster.objects.lock().unwrap().put(&pod_path(3), pod(3));
    let report = cluster.kube.read(true).await;
    assert_eq!(report.slots.value().unwrap().len(), 4);
    assert!(report.vacant.value().unwrap().is_empty());
}

#[tokio::test]
async fn ordinals_start_where_the_owner_says_and_count_as_numbers() {
    let cluster = Cluster::new().await;
    cluster.change(WORKLOAD, |object| {
        object["spec"]["ordinals"] = json!({ "start": 8 });
        object["spec"]["replicas"] = json!(3);
    });
    for ordinal in 0..3 {
        cluster.objects.lock().unwrap().remove(&pod_path(ordinal));
        cluster.objects.lock().unwrap().put(&pod_path(ordinal + 8), pod(ordinal + 8));
    }
    let report = cluster.kube.read(true).await;
    let slots: Vec<_> = report.slots.value().unwrap().iter().map(|slot| slot.slot.to_string()).collect();
    assert_eq!(slots, ["db-main-8", "db-main-9", "db-main-10"]);
    assert_eq!(&*report.vacant.value().unwrap()[0].slot, "db-main-11");
    assert_eq!(
        cluster.act(&stop("db-main-9", 2)).await.clone(),
        refused("with 2 members it would be db-main-10, not db-main-9")
    );
    assert_eq!(cluster.act(&stop("db-main-10", 2)).await, Outcome::Applied);
}

#[tokio::test]
async fn a_claim_that_was_left_behind_is_not_taken_for_a_blank_volume() {
    let cluster = Cluster::new().await;
    let claim = json!({ "metadata": { "name": "data-db-main-3" } });
    cluster
        .objects
        .lock()
        .unwrap()
        .put("/api/v1/namespaces/shop/persistentvolumeclaims/data-db-main-3", claim);
    let report = cluster.kube.read(true).await;
    let vacant = report.vacant.value().unwrap();
    let Reading::Gap { detail, .. } = &vacant[0].marker else { panic!("{:?}", vacant[0].marker) };
    assert!(detail.contains("data-db-main-3") && detail.contains("hint:"), "{detail}");
    assert!(vacant[1].marker.value().is_some());
}

#[tokio::test]
async fn what_may_not_be_read_is_a_gap_and_not_empty() {
    let refusal = || Reply::status(403, "is forbidden: User \"x\" cannot list resource");
    let cluster = Cluster::new().await;
    cluster.spoil(|call| call.path.contains("/pods"), false, refusal());
    let report = cluster.kube.read(true).await;
    assert!(
        matches!(&report.slots, Reading::Gap { reason: Gap::Error, detail } if detail.contains("forbidden"))
    );
    cluster.spoil(|call| call.path.contains("claims"), false, refusal());
    let report = cluster.kube.read(true).await;
    assert_eq!(report.slots.value().unwrap().len(), 3);
    assert!(matches!(&report.vacant.value().unwrap()[0].marker, Reading::Gap { reason: Gap::Error, .. }));
    cluster.spoil(|call| call.path.contains("/nodes"), false, refusal());
    let report = cluster.kube.read(true).await;
    assert!(matches!(&report.slots.value().unwrap()[0].domain, Reading::Gap { reason: Gap::Error, .. }));
    cluster.spoil(|call| call.path == WORKLOAD, false, Reply::status(500, "oops"));
    assert!(cluster.kube.read(true).await.slots.value().is_none());
}

#[tokio::test]
async fn a_pod_of_an_earlier_workload_of_the_same_name_is_nobodys_member() {
    let cluster = Cluster::new().await;
    cluster.change(&pod_path(1), |pod| pod["metadata"]["ownerReferences"][0]["uid"] = json!("another"));
    let report = cluster.kube.read(true).await;
    assert!(matches!(report.slots, Reading::Gap { reason: Gap::Conflicting, .. }), "{:?}", report.slots);
}

#[tokio::test]
async fn a_rollout_and_a_pod_that_somebody_restarts_are_operations() {
    let cluster = Cluster::new().await;
    cluster.change(WORKLOAD, |object| object["status"]["updateRevision"] = json!("r2"));
    cluster.change(&pod_path(2), |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    let report = cluster.kube.read(true).await;
    let found: Vec<_> =
        report.operations.value().unwrap().iter().map(|it| (it.id.clone(), it.kind)).collect();
    let expected = [
        ("rollout/r2".to_owned(), OperationKind::Upgrade),
        ("restart/db-main-2".to_owned(), OperationKind::Restart),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn the_first_write_of_an_epoch_stamps_and_every_write_names_what_was_read() {
    let cluster = Cluster::new().await;
    cluster.kube.read(true).await;
    assert_eq!(cluster.act(&start("db-main-3", 4)).await, Outcome::Applied);
    let writes = cluster.writes();
    let [stamp, scale] = writes.as_slice() else { panic!("{writes:?}") };
    assert_eq!(
        (stamp.path.as_str(), &stamp.body["metadata"]["annotations"]),
        (WORKLOAD, &json!({ "plimsoll.dev/epoch": "7" }))
    );
    assert_eq!(
        (scale.path.as_str(), &scale.body["spec"]),
        (&*format!("{WORKLOAD}/scale"), &json!({ "replicas": 4 }))
    );
    for write in [stamp, scale] {
        assert_eq!(write.kind, "application/merge-patch+json");
        assert_eq!(write.body["metadata"]["uid"], "workload");
        assert!(write.body["metadata"]["resourceVersion"].is_string());
    }
    assert_ne!(stamp.body["metadata"]["resourceVersion"], scale.body["metadata"]["resourceVersion"]);
    // The same again has nothing to do; the next finds the stamp.
    cluster.change(WORKLOAD, |object| {
        object["status"]["observedGeneration"] = object["metadata"]["generation"].clone()
    });
    assert_eq!(cluster.act(&start("db-main-3", 4)).await, Outcome::Applied);
    assert_eq!(cluster.act(&stop("db-main-3", 3)).await, Outcome::Applied);
    assert_eq!(cluster.writes().len(), 3);
    assert_eq!(cluster.workload()["spec"]["replicas"], 3);
}

#[tokio::test]
async fn what_does_not_fit_the_world_is_refused_and_nothing_is_written() {
    type Change = fn(&mut Value);
    let rows: [(Change, PlatformVerb, &str); 10] = [
        (|_| {}, start("db-main-4", 4), "it would be db-main-3"),
        (|_| {}, start("db-main-4", 5), "3 members, 4 were expected"),
        (|_| {}, stop("db-main-1", 2), "it would be db-main-2"),
        (|_| {}, stop("db-main-1", 1), "3 members, 2 were expected"),
        (|object| object["metadata"]["uid"] = json!("another"), start("db-main-3", 4), "recreated"),
        (
            |object| object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
            start("db-main-3", 4),
            "being deleted",
        ),
        (
            |object| object["metadata"]["annotations"] = json!({ "plimsoll.dev/epoch": "8" }),
            start("db-main-3", 4),
            "another daemon",
        ),
        (|object| object["status"]["observedGeneration"] = json!(3), start("db-main-3", 4), "not acted"),
        (|object| object["status"]["updateRevision"] = json!("r2"), start("db-main-3", 4), "rolled out"),
        (
            |object| {
                object["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({ "whenScaled": "Delete" })
            },
            stop("db-main-2", 2),
            "data would be deleted",
        ),
    ];
    for (change, verb, words) in rows {
        let cluster = Cluster::new().await;
        cluster.kube.read(true).await;
        cluster.change(WORKLOAD, change);
        let outcome = cluster.act(&verb).await;
        assert!(
            matches!(&outcome, Outcome::Refused { message } if message.contains(words)),
            "{verb:?}: {outcome:?}"
        );
        assert!(cluster.writes().is_empty(), "{verb:?}");
    }
}

#[tokio::test]
async fn nothing_is_written_before_anything_was_observed() {
    let cluster = Cluster::new().await;
    assert!(message(&cluster.act(&start("db-main-3", 4)).await).contains("not observed"));
    assert!(cluster.writes().is_empty());
}

#[tokio::test]
async fn a_daemon_that_lost_the_leadership_writes_nothing_whatever_it_has_read() {
    let cluster = Cluster::new().await;
    cluster.kube.read(true).await;
    // It has read the object; before its write arrives, its successor stamps.
    let objects = cluster.objects.clone();
    cluster.server.script(move |call| {
        let mut objects = objects.lock().unwrap();
        if is_scale(call) {
            let mut object = objects.get(WORKLOAD).unwrap().clone();
            object["metadata"]["annotations"] = json!({ "plimsoll.dev/epoch": "8" });
            objects.put(WORKLOAD, object);
        }
        objects.answer(call)
    });
    let outcome = cluster.act(&stop("db-main-2", 2)).await;
    assert!(matches!(&outcome, Outcome::Refused { message } if message.contains("conflict")), "{outcome:?}");
    assert_eq!(cluster.workload()["spec"]["replicas"], 3);
    assert!(message(&cluster.act(&stop("db-main-2", 2)).await).contains("another daemon"));
}

#[tokio::test]
async fn a_write_that_was_not_answered_is_looked_for_and_never_repeated() {
    for reply in
        [Reply::Reset, Reply::status(504, "timeout"), Reply::status(500, "oops"), Reply::Text(200, "{")]
    {
        for carried_out in [true, false] {
            let cluster = Cluster::new().await;
            cluster.kube.read(true).await;
            cluster.spoil(is_scale, carried_out, reply.clone());
            let outcome = cluster.act(&start("db-main-3", 4)).await;
            let as_expected = match &outcome {
                Outcome::Applied => carried_out,
                Outcome::Unknown { .. } => !carried_out,
                Outcome::Refused { .. } => false,
            };
            assert!(as_expected, "{reply:?} {carried_out}: {outcome:?}");
            assert_eq!(cluster.writes().iter().filter(|call| is_scale(call)).count(), 1);
        }
    }
}

#[tokio::test]
async fn what_an_admission_plugin_made_of_a_write_is_not_taken_for_ours() {
    let cluster = Cluster::new().await;
    cluster.kube.read(true).await;
    cluster.spoil(is_scale, false, Reply::Json(200, json!({ "kind": "Scale", "spec": { "replicas": 3 } })));
    assert!(matches!(cluster.act(&start("db-main-3", 4)).await, Outcome::Unknown { .. }));
    let denial = "admission webhook \"shrink.example\" denied the request: not now";
    cluster.spoil(is_scale, false, Reply::status(403, denial));
    let outcome = cluster.act(&start("db-main-3", 4)).await;
    assert!(
        matches!(&outcome, Outcome::Refused { message } if message.contains("denied: 403") && message.contains("not now")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_new_leader_puts_its_epoch_on_whatever_is_under_way_and_the_last_one_can_do_nothing_more() {
    let cluster = Cluster::new().await;
    cluster.kube.read(true).await;
    let read = cluster.workload();
    // In the middle of everything: the controller is behind.
    cluster.change(WORKLOAD, |workload| workload["metadata"]["generation"] = json!(5));
    assert_eq!(cluster.kube.take_over(9).await, Ok(()));
    assert_eq!(cluster.workload()["metadata"]["annotations"][scale::EPOCH], "9");
    assert_ne!(cluster.workload()["metadata"]["resourceVersion"], read["metadata"]["resourceVersion"]);
    assert_eq!(cluster.workload()["spec"]["replicas"], 3);
    let outcome = cluster.act(&start("db-main-3", 4)).await;
    assert!(message(&outcome).contains("another daemon has taken over (epoch 9, ours is 7)"), "{outcome:?}");
    // Once is enough, and nobody goes back.
    let writes = cluster.writes().len();
    assert_eq!(cluster.kube.take_over(9).await, Ok(()));
    assert!(cluster.kube.take_over(8).await.is_err_and(|why| why.contains("epoch 9")));
    assert_eq!(cluster.writes().len(), writes);
}

#[tokio::test]
async fn a_takeover_bears_an_object_that_changes_under_it_and_one_that_is_not_there() {
    let cluster = Cluster::new().await;
    let objects = cluster.objects.clone();
    let left = Mutex::new(2);
    cluster.server.script(move |call| {
        let mut left = left.lock().unwrap();
        if call.method == "PATCH" && *left > 0 {
            *left -= 1;
            return Reply::status(409, "the object has been modified");
        }
        objects.lock().unwrap().answer(call)
    });
    assert_eq!(cluster.kube.take_over(9).await, Ok(()));
    assert_eq!(cluster.writes().len(), 3);
    cluster.objects.lock().unwrap().remove(WORKLOAD);
    assert_eq!(cluster.kube.take_over(10).await, Ok(()));
    cluster.spoil(|call| call.method == "GET", false, Reply::status(403, "no"));
    assert!(cluster.kube.take_over(11).await.is_err_and(|why| why.contains("forbidden")));
}
