//! A real Redis Cluster on loopback, run by the commands of `examples/redis`, so that what tests rely on is what users are shown.

pub mod load;

use crate::daemon::{Daemon, gate};
use crate::document::{self, Document};
use crate::example::{self, Listing, MemberCommand};
use crate::process::{Ports, Process, is_running, signal};
use ::redis::aio::MultiplexedConnection;
use ::redis::{Client, Cmd, FromRedisValue};
use anyhow::Context as _;
use rustix::process::Signal;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Long enough for a replica to be filled on a busy machine; a wait ends as soon as it can.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The target's key in the daemon that a rig prepares.
pub const TARGET: &str = "default/redis";

/// A cluster with its folder, its ports and, on demand, a Prometheus. Everything ends with it.
#[derive(Debug)]
pub struct Rig {
    home: tempfile::TempDir,
    command: MemberCommand,
    /// Slots of the platform with their ports.
    slots: Vec<(String, u16)>,
    ports: Ports,
    prometheus: Option<Process>,
}

/// What the daemon is to do with a rig.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// The policy's module.
    pub module: &'static str,
    /// Its settings, as YAML in one line.
    pub settings: &'static str,
    /// The greatest number of members.
    pub most: u32,
}

impl Rig {
    /// Starts a cluster of so many masters with a replica each, in the first of `slots` slots (`p1`, `p2`, ...): each replica is in
    /// the slot after its master.
    ///
    /// # Errors
    /// When Redis or the commands are missing, or the nodes do not find each other.
    pub fn start(shards: usize, slots: usize) -> anyhow::Result<Self> {
        let rig = Self::prepare(slots)?;
        rig.command.run(&["bootstrap", &shards.to_string()], None)?;
        Ok(rig)
    }

    /// The folder, the inventory and the ports, with nothing started.
    ///
    /// # Errors
    /// When the folder cannot be written or no ports are left.
    pub fn prepare(slots: usize) -> anyhow::Result<Self> {
        let home = tempfile::Builder::new().prefix("plimsoll-redis-").tempdir()?;
        let command = MemberCommand::of("redis", home.path())?;
        let mut ports = Ports::reserve()?;
        let mut inventory = String::new();
        let mut places = Vec::new();
        for number in 1..=slots {
            let (port, bus, metrics) = (ports.take()?, ports.take()?, ports.take()?);
            let domain = ["a", "b", "c"].get((number - 1) % 3).copied().unwrap_or("a");
            inventory.push_str(&format!("p{number} loopback/{domain} {port} {bus} {metrics}\n"));
            places.push((format!("p{number}"), port));
        }
        std::fs::write(home.path().join("inventory"), inventory)?;
        Ok(Self { home, command, slots: places, ports, prometheus: None })
    }

    /// The folder with everything in it; it goes with the rig.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The ports of all slots, used or not.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        self.slots.iter().map(|(_, port)| *port).collect()
    }

    /// The port of a slot's node.
    ///
    /// # Errors
    /// When there is no such slot.
    pub fn port(&self, slot: &str) -> anyhow::Result<u16> {
        let found = self.slots.iter().find(|(name, _)| name == slot);
        found.map(|(_, port)| *port).with_context(|| format!("no slot {slot}"))
    }

    /// Asks the node of a slot.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub async fn ask<T: FromRedisValue>(&self, slot: &str, words: &[&str]) -> anyhow::Result<T> {
        let mut connection = connect(self.port(slot)?).await?;
        let command = command(words);
        let answer =
            tokio::time::timeout(Duration::from_secs(10), command.query_async(&mut connection)).await;
        answer.with_context(|| format!("{slot}: {words:?}"))?.with_context(|| format!("{slot}: {words:?}"))
    }

    /// The id of a slot's node.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn id(&self, slot: &str) -> anyhow::Result<String> {
        self.ask(slot, &["CLUSTER", "MYID"]).await
    }

    /// Writes so many keys of so many bytes into one slot.
    ///
    /// # Errors
    /// When the slot's owner does not take them.
    pub async fn fill(&self, slot: u16, keys: u32, bytes: usize) -> anyhow::Result<()> {
        let tag = (0_u32..).map(|number| format!("large{number}")).find(|tag| slot_of(tag) == slot);
        let (tag, value) = (tag.context("a tag")?, "x".repeat(bytes));
        let owner = self.owner(slot).await?.context("an owner")?;
        let mut connection = connect(owner).await?;
        for first in (0..keys).step_by(100) {
            let mut pipeline = ::redis::pipe();
            for number in first..keys.min(first + 100) {
                pipeline.add_command(command(&["SET", &format!("{{{tag}}}{number}"), &value])).ignore();
            }
            pipeline.query_async::<()>(&mut connection).await?;
        }
        Ok(())
    }

    /// The port of the node that owns a slot by its own view.
    async fn owner(&self, slot: u16) -> anyhow::Result<Option<u16>> {
        for (place, port) in &self.slots {
            let Ok(nodes) = self.ask::<String>(place, &["CLUSTER", "NODES"]).await else { continue };
            let own = nodes.lines().find(|line| line.contains("myself")).unwrap_or_default();
            if own.split(' ').skip(8).filter(|part| !part.starts_with('[')).any(|range| has(range, slot)) {
                return Ok(Some(*port));
            }
        }
        Ok(None)
    }

    /// How many keys a slot has at its owner.
    ///
    /// # Errors
    /// When the owner does not answer.
    pub async fn keys(&self, slot: u16) -> anyhow::Result<u64> {
        let owner = self.owner(slot).await?.context("an owner")?;
        let mut connection = connect(owner).await?;
        Ok(command(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).query_async(&mut connection).await?)
    }

    /// Whether some keys of a slot have moved, and some have not.
    ///
    /// # Errors
    /// When a node does not answer.
    pub async fn is_half_way(&self, slot: u16) -> anyhow::Result<bool> {
        let mut holders = 0;
        for (place, _) in &self.slots {
            let Ok(nodes) = self.ask::<String>(place, &["CLUSTER", "NODES"]).await else { continue };
            let own = nodes.lines().find(|line| line.contains("myself,master")).unwrap_or_default();
            if own.contains(&format!("[{slot}-")) {
                let keys: u64 = self.ask(place, &["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).await?;
                holders += u32::from(keys > 0);
            }
        }
        Ok(holders == 2)
    }

    /// What the `list` command says now.
    ///
    /// # Errors
    /// When the command fails.
    pub fn list(&self) -> anyhow::Result<Listing> {
        self.command.list()
    }

    /// Starts an empty node.
    ///
    /// # Errors
    /// When the command fails.
    pub fn add(&self, slot: &str) -> anyhow::Result<()> {
        self.command.run(&["add"], Some(&json!({ "slot": slot }))).map(drop)
    }

    /// Stops the node of a slot and sets its data aside.
    ///
    /// # Errors
    /// When the command fails.
    pub fn remove(&self, slot: &str, id: &str) -> anyhow::Result<()> {
        self.command.run(&["remove"], Some(&json!({ "slot": slot, "memberId": id }))).map(drop)
    }

    /// Stops a node and leaves its data where it is.
    ///
    /// # Errors
    /// When the command fails.
    pub fn stop(&self, slot: &str) -> anyhow::Result<()> {
        self.command.run(&["stop", slot], None).map(drop)
    }

    /// Starts a stopped node on the data that it has.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&self, slot: &str) -> anyhow::Result<()> {
        self.command.run(&["start", slot], None).map(drop)
    }

    /// A further port that nobody else takes.
    ///
    /// # Errors
    /// When none is left.
    pub fn take_port(&mut self) -> anyhow::Result<u16> {
        self.ports.take()
    }

    /// The process of a slot's node.
    ///
    /// # Errors
    /// When there is none.
    pub fn process(&self, slot: &str) -> anyhow::Result<u32> {
        let text = std::fs::read_to_string(self.home().join("slots").join(slot).join("pid"))?;
        Ok(text.trim().parse()?)
    }

    /// Starts the Prometheus of the example and waits until it answers.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn prometheus(&mut self) -> anyhow::Result<String> {
        let port = self.ports.take()?;
        let (process, url) = example::prometheus("redis", self.home(), port).await?;
        self.prometheus = Some(process);
        Ok(url)
    }

    /// A daemon for this cluster; nothing is started.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn daemon(&self, prometheus: &str, wishes: &Wishes) -> anyhow::Result<Daemon> {
        let home = self.home().join("plimsoll");
        std::fs::create_dir_all(&home)?;
        let gate = gate::put(&home)?;
        let daemon = Daemon::in_folder(&home, &self.daemon_file(prometheus, &gate), TARGET)?;
        daemon.write_target("redis", &document(wishes))?;
        Ok(daemon)
    }

    fn daemon_file(&self, prometheus: &str, gate: &Path) -> String {
        let commands = [("list", 20), ("add", 60), ("remove", 60)];
        format!(
            "apiVersion: plimsoll.dev/v1alpha1
kind: DaemonConfig
interval: 2s
http: {{enabled: false}}
sources:
  main: {{kind: prometheus, url: \"{prometheus}\", deadline: 2s}}
platforms:
  local:
{}systems:
  local: {{kind: redis, deadline: 5s, replicas: 1, throttle: 8Mi}}
",
            self.command.platform(Some(gate), &commands)
        )
    }

    /// Ends a process of a slot at once.
    fn end(&self, slot: &str, file: &str) -> anyhow::Result<()> {
        let number =
            std::fs::read_to_string(self.home().join("slots").join(slot).join(file))?.trim().parse()?;
        signal(number, Signal::KILL)?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while is_running(number) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // Nodes are detached from whoever started them; each is ended by its own id.
        for (slot, _) in self.slots.clone() {
            for file in ["metrics.pid", "pid"] {
                let _ = self.end(&slot, file);
            }
        }
    }
}

/// A connection to a node on loopback.
///
/// # Errors
/// When it does not answer in time.
pub async fn connect(port: u16) -> anyhow::Result<MultiplexedConnection> {
    let client = Client::open(format!("redis://127.0.0.1:{port}/?protocol=resp3"))?;
    let connection = client.get_multiplexed_async_connection();
    Ok(tokio::time::timeout(Duration::from_secs(5), connection).await??)
}

/// A command of these words.
#[must_use]
pub fn command(words: &[&str]) -> Cmd {
    let mut command = Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command
}

/// How many slots each master owns, by the view of the node on a port.
///
/// # Errors
/// When it does not answer.
pub async fn slots_by_view(port: u16) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut connection = connect(port).await?;
    let text: String = command(&["CLUSTER", "NODES"]).query_async(&mut connection).await?;
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let parts: Vec<&str> = line.split(' ').collect();
        let (Some(id), Some(flags)) = (parts.first(), parts.get(2)) else { continue };
        if flags.contains("master") {
            let ranges = parts.iter().skip(8).filter(|part| !part.starts_with('['));
            found.insert((*id).to_owned(), ranges.map(|range| width(range)).sum());
        }
    }
    Ok(found)
}

/// The slot of a key without braces: CRC16 as XMODEM has it.
fn slot_of(key: &str) -> u16 {
    let step = |crc: u16, _: u8| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
    key.bytes().fold(0, |crc, byte| (0..8).fold(crc ^ (u16::from(byte) << 8), step)) % 16_384
}

fn has(range: &str, slot: u16) -> bool {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<u16>().ok();
    number(first).is_some_and(|first| first <= slot) && number(last).is_some_and(|last| slot <= last)
}

fn width(range: &str) -> usize {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<usize>().unwrap_or(0);
    number(last) - number(first) + 1
}

fn document(wishes: &Wishes) -> String {
    let document = Document {
        named: "name: redis",
        target: "apiVersion: plimsoll.dev/v1alpha1, kind: Exec, name: local",
        system: "kind: redis, ref: local",
        bounds: (6, wishes.most),
        mode: "enforce",
    };
    let query = "sum(rate(redis_commands_total{cmd=\"get\"}[8s]))";
    let policy = document::following("reads", query, wishes.module, wishes.settings);
    document.with(&(policy + &document::hasty(["scaleIn: true"])))
}
