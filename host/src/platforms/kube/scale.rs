//! Decides from the object that was just read which write a verb needs, or why it is refused. Pure.

use super::report::{ordinal, rollout, start};
use super::scaled::Scaled;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use plimsoll_wire::journal::{Outcome, PlatformVerb};

/// The annotation with the epoch of the daemon that acts on the object (`decisions.md` D20).
pub(super) const EPOCH: &str = "plimsoll.dev/epoch";

/// What to do about a verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing is to be written: the end is reached, or cannot be.
    Settled(Outcome),
    /// Put our epoch on the object first.
    Stamp,
    /// Ask for so many members.
    Scale {
        /// In all.
        replicas: i32,
    },
}

/// A change of size, as the verb says it.
struct Change<'a> {
    slot: &'a str,
    /// Members before.
    from: i32,
    /// Members afterwards.
    to: i32,
    /// The ordinal that comes or goes, counted from the first.
    place: i32,
}

/// Decides on a verb. Its end being reached already is success, so that a verb may be given again after a crash.
pub(super) fn decide(scaled: &Scaled, observed: Option<&str>, verb: &PlatformVerb, epoch: u64) -> Decision {
    match check(scaled, observed, verb, epoch) {
        Ok(decision) => decision,
        Err(message) => Decision::Settled(Outcome::Refused { message }),
    }
}

fn check(
    scaled: &Scaled,
    observed: Option<&str>,
    verb: &PlatformVerb,
    epoch: u64,
) -> Result<Decision, String> {
    let change = change(verb)?;
    is_the_one(scaled, observed)?;
    let stamp = stamp(&scaled.metadata)?;
    if stamp > epoch {
        return Err(lost_leadership(stamp, epoch));
    }
    let name = scaled.pods();
    let wanted = start(&scaled.set).saturating_add(change.place);
    if ordinal(name, change.slot) != Some(wanted) {
        return Err(format!("with {} members it would be {name}-{wanted}, not {}", change.to, change.slot));
    }
    let now = scaled.replicas;
    if now == change.to {
        return Ok(Decision::Settled(Outcome::Applied));
    }
    if now != change.from {
        return Err(format!("it has {now} members, {} were expected", change.from));
    }
    is_at_rest(scaled)?;
    if change.to < change.from {
        keeps_its_claims(&scaled.set)?;
    }
    Ok(if stamp < epoch { Decision::Stamp } else { Decision::Scale { replicas: change.to } })
}

fn change(verb: &PlatformVerb) -> Result<Change<'_>, String> {
    let number = |size: u32| i32::try_from(size).map_err(|_| format!("{size} members are too many"));
    match verb {
        PlatformVerb::Start { slot, size_after, .. } => {
            let to = number(*size_after)?;
            if to < 1 {
                return Err("a start cannot leave nobody".to_owned());
            }
            Ok(Change { slot, from: to - 1, to, place: to - 1 })
        }
        PlatformVerb::Stop { slot, size_after, .. } => {
            let to = number(*size_after)?;
            Ok(Change { slot, from: to.saturating_add(1), to, place: to })
        }
    }
}

/// The object that was observed, and not another one of its name.
fn is_the_one(scaled: &Scaled, observed: Option<&str>) -> Result<(), String> {
    let (metadata, kind) = (&scaled.metadata, &scaled.kind.kind);
    match (metadata.uid.as_deref(), observed) {
        (Some(uid), Some(observed)) if uid == observed => {}
        (Some(_), Some(_)) => return Err(format!("the {kind} was recreated since it was observed")),
        (_, None) => return Err(format!("the {kind} was not observed yet")),
        (None, Some(_)) => return Err(format!("the {kind} has no uid")),
    }
    stands(scaled)
}

/// Whether there will still be something to scale.
pub(super) fn stands(scaled: &Scaled) -> Result<(), String> {
    for (metadata, kind) in [(&scaled.metadata, &*scaled.kind.kind), (&scaled.set.metadata, "StatefulSet")] {
        if metadata.deletion_timestamp.is_some() {
            return Err(format!("the {kind} is being deleted"));
        }
    }
    Ok(())
}

/// What an epoch on the object means that is later than ours.
pub(super) fn lost_leadership(stamp: u64, epoch: u64) -> String {
    format!(
        "another daemon has taken over (epoch {stamp}, ours is {epoch}); hint: when there is none, remove the \
         annotation {EPOCH}"
    )
}

pub(super) fn stamp(metadata: &ObjectMeta) -> Result<u64, String> {
    match metadata.annotations.as_ref().and_then(|annotations| annotations.get(EPOCH)) {
        None => Ok(0),
        Some(text) => text.parse().map_err(|_| format!("its annotation {EPOCH} is no number")),
    }
}

/// Scaling comes before updating in the controller, and after a broken rollout it stalls.
fn is_at_rest(scaled: &Scaled) -> Result<(), String> {
    let generation = scaled.generation();
    if generation.spec > generation.observed {
        return Err("the controller has not acted on the last change yet".to_owned());
    }
    match rollout(&scaled.set) {
        Some(revision) => Err(format!("revision {revision} is being rolled out")),
        None => Ok(()),
    }
}

/// VOL-6: the claims of a member that goes are kept.
pub(super) fn keeps_its_claims(workload: &StatefulSet) -> Result<(), String> {
    let policy =
        workload.spec.as_ref().and_then(|spec| spec.persistent_volume_claim_retention_policy.as_ref());
    match policy.and_then(|policy| policy.when_scaled.as_deref()) {
        None | Some("Retain") => Ok(()),
        Some(other) => Err(format!(
            "persistentVolumeClaimRetentionPolicy.whenScaled is {other}: the member's data would be deleted; hint: \
             set it to Retain"
        )),
    }
}
