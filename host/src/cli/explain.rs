//! `plimsoll explain`.

use super::output::{self, Form, Format, cell, rfc3339};
use super::progress::Progress;
use super::{Exit, ask, target};
use crate::audit::{self, Entry, EntryBody};
use crate::policy::fault::one_line;
use anyhow::bail;
use plimsoll_core::explain::explain;
use plimsoll_wire::record::{Body, Record};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Everything that is said of one plan.
const MAX_RECORDS: usize = 10_000;
const SENTENCE_BYTES: usize = 1_024;

/// Tells decisions in sentences, from the audit log: what was seen, what each policy wished, what every invariant
/// said, and what came of it. It reads files; no daemon is needed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 fine, 1 usage or runtime error, also when there is no such record.

Examples:
  plimsoll explain default/orders
  plimsoll explain default/orders --last 20
  plimsoll explain default-orders-d3.17
  plimsoll explain default-orders-d3.17 --snapshot > then.json")]
pub(super) struct Explain {
    /// A target (`namespace/name`): its last decision. Or the id of a decision, a plan or an intent.
    #[arg(value_name = "TARGET|ID")]
    what: Option<String>,
    /// The last so many records of every kind, not the last decision only.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    last: Option<u32>,
    /// Print the snapshot that the decision rests on, on one line.
    #[arg(long, conflicts_with = "last")]
    snapshot: bool,
    /// The audit log; without it the daemon's file says where it is.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

/// A record with its sentences.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    decision_id: String,
    target: String,
    /// RFC 3339.
    time: String,
    sentences: Vec<String>,
    record: Record,
}

impl Explain {
    pub(super) fn run(&self, config: &Path) -> anyhow::Result<Exit> {
        let dir = match &self.dir {
            Some(dir) => dir.clone(),
            None => ask::daemon_file(config)?.audit_dir,
        };
        let records = {
            let _progress = Progress::begin("reading the audit log");
            self.find(&dir)?
        };
        if records.is_empty() {
            let hint = "`plimsoll status` names the targets, `plimsoll explain --last 20` the newest records";
            bail!(
                "the audit log {} has no record of {}; {hint}",
                dir.display(),
                self.what.as_deref().unwrap_or("any decision")
            );
        }
        if self.snapshot {
            return self.show_snapshot(&dir, &records);
        }
        let explained: Vec<Explained> = records.into_iter().map(Explained::of).collect();
        self.form.show(&explained, || explained.iter().map(Explained::text).collect())?;
        Ok(Exit::Fine)
    }

    fn find(&self, dir: &Path) -> anyhow::Result<Vec<Record>> {
        let key = match &self.what {
            Some(what) if what.contains('/') => Some(target(what).map_err(anyhow::Error::msg)?),
            Some(id) => {
                let found = newest(dir, self.count(MAX_RECORDS), &|record| is_of(record, id))?;
                if !found.is_empty() {
                    return Ok(found);
                }
                target(id).ok()
            }
            None => None,
        };
        let is_here = |record: &Record| match (&key, &self.what) {
            (Some(key), _) => *record.target == **key,
            (None, Some(_)) => false,
            (None, None) => true,
        };
        let any = self.last.is_some();
        newest(dir, self.count(1), &|record| {
            is_here(record) && (any || matches!(record.body, Body::Decision(_)))
        })
    }

    fn count(&self, otherwise: usize) -> usize {
        self.last.map_or(otherwise, |last| usize::try_from(last).unwrap_or(MAX_RECORDS))
    }

    fn show_snapshot(&self, dir: &Path, records: &[Record]) -> anyhow::Result<Exit> {
        let digest = records.iter().rev().find_map(|record| match &record.body {
            Body::Decision(decision) => Some(decision.snapshot.clone()),
            Body::Intent { .. }
            | Body::Outcome { .. }
            | Body::Plan { .. }
            | Body::Command { .. }
            | Body::Epoch { .. }
            | Body::Trouble { .. } => None,
        });
        let Some(digest) = digest else { bail!("only decisions have a snapshot, and this is none") };
        let snapshot = audit::read_snapshot(dir, &digest)?;
        if self.form.output == Format::Table {
            let line = serde_json::to_string(&snapshot)?;
            output::print(&format!("{}\n", output::spelled(&line)))?;
        } else {
            self.form.show(&snapshot, String::new)?;
        }
        Ok(Exit::Fine)
    }
}

fn newest(dir: &Path, count: usize, wanted: &dyn Fn(&Record) -> bool) -> anyhow::Result<Vec<Record>> {
    let is_wanted = |entry: &Entry| match &entry.body {
        EntryBody::Record(record) => wanted(record),
        EntryBody::Event(_) => false,
    };
    let found = audit::newest(dir, count, is_wanted)?;
    Ok(found
        .into_iter()
        .filter_map(|entry| match entry.body {
            EntryBody::Record(record) => Some(*record),
            EntryBody::Event(_) => None,
        })
        .collect())
}

/// Whether a record is the one of this id, or is about the plan or the intent of this id.
fn is_of(record: &Record, id: &str) -> bool {
    let about = match &record.body {
        Body::Decision(decision) => decision.plan.as_deref() == Some(id),
        Body::Intent { intent, .. } => *intent.id == *id || *intent.plan == *id,
        Body::Outcome { intent, .. } => **intent == *id,
        Body::Plan { plan, .. } => *plan.id == *id,
        Body::Command { .. } | Body::Epoch { .. } | Body::Trouble { .. } => false,
    };
    about || *record.decision_id == *id
}

impl Explained {
    fn of(record: Record) -> Self {
        Self {
            decision_id: record.decision_id.to_string(),
            target: record.target.to_string(),
            time: rfc3339(record.now.wall_ms),
            sentences: explain(&record).iter().map(|line| one_line(line, SENTENCE_BYTES)).collect(),
            record,
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{}  {}  {}\n", self.time, cell(&self.target), cell(&self.decision_id));
        for sentence in &self.sentences {
            text.push_str("  ");
            text.push_str(sentence);
            text.push('\n');
        }
        text
    }
}
