//! The log as the daemon uses it: opened once, appended to, never read to resume.

use super::blob;
use super::chain::{Content, Hash, Known};
use super::event::Event;
use super::fit;
use super::retention::{self, Snapshots};
use super::walk::{self, Seen, Tail, Walked, segment_name};
use super::writer::Writer;
use super::{AuditConfig, AuditError, Outside};
use crate::disk::{self, Disk, Exclusive, RealDisk};
use plimsoll_wire::Snapshot;
use plimsoll_wire::record::{Body, Record};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const BALLAST: &str = "ballast";

/// An audit log that belongs to this process. All calls block until the disk has answered: from async code
/// they go through `spawn_blocking`.
pub struct AuditLog {
    inner: Mutex<Inner>,
    _lock: Option<Exclusive>,
}

/// A record that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its place in the log, from 1.
    pub sequence: u64,
    /// Its hash.
    pub hash: Hash,
    /// The digest of the snapshot that was kept with it.
    pub snapshot: Option<Hash>,
}

struct Inner {
    writer: Writer,
    snapshots: Snapshots,
    /// Why decisions and intents are refused, when the disk is the reason.
    full: Option<Fullness>,
    appends: u64,
    /// Folders of snapshots whose names are sure to last.
    folders: BTreeSet<String>,
}

/// What made the disk too full.
#[derive(Clone, Copy, Debug)]
struct Fullness {
    /// Whether a record says so.
    recorded: bool,
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AuditLog").field("head", &self.head()).finish_non_exhaustive()
    }
}

impl AuditLog {
    /// Opens the log of a directory, made when it is missing, for this process alone. A half-written last
    /// line is moved aside, and a record says so.
    ///
    /// # Errors
    /// [`AuditError::Held`] when another process has it; [`AuditError::Corrupt`] when it was altered;
    /// [`AuditError::NotDurable`] and [`AuditError::Unreadable`] when the disk fails.
    pub fn open(directory: &Path, config: AuditConfig) -> Result<Self, AuditError> {
        let unreadable = |source| AuditError::Unreadable { place: directory.display().to_string(), source };
        let disk = RealDisk::make(directory).map_err(unreadable)?;
        let lock = Exclusive::take(directory)?;
        Self::on(Arc::new(disk), config, Outside::default(), Some(lock))
    }

    pub(super) fn on(
        disk: Arc<dyn Disk>,
        config: AuditConfig,
        outside: Outside,
        lock: Option<Exclusive>,
    ) -> Result<Self, AuditError> {
        let unreadable = |source| AuditError::Unreadable { place: disk.place(""), source };
        let mut snapshots = Snapshots::default();
        let mut walked =
            walk::walk(disk.as_ref(), &mut |seen| note_snapshot(&mut snapshots, seen)).map_err(unreadable)?;
        if let Some(finding) = first_corruption(&walked) {
            return Err(AuditError::Corrupt { finding });
        }
        let recovered = set_aside(disk.as_ref(), &mut walked)
            .map_err(|source| AuditError::NotDurable { place: disk.place(""), source })?;
        let retired = walked.retired.map(|(through, _)| through);
        let mut writer = Writer::after(disk.clone(), (config, outside), walked)?;
        for event in &recovered {
            writer.event(event)?;
        }
        let mut inner = Inner { writer, snapshots, full: None, appends: 0, folders: BTreeSet::new() };
        inner.prepare(retired)?;
        Ok(Self { inner: Mutex::new(inner), _lock: lock })
    }

    /// Appends a record and returns once it lasts.
    ///
    /// # Errors
    /// See [`AuditError`]. The record then counts for nothing, and what it speaks of must not be done.
    pub fn append(&self, record: &Record) -> Result<Appended, AuditError> {
        self.lock().append(&fit::fit(record.clone()), None)
    }

    /// Keeps the snapshot, notes its digest in the decision, and appends that. A record that is no decision
    /// is appended as it is.
    ///
    /// # Errors
    /// See [`AuditLog::append`].
    pub fn append_decision(&self, mut record: Record, snapshot: &Snapshot) -> Result<Appended, AuditError> {
        let bytes = plimsoll_wire::canonical(snapshot)
            .map_err(|error| AuditError::Unwritable { problem: error.to_string() })?;
        let digest = Hash::of(&bytes);
        if let Body::Decision(decision) = &mut record.body {
            decision.snapshot = digest.to_string();
        }
        self.lock().append(&fit::fit(record), Some(&bytes))
    }

    /// The newest record, as journals keep it: `<log>/<sequence>:<hash>`. Empty before the first.
    #[must_use]
    pub fn head(&self) -> String {
        let inner = self.lock();
        let Writer { head, log, .. } = &inner.writer;
        if head.sequence == 0 { String::new() } else { Known { log, head: *head }.to_string() }
    }

    /// Why nothing is begun now, if nothing is: the log failed or the disk is full. For readiness and
    /// metrics only: the next append is what finds out that it is over.
    #[must_use]
    pub fn halted(&self) -> Option<String> {
        let inner = self.lock();
        let full = inner.full.map(|_| "the disk of the audit log is full".to_owned());
        inner.writer.failed().or(full)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic inside would leave a line that was never acknowledged: the next append finds the length
        // changed and starts a new segment.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What an opened log does before its first append.
    fn prepare(&mut self, retired: Option<u32>) -> Result<(), AuditError> {
        let disk = self.writer.disk.clone();
        let unreadable = |source| AuditError::Unreadable { place: disk.place(""), source };
        // The first line of a new log, so that an empty directory can be told from one that was emptied.
        self.writer.make_room(0)?;
        disk.make_folder(blob::FOLDER).and_then(|()| disk.sync_folder("")).map_err(unreadable)?;
        let aged = i64::try_from(self.writer.config.keep_snapshot_ms).unwrap_or(i64::MAX);
        let too_old = (self.writer.outside.wall_ms)().saturating_sub(aged);
        for (digest, stat) in blob::all(disk.as_ref()).map_err(unreadable)? {
            if !self.snapshots.measure(digest, stat.length) && stat.modified_ms < too_old {
                disk.remove(&blob::name(digest)).map_err(unreadable)?;
            }
        }
        if let Some(through) = retired {
            self.remove_segments(through);
        }
        if let Err(error) = self.set_ballast() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "no room can be set aside for the audit log"
            );
            self.full = Some(Fullness { recorded: false });
        }
        Ok(())
    }

    fn append(&mut self, record: &Record, snapshot: Option<&[u8]>) -> Result<Appended, AuditError> {
        let result = self.try_append(record, snapshot);
        if let Err(AuditError::NotDurable { source, .. }) = &result
            && is_full(source)
        {
            self.give_up_ballast(&source.to_string());
        }
        result
    }

    fn try_append(&mut self, record: &Record, snapshot: Option<&[u8]>) -> Result<Appended, AuditError> {
        if begins_something(&record.body) {
            self.check_space()?;
        }
        let body = plimsoll_wire::canonical(record)
            .map_err(|error| AuditError::Unwritable { problem: error.to_string() })?;
        let kept = match snapshot {
            Some(bytes) => Some(
                blob::store(self.writer.disk.as_ref(), bytes, &mut self.folders)
                    .map_err(|source| self.writer.not_durable(source))?,
            ),
            None => None,
        };
        if self.writer.make_room(body.len() + 256)? {
            self.retire_segments()?;
            self.retire_snapshots()?;
        }
        let head = self.writer.write(Content::Record, &body)?;
        self.appends += 1;
        if let Some((digest, bytes)) = kept {
            self.snapshots.mention(digest, head.sequence, (self.writer.outside.wall_ms)());
            self.snapshots.measure(digest, bytes);
        }
        if self.snapshots.are_too_large(&self.writer.config) && self.appends.is_multiple_of(64) {
            // The record lasts, whatever becomes of this; it is tried again.
            if let Err(error) = self.retire_snapshots() {
                tracing::warn!(error = &error as &dyn std::error::Error, "old snapshots stay");
            }
        }
        Ok(Appended { sequence: head.sequence, hash: head.hash, snapshot: kept.map(|(digest, _)| digest) })
    }

    /// Refuses when the disk has too little room to begin something that needs further records.
    fn check_space(&mut self) -> Result<(), AuditError> {
        let disk = self.writer.disk.clone();
        let place = disk.place("");
        let floor = self.writer.config.min_free_bytes;
        let free =
            disk.free_bytes().map_err(|source| AuditError::Unreadable { place: place.clone(), source })?;
        if free < floor {
            self.record_fullness(&format!("{free} bytes are free, less than {floor}"));
            return Err(AuditError::Full { place, free, floor });
        }
        if self.full.is_some() {
            self.set_ballast().map_err(|source| {
                let floor = floor.saturating_add(self.writer.config.ballast_bytes);
                if is_full(&source) {
                    AuditError::Full { place, free, floor }
                } else {
                    self.writer.not_durable(source)
                }
            })?;
            self.writer.event(&Event::Resumed {})?;
            self.full = None;
        }
        Ok(())
    }

    fn record_fullness(&mut self, why: &str) {
        if self.full.is_none_or(|full| !full.recorded) {
            let recorded = self.writer.event(&Event::Halted { why: why.to_owned() }).is_ok();
            self.full = Some(Fullness { recorded });
        }
    }

    /// A write met a full disk: the room that was set aside takes the record that says so.
    fn give_up_ballast(&mut self, why: &str) {
        let disk = self.writer.disk.clone();
        if let Err(error) = disk.remove(BALLAST).and_then(|()| disk.sync_folder("")) {
            tracing::warn!(error = &error as &dyn std::error::Error, "the ballast stays");
        }
        self.record_fullness(why);
    }

    /// Makes sure that the ballast lies there in full.
    fn set_ballast(&self) -> io::Result<()> {
        let (disk, bytes) = (&self.writer.disk, self.writer.config.ballast_bytes);
        if bytes == 0 {
            return disk.remove(BALLAST);
        }
        if disk.stat(BALLAST)?.is_some_and(|stat| stat.length == bytes) {
            return Ok(());
        }
        let set = disk.reserve(BALLAST, bytes).and_then(|()| disk.sync_folder(""));
        if set.is_err() {
            // Half a ballast only takes room.
            let _ = disk.remove(BALLAST);
        }
        set
    }

    /// Removes the oldest sealed segments beyond what is kept, once a record says so.
    fn retire_segments(&mut self) -> Result<(), AuditError> {
        let config = &self.writer.config;
        let Some((number, last)) =
            retention::through(&self.writer.sealed, config, (self.writer.outside.wall_ms)())
        else {
            return Ok(());
        };
        self.writer.event(&Event::Retired { through: number, last: last.to_string() })?;
        self.remove_segments(number);
        let gone = self.snapshots.only_before(last.sequence + 1);
        self.remove_snapshots(&gone);
        Ok(())
    }

    fn remove_segments(&mut self, through: u32) {
        let disk = self.writer.disk.clone();
        while let Some(segment) = self.writer.sealed.first().filter(|segment| segment.number <= through) {
            // One by one, each for good before the next: what is left is always the newest part. What fails
            // is tried again when the log is opened or retired the next time.
            let name = segment_name(segment.number);
            if let Err(error) = disk.remove(&name).and_then(|()| disk.sync_folder("")) {
                tracing::warn!(error = &error as &dyn std::error::Error, name, "a retired segment stays");
                break;
            }
            self.writer.sealed.remove(0);
        }
    }

    fn retire_snapshots(&mut self) -> Result<(), AuditError> {
        let config = &self.writer.config;
        let Some(due) =
            self.snapshots.due(config, self.writer.head.sequence, (self.writer.outside.wall_ms)())
        else {
            return Ok(());
        };
        self.writer.event(&Event::RetiredSnapshots { before: due.before })?;
        self.remove_snapshots(&due.digests);
        Ok(())
    }

    fn remove_snapshots(&mut self, digests: &[Hash]) {
        for digest in digests {
            if let Err(error) = self.writer.disk.remove(&blob::name(*digest)) {
                tracing::warn!(error = &error as &dyn std::error::Error, %digest, "an old snapshot stays");
            }
            self.snapshots.forget(*digest);
        }
    }
}

/// Decisions and intents lead to further records; everything else ends or explains what was begun, and is
/// written as long as there is room.
fn begins_something(body: &Body) -> bool {
    match body {
        Body::Decision(_) | Body::Intent { .. } => true,
        Body::Outcome { .. }
        | Body::Plan { .. }
        | Body::Command { .. }
        | Body::Epoch { .. }
        | Body::Trouble { .. } => false,
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn first_corruption(walked: &Walked) -> Option<super::Finding> {
    walked.findings.iter().find(|finding| !matches!(finding.problem, super::Problem::Torn { .. })).cloned()
}

/// The part of a record that tells which snapshot it mentions.
#[derive(Deserialize)]
struct Mentioning {
    body: MentioningBody,
}

#[derive(Deserialize)]
struct MentioningBody {
    kind: String,
    #[serde(default)]
    snapshot: String,
}

/// The snapshot that a line mentions.
pub(super) fn snapshot_of(seen: &Seen<'_, '_>) -> Option<Hash> {
    if seen.link.content != Content::Record {
        return None;
    }
    let record: Mentioning = serde_json::from_slice(seen.link.body).ok()?;
    (record.body.kind == "decision").then(|| record.body.snapshot.parse().ok()).flatten()
}

fn note_snapshot(snapshots: &mut Snapshots, seen: &Seen<'_, '_>) {
    if let Some(digest) = snapshot_of(seen) {
        snapshots.mention(digest, seen.link.head.sequence, walk::wall_ms(seen.link.time));
    }
}

/// Moves half-written lines into files of their own and says so in records to be written.
fn set_aside(disk: &dyn Disk, walked: &mut Walked) -> io::Result<Vec<Event>> {
    let mut recovered = Vec::new();
    for Tail { segment, offset, bytes } in &walked.tails {
        let kept_as = format!("audit-{segment:08}.{offset}.torn");
        disk::replace(disk, &kept_as, bytes).map_err(disk::ReplaceError::into_io)?;
        disk.cut(&segment_name(*segment), *offset)?;
        recovered.push(Event::Recovered {
            segment: *segment,
            offset: *offset,
            bytes: bytes.len() as u64,
            sha256: Hash::of(bytes).to_string(),
            kept_as,
        });
    }
    // A newest segment without a line is written again, and says once more what it follows.
    if let Some(newest) = walked.segments.last().filter(|segment| segment.length == 0) {
        disk.remove(&segment_name(newest.number))?;
        disk.sync_folder("")?;
        walked.segments.pop();
    }
    Ok(recovered)
}
