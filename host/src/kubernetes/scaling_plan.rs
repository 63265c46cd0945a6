//! `ScalingPlan`: the journal of one target as an object of Kubernetes (`decisions.md` D5). It is named after its
//! target, has a finalizer and no owner, so that the journal outlives its autoscaler.

mod about;

pub use about::{About, Pause, Running};

use super::structural::{OPEN, column, structural};
use plimsoll_wire::journal::Journal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The group of our resources.
pub const GROUP: &str = "plimsoll.dev";
/// The version that is served and stored.
pub const VERSION: &str = "v1alpha1";
/// The kind.
pub const KIND: &str = "ScalingPlan";
/// The plural, as in paths.
pub const PLURAL: &str = "scalingplans";
/// What keeps a journal from going with a careless `kubectl delete`: only a person takes it away.
pub const FINALIZER: &str = "plimsoll.dev/journal";

/// What stands before the name of an order in an annotation of a plan.
pub const ORDERS_PREFIX: &str = "plimsoll.dev/";
/// The most bytes of an order in an annotation: a sentence, or what a plan is called. What is longer is no order.
pub const MAX_ORDER: usize = 4_096;

/// What a `ScalingPlan` is about. Everything that may be lost at no price is here, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The target, `namespace/name`.
    pub target: String,
}

/// The durable state. Only the daemon writes it, through the subresource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The journal in words, for people. The daemon never reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
    /// Counts the writes.
    pub revision: u64,
    /// The uid of the object that this was written to: a copy in another object is not the journal.
    pub object: String,
    /// The SHA-256 of the journal as the daemon wrote it: a change by anybody else shows.
    pub digest: String,
    /// The journal.
    pub journal: Journal,
}

/// Where the plans of a namespace are.
#[must_use]
pub fn collection(namespace: &str) -> String {
    format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}")
}

/// A plan without a status, as it is created.
#[must_use]
pub fn blank(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": KIND,
        "metadata": { "namespace": namespace, "name": name, "finalizers": [FINALIZER] },
        "spec": Spec { target: format!("{namespace}/{name}") },
    })
}

/// The definition of the resource, made of the very types that read and write it.
#[must_use]
pub fn definition() -> Value {
    let mut status = structural::<Status>();
    // What a newer daemon wrote must come back whole, though this definition does not know it.
    status["properties"]["journal"][OPEN] = json!(true);
    let schema = json!({
        "type": "object",
        "description": "What Plimsoll remembers of one target: its running plan, intents and history. Its status is \
                        the daemon's alone.",
        "required": ["spec"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "type": "object" },
            "spec": structural::<Spec>(),
            "status": status,
        },
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{PLURAL}.{GROUP}") },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": { "kind": KIND, "plural": PLURAL, "singular": "scalingplan", "shortNames": ["splan"] },
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": schema },
                "subresources": { "status": {} },
                "additionalPrinterColumns": columns(),
            }],
        },
    })
}

/// What it is doing and why, at one glance; the rest with `-o wide`.
fn columns() -> Value {
    json!([
        column("Target", "string", 0, ".spec.target"),
        column("Change", "string", 0, ".status.about.change"),
        column("Phase", "string", 0, ".status.about.phase"),
        column("State", "string", 0, ".status.about.state"),
        column("Waits for", "string", 0, ".status.about.waitsFor"),
        column("Age", "date", 0, ".metadata.creationTimestamp"),
        column("Since", "date", 1, ".status.about.since"),
        column("Member", "string", 1, ".status.about.plan.member"),
        column("Plan", "string", 1, ".status.about.plan.id"),
        column("Epoch", "integer", 1, ".status.about.epoch"),
    ])
}
