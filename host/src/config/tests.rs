//! The configuration as its owner meets it: the reference files, the messages, and hostile input.

mod hostile;
mod messages;
mod reloading;

use super::load::{daemon_from, targets_from};
use super::problem::Sink;
use super::*;
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
    assert_eq!(TargetConfig { line: minimal.line, ..example.clone() }, *minimal);
}
