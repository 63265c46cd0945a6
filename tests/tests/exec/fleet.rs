//! A daemon with many targets on one platform.

use plimsoll_tests::daemon::Daemon;
use plimsoll_tests::process::wait_until;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(240);
const TARGETS: usize = 20;

/// Tells one member of each target, where nobody answers.
const LIST: &str = r#"#!/bin/sh
echo run >> runs
printf '{"formatVersion":1,"targets":{'
n=1
while [ $n -le 20 ]; do
  [ $n = 1 ] || printf ,
  printf '"default/t%s":{"vacant":[],"members":[{"slot":"e1","running":true,"incarnation":"1","endpoints":{"client":"http://127.0.0.1:1/%s","peer":"http://127.0.0.1:2/%s"}}]}' $n $n $n
  n=$((n + 1))
done
echo '}}'
"#;

/// Each target is looked at once in the time that this takes.
const FILE: &str = "apiVersion: plimsoll.dev/v1alpha1
kind: DaemonConfig
interval: 10m
http: {enabled: false}
platforms:
  fleet: {kind: exec, listAll: {command: [HOME/list-all], timeout: 60s, keep: 1m}, workingDirectory: .}
systems:
  none: {kind: etcd, deadline: 100ms}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_asks_once_for_all_targets_of_a_platform() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let list = folder.path().join("list-all");
    std::fs::write(&list, LIST)?;
    std::fs::set_permissions(&list, std::fs::Permissions::from_mode(0o755))?;
    let file = FILE.replace("HOME", &folder.path().display().to_string());
    let mut daemon = Daemon::in_folder(folder.path(), &file, "default/t1")?;
    let names: Vec<String> = (1..=TARGETS).map(|number| format!("t{number}")).collect();
    for name in &names {
        let document = format!(
            "apiVersion: plimsoll.dev/v1alpha1
kind: StatefulAutoscaler
metadata: {{name: {name}}}
spec:
  targetRef: {{apiVersion: plimsoll.dev/v1alpha1, kind: Exec, name: fleet}}
  system: {{kind: etcd, ref: none}}
  minReplicas: 1
  maxReplicas: 3
  mode: dryrun
  policies: [{{name: hold, module: hold.wasm}}]
"
        );
        daemon.write_target(name, &document)?;
    }
    let checked = daemon.run(&["check"])?;
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    daemon.start()?;
    wait_until("a decision of every target", PATIENCE, async || {
        for name in &names {
            let status = daemon.status_of(&format!("default/{name}"))?;
            anyhow::ensure!(status.last_decision.is_some(), "not yet: {status:?}");
        }
        Ok(())
    })
    .await?;
    let runs = std::fs::read_to_string(folder.path().join("runs"))?.lines().count();
    assert!((1..=TARGETS / 2).contains(&runs), "{runs} runs for {TARGETS} targets");
    daemon.kill()
}
