//! Kinds of resources with a `scale` subresource: where their objects are, and where the size stands in them. Pure.

use serde_json::Value;
use std::sync::Arc;

const STATEFUL_SET: &str = "StatefulSet";

/// A kind of resources with a `scale` subresource: `StatefulSet` itself, or one whose objects are each in front of one
/// StatefulSet, whose size their controller sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalable {
    /// `group/version`.
    pub api_version: String,
    /// As in documents.
    pub kind: String,
    /// As in paths.
    pub plural: String,
    /// Where its size stands: its definition's `specReplicasPath`, part by part.
    pub replicas_path: Vec<String>,
}

impl Scalable {
    /// The kind that has members itself.
    #[must_use]
    pub fn stateful_set() -> Arc<Self> {
        Arc::new(Self {
            api_version: "apps/v1".to_owned(),
            kind: STATEFUL_SET.to_owned(),
            plural: "statefulsets".to_owned(),
            replicas_path: Self::usual_path(),
        })
    }

    /// Where a size stands where nothing else is said.
    #[must_use]
    pub fn usual_path() -> Vec<String> {
        vec!["spec".to_owned(), "replicas".to_owned()]
    }

    /// Whether it has members itself, and is in front of nothing.
    #[must_use]
    pub fn is_stateful_set(&self) -> bool {
        self.kind == STATEFUL_SET
    }

    /// Its group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Below which path the objects of a namespace are.
    #[must_use]
    pub fn collection(&self, namespace: &str) -> String {
        format!("/apis/{}/namespaces/{namespace}/{}", self.api_version, self.plural)
    }

    /// The path of an object.
    #[must_use]
    pub fn path(&self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.collection(namespace))
    }

    /// The size that stands in an object.
    ///
    /// # Errors
    /// That there is none at that place.
    pub fn replicas(&self, object: &Value) -> Result<i32, String> {
        let found = self.replicas_path.iter().fold(object, |place, part| &place[part]);
        let size = found.as_i64().and_then(|size| i32::try_from(size).ok());
        size.ok_or_else(|| format!("it tells no size at {}; {HINT}", self.replicas_path.join(".")))
    }

    /// Whether an object and its `scale`, read beside each other, are of one version and tell the same size: what is watched
    /// is the object, what is written is the `scale`.
    ///
    /// # Errors
    /// That they do not.
    pub fn agrees(&self, object: &Value, scale: &Value) -> Result<(), String> {
        if object["metadata"]["resourceVersion"] != scale["metadata"]["resourceVersion"] {
            return Err("it changed while it was read".to_owned());
        }
        if scale["spec"]["replicas"].as_i64() == Some(i64::from(self.replicas(object)?)) {
            return Ok(());
        }
        Err(format!("its scale tells another size than {}; {HINT}", self.replicas_path.join(".")))
    }
}

const HINT: &str =
    "hint: `replicasPath` of this kind in the daemon's file has to be the specReplicasPath of its definition";
