//! Everything that a daemon needs of the API server is taken away in the middle of plans, and given back: the server, its
//! store, the room for one more request, the daemon's rights, its token, the authority that it trusts, and in the end the
//! workload itself. The target holds and says why, and goes on afterwards; a watcher of its own and a client say what came of
//! it.
//!
//! The store is gone for some seconds by default; with `PLIMSOLL_LONG=1` for a minute.

use anyhow::Context as _;
use plimsoll::kubernetes::{Access, ApiServer, Failure};
use plimsoll_tests::cluster::{Cluster, Namespace};
use plimsoll_tests::daemon::Daemon;
use plimsoll_tests::kube::{EtcdPods, define};
use plimsoll_tests::outage::Identity;
use plimsoll_tests::process::{signal, wait_until};
use plimsoll_tests::witnesses::Witnesses;
use plimsoll_wire::journal::PlanStatus;
use plimsoll_wire::status::Status;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Pods take their time on a busy machine; a wait ends as soon as it can.
const PATIENCE: Duration = Duration::from_secs(240);
/// So little that a flood of a few fills it, and no less than one look takes at once.
const CROWDED: [&str; 3] = [
    "--enable-priority-and-fairness=false",
    "--max-requests-inflight=6",
    "--max-mutating-requests-inflight=3",
];
/// How many ask at once, again and again.
const FLOOD: usize = 40;
/// For how long they do.
const FLOODED: Duration = Duration::from_secs(8);

#[test]
fn whatever_the_api_server_denies_for_a_while_holds_a_plan_and_loses_nothing() -> anyhow::Result<()> {
    // Its own: others would miss their API server.
    let cluster = Arc::new(Cluster::start_own()?);
    define(&cluster)?;
    let namespace = Namespace::create(&cluster)?;
    cluster.inside({
        let cluster = Arc::clone(&cluster);
        move || {
            plimsoll::tls::install_provider();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(one_after_the_other(cluster, namespace))
        }
    })?
}

/// The etcd, the daemon, and what it is on the API server.
struct Scene {
    cluster: Arc<Cluster>,
    etcd: EtcdPods,
    identity: Identity,
    daemon: Daemon,
}

async fn one_after_the_other(cluster: Arc<Cluster>, namespace: Namespace) -> anyhow::Result<()> {
    let etcd = EtcdPods::start(namespace).await?;
    let identity = Identity::make(etcd.namespace(), etcd.home())?;
    identity.restart_server(&[])?;
    served(&cluster).await?;
    let witnesses = Witnesses::call(&etcd, "kube/").await?;
    let mut daemon = etcd.daemon_as(&identity.kubeconfig())?;
    daemon.start()?;
    daemon.until("the first decision", PATIENCE, |status| status.last_decision.is_some()).await?;
    let mut scene = Scene { cluster, etcd, identity, daemon };
    scene.without_server_and_store().await?;
    scene.without_rights_and_token().await?;
    scene.free_the_way()?;
    scene.without_authority_and_room().await?;
    scene.without_its_workload().await?;
    let changes = witnesses.hear(&scene.etcd).await?;
    // Twice two learners and two votes, and between them two removals; the last plan may have removed a member before it lost
    // its workload.
    assert!((10..=11).contains(&changes), "{changes}");
    scene.daemon.kill()
}

/// Until the API server answers its administrator.
async fn served(cluster: &Cluster) -> anyhow::Result<()> {
    wait_until("the API server", PATIENCE, async || cluster.kubectl(["get", "--raw", "/readyz"]).map(drop))
        .await
}

/// Neither the world nor the journal can be read: nothing is known, and nothing is done.
fn is_blind(status: &Status) -> bool {
    status.trouble.is_some() || status.sizes.members.is_none()
}

impl Scene {
    /// An order that lasts: it is refused while the journal cannot be written, as when a server that has just started asks for
    /// a pause.
    async fn order(&self, order: Value) -> anyhow::Result<()> {
        wait_until("an order that is taken", PATIENCE, async || self.daemon.order(order.clone())).await
    }

    async fn wish(&self, members: u32) -> anyhow::Result<()> {
        self.order(json!({ "verb": "scale", "members": members })).await
    }

    async fn until(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> anyhow::Result<Status> {
        self.daemon.until(what, PATIENCE, wanted).await
    }

    /// A phase of a unit of the plan.
    async fn until_in(&self, unit: u32, phase: &str) -> anyhow::Result<()> {
        let is_there = |status: &Status| {
            status.plan.as_ref().is_some_and(|plan| plan.unit == unit) && status.phase == phase
        };
        self.until(&format!("{phase} of unit {unit}"), is_there).await.map(drop)
    }

    async fn reached(&self, size: u32) -> anyhow::Result<()> {
        let there = |status: &Status| status.sizes.members == Some(size) && status.plan.is_none();
        let status = self.until(&format!("{size} members"), there).await?;
        let ended = status.history.last().context("no ended plan")?;
        assert_eq!(
            (ended.members_leg().1, ended.ended_at.members, ended.status),
            (size, Some(size), PlanStatus::Done),
            "{ended:#?}"
        );
        Ok(())
    }

    /// Until it knows that it knows nothing, and says why in words that have one of these.
    async fn blind(&self, words: &[&str]) -> anyhow::Result<()> {
        let status = self.until("it knows that it knows nothing", |status| {
            is_blind(status) && words.iter().any(|word| told(status).contains(word))
        });
        println!("blind: {}", told(&status.await?));
        Ok(())
    }

    /// What those left behind who went bars the way (D22); here a person has looked at it and takes it away.
    fn free_the_way(&self) -> anyhow::Result<()> {
        self.etcd.namespace().kubectl(&["delete", "pvc", "data-etcd-3", "data-etcd-4"])?;
        self.cluster.make_volumes(2)
    }

    async fn without_server_and_store(&mut self) -> anyhow::Result<()> {
        self.wish(5).await?;
        self.until_in(0, "catch-up").await?;
        self.cluster.stop_part("apiserver")?;
        self.blind(&[""]).await?;
        self.identity.start_server(&[])?;
        self.until_in(1, "catch-up").await?;
        self.cluster.stop_part("etcd")?;
        self.blind(&[""]).await?;
        let long = std::env::var("PLIMSOLL_LONG").is_ok_and(|value| value == "1");
        tokio::time::sleep(Duration::from_secs(if long { 60 } else { 6 })).await;
        self.cluster.start_part("etcd", &[])?;
        self.reached(5).await
    }

    async fn without_rights_and_token(&mut self) -> anyhow::Result<()> {
        self.wish(3).await?;
        self.until("a plan", |status| status.plan.is_some()).await?;
        // It takes less time than a person needs to take something away.
        self.order(json!({ "verb": "pause", "why": "a fault" })).await?;
        self.identity.without_rights()?;
        self.blind(&["forbidden"]).await?;
        self.stands_still(Duration::from_secs(3)).await?;
        self.identity.with_rights()?;
        self.until("it sees again", |status| !is_blind(status)).await?;
        self.identity.revoke_token()?;
        self.blind(&["nauthorized", "401"]).await?;
        self.identity.new_token()?;
        self.until("it sees again", |status| !is_blind(status)).await?;
        self.order(json!({ "verb": "resume" })).await?;
        self.reached(3).await
    }

    async fn without_authority_and_room(&mut self) -> anyhow::Result<()> {
        self.wish(5).await?;
        self.until_in(0, "catch-up").await?;
        self.identity.new_authority()?;
        self.identity.restart_server(&CROWDED)?;
        self.blind(&["certificate", "UnknownIssuer"]).await?;
        // What it cannot verify it does not speak to, for as long as it takes.
        self.stands_still(Duration::from_secs(3)).await?;
        self.identity.trust()?;
        let since = Instant::now();
        self.until("it sees again", |status| !is_blind(status)).await?;
        println!("{} ms from the new authority to the first look", since.elapsed().as_millis());
        // Whether the plan goes on meanwhile or waits is a matter of luck; it does nothing that is not safe.
        let flood = Flood::begin(&self.identity).await?;
        tokio::time::sleep(FLOODED).await;
        println!(
            "a flood of {FLOOD}: {} of {} requests were told to come again, or waited as they were told",
            flood.busy(),
            flood.asked()
        );
        assert!(flood.busy() > 0, "nobody was told to come again");
        drop(flood);
        self.reached(5).await?;
        self.identity.restart_server(&[])?;
        served(&self.cluster).await
    }

    /// Another workload of the same name, with the same pods: the plan was not made for it (IDENT-1).
    async fn without_its_workload(&mut self) -> anyhow::Result<()> {
        let namespace = self.etcd.namespace();
        self.until("a decision", |status| !is_blind(status) && status.last_decision.is_some()).await?;
        self.wish(3).await?;
        // Before anything was done the plan would be given up, and one for the other workload made.
        let is_out = |status: &Status| status.plan.as_ref().is_some_and(|plan| plan.point_of_no_return);
        self.until("a member that is out", is_out).await?;
        signal(self.daemon.id().context("the daemon does not run")?, Signal::STOP)?;
        let text = namespace.kubectl(&["get", "statefulset/etcd", "--output", "json"])?;
        let mut object: Value = serde_json::from_str(&text)?;
        let uid = object["metadata"]["uid"].clone();
        namespace.kubectl(&["delete", "statefulset/etcd", "--cascade=orphan"])?;
        object["metadata"] = json!({ "name": "etcd" });
        object["status"].take();
        namespace.apply(&object.to_string())?;
        assert_ne!(json!(namespace.field("statefulset/etcd", ".metadata.uid")?), uid);
        signal(self.daemon.id().context("the daemon does not run")?, Signal::CONT)?;
        let why =
            |status: &Status| status.plan.as_ref().map(|plan| format!("{} {}", plan.why, status.waiting_for));
        let status = self.until("it knows that it is another one", |status| {
            why(status).is_some_and(|why| why.contains("WrongCluster") || why.contains("another"))
        });
        println!("another workload: {}", why(&status.await?).unwrap_or_default());
        self.stands_still(Duration::from_secs(3)).await?;
        assert_eq!(namespace.field("statefulset/etcd", ".spec.replicas")?, "5");
        // Decisions go on, and the plan keeps its place until a person has looked.
        let before = self.daemon.status()?.last_decision.context("no decision")?.id;
        let goes_on = |status: &Status| status.last_decision.as_ref().is_some_and(|last| last.id != before);
        self.until("another decision", goes_on).await?;
        self.stands_still(Duration::from_secs(1)).await
    }

    /// Nothing is done: neither the plan's place nor the size changes.
    async fn stands_still(&self, while_: Duration) -> anyhow::Result<()> {
        let place = || -> anyhow::Result<_> {
            let status = self.daemon.status()?;
            let plan = status.plan.context("no plan")?;
            Ok((plan.unit, status.phase, self.etcd.namespace().field("statefulset/etcd", ".spec.replicas")?))
        };
        let before = place()?;
        tokio::time::sleep(while_).await;
        assert_eq!(place()?, before);
        Ok(())
    }
}

/// What a status says of why nothing is known.
fn told(status: &Status) -> String {
    let ready = status.conditions.iter().find(|condition| condition.kind == "Ready");
    let trouble = status.trouble.clone().unwrap_or_default();
    format!("{trouble} {}", ready.map(|ready| ready.message.clone()).unwrap_or_default())
}

/// Others who ask for all pods, with the daemon's own rights, so that none of them comes first by what he is.
struct Flood {
    counts: Arc<(AtomicU64, AtomicU64)>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Flood {
    async fn begin(identity: &Identity) -> anyhow::Result<Self> {
        let counts = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let mut tasks = Vec::new();
        for _ in 0..FLOOD {
            let kubeconfig = Some(identity.kubeconfig());
            let server = ApiServer::open(Access { kubeconfig, context: None }).await?;
            let counts = Arc::clone(&counts);
            tasks.push(tokio::spawn(async move {
                loop {
                    counts.0.fetch_add(1, Ordering::Relaxed);
                    if matches!(server.list("/api/v1/pods", "").await, Err(Failure::Busy { .. })) {
                        counts.1.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }));
        }
        Ok(Self { counts, tasks })
    }

    fn asked(&self) -> u64 {
        self.counts.0.load(Ordering::Relaxed)
    }

    fn busy(&self) -> u64 {
        self.counts.1.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
