//! The commands of `examples/postgres`.

use plimsoll_tests::etcd::http_get;
use plimsoll_tests::postgres::{PATIENCE, Rig};
use plimsoll_tests::process::wait_until;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn commands_may_be_repeated_and_refuse_what_would_lose_data() -> anyhow::Result<()> {
    let mut rig = Rig::start(2, 3).await?;
    let system = rig.ask("p1", "SELECT system_identifier FROM pg_control_system()").await?;
    let listing = rig.list()?;
    assert_eq!(listing.members.iter().map(|entry| entry.slot.as_str()).collect::<Vec<_>>(), ["p1", "p2"]);
    for entry in &listing.members {
        let volume = entry.volume.as_ref().expect("it has data");
        assert_eq!((&volume.fingerprint, &volume.member_id), (&system, &entry.slot));
    }
    assert_eq!(
        listing.vacant.first().map(|entry| (entry.slot.as_str(), entry.volume.is_none())),
        Some(("p3", true))
    );

    rig.order("p1", &["SELECT pg_create_physical_replication_slot('p3')"]).await?;
    let join = json!({ "name": "p3", "slotName": "p3", "primary": { "host": "127.0.0.1", "port": rig.port("p1")? } });
    rig.add("p3", &join)?;
    rig.add("p3", &join)?;
    let mut wrong = join.clone();
    wrong["name"] = json!("p2");
    let error = rig.add("p3", &wrong).expect_err("another's name");
    assert!(error.to_string().contains("cannot have the name 'p2'"), "{error}");

    let error = rig.remove("p1").expect_err("it takes writes");
    assert_eq!(
        error.to_string(),
        "member remove: member: the member of slot p1 is the primary and takes writes"
    );
    rig.remove("p3")?;
    rig.remove("p3")?;
    assert!(rig.home().join("set-aside/p3/data").is_dir());
    assert_eq!(rig.list()?.members.len(), 2);

    let url = rig.prometheus().await?;
    wait_until("both members are scraped", PATIENCE, async || {
        let page = http_get(&format!("{url}/api/v1/query?query=sum(pg_up)")).await?;
        let answer: serde_json::Value = serde_json::from_str(&page)?;
        anyhow::ensure!(answer.pointer("/data/result/0/value/1") == Some(&"2".into()), "{answer}");
        Ok(())
    })
    .await
}
