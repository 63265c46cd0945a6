//! A target's document as it is written, and how it becomes checked values.

use super::behavior::{RawBehavior, behavior};
use super::pause::{approve, pauses};
use super::signal::{self, RawSignal, signals};
use super::{KIND, Origin, PolicyConfig, TargetConfig, TargetKey};
use crate::config::daemon::{DaemonConfig, Namespaces, Platform, System};
use crate::config::safety::{RawSafety, safety};
use crate::config::{API_VERSION, header, named};
use crate::kubernetes::Scalable;
use crate::platforms::{self, Source};
use crate::systems;
use crate::yaml::form::{self, Form};
use crate::yaml::problem::{At, Sink, quote};
use crate::yaml::raw::{Any, Field, List, Named, Raw, Scalar, raw};
use crate::yaml::tree::Node;
use crate::yaml::value::json;
use crate::yaml::words::is_off;
use plimsoll_core::combine::{OUTSIDE, OnError};
use plimsoll_core::cycle::PolicyRef;
use plimsoll_wire::safety::Safety;
use plimsoll_wire::snapshot::Mode;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// Beyond ten thousand members a cycle no longer fits its interval.
const SIZES: RangeInclusive<u32> = 1..=10_000;
/// How often a target may be looked at.
const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);
/// Whether the data of a removed member is set aside.
const RETURNING: [(&str, bool); 2] = [("block", false), ("setAside", true)];
const MODES: [(&str, Mode); 3] = [("off", Mode::Off), ("dryrun", Mode::Dryrun), ("enforce", Mode::Enforce)];
const ON_ERROR: [(&str, OnError); 3] =
    [("hold", OnError::Hold), ("ignore", OnError::Ignore), ("fail", OnError::Fail)];
/// No group, version or kind is longer.
const MAX_KIND: usize = 253;
/// Each is an evaluation a cycle.
const MAX_POLICIES: usize = 16;

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
        target_ref: RawTargetRef = "targetRef" => target_ref_form().required()
            .doc("What is scaled: a workload of this namespace, or a platform of the daemon's file."),
        system: RawSystemRef = "system" => system_form().required().doc("What data its members hold."),
        min: Scalar = "minReplicas" => form::whole(SIZES).required()
            .doc("The least number of members: nothing goes below it."),
        max: Scalar = "maxReplicas" => form::whole(SIZES).required()
            .doc("The greatest number of members: nothing goes beyond it."),
        mode: Scalar = "mode" => form::words_or_false(&MODES)
            .doc("off (or false, which YAML 1.1 makes of it): it is only looked at. dryrun, by default: decisions are made and recorded, nothing is touched. \
                enforce: plans are carried out."),
        interval: Scalar = "interval" => form::duration(INTERVAL)
            .doc("How often it is looked at; without it as often as the daemon's file says."),
        policies: List<RawPolicy> = "policies" => form::named_list(RawPolicy::form(), MAX_POLICIES)
            .doc("Who is asked for a size. Any hold beats every decrease; an increase beats no change beats a decrease."),
        signals: List<RawSignal> = "signals" => signal::form()
            .doc("What is measured. A series that is stale, absent, partial or not a number never becomes a number."),
        behavior: RawBehavior = "behavior" => RawBehavior::form()
            .doc("How fast policies may go, in the shape of the HPA, with far tighter defaults for scale-in."),
        safety: RawSafety = "safety" => RawSafety::form()
            .doc("The invariants' parameters, each with its rule, its default and hard bounds."),
        external_wish: Scalar = "externalWish" => form::switch()
            .doc("Whether an HPA, KEDA or `kubectl scale` may wish for a size through the subresource `scale`."),
        returning: Scalar = "returningVolume" => form::words(&RETURNING)
            .doc("What about a volume with the data of a removed member. block, by default: no member starts on it until \
                its claim is gone. setAside: the pods' init container (`plimsoll set-aside`) sets the data aside first."),
    }
}

raw! {
    struct RawTargetRef {
        api_version: Scalar = "apiVersion" => form::text(MAX_KIND).doc("The group and version of `kind`."),
        kind: Scalar = "kind" => form::text(MAX_KIND).required()
            .doc("StatefulSet, or a kind in front of one that the daemon's file opens; Exec or Sim for a platform of that \
                file."),
        name: Scalar = "name" => form::name().required().doc("What it is called."),
    }
}

raw! {
    struct RawSystemRef {
        kind: Scalar = "kind" => form::words(&system_words()).required().doc("Which system."),
        name: Scalar = "ref" => form::name()
            .doc("How it is spoken to: one of the `systems` of the daemon's file that are open to this namespace."),
    }
}

raw! {
    struct RawPolicy {
        name: Scalar = "name" => form::name().required().doc("What records call it."),
        module: Scalar = "module" => form::pattern(r"^[a-zA-Z0-9_-][a-zA-Z0-9._-]*\.wasm$", 128).required()
            .doc("The name of a file in the policies' directory, like `target-utilization.wasm`."),
        on_error: Scalar = "onError" => form::words(&ON_ERROR)
            .doc("What its failure means. hold, by default: the target stays. ignore: the others decide. fail: stay and \
                report."),
        settings: Any = "settings" => form::open_map().doc("The policy's own."),
    }
}

/// The words for systems.
fn system_words() -> Vec<(&'static str, Option<&'static systems::Kind>)> {
    systems::KINDS.iter().map(|kind| (kind.word, Some(*kind))).collect()
}

/// A list of words in CEL.
fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = words.into_iter().map(|word| format!("'{word}'")).collect();
    format!("[{}]", quoted.join(", "))
}

/// The words for systems of which something holds.
fn systems_that(holds: impl Fn(&systems::Kind) -> bool) -> String {
    listed(systems::KINDS.iter().filter(|kind| holds(kind)).map(|kind| kind.word))
}

/// The words for platforms of which something holds.
fn platforms_that(holds: impl Fn(&platforms::Kind) -> bool) -> String {
    listed(platforms::KINDS.iter().filter(|kind| holds(kind)).map(|kind| kind.refers))
}

fn is_in_file(kind: &platforms::Kind) -> bool {
    matches!(kind.source, Source::File { .. })
}

fn target_ref_form() -> Form {
    let in_file = platforms_that(is_in_file);
    let version = format!(
        "self.kind == 'StatefulSet' ? !has(self.apiVersion) || self.apiVersion == 'apps/v1' : \
         self.kind in {in_file} ? !has(self.apiVersion) || self.apiVersion == '{API_VERSION}' : \
         has(self.apiVersion)"
    );
    let message = format!(
        "`apiVersion` does not go with `kind`: a StatefulSet is of `apps/v1`, Exec and Sim are of `{API_VERSION}`, any other \
         kind needs its own"
    );
    RawTargetRef::form().rule(&version, &message)
}

fn system_form() -> Form {
    let reached = systems_that(|kind| kind.reach.is_some());
    RawSystemRef::form().rule(
        &format!("(self.kind in {reached}) == has(self.ref)"),
        "a system needs `ref`, one of the `systems` of the daemon's file; a simulated one has none",
    )
}

/// Whether its members vote.
fn votes(kind: &systems::Kind) -> bool {
    (kind.profile)().members_vote
}

/// What the `spec` of a document may hold, as far as it can be said without the daemon's file. The server's language sees no
/// value of two types: what depends on `mode` is left to the reader.
pub(in crate::config) fn form() -> Form {
    let reserved = format!(
        "!has(self.externalWish) || !self.externalWish || !has(self.policies) || \
         self.policies.all(policy, policy.name != '{OUTSIDE}')"
    );
    let tolerance = Safety::default().tolerance;
    let voting = systems_that(votes);
    let voters = format!(
        "!(self.system.kind in {voting}) || self.maxReplicas > \
         2 * (has(self.safety) && has(self.safety.tolerance) ? self.safety.tolerance : {tolerance})"
    );
    let odd = format!(
        "!(self.system.kind in {voting}) || self.minReplicas != self.maxReplicas || self.minReplicas % 2 == 1 || \
         (has(self.safety) && has(self.safety.allowEven) && self.safety.allowEven)"
    );
    let returning = format!(
        "!has(self.returningVolume) || self.returningVolume == 'block' || \
         (self.system.kind in {} && !(self.targetRef.kind in {}))",
        systems_that(|kind| kind.data.is_some()),
        platforms_that(|kind| !kind.has_claims)
    );
    let form = RawSpec::form()
        .rule(
            "self.minReplicas <= self.maxReplicas",
            "`minReplicas` is more than `maxReplicas`: exchange them or raise `maxReplicas`",
        )
        .rule(&reserved, &format!("`{OUTSIDE}` is the name of wishes from outside: choose another name"))
        .rule(
            &returning,
            "`returningVolume` is about the claims of a StatefulSet, and about systems whose data tells whose it is",
        )
        .rule(
            &voters,
            "`maxReplicas` voters cannot lose `safety.tolerance` of them and still agree: allow at least twice as many and \
             one, or lower `safety.tolerance`",
        )
        .rule(&odd, "the only size is even: choose an odd number, or set `safety.allowEven: true`");
    // A platform that is its systems' own, and those systems, go together and with nothing else.
    platforms::KINDS.iter().filter(|kind| kind.is_own).fold(form, |form, platform| {
        let own = systems_that(|system| system.runs_on(platform));
        let rule = format!("(self.targetRef.kind == '{}') == (self.system.kind in {own})", platform.refers);
        form.rule(&rule, &apart(platform))
    })
}

/// What is said of a platform beside a system that does not run on it.
fn apart(platform: &platforms::Kind) -> String {
    let own = |system: &&&systems::Kind| system.runs_on(platform);
    let words: Vec<_> = systems::KINDS.iter().filter(own).map(|kind| format!("`{}`", kind.word)).collect();
    format!(
        "platforms of the kind `{}` and {} go together, and with nothing else",
        platform.word,
        words.join(", ")
    )
}

/// Reads a target's document from its tree.
pub(in crate::config) fn read(
    root: &Node,
    origin: Origin,
    daemon: &DaemonConfig,
    sink: &mut Sink,
) -> Option<TargetConfig> {
    let before = sink.len();
    let at = At { line: root.line, column: root.column, path: String::new() };
    let raw = RawTarget::read(root, at, sink)?;
    let target = convert(&raw, origin, daemon, sink);
    target.filter(|_| sink.len() == before)
}

fn convert(raw: &RawTarget, origin: Origin, daemon: &DaemonConfig, sink: &mut Sink) -> Option<TargetConfig> {
    header(&raw.at, &raw.api_version, &raw.kind, KIND, sink);
    let metadata = raw.metadata.required(&raw.at, "metadata", "write `metadata: {name: ...}`", sink);
    let key = metadata.map(|metadata| key(metadata, sink));
    let spec = raw.spec.required(&raw.at, "spec", "what to scale stands below it", sink)?;
    // One that could not be read was reported; the rest is read all the same.
    let nowhere = || TargetKey { namespace: "default".to_owned(), name: String::new() };
    let place = key.clone().unwrap_or_else(nowhere);
    let namespace = place.namespace.as_str();
    let platform = platform(spec, namespace, daemon, sink);
    let system = system(spec, platform.as_deref(), namespace, daemon, sink);
    let safety = safety(&spec.safety, sink);
    let mode = mode(spec, platform.as_deref(), sink);
    let (min_replicas, max_replicas) = sizes(spec, system.as_deref(), &safety, sink);
    let bounds = min_replicas..=max_replicas;
    let pauses = metadata.map(|metadata| pauses(&metadata.annotations, bounds, sink)).unwrap_or_default();
    let approve = metadata.and_then(|metadata| approve(&metadata.annotations, sink));
    let external_wish = external_wish(spec, origin, sink);
    let set_aside = set_aside(spec, platform.as_deref(), system.as_deref(), sink);
    let policies = policies(spec, mode, external_wish, sink);
    let signals = signals(&spec.signals, &place, daemon, sink);
    let behavior = behavior(&spec.behavior, sink);
    let interval = spec.interval.get().map_or(daemon.interval, |interval| interval.duration(INTERVAL, sink));
    Some(TargetConfig {
        key: key?,
        file: sink.file().clone(),
        origin,
        line: raw.at.line,
        pauses,
        approve,
        external_wish,
        set_aside,
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

fn platform(
    spec: &RawSpec,
    namespace: &str,
    daemon: &DaemonConfig,
    sink: &mut Sink,
) -> Option<Arc<Platform>> {
    let hint = "write `targetRef: {apiVersion: plimsoll.dev/v1alpha1, kind: Exec, name: ...}`";
    let raw = spec.target_ref.required(&spec.at, "targetRef", hint, sink)?;
    let one_of: Vec<_> = platforms::KINDS.iter().map(|kind| kind.refers).collect();
    let kind = raw.kind.required(&raw.at, "kind", &format!("one of: {}", one_of.join(", ")), sink);
    let opened = daemon.kubernetes.as_ref().map_or(&[][..], |open| &open.scalable);
    let workloads = platforms::KINDS.iter().copied().find(|kind| !is_in_file(kind));
    let mut words: Vec<_> = platforms::KINDS.iter().map(|kind| (kind.refers, Some(*kind))).collect();
    words.extend(opened.iter().map(|open| (&*open.kind, workloads)));
    let wanted = kind.and_then(|kind| Some((kind, kind.choice(&words, None, sink)?)));
    if let Some((kind, platform)) = wanted
        && let Source::Workload(settings) = platform.source
    {
        let scalable = scalable(raw, kind, opened, sink)?;
        let name = raw.name.required(&raw.at, "name", "the name of a workload in this namespace", sink)?;
        let name = name.name(sink);
        if !daemon.kubernetes.as_ref().is_some_and(|open| open.namespaces.allow(namespace)) {
            let message = format!("no Kubernetes is open to namespace {}", quote(namespace));
            sink.add(&kind.at, message, "add `kubernetes` to the daemon's file, with this namespace");
            return None;
        }
        // The author of a document may name no workload of another namespace.
        return Some(Arc::new(Platform {
            // No name in the daemon's file has a slash.
            name: format!("{} {namespace}/{name}", kind.text),
            namespaces: Namespaces::Only(BTreeSet::from([namespace.to_owned()])),
            kind: platform,
            settings: settings(name, scalable),
        }));
    }
    if let Some(version) = raw.api_version.get() {
        version.choice(&[(API_VERSION, ())], (), sink);
    }
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
    if let Some((kind, wanted)) = wanted
        && wanted != platform.kind
    {
        let is = platform.kind.refers;
        let message =
            format!("platform {} of the daemon's file is of the kind `{is}`", quote(&platform.name));
        sink.add(&kind.at, message, format!("write `kind: {is}` or name another platform"));
    }
    Some(platform)
}

/// The kind of a workload, of those that are opened. One name may be of several groups.
fn scalable(
    raw: &RawTargetRef,
    kind: &Scalar,
    opened: &[Arc<Scalable>],
    sink: &mut Sink,
) -> Option<Arc<Scalable>> {
    let itself = Scalable::stateful_set();
    if kind.text == itself.kind {
        if let Some(version) = raw.api_version.get() {
            version.choice(&[(&itself.api_version, ())], (), sink);
        }
        return Some(itself);
    }
    let version =
        raw.api_version.required(&raw.at, "apiVersion", "the group and version of this kind", sink)?;
    let of_name = opened.iter().filter(|open| open.kind == kind.text);
    let versions: Vec<_> = of_name.map(|open| (&*open.api_version, Some(open))).collect();
    version.choice(&versions, None, sink).cloned()
}

fn system(
    spec: &RawSpec,
    platform: Option<&Platform>,
    namespace: &str,
    daemon: &DaemonConfig,
    sink: &mut Sink,
) -> Option<Arc<System>> {
    let hint = "what data the members hold: write `system: {kind: etcd, ref: ...}`";
    let raw = spec.system.required(&spec.at, "system", hint, sink)?;
    let words = system_words();
    let one_of: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    let word = raw.kind.required(&raw.at, "kind", &format!("one of: {}", one_of.join(", ")), sink)?;
    let kind = word.choice(&words, None, sink)?;
    if let Some(platform) = platform
        && !kind.runs_on(platform.kind)
    {
        let message = format!("{} does not run on the platform {}", quote(&word.text), quote(&platform.name));
        let own =
            platforms::KINDS.iter().find(|own| own.is_own && (**own == platform.kind || kind.runs_on(own)));
        sink.add(&word.at, message, own.map(|own| apart(own)).unwrap_or_default());
    }
    if kind.reach.is_none() {
        if let Some(name) = raw.name.get() {
            sink.add(&name.at, "has no meaning for a simulated system", "remove it");
        }
        return Some(Arc::new(System::unreached(kind, sink)));
    }
    let system =
        named(&raw.name, &raw.at, "ref", "systems", &daemon.systems, namespace, |s| &s.namespaces, sink)?;
    if system.kind != kind {
        let is = system.kind.word;
        let message = format!("system {} of the daemon's file is of the kind `{is}`", quote(&system.name));
        sink.add(&word.at, message, format!("write `kind: {is}` or name another system"));
    }
    Some(system)
}

fn mode(spec: &RawSpec, platform: Option<&Platform>, sink: &mut Sink) -> Mode {
    let Some(scalar) = spec.mode.get() else { return Mode::default() };
    // What Helm and kubectl make of `off`: the switch that stops a target works however it is written.
    let mode = match is_off(&scalar.text, scalar.plain) {
        true => Mode::Off,
        false => scalar.choice(&MODES, Mode::Off, sink),
    };
    if mode == Mode::Enforce
        && let Some(Platform { name, .. }) = platform.filter(|it| it.settings.is_watched_only())
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
    if system.is_some_and(|system| votes(system.kind)) {
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
    Some((scalar, scalar.count(SIZES, sink)))
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

/// Whether sizes may be wished from outside: a file has no `scale` to wish them through.
fn external_wish(spec: &RawSpec, origin: Origin, sink: &mut Sink) -> bool {
    let Some(scalar) = spec.external_wish.get() else { return false };
    let wished = scalar.switch(sink);
    if wished && origin == Origin::File {
        let hint = "wish with `plimsoll scale`, or make it a StatefulAutoscaler of the cluster";
        sink.add(&scalar.at, "nobody can wish a size through a file", hint);
    }
    wished
}

/// Whether removed members' data is set aside: by the pods of a StatefulSet, where the data tells whose it is.
fn set_aside(spec: &RawSpec, platform: Option<&Platform>, system: Option<&System>, sink: &mut Sink) -> bool {
    let Some(scalar) = spec.returning.get() else { return false };
    let wished = scalar.choice(&RETURNING, false, sink);
    if let Some(platform) = platform.filter(|it| wished && !it.kind.has_claims) {
        let message = format!("platform {} has no claims", quote(&platform.name));
        sink.add(&scalar.at, message, "its commands see to their volumes themselves: remove it");
    } else if let Some(system) = system.filter(|it| wished && it.kind.data.is_none()) {
        let message = format!("nothing tells whose data of {} is on a volume", quote(system.kind.word));
        sink.add(&scalar.at, message, "remove it, and remove the claims of removed members by hand");
    }
    wished
}

fn policies(spec: &RawSpec, mode: Mode, from_outside: bool, sink: &mut Sink) -> Vec<PolicyConfig> {
    let list = spec.policies.get();
    let none = list.is_none_or(|list| list.items.is_empty());
    // An item that could not be read was reported already.
    if none && mode != Mode::Off && !from_outside && !matches!(spec.policies, Field::Bad) {
        let at = list.map_or_else(|| spec.at.child("policies"), |list| list.at.clone());
        let hint = "name at least one; to scale by hand only, ask `hold.wasm`";
        sink.add(&at, "nobody is asked for a size", hint);
    }
    let Some(list) = list else { return Vec::new() };
    if list.items.len() > MAX_POLICIES {
        sink.add(&list.at, format!("has more than {MAX_POLICIES} policies"), "");
    }
    // In records a wish from outside stands among the policies' under this name.
    let taken = from_outside.then(|| OUTSIDE.to_owned());
    let mut seen = BTreeSet::from_iter(taken);
    list.items.iter().take(MAX_POLICIES).map(|raw| policy(raw, &mut seen, sink)).collect()
}

fn policy(raw: &RawPolicy, seen: &mut BTreeSet<String>, sink: &mut Sink) -> PolicyConfig {
    let hint = "the name of a file in the policies' directory, like `target-utilization.wasm`";
    let module = raw.module.required(&raw.at, "module", hint, sink);
    let settings = raw.settings.get().map(|any| json(any, sink)).unwrap_or_default();
    if !(settings.is_object() || settings.is_null())
        && let Some(any) = raw.settings.get()
    {
        sink.add(&any.at, "must be a map", "write `key: value` lines below it, indented");
    }
    let asked = PolicyRef {
        name: unique_name(&raw.name, &raw.at, seen, sink),
        module: module
            .map(|module| module.module(sink).trim_end_matches(".wasm").to_owned())
            .unwrap_or_default(),
        on_error: raw
            .on_error
            .get()
            .map_or(OnError::Hold, |word| word.choice(&ON_ERROR, OnError::Hold, sink)),
        settings: if settings.is_null() {
            serde_json::Value::Object(serde_json::Map::new())
        } else {
            settings
        },
    };
    PolicyConfig { line: module.map_or(raw.at.line, |module| module.at.line), asked }
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
