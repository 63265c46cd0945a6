//! The driver's verbs, one after the other as a plan gives them.

use crate::subject::{Subject, group, member, move_leader, placement, register};
use plimsoll_tests::driven::Driven as _;
use plimsoll_tests::postgres::load::Load;
use plimsoll_tests::postgres::watch::Watch;
use plimsoll_wire::journal::SystemVerb;
use plimsoll_wire::snapshot::{GroupModel, Lifecycle, PlacementState, Role};

fn cordon(name: &str) -> SystemVerb {
    SystemVerb::Cordon { member: name.into() }
}

fn pay(name: &str) -> SystemVerb {
    SystemVerb::PayDebt { member: name.into(), kind: "replication-slot".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_comes_and_goes_in_the_order_that_keeps_the_floor() -> anyhow::Result<()> {
    let subject = Subject::start(2).await?;
    let watch = Watch::start(&subject.rig);
    let load = Load::start(&subject.rig, 20, 1);
    let report = subject.serving("p2").await?;
    let one = group(&report).expect("one group");
    assert_eq!((one.model, one.min_ack.value()), (GroupModel::AsyncPrimary, Some(&2)));
    let system = subject.rig.ask("p1", "SELECT system_identifier FROM pg_control_system()").await?;
    assert_eq!(report.fingerprint.value(), Some(&system));

    subject.grow("p3").await?;
    assert_eq!(subject.set("p1").await?, "ANY 1 (p2, p3)");
    let grown = subject.serving("p3").await?;
    assert_eq!(
        placement(&grown, "p3").map(|copy| (copy.weight, copy.state)),
        Some((1, PlacementState::InSync))
    );
    assert!(
        member(&grown, "p3")
            .and_then(|one| one.roles.value())
            .is_some_and(|roles| roles.contains(&Role::SyncStandby))
    );
    assert_ne!(grown.epoch.value(), report.epoch.value());

    // Its slot is in use: nobody drops it before the member is gone.
    let why = subject.refused(SystemVerb::Deregister { member: "p3".into() }).await?;
    assert!(why.contains("still run by the platform"), "{why}");
    subject.applied(cordon("p3")).await?;
    assert_eq!(subject.set("p1").await?, "ANY 1 (p2)");
    let why = subject.refused(cordon("p2")).await?;
    assert!(why.contains("needs p2"), "{why}");
    subject.rig.remove("p3")?;
    let owing = subject.observe_until("p3 is gone", |report| member(report, "p3").is_none()).await?;
    assert_eq!(owing.debts.value().map(Vec::len), Some(1));
    subject.applied(pay("p3")).await?;
    let paid =
        subject.observe_until("nothing is owed", |report| report.debts.value() == Some(&Vec::new())).await?;
    assert_eq!(member(&paid, "p2").and_then(|one| one.lifecycle.value()), Some(&Lifecycle::Serving));
    assert_eq!(subject.rig.ask("p1", "SELECT count(*) FROM pg_replication_slots").await?, "1");

    let (acknowledged, lost) = load.finish().await?;
    assert!(acknowledged > 0 && lost.is_empty(), "{acknowledged} {lost:?}");
    let found = watch.finish().await?;
    assert!(found.violations.is_empty(), "{found:#?}");
    assert_eq!(found.primaries, ["p1"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_is_taken_back_and_one_whose_member_never_came_is_made_again() -> anyhow::Result<()> {
    let subject = Subject::start(2).await?;
    subject.applied(register("p3")).await?;
    subject.applied(register("p3")).await?;
    let deregister = SystemVerb::Deregister { member: "p3".into() };
    subject.applied(deregister.clone()).await?;
    subject.applied(deregister).await?;
    assert_eq!(subject.rig.ask("p1", "SELECT count(*) FROM pg_replication_slots").await?, "1");
    // A base backup used the slot, and its member did not come up.
    subject.rig.order("p1", &["SELECT pg_create_physical_replication_slot('p3', true)"]).await?;
    let owed = subject.observe().await?;
    assert_eq!(owed.debts.value().map(Vec::len), Some(1));
    subject.applied(register("p3")).await?;
    let fresh = subject.observe().await?;
    assert_eq!(fresh.debts.value().map(Vec::len), Some(0));
    assert_eq!(member(&fresh, "p3").and_then(|one| one.lifecycle.value()), Some(&Lifecycle::Provisioning));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_is_handed_over_and_no_acknowledged_write_is_lost() -> anyhow::Result<()> {
    let subject = Subject::start(3).await?;
    let watch = Watch::start(&subject.rig);
    let load = Load::start(&subject.rig, 40, 1);
    subject.serving("p3").await?;
    while load.acknowledged() < 20 {
        tokio::task::yield_now().await;
    }
    subject.applied(move_leader("p1", "p2")).await?;
    let report = subject.serving("p3").await?;
    assert_eq!(group(&report).and_then(|group| group.leader.value()).map(|name| &**name), Some("p2"));
    assert_eq!(member(&report, "p1").and_then(|one| one.lifecycle.value()), Some(&Lifecycle::Draining));
    assert_eq!(subject.set("p2").await?, "ANY 1 (p3)");
    // It is done already.
    subject.applied(move_leader("p1", "p2")).await?;
    let before = load.acknowledged();
    while load.acknowledged() < before + 20 {
        tokio::task::yield_now().await;
    }
    // The one before goes like any other, and leaves nothing behind.
    subject.applied(cordon("p1")).await?;
    subject.rig.remove("p1")?;
    let left = subject.observe_until("p1 is gone", |report| member(report, "p1").is_none()).await?;
    assert_eq!(left.debts.value(), Some(&Vec::new()));
    let (acknowledged, lost) = load.finish().await?;
    println!("{acknowledged} commits acknowledged, {} lost", lost.len());
    assert!(lost.is_empty(), "{lost:?}");
    let found = watch.finish().await?;
    assert!(found.violations.is_empty(), "{found:#?}");
    assert_eq!(found.primaries, ["p1", "p2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_that_cannot_be_finished_is_taken_back() -> anyhow::Result<()> {
    let subject = Subject::start(3).await?;
    subject.serving("p3").await?;
    // The server will not promote on this role's word.
    subject
        .rig
        .order("p1", &["REVOKE EXECUTE ON FUNCTION pg_promote(boolean, integer) FROM plimsoll"])
        .await?;
    subject.serving("p2").await?;
    let why = subject.refused(move_leader("p1", "p2")).await?;
    assert!(why.contains("permission denied for function pg_promote"), "{why}");
    let report = subject.serving("p3").await?;
    assert_eq!(group(&report).and_then(|group| group.leader.value()).map(|name| &**name), Some("p1"));
    assert_eq!(member(&report, "p1").and_then(|one| one.lifecycle.value()), Some(&Lifecycle::Serving));
    assert_eq!(report.debts.value(), Some(&Vec::new()), "no slot is left on p2");
    assert_eq!(subject.rig.ask("p1", "SHOW default_transaction_read_only").await?, "off");
    let load = Load::start(&subject.rig, 20, 1);
    while load.acknowledged() < 5 {
        tokio::task::yield_now().await;
    }
    assert!(load.finish().await?.1.is_empty());
    Ok(())
}
