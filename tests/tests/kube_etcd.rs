//! A real etcd in a StatefulSet of a real Kubernetes: grown and shrunk by the daemon, with its journal in the
//! cluster, a client that writes all the while, and a watcher that judges every change of membership.

use anyhow::Context as _;
use plimsoll_tests::cluster::Namespace;
use plimsoll_tests::daemon::Daemon;
use plimsoll_tests::kube::{EtcdPods, in_cluster};
use plimsoll_tests::requests::Asked;
use plimsoll_tests::witnesses::Witnesses;
use plimsoll_wire::status::Status;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Pods take their time on a busy machine; a wait ends as soon as it can.
const PATIENCE: Duration = Duration::from_secs(240);

#[test]
fn an_etcd_of_three_pods_grows_to_five_and_shrinks_again_past_a_daemon_that_lost_its_disk()
-> anyhow::Result<()> {
    in_cluster(there_and_back)
}

async fn there_and_back(namespace: Namespace) -> anyhow::Result<()> {
    let etcd = EtcdPods::start(namespace).await?;
    let witnesses = Witnesses::call(&etcd, "kube/").await?;
    let mut daemon = etcd.daemon()?;
    daemon.start()?;
    daemon.until("the first decision", PATIENCE, |status| status.last_decision.is_some()).await?;
    let (asked, began) = (Asked::of(etcd.namespace().cluster())?, Instant::now());
    for size in [5, 3] {
        daemon.order(json!({ "verb": "scale", "members": size }))?;
        daemon.until("the middle of the first unit", PATIENCE, is_in_the_middle).await?;
        // With everything that it had on its disk: the plan is in the cluster.
        daemon.kill()?;
        std::fs::remove_dir_all(daemon.home().join("state"))?;
        std::fs::create_dir(daemon.home().join("state"))?;
        daemon.start()?;
        let reached = |status: &Status| status.sizes.members == Some(size) && status.plan.is_none();
        daemon.until(&format!("{size} members"), PATIENCE, reached).await?;
        let pods = etcd.namespace().field("statefulset/etcd", ".spec.replicas")?;
        assert_eq!(pods, size.to_string());
    }
    a_plan_looks_about_once_a_second(&Asked::of(etcd.namespace().cluster())?.since(&asked), began.elapsed())?;
    // Two learners, two votes, two removals.
    assert_eq!(witnesses.hear(&etcd).await?, 6);
    the_journal_is_in_the_cluster(&etcd)?;
    the_volumes_of_those_who_left_bar_the_way(&etcd, &daemon).await?;
    daemon.kill()
}

/// By the server's own count: a look a second, and one more after each of a plan's effects and choices, which does not wait
/// for the second to be over.
fn a_plan_looks_about_once_a_second(asked: &Asked, within: Duration) -> anyhow::Result<()> {
    print!("while two plans ran, in {within:?}:\n{asked}");
    for what in ["GET statefulsets/", "LIST persistentvolumeclaims/", "LIST poddisruptionbudgets/"] {
        let count = asked.count(what);
        anyhow::ensure!(count > 0 && count < 2 * within.as_secs(), "{count} times {what} in {within:?}");
    }
    Ok(())
}

/// A learner that catches up, or a member that is out and still runs: neither direction can be left like that.
fn is_in_the_middle(status: &Status) -> bool {
    let Some(plan) = &status.plan else { return false };
    plan.unit == 0
        && if plan.to() > plan.from() { status.phase == "catch-up" } else { plan.point_of_no_return }
}

fn the_journal_is_in_the_cluster(etcd: &EtcdPods) -> anyhow::Result<()> {
    let text = etcd.namespace().kubectl(&["get", "scalingplan/etcd", "--output", "json"])?;
    let plan: Value = serde_json::from_str(&text)?;
    let ended = plan["status"]["journal"]["history"].as_array().context("no history")?;
    let sizes: Vec<_> = ended
        .iter()
        .map(|plan| (plan["legs"][0]["from"].as_u64(), plan["endedAt"]["members"].as_u64()))
        .collect();
    assert_eq!(sizes, [(Some(3), Some(5)), (Some(5), Some(3))]);
    assert_eq!(plan["metadata"]["finalizers"], json!(["plimsoll.dev/journal"]));
    let stamp = etcd.namespace().field("statefulset/etcd", r".metadata.annotations.plimsoll\.dev/epoch")?;
    assert_eq!(Some(stamp), plan["status"]["journal"]["epoch"].as_u64().map(|epoch| epoch.to_string()));
    Ok(())
}

/// What a scale-in leaves behind holds the identity of a removed member: it is not started on (D22).
async fn the_volumes_of_those_who_left_bar_the_way(etcd: &EtcdPods, daemon: &Daemon) -> anyhow::Result<()> {
    daemon.order(json!({ "verb": "scale", "members": 5 }))?;
    let barred = |status: &Status| {
        status.last_decision.as_ref().is_some_and(|last| format!("{last:?}").contains("ZombieVolume"))
    };
    daemon.until("the claims are in the way", PATIENCE, barred).await?;
    assert_eq!(etcd.namespace().field("statefulset/etcd", ".spec.replicas")?, "3");
    Ok(())
}
