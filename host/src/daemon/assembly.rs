//! From configuration to tools, backends, executors and specs. A target's kinds choose its drivers.

use super::executor::{Backend, Executor, RECORDERS, Tools};
use crate::actuate::journal::{FileJournals, JournalStore, KubernetesJournals};
use crate::audit::AuditLog;
use crate::collect::{Collector, TakenAway};
use crate::config::{DaemonConfig, TargetConfig};
use crate::kubernetes::ApiServer;
use crate::leadership::{Election, Leadership};
use crate::machine::Clock;
use crate::platforms;
use crate::policy::{Library, LibraryConfig};
use crate::systems;
use crate::yaml::value::millis;
use anyhow::{Context, anyhow, bail};
use plimsoll_core::cycle::Spec;
use plimsoll_core::profile;
use plimsoll_wire::profile::Profile;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// How often a running plan is looked at, in milliseconds: at most one direct read a second.
const PACE_MS: u64 = 1_000;

/// Opens everything that targets share.
pub async fn tools(daemon: &DaemonConfig) -> anyhow::Result<(Tools, Election)> {
    let clock = Clock::new().context("reading the boot id")?;
    let leadership = leadership(daemon, &clock);
    let kubernetes = kubernetes(daemon, leadership.clone()).await?;
    let journals = match &kubernetes {
        Some(server) => JournalStore::Kubernetes(KubernetesJournals::new(server.clone())),
        None => {
            let folder = daemon.state_dir.join("journal");
            JournalStore::File(FileJournals::open(&folder).context("opening the journals")?)
        }
    };
    let audit = AuditLog::open(&daemon.audit_dir, daemon.audit.clone()).context("opening the audit log")?;
    let library = LibraryConfig {
        cache: Some(daemon.state_dir.join("cache")),
        memory: Some(daemon.state_dir.join("policies")),
        ..daemon.policy_host.clone()
    };
    let library = Library::begin(&daemon.policies_dir, library)
        .with_context(|| format!("reading policy directory {}", daemon.policies_dir.display()))?;
    let election = election(daemon, kubernetes.as_ref(), &leadership, &clock)?;
    let tools = Tools {
        clock,
        leadership,
        leading: election.leading(),
        journals: Arc::new(journals),
        kubernetes,
        audit: Arc::new(audit),
        library: Arc::new(library),
        collector: collector(daemon),
        counters: Arc::default(),
        recorders: Arc::new(Semaphore::new(RECORDERS)),
        lists: Arc::default(),
        taken_away: TakenAway::default(),
    };
    Ok((tools, election))
}

/// Whether this daemon may act: always where it is the only one.
fn leadership(daemon: &DaemonConfig, clock: &Clock) -> Leadership {
    let lease = daemon.kubernetes.as_ref().and_then(|kubernetes| kubernetes.lease.as_ref());
    lease.map_or_else(Leadership::alone, |lease| Leadership::by_lease(clock.clone(), lease.margin()))
}

/// Stands for election last of all: a daemon that leads must be able to act.
fn election(
    daemon: &DaemonConfig,
    server: Option<&Arc<ApiServer>>,
    leadership: &Leadership,
    clock: &Clock,
) -> anyhow::Result<Election> {
    let lease = daemon.kubernetes.as_ref().and_then(|kubernetes| kubernetes.lease.as_ref());
    let (Some(lease), Some(server)) = (lease, server) else { return Ok(Election::none()) };
    Election::begin(lease, server.clone(), leadership.clone(), clock.clone()).context("standing for election")
}

/// The API server, where the daemon's file names one.
pub(crate) async fn kubernetes(
    daemon: &DaemonConfig,
    leadership: Leadership,
) -> anyhow::Result<Option<Arc<ApiServer>>> {
    let Some(kubernetes) = &daemon.kubernetes else { return Ok(None) };
    crate::tls::install_provider();
    Ok(Some(Arc::new(ApiServer::open(kubernetes.access.clone()).await?.guarded_by(leadership.guard()))))
}

/// The sources of signals; those that cannot be used say so, and the others answer.
#[must_use]
pub fn collector(daemon: &DaemonConfig) -> Collector {
    crate::tls::install_provider();
    Collector::of(daemon.sources.values().map(|source| source.config.clone()).collect()).0
}

/// The core's description of a target at a moment, in milliseconds since 1970: pauses end by themselves.
///
/// # Errors
/// When the profile of its system has a flaw on its platform.
pub fn spec(target: &TargetConfig, wall_ms: i64) -> anyhow::Result<Spec> {
    let (system, platform) = (target.system.kind, target.platform.kind);
    let profile = profile::compose(&target.system.settings.profile((system.profile)()), &platform.part);
    let profile = profile.map_err(|flaws| anyhow!("the profile of {}: {}", system.word, flaws.join("; ")))?;
    Ok(Spec {
        key: Arc::from(target.key.to_string()),
        profile,
        platform: platform.word.to_owned(),
        mode: target.mode,
        min: target.min_replicas,
        max: target.max_replicas,
        behavior: target.behavior.clone(),
        safety: target.safety.clone(),
        policies: target.policies.iter().map(|policy| policy.asked.clone()).collect(),
        held: target.pauses.held_at(wall_ms),
        pauses: target.pauses.at(wall_ms),
        interval_ms: millis(target.interval),
        pace_ms: PACE_MS.min(millis(target.interval)),
    })
}

/// Makes the executor that carries out a target's effects on a backend.
#[must_use]
pub fn executor(
    target: &TargetConfig,
    tools: &Tools,
    backend: Arc<Backend>,
    profile: Arc<Profile>,
) -> Executor {
    let key: Arc<str> = Arc::from(target.key.to_string());
    let signals = target.signals.iter().map(|signal| signal.definition.clone()).collect();
    Executor::new(key, tools.clone(), backend, signals, profile)
}

/// Whether two documents give a target the same backend.
#[must_use]
pub fn is_same_backend(one: &TargetConfig, other: &TargetConfig) -> bool {
    one.platform == other.platform && one.system == other.system && one.set_aside == other.set_aside
}

/// Opens a target's backend. Of its document only the platform's and the system's parts count.
///
/// # Errors
/// When they do not go together, or cannot be used.
pub fn backend(target: &TargetConfig, daemon: &DaemonConfig, tools: &Tools) -> anyhow::Result<Backend> {
    let (place, data) = (&target.platform, &target.system);
    if !data.kind.runs_on(place.kind) {
        bail!("{} does not run on the platform {}", data.kind.word, place.name);
    }
    let platform = place.settings.open(&platforms::Opening {
        name: &place.name,
        namespace: &target.key.namespace,
        target: &target.key.name,
        system: data.kind.word,
        endpoints: &data.connection.endpoints,
        set_aside: target.set_aside,
        state_dir: &daemon.state_dir,
        clock: &tools.clock,
        kubernetes: tools.kubernetes.as_ref(),
        lists: &tools.lists,
    })?;
    let system = data.settings.open(&systems::Opening {
        connection: &data.connection,
        leadership: &tools.leadership,
        platform: &*platform,
    })?;
    Ok(Backend::new(platform, system))
}
