//! A real etcd cluster on loopback, run by the commands of `examples/etcd`, so that what tests rely on is
//! what users are shown.

use crate::example::{self, Listing, MemberCommand};
use crate::process::{Ports, Process, is_running, signal, wait_until};
use anyhow::Context as _;
use etcd_client::{Client, ConnectOptions};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Long enough for three members to start on a busy machine; a wait ends as soon as it can.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster with its folder, its ports and, on demand, a Prometheus. Everything ends with it.
#[derive(Debug)]
pub struct Rig {
    home: tempfile::TempDir,
    command: MemberCommand,
    slots: Vec<Place>,
    ports: Ports,
    prometheus: Option<(Process, String)>,
    /// Where Prometheus comes back after it was stopped.
    prometheus_port: Option<u16>,
}

/// A place where a member can run.
#[derive(Clone, Debug)]
struct Place {
    slot: String,
    domain: String,
    client: u16,
    peer: u16,
}

impl Rig {
    /// Starts a cluster of `members` in the first of `slots` slots (`e1`, `e2`, ...) and waits until all of
    /// them serve.
    ///
    /// # Errors
    /// When etcd or the commands are missing, or the members do not come up.
    pub async fn start(members: usize, slots: usize) -> anyhow::Result<Self> {
        let rig = Self::prepare(slots)?;
        rig.command.run(&["bootstrap", &members.to_string()], None)?;
        for slot in rig.slots.iter().take(members) {
            rig.serves(&slot.slot).await?;
        }
        Ok(rig)
    }

    /// The folder, the inventory and the ports, with nothing started.
    ///
    /// # Errors
    /// When the folder cannot be written or no ports are left.
    pub fn prepare(slots: usize) -> anyhow::Result<Self> {
        let home = tempfile::Builder::new().prefix("plimsoll-etcd-").tempdir()?;
        let command = MemberCommand::of("etcd", home.path())?;
        let mut ports = Ports::reserve()?;
        let slots = (1..=slots)
            .map(|number| {
                let domain = ["a", "b", "c"].get((number - 1) % 3).copied().unwrap_or("a");
                Ok(Place {
                    slot: format!("e{number}"),
                    domain: format!("loopback/{domain}"),
                    client: ports.take()?,
                    peer: ports.take()?,
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let inventory: String = slots
            .iter()
            .map(|place| format!("{} {} {} {}\n", place.slot, place.domain, place.client, place.peer))
            .collect();
        std::fs::write(home.path().join("inventory"), inventory)?;
        Ok(Self { home, command, slots, ports, prometheus: None, prometheus_port: None })
    }

    /// The folder with everything in it; it goes with the rig.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A free port for something else of the test.
    ///
    /// # Errors
    /// When the rig's ports are used up.
    pub fn port(&mut self) -> anyhow::Result<u16> {
        self.ports.take()
    }

    /// The command by which all this is done.
    #[must_use]
    pub fn command(&self) -> &MemberCommand {
        &self.command
    }

    /// The addresses for clients of all slots, used or not.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.slots.iter().map(|place| format!("http://127.0.0.1:{}", place.client)).collect()
    }

    /// The address for clients of one slot.
    ///
    /// # Errors
    /// When there is no such slot.
    pub fn endpoint(&self, slot: &str) -> anyhow::Result<String> {
        Ok(format!("http://127.0.0.1:{}", self.place(slot)?.client))
    }

    fn place(&self, slot: &str) -> anyhow::Result<&Place> {
        self.slots.iter().find(|place| place.slot == slot).with_context(|| format!("no slot {slot}"))
    }

    /// What the `list` command says now.
    ///
    /// # Errors
    /// When the command fails.
    pub fn list(&self) -> anyhow::Result<Listing> {
        self.command.list()
    }

    /// Starts the member of a slot with what the driver tells it needs to join.
    ///
    /// # Errors
    /// When the command fails.
    pub fn add(&self, slot: &str, join: &serde_json::Value) -> anyhow::Result<()> {
        let request = serde_json::json!({ "slot": slot, "join": join });
        self.command.run(&["add"], Some(&request)).map(drop)
    }

    /// Stops the member of a slot and sets its data aside.
    ///
    /// # Errors
    /// When the command fails.
    pub fn remove(&self, slot: &str, member: &str) -> anyhow::Result<()> {
        let request = serde_json::json!({ "slot": slot, "memberId": member });
        self.command.run(&["remove"], Some(&request)).map(drop)
    }

    /// Ends the member of a slot at once, as a crash would.
    ///
    /// # Errors
    /// When no member runs in the slot, or it does not end.
    pub fn kill(&self, slot: &str) -> anyhow::Result<()> {
        let number = self.signal(slot, Signal::KILL)?;
        let deadline = Instant::now() + PATIENCE;
        while is_running(number) {
            anyhow::ensure!(Instant::now() < deadline, "the member of slot {slot} does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Stops the process of a slot's member where it is: it takes connections, and answers nothing.
    ///
    /// # Errors
    /// When no member runs in the slot.
    pub fn freeze(&self, slot: &str) -> anyhow::Result<()> {
        self.signal(slot, Signal::STOP).map(drop)
    }

    /// Sends the member of a slot a signal, and tells its process id.
    fn signal(&self, slot: &str, sent: Signal) -> anyhow::Result<u32> {
        anyhow::ensure!(
            self.list()?.members.iter().any(|entry| entry.slot == slot && entry.running),
            "no member runs in slot {slot}"
        );
        let number: u32 = std::fs::read_to_string(self.slot_folder(slot).join("pid"))?.trim().parse()?;
        signal(number, sent)?;
        Ok(number)
    }

    /// Starts a stopped member on the data that it has.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&self, slot: &str) -> anyhow::Result<()> {
        self.command.run(&["start", slot], None).map(drop)
    }

    /// Waits until the member of a slot answers a linearizable read.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn serves(&self, slot: &str) -> anyhow::Result<()> {
        let endpoint = self.endpoint(slot)?;
        let served = wait_until(&format!("{slot} serves"), PATIENCE, async || {
            let client = connect(std::slice::from_ref(&endpoint)).await?;
            let mut kv = client.kv_client();
            let read = kv.get("plimsoll-tests/ping", None);
            tokio::time::timeout(Duration::from_secs(2), read).await??;
            Ok(())
        })
        .await;
        served.with_context(|| self.log_tail(slot))
    }

    /// How many voters and how many learners the cluster has, by a linearizable read.
    ///
    /// # Errors
    /// When no member answers.
    pub async fn size(&self) -> anyhow::Result<(usize, usize)> {
        let mut why = anyhow::anyhow!("no slots");
        for place in &self.slots {
            let ask = async {
                let client = connect(&[self.endpoint(&place.slot)?]).await?;
                // The list comes out of the member's memory; the read makes that catch up.
                client.kv_client().get("plimsoll-tests/ping", None).await?;
                anyhow::Ok(client.cluster_client().member_list().await?)
            };
            match tokio::time::timeout(Duration::from_secs(2), ask).await {
                Ok(Ok(list)) => {
                    let learners = list.members().iter().filter(|member| member.is_learner()).count();
                    return Ok((list.members().len() - learners, learners));
                }
                Ok(Err(error)) => why = error,
                Err(late) => why = late.into(),
            }
        }
        Err(why.context("no member tells the cluster's size"))
    }

    /// The logs of all members that ever ran, with the names of their folders.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub fn logs(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut logs = Vec::new();
        for folder in ["slots", "set-aside"] {
            let Ok(entries) = std::fs::read_dir(self.home().join(folder)) else { continue };
            for entry in entries {
                let entry = entry?;
                if let Ok(text) = std::fs::read(entry.path().join("log")) {
                    let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                    logs.push((name, String::from_utf8_lossy(&text).into_owned()));
                }
            }
        }
        logs.sort();
        Ok(logs)
    }

    /// A real Prometheus that scrapes every slot in use each second; started when it does not run. Its
    /// address, which stays the same.
    ///
    /// # Errors
    /// When Prometheus is missing or does not come up.
    pub async fn prometheus(&mut self) -> anyhow::Result<String> {
        if let Some((_, url)) = &self.prometheus {
            return Ok(url.clone());
        }
        let port = match self.prometheus_port {
            Some(port) => port,
            None => self.ports.take()?,
        };
        self.prometheus_port = Some(port);
        let (process, url) = example::prometheus("etcd", self.home(), port).await?;
        self.prometheus = Some((process, url.clone()));
        Ok(url)
    }

    /// Ends Prometheus at once.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub fn stop_prometheus(&mut self) -> anyhow::Result<()> {
        match self.prometheus.take() {
            Some((mut process, _)) => process.kill(),
            None => Ok(()),
        }
    }

    fn slot_folder(&self, slot: &str) -> PathBuf {
        self.home().join("slots").join(slot)
    }

    fn log_tail(&self, slot: &str) -> String {
        let text = std::fs::read_to_string(self.slot_folder(slot).join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(10).collect();
        format!("the log of {slot} ends with:\n{}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // Members are detached from whoever started them; each is ended by its own id.
        for place in self.slots.clone() {
            if self.slot_folder(&place.slot).is_dir() {
                let _ = self.kill(&place.slot);
            }
        }
    }
}

/// A client for some endpoints with short deadlines.
///
/// # Errors
/// When an endpoint is no address.
pub async fn connect(endpoints: &[String]) -> anyhow::Result<Client> {
    let options = ConnectOptions::new()
        .with_connect_timeout(Duration::from_secs(1))
        .with_timeout(Duration::from_secs(5));
    Ok(Client::connect(endpoints, Some(options)).await?)
}

/// The body of a page on loopback, when it answers with success.
///
/// # Errors
/// When it does not.
pub async fn http_get(url: &str) -> anyhow::Result<String> {
    let rest = url.strip_prefix("http://").context("only http")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(host).await?;
        stream.write_all(format!("GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(2), exchange).await??;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split(' ').nth(1).unwrap_or("");
    anyhow::ensure!(status.starts_with('2'), "{url} answers {status}");
    Ok(body.to_owned())
}
