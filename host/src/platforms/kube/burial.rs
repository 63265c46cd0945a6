//! Reads and writes tombstones (`decisions.md` D22). Tombstones are only ever added: even the late write of a daemon that
//! lost leadership names only members whose removal was proved.

use super::volumes::{Saying, Tombstones, claims_of, saying, sets_aside};
use super::{Kube, parsed, precondition, report};
use crate::actuate::Membership;
use crate::kubernetes::{Failure, Write};
use crate::tombstone::{self, CONFIG_MAP, Tombstone};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use plimsoll_wire::journal::PlatformVerb;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How often others may write the same `ConfigMap` between our read and our write.
const TRIES: u32 = 4;
/// For how long it is known whether a tombstone could be written.
const FRESH: Duration = Duration::from_secs(60);
/// The key that is asked about and never kept: no tombstone is called so.
const PROBE: &str = "dry-run";

impl Kube {
    /// The tombstones of the namespace. Kept ones are as good when they name every claim: they are never taken away.
    pub(super) async fn tombstones(
        &self,
        is_direct: bool,
        claims: &BTreeSet<String>,
    ) -> Result<Arc<Tombstones>, String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let named = claims.iter().all(|uid| tombstone::names_claim(&kept, uid));
        if claims.is_empty() || (named && !is_direct) {
            return Ok(kept);
        }
        self.read_tombstones().await.map(|(_, tombstones)| tombstones)
    }

    async fn read_tombstones(&self) -> Result<(ConfigMap, Arc<Tombstones>), String> {
        match self.server.read(&self.config_map()).await {
            Ok(object) => {
                let map: ConfigMap = parsed(Ok(object))?;
                let tombstones = Arc::new(read(&map));
                *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = tombstones.clone();
                Ok((map, tombstones))
            }
            Err(failure @ Failure::NotFound { .. }) => Err(format!(
                "{failure}; hint: make it, `kubectl create configmap {CONFIG_MAP} --namespace {}`",
                self.config.namespace
            )),
            Err(failure) => Err(format!("ConfigMap {CONFIG_MAP}: {failure}")),
        }
    }

    /// Whether a tombstone could be written: sends the write as a dry run. Without a tombstone no member is stopped, and
    /// after the member was removed it is too late to learn that. Asked at most once a minute while a plan may need it.
    ///
    /// # Errors
    /// Why not, in the server's words.
    pub(super) async fn can_bury(&self) -> Result<(), String> {
        let known = self.burials.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, answer)) = known
            && at.elapsed() < FRESH
        {
            return answer;
        }
        let path = format!("{}?dryRun=All", self.config_map());
        let answer = match self.server.write(Write::Merge(&path, &json!({ "data": { PROBE: "" } }))).await {
            // It can be written, or is only not answered now: the stop of a member finds out then.
            Ok(_)
            | Err(
                Failure::Conflict { .. }
                | Failure::Busy { .. }
                | Failure::Unknown { .. }
                | Failure::Unauthorized { .. }
                | Failure::Expired { .. }
                | Failure::Behind { .. }
                | Failure::NotSent { .. },
            ) => Ok(()),
            Err(
                failure @ (Failure::NotFound { .. }
                | Failure::Forbidden { .. }
                | Failure::Denied { .. }
                | Failure::Invalid { .. }),
            ) => Err(format!("no tombstone can be written into ConfigMap {CONFIG_MAP}: {failure}")),
        };
        *self.burials.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), answer.clone()));
        answer
    }

    fn config_map(&self) -> String {
        format!("{}/{CONFIG_MAP}", self.below("/api/v1", "configmaps"))
    }

    /// Sees to it that there is a tombstone for a member that is about to be stopped for good.
    ///
    /// # Errors
    /// Why it is not known to be there; the member is not stopped then.
    pub(super) async fn bury(
        &self,
        set: &StatefulSet,
        verb: &PlatformVerb,
        membership: Option<&Membership>,
    ) -> Result<(), String> {
        let PlatformVerb::Stop { slot, member, .. } = verb else { return Ok(()) };
        // What never was a member left no data of one.
        if member.is_empty() {
            return Ok(());
        }
        // Where nobody sets anything aside, nobody reads a tombstone.
        if !self.config.set_aside || sets_aside(set).is_err() {
            return Ok(());
        }
        let membership = membership.ok_or("who the members are is not known")?;
        if membership.members.contains(member) {
            return Err(format!("{slot} still has a member, {member}: it can have no tombstone"));
        }
        let key = tombstone::key(&membership.cluster, member)
            .ok_or_else(|| format!("member {member} of {} can have no tombstone", membership.cluster))?;
        let mut stone = Tombstone { pod: slot.to_string(), ..Tombstone::default() };
        for claim in claims_of(set, slot).into_values() {
            let path = format!("{}/{claim}", self.below("/api/v1", "persistentvolumeclaims"));
            match self.server.read(&path).await {
                Ok(object) => {
                    let claim: PersistentVolumeClaim = parsed(Ok(object))?;
                    stone.claims.extend(claim.metadata.uid);
                }
                Err(Failure::NotFound { .. }) => {}
                Err(failure) => return Err(format!("claim {claim}: {failure}")),
            }
        }
        match saying(self.pod(set, slot).await?.as_ref()) {
            Saying::Said(said) => stone.data.extend([said.data]),
            Saying::Never => {}
            Saying::NotYet(why) => return Err(format!("{slot}: {why}")),
        }
        self.write_tombstone(&key, stone).await
    }

    async fn pod(&self, set: &StatefulSet, name: &str) -> Result<Option<Pod>, String> {
        let path = format!("{}/{name}", self.below("/api/v1", "pods"));
        match self.server.read(&path).await {
            Ok(object) => {
                let pod: Pod = parsed(Ok(object))?;
                // One of nobody's says nothing of ours.
                Ok(Some(pod).filter(|pod| report::is_controlled_by(pod, set)))
            }
            Err(Failure::NotFound { .. }) => Ok(None),
            Err(failure) => Err(format!("pod {name}: {failure}")),
        }
    }

    async fn write_tombstone(&self, key: &str, stone: Tombstone) -> Result<(), String> {
        let mut why = String::new();
        for _ in 0..TRIES {
            let (map, tombstones) = self.read_tombstones().await?;
            let there = tombstones.get(key);
            let stone = there.cloned().map_or_else(|| stone.clone(), |there| stone.clone().with(there));
            if there == Some(&stone) {
                return Ok(());
            }
            let text = serde_json::to_string(&stone).map_err(|error| error.to_string())?;
            let mut patch = precondition(&map.metadata);
            patch["data"] = json!({ key: text });
            // Whatever came of it shows in the next read.
            if let Err(failure) = self.server.write(Write::Merge(&self.config_map(), &patch)).await {
                why = format!("writing a tombstone into ConfigMap {CONFIG_MAP}: {failure}");
                if !matches!(failure, Failure::Conflict { .. } | Failure::Unknown { .. }) {
                    return Err(why);
                }
            }
        }
        Err(why)
    }
}

fn read(map: &ConfigMap) -> Tombstones {
    let entries = map.data.iter().flatten();
    // One that a person made by hand and that cannot be read names nothing.
    entries.map(|(key, text)| (key.clone(), tombstone::read(text).unwrap_or_default())).collect()
}
