//! Members that are the pods of a StatefulSet, which is scaled itself or by a resource in front of it (`decisions.md` D13,
//! D17, D20).
//!
//! Before a plan begins and while it runs every read is direct: a quorum read of the API server. At rest reads come from
//! the cache of the watches. There are two writes: our epoch on the scaled object, and the number of its members. The
//! number is absolute, and each write is bound to the uid and the version that were read. Nothing is ever deleted. After a
//! write with an unknown outcome comes a read, never another write.

mod burial;
mod reader;
mod remedy;
mod report;
mod room;
mod scale;
mod scaled;
mod takeover;
#[cfg(test)]
mod tests;
mod volumes;
mod workload;

use super::{Kind, Opening, Platform, Settings, Workload};
use crate::actuate::{Pending, Permit};
use crate::kubernetes::{ApiServer, Failure, READ_DEADLINE, Scalable, WRITE_DEADLINE, Write};
use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use plimsoll_core::observation::{PlatformReport, Reading, Source};
use plimsoll_core::profile;
use plimsoll_wire::fact::{Authority, Gap};
use plimsoll_wire::journal::{Outcome, PlatformVerb};
use plimsoll_wire::snapshot::Endpoints;
use reader::{Reader, Watches};
use report::Seen;
use scale::Decision;
use scaled::Scaled;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a verb may take: a read, the stamp, the write, and the read after a write that was not answered; and for a
/// tombstone before it reads of the pod, of its claim and of the tombstones, the write, and a read of what came of it.
/// Each within its own deadline.
pub const ACT_DEADLINE: Duration =
    Duration::from_secs(6 * READ_DEADLINE.as_secs() + 3 * WRITE_DEADLINE.as_secs() + 2);
/// Each read goes to the store itself and has nothing to warm up (EVID-4), so its word is that of an observer who
/// has long been there.
const OBSERVER_UP_MS: u64 = u32::MAX as u64;

/// Which workload, and where its members are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeConfig {
    /// The target's own namespace, and no other (`decisions.md` D12).
    pub namespace: String,
    /// The name of what is scaled.
    pub workload: String,
    /// Its kind.
    pub kind: Arc<Scalable>,
    /// Addresses by purpose, with `{ip}`, `{pod}`, `{ordinal}`, `{service}` and `{namespace}` to be filled in.
    pub endpoints: Endpoints,
    /// Whether the data of a removed member is set aside before the next one starts on its volume (`decisions.md` D22).
    pub set_aside: bool,
}

/// The pods of a StatefulSet.
pub(super) static KIND: Kind = Kind {
    word: "kube",
    refers: "StatefulSet",
    about: "The pods of a StatefulSet of the target's namespace, scaled itself or by a custom resource in front of it.",
    source: super::Source::Workload(|name, kind| Arc::new(Workload { name, kind })),
    part: profile::ORDINALS,
    is_own: false,
    has_claims: true,
    unfenced: None,
    twins: "keep one, or name another platform",
};

impl Settings for Workload {
    fn open(&self, opening: &Opening<'_>) -> anyhow::Result<Box<dyn Platform>> {
        let server = opening.kubernetes.cloned().context("the daemon's file names no `kubernetes`")?;
        let config = KubeConfig {
            namespace: opening.namespace.to_owned(),
            workload: self.name.clone(),
            kind: self.kind.clone(),
            endpoints: opening.endpoints.clone(),
            set_aside: opening.set_aside,
        };
        Ok(Box::new(Kube::new(server, config)))
    }

    fn members_of(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn workload(&self) -> Option<&Workload> {
        Some(self)
    }
}

impl Platform for Kube {
    fn observe<'a>(&'a self, _: &'a str, direct: bool) -> Pending<'a, PlatformReport> {
        Box::pin(self.read(direct))
    }

    fn stamp(&self, epoch: u64) -> Pending<'_, Result<(), String>> {
        Box::pin(self.take_over(epoch))
    }

    fn verb_deadline(&self, _: &PlatformVerb) -> Duration {
        ACT_DEADLINE
    }

    fn act<'a>(&'a self, permit: &'a Permit, verb: &'a PlatformVerb) -> Pending<'a, Outcome> {
        Box::pin(self.act(permit, verb))
    }
}

/// A StatefulSet as a platform, or what is in front of one.
#[derive(Debug)]
pub struct Kube {
    server: Arc<ApiServer>,
    config: KubeConfig,
    source: Source,
    /// The uid of the object that was observed last: what is acted on is that one, whatever has its name.
    observed: Mutex<Option<String>>,
    watches: Arc<Watches>,
    /// The tombstones that were seen last.
    kept: Mutex<Arc<volumes::Tombstones>>,
    /// Whether another one could be written, and when that was asked.
    burials: Mutex<Option<(std::time::Instant, Result<(), String>)>>,
}

impl Kube {
    /// A platform on this API server.
    #[must_use]
    pub fn new(server: Arc<ApiServer>, config: KubeConfig) -> Self {
        let observer = format!("{} {}/{}", config.kind.kind, config.namespace, config.workload);
        let source = Source::new(Authority::Platform, observer, OBSERVER_UP_MS);
        Self {
            server,
            config,
            source,
            observed: Mutex::default(),
            watches: Arc::default(),
            kept: Mutex::default(),
            burials: Mutex::default(),
        }
    }

    /// Reads the workload and its members: directly, or from the cache, which may be older than the world and must begin
    /// nothing. What could not be read is a gap, also where that is forbidden; it is not empty.
    pub async fn read(&self, direct: bool) -> PlatformReport {
        if !direct {
            return self.report(&Reader::cached(&self.server, &self.watches)).await;
        }
        self.watches.read_directly();
        self.report(&Reader::direct(&self.server)).await
    }

    async fn report(&self, reader: &Reader) -> PlatformReport {
        match self.see(reader).await {
            Ok(seen) => {
                *self.observed() = seen.scaled.metadata.uid.clone();
                report::report(&seen, &self.config, &self.source)
            }
            Err(why) => {
                let why = format!("{} {}: {why}", self.config.kind.kind, self.config.workload);
                PlatformReport {
                    slots: Reading::gap(Gap::Error, &*why),
                    vacant: Reading::gap(Gap::Error, &*why),
                    generation: Reading::gap(Gap::Error, &*why),
                    operations: Reading::gap(Gap::Error, &*why),
                    facts: workload::gaps(&why),
                }
            }
        }
    }

    fn observed(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn see(&self, reader: &Reader) -> Result<Seen, String> {
        let scaled = self.scaled(reader).await?;
        let selector = report::selector(&scaled.set)?;
        let [pods, claims] = ["pods", "persistentvolumeclaims"].map(|plural| self.below("/api/v1", plural));
        let autoscalers = self.below("/apis/autoscaling/v2", "horizontalpodautoscalers");
        let budgets = self.below("/apis/policy/v1", "poddisruptionbudgets");
        let namespace = &*self.config.namespace;
        let (members, volumes) = ([format!("{}-", scaled.pods())], volumes::beginnings(&scaled.set));
        let names = [&scaled.metadata.name, &scaled.set.metadata.name];
        let is_at = |autoscaler: &Value| {
            let target = autoscaler["spec"]["scaleTargetRef"]["name"].as_str();
            names.iter().any(|name| name.as_deref() == target)
        };
        let selects = |pod: &Value| report::selects(&scaled.set, pod);
        // Claims by their names alone: one that somebody made by hand has no labels of ours.
        let (pods, claims, autoscalers, budgets, ground) = tokio::join!(
            reader.named(&pods, (namespace, &members), (&selector, selects)),
            reader.named(&claims, (namespace, &volumes), ("", |_: &Value| true)),
            reader.some(&autoscalers, is_at),
            reader.list(&budgets),
            self.ground(&scaled)
        );
        let pods: Vec<Pod> = all(pods).map_err(|why| format!("pods: {why}"))?;
        let nodes = pods.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.clone()).collect();
        let mut seen = Seen {
            domains: domains(reader, nodes).await,
            scaled,
            pods,
            claims: all(claims),
            tombstones: None,
            buries: Ok(()),
            autoscalers: all(autoscalers),
            budgets: all(budgets),
            ground,
        };
        if self.config.set_aside {
            seen.tombstones = Some(self.tombstones(reader.is_direct(), &report::left_behind(&seen)).await);
            if reader.is_direct() && volumes::sets_aside(&seen.scaled.set).is_ok() {
                seen.buries = self.can_bury().await;
            }
        }
        Ok(seen)
    }

    /// What is scaled.
    async fn scaled(&self, reader: &Reader) -> Result<Scaled, String> {
        let KubeConfig { namespace, workload, kind, .. } = &self.config;
        let objects = kind.collection(namespace);
        let words = |failure: Failure| failure.to_string();
        if kind.is_stateful_set() {
            let object = reader.read(&objects, namespace, workload).await.map_err(words)?;
            return Scaled::itself(kind.clone(), object);
        }
        let (sets, scale) =
            (Scalable::stateful_set().collection(namespace), format!("{}/scale", self.workload()));
        let scale = async {
            // A cached read begins nothing.
            if reader.is_direct() { self.server.read(&scale).await.map(Some) } else { Ok(None) }
        };
        let (object, sets, scale) =
            tokio::join!(reader.read(&objects, namespace, workload), reader.list(&sets), scale);
        let object = object.map_err(words)?;
        if let Some(scale) = scale.map_err(|failure| format!("its scale: {failure}"))? {
            kind.agrees(&object, &scale)?;
        }
        let sets = sets.map_err(|failure| format!("StatefulSets: {failure}"))?;
        Scaled::behind(kind.clone(), object, sets)
    }

    /// Carries out `Start` or `Stop`, once.
    pub async fn act(&self, permit: &Permit, verb: &PlatformVerb) -> Outcome {
        match tokio::time::timeout(permit.deadline, self.carry_out(permit, verb)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                Outcome::Unknown { message: format!("no end within {} ms", permit.deadline.as_millis()) }
            }
        }
    }

    async fn carry_out(&self, permit: &Permit, verb: &PlatformVerb) -> Outcome {
        let kind = &self.config.kind.kind;
        let mut read = self.scaled(&Reader::direct(&self.server)).await;
        let observed = self.observed().clone();
        // The stamp, and with what the server made of it, the number.
        for _ in 0..2 {
            let scaled = match read {
                Ok(scaled) => scaled,
                // The size was not written yet.
                Err(why) => return refused(format!("reading the {kind}: {why}")),
            };
            read = match scale::decide(&scaled, observed.as_deref(), verb, permit.epoch) {
                Decision::Settled(outcome) => return outcome,
                Decision::Stamp => match self.stamp(&scaled.metadata, permit.epoch).await {
                    Ok(object) => scaled.with(object),
                    Err(failure) => return failed(&format!("stamping the {kind}"), failure),
                },
                Decision::Scale { replicas } => {
                    if let Err(why) = self.bury(&scaled.set, verb, permit.membership.as_ref()).await {
                        return refused(why);
                    }
                    return self.scale(&scaled.metadata, replicas).await;
                }
            };
        }
        refused(format!("the API server does not keep the epoch on the {kind}"))
    }

    /// Stamps our epoch on the object: from now on a daemon that lost leadership is refused by the object's version, and
    /// its next read shows our epoch.
    async fn stamp(&self, metadata: &ObjectMeta, epoch: u64) -> Result<Value, Failure> {
        let mut patch = precondition(metadata);
        patch["metadata"]["annotations"] = json!({ scale::EPOCH: epoch.to_string() });
        self.server.write(Write::Merge(&self.workload(), &patch)).await
    }

    async fn scale(&self, metadata: &ObjectMeta, replicas: i32) -> Outcome {
        let mut patch = precondition(metadata);
        patch["spec"] = json!({ "replicas": replicas });
        let path = format!("{}/scale", self.workload());
        match self.server.write(Write::Merge(&path, &patch)).await {
            // An admission plugin may have made something else of it.
            Ok(scale) if scale["spec"]["replicas"] == json!(replicas) => Outcome::Applied,
            Ok(scale) => Outcome::Unknown {
                message: format!(
                    "{replicas} were asked for, the server made {} of it",
                    scale["spec"]["replicas"]
                ),
            },
            Err(failure @ Failure::Unknown { .. }) => self.read_back(replicas, failure).await,
            Err(failure) => failed(&format!("scaling the {}", self.config.kind.kind), failure),
        }
    }

    /// What a write has come to that was not answered. Where it does not show, it may still be under way.
    async fn read_back(&self, replicas: i32, failure: Failure) -> Outcome {
        match self.scaled(&Reader::direct(&self.server)).await {
            Ok(scaled) if scaled.replicas == replicas => Outcome::Applied,
            Ok(_) | Err(_) => failed(&format!("scaling the {}", self.config.kind.kind), failure),
        }
    }

    fn workload(&self) -> String {
        self.config.kind.path(&self.config.namespace, &self.config.workload)
    }

    fn below(&self, version: &str, plural: &str) -> String {
        format!("{version}/namespaces/{}/{plural}", self.config.namespace)
    }
}

/// What binds a write to the very object, in the very version, that was read.
fn precondition(metadata: &ObjectMeta) -> Value {
    json!({ "metadata": { "uid": metadata.uid, "resourceVersion": metadata.resource_version } })
}

/// The failure domain of each machine, or why it is not known.
async fn domains(reader: &Reader, machines: BTreeSet<String>) -> BTreeMap<String, Result<String, String>> {
    let mut asked = JoinSet::new();
    for name in machines {
        let reader = reader.clone();
        asked.spawn(async move {
            let read = reader.read("/api/v1/nodes", "", &name).await;
            let domain = parsed::<Node>(read).map(|machine| report::domain(&machine));
            (name, domain)
        });
    }
    let mut domains = BTreeMap::new();
    while let Some(done) = asked.join_next().await {
        // One that panicked is not known, as one that did not answer.
        domains.extend(done);
    }
    domains
}

fn parsed<T: DeserializeOwned>(read: Result<Value, Failure>) -> Result<T, String> {
    let value = read.map_err(|failure| failure.to_string())?;
    serde_json::from_value(value)
        .map_err(|error| format!("the API server's answer cannot be understood: {error}"))
}

fn all<T: DeserializeOwned>(list: Result<Vec<Value>, Failure>) -> Result<Vec<T>, String> {
    let items = list.map_err(|failure| failure.to_string())?;
    items.into_iter().map(|item| parsed(Ok(item))).collect()
}

fn refused(message: impl Into<String>) -> Outcome {
    Outcome::Refused { message: message.into() }
}

fn failed(doing: &str, failure: Failure) -> Outcome {
    let message = format!("{doing}: {failure}");
    match failure {
        Failure::Unknown { .. } => Outcome::Unknown { message },
        Failure::NotFound { .. }
        | Failure::Conflict { .. }
        | Failure::Forbidden { .. }
        | Failure::Unauthorized { .. }
        | Failure::Busy { .. }
        | Failure::Denied { .. }
        | Failure::Invalid { .. }
        | Failure::Expired { .. }
        | Failure::Behind { .. }
        | Failure::NotSent { .. } => Outcome::Refused { message },
    }
}
