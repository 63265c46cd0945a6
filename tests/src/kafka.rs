//! A real Kafka cluster on loopback, run by the commands of `examples/kafka`, so that what tests rely on is what users are
//! shown.

pub mod client;
pub mod load;

use crate::daemon::{Daemon, gate};
use crate::document::{self, Document};
use crate::example::{Listing, MemberCommand};
use crate::process::{Ports, is_running, signal};
use anyhow::Context as _;
use client::Client;
use rustix::process::Signal;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// Long enough for a broker to start on a busy machine; a wait ends as soon as it can.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The target's key in the daemon that a rig prepares.
pub const TARGET: &str = "default/kafka";

/// A cluster with its folder and its ports. Everything ends with it.
#[derive(Debug)]
pub struct Rig {
    home: tempfile::TempDir,
    command: MemberCommand,
    /// Slots with their ports.
    slots: Vec<(String, u16)>,
    /// Its lock is what keeps other tests off the ports.
    _ports: Ports,
}

impl Rig {
    /// Starts a controller and brokers in the first of `slots` slots (`k1`, `k2`, ...), in three racks. The id of a broker is
    /// the number of its slot.
    ///
    /// # Errors
    /// When Kafka or the commands are missing, or the brokers do not come up.
    pub fn start(brokers: usize, slots: usize) -> anyhow::Result<Self> {
        Self::start_with(brokers, slots, "")
    }

    /// The same, with further settings of brokers.
    ///
    /// # Errors
    /// When Kafka or the commands are missing, or the brokers do not come up.
    pub fn start_with(brokers: usize, slots: usize, settings: &str) -> anyhow::Result<Self> {
        let home = tempfile::Builder::new().prefix("plimsoll-kafka-").tempdir()?;
        let command = MemberCommand::of("kafka", home.path())?;
        let mut ports = Ports::reserve()?;
        let mut inventory = format!("controller - {} 100\n", ports.take()?);
        let mut places = Vec::new();
        for number in 1..=slots {
            let port = ports.take()?;
            let domain = ["a", "b", "c"].get((number - 1) % 3).copied().unwrap_or("a");
            inventory.push_str(&format!("k{number} loopback/{domain} {port} {number}\n"));
            places.push((format!("k{number}"), port));
        }
        std::fs::write(home.path().join("inventory"), inventory)?;
        std::fs::write(home.path().join("settings"), settings)?;
        let rig = Self { home, command, slots: places, _ports: ports };
        rig.command.run(&["bootstrap", &brokers.to_string()], None)?;
        Ok(rig)
    }

    /// The folder with everything in it; it goes with the rig.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The slots with the ports of their brokers, used or not.
    #[must_use]
    pub fn slots(&self) -> &[(String, u16)] {
        &self.slots
    }

    /// The address of a slot's broker.
    ///
    /// # Errors
    /// When there is no such slot.
    pub fn address(&self, slot: &str) -> anyhow::Result<String> {
        let found = self.slots.iter().find(|(name, _)| name == slot);
        found.map(|(_, port)| format!("127.0.0.1:{port}")).with_context(|| format!("no slot {slot}"))
    }

    /// A connection to a slot's broker.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn client(&self, slot: &str) -> anyhow::Result<Client> {
        Client::connect(&self.address(slot)?).await
    }

    /// What the `list` command says now.
    ///
    /// # Errors
    /// When the command fails.
    pub fn list(&self) -> anyhow::Result<Listing> {
        self.command.list()
    }

    /// Starts a new broker in a slot.
    ///
    /// # Errors
    /// When the command fails.
    pub fn add(&self, slot: &str) -> anyhow::Result<()> {
        self.command.run(&["add"], Some(&json!({ "slot": slot }))).map(drop)
    }

    /// Stops the broker of a slot and sets its data aside.
    ///
    /// # Errors
    /// When the command fails.
    pub fn remove(&self, slot: &str) -> anyhow::Result<()> {
        let id = slot.trim_start_matches('k');
        self.command.run(&["remove"], Some(&json!({ "slot": slot, "memberId": id }))).map(drop)
    }

    /// Stops a broker cleanly and leaves its data where it is.
    ///
    /// # Errors
    /// When the command fails.
    pub fn stop(&self, slot: &str) -> anyhow::Result<()> {
        self.command.run(&["stop", slot], None).map(drop)
    }

    /// Starts a stopped broker on the data that it has.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&self, slot: &str) -> anyhow::Result<()> {
        self.command.run(&["start", slot], None).map(drop)
    }

    /// A daemon for this cluster, between three and four brokers, that follows what a producer counts; nothing is started.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn daemon(&self, prometheus: &str) -> anyhow::Result<Daemon> {
        let home = self.home().join("plimsoll");
        std::fs::create_dir_all(&home)?;
        let platform =
            self.command.platform(Some(&gate::put(&home)?), &[("list", 30), ("add", 180), ("remove", 90)]);
        let file = format!(
            "apiVersion: plimsoll.dev/v1alpha1
kind: DaemonConfig
interval: 2s
http: {{enabled: false}}
sources:
  main: {{kind: prometheus, url: \"{prometheus}\", deadline: 2s}}
platforms:
  local:
{platform}systems:
  local: {{kind: kafka, deadline: 10s, throttle: 2Mi}}
"
        );
        let daemon = Daemon::in_folder(&home, &file, TARGET)?;
        let document = Document {
            named: "name: kafka",
            target: "apiVersion: plimsoll.dev/v1alpha1, kind: Exec, name: local",
            system: "kind: kafka, ref: local",
            bounds: (3, 4),
            mode: "enforce",
        };
        let settings = "{signal: records, target: 60, type: AverageValue, window: 8s}";
        let policy =
            document::following("records", "rate(records_total[8s])", "target-utilization", settings);
        // The disk is the test machine's, and full of other things.
        let safety = document::hasty(["headroom: 5%"]);
        daemon.write_target("kafka", &document.with(&(policy + &safety)))?;
        Ok(daemon)
    }

    /// Ends the process of a slot, if it has one.
    fn end(&self, slot: &str, how: Signal) -> anyhow::Result<()> {
        let file = self.home().join("slots").join(slot).join("pid");
        let number = std::fs::read_to_string(file)?.trim().parse()?;
        signal(number, how)?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while is_running(number) {
            if Instant::now() > deadline {
                return signal(number, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // Processes are detached from whoever started them; each is ended by its own id, and none has anything to save.
        for slot in self.slots.iter().map(|(slot, _)| slot.as_str()).chain(["controller"]) {
            let _ = self.end(slot, Signal::KILL);
        }
    }
}
