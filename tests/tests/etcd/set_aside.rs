//! `plimsoll set-aside` on the data of a real etcd: what is renamed, and what passes untouched.

use anyhow::Context as _;
use plimsoll_tests::etcd::{PATIENCE, connect};
use plimsoll_tests::process::{Ports, Process, wait_until};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

/// A pod's volume, its tombstones and its termination message, with an etcd of one that may run on it.
struct Pod {
    home: tempfile::TempDir,
    client: u16,
    peer: u16,
    /// Nobody else's as long as this is here.
    _ports: Ports,
}

impl Pod {
    fn new() -> anyhow::Result<Self> {
        let mut ports = Ports::reserve()?;
        let (client, peer) = (ports.take()?, ports.take()?);
        let pod = Self { home: tempfile::tempdir()?, client, peer, _ports: ports };
        std::fs::create_dir(pod.path("tombstones"))?;
        Ok(pod)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs the etcd for so long as it takes to write a key, or to read it.
    async fn etcd(&self, key: &str) -> anyhow::Result<String> {
        let (client, peer) =
            (format!("http://127.0.0.1:{}", self.client), format!("http://127.0.0.1:{}", self.peer));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(self.path("data")).args(["--name", "one"]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("one={peer}"), "--initial-cluster-token", "again"]);
        let mut process = Process::start(&mut command, &self.path("etcd.log"))?;
        let ids = wait_until("the etcd serves", PATIENCE, async || {
            let client = connect(std::slice::from_ref(&client)).await?;
            let mut found = client.kv_client().get(key, None).await?.take_kvs();
            if let Some(found) = found.pop() {
                anyhow::ensure!(found.value() == b"kept");
            } else {
                client.kv_client().put(key, "kept", None).await?;
            }
            let status = client.maintenance_client().status().await?;
            let header = status.header().ok_or_else(|| anyhow::anyhow!("no header"))?;
            Ok(format!("{:x}.{:x}", header.cluster_id(), header.member_id()))
        });
        let ids = ids.await.with_context(|| process.tail())?;
        process.kill()?;
        Ok(ids)
    }

    /// What the init container says, in words and in its termination message.
    fn init(&self) -> anyhow::Result<(String, Value)> {
        let mut command = Command::new(plimsoll_tests::binary());
        command.args(["set-aside", "--system", "etcd", "--data-dir"]).arg(self.path("data"));
        command.arg("--tombstones").arg(self.path("tombstones")).arg("--message").arg(self.path("message"));
        // It needs nothing of its surroundings.
        let output = command.env_clear().output()?;
        let said = String::from_utf8(output.stderr)?;
        anyhow::ensure!(output.status.success(), "{said}");
        Ok((said, serde_json::from_slice(&std::fs::read(self.path("message"))?)?))
    }

    fn bury(&self, ids: &str, data: &Value) -> anyhow::Result<()> {
        let stone = json!({ "pod": "etcd-3", "claims": ["a-claim"], "data": [data] });
        Ok(std::fs::write(self.path("tombstones").join(ids), stone.to_string())?)
    }

    fn holds(&self, name: &str) -> bool {
        self.path("data").join(name).is_dir()
    }
}

#[tokio::test]
async fn the_data_of_a_removed_member_is_set_aside_and_nobody_elses() -> anyhow::Result<()> {
    let pod = Pod::new()?;
    let (said, blank) = pod.init()?;
    assert!(said.contains("no data yet"), "{said}");
    assert_eq!(blank["member"], Value::Null);
    let ids = pod.etcd("first").await?;
    // A restart, with another member's tombstone beside it.
    pod.bury("1.2", &blank["data"])?;
    let (said, message) = pod.init()?;
    assert!(said.contains("which was not removed"), "{said}");
    assert_eq!(message, json!({ "data": blank["data"], "member": ids }));
    pod.etcd("first").await?;
    // Removed: its tombstone names this data.
    pod.bury(&ids, &message["data"])?;
    let (said, message) = pod.init()?;
    let aside = format!("member.removed-{ids}");
    assert!(said.contains(&format!("set aside in {aside}")), "{said}");
    assert_eq!(message["setAside"], aside.as_str());
    assert_ne!(message["data"], blank["data"], "what comes is other data");
    assert!(pod.holds(&aside) && !pod.holds("member"));
    // Founded anew with the same name, address and token: the same ids, and nobody's to be set aside.
    assert_eq!(pod.etcd("second").await?, ids);
    let (said, again) = pod.init()?;
    assert!(said.contains("names other data: it stays as it is"), "{said}");
    assert_eq!(again, json!({ "data": message["data"], "member": ids }));
    assert_eq!(pod.etcd("second").await?, ids);
    // And once that one was removed as well, both are kept.
    pod.bury(&ids, &again["data"])?;
    assert_eq!(pod.init()?.1["setAside"], format!("{aside}-2").as_str());
    assert!(pod.holds(&aside) && pod.holds(&format!("{aside}-2")) && !pod.holds("member"));
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_read_stays_as_it_is() -> anyhow::Result<()> {
    let pod = Pod::new()?;
    let name = pod.init()?.1["data"].clone();
    let ids = pod.etcd("first").await?;
    pod.bury(&ids, &name)?;
    let log = pod.path("data/member/wal");
    for entry in std::fs::read_dir(&log)? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "wal") {
            let file = std::fs::OpenOptions::new().write(true).open(path)?;
            file.set_len(4)?;
        }
    }
    let (said, message) = pod.init()?;
    assert!(said.contains("whose data it is cannot be told"), "{said}");
    assert_eq!(message, json!({ "data": name }));
    assert!(pod.holds("member"));
    Ok(())
}

#[test]
fn without_tombstones_and_without_anybody_to_tell_it_passes() -> anyhow::Result<()> {
    let pod = Pod::new()?;
    std::fs::remove_dir(pod.path("tombstones"))?;
    std::fs::create_dir(pod.path("message"))?;
    let mut command = Command::new(plimsoll_tests::binary());
    command.args(["set-aside", "--system=etcd", "--data-dir"]).arg(pod.path("data"));
    command.arg("--tombstones").arg(pod.path("tombstones")).arg("--message").arg(pod.path("message"));
    let output = command.output()?;
    let said = String::from_utf8(output.stderr)?;
    assert!(output.status.success() && said.contains("Is a directory"), "{said}");
    Ok(())
}
