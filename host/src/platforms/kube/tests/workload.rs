//! Facts about the scaled object beside its members.

use super::*;
use plimsoll_wire::workload::{BUDGETS, IDENTITY, REFUSALS, RIVALS};

const AUTOSCALER: &str = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/web";
const BUDGET: &str = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/db";

fn autoscaler(kind: &str, version: &str) -> Value {
    json!({
        "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "maxReplicas": 9, "scaleTargetRef": { "apiVersion": version, "kind": kind, "name": "db-main" } },
    })
}

fn budget(observed: i64) -> Value {
    json!({
        "metadata": { "name": "db", "namespace": "shop", "generation": 2 },
        "spec": { "maxUnavailable": 1, "selector": { "matchExpressions": [{ "key": "app", "operator": "In", "values": ["db"] }] } },
        "status": { "observedGeneration": observed, "desiredHealthy": 2, "currentHealthy": 2, "expectedPods": 3, "disruptionsAllowed": 0 },
    })
}

async fn reading(cluster: &Cluster, name: &str) -> Reading<Value> {
    cluster.kube.read(true).await.facts[name].clone()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

#[tokio::test]
async fn an_autoscaler_of_this_very_workload_is_a_rival_and_another_is_none() {
    let cluster = Cluster::new().await;
    assert_eq!(reading(&cluster, RIVALS).await.value(), Some(&json!([])));
    for (kind, version, rivals) in [
        ("StatefulSet", "apps/v1", json!(["HorizontalPodAutoscaler web"])),
        ("StatefulSet", "", json!(["HorizontalPodAutoscaler web"])),
        ("StatefulSet", "apps.example/v1", json!([])),
        ("StatefulAutoscaler", "plimsoll.dev/v1alpha1", json!([])),
    ] {
        cluster.objects.lock().unwrap().put(AUTOSCALER, autoscaler(kind, version));
        let found = reading(&cluster, RIVALS).await.value().unwrap().clone();
        let found = found.as_array().unwrap().iter();
        let told: Vec<_> =
            found.clone().map(|rival| format!("{} {}", text(rival, "kind"), text(rival, "name"))).collect();
        assert_eq!(json!(told), rivals, "{kind} {version}");
        assert!(
            found.clone().all(|rival| text(rival, "remedy").contains("externalWish")),
            "{kind} {version}"
        );
    }
}

#[tokio::test]
async fn a_budget_that_covers_the_pods_is_told_with_those_that_are_ready() {
    let cluster = Cluster::new().await;
    cluster.change(&pod_path(1), |pod| {
        pod["status"]["conditions"] = json!([{ "type": "Ready", "status": "True" }])
    });
    cluster.objects.lock().unwrap().put(BUDGET, budget(2));
    let wanted = json!([{ "name": "db", "desired": 2, "healthy": 2, "members": ["db-main-1"] }]);
    assert_eq!(reading(&cluster, BUDGETS).await.value(), Some(&wanted));
    // Of other pods.
    cluster.change(BUDGET, |budget| budget["spec"]["selector"] = json!({ "matchLabels": { "app": "web" } }));
    assert_eq!(reading(&cluster, BUDGETS).await.value(), Some(&json!([])));
    cluster.objects.lock().unwrap().put(BUDGET, budget(1));
    assert!(matches!(reading(&cluster, BUDGETS).await, Reading::Gap { reason: Gap::Stale, .. }));
}

#[tokio::test]
async fn what_may_not_be_read_is_a_gap_that_names_it() {
    let cluster = Cluster::new().await;
    let refusal = || Reply::status(403, "is forbidden: User \"x\" cannot list resource");
    for (plural, name, kind) in [
        ("horizontalpodautoscalers", RIVALS, "HorizontalPodAutoscalers"),
        ("poddisruptionbudgets", BUDGETS, "PodDisruptionBudgets"),
    ] {
        cluster.spoil(move |call| call.path.contains(plural), false, refusal());
        let reading = reading(&cluster, name).await;
        assert!(matches!(&reading, Reading::Gap { detail, .. } if detail.contains(kind)), "{reading:?}");
    }
    cluster.spoil(|call| call.path == WORKLOAD, false, Reply::status(500, "oops"));
    for name in [IDENTITY, RIVALS, BUDGETS, REFUSALS] {
        assert!(reading(&cluster, name).await.value().is_none(), "{name}");
    }
}

#[tokio::test]
async fn whoever_owns_the_size_beside_us_is_named() {
    let cluster = Cluster::new().await;
    let owns = |manager: &str| json!({ "manager": manager, "operation": "Apply", "fieldsV1": { "f:spec": { "f:replicas": {} } } });
    cluster.change(WORKLOAD, |object| {
        object["metadata"]["managedFields"] = json!([owns("plimsoll"), owns("argocd-controller")]);
    });
    let identity = reading(&cluster, IDENTITY).await.value().unwrap().clone();
    let owners = identity["sizeOwners"].as_array().unwrap();
    assert_eq!((&identity["uid"], owners.len()), (&json!("workload"), 1), "{identity}");
    assert_eq!(owners[0]["name"], "argocd-controller");
    assert!(owners[0]["remedy"].as_str().unwrap().contains("ignoreDifferences"), "{identity}");
}

/// What would be refused, as `verb: why`.
async fn refusals(cluster: &Cluster) -> Vec<String> {
    let reading = reading(cluster, REFUSALS).await.value().unwrap().clone();
    let line = |one: &Value| format!("{}: {}", one["verb"].as_str().unwrap(), one["why"].as_str().unwrap());
    reading.as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn a_stop_that_would_delete_the_members_data_is_told_before_anything_begins() {
    let cluster = Cluster::new().await;
    assert!(refusals(&cluster).await.is_empty());
    cluster.change(WORKLOAD, |set| {
        set["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({ "whenScaled": "Delete" });
    });
    let reading = refusals(&cluster).await;
    let refused = cluster.act(&stop("db-main-2", 2)).await;
    assert_eq!(reading, [format!("stop: {}", message(&refused))], "in the words of the refusal itself");
}

#[tokio::test]
async fn a_workload_that_is_being_deleted_refuses_both() {
    let cluster = Cluster::new().await;
    cluster.change(WORKLOAD, |set| set["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    let why = "the StatefulSet is being deleted";
    assert_eq!(refusals(&cluster).await, [format!("start: {why}"), format!("stop: {why}")]);
}
