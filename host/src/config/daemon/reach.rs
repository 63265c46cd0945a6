//! Whom the daemon may ask and what it may run: sources, platforms, systems.

use super::document::{path, wait};
use super::kubernetes::{RawEndpoints, endpoints};
use super::{
    ClientIdentity, Command, EtcdSystem, ExecPlatform, Listing, Login, Namespaces, Platform, PlatformKind,
    PrometheusSource, SimPlatform, World,
};
use crate::collect::MAX_DEADLINE;
use crate::platforms::exec;
use crate::yaml::problem::{At, Sink, quote};
use crate::yaml::raw::{Field, List, Named, Scalar, raw};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

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
        list_all: RawListAll = "listAll",
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
        env: Named<Scalar> = "env",
    }
}

raw! {
    struct RawListAll {
        command: List<Scalar> = "command",
        timeout: Scalar = "timeout",
        env: Named<Scalar> = "env",
        keep: Scalar = "keep",
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
        endpoints: RawEndpoints = "endpoints",
        namespaces: List<Scalar> = "namespaces",
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// More arguments than this are a script, which belongs into a file.
const MAX_ARGV: usize = 64;
/// More variables than this are a file of settings, which the program can read itself.
const MAX_ENV: usize = 64;

/// Whose documents may use something: those of `default` where nothing is said.
pub(super) fn namespaces(field: &Field<List<Scalar>>, sink: &mut Sink) -> Namespaces {
    let Some(list) = field.get() else { return Namespaces::Only(BTreeSet::from(["default".to_owned()])) };
    if list.items.is_empty() {
        sink.add(&list.at, "allows no namespace", "name one, or write `[\"*\"]` for all");
    }
    if list.items.iter().any(|item| item.text == "*") {
        return Namespaces::All;
    }
    Namespaces::Only(list.items.iter().map(|item| item.name(sink)).collect())
}

pub(super) fn source(name: &str, raw: &RawSource, base: &Path, sink: &mut Sink) -> PrometheusSource {
    if let Some(kind) = raw.kind.get() {
        kind.choice(&[("prometheus", ())], (), sink);
    }
    let url = raw.url.required(&raw.at, "url", "write it like `http://127.0.0.1:9090`", sink);
    PrometheusSource {
        name: name.to_owned(),
        url: url.map(|url| address(url, sink)).unwrap_or_default(),
        // Prometheus itself gives up after two minutes; a cycle cannot wait for that long.
        deadline: wait(&raw.deadline, 5 * SECOND, SECOND / 10, MAX_DEADLINE, sink),
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
            // What stands before an `@` may be a password.
            let message = match text.rsplit_once('@') {
                Some((_, host)) => format!("{} is not an address", quote(&format!("…@{host}"))),
                None => format!("{} is not an address", quote(&text)),
            };
            sink.add(&scalar.at, message, "write it like `http://127.0.0.1:9090`");
        }
    }
    text.trim_end_matches('/').to_owned()
}

pub(super) fn platform(name: &str, raw: &RawPlatform, base: &Path, sink: &mut Sink) -> Platform {
    let kind = raw.kind.required(&raw.at, "kind", "one of: exec, sim", sink);
    let is_sim = kind.is_some_and(|kind| kind.choice(&[("exec", false), ("sim", true)], false, sink));
    let kind = if is_sim { sim(raw, sink) } else { commands(raw, base, sink) };
    Platform { name: name.to_owned(), namespaces: namespaces(&raw.namespaces, sink), kind }
}

fn commands(raw: &RawPlatform, base: &Path, sink: &mut Sink) -> PlatformKind {
    misplaced(&raw.at, &[("seed", &raw.seed), ("world", &raw.world)], "sim", sink);
    if raw.add.is_absent() != raw.remove.is_absent() {
        let (there, missing) = if raw.add.is_absent() { ("remove", "add") } else { ("add", "remove") };
        let hint = format!(
            "a platform has both `add` and `remove`, or neither and is only looked at; `{there}` is there"
        );
        sink.add(&raw.at.child(missing), "is missing", hint);
    }
    PlatformKind::Exec(ExecPlatform {
        list: listing(raw, sink),
        // A machine may have to be made first.
        add: raw.add.get().map(|add| command(add, 5 * MINUTE, sink)),
        remove: raw.remove.get().map(|remove| command(remove, 5 * MINUTE, sink)),
        working_directory: path(&raw.working_directory, base, sink).unwrap_or_else(|| base.to_owned()),
    })
}

fn listing(raw: &RawPlatform, sink: &mut Sink) -> Listing {
    let Some(all) = raw.list_all.get() else {
        // Where it is there and wrong, that is told already.
        let hint = "write `list: {command: [/path/to/program]}`";
        let list = match &raw.list_all {
            Field::Absent => raw.list.required(&raw.at, "list", hint, sink),
            Field::Bad | Field::Good(_) => raw.list.get(),
        };
        let none = || Command { argv: Vec::new(), timeout: SECOND, env: BTreeMap::new() };
        return Listing::Each(list.map_or_else(none, |list| command(list, 10 * SECOND, sink)));
    };
    if !raw.list.is_absent() {
        let hint = "a platform has a command for one target or one for all: remove one of them";
        sink.add(&all.at, "stands beside `list`", hint);
    }
    let parts = (&all.command, &all.timeout, &all.env);
    let command = called(&all.at, parts, 10 * SECOND, sink);
    let listed = all.command.get().map_or(&[][..], |list| &list.items);
    if let Some(odd) = listed.iter().find(|item| exec::is_placeholder(&item.text)) {
        let message = format!("{} stands for one target", quote(&odd.text));
        sink.add(&odd.at, message, "this command lists all of them at once; remove it");
    }
    // Well below an interval, and far above what it takes to tell a thousand targets.
    let keep = wait(&all.keep, 5 * SECOND, SECOND, MINUTE, sink);
    Listing::All { command, keep }
}

fn command(raw: &RawCommand, default: Duration, sink: &mut Sink) -> Command {
    called(&raw.at, (&raw.command, &raw.timeout, &raw.env), default, sink)
}

type RawCall<'a> = (&'a Field<List<Scalar>>, &'a Field<Scalar>, &'a Field<Named<Scalar>>);

fn called(at: &At, raw: RawCall<'_>, default: Duration, sink: &mut Sink) -> Command {
    let (command, timeout, env) = raw;
    let hint = "write the program and its arguments as a list, like `[/usr/local/bin/members, list]`";
    let list = command.required(at, "command", hint, sink);
    let argv: Vec<String> = list.map(|list| argv(list, hint, sink)).unwrap_or_default();
    // An hour: whoever waits longer for a machine should answer at once and report it in `list`.
    let timeout = wait(timeout, default, SECOND / 10, 60 * MINUTE, sink);
    Command { argv, timeout, env: environment(env, sink) }
}

/// What the owner adds to a command's environment. Values are fixed here: nothing is expanded.
fn environment(field: &Field<Named<Scalar>>, sink: &mut Sink) -> BTreeMap<String, String> {
    let Some(named) = field.get() else { return BTreeMap::new() };
    if let Some((name, _)) = named.items.get(MAX_ENV) {
        let hint = "put them into a file that the program reads";
        sink.add(&name.at, format!("is one of more than {MAX_ENV} variables"), hint);
    }
    let is_name = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    for (name, _) in &named.items {
        name.quoted(sink);
        if name.text.starts_with("PLIMSOLL_") {
            sink.add(&name.at, "names with `PLIMSOLL_` are the daemon's own", "choose another name");
        } else if !is_name(&name.text) {
            let hint = "letters, digits and `_`, and no digit first";
            sink.add(&name.at, "is not the name of a variable", hint);
        }
    }
    let value = |value: &Scalar, sink: &mut Sink| {
        // An empty value is a value.
        if value.text.is_empty() { String::new() } else { value.text(sink) }
    };
    named.items.iter().take(MAX_ENV).map(|(name, text)| (name.text.clone(), value(text, sink))).collect()
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
    list.items.iter().for_each(|argument| argument.quoted(sink));
    if list.items.len() > MAX_ARGV {
        sink.add(&list.at, format!("has more than {MAX_ARGV} arguments"), "put them into a script");
    }
    if let Some(odd) = list.items.iter().find(|item| item.text.contains('\0')) {
        sink.add(&odd.at, "has a zero byte", "no program can be given one; remove it");
    }
    let argv: Vec<String> = list.items.iter().map(|item| item.text.clone()).collect();
    for (at, item) in list.items.iter().enumerate() {
        if let Some(problem) = exec::argument_problem(&argv, at) {
            sink.add(&item.at, problem, "no shell and no program but yours may take it apart");
        }
    }
    argv
}

fn sim(raw: &RawPlatform, sink: &mut Sink) -> PlatformKind {
    misplaced(&raw.at, &[("workingDirectory", &raw.working_directory)], "exec", sink);
    let all = raw.list_all.get().map(|all| ("listAll", &all.at));
    let commands = [("list", &raw.list), ("add", &raw.add), ("remove", &raw.remove)];
    let each = commands.into_iter().filter_map(|(key, field)| Some((key, &field.get()?.at)));
    for (key, place) in each.chain(all) {
        let at = At { line: place.line, column: place.column, ..raw.at.child(key) };
        let hint = "the simulator needs no commands; remove it";
        sink.add(&at, "belongs to a platform of the kind `exec`", hint);
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

pub(super) fn system(name: &str, raw: &RawSystem, base: &Path, sink: &mut Sink) -> EtcdSystem {
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
        // Well below an interval, well above an election (a second by etcd's defaults). What takes longer than
        // the greatest is no all-clear: `safety.directAge` would call it old.
        deadline: wait(&raw.deadline, 2 * SECOND, SECOND / 10, 15 * SECOND, sink),
        endpoints: endpoints(raw.endpoints.get(), !raw.ca_file.is_absent(), sink),
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
