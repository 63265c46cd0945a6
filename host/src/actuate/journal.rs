//! Where journals are kept (`decisions.md` D5): a compare-and-set store with one entry a target.

#[cfg(test)]
mod contract;
mod file;
mod kubernetes;
#[cfg(test)]
mod tests;

pub use file::{FileJournals, Kept, read_all};
pub use kubernetes::KubernetesJournals;

use crate::disk::Held;
use crate::kubernetes::Failure;
use plimsoll_wire::journal::Journal;
use plimsoll_wire::profile::Profile;
use std::io;

/// Counts the writes of one target's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// What to store: a journal, and the profile in whose words it is shown to people where its home can show it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    journal: &'a Journal,
    profile: Option<&'a Profile>,
}

impl<'a> Entry<'a> {
    /// A journal that is shown to people in the words of a profile.
    #[must_use]
    pub fn in_words_of(journal: &'a Journal, profile: &'a Profile) -> Self {
        Self { journal, profile: Some(profile) }
    }
}

impl<'a> From<&'a Journal> for Entry<'a> {
    fn from(journal: &'a Journal) -> Self {
        Self { journal, profile: None }
    }
}

/// A home of journals. Where it is, is chosen once, when the daemon is put together.
#[derive(Clone, Debug)]
pub enum JournalStore {
    /// A locked directory with a file a target.
    File(FileJournals),
    /// An object a target on a Kubernetes.
    Kubernetes(KubernetesJournals),
}

impl JournalStore {
    /// The journal of a target (`namespace/name`) with the revision to write it against; `None` when there
    /// never was one.
    ///
    /// # Errors
    /// [`JournalError::UnknownFormat`], [`JournalError::Unreadable`], [`JournalError::NotDurable`] and
    /// [`JournalError::Unanswered`]: the target holds.
    pub async fn load(&self, target: &str) -> Result<Option<(Journal, Revision)>, JournalError> {
        match self {
            Self::File(store) => store.load(target).await,
            Self::Kubernetes(store) => store.load(target).await,
        }
    }

    /// Writes a journal if the stored one still has the revision `expected` (`None`: if there is none), and
    /// returns once it lasts.
    ///
    /// # Errors
    /// See [`JournalError`]. After any of them the caller loads again before it acts.
    pub async fn store<'a>(
        &self,
        target: &str,
        expected: Option<Revision>,
        entry: impl Into<Entry<'a>>,
    ) -> Result<Revision, JournalError> {
        let entry = entry.into();
        match self {
            Self::File(store) => store.store(target, expected, entry.journal).await,
            Self::Kubernetes(store) => store.store(target, expected, entry).await,
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
        "the journal {place} cannot be used: {problem}; hint: restore it from a backup, or, when no \
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
    /// The API server gave no answer to build on. A write may be there all the same.
    #[error("the journal {place} is not known to be as it should")]
    Unanswered {
        /// Which object.
        place: String,
        /// What was answered.
        #[source]
        source: Failure,
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
            Self::Unanswered { .. } => "unanswered",
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
