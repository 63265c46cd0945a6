//! What one more member requests, as far as its template says.

use super::quantity;
use crate::platforms::kube::volumes::claims_of;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Container, PersistentVolumeClaim, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::{BTreeMap, BTreeSet};

/// A place that is to get a pod, and those of its claims that are not there yet.
pub(super) struct Place<'a> {
    pub(super) claims: Vec<(String, &'a PersistentVolumeClaim)>,
}

impl<'a> Place<'a> {
    /// The place of a pod of this name.
    pub(super) fn new(set: &'a StatefulSet, pod: &str, there: &BTreeSet<&str>) -> Self {
        let names = claims_of(set, pod);
        let claims = templates(set).iter().filter_map(|template| {
            let name = names.get(template.metadata.name.as_deref()?)?;
            (!there.contains(&**name)).then(|| (name.clone(), template))
        });
        Self { claims: claims.collect() }
    }
}

/// The claims that each member gets.
pub(super) fn templates(set: &StatefulSet) -> &[PersistentVolumeClaim] {
    set.spec.as_ref().and_then(|spec| spec.volume_claim_templates.as_deref()).unwrap_or_default()
}

/// How much storage a claim asks for, in thousandths.
pub(super) fn storage(claim: &PersistentVolumeClaim) -> u128 {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    quantity::of(resources.and_then(|resources| resources.requests.as_ref()?.get("storage")))
}

type Amounts = BTreeMap<String, Quantity>;
/// The amounts of one kind that a container names.
pub(super) type Kind = fn(&ResourceRequirements) -> Option<&Amounts>;

/// What is requested; a limit without a request is one.
pub(super) fn requested(pod: &PodSpec, resource: &str) -> u128 {
    amount(pod, &|container| {
        let asked = of_container(container, |it| it.requests.as_ref(), resource);
        asked.or_else(|| of_container(container, |it| it.limits.as_ref(), resource)).unwrap_or(0)
    }) + overhead(pod, resource)
}

/// What it is limited to.
pub(super) fn limited(pod: &PodSpec, resource: &str) -> u128 {
    let most =
        amount(pod, &|container| of_container(container, |it| it.limits.as_ref(), resource).unwrap_or(0));
    if most == 0 { 0 } else { most + overhead(pod, resource) }
}

fn of_container(container: &Container, kind: Kind, resource: &str) -> Option<u128> {
    let amounts = kind(container.resources.as_ref()?)?;
    amounts.get(resource).map(|amount| quantity::of(Some(amount)))
}

fn overhead(pod: &PodSpec, resource: &str) -> u128 {
    quantity::of(pod.overhead.as_ref().and_then(|overhead| overhead.get(resource)))
}

/// The sum over what runs together, or the most that an init container takes before, whichever is more.
fn amount(pod: &PodSpec, of: &dyn Fn(&Container) -> u128) -> u128 {
    let (mut beside, mut peak) = (0, 0);
    for init in pod.init_containers.as_deref().unwrap_or_default() {
        let asked = of(init);
        if init.restart_policy.as_deref() == Some("Always") {
            beside += asked;
            peak = beside.max(peak);
        } else {
            peak = (beside + asked).max(peak);
        }
    }
    let sum: u128 = pod.containers.iter().map(of).sum();
    (sum + beside).max(peak)
}
