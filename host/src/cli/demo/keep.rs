//! Keeps the demo's records: an audit log as the daemon writes it, and two snapshots to plan from.

use super::story::{CRASH, HOUR, MINUTE};
use crate::audit::{AuditConfig, AuditLog};
use anyhow::{Context, bail};
use plimsoll_sim::pilot::Recorder;
use plimsoll_sim::sim::ORIGIN_MS;
use plimsoll_wire::Snapshot;
use plimsoll_wire::record::{Body, Record};
use std::path::Path;

/// Snapshots that are kept: the first decision after that time of the day.
const KEPT: [(&str, u64); 2] = [("noon.json", 12 * HOUR), ("member-failed.json", CRASH.at_ms + 2 * MINUTE)];

/// Records into a directory that is empty or new.
///
/// # Errors
/// It is not empty, or cannot be written to.
pub(super) fn keeper(folder: &Path) -> anyhow::Result<Recorder> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let mut entries = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    if entries.next().is_some() {
        bail!("{} is not empty; hint: name a new directory, one for each run", folder.display());
    }
    let log = AuditLog::open(&folder.join("audit"), AuditConfig::default())?;
    let (folder, mut kept) = (folder.to_path_buf(), 0);
    Ok(Box::new(move |record: &Record, snapshot: Option<&Snapshot>| {
        if let Some(snapshot) = snapshot {
            keep(&folder, &mut kept, record, snapshot)?;
        }
        let appended = match (&record.body, snapshot) {
            (Body::Decision(_), Some(snapshot)) => log.append_decision(record.clone(), snapshot),
            (_, _) => log.append(record),
        };
        appended.map(|_| log.head()).map_err(|error| error.to_string())
    }))
}

fn keep(folder: &Path, kept: &mut usize, record: &Record, snapshot: &Snapshot) -> Result<(), String> {
    let Some((name, at_ms)) = KEPT.get(*kept) else { return Ok(()) };
    if record.now.mono_ms < ORIGIN_MS + at_ms {
        return Ok(());
    }
    *kept += 1;
    let bytes = plimsoll_wire::canonical(snapshot).map_err(|error| error.to_string())?;
    std::fs::write(folder.join(name), bytes).map_err(|error| format!("writing {name}: {error}"))
}
