//! `plimsoll audit`.

use super::output::{self, Form, Format};
use super::progress::Progress;
use super::{Went, ask};
use crate::actuate::journal::read_all;
use crate::audit::{ExpectedHead, Soundness, VerifyReport, verify};
use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;
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
    pub(super) fn run(&self, config: &Path) -> anyhow::Result<Went> {
        match &self.command {
            Command::Verify(verify) => verify.run(config),
        }
    }
}

impl Verify {
    fn run(&self, config: &Path) -> anyhow::Result<Went> {
        let (dir, journals) = match &self.dir {
            Some(dir) => (dir.clone(), self.journals.clone()),
            None => {
                let daemon = ask::daemon_file(config)?;
                (daemon.audit.dir, Some(daemon.state_dir.join("journal")))
            }
        };
        let report = {
            let _progress = Progress::begin(format!("verifying {}", dir.display()));
            // Before the log: what is written meanwhile is then no surprise.
            let heads = journals.as_deref().map(heads).transpose()?.unwrap_or_default();
            verify(&dir, &heads)?
        };
        let shown = Shown::of(&report);
        self.form.show(&shown, || printable(&report))?;
        if journals.is_none() && self.form.output == Format::Table {
            output::complain("note: without --journals a tail that was cut off cannot show");
        }
        Ok(match report.exit_code() {
            0 => Went::Fine,
            1 => Went::Short,
            _ => Went::Failed,
        })
    }
}

fn heads(dir: &Path) -> anyhow::Result<Vec<ExpectedHead>> {
    if !dir.is_dir() {
        // A daemon that has never run has no journals and no log either.
        return Ok(Vec::new());
    }
    let kept = read_all(dir).with_context(|| format!("reading the journals of {}", dir.display()))?;
    Ok(kept
        .into_iter()
        .map(|kept| match kept.journal {
            Ok((journal, _)) => ExpectedHead { target: journal.target.to_string(), head: journal.audit_head },
            // What it knew cannot be compared, and that must show.
            Err(error) => ExpectedHead { target: kept.place, head: error.to_string() },
        })
        .collect())
}

fn printable(report: &VerifyReport) -> String {
    report
        .to_string()
        .lines()
        .map(|line| format!("{}\n", crate::policy::fault::one_line(line, 2_048)))
        .collect()
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
