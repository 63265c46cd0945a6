//! The daemon as its users run it: a process with a configuration directory, asked over its control socket.

pub(crate) mod gate;

pub use gate::Misbehaviour;

use crate::document::{self, Document};
use crate::etcd::Rig;
use crate::process::{Process, wait_until};
use anyhow::Context as _;
use plimsoll::actuate::journal::read_all;
use plimsoll::audit::{self, EntryBody, ExpectedHead, Soundness};
use plimsoll_wire::journal::Journal;
use plimsoll_wire::record::{Body, Record};
use plimsoll_wire::status::Status;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A daemon with its files.
#[derive(Debug)]
pub struct Daemon {
    home: PathBuf,
    process: Option<Process>,
    starts: u32,
    /// The target that most of a test is about.
    target: String,
    /// A command line before the daemon's own, such as one that makes it a disk of its own.
    within: Vec<String>,
}

/// The target that most of this is about.
const TARGET: &str = "default/etcd";

/// What the daemon is to do with a rig.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// `dryrun` or `enforce`.
    pub mode: &'static str,
    /// `spec.minReplicas`.
    pub min: u32,
    /// `spec.maxReplicas`.
    pub max: u32,
    /// A module in `policies`, by name; one that the repository ships is put there.
    pub module: &'static str,
    /// Its settings, as YAML in one line.
    pub settings: String,
    /// The query of the signal `load`.
    pub query: String,
    /// Where the members run: `local`, or `mirror`, which shows the same members and cannot change them, for a
    /// second target.
    pub platform: &'static str,
    /// Further lines of `spec.safety`.
    pub safety: Vec<&'static str>,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            mode: "enforce",
            min: 3,
            max: 5,
            module: "target-utilization",
            settings: "{signal: load, target: 10, type: AverageValue, window: 8s}".to_owned(),
            query: "max(rate(etcd_mvcc_put_total[8s]))".to_owned(),
            platform: "local",
            safety: Vec::new(),
        }
    }
}

impl Daemon {
    /// Writes the files for a rig's cluster; nothing is started.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn prepare(rig: &Rig, prometheus: &str, wishes: &Wishes) -> anyhow::Result<Self> {
        let home = rig.home().join("plimsoll");
        for folder in ["policies", "targets", "state"] {
            std::fs::create_dir_all(home.join(folder))?;
        }
        let gate = gate::put(&home)?;
        std::fs::write(home.join("plimsoll.yaml"), daemon_file(rig, prometheus, &gate))?;
        let daemon = Self { home, process: None, starts: 0, target: TARGET.to_owned(), within: Vec::new() };
        daemon.wish(wishes)?;
        Ok(daemon)
    }

    /// A daemon in a folder, with this file of its own and the shipped policies; nothing is started.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn in_folder(home: &Path, file: &str, target: &str) -> anyhow::Result<Self> {
        for folder in ["policies", "targets", "state"] {
            std::fs::create_dir_all(home.join(folder))?;
        }
        std::fs::write(home.join("plimsoll.yaml"), file)?;
        for name in ["hold.wasm", "target-utilization.wasm"] {
            let module = shipped(name);
            std::fs::copy(&module, home.join("policies").join(name))
                .with_context(|| format!("{} (`make policies` builds it)", module.display()))?;
        }
        let (home, target) = (home.to_path_buf(), target.to_owned());
        Ok(Self { home, process: None, starts: 0, target, within: Vec::new() })
    }

    /// The same, started by another program, which gets the daemon's command line as its last arguments.
    #[must_use]
    pub fn within(mut self, command: &[&str]) -> Self {
        self.within = command.iter().map(|part| (*part).to_owned()).collect();
        self
    }

    /// Writes the document of the target `etcd` anew.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn wish(&self, wishes: &Wishes) -> anyhow::Result<()> {
        self.wish_for("etcd", wishes)
    }

    /// Writes the document of a target on the same cluster.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn wish_for(&self, target: &str, wishes: &Wishes) -> anyhow::Result<()> {
        let module = shipped(&format!("{}.wasm", wishes.module));
        let place = self.home.join("policies").join(format!("{}.wasm", wishes.module));
        if module.is_file() && !place.exists() {
            std::fs::copy(module, place)?;
        }
        self.write_target(target, &document(target, wishes))
    }

    /// Writes a target's document as it is given, right or wrong.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_target(&self, target: &str, text: &str) -> anyhow::Result<()> {
        Ok(std::fs::write(self.home.join(format!("targets/{target}.yaml")), text)?)
    }

    /// Lets a command of the platform (`list`, `add`, `remove`) misbehave from its next call on, until
    /// [`Self::behave`].
    ///
    /// # Errors
    /// When that cannot be arranged.
    pub fn misbehave(&self, command: &str, how: Misbehaviour) -> anyhow::Result<()> {
        let word = match how {
            Misbehaviour::Hang => "hang",
            Misbehaviour::Junk => "junk",
            Misbehaviour::Slow => "slow",
        };
        Ok(std::fs::write(self.home.join(format!("gate-{command}")), format!("{word}\n"))?)
    }

    /// Lets a command behave again.
    ///
    /// # Errors
    /// When that cannot be arranged.
    pub fn behave(&self, command: &str) -> anyhow::Result<()> {
        let _ = std::fs::remove_file(self.home.join(format!("gate-{command}-began")));
        Ok(std::fs::remove_file(self.home.join(format!("gate-{command}")))?)
    }

    /// Whether a command that misbehaves was called since, and is not known to have ended.
    #[must_use]
    pub fn is_in(&self, command: &str) -> bool {
        let at = |ending: &str| self.home.join(format!("gate-{command}-{ending}")).exists();
        at("began") && !at("ended")
    }

    /// The durable state of its target; none before the daemon first took it over.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn journal(&self) -> anyhow::Result<Option<Journal>> {
        let kept = read_all(&self.home.join("state/journal"))?;
        for kept in kept {
            let (journal, _) = kept.journal.with_context(|| kept.place.clone())?;
            if *journal.target == *self.target {
                return Ok(Some(journal));
            }
        }
        Ok(None)
    }

    /// Every record of its target in the audit log, oldest first.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn records(&self) -> anyhow::Result<Vec<Record>> {
        let mut records = Vec::new();
        for entry in audit::read(&self.home.join("state/audit"))? {
            if let EntryBody::Record(record) = entry?.body
                && *record.target == *self.target
            {
                records.push(*record);
            }
        }
        Ok(records)
    }

    /// What `explain` says of a decision. The status shows a decision a moment before it is recorded.
    ///
    /// # Errors
    /// When the decision does not come into the log.
    pub async fn explanation(&self, decision: &str) -> anyhow::Result<String> {
        let explained = wait_until("the decision in the audit log", Duration::from_secs(30), async || {
            let records = self.records()?;
            let is_it = |record: &&Record| {
                &*record.decision_id == decision && matches!(record.body, Body::Decision(_))
            };
            let found = records.iter().find(is_it).with_context(|| format!("{decision} is not there"))?;
            Ok(plimsoll_core::explain::explain(found).join("\n"))
        });
        explained.await
    }

    /// Checks that the audit log is whole and holds everything that the journals know of. A daemon that was
    /// killed may leave its last line half-written; what was acknowledged is there.
    ///
    /// # Errors
    /// When it is not.
    pub fn audit_is_sound(&self) -> anyhow::Result<()> {
        let mut heads = Vec::new();
        for kept in read_all(&self.home.join("state/journal"))? {
            let (journal, _) = kept.journal.with_context(|| kept.place.clone())?;
            heads.extend(ExpectedHead::of(&journal, false));
        }
        anyhow::ensure!(!heads.is_empty(), "no journal");
        let report = audit::verify(&self.home.join("state/audit"), &heads)?;
        anyhow::ensure!(report.soundness() <= Soundness::TornTail, "{report}");
        Ok(())
    }

    /// Puts a module into the policy directory, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_policy(&self, name: &str, module: &[u8]) -> anyhow::Result<()> {
        let folder = self.home.join("policies");
        std::fs::write(folder.join(".new"), module)?;
        Ok(std::fs::rename(folder.join(".new"), folder.join(format!("{name}.wasm")))?)
    }

    /// The folder with its files.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The daemon's file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.home.join("plimsoll.yaml")
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.starts += 1;
        let mut line = self.within.clone();
        line.push(crate::binary().to_string_lossy().into_owned());
        let mut words = line.iter();
        let mut command = Command::new(words.next().context("a program")?);
        command.args(words).args(["--config", "plimsoll.yaml", "run"]).current_dir(&self.home);
        let log = self.home.join(format!("daemon-{}.log", self.starts));
        self.process = Some(Process::start(&mut command, &log)?);
        Ok(())
    }

    /// Kills it, as a power loss would (`SIGKILL`).
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// How often it was started.
    #[must_use]
    pub fn starts(&self) -> u32 {
        self.starts
    }

    /// Its folder as the running daemon sees it, disks of its own included.
    ///
    /// # Errors
    /// When it does not run.
    pub fn inside(&self) -> anyhow::Result<PathBuf> {
        let (id, home) = (self.id().context("the daemon does not run")?, self.home.strip_prefix("/")?);
        Ok(Path::new("/proc").join(id.to_string()).join("root").join(home))
    }

    /// The end of its log.
    #[must_use]
    pub fn tail(&self) -> String {
        self.process.as_ref().map_or_else(String::new, Process::tail)
    }

    /// Asks over the control socket.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub fn ask(&self, request: &Value) -> anyhow::Result<Value> {
        let mut stream = UnixStream::connect(self.home.join("state/control.sock"))?;
        stream.set_read_timeout(Some(Duration::from_secs(35)))?;
        writeln!(stream, "{request}")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        let response: Value = serde_json::from_str(&line).with_context(|| format!("answer {line:?}"))?;
        anyhow::ensure!(response["ok"] == json!(true), "refused: {}", response["message"]);
        Ok(response["body"].clone())
    }

    /// Orders something, as a person; `request` without target and name.
    ///
    /// # Errors
    /// When the daemon does not answer, or refuses.
    pub fn order(&self, mut request: Value) -> anyhow::Result<()> {
        request["target"] = json!(self.target);
        request["who"] = json!("a test");
        self.ask(&request).map(drop)
    }

    /// The status of its target.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn status(&self) -> anyhow::Result<Status> {
        self.status_of(&self.target)
    }

    /// The status of a target.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn status_of(&self, target: &str) -> anyhow::Result<Status> {
        let body = self.ask(&json!({ "verb": "status", "target": target }))?;
        let first = body.get(0).cloned().context("no status")?;
        Ok(serde_json::from_value(first)?)
    }

    /// Waits until the status is as wanted.
    ///
    /// # Errors
    /// When it is not in time; with the last status and the end of the log.
    pub async fn until(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Status) -> bool,
    ) -> anyhow::Result<Status> {
        let last = std::cell::RefCell::new(String::new());
        let waited = wait_until(what, within, async || {
            let status = self.status()?;
            *last.borrow_mut() = format!("{status:#?}");
            anyhow::ensure!(wanted(&status), "not yet");
            Ok(status)
        });
        waited.await.with_context(|| format!("last status: {}\nlog: {}", last.borrow(), self.tail()))
    }

    /// Runs another command of the command line.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<std::process::Output> {
        let mut command = Command::new(crate::binary());
        command.args(["--config", "plimsoll.yaml"]).args(arguments).current_dir(&self.home);
        Ok(command.output()?)
    }
}

/// A policy that the repository ships, as `scripts/build-policies.sh` builds it.
#[must_use]
pub fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../bin/policies").join(file)
}

fn daemon_file(rig: &Rig, prometheus: &str, gate: &Path) -> String {
    let (commands, list) = ([("list", 10), ("add", 30), ("remove", 30)], [("list", 10)]);
    let platform = |commands: &[(&str, u32)]| rig.command().platform(Some(gate), commands);
    format!(
        "apiVersion: plimsoll.dev/v1alpha1
kind: DaemonConfig
interval: 2s
http: {{enabled: false}}
sources:
  main: {{kind: prometheus, url: \"{prometheus}\", deadline: 2s}}
platforms:
  local:
{}  mirror:
{}systems:
  local: {{kind: etcd}}
",
        platform(&commands),
        platform(&list),
    )
}

fn document(target: &str, wishes: &Wishes) -> String {
    let document = Document {
        named: &format!("name: {target}"),
        target: &format!("apiVersion: plimsoll.dev/v1alpha1, kind: Exec, name: {}", wishes.platform),
        system: "kind: etcd, ref: local",
        bounds: (wishes.min, wishes.max),
        mode: wishes.mode,
    };
    let policy = document::following("load", &wishes.query, wishes.module, &wishes.settings);
    document.with(&(policy + &document::hasty(&wishes.safety)))
}
