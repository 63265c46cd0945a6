//! From raw answers to a report: pure, and blind to the order in which the nodes answered.

use super::layout;
use super::nodes::{SLOTS, Way};
use super::reading::Side;
use super::roles::{self, Part};
use super::view::{Cluster, Doubt, Member, Stranger};
use super::{RedisSettings, alarm};
use plimsoll_core::observation::{Reading, Source, SystemGroup, SystemMember, SystemPlacement, SystemReport};
use plimsoll_wire::alarm::ALARMS;
use plimsoll_wire::fact::{Authority, Fact, Gap};
use plimsoll_wire::shards::{Scheme, ShardMap};
use plimsoll_wire::snapshot::{
    GroupKind, GroupModel, Hosted, Lifecycle, Operation, OperationKind, PlacementState, Role, UNKNOWN_OWNER,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Masters that have to agree on a failover: with fewer, one that fails is never replaced.
pub(super) const LEAST_OWNERS: u32 = 3;

/// A report in which everything is missing for one reason.
pub(super) fn without(why: &Doubt) -> SystemReport {
    let facts = [ALARMS, "shards", "openSlots", "strangers"];
    SystemReport {
        fingerprint: gap(why),
        epoch: gap(why),
        members: gap(why),
        groups: gap(why),
        shards: gap(why),
        operations: gap(why),
        debts: gap(why),
        join: Reading::NotApplicable,
        facts: facts.into_iter().map(|name| (name.to_owned(), gap(why))).collect(),
    }
}

fn gap<T>(why: &Doubt) -> Reading<T> {
    Reading::gap(why.gap.clone(), why.detail.clone())
}

/// Puts together what is concluded.
pub(super) fn assemble(cluster: &Cluster, name: &str, settings: &RedisSettings) -> SystemReport {
    let heard = cluster.members.iter().filter_map(|member| Some((member.name(), member.reading.ok()?.up_ms)));
    let Some((observer, up_ms)) = heard.max_by_key(|(_, up_ms)| *up_ms) else {
        return without(&Doubt::new(Gap::Error, "no member answers"));
    };
    let all = Source::new(Authority::Survivors, observer, up_ms);
    Report { cluster, settings, all, layout: layout::of(cluster, settings.replicas) }.told(name)
}

struct Report<'a> {
    cluster: &'a Cluster<'a>,
    settings: &'a RedisSettings,
    /// The word of all that answer.
    all: Source,
    layout: super::planner::Layout,
}

impl Report<'_> {
    fn told(&self, name: &str) -> SystemReport {
        let owners = self.cluster.masters().filter(|master| !master.node.slots.is_empty());
        SystemReport {
            fingerprint: self.all.tells(name.to_owned()),
            epoch: self.all.tells(self.epoch()),
            members: self.all.tells(self.cluster.members.iter().map(|one| self.member(one)).collect()),
            groups: self.all.tells(owners.map(|master| self.group(master)).collect()),
            shards: self.shards(),
            operations: self.all.tells(self.operations()),
            debts: self.all.tells(Vec::new()),
            join: Reading::NotApplicable,
            facts: self.facts(),
        }
    }

    /// Changes with every change of who the members are and who replicates whom.
    fn epoch(&self) -> String {
        let mut lines: Vec<String> = self
            .cluster
            .members
            .iter()
            .map(|member| format!("{} {}\n", member.id, member.node.master.as_deref().unwrap_or("-")))
            .collect();
        lines.sort();
        let digest = Sha256::digest(lines.concat());
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    fn own(&self, member: &Member) -> Option<Source> {
        let answers = member.reading.ok()?;
        Some(Source::new(Authority::Own, member.name(), answers.up_ms))
    }

    /// The word of the others on a member.
    fn others(&self, member: &Member) -> Source {
        let (observer, up_ms) = member.witness.unwrap_or(("nobody", 0));
        Source::new(Authority::Survivors, observer, up_ms)
    }

    fn silent<T>(member: &Member) -> Reading<T> {
        let why = member.reading.err().unwrap_or("it does not say");
        Reading::gap(Gap::Error, format!("{} does not answer: {why}", member.name()))
    }

    /// What a member says of itself.
    fn says<T>(&self, member: &Member, value: impl Fn(&super::reading::Answers) -> T) -> Reading<T> {
        match (self.own(member), member.reading) {
            (Some(own), Ok(answers)) => own.tells(value(answers)),
            (None, _) | (_, Err(_)) => Self::silent(member),
        }
    }

    fn member(&self, member: &Member) -> SystemMember {
        SystemMember {
            id: member.id.into(),
            slot: member.place.cloned(),
            lifecycle: self.lifecycle(member),
            alive: self.alive(member),
            roles: self.others(member).tells(roles_of(member)),
            hosted: self.hosted(member),
            load_bytes: self.says(member, |answers| answers.memory.data),
            // What a node can hold is its memory.
            disk_capacity_bytes: self.says(member, |answers| answers.memory.most),
            disk_used_bytes: self.says(member, |answers| answers.memory.used),
            memory_permille: self.says(member, |answers| permille(answers.memory.used, answers.memory.most)),
            persistent: self.says(member, |answers| answers.settings.persistent),
            drain_bytes_per_s: Reading::NotApplicable,
            growth_bytes_per_s: Reading::NotApplicable,
            cpu_permille: Reading::NotApplicable,
            network_permille: Reading::NotApplicable,
            config_pending: Reading::NotApplicable,
        }
    }

    fn alive(&self, member: &Member) -> Reading<bool> {
        match self.own(member) {
            Some(own) => own.tells(true),
            None if member.node.failed => self.others(member).tells(false),
            None => Self::silent(member),
        }
    }

    fn lifecycle(&self, member: &Member) -> Reading<Lifecycle> {
        let name = member.name();
        let others = self.others(member);
        let Ok(answers) = member.reading else {
            let dead = || others.tells(Lifecycle::Dead);
            return if member.node.failed { dead() } else { Self::silent(member) };
        };
        if member.node.failed {
            return Reading::gap(Gap::Conflicting, format!("{name} answers, and the others call it failed"));
        }
        let owns = !member.node.slots.is_empty();
        others.tells(if member.doubt.is_some() && !owns {
            Lifecycle::Joining
        } else if answers.loading {
            Lifecycle::CatchingUp
        } else if member.is_cordoned() {
            Lifecycle::Draining
        } else if !member.is_master() {
            if self.state(member) == Some(PlacementState::InSync) {
                Lifecycle::Serving
            } else {
                Lifecycle::CatchingUp
            }
        } else {
            match roles::part(self.cluster, member.id, self.settings.replicas) {
                Some(Part::Replica(_)) => Lifecycle::Joining,
                Some(Part::Master) | None => Lifecycle::Serving,
            }
        })
    }

    /// What a member's shard owns by the views of all others; of a replica what its master owns.
    fn hosted(&self, member: &Member) -> Reading<Hosted> {
        if let Some(doubt) = self.cluster.silence() {
            return gap(&doubt);
        }
        let Some(master) = self.cluster.master_of(member.id) else {
            let detail = format!("{} replicates a node that is no member", member.name());
            return Reading::gap(Gap::Conflicting, detail);
        };
        if let Some(doubt) = member.doubt.as_ref().or(master.doubt.as_ref()) {
            return Reading::gap(Gap::Conflicting, doubt.clone());
        }
        let copies = master.node.slots.count();
        // Keys that no slot of the shard accounts for came by a move that failed.
        let left = member.reading.map_or(0, |answers| if copies == 0 { answers.keys } else { 0 });
        self.others(member).tells(Hosted {
            copies,
            leaders: u64::from(member.is_master() && copies > 0),
            moving: self.moving(master.id),
            open_writes: 0,
            failed_moves: left,
            due: if member.is_master() { self.layout.due(member.id) } else { 0 },
        })
    }

    /// How many slots are on their way to a shard or from it.
    fn moving(&self, master: &str) -> u64 {
        let open = self.cluster.open().filter(|(end, open)| {
            let (Way::To(other) | Way::From(other)) = &open.way;
            end.id == master || other == master
        });
        open.map(|(_, open)| open.slot).collect::<BTreeSet<_>>().len() as u64
    }

    fn group(&self, master: &Member) -> SystemGroup {
        let told = |name: &str| {
            Reading::gap(Gap::Error, format!("{name} has failed, and no replica has taken over"))
        };
        SystemGroup {
            id: self.shard_name(master).into(),
            kind: GroupKind::Data,
            model: GroupModel::AsyncPrimary,
            target_copies: self.all.tells(self.settings.replicas.saturating_add(1)),
            min_ack: self.says(master, |answers| answers.settings.min_replicas.saturating_add(1)),
            placements: self.placements(master),
            leader: if master.node.failed { told(master.name()) } else { self.all.tells(master.id.into()) },
            config_version: self.all.tells(master.node.epoch),
            in_joint_config: Reading::NotApplicable,
            open: Reading::NotApplicable,
        }
    }

    /// A shard is called by the first of its places: failovers do not change that.
    fn shard_name(&self, master: &Member) -> String {
        let shard = self.cluster.shard_of(master.id);
        // Members are in the order of their places.
        let first = self.cluster.members.iter().find(|member| shard.iter().any(|one| one.id == member.id));
        format!("shard-{}", first.map_or(master.id, Member::name))
    }

    fn placements(&self, master: &Member) -> Reading<Vec<SystemPlacement>> {
        let shard = self.cluster.shard_of(master.id);
        if let Some(doubt) = shard.iter().find_map(|member| member.doubt.as_ref()) {
            return Reading::gap(Gap::Conflicting, doubt.clone());
        }
        let mut placements = Vec::new();
        for member in shard {
            let Some(state) = self.state(member) else { return Self::silent(member) };
            let behind = self.behind(member);
            let lag = || {
                let missing =
                    || Reading::gap(Gap::Error, format!("how far {} is behind is not known", member.name()));
                behind.map_or_else(missing, |(lag, _)| self.all.tells(lag))
            };
            placements.push(SystemPlacement {
                member: member.id.into(),
                weight: 1,
                state,
                lag: lag(),
                progress_permille: behind.map_or_else(
                    || Reading::gap(Gap::Error, format!("how far {} is behind is not known", member.name())),
                    |(lag, end)| self.all.tells(1_000 - permille(lag, end)),
                ),
            });
        }
        self.all.tells(placements)
    }

    /// How good a copy is; none where nobody knows.
    fn state(&self, member: &Member) -> Option<PlacementState> {
        match (member.is_master(), member.reading) {
            (_, Err(_)) if member.node.failed => Some(PlacementState::Stale),
            (_, Err(_)) => None,
            (true, Ok(_)) => Some(PlacementState::InSync),
            (false, Ok(_)) if !member.is_linked() => Some(PlacementState::CatchingUp),
            (false, Ok(_)) => match self.behind(member) {
                Some((0, _)) => Some(PlacementState::InSync),
                Some(_) | None => Some(PlacementState::CatchingUp),
            },
        }
    }

    /// How many bytes of the master's stream a replica lacks of what there was when the reading began, and how long it was.
    fn behind(&self, member: &Member) -> Option<(u64, u64)> {
        let answers = member.reading.ok()?;
        let end = match self.cluster.master_of(member.id)?.reading.ok()?.side {
            Side::Master { offset, .. } => offset,
            Side::Replica { .. } => return None,
        };
        match answers.side {
            Side::Master { .. } => Some((0, end)),
            Side::Replica { linked: true, offset } => Some((end.saturating_sub(offset), end)),
            Side::Replica { linked: false, .. } => None,
        }
    }

    fn shards(&self) -> Reading<ShardMap> {
        if let Some(doubt) = self.cluster.silence() {
            return gap(&doubt);
        }
        if self.cluster.views != 1 {
            let doubts: Vec<&str> =
                self.cluster.members.iter().filter_map(|member| member.doubt.as_deref()).take(3).collect();
            let detail = format!("{} different views: {}", self.cluster.views, doubts.join("; "));
            return Reading::gap(Gap::Conflicting, detail);
        }
        let serving: Vec<&Member> = self
            .cluster
            .masters()
            .filter(|master| !master.node.slots.is_empty() && !master.node.failed && master.reading.is_ok())
            .collect();
        let open: BTreeSet<u16> = self.cluster.open().map(|(_, open)| open.slot).collect();
        self.all.tells(ShardMap {
            scheme: Scheme::FixedSlots,
            count: u64::from(SLOTS),
            covered: serving.iter().map(|master| master.node.slots.count()).sum(),
            open: open.len() as u64,
            owners: u32::try_from(serving.len()).unwrap_or(u32::MAX),
            least_owners: LEAST_OWNERS,
        })
    }

    /// Slots on their way that no plan of ours would move: somebody else's. What a plan of ours has left open is found by the
    /// map of shards, and finished by its next step.
    fn operations(&self) -> Vec<Operation> {
        let foreign = layout::open(self.cluster)
            .into_iter()
            .filter(|open| !layout::is_ours(self.cluster, &self.layout, open));
        foreign
            .map(|open| Operation {
                id: format!("slot {}", open.slot),
                kind: OperationKind::Reshard,
                owner: UNKNOWN_OWNER.to_owned(),
                scope: open.from,
                progress_permille: Fact::NotApplicable,
            })
            .collect()
    }

    fn facts(&self) -> BTreeMap<String, Reading<Value>> {
        let name = |id: &str| {
            self.cluster.member(id).map_or_else(|| id.to_owned(), |member| member.name().to_owned())
        };
        let shards: Vec<Value> = self
            .cluster
            .masters()
            .map(|master| {
                let replicas: Vec<&str> = self.cluster.replicas(master.id).map(Member::name).collect();
                json!({ "master": master.name(), "replicas": replicas, "slots": master.node.slots.count() })
            })
            .collect();
        let open: Vec<Value> = layout::open(self.cluster)
            .iter()
            .map(|open| json!({ "slot": open.slot, "from": name(&open.from), "to": name(&open.to) }))
            .collect();
        let strangers: BTreeMap<&str, &str> = self
            .cluster
            .strangers
            .iter()
            .map(|(place, stranger)| {
                let what = match stranger {
                    Stranger::Fresh(_) => "it is empty and waits to be admitted",
                    Stranger::Former(_) => "it was removed from the cluster",
                    Stranger::Barred(why) => why,
                };
                (&**place, what)
            })
            .collect();
        BTreeMap::from([
            (ALARMS.to_owned(), self.all.tells(json!(alarm::standing(self.cluster)))),
            ("shards".to_owned(), self.all.tells(json!(shards))),
            ("openSlots".to_owned(), self.all.tells(json!(open))),
            ("strangers".to_owned(), self.all.tells(json!(strangers))),
        ])
    }
}

fn roles_of(member: &Member) -> BTreeSet<Role> {
    if member.node.slots.is_empty() {
        BTreeSet::from([Role::Data])
    } else {
        BTreeSet::from([Role::Leader, Role::Data])
    }
}

fn permille(part: u64, whole: u64) -> u32 {
    let parts = u128::from(part) * 1_000 / u128::from(whole.max(1));
    u32::try_from(parts.min(1_000)).unwrap_or(1_000)
}

#[cfg(test)]
mod tests;
