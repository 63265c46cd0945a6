//! Where journals are kept (`decisions.md` D5): a compare-and-set store with one entry a target.

mod file;
#[cfg(test)]
mod tests;

pub use file::{FileJournals, Kept, read_all};

use crate::disk::Held;
use plimsoll_wire::journal::Journal;
use std::io;

/// Counts the writes of one target's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// A home of journals. Where it is, is chosen once, when the daemon is put together.
#[derive(Clone, Debug)]
pub enum JournalStore {
    /// A locked directory with a file a target.
    File(FileJournals),
}

impl JournalStore {
    /// The journal of a target (`namespace/name`) with the revision to write it against; `None` when there
    /// never was one.
    ///
    /// # Errors
    /// [`JournalError::UnknownFormat`], [`JournalError::Unreadable`] and [`JournalError::NotDurable`]: the
    /// target holds.
    pub async fn load(&self, target: &str) -> Result<Option<(Journal, Revision)>, JournalError> {
        match self {
            Self::File(store) => store.load(target).await,
        }
    }

    /// Writes a journal if the stored one still has the revision `expected` (`None`: if there is none), and
    /// returns once it lasts.
    ///
    /// # Errors
    /// See [`JournalError`]. After any of them the caller loads again before it acts.
    pub async fn store(
        &self,
        target: &str,
        expected: Option<Revision>,
        journal: &Journal,
    ) -> Result<Revision, JournalError> {
        match self {
            Self::File(store) => store.store(target, expected, journal).await,
        }
    }
}

/// Why a journal could not be read or written. In every case the target holds.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Somebody else wrote it since it was read.
    #[error("the journal of {target} changed since it was read: it is now at {}", revision(*found))]
    Conflict {
        /// Of which target.
        target: String,
        /// The revision that is stored.
        found: Option<Revision>,
    },
    /// Another version of Plimsoll wrote it.
    #[error(
        "the journal {place} has format version {version}, this daemon knows {}; hint: run the daemon that \
         wrote it, or a newer one",
        plimsoll_wire::FORMAT_VERSION
    )]
    UnknownFormat {
        /// Where.
        place: String,
        /// The version it has.
        version: u64,
    },
    /// It is there and cannot be understood. It is never overwritten.
    #[error(
        "the journal {place} cannot be used: {problem}; hint: restore the file from a backup, or, when no \
         change of this target is under way, move it aside and the target starts without a history"
    )]
    Unreadable {
        /// Where.
        place: String,
        /// What is wrong with it.
        problem: String,
        /// The operating system's error, if it was one.
        #[source]
        source: Option<io::Error>,
    },
    /// The journal is larger than a store takes, or names another target.
    #[error("the journal of {target} was not written: {problem}")]
    Refused {
        /// Of which target.
        target: String,
        /// Why.
        problem: String,
    },
    /// It is not known to last: the disk is full or failing.
    #[error(
        "the journal {place} could not be made to last; hint: free space on its disk, or replace the disk"
    )]
    NotDurable {
        /// Where.
        place: String,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
    /// Another daemon has the directory.
    #[error(transparent)]
    Held(#[from] Held),
    /// The daemon is going down.
    #[error("the journal of {target} was not reached: the daemon is stopping")]
    Stopping {
        /// Of which target.
        target: String,
    },
}

impl JournalError {
    /// The stable word for metrics, records and docs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "conflict",
            Self::UnknownFormat { .. } => "unknown-format",
            Self::Unreadable { .. } => "unreadable",
            Self::Refused { .. } => "refused",
            Self::NotDurable { .. } => "not-durable",
            Self::Held(_) => "held",
            Self::Stopping { .. } => "stopping",
        }
    }
}

fn revision(found: Option<Revision>) -> String {
    found.map_or_else(
        || "no revision (it is gone)".to_owned(),
        |Revision(number)| format!("revision {number}"),
    )
}
