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

/// A slip: what is written in the good document, what somebody writes instead, and what is said then.
type Slip = (&'static str, &'static str, &'static [&'static str]);

fn check(slips: &[Slip], document: &str, said: impl Fn(&str) -> String) {
    assert_eq!(said(document), "");
    for (from, to, expected) in slips {
        assert!(document.contains(from), "{from}");
        assert_eq!(said(&document.replacen(from, to, 1)), expected.join("\n"), "{to}");
    }
}

#[test]
fn slips_in_a_targets_document() {
    check(TARGET_SLIPS, GOOD, |text| read_targets(text.as_bytes()).1);
}

#[test]
fn slips_in_the_daemons_file() {
    check(DAEMON_SLIPS, DAEMON, |text| read_daemon(text).err().unwrap_or_default());
}

#[rustfmt::skip]
const TARGET_SLIPS: &[Slip] = &[
    (
        "{kind: Exec, name: vms}",
        "{kind: StatefulSet, name: db}",
        &["orders.yaml:6: spec.targetRef.kind: no Kubernetes is open to namespace `default` (add `kubernetes` to the daemon's file, with this namespace)"],
    ),
    (
        "minReplicas: 3",
        "minReplica: 3",
        &["orders.yaml:8: spec.minReplica: is not a known key (did you mean `minReplicas`?)"],
    ),
    (
        "minReplicas: 3",
        "minReplicas: 9",
        &["orders.yaml:8: spec.minReplicas: `9` is more than `maxReplicas`, `7` (exchange them or raise `maxReplicas`)"],
    ),
    (
        "minReplicas: 3",
        "minReplicas: 0",
        &["orders.yaml:8: spec.minReplicas: `0` members hold no data (a system that holds data is not scaled to nothing; write 1 or more)"],
    ),
    (
        "minReplicas: 3",
        "minReplicas: three",
        &["orders.yaml:8: spec.minReplicas: `three` is not a whole number (write digits only, like `3`)"],
    ),
    (
        "minReplicas: 3",
        "minReplicas:",
        &["orders.yaml:8: spec.minReplicas: has no value (give it one or remove the key)"],
    ),
    (
        "maxReplicas: 7",
        "maxReplicas: 1\n  interval: 1s",
        &["orders.yaml:8: spec.minReplicas: `3` is more than `maxReplicas`, `1` (exchange them or raise `maxReplicas`)"],
    ),
    (
        "minReplicas: 3\n  maxReplicas: 7",
        "minReplicas: 4\n  maxReplicas: 4",
        &["orders.yaml:8: spec.minReplicas: `4` is even, and no other size is allowed (choose an odd number, or set `spec.safety.allowEven: true`)"],
    ),
    (
        "  mode: enforce",
        "  mode: dry-run",
        &["orders.yaml:10: spec.mode: `dry-run` is not known (did you mean `dryrun`?)"],
    ),
    (
        "  mode: enforce",
        "  interval: 5",
        &["orders.yaml:10: spec.interval: `5` has no unit (write `5s`, `5m` or `5h`)"],
    ),
    (
        "  mode: enforce",
        "  interval: 0s",
        &["orders.yaml:10: spec.interval: `0s` is below the least that is allowed (write a value from `1s` to `10m`)"],
    ),
    (
        "  mode: enforce",
        "  command: [rm, -rf]",
        &["orders.yaml:10: spec.command: is not a known key (commands stand only in the daemon's file, under `platforms`; a document refers to them by name)"],
    ),
    (
        "  mode: enforce",
        "  replicas: 3",
        &["orders.yaml:10: spec.replicas: is not a known key (the policies wish for a size, between `minReplicas` and `maxReplicas`)"],
    ),
    (
        "name: vms",
        "name: vmz",
        &["orders.yaml:6: spec.targetRef.name: `vmz` is not among the `platforms` open to namespace `default` (did you mean `vms`?)"],
    ),
    (
        "name: vms",
        "name: watched",
        &["orders.yaml:10: spec.mode: `enforce` needs commands that add and remove members, which platform `watched` lacks (give it `add` and `remove` in the daemon's file, or write `mode: dryrun`)"],
    ),
    (
        "name: vms",
        "name: playground",
        &[
            "orders.yaml:6: spec.targetRef.kind: platform `playground` of the daemon's file is of the kind `Sim` (write `kind: Sim` or name another platform)",
            "orders.yaml:7: spec.system.kind: `etcd` does not run on the platform `playground` (platforms of the kind `sim` and `sim-quorum`, `sim-sharded`, `sim-together`, `sim-shards` go together, and with nothing else)",
        ],
    ),
    (
        "source: main",
        "source: private",
        &["orders.yaml:14: spec.signals[0].source: `private` is not among the `sources` open to namespace `default` (open to it: main)"],
    ),
    (
        "source: main",
        "url: http://evil",
        &[
            "orders.yaml:14: spec.signals[0].source: is missing (the name of one of `sources` in the daemon's file)",
            "orders.yaml:14: spec.signals[0].url: is not a known key (addresses stand only in the daemon's file, under `sources`; a document refers to them by name)",
        ],
    ),
    (
        "  policies:\n    - {name: load, module: load.wasm}\n",
        "",
        &["orders.yaml:5: spec.policies: nobody is asked for a size (name at least one; to scale by hand only, ask `hold.wasm`)"],
    ),
    (
        "module: load.wasm",
        "module: ../load.wasm",
        &["orders.yaml:12: spec.policies[0].module: `../load.wasm` is not a module's name (write the name of a file in the policies' directory, like `target-utilization.wasm`)"],
    ),
    (
        "module: load.wasm",
        "module: load.wasm, onError: retry",
        &["orders.yaml:12: spec.policies[0].onError: `retry` is not known (one of: hold, ignore, fail)"],
    ),
    (
        "module: load.wasm",
        "module: load.wasm, settings: {target: .nan}",
        &["orders.yaml:12: spec.policies[0].settings.target: `.nan` is not a finite number (write a number, or put text in quotes)"],
    ),
    (
        "query: up",
        "query: up, window: 30d",
        &["orders.yaml:14: spec.signals[0].window: `30d` is above the most that is allowed (write a value from `1s` to `1d`)"],
    ),
    (
        "query: up",
        "query: up, window: 1d, step: 1m",
        &["orders.yaml:14: spec.signals[0].step: gives more than 1000 points in the window (make it longer)"],
    ),
    (
        "query: up",
        "query: up, step: 1500ms",
        &["orders.yaml:14: spec.signals[0].step: must be a whole number of seconds, at least 1s"],
    ),
    (
        "query: up",
        "query: 'sum(rate(x[1m])'",
        &["orders.yaml:14: spec.signals[0].query: is no PromQL: `(` is not closed (close every bracket and every quote once)"],
    ),
    (
        "name: orders",
        "name: orders\u{a0}1",
        &["orders.yaml:4: metadata.name: `orders<U+00A0>1` is not a name (at most 63 lowercase letters, digits and `-`, with a letter or digit at both ends)"],
    ),
    (
        "hold: 1s",
        "hold: 0s",
        &["orders.yaml:15: spec.safety.hold: `0s` is below the least that is allowed (write a value from `1s` to `1d`)"],
    ),
    (
        "hold: 1s",
        "cooldownIn: 0",
        &["orders.yaml:15: spec.safety.cooldownIn: `0` has no unit (write a duration with its unit, like `1s`)"],
    ),
    (
        "hold: 1s",
        "headroom: 25",
        &["orders.yaml:15: spec.safety.headroom: `25` is 2500% (if percent are meant, write `25%`)"],
    ),
    (
        "hold: 1s",
        "headroom: 2%",
        &["orders.yaml:15: spec.safety.headroom: `2%` is below the least that is allowed (write a value from `5%` to `90%`)"],
    ),
    (
        "hold: 1s",
        "utilization: .NaN",
        &["orders.yaml:15: spec.safety.utilization: `.NaN` is not a ratio (write it like `25%` or `0.25`)"],
    ),
    (
        "hold: 1s",
        "reverse: 5m",
        &["orders.yaml:15: spec.safety.reverse: `5m` is shorter than `cooldownIn`, `30m` (a change of direction waits at least as long as a change: raise `reverse` or lower the cooldown)"],
    ),
    (
        "hold: 1s",
        "coolDownIn: 5m",
        &["orders.yaml:15: spec.safety.coolDownIn: is not a known key (did you mean `cooldownIn`?)"],
    ),
    (
        "hold: 1s",
        "directAge: 1m, maxAge: 30s",
        &["orders.yaml:15: spec.safety.directAge: `1m` is longer than `maxAge`, `30s` (what is destroyed needs fresher facts than what is admitted: set `directAge` to `maxAge` or less)"],
    ),
    (
        "hold: 1s",
        "allowEven: yes",
        &["orders.yaml:15: spec.safety.allowEven: `yes` is neither true nor false (write `true` or `false`, without quotes)"],
    ),
    (
        "hold: 1s",
        "maxLag: 10GB",
        &["orders.yaml:15: spec.safety.maxLag: `10GB` is not a size (write `10Gi` (powers of 1024) or `10G` (powers of 1000))"],
    ),
    (
        "name: orders",
        "name: Orders_1",
        &["orders.yaml:4: metadata.name: `Orders_1` is not a name (at most 63 lowercase letters, digits and `-`, with a letter or digit at both ends)"],
    ),
    (
        "name: orders",
        "name: orders\n  annotations: {plimsoll.dev/pause: now}",
        &["orders.yaml:5: metadata.annotations.plimsoll.dev/pause: is not a known annotation (did you mean `plimsoll.dev/paused`?)"],
    ),
    (
        "name: orders",
        "name: orders\n  annotations: {plimsoll.dev/paused: \"\", plimsoll.dev/paused-replicas: 5}",
        &[
            "orders.yaml:5: metadata.annotations.plimsoll.dev/paused: says neither who nor why (write who and why, and until when if it ends: `ann: disk swap; until 2026-02-01T12:00:00Z`)",
            "orders.yaml:5: metadata.annotations.plimsoll.dev/paused-replicas: says neither who nor why (write the number, who and why: `5; ann: campaign; until 2026-02-01T12:00:00Z`)",
        ],
    ),
    (
        "name: orders",
        "name: orders\n  annotations: {plimsoll.dev/paused-scale-in: \"ann: x; until tomorrow\", plimsoll.dev/paused-replicas: \"50; ann: x\"}",
        &[
            "orders.yaml:5: metadata.annotations.plimsoll.dev/paused-scale-in: `tomorrow` is not a time with its offset from UTC (write it like `2026-02-01T12:00:00Z`)",
            "orders.yaml:5: metadata.annotations.plimsoll.dev/paused-replicas: `50` is not between `minReplicas` and `maxReplicas` (write a number from 3 to 7)",
        ],
    ),
    (
        "kind: StatefulAutoscaler",
        "kind: StatefulAutoScaler",
        &["orders.yaml:2: kind: `StatefulAutoScaler` is not the kind that belongs here (write `kind: StatefulAutoscaler`)"],
    ),
    (
        "v1alpha1",
        "v1",
        &["orders.yaml:1: apiVersion: `plimsoll.dev/v1` is not known (write `apiVersion: plimsoll.dev/v1alpha1`)"],
    ),
    (
        "  safety: {hold: 1s}",
        "  behavior:\n    scaleDown:\n      stabilizationWindowSeconds: 5m\n      policies: []",
        &[
            "orders.yaml:17: spec.behavior.scaleDown.stabilizationWindowSeconds: `5m` has a unit (this key counts seconds, as the HPA's does: write `300`)",
            "orders.yaml:18: spec.behavior.scaleDown.policies: has no rate (write one, or `selectPolicy: Disabled` to switch this direction off)",
        ],
    ),
    (
        "  safety: {hold: 1s}",
        "  behavior:\n    scaleDown:\n      policies:\n        - {type: Pod, value: 0, periodSeconds: 60}",
        &[
            "orders.yaml:18: spec.behavior.scaleDown.policies[0].type: `Pod` is not known (did you mean `Pods`?)",
            "orders.yaml:18: spec.behavior.scaleDown.policies[0].value: `0` is below the least that is allowed (write a value from `1` to `10000`)",
        ],
    ),
    (
        "query: up",
        "query: sum(rate(x{a=\"b\"}[1m]))",
        &["orders.yaml:14: is not YAML: while parsing a flow mapping, did not find expected ',' or '}' (close every bracket and brace, and put a value that contains `,`, `[` or `{` in quotes)"],
    ),
    (
        "  maxReplicas: 7\n",
        "  maxReplicas: 7\n  minReplicas: 5\n",
        &["orders.yaml:10: spec.minReplicas: stands here twice, first in line 8 (keep one)"],
    ),
    (
        "  maxReplicas: 7\n",
        "\tmaxReplicas: 7\n",
        &["orders.yaml:9: a tab stands where YAML wants spaces (indent with spaces)"],
    ),
    (
        "  maxReplicas: 7\n",
        "   maxReplicas: 7\n",
        &["orders.yaml:9: is not YAML: mapping values are not allowed in this context (look at the indentation of this line and the one before)"],
    ),
    (
        "  maxReplicas: 7\n",
        "  maxReplicas: *max\n",
        &["orders.yaml:9: aliases (`*name`) are not read (write the value out, or put it in quotes)"],
    ),
    (
        "  maxReplicas: 7\n",
        "  maxReplicas: &max 7\n",
        &["orders.yaml:9: spec.maxReplicas: anchors (`&name`) are not read (write the value out in both places)"],
    ),
    (
        "minReplicas: 3",
        "minReplicas: '3'",
        &["orders.yaml:8: spec.minReplicas: `3` is text (write the number without quotes)"],
    ),
    (
        "minReplicas: 3",
        "minReplicas: 010",
        &["orders.yaml:8: spec.minReplicas: `010` is not a whole number (write digits only, like `3`)"],
    ),
    (
        "query: up",
        "query: \"up{job=~'a\\d'}\"",
        &["orders.yaml:14: is not YAML: while parsing a quoted scalar, found unknown escape character (close the quotes; a backslash means itself in single quotes only)"],
    ),
    (
        "query: up",
        "query: 'reads_total{job=\"x\"}'",
        &["orders.yaml:14: spec.signals[0].query: `reads_total` looks like a counter, which only rises (write `rate(...)` around it; if the counter itself is meant, `counter: true`; if it is none, `false`)"],
    ),
    (
        "kind: StatefulAutoscaler",
        "kind: StatefulAutoscaler\n\"\\x1b[2J\": 1",
        &["orders.yaml:3: \\u{1b}[2J: is not a known key (known here: apiVersion, kind, metadata, spec)"],
    ),
    (
        "minReplicas: 3\n  maxReplicas: 7\n  mode: enforce",
        "minReplicas: 1\n  maxReplicas: 2\n  mode: now\n  interval: 5",
        &[
            "orders.yaml:9: spec.maxReplicas: `2` voters cannot lose 1 and still agree (allow at least 3, or lower `spec.safety.tolerance`)",
            "orders.yaml:10: spec.mode: `now` is not known (one of: off, dryrun, enforce)",
            "orders.yaml:11: spec.interval: `5` has no unit (write `5s`, `5m` or `5h`)",
        ],
    ),
];

#[rustfmt::skip]
const DAEMON_SLIPS: &[Slip] = &[
    (
        "sources:",
        "targets: targets.d\nsources:",
        &["plimsoll.yaml:3: targets: is not a known key (did you mean `targetsDir`?)"],
    ),
    (
        "etcd-main: {kind: etcd}",
        "etcd-main: {kind: etcd, endpoints: {client: \"http://{name}:1\", peer: \"http://x:2380\"}}",
        &[
            "plimsoll.yaml:17: systems.etcd-main.endpoints.client: `http://{name}:1` has a blank that is not known (known: {ip}, {pod}, {ordinal}, {service}, {namespace})",
            "plimsoll.yaml:17: systems.etcd-main.endpoints.peer: `http://x:2380` is the same for all members (put `{pod}` or `{ordinal}` into it)",
        ],
    ),
    (
        "etcd-main: {kind: etcd}",
        "etcd-main: {kind: etcd, endpoints: {serverName: etcd.shop.svc}}",
        &[
            "plimsoll.yaml:17: systems.etcd-main.endpoints.serverName: `etcd.shop.svc` is the same for all members (put `{ip}` or `{pod}` or `{ordinal}` into it)",
            "plimsoll.yaml:17: systems.etcd-main.endpoints.serverName: is given without `caFile` (without TLS nobody proves a name)",
        ],
    ),
    (
        "sources:",
        "kubernetes: {namespaces: [default], scalable: [{apiVersion: v1, kind: StatefulSet, plural: Bad_, replicasPath: '.spec[0]'}, {kind: Database}]}\nsources:",
        &[
            "plimsoll.yaml:3: kubernetes.scalable[0].apiVersion: `v1` is no group and version (group and version as in its objects, such as `example.dev/v1`)",
            "plimsoll.yaml:3: kubernetes.scalable[0].kind: `StatefulSet` cannot be opened (name the kind of a custom resource)",
            "plimsoll.yaml:3: kubernetes.scalable[0].plural: `Bad_` is not a name (at most 63 lowercase letters, digits and `-`, with a letter or digit at both ends)",
            "plimsoll.yaml:3: kubernetes.scalable[0].replicasPath: `.spec[0]` is no path of fields (write the specReplicasPath of its definition, such as `.spec.replicas`)",
            "plimsoll.yaml:3: kubernetes.scalable[1].apiVersion: is missing (group and version as in its objects, such as `example.dev/v1`)",
            "plimsoll.yaml:3: kubernetes.scalable[1].plural: is missing (as `kubectl api-resources` shows it)",
        ],
    ),
    (
        "sources:",
        "kubernetes: {context: production}\nsources:",
        &["plimsoll.yaml:3: kubernetes.kubeconfig: is missing beside `context` (`context` means nothing without it)"],
    ),
    (
        "url: http://127.0.0.1:9090",
        "url: 127.0.0.1:9090",
        &["plimsoll.yaml:4: sources.main.url: `127.0.0.1:9090` is not an address (write it like `http://127.0.0.1:9090`)"],
    ),
    (
        "url: http://127.0.0.1:9090",
        "url: http://a:secret@b/",
        &["plimsoll.yaml:4: sources.main.url: has credentials in the address (name a file with a bearer token in `tokenFile` instead)"],
    ),
    (
        "[/bin/members, list]",
        "[members, list]",
        &["plimsoll.yaml:9: platforms.vms.list.command[0]: `members` is not an absolute path (programs are not searched for: write the whole path, from `/` on)"],
    ),
    (
        "[/bin/members, list]",
        "/bin/members list",
        &["plimsoll.yaml:9: platforms.vms.list.command: must be a list (start each item on a line of its own with `- `)"],
    ),
    (
        "    add: {command: [/bin/members, add]}\n",
        "",
        &["plimsoll.yaml:7: platforms.vms.add: is missing (a platform has both `add` and `remove`, or neither and is only looked at; `remove` is there)"],
    ),
    (
        "{command: [/bin/members, add]}",
        "{command: [/bin/members, add], env: {REGION: eu, PLIMSOLL_STEP: x, 1ST: x, NO-NAME: z, TAB: \"\\t.\"}}",
        &[
            "plimsoll.yaml:10: platforms.vms.add.env.PLIMSOLL_STEP: names with `PLIMSOLL_` are the daemon's own (choose another name)",
            "plimsoll.yaml:10: platforms.vms.add.env.1ST: is not the name of a variable (letters, digits and `_`, and no digit first)",
            "plimsoll.yaml:10: platforms.vms.add.env.NO-NAME: is not the name of a variable (letters, digits and `_`, and no digit first)",
            "plimsoll.yaml:10: platforms.vms.add.env.TAB: `<tab>.` has a control character (remove it)",
        ],
    ),
    (
        "{command: [/bin/members, add]}",
        "{command: [/bin/members, \"--for={target}\", \"{name}\"]}",
        &["plimsoll.yaml:10: platforms.vms.add.command[1]: {target} is only part of it; write it as an argument of its own (no shell and no program but yours may take it apart)"],
    ),
    (
        "{command: [/bin/members, add]}",
        "{command: [/bin/members, {name}]}",
        &["plimsoll.yaml:10: platforms.vms.add.command[1]: is a map where one value belongs (text in braces needs quotes, like `\"{target}\"`)"],
    ),
    (
        "{command: [/bin/members, add]}",
        "{command: [/bin/sh, -c, \"{name}\"]}",
        &["plimsoll.yaml:10: platforms.vms.add.command[2]: {name} would be read by sh as a line of commands; write it behind that line (no shell and no program but yours may take it apart)"],
    ),
    (
        "list: {command: [/bin/members, list]}",
        "list: {command: [/bin/members, list]}\n    listAll: {command: [/bin/members, \"{target}\"], keep: 2m}",
        &[
            "plimsoll.yaml:10: platforms.vms.listAll: stands beside `list` (a platform has a command for one target or one for all: remove one of them)",
            "plimsoll.yaml:10: platforms.vms.listAll.command[1]: `{target}` stands for one target (this command lists all of them at once; remove it)",
            "plimsoll.yaml:10: platforms.vms.listAll.keep: `2m` is above the most that is allowed (write a value from `1s` to `1m`)",
        ],
    ),
    (
        "{kind: sim}",
        "{kind: sim, listAll: {command: [/x]}}",
        &["plimsoll.yaml:15: platforms.playground.listAll: belongs to a platform of the kind `exec` (remove it)"],
    ),
    (
        "{kind: etcd}",
        "{kind: etcd, deadline: 20s}",
        &["plimsoll.yaml:17: systems.etcd-main.deadline: `20s` is above the most that is allowed (write a value from `100ms` to `15s`)"],
    ),
    (
        "{kind: sim}",
        "{kind: sim, workingDirectory: /x}",
        &["plimsoll.yaml:15: platforms.playground.workingDirectory: belongs to a platform of the kind `exec` (remove it)"],
    ),
    (
        "{kind: etcd}",
        "{kind: etcd, username: root}",
        &["plimsoll.yaml:17: systems.etcd-main.passwordFile: is missing beside `username` (`username` means nothing without it)"],
    ),
    (
        "sources:",
        "http: {listen: 0.0.0.0:9750}\nsources:",
        &["plimsoll.yaml:3: http.listen: `0.0.0.0:9750` can be reached from other machines (reads have no authentication: listen on `127.0.0.1`, or set `allowRemoteReads: true`)"],
    ),
    (
        "sources:",
        "http: {listen: localhost:9750}\nsources:",
        &["plimsoll.yaml:3: http.listen: `localhost:9750` is not an address with a port (write it like `127.0.0.1:9750` or `[::1]:9750`)"],
    ),
    (
        "sources:",
        "audit: {retentionSize: 64Mi}\nsources:",
        &["plimsoll.yaml:3: audit.retentionSize: is less than two segments (only whole segments are dropped, and never the newest: keep at least two)"],
    ),
    (
        "sources:",
        "source:",
        &["plimsoll.yaml:3: source: is not a known key (did you mean `sources`?)"],
    ),
    (
        "{kind: etcd}",
        "{kind: etcd, namespaces: []}",
        &["plimsoll.yaml:17: systems.etcd-main.namespaces: allows no namespace (name one, or write `[\"*\"]` for all)"],
    ),
];
