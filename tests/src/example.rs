//! What the examples on one machine have in common: a `member` command in a folder, and a Prometheus beside the members.

use crate::etcd::http_get;
use crate::process::{Process, wait_until};
use anyhow::Context as _;
use plimsoll_core::observation::{PlatformReport, Reading, Slot, Source, VacantSlot};
use plimsoll_wire::fact::Authority;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Long enough for a Prometheus on a busy machine; a wait ends as soon as it can.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the `list` command says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    /// Slots in use.
    pub members: Vec<Entry>,
    /// Slots where a member could be started.
    pub vacant: Vec<Entry>,
}

/// One slot of a [`Listing`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its name.
    pub slot: String,
    /// Whether a member runs in it; vacant slots do not say.
    #[serde(default)]
    pub running: bool,
    /// What changes when its member is restarted.
    #[serde(default)]
    pub incarnation: String,
    /// Addresses by purpose.
    pub endpoints: BTreeMap<String, String>,
    /// Its failure domain.
    pub domain: String,
    /// Whose data is on it.
    #[serde(default)]
    pub volume: Option<Volume>,
}

/// Whose data is on a slot's volume.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// The cluster.
    pub fingerprint: String,
    /// The member.
    pub member_id: String,
    /// Whether that member was removed.
    pub tombstoned: bool,
}

impl Listing {
    /// What a platform would tell that believes all of it.
    #[must_use]
    pub fn report(self) -> PlatformReport {
        let source = Source::new(Authority::Platform, "rig", 0);
        let slots = self.members.into_iter().map(|entry| Slot {
            slot: entry.slot.into(),
            endpoints: entry.endpoints,
            running: entry.running,
            incarnation: entry.incarnation,
            domain: source.tells(entry.domain),
            marker: Reading::default(),
        });
        let vacant = self.vacant.into_iter().map(|entry| VacantSlot {
            slot: entry.slot.into(),
            endpoints: entry.endpoints,
            domain: source.tells(entry.domain),
            marker: Reading::default(),
        });
        PlatformReport {
            slots: source.tells(slots.collect()),
            vacant: source.tells(vacant.collect()),
            ..PlatformReport::default()
        }
    }
}

/// The `member` command of an example, in a folder of the test's own.
#[derive(Debug)]
pub struct MemberCommand {
    script: PathBuf,
    /// What tells the command its folder.
    variable: String,
    home: PathBuf,
}

impl MemberCommand {
    /// The command of this example.
    ///
    /// # Errors
    /// When the repository has no such example.
    pub fn of(name: &str, home: &Path) -> anyhow::Result<Self> {
        let script = example(name).join("member");
        anyhow::ensure!(script.is_file(), "{} is missing", script.display());
        let variable = format!("{}_EXAMPLE_HOME", name.to_uppercase());
        Ok(Self { script, variable, home: home.to_path_buf() })
    }

    /// Runs it. Its output goes through files: a member that it starts may keep no pipe of ours open.
    ///
    /// # Errors
    /// When it fails, with what it says.
    pub fn run(&self, arguments: &[&str], request: Option<&Value>) -> anyhow::Result<Vec<u8>> {
        let mut command = Command::new(&self.script);
        command.args(arguments).env(&self.variable, &self.home);
        let mut input = tempfile::tempfile()?;
        if let Some(request) = request {
            input.write_all(request.to_string().as_bytes())?;
            input.rewind()?;
        }
        let output = command.stdin(Stdio::from(input)).output().context("running the member command")?;
        anyhow::ensure!(
            output.status.success(),
            "member {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(output.stdout)
    }

    /// What it lists now.
    ///
    /// # Errors
    /// When it fails.
    pub fn list(&self) -> anyhow::Result<Listing> {
        Ok(serde_json::from_slice(&self.run(&["list"], None)?)?)
    }

    /// The lines of an `exec` platform in a daemon's file that has only these of its commands, each with the seconds that it
    /// may take; `gate` stands before them.
    #[must_use]
    pub fn platform(&self, gate: Option<&Path>, commands: &[(&str, u32)]) -> String {
        let env = json!({ &self.variable: self.home });
        let line = |(name, seconds): &(&str, u32)| {
            let argv: Vec<&Path> = gate.into_iter().chain([&*self.script, Path::new(name)]).collect();
            format!("    {name}: {{command: {}, timeout: {seconds}s, env: {env}}}\n", json!(argv))
        };
        let lines: String = commands.iter().map(line).collect();
        format!("    kind: exec\n{lines}    workingDirectory: {}\n", self.home.display())
    }
}

/// Starts the Prometheus of an example in a folder and waits until it answers; its address.
///
/// # Errors
/// When Prometheus is missing or does not come up.
pub async fn prometheus(name: &str, home: &Path, port: u16) -> anyhow::Result<(Process, String)> {
    let url = format!("http://127.0.0.1:{port}");
    std::fs::copy(example(name).join("prometheus.yml"), home.join("prometheus.yml"))?;
    let mut command = Command::new("prometheus");
    command
        .arg("--config.file=prometheus.yml")
        .arg("--storage.tsdb.path=prometheus")
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .current_dir(home);
    let process = Process::start(&mut command, &home.join("prometheus.log"))?;
    let ready = format!("{url}/-/ready");
    let up = wait_until("Prometheus is ready", PATIENCE, async || http_get(&ready).await.map(drop)).await;
    up.with_context(|| process.tail())?;
    Ok((process, url))
}

/// A file of `examples/`.
#[must_use]
pub fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(path)
}
