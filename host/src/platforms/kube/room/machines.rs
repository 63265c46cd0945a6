//! The machines on which one more member could run. What else runs there is not known, so this is an upper bound.

use super::demand::requested;
use super::{Bound, quantity};
use crate::platforms::kube::workload::selects;
use k8s_openapi::api::core::v1::{
    NodeSelectorRequirement, NodeSelectorTerm, Pod, PodAffinityTerm, PodSpec, Toleration,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What each member takes of a machine.
const RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// The taint of a machine that takes no pods.
const CORDON: &str = "node.kubernetes.io/unschedulable";
/// A machine has room for so many as far as anybody knows.
const ANY: u32 = 1_000;

/// Members by the machine that they are on.
type Settled<'a> = BTreeMap<&'a str, u32>;

/// How many more of this template the machines can have at most, beside those that still wait for one; none where that
/// cannot be told.
pub(super) fn bound(
    machines: &[Arc<Value>],
    pod: &PodSpec,
    labels: &BTreeMap<String, String>,
    members: &[Pod],
    waiting: u32,
) -> Option<Bound> {
    let on = members.iter().filter_map(|member| member.spec.as_ref()?.node_name.as_deref());
    let mut settled = Settled::new();
    for machine in on {
        *settled.entry(machine).or_default() += 1;
    }
    if !is_all_there_is(machines, &settled) || is_chosen_otherwise(pod) {
        return None;
    }
    let rooms: Vec<(&Value, u32)> = machines
        .iter()
        .filter(|machine| takes(machine, pod))
        .map(|machine| (&**machine, free(machine, pod, settled.get(name(machine)).copied().unwrap_or(0))))
        .collect();
    let sum = rooms.iter().fold(0_u32, |sum, (_, room)| sum.saturating_add(*room));
    let apart = apart(pod, labels).map(|key| (spread(&rooms, key, machines, &settled), key));
    let (places, what) = match apart.min() {
        Some((places, key)) if places < sum => (places, format!("the machines, one member for each {key}")),
        Some(_) | None => (sum, "the machines".to_owned()),
    };
    Some(Bound { places: places.saturating_sub(waiting), what })
}

/// Whether the machines that are listed are all that there will be. One with a provider's id is a cloud's, where one more
/// may come once a pod waits for it; a member on a machine that is not listed says that the list is not whole.
fn is_all_there_is(machines: &[Arc<Value>], settled: &Settled) -> bool {
    let names: BTreeSet<&str> = machines.iter().map(|machine| name(machine)).collect();
    let is_cloud =
        |machine: &Arc<Value>| machine["spec"]["providerID"].as_str().is_some_and(|id| !id.is_empty());
    !names.is_empty()
        && !machines.iter().any(is_cloud)
        && settled.keys().all(|machine| names.contains(machine))
}

/// Whether the machine is not chosen by the rules that are known here.
fn is_chosen_otherwise(pod: &PodSpec) -> bool {
    let scheduler = pod.scheduler_name.as_deref().unwrap_or("default-scheduler");
    pod.node_name.is_some() || scheduler != "default-scheduler"
}

fn name(machine: &Value) -> &str {
    machine["metadata"]["name"].as_str().unwrap_or_default()
}

fn label<'a>(machine: &'a Value, key: &str) -> Option<&'a str> {
    machine["metadata"]["labels"][key].as_str()
}

/// How many more fit beside the members that are on it.
fn free(machine: &Value, pod: &PodSpec, settled: u32) -> u32 {
    let allocatable =
        |resource: &str| machine["status"]["allocatable"][resource].as_str().and_then(quantity::thousandths);
    let part = |resource: &str, each: u128| {
        let fit = allocatable(resource).and_then(|amount| amount.checked_div(each));
        fit.map_or(ANY, |fit| u32::try_from(fit).unwrap_or(ANY))
    };
    let asked = RESOURCES.into_iter().map(|resource| part(resource, requested(pod, resource)));
    let fit = asked.chain([part("pods", 1_000)]).min().unwrap_or(ANY);
    fit.saturating_sub(settled)
}

/// Whether a machine takes pods of this template.
fn takes(machine: &Value, pod: &PodSpec) -> bool {
    let tolerations = pod.tolerations.as_deref().unwrap_or_default();
    let bears =
        |key: &str, value: &str, effect: &str| tolerations.iter().any(|it| tolerates(it, key, value, effect));
    let taints = machine["spec"]["taints"].as_array().map_or(&[][..], Vec::as_slice);
    let is_open = machine["spec"]["unschedulable"] != true || bears(CORDON, "", "NoSchedule");
    let bears_all = taints.iter().all(|taint| {
        let text = |part: &str| taint[part].as_str().unwrap_or_default();
        text("effect") == "PreferNoSchedule" || bears(text("key"), text("value"), text("effect"))
    });
    is_open && bears_all && attracts(machine, pod)
}

fn tolerates(toleration: &Toleration, key: &str, value: &str, effect: &str) -> bool {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    let exists = toleration.operator.as_deref() == Some("Exists");
    let (its_key, its_effect) = (part(&toleration.key), part(&toleration.effect));
    (its_key == key || (its_key.is_empty() && exists))
        && (its_effect.is_empty() || its_effect == effect)
        && (exists || part(&toleration.value) == value)
}

/// Whether the template's selector and required affinity fit a machine.
fn attracts(machine: &Value, pod: &PodSpec) -> bool {
    let selected = pod.node_selector.iter().flatten().all(|(key, value)| label(machine, key) == Some(value));
    let affinity = pod.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|it| it.required_during_scheduling_ignored_during_execution.as_ref());
    selected && required.is_none_or(|it| it.node_selector_terms.iter().any(|term| is_met(term, machine)))
}

fn is_met(term: &NodeSelectorTerm, machine: &Value) -> bool {
    let labels = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    // An empty term fits nothing.
    (!labels.is_empty() || !fields.is_empty())
        && labels.iter().all(|it| holds(it, label(machine, &it.key)))
        && fields.iter().all(|it| it.key != "metadata.name" || holds(it, Some(name(machine))))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = value.is_some_and(|value| values.iter().any(|one| one == value));
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
    let limit = number(values.first().map(String::as_str));
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => number(value).zip(limit).is_some_and(|(value, limit)| value > limit),
        "Lt" => number(value).zip(limit).is_some_and(|(value, limit)| value < limit),
        // One that is not known here is not held against a machine.
        _ => true,
    }
}

/// The topologies in which no two members may be together.
fn apart<'a>(pod: &'a PodSpec, labels: &'a BTreeMap<String, String>) -> impl Iterator<Item = &'a str> {
    let affinity = pod.affinity.as_ref().and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    let terms = affinity.and_then(|it| it.required_during_scheduling_ignored_during_execution.as_deref());
    let is_of_its_own = |term: &&PodAffinityTerm| {
        let elsewhere =
            term.namespaces.as_ref().is_some_and(|it| !it.is_empty()) || term.namespace_selector.is_some();
        let label = |key: &str| labels.get(key).map(String::as_str);
        !elsewhere && term.label_selector.as_ref().is_some_and(|selector| selects(selector, label))
    };
    terms.unwrap_or_default().iter().filter(is_of_its_own).map(|term| &*term.topology_key)
}

/// One member for each domain that has none, and what machines without a domain have room for.
fn spread(rooms: &[(&Value, u32)], key: &str, machines: &[Arc<Value>], settled: &Settled) -> u32 {
    let is_taken = |machine: &&Arc<Value>| settled.contains_key(name(machine));
    let taken: BTreeSet<&str> =
        machines.iter().filter(is_taken).filter_map(|machine| label(machine, key)).collect();
    let mut domains = BTreeSet::new();
    let mut outside = 0_u32;
    for (machine, room) in rooms.iter().filter(|(_, room)| *room > 0) {
        match label(machine, key) {
            Some(domain) => drop(domains.insert(domain)),
            None => outside = outside.saturating_add(*room),
        }
    }
    let open = domains.difference(&taken).count();
    u32::try_from(open).unwrap_or(ANY).saturating_add(outside)
}
