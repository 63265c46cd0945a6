//! Documents that are objects of the cluster.

use crate::config::load::load_all;
use crate::config::{
    Change, Configuration, EXAMPLE_TARGET, LoadedTargets, Objects, Origin, Reloaded, TargetKey, Unseen, merge,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

fn daemon(namespaces: &str) -> crate::config::DaemonConfig {
    let kubernetes = format!("kubernetes: {{namespaces: [{namespaces}], autoscalers: true}}\n");
    let daemon =
        format!("{}{kubernetes}", super::DAEMON.replace("{kind: etcd}", "{kind: etcd, namespaces: ['*']}"));
    super::read_daemon(&daemon).expect("a good file")
}

/// An object as the API server gives it, with everything that nobody wrote.
fn object(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "StatefulAutoscaler",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": "1", "resourceVersion": "7", "generation": 3, "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": { "a": "b" },
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{}\n",
                "plimsoll.dev/paused-scale-in": "ann: backup",
                "plimsoll.dev/approve": "cluster c from 5 to 3",
            },
            "managedFields": [{ "manager": "kubectl", "fieldsV1": { "f:spec": {} } }],
        },
        "spec": {
            "targetRef": { "apiVersion": "apps/v1", "kind": "StatefulSet", "name": name },
            "system": { "kind": "etcd", "ref": "etcd-main" },
            "minReplicas": 3,
            "maxReplicas": 7,
            "replicas": 5,
            "externalWish": true,
            "interval": "2s",
            "policies": [{ "name": "load", "module": "hold.wasm", "settings": { "deep": [1, null, { "x": 0.5 }] } }],
            "safety": { "allowEven": true, "headroom": "30%" },
        },
        "status": { "anything": true },
    })
}

fn read(objects: Vec<Value>, namespaces: &str) -> LoadedTargets {
    let objects = Objects { seen: objects.into_iter().map(Arc::new).collect(), ..Objects::default() };
    load_all(Path::new("/nowhere"), &daemon(namespaces), &objects, &mut None)
}

fn key(name: &str) -> TargetKey {
    TargetKey { namespace: "shop".to_owned(), name: name.to_owned() }
}

fn unseen(namespace: Option<&str>) -> Unseen {
    Unseen(BTreeMap::from([(namespace.map(ToOwned::to_owned), "forbidden".to_owned())]))
}

fn reload(old: &Configuration, objects: Vec<Value>, unseen: Unseen) -> Reloaded {
    let objects = Objects { seen: objects.into_iter().map(Arc::new).collect(), unseen, ..Objects::default() };
    merge(old, old.daemon.clone(), load_all(Path::new("/nowhere"), &old.daemon, &objects, &mut None), 0)
}

fn before(objects: Vec<Value>) -> Configuration {
    let nothing = Configuration::new(Arc::new(daemon("shop")));
    let loaded = reload(&nothing, objects, Unseen::default());
    assert!(loaded.problems.is_empty(), "{}", loaded.problems);
    loaded.configuration
}

#[test]
fn an_object_is_read_like_a_file_and_what_others_added_is_let_be() {
    let loaded = read(vec![object("shop", "db")], "shop");
    assert_eq!(loaded.problems.to_string(), "");
    let target = &loaded.targets[0];
    assert_eq!((target.key.to_string().as_str(), target.origin), ("shop/db", Origin::Object));
    assert_eq!(&*target.file, "StatefulAutoscaler shop/db");
    assert_eq!(target.approve.as_deref(), Some("cluster c from 5 to 3"));
    assert_eq!(target.pauses.scale_in.as_ref().map(|pause| &*pause.why), Some("ann: backup"));
    assert_eq!(target.policies[0].asked.settings, json!({ "deep": [1, null, { "x": 0.5 }] }));
    assert!(target.external_wish && target.safety.allow_even);
    // A file without a directory of files is no problem: nobody named one.
    assert!(!loaded.complete);
    // Another wish from outside is no other document.
    let mut other = object("shop", "db");
    (other["spec"]["replicas"], other["metadata"]["resourceVersion"]) = (json!(3), json!("8"));
    assert_eq!(read(vec![other], "shop").targets, loaded.targets);
}

#[test]
fn what_is_wrong_is_told_with_the_object_and_the_key_as_its_place() {
    let mut object = object("shop", "db");
    object["spec"]["minReplicas"] = json!("3");
    object["spec"]["colour"] = json!("red");
    object["spec"]["policies"][0]["name"] = json!("scale");
    object["metadata"]["annotations"]["plimsoll.dev/pausd"] = json!("x");
    let loaded = read(vec![object], "shop");
    assert_eq!((loaded.targets.len(), loaded.broken.len()), (0, 1));
    assert_eq!(loaded.broken[0].key, Some(key("db")));
    let problems = loaded.problems.to_string();
    for part in [
        "StatefulAutoscaler shop/db: spec.minReplicas: `3` is text",
        "StatefulAutoscaler shop/db: spec.colour: is not a known key",
        "StatefulAutoscaler shop/db: spec.policies[0].name: `scale` is already the name of another",
        "StatefulAutoscaler shop/db: metadata.annotations.plimsoll.dev/pausd: is not a known annotation \
         (did you mean `plimsoll.dev/paused`?)",
    ] {
        assert!(problems.contains(part), "{part} is not in\n{problems}");
    }
}

#[test]
fn an_object_that_is_nested_without_end_is_refused_and_costs_a_bounded_tree() {
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let mut object = object("shop", "db");
    object["spec"]["policies"][0]["settings"] = json!({ "deep": deep });
    let problems = read(vec![object.clone()], "shop").problems.to_string();
    assert!(problems.contains("is nested too deep"), "{problems}");
    object["spec"]["policies"][0]["settings"] = json!({ "many": vec![1; 60_000] });
    let problems = read(vec![object], "shop").problems.to_string();
    assert!(problems.contains("is one value too many"), "{problems}");
}

#[test]
fn an_object_of_another_namespace_is_none_of_ours() {
    let loaded = read(vec![object("elsewhere", "db")], "shop");
    assert!(loaded.targets.is_empty() && loaded.broken.is_empty() && loaded.problems.is_empty());
    assert_eq!(read(vec![object("elsewhere", "db")], "'*'").targets.len(), 1);
}

#[test]
fn an_object_that_is_gone_removes_its_target_unless_nobody_can_know() {
    let before = before(vec![object("shop", "db"), object("shop", "other")]);
    for unseen in [unseen(Some("shop")), unseen(None)] {
        let blind = reload(&before, Vec::new(), unseen);
        assert_eq!(blind.configuration.targets, before.targets);
        let problems = blind.problems.to_string();
        assert!(
            problems.contains("cannot be seen: forbidden (targets that come from there go on as they were)"),
            "{problems}"
        );
    }
    let elsewhere = reload(&before, vec![object("shop", "other")], unseen(Some("elsewhere")));
    assert_eq!(elsewhere.changes, [Change::Removed(key("db"))]);
}

#[test]
fn a_broken_change_of_an_object_keeps_what_was() {
    let before = before(vec![object("shop", "db")]);
    let mut broken = object("shop", "db");
    broken["spec"]["maxReplicas"] = json!(1);
    let after = reload(&before, vec![broken], Unseen::default());
    assert_eq!(after.configuration.targets, before.targets);
    assert_eq!(after.changes, [Change::Kept(key("db"))]);
    let problems = after.problems.to_string();
    assert!(
        problems.contains("StatefulAutoscaler shop/db: target `shop/db` keeps the configuration that it had"),
        "{problems}"
    );
}

#[test]
fn a_file_and_an_object_of_one_name_are_both_refused_and_the_old_one_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("db.yaml");
    let document = "
apiVersion: plimsoll.dev/v1alpha1
kind: StatefulAutoscaler
metadata: {name: db, namespace: shop}
spec:
  targetRef: {apiVersion: apps/v1, kind: StatefulSet, name: db}
  system: {kind: etcd, ref: etcd-main}
  minReplicas: 3
  maxReplicas: 7
  policies: [{name: load, module: hold.wasm}]
";
    std::fs::write(&file, document).expect("written");
    let daemon = Arc::new(daemon("shop"));
    let nothing = Configuration::new(daemon.clone());
    let all = |objects: Vec<Value>| {
        let objects = Objects { seen: objects.into_iter().map(Arc::new).collect(), ..Objects::default() };
        load_all(dir.path(), &daemon, &objects, &mut None)
    };
    let first = merge(&nothing, daemon.clone(), all(Vec::new()), 0).configuration;
    assert_eq!(first.targets[&key("db")].origin, Origin::File);
    let both = merge(&first, daemon.clone(), all(vec![object("shop", "db")]), 0);
    assert_eq!(both.configuration.targets, first.targets);
    let problems = both.problems.to_string();
    assert!(problems.contains("is described twice, also in StatefulAutoscaler shop/db ("), "{problems}");
    assert!(problems.contains(&format!("is described twice, also in {}:2 (", file.display())), "{problems}");
    std::fs::remove_file(&file).expect("removed");
    let moved = merge(&both.configuration, daemon.clone(), all(vec![object("shop", "db")]), 0);
    assert_eq!(moved.changes, [Change::Changed(key("db"))]);
    assert_eq!(moved.configuration.targets[&key("db")].origin, Origin::Object);
}

#[test]
fn the_example_as_an_object_is_the_same_target_as_the_file() {
    let value = crate::yaml::json(EXAMPLE_TARGET.as_bytes(), "example").expect("good YAML");
    let loaded = read(vec![value], "shop, default");
    assert_eq!(loaded.problems.to_string(), "");
    let (file, problems) = super::read_targets(EXAMPLE_TARGET.as_bytes());
    assert_eq!(problems, "");
    assert_eq!(loaded.targets[0].signals.len(), file.targets[0].signals.len());
    assert_eq!(loaded.targets[0].safety, file.targets[0].safety);
    assert_eq!(loaded.targets[0].behavior, file.targets[0].behavior);
    assert_eq!(loaded.targets[0].interval, file.targets[0].interval);
}
