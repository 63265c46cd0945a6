//! The claims of a place, whether the StatefulSet sets a removed member's data aside before the next one starts, and what
//! its init container said of a volume (`decisions.md` D22). Pure.

use crate::tombstone::{COMMAND, CONFIG_MAP, Said, Tombstone, names_claim};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, PersistentVolumeClaim, Pod, PodSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Why an init container may not have begun yet, in the kubelet's words. For any other reason it cannot.
const ABOUT_TO: [&str; 2] = ["PodInitializing", "ContainerCreating"];

/// The tombstones of a namespace, by [`crate::tombstone::key`].
pub(super) type Tombstones = BTreeMap<String, Tombstone>;

/// The names of the claims that a StatefulSet makes for a pod, by the volume that each is for.
pub(super) fn claims_of(set: &StatefulSet, pod: &str) -> BTreeMap<String, String> {
    let templates = set.spec.as_ref().and_then(|spec| spec.volume_claim_templates.as_deref());
    let names = templates.unwrap_or_default().iter().filter_map(|template| template.metadata.name.as_deref());
    names.map(|volume| (volume.to_owned(), format!("{volume}-{pod}"))).collect()
}

/// What the names of all claims of a StatefulSet's pods begin with: others of the namespace need not be looked at.
pub(super) fn beginnings(set: &StatefulSet) -> Vec<String> {
    let pods = format!("{}-", set.metadata.name.as_deref().unwrap_or_default());
    claims_of(set, &pods).into_values().collect()
}

/// What a claim at a vacant place means for a member that starts there.
pub(super) fn is_in_the_way(
    set: &StatefulSet,
    claim: &PersistentVolumeClaim,
    tombstones: Option<&Result<Arc<Tombstones>, String>>,
) -> Option<String> {
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    if claim.metadata.deletion_timestamp.is_some() {
        return Some(format!("claim {name} is being deleted; hint: wait until it is gone"));
    }
    let unknown = format!("claim {name} is there from before");
    let by_hand = "when its data is not needed any more, delete the claim";
    let Some(tombstones) = tombstones else { return Some(format!("{unknown}; hint: {by_hand}")) };
    if let Err(why) = sets_aside(set) {
        return Some(format!("{unknown}, and {why}; hint: add the init container, or {by_hand}"));
    }
    match (tombstones, &claim.metadata.uid) {
        (Ok(tombstones), Some(uid)) if names_claim(tombstones, uid) => None,
        (Ok(_), _) => {
            Some(format!("{unknown}, and no tombstone in ConfigMap {CONFIG_MAP} names it; hint: {by_hand}"))
        }
        (Err(why), _) => Some(format!("{unknown}, and whether there is a tombstone is not known: {why}")),
    }
}

/// Whether the pods have the init container that sets a removed member's data aside, on every claim.
pub(super) fn sets_aside(set: &StatefulSet) -> Result<(), String> {
    let Some(pod) = set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()) else {
        return Err("the StatefulSet has no template".to_owned());
    };
    let init = pod.init_containers.as_deref().unwrap_or_default().iter().find(|container| is_ours(container));
    let init = init.ok_or_else(|| format!("the pods have no init container with `plimsoll {COMMAND}`"))?;
    let mounts: BTreeSet<&str> =
        init.volume_mounts.as_deref().unwrap_or_default().iter().map(|mount| &*mount.name).collect();
    if !mounts.iter().any(|volume| is_config_map(pod, volume)) {
        return Err(format!(
            "init container {} does not mount the ConfigMap {CONFIG_MAP} with `optional: true`",
            init.name
        ));
    }
    for volume in claims_of(set, "").into_keys() {
        if !mounts.contains(&*volume) {
            return Err(format!("init container {} does not mount {volume}", init.name));
        }
    }
    Ok(())
}

fn is_ours(container: &Container) -> bool {
    let words = [&container.command, &container.args];
    words.into_iter().flatten().flatten().any(|word| word == COMMAND)
}

fn is_config_map(pod: &PodSpec, volume: &str) -> bool {
    let of_name = pod.volumes.as_deref().unwrap_or_default().iter().find(|known| known.name == volume);
    // Without `optional` no pod would start before the first member was ever removed.
    of_name
        .and_then(|volume| volume.config_map.as_ref())
        .is_some_and(|map| map.name == CONFIG_MAP && map.optional == Some(true))
}

/// What the init container of a pod has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Saying {
    /// The name of the data, and whose it was at the pod's start.
    Said(Said),
    /// It never began: no member of this pod has ever written.
    Never,
    /// It has yet to speak, and why.
    NotYet(String),
}

/// What the init container of a leaving member has said of its volume.
pub(super) fn saying(pod: Option<&Pod>) -> Saying {
    let Some(pod) = pod else {
        return Saying::NotYet("there is no pod to tell whose data it has".to_owned());
    };
    let is_ours: BTreeSet<&str> = pod
        .spec
        .iter()
        .flat_map(|spec| spec.init_containers.as_deref().unwrap_or_default())
        .filter(|container| is_ours(container))
        .map(|container| &*container.name)
        .collect();
    let statuses = pod.status.as_ref().and_then(|status| status.init_container_statuses.as_deref());
    match statuses.unwrap_or_default().iter().find(|status| is_ours.contains(&*status.name)) {
        Some(status) => of_status(status),
        None if pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()) && !is_ours.is_empty() => {
            Saying::NotYet("its init container has not begun".to_owned())
        }
        // On no machine yet, or of a template without one.
        None => Saying::Never,
    }
}

fn of_status(status: &ContainerStatus) -> Saying {
    let state = status.state.clone().unwrap_or_default();
    if let Some(ended) = state.terminated {
        let said = ended.message.as_deref().and_then(|message| serde_json::from_str(message.trim()).ok());
        return match said {
            Some(said) if ended.exit_code == 0 => Saying::Said(said),
            Some(_) | None => Saying::NotYet(format!(
                "init container {} ended with {} and said nothing of its data",
                status.name, ended.exit_code
            )),
        };
    }
    match state.waiting.and_then(|waiting| waiting.reason) {
        Some(reason) if !ABOUT_TO.contains(&&*reason) && status.restart_count == 0 => Saying::Never,
        Some(_) | None => Saying::NotYet(format!("init container {} has not ended", status.name)),
    }
}
