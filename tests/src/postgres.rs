//! A real PostgreSQL cluster on loopback, run by the commands of `examples/postgres`, so that what tests rely on is what
//! users are shown.

pub mod handover;
pub mod load;
pub mod places;
pub mod pods;
pub mod watch;

use crate::daemon::{Daemon, gate};
use crate::document::{self, Document};
use crate::example::{self, Listing, MemberCommand};
use crate::process::{Ports, Process, is_running, signal};
use anyhow::Context as _;
use places::{Place, Places};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Long enough for a base backup on a busy machine; a wait ends as soon as it can.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The target's key in the daemon that a rig prepares.
pub const TARGET: &str = "default/postgres";

/// A cluster with its folder, its ports and, on demand, a Prometheus. Everything ends with it.
#[derive(Debug)]
pub struct Rig {
    home: tempfile::TempDir,
    command: MemberCommand,
    /// Slots with their ports.
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
    /// Further lines of `spec.safety`.
    pub safety: Vec<&'static str>,
}

impl Rig {
    /// Starts a primary in the first of `slots` slots (`p1`, `p2`, ...) and standbys in those after it, `members` in all, of
    /// which any one must confirm a commit.
    ///
    /// # Errors
    /// When PostgreSQL or the commands are missing, or the members do not come up.
    pub async fn start(members: usize, slots: usize) -> anyhow::Result<Self> {
        let rig = Self::prepare(slots)?;
        rig.command.run(&["bootstrap", &members.to_string()], None)?;
        let primary = rig.client("p1", "app").await?;
        primary
            .batch_execute(
                "CREATE TABLE kept (id bigint PRIMARY KEY, value text NOT NULL);
                 CREATE TABLE page (id int PRIMARY KEY, value text NOT NULL);
                 INSERT INTO page SELECT id, repeat('x', 100) FROM generate_series(1, 1000) AS id",
            )
            .await?;
        Ok(rig)
    }

    /// The folder, the inventory and the ports, with nothing started.
    ///
    /// # Errors
    /// When the folder cannot be written or no ports are left.
    pub fn prepare(slots: usize) -> anyhow::Result<Self> {
        let home = tempfile::Builder::new().prefix("plimsoll-postgres-").tempdir()?;
        let command = MemberCommand::of("postgres", home.path())?;
        // PostgreSQL runs as a user of its own, who has to get there.
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755))?;
        let mut ports = Ports::reserve()?;
        let mut inventory = String::new();
        let mut places = Vec::new();
        for number in 1..=slots {
            let (port, metrics) = (ports.take()?, ports.take()?);
            let domain = ["a", "b", "c"].get((number - 1) % 3).copied().unwrap_or("a");
            inventory.push_str(&format!("p{number} loopback/{domain} {port} {metrics}\n"));
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

    /// The folder with a member's data.
    #[must_use]
    pub fn data(&self, slot: &str) -> PathBuf {
        self.home().join("slots").join(slot).join("data")
    }

    /// The slots with the ports of their members, used or not.
    #[must_use]
    pub fn slots(&self) -> &[(String, u16)] {
        &self.slots
    }

    /// The port of a slot's member.
    ///
    /// # Errors
    /// When there is no such slot.
    pub fn port(&self, slot: &str) -> anyhow::Result<u16> {
        let found = self.slots.iter().find(|(name, _)| name == slot);
        found.map(|(_, port)| *port).with_context(|| format!("no slot {slot}"))
    }

    /// A session with a slot's member as a client of the database `app`, or as the superuser of another one.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn client(&self, slot: &str, database: &str) -> anyhow::Result<Client> {
        session(&Place::local(slot, self.port(slot)?), database).await
    }

    /// Carries out statements at a slot's member as its superuser.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub async fn order(&self, slot: &str, statements: &[&str]) -> anyhow::Result<()> {
        let client = self.client(slot, "postgres").await?;
        for statement in statements {
            client.batch_execute(statement).await.with_context(|| format!("{slot}: {statement}"))?;
        }
        Ok(())
    }

    /// The one value that a question to a slot's member gives, as its superuser.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ask(&self, slot: &str, question: &str) -> anyhow::Result<String> {
        let client = self.client(slot, "postgres").await?;
        Ok(values(&client, question).await?.into_iter().next().unwrap_or_default())
    }

    /// What the `list` command says now.
    ///
    /// # Errors
    /// When the command fails.
    pub fn list(&self) -> anyhow::Result<Listing> {
        self.command.list()
    }

    /// Makes the standby of a slot with what the driver tells it needs to join.
    ///
    /// # Errors
    /// When the command fails.
    pub fn add(&self, slot: &str, join: &Value) -> anyhow::Result<()> {
        self.command.run(&["add"], Some(&json!({ "slot": slot, "join": join }))).map(drop)
    }

    /// Stops the member of a slot and sets its data aside.
    ///
    /// # Errors
    /// When the command fails.
    pub fn remove(&self, slot: &str) -> anyhow::Result<()> {
        self.command.run(&["remove"], Some(&json!({ "slot": slot, "memberId": slot }))).map(drop)
    }

    /// Stops a member cleanly and leaves its data where it is.
    ///
    /// # Errors
    /// When the command fails.
    pub fn stop(&self, slot: &str) -> anyhow::Result<()> {
        self.command.run(&["stop", slot], None).map(drop)
    }

    /// Starts a stopped member on the data that it has.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&self, slot: &str) -> anyhow::Result<()> {
        self.command.run(&["start", slot], None).map(drop)
    }

    /// The process of a standby that receives the log.
    ///
    /// # Errors
    /// When there is none.
    pub fn receiver(&self, slot: &str) -> anyhow::Result<u32> {
        let server = std::fs::read_to_string(self.home().join("slots").join(slot).join("pid"))?;
        let server: u32 = server.trim().parse()?;
        for entry in std::fs::read_dir("/proc")? {
            let folder = entry?.path();
            let stat = std::fs::read_to_string(folder.join("stat")).unwrap_or_default();
            let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
            let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
            if parent == Some(server) && String::from_utf8_lossy(&line).contains("walreceiver") {
                let name = folder.file_name().context("a process has a number")?;
                return Ok(name.to_string_lossy().parse()?);
            }
        }
        anyhow::bail!("{slot} has no process that receives the log")
    }

    /// Starts the Prometheus of the example and waits until it answers.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn prometheus(&mut self) -> anyhow::Result<String> {
        let port = self.ports.take()?;
        let (process, url) = example::prometheus("postgres", self.home(), port).await?;
        self.prometheus = Some(process);
        Ok(url)
    }

    /// A daemon for this cluster, between two and four members; nothing is started.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn daemon(&self, prometheus: &str, wishes: &Wishes) -> anyhow::Result<Daemon> {
        let home = self.home().join("plimsoll");
        std::fs::create_dir_all(&home)?;
        let gate = gate::put(&home)?;
        let daemon = Daemon::in_folder(&home, &self.daemon_file(prometheus, &gate), TARGET)?;
        daemon.write_target("postgres", &document(wishes))?;
        Ok(daemon)
    }

    fn daemon_file(&self, prometheus: &str, gate: &Path) -> String {
        let commands = [("list", 20), ("add", 120), ("remove", 60)];
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
  local: {{kind: postgres, deadline: 5s}}
",
            self.command.platform(Some(gate), &commands)
        )
    }

    /// Ends a process of a slot at once, and everything that it started.
    fn end(&self, slot: &str, file: &str) -> anyhow::Result<()> {
        let number =
            std::fs::read_to_string(self.home().join("slots").join(slot).join(file))?.trim().parse()?;
        // A server that is told to quit ends its own processes first.
        signal(number, Signal::QUIT)?;
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
        // Members are detached from whoever started them; each is ended by its own id.
        for (slot, _) in self.slots.clone() {
            // One that was stopped where it is would never hear of it.
            if let Ok(receiver) = self.receiver(&slot) {
                let _ = signal(receiver, Signal::CONT);
            }
            for file in ["metrics.pid", "pid"] {
                let _ = self.end(&slot, file);
            }
        }
    }
}

/// Writes a file as PostgreSQL's own user has it.
///
/// # Errors
/// When it cannot be written.
pub fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let folder = path.parent().context("a file in a folder")?.metadata()?;
    Ok(std::os::unix::fs::chown(path, Some(folder.uid()), Some(folder.gid()))?)
}

impl From<&Rig> for Places {
    fn from(rig: &Rig) -> Self {
        let all: Vec<Place> = rig.slots.iter().map(|(slot, port)| Place::local(slot, *port)).collect();
        Self::told_by(move || all.clone())
    }
}

/// A session with a member: as `app` in its own database, as the superuser elsewhere.
///
/// # Errors
/// When it does not answer in time.
pub async fn session(place: &Place, database: &str) -> anyhow::Result<Client> {
    let user = if database == "app" { "app" } else { "postgres" };
    let Place { host, port, .. } = place;
    let line = format!("host={host} port={port} user={user} dbname={database} connect_timeout=3");
    let (client, connection) = tokio_postgres::connect(&line, NoTls).await?;
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// The first column of all rows, as text; null is empty.
///
/// # Errors
/// When there is no answer in time.
pub async fn values(client: &Client, question: &str) -> anyhow::Result<Vec<String>> {
    let answer = tokio::time::timeout(Duration::from_secs(3), client.simple_query(question)).await??;
    let first = |message| {
        let SimpleQueryMessage::Row(row) = message else { return None };
        Some(row.try_get(0).ok().flatten().unwrap_or_default().to_owned())
    };
    Ok(answer.into_iter().filter_map(first).collect())
}

fn document(wishes: &Wishes) -> String {
    let document = Document {
        named: "name: postgres",
        target: "apiVersion: plimsoll.dev/v1alpha1, kind: Exec, name: local",
        system: "kind: postgres, ref: local",
        bounds: (2, 4),
        mode: "enforce",
    };
    let query = "sum(rate(pg_stat_database_tup_fetched{datname=\"app\"}[8s]))";
    let policy = document::following("reads", query, wishes.module, wishes.settings);
    document.with(&(policy + &document::hasty(wishes.safety.iter().chain(&["syncSpare: 0"]))))
}
