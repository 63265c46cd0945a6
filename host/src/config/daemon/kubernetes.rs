//! `kubernetes` of the daemon's file: the API server, whose documents may name workloads there, and the lease.

use super::lease::{RawLease, fences, lease};
use super::reach::namespaces;
use super::{Namespaces, Platform};
use crate::kubernetes::{Access, Scalable};
use crate::leadership::LeaseSettings;
use crate::platforms;
use crate::yaml::problem::{Sink, quote};
use crate::yaml::raw::{Field, List, Scalar, raw};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

raw! {
    struct RawKubernetes {
        kubeconfig: Scalar = "kubeconfig",
        context: Scalar = "context",
        namespaces: List<Scalar> = "namespaces",
        autoscalers: Scalar = "autoscalers",
        lease: RawLease = "lease",
        scalable: List<RawScalable> = "scalable",
    }
}

raw! {
    struct RawScalable {
        api_version: Scalar = "apiVersion",
        kind: Scalar = "kind",
        plural: Scalar = "plural",
        replicas_path: Scalar = "replicasPath",
    }
}

/// A Kubernetes: its workloads may be targets, and the journals are in it (`decisions.md` D5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// Where it is, and who we are there.
    pub access: Access,
    /// Whose documents may name a workload; each only those of its own namespace.
    pub namespaces: Namespaces,
    /// Whether the `StatefulAutoscaler` objects of these namespaces are targets, beside those of files.
    pub autoscalers: bool,
    /// Which of several daemons leads; none where this is the only one.
    pub lease: Option<LeaseSettings>,
    /// Kinds with a `scale` subresource that documents may name beside StatefulSets.
    pub scalable: Vec<Arc<Scalable>>,
}

pub(super) fn kubernetes(
    raw: &RawKubernetes,
    platforms: &BTreeMap<String, Arc<Platform>>,
    base: &Path,
    sink: &mut Sink,
) -> Kubernetes {
    if let Some(lease) = raw.lease.get() {
        fences(lease, platforms, sink);
    }
    if raw.kubeconfig.is_absent() && !raw.context.is_absent() {
        sink.add(
            &raw.at.child("kubeconfig"),
            "is missing beside `context`",
            "`context` means nothing without it",
        );
    }
    Kubernetes {
        access: Access {
            kubeconfig: raw.kubeconfig.path(base, sink),
            context: raw.context.get().map(|context| context.text(sink)),
        },
        namespaces: namespaces(&raw.namespaces, sink),
        autoscalers: raw.autoscalers.get().is_some_and(|switch| switch.switch(sink)),
        lease: raw.lease.get().map(|raw| lease(raw, sink)),
        scalable: scalable(&raw.scalable, sink),
    }
}

/// The kinds that are opened. More than these would be a list of everything, and each is watched.
const MAX_SCALABLE: usize = 16;

fn scalable(raw: &Field<List<RawScalable>>, sink: &mut Sink) -> Vec<Arc<Scalable>> {
    let Some(list) = raw.get() else { return Vec::new() };
    if list.items.len() > MAX_SCALABLE {
        sink.add(&list.at, format!("has more than {MAX_SCALABLE} kinds"), "open only those that are scaled");
    }
    let mut found: Vec<Arc<Scalable>> = Vec::new();
    for raw in list.items.iter().take(MAX_SCALABLE) {
        let Some(kind) = one_scalable(raw, sink) else { continue };
        if found.iter().any(|other| (&other.api_version, &other.kind) == (&kind.api_version, &kind.kind)) {
            sink.add(&raw.at, format!("{} is there twice", quote(&kind.kind)), "keep one");
        } else {
            found.push(Arc::new(kind));
        }
    }
    found
}

fn one_scalable(raw: &RawScalable, sink: &mut Sink) -> Option<Scalable> {
    let hint = "group and version as in its objects, such as `example.dev/v1`";
    let version = raw.api_version.required(&raw.at, "apiVersion", hint, sink);
    let kind = raw.kind.required(&raw.at, "kind", "as in its objects, such as `Database`", sink);
    let plural = raw.plural.required(&raw.at, "plural", "as `kubectl api-resources` shows it", sink);
    let path = match raw.replicas_path.get() {
        Some(path) => fields(path, sink),
        None => Scalable::usual_path(),
    };
    let (version, kind, plural) = (version?, kind?, plural?);
    let is_name = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
    };
    let parts: Vec<&str> = version.text.split('/').collect();
    if parts.len() != 2 || !parts.iter().all(|part| is_name(part)) {
        sink.add(&version.at, format!("{} is no group and version", quote(&version.text)), hint);
    }
    // Those have their words in documents already.
    if platforms::KINDS.iter().any(|known| known.refers == kind.text) || !is_name(&kind.text) {
        let hint = "name the kind of a custom resource";
        sink.add(&kind.at, format!("{} cannot be opened", quote(&kind.text)), hint);
    }
    Some(Scalable {
        api_version: version.text.clone(),
        kind: kind.text.clone(),
        plural: plural.name(sink),
        replicas_path: path,
    })
}

/// The parts of a simple path in an object: names between dots.
fn fields(path: &Scalar, sink: &mut Sink) -> Vec<String> {
    let parts: Vec<String> = path.text.trim_start_matches('.').split('.').map(str::to_owned).collect();
    let is_field = |part: &String| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if !parts.iter().all(is_field) {
        let hint = "write the specReplicasPath of its definition, such as `.spec.replicas`";
        sink.add(&path.at, format!("{} is no path of fields", quote(&path.text)), hint);
    }
    parts
}
