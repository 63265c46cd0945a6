//! From the answers of all brokers to a report. Pure.

use super::reading::{Key, Moving, Partition};
use super::survey::Survey;
use super::view::{CORDONED, Cluster, Doubt, conclude};
use super::{alarm, lag, planner};
use plimsoll_core::observation::{
    PlatformReport, Reading, Source, SystemGroup, SystemMember, SystemPlacement, SystemReport,
};
use plimsoll_wire::alarm::ALARMS;
use plimsoll_wire::fact::{Authority, Fact, Gap, Known};
use plimsoll_wire::lag::CONSUMER_LAG;
use plimsoll_wire::shards::{Scheme, ShardMap};
use plimsoll_wire::snapshot::{
    Debt, GroupKind, GroupModel, Hosted, Lifecycle, Operation, OperationKind, PlacementState, Role,
    UNKNOWN_OWNER,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is owed for a broker that is registered and runs nowhere.
pub(super) const REGISTRATION: &str = "registration";
/// What is owed for settings of ours that a reassignment left behind.
pub(super) const SETTINGS: &str = "settings";
/// Whom such settings are of that are of no one broker.
const ALL: &str = "all";
/// The names of our own facts.
const CONTROLLERS: &str = "controllers";
const REASSIGNMENTS: &str = "reassignments";

/// Puts the answers together.
pub(super) fn assemble(survey: &Survey, platform: &PlatformReport) -> SystemReport {
    match conclude(survey, platform) {
        Ok(cluster) => View::new(&cluster).report(),
        Err(doubt) => without(&doubt),
    }
}

/// A report in which everything is missing for one reason.
fn without(why: &Doubt) -> SystemReport {
    SystemReport {
        fingerprint: gap(why),
        epoch: gap(why),
        members: gap(why),
        groups: gap(why),
        shards: gap(why),
        operations: gap(why),
        debts: gap(why),
        join: Reading::NotApplicable,
        facts: [ALARMS, CONTROLLERS, CONSUMER_LAG, REASSIGNMENTS]
            .map(|name| (name.to_owned(), gap(why)))
            .into(),
    }
}

fn gap<T>(why: &Doubt) -> Reading<T> {
    Reading::gap(why.gap.clone(), why.detail.clone())
}

struct View<'a> {
    cluster: &'a Cluster<'a>,
    /// What brokers say of each other.
    source: Source,
    /// The ids of brokers as text, made once.
    names: BTreeMap<i32, Arc<str>>,
    due: BTreeMap<i32, u64>,
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl<'a> View<'a> {
    fn new(cluster: &'a Cluster<'a>) -> Self {
        let observer = format!("broker {}", cluster.speaker.own.id);
        let source = Source::new(Authority::Survivors, observer, cluster.up_ms);
        let placed =
            cluster.speaker.partitions.values().flat_map(|partition| partition.replicas.iter().copied());
        let ids: BTreeSet<i32> = cluster.members().into_iter().chain(placed).collect();
        let names = ids.into_iter().map(|id| (id, Arc::from(id.to_string()))).collect();
        let newcomers = cluster.newcomers();
        let due =
            if newcomers.is_empty() { BTreeMap::new() } else { planner::due(&cluster.layout(), &newcomers) };
        Self { cluster, source, names, due }
    }

    fn name(&self, id: i32) -> Arc<str> {
        self.names.get(&id).cloned().unwrap_or_else(|| Arc::from(id.to_string()))
    }

    fn report(&self) -> SystemReport {
        let cluster = self.cluster;
        let groups = cluster.speaker.partitions.iter().map(|(key, partition)| self.group(key, partition));
        SystemReport {
            fingerprint: self.source.tells(cluster.id.to_owned()),
            epoch: self.source.tells(self.epoch()),
            members: self.source.tells(cluster.members().into_iter().map(|id| self.member(id)).collect()),
            groups: self.source.tells(groups.collect()),
            shards: self.source.tells(self.shards()),
            operations: self.source.tells(self.operations()),
            debts: self.source.tells(self.debts()),
            join: Reading::NotApplicable,
            facts: self.facts(),
        }
    }

    /// Changes with every change of who the brokers and the controllers are.
    fn epoch(&self) -> String {
        let brokers: Vec<String> = self.cluster.members().iter().map(i32::to_string).collect();
        let voters: Vec<String> = self.cluster.whole.quorum.voters.keys().map(i32::to_string).collect();
        format!("{}/{}/{}", self.cluster.id, brokers.join(","), voters.join(","))
    }

    fn silent<T>(&self, id: i32) -> Reading<T> {
        let place = self.cluster.place(id);
        let why =
            place.and_then(|place| place.reading.as_ref().err()).map_or("no place runs it", String::as_str);
        Reading::gap(Gap::Error, format!("broker {id} does not answer: {why}"))
    }

    fn member(&self, id: i32) -> SystemMember {
        let cluster = self.cluster;
        let fenced = cluster.row(id).is_none_or(|row| row.fenced);
        let up_ms =
            cluster.seen.get(&id).map(|answer| u64::try_from(answer.up.as_millis()).unwrap_or(u64::MAX));
        let own = up_ms.map(|up_ms| Source::new(Authority::Own, self.name(id), up_ms));
        let stage = match (&own, fenced) {
            (Some(_), true) => self.source.tells(Lifecycle::CatchingUp),
            (Some(_), false) if cluster.marked(id, CORDONED).is_some() => {
                self.source.tells(Lifecycle::Draining)
            }
            (Some(_), false) => self.source.tells(Lifecycle::Serving),
            (None, true) => self.source.tells(Lifecycle::Dead),
            (None, false) => self.silent(id),
        };
        let alive = match (&own, fenced) {
            (Some(own), _) => own.tells(true),
            (None, true) => self.source.tells(false),
            (None, false) => self.silent(id),
        };
        let dirs = cluster.broker(id).map(|broker| broker.dirs.as_ref());
        let disk = |of: fn((u64, u64)) -> u64| match (&own, dirs) {
            (Some(own), Some(Ok(dirs))) => dirs.disk.map_or_else(
                || Reading::gap(Gap::NotScraped, "this Kafka does not tell the size of its disks"),
                |disk| own.tells(of(disk)),
            ),
            (Some(_), Some(Err(why))) => Reading::gap(Gap::Error, why.clone()),
            (None, _) | (_, None) => self.silent(id),
        };
        let load = match (&own, dirs) {
            (Some(own), Some(Ok(dirs))) => {
                own.tells(dirs.copies.values().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes)))
            }
            (Some(_), Some(Err(why))) => Reading::gap(Gap::Error, why.clone()),
            (None, _) | (_, None) => self.silent(id),
        };
        SystemMember {
            id: self.name(id),
            slot: cluster.place(id).map(|answer| answer.place.clone()),
            lifecycle: stage,
            alive,
            roles: self.source.tells(BTreeSet::from([Role::Data])),
            hosted: self.hosted(id),
            load_bytes: load,
            disk_capacity_bytes: disk(|(all, _)| all),
            disk_used_bytes: disk(|(_, used)| used),
            ..SystemMember::default()
        }
    }

    /// Where nobody else tells, it is its own word, which proves nothing.
    fn hosted(&self, id: i32) -> Reading<Hosted> {
        let held = match self.cluster.held(id) {
            Ok(held) => held,
            Err(why) => return Reading::gap(Gap::Error, why),
        };
        let hosted = Hosted {
            copies: count(held.copies.len()),
            leaders: held.leaders,
            moving: held.moving,
            due: self.due.get(&id).copied().unwrap_or(0),
            ..Hosted::default()
        };
        if self.cluster.witnesses(id) > 0 {
            return self.source.tells(hosted);
        }
        Source { authority: Authority::Own, ..self.source.clone() }.tells(hosted)
    }

    fn group(&self, key: &Key, partition: &Partition) -> SystemGroup {
        let moving = self.cluster.whole.moving.get(key);
        let going = |id: &i32| moving.is_some_and(|moving| moving.removing.contains(id));
        let target = partition.replicas.iter().filter(|id| !going(id)).count();
        let min_isr = self.cluster.whole.topics.get(&key.0).map(|topic| topic.min_isr);
        let placements = partition.replicas.iter().map(|id| SystemPlacement {
            member: self.name(*id),
            weight: 1,
            state: state(*id, partition, moving),
            lag: Reading::NotApplicable,
            progress_permille: Reading::NotApplicable,
        });
        SystemGroup {
            id: Cluster::name(key),
            kind: if partition.internal { GroupKind::System } else { GroupKind::Data },
            model: GroupModel::AckSet,
            target_copies: self.source.tells(small(target)),
            min_ack: min_isr.map_or_else(
                || Reading::gap(Gap::Conflicting, format!("topic {} was not there a moment ago", key.0)),
                |min_isr| self.source.tells(min_isr),
            ),
            placements: self.source.tells(placements.collect()),
            leader: partition.leader.map_or_else(
                || Reading::gap(Gap::Error, "the partition has no leader"),
                |leader| self.source.tells(self.name(leader)),
            ),
            config_version: Reading::NotApplicable,
            in_joint_config: Reading::NotApplicable,
            open: Reading::NotApplicable,
        }
    }

    fn shards(&self) -> ShardMap {
        let partitions = &self.cluster.speaker.partitions;
        let owners: BTreeSet<i32> =
            partitions.values().flat_map(|partition| partition.replicas.clone()).collect();
        ShardMap {
            scheme: Scheme::Partitions,
            count: count(partitions.len()),
            covered: count(partitions.values().filter(|partition| partition.leader.is_some()).count()),
            open: count(self.cluster.whole.moving.len()),
            owners: small(owners.len()),
            least_owners: 0,
        }
    }

    /// One for each broker that a plan of ours empties or fills, and one for everything else.
    fn operations(&self) -> Vec<Operation> {
        let mut ours: BTreeMap<(i32, &str), Vec<&Key>> = BTreeMap::new();
        let mut others: Vec<&Key> = Vec::new();
        for (key, moving) in &self.cluster.whole.moving {
            match self.cluster.owner(moving) {
                Some(owner) => ours.entry(owner).or_default().push(key),
                None => others.push(key),
            }
        }
        let mut all: Vec<Operation> = ours
            .into_iter()
            .map(|((id, plan), keys)| {
                let empties = self.cluster.marked(id, CORDONED).is_some();
                Operation {
                    id: format!("reassignment/{id}"),
                    kind: if empties { OperationKind::Drain } else { OperationKind::Rebalance },
                    owner: format!("plan/{plan}"),
                    scope: id.to_string(),
                    progress_permille: self.progress(&keys),
                }
            })
            .collect();
        if let Some(first) = others.first() {
            all.push(Operation {
                id: format!("reassignment of {} partitions, {} first", others.len(), Cluster::name(first)),
                kind: OperationKind::Rebalance,
                owner: UNKNOWN_OWNER.to_owned(),
                scope: String::new(),
                progress_permille: self.progress(&others),
            });
        }
        all
    }

    /// How much of what travels has arrived.
    fn progress(&self, keys: &[&Key]) -> Fact<u32> {
        let [arrived, all] = self.travelled(keys);
        let permille = u128::from(arrived) * 1_000 / u128::from(all.max(1));
        Fact::Known(Known {
            value: if all == 0 { 0 } else { u32::try_from(permille).unwrap_or(1_000) },
            authority: self.source.authority,
            age_ms: 0,
            observer: self.source.observer.clone(),
            observer_up_ms: self.source.observer_up_ms,
            epoch: Arc::from(""),
            stable_ms: 0,
            reads: 1,
        })
    }

    /// Bytes that have arrived, and all that travel.
    fn travelled(&self, keys: &[&Key]) -> [u64; 2] {
        let sizes = self.cluster.sizes();
        let mut sum = [0_u64; 2];
        for key in keys {
            let size = sizes.get(*key).copied().unwrap_or(0);
            for id in self.cluster.whole.moving.get(*key).map_or(&[][..], |moving| &moving.adding) {
                let dirs = self.cluster.broker(*id).and_then(|broker| broker.dirs.as_ref().ok());
                let there = dirs.and_then(|dirs| dirs.copies.get(*key)).copied().unwrap_or(0);
                sum = [sum[0].saturating_add(there.min(size)), sum[1].saturating_add(size)];
            }
        }
        sum
    }

    fn debts(&self) -> Vec<Debt> {
        let cluster = self.cluster;
        let debt = |kind: &str, id: i32| Debt { kind: kind.to_owned(), member: Arc::from(id.to_string()) };
        let mut all: Vec<Debt> = cluster.left_over().into_iter().map(|id| debt(REGISTRATION, id)).collect();
        if cluster.whole.moving.is_empty() {
            let stale = cluster.stale(|id| self.due.get(&id).copied().unwrap_or(0) == 0);
            if let Some(mark) = stale.first() {
                let member = mark.broker.map_or_else(|| ALL.to_owned(), |id| id.to_string());
                all.push(Debt { kind: SETTINGS.to_owned(), member: member.into() });
            }
        }
        all
    }

    fn lag(&self) -> Reading<Value> {
        match self.cluster.offsets {
            Ok(offsets) => self.source.tells(json!(lag::told(offsets))),
            Err(why) => Reading::gap(Gap::Error, why.clone()),
        }
    }

    fn facts(&self) -> BTreeMap<String, Reading<Value>> {
        let whole = self.cluster.whole;
        let controllers = json!({
            "leader": whole.quorum.leader,
            "epoch": whole.quorum.epoch,
            "voters": whole.quorum.voters.iter()
                .map(|(id, behind)| json!({ "id": id, "recordsBehind": behind }))
                .collect::<Vec<_>>(),
        });
        let keys: Vec<&Key> = whole.moving.keys().collect();
        let [arrived, all] = self.travelled(&keys);
        let moves = json!({
            "partitions": keys.len(),
            "bytes": all,
            "bytesLeft": all.saturating_sub(arrived),
        });
        BTreeMap::from([
            (ALARMS.to_owned(), self.source.tells(json!(alarm::standing(self.cluster)))),
            (CONTROLLERS.to_owned(), self.source.tells(controllers)),
            (REASSIGNMENTS.to_owned(), self.source.tells(moves)),
            (CONSUMER_LAG.to_owned(), self.lag()),
        ])
    }
}

fn state(id: i32, partition: &Partition, moving: Option<&Moving>) -> PlacementState {
    if moving.is_some_and(|moving| moving.removing.contains(&id)) {
        return PlacementState::Leaving;
    }
    if partition.isr.contains(&id) {
        return PlacementState::InSync;
    }
    let comes = moving.is_some_and(|moving| moving.adding.contains(&id));
    if comes { PlacementState::CatchingUp } else { PlacementState::Stale }
}

#[cfg(test)]
mod tests;
