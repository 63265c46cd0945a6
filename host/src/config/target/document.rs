//! The document as it is written, and what becomes of it.

use super::behavior::{RawBehavior, behavior};
use super::signal::{RawSignal, signals};
use super::{KIND, OnError, PolicyConfig, System, TargetConfig, TargetKey};
use crate::config::daemon::{DaemonConfig, ExecPlatform, Platform, PlatformKind};
use crate::config::problem::{At, Sink, nearest, quote};
use crate::config::raw::{Any, Field, List, Named, Raw, Scalar, raw};
use crate::config::safety::{RawSafety, safety};
use crate::config::tree::{Node, Value};
use crate::config::value::{is_dns_label, json};
use crate::config::{API_VERSION, header, named};
use plimsoll_wire::safety::Safety;
use plimsoll_wire::snapshot::Mode;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Beyond ten thousand members a cycle no longer fits its interval.
const MAX_REPLICAS: u32 = 10_000;
/// Each is an evaluation a cycle.
const MAX_POLICIES: usize = 16;
/// What Kubernetes allows an object's annotations in all is 256 KiB; ours are a dozen.
const MAX_ANNOTATIONS: usize = 128;

/// The annotations that mean something to us.
const ANNOTATIONS: [&str; 1] = ["paused"];
const ANNOTATION_PREFIX: &str = "plimsoll.dev/";

raw! {
    /// A target's document as it is written.
    struct RawTarget {
        api_version: Scalar = "apiVersion",
        kind: Scalar = "kind",
        metadata: RawMetadata = "metadata",
        spec: RawSpec = "spec",
    }
}

raw! {
    struct RawMetadata {
        name: Scalar = "name",
        namespace: Scalar = "namespace",
        annotations: Named<Scalar> = "annotations",
        // For the owner's own tools.
        _labels: Named<Scalar> = "labels",
    }
}

raw! {
    struct RawSpec {
        target_ref: RawTargetRef = "targetRef",
        system: RawSystemRef = "system",
        min: Scalar = "minReplicas",
        max: Scalar = "maxReplicas",
        mode: Scalar = "mode",
        interval: Scalar = "interval",
        policies: List<RawPolicy> = "policies",
        signals: List<RawSignal> = "signals",
        behavior: RawBehavior = "behavior",
        safety: RawSafety = "safety",
    }
}

raw! {
    struct RawTargetRef {
        api_version: Scalar = "apiVersion",
        kind: Scalar = "kind",
        name: Scalar = "name",
    }
}

raw! {
    struct RawSystemRef {
        kind: Scalar = "kind",
        name: Scalar = "ref",
    }
}

raw! {
    struct RawPolicy {
        name: Scalar = "name",
        module: Scalar = "module",
        on_error: Scalar = "onError",
        settings: Any = "settings",
    }
}

/// What a document is called, as far as that can be read from one that may be broken.
pub(in crate::config) fn identity(root: &Node) -> Option<TargetKey> {
    let child = |node: &Node, key: &str| match &node.value {
        Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| entry.node.clone()),
        Value::Null | Value::Scalar { .. } | Value::List(_) => None,
    };
    let text = |node: Node| match node.value {
        Value::Scalar { text, .. } => Some(text),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    };
    let metadata = child(root, "metadata")?;
    let name = child(&metadata, "name").and_then(text).filter(|name| is_dns_label(name))?;
    let namespace = match child(&metadata, "namespace") {
        None => "default".to_owned(),
        Some(node) => text(node)?,
    };
    Some(TargetKey { namespace, name })
}

/// Reads a target's document from its tree.
pub(in crate::config) fn read(root: &Node, daemon: &DaemonConfig, sink: &mut Sink) -> Option<TargetConfig> {
    let before = sink.len();
    let at = At { line: root.line, column: root.column, path: String::new() };
    let raw = RawTarget::read(root, at, sink)?;
    let target = convert(&raw, daemon, sink);
    target.filter(|_| sink.len() == before)
}

fn convert(raw: &RawTarget, daemon: &DaemonConfig, sink: &mut Sink) -> Option<TargetConfig> {
    header(&raw.at, &raw.api_version, &raw.kind, KIND, sink);
    let metadata = raw.metadata.required(&raw.at, "metadata", "write `metadata: {name: ...}`", sink);
    let key = metadata.map(|metadata| key(metadata, sink));
    let annotations = metadata.map(|metadata| annotations(&metadata.annotations, sink)).unwrap_or_default();
    let spec = raw.spec.required(&raw.at, "spec", "what to scale stands below it", sink)?;
    let namespace = key.as_ref().map_or("default", |key| key.namespace.as_str());
    let platform = platform(spec, namespace, daemon, sink);
    let system = system(spec, platform.as_deref(), namespace, daemon, sink);
    let safety = safety(&spec.safety, sink);
    let mode = mode(spec, platform.as_deref(), sink);
    let (min_replicas, max_replicas) = sizes(spec, system.as_ref(), &safety, sink);
    let policies = policies(spec, mode, sink);
    let signals = signals(&spec.signals, namespace, daemon, sink);
    let behavior = behavior(&spec.behavior, sink);
    let longest = Duration::from_secs(600);
    let interval = spec
        .interval
        .get()
        .map_or(daemon.interval, |interval| interval.duration(Duration::from_secs(1)..=longest, sink));
    Some(TargetConfig {
        key: key?,
        file: sink.file().clone(),
        line: raw.at.line,
        annotations,
        platform: platform?,
        system: system?,
        min_replicas,
        max_replicas,
        mode,
        interval,
        policies,
        signals,
        behavior,
        safety,
    })
}

fn key(metadata: &RawMetadata, sink: &mut Sink) -> TargetKey {
    let name = metadata.name.required(&metadata.at, "name", "what the target is called", sink);
    let namespace = metadata.namespace.get();
    TargetKey {
        namespace: namespace.map_or_else(|| "default".to_owned(), |name| name.name(sink)),
        name: name.map(|name| name.name(sink)).unwrap_or_default(),
    }
}

fn annotations(field: &Field<Named<Scalar>>, sink: &mut Sink) -> BTreeMap<String, String> {
    let Some(named) = field.get() else { return BTreeMap::new() };
    if let Some((name, _)) = named.items.get(MAX_ANNOTATIONS) {
        sink.add(&name.at, format!("is one of more than {MAX_ANNOTATIONS}"), "");
    }
    for (name, _) in &named.items {
        // A slip in one of these would leave a target running that its owner takes for paused.
        if let Some(ours) = name.text.strip_prefix(ANNOTATION_PREFIX)
            && !ANNOTATIONS.contains(&ours)
        {
            let hint = match nearest(ours, ANNOTATIONS) {
                Some(meant) => format!("did you mean `{ANNOTATION_PREFIX}{meant}`?"),
                None => format!("known here: {}", ANNOTATIONS.join(", ")),
            };
            sink.add(&name.at, "is not a known annotation", hint);
        }
    }
    for (_, value) in named.items.iter().filter(|(_, value)| value.text.contains(char::is_control)) {
        sink.add(&value.at, "has a control character", "write it in one line of plain text");
    }
    named
        .items
        .iter()
        .take(MAX_ANNOTATIONS)
        .map(|(name, value)| (name.text.clone(), value.text.clone()))
        .collect()
}

fn platform(
    spec: &RawSpec,
    namespace: &str,
    daemon: &DaemonConfig,
    sink: &mut Sink,
) -> Option<Arc<Platform>> {
    let hint = "write `targetRef: {apiVersion: plimsoll.dev/v1alpha1, kind: Exec, name: ...}`";
    let raw = spec.target_ref.required(&spec.at, "targetRef", hint, sink)?;
    if let Some(version) = raw.api_version.get() {
        version.choice(&[(API_VERSION, ())], (), sink);
    }
    let kind = raw.kind.required(&raw.at, "kind", "one of: Exec, Sim", sink);
    let wants_sim = kind.map(|kind| (kind, kind.choice(&[("Exec", false), ("Sim", true)], false, sink)));
    let platform = named(
        &raw.name,
        &raw.at,
        "name",
        "platforms",
        &daemon.platforms,
        namespace,
        |p| &p.namespaces,
        sink,
    )?;
    let is_sim = matches!(platform.kind, PlatformKind::Sim(_));
    if let Some((kind, wants_sim)) = wants_sim
        && wants_sim != is_sim
        && matches!(kind.text.as_str(), "Exec" | "Sim")
    {
        let is = if is_sim { "Sim" } else { "Exec" };
        let message =
            format!("platform {} of the daemon's file is of the kind `{is}`", quote(&platform.name));
        sink.add(&kind.at, message, format!("write `kind: {is}` or name another platform"));
    }
    Some(platform)
}

fn system(
    spec: &RawSpec,
    platform: Option<&Platform>,
    namespace: &str,
    daemon: &DaemonConfig,
    sink: &mut Sink,
) -> Option<System> {
    let hint = "what data the members hold: write `system: {kind: etcd, ref: ...}`";
    let raw = spec.system.required(&spec.at, "system", hint, sink)?;
    let kind = raw.kind.required(&raw.at, "kind", "one of: etcd, sim", sink)?;
    let is_sim = kind.choice(&[("etcd", Some(false)), ("sim", Some(true))], None, sink)?;
    if let Some(platform) = platform
        && is_sim != matches!(platform.kind, PlatformKind::Sim(_))
    {
        let message = format!("{} does not run on the platform {}", quote(&kind.text), quote(&platform.name));
        sink.add(
            &kind.at,
            message,
            "the kinds `sim` of platforms and systems go together, and with nothing else",
        );
    }
    if is_sim {
        if let Some(name) = raw.name.get() {
            sink.add(&name.at, "has no meaning for a simulated system", "remove it");
        }
        return Some(System::Sim);
    }
    named(&raw.name, &raw.at, "ref", "systems", &daemon.systems, namespace, |s| &s.namespaces, sink)
        .map(System::Etcd)
}

fn mode(spec: &RawSpec, platform: Option<&Platform>, sink: &mut Sink) -> Mode {
    let Some(scalar) = spec.mode.get() else { return Mode::default() };
    let words = [("off", Mode::Off), ("dryrun", Mode::Dryrun), ("enforce", Mode::Enforce)];
    let mode = scalar.choice(&words, Mode::Off, sink);
    if mode == Mode::Enforce
        && let Some(Platform { name, kind: PlatformKind::Exec(ExecPlatform { add: None, .. }), .. }) =
            platform
    {
        let message = format!(
            "`enforce` needs commands that add and remove members, which platform {} lacks",
            quote(name)
        );
        sink.add(
            &scalar.at,
            message,
            "give it `add` and `remove` in the daemon's file, or write `mode: dryrun`",
        );
    }
    mode
}

fn sizes(spec: &RawSpec, system: Option<&System>, safety: &Safety, sink: &mut Sink) -> (u32, u32) {
    let before = sink.len();
    let min = size(&spec.min, &spec.at, "minReplicas", "the least number of members", sink);
    let hint = "the greatest number of members, which nothing exceeds";
    let max = size(&spec.max, &spec.at, "maxReplicas", hint, sink);
    let (Some((min_at, min)), Some((max_at, max))) = (min, max) else { return (1, 1) };
    if sink.len() > before {
        return (min, max);
    }
    if min > max {
        sink.add(
            &min_at.at,
            format!("`{min}` is more than `maxReplicas`, `{max}`"),
            "exchange them or raise `maxReplicas`",
        );
        return (min, max);
    }
    let votes = match system {
        Some(System::Etcd(_)) => true,
        Some(System::Sim) | None => false,
    };
    if votes {
        voters(&min_at.at, &max_at.at, min, max, safety, sink);
    }
    (min, max)
}

fn size<'a>(
    field: &'a Field<Scalar>,
    parent: &At,
    key: &str,
    hint: &str,
    sink: &mut Sink,
) -> Option<(&'a Scalar, u32)> {
    let scalar = field.required(parent, key, hint, sink)?;
    if scalar.text == "0" {
        let hint = "a system that holds data is not scaled to nothing; write 1 or more";
        sink.add(&scalar.at, "`0` members hold no data", hint);
        return None;
    }
    Some((scalar, scalar.count(1..=MAX_REPLICAS, sink)))
}

/// What a group that agrees by majority needs (QUORUM-4, QUORUM-5).
fn voters(min_at: &At, max_at: &At, min: u32, max: u32, safety: &Safety, sink: &mut Sink) {
    if min == max && min.is_multiple_of(2) && !safety.allow_even {
        let message = format!("`{min}` is even, and no other size is allowed");
        sink.add(min_at, message, "choose an odd number, or set `spec.safety.allowEven: true`");
    }
    let needed = 2 * safety.tolerance + 1;
    if max < needed {
        let message = format!("`{max}` voters cannot lose {} and still agree", safety.tolerance);
        sink.add(max_at, message, format!("allow at least {needed}, or lower `spec.safety.tolerance`"));
    }
}

fn policies(spec: &RawSpec, mode: Mode, sink: &mut Sink) -> Vec<PolicyConfig> {
    let list = spec.policies.get();
    let none = list.is_none_or(|list| list.items.is_empty());
    // An item that could not be read was reported already.
    if none && mode != Mode::Off && !matches!(spec.policies, Field::Bad) {
        let at = list.map_or_else(|| spec.at.child("policies"), |list| list.at.clone());
        let hint = "name at least one; to scale by hand only, ask `hold.wasm`";
        sink.add(&at, "nobody is asked for a size", hint);
    }
    let Some(list) = list else { return Vec::new() };
    if list.items.len() > MAX_POLICIES {
        sink.add(&list.at, format!("has more than {MAX_POLICIES} policies"), "");
    }
    let mut seen = BTreeSet::new();
    list.items.iter().take(MAX_POLICIES).map(|raw| policy(raw, &mut seen, sink)).collect()
}

fn policy(raw: &RawPolicy, seen: &mut BTreeSet<String>, sink: &mut Sink) -> PolicyConfig {
    let words = [("hold", OnError::Hold), ("ignore", OnError::Ignore), ("fail", OnError::Fail)];
    let hint = "the name of a file in the policies' directory, like `target-utilization.wasm`";
    let module = raw.module.required(&raw.at, "module", hint, sink);
    let settings = raw.settings.get().map(|any| json(any, sink)).unwrap_or_default();
    if !(settings.is_object() || settings.is_null())
        && let Some(any) = raw.settings.get()
    {
        sink.add(&any.at, "must be a map", "write `key: value` lines below it, indented");
    }
    PolicyConfig {
        name: unique_name(&raw.name, &raw.at, seen, sink),
        module: module.map(|module| module.module(sink)).unwrap_or_default(),
        on_error: raw.on_error.get().map_or(OnError::Hold, |word| word.choice(&words, OnError::Hold, sink)),
        settings: if settings.is_null() {
            serde_json::Value::Object(serde_json::Map::new())
        } else {
            settings
        },
    }
}

/// A name that no other item of the list has.
pub(super) fn unique_name(
    field: &Field<Scalar>,
    parent: &At,
    seen: &mut BTreeSet<String>,
    sink: &mut Sink,
) -> String {
    let Some(scalar) = field.required(parent, "name", "records and policies call it by its name", sink)
    else {
        return String::new();
    };
    let name = scalar.name(sink);
    if !seen.insert(name.clone()) {
        sink.add(
            &scalar.at,
            format!("{} is already the name of another", quote(&name)),
            "choose another name",
        );
    }
    name
}
