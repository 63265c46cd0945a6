//! The loop around a machine that fails on purpose; what ships has no such machine.

use super::run_with;
use anyhow::Context as _;
use plimsoll_core::cycle::{Effect, Event, State, step};
use plimsoll_wire::snapshot::Now;
use plimsoll_wire::status::Status;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

const PATIENCE: Duration = Duration::from_secs(120);

const FILE: &str = "apiVersion: plimsoll.dev/v1alpha1
kind: DaemonConfig
interval: 1s
http: {enabled: false}
platforms:
  broken: {kind: sim, seed: 11}
  sound: {kind: sim, seed: 12}
";

fn document(name: &str) -> String {
    format!(
        "apiVersion: plimsoll.dev/v1alpha1
kind: StatefulAutoscaler
metadata: {{name: {name}}}
spec:
  targetRef: {{apiVersion: plimsoll.dev/v1alpha1, kind: Sim, name: {name}}}
  system: {{kind: sim-quorum}}
  minReplicas: 3
  maxReplicas: 5
  mode: enforce
  policies: [{{name: none, module: none.wasm}}]
  safety: {{hold: 1s, warmup: 1s, leaderStable: 1s, leaderQuiet: 1s}}
"
    )
}

/// The real machine, but for one target and a person's order.
fn failing(state: &mut State, now: &Now, event: Event) -> Vec<Effect> {
    assert!(
        !(matches!(event, Event::Said(_)) && &*state.status().target == "default/broken"),
        "on purpose, for a test"
    );
    step(state, now, event)
}

async fn ask(home: &Path, request: Value) -> anyhow::Result<Value> {
    let mut stream = UnixStream::connect(home.join("state/control.sock")).await?;
    stream.write_all(format!("{request}\n").as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}

async fn status(home: &Path, name: &str) -> anyhow::Result<Status> {
    let shown = ask(home, json!({ "verb": "status", "target": format!("default/{name}") })).await?;
    let one = shown["body"].get(0).cloned().unwrap_or_else(|| shown["body"]["targets"][0].clone());
    serde_json::from_value(one).with_context(|| shown.to_string())
}

async fn until(home: &Path, name: &str, is_it: impl Fn(&Status) -> bool) -> Status {
    let began = Instant::now();
    loop {
        let now = status(home, name).await;
        match now {
            Ok(now) if is_it(&now) => return now,
            Ok(_) | Err(_) if began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

async fn scale(home: &Path, name: &str) -> Value {
    let target = format!("default/{name}");
    ask(home, json!({ "verb": "scale", "target": target, "members": 5, "who": "a test" })).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_panics_freezes_its_target_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    for name in ["policies", "targets", "state"] {
        std::fs::create_dir_all(home.join(name)).unwrap();
    }
    let file = home.join("plimsoll.yaml");
    std::fs::write(&file, FILE).unwrap();
    for name in ["broken", "sound"] {
        std::fs::write(home.join(format!("targets/{name}.yaml")), document(name)).unwrap();
    }
    let daemon = tokio::spawn(async move { run_with(&file, Box::new(|_| {}), failing).await });
    for name in ["broken", "sound"] {
        until(home, name, |status| status.last_decision.is_some() && status.sizes.members == Some(3)).await;
    }

    let shown = scale(home, "broken").await;
    let message = shown["message"].as_str().unwrap_or_default();
    assert_eq!(shown["ok"], json!(false), "{shown}");
    assert!(message.contains("default/broken: an assertion failed; restart the daemon"), "{shown}");
    let frozen = status(home, "broken").await.unwrap();
    assert!(frozen.trouble.as_deref().is_some_and(|why| why.contains("an assertion failed")), "{frozen:?}");

    // The other one is asked, answers, and moves, decision after decision.
    assert_eq!(scale(home, "sound").await["ok"], json!(true));
    until(home, "sound", |status| status.sizes.members == Some(5) && status.plan.is_none()).await;
    assert_eq!(status(home, "broken").await.unwrap(), frozen, "a frozen target does nothing");
    daemon.abort();
}

/// A daemon with one target on a simulated world, and a source that cannot be used.
async fn lone(home: &Path) -> tokio::task::JoinHandle<anyhow::Result<()>> {
    for name in ["policies", "targets", "state"] {
        std::fs::create_dir_all(home.join(name)).unwrap();
    }
    let file = home.join("plimsoll.yaml");
    let source = "removeAfter: 30s\nsources:\n  main: {url: 'http://127.0.0.1:9', caFile: /nowhere/ca.pem}\n";
    std::fs::write(&file, format!("{FILE}{source}")).unwrap();
    std::fs::write(home.join("targets/sound.yaml"), document("sound")).unwrap();
    let daemon = tokio::spawn(async move { run_with(&file, Box::new(|_| {}), step).await });
    until(home, "sound", |status| status.last_decision.is_some()).await;
    daemon
}

async fn problems(home: &Path) -> String {
    ask(home, json!({ "verb": "daemon" }))
        .await
        .map(|shown| shown["body"]["problems"].to_string())
        .unwrap_or_default()
}

async fn until_shown(home: &Path, is_it: impl Fn(&str) -> bool) {
    let began = Instant::now();
    loop {
        let shown = problems(home).await;
        if is_it(&shown) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{shown}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_used_is_told_and_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let daemon = lone(home).await;
    let shown = problems(home).await;
    assert!(shown.contains("source main: reading its caFile /nowhere/ca.pem: No such file"), "{shown}");
    // With the source mended nothing is wrong with it any more.
    let file = std::fs::read_to_string(home.join("plimsoll.yaml")).unwrap();
    std::fs::write(home.join("plimsoll.yaml"), file.replace(", caFile: /nowhere/ca.pem", "")).unwrap();
    until_shown(home, |shown| !shown.contains("source main")).await;
    daemon.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_outlives_a_slip_in_its_name_and_ends_when_its_document_stays_away() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let daemon = lone(home).await;
    let file = home.join("targets/sound.yaml");
    std::fs::write(&file, document("sound").replace("{name: sound}", "{name: sound, namespaces: default}"))
        .unwrap();
    until_shown(home, |shown| shown.contains("metadata.namespaces: is not a known key")).await;
    std::fs::write(&file, document("sound").replace("metadata: {name: sound}", "metadata: {name: soun}"))
        .unwrap();
    until_shown(home, |shown| {
        shown.contains("target `default/sound` has no document any more; it ends when that has lasted `30s`")
    })
    .await;
    assert_eq!(serde_json::to_value(status(home, "sound").await.unwrap()).unwrap()["mode"], json!("enforce"));
    std::fs::remove_file(&file).unwrap();
    let began = Instant::now();
    while status(home, "sound").await.is_ok() {
        assert!(began.elapsed() < PATIENCE, "the target has not ended");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    daemon.abort();
}
