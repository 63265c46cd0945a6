//! `StatefulAutoscaler`: a target's document as an object of Kubernetes, with the status that tells what it does.

mod condition;
mod news;
mod status;
#[cfg(test)]
mod tests;

pub(super) use condition::camel;
pub use condition::{CONDITIONS, Known, REASONS};
pub(super) use status::word;
pub use status::{
    Condition, Constraint, EndedPlan, ExternalWish, LastDecision, Moment, Paused, Plan, Seen, Status, Wish,
};

use super::scaling_plan::{GROUP, VERSION};
use super::structural::{column, structural};
use serde_json::{Value, json};

/// The kind.
pub const KIND: &str = "StatefulAutoscaler";
/// The plural, as in paths.
pub const PLURAL: &str = "statefulautoscalers";

/// The definition of the resource, with the schema of its `spec`.
#[must_use]
pub fn definition(mut spec: Value) -> Value {
    let name =
        "size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')";
    // Where wishes from outside come in: no key of a document.
    spec["properties"]["replicas"] = json!({
        "type": "integer",
        "minimum": 0,
        "description": "What is wished for from outside, through the subresource `scale`, where `externalWish` is true.",
    });
    let schema = json!({
        "type": "object",
        "x-kubernetes-validations": [{
            "rule": name,
            "messageExpression": "'metadata.name: `' + self.metadata.name + '` is not a name; at most 63 lowercase letters, \
                                  digits and `-`, with a letter or digit at both ends'",
        }],
        "description": "What to scale, between which sizes, by whose advice, and how carefully.",
        "required": ["spec"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "type": "object" },
            "spec": spec,
            "status": structural::<Status>(),
        },
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{PLURAL}.{GROUP}") },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "plural": PLURAL,
                "singular": "statefulautoscaler",
                "shortNames": ["sfa"],
                "categories": ["all"],
            },
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": schema },
                "subresources": {
                    "status": {},
                    // Autoscalers wish here instead of at the workload.
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
                "additionalPrinterColumns": columns(),
            }],
        },
    })
}

/// What it is doing and why, at one glance; the rest with `-o wide`.
fn columns() -> Value {
    let ready = r#".status.conditions[?(@.type=="Ready")].status"#;
    json!([
        column("Mode", "string", 0, ".spec.mode"),
        column("Size", "integer", 0, ".status.replicas"),
        column("Wished", "integer", 0, ".status.lastDecision.rawDesiredReplicas"),
        column("Decided", "integer", 0, ".status.lastDecision.finalDesiredReplicas"),
        column("Reason", "string", 0, ".status.lastDecision.reason"),
        column("Plan", "string", 0, ".status.plan.summary"),
        column("Ready", "string", 0, ready),
        column("Age", "date", 0, ".metadata.creationTimestamp"),
        column("Min", "integer", 1, ".spec.minReplicas"),
        column("Max", "integer", 1, ".spec.maxReplicas"),
        column("Target", "string", 1, ".spec.targetRef.name"),
        column("Waits for", "string", 1, ".status.plan.waitingFor"),
        column("Message", "string", 1, ".status.message"),
    ])
}
