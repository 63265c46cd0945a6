//! The chart as Helm renders it: what it asks for is never more than `decisions.md` D21 grants, what it writes is
//! what the daemon reads, and a slip in a value is refused. What it does in a cluster is in `kube_pods`.

use anyhow::Context as _;
use plimsoll_tests::chart::{self, documents, printed_by, render};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;

const NAMESPACE: &str = "plimsoll";

/// What people set, from nothing to everything.
fn choices() -> Vec<Value> {
    let target = json!({
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "StatefulAutoscaler",
        "metadata": { "name": "etcd", "namespace": "shop" },
        "spec": {
            "targetRef": { "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "etcd" },
            "system": { "kind": "etcd", "ref": "etcd" },
            "minReplicas": 3,
            "maxReplicas": 5,
            "policies": [{ "name": "hold", "module": "hold.wasm" }],
        },
    });
    vec![
        json!({}),
        json!({ "namespaces": ["shop", "plimsoll"], "targets": { "etcd": target } }),
        json!({
            "namespaces": ["*"],
            "rights": { "tombstones": true },
            "replicas": 0,
            "networkPolicy": { "enabled": false },
        }),
        json!({
            "namespaces": ["shop"],
            "rights": {
                "workloads": ["etcd"], "nodes": false, "tombstones": true, "people": false,
                "scalable": [{ "apiVersion": "example.dev/v1", "kind": "Database", "plural": "databases" }],
            },
            "image": { "digest": format!("sha256:{}", "a".repeat(64)), "pullSecrets": [{ "name": "registry" }] },
            "config": { "interval": "5s", "movement": { "concurrentPlans": 2 } },
            "systems": { "etcd": { "kind": "etcd", "caFile": "/etc/plimsoll/mounted/tls/ca.pem" } },
            "sources": { "main": { "kind": "prometheus", "url": "http://prometheus.monitoring.svc:9090" } },
            "mounts": [{ "name": "tls", "secret": "etcd-client" }, { "name": "ca", "configMap": "authority" }],
            "policies": { "configMaps": ["policies", "more-policies"] },
            "state": { "kind": "ephemeral", "size": "5Gi", "storageClass": "fast" },
            "antiAffinity": "required",
            "nodeSelector": { "disk": "ssd" },
            "tolerations": [{ "key": "control", "operator": "Exists" }],
            "priorityClassName": "high",
            "podAnnotations": { "note": "yes" },
            "podLabels": { "team": "data" },
            "serviceAccount": { "annotations": { "note": "yes" } },
            "networkPolicy": {
                "apiServer": { "cidrs": ["10.0.0.0/28"], "ports": [6443] },
                "sources": { "namespaceLabels": { "name": "monitoring" } },
                "readers": { "namespaceLabels": { "name": "monitoring" } },
                "egress": [{ "ports": [{ "port": 8086, "protocol": "TCP" }] }],
            },
            "serviceMonitor": { "enabled": true, "labels": { "release": "prometheus" } },
            "alerts": { "enabled": true, "labels": { "release": "prometheus" } },
        }),
        json!({ "state": { "kind": "claim", "claim": "audit" }, "disruptionBudget": { "enabled": false } }),
    ]
}

fn rendered() -> anyhow::Result<Vec<(Value, Vec<Value>)>> {
    choices().into_iter().map(|choice| Ok((choice.clone(), render(NAMESPACE, &choice)?))).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

fn one<'a>(objects: &'a [Value], kind: &'a str) -> anyhow::Result<&'a Value> {
    of_kind(objects, kind).next().with_context(|| format!("no {kind}"))
}

fn words(list: &Value) -> BTreeSet<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn helm_has_nothing_to_say_against_it() -> anyhow::Result<()> {
    for choice in choices() {
        let mut helm = Command::new(chart::tool("helm")?);
        helm.args(["lint", "--strict"]).arg(chart::folder()).args(["--values", "-"]);
        printed_by(&mut helm, &choice.to_string())?;
    }
    Ok(())
}

#[test]
fn its_definitions_are_those_of_the_daemon() -> anyhow::Result<()> {
    let printed = printed_by(Command::new(plimsoll_tests::binary()).arg("crd"), "")?;
    let path = chart::folder().join("crds/definitions.yaml");
    if std::env::var_os("PLIMSOLL_BLESS").is_some() {
        std::fs::write(&path, &printed)?;
    }
    let shipped = std::fs::read_to_string(&path)?;
    assert!(printed == shipped, "PLIMSOLL_BLESS=1 writes {} anew", path.display());
    let kinds: Vec<Value> = documents(&shipped)?.iter().map(|one| one["kind"].clone()).collect();
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| kind == "CustomResourceDefinition"), "{kinds:?}");
    Ok(())
}

/// Helm reads YAML 1.1, where `off` without quotes is a switch.
#[test]
fn a_target_that_is_switched_off_without_quotes_is_off_and_one_that_is_switched_on_is_refused()
-> anyhow::Result<()> {
    let with = |mode: Value| {
        let mut values = choices().remove(1);
        values["targets"]["etcd"]["spec"]["mode"] = mode;
        values
    };
    for (mode, written) in [(json!(false), "mode: \"off\""), (json!("enforce"), "mode: enforce")] {
        let objects = render(NAMESPACE, &with(mode))?;
        let documents = of_kind(&objects, "ConfigMap").filter_map(|map| map["data"]["etcd.yaml"].as_str());
        assert_eq!(documents.filter(|document| document.contains(written)).count(), 1, "{written}");
    }
    for mode in [json!(true), json!("on")] {
        assert!(render(NAMESPACE, &with(mode)).is_err());
    }
    Ok(())
}

#[test]
fn its_version_is_the_daemons() -> anyhow::Result<()> {
    let file = documents(&std::fs::read_to_string(chart::folder().join("Chart.yaml"))?)?;
    assert_eq!(file[0]["appVersion"], env!("CARGO_PKG_VERSION"));
    Ok(())
}

/// The one ConfigMap, of that name alone.
const TOMBSTONES: &str = "/configmaps";

/// What D21 grants: resource, and the verbs beyond looking.
const GRANTED: &[(&str, &[&str])] = &[
    ("/pods", &[]),
    ("/persistentvolumeclaims", &[]),
    ("/resourcequotas", &[]),
    ("/nodes", &[]),
    ("/persistentvolumes", &[]),
    ("storage.k8s.io/storageclasses", &[]),
    ("policy/poddisruptionbudgets", &[]),
    ("autoscaling/horizontalpodautoscalers", &[]),
    ("apps/controllerrevisions", &[]),
    (TOMBSTONES, &["patch"]),
    ("apps/statefulsets", &["patch"]),
    ("apps/statefulsets/scale", &["patch"]),
    ("example.dev/databases", &["patch"]),
    ("example.dev/databases/scale", &["patch"]),
    ("plimsoll.dev/statefulautoscalers", &["patch"]),
    ("plimsoll.dev/statefulautoscalers/status", &["patch"]),
    ("plimsoll.dev/scalingplans", &["create", "update", "patch"]),
    ("plimsoll.dev/scalingplans/status", &["update", "patch"]),
    ("/events", &["create", "patch"]),
    ("events.k8s.io/events", &["create", "patch"]),
    ("coordination.k8s.io/leases", &["create", "update", "patch"]),
];

/// What no rule may name, whatever else is granted.
const NEVER: [&str; 8] =
    ["delete", "deletecollection", "*", "impersonate", "escalate", "bind", "approve", "sign"];
const NEVER_RESOURCES: [&str; 9] = [
    "*",
    "secrets",
    "pods/exec",
    "pods/attach",
    "pods/portforward",
    "pods/eviction",
    "serviceaccounts/token",
    "nodes/proxy",
    "roles",
];

/// What is wrong with a rule.
fn complaints(rule: &Value) -> Vec<String> {
    let (groups, resources, verbs) =
        (words(&rule["apiGroups"]), words(&rule["resources"]), words(&rule["verbs"]));
    let mut found: Vec<String> = verbs
        .iter()
        .filter(|verb| NEVER.contains(verb))
        .chain(resources.iter().filter(|resource| NEVER_RESOURCES.contains(resource)))
        .chain(groups.iter().filter(|group| **group == "*"))
        .map(|word| format!("{word} in {rule}"))
        .collect();
    if groups.is_empty() || resources.is_empty() || verbs.is_empty() || !rule["nonResourceURLs"].is_null() {
        found.push(format!("no rule about resources: {rule}"));
    }
    for resource in groups.iter().flat_map(|group| resources.iter().map(move |one| format!("{group}/{one}")))
    {
        let granted = GRANTED.iter().find(|(known, _)| *known == resource).map(|(_, verbs)| *verbs);
        let looks = ["get", "list", "watch"];
        let named = rule["resourceNames"] == json!(["plimsoll-tombstones"]);
        match granted.filter(|_| resource != TOMBSTONES || named) {
            None => found.push(format!("{resource} is not granted")),
            Some(granted) => {
                let more = verbs.iter().filter(|verb| !looks.contains(verb) && !granted.contains(verb));
                found.extend(more.map(|verb| format!("{verb} of {resource} is not granted")));
            }
        }
    }
    found
}

#[test]
fn it_asks_for_no_more_rights_than_were_decided() -> anyhow::Result<()> {
    for (choice, objects) in rendered()? {
        let bound = of_kind(&objects, "RoleBinding").chain(of_kind(&objects, "ClusterRoleBinding"));
        let bound: Vec<&Value> = bound.map(|binding| &binding["roleRef"]["name"]).collect();
        let roles = of_kind(&objects, "Role").chain(of_kind(&objects, "ClusterRole"));
        let (ours, peoples): (Vec<&Value>, Vec<&Value>) =
            roles.partition(|role| bound.contains(&&role["metadata"]["name"]));
        let rules = |roles: &[&'_ Value]| -> Vec<Value> {
            roles.iter().flat_map(|role| role["rules"].as_array().into_iter().flatten()).cloned().collect()
        };
        // What people may do is about our own resources, and not about what only the daemon writes.
        for rule in rules(&peoples) {
            assert_eq!(rule["apiGroups"], json!(["plimsoll.dev"]), "{rule}");
            let resources = words(&rule["resources"]);
            assert!(resources.iter().all(|one| !one.contains("/status") && *one != "*"), "{rule}");
        }
        let rules = rules(&ours);
        assert!(rules.len() > 10, "{} rules with {choice}", rules.len());
        let found: Vec<String> = rules.iter().flat_map(complaints).collect();
        assert_eq!(found, Vec::<String>::new(), "with {choice}");
        let bound = of_kind(&objects, "RoleBinding").chain(of_kind(&objects, "ClusterRoleBinding"));
        for binding in bound {
            assert_eq!(
                binding["subjects"],
                json!([{ "kind": "ServiceAccount", "name": "plimsoll", "namespace": NAMESPACE }])
            );
            // None of those that a cluster brings along, such as cluster-admin.
            let (kind, name) = (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]);
            let known = objects.iter().any(|one| one["kind"] == *kind && one["metadata"]["name"] == *name);
            assert!(known, "{name} is not of the chart");
        }
    }
    Ok(())
}

#[test]
fn the_test_of_rights_finds_what_must_not_be() {
    for (resource, verb) in [
        ("pods", "delete"),
        ("pods", "deletecollection"),
        ("pods", "*"),
        ("*", "get"),
        ("secrets", "get"),
        ("pods/exec", "create"),
        ("serviceaccounts", "impersonate"),
        ("pods", "patch"),
        ("configmaps", "get"),
    ] {
        let rule = json!({ "apiGroups": [""], "resources": [resource], "verbs": [verb] });
        assert!(!complaints(&rule).is_empty(), "{rule}");
    }
    for verb in ["escalate", "bind"] {
        let group = "rbac.authorization.k8s.io";
        let rule = json!({ "apiGroups": [group], "resources": ["roles"], "verbs": [verb] });
        assert!(complaints(&rule).len() > 1, "{rule}");
    }
}

#[test]
fn rights_are_of_the_namespaces_that_are_named_and_of_no_others() -> anyhow::Result<()> {
    let choices = choices();
    let objects = render(NAMESPACE, &choices[1])?;
    let places: BTreeSet<&str> =
        of_kind(&objects, "Role").filter_map(|role| role["metadata"]["namespace"].as_str()).collect();
    assert_eq!(places, BTreeSet::from(["plimsoll", "shop"]));
    // Without the cluster's machines, nothing is asked of the cluster.
    let objects = render(NAMESPACE, &choices[3])?;
    assert_eq!(of_kind(&objects, "ClusterRole").count(), 0);
    let changes = of_kind(&objects, "Role").flat_map(|role| role["rules"].as_array().into_iter().flatten());
    let of_workloads = changes
        .filter(|rule| words(&rule["resources"]).contains("statefulsets/scale"))
        .map(|rule| words(&rule["resourceNames"]));
    assert_eq!(of_workloads.collect::<Vec<_>>(), [BTreeSet::from(["etcd"])]);
    Ok(())
}

#[test]
fn its_pods_are_as_restricted_as_pods_can_be() -> anyhow::Result<()> {
    for (choice, objects) in rendered()? {
        let pod = &one(&objects, "Deployment")?["spec"]["template"]["spec"];
        let containers = pod["containers"].as_array().context("no containers")?;
        assert_eq!(containers.len(), 1);
        let container = &containers[0];
        assert_eq!(
            container["securityContext"],
            json!({
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            })
        );
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert!(container["resources"]["limits"]["memory"].is_string(), "{choice}");
        for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
            assert_eq!(container[probe]["httpGet"], json!({ "path": path, "port": "http" }));
        }
        for name in ["hostNetwork", "hostPID", "hostIPC", "initContainers", "hostAliases"] {
            assert!(pod[name].is_null(), "{name} with {choice}");
        }
        let mounts = container["volumeMounts"].as_array().context("no mounts")?;
        let writable: Vec<&Value> =
            mounts.iter().filter(|mount| mount["readOnly"] != true).map(|mount| &mount["name"]).collect();
        assert_eq!(writable, [&json!("state")], "with {choice}");
        let sources = pod["volumes"].as_array().context("no volumes")?;
        let token =
            &sources.iter().find(|one| one["name"] == "identity").context("no identity")?["projected"];
        assert_eq!(token["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3600);
        assert!(sources.iter().all(|one| one["hostPath"].is_null()), "with {choice}");
    }
    Ok(())
}

#[test]
fn another_file_is_another_pod_and_another_target_is_not() -> anyhow::Result<()> {
    let choices = choices();
    let pod = |values: &Value| -> anyhow::Result<Value> {
        Ok(one(&render(NAMESPACE, values)?, "Deployment")?["spec"]["template"].clone())
    };
    let mut values = choices[1].clone();
    let before = pod(&values)?;
    values["targets"]["etcd"]["spec"]["maxReplicas"] = json!(7);
    assert_eq!(pod(&values)?, before);
    values["config"] = json!({ "interval": "7s" });
    assert_ne!(pod(&values)?["metadata"]["annotations"], before["metadata"]["annotations"]);
    Ok(())
}

#[test]
fn what_it_writes_is_what_the_daemon_reads() -> anyhow::Result<()> {
    for (choice, objects) in rendered()? {
        let home = tempfile::tempdir()?;
        for folder in ["etc", "targets", "policies", "mounted/tls"] {
            std::fs::create_dir_all(home.path().join(folder))?;
        }
        std::fs::write(home.path().join("mounted/tls/ca.pem"), authority()?)?;
        let at = home.path().display();
        for map in of_kind(&objects, "ConfigMap") {
            for (name, text) in map["data"].as_object().into_iter().flatten() {
                let text = text.as_str().context("no text")?;
                // The places of the container, on this machine.
                let text = text
                    .replace("/usr/share/plimsoll/policies", &format!("{at}/policies"))
                    .replace("/etc/plimsoll/", &format!("{at}/"))
                    .replace("/var/lib/plimsoll", &format!("{at}/state"));
                let folder = if name == "plimsoll.yaml" { "etc" } else { "targets" };
                std::fs::write(home.path().join(folder).join(name), text)?;
            }
        }
        let module = plimsoll_tests::daemon::shipped("hold.wasm");
        std::fs::copy(module, home.path().join("policies/hold.wasm"))?;
        let mut check = Command::new(plimsoll_tests::binary());
        check.arg("--config").arg(home.path().join("etc/plimsoll.yaml")).arg("check");
        printed_by(&mut check, "").with_context(|| format!("with {choice}"))?;
    }
    Ok(())
}

fn authority() -> anyhow::Result<String> {
    Ok(rcgen::generate_simple_self_signed(["authority".to_owned()])?.cert.pem())
}

#[test]
fn a_slip_in_a_value_is_refused() -> anyhow::Result<()> {
    for (slip, named) in [
        (json!({ "replica": 2 }), "replica"),
        (json!({ "replicas": "2" }), "replicas"),
        (json!({ "replicas": 6 }), "replicas"),
        (json!({ "image": { "tags": "1" } }), "tags"),
        (json!({ "image": { "digest": "sha256:abc" } }), "digest"),
        (json!({ "image": { "pullPolicy": "Sometimes" } }), "pullPolicy"),
        (json!({ "namespaces": "shop" }), "namespaces"),
        (json!({ "namespaces": ["*", "shop"] }), "namespaces"),
        (json!({ "namespaces": ["Shop"] }), "namespaces"),
        (json!({ "rights": { "node": true } }), "node"),
        (json!({ "rights": { "scalable": [{ "kind": "Database" }] } }), "scalable"),
        (
            json!({ "rights": { "scalable": [{ "apiVersion": "v1", "kind": "Database", "plural": "databases" }] } }),
            "apiVersion",
        ),
        (json!({ "config": { "systems": {} } }), "systems"),
        (json!({ "systems": { "other": {} } }), "other"),
        (json!({ "mounts": [{ "name": "tls" }] }), "mounts"),
        (json!({ "mounts": [{ "name": "tls", "secret": "a", "configMap": "b" }] }), "mounts"),
        (json!({ "policies": { "configMap": "x" } }), "configMap"),
        (json!({ "targets": { "etcd": { "kind": "Deployment" } } }), "etcd"),
        (json!({ "state": { "kind": "hostPath" } }), "kind"),
        (json!({ "state": { "kind": "claim" } }), "claim"),
        (json!({ "state": { "size": "big" } }), "size"),
        (
            json!({ "resources": { "limits": { "cpu": "1" } , "requests": {} }, "antiAffinity": "none" }),
            "antiAffinity",
        ),
        (json!({ "networkPolicy": { "systemPorts": [0] } }), "systemPorts"),
        (json!({ "networkPolicy": { "apiServer": { "cidrs": ["10.0.0.1"] } } }), "cidrs"),
        (json!({ "serviceMonitor": { "interval": "often" } }), "interval"),
        (json!({ "alerts": { "enable": true } }), "enable"),
    ] {
        let error = match render(NAMESPACE, &slip) {
            Ok(_) => anyhow::bail!("{slip} was taken"),
            Err(error) => format!("{error:#}"),
        };
        assert!(
            error.contains("values don't meet the specifications") && error.contains(named),
            "{slip}: {error}"
        );
    }
    Ok(())
}

#[test]
fn alerts_ask_for_metrics_that_there_are() -> anyhow::Result<()> {
    let path = chart::folder().join("files/alerts.yaml");
    printed_by(Command::new("promtool").args(["check", "rules"]).arg(&path), "")?;
    let text = std::fs::read_to_string(&path)?;
    let read = &documents(&text)?[0];
    let rules = read["groups"][0]["rules"].as_array().context("no rules")?;
    assert!(rules.len() > 10, "{} rules", rules.len());
    for rule in rules {
        let asked = rule["expr"].as_str().context("no expression")?;
        let names = asked.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
        let names: Vec<&str> = names.filter(|word| word.starts_with("plimsoll_")).collect();
        assert!(!names.is_empty(), "{asked}");
        for name in names {
            let known = plimsoll::metrics::METRICS.iter().any(|metric| metric.name == name);
            assert!(known, "{name} is no metric of the daemon");
        }
    }
    // The chart hands on the very same.
    let objects = render(NAMESPACE, &json!({ "alerts": { "enabled": true } }))?;
    assert_eq!(one(&objects, "PrometheusRule")?["spec"], *read);
    Ok(())
}

#[test]
fn its_network_reaches_what_it_needs_and_nothing_else() -> anyhow::Result<()> {
    let objects = render(NAMESPACE, &choices()[3])?;
    let policy = &one(&objects, "NetworkPolicy")?["spec"];
    assert_eq!(words(&policy["policyTypes"]), BTreeSet::from(["Egress", "Ingress"]));
    assert_eq!(policy["ingress"][0]["ports"], json!([{ "port": "http", "protocol": "TCP" }]));
    let egress = policy["egress"].as_array().context("no egress")?;
    let ports: BTreeSet<u64> = egress
        .iter()
        .flat_map(|rule| rule["ports"].as_array().into_iter().flatten())
        .filter_map(|port| port["port"].as_u64())
        .collect();
    assert_eq!(ports, BTreeSet::from([53, 2379, 6443, 8086, 9090]));
    assert_eq!(egress[1]["to"], json!([{ "ipBlock": { "cidr": "10.0.0.0/28" } }]));
    Ok(())
}
