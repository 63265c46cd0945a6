//! The watcher and the load's memory convict: on real members, by somebody who does what must not be done.

use plimsoll_tests::etcd::{PATIENCE, Rig, connect};
use plimsoll_tests::load::Load;
use plimsoll_tests::process::wait_until;
use plimsoll_tests::watch::Watch;

#[tokio::test]
async fn convicts_who_removes_the_leader_and_who_adds_a_voter_at_once() -> anyhow::Result<()> {
    let rig = Rig::start(3, 4).await?;
    let watch = Watch::start(&rig).await?;
    let client = connect(&[rig.endpoint("e1")?]).await?;
    let leader = client.maintenance_client().status().await?.leader();
    wait_until("the leader is removed", PATIENCE, async || {
        // Asked at all of them: the one that is removed does not answer any more.
        for slot in ["e1", "e2", "e3"] {
            let client = connect(&[rig.endpoint(slot)?]).await?;
            if client.cluster_client().member_remove(leader).await.is_ok() {
                return Ok(());
            }
        }
        anyhow::bail!("nobody removes it")
    })
    .await?;
    // Two voters are left, at least one of which is e1 or e2.
    let peer = rig.list()?.vacant.first().and_then(|entry| entry.endpoints.get("peer").cloned());
    let peer = peer.expect("e4 is vacant");
    let added = wait_until("a voter is added at once", PATIENCE, async || {
        for slot in ["e1", "e2", "e3"] {
            let client = connect(&[rig.endpoint(slot)?]).await?;
            if let Ok(added) = client.cluster_client().member_add([peer.clone()], None).await {
                return Ok(added.member().map_or(0, etcd_client::Member::id));
            }
        }
        anyhow::bail!("nobody adds it")
    })
    .await?;
    let findings = watch.finish(&rig).await?;
    let convicted = |what: &str| findings.violations.iter().any(|violation| violation == what);
    assert!(convicted(&format!("{leader:x} was removed while it was the leader")), "{findings:#?}");
    assert!(convicted(&format!("{added:x} got a vote without having been a learner")), "{findings:#?}");
    Ok(())
}

#[tokio::test]
async fn misses_an_acknowledged_write_that_is_gone_or_changed() -> anyhow::Result<()> {
    let rig = Rig::start(1, 1).await?;
    let load = Load::start(&rig.endpoints(), "test", 200);
    wait_until("twenty writes", PATIENCE, async || {
        anyhow::ensure!(load.acknowledged() >= 20);
        Ok(())
    })
    .await?;
    let acknowledged = load.finish().await;
    assert_eq!(acknowledged.lost(&rig.endpoints()).await?, Vec::<String>::new());
    let client = connect(&rig.endpoints()).await?;
    client.kv_client().delete("test/000000003", None).await?;
    client.kv_client().put("test/000000005", "something else", None).await?;
    assert_eq!(acknowledged.lost(&rig.endpoints()).await?, ["test/000000003", "test/000000005"]);
    Ok(())
}
