//! The driver's verbs, one after the other as a plan gives them.

use crate::subject::{Subject, cordon, deregister, drain, hosted, lifecycle, member};
use plimsoll_tests::driven::Driven as _;
use plimsoll_tests::redis::load::Load;
use plimsoll_tests::redis::slots_by_view;
use plimsoll_wire::snapshot::{GroupModel, Lifecycle, PlacementState};

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_comes_and_goes_and_no_confirmed_write_is_lost() -> anyhow::Result<()> {
    let subject = Subject::start(3)?;
    let load = Load::start(subject.rig.ports(), 200, 50);
    let before = subject.observe_until("all is whole", |report| report.shards.value().is_some()).await?;
    let map = before.shards.value().expect("a map");
    assert_eq!((map.count, map.covered, map.open, map.owners, map.least_owners), (16_384, 16_384, 0, 3, 3));
    let groups = before.groups.value().expect("groups");
    assert_eq!(
        groups.iter().map(|group| &*group.id).collect::<Vec<_>>(),
        ["shard-p1", "shard-p3", "shard-p5"]
    );
    assert!(groups.iter().all(|group| group.model == GroupModel::AsyncPrimary));
    assert_eq!(before.operations.value().map(Vec::len), Some(0));

    let master = subject.come("p7").await?;
    let replica = subject.come("p8").await?;
    let came = subject.observe().await?;
    assert_eq!(hosted(&came, "p7").map(|hosted| (hosted.copies, hosted.due)), Some((0, 4_096)));
    assert_eq!(came.fingerprint.value(), before.fingerprint.value());
    assert_ne!(came.epoch.value(), before.epoch.value());
    let grown = subject.fill(&[&master, &replica]).await?;
    assert_eq!(hosted(&grown, "p8").map(|hosted| (hosted.copies, hosted.leaders)), Some((4_096, 0)));
    let shard = grown.groups.value().and_then(|groups| groups.iter().find(|group| *group.id == *"shard-p7"));
    let states = shard.and_then(|shard| shard.placements.value()).expect("placements");
    assert!(
        states.len() == 2 && states.iter().all(|copy| copy.state == PlacementState::InSync),
        "{states:?}"
    );

    let why = subject.refused(drain(&replica)).await?;
    assert!(why.contains("is not cordoned"), "{why}");
    let why = subject.refused(deregister(&master)).await?;
    assert!(why.contains("it goes first"), "{why}");
    subject.applied(cordon(&replica)).await?;
    assert_eq!(lifecycle(&subject.observe().await?, "p7"), Some(Lifecycle::Draining), "the whole shard");
    let empty = subject
        .until(drain(&replica), |report| {
            hosted(report, "p7").is_some_and(|hosted| hosted.copies + hosted.moving == 0)
        })
        .await?;
    assert_eq!(empty.shards.value().map(|map| (map.covered, map.owners)), Some((16_384, 3)));
    for (slot, id) in [("p8", &replica), ("p7", &master)] {
        let report = subject.observe_until("it is empty", |report| hosted(report, slot).is_some()).await?;
        assert_eq!(
            hosted(&report, slot).map(|hosted| (hosted.copies, hosted.leaders, hosted.failed_moves)),
            Some((0, 0, 0))
        );
        subject.applied(deregister(id)).await?;
        subject.applied(deregister(id)).await?;
        let report = subject.observe().await?;
        assert!(member(&report, slot).is_none(), "{report:#?}");
        subject.rig.remove(slot, id)?;
    }
    let after = subject.observe_until("all is whole", |report| report.shards.value().is_some()).await?;
    assert_eq!(after.members.value().map(Vec::len), Some(6));
    for port in subject.rig.ports().into_iter().take(6) {
        let owned = slots_by_view(port).await?;
        assert_eq!((owned.len(), owned.values().sum::<usize>()), (3, 16_384));
        assert!(owned.values().all(|slots| (5_461..=5_462).contains(slots)), "{owned:?}");
    }
    let failed = load.failed();
    let balance = load.finish().await?;
    println!("{} keys, {failed} commands failed, {} lost", balance.keys, balance.lost.len());
    assert!(balance.keys > 500 && balance.lost.is_empty(), "{:?}", balance.lost);
    Ok(())
}
