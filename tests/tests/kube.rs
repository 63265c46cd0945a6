//! On a real Kubernetes, where nothing has to be its own: one cluster for all of them, and a namespace for each.

#[path = "kube/journal.rs"]
mod journal;
#[path = "kube/plan.rs"]
mod plan;
#[path = "kube/platform.rs"]
mod platform;
#[path = "kube/plugin.rs"]
mod plugin;
#[path = "kube/schema.rs"]
mod schema;
#[path = "kube/source.rs"]
mod source;
