//! What can be seen of the world: places, members and leader, as the platform and the system tell them.

use plimsoll_core::observation::{
    Observation, PlatformReport, Reading, Slot, Source, SystemGroup, SystemMember, SystemPlacement,
    SystemReport, VacantSlot,
};
use plimsoll_wire::fact::{Authority, Gap};
use plimsoll_wire::journal::Join;
use plimsoll_wire::snapshot::{
    Endpoints, Generation, GroupKind, GroupModel, Lifecycle, Marker, Now, PlacementState, Role, Signal,
    SignalState,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A member of the system.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Member {
    pub(crate) id: u32,
    pub(crate) votes: bool,
}

/// What can be seen of the world, and what an older look has seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    /// What is asked of the StatefulSet; its controller is at once where it should be.
    pub(crate) replicas: u32,
    /// The members by the ordinal of their pod.
    pub(crate) members: BTreeMap<u32, Member>,
    pub(crate) leader: u32,
    /// Counts changes of membership.
    pub(crate) changes: u32,
}

pub(super) fn place(slot: &str) -> u32 {
    slot.strip_prefix("db-").and_then(|digits| digits.parse().ok()).expect("a place of this world")
}

fn slot(place: u32) -> Arc<str> {
    format!("db-{place}").into()
}

pub(super) fn name(id: u32) -> Arc<str> {
    format!("m{id}").into()
}

impl View {
    pub(super) fn runs(&self, place: u32) -> bool {
        place < self.replicas
    }

    fn voters(&self) -> impl Iterator<Item = (u32, &Member)> {
        self.members.iter().filter(|(_, member)| member.votes).map(|(place, member)| (*place, member))
    }

    pub(super) fn has_majority(&self) -> bool {
        self.live() > self.voters().count() / 2
    }

    fn live(&self) -> usize {
        self.voters().filter(|(place, _)| self.runs(*place)).count()
    }

    pub(super) fn find(&self, id: &str) -> Option<u32> {
        self.members.iter().find(|(_, member)| *name(member.id) == *id).map(|(place, _)| *place)
    }

    pub(super) fn has_learner(&self) -> bool {
        self.members.values().any(|member| !member.votes)
    }

    /// The leader goes on as long as it can; then the first that can.
    pub(super) fn elect(&mut self) {
        let live: Vec<u32> =
            self.voters().filter(|(place, _)| self.runs(*place)).map(|(_, member)| member.id).collect();
        if !live.contains(&self.leader) {
            self.leader = live.first().copied().unwrap_or(self.leader);
        }
    }
}

impl View {
    /// What platform and system say.
    pub(crate) fn observe(&self, now: &Now, direct: bool) -> Observation {
        let platform = Source::new(Authority::Platform, "the StatefulSet", u64::from(u32::MAX));
        let signal = Signal {
            state: SignalState::Ok,
            age_ms: Some(0),
            coverage_permille: Some(1_000),
            detail: String::new(),
            optional: false,
            samples: Vec::new(),
        };
        Observation {
            at: now.clone(),
            direct,
            platform: PlatformReport {
                slots: platform.tells((0..self.replicas).map(|place| used(place, &platform)).collect()),
                vacant: platform
                    .tells((self.replicas..self.replicas + 2).map(|at| vacant(at, &platform)).collect()),
                generation: platform.tells(Generation { spec: 1, observed: 1 }),
                operations: platform.tells(Vec::new()),
                facts: BTreeMap::new(),
            },
            system: self.report(),
            signals: BTreeMap::from([("demand".to_owned(), signal)]),
        }
    }

    fn report(&self) -> SystemReport {
        if !self.has_majority() {
            return silence();
        }
        let source = Source::new(Authority::Consensus, name(self.leader), u64::from(u32::MAX));
        let members =
            self.members.iter().map(|(place, member)| self.member(*place, member, &source)).collect();
        let join = if self.has_learner() {
            let contacts: Vec<String> =
                self.members.keys().filter_map(|place| endpoints(*place).remove("peer")).collect();
            source.tells(Join { existing: true, contacts, ..Join::default() })
        } else {
            Reading::gap(Gap::NotScraped, "no member waits to join")
        };
        SystemReport {
            fingerprint: source.tells("one".to_owned()),
            epoch: source.tells(self.changes.to_string()),
            members: source.tells(members),
            groups: source.tells(vec![self.group(&source)]),
            operations: source.tells(Vec::new()),
            shards: Reading::NotApplicable,
            debts: source.tells(Vec::new()),
            join,
            facts: BTreeMap::from([(
                plimsoll_wire::alarm::ALARMS.to_owned(),
                source.tells(serde_json::json!([])),
            )]),
        }
    }

    fn member(&self, place: u32, member: &Member, source: &Source) -> SystemMember {
        let runs = self.runs(place);
        let lifecycle = match (runs, member.votes) {
            (true, true) => Lifecycle::Serving,
            (true, false) => Lifecycle::CatchingUp,
            (false, true) => Lifecycle::Dead,
            (false, false) => Lifecycle::Provisioning,
        };
        let mut roles = BTreeSet::from([Role::Data, if member.votes { Role::Voter } else { Role::Learner }]);
        if member.id == self.leader {
            roles.insert(Role::Leader);
        }
        SystemMember {
            id: name(member.id),
            slot: Some(slot(place)),
            lifecycle: source.tells(lifecycle),
            alive: source.tells(runs),
            roles: source.tells(roles),
            hosted: Reading::NotApplicable,
            load_bytes: Reading::NotApplicable,
            disk_capacity_bytes: Reading::NotApplicable,
            disk_used_bytes: Reading::NotApplicable,
            growth_bytes_per_s: Reading::NotApplicable,
            drain_bytes_per_s: Reading::NotApplicable,
            cpu_permille: Reading::NotApplicable,
            memory_permille: Reading::NotApplicable,
            network_permille: Reading::NotApplicable,
            persistent: source.tells(true),
            config_pending: source.tells(false),
        }
    }

    fn group(&self, source: &Source) -> SystemGroup {
        let placement = |(place, member): (&u32, &Member)| SystemPlacement {
            member: name(member.id),
            weight: u32::from(member.votes),
            state: match (member.votes, self.runs(*place)) {
                (true, true) => PlacementState::InSync,
                (true, false) => PlacementState::Stale,
                (false, _) => PlacementState::Learner,
            },
            lag: source.tells(0),
            progress_permille: source.tells(if self.runs(*place) { 1_000 } else { 0 }),
        };
        SystemGroup {
            id: "control".into(),
            kind: GroupKind::Control,
            model: GroupModel::StaticMajority,
            target_copies: Reading::NotApplicable,
            min_ack: Reading::NotApplicable,
            placements: source.tells(self.members.iter().map(placement).collect()),
            leader: source.tells(name(self.leader)),
            config_version: Reading::NotApplicable,
            in_joint_config: source.tells(false),
            open: source.tells(false),
        }
    }
}

fn endpoints(place: u32) -> Endpoints {
    [("client", 2379), ("peer", 2380)]
        .map(|(purpose, port)| (purpose.to_owned(), format!("http://db-{place}:{port}")))
        .into()
}

fn used(place: u32, source: &Source) -> Slot {
    Slot {
        slot: slot(place),
        endpoints: endpoints(place),
        running: true,
        incarnation: format!("uid-{place}"),
        domain: source.tells(format!("zone-{place}")),
        marker: Reading::gap(Gap::NotScraped, "a running member's volume is not read"),
    }
}

fn vacant(place: u32, source: &Source) -> VacantSlot {
    let blank = Marker { fingerprint: String::new(), member_id: String::new(), tombstoned: false };
    VacantSlot {
        slot: slot(place),
        endpoints: endpoints(place),
        domain: source.tells(format!("zone-{place}")),
        marker: source.tells(blank),
    }
}

fn silence() -> SystemReport {
    fn gap<T>() -> Reading<T> {
        Reading::gap(Gap::Error, "no leader")
    }
    SystemReport {
        fingerprint: gap(),
        epoch: gap(),
        members: gap(),
        groups: gap(),
        operations: gap(),
        shards: Reading::NotApplicable,
        debts: gap(),
        join: gap(),
        facts: BTreeMap::new(),
    }
}
