//! The daemon as its users run it: a process with a configuration directory, asked over its control socket.

use crate::etcd::Rig;
use crate::process::{Process, wait_until};
use anyhow::Context as _;
use plimsoll_wire::status::Status;
use serde_json::{Value, json};
use std::fmt::Write as _;
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
}

/// What the daemon is to do with a rig.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// `dryrun` or `enforce`.
    pub mode: &'static str,
    /// `spec.minReplicas`.
    pub min: u32,
    /// `spec.maxReplicas`.
    pub max: u32,
    /// A module in `policies`, by name.
    pub module: &'static str,
    /// Its settings, as YAML in one line.
    pub settings: String,
    /// The query of the signal `load`.
    pub query: String,
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
            settings: "{signal: load, target: 100, type: AverageValue, window: 5s}".to_owned(),
            query: "sum(rate(etcd_mvcc_put_total{job=\"etcd\"}[5s]))".to_owned(),
            safety: Vec::new(),
        }
    }
}

/// Waits as short as they may be (`decisions.md` D6): the rules are the same, the test is not a day long.
const SHORT_WAITS: &[&str] = &[
    "hold: 1s",
    "warmup: 1s",
    "leaderStable: 1s",
    "leaderQuiet: 1s",
    "cooldownIn: 1s",
    "cooldownOut: 1s",
    "reverse: 1s",
    "sustain: 1s",
    "fraction: 100%",
];

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
        std::fs::write(home.join("plimsoll.yaml"), daemon_file(rig, prometheus))?;
        let daemon = Self { home, process: None, starts: 0 };
        daemon.wish(wishes)?;
        Ok(daemon)
    }

    /// Writes the target's document anew.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn wish(&self, wishes: &Wishes) -> anyhow::Result<()> {
        let module = shipped(&format!("{}.wasm", wishes.module));
        let place = self.home.join("policies").join(format!("{}.wasm", wishes.module));
        if module.is_file() && !place.exists() {
            std::fs::copy(module, place)?;
        }
        Ok(std::fs::write(self.home.join("targets/etcd.yaml"), document(wishes))?)
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
        let mut command = Command::new(crate::binary());
        command.args(["--config", "plimsoll.yaml", "run"]).current_dir(&self.home);
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

    /// How often it was started.
    #[must_use]
    pub fn starts(&self) -> u32 {
        self.starts
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
        let told: Value = serde_json::from_str(&line).with_context(|| format!("answer {line:?}"))?;
        anyhow::ensure!(told["ok"] == json!(true), "refused: {}", told["message"]);
        Ok(told["body"].clone())
    }

    /// The target's status.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn status(&self) -> anyhow::Result<Status> {
        let body = self.ask(&json!({ "verb": "status", "target": "default/etcd" }))?;
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

fn daemon_file(rig: &Rig, prometheus: &str) -> String {
    let exec = rig.exec_config();
    let environment: Vec<String> = exec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let command = |argv: &[String]| {
        let mut all = vec!["/usr/bin/env".to_owned()];
        all.extend(environment.iter().cloned());
        all.extend(argv.iter().cloned());
        Value::from(all).to_string()
    };
    format!(
        "apiVersion: plimsoll.dev/v1alpha1
kind: DaemonConfig
interval: 2s
http: {{enabled: false}}
sources:
  main: {{kind: prometheus, url: \"{prometheus}\", deadline: 2s}}
platforms:
  local:
    kind: exec
    list: {{command: {}, timeout: 10s}}
    add: {{command: {}, timeout: 30s}}
    remove: {{command: {}, timeout: 30s}}
    workingDirectory: {}
systems:
  local: {{kind: etcd}}
",
        command(&exec.list),
        command(&exec.add),
        command(&exec.remove),
        exec.working_dir.display(),
    )
}

fn document(wishes: &Wishes) -> String {
    let mut safety = String::new();
    for line in SHORT_WAITS.iter().chain(&wishes.safety) {
        let _ = writeln!(safety, "    {line}");
    }
    format!(
        "apiVersion: plimsoll.dev/v1alpha1
kind: StatefulAutoscaler
metadata: {{name: etcd}}
spec:
  targetRef: {{apiVersion: plimsoll.dev/v1alpha1, kind: Exec, name: local}}
  system: {{kind: etcd, ref: local}}
  minReplicas: {}
  maxReplicas: {}
  mode: {}
  policies:
    - name: load
      module: {}.wasm
      settings: {}
  signals:
    - {{name: load, source: main, query: '{}', window: 10s, step: 1s, maxAge: 5s, coverage: 50%}}
  behavior:
    scaleUp: {{stabilizationWindowSeconds: 0, policies: [{{type: Members, value: 4, periodSeconds: 1}}]}}
    scaleDown: {{stabilizationWindowSeconds: 1, policies: [{{type: Members, value: 4, periodSeconds: 1}}]}}
  safety:
{safety}",
        wishes.min, wishes.max, wishes.mode, wishes.module, wishes.settings, wishes.query
    )
}
