//! The configuration as its owner meets it: the reference files, the messages, and hostile input.

mod hostile;
mod kinds;
mod lease;
mod messages;
mod objects;
mod reloading;
mod slips;
mod ways;

use super::load::{daemon_from, targets_from};
use super::*;
use crate::collect::Aggregation;
use crate::platforms::exec::{ExecConfig, Listing};
use crate::yaml::problem::Sink;
use std::path::Path;

/// A daemon's file with one of everything that a document can refer to.
const DAEMON: &str = "\
apiVersion: plimsoll.dev/v1alpha1
kind: DaemonConfig
sources:
  main: {url: http://127.0.0.1:9090}
  private: {url: http://127.0.0.1:9091, namespaces: [billing]}
platforms:
  vms:
    kind: exec
    list: {command: [/bin/members, list]}
    add: {command: [/bin/members, add]}
    remove: {command: [/bin/members, remove]}
  watched:
    kind: exec
    list: {command: [/bin/members, list]}
  playground: {kind: sim}
systems:
  etcd-main: {kind: etcd}
";

fn read_daemon(text: &str) -> Result<DaemonConfig, String> {
    let mut sink = Sink::new("plimsoll.yaml");
    let config =
        daemon_from(text.as_bytes(), Path::new("plimsoll.yaml"), Path::new("/etc/plimsoll"), &mut sink);
    let problems = sink.into_problems();
    config.filter(|_| problems.is_empty()).ok_or(problems.to_string())
}

fn daemon() -> DaemonConfig {
    read_daemon(DAEMON).expect("a good file")
}

fn read_targets(bytes: &[u8]) -> (LoadedTargets, String) {
    let mut sink = Sink::new("orders.yaml");
    let mut loaded = LoadedTargets::default();
    targets_from(bytes, &daemon(), &mut sink, &mut loaded);
    (loaded, sink.into_problems().to_string())
}

#[test]
fn the_reference_file_equals_the_defaults() {
    let minimal = "apiVersion: plimsoll.dev/v1alpha1\nkind: DaemonConfig\n";
    assert_eq!(read_daemon(DEFAULT_DAEMON), read_daemon(minimal));
    assert!(read_daemon(minimal).is_ok());
}

#[test]
fn the_example_document_equals_the_defaults() {
    let minimal = "\
apiVersion: plimsoll.dev/v1alpha1
kind: StatefulAutoscaler
metadata: {name: orders}
spec:
  targetRef: {kind: Exec, name: vms}
  system: {kind: etcd, ref: etcd-main}
  minReplicas: 3
  maxReplicas: 7
  policies: [{name: load, module: target-utilization.wasm, settings: {signal: requests, target: 1000}}]
  signals: [{name: requests, source: main, query: 'sum(rate(grpc_server_handled_total[1m]))'}]
";
    let (example, problems) = read_targets(EXAMPLE_TARGET.as_bytes());
    assert_eq!(problems, "");
    let (minimal, problems) = read_targets(minimal.as_bytes());
    assert_eq!(problems, "");
    let [example] = &example.targets[..] else { panic!("one target") };
    let [minimal] = &minimal.targets[..] else { panic!("one target") };
    // Lines are where things stand, not what they say.
    let placed = |target: &TargetConfig| {
        let mut target = TargetConfig { line: 0, ..target.clone() };
        target.policies.iter_mut().for_each(|policy| policy.line = 0);
        target.signals.iter_mut().for_each(|signal| signal.line = 0);
        target
    };
    assert_eq!(placed(example), placed(minimal));
}

/// The comments of the example are what people read; they must say what the table says.
#[test]
fn the_example_names_every_limit_with_its_rule_and_bounds() {
    for limit in &LIMITS {
        let key = format!("{}: ", limit.key);
        let is_line = |line: &&str| {
            line.trim_start_matches(['#', ' ']).starts_with(&key)
                && line.contains(&format!("# {}: ", limit.rule))
        };
        let line =
            EXAMPLE_TARGET.lines().find(is_line).unwrap_or_else(|| panic!("no line for {}", limit.key));
        if let Some((least, most)) = limit.bounds_text() {
            assert!(line.ends_with(&format!("; {least} to {most}")), "{line}");
        }
    }
}

#[test]
fn the_reference_has_a_row_for_every_limit() {
    let reference = safety_reference();
    assert_eq!(reference.lines().count(), LIMITS.len() + 2);
    assert!(reference.contains("| `headroom` | CAP-1 | 25% | 5% | 90% | "));
    assert!(reference.contains("| `cooldownIn` | STEP-3 | 30m | 1s | 7d | "));
    assert!(reference.contains("| `allowEven` | QUORUM-5 | false |  |  | "));
}

#[test]
fn safety_values_arrive_in_the_units_of_the_wire() {
    let text = EXAMPLE_TARGET
        .replace("    hold: 2m ", "    hold: 1s ")
        .replace("    headroom: 25% ", "    headroom: 0.5 ")
        .replace("    promote: 95% ", "    promote: 912m ")
        .replace("    maxLag: 0 ", "    maxLag: 4Mi ")
        .replace("    acceptUnavailable: [] ", "    acceptUnavailable: [a, b] ")
        .replace("#    scaleIn: true", "    scaleIn: false");
    let (loaded, problems) = read_targets(text.as_bytes());
    assert_eq!(problems, "");
    let expected = plimsoll_wire::safety::Safety {
        hold_ms: 1_000,
        headroom_permille: 500,
        promote_permille: 912,
        max_lag_bytes: 4 << 20,
        accept_unavailable: vec!["a".to_owned(), "b".to_owned()],
        scale_in: Some(false),
        ..plimsoll_wire::safety::Safety::default()
    };
    assert_eq!(loaded.targets[0].safety, expected);
}

#[test]
fn settings_reach_a_policy_as_json() {
    let settings =
        "settings: {a: 1, b: 1.5, c: 'yes', d: true, e: '2', f: [x, 0x10, -3], g: ~, h: 1.2.3, i: {j: 1e3}}";
    let text = EXAMPLE_TARGET
        .replace("settings:\n        signal: requests\n        target: 1000\n", &format!("{settings}\n"));
    let (loaded, problems) = read_targets(text.as_bytes());
    assert_eq!(problems, "");
    let expected = serde_json::json!({
        "a": 1, "b": 1.5, "c": "yes", "d": true, "e": "2", "f": ["x", 16, -3], "g": null, "h": "1.2.3",
        "i": {"j": 1000.0}
    });
    assert_eq!(loaded.targets[0].policies[0].asked.settings, expected);
}

#[test]
fn policies_and_signals_know_their_lines() {
    let (loaded, problems) = read_targets(EXAMPLE_TARGET.as_bytes());
    assert_eq!(problems, "");
    let line = |number: usize| EXAMPLE_TARGET.lines().nth(number - 1).unwrap_or_default().trim();
    assert_eq!(line(loaded.targets[0].policies[0].line), "module: target-utilization.wasm");
    assert!(line(loaded.targets[0].signals[0].line).starts_with("query: "));
}

/// The numbers of the daemon's file are what policies run with, within what nobody can exceed.
#[test]
fn the_owner_chooses_what_policies_may_take() {
    let host = |text: &str| {
        let text = format!("apiVersion: plimsoll.dev/v1alpha1\nkind: DaemonConfig\npolicyHost: {text}\n");
        read_daemon(&text).map(|config| config.policy_host)
    };
    let normal = host("{}").expect("the defaults");
    assert_eq!(normal.launch.allowances, crate::policy::Allowances::default());
    let chosen = host(
        "{compiled: {moduleSize: 4Mi, compileCpu: 1500ms, compileMemory: 1Gi, fuel: 2000000, memory: 16Mi, wall: 1s}, \
         interpreterModules: [py.wasm]}",
    )
    .expect("a good file");
    let limits = crate::policy::Limits { fuel: 2_000_000, memory_bytes: 16 << 20, wall_ms: 1_000 };
    let compiled =
        crate::policy::Allowance { module_bytes: 4 << 20, compile_cpu_s: 2, compile_bytes: 1 << 30, limits };
    assert_eq!(chosen.launch.allowances, crate::policy::Allowances { compiled, ..normal.launch.allowances });
    assert!(chosen.interpreters.contains("py"));
    for (text, expected) in [
        ("{compiled: {moduleSize: 1Gi}}", "policyHost.compiled.moduleSize: `1Gi` is above the most"),
        ("{compiled: {compileCpu: 1h}}", "policyHost.compiled.compileCpu: `1h` is above the most"),
        ("{interpreter: {wall: 1m}}", "policyHost.interpreter.wall: `1m` is above the most"),
        ("{interpreter: {memory: 1Gi}}", "policyHost.interpreter.memory: `1Gi` is above the most"),
    ] {
        let problems = host(text).expect_err(text);
        assert!(problems.contains(expected), "{problems}");
    }
}

/// What the reference shows behind `#` is what people will uncomment.
#[test]
fn everything_that_the_reference_file_comments_out_can_be_used() {
    let text = DEFAULT_DAEMON
        .replace(": {}\n", ":\n")
        .replace("\n#  ", "\n  ")
        .replace("\n#kubernetes", "\nkubernetes");
    let config = read_daemon(&text).expect("a good file");
    assert_eq!(config.sources.keys().collect::<Vec<_>>(), ["main"]);
    assert_eq!(config.platforms.keys().collect::<Vec<_>>(), ["fleet", "playground", "vms"]);
    assert_eq!(config.systems.keys().collect::<Vec<_>>(), ["etcd-main"]);
    assert!({
        let connection = &config.systems["etcd-main"].connection;
        connection.identity.is_some() && connection.login.is_some()
    });
    let kubernetes = config.kubernetes.as_ref().expect("a Kubernetes");
    assert_eq!(kubernetes.access.context.as_deref(), Some("production"));
    assert!(kubernetes.namespaces.allow("default") && !kubernetes.namespaces.allow("billing"));
    let exec = commands(&config, "vms");
    let Listing::Each(list) = &exec.list else { panic!("for one target") };
    assert_eq!(list.argv, ["/usr/local/bin/members", "list", "{target}"]);
    let fleet = commands(&config, "fleet");
    let Listing::All { command, keep } = &fleet.list else { panic!("for all targets") };
    assert_eq!((&*command.argv[1], *keep), ("list-all", std::time::Duration::from_secs(5)));
    assert_eq!(exec.add.as_ref().map(|add| add.timeout), Some(std::time::Duration::from_secs(300)));
}

fn commands<'a>(config: &'a DaemonConfig, platform: &str) -> &'a ExecConfig {
    let settings: &dyn std::any::Any = &*config.platforms[platform].settings;
    settings.downcast_ref().expect("commands")
}

#[test]
fn everything_that_the_example_comments_out_can_be_used() {
    let text = EXAMPLE_TARGET
        .replace("annotations: {}\n", "annotations:\n")
        .replace("\n#    plimsoll.dev/", "\n    plimsoll.dev/")
        .replace("\n#      aggregation", "\n      aggregation")
        .replace("\n#      batchBy", "\n      batchBy")
        .replace("\n#    scaleIn", "\n    scaleIn");
    let (loaded, problems) = read_targets(text.as_bytes());
    assert_eq!(problems, "");
    let target = &loaded.targets[0];
    let pauses = target.pauses.at(0);
    assert_eq!(target.pauses.held_at(0).as_deref(), Some("ann: disk swap"));
    assert_eq!(pauses.scale_in.as_deref(), Some("ann: backup"));
    assert_eq!(pauses.scale_out.as_deref(), Some("bob: no budget"));
    assert_eq!(pauses.size, Some((5, "ann: campaign".to_owned())));
    assert_eq!(target.signals[0].definition.aggregation, Some(Aggregation::Sum));
    let batch = target.signals[0].definition.batch_by.as_ref();
    assert_eq!(batch.map(|batch| (&*batch.label, &*batch.value)), Some(("cluster", "orders")));
    assert_eq!(target.safety.scale_in, Some(true));
}

#[test]
fn a_pause_ends_when_its_owner_says() {
    let note = "paused-scale-in: \"ann: backup; until 2026-02-01T12:00:00+01:00\"";
    let text =
        EXAMPLE_TARGET.replace("annotations: {}\n", &format!("annotations: {{plimsoll.dev/{note}}}\n"));
    let (loaded, problems) = read_targets(text.as_bytes());
    assert_eq!(problems, "");
    let end_ms = 1_769_943_600_000;
    let pauses = &loaded.targets[0].pauses;
    let why = "ann: backup; until 2026-02-01T12:00:00+01:00";
    assert_eq!(pauses.at(end_ms - 1).scale_in.as_deref(), Some(why));
    assert_eq!(pauses.at(end_ms), plimsoll_core::pauses::Pauses::default());
}

#[test]
fn relative_paths_start_at_the_daemons_file() {
    let config = read_daemon(&format!("{DAEMON}stateDir: ../state\naudit: {{dir: /srv/audit}}\n"))
        .expect("a good file");
    assert_eq!(config.state_dir, Path::new("/etc/plimsoll/../state"));
    assert_eq!(config.control_socket, Path::new("/etc/plimsoll/../state/control.sock"));
    assert_eq!(config.audit_dir, Path::new("/srv/audit"));
    assert_eq!(config.policies_dir, Path::new("/etc/plimsoll/policies"));
}

#[test]
fn a_simulated_target_needs_no_system_of_the_daemons_file() {
    let text = EXAMPLE_TARGET
        .replace("kind: Exec", "kind: Sim")
        .replace("name: vms", "name: playground")
        .replace("kind: etcd\n    ref: etcd-main", "kind: sim-quorum");
    let (loaded, problems) = read_targets(text.as_bytes());
    assert_eq!(problems, "");
    assert_eq!(loaded.targets[0].system.kind.word, "sim-quorum");
}
