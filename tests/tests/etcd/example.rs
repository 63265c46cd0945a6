//! The commands of `examples/etcd` may be ended anywhere and repeated.

use plimsoll_tests::etcd::{PATIENCE, Rig};
use plimsoll_tests::example::example;
use plimsoll_tests::process::wait_until;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Runs a command and ends it with everything in its process group, as the guard of the `exec` platform does
/// at a deadline.
fn interrupted(rig: &Rig, arguments: &[&str], request: &str, after: Duration) -> anyhow::Result<()> {
    let path = rig.home().join("request");
    std::fs::write(&path, request)?;
    let mut child = Command::new(example("etcd/member"))
        .args(arguments)
        .env("ETCD_EXAMPLE_HOME", rig.home())
        .stdin(std::fs::File::open(path)?)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    // Not a proof of anything: it only chooses where the command is ended.
    std::thread::sleep(after);
    let group = rustix::process::Pid::from_child(&child);
    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    child.wait()?;
    Ok(())
}

/// How many processes use the slot's data.
fn processes(rig: &Rig, slot: &str) -> anyhow::Result<usize> {
    let wanted = format!("--name\0{slot}\0--data-dir\0slots/{slot}/data");
    let mut count = 0;
    for entry in std::fs::read_dir("/proc")? {
        let folder = entry?.path();
        let here = std::fs::read_link(folder.join("cwd")).is_ok_and(|cwd| cwd == rig.home());
        let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
        count += usize::from(here && String::from_utf8_lossy(&line).contains(&wanted));
    }
    Ok(count)
}

#[tokio::test]
async fn a_member_is_started_once_and_stopped_once_wherever_a_command_was_ended() -> anyhow::Result<()> {
    let rig = Rig::start(1, 3).await?;
    let cluster = rig.list()?.members.into_iter().next().expect("one member");
    for step in 0_u64..8 {
        let after = Duration::from_millis(step * step * 4);
        // e2 is registered with nobody, so that it runs and waits; here only its process matters.
        let vacant = rig.list()?.vacant.into_iter().next().expect("e2 is vacant");
        assert_eq!((vacant.slot.as_str(), vacant.volume), ("e2", None));
        let join = serde_json::json!({
            "initialCluster": format!("e2={}", vacant.endpoints["peer"]),
            "initialClusterState": "existing",
            "name": "e2",
        });
        let request = serde_json::json!({ "slot": "e2", "join": join }).to_string();
        interrupted(&rig, &["add"], &request, after)?;
        assert!(processes(&rig, "e2")? <= 1);
        // Its own cluster does not exist, so that it ends by itself and the command says so.
        let error = rig.add("e2", &join).expect_err("nobody is there to join");
        assert!(error.to_string().contains("the member of slot e2 did not start"), "{error}");
        wait_until("e2 has ended", PATIENCE, async || {
            anyhow::ensure!(processes(&rig, "e2")? == 0);
            Ok(())
        })
        .await?;
        let listing = rig.list()?;
        let e2 = listing.members.iter().find(|entry| entry.slot == "e2").expect("it has a folder for data");
        assert!(!e2.running);

        let request = serde_json::json!({ "slot": "e2", "memberId": "abc" }).to_string();
        interrupted(&rig, &["remove"], &request, after)?;
        rig.remove("e2", "abc")?;
        rig.remove("e2", "abc")?;
        let aside = rig.home().join("set-aside/e2-abc");
        assert!(aside.is_dir());
    }
    // Nobody touched the one that serves.
    let now = rig.list()?.members;
    assert_eq!(now.len(), 1);
    assert_eq!(now.first().map(|entry| &entry.incarnation), Some(&cluster.incarnation));
    Ok(())
}

#[tokio::test]
async fn refuses_to_stop_another_member_than_the_one_that_is_meant() -> anyhow::Result<()> {
    let rig = Rig::start(1, 1).await?;
    let member = rig.list()?.members.into_iter().next().expect("one member");
    let id = member.volume.expect("the log tells it").member_id;
    let error = rig.remove("e1", "abc").expect_err("another member is there");
    assert_eq!(error.to_string(), format!("member remove: member: slot e1 holds member {id}, not abc"));
    let error = rig.remove("e1", "../../x").expect_err("no member id");
    assert_eq!(error.to_string(), "member remove: member: '../../x' is not an etcd member id");
    assert_eq!(processes(&rig, "e1")?, 1);
    Ok(())
}

#[tokio::test]
async fn refuses_to_found_a_second_cluster() -> anyhow::Result<()> {
    let rig = Rig::prepare(1)?;
    let join = serde_json::json!({
        "initialCluster": "e1=http://127.0.0.1:1", "initialClusterState": "new", "name": "e1",
    });
    let error = rig.add("e1", &join).expect_err("a new cluster");
    assert_eq!(
        error.to_string(),
        "member add: member: a member joins an existing cluster, not one that is 'new'"
    );
    Ok(())
}

#[tokio::test]
async fn prometheus_scrapes_every_slot_in_use() -> anyhow::Result<()> {
    let mut rig = Rig::start(1, 2).await?;
    let url = rig.prometheus().await?;
    wait_until("the member is scraped", PATIENCE, async || {
        let page = plimsoll_tests::etcd::http_get(&format!("{url}/api/v1/query?query=up")).await?;
        let answer: serde_json::Value = serde_json::from_str(&page)?;
        let result = answer.pointer("/data/result/0").cloned().unwrap_or_default();
        anyhow::ensure!(result.pointer("/metric/slot") == Some(&"e1".into()), "{answer}");
        anyhow::ensure!(result.pointer("/value/1") == Some(&"1".into()), "{answer}");
        Ok(())
    })
    .await?;
    rig.stop_prometheus()
}
