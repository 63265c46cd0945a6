//! The daemon's own file: where things are, whom it may ask, and what it may run. Commands, addresses and
//! credentials stand here and nowhere else; a target's document refers to them by name.

mod connection;
mod document;
mod kubernetes;
mod lease;
mod reach;

pub(super) use document::read;
pub use kubernetes::Kubernetes;

use super::key::TargetKey;
use crate::audit::AuditConfig;
use crate::collect::SourceConfig;
use crate::platforms;
use crate::policy::LibraryConfig;
use crate::systems::{self, connection::Connection};
use crate::yaml::problem::{Sink, quote};
use crate::yaml::raw::Map;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The kind of the daemon's file.
pub(super) const KIND: &str = "DaemonConfig";

/// The daemon's configuration, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct DaemonConfig {
    /// The file that it was read from.
    pub file: PathBuf,
    /// Where the policies' modules are.
    pub policies_dir: PathBuf,
    /// Where the targets' documents are.
    pub targets_dir: PathBuf,
    /// Whether that directory may be missing: the file does not name it, and targets come from the cluster.
    pub targets_optional: bool,
    /// For how long a document has to be gone from there before its target ends.
    pub remove_after: Duration,
    /// Where journals are, and what else must outlive the daemon.
    pub state_dir: PathBuf,
    /// Where HTTP reads are served; none where they are switched off.
    pub http: Option<SocketAddr>,
    /// The Unix socket for everything that changes something.
    pub control_socket: PathBuf,
    /// How often a target is looked at, where its document does not say.
    pub interval: Duration,
    /// Where signals come from, by name.
    pub sources: BTreeMap<String, Arc<Source>>,
    /// Where members run, by name.
    pub platforms: BTreeMap<String, Arc<Platform>>,
    /// How systems are spoken to, by name.
    pub systems: BTreeMap<String, Arc<System>>,
    /// The Kubernetes that workloads are on, where there is one.
    pub kubernetes: Option<Kubernetes>,
    /// How policies are run; nothing is cached or remembered.
    pub policy_host: LibraryConfig,
    /// Where decisions are recorded.
    pub audit_dir: PathBuf,
    /// How much of that is kept.
    pub audit: AuditConfig,
    /// How many plans may move data at a time, over all targets.
    pub concurrent_plans: u32,
    /// What is logged.
    pub log: Log,
}

/// Which namespaces' documents may use something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// All of them.
    All,
    /// These.
    Only(BTreeSet<String>),
}

impl Namespaces {
    /// Whether documents of a namespace may use it.
    pub fn allow(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(namespace),
        }
    }
}

/// A Prometheus, or what speaks its HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it is, and who we are to it.
    pub config: SourceConfig,
    /// Whose documents may query it.
    pub namespaces: Namespaces,
}

/// A place where members run.
#[derive(Clone, Debug)]
pub struct Platform {
    /// Its name.
    pub name: String,
    /// Whose documents may use it.
    pub namespaces: Namespaces,
    /// Of which kind it is.
    pub kind: &'static platforms::Kind,
    /// What is said of it.
    pub settings: Arc<dyn platforms::Settings>,
}

// Not derived: that would move the settings, which have no size that is known.
impl PartialEq for Platform {
    fn eq(&self, other: &Self) -> bool {
        let Self { name, namespaces, kind, settings } = self;
        (name, namespaces, *kind) == (&other.name, &other.namespaces, other.kind)
            && **settings == *other.settings
    }
}

impl Platform {
    /// What tells a target's members there from others: two targets of which it is the same have the same members.
    pub(super) fn members_of(&self, key: &TargetKey) -> Vec<String> {
        let mut members = vec![self.name.clone()];
        members.extend(self.settings.members_of(&key.to_string()));
        members
    }

    /// What is said of two documents for the same members, and what to do.
    pub(super) fn shared_by_two(&self) -> (String, &'static str) {
        (format!("platform {} is scaled by two documents", quote(&self.name)), self.kind.twins)
    }
}

/// A data system, and how it is spoken to. Its members' addresses come from the platform.
#[derive(Clone, Debug)]
pub struct System {
    /// Its name.
    pub name: String,
    /// Whose documents may use it.
    pub namespaces: Namespaces,
    /// Of which kind it is.
    pub kind: &'static systems::Kind,
    /// How its members are reached.
    pub connection: Connection,
    /// What is said of it beside that.
    pub settings: Arc<dyn systems::Settings>,
}

impl PartialEq for System {
    fn eq(&self, other: &Self) -> bool {
        let Self { name, namespaces, kind, connection, settings } = self;
        (name, namespaces, *kind, connection)
            == (&other.name, &other.namespaces, other.kind, &other.connection)
            && **settings == *other.settings
    }
}

impl System {
    /// A system of a kind to which nobody connects: nothing about it stands in the daemon's file.
    pub(super) fn unreached(kind: &'static systems::Kind, sink: &mut Sink) -> Self {
        Self {
            name: kind.word.to_owned(),
            namespaces: Namespaces::All,
            kind,
            connection: Connection::default(),
            settings: (kind.read)(&Map::empty(), sink),
        }
    }
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// From which severity on.
    pub level: LogLevel,
    /// How.
    pub format: LogFormat,
}

/// Severities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are the field's own")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}
