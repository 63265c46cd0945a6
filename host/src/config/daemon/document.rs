//! The daemon's file as it is written, and how it becomes checked values.

use super::kubernetes::{RawKubernetes, kubernetes};
use super::reach::{RawSource, platform, source, system};
use super::{DaemonConfig, KIND, Log, LogFormat, LogLevel};
use crate::audit::AuditConfig;
use crate::config::header;
use crate::policy::{Allowance, Allowances, Class, Launch, LibraryConfig, Limits, Sandbox};
use crate::yaml::problem::{At, Sink, quote};
use crate::yaml::raw::{Any, Field, List, Named, Raw, Scalar, raw};
use crate::yaml::tree::Node;
use crate::yaml::value::millis;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

raw! {
    /// The daemon's file as it is written.
    struct RawDaemon {
        api_version: Scalar = "apiVersion",
        kind: Scalar = "kind",
        policies_dir: Scalar = "policiesDir",
        targets_dir: Scalar = "targetsDir",
        remove_after: Scalar = "removeAfter",
        state_dir: Scalar = "stateDir",
        http: RawHttp = "http",
        control: RawControl = "control",
        interval: Scalar = "interval",
        sources: Named<RawSource> = "sources",
        platforms: Named<Any> = "platforms",
        systems: Named<Any> = "systems",
        kubernetes: RawKubernetes = "kubernetes",
        policy_host: RawPolicyHost = "policyHost",
        audit: RawAudit = "audit",
        movement: RawMovement = "movement",
        log: RawLog = "log",
    }
}

raw! {
    struct RawHttp {
        enabled: Scalar = "enabled",
        listen: Scalar = "listen",
        allow_remote: Scalar = "allowRemoteReads",
    }
}

raw! {
    struct RawControl {
        socket: Scalar = "socket",
    }
}

raw! {
    struct RawPolicyHost {
        sandbox: Scalar = "sandbox",
        compiled: RawClass = "compiled",
        interpreter: RawClass = "interpreter",
        interpreters: List<Scalar> = "interpreterModules",
    }
}

raw! {
    struct RawClass {
        module_size: Scalar = "moduleSize",
        compile_cpu: Scalar = "compileCpu",
        compile_memory: Scalar = "compileMemory",
        fuel: Scalar = "fuel",
        memory: Scalar = "memory",
        wall: Scalar = "wall",
    }
}

raw! {
    struct RawAudit {
        dir: Scalar = "dir",
        segment_size: Scalar = "segmentSize",
        retention: Scalar = "retention",
        retention_size: Scalar = "retentionSize",
        snapshot_size: Scalar = "snapshotRetentionSize",
    }
}

raw! {
    struct RawMovement {
        concurrent_plans: Scalar = "concurrentPlans",
    }
}

raw! {
    struct RawLog {
        level: Scalar = "level",
        format: Scalar = "format",
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
const MI: u64 = 1 << 20;
const GI: u64 = 1 << 30;

/// Where reads are served if nothing else is said: this machine only.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9750);

/// The kernel's `sun_path` holds 108 bytes with the zero at its end.
const MAX_SOCKET_PATH: usize = 107;

/// Each source, platform and system costs connections and memory; a thousand is far beyond one daemon's duty.
const MAX_NAMED: usize = 1_000;

/// Reads the daemon's file from its tree. Relative paths start at `base`, the file's own directory.
pub(in crate::config) fn read(
    root: &Node,
    file: &Path,
    base: &Path,
    sink: &mut Sink,
) -> Option<DaemonConfig> {
    let before = sink.len();
    let at = At { line: root.line, column: root.column, path: String::new() };
    let raw = RawDaemon::read(root, at, sink)?;
    let config = convert(&raw, file, base, sink);
    (sink.len() == before).then_some(config)
}

fn convert(raw: &RawDaemon, file: &Path, base: &Path, sink: &mut Sink) -> DaemonConfig {
    header(&raw.at, &raw.api_version, &raw.kind, KIND, sink);
    let state_dir = raw.state_dir.path(base, sink).unwrap_or_else(|| base.join("state"));
    let platforms = named(&raw.platforms, sink, |name, raw, sink| platform(name, raw, base, sink));
    let kubernetes = raw.kubernetes.get().map(|raw| kubernetes(raw, &platforms, base, sink));
    DaemonConfig {
        file: file.to_owned(),
        policies_dir: raw.policies_dir.path(base, sink).unwrap_or_else(|| base.join("policies")),
        targets_dir: raw.targets_dir.path(base, sink).unwrap_or_else(|| base.join("targets")),
        // Long enough to notice a slip and to put the document back; a day is as good as never.
        remove_after: raw.remove_after.wait(5 * MINUTE, SECOND..=DAY, sink),
        http: http(raw.http.get(), sink),
        control_socket: control_socket(raw.control.get(), base, &state_dir, sink),
        // A second is what tests need; ten minutes is the age at which the oldest fact that may be used dies.
        interval: raw.interval.wait(15 * SECOND, SECOND..=10 * MINUTE, sink),
        sources: named(&raw.sources, sink, |name, raw, sink| Some(source(name, raw, base, sink))),
        systems: named(&raw.systems, sink, |name, raw, sink| system(name, raw, base, sink)),
        targets_optional: raw.targets_dir.is_absent() && kubernetes.as_ref().is_some_and(|it| it.autoscalers),
        kubernetes,
        platforms,
        policy_host: policy_host(raw.policy_host.get(), sink),
        audit_dir: audit_dir(raw.audit.get(), base, &state_dir, sink),
        audit: audit(raw.audit.get(), sink),
        // One plan that moves data at a time is what a shared network bears unasked.
        concurrent_plans: raw
            .movement
            .get()
            .and_then(|raw| raw.concurrent_plans.get())
            .map_or(1, |count| count.count(1..=100, sink)),
        log: log(raw.log.get(), sink),
        state_dir,
    }
}

fn size(field: &Field<Scalar>, default: u64, floor: u64, ceiling: u64, sink: &mut Sink) -> u64 {
    field.get().map_or(default, |size| size.bytes(floor..=ceiling, sink))
}

fn http(raw: Option<&RawHttp>, sink: &mut Sink) -> Option<SocketAddr> {
    let Some(raw) = raw else { return Some(DEFAULT_LISTEN) };
    let enabled = raw.enabled.get().is_none_or(|enabled| enabled.switch(sink));
    let remote = raw.allow_remote.get().is_some_and(|remote| remote.switch(sink));
    let address = raw.listen.get().map_or(DEFAULT_LISTEN, |listen| match listen.text.parse::<SocketAddr>() {
        Ok(address) => {
            if !address.ip().is_loopback() && !remote {
                let message = format!("{} can be reached from other machines", quote(&listen.text));
                let hint =
                    "reads have no authentication: listen on `127.0.0.1`, or set `allowRemoteReads: true`";
                sink.add(&listen.at, message, hint);
            }
            address
        }
        Err(_) => {
            let message = format!("{} is not an address with a port", quote(&listen.text));
            sink.add(&listen.at, message, "write it like `127.0.0.1:9750` or `[::1]:9750`");
            DEFAULT_LISTEN
        }
    });
    enabled.then_some(address)
}

fn control_socket(raw: Option<&RawControl>, base: &Path, state_dir: &Path, sink: &mut Sink) -> PathBuf {
    let field = raw.map(|raw| &raw.socket);
    let Some(scalar) = field.and_then(Field::get) else { return state_dir.join("control.sock") };
    let socket = base.join(scalar.text(sink));
    if socket.as_os_str().len() > MAX_SOCKET_PATH {
        let message = format!("the whole path has more than {MAX_SOCKET_PATH} bytes");
        sink.add(&scalar.at, message, "the kernel takes no longer path for a socket: choose a shorter one");
    }
    socket
}

/// A map of named things. Names are DNS labels.
fn named<R, T>(
    field: &Field<Named<R>>,
    sink: &mut Sink,
    mut convert: impl FnMut(&str, &R, &mut Sink) -> Option<T>,
) -> BTreeMap<String, Arc<T>> {
    let Some(named) = field.get() else { return BTreeMap::new() };
    if let Some((name, _)) = named.items.get(MAX_NAMED) {
        sink.add(&name.at, format!("is one of more than {MAX_NAMED}"), "");
    }
    let item = |(name, raw): &(Scalar, R)| Some((name.name(sink), Arc::new(convert(&name.text, raw, sink)?)));
    named.items.iter().filter_map(item).collect()
}

fn policy_host(raw: Option<&RawPolicyHost>, sink: &mut Sink) -> LibraryConfig {
    let class = |raw: Option<&RawClass>, class, sink: &mut Sink| {
        raw.map_or(Allowance::of(class), |raw| allowance(raw, Allowance::of(class), sink))
    };
    let words = [("required", Sandbox::Required), ("best-effort", Sandbox::BestEffort)];
    let sandbox = raw.and_then(|raw| raw.sandbox.get());
    let interpreters = raw.and_then(|raw| raw.interpreters.get());
    let mut name = |module: &Scalar| module.module(sink).trim_end_matches(".wasm").to_owned();
    let interpreters = interpreters.map(|list| list.items.iter().map(&mut name).collect());
    LibraryConfig {
        launch: Launch {
            sandbox: sandbox.map_or(Sandbox::Required, |word| word.choice(&words, Sandbox::Required, sink)),
            allowances: Allowances {
                compiled: class(raw.and_then(|raw| raw.compiled.get()), Class::Compiled, sink),
                interpreter: class(raw.and_then(|raw| raw.interpreter.get()), Class::Interpreter, sink),
            },
            ..Launch::default()
        },
        interpreters: interpreters.unwrap_or_default(),
        ..LibraryConfig::default()
    }
}

fn allowance(raw: &RawClass, default: Allowance, sink: &mut Sink) -> Allowance {
    let (most, normal) = (Allowance::ceiling(), default.limits);
    let compile_cpu = Duration::from_secs(default.compile_cpu_s);
    let longest_compile = Duration::from_secs(most.compile_cpu_s);
    let compile_cpu = raw.compile_cpu.wait(compile_cpu, SECOND..=longest_compile, sink);
    let (wall, longest) = (Duration::from_millis(normal.wall_ms), Duration::from_millis(most.limits.wall_ms));
    let wall = raw.wall.wait(wall, SECOND / 20..=longest, sink);
    Allowance {
        module_bytes: size(&raw.module_size, default.module_bytes, 64 << 10, most.module_bytes, sink),
        // The kernel counts whole seconds.
        compile_cpu_s: compile_cpu.as_secs() + u64::from(compile_cpu.subsec_nanos() > 0),
        // Less than this no child starts in.
        compile_bytes: size(&raw.compile_memory, default.compile_bytes, 256 * MI, most.compile_bytes, sink),
        limits: Limits {
            // Less than a million, about a millisecond, starts nothing that a compiler makes.
            fuel: raw.fuel.get().map_or(normal.fuel, |fuel| fuel.whole(1_000_000..=most.limits.fuel, sink)),
            memory_bytes: size(&raw.memory, normal.memory_bytes, MI, most.limits.memory_bytes, sink),
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(normal.wall_ms),
        },
    }
}

fn audit_dir(raw: Option<&RawAudit>, base: &Path, state_dir: &Path, sink: &mut Sink) -> PathBuf {
    raw.and_then(|raw| raw.dir.path(base, sink)).unwrap_or_else(|| state_dir.join("audit"))
}

fn audit(raw: Option<&RawAudit>, sink: &mut Sink) -> AuditConfig {
    let default = AuditConfig::default();
    let Some(raw) = raw else { return default };
    let kept = raw.retention.wait(Duration::from_millis(default.keep_ms), 60 * MINUTE..=3_660 * DAY, sink);
    let audit = AuditConfig {
        segment_bytes: size(&raw.segment_size, default.segment_bytes, 64 << 10, GI, sink),
        keep_bytes: size(&raw.retention_size, default.keep_bytes, MI, 1 << 50, sink),
        keep_ms: millis(kept),
        keep_snapshot_bytes: size(&raw.snapshot_size, default.keep_snapshot_bytes, MI, 1 << 50, sink),
        keep_snapshot_ms: millis(kept),
        ..default
    };
    if audit.keep_bytes < audit.segment_bytes.saturating_mul(2) {
        let hint = "only whole segments are dropped, and never the newest: keep at least two";
        let at = raw.retention_size.get().map_or(&raw.at, |scalar| &scalar.at);
        let at = At { line: at.line, column: at.column, ..raw.at.child("retentionSize") };
        sink.add(&at, "is less than two segments", hint);
    }
    audit
}

fn log(raw: Option<&RawLog>, sink: &mut Sink) -> Log {
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let level = raw.and_then(|raw| raw.level.get());
    let format = raw.and_then(|raw| raw.format.get());
    Log {
        level: level.map_or(LogLevel::Info, |word| word.choice(&levels, LogLevel::Info, sink)),
        format: format.map_or(LogFormat::Text, |word| word.choice(&formats, LogFormat::Text, sink)),
    }
}
