//! The daemon's file as it is written, and what becomes of it.

use super::{
    Audit, Class, ClientIdentity, Command, DaemonConfig, EtcdSystem, ExecPlatform, KIND, Log, LogFormat,
    LogLevel, Login, Namespaces, Platform, PlatformKind, PolicyHost, PrometheusSource, Sandbox, SimPlatform,
    World,
};
use crate::config::header;
use crate::config::problem::{At, Sink, quote};
use crate::config::raw::{Field, List, Named, Raw, Scalar, raw};
use crate::config::tree::Node;
use std::collections::{BTreeMap, BTreeSet};
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
        state_dir: Scalar = "stateDir",
        http: RawHttp = "http",
        control: RawControl = "control",
        interval: Scalar = "interval",
        sources: Named<RawSource> = "sources",
        platforms: Named<RawPlatform> = "platforms",
        systems: Named<RawSystem> = "systems",
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
    struct RawSource {
        kind: Scalar = "kind",
        url: Scalar = "url",
        deadline: Scalar = "deadline",
        token_file: Scalar = "tokenFile",
        ca_file: Scalar = "caFile",
        namespaces: List<Scalar> = "namespaces",
    }
}

raw! {
    struct RawPlatform {
        kind: Scalar = "kind",
        list: RawCommand = "list",
        add: RawCommand = "add",
        remove: RawCommand = "remove",
        working_directory: Scalar = "workingDirectory",
        seed: Scalar = "seed",
        world: Scalar = "world",
        namespaces: List<Scalar> = "namespaces",
    }
}

raw! {
    struct RawCommand {
        command: List<Scalar> = "command",
        timeout: Scalar = "timeout",
    }
}

raw! {
    struct RawSystem {
        kind: Scalar = "kind",
        ca_file: Scalar = "caFile",
        cert_file: Scalar = "certFile",
        key_file: Scalar = "keyFile",
        username: Scalar = "username",
        password_file: Scalar = "passwordFile",
        deadline: Scalar = "deadline",
        namespaces: List<Scalar> = "namespaces",
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

/// More arguments than this are a script, which belongs into a file.
const MAX_ARGV: usize = 64;

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
    let state_dir = path(&raw.state_dir, base, sink).unwrap_or_else(|| base.join("state"));
    DaemonConfig {
        file: file.to_owned(),
        policies_dir: path(&raw.policies_dir, base, sink).unwrap_or_else(|| base.join("policies")),
        targets_dir: path(&raw.targets_dir, base, sink).unwrap_or_else(|| base.join("targets")),
        http: http(raw.http.get(), sink),
        control_socket: control_socket(raw.control.get(), base, &state_dir, sink),
        // A second is what tests need; ten minutes is the age at which the oldest fact that may be used dies.
        interval: wait(&raw.interval, 15 * SECOND, SECOND, 10 * MINUTE, sink),
        sources: named(&raw.sources, sink, |name, raw, sink| source(name, raw, base, sink)),
        platforms: named(&raw.platforms, sink, |name, raw, sink| platform(name, raw, base, sink)),
        systems: named(&raw.systems, sink, |name, raw, sink| system(name, raw, base, sink)),
        policy_host: policy_host(raw.policy_host.get(), sink),
        audit: audit(raw.audit.get(), base, &state_dir, sink),
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

/// A path; a relative one starts at `base`.
fn path(field: &Field<Scalar>, base: &Path, sink: &mut Sink) -> Option<PathBuf> {
    field.get().map(|path| base.join(path.text(sink)))
}

fn wait(
    field: &Field<Scalar>,
    default: Duration,
    floor: Duration,
    ceiling: Duration,
    sink: &mut Sink,
) -> Duration {
    field.get().map_or(default, |wait| wait.duration(floor..=ceiling, sink))
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
    mut convert: impl FnMut(&str, &R, &mut Sink) -> T,
) -> BTreeMap<String, Arc<T>> {
    let Some(named) = field.get() else { return BTreeMap::new() };
    if let Some((name, _)) = named.items.get(MAX_NAMED) {
        sink.add(&name.at, format!("is one of more than {MAX_NAMED}"), "");
    }
    let item = |(name, raw): &(Scalar, R)| (name.name(sink), Arc::new(convert(&name.text, raw, sink)));
    named.items.iter().map(item).collect()
}

/// Whose documents may use something: those of `default` where nothing is said.
fn namespaces(field: &Field<List<Scalar>>, sink: &mut Sink) -> Namespaces {
    let Some(list) = field.get() else { return Namespaces::Only(BTreeSet::from(["default".to_owned()])) };
    if list.items.is_empty() {
        sink.add(&list.at, "allows no namespace", "name one, or write `[\"*\"]` for all");
    }
    if list.items.iter().any(|item| item.text == "*") {
        return Namespaces::All;
    }
    Namespaces::Only(list.items.iter().map(|item| item.name(sink)).collect())
}

fn source(name: &str, raw: &RawSource, base: &Path, sink: &mut Sink) -> PrometheusSource {
    if let Some(kind) = raw.kind.get() {
        kind.choice(&[("prometheus", ())], (), sink);
    }
    let url = raw.url.required(&raw.at, "url", "write it like `http://127.0.0.1:9090`", sink);
    PrometheusSource {
        name: name.to_owned(),
        url: url.map(|url| address(url, sink)).unwrap_or_default(),
        // Prometheus itself gives up after two minutes; a cycle cannot wait for that long.
        deadline: wait(&raw.deadline, 5 * SECOND, SECOND / 10, MINUTE, sink),
        token_file: path(&raw.token_file, base, sink),
        ca_file: path(&raw.ca_file, base, sink),
        namespaces: namespaces(&raw.namespaces, sink),
    }
}

/// The address of a Prometheus, without a slash at its end.
fn address(scalar: &Scalar, sink: &mut Sink) -> String {
    let text = scalar.text(sink);
    match reqwest::Url::parse(&text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
            let message = format!("{} is neither http nor https", quote(&text));
            sink.add(&scalar.at, message, "write it like `http://127.0.0.1:9090`");
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            // The text is not repeated: it has a password in it.
            let hint = "name a file with a bearer token in `tokenFile` instead";
            sink.add(&scalar.at, "has credentials in the address", hint);
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            sink.add(
                &scalar.at,
                format!("{} has a query", quote(&text)),
                "leave out everything from `?` or `#` on",
            );
        }
        Ok(_) => {}
        Err(_) => {
            let message = format!("{} is not an address", quote(&text));
            sink.add(&scalar.at, message, "write it like `http://127.0.0.1:9090`");
        }
    }
    text.trim_end_matches('/').to_owned()
}

fn platform(name: &str, raw: &RawPlatform, base: &Path, sink: &mut Sink) -> Platform {
    let kind = raw.kind.required(&raw.at, "kind", "one of: exec, sim", sink);
    let is_sim = kind.is_some_and(|kind| kind.choice(&[("exec", false), ("sim", true)], false, sink));
    let kind = if is_sim { sim(raw, sink) } else { exec(raw, base, sink) };
    Platform { name: name.to_owned(), namespaces: namespaces(&raw.namespaces, sink), kind }
}

fn exec(raw: &RawPlatform, base: &Path, sink: &mut Sink) -> PlatformKind {
    misplaced(&raw.at, &[("seed", &raw.seed), ("world", &raw.world)], "sim", sink);
    let hint = "write `list: {command: [/path/to/program]}`";
    let list = raw.list.required(&raw.at, "list", hint, sink);
    if raw.add.is_absent() != raw.remove.is_absent() {
        let (there, missing) = if raw.add.is_absent() { ("remove", "add") } else { ("add", "remove") };
        let hint = format!(
            "a platform has both `add` and `remove`, or neither and is only looked at; `{there}` is there"
        );
        sink.add(&raw.at.child(missing), "is missing", hint);
    }
    PlatformKind::Exec(ExecPlatform {
        list: list
            .map(|list| command(list, 10 * SECOND, sink))
            .unwrap_or(Command { argv: Vec::new(), timeout: SECOND }),
        // A machine may have to be made first.
        add: raw.add.get().map(|add| command(add, 5 * MINUTE, sink)),
        remove: raw.remove.get().map(|remove| command(remove, 5 * MINUTE, sink)),
        working_directory: path(&raw.working_directory, base, sink).unwrap_or_else(|| base.to_owned()),
    })
}

fn command(raw: &RawCommand, default: Duration, sink: &mut Sink) -> Command {
    let hint = "write the program and its arguments as a list, like `[/usr/local/bin/members, list]`";
    let list = raw.command.required(&raw.at, "command", hint, sink);
    let argv: Vec<String> = list.map(|list| argv(list, hint, sink)).unwrap_or_default();
    // An hour: whoever waits longer for a machine should answer at once and report it in `list`.
    Command { argv, timeout: wait(&raw.timeout, default, SECOND / 10, 60 * MINUTE, sink) }
}

fn argv(list: &List<Scalar>, hint: &str, sink: &mut Sink) -> Vec<String> {
    match list.items.first() {
        None => sink.add(&list.at, "is empty", hint),
        Some(program) if !program.text.starts_with('/') => {
            let message = format!("{} is not an absolute path", quote(&program.text));
            sink.add(
                &program.at,
                message,
                "programs are not searched for: write the whole path, from `/` on",
            );
        }
        Some(_) => {}
    }
    if list.items.len() > MAX_ARGV {
        sink.add(&list.at, format!("has more than {MAX_ARGV} arguments"), "put them into a script");
    }
    list.items.iter().map(|item| item.text.clone()).collect()
}

fn sim(raw: &RawPlatform, sink: &mut Sink) -> PlatformKind {
    misplaced(&raw.at, &[("workingDirectory", &raw.working_directory)], "exec", sink);
    for (key, field) in [("list", &raw.list), ("add", &raw.add), ("remove", &raw.remove)] {
        if let Some(command) = field.get() {
            let at = At { line: command.at.line, column: command.at.column, ..raw.at.child(key) };
            sink.add(
                &at,
                "belongs to a platform of the kind `exec`",
                "the simulator needs no commands; remove it",
            );
        }
    }
    let worlds = [("quorum", World::Quorum), ("sharded", World::Sharded)];
    PlatformKind::Sim(SimPlatform {
        seed: raw.seed.get().map_or(1, |seed| seed.whole(0..=u64::MAX, sink)),
        world: raw.world.get().map_or(World::Quorum, |world| world.choice(&worlds, World::Quorum, sink)),
    })
}

fn misplaced(parent: &At, fields: &[(&str, &Field<Scalar>)], kind: &str, sink: &mut Sink) {
    for (key, field) in fields {
        if let Some(scalar) = field.get() {
            let at = At { line: scalar.at.line, column: scalar.at.column, ..parent.child(key) };
            sink.add(&at, format!("belongs to a platform of the kind `{kind}`"), "remove it");
        }
    }
}

fn system(name: &str, raw: &RawSystem, base: &Path, sink: &mut Sink) -> EtcdSystem {
    if let Some(kind) = raw.kind.required(&raw.at, "kind", "write `kind: etcd`", sink) {
        kind.choice(&[("etcd", ())], (), sink);
    }
    let tls = together(raw, [("certFile", &raw.cert_file), ("keyFile", &raw.key_file)], sink);
    let login = together(raw, [("username", &raw.username), ("passwordFile", &raw.password_file)], sink);
    if tls.is_some() && raw.ca_file.is_absent() {
        let hint = "name the authority that the servers' certificates come from";
        sink.add(&raw.at.child("caFile"), "is missing beside `certFile`", hint);
    }
    let file = |scalar: &Scalar, sink: &mut Sink| base.join(scalar.text(sink));
    EtcdSystem {
        name: name.to_owned(),
        ca_file: path(&raw.ca_file, base, sink),
        identity: tls
            .map(|[cert, key]| ClientIdentity { cert_file: file(cert, sink), key_file: file(key, sink) }),
        login: login
            .map(|[user, password]| Login { username: user.text(sink), password_file: file(password, sink) }),
        // An election takes about a second by etcd's defaults; a request outlives a few of them.
        deadline: wait(&raw.deadline, 5 * SECOND, SECOND / 10, MINUTE, sink),
        namespaces: namespaces(&raw.namespaces, sink),
    }
}

/// Two values that mean nothing without each other.
fn together<'a>(
    raw: &RawSystem,
    pair: [(&str, &'a Field<Scalar>); 2],
    sink: &mut Sink,
) -> Option<[&'a Scalar; 2]> {
    let [(first, one), (second, other)] = pair;
    if one.is_absent() != other.is_absent() {
        let (missing, there) = if one.is_absent() { (first, second) } else { (second, first) };
        let hint = format!("`{there}` means nothing without it");
        sink.add(&raw.at.child(missing), format!("is missing beside `{there}`"), hint);
    }
    Some([one.get()?, other.get()?])
}

fn policy_host(raw: Option<&RawPolicyHost>, sink: &mut Sink) -> PolicyHost {
    // Sizes and compile times: what Go (3.3 MB) and a Python component (18 MB) were measured to need, doubled.
    let compiled = Class {
        module_bytes: 8 * MI,
        compile_cpu: 10 * SECOND,
        fuel: 100_000_000,
        memory_bytes: 32 * MI,
        wall: 2 * SECOND,
    };
    // An interpreter starts up on every evaluation, as every evaluation has a fresh instance.
    let interpreter = Class {
        module_bytes: 32 * MI,
        compile_cpu: 60 * SECOND,
        fuel: 5_000_000_000,
        memory_bytes: 256 * MI,
        wall: 20 * SECOND,
    };
    let Some(raw) = raw else {
        return PolicyHost {
            sandbox: Sandbox::Required,
            compiled,
            interpreter,
            interpreters: BTreeSet::new(),
        };
    };
    let words = [("required", Sandbox::Required), ("best-effort", Sandbox::BestEffort)];
    PolicyHost {
        sandbox: raw
            .sandbox
            .get()
            .map_or(Sandbox::Required, |word| word.choice(&words, Sandbox::Required, sink)),
        compiled: class(raw.compiled.get(), compiled, sink),
        interpreter: class(raw.interpreter.get(), interpreter, sink),
        interpreters: raw
            .interpreters
            .get()
            .map(|list| list.items.iter().map(|item| item.module(sink)).collect())
            .unwrap_or_default(),
    }
}

fn class(raw: Option<&RawClass>, default: Class, sink: &mut Sink) -> Class {
    let Some(raw) = raw else { return default };
    Class {
        module_bytes: size(&raw.module_size, default.module_bytes, 64 << 10, 256 * MI, sink),
        compile_cpu: wait(&raw.compile_cpu, default.compile_cpu, SECOND, 10 * MINUTE, sink),
        fuel: raw.fuel.get().map_or(default.fuel, |fuel| fuel.whole(1_000_000..=1_000_000_000_000, sink)),
        // The child's whole address space is bounded too; a gibibyte is beyond any policy.
        memory_bytes: size(&raw.memory, default.memory_bytes, MI, GI, sink),
        wall: wait(&raw.wall, default.wall, SECOND / 20, MINUTE, sink),
    }
}

fn audit(raw: Option<&RawAudit>, base: &Path, state_dir: &Path, sink: &mut Sink) -> Audit {
    // A quarter is what people look back over; ten gibibytes are months of a fleet, compressed.
    let default = Audit {
        dir: state_dir.join("audit"),
        segment_bytes: 64 * MI,
        retention: 90 * DAY,
        retention_bytes: 10 * GI,
    };
    let Some(raw) = raw else { return default };
    let audit = Audit {
        dir: path(&raw.dir, base, sink).unwrap_or(default.dir),
        segment_bytes: size(&raw.segment_size, default.segment_bytes, 64 << 10, GI, sink),
        retention: wait(&raw.retention, default.retention, 60 * MINUTE, 3_660 * DAY, sink),
        retention_bytes: size(&raw.retention_size, default.retention_bytes, MI, 1 << 50, sink),
    };
    if audit.retention_bytes < audit.segment_bytes.saturating_mul(2) {
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
