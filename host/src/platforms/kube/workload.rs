//! Facts about the scaled object beside its members: which one it is, who owns its size, what else scales it, how many
//! members must stay healthy, and for how many more there is room. Pure.

use super::report::Seen;
use super::scaled::Scaled;
use super::{remedy, room, scale};
use crate::kubernetes::{Scalable, managed};
use k8s_openapi::api::autoscaling::v2::{CrossVersionObjectReference, HorizontalPodAutoscaler};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use plimsoll_core::observation::{Reading, Source};
use plimsoll_wire::fact::Gap;
use plimsoll_wire::workload::{
    BUDGETS, Budget, IDENTITY, Identity, REFUSALS, RIVALS, ROOM, Refusal, Rival, SizeOwner,
};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The gaps when nothing could be read, under every name: a missing name would mean that nobody asks.
pub(super) fn gaps(why: &str) -> BTreeMap<String, Reading<Value>> {
    [IDENTITY, RIVALS, BUDGETS, REFUSALS, ROOM]
        .map(|name| (name.to_owned(), Reading::gap(Gap::Error, why)))
        .into()
}

/// All facts of this kind.
pub(super) fn facts(seen: &Seen, source: &Source) -> BTreeMap<String, Reading<Value>> {
    let uid = seen.scaled.metadata.uid.clone().unwrap_or_default();
    let identity = Identity { uid, size_owners: size_owners(&seen.scaled) };
    let rivals = match &seen.autoscalers {
        Ok(autoscalers) => tell(source, &rivals(seen, autoscalers)),
        Err(why) => Reading::gap(Gap::Error, format!("HorizontalPodAutoscalers: {why}")),
    };
    let budgets = match &seen.budgets {
        Ok(budgets) => match covering(budgets, &seen.pods) {
            Ok(budgets) => tell(source, &budgets),
            Err(why) => Reading::gap(Gap::Stale, why),
        },
        Err(why) => Reading::gap(Gap::Error, format!("PodDisruptionBudgets: {why}")),
    };
    let (refusals, room) = (tell(source, &refusals(seen)), room::reading(seen, source));
    [
        (IDENTITY, tell(source, &identity)),
        (RIVALS, rivals),
        (BUDGETS, budgets),
        (REFUSALS, refusals),
        (ROOM, room),
    ]
    .map(|(name, reading)| (name.to_owned(), reading))
    .into()
}

/// What would be refused of us, or by the API server, as far as it shows before.
fn refusals(seen: &Seen) -> Vec<Refusal> {
    let both = scale::stands(&seen.scaled).err();
    let both = ["start", "stop"].into_iter().filter_map(|verb| Some((verb, both.clone()?)));
    let stops = scale::keeps_its_claims(&seen.scaled.set).err().into_iter().chain(seen.buries.clone().err());
    let all = both.chain(stops.map(|why| ("stop", why)));
    all.map(|(verb, why)| Refusal { verb: verb.to_owned(), why }).collect()
}

fn tell<T: Serialize>(source: &Source, value: &T) -> Reading<Value> {
    match serde_json::to_value(value) {
        Ok(value) => source.tells(value),
        Err(error) => Reading::gap(Gap::Unparsable, error.to_string()),
    }
}

/// Who owns the size beside us.
fn size_owners(scaled: &Scaled) -> BTreeSet<SizeOwner> {
    let path: Vec<&str> = scaled.kind.replicas_path.iter().map(String::as_str).collect();
    let others = managed::owners(&scaled.object, &path).into_iter().map(|owner| owner.manager);
    let others = others.filter(|manager| manager != managed::OURS);
    others.map(|name| SizeOwner { remedy: remedy::of_owner(&name).to_owned(), name }).collect()
}

/// The autoscalers that scale this very workload, or the StatefulSet behind it, and what else sets the size of a StatefulSet
/// that is scaled itself: its controller. KEDA works through an autoscaler of its own making.
fn rivals(seen: &Seen, autoscalers: &[HorizontalPodAutoscaler]) -> Vec<Rival> {
    let scaled = &seen.scaled;
    let itself = Scalable::stateful_set();
    let is_at = |target: &CrossVersionObjectReference, kind: &Scalable, metadata: &ObjectMeta| {
        let version = target.api_version.as_deref().unwrap_or_default();
        // A version that is not told is any: it may be ours.
        let fits = version.is_empty() || version.split_once('/').is_some_and(|(its, _)| its == kind.group());
        target.kind == kind.kind && Some(&target.name) == metadata.name.as_ref() && fits
    };
    let is_ours = |autoscaler: &&HorizontalPodAutoscaler| {
        autoscaler.spec.as_ref().is_some_and(|spec| {
            let target = &spec.scale_target_ref;
            is_at(target, &scaled.kind, &scaled.metadata) || is_at(target, &itself, &scaled.set.metadata)
        })
    };
    let rival = |autoscaler: &HorizontalPodAutoscaler| Rival {
        kind: "HorizontalPodAutoscaler".to_owned(),
        name: autoscaler.metadata.name.clone().unwrap_or_default(),
        remedy: remedy::OF_AUTOSCALER.to_owned(),
    };
    let mut rivals: Vec<Rival> = autoscalers.iter().filter(is_ours).map(rival).collect();
    let owners = scaled.set.metadata.owner_references.as_deref().unwrap_or_default();
    let is_rival = |owner: &&OwnerReference| scaled.kind.is_stateful_set() && owner.controller == Some(true);
    let controllers = owners.iter().filter(is_rival);
    rivals.extend(controllers.map(|owner| Rival {
        kind: owner.kind.clone(),
        name: owner.name.clone(),
        remedy: remedy::OF_CONTROLLER.to_owned(),
    }));
    rivals.sort();
    rivals
}

/// The budgets that cover any of the pods, or why what they say cannot be used.
fn covering(budgets: &[PodDisruptionBudget], pods: &[Pod]) -> Result<Vec<Budget>, String> {
    let mut found = Vec::new();
    for budget in budgets {
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let covered: Vec<&Pod> =
            pods.iter().filter(|pod| selector.is_some_and(|it| covers(it, pod))).collect();
        if covered.is_empty() {
            continue;
        }
        let name = budget.metadata.name.clone().unwrap_or_default();
        let status = budget.status.clone().unwrap_or_default();
        // Its controller has not looked at it since it was changed.
        if status.observed_generation.unwrap_or(0) < budget.metadata.generation.unwrap_or(0) {
            return Err(format!(
                "PodDisruptionBudget {name}: its controller has not acted on the last change yet"
            ));
        }
        let count = |number: i32| u32::try_from(number).unwrap_or(0);
        let members =
            covered.iter().filter(|pod| is_ready(pod)).filter_map(|pod| pod.metadata.name.as_deref());
        found.push(Budget {
            name,
            desired: count(status.desired_healthy),
            healthy: count(status.current_healthy),
            members: members.map(Arc::from).collect(),
        });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn covers(selector: &LabelSelector, pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    selects(selector, |key| labels.and_then(|labels| labels.get(key)).map(String::as_str))
}

/// Whether a selector fits these labels. An empty one fits all; an operator that is not known fits, since a budget too many
/// only makes us wait.
pub(super) fn selects<'a>(selector: &LabelSelector, label: impl Fn(&str) -> Option<&'a str>) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| label(key) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|expression| {
            let value = label(&expression.key);
            let listed =
                value.is_some_and(|value| expression.values.iter().flatten().any(|one| one == value));
            match expression.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => true,
            }
        })
}
