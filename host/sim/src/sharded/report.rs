//! What a store says about itself.

use super::{Copy, Load, Mode, Node, Shard, Sharded};
use plimsoll_core::observation::{Reading, Source, SystemGroup, SystemMember, SystemPlacement, SystemReport};
use plimsoll_wire::fact::{Authority, Fact, Gap, Known};
use plimsoll_wire::snapshot::{
    Debt, GroupKind, GroupModel, Hosted, Lifecycle, Operation, OperationKind, PlacementState, Role,
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

impl Sharded {
    /// The store's metadata, from the member that has been up longest; nothing at all where nobody is.
    pub(super) fn report(&self, now_ms: u64) -> SystemReport {
        let up_since = |node: &usize| {
            let place = self.nodes.get(*node).and_then(|node| self.platform.places().get(node.slot));
            (place.map_or(now_ms, |place| place.up_since_ms), *node)
        };
        let Some(speaker) = (0..self.nodes.len()).filter(|node| self.is_alive(*node)).min_by_key(up_since)
        else {
            let down = || Gap::Error;
            return SystemReport {
                members: Reading::gap(down(), "no member answers"),
                groups: Reading::gap(down(), "no member answers"),
                ..SystemReport::default()
            };
        };
        let up_ms = now_ms.saturating_sub(up_since(&speaker).0);
        let name = self.nodes.get(speaker).map_or_else(|| "".into(), |node| node.name.clone());
        let source = Source::new(Authority::Consensus, name, up_ms);
        let loads = self.tally();
        let members = self.nodes.iter().zip(&loads).enumerate().filter(|(_, (node, _))| !node.forgotten);
        let debts = self.platform.owed().filter(|member| self.by_name(member).is_none());
        SystemReport {
            fingerprint: source.tells(self.fingerprint.clone()),
            epoch: source.tells(self.epoch.to_string()),
            members: source
                .tells(members.map(|(at, (node, load))| self.member(at, node, load, &source)).collect()),
            groups: source.tells(self.shards.iter().map(|shard| self.group(shard, &source)).collect()),
            operations: source.tells(self.operations(&source)),
            shards: Reading::NotApplicable,
            debts: source.tells(
                debts.map(|member| Debt { kind: "volume".to_owned(), member: member.clone() }).collect(),
            ),
            join: Reading::NotApplicable,
            // Nothing in this world raises an alarm.
            facts: BTreeMap::from([(plimsoll_wire::alarm::ALARMS.to_owned(), source.tells(json!([])))]),
        }
    }

    fn member(&self, at: usize, node: &Node, held: &Load, source: &Source) -> SystemMember {
        let alive = self.is_alive(at);
        let hosted = Hosted {
            copies: held.copies,
            leaders: held.leaders,
            moving: held.moving,
            open_writes: 0,
            failed_moves: 0,
            due: 0,
        };
        let load = self.writes_per_s * 1_000_000 / self.setup.writes_permille.max(1) * hosted.leaders;
        let cpu = load / self.setup.requests_per_s.max(1)
            + if hosted.moving > 0 { self.setup.move_cost_permille } else { 0 };
        let used = held.bytes;
        SystemMember {
            id: node.name.clone(),
            slot: Some(self.platform.name(node.slot)),
            lifecycle: source.tells(lifecycle(node, alive, &hosted)),
            alive: source.tells(alive),
            roles: source.tells(BTreeSet::from([Role::Data])),
            load_bytes: source.tells(used - super::BASE_BYTES),
            disk_capacity_bytes: source.tells(self.setup.disk_bytes),
            disk_used_bytes: source.tells(used),
            growth_bytes_per_s: source.tells(self.writes_per_s * self.setup.write_bytes * hosted.copies),
            drain_bytes_per_s: source.tells(self.setup.bytes_per_s),
            cpu_permille: source.tells(capped(50 + cpu)),
            memory_permille: source.tells(capped(250 + hosted.copies * 5)),
            network_permille: source.tells(capped(20 + cpu / 2)),
            hosted: source.tells(hosted),
            persistent: source.tells(true),
            config_pending: source.tells(false),
        }
    }

    fn group(&self, shard: &Shard, source: &Source) -> SystemGroup {
        let leader = shard.leader.and_then(|node| self.nodes.get(node)).map(|node| node.name.clone());
        SystemGroup {
            id: shard.name.clone(),
            kind: GroupKind::Data,
            model: GroupModel::AckSet,
            target_copies: source.tells(count(self.setup.copies)),
            min_ack: source.tells(count(self.setup.min_ack)),
            placements: source
                .tells(shard.copies.iter().map(|copy| self.placement(shard, copy, source)).collect()),
            leader: leader.map_or_else(
                || Reading::gap(Gap::Error, "the shard has no leader"),
                |leader| source.tells(leader),
            ),
            config_version: source.tells(shard.version),
            in_joint_config: Reading::NotApplicable,
            open: source.tells(false),
        }
    }

    fn placement(&self, shard: &Shard, copy: &Copy, source: &Source) -> SystemPlacement {
        let state = if !self.is_alive(copy.node) {
            PlacementState::Stale
        } else if copy.filled.is_some() || copy.holds < shard.acknowledged {
            PlacementState::CatchingUp
        } else {
            PlacementState::InSync
        };
        let filled = copy.filled.unwrap_or(shard.bytes);
        SystemPlacement {
            member: self.nodes.get(copy.node).map_or_else(|| "".into(), |node| node.name.clone()),
            weight: 1,
            state,
            lag: source.tells(shard.acknowledged - copy.holds.min(shard.acknowledged)),
            progress_permille: source.tells(capped(filled * 1_000 / shard.bytes.max(1))),
        }
    }

    fn operations(&self, source: &Source) -> Vec<Operation> {
        let mut all = Vec::new();
        for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| !node.forgotten) {
            let left = self.copies_on(at);
            if let Mode::Draining { task, copies } = &node.mode
                && left > 0
            {
                let done = copies.saturating_sub(left) as u64 * 1_000 / (*copies).max(1) as u64;
                let id = format!("drain-{}", node.name);
                all.push(operation(id, OperationKind::Drain, &task.owner, &node.name, known(source, done)));
            }
        }
        let unknown = || Fact::unknown(Gap::NotScraped, "");
        if let Some(task) = &self.rebalance {
            all.push(operation("rebalance".to_owned(), OperationKind::Rebalance, &task.owner, "", unknown()));
        }
        let repairs = self.shards.iter().any(|shard| shard.moving.as_ref().is_some_and(|it| !it.wanted));
        if repairs {
            all.push(operation("repair".to_owned(), OperationKind::Recovery, "system", "", unknown()));
        }
        all
    }
}

fn lifecycle(node: &Node, alive: bool, hosted: &Hosted) -> Lifecycle {
    match (&node.mode, alive) {
        (_, false) => Lifecycle::Dead,
        (Mode::Serving, true) => Lifecycle::Serving,
        (Mode::Draining { .. }, true) if hosted.copies == 0 && hosted.moving == 0 => Lifecycle::Drained,
        (Mode::Cordoned | Mode::Draining { .. }, true) => Lifecycle::Draining,
    }
}

fn operation(id: String, kind: OperationKind, owner: &str, scope: &str, progress: Fact<u32>) -> Operation {
    Operation { id, kind, owner: owner.to_owned(), scope: scope.to_owned(), progress_permille: progress }
}

fn known(source: &Source, value: u64) -> Fact<u32> {
    Fact::Known(Known {
        value: capped(value),
        authority: source.authority,
        age_ms: 0,
        observer: source.observer.clone(),
        observer_up_ms: source.observer_up_ms,
        epoch: "".into(),
        stable_ms: 0,
        reads: 1,
    })
}

fn capped(value: u64) -> u32 {
    u32::try_from(value.min(1_000)).unwrap_or(1_000)
}

fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
