//! A resource in front of a StatefulSet.

use super::*;
use plimsoll_wire::workload::{IDENTITY, RIVALS};

const GROUP: &str = "/apis/example.dev/v1/namespaces/shop/databases/the-db";

fn front() -> Arc<Scalable> {
    Arc::new(Scalable {
        api_version: "example.dev/v1".into(),
        kind: "Database".into(),
        plural: "databases".into(),
        replicas_path: vec!["spec".into(), "replicas".into()],
    })
}

fn group() -> Value {
    json!({
        "apiVersion": "example.dev/v1", "kind": "Database",
        "metadata": { "name": "the-db", "namespace": "shop", "uid": "group", "generation": 2 },
        "spec": { "replicas": 3 },
        "status": { "observedGeneration": 2 },
    })
}

/// The cluster with a database in front of its StatefulSet.
async fn fronted() -> Cluster {
    let mut cluster = Cluster::new().await;
    let config = KubeConfig { workload: "the-db".into(), kind: front(), ..cluster.kube.config.clone() };
    cluster.kube = Kube::new(cluster.kube.server.clone(), config);
    cluster.objects.lock().unwrap().put(GROUP, group());
    cluster.change(WORKLOAD, |set| {
        set["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "example.dev/v1", "kind": "Database", "name": "the-db", "uid": "group", "controller": true,
        }]);
    });
    cluster
}

impl Cluster {
    fn group(&self) -> Value {
        self.objects.lock().unwrap().get(GROUP).unwrap().clone()
    }

    /// Why nothing is known of the members.
    async fn why(&self) -> String {
        match self.kube.read(true).await.slots {
            Reading::Gap { detail, .. } => detail,
            other @ (Reading::Value { .. } | Reading::NotApplicable) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn its_members_are_the_pods_of_the_statefulset_that_it_controls() {
    let cluster = fronted().await;
    let report = cluster.kube.read(true).await;
    let slots: Vec<_> = report.slots.value().unwrap().iter().map(|slot| slot.slot.to_string()).collect();
    assert_eq!(slots, ["db-main-0", "db-main-1", "db-main-2"]);
    let generation = report.generation.value().unwrap();
    assert_eq!((generation.spec, generation.observed), (2, 2));
    assert_eq!(report.facts[IDENTITY].value().unwrap()["uid"], "group");
    // What controls the StatefulSet is no rival of what is in front of it.
    assert_eq!(report.facts[RIVALS].value(), Some(&json!([])));
}

#[tokio::test]
async fn its_scale_is_written_and_its_stamp_and_nothing_behind_it() {
    let cluster = fronted().await;
    cluster.kube.read(true).await;
    assert_eq!(cluster.act(&start("db-main-3", 4)).await, Outcome::Applied);
    let writes = cluster.writes();
    let paths: Vec<&str> = writes.iter().map(|call| call.path.split('?').next().unwrap()).collect();
    assert_eq!(paths, [GROUP.to_owned(), format!("{GROUP}/scale")]);
    for write in &writes {
        assert_eq!(write.body["metadata"]["uid"], "group");
        assert!(write.body["metadata"]["resourceVersion"].is_string());
    }
    assert_eq!(cluster.group()["spec"]["replicas"], 4);
    assert_eq!(cluster.group()["metadata"]["annotations"][scale::EPOCH], "7");
    assert_eq!(cluster.workload()["spec"]["replicas"], 3);
    // Until its controller has acted, nothing else is begun.
    let generation = cluster.kube.read(true).await.generation.value().copied().unwrap();
    assert!(generation.observed < generation.spec, "{generation:?}");
    let outcome = cluster.act(&stop("db-main-3", 3)).await;
    assert!(message(&outcome).contains("has not acted on the last change"), "{outcome:?}");
}

#[tokio::test]
async fn one_that_does_not_tell_what_it_acted_on_has_acted_when_its_statefulset_has_its_size() {
    let cluster = fronted().await;
    cluster.change(GROUP, |group| group["status"] = json!({}));
    let settled = async || {
        let generation = cluster.kube.read(true).await.generation.value().copied().unwrap();
        generation.spec == generation.observed
    };
    assert!(settled().await);
    cluster.change(GROUP, |group| group["spec"]["replicas"] = json!(4));
    assert!(!settled().await);
    cluster.change(WORKLOAD, |set| set["spec"]["replicas"] = json!(4));
    assert!(settled().await);
    cluster.change(WORKLOAD, |set| set["metadata"]["generation"] = json!(5));
    assert!(!settled().await);
}

#[tokio::test]
async fn a_path_that_is_not_where_its_size_stands_is_told() {
    let cluster = fronted().await;
    cluster.change(GROUP, |group| group["spec"] = json!({ "size": 3 }));
    let why = cluster.why().await;
    assert!(why.contains("tells no size at spec.replicas") && why.contains("specReplicasPath"), "{why}");
    let cluster = fronted().await;
    let scale = json!({ "metadata": cluster.group()["metadata"], "spec": { "replicas": 5 } });
    cluster.spoil(|call| call.path.ends_with("/scale"), false, Reply::Json(200, scale));
    let why = cluster.why().await;
    assert!(why.contains("tells another size than spec.replicas"), "{why}");
    let outcome = cluster.act(&start("db-main-3", 4)).await;
    assert!(message(&outcome).contains("tells another size"), "{outcome:?}");
    assert!(cluster.writes().is_empty());
}

#[tokio::test]
async fn an_object_that_changes_while_it_is_read_is_read_again() {
    let cluster = fronted().await;
    let mut older = cluster.group();
    older["metadata"]["resourceVersion"] = json!("1");
    cluster.spoil(|call| call.path.ends_with("/scale"), false, Reply::Json(200, older));
    let why = cluster.why().await;
    assert!(why.contains("changed while it was read"), "{why}");
}

#[tokio::test]
async fn no_statefulset_or_more_than_one_is_told() {
    let cluster = fronted().await;
    cluster.change(WORKLOAD, |set| set["metadata"]["ownerReferences"] = json!([]));
    let why = cluster.why().await;
    assert!(why.contains("Database the-db: its controller has made no StatefulSet"), "{why}");
    let cluster = fronted().await;
    let mut second = cluster.workload();
    second["metadata"]["name"] = json!("db-other");
    second["metadata"]["uid"] = json!("another");
    cluster.objects.lock().unwrap().put(&WORKLOAD.replace("db-main", "db-other"), second);
    let why = cluster.why().await;
    assert!(why.contains("it has 2 StatefulSets, one is expected"), "{why}");
}

#[tokio::test]
async fn a_statefulset_with_a_controller_of_its_own_is_not_scaled_past_it() {
    let cluster = fronted().await;
    let config = KubeConfig {
        workload: "db-main".into(),
        kind: Scalable::stateful_set(),
        ..cluster.kube.config.clone()
    };
    let kube = Kube::new(cluster.kube.server.clone(), config);
    let rivals = kube.read(true).await.facts[RIVALS].clone();
    let remedy = "name in `targetRef` what controls the StatefulSet, in its place";
    let wanted = json!([{ "kind": "Database", "name": "the-db", "remedy": remedy }]);
    assert_eq!(rivals.value(), Some(&wanted));
}

#[tokio::test]
async fn an_autoscaler_of_either_is_a_rival() {
    for (version, kind, name, is_rival) in [
        ("example.dev/v1", "Database", "the-db", true),
        ("apps/v1", "StatefulSet", "db-main", true),
        ("example.dev/v1", "Database", "db-main", false),
        ("other.dev/v1", "Database", "the-db", false),
    ] {
        let cluster = fronted().await;
        let target = json!({ "apiVersion": version, "kind": kind, "name": name });
        cluster.objects.lock().unwrap().put(
            "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/web",
            json!({ "metadata": { "name": "web" }, "spec": { "maxReplicas": 9, "scaleTargetRef": target } }),
        );
        let rivals = cluster.kube.read(true).await.facts[RIVALS].value().unwrap().as_array().unwrap().len();
        assert_eq!(rivals == 1, is_rival, "{version} {kind} {name}");
    }
}

#[tokio::test]
async fn a_new_leader_puts_its_epoch_on_the_resource() {
    let cluster = fronted().await;
    cluster.kube.read(true).await;
    cluster.kube.take_over(9).await.unwrap();
    assert_eq!(cluster.group()["metadata"]["annotations"][scale::EPOCH], "9");
    assert!(cluster.workload()["metadata"]["annotations"].is_null());
    let outcome = cluster.act(&start("db-main-3", 4)).await;
    assert!(message(&outcome).contains("another daemon has taken over"), "{outcome:?}");
}
