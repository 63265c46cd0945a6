//! Servers that do not agree with each other, and failovers under load.

use crate::subject::{Subject, detail, hosted, member};
use plimsoll_tests::driven::Driven as _;
use plimsoll_tests::redis::load::Load;
use plimsoll_wire::journal::SystemVerb;
use plimsoll_wire::snapshot::PlacementState;

#[tokio::test(flavor = "multi_thread")]
async fn gossip_that_disagrees_right_after_a_step_is_unknown_and_nothing_moves() -> anyhow::Result<()> {
    let subject = Subject::start(3)?;
    let newcomer = subject.come("p7").await?;
    // One node is told another owner, with an older word than the owner's own: gossip sets it right within a second or two.
    let older = subject.rig.id("p1").await?;
    let mut seen = None;
    for _ in 0..50 {
        subject.rig.ask::<()>("p3", &["CLUSTER", "SETSLOT", "16000", "NODE", &older]).await?;
        let report = subject.observe().await?;
        if report.shards.value().is_none() {
            seen = Some(report);
            break;
        }
    }
    let report = seen.expect("nobody saw the nodes disagree");
    let why = detail(&report.shards);
    assert!(why.contains("different views") && why.contains("p3 see it otherwise"), "{why}");
    assert_eq!(hosted(&report, "p1"), None, "{report:#?}");
    subject.rig.ask::<()>("p3", &["CLUSTER", "SETSLOT", "16000", "NODE", &older]).await?;
    let spread = SystemVerb::Spread { onto: vec![newcomer.as_str().into()] };
    // Either they agree again by then, or nothing is begun.
    if let plimsoll_wire::journal::Outcome::Refused { message } = subject.act(spread).await? {
        assert!(message.contains("do not agree"), "{message}");
    }
    let settled = subject.observe_until("all agree", |report| report.shards.value().is_some()).await?;
    assert_eq!(settled.shards.value().map(|map| map.covered), Some(16_384));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_over_as_planned_and_no_confirmed_write_is_lost() -> anyhow::Result<()> {
    let subject = Subject::start(3)?;
    let load = Load::start(subject.rig.ports(), 200, 50);
    let (from, to) = (subject.rig.id("p1").await?, subject.rig.id("p2").await?);
    while load.confirmed() < 100 {
        tokio::task::yield_now().await;
    }
    let over = SystemVerb::MoveLeader {
        group: "shard-p1".into(),
        from: from.as_str().into(),
        to: Some(to.as_str().into()),
    };
    subject.applied(over.clone()).await?;
    let led = |report: &plimsoll_core::observation::SystemReport| {
        let groups = report.groups.value().map_or(&[][..], Vec::as_slice);
        groups.iter().any(|group| {
            *group.id == *"shard-p1"
                && group.leader.value().is_some_and(|leader| **leader == *to)
                && group
                    .placements
                    .value()
                    .is_some_and(|copies| copies.iter().all(|copy| copy.state == PlacementState::InSync))
        })
    };
    let after = subject.observe_until("p2 leads, and p1 follows", led).await?;
    assert_eq!(hosted(&after, "p1").map(|hosted| (hosted.copies, hosted.leaders)), Some((5_461, 0)));
    assert!(member(&after, "p1").is_some_and(|one| one.persistent.value() == Some(&true)));
    // It is done already.
    subject.applied(over).await?;
    let balance = load.finish().await?;
    assert!(balance.keys > 100 && balance.lost.is_empty(), "{:?}", balance.lost);
    Ok(())
}
