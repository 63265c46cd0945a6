//! Drivers of data systems: each one observes its system and carries out verbs on it, since what knows how
//! to drain knows how to check.
//!
//! One more system is a folder here and a line in [`KINDS`]: documents, schema, assembly and `set-aside` walk that table.

#[cfg(any(feature = "kafka", feature = "postgres", feature = "redis"))]
mod address;
pub mod connection;
#[cfg(feature = "etcd")]
pub mod etcd;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod metered;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
mod sim;

use crate::actuate::{Alike, Pending, Permit};
use crate::leadership::Leadership;
use crate::platforms::Platform;
use crate::yaml::problem::Sink;
use crate::yaml::raw::Map;
use connection::{Connection, Reach};
use plimsoll_core::observation::{PlatformReport, SystemReport};
use plimsoll_wire::journal::{Outcome, SystemVerb};
use plimsoll_wire::profile::Profile;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Every kind of system, in the order in which messages and the reference name them.
pub static KINDS: &[&Kind] = &[
    #[cfg(feature = "etcd")]
    &etcd::KIND,
    #[cfg(feature = "kafka")]
    &kafka::KIND,
    #[cfg(feature = "postgres")]
    &postgres::KIND,
    #[cfg(feature = "redis")]
    &redis::KIND,
    &sim::QUORUM,
    &sim::SHARDED,
    &sim::TOGETHER,
    &sim::SHARDS,
];

/// The words for kinds that this program was built without.
pub(crate) static LEFT_OUT: &[&str] = &[
    #[cfg(not(feature = "etcd"))]
    "etcd",
    #[cfg(not(feature = "kafka"))]
    "kafka",
    #[cfg(not(feature = "postgres"))]
    "postgres",
    #[cfg(not(feature = "redis"))]
    "redis",
];

/// The driver of one target's system.
pub trait System: fmt::Debug + Send + Sync {
    /// Reads the system. Whatever could not be read is a gap in the report, never an error.
    fn observe<'a>(&'a self, platform: &'a PlatformReport) -> Pending<'a, SystemReport>;

    /// How long a verb may take.
    fn verb_deadline(&self) -> Duration;

    /// Carries out one verb, once. It never repeats a call whose outcome is unknown.
    fn act<'a>(
        &'a self,
        permit: &'a Permit,
        verb: &'a SystemVerb,
        platform: &'a PlatformReport,
    ) -> Pending<'a, Outcome>;
}

/// A kind of system: everything that the rest of the daemon asks of it.
pub struct Kind {
    /// The word for it in documents, snapshots and records.
    pub word: &'static str,
    /// What it is, in one line of the reference.
    pub about: &'static str,
    /// What is true of it wherever it runs: how its members come and go. The platform's part is composed with it.
    pub profile: fn() -> Profile,
    /// The one platform that it lives on; none where it runs on all that are nobody's own.
    pub only_on: Option<&'static str>,
    /// How its members are reached, as the daemon's file says under `systems`; none where nothing is connected to.
    pub reach: Option<Reach>,
    /// Keys of its own in the daemon's file, beside those of every connection.
    pub keys: &'static [&'static str],
    /// Reads them.
    pub(crate) read: fn(&Map<'_>, &mut Sink) -> Arc<dyn Settings>,
    /// How its data on a volume tells whose it is; none where removed members' data cannot be set aside.
    pub data: Option<Data>,
}

/// A system's settings of its own, read and checked: what a driver is opened from.
pub trait Settings: Alike + fmt::Debug + Send + Sync {
    /// The profile of the kind as these settings have it, such as how many members make a unit.
    fn profile(&self, of_the_kind: Profile) -> Profile {
        of_the_kind
    }

    /// The driver for a target; it connects when it is used.
    ///
    /// # Errors
    /// When it cannot be used there.
    fn open(&self, opening: &Opening<'_>) -> anyhow::Result<Box<dyn System>>;
}

impl PartialEq for dyn Settings {
    fn eq(&self, other: &Self) -> bool {
        self.is_like(other)
    }
}

/// What a driver is opened with.
pub struct Opening<'a> {
    /// How the members are reached.
    pub connection: &'a Connection,
    /// Whether this daemon may still act, to be asked before each call that changes something.
    pub leadership: &'a Leadership,
    /// Where the members run.
    pub platform: &'a dyn Platform,
}

/// A system's data on a volume.
pub struct Data {
    /// The folder in the data directory that holds all of it.
    pub folder: &'static str,
    /// Reads whose the data in a data directory is.
    pub identity: fn(&Path) -> Identity,
}

/// What a data directory tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// There is no data.
    Blank,
    /// There is data of this member.
    Of {
        /// The cluster's id, as the system itself prints it.
        cluster: String,
        /// The member's, likewise.
        member: String,
    },
    /// There is something, and whose it is cannot be told.
    Unclear(String),
}

impl Kind {
    /// Whether it runs on a platform.
    #[must_use]
    pub fn runs_on(&self, platform: &crate::platforms::Kind) -> bool {
        self.only_on.map_or(!platform.is_own, |only| only == platform.word)
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word)
    }
}
