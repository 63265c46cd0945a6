//! The driver's verbs, one after the other as a plan gives them.

use crate::subject::{Subject, cordon, debts, drain, group, hosted, is_whole, member, pay};
use plimsoll::systems::connection::Connection;
use plimsoll::systems::kafka::KafkaSettings;
use plimsoll_tests::driven::Driven as _;
use plimsoll_tests::kafka::Rig;
use plimsoll_tests::kafka::load::{GROUP, Load};
use plimsoll_wire::fact::Authority;
use plimsoll_wire::journal::SystemVerb;
use plimsoll_wire::snapshot::{GroupKind, GroupModel, Lifecycle, Operation, OperationKind};

const MIB: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_comes_gets_its_share_and_goes_with_every_record_kept() -> anyhow::Result<()> {
    let subject = Subject::start(3)?;
    subject.serving(&["1", "2", "3"]).await?;
    subject.rig.client("k1").await?.create("orders", 6, 3).await?;
    let load = Load::start(&subject.rig, "orders", 6, 24 * MIB, 40).await?;
    let report = subject.observe_until("all is whole", |report| {
        is_whole(report) && group(report, "__consumer_offsets-0").is_some()
    });
    let report = report.await?;
    let one = group(&report, "orders-0").expect("its partition");
    assert_eq!((one.model, one.kind), (GroupModel::AckSet, GroupKind::Data));
    assert_eq!((one.target_copies.value(), one.min_ack.value()), (Some(&3), Some(&2)));
    assert_eq!(group(&report, "__consumer_offsets-0").map(|one| one.kind), Some(GroupKind::System));
    let behind = subject.observe_until("the consumer's lag is told", |report| {
        let lag = report.facts.get("consumerLag").and_then(|told| told.value());
        let first = lag.and_then(|lag| lag.pointer("/groups/0")).cloned().unwrap_or_default();
        first["group"] == GROUP
            && first["topic"] == "orders"
            && first["partitions"] == 6
            && first["committed"] != 0
    });
    behind.await?;
    let map = report.shards.value().expect("a map");
    assert_eq!((map.count, map.covered, map.open, map.owners), (12, 12, 0, 3));
    let first = member(&report, "1").expect("a broker");
    assert_eq!(first.slot.as_deref(), Some("k1"));
    assert!(first.load_bytes.value().is_some_and(|bytes| *bytes > 20 * MIB as u64), "{first:?}");
    assert!(first.disk_capacity_bytes.value() > first.disk_used_bytes.value(), "{first:?}");

    subject.rig.add("k4")?;
    let grown = subject.serving(&["4"]).await?;
    let due = hosted(&grown, "4").expect("it tells").due;
    assert_eq!(due, 9, "as many as an even share of 12 partitions with 3 copies is");
    assert_ne!(grown.epoch.value(), report.epoch.value());
    let spread = subject.spread("4").await?;
    let share = hosted(&spread, "4").expect("it tells");
    // Broker 1 is in the same rack, and only its copies can move without two in one rack.
    assert_eq!((share.copies, share.due, share.moving), (6, 0, 0), "{share:?}");
    assert_eq!(hosted(&spread, "1").map(|hosted| hosted.copies), Some(6));
    assert!(debts(&spread).iter().any(|(kind, id)| kind == "settings" && id == "4"), "{:?}", debts(&spread));
    subject.applied(pay("4", "settings")).await?;
    let paid = subject.observe_until("nothing is owed", |report| debts(report).is_empty()).await?;
    assert!(hosted(&paid, "4").is_some_and(|hosted| hosted.leaders >= 2), "it leads its share");

    let why = subject.refused(drain("4")).await?;
    assert!(why.contains("it is cordoned first"), "{why}");
    subject.applied(cordon("4")).await?;
    subject.applied(cordon("4")).await?;
    subject
        .observe_until("it is cordoned", |report| {
            member(report, "4").is_some_and(|one| one.lifecycle.value() == Some(&Lifecycle::Draining))
        })
        .await?;
    // A topic that is made now stays off it.
    subject.rig.client("k1").await?.create("late", 4, 3).await?;
    let empty = subject.empty("4").await?;
    let told = &member(&empty, "4").expect("it is still there").hosted;
    assert!(
        matches!(told, plimsoll_core::observation::Reading::Value { source, .. } if source.authority == Authority::Survivors)
    );
    subject.rig.remove("k4")?;
    let gone = subject.observe_until("it is gone", |report| member(report, "4").is_none()).await?;
    assert!(debts(&gone).contains(&("registration".to_owned(), "4".to_owned())), "{:?}", debts(&gone));
    for (kind, id) in debts(&gone) {
        subject.applied(pay(&id, &kind)).await?;
    }
    let left = subject.observe_until("nothing is owed", |report| debts(report).is_empty()).await?;
    assert!(is_whole(&left) && left.epoch.value() == report.epoch.value());

    let failed = load.failed();
    let (acknowledged, lost) = load.finish().await?;
    println!("{acknowledged} records acknowledged, {failed} batches unanswered, {} lost", lost.len());
    assert!(acknowledged > 1_000 && lost.is_empty(), "{lost:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_is_taken_back_leaves_the_copies_and_nothing_of_ours() -> anyhow::Result<()> {
    // Slow enough that it cannot have ended before anybody looks.
    let slow = KafkaSettings { throttle: 64 * 1024, ..KafkaSettings::default() };
    let subject = Subject::with(Rig::start(4, 5)?, Connection::default(), slow);
    subject.serving(&["1", "2", "3", "4"]).await?;
    subject.rig.client("k1").await?.create("orders", 4, 3).await?;
    let load = Load::start(&subject.rig, "orders", 4, 8 * MIB, 10).await?;
    subject.observe_until("all is whole", is_whole).await?;
    subject.applied(cordon("4")).await?;
    let report = subject.observe().await?;
    assert_eq!(report.operations.value(), Some(&Vec::new()));
    subject.applied(drain("4")).await?;
    let moving = subject.observe_until("it is under way", |report| {
        let ours = |one: &Operation| {
            one.kind == OperationKind::Drain && one.owner == "plan/plan-1" && one.scope == "4"
        };
        report.operations.value().is_some_and(|all| all.len() == 1 && all.iter().all(ours))
    });
    assert!(hosted(&moving.await?, "4").is_some_and(|hosted| hosted.moving > 0 && hosted.copies > 0));
    // To give it again begins nothing.
    subject.applied(drain("4")).await?;
    subject.applied(SystemVerb::CancelDrain { member: "4".into() }).await?;
    subject.observe_until("nothing moves", |report| report.operations.value() == Some(&Vec::new())).await?;
    subject.applied(SystemVerb::Uncordon { member: "4".into() }).await?;
    let back = subject.observe_until("it serves again and nothing is owed", |report| {
        let serves =
            member(report, "4").is_some_and(|one| one.lifecycle.value() == Some(&Lifecycle::Serving));
        serves && debts(report).is_empty() && is_whole(report)
    });
    back.await?;
    let (acknowledged, lost) = load.finish().await?;
    assert!(acknowledged > 0 && lost.is_empty(), "{lost:?}");
    Ok(())
}
