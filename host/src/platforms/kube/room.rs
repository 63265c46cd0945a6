//! Bounds for how many more members there is room: by quotas, by the free volumes of classes that provision none, and
//! by machines.
//!
//! Each part bounds only what it can count. A bound that is not real would keep a target small; a real one that is
//! missed leaves a pod pending, as it would be without this. A cached read is good enough, also while a plan runs: the
//! place may be taken in the next moment anyhow.

mod demand;
mod machines;
mod quantity;
mod quota;
mod volumes;

use super::Kube;
use super::reader::Reader;
use super::report::{self, Seen};
use super::scaled::Scaled;
use crate::kubernetes::Failure;
use demand::Place;
use k8s_openapi::api::core::v1::{PersistentVolume, PodSpec, ResourceQuota};
use k8s_openapi::api::storage::v1::StorageClass;
use plimsoll_core::observation::{Reading, Source};
use plimsoll_wire::fact::Gap;
use plimsoll_wire::workload::Room;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Why something was not read.
pub(super) struct Unread {
    gap: Gap,
    why: String,
}

impl Unread {
    fn new(what: &str, failure: &Failure) -> Self {
        let barred = matches!(failure, Failure::Forbidden { .. } | Failure::NotFound { .. });
        let gap = if barred { Gap::NotScraped } else { Gap::Error };
        Self { gap, why: format!("{what}: {failure}") }
    }

    fn unparsable(what: &str, why: &str) -> Self {
        Self { gap: Gap::Unparsable, why: format!("{what}: {why}") }
    }
}

/// What members are placed in, as far as it was read. What an owner has given no right to see in the cluster at large is
/// not counted; it is none of the namespace's.
pub(super) struct Ground {
    quotas: Vec<ResourceQuota>,
    classes: Vec<StorageClass>,
    /// None where every claim gets a volume made for it, or where they may not be seen.
    volumes: Option<Vec<PersistentVolume>>,
    machines: Vec<Arc<Value>>,
}

/// How many places something is enough for.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bound {
    places: u32,
    what: String,
}

/// How many places from the first on are served; none where all are.
fn places_for(places: &[Place], mut serves: impl FnMut(&Place) -> bool) -> Option<u32> {
    places.iter().position(|place| !serves(place)).map(|at| u32::try_from(at).unwrap_or(u32::MAX))
}

impl Kube {
    /// Reads what members are placed in.
    pub(super) async fn ground(&self, scaled: &Scaled) -> Result<Ground, Unread> {
        let reader = Reader::relaxed(&self.server, &self.watches);
        let quotas = self.below("/api/v1", "resourcequotas");
        let templates = demand::templates(&scaled.set);
        let classes = async {
            if templates.is_empty() {
                Ok(Vec::new())
            } else {
                reader.shared("/apis/storage.k8s.io/v1/storageclasses").await
            }
        };
        let (quotas, machines, classes) =
            tokio::join!(reader.shared(&quotas), reader.shared("/api/v1/nodes"), classes);
        let quotas = quotas.map_err(|failure| Unread::new("ResourceQuotas", &failure))?;
        let machines = at_large("nodes", machines)?.unwrap_or_default();
        let classes = at_large("StorageClasses", classes)?;
        let seen = classes.is_some();
        let classes: Vec<StorageClass> = parsed("StorageClasses", &classes.unwrap_or_default())?;
        let is_unmade = |claim| volumes::unmade(claim, &classes).is_some();
        let volumes = if seen && templates.iter().any(is_unmade) {
            at_large("PersistentVolumes", reader.shared("/api/v1/persistentvolumes").await)?
        } else {
            None
        };
        let volumes = volumes.map(|all| parsed("PersistentVolumes", &all)).transpose()?;
        Ok(Ground { quotas: parsed("ResourceQuotas", &quotas)?, classes, volumes, machines })
    }
}

/// None where the server does not let us see it.
fn at_large(what: &str, list: Result<Vec<Arc<Value>>, Failure>) -> Result<Option<Vec<Arc<Value>>>, Unread> {
    match list.map_err(|failure| Unread::new(what, &failure)) {
        Ok(list) => Ok(Some(list)),
        Err(Unread { gap: Gap::NotScraped, .. }) => Ok(None),
        Err(unread) => Err(unread),
    }
}

fn parsed<T: DeserializeOwned>(what: &str, list: &[Arc<Value>]) -> Result<Vec<T>, Unread> {
    let one = |object: &Arc<Value>| {
        T::deserialize(&**object).map_err(|error| Unread::unparsable(what, &error.to_string()))
    };
    list.iter().map(one).collect()
}

/// The reading of the room that is left: the narrowest bound; that none is within sight; or why it is not known.
pub(super) fn reading(seen: &Seen, source: &Source) -> Reading<Value> {
    match &seen.ground {
        Err(unread) => Reading::gap(unread.gap.clone(), &*unread.why),
        Ok(ground) => match room(seen, ground) {
            Some(Room { members, bound }) => source.tells(json!({ "members": members, "bound": bound })),
            None => Reading::NotApplicable,
        },
    }
}

/// The room, where anything bounds it within the places that are reported.
fn room(seen: &Seen, ground: &Ground) -> Option<Room> {
    let set = &seen.scaled.set;
    let template = &set.spec.as_ref()?.template;
    let pod = template.spec.as_ref()?;
    // Those that are asked for and not there yet take their places first.
    let (missing, ahead) = report::places(seen);
    // Whether a claim that is there is in the way is another question.
    let there: BTreeSet<&str> = match &seen.claims {
        Ok(claims) => claims.iter().filter_map(|claim| claim.metadata.name.as_deref()).collect(),
        Err(_) => return None,
    };
    let waiting = u32::try_from(missing.len()).unwrap_or(u32::MAX);
    let places: Vec<Place> = missing.iter().chain(&ahead).map(|pod| Place::new(set, pod, &there)).collect();
    let default_class = volumes::default_class(&ground.classes);
    let mut bounds = quota::bounds(&ground.quotas, pod, &places, default_class);
    let free = ground.volumes.as_deref();
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    bounds.extend(free.and_then(|free| volumes::bound(free, &ground.classes, &places, namespace)));
    for bound in &mut bounds {
        bound.places = bound.places.saturating_sub(waiting);
    }
    let on_machines = machines_bound(seen, ground, pod, waiting);
    bounds.extend(
        on_machines.filter(|bound| usize::try_from(bound.places).is_ok_and(|places| places < ahead.len())),
    );
    let Bound { places, what } = bounds.into_iter().min()?;
    Some(Room { members: places, bound: what })
}

fn machines_bound(seen: &Seen, ground: &Ground, pod: &PodSpec, missing: u32) -> Option<Bound> {
    let labels = seen.scaled.set.spec.as_ref()?.template.metadata.as_ref().and_then(|it| it.labels.clone());
    let is_on_none = |pod: &&k8s_openapi::api::core::v1::Pod| {
        pod.spec.as_ref().is_none_or(|spec| spec.node_name.is_none())
    };
    let unplaced = u32::try_from(seen.pods.iter().filter(is_on_none).count()).unwrap_or(u32::MAX);
    let labels: BTreeMap<String, String> = labels.unwrap_or_default();
    machines::bound(&ground.machines, pod, &labels, &seen.pods, missing.saturating_add(unplaced))
}
