//! The simulator as a platform of the daemon, from its file to its audit log: nothing is installed, and everything
//! else is as in production, the confined policy and the `SIGKILL` included.

use anyhow::Context as _;
use plimsoll_tests::daemon::Daemon;
use plimsoll_tests::process::wait_until;
use plimsoll_wire::journal::PlanStatus;
use plimsoll_wire::record::{Body, Decision, Record};
use plimsoll_wire::status::Status;
use serde_json::json;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(240);
const TARGET: &str = "default/playground";

const FILE: &str = "apiVersion: plimsoll.dev/v1alpha1
kind: DaemonConfig
interval: 1s
http: {enabled: false}
platforms:
  playground: {kind: sim, seed: 11}
";

/// The world's own signals need no source. A member that is busy for a thousandth of its time is busy enough, so that
/// the policy wishes as many as there may be.
fn document(max: u32, settings: &str, annotations: &str) -> String {
    format!(
        "apiVersion: plimsoll.dev/v1alpha1
kind: StatefulAutoscaler
metadata: {{name: playground, annotations: {{{annotations}}}}}
spec:
  targetRef: {{apiVersion: plimsoll.dev/v1alpha1, kind: Sim, name: playground}}
  system: {{kind: sim-quorum}}
  minReplicas: 3
  maxReplicas: {max}
  mode: enforce
  policies:
    - {{name: load, module: target-utilization.wasm, settings: {settings}}}
  behavior:
    scaleUp: {{stabilizationWindowSeconds: 0, policies: [{{type: Members, value: 4, periodSeconds: 1}}]}}
    scaleDown: {{stabilizationWindowSeconds: 0, policies: [{{type: Members, value: 4, periodSeconds: 1}}]}}
  safety: {{hold: 1s, warmup: 1s, leaderStable: 1s, leaderQuiet: 1s, cooldownIn: 1s, cooldownOut: 1s, reverse: 1s, sustain: 1s, fraction: 100%}}
"
    )
}

const IDLE: &str = "{signal: utilization, target: 1000, type: Value}";
const BUSY: &str = "{signal: utilization, target: 0.001, type: Value}";

fn idle_at(size: u32) -> impl Fn(&Status) -> bool {
    move |status| status.sizes.members == Some(size) && status.plan.is_none()
}

/// Waits until the durable plan has a member under way, and is not yet past the point from which it only goes on.
async fn plan_under_way(daemon: &Daemon) -> anyhow::Result<()> {
    wait_until("a plan with a member under way", PATIENCE, async || {
        let journal = daemon.journal()?.context("no journal")?;
        let plan = journal.plan.context("no plan")?;
        anyhow::ensure!(plan.subject.is_some() && plan.status == PlanStatus::Running, "not yet: {plan:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_target_grows_by_its_policy_is_explained_and_outlives_the_daemon() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut daemon = Daemon::in_folder(folder.path(), FILE, TARGET)?;
    daemon.write_target("playground", &document(5, BUSY, ""))?;
    let checked = daemon.run(&["check"])?;
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    daemon.start()?;

    // Killed while a member is on its way: the world and the plan are found again as they were.
    plan_under_way(&daemon).await?;
    let plan = daemon.journal()?.and_then(|journal| journal.plan).context("no plan")?;
    daemon.kill()?;
    daemon.start()?;
    let five = daemon.until("five members", PATIENCE, idle_at(5)).await?;
    let ended = five.history.last().context("no ended plan")?;
    assert_eq!(
        (ended.members_leg().0, ended.ended_at.members, ended.status),
        (3, Some(5), PlanStatus::Done),
        "{ended:#?}"
    );
    assert_eq!(ended.id, plan.id, "another plan ended");

    // The policy's own module decided, and says why.
    let records = daemon.records()?;
    let began = |decision: &Decision| decision.plan.as_deref() == Some(&*plan.id);
    let is_it = |record: &&Record| matches!(&record.body, Body::Decision(decision) if began(decision));
    let decision = records.iter().find(is_it).context("the plan's decision is not in the log")?;
    let told = daemon.run(&["explain", &decision.decision_id])?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    println!("{told}");
    assert!(told.contains("load") && told.contains("5"), "{told}");
    let Body::Decision(decided) = &decision.body else { unreachable!() };
    let module = std::fs::read(daemon.home().join("policies/target-utilization.wasm"))?;
    assert_eq!(decided.answers[0].module, plimsoll_tests::sha256(&module));

    // A changed document leaves the world in the middle of its day, and its owner's pause holds what is wished.
    let paused = "plimsoll.dev/paused-scale-in: \"ann: backup\"";
    daemon.write_target("playground", &document(7, IDLE, paused))?;
    let rule = "scale-in is paused: ann: backup";
    let barred = |status: &Status| status.last_decision.as_ref().is_some_and(|last| last.wish.rule == rule);
    let held = daemon.until("a wish that is paused", PATIENCE, barred).await?;
    assert_eq!((held.sizes.members, held.member_bounds().1, held.plan), (Some(5), 7, None));
    let shown = daemon.run(&["status"])?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("scale-in is paused in its document: ann: backup"), "{shown}");
    daemon.write_target("playground", &document(7, IDLE, ""))?;
    daemon.until("three members, as little is to do", PATIENCE, idle_at(3)).await?;
    let shown = daemon.run(&["status", "-o", "json"])?;
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout)?;
    assert_eq!(
        (&shown["targets"][0]["sizes"]["members"], &shown["problems"]),
        (&json!(3), &json!([])),
        "{shown:#}"
    );
    daemon.kill()?;
    daemon.audit_is_sound()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_world_that_cannot_be_kept_is_told_and_tried_again() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut daemon = Daemon::in_folder(folder.path(), FILE, TARGET)?;
    daemon.write_target("playground", &document(5, BUSY, ""))?;
    std::fs::write(folder.path().join("state/sim"), "not a folder")?;
    daemon.start()?;
    let problems = wait_until("the problem is shown", PATIENCE, async || {
        let told = daemon.ask(&json!({ "verb": "daemon" }))?;
        let first = told["problems"][0].as_str().context("no problem yet")?;
        Ok(first.to_owned())
    })
    .await?;
    println!("{problems}");
    assert!(problems.starts_with("target default/playground: "), "{problems}");
    assert!(problems.contains("state/sim") && problems.contains("remove it"), "{problems}");
    let status = daemon.run(&["status"])?;
    let text =
        String::from_utf8_lossy(&status.stdout).into_owned() + &String::from_utf8_lossy(&status.stderr);
    assert!(text.contains("default/playground"), "{text}");
    let one = daemon.run(&["status", "playground"])?;
    let text = String::from_utf8_lossy(&one.stderr).into_owned();
    assert!(text.starts_with("error: default/playground cannot be run: "), "{text}");
    std::fs::remove_file(folder.path().join("state/sim"))?;
    // It is tried again with the next look at the files, at the latest.
    let began = Instant::now();
    daemon.until("a size", PATIENCE, |status| status.sizes.members == Some(3)).await?;
    println!("tried again after {:?}", began.elapsed());
    let told = daemon.ask(&json!({ "verb": "daemon" }))?;
    assert_eq!(told["problems"], json!([]));
    daemon.kill()
}
