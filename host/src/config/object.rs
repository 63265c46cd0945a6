//! Documents of targets as objects of the cluster. The reader of files reads them too; what the API server and others
//! add to an object is ignored.

use super::daemon::DaemonConfig;
use super::load::{Broken, LoadedTargets};
use super::target::{self, Origin, Stops};
use crate::yaml::problem::{At, Problem, Sink, join};
use crate::yaml::tree::{Entry, MAX_DEPTH, MAX_NODES, Node, Value};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The annotations that are ours; everybody else's are let be.
const OURS: &str = "plimsoll.dev/";

/// The documents of the cluster, as they were seen last.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// The objects.
    pub seen: Vec<Arc<Json>>,
    /// Where they could not be seen.
    pub unseen: Unseen,
    /// Where the orders cannot be seen that people write on plans.
    pub orders_unseen: Unseen,
}

/// Where objects could not be read, each with the reason; no namespace stands for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unseen(pub BTreeMap<Option<String>, String>);

impl Unseen {
    /// Whether nobody knows what a namespace holds.
    #[must_use]
    pub fn covers(&self, namespace: &str) -> bool {
        self.0.keys().any(|unseen| unseen.as_deref().is_none_or(|unseen| unseen == namespace))
    }
}

/// How an object is called where a file's name stands else.
pub(crate) fn place(key: &str) -> String {
    format!("{} {key}", target::KIND)
}

/// The targets among the objects of the cluster.
pub(super) fn targets_from(objects: &Objects, daemon: &DaemonConfig, loaded: &mut LoadedTargets) {
    let Some(open) = &daemon.kubernetes else { return };
    for object in objects.seen.iter().filter(|_| open.autoscalers) {
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
        if open.namespaces.allow(text("namespace")) {
            let key = format!("{}/{}", text("namespace"), text("name"));
            one(object, &place(&key), daemon, loaded);
        }
    }
    let mut blind = |unseen: &Unseen, kind: &str, hint: &str| {
        for (namespace, why) in &unseen.0 {
            loaded.problems.push(Problem {
                file: format!("{kind} {}/*", namespace.as_deref().unwrap_or("*")).into(),
                line: 0,
                column: 0,
                path: String::new(),
                message: format!("cannot be seen: {why}"),
                hint: hint.to_owned(),
            });
        }
    };
    blind(&objects.unseen, target::KIND, "targets that come from there go on as they were");
    blind(&objects.orders_unseen, "ScalingPlan", "orders that are written there are not obeyed");
    loaded.unseen = objects.unseen.clone();
}

fn one(object: &Json, place: &str, daemon: &DaemonConfig, loaded: &mut LoadedTargets) {
    let mut sink = Sink::new(place);
    let root = document(object, &mut sink);
    match target::read(&root, Origin::Object, daemon, &mut sink).filter(|_| sink.len() == 0) {
        Some(target) => loaded.targets.push(target),
        None => loaded.broken.push(Broken {
            file: sink.file().clone(),
            key: target::identity(&root),
            origin: Origin::Object,
            stops: Stops::of(&root),
        }),
    }
    loaded.problems.append(sink.into_problems());
}

/// An object as the document that its owner wrote.
fn document(object: &Json, sink: &mut Sink) -> Node {
    let mut written = Map::new();
    for key in ["apiVersion", "kind"] {
        written.insert(key.to_owned(), object[key].clone());
    }
    let mut metadata = Map::new();
    for key in ["name", "namespace"] {
        metadata.insert(key.to_owned(), object["metadata"][key].clone());
    }
    let annotations = object["metadata"]["annotations"].as_object().into_iter().flatten();
    let annotations = annotations.filter(|(name, _)| name.starts_with(OURS));
    let annotations = annotations.map(|(name, value)| (name.clone(), value.clone())).collect();
    metadata.insert("annotations".to_owned(), Json::Object(annotations));
    written.insert("metadata".to_owned(), Json::Object(metadata));
    if let Some(spec) = object.get("spec") {
        let mut spec = spec.clone();
        // A wish from outside is no part of the document: it comes and goes without changing the target.
        if let Some(fields) = spec.as_object_mut() {
            fields.remove("replicas");
        }
        written.insert("spec".to_owned(), spec);
    }
    let mut left = MAX_NODES;
    node(&Json::Object(written), "", 0, &mut left, sink)
}

/// A value as a node of a tree. It has no line; its path is its place.
fn node(value: &Json, path: &str, depth: usize, left: &mut usize, sink: &mut Sink) -> Node {
    let scalar = |text: String, plain| Value::Scalar { text, plain };
    let bound = if depth >= MAX_DEPTH { Some("is nested too deep") } else { None };
    let bound = bound.or((*left == 0).then_some("is one value too many"));
    if let Some(message) = bound {
        let at = At { path: path.to_owned(), ..At::default() };
        sink.add(&at, message, "see the bounds in docs/configuration.md");
        return Node { line: 0, column: 0, value: Value::Null };
    }
    *left -= 1;
    let value = match value {
        Json::Null => Value::Null,
        Json::Bool(switch) => scalar(switch.to_string(), true),
        Json::Number(number) => scalar(number.to_string(), true),
        Json::String(text) => scalar(text.clone(), false),
        Json::Array(items) => {
            let item = |(index, item)| node(item, &format!("{path}[{index}]"), depth + 1, left, sink);
            Value::List(items.iter().enumerate().map(item).collect())
        }
        Json::Object(fields) => {
            let entry = |(key, value): (&String, &Json)| Entry {
                key: key.clone(),
                plain: false,
                line: 0,
                column: 0,
                node: node(value, &join(path, key), depth + 1, left, sink),
            };
            Value::Map(fields.iter().map(entry).collect())
        }
    };
    Node { line: 0, column: 0, value }
}
