//! What the ResourceQuotas of a namespace leave.

use super::demand::{Place, limited, requested, storage};
use super::{Bound, places_for, quantity};
use k8s_openapi::api::core::v1::{PodSpec, ResourceQuota, ScopedResourceSelectorRequirement};

/// For how many of the places each quota has something left, where that is not for all of them.
pub(super) fn bounds(
    quotas: &[ResourceQuota],
    pod: &PodSpec,
    places: &[Place],
    default_class: Option<&str>,
) -> Vec<Bound> {
    let mut found = Vec::new();
    for quota in quotas {
        let Some(status) = &quota.status else { continue };
        let name = quota.metadata.name.as_deref().unwrap_or_default();
        for (key, hard) in status.hard.iter().flatten() {
            let used = quantity::of(status.used.as_ref().and_then(|used| used.get(key)));
            let Some(hard) = quantity::thousandths(&hard.0) else { continue };
            let Some(cost) = cost(key, quota, pod, default_class) else { continue };
            let mut left = hard.saturating_sub(used);
            let places = places_for(places, |place| {
                let Some(rest) = left.checked_sub(cost(place)) else { return false };
                left = rest;
                true
            });
            found.extend(places.map(|places| Bound { places, what: format!("ResourceQuota {name}: {key}") }));
        }
    }
    found
}

type Cost<'a> = Box<dyn Fn(&Place) -> u128 + 'a>;

/// What a place takes of what a quota counts under a key; none where it takes nothing of it, or nobody can tell.
fn cost<'a>(
    key: &'a str,
    quota: &ResourceQuota,
    pod: &'a PodSpec,
    default_class: Option<&'a str>,
) -> Option<Cost<'a>> {
    const CLASS: &str = ".storageclass.storage.k8s.io/";
    let (class, what) = key.split_once(CLASS).map_or((None, key), |(class, what)| (Some(class), what));
    let of_claims =
        matches!(what, "persistentvolumeclaims" | "count/persistentvolumeclaims" | "requests.storage");
    if of_claims {
        // A quota with scopes counts pods.
        return (!has_scopes(quota))
            .then(|| -> Cost { Box::new(move |place: &Place| claims(place, class, what, default_class)) });
    }
    if class.is_some() || !covers(quota, pod) {
        return None;
    }
    let amount = match what {
        "pods" | "count/pods" => 1_000,
        "cpu" | "memory" | "ephemeral-storage" => requested(pod, what),
        _ => match (what.strip_prefix("requests."), what.strip_prefix("limits.")) {
            (Some(resource), _) => requested(pod, resource),
            (None, Some(resource)) => limited(pod, resource),
            (None, None) => 0,
        },
    };
    (amount > 0).then(|| -> Cost { Box::new(move |_: &Place| amount) })
}

/// Of a class only the claims of it count.
fn claims(place: &Place, class: Option<&str>, what: &str, default_class: Option<&str>) -> u128 {
    let of_class = place.claims.iter().map(|(_, claim)| *claim).filter(|claim| {
        let its = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()).or(default_class);
        class.is_none() || its == class
    });
    of_class.map(|claim| if what == "requests.storage" { storage(claim) } else { 1_000 }).sum()
}

fn has_scopes(quota: &ResourceQuota) -> bool {
    let spec = quota.spec.as_ref();
    let named = spec.and_then(|spec| spec.scopes.as_ref()).is_some_and(|scopes| !scopes.is_empty());
    let selected = spec.and_then(|spec| spec.scope_selector.as_ref()?.match_expressions.as_ref());
    named || selected.is_some_and(|expressions| !expressions.is_empty())
}

/// Whether a quota counts pods of this template. Of a scope that is not known here it is not said that it does: a bound
/// that is none would keep a target small.
fn covers(quota: &ResourceQuota, pod: &PodSpec) -> bool {
    let Some(spec) = &quota.spec else { return true };
    let named = spec.scopes.iter().flatten().all(|scope| is_in(scope, "Exists", &[], pod));
    let selected =
        spec.scope_selector.iter().flat_map(|selector| selector.match_expressions.iter().flatten());
    let mut selected = selected.map(|it: &ScopedResourceSelectorRequirement| {
        is_in(&it.scope_name, &it.operator, it.values.as_deref().unwrap_or_default(), pod)
    });
    named && selected.all(|fits| fits)
}

fn is_in(scope: &str, operator: &str, values: &[String], pod: &PodSpec) -> bool {
    let asks = |resource| requested(pod, resource) > 0;
    let is_best_effort = !asks("cpu") && !asks("memory");
    match scope {
        "Terminating" => pod.active_deadline_seconds.is_some(),
        "NotTerminating" => pod.active_deadline_seconds.is_none(),
        "BestEffort" => is_best_effort,
        "NotBestEffort" => !is_best_effort,
        "PriorityClass" => {
            let class = pod.priority_class_name.as_deref().filter(|class| !class.is_empty());
            let listed = class.is_some_and(|class| values.iter().any(|value| value == class));
            match operator {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => class.is_some(),
                "DoesNotExist" => class.is_none(),
                _ => false,
            }
        }
        _ => false,
    }
}
