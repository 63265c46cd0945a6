//! The commands of `examples/redis`.

use plimsoll_tests::redis::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn commands_may_be_repeated_and_refuse_what_would_lose_data() -> anyhow::Result<()> {
    let rig = Rig::start(3, 7)?;
    let listing = rig.list()?;
    assert_eq!(
        listing.members.iter().map(|entry| (entry.slot.as_str(), entry.running)).collect::<Vec<_>>(),
        ["p1", "p2", "p3", "p4", "p5", "p6"].map(|slot| (slot, true))
    );
    assert_eq!(listing.vacant.iter().map(|entry| entry.slot.as_str()).collect::<Vec<_>>(), ["p7"]);
    rig.add("p7")?;
    rig.add("p7")?;
    assert_eq!(rig.ask::<u64>("p7", &["DBSIZE"]).await?, 0);
    let error = rig.remove("p1", &rig.id("p1").await?).expect_err("it owns slots");
    assert!(error.to_string().contains("the node of slot p1 owns slots of the cluster"), "{error}");
    let error = rig.remove("p7", "another").expect_err("another's id");
    assert!(error.to_string().contains("not another"), "{error}");
    let id = rig.id("p7").await?;
    rig.remove("p7", &id)?;
    rig.remove("p7", &id)?;
    assert!(rig.home().join("set-aside/p7/data").is_dir());
    assert_eq!(rig.list()?.members.len(), 6);
    rig.stop("p2")?;
    assert_eq!(rig.list()?.members.iter().filter(|entry| entry.running).count(), 5);
    rig.restart("p2")?;
    assert_eq!(rig.ask::<String>("p2", &["PING"]).await?, "PONG");
    Ok(())
}
