//! Volumes of classes that provision none: a new member can bind only one that is free.

use super::demand::{Place, storage};
use super::{Bound, places_for, quantity};
use crate::platforms::kube::workload::selects;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

/// The provisioner of a class that makes no volumes.
const NONE: &str = "kubernetes.io/no-provisioner";
/// The annotation of the class of claims that name none.
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// The class of a claim that names none.
pub(super) fn default_class(classes: &[StorageClass]) -> Option<&str> {
    let is_default = |class: &&StorageClass| {
        let notes = class.metadata.annotations.as_ref();
        notes.and_then(|notes| notes.get(DEFAULT)).is_some_and(|value| value == "true")
    };
    classes.iter().find(is_default).and_then(|class| class.metadata.name.as_deref())
}

/// The class of a claim where nobody makes volumes of it; the empty one is of volumes without a class.
pub(super) fn unmade<'a>(claim: &'a PersistentVolumeClaim, classes: &'a [StorageClass]) -> Option<&'a str> {
    let named = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    let class = named.or_else(|| default_class(classes)).unwrap_or_default();
    let known = classes.iter().find(|known| known.metadata.name.as_deref() == Some(class));
    known.is_none_or(|known| known.provisioner == NONE).then_some(class)
}

/// For how many of the places there are free volumes, where that is not for all of them.
pub(super) fn bound(
    volumes: &[PersistentVolume],
    classes: &[StorageClass],
    places: &[Place],
    namespace: &str,
) -> Option<Bound> {
    // Where nobody knows the class and there was never a volume of it, how its claims get theirs is not known either.
    let is_known = |class: &str| {
        classes.iter().any(|known| known.metadata.name.as_deref() == Some(class))
            || volumes.iter().any(|volume| class_of(volume) == class)
    };
    // The smallest that fits is taken, as the controller does.
    let mut free: Vec<&PersistentVolume> = volumes.iter().filter(|volume| is_free(volume)).collect();
    free.sort_by_key(|volume| capacity(volume));
    let mut short = String::new();
    let places = places_for(places, |place| {
        place.claims.iter().all(|(name, claim)| {
            let Some(class) = unmade(claim, classes).filter(|class| is_known(class)) else { return true };
            class.clone_into(&mut short);
            let found = free.iter().position(|volume| fits(volume, claim, class, (namespace, name)));
            found.map(|at| free.remove(at)).is_some()
        })
    });
    let what = if short.is_empty() {
        "free PersistentVolumes without a class".to_owned()
    } else {
        format!("free PersistentVolumes of StorageClass {short}")
    };
    places.map(|places| Bound { places, what })
}

fn is_free(volume: &PersistentVolume) -> bool {
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    phase == Some("Available") && volume.metadata.deletion_timestamp.is_none()
}

fn class_of(volume: &PersistentVolume) -> &str {
    volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or_default()
}

fn capacity(volume: &PersistentVolume) -> u128 {
    quantity::of(volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()?.get("storage")))
}

fn fits(volume: &PersistentVolume, claim: &PersistentVolumeClaim, class: &str, its: (&str, &str)) -> bool {
    let (Some(spec), Some(asked)) = (&volume.spec, &claim.spec) else { return false };
    let kept_for = spec.claim_ref.as_ref();
    let is_ours = kept_for.is_none_or(|kept| {
        (kept.namespace.as_deref().unwrap_or_default(), kept.name.as_deref().unwrap_or_default()) == its
    });
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".to_owned());
    let labels = volume.metadata.labels.as_ref();
    let label = |key: &str| labels.and_then(|labels| labels.get(key)).map(String::as_str);
    is_ours
        && class_of(volume) == class
        && capacity(volume) >= storage(claim)
        && asked.access_modes.iter().flatten().all(|wanted| modes.contains(wanted))
        && mode(&spec.volume_mode) == mode(&asked.volume_mode)
        && asked.selector.as_ref().is_none_or(|selector| selects(selector, label))
}
