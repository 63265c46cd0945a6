//! Slots that somebody has left on their way.

use crate::subject::{Subject, cordon, deregister, drain, uncordon};
use plimsoll_tests::driven::Driven as _;
use plimsoll_tests::process::signal;
use plimsoll_tests::redis::{Rig, slots_by_view};
use plimsoll_wire::snapshot::{OperationKind, UNKNOWN_OWNER};
use rustix::process::Signal;
use serde_json::json;

/// Moves some keys of a slot by hand, as a `MIGRATE` that was interrupted: the first is on both ends.
async fn move_some(rig: &Rig, slot: &str, from: &str, to: &str) -> anyhow::Result<()> {
    let keys: Vec<String> = rig.ask(from, &["CLUSTER", "GETKEYSINSLOT", slot, "3"]).await?;
    let port = rig.port(to)?.to_string();
    for (at, key) in keys.iter().enumerate() {
        let mut order = vec!["MIGRATE", "127.0.0.1", &port, key, "0", "5000"];
        order.extend((at == 0).then_some("COPY"));
        rig.ask::<String>(from, &order).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_left_open_is_finished_from_wherever_it_stands() -> anyhow::Result<()> {
    let subject = Subject::start(3)?;
    let rig = &subject.rig;
    let (giver, taker) = (rig.id("p1").await?, rig.id("p3").await?);
    subject.applied(cordon(&giver)).await?;
    for slot in [7, 8, 9, 10] {
        rig.fill(slot, 9, 10).await?;
    }
    let (imports, gives) = (["IMPORTING", giver.as_str()], ["MIGRATING", taker.as_str()]);
    // Killed before anything, in the middle of the keys, before the slot changed hands, and right after.
    for (slot, to_the_end) in [("7", false), ("8", false), ("9", true), ("10", true)] {
        rig.ask::<()>("p3", &["CLUSTER", "SETSLOT", slot, imports[0], imports[1]]).await?;
        if slot == "7" {
            continue;
        }
        rig.ask::<()>("p1", &["CLUSTER", "SETSLOT", slot, gives[0], gives[1]]).await?;
        move_some(rig, slot, "p1", "p3").await?;
        if to_the_end {
            let keys: Vec<String> = rig.ask("p1", &["CLUSTER", "GETKEYSINSLOT", slot, "100"]).await?;
            let port = rig.port("p3")?.to_string();
            let mut order = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "REPLACE", "KEYS"];
            order.extend(keys.iter().map(String::as_str));
            rig.ask::<String>("p1", &order).await?;
        }
        if slot == "10" {
            rig.ask::<()>("p3", &["CLUSTER", "SETSLOT", slot, "NODE", &taker]).await?;
        }
    }
    let open = subject.observe_until("all agree", |report| report.shards.value().is_some()).await?;
    assert_eq!(open.shards.value().map(|map| (map.open, map.covered)), Some((4, 16_384)));
    assert_eq!(open.operations.value().map(Vec::len), Some(0), "the shard is on its way out: these are ours");

    subject.applied(uncordon(&giver)).await?;
    let closed = subject.observe_until("all agree", |report| report.shards.value().is_some()).await?;
    assert_eq!(closed.shards.value().map(|map| map.open), Some(0));
    for slot in [7, 8, 9, 10] {
        assert_eq!(rig.keys(slot).await?, 9, "slot {slot}");
        let left: u64 = rig.ask("p1", &["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).await?;
        assert_eq!(left, 0, "slot {slot}");
    }
    assert_eq!(slots_by_view(rig.port("p6")?).await?.get(&giver), Some(&5_457));
    // Only now the mark goes, and what was set before is back.
    subject.applied(uncordon(&giver)).await?;
    let set: std::collections::BTreeMap<String, String> = rig
        .ask("p2", &["CONFIG", "GET", "cluster-allow-replica-migration", "cluster-migration-barrier"])
        .await?;
    assert_eq!(
        json!(set),
        json!({"cluster-allow-replica-migration": "yes", "cluster-migration-barrier": "1"})
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_moves_is_left_alone() -> anyhow::Result<()> {
    let subject = Subject::start(3)?;
    let rig = &subject.rig;
    let (giver, taker) = (rig.id("p3").await?, rig.id("p1").await?);
    // One more for p1, so that it is not one that lacks a slot.
    rig.ask::<()>("p1", &["CLUSTER", "SETSLOT", "6000", "IMPORTING", &giver]).await?;
    rig.ask::<()>("p3", &["CLUSTER", "SETSLOT", "6000", "MIGRATING", &taker]).await?;
    let report = subject.observe().await?;
    let operations = report.operations.value().expect("operations");
    assert_eq!(
        operations.iter().map(|one| (one.kind, one.owner.as_str(), one.scope.as_str())).collect::<Vec<_>>(),
        [(OperationKind::Reshard, UNKNOWN_OWNER, giver.as_str())]
    );
    let newcomer = subject.come("p7").await?;
    subject.applied(cordon(&newcomer)).await?;
    let why = subject.refused(plimsoll_wire::journal::SystemVerb::Spread { onto: Vec::new() }).await?;
    assert!(why.contains("slot 6000 is on its way") && why.contains("redis-cli --cluster fix"), "{why}");
    let why = subject.refused(drain(&rig.id("p5").await?)).await?;
    assert!(why.contains("is not cordoned"), "{why}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_forgets_a_member_while_one_node_could_bring_it_back() -> anyhow::Result<()> {
    let subject = Subject::start(3)?;
    let newcomer = subject.come("p7").await?;
    let process = subject.rig.process("p2")?;
    signal(process, Signal::STOP)?;
    let why = subject.refused(deregister(&newcomer)).await;
    signal(process, Signal::CONT)?;
    let why = why?;
    assert!(why.contains("p2"), "{why}");
    let known = slots_by_view(subject.rig.port("p1")?).await?;
    assert!(known.contains_key(&newcomer), "{known:?}");
    subject
        .observe_until("p2 is back", |report| report.shards.value().is_some_and(|map| map.covered == 16_384))
        .await?;
    subject.applied(deregister(&newcomer)).await?;
    // It comes again with what it knew, and forgets that first.
    let again = subject
        .until(crate::subject::admit("p7"), |report| crate::subject::member(report, "p7").is_some())
        .await?;
    assert!(crate::subject::member(&again, "p7").is_some_and(|one| *one.id != *newcomer));
    Ok(())
}
