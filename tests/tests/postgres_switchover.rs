//! The member that goes has become the primary meanwhile: the daemon hands over first, and no acknowledged commit is lost.
//!
//! Followers go before the primary, so a person makes it so: the daemon is killed once its plan has chosen whom it takes away,
//! and that one takes over by hand before the next daemon goes on with the plan. That one is killed in the middle of the
//! hand-over, and the one after it finishes; with `PLIMSOLL_LONG=1` between all steps of it, and once it has to be taken back.

use anyhow::Context as _;
use plimsoll_tests::daemon::Daemon;
use plimsoll_tests::postgres::handover::{Between, at_the_fence, open_transaction, writers};
use plimsoll_tests::postgres::load::Load;
use plimsoll_tests::postgres::watch::Watch;
use plimsoll_tests::postgres::{Rig, Wishes};
use plimsoll_tests::process::wait_until;
use plimsoll_wire::journal::PlanStatus;
use plimsoll_wire::record::Body;
use serde_json::json;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(400);

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_the_one_to_go_hands_over_first() -> anyhow::Result<()> {
    let rig = Rig::start(4, 5).await?;
    // It bars the removal of p2, and of nobody else: the plan begins.
    cascade(&rig, "p3", "p2").await?;
    let wishes = Wishes { module: "hold", settings: "{}", safety: Vec::new() };
    let mut daemon = rig.daemon("http://127.0.0.1:9", &wishes)?;
    daemon.start()?;
    daemon
        .until("an idle target", PATIENCE, |status| status.sizes.members == Some(4) && status.plan.is_none())
        .await?;
    let load = Load::start(&rig, 20, 20);
    let victim = choose(&mut daemon)?;
    println!("{victim} is to go");
    assert_ne!(victim, "p1", "followers go first");
    take_over(&rig, &victim).await?;
    let watch = Watch::start(&rig);
    for between in places() {
        let transaction = open_transaction(&rig, &victim).await?;
        daemon.start()?;
        at_the_fence(&rig, &victim, transaction).await?.kill(&rig, &mut daemon, between).await?;
        if is_long() && between == Between::FollowersAndPromotion {
            what_cannot_be_finished_is_taken_back(&rig, &mut daemon, &victim).await?;
        }
    }
    daemon.start()?;
    let reached = daemon
        .until("three members", PATIENCE, |status| status.plan.is_none() && status.sizes.members == Some(3))
        .await?;
    let ended = reached.history.last().context("no ended plan")?;
    assert_eq!((ended.ended_at.members, ended.status), (Some(3), PlanStatus::Done), "{ended:#?}");
    let moved = daemon.records()?.into_iter().any(
        |record| matches!(&record.body, Body::Intent { intent, .. } if intent.verb.kind() == "move-leader"),
    );
    assert!(moved, "the plan handed over");
    assert!(rig.list()?.members.iter().all(|entry| entry.slot != victim));
    let slots = rig.ask("p2", "SELECT count(*) FROM pg_replication_slots WHERE NOT active").await?;
    assert_eq!(slots, "0", "p3 followed p2 before, and nothing is kept for it there");
    let found = watch.finish().await?;
    println!("{} polls; primaries {:?}; sets {:?}", found.polls, found.primaries, found.sets);
    assert!(found.violations.is_empty(), "{found:#?}");
    assert_eq!(found.primaries.len(), 2);
    assert_eq!(found.primaries.first(), Some(&victim));
    let (acknowledged, lost) = load.finish().await?;
    println!("{acknowledged} commits acknowledged, {} lost", lost.len());
    assert!(acknowledged > 0 && lost.is_empty(), "{lost:?}");
    daemon.kill()?;
    daemon.audit_is_sound()
}

fn is_long() -> bool {
    std::env::var("PLIMSOLL_LONG").is_ok_and(|value| value == "1")
}

/// Where in the hand-over the daemon is killed, one after the other.
fn places() -> Vec<Between> {
    use Between::{FenceAndProof, FollowersAndPromotion, PromotionAndAnswer, ProofAndFollowers};
    if is_long() {
        return vec![FenceAndProof, ProofAndFollowers, FollowersAndPromotion, PromotionAndAnswer];
    }
    vec![FollowersAndPromotion]
}

/// The daemon finds the hand-over of a dead one, which the others follow already, and cannot finish it: the primary takes
/// writes again, all follow it, and nothing is left on them.
async fn what_cannot_be_finished_is_taken_back(
    rig: &Rig,
    daemon: &mut Daemon,
    primary: &str,
) -> anyhow::Result<()> {
    let transaction = open_transaction(rig, primary).await?;
    daemon.start()?;
    let held = at_the_fence(rig, primary, transaction).await?;
    let port = format!("port={}", rig.port(primary)?);
    wait_until("the primary takes writes again", PATIENCE, async || {
        let writers = writers(rig).await?;
        anyhow::ensure!(writers == [primary], "{writers:?} take writes");
        for other in held.others.iter().chain([&held.to]) {
            let conninfo = rig.ask(other, "SHOW primary_conninfo").await?;
            anyhow::ensure!(conninfo.contains(&port), "{other}: {conninfo}");
            let slots = rig.ask(other, "SELECT count(*) FROM pg_replication_slots").await?;
            anyhow::ensure!(slots == "0", "{slots} slots are left on {other}");
        }
        Ok(())
    })
    .await?;
    daemon.kill()?;
    held.let_go().await
}

/// Has the daemon choose whom it takes away, and kills it before that member is stopped.
fn choose(daemon: &mut Daemon) -> anyhow::Result<String> {
    daemon.order(json!({ "verb": "scale", "members": 3 }))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        anyhow::ensure!(Instant::now() < deadline, "nobody was chosen: {}", daemon.tail());
        let plan = daemon.journal()?.and_then(|journal| journal.plan);
        if let Some(subject) = plan.and_then(|plan| plan.subject) {
            daemon.kill()?;
            let plan = daemon.journal()?.and_then(|journal| journal.plan).context("the plan is over")?;
            anyhow::ensure!(!plan.point_of_no_return, "it was too late: {plan:#?}");
            return Ok(subject.slot.to_string());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Has a standby follow another one and not the primary, as no candidate any more.
async fn cascade(rig: &Rig, below: &str, above: &str) -> anyhow::Result<()> {
    let set = "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (p2, p4)'";
    rig.order("p1", &[set, "SELECT pg_reload_conf()"]).await?;
    rig.order(above, &[&format!("SELECT pg_create_physical_replication_slot('{below}')")]).await?;
    let port = rig.port(above)?;
    let conninfo = format!("user=replicator application_name={below} host=127.0.0.1 port={port}");
    let set = format!("ALTER SYSTEM SET primary_conninfo = '{conninfo}'");
    rig.order(below, &[&set, "SELECT pg_reload_conf()"]).await?;
    let follows = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    wait_until("one follows the other", PATIENCE, async || {
        anyhow::ensure!(rig.ask(above, follows).await? == "1");
        Ok(())
    })
    .await
}

/// A switchover as a person does it: the primary stops cleanly, the other is promoted, and all follow it.
async fn take_over(rig: &Rig, next: &str) -> anyhow::Result<()> {
    let port = rig.port(next)?;
    let others: Vec<String> =
        rig.list()?.members.into_iter().map(|entry| entry.slot).filter(|slot| slot != next).collect();
    rig.stop("p1")?;
    for slot in &others {
        rig.order(next, &[&format!("SELECT pg_create_physical_replication_slot('{slot}', true)")]).await?;
    }
    let names = format!("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 ({})'", others.join(", "));
    rig.order(next, &[&names, "SELECT pg_reload_conf()", "SELECT pg_promote(true, 60)"]).await?;
    for slot in &others {
        let conninfo = format!("user=replicator application_name={slot} host=127.0.0.1 port={port}");
        if slot == "p1" {
            // It comes back as a standby of the next one.
            let data = rig.data(slot);
            let lines = format!("primary_conninfo = '{conninfo}'\nprimary_slot_name = '{slot}'\n");
            let auto = data.join("postgresql.auto.conf");
            let kept = std::fs::read_to_string(&auto)?;
            std::fs::write(&auto, format!("{kept}{lines}"))?;
            plimsoll_tests::postgres::put(&data.join("standby.signal"), "")?;
            rig.restart(slot)?;
        } else {
            let set = format!("ALTER SYSTEM SET primary_conninfo = '{conninfo}'");
            rig.order(slot, &[&set, "SELECT pg_reload_conf()"]).await?;
        }
    }
    wait_until("all follow the next one", PATIENCE, async || {
        let count =
            rig.ask(next, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'").await?;
        anyhow::ensure!(count == others.len().to_string(), "{count} follow");
        Ok(())
    })
    .await
}
