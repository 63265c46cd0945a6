//! `plimsoll audit`.

use super::output::{self, Form, Format};
use super::progress::Progress;
use super::{Exit, ask};
use crate::actuate::journal::{JournalError, KubernetesJournals, read_all};
use crate::audit::{ExpectedHead, Soundness, VerifyReport, verify};
use crate::config::{DaemonConfig, load_targets};
use crate::daemon::assembly;
use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The audit log.
#[derive(Debug, clap::Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Whether the log still is what was written, down to its last record.
    Verify(Verify),
}

/// Checks the whole audit log from its files alone: every record, the chain through all of them, every snapshot,
/// and that it still holds what the journals know of it, so that a tail that was cut off shows. A daemon may be
/// writing meanwhile.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 clean; 1 the last record is half-written, as a crash leaves it (or a usage or runtime error);
2 something was altered, taken out, put in or cut off.

Examples:
  plimsoll audit verify
  plimsoll audit verify /backup/audit --journals /backup/journal -o json"
)]
struct Verify {
    /// The log; without it the daemon's file says where it and the journals are.
    dir: Option<PathBuf>,
    /// The journals that know the log's end. Without them a cut-off tail cannot show.
    #[arg(long, value_name = "DIR", requires = "dir")]
    journals: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

/// The report, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    dir: String,
    soundness: &'static str,
    segments: usize,
    records: u64,
    snapshots: u64,
    journal_heads: usize,
    heads_of_other_logs: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Finding {
    kind: &'static str,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    detail: String,
}

impl Audit {
    pub(super) fn run(&self, config: &Path) -> anyhow::Result<Exit> {
        match &self.command {
            Command::Verify(verify) => verify.run(config),
        }
    }
}

impl Verify {
    fn run(&self, config: &Path) -> anyhow::Result<Exit> {
        let (dir, journals) = match &self.dir {
            Some(dir) => (dir.clone(), self.journals.clone().map(Journals::Folder)),
            None => {
                let daemon = ask::daemon_file(config)?;
                let folder = daemon.state_dir.join("journal");
                let in_cluster = daemon.kubernetes.is_some();
                let dir = daemon.audit_dir.clone();
                let journals =
                    if in_cluster { Journals::Cluster(Box::new(daemon)) } else { Journals::Folder(folder) };
                (dir, Some(journals))
            }
        };
        let report = {
            let _progress = Progress::begin(format!("verifying {}", dir.display()));
            // Before the log: what is written meanwhile is then no surprise.
            let heads = journals.as_ref().map(heads).transpose()?.unwrap_or_default();
            verify(&dir, &heads)?
        };
        let shown = Shown::of(&report);
        self.form.show(&shown, || printable(&report))?;
        if self.form.output == Format::Table {
            if journals.is_none() {
                output::complain("note: without --journals a tail that was cut off cannot show");
            } else if report.elsewhere > 0 && report.heads == 0 {
                output::complain(
                    "note: no journal knows this log, so that a tail that was cut off cannot show",
                );
            }
        }
        Ok(match report.exit_code() {
            0 => Exit::Fine,
            1 => Exit::Short,
            _ => Exit::Failed,
        })
    }
}

/// Where the journals are.
enum Journals {
    Folder(PathBuf),
    /// On the Kubernetes of the daemon's file.
    Cluster(Box<DaemonConfig>),
}

fn heads(journals: &Journals) -> anyhow::Result<Vec<ExpectedHead>> {
    match journals {
        Journals::Folder(dir) => heads_in_folder(dir),
        Journals::Cluster(daemon) => super::block_on(heads_in_cluster(daemon)),
    }
}

/// The journals of all targets that have a document, in a file or in the cluster.
async fn heads_in_cluster(daemon: &DaemonConfig) -> anyhow::Result<Vec<ExpectedHead>> {
    let server = assembly::kubernetes(daemon, crate::leadership::Leadership::alone())
        .await?
        .context("the daemon's file names no `kubernetes`")?;
    let mut targets: BTreeSet<String> = crate::daemon::listed(&server, daemon).await?;
    targets.extend(load_targets(&daemon.targets_dir, daemon).targets.iter().map(|one| one.key.to_string()));
    let store = KubernetesJournals::new(server);
    let mut heads = Vec::new();
    for target in targets {
        match store.load(&target).await {
            Ok(Some((journal, _))) => heads.extend(ExpectedHead::of(&journal, true)),
            Ok(None) => {}
            // Nobody answered: that says nothing about the log.
            Err(error @ JournalError::Unanswered { .. }) => return Err(error.into()),
            // What it knows cannot be compared, and that must show.
            Err(error) => heads.push(unreadable(target, &error)),
        }
    }
    Ok(heads)
}

fn heads_in_folder(dir: &Path) -> anyhow::Result<Vec<ExpectedHead>> {
    if !dir.is_dir() {
        // A daemon that has never run has no journals and no log either.
        return Ok(Vec::new());
    }
    let kept = read_all(dir).with_context(|| format!("reading the journals of {}", dir.display()))?;
    Ok(kept
        .into_iter()
        .flat_map(|kept| match kept.journal {
            Ok((journal, _)) => ExpectedHead::of(&journal, false),
            // What it knew cannot be compared, and that must show.
            Err(error) => vec![unreadable(kept.place, &error)],
        })
        .collect())
}

fn unreadable(target: String, error: &JournalError) -> ExpectedHead {
    ExpectedHead { target, head: error.to_string(), may_be_of_another: false }
}

fn printable(report: &VerifyReport) -> String {
    report.to_string().lines().map(|line| format!("{}\n", output::line(line))).collect()
}

impl Shown {
    fn of(report: &VerifyReport) -> Self {
        Self {
            dir: report.place.clone(),
            soundness: match report.soundness() {
                Soundness::Clean => "clean",
                Soundness::TornTail => "torn-tail",
                Soundness::Corrupt => "corrupt",
            },
            segments: report.segments,
            records: report.records,
            snapshots: report.snapshots,
            journal_heads: report.heads,
            heads_of_other_logs: report.elsewhere,
            head: report.head.map(|head| head.to_string()),
            findings: report
                .findings
                .iter()
                .map(|finding| Finding {
                    kind: finding.problem.kind(),
                    file: finding.place.clone(),
                    line: finding.line,
                    detail: finding.problem.to_string(),
                })
                .collect(),
        }
    }
}
