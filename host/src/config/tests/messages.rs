//! What the owner reads after a slip, word for word.

use super::{DAEMON, read_daemon, read_targets};

const GOOD: &str = "\
apiVersion: plimsoll.dev/v1alpha1
kind: StatefulAutoscaler
metadata:
  name: orders
spec:
  targetRef: {kind: Exec, name: vms}
  system: {kind: etcd, ref: etcd-main}
  minReplicas: 3
  maxReplicas: 7
  mode: enforce
  policies:
    - {name: load, module: load.wasm}
  signals:
    - {name: rps, source: main, query: up}
  safety: {hold: 1s}
";

/// What is said when, in the good document, `from` is written as `to`.
fn slip(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    let (loaded, problems) = read_targets(GOOD.replacen(from, to, 1).as_bytes());
    assert_eq!(loaded.targets.is_empty(), !problems.is_empty());
    problems
}

#[test]
fn prints_messages() {
    for (from, to) in TARGET_SLIPS {
        println!("@@T {:?} {:?} {:?}", from, to, slip(from, to));
    }
    for (from, to) in DAEMON_SLIPS {
        println!(
            "@@D {:?} {:?} {:?}",
            from,
            to,
            read_daemon(&DAEMON.replacen(from, to, 1)).err().unwrap_or_default()
        );
    }
}

const TARGET_SLIPS: &[(&str, &str)] = &[
    ("minReplicas: 3", "minReplica: 3"),
    ("minReplicas: 3", "minReplicas: 9"),
    ("minReplicas: 3", "minReplicas: 0"),
    ("minReplicas: 3", "minReplicas: three"),
    ("minReplicas: 3", "minReplicas:"),
    ("maxReplicas: 7", "maxReplicas: 1\n  interval: 1s"),
    ("minReplicas: 3\n  maxReplicas: 7", "minReplicas: 4\n  maxReplicas: 4"),
    ("  mode: enforce", "  mode: dry-run"),
    ("  mode: enforce", "  interval: 5"),
    ("  mode: enforce", "  interval: 0s"),
    ("  mode: enforce", "  command: [rm, -rf]"),
    ("  mode: enforce", "  replicas: 3"),
    ("name: vms", "name: vmz"),
    ("name: vms", "name: watched"),
    ("name: vms", "name: playground"),
    ("source: main", "source: private"),
    ("source: main", "url: http://evil"),
    ("  policies:\n    - {name: load, module: load.wasm}\n", ""),
    ("module: load.wasm", "module: ../load.wasm"),
    ("module: load.wasm", "module: load.wasm, onError: retry"),
    ("module: load.wasm", "module: load.wasm, settings: {target: .nan}"),
    ("query: up", "query: up, window: 30d"),
    ("hold: 1s", "hold: 0s"),
    ("hold: 1s", "cooldownIn: 0"),
    ("hold: 1s", "headroom: 25"),
    ("hold: 1s", "headroom: 2%"),
    ("hold: 1s", "utilization: .NaN"),
    ("hold: 1s", "reverse: 5m"),
    ("hold: 1s", "coolDownIn: 5m"),
    ("hold: 1s", "directAge: 1m, maxAge: 30s"),
    ("hold: 1s", "allowEven: yes"),
    ("hold: 1s", "maxLag: 10GB"),
    ("name: orders", "name: Orders_1"),
    ("name: orders", "name: orders\n  annotations: {plimsoll.dev/pause: now}"),
    ("kind: StatefulAutoscaler", "kind: StatefulAutoScaler"),
    ("v1alpha1", "v1"),
    (
        "  safety: {hold: 1s}",
        "  behavior:\n    scaleDown:\n      stabilizationWindowSeconds: 5m\n      policies: []",
    ),
    (
        "  safety: {hold: 1s}",
        "  behavior:\n    scaleDown:\n      policies:\n        - {type: Pod, value: 0, periodSeconds: 60}",
    ),
    ("query: up", "query: sum(rate(x{a=\"b\"}[1m]))"),
    ("  maxReplicas: 7\n", "  maxReplicas: 7\n  minReplicas: 5\n"),
    ("  maxReplicas: 7\n", "\tmaxReplicas: 7\n"),
    ("  maxReplicas: 7\n", "   maxReplicas: 7\n"),
    ("  maxReplicas: 7\n", "  maxReplicas: *max\n"),
    ("  maxReplicas: 7\n", "  maxReplicas: &max 7\n"),
];

const DAEMON_SLIPS: &[(&str, &str)] = &[
    ("url: http://127.0.0.1:9090", "url: 127.0.0.1:9090"),
    ("url: http://127.0.0.1:9090", "url: http://a:secret@b/"),
    ("[/bin/members, list]", "[members, list]"),
    ("[/bin/members, list]", "/bin/members list"),
    ("    add: {command: [/bin/members, add]}\n", ""),
    ("{kind: sim}", "{kind: sim, workingDirectory: /x}"),
    ("{kind: etcd}", "{kind: etcd, username: root}"),
    ("sources:", "http: {listen: 0.0.0.0:9750}\nsources:"),
    ("sources:", "http: {listen: localhost:9750}\nsources:"),
    ("sources:", "audit: {retentionSize: 64Mi}\nsources:"),
    ("sources:", "source:"),
    ("{kind: etcd}", "{kind: etcd, namespaces: []}"),
];
