//! The audit log: what was seen, asked, refused and done, durable before the effect and tamper-evident.
//!
//! A directory holds segments `audit-<number>.jsonl`, one record a line:
//! `{"sequence":N,"time":"...","prev":"<hash>","record":{...},"hash":"<hash>"}`. `hash` is the SHA-256 of the
//! line's bytes before `,"hash"`, `prev` is the hash of the line before, across segments too. Lines of the
//! log's own have an `event` in the place of the `record`. Snapshots lie beside them, compressed, under the
//! digest of their canonical bytes: `blobs/ab/<sha256>.json.gz`.
//!
//! One daemon writes, one record at a time, each synced before the append returns. So at most one record is
//! in doubt after a crash, the last one; what is broken anywhere else was broken by somebody. A chain alone
//! does not show a tail that was cut off: the journals keep the head (`decisions.md` D5), and which log it is of, since
//! daemons that take over from each other have one each.

mod blob;
mod chain;
mod event;
mod finding;
mod fit;
mod log;
mod read;
mod retention;
#[cfg(test)]
mod tests;
mod verify;
mod walk;
mod writer;

pub use chain::{Hash, Head};
pub use event::Event;
pub use finding::{Finding, Problem};
pub use log::{Appended, AuditLog};
pub use read::{Entry, EntryBody, ReadError, newest, read, read_snapshot};
pub use verify::{ExpectedHead, Soundness, VerifyReport, verify};

use crate::disk::Held;
use crate::machine;
use std::io;

const QUARTER_MS: u64 = 90 * 24 * 3_600_000;

/// The limits of an audit log (`audit` in the daemon's file). Each default is what a daemon should use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// A segment is sealed before it grows past this. At least 1 KiB, at most 1 GiB.
    pub segment_bytes: u64,
    /// Sealed segments are removed, oldest first, while all together are larger than this.
    pub keep_bytes: u64,
    /// Sealed segments whose newest record is older than this many milliseconds are removed, oldest first; the
    /// newest of them stays, so that a clock that jumps does not empty the log.
    pub keep_ms: u64,
    /// Snapshots are removed, oldest first, while all together are larger than this.
    pub keep_snapshot_bytes: u64,
    /// Snapshots older than this many milliseconds are removed.
    pub keep_snapshot_ms: u64,
    /// The snapshots of this many newest records are never removed.
    pub keep_snapshot_records: u64,
    /// What is set aside, so that a full disk still takes the record that says so.
    pub ballast_bytes: u64,
    /// With less free space than this, decisions and intents are refused.
    pub min_free_bytes: u64,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            // Read as a whole after an error: this long takes well under a second.
            segment_bytes: 64 << 20,
            // A decision every ten seconds at 2 KiB is 17 MiB a day and target: months of a fleet, compressed.
            keep_bytes: 10 << 30,
            // A quarter is what people look back over.
            keep_ms: QUARTER_MS,
            // Two thousand decisions on a thousand members, or a million on three.
            keep_snapshot_bytes: 1 << 30,
            keep_snapshot_ms: QUARTER_MS,
            keep_snapshot_records: 1_000,
            ballast_bytes: 16 << 20,
            // A plan that begins with this much can write all that it will have to say.
            min_free_bytes: 64 << 20,
        }
    }
}

/// What a log takes from the machine.
#[derive(Clone, Copy, Debug)]
struct Outside {
    /// Milliseconds since 1970, for the `time` of a line: for people, and for the age of records and snapshots.
    wall_ms: fn() -> i64,
    /// A name for a new log that no other log ever had.
    new_log: fn() -> io::Result<String>,
}

impl Default for Outside {
    fn default() -> Self {
        Self { wall_ms: || jiff::Timestamp::now().as_millisecond(), new_log: machine::uuid }
    }
}

/// Why the audit log does not take a record. Nothing may be done that it does not hold.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The record is not known to last. The next append starts a new segment and says so in it.
    #[error(
        "the audit log {place} could not be made to last; hint: free space on its disk, or replace the disk"
    )]
    NotDurable {
        /// Where.
        place: String,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
    /// The disk is too full to begin anything.
    #[error(
        "the disk of the audit log {place} has {free} bytes free, less than {floor}; hint: free space there, \
         until then nothing is begun"
    )]
    Full {
        /// The directory.
        place: String,
        /// Bytes that are free.
        free: u64,
        /// Bytes that must be free.
        floor: u64,
    },
    /// The log was altered. Nothing is appended to it any more.
    #[error(
        "the audit log is corrupt: {finding}; hint: run `plimsoll audit verify`, keep the directory as evidence, and start with an empty one"
    )]
    Corrupt {
        /// What and where.
        finding: Finding,
    },
    /// The record does not fit into a line.
    #[error("a record of {bytes} bytes is longer than the {limit} that a line may have")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The record or the snapshot cannot be written down.
    #[error("the record cannot be written: {problem}")]
    Unwritable {
        /// Why.
        problem: String,
    },
    /// Another daemon has the directory.
    #[error(transparent)]
    Held(#[from] Held),
    /// A new log could not be named.
    #[error("a new audit log cannot be given a name")]
    Unnamed(#[source] io::Error),
    /// The directory cannot be read.
    #[error("the audit log {place} cannot be read{}", hint(.source))]
    Unreadable {
        /// Where.
        place: String,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
}

/// What to do about a directory that cannot be read.
fn hint(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::NotFound {
        "; hint: the daemon makes it when it runs for the first time; `--config` or a directory names another"
    } else {
        ""
    }
}

impl AuditError {
    /// The stable word for metrics, records and docs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotDurable { .. } => "not-durable",
            Self::Full { .. } => "full",
            Self::Corrupt { .. } => "corrupt",
            Self::TooLong { .. } => "too-long",
            Self::Unwritable { .. } => "unwritable",
            Self::Held(_) => "held",
            Self::Unnamed(_) => "unnamed",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}
