//! Lines that the log writes about itself: segments that begin and end, gaps, repairs and removals.

use serde::{Deserialize, Serialize};

/// A line of the log's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Event {
    /// The first line of a segment that follows a sealed one, or of a new log.
    Opened {
        /// See [`plimsoll_wire::FORMAT_VERSION`].
        format_version: u32,
        /// Which log this is: drawn when it was begun, so that of several daemons' heads its own can be told.
        #[serde(default)]
        log: String,
        /// The hash of the seal before it; empty in a new log.
        seal: String,
    },
    /// The first line of a segment that follows a failed write: what the segment before it holds past
    /// `length` was never acknowledged and counts for nothing.
    Gap {
        /// See [`plimsoll_wire::FORMAT_VERSION`].
        format_version: u32,
        /// Which log this is.
        #[serde(default)]
        log: String,
        /// The segment before.
        segment: u32,
        /// Its acknowledged bytes.
        length: u64,
        /// What failed.
        why: String,
    },
    /// The last line of a segment.
    Sealed {
        /// The segment.
        segment: u32,
    },
    /// A half-written line was found at the end of the log and moved aside.
    Recovered {
        /// Where it was.
        segment: u32,
        /// After how many bytes it began.
        offset: u64,
        /// How many bytes it had.
        bytes: u64,
        /// Their SHA-256.
        sha256: String,
        /// The file that keeps them.
        kept_as: String,
    },
    /// The oldest segments, and the snapshots that only they mention, are about to be removed.
    Retired {
        /// The last of them.
        through: u32,
        /// Its last line, as `<sequence>:<hash>`.
        last: String,
    },
    /// Old snapshots are about to be removed.
    RetiredSnapshots {
        /// Records before this sequence may lack theirs.
        before: u64,
    },
    /// Nothing is begun from here on, until the log can be written again.
    Halted {
        /// Why.
        why: String,
    },
    /// What halted the log is over.
    Resumed {},
}
