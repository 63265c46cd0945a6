//! The daemon's own file: where things are, whom it may ask, and what it may run. Commands, addresses and
//! credentials stand here and nowhere else; a target's document refers to them by name.

mod document;
mod kubernetes;
mod lease;
mod reach;

pub(super) use document::read;
pub use kubernetes::Kubernetes;
pub use lease::Lease;

use super::target::TargetKey;
use crate::kubernetes::Scalable;
use crate::platforms::exec;
use crate::policy::Allowances;
use crate::yaml::problem::quote;
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
    pub sources: BTreeMap<String, Arc<PrometheusSource>>,
    /// Where members run, by name.
    pub platforms: BTreeMap<String, Arc<Platform>>,
    /// How systems are spoken to, by name.
    pub systems: BTreeMap<String, Arc<EtcdSystem>>,
    /// The Kubernetes that workloads are on, where there is one.
    pub kubernetes: Option<Kubernetes>,
    /// How policies are run.
    pub policy_host: PolicyHost,
    /// Where decisions are recorded.
    pub audit: Audit,
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
pub struct PrometheusSource {
    /// Its name.
    pub name: String,
    /// The address below which `/api/v1/query_range` lies; http or https.
    pub url: String,
    /// How long one query may take.
    pub deadline: Duration,
    /// A file with a bearer token, read anew for every request.
    pub token_file: Option<PathBuf>,
    /// A file with the certificates of the authorities that are trusted instead of the built-in ones.
    pub ca_file: Option<PathBuf>,
    /// Whose documents may query it.
    pub namespaces: Namespaces,
}

/// A place where members run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// Its name.
    pub name: String,
    /// Whose documents may use it.
    pub namespaces: Namespaces,
    /// What it is.
    pub kind: PlatformKind,
}

impl Platform {
    /// What tells a target's members there from others: two targets of which it is the same have the same members.
    pub(super) fn members_of(&self, key: &TargetKey) -> Vec<String> {
        let target = key.to_string();
        let mut members = vec![self.name.clone()];
        match &self.kind {
            PlatformKind::Exec(ExecPlatform { list: Listing::Each(command), .. }) => {
                // A command that does not hear of the target lists the same for all of them.
                members.extend(exec::argv_for(&command.argv, &target).unwrap_or_default());
            }
            PlatformKind::Exec(ExecPlatform { list: Listing::All { .. }, .. }) | PlatformKind::Sim(_) => {
                members.push(target);
            }
            PlatformKind::Workload { .. } => {}
        }
        members
    }

    /// What is said of two documents for the same members, and what to do.
    pub(super) fn shared_by_two(&self) -> (String, &'static str) {
        let what = format!("platform {} is scaled by two documents", quote(&self.name));
        let hint = match self.kind {
            PlatformKind::Exec(_) => {
                "keep one, name another platform, or give this one's `list` the argument \"{target}\""
            }
            PlatformKind::Sim(_) | PlatformKind::Workload { .. } => "keep one, or name another platform",
        };
        (what, hint)
    }
}

/// What a platform is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlatformKind {
    /// The owner's own commands.
    Exec(ExecPlatform),
    /// The built-in simulator.
    Sim(SimPlatform),
    /// A workload of the target's own namespace. It stands in the target's document, not in the daemon's file.
    Workload {
        /// Its name.
        name: String,
        /// Its kind.
        kind: Arc<Scalable>,
    },
}

/// The owner's own commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecPlatform {
    /// Says which members there are.
    pub list: Listing,
    /// Starts one; absent where the platform may only be looked at.
    pub add: Option<Command>,
    /// Stops one; absent where the platform may only be looked at.
    pub remove: Option<Command>,
    /// Where the commands run.
    pub working_directory: PathBuf,
}

/// What says which members there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// A command that is asked for one target.
    Each(Command),
    /// A command that tells all targets' at once.
    All {
        /// The command.
        command: Command,
        /// For how long an answer is told to further targets.
        keep: Duration,
    },
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program, an absolute path, and its arguments. No shell reads them.
    pub argv: Vec<String>,
    /// When its process group is ended.
    pub timeout: Duration,
    /// What its environment has besides `PATH` and `PLIMSOLL_*`.
    pub env: BTreeMap<String, String>,
}

/// A simulated world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimPlatform {
    /// Everything in the world follows from it.
    pub seed: u64,
    /// Which world.
    pub world: World,
}

/// The worlds of the simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// One group that agrees by majority.
    Quorum,
    /// Shards with copies.
    Sharded,
}

/// How an etcd is spoken to. Its members' addresses come from the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdSystem {
    /// Its name.
    pub name: String,
    /// A file with the authorities' certificates; with it, TLS is used.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key.
    pub identity: Option<ClientIdentity>,
    /// A user and the file with the password.
    pub login: Option<Login>,
    /// How long one member may take to answer. What changes something has longer; see `host/src/systems/etcd.rs`.
    pub deadline: Duration,
    /// Where members are reached that are pods, by purpose, with blanks to be filled in.
    pub endpoints: BTreeMap<String, String>,
    /// Whose documents may use it.
    pub namespaces: Namespaces,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The file with the certificate.
    pub cert_file: PathBuf,
    /// The file with the key.
    pub key_file: PathBuf,
}

/// A user and the file with the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub username: String,
    /// The file with the password.
    pub password_file: PathBuf,
}

/// How policies are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyHost {
    /// What happens where the kernel cannot confine the child.
    pub sandbox: Sandbox,
    /// What modules may be and take.
    pub allowances: Allowances,
    /// Modules of the class `interpreter`, by file name; all others are `compiled`, unless the manifest beside one
    /// says otherwise.
    pub interpreters: BTreeSet<String>,
}

/// What happens where the kernel cannot confine the child that runs policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sandbox {
    /// No policy is run.
    Required,
    /// Policies run with what confinement there is, and the status says what is missing.
    BestEffort,
}

/// Where decisions are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Where the log and its blobs are.
    pub dir: PathBuf,
    /// When a new file of the log is begun, in bytes.
    pub segment_bytes: u64,
    /// How long records and their snapshots are kept.
    pub retention: Duration,
    /// How many bytes of records are kept, the oldest go first.
    pub retention_bytes: u64,
    /// How many bytes of snapshots are kept, the oldest go first.
    pub snapshot_bytes: u64,
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
