//! For how many more members there is room, by what a cluster says of quotas, volumes and machines.

use super::*;
use plimsoll_wire::workload::{ROOM, Room};

const QUOTA: &str = "/api/v1/namespaces/shop/resourcequotas/some-quota";

impl Cluster {
    fn put(&self, path: &str, object: Value) {
        self.objects.lock().unwrap().put(path, object);
    }

    /// What each member asks for.
    fn members_ask(&self, requests: Value) {
        self.change(WORKLOAD, |set| {
            set["spec"]["template"]["spec"]["containers"] =
                json!([{ "name": "db", "resources": { "requests": requests } }]);
        });
    }

    fn quota(&self, hard: Value, used: Value) {
        self.put(
            QUOTA,
            json!({ "metadata": { "name": "some-quota" }, "status": { "hard": hard, "used": used } }),
        );
    }

    fn machine(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let labels = json!({ "kubernetes.io/hostname": name });
        let mut machine = json!({ "metadata": { "name": name, "labels": labels }, "spec": {}, "status": {} });
        machine["status"]["allocatable"] = json!({ "cpu": "4", "memory": "16Gi", "pods": "110" });
        change(&mut machine);
        self.put(&format!("/api/v1/nodes/{name}"), machine);
    }

    /// Every member is on a machine, and there are those two only, with room for two processors each.
    fn two_machines(&self) {
        for name in ["machine-0", "machine-1"] {
            self.machine(name, |machine| machine["status"]["allocatable"]["cpu"] = json!("2"));
        }
    }

    fn claims_are_of(&self, class: Value) {
        self.change(WORKLOAD, |set| {
            set["spec"]["volumeClaimTemplates"][0]["spec"] = json!({
                "accessModes": ["ReadWriteOnce"], "storageClassName": class,
                "resources": { "requests": { "storage": "10Gi" } },
            });
        });
    }

    fn class(&self, name: &str, provisioner: &str) {
        let path = format!("/apis/storage.k8s.io/v1/storageclasses/{name}");
        self.put(&path, json!({ "metadata": { "name": name }, "provisioner": provisioner }));
    }

    fn volume(&self, name: &str, phase: &str, change: impl FnOnce(&mut Value)) {
        let mut volume = json!({
            "metadata": { "name": name },
            "spec": { "storageClassName": "disk-local", "accessModes": ["ReadWriteOnce"], "capacity": { "storage": "20Gi" } },
            "status": { "phase": phase },
        });
        change(&mut volume);
        self.put(&format!("/api/v1/persistentvolumes/{name}"), volume);
    }

    async fn reading(&self) -> Reading<Value> {
        self.kube.read(true).await.facts[ROOM].clone()
    }

    /// The room, and what bounds it; none where nothing does.
    async fn room(&self) -> Option<(u32, String)> {
        match self.reading().await {
            Reading::NotApplicable => None,
            Reading::Value { value, .. } => {
                let Room { members, bound } = serde_json::from_value(value).unwrap();
                Some((members, bound))
            }
            Reading::Gap { reason, detail } => panic!("{reason:?}: {detail}"),
        }
    }
}

fn some(members: u32, bound: &str) -> Option<(u32, String)> {
    Some((members, bound.to_owned()))
}

#[tokio::test]
async fn nothing_that_could_be_seen_bounds_a_cluster_that_says_nothing() {
    assert_eq!(Cluster::new().await.room().await, None);
}

#[tokio::test]
async fn a_quota_leaves_room_for_as_many_as_it_has_left_of_what_each_member_asks_for() {
    for (hard, used, members, key) in [
        (json!({ "pods": "5" }), json!({ "pods": "3" }), 2, "pods"),
        (json!({ "count/pods": "3" }), json!({ "count/pods": "3" }), 0, "count/pods"),
        (json!({ "requests.cpu": "2" }), json!({ "requests.cpu": "1200m" }), 1, "requests.cpu"),
        (json!({ "memory": "4Gi" }), json!({ "memory": "1536Mi" }), 5, "memory"),
        (
            json!({ "persistentvolumeclaims": "6" }),
            json!({ "persistentvolumeclaims": "3" }),
            3,
            "persistentvolumeclaims",
        ),
    ] {
        let cluster = Cluster::new().await;
        cluster.members_ask(json!({ "cpu": "500m", "memory": "512Mi" }));
        cluster.quota(hard, used);
        assert_eq!(cluster.room().await, some(members, &format!("ResourceQuota some-quota: {key}")));
    }
}

#[tokio::test]
async fn what_a_quota_counts_and_no_member_asks_for_bounds_nothing() {
    let cluster = Cluster::new().await;
    cluster.quota(
        json!({ "requests.cpu": "1", "limits.memory": "1Gi", "services": "1", "configmaps": "1", "pods": "1000", "requests.nvidia.com/gpu": "0" }),
        json!({ "requests.cpu": "1", "services": "1", "configmaps": "1", "pods": "3" }),
    );
    assert_eq!(cluster.room().await, None, "pods beyond all places that are told bound nothing either");
}

#[tokio::test]
async fn a_quota_of_other_pods_bounds_nothing_and_one_of_theirs_does() {
    let cluster = Cluster::new().await;
    let scoped = |scope: &str, values: Value| {
        let expression = json!({ "scopeName": scope, "operator": "In", "values": values });
        json!({
            "metadata": { "name": "some-quota" }, "spec": { "scopeSelector": { "matchExpressions": [expression] } },
            "status": { "hard": { "pods": "4" }, "used": { "pods": "3" } },
        })
    };
    cluster.change(WORKLOAD, |set| set["spec"]["template"]["spec"]["priorityClassName"] = json!("gold"));
    for (scope, values, room) in [
        ("PriorityClass", json!(["silver"]), None),
        ("PriorityClass", json!(["gold", "silver"]), some(1, "ResourceQuota some-quota: pods")),
        ("Terminating", json!([]), None),
        ("NotTerminating", json!([]), some(1, "ResourceQuota some-quota: pods")),
        ("SomethingNew", json!([]), None),
    ] {
        cluster.put(QUOTA, scoped(scope, values));
        let seen = async { while cluster.room().await != room {} };
        tokio::time::timeout(Duration::from_secs(60), seen).await.unwrap_or_else(|_| panic!("{scope}"));
    }
}

#[tokio::test]
async fn members_that_are_asked_for_and_not_there_take_their_room_first() {
    let cluster = Cluster::new().await;
    cluster.quota(json!({ "pods": "5" }), json!({ "pods": "2" }));
    cluster.objects.lock().unwrap().remove(&pod_path(2));
    assert_eq!(cluster.room().await, some(2, "ResourceQuota some-quota: pods"));
}

#[tokio::test]
async fn claims_that_are_there_already_ask_for_no_more() {
    let cluster = Cluster::new().await;
    for ordinal in 3..5 {
        let name = format!("data-db-main-{ordinal}");
        cluster.put(
            &format!("/api/v1/namespaces/shop/persistentvolumeclaims/{name}"),
            json!({ "metadata": { "name": name } }),
        );
    }
    for ordinal in 0..3 {
        let name = format!("data-db-main-{ordinal}");
        cluster.put(
            &format!("/api/v1/namespaces/shop/persistentvolumeclaims/{name}"),
            json!({ "metadata": { "name": name } }),
        );
    }
    cluster.quota(json!({ "persistentvolumeclaims": "6" }), json!({ "persistentvolumeclaims": "5" }));
    assert_eq!(
        cluster.room().await,
        some(3, "ResourceQuota some-quota: persistentvolumeclaims"),
        "two are there, one may come"
    );
}

#[tokio::test]
async fn of_a_class_that_makes_no_volumes_there_are_as_many_as_are_free_and_fit() {
    let cluster = Cluster::new().await;
    cluster.claims_are_of(json!("disk-local"));
    cluster.class("disk-local", "kubernetes.io/no-provisioner");
    for ordinal in 0..3 {
        let name = format!("data-db-main-{ordinal}");
        cluster.put(
            &format!("/api/v1/namespaces/shop/persistentvolumeclaims/{name}"),
            json!({ "metadata": { "name": name } }),
        );
    }
    cluster.volume("v-free", "Available", |_| {});
    cluster.volume("v-kept", "Available", |it| {
        it["spec"]["claimRef"] = json!({ "namespace": "shop", "name": "data-db-main-4" })
    });
    cluster.volume("v-bound", "Bound", |_| {});
    cluster.volume("v-released", "Released", |_| {});
    cluster.volume("v-small", "Available", |it| it["spec"]["capacity"]["storage"] = json!("5Gi"));
    cluster.volume("v-other", "Available", |it| it["spec"]["storageClassName"] = json!("disk-other"));
    cluster.volume("v-block", "Available", |it| it["spec"]["volumeMode"] = json!("Block"));
    cluster.volume("v-foreign", "Available", |it| {
        it["spec"]["claimRef"] = json!({ "namespace": "x", "name": "y" })
    });
    assert_eq!(cluster.room().await, some(2, "free PersistentVolumes of StorageClass disk-local"));
}

#[tokio::test]
async fn of_a_class_that_only_volumes_name_they_are_counted_and_without_any_nobody_knows() {
    let cluster = Cluster::new().await;
    cluster.claims_are_of(json!("disk-local"));
    assert_eq!(cluster.room().await, None, "how its claims get volumes is not known");
    let by_hand = Cluster::new().await;
    by_hand.claims_are_of(json!("disk-local"));
    by_hand.volume("v-bound", "Bound", |_| {});
    assert_eq!(by_hand.room().await, some(0, "free PersistentVolumes of StorageClass disk-local"));
}

#[tokio::test]
async fn of_a_class_that_makes_volumes_nobody_counts_them() {
    let cluster = Cluster::new().await;
    cluster.claims_are_of(json!("disk-fast"));
    cluster.class("disk-fast", "disks.example");
    assert_eq!(cluster.room().await, None);
    assert!(
        !cluster.server.lines().iter().any(|line| line.contains("persistentvolumes")),
        "nor asks for them"
    );
}

#[tokio::test]
async fn machines_have_room_for_what_they_have_beside_the_members_that_are_on_them() {
    let cluster = Cluster::new().await;
    cluster.members_ask(json!({ "cpu": "500m" }));
    cluster.two_machines();
    assert_eq!(cluster.room().await, some(5, "the machines"), "four on each, three are taken");
}

#[tokio::test]
async fn a_machine_that_takes_none_of_them_is_no_room() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 4] = [
        ("cordoned", |it| it["spec"]["unschedulable"] = json!(true)),
        ("tainted", |it| {
            it["spec"]["taints"] = json!([{ "key": "only", "value": "web", "effect": "NoSchedule" }])
        }),
        ("of another kind", |it| it["metadata"]["labels"]["disk"] = json!("hdd")),
        ("too small", |it| it["status"]["allocatable"]["cpu"] = json!("400m")),
    ];
    for (what, change) in changes {
        let cluster = Cluster::new().await;
        cluster.members_ask(json!({ "cpu": "500m" }));
        cluster.change(WORKLOAD, |set| {
            let term =
                json!({ "matchExpressions": [{ "key": "disk", "operator": "NotIn", "values": ["hdd"] }] });
            set["spec"]["template"]["spec"]["affinity"]["nodeAffinity"] =
                json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [term] } });
        });
        cluster.two_machines();
        cluster.machine("machine-2", change);
        assert_eq!(cluster.room().await, some(5, "the machines"), "{what}");
    }
    let cluster = Cluster::new().await;
    cluster.members_ask(json!({ "cpu": "500m" }));
    cluster.change(WORKLOAD, |set| {
        set["spec"]["template"]["spec"]["tolerations"] = json!([{ "key": "only", "operator": "Exists" }]);
    });
    cluster.two_machines();
    cluster.machine("machine-2", changes[1].1);
    assert_eq!(cluster.room().await, some(13, "the machines"), "what they bear is no bar");
}

#[tokio::test]
async fn members_that_keep_apart_have_a_machine_each() {
    let cluster = Cluster::new().await;
    cluster.change(WORKLOAD, |set| {
        let term = json!({ "labelSelector": { "matchLabels": { "app": "db" } }, "topologyKey": "kubernetes.io/hostname" });
        set["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"] =
            json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term] });
    });
    for machine in 0..4 {
        cluster.machine(&format!("machine-{machine}"), |_| {});
    }
    let room = some(2, "the machines, one member for each kubernetes.io/hostname");
    assert_eq!(cluster.room().await, room, "two machines have members");
}

#[tokio::test]
async fn where_a_machine_may_still_come_or_is_not_seen_the_machines_bound_nothing() {
    let cluster = Cluster::new().await;
    cluster.members_ask(json!({ "cpu": "2" }));
    cluster.two_machines();
    assert_eq!(cluster.room().await, some(0, "the machines"));
    let cloud = Cluster::new().await;
    cloud.members_ask(json!({ "cpu": "2" }));
    cloud.two_machines();
    cloud.machine("machine-1", |machine| machine["spec"]["providerID"] = json!("aws:///eu-1a/i-0"));
    assert_eq!(cloud.room().await, None, "a cloud adds one for a pod that waits");
    let partly = Cluster::new().await;
    partly.members_ask(json!({ "cpu": "2" }));
    partly.two_machines();
    partly.change(&pod_path(1), |pod| pod["spec"]["nodeName"] = json!("machine-9"));
    assert_eq!(partly.room().await, None, "a member is where no machine is listed");
}

#[tokio::test]
async fn the_narrowest_bound_is_the_one_that_is_told() {
    let cluster = Cluster::new().await;
    cluster.members_ask(json!({ "cpu": "500m" }));
    cluster.two_machines();
    cluster
        .quota(json!({ "pods": "7", "requests.cpu": "2" }), json!({ "pods": "3", "requests.cpu": "1500m" }));
    assert_eq!(cluster.room().await, some(1, "ResourceQuota some-quota: requests.cpu"));
}

#[tokio::test]
async fn quotas_that_may_not_be_read_are_a_gap_and_what_the_cluster_hides_is_not_counted() {
    let cluster = Cluster::new().await;
    cluster.claims_are_of(json!("disk-local"));
    cluster.quota(json!({ "pods": "4" }), json!({ "pods": "3" }));
    let hidden =
        |call: &Received| call.path.starts_with("/api/v1/nodes") || call.path.contains("storage.k8s.io");
    cluster.spoil(hidden, false, Reply::status(403, "not yours"));
    assert_eq!(cluster.room().await, some(1, "ResourceQuota some-quota: pods"));
    for (status, reason) in [(403, Gap::NotScraped), (500, Gap::Error)] {
        let cluster = Cluster::new().await;
        cluster.spoil(|call| call.path.contains("/resourcequotas"), false, Reply::status(status, "no"));
        let reading = cluster.reading().await;
        let is_gap = matches!(&reading, Reading::Gap { reason: why, detail } if *why == reason && detail.contains("ResourceQuotas"));
        assert!(is_gap, "{status}: {reading:?}");
    }
}
