//! What is scaled: a StatefulSet, or a resource in front of one, whose controller gives the StatefulSet its size. Pure.

use super::parsed;
use crate::kubernetes::Scalable;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use plimsoll_wire::snapshot::Generation;
use serde_json::Value;
use std::sync::Arc;

/// The object whose size is wished, and the StatefulSet that has the members.
#[derive(Clone, Debug)]
pub(super) struct Scaled {
    pub(super) kind: Arc<Scalable>,
    /// The object as it came: who wrote which field is in no type.
    pub(super) object: Value,
    pub(super) metadata: ObjectMeta,
    /// How many members are asked for.
    pub(super) replicas: i32,
    pub(super) set: StatefulSet,
}

impl Scaled {
    /// A StatefulSet that is scaled itself.
    pub(super) fn itself(kind: Arc<Scalable>, object: Value) -> Result<Self, String> {
        let set: StatefulSet = parsed(Ok(object.clone()))?;
        let (metadata, replicas) = (set.metadata.clone(), asked(&set));
        Ok(Self { kind, object, metadata, replicas, set })
    }

    /// A resource and, of the namespace's StatefulSets, the one that its controller made for it.
    pub(super) fn behind(kind: Arc<Scalable>, object: Value, sets: Vec<Value>) -> Result<Self, String> {
        let uid = object["metadata"]["uid"].clone();
        let is_its = |set: &Value| {
            let owners = set["metadata"]["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
            owners.iter().any(|owner| owner["controller"] == true && owner["uid"] == uid)
        };
        let mut its: Vec<Value> = sets.into_iter().filter(is_its).collect();
        let set = match (its.pop(), its.len()) {
            (Some(set), 0) => parsed(Ok(set))?,
            (Some(_), more) => return Err(format!("it has {} StatefulSets, one is expected", more + 1)),
            (None, _) => return Err("its controller has made no StatefulSet for it".to_owned()),
        };
        Self::before(kind, object, set)
    }

    fn before(kind: Arc<Scalable>, object: Value, set: StatefulSet) -> Result<Self, String> {
        let metadata = parsed(Ok(object["metadata"].clone()))?;
        let replicas = kind.replicas(&object)?;
        Ok(Self { kind, object, metadata, replicas, set })
    }

    /// The same with what a write made of the object; a StatefulSet behind it is as it was.
    pub(super) fn with(self, object: Value) -> Result<Self, String> {
        if self.kind.is_stateful_set() {
            Self::itself(self.kind, object)
        } else {
            Self::before(self.kind, object, self.set)
        }
    }

    /// What the names of its pods begin with.
    pub(super) fn pods(&self) -> &str {
        self.set.metadata.name.as_deref().unwrap_or_default()
    }

    /// Which change is asked for, and which the controllers have acted on. A resource that does not tell has been acted on
    /// when its StatefulSet has its size and is done.
    pub(super) fn generation(&self) -> Generation {
        let observed = self.set.status.as_ref().and_then(|status| status.observed_generation);
        let set = Generation { spec: number(self.set.metadata.generation), observed: number(observed) };
        if self.kind.is_stateful_set() {
            return set;
        }
        let spec = number(self.metadata.generation);
        let observed = self.object["status"]["observedGeneration"].as_u64();
        let is_done = observed.is_none_or(|observed| observed >= spec)
            && asked(&self.set) == self.replicas
            && set.observed >= set.spec;
        Generation { spec, observed: if is_done { spec } else { spec.saturating_sub(1) } }
    }
}

/// How many members a StatefulSet is asked for.
fn asked(set: &StatefulSet) -> i32 {
    // The server fills in 1 where nothing is said.
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// The uid of whatever controls an object.
pub(super) fn controller(metadata: &ObjectMeta) -> Option<&str> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| &*owner.uid)
}

/// A missing one is none yet.
fn number(value: Option<i64>) -> u64 {
    u64::try_from(value.unwrap_or(0)).unwrap_or(0)
}
