//! What looks like a copy and is none, and what must bar the way.

use crate::subject::{Subject, detail, group, member, move_leader, placement};
use plimsoll_core::observation::SystemReport;
use plimsoll_tests::driven::Driven as _;
use plimsoll_tests::postgres::load::Load;
use plimsoll_tests::process::{signal, wait_until};
use plimsoll_wire::alarm::ALARMS;
use plimsoll_wire::journal::SystemVerb;
use plimsoll_wire::snapshot::{Lifecycle, PlacementState};
use rustix::process::Signal;

/// Whether the primary says that it streams to a standby.
async fn streams(subject: &Subject, name: &str) -> anyhow::Result<bool> {
    let question = format!(
        "SELECT count(*) FROM pg_stat_replication WHERE application_name = '{name}' AND state = 'streaming'"
    );
    Ok(subject.rig.ask("p1", &question).await? == "1")
}

async fn is_never_counted(subject: &Subject, load: &Load, name: &str) -> anyhow::Result<()> {
    let before = load.acknowledged();
    wait_until("commits go on", plimsoll_tests::postgres::PATIENCE, async || {
        anyhow::ensure!(load.acknowledged() > before + 20);
        Ok(())
    })
    .await?;
    for _ in 0..5 {
        let report = subject.observe().await?;
        assert!(streams(subject, name).await?, "the lie: it streams");
        let copy = placement(&report, name).expect("a copy");
        assert_ne!(copy.state, PlacementState::InSync, "{copy:?}");
        assert_ne!(member(&report, name).and_then(|one| one.lifecycle.value()), Some(&Lifecycle::Serving));
        assert_eq!(placement(&report, "p2").map(|copy| copy.state), Some(PlacementState::InSync));
        let why = subject.refused(move_leader("p1", name)).await?;
        assert!(why.contains("cannot lead"), "{why}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_whose_receiver_stands_still_streams_and_is_never_counted() -> anyhow::Result<()> {
    let subject = Subject::start(3).await?;
    subject.serving("p3").await?;
    let load = Load::start(&subject.rig, 40, 1);
    let receiver = subject.rig.receiver("p3")?;
    signal(receiver, Signal::STOP)?;
    is_never_counted(&subject, &load, "p3").await?;
    signal(receiver, Signal::CONT)?;
    subject.serving("p3").await?;
    assert!(load.finish().await?.1.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_whose_replay_is_paused_streams_and_is_never_counted() -> anyhow::Result<()> {
    let subject = Subject::start(3).await?;
    subject.serving("p3").await?;
    let load = Load::start(&subject.rig, 40, 1);
    subject.rig.order("p3", &["SELECT pg_wal_replay_pause()"]).await?;
    is_never_counted(&subject, &load, "p3").await?;
    subject.rig.order("p3", &["SELECT pg_wal_replay_resume()"]).await?;
    subject.serving("p3").await?;
    assert!(load.finish().await?.1.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_primary_bars_everything() -> anyhow::Result<()> {
    let subject = Subject::start(3).await?;
    subject.serving("p3").await?;
    subject.rig.order("p3", &["SELECT pg_promote(true, 30)"]).await?;
    let report = subject.observe().await?;
    let why = detail(&report.groups);
    assert!(why.starts_with("p1 and p3 both are primaries"), "{why}");
    assert_eq!(detail(&report.members), why);
    let refused = subject.refused(SystemVerb::Cordon { member: "p2".into() }).await?;
    assert!(refused.contains("both are primaries"), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_below_another_bars_that_ones_removal_alone_and_is_no_copy() -> anyhow::Result<()> {
    let subject = Subject::start(4).await?;
    subject.serving("p3").await?;
    subject.rig.order("p2", &["SELECT pg_create_physical_replication_slot('p3')"]).await?;
    let conninfo = subject.rig.ask("p3", "SHOW primary_conninfo").await?;
    let [p1, p2] = [subject.rig.port("p1")?, subject.rig.port("p2")?].map(|port| format!("port={port}"));
    let set =
        format!("ALTER SYSTEM SET primary_conninfo = '{}'", conninfo.replace(&p1, &p2).replace('\'', "''"));
    subject.rig.order("p3", &[&set, "SELECT pg_reload_conf()"]).await?;
    // A candidate must follow the primary itself.
    let report = subject
        .observe_until("p3 is a copy that is missing", |report| {
            placement(report, "p3").is_some_and(|copy| copy.state == PlacementState::Stale)
        })
        .await?;
    let hosted = |report: &SystemReport, name: &str| member(report, name).expect("a member").hosted.clone();
    let why = "p3 follows p2, which is not the primary: let it follow the primary first";
    assert_eq!(detail(&hosted(&report, "p2")), why);

    subject.applied(SystemVerb::Cordon { member: "p3".into() }).await?;
    let report = subject.serving("p3").await?;
    assert!(placement(&report, "p3").is_none(), "it is cut off with p2");
    assert_eq!(detail(&hosted(&report, "p2")), why);
    for other in ["p1", "p3", "p4"] {
        assert!(hosted(&report, other).value().is_some(), "{other}");
    }
    let refused = subject.refused(move_leader("p1", "p4")).await?;
    assert!(refused.contains("p3 follows p2: let it follow p1 first"), "{refused}");

    // It goes like any other, and its slot goes after it.
    subject.rig.remove("p3")?;
    let left = subject
        .observe_until("p3 is gone", |report| {
            member(report, "p3").is_none() && report.debts.value().is_some_and(|debts| debts.len() == 2)
        })
        .await?;
    for debt in left.debts.value().expect("known") {
        subject.applied(SystemVerb::PayDebt { member: debt.member.clone(), kind: debt.kind.clone() }).await?;
    }
    let left = subject.observe().await?;
    assert_eq!(left.debts.value(), Some(&Vec::new()));
    assert!(hosted(&left, "p2").value().is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_down_leaves_everything_unknown() -> anyhow::Result<()> {
    let subject = Subject::start(2).await?;
    subject.serving("p2").await?;
    subject.rig.stop("p1")?;
    let report = subject.observe().await?;
    let why = detail(&report.members);
    assert!(why.starts_with("no member that answers is the primary (p1: "), "{why}");
    assert!(subject.refused(SystemVerb::Cordon { member: "p2".into() }).await?.contains("is the primary"));
    subject.rig.restart("p1")?;
    subject.serving("p2").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_standby_is_dead_and_its_slot_is_told_when_it_fills_the_disk_or_is_lost() -> anyhow::Result<()>
{
    let subject = Subject::start(3).await?;
    subject.serving("p3").await?;
    subject.rig.stop("p3")?;
    let report = subject.observe().await?;
    let dead = member(&report, "p3").expect("still a member");
    assert_eq!((dead.alive.value(), dead.lifecycle.value()), (Some(&false), Some(&Lifecycle::Dead)));
    assert_eq!(group(&report).and_then(|group| group.min_ack.value()), Some(&2));
    // More log than the server keeps of itself.
    let fill = [
        "ALTER SYSTEM SET max_wal_size = '32MB'",
        "ALTER SYSTEM SET min_wal_size = '32MB'",
        "SELECT pg_reload_conf()",
    ];
    subject.rig.order("p1", &fill).await?;
    let write =
        "CREATE TABLE IF NOT EXISTS fill AS SELECT repeat('x', 1000) AS text FROM generate_series(1, 120000)";
    subject.rig.order("p1", &[write, "DROP TABLE fill", "CHECKPOINT"]).await?;
    let alarms =
        |report: &SystemReport| report.facts[ALARMS].value().map(ToString::to_string).unwrap_or_default();
    let filling = subject.observe().await?;
    assert!(alarms(&filling).contains("SLOT_FILLS_DISK"), "{}", alarms(&filling));
    let limit = ["ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()"];
    subject.rig.order("p1", &limit).await?;
    let lost = wait_until("the slot is lost", plimsoll_tests::postgres::PATIENCE, async || {
        // The server looks at it when it has written a checkpoint.
        let more =
            ["CREATE TABLE more AS SELECT 1", "DROP TABLE more", "SELECT pg_switch_wal()", "CHECKPOINT"];
        subject.rig.order("p1", &more).await?;
        let report = subject.observe().await?;
        anyhow::ensure!(alarms(&report).contains("SLOT_LOST"), "{}", alarms(&report));
        Ok(report)
    })
    .await?;
    assert!(alarms(&lost).contains("make it anew from a base backup"));
    Ok(())
}
