//! `plimsoll policy`.

use super::output::{self, Closed, Form, Format};
use super::progress::Progress;
use super::{Exit, block_on, snapshot, yaml};
use crate::config;
use crate::policy::{Class, Failure, Fault, Host, Inspection, LibraryConfig, Loaded, Rejection, Sandbox};
use anyhow::{Context, anyhow, bail};
use clap::{Subcommand, ValueEnum};
use plimsoll_wire::{Snapshot, canonical};
use std::collections::BTreeMap;
use std::io::{BufRead, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A line of input: what a policy may be handed.
const MAX_LINE: u64 = 16 << 20;

/// Policies, one module at a time, without a daemon. They run in the same confined child as in the daemon.
#[derive(Debug, clap::Args)]
pub(super) struct Policy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask a policy about snapshots: one a line in, one answer a line out.
    Eval(Eval),
    /// What a module is, and what it imports and exports.
    Inspect(Inspect),
}

#[derive(Debug, clap::Args)]
struct Loading {
    /// How much the module may be and take, whatever the manifest beside it and the daemon's file say.
    #[arg(long, value_enum, value_name = "CLASS")]
    class: Option<Kind>,
    /// Run it even where the kernel cannot confine it. Only for modules that you trust.
    #[arg(long)]
    best_effort_sandbox: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Of a compiled language.
    Compiled,
    /// With an interpreter inside, such as Python.
    Interpreter,
}

/// Reads one snapshot a line from the standard input and writes one answer a line: the canonical JSON of the
/// proposal or refusal. What a policy returns as `state` is handed back with the next snapshot of the same target.
/// An evaluation that fails gives `{"failure":{"kind":...,"detail":...}}`, and the next line goes on. What the
/// policy logs goes to the standard error.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 every line has an answer, 1 usage or runtime error, 2 an evaluation failed.

Examples:
  plimsoll explain default/orders --snapshot | plimsoll policy eval --module hold.wasm
  plimsoll policy eval --module target-utilization.wasm --settings '{\"signal\":\"load\",\"target\":0.6}' < day.jsonl"
)]
struct Eval {
    /// The module.
    #[arg(long, value_name = "FILE")]
    module: PathBuf,
    /// Settings, as JSON, in the place of those in the snapshots; recorded snapshots have none.
    #[arg(long, value_name = "JSON")]
    settings: Option<String>,
    #[command(flatten)]
    loading: Loading,
}

/// Looks a module over, loads it where it can be loaded, and tells what it is. What it may be and take is what the
/// manifest beside it and the daemon's file (`--config`) say.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 it is a policy, 1 usage or runtime error, 2 it is none, and why.

Example:
  plimsoll policy inspect policies/hold.wasm -o json")]
struct Inspect {
    /// The module.
    file: PathBuf,
    #[command(flatten)]
    loading: Loading,
    #[command(flatten)]
    form: Form,
}

impl Policy {
    pub(super) fn run(&self, config: &Path) -> anyhow::Result<Exit> {
        match &self.command {
            Command::Eval(command) => command.run(config),
            Command::Inspect(command) => command.run(config),
        }
    }
}

impl Loading {
    /// Loads a module as the daemon of this file would; a file that is not there says nothing.
    async fn load(&self, module: &Path, config: &Path) -> anyhow::Result<Result<Loaded, Rejection>> {
        let mut library = LibraryConfig::default();
        if config.exists() {
            let daemon = config::load_daemon(config).map_err(|problems| anyhow!("{problems}")).context(
                "what modules may be and take stands in the daemon's file; name another with --config",
            )?;
            library = daemon.policy_host;
        }
        if self.best_effort_sandbox {
            library.launch.sandbox = Sandbox::BestEffort;
        }
        let class = self.class.map(|kind| match kind {
            Kind::Compiled => Class::Compiled,
            Kind::Interpreter => Class::Interpreter,
        });
        let host = Host { launch: library.launch, cache: None };
        Ok(host.load_as_placed(module, class, &library.interpreters).await)
    }
}

impl Eval {
    fn run(&self, config: &Path) -> anyhow::Result<Exit> {
        let settings = self.settings.as_deref().map(serde_json::from_str::<serde_json::Value>);
        let settings = settings.transpose().context("--settings is not JSON")?;
        block_on(async {
            let loaded = {
                let _progress = Progress::begin(format!("loading {}", self.module.display()));
                self.loading.load(&self.module, config).await?
            };
            let loaded = loaded
                .map_err(|rejection| anyhow!("{}: {}", self.module.display(), described(&rejection)))?;
            Asking { loaded, settings, states: BTreeMap::new(), failed: false }.all().await
        })
    }
}

/// A run over many snapshots.
struct Asking {
    loaded: Loaded,
    settings: Option<serde_json::Value>,
    /// What the policy wants back, by target.
    states: BTreeMap<Arc<str>, Option<String>>,
    failed: bool,
}

impl Asking {
    async fn all(mut self) -> anyhow::Result<Exit> {
        let mut input = std::io::stdin().lock();
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            let read = (&mut input).take(MAX_LINE + 1).read_until(b'\n', &mut line);
            read.map_err(|error| anyhow!("reading line {number}: {error}"))?;
            if line.is_empty() {
                break;
            }
            if line.len() as u64 > MAX_LINE {
                bail!("line {number} has more than {MAX_LINE} bytes; one snapshot belongs on each line");
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let answer = self.answer(&line, number).await?;
            write_line(answer)?;
        }
        Ok(if self.failed { Exit::Failed } else { Exit::Fine })
    }

    async fn answer(&mut self, line: &[u8], number: u64) -> anyhow::Result<Vec<u8>> {
        let document = serde_json::from_slice(line).map_err(|error| error.to_string());
        let mut snapshot: Snapshot = match document.and_then(snapshot::read) {
            Ok(snapshot) => snapshot,
            Err(why) => return self.fail(&Failure::new(Fault::Input, format!("line {number}: {why}"))),
        };
        let key = snapshot.target.key.clone();
        if let Some(state) = self.states.get(&key) {
            snapshot.state.clone_from(state);
        }
        if let Some(settings) = &self.settings {
            snapshot.target.settings = settings.clone();
        }
        let evaluation = self.loaded.evaluate(&snapshot).await;
        for text in &evaluation.log {
            output::complain(&format!("line {number}: log: {text}"));
        }
        for field in &evaluation.ignored {
            output::complain(&format!("line {number}: the answer's field `{field}` means nothing"));
        }
        match evaluation.result {
            Ok(answer) => {
                if let plimsoll_wire::Answer::Proposal(proposal) = &answer {
                    self.states.insert(key, proposal.state.clone());
                }
                Ok(canonical(&answer)?)
            }
            Err(failure) => self.fail(&failure),
        }
    }

    fn fail(&mut self, failure: &Failure) -> anyhow::Result<Vec<u8>> {
        self.failed = true;
        let failure = serde_json::json!({ "failure": { "kind": failure.kind(), "detail": failure.detail } });
        Ok(serde_json::to_vec(&failure)?)
    }
}

/// One line, at once: the program that feeds us may wait for it.
fn write_line(mut line: Vec<u8>) -> anyhow::Result<()> {
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    match out.write_all(&line).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        Err(error) => Err(anyhow::Error::new(error).context("writing the output")),
    }
}

impl Inspect {
    fn run(&self, config: &Path) -> anyhow::Result<Exit> {
        let inspected = {
            let _progress = Progress::begin(format!("loading {}", self.file.display()));
            block_on(self.loading.load(&self.file, config))?
        };
        match inspected.as_ref().map(Loaded::inspection) {
            Ok(inspection) => {
                self.form.show(inspection, || table(inspection))?;
                Ok(Exit::Fine)
            }
            Err(rejection) => {
                if self.form.output == Format::Table {
                    output::complain(&format!(
                        "{} is no policy: {}",
                        self.file.display(),
                        described(rejection)
                    ));
                } else {
                    let hint = rejection.flaw.hint();
                    self.form
                        .show(&serde_json::json!({ "rejection": rejection, "hint": hint }), String::new)?;
                }
                Ok(Exit::Failed)
            }
        }
    }
}

/// Why a module is refused and what to do about it, on one line.
fn described(rejection: &Rejection) -> String {
    format!("{rejection} ({})", rejection.flaw.hint())
}

/// Every field with its value: the YAML form reads like a table.
fn table(inspection: &Inspection) -> String {
    serde_json::to_value(inspection).map_or_else(|error| format!("{error}\n"), |value| yaml::document(&value))
}
