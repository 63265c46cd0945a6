//! A real PostgreSQL in a StatefulSet of a real Kubernetes: 2, 4, 2 pods by a person's wish, past daemons that lose their disks.
//! On the way back the primary is in the pod that Kubernetes takes away first: the daemon hands over before. A client writes
//! all the while and reads everything back, and a watcher of its own asks every member who takes writes, and who confirms.
//!
//! Minutes, and an image of its own: only with `PLIMSOLL_LONG=1`.

use anyhow::Context as _;
use plimsoll_tests::cluster::Namespace;
use plimsoll_tests::daemon::Daemon;
use plimsoll_tests::kube::in_cluster;
use plimsoll_tests::postgres::load::Load;
use plimsoll_tests::postgres::pods::{PATIENCE, PostgresPods};
use plimsoll_tests::postgres::watch::Watch;
use plimsoll_wire::journal::PlanStatus;
use plimsoll_wire::status::Status;
use serde_json::json;

#[test]
fn a_postgres_of_two_pods_grows_to_four_and_hands_over_before_the_primarys_pod_goes() -> anyhow::Result<()> {
    if std::env::var("PLIMSOLL_LONG").is_ok_and(|value| value == "1") {
        return in_cluster(there_and_back);
    }
    println!("left out: PLIMSOLL_LONG=1 runs it");
    Ok(())
}

async fn there_and_back(namespace: Namespace) -> anyhow::Result<()> {
    let rig = PostgresPods::start(namespace).await?;
    let load = Load::start(&rig, 20, 20);
    let mut daemon = rig.daemon()?;
    daemon.start()?;
    daemon.until("the first decision", PATIENCE, |status| status.last_decision.is_some()).await?;

    let watch = Watch::start(&rig);
    pursue(&rig, &mut daemon, 4, &["start", "catch-up"]).await?;
    rig.followers("postgres-0", 3).await?;
    assert_eq!(judged(watch).await?, ["postgres-0"]);

    let last = "postgres-3";
    rig.take_over("postgres-0", last, &["postgres-0", "postgres-1", "postgres-2", last]).await?;
    let led = |status: &Status| status.plan.is_none() && status.sizes.members == Some(4);
    daemon.until("the daemon sees all four", PATIENCE, led).await?;

    let watch = Watch::start(&rig);
    pursue(&rig, &mut daemon, 2, &["move-leaders", "cordon", "verify"]).await?;
    let primaries = judged(watch).await?;
    assert!(primaries.len() > 1 && primaries.first().is_some_and(|first| first == last), "{primaries:?}");
    let primary = primaries.last().context("nobody took writes")?;
    assert!(["postgres-0", "postgres-1"].contains(&primary.as_str()), "{primary}");
    rig.followers(primary, 1).await?;
    let slots = rig.ask(primary, "SELECT count(*) FROM pg_replication_slots").await?;
    assert_eq!(slots, "1", "nothing is kept for those who went");
    the_volumes_of_those_who_left_bar_the_way(&rig, &daemon).await?;

    let (acknowledged, lost) = load.finish().await?;
    println!("{acknowledged} commits acknowledged, {} lost", lost.len());
    assert!(acknowledged > 0 && lost.is_empty(), "{lost:?}");
    daemon.kill()
}

/// Wishes for a size as a person, and kills the daemon in the middle of the first unit, with everything on its disk: the plan is
/// in the cluster.
async fn pursue(rig: &PostgresPods, daemon: &mut Daemon, size: u32, phases: &[&str]) -> anyhow::Result<()> {
    daemon.order(json!({ "verb": "scale", "members": size }))?;
    let middle = |status: &Status| {
        status.plan.as_ref().is_some_and(|plan| plan.unit == 0) && phases.contains(&status.phase.as_str())
    };
    let struck = daemon.until("the middle of the first unit", PATIENCE, middle).await?;
    daemon.kill()?;
    println!("on the way to {size} the daemon was killed in {}", struck.phase);
    std::fs::remove_dir_all(daemon.home().join("state"))?;
    std::fs::create_dir(daemon.home().join("state"))?;
    daemon.start()?;
    let reached = |status: &Status| status.sizes.members == Some(size) && status.plan.is_none();
    let status = daemon.until(&format!("{size} members"), PATIENCE, reached).await?;
    let ended = status.history.last().context("no ended plan")?;
    assert_eq!((ended.ended_at.members, ended.status), (Some(size), PlanStatus::Done), "{ended:#?}");
    assert_eq!(rig.namespace().field("statefulset/postgres", ".spec.replicas")?, size.to_string());
    Ok(())
}

/// The pods that took writes, one after the other, where nothing was done wrong.
async fn judged(watch: Watch) -> anyhow::Result<Vec<String>> {
    let found = watch.finish().await?;
    println!("{} polls; primaries {:?}; sets {:?}", found.polls, found.primaries, found.sets);
    anyhow::ensure!(found.violations.is_empty(), "{:#?}", found.violations);
    Ok(found.primaries)
}

/// What a scale-in leaves behind holds a removed member's data: it is not started on (D22).
async fn the_volumes_of_those_who_left_bar_the_way(
    rig: &PostgresPods,
    daemon: &Daemon,
) -> anyhow::Result<()> {
    daemon.order(json!({ "verb": "scale", "members": 4 }))?;
    let barred = |status: &Status| {
        status.last_decision.as_ref().is_some_and(|last| format!("{last:?}").contains("ZombieVolume"))
    };
    daemon.until("the claims are in the way", PATIENCE, barred).await?;
    assert_eq!(rig.namespace().field("statefulset/postgres", ".spec.replicas")?, "2");
    Ok(())
}
