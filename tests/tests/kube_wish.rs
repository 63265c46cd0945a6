//! Sizes wished from outside for a real etcd: by `kubectl scale`, and by a real HorizontalPodAutoscaler that follows a
//! metric. Both point at the StatefulAutoscaler instead of the StatefulSet, and go through the guard and the plan.

use anyhow::Context as _;
use plimsoll_tests::cluster::{self, Namespace};
use plimsoll_tests::daemon::Daemon;
use plimsoll_tests::kube::{EtcdPods, in_cluster};
use plimsoll_tests::metrics_api::MetricsApi;
use plimsoll_tests::process::wait_until;
use plimsoll_tests::witnesses::Witnesses;
use plimsoll_wire::status::Status;
use std::time::Duration;

/// Pods take their time on a busy machine; a wait ends as soon as it can.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn kubectl_and_a_real_hpa_wish_at_the_autoscaler_and_the_etcd_grows_and_shrinks_safely() -> anyhow::Result<()>
{
    if cluster::is_the_users() {
        println!("a metrics API of the test's own cannot be put into a user's cluster");
        return Ok(());
    }
    in_cluster(up_and_down)
}

async fn up_and_down(namespace: Namespace) -> anyhow::Result<()> {
    let etcd = EtcdPods::start(namespace).await?;
    let witnesses = Witnesses::call(&etcd, "wish/").await?;
    let mut daemon = etcd.daemon_of_objects()?;
    daemon.start()?;
    etcd.apply_autoscaler("externalWish: true")?;
    let seeded = wait_until("the size that wishes begin at", PATIENCE, async || {
        let replicas = etcd.namespace().field("statefulautoscaler/etcd", ".spec.replicas")?;
        anyhow::ensure!(replicas == "3", "replicas: {replicas:?}");
        Ok(())
    });
    seeded.await.with_context(|| daemon.tail())?;
    for size in [5, 3] {
        etcd.namespace().kubectl(&["scale", "statefulautoscaler/etcd", &format!("--replicas={size}")])?;
        reached(&etcd, &daemon, size, "kubectl").await?;
    }
    // A person looks at what the members that left have left behind, and takes it away (D22).
    etcd.namespace().kubectl(&["delete", "pvc", "data-etcd-3", "data-etcd-4"])?;
    an_hpa_drives_it(&etcd, &daemon).await?;
    // Twice two learners, two votes, two removals.
    assert_eq!(witnesses.hear(&etcd).await?, 12);
    daemon.kill()
}

async fn reached(etcd: &EtcdPods, daemon: &Daemon, size: u32, who: &str) -> anyhow::Result<()> {
    let there = |status: &Status| status.sizes.members == Some(size) && status.plan.is_none();
    let status = daemon.until(&format!("{size} members"), PATIENCE, there).await?;
    let wish = status.outside.context("no wish")?;
    assert_eq!((wish.members, &*wish.who), (size, who));
    assert!(!wish.when.is_empty());
    assert_eq!(etcd.namespace().field("statefulset/etcd", ".spec.replicas")?, size.to_string());
    let shown = wait_until("the new size in the status", PATIENCE, async || {
        let (object, path) = ("statefulautoscaler/etcd", "{.status.replicas} {.status.externalWish.manager}");
        let shown = etcd.namespace().kubectl(&["get", object, "--output", &format!("jsonpath={path}")])?;
        anyhow::ensure!(shown == format!("{size} {who}"), "shown: {shown}");
        Ok(())
    });
    shown.await
}

/// The metric says how much load there is; ten for each member are enough.
async fn an_hpa_drives_it(etcd: &EtcdPods, daemon: &Daemon) -> anyhow::Result<()> {
    let namespace = etcd.namespace();
    let selector = namespace.field("statefulautoscaler/etcd", ".status.selector")?;
    assert_eq!(selector, "app=etcd");
    let metrics = MetricsApi::start(namespace, 30).await?;
    namespace.apply(
        "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: etcd}
spec:
  scaleTargetRef: {apiVersion: plimsoll.dev/v1alpha1, kind: StatefulAutoscaler, name: etcd}
  minReplicas: 3
  maxReplicas: 5
  metrics: [{type: External, external: {metric: {name: load}, target: {type: AverageValue, averageValue: '10'}}}]
  behavior: {scaleDown: {stabilizationWindowSeconds: 0}}
",
    )?;
    for (load, size) in [(50, 5), (30, 3)] {
        metrics.set(load);
        let driven = reached(etcd, daemon, size, "kube-controller-manager").await;
        let hpa = || {
            namespace.kubectl(&["get", "hpa", "etcd", "--output", "jsonpath={.status}"]).unwrap_or_default()
        };
        driven.with_context(|| format!("the HPA: {}", hpa()))?;
    }
    println!("the HPA asked for its metric {} times", metrics.asked());
    assert!(metrics.asked() > 0);
    namespace.kubectl(&["delete", "hpa", "etcd"]).map(drop)
}
