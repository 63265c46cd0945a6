//! What a quorum group says about itself.

use super::{CONTROL, Peer, Quorum};
use crate::platform::{State, endpoints};
use plimsoll_core::observation::{Reading, Source, SystemGroup, SystemMember, SystemPlacement, SystemReport};
use plimsoll_wire::fact::{Authority, Gap};
use plimsoll_wire::journal::Join;
use plimsoll_wire::snapshot::{Debt, GroupKind, GroupModel, Lifecycle, PlacementState, Role};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Quorum {
    /// A linearizable read, where there is a leader with a majority; nothing at all where there is none.
    pub(super) fn report(&self, now_ms: u64) -> SystemReport {
        let Some(leader) = self.acting_leader().and_then(|id| self.members.get(&id)) else {
            return silence();
        };
        let up_since_ms = self.platform.places().get(leader.slot).map_or(now_ms, |place| place.up_since_ms);
        let source =
            Source::new(Authority::Consensus, leader.name.clone(), now_ms.saturating_sub(up_since_ms));
        SystemReport {
            fingerprint: source.tells(self.fingerprint.clone()),
            epoch: source.tells(self.epoch.to_string()),
            members: source.tells(self.members.values().map(|peer| self.member(peer, &source)).collect()),
            groups: source.tells(vec![self.group(leader, &source)]),
            operations: source.tells(Vec::new()),
            shards: Reading::NotApplicable,
            debts: source.tells(self.debts()),
            join: self.join(&source),
            // Nothing in this world raises an alarm.
            facts: BTreeMap::from([(plimsoll_wire::alarm::ALARMS.to_owned(), source.tells(json!([])))]),
        }
    }

    fn member(&self, peer: &Peer, source: &Source) -> SystemMember {
        let alive = self.is_alive(peer);
        let leads = self.leader.and_then(|id| self.members.get(&id)).is_some_and(|it| it.name == peer.name);
        let mut roles = BTreeSet::from([if peer.voter { Role::Voter } else { Role::Learner }, Role::Data]);
        if leads {
            roles.insert(Role::Leader);
        }
        SystemMember {
            id: peer.name.clone(),
            slot: Some(self.platform.name(peer.slot)),
            lifecycle: source.tells(self.lifecycle(peer, alive)),
            alive: source.tells(alive),
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

    fn lifecycle(&self, peer: &Peer, alive: bool) -> Lifecycle {
        let state = self.platform.places().get(peer.slot).map_or(State::Vacant, |place| place.state);
        match (state, peer.voter) {
            (State::Running, true) if alive => Lifecycle::Serving,
            (State::Running, false) if alive => Lifecycle::CatchingUp,
            (State::Vacant, false) if !peer.started => Lifecycle::Provisioning,
            (State::Booting { .. }, _) => Lifecycle::Joining,
            (State::Running | State::Vacant | State::Down { .. }, _) => Lifecycle::Dead,
        }
    }

    fn group(&self, leader: &Peer, source: &Source) -> SystemGroup {
        let placements = self.members.values().map(|peer| self.placement(peer, leader, source));
        SystemGroup {
            id: CONTROL.into(),
            kind: GroupKind::Control,
            model: GroupModel::StaticMajority,
            target_copies: Reading::NotApplicable,
            min_ack: Reading::NotApplicable,
            placements: source.tells(placements.collect()),
            leader: source.tells(leader.name.clone()),
            config_version: source.tells(self.epoch),
            in_joint_config: source.tells(false),
            open: source.tells(false),
        }
    }

    fn placement(&self, peer: &Peer, leader: &Peer, source: &Source) -> SystemPlacement {
        let state = if !peer.voter {
            PlacementState::Learner
        } else if !self.is_alive(peer) {
            PlacementState::Stale
        } else if self.is_in_sync(peer) {
            PlacementState::InSync
        } else {
            PlacementState::CatchingUp
        };
        let holds = if self.is_in_sync(peer) { leader.holds } else { peer.holds };
        let progress = u128::from(holds) * 1_000 / u128::from(leader.holds.max(1));
        SystemPlacement {
            member: peer.name.clone(),
            weight: u32::from(peer.voter),
            state,
            // What is on its way is no lag: two numbers read one after the other always differ by it.
            lag: source.tells(if self.is_in_sync(peer) {
                0
            } else {
                leader.holds.saturating_sub(peer.holds)
            }),
            progress_permille: source.tells(u32::try_from(progress.min(1_000)).unwrap_or(1_000)),
        }
    }

    fn debts(&self) -> Vec<Debt> {
        let owed = self.platform.owed().filter(|member| self.by_name(member).is_none());
        owed.map(|member| Debt { kind: "volume".to_owned(), member: member.clone() }).collect()
    }

    /// What the learner that was registered last needs to join.
    fn join(&self, source: &Source) -> Reading<Join> {
        let Some(learner) = self.members.values().find(|peer| !peer.voter) else {
            return Reading::gap(Gap::NotScraped, "no member waits to join");
        };
        let contacts: Vec<String> = self
            .members
            .values()
            .filter(|peer| peer.name != learner.name)
            .filter_map(|peer| endpoints(&self.platform.name(peer.slot)).remove("peer"))
            .collect();
        let slot: Arc<str> = self.platform.name(learner.slot);
        let payload = json!({ "member": learner.name, "slot": slot });
        source.tells(Join { existing: true, contacts, payload })
    }
}

fn silence() -> SystemReport {
    fn gap<T>() -> Reading<T> {
        Reading::gap(Gap::Error, "the group has no leader: the linearizable read timed out")
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
