//! Reads from a document that may be broken which target it is for, and what in it stops the target. A stop must not
//! wait until the rest of the document is mended.

use super::{Pauses, TargetConfig, TargetKey};
use crate::yaml::tree::{Entry, Node, Value};
use crate::yaml::value::is_dns_label;
use crate::yaml::words::{is_off, taken_for};
use plimsoll_wire::snapshot::Mode;

/// The keys of `metadata`.
const METADATA: [&str; 4] = ["name", "namespace", "annotations", "labels"];
/// What the annotations begin with that pause a target.
const PAUSED: &str = "plimsoll.dev/paused";

/// What a document is called, where that is certain in one that may be broken. Without a namespace it is not: the line may
/// be misspelt, or cut off.
pub(in crate::config) fn identity(root: &Node) -> Option<TargetKey> {
    let metadata = child(root, "metadata")?;
    if entries(metadata).iter().any(|entry| !METADATA.contains(&entry.key.as_str())) {
        return None;
    }
    let named = |key| {
        let (text, plain) = scalar(child(metadata, key)?)?;
        let is_name = is_dns_label(text) && !(plain && taken_for(text).is_some());
        is_name.then(|| text.to_owned())
    };
    Some(TargetKey { namespace: named("namespace")?, name: named("name")? })
}

/// What a document says that stops its target, whatever else is wrong with it: that is not to wait until it is mended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    off: bool,
    pauses: Vec<String>,
}

impl Stops {
    /// Of a document that may be broken.
    pub(in crate::config) fn of(root: &Node) -> Self {
        let annotations = child(root, "metadata").and_then(|metadata| child(metadata, "annotations"));
        let pauses = annotations.map(entries).unwrap_or_default().iter();
        let pauses = pauses.filter(|entry| entry.key.starts_with(PAUSED));
        let mode = child(root, "spec").and_then(|spec| child(spec, "mode")).and_then(scalar);
        let text = |entry: &Entry| scalar(&entry.node).map(|(text, _)| text.trim().to_owned());
        Self {
            off: mode.is_some_and(|(text, plain)| is_off(text, plain)),
            pauses: pauses.map(|entry| text(entry).unwrap_or_default()).collect(),
        }
    }

    /// Whether that is more than what the target knows already.
    pub(in crate::config) fn is_news_for(&self, before: &TargetConfig) -> bool {
        let Pauses { all, scale_in, scale_out, size } = &before.pauses;
        let size = size.as_ref().map(|(_, pause)| pause);
        let known = [all.as_ref(), scale_in.as_ref(), scale_out.as_ref(), size];
        let is_known = |text: &String| known.iter().flatten().any(|pause| text.ends_with(&pause.why));
        (self.off && before.mode != Mode::Off) || !self.pauses.iter().all(is_known)
    }
}

fn entries(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Map(entries) => entries,
        Value::Null | Value::Scalar { .. } | Value::List(_) => &[],
    }
}

fn child<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    entries(node).iter().find(|entry| entry.key == key).map(|entry| &entry.node)
}

fn scalar(node: &Node) -> Option<(&str, bool)> {
    match &node.value {
        Value::Scalar { text, plain } => Some((text, *plain)),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}
