//! From configuration to tools, hands and specs: the one place where a target's actuator is chosen.

use super::hands::{Deadlines, Hands, Servers, Site, Tools};
use crate::actuate::journal::{FileJournals, JournalStore};
use crate::audit::{AuditConfig, AuditLog};
use crate::clock::Clock;
use crate::collect::{BatchBy, Collector, Credentials, SignalDefinition, SourceConfig};
use crate::config::{self, DaemonConfig, PlatformKind, TargetConfig};
use crate::platforms::sim::{Kind, Playground};
use crate::platforms::{Platform, exec};
use crate::policy::{Launch, Library, LibraryConfig, Sandbox};
use crate::systems::{System, etcd};
use anyhow::{Context, bail};
use plimsoll_core::combine::OnError;
use plimsoll_core::cycle::{PolicyRef, Spec};
use plimsoll_core::profile;
use std::sync::Arc;
use std::time::Duration;

/// How often a running plan is looked at, in milliseconds: at most one direct read a second.
const PACE_MS: u64 = 1_000;

/// Opens everything that targets share.
pub async fn tools(daemon: &DaemonConfig) -> anyhow::Result<Tools> {
    let journals = FileJournals::open(&daemon.state_dir.join("journal")).context("opening the journals")?;
    let audit = AuditLog::open(
        &daemon.audit.dir,
        AuditConfig {
            segment_bytes: daemon.audit.segment_bytes,
            keep_bytes: daemon.audit.retention_bytes,
            keep_snapshot_ms: millis(daemon.audit.retention),
            ..AuditConfig::default()
        },
    )
    .context("opening the audit log")?;
    let launch = Launch {
        sandbox: match daemon.policy_host.sandbox {
            config::Sandbox::Required => Sandbox::Required,
            config::Sandbox::BestEffort => Sandbox::BestEffort,
        },
        ..Launch::default()
    };
    let library =
        LibraryConfig { launch, cache: Some(daemon.state_dir.join("cache")), ..LibraryConfig::default() };
    let library = Library::open(&daemon.policies_dir, library)
        .await
        .with_context(|| format!("reading policy directory {}", daemon.policies_dir.display()))?;
    Ok(Tools {
        clock: Clock::new().context("reading the boot id")?,
        journals: Arc::new(JournalStore::File(journals)),
        audit: Arc::new(audit),
        library: Arc::new(library),
        collector: collector(daemon)?,
        counters: Arc::default(),
    })
}

/// The sources of signals.
pub fn collector(daemon: &DaemonConfig) -> anyhow::Result<Collector> {
    crate::collect::install_crypto();
    let sources = daemon.sources.values().map(|source| SourceConfig {
        credentials: match &source.token_file {
            Some(file) => Credentials::Bearer { file: file.clone() },
            None => Credentials::None,
        },
        ca_file: source.ca_file.clone(),
        deadline: source.deadline,
        ..SourceConfig::new(&source.name, &source.url)
    });
    Collector::new(sources.collect()).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(|error| super::hands::chain(error)).collect();
        anyhow::anyhow!("sources: {}", lines.join("; "))
    })
}

/// What the core is told of a target.
pub fn spec(target: &TargetConfig) -> anyhow::Result<Spec> {
    let (system, platform) = match (&target.system, &target.platform.kind) {
        (config::System::Etcd(_), _) => ("etcd", "exec"),
        (config::System::Sim, PlatformKind::Sim(world)) => (kind(world).system(), "sim"),
        (config::System::Sim, PlatformKind::Exec(_)) => bail!("system sim needs a platform of kind sim"),
    };
    let profile = profile::find(system).with_context(|| format!("no profile for system {system}"))?;
    Ok(Spec {
        key: Arc::from(target.key.to_string()),
        profile,
        platform: platform.to_owned(),
        mode: target.mode,
        min: target.min_replicas,
        max: target.max_replicas,
        behavior: target.behavior.clone(),
        safety: target.safety.clone(),
        policies: target.policies.iter().map(policy).collect(),
        held: target.annotations.get("plimsoll.dev/paused").cloned(),
        interval_ms: millis(target.interval),
        pace_ms: PACE_MS.min(millis(target.interval)),
    })
}

fn policy(policy: &config::PolicyConfig) -> PolicyRef {
    PolicyRef {
        name: policy.name.clone(),
        module: policy.module.trim_end_matches(".wasm").to_owned(),
        on_error: match policy.on_error {
            config::OnError::Hold => OnError::Hold,
            config::OnError::Ignore => OnError::Ignore,
            config::OnError::Fail => OnError::Fail,
        },
        settings: policy.settings.clone(),
    }
}

/// What carries a target's effects out.
pub fn hands(target: &TargetConfig, daemon: &DaemonConfig, tools: &Tools) -> anyhow::Result<Hands> {
    let key: Arc<str> = Arc::from(target.key.to_string());
    let signals = target.signals.iter().map(|signal| definition(signal, &target.key.name)).collect();
    let site = match (&target.system, &target.platform.kind) {
        (config::System::Etcd(system), PlatformKind::Exec(commands)) => {
            let (platform, deadlines) = platform(target, commands, daemon)?;
            Site::Servers(Box::new(Servers::new(platform, System::Etcd(etcd_driver(system)), deadlines)))
        }
        (config::System::Sim, PlatformKind::Sim(world)) => {
            Site::Playground(Box::new(Playground::new(kind(world), world.seed, tools.clock.now())))
        }
        (config::System::Etcd(_), PlatformKind::Sim(_)) | (config::System::Sim, PlatformKind::Exec(_)) => {
            bail!("system and platform do not go together: both are the simulator's, or neither is")
        }
    };
    Ok(Hands::new(key, tools.clone(), site, signals))
}

fn etcd_driver(system: &config::EtcdSystem) -> etcd::Etcd {
    etcd::Etcd::new(etcd::EtcdConfig {
        ca: system.ca_file.clone(),
        cert: system.identity.as_ref().map(|identity| identity.cert_file.clone()),
        key: system.identity.as_ref().map(|identity| identity.key_file.clone()),
        username: system.login.as_ref().map(|login| login.username.clone()),
        password_file: system.login.as_ref().map(|login| login.password_file.clone()),
    })
}

/// Which world a platform of kind sim has.
fn kind(platform: &config::SimPlatform) -> Kind {
    match platform.world {
        config::World::Quorum => Kind::Quorum,
        config::World::Sharded => Kind::Sharded,
    }
}

fn platform(
    target: &TargetConfig,
    commands: &config::ExecPlatform,
    daemon: &DaemonConfig,
) -> anyhow::Result<(Platform, Deadlines)> {
    // A platform that is only looked at has no commands to change anything. Enforce needs both (the
    // configuration says so), so these two never run.
    let refuse = || config::Command { argv: vec!["/bin/false".to_owned()], timeout: Duration::from_secs(1) };
    let add = commands.add.clone().unwrap_or_else(refuse);
    let remove = commands.remove.clone().unwrap_or_else(refuse);
    // The guard ends the command at its own deadline; ours is later, so that we hear of it.
    let margin = Duration::from_secs(40);
    let deadlines = Deadlines { start: add.timeout + margin, stop: remove.timeout + margin };
    let exec = exec::Exec::new(
        exec::ExecConfig {
            name: target.platform.name.clone(),
            list: command(&commands.list),
            add: command(&add),
            remove: command(&remove),
            working_dir: commands.working_directory.clone(),
            // The configuration has checked that this target may use it.
            namespaces: std::iter::once("*".to_owned()).collect(),
        },
        daemon.state_dir.join("exec"),
    )?;
    Ok((Platform::Exec(exec), deadlines))
}

fn command(command: &config::Command) -> exec::Command {
    exec::Command {
        argv: command.argv.clone(),
        timeout: command.timeout,
        env: std::collections::BTreeMap::new(),
    }
}

/// What a signal of a document asks its source.
#[must_use]
pub fn definition(signal: &config::SignalConfig, target: &str) -> SignalDefinition {
    SignalDefinition {
        name: signal.name.clone(),
        source: signal.source.clone(),
        query: signal.query.clone(),
        window_ms: millis(signal.window),
        step_ms: millis(signal.step),
        max_age_ms: millis(signal.max_age),
        min_coverage_permille: signal.coverage_permille,
        aggregation: signal.aggregation.map(|aggregation| match aggregation {
            config::Aggregation::Sum => crate::collect::Aggregation::Sum,
            config::Aggregation::Avg => crate::collect::Aggregation::Avg,
            config::Aggregation::Max => crate::collect::Aggregation::Max,
            config::Aggregation::Min => crate::collect::Aggregation::Min,
        }),
        counter: signal.counter,
        batch_by: signal
            .batch_by
            .as_ref()
            .map(|label| BatchBy { label: label.clone(), value: target.to_owned() }),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
