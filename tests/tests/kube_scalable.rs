//! A resource with a `scale` subresource in front of a StatefulSet: a real etcd whose size a controller sets, as an operator
//! does. The daemon wishes at the resource and never touches what is behind it.

use anyhow::Context as _;
use plimsoll_tests::cluster::Namespace;
use plimsoll_tests::daemon::Daemon;
use plimsoll_tests::kube::{EtcdPods, established, in_cluster};
use plimsoll_tests::process::wait_until;
use plimsoll_tests::witnesses::Witnesses;
use plimsoll_wire::journal::PlanStatus;
use plimsoll_wire::status::Status;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Pods take their time on a busy machine; a wait ends as soon as it can.
const PATIENCE: Duration = Duration::from_secs(240);

/// Its size has another name than that of a StatefulSet.
const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: etcdgroups.test.plimsoll.dev}
spec:
  group: test.plimsoll.dev
  scope: Namespaced
  names: {kind: EtcdGroup, plural: etcdgroups, singular: etcdgroup}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {type: object, properties: {members: {type: integer, minimum: 1}}}
            status:
              type: object
              properties: {members: {type: integer}, selector: {type: string}, observedGeneration: {type: integer}}
      subresources:
        status: {}
        scale: {specReplicasPath: .spec.members, statusReplicasPath: .status.members, labelSelectorPath: .status.selector}
";
const GROUP: &str = "
apiVersion: test.plimsoll.dev/v1
kind: EtcdGroup
metadata: {name: group}
spec: {members: 3}
";
const OPENED: &str =
    "{apiVersion: test.plimsoll.dev/v1, kind: EtcdGroup, plural: etcdgroups, replicasPath: .spec.members}";
const TARGET: &str = "{apiVersion: test.plimsoll.dev/v1, kind: EtcdGroup, name: group}";

/// Gives the StatefulSet the size of the resource, again and again, and says what it has acted on.
struct Controller {
    awake: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    task: Option<std::thread::JoinHandle<()>>,
}

impl Controller {
    fn start(etcd: &EtcdPods) -> anyhow::Result<Self> {
        let (cluster, name) = (etcd.namespace().cluster().clone(), etcd.namespace().name().to_owned());
        let kubectl =
            move |arguments: &[&str]| cluster.kubectl([&["--namespace", &name], arguments].concat());
        let group: Value = serde_json::from_str(&kubectl(&["get", "etcdgroup/group", "-o", "json"])?)?;
        let owner = json!([{
            "apiVersion": "test.plimsoll.dev/v1", "kind": "EtcdGroup", "name": "group", "controller": true,
            "uid": group["metadata"]["uid"],
        }]);
        let patch = json!({ "metadata": { "ownerReferences": owner } }).to_string();
        kubectl(&["patch", "statefulset/etcd", "--type=merge", "--patch", &patch])?;
        let (awake, ended) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let (is_awake, is_over) = (awake.clone(), ended.clone());
        let task = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                if is_awake.load(Ordering::Relaxed)
                    && let Err(error) = follow(&kubectl)
                {
                    println!("the controller: {error:#}");
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        Ok(Self { awake, ended, task: Some(task) })
    }

    fn sleeps(&self, sleeps: bool) {
        self.awake.store(!sleeps, Ordering::Relaxed);
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.task.take().map(std::thread::JoinHandle::join);
    }
}

fn follow(kubectl: &impl Fn(&[&str]) -> anyhow::Result<String>) -> anyhow::Result<()> {
    let group: Value = serde_json::from_str(&kubectl(&["get", "etcdgroup/group", "-o", "json"])?)?;
    let (members, generation) = (&group["spec"]["members"], &group["metadata"]["generation"]);
    if group["status"]["observedGeneration"] == *generation {
        return Ok(());
    }
    let size = json!({ "spec": { "replicas": members } }).to_string();
    kubectl(&["patch", "statefulset/etcd", "--type=merge", "--patch", &size])?;
    let status = json!({
        "status": { "members": members, "selector": "app=etcd", "observedGeneration": generation },
    });
    let status = status.to_string();
    let status = ["patch", "etcdgroup/group", "--subresource=status", "--type=merge", "--patch", &status];
    kubectl(&status).map(drop)
}

#[test]
fn a_resource_in_front_of_a_statefulset_is_scaled_and_what_is_behind_it_is_left_to_its_controller()
-> anyhow::Result<()> {
    in_cluster(out_and_in)
}

async fn out_and_in(namespace: Namespace) -> anyhow::Result<()> {
    namespace.cluster().apply(DEFINITION)?;
    established(namespace.cluster(), "crd/etcdgroups.test.plimsoll.dev")?;
    let etcd = EtcdPods::start(namespace).await?;
    etcd.namespace().apply(GROUP)?;
    let controller = Controller::start(&etcd)?;
    let witnesses = Witnesses::call(&etcd, "front/").await?;
    let mut daemon = etcd.daemon_in_front(OPENED, TARGET)?;
    daemon.start()?;
    daemon.until("the first decision", PATIENCE, |status| status.last_decision.is_some()).await?;
    daemon.order(json!({ "verb": "scale", "members": 5 }))?;
    reached(&etcd, &daemon, 5).await?;
    // A controller that sleeps is waited for: what was wished once is not wished again, and nobody else's size is touched.
    controller.sleeps(true);
    daemon.order(json!({ "verb": "scale", "members": 3 }))?;
    wait_until("a wish that nobody follows", PATIENCE, async || {
        anyhow::ensure!(etcd.namespace().field("etcdgroup/group", ".spec.members")? == "4");
        Ok(())
    })
    .await
    .with_context(|| daemon.tail())?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(etcd.namespace().field("etcdgroup/group", ".spec.members")?, "4");
    assert_eq!(etcd.namespace().field("statefulset/etcd", ".spec.replicas")?, "5");
    assert!(daemon.status()?.plan.is_some());
    controller.sleeps(false);
    reached(&etcd, &daemon, 3).await?;
    // The epoch is on what was written, and nothing of ours on what is behind it.
    let notes = |object: &str| etcd.namespace().field(object, ".metadata.annotations");
    assert!(notes("etcdgroup/group")?.contains("plimsoll.dev/epoch"));
    assert!(!notes("statefulset/etcd")?.contains("plimsoll.dev"));
    // Two learners, two votes, two removals.
    assert_eq!(witnesses.hear(&etcd).await?, 6);
    daemon.kill()
}

async fn reached(etcd: &EtcdPods, daemon: &Daemon, size: u32) -> anyhow::Result<()> {
    let there = |status: &Status| status.sizes.members == Some(size) && status.plan.is_none();
    let status = daemon.until(&format!("{size} members"), PATIENCE, there).await?;
    let ended = status.history.last().context("no ended plan")?;
    assert_eq!(
        (ended.members_leg().1, ended.ended_at.members, ended.status),
        (size, Some(size), PlanStatus::Done),
        "{ended:#?}"
    );
    assert_eq!(etcd.namespace().field("etcdgroup/group", ".spec.members")?, size.to_string());
    assert_eq!(etcd.namespace().field("statefulset/etcd", ".spec.replicas")?, size.to_string());
    Ok(())
}
