//! Turns objects into a report. Pure, and independent of the order in which they were listed.

use super::room::{Ground, Unread};
use super::scaled::{Scaled, controller};
use super::volumes::{Tombstones, claims_of, is_in_the_way};
use super::{KubeConfig, workload};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use plimsoll_core::observation::{PlatformReport, Reading, Slot, Source, VacantSlot};
use plimsoll_wire::fact::{Fact, Gap};
use plimsoll_wire::snapshot::{Endpoints, Marker, Operation, OperationKind};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

/// How many places ahead are reported: a plan adds no more than that.
const VACANT: i32 = 16;
/// The label by which a pod tells from which template it was made.
const REVISION: &str = "controller-revision-hash";
/// The label by which a machine tells its zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// Everything that was read.
pub(super) struct Seen {
    pub(super) scaled: Scaled,
    pub(super) pods: Vec<Pod>,
    pub(super) claims: Result<Vec<PersistentVolumeClaim>, String>,
    pub(super) autoscalers: Result<Vec<HorizontalPodAutoscaler>, String>,
    pub(super) budgets: Result<Vec<PodDisruptionBudget>, String>,
    /// None where returning volumes bar the way anyhow.
    pub(super) tombstones: Option<Result<Arc<Tombstones>, String>>,
    /// Why no tombstone could be written, where one would be.
    pub(super) buries: Result<(), String>,
    /// Failure domains by machine.
    pub(super) domains: BTreeMap<String, Result<String, String>>,
    /// What members are placed in.
    pub(super) ground: Result<Ground, Unread>,
}

/// The first ordinal of a StatefulSet.
pub(super) fn start(workload: &StatefulSet) -> i32 {
    let ordinals = workload.spec.as_ref().and_then(|spec| spec.ordinals.as_ref());
    ordinals.and_then(|ordinals| ordinals.start).unwrap_or(0)
}

/// The ordinal in a pod's name.
pub(super) fn ordinal(workload: &str, pod: &str) -> Option<i32> {
    let digits = pod.strip_prefix(workload)?.strip_prefix('-')?;
    let number: i32 = digits.parse().ok()?;
    // `-01` and `-+1` are not what the controller writes.
    (number.to_string() == digits).then_some(number)
}

/// The template that is being rolled out, while it is: not every member is of it yet.
pub(super) fn rollout(workload: &StatefulSet) -> Option<&str> {
    let status = workload.status.as_ref()?;
    let update = status.update_revision.as_deref().filter(|revision| !revision.is_empty())?;
    (status.current_revision.as_deref() != Some(update)).then_some(update)
}

/// The pods' selector as it is sent.
pub(super) fn selector(workload: &StatefulSet) -> Result<String, String> {
    let selector = workload.spec.as_ref().map(|spec| &spec.selector).ok_or("the StatefulSet has no spec")?;
    let mut text = String::new();
    let mut add = |part: String| {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{part}");
    };
    for (key, value) in selector.match_labels.iter().flatten() {
        add(format!("{key}={value}"));
    }
    for expression in selector.match_expressions.iter().flatten() {
        let values = expression.values.as_deref().unwrap_or_default().join(",");
        add(match expression.operator.as_str() {
            "In" => format!("{} in ({values})", expression.key),
            "NotIn" => format!("{} notin ({values})", expression.key),
            "Exists" => expression.key.clone(),
            "DoesNotExist" => format!("!{}", expression.key),
            other => return Err(format!("the selector has an operator {other} that is not known here")),
        });
    }
    if text.is_empty() { Err("the StatefulSet selects no pods".to_owned()) } else { Ok(text) }
}

/// Whether that selector fits a pod that was not read by it.
pub(super) fn selects(workload: &StatefulSet, pod: &Value) -> bool {
    let labels = &pod["metadata"]["labels"];
    workload.spec.as_ref().is_some_and(|spec| workload::selects(&spec.selector, |key| labels[key].as_str()))
}

/// The failure domain of a machine: its zone, where it tells one, and itself.
pub(super) fn domain(machine: &Node) -> String {
    let name = machine.metadata.name.as_deref().unwrap_or_default();
    match machine.metadata.labels.as_ref().and_then(|labels| labels.get(ZONE)) {
        Some(zone) if !zone.is_empty() => format!("{zone}/{name}"),
        Some(_) | None => name.to_owned(),
    }
}

/// The report.
pub(super) fn report(seen: &Seen, config: &KubeConfig, source: &Source) -> PlatformReport {
    let view = View { seen, config, source };
    match view.members() {
        Ok(members) => PlatformReport {
            slots: source.tells(members.iter().map(|(ordinal, pod)| view.slot(*ordinal, *pod)).collect()),
            vacant: view.vacant(&members),
            generation: source.tells(seen.scaled.generation()),
            operations: source.tells(view.operations(&members)),
            facts: workload::facts(seen, source),
        },
        Err(why) => PlatformReport {
            slots: Reading::gap(Gap::Conflicting, &*why),
            vacant: Reading::gap(Gap::Conflicting, &*why),
            generation: source.tells(seen.scaled.generation()),
            operations: Reading::gap(Gap::Conflicting, why),
            facts: workload::facts(seen, source),
        },
    }
}

/// More than any system has; each is a row that is kept, and a size that slipped in by mistake has to have an end.
const MOST_MEMBERS: i32 = 10_000;

struct View<'a> {
    seen: &'a Seen,
    config: &'a KubeConfig,
    source: &'a Source,
}

/// Places in use by ordinal, with the pod where there is one.
type Members<'a> = BTreeMap<i32, Option<&'a Pod>>;

impl<'a> View<'a> {
    /// The places that are asked for, and those that still have a pod.
    fn members(&self) -> Result<Members<'a>, String> {
        let Scaled { set, replicas, .. } = &self.seen.scaled;
        let first = start(set);
        if *replicas > MOST_MEMBERS {
            return Err(format!(
                "spec.replicas is {replicas}, and more than {MOST_MEMBERS} members are not read: correct it"
            ));
        }
        let mut members: Members = (first..first.saturating_add(*replicas)).map(|it| (it, None)).collect();
        for pod in &self.seen.pods {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let Some(ordinal) = ordinal(self.seen.scaled.pods(), name) else { continue };
            // A pod of an earlier StatefulSet of this name, or of nobody: whose data it has is not known.
            if !is_controlled_by(pod, set) {
                return Err(format!(
                    "pod {name} is not controlled by this StatefulSet, though it has its name"
                ));
            }
            members.insert(ordinal, Some(pod));
        }
        Ok(members)
    }

    /// The first ordinal that is not asked for.
    fn next(&self) -> i32 {
        let Scaled { set, replicas, .. } = &self.seen.scaled;
        start(set).saturating_add(*replicas)
    }

    fn name(&self, ordinal: i32) -> String {
        format!("{}-{ordinal}", self.seen.scaled.pods())
    }

    fn slot(&self, ordinal: i32, pod: Option<&Pod>) -> Slot {
        let running = pod.is_some_and(runs);
        Slot {
            slot: self.name(ordinal).into(),
            endpoints: self.endpoints(ordinal, pod.filter(|pod| phase(pod) == "Running")),
            running,
            incarnation: pod.and_then(|pod| pod.metadata.uid.clone()).unwrap_or_default(),
            domain: self.domain(pod),
            marker: Reading::gap(Gap::NotScraped, "what is on the volume of a running member is not read"),
        }
    }

    /// The addresses of a place. An IP is the pod's own, and only while it runs: afterwards it may be another's.
    fn endpoints(&self, ordinal: i32, pod: Option<&Pod>) -> Endpoints {
        let status = pod.and_then(|pod| pod.status.as_ref());
        let ip = status.and_then(|status| status.pod_ip.as_deref()).filter(|ip| !ip.is_empty());
        let ip = ip.map(|ip| if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() });
        let spec = self.seen.scaled.set.spec.as_ref();
        let service = spec.and_then(|spec| spec.service_name.as_deref()).unwrap_or_default();
        let fill = |template: &String| {
            let text = match (&ip, template.contains("{ip}")) {
                (Some(ip), true) => template.replace("{ip}", ip),
                (None, true) => return None,
                (_, false) => template.clone(),
            };
            let text = text.replace("{pod}", &self.name(ordinal)).replace("{ordinal}", &ordinal.to_string());
            Some(text.replace("{service}", service).replace("{namespace}", &self.config.namespace))
        };
        let filled = |(purpose, template): (&String, &String)| Some((purpose.clone(), fill(template)?));
        self.config.endpoints.iter().filter_map(filled).collect()
    }

    fn domain(&self, pod: Option<&Pod>) -> Reading<String> {
        let machine = pod.and_then(|pod| pod.spec.as_ref()?.node_name.as_deref());
        let Some(machine) = machine else { return Reading::gap(Gap::NotScraped, "it is on no machine yet") };
        match self.seen.domains.get(machine) {
            Some(Ok(domain)) => self.source.tells(domain.clone()),
            Some(Err(why)) => Reading::gap(Gap::Error, format!("machine {machine}: {why}")),
            None => Reading::gap(Gap::NotScraped, format!("machine {machine} was not read")),
        }
    }

    /// The places that would be taken next. None while a pod beyond the wished size is still there: its place is
    /// the next.
    fn vacant(&self, members: &Members) -> Reading<Vec<VacantSlot>> {
        let next = self.next();
        if members.keys().next_back().is_some_and(|last| *last >= next) {
            return self.source.tells(Vec::new());
        }
        let places = (next..next.saturating_add(VACANT)).map(|ordinal| VacantSlot {
            slot: self.name(ordinal).into(),
            endpoints: self.endpoints(ordinal, None),
            domain: Reading::gap(Gap::NotScraped, "where a pod runs is decided when it is there"),
            marker: self.marker(ordinal),
        });
        self.source.tells(places.collect())
    }

    /// What a new member would find on its volume. A claim that is there was left behind by an earlier member, or
    /// made by somebody: only the data itself could tell whose, unless it is set aside before (`decisions.md` D22).
    fn marker(&self, ordinal: i32) -> Reading<Marker> {
        let set = &self.seen.scaled.set;
        let names: BTreeSet<String> = claims_of(set, &self.name(ordinal)).into_values().collect();
        if let Err(why) = &self.seen.claims {
            return Reading::gap(Gap::Error, format!("claims: {why}"));
        }
        let there = there(self.seen, &names);
        let in_the_way = there.filter_map(|claim| is_in_the_way(set, claim, self.seen.tombstones.as_ref()));
        if let Some(detail) = in_the_way.min() {
            return Reading::gap(Gap::NotScraped, detail);
        }
        if names.is_empty() && self.has_outside_volumes() {
            return Reading::gap(
                Gap::NotScraped,
                "the pods have volumes that are no claims of the StatefulSet",
            );
        }
        self.source.tells(Marker { fingerprint: String::new(), member_id: String::new(), tombstoned: false })
    }

    /// Whether pods have volumes that outlive them and come from elsewhere.
    fn has_outside_volumes(&self) -> bool {
        let pod = self.seen.scaled.set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        pod.and_then(|pod| pod.volumes.as_deref()).unwrap_or_default().iter().any(|volume| {
            let own = volume.empty_dir.is_some() || volume.ephemeral.is_some();
            let text = volume.config_map.is_some() || volume.secret.is_some();
            !(own || text || volume.projected.is_some() || volume.downward_api.is_some())
        })
    }

    /// A new template on its way, and members that somebody restarts. A pod beyond the wished size goes because of
    /// the size, which is seen anyway.
    fn operations(&self, members: &Members) -> Vec<Operation> {
        let (set, next) = (&self.seen.scaled.set, self.next());
        let operation = |id: String, kind, scope: &str| Operation {
            id,
            kind,
            owner: "unknown".to_owned(),
            scope: scope.to_owned(),
            progress_permille: Fact::NotApplicable,
        };
        let mut found = Vec::new();
        let update = set.status.as_ref().and_then(|status| status.update_revision.as_deref());
        let stays = members.range(..next).filter_map(|(_, pod)| *pod);
        let old = |pod: &&Pod| {
            let revision =
                pod.metadata.labels.as_ref().and_then(|labels| labels.get(REVISION)).map(String::as_str);
            revision.is_some() && update.is_some_and(|update| !update.is_empty()) && revision != update
        };
        if rollout(set).is_some() || stays.clone().any(|pod| old(&pod)) {
            found.push(operation(
                format!("rollout/{}", update.unwrap_or_default()),
                OperationKind::Upgrade,
                "",
            ));
        }
        for pod in stays.filter(|pod| pod.metadata.deletion_timestamp.is_some()) {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            found.push(operation(format!("restart/{name}"), OperationKind::Restart, name));
        }
        found
    }
}

/// The names of the pods that are asked for and not there, and of those that would come next.
pub(super) fn places(seen: &Seen) -> (Vec<String>, Vec<String>) {
    let Scaled { set, replicas, .. } = &seen.scaled;
    let next = start(set).saturating_add(*replicas);
    let name = |ordinal: i32| format!("{}-{ordinal}", seen.scaled.pods());
    let there: BTreeSet<&str> = seen.pods.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect();
    let missing = (start(set)..next).map(name).filter(|name| !there.contains(&**name));
    (missing.collect(), (next..next.saturating_add(VACANT)).map(name).collect())
}

/// The uids of the claims at the places ahead: an earlier member left them behind.
pub(super) fn left_behind(seen: &Seen) -> BTreeSet<String> {
    let (_, ahead) = places(seen);
    let claims = ahead.iter().flat_map(|pod| claims_of(&seen.scaled.set, pod).into_values());
    let names: BTreeSet<String> = claims.collect();
    there(seen, &names).filter_map(|claim| claim.metadata.uid.clone()).collect()
}

/// Of the claims that were read those of these names.
fn there<'a>(seen: &'a Seen, names: &BTreeSet<String>) -> impl Iterator<Item = &'a PersistentVolumeClaim> {
    let is_one =
        |claim: &&PersistentVolumeClaim| claim.metadata.name.as_ref().is_some_and(|it| names.contains(it));
    seen.claims.iter().flatten().filter(is_one)
}

/// Whether a pod is this very StatefulSet's.
pub(super) fn is_controlled_by(pod: &Pod, set: &StatefulSet) -> bool {
    let uid = set.metadata.uid.as_deref();
    uid.is_some() && controller(&pod.metadata) == uid
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Whether the processes of a pod run. Readiness is no sign: a learner is not ready, and runs.
fn runs(pod: &Pod) -> bool {
    let statuses =
        pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let up = |state: Option<_>| state.is_some();
    phase(pod) == "Running"
        && !statuses.is_empty()
        && statuses.iter().all(|status| up(status.state.as_ref().and_then(|state| state.running.as_ref())))
}
