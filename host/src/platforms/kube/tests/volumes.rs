//! Returning volumes: when a claim is in the way, when it is not, and what is written before a member is stopped.

use super::*;
use crate::actuate::Membership;
use crate::tombstone::CONFIG_MAP;
use plimsoll_wire::snapshot::Marker;

const MAP: &str = "/api/v1/namespaces/shop/configmaps/plimsoll-tombstones";

fn claim_path(ordinal: i32) -> String {
    format!("/api/v1/namespaces/shop/persistentvolumeclaims/data-db-main-{ordinal}")
}

fn init_container() -> Value {
    json!({
        "name": "set-aside", "args": ["set-aside", "--system=etcd"],
        "volumeMounts": [
            { "name": "data", "mountPath": "/data" },
            { "name": "stones", "mountPath": "/tombstones" },
        ],
    })
}

/// A StatefulSet of three that sets aside, whose fourth place was in use before.
async fn cluster() -> Cluster {
    let mut cluster = Cluster::new().await;
    let config = KubeConfig { set_aside: true, ..cluster.kube.config.clone() };
    cluster.kube = Kube::new(cluster.kube.server.clone(), config);
    cluster.change(WORKLOAD, |set| {
        set["spec"]["volumeClaimTemplates"] = json!([{ "metadata": { "name": "data" } }]);
        let pod = &mut set["spec"]["template"]["spec"];
        pod["initContainers"] = json!([init_container()]);
        pod["volumes"] = json!([{ "name": "stones", "configMap": { "name": CONFIG_MAP, "optional": true } }]);
    });
    {
        let mut objects = cluster.objects.lock().unwrap();
        for ordinal in 0..4 {
            let (name, uid) = (format!("data-db-main-{ordinal}"), format!("claim-{ordinal}"));
            objects.put(&claim_path(ordinal), json!({ "metadata": { "name": name, "uid": uid } }));
        }
        objects.put(MAP, json!({ "metadata": { "name": CONFIG_MAP, "uid": "map" } }));
    }
    cluster
}

fn stone(cluster: &Cluster, key: &str, text: &str) {
    cluster.change(MAP, |map| map["data"][key] = json!(text));
}

async fn marker(cluster: &Cluster) -> Result<Marker, String> {
    match &cluster.kube.read(true).await.vacant.value().unwrap()[0].marker {
        Reading::Value { value, .. } => Ok(value.clone()),
        Reading::Gap { detail, .. } => Err(detail.clone()),
        Reading::NotApplicable => Err("not applicable".to_owned()),
    }
}

#[tokio::test]
async fn a_claim_from_before_is_in_the_way_until_a_tombstone_names_it() {
    let cluster = cluster().await;
    let why = marker(&cluster).await.unwrap_err();
    assert!(why.contains("claim data-db-main-3 is there from before, and no tombstone"), "{why}");
    stone(&cluster, "c1.a", "made by hand");
    stone(&cluster, "c1.b", r#"{"pod":"db-main-3","claims":["another"],"data":[]}"#);
    assert!(marker(&cluster).await.is_err());
    stone(&cluster, "c1.d", r#"{"pod":"db-main-3","claims":["claim-3"],"data":["x"]}"#);
    assert_eq!(marker(&cluster).await.unwrap().fingerprint, "", "what is there is set aside first");
    // A claim of the same name that was recreated is another one.
    cluster.change(&claim_path(3), |claim| claim["metadata"]["uid"] = json!("new"));
    assert!(marker(&cluster).await.is_err());
}

#[tokio::test]
async fn nobody_is_trusted_to_set_aside_who_may_not_do_it() {
    type Change = fn(&mut Value);
    let pod: [(&str, Change); 6] = [
        ("no init container", |pod| pod["initContainers"] = json!([])),
        ("no init container", |pod| pod["initContainers"][0]["args"] = json!(["wait"])),
        ("does not mount data", |pod| {
            pod["initContainers"][0]["volumeMounts"].as_array_mut().unwrap().remove(0);
        }),
        ("does not mount the ConfigMap", |pod| {
            pod["initContainers"][0]["volumeMounts"].as_array_mut().unwrap().remove(1);
        }),
        ("does not mount the ConfigMap", |pod| pod["volumes"][0]["configMap"]["name"] = json!("another")),
        ("with `optional: true`", |pod| pod["volumes"][0]["configMap"]["optional"] = json!(false)),
    ];
    for (expected, change) in pod {
        let cluster = cluster().await;
        stone(&cluster, "c1.d", r#"{"pod":"db-main-3","claims":["claim-3"],"data":["x"]}"#);
        cluster.change(WORKLOAD, |set| change(&mut set["spec"]["template"]["spec"]));
        let why = marker(&cluster).await.unwrap_err();
        assert!(why.contains(expected), "{expected}: {why}");
    }
    // As by default.
    let mut cluster = cluster().await;
    stone(&cluster, "c1.d", r#"{"pod":"db-main-3","claims":["claim-3"],"data":["x"]}"#);
    let config = KubeConfig { set_aside: false, ..cluster.kube.config.clone() };
    cluster.kube = Kube::new(cluster.kube.server.clone(), config);
    assert!(marker(&cluster).await.unwrap_err().contains("hint: when its data is not needed any more"));
}

#[tokio::test]
async fn tombstones_that_cannot_be_read_name_nothing() {
    let cluster = cluster().await;
    cluster.objects.lock().unwrap().remove(MAP);
    let why = marker(&cluster).await.unwrap_err();
    assert!(why.contains("kubectl create configmap plimsoll-tombstones --namespace shop"), "{why}");
    cluster.spoil(|call| call.path == MAP, false, Reply::status(403, "no right"));
    let why = marker(&cluster).await.unwrap_err();
    assert!(why.contains("not known") && why.contains("no right"), "{why}");
}

/// The third member is about to go: it was removed from the cluster `c1`, and its init container has spoken.
async fn leaving() -> Cluster {
    let cluster = cluster().await;
    said(
        &cluster,
        json!({ "terminated": { "exitCode": 0, "message": r#"{"data":"name-2","member":"c1.m"}"# } }),
    );
    cluster
}

fn said(cluster: &Cluster, state: Value) {
    cluster.change(&pod_path(2), |pod| {
        pod["spec"]["initContainers"] = json!([init_container()]);
        pod["status"]["initContainerStatuses"] = json!([{
            "name": "set-aside", "ready": true, "restartCount": 0, "image": "", "imageID": "", "state": state,
        }]);
    });
}

fn removed(members: &[&str]) -> Permit {
    let members = members.iter().map(|member| (*member).into()).collect();
    Permit { membership: Some(Membership { cluster: "c1".into(), members }), ..permit(7) }
}

async fn stopped(cluster: &Cluster, permit: &Permit) -> Outcome {
    cluster.kube.read(true).await;
    cluster.kube.act(permit, &stop("db-main-2", 2)).await
}

fn stones(cluster: &Cluster) -> Value {
    cluster.objects.lock().unwrap().get(MAP).unwrap()["data"].clone()
}

#[tokio::test]
async fn a_member_has_its_tombstone_before_it_is_stopped_and_keeps_it() {
    let cluster = leaving().await;
    stone(&cluster, "c1.z", "{}");
    assert_eq!(stopped(&cluster, &removed(&["a", "b"])).await, Outcome::Applied);
    let written: Vec<_> =
        cluster.writes().iter().map(|call| call.path.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(written, ["db-main", "plimsoll-tombstones", "scale"], "the stamp, the tombstone, the size");
    let text = r#"{"pod":"db-main-2","claims":["claim-2"],"data":["name-2"]}"#;
    assert_eq!(stones(&cluster), json!({ "c1.m": text, "c1.z": "{}" }));
    let patch = &cluster.writes()[1].body;
    assert_eq!(patch["metadata"]["uid"], "map", "the very one that was read");
    assert!(patch["metadata"]["resourceVersion"].is_string());
}

#[tokio::test]
async fn a_tombstone_that_is_there_is_not_written_again_and_one_of_before_is_added_to() {
    let cluster = leaving().await;
    stone(&cluster, "c1.m", r#"{"pod":"db-main-2","claims":["claim-2"],"data":["name-2"]}"#);
    assert_eq!(stopped(&cluster, &removed(&[])).await, Outcome::Applied);
    assert!(cluster.writes().iter().all(|call| call.path != MAP));
    let cluster = leaving().await;
    stone(&cluster, "c1.m", r#"{"pod":"db-main-2","claims":["old"],"data":["older"]}"#);
    assert_eq!(stopped(&cluster, &removed(&[])).await, Outcome::Applied);
    let text = r#"{"pod":"db-main-2","claims":["claim-2","old"],"data":["name-2","older"]}"#;
    assert_eq!(stones(&cluster)["c1.m"], text);
}

#[tokio::test]
async fn who_is_a_member_or_may_be_one_gets_no_tombstone_and_is_not_stopped() {
    for (permit, expected) in
        [(removed(&["a", "m"]), "still has a member"), (permit(7), "who the members are is not known")]
    {
        let cluster = leaving().await;
        let outcome = stopped(&cluster, &permit).await;
        assert!(message(&outcome).contains(expected), "{outcome:?}");
        assert_eq!(stones(&cluster), Value::Null);
        assert_eq!(cluster.workload()["spec"]["replicas"], 3);
    }
}

#[tokio::test]
async fn what_is_on_a_volume_has_to_be_told_unless_nobody_ever_wrote() {
    let waiting = |reason: &str| json!({ "waiting": { "reason": reason } });
    for (state, expected) in [
        (waiting("PodInitializing"), "has not ended"),
        (json!({ "running": {} }), "has not ended"),
        (json!({ "terminated": { "exitCode": 0, "message": "hello" } }), "said nothing of its data"),
        (
            json!({ "terminated": { "exitCode": 1, "message": r#"{"data":"x"}"# } }),
            "said nothing of its data",
        ),
    ] {
        let cluster = leaving().await;
        said(&cluster, state);
        let outcome = stopped(&cluster, &removed(&[])).await;
        assert!(message(&outcome).contains(expected), "{expected}: {outcome:?}");
        assert_eq!(cluster.workload()["spec"]["replicas"], 3);
    }
    let cluster = leaving().await;
    said(&cluster, waiting("ImagePullBackOff"));
    assert_eq!(stopped(&cluster, &removed(&[])).await, Outcome::Applied);
    assert_eq!(stones(&cluster)["c1.m"], r#"{"pod":"db-main-2","claims":["claim-2"],"data":[]}"#);
}

#[tokio::test]
async fn a_write_that_was_not_answered_is_looked_at_before_it_is_sent_again() {
    let is_stone = |call: &Received| call.method == "PATCH" && call.path == MAP;
    let cluster = leaving().await;
    cluster.spoil(is_stone, true, Reply::Reset);
    assert_eq!(stopped(&cluster, &removed(&[])).await, Outcome::Applied);
    assert_eq!(cluster.writes().iter().filter(|call| is_stone(call)).count(), 1);
    for (reply, expected) in [
        (Reply::status(403, "no right"), "no right"),
        (Reply::status(409, "changed"), "changed"),
        (Reply::status(422, "too large"), "too large"),
    ] {
        let cluster = leaving().await;
        cluster.spoil(is_stone, false, reply);
        let outcome = stopped(&cluster, &removed(&[])).await;
        assert!(message(&outcome).contains(expected), "{outcome:?}");
        assert_eq!(cluster.workload()["spec"]["replicas"], 3, "it is not stopped without one");
    }
}

#[tokio::test]
async fn where_nobody_sets_anything_aside_nothing_is_written() {
    let cluster = leaving().await;
    cluster.change(WORKLOAD, |set| set["spec"]["template"]["spec"]["initContainers"] = json!([]));
    assert_eq!(stopped(&cluster, &permit(7)).await, Outcome::Applied);
    assert_eq!(stones(&cluster), Value::Null);
}

#[tokio::test]
async fn tombstones_that_name_every_claim_are_not_asked_for_again_at_rest() {
    let cluster = cluster().await;
    stone(&cluster, "c1.d", r#"{"pod":"db-main-3","claims":["claim-3"],"data":["x"]}"#);
    let is_read = |call: &Received| call.method == "GET" && call.path.contains(CONFIG_MAP);
    let reads = || cluster.server.calls().iter().filter(|call| is_read(call)).count();
    cluster.kube.read(false).await;
    assert_eq!(reads(), 1, "nothing is known yet");
    cluster.kube.read(false).await;
    cluster.kube.read(false).await;
    assert_eq!(reads(), 1);
    cluster.kube.read(true).await;
    assert_eq!(reads(), 2, "before anything begins they are read anew");
}

#[tokio::test]
async fn a_tombstone_that_would_be_refused_is_told_before_a_member_is_struck() {
    use plimsoll_wire::workload::REFUSALS;
    let reading =
        async |cluster: &Cluster| cluster.kube.read(true).await.facts[REFUSALS].value().unwrap().clone();
    let is_asked = |call: &Received| call.method == "PATCH" && call.path.starts_with(MAP);
    let good = leaving().await;
    assert_eq!(reading(&good).await, json!([]));
    assert_eq!(stones(&good), Value::Null, "what was only asked is not kept");
    for (code, word) in [(403, "no right"), (422, "immutable when `immutable` is set"), (404, "not found")] {
        let cluster = leaving().await;
        cluster.spoil(is_asked, false, Reply::status(code, word));
        let reading = reading(&cluster).await;
        assert_eq!(reading[0]["verb"], "stop", "{reading}");
        assert!(reading[0]["why"].as_str().unwrap().contains(word), "{reading}");
    }
    // A server that has no time now refuses nothing.
    let busy = leaving().await;
    busy.spoil(is_asked, false, Reply::status(503, "later"));
    assert_eq!(reading(&busy).await, json!([]));
    // Where nobody sets anything aside nobody needs one.
    let plain = Cluster::new().await;
    assert_eq!(reading(&plain).await, json!([]));
    assert!(plain.server.calls().iter().all(|call| call.method == "GET"));
}
