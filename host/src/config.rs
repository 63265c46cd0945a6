//! Configuration: the daemon's file and the targets' documents, read into checked values.
//!
//! One pass finds every problem and reports it with its file, line and key. A document with a
//! problem is not used at all; the others are. Changes are picked up while the daemon runs, and a broken
//! change leaves the target with the configuration it had.

mod daemon;
mod files;
mod key;
mod load;
mod object;
mod reload;
mod safety;
mod target;
mod watch;

pub use daemon::{DaemonConfig, Kubernetes, Log, LogFormat, LogLevel, Namespaces, Platform, Source, System};
pub use files::Files;
pub use key::TargetKey;
pub use load::{Broken, LoadedTargets, load_daemon, load_targets};
pub use object::{Objects, Unseen};
pub use reload::{Change, Configuration, Reloaded, merge, reload};
pub use safety::{Bounds, Kind, LIMITS, Limit, safety_reference};
pub use target::{Origin, Pause, Pauses, PolicyConfig, SignalConfig, Stops, TargetConfig};
pub use watch::Watch;

#[cfg(test)]
mod tests;

pub use crate::yaml::problem::{Problem, Problems};
pub(crate) use object::place as object_place;

use crate::yaml::problem::{At, Sink, nearest, quote};
use crate::yaml::raw::{Field, Scalar};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the `spec` of a `StatefulAutoscaler` may hold, as a schema of Kubernetes: of what the reader refuses whatever can be said
/// without the daemon's file.
#[must_use]
pub fn spec_schema() -> serde_json::Value {
    target::form().schema()
}

/// The version of both kinds of documents.
pub const API_VERSION: &str = "plimsoll.dev/v1alpha1";

/// The daemon's file with every key, its default and why: the reference.
pub const DEFAULT_DAEMON: &str = include_str!("config/default.yaml");

/// A target's document with every key and what it means.
pub const EXAMPLE_TARGET: &str = include_str!("config/example-target.yaml");

/// The two lines that every document begins with.
fn header(at: &At, version: &Field<Scalar>, kind: &Field<Scalar>, expected: &str, sink: &mut Sink) {
    let hint = format!("write `apiVersion: {API_VERSION}`");
    if let Some(version) = version.required(at, "apiVersion", &hint, sink)
        && version.text != API_VERSION
    {
        sink.add(&version.at, format!("{} is not known", quote(&version.text)), hint);
    }
    let hint = format!("write `kind: {expected}`");
    if let Some(kind) = kind.required(at, "kind", &hint, sink)
        && kind.text != expected
    {
        let hint = match kind.text.as_str() {
            target::KIND => {
                "a target's document belongs into `targetsDir`; this is the daemon's file".to_owned()
            }
            daemon::KIND => "this is the daemon's file, which does not belong into `targetsDir`".to_owned(),
            _ => hint,
        };
        sink.add(&kind.at, format!("{} is not the kind that belongs here", quote(&kind.text)), hint);
    }
}

/// What a document refers to by name: it must stand in the daemon's file and be open to the namespace.
#[expect(
    clippy::too_many_arguments,
    reason = "one lookup for sources, platforms and systems, each with its words"
)]
fn named<T>(
    field: &Field<Scalar>,
    parent: &At,
    key: &str,
    section: &str,
    known: &BTreeMap<String, Arc<T>>,
    namespace: &str,
    namespaces: impl Fn(&T) -> &Namespaces,
    sink: &mut Sink,
) -> Option<Arc<T>> {
    let hint = format!("the name of one of `{section}` in the daemon's file");
    let scalar = field.required(parent, key, &hint, sink)?;
    // Names that the namespace may not use are not told: they are as unknown to it as those that are not there.
    let open = |item: &Arc<T>| namespaces(item).allow(namespace);
    if let Some(item) = known.get(&scalar.text).filter(|item| open(item)) {
        return Some(item.clone());
    }
    let message = format!(
        "{} is not among the `{section}` open to namespace {}",
        quote(&scalar.text),
        quote(namespace)
    );
    let names: Vec<&str> =
        known.iter().filter(|(_, item)| open(item)).map(|(name, _)| name.as_str()).collect();
    let hint = match nearest(&scalar.text, names.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if names.is_empty() => {
            format!("add it to `{section}` in the daemon's file, with this namespace")
        }
        None => format!("open to it: {}", names.join(", ")),
    };
    sink.add(&scalar.at, message, hint);
    None
}
