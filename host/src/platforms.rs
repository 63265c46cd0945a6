//! Where members run: what is there, and how a member is started and stopped.
//!
//! One more platform is a folder here and a line in [`KINDS`]: documents, schema and assembly walk that table.

pub mod exec;
#[cfg(feature = "kubernetes")]
pub mod kube;
pub mod sim;

use crate::actuate::{Alike, Pending, Permit};
use crate::kubernetes::{ApiServer, Scalable};
use crate::machine::Clock;
use crate::yaml::problem::Sink;
use crate::yaml::raw::Map;
use plimsoll_core::observation::PlatformReport;
use plimsoll_core::profile;
use plimsoll_wire::journal::{Outcome, PlatformVerb};
use plimsoll_wire::snapshot::{Endpoints, Signal};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Every kind of platform, in the order in which messages and the reference name them.
pub static KINDS: &[&Kind] = &[
    &exec::KIND,
    &sim::KIND,
    #[cfg(feature = "kubernetes")]
    &kube::KIND,
];

/// A target's platform.
pub trait Platform: Any + fmt::Debug + Send + Sync {
    /// What the platform says about `target` (`namespace/name`), past every cache where `direct`. What could not be read is
    /// a gap.
    fn observe<'a>(&'a self, target: &'a str, direct: bool) -> Pending<'a, PlatformReport>;

    /// What it measures by itself, as of the observation before.
    fn signals(&self) -> BTreeMap<String, Signal> {
        BTreeMap::new()
    }

    /// Stamps our epoch on the workload, so that writes with an older epoch are rejected.
    ///
    /// # Errors
    /// Why it is not known to be there, in words.
    fn stamp(&self, epoch: u64) -> Pending<'_, Result<(), String>>;

    /// How long a verb may take.
    fn verb_deadline(&self, verb: &PlatformVerb) -> Duration;

    /// Carries out one verb, once, within the permit's deadline.
    fn act<'a>(&'a self, permit: &'a Permit, verb: &'a PlatformVerb) -> Pending<'a, Outcome>;
}

/// A kind of platform: everything that the rest of the daemon asks of it.
pub struct Kind {
    /// The word for it in the daemon's file, in snapshots and in records.
    pub word: &'static str,
    /// The word for it in a target's `targetRef`.
    pub refers: &'static str,
    /// What it is, in one line of the reference.
    pub about: &'static str,
    /// Where it is said which one a target has.
    pub(crate) source: Source,
    /// What is true of it: which member goes, and what it does not tell.
    pub part: profile::Platform,
    /// Whether it runs only the systems that name it as theirs.
    pub is_own: bool,
    /// Whether its members have volume claims that come back with a removed member's data.
    pub has_claims: bool,
    /// Why it must not stand beside a lease; none where a daemon that lost leadership can change nothing there.
    pub unfenced: Option<&'static str>,
    /// What to do about two documents for the same members.
    pub twins: &'static str,
}

/// Where it is said which platform of a kind a target has.
pub(crate) enum Source {
    /// One of the `platforms` of the daemon's file, of which these are the keys and the reader.
    File {
        /// An entry of `platforms` in the daemon's file, for the reference.
        example: &'static str,
        /// Its keys, beside `kind` and `namespaces`.
        keys: &'static [&'static str],
        /// Reads them; relative paths start at the folder.
        read: ReadSettings,
    },
    /// The target's document itself names a workload of its own namespace.
    Workload(WorkloadSettings),
}

/// From the name and the kind of a workload.
pub(crate) type WorkloadSettings = fn(String, Arc<Scalable>) -> Arc<dyn Settings>;

/// A reader of a platform's keys.
pub(crate) type ReadSettings = fn(&Map<'_>, &Path, &mut Sink) -> Arc<dyn Settings>;

/// A platform's settings, read and checked: what it is opened from.
pub trait Settings: Alike + fmt::Debug + Send + Sync {
    /// The platform of a target.
    ///
    /// # Errors
    /// When it cannot be used.
    fn open(&self, opening: &Opening<'_>) -> anyhow::Result<Box<dyn Platform>>;

    /// What tells a target's members there from others: two targets for which it is the same have the same members.
    fn members_of(&self, target: &str) -> Vec<String>;

    /// Whether members can only be looked at.
    fn is_watched_only(&self) -> bool {
        false
    }

    /// The workload on the API server that it scales, where it is one.
    fn workload(&self) -> Option<&Workload> {
        None
    }
}

impl PartialEq for dyn Settings {
    fn eq(&self, other: &Self) -> bool {
        self.is_like(other)
    }
}

/// A workload of a target's own namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Arc<Scalable>,
}

/// What a platform is opened with.
pub struct Opening<'a> {
    /// What the platform is called.
    pub name: &'a str,
    /// The target's namespace.
    pub namespace: &'a str,
    /// The target's name in it.
    pub target: &'a str,
    /// The word for the system that runs there.
    pub system: &'static str,
    /// Where its members are reached that are pods, by purpose, with blanks to be filled in.
    pub endpoints: &'a Endpoints,
    /// Whether removed members' data is set aside (`decisions.md` D22).
    pub set_aside: bool,
    /// Where the daemon keeps what must outlive it.
    pub state_dir: &'a Path,
    /// The machine's clocks.
    pub clock: &'a Clock,
    /// The API server, where the daemon's file names one.
    pub kubernetes: Option<&'a Arc<ApiServer>>,
    /// The lists that targets of one platform have in common.
    pub lists: &'a exec::SharedLists,
}

/// The kind with this word.
#[must_use]
pub fn find(word: &str) -> Option<&'static Kind> {
    KINDS.iter().copied().find(|kind| kind.word == word)
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
