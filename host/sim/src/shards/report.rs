//! What a cluster says about itself.

use super::{BASE_BYTES, LEAST_OWNERS, MEMBERS, Node, Shards};
use plimsoll_core::observation::{Reading, Source, SystemGroup, SystemMember, SystemPlacement, SystemReport};
use plimsoll_wire::fact::{Authority, Fact, Gap};
use plimsoll_wire::shards::{Scheme, ShardMap};
use plimsoll_wire::snapshot::{
    Debt, GroupKind, GroupModel, Hosted, Lifecycle, Operation, OperationKind, PlacementState, Role,
    UNKNOWN_OWNER,
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

impl Shards {
    /// What the members that answer say of each other; nothing at all where none does.
    pub(super) fn report(&self, now_ms: u64) -> SystemReport {
        let up_since =
            |node: &&Node| self.platform.places().get(node.place).map_or(now_ms, |it| it.up_since_ms);
        let Some(speaker) = self.nodes.iter().filter(|node| node.alive).min_by_key(up_since) else {
            let down = || Gap::Error;
            return SystemReport {
                members: Reading::gap(down(), "no member answers"),
                groups: Reading::gap(down(), "no member answers"),
                ..SystemReport::default()
            };
        };
        let up_ms = now_ms.saturating_sub(up_since(&speaker));
        let source = Source::new(Authority::Survivors, speaker.name.clone(), up_ms);
        let known = self.nodes.iter().enumerate().filter(|(_, node)| !node.forgotten);
        let debts = self.platform.owed().filter(|member| self.by_name(member).is_none());
        SystemReport {
            fingerprint: source.tells(self.fingerprint.clone()),
            epoch: source.tells(self.epoch.to_string()),
            members: source.tells(known.map(|(at, node)| self.member(at, node, &source)).collect()),
            groups: source.tells(self.data(&source)),
            operations: source.tells(self.operations()),
            shards: self.map(&source),
            debts: source.tells(
                debts.map(|member| Debt { kind: "volume".to_owned(), member: member.clone() }).collect(),
            ),
            join: Reading::NotApplicable,
            // Nothing in this world raises an alarm.
            facts: BTreeMap::from([(plimsoll_wire::alarm::ALARMS.to_owned(), source.tells(json!([])))]),
        }
    }

    fn map(&self, source: &Source) -> Reading<ShardMap> {
        if self.now_ms < self.agrees_ms {
            return Reading::gap(Gap::Conflicting, "members do not agree yet on who owns which slot");
        }
        let covered = self.slots.iter().filter(|slot| self.serves(slot.shard)).count();
        let open = self.slots.iter().filter(|slot| slot.moving.is_some()).count();
        source.tells(ShardMap {
            scheme: Scheme::FixedSlots,
            count: self.slots.len() as u64,
            covered: covered as u64,
            open: open as u64,
            owners: count(self.owners()),
            least_owners: count(LEAST_OWNERS),
        })
    }

    fn member(&self, at: usize, node: &Node, source: &Source) -> SystemMember {
        let shard = node.shard;
        let is_primary = self.shards.get(shard).is_some_and(|it| it.primary == at);
        let (owned, open) = (self.owned(shard) as u64, self.open_on(shard) as u64);
        let hosted = Hosted {
            copies: owned,
            leaders: if is_primary { owned } else { 0 },
            moving: open,
            open_writes: 0,
            failed_moves: 0,
            due: self.due(shard) as u64,
        };
        let load = self.served_milli * owned / self.setup.requests_per_s.max(1);
        let mut cpu = if is_primary { load } else { load * self.setup.writes_permille / 1_000 };
        cpu += if open > 0 { self.setup.move_cost_permille } else { 0 };
        let grows =
            self.served_milli * self.setup.writes_permille / 1_000_000 * self.setup.write_bytes * owned;
        let bytes = self.bytes(shard).saturating_sub(node.behind);
        let here = self.by_place(node.place) == Some(at);
        SystemMember {
            id: node.name.clone(),
            slot: here.then(|| self.platform.name(node.place)),
            lifecycle: source.tells(self.lifecycle(node, owned + open)),
            alive: source.tells(node.alive),
            roles: source.tells(BTreeSet::from([Role::Data])),
            hosted: source.tells(hosted),
            load_bytes: source.tells(bytes),
            disk_capacity_bytes: source.tells(self.setup.room_bytes),
            disk_used_bytes: source.tells(BASE_BYTES + bytes),
            growth_bytes_per_s: source.tells(grows),
            drain_bytes_per_s: source.tells(self.setup.bytes_per_s),
            cpu_permille: source.tells(capped(50 + cpu)),
            memory_permille: source.tells(capped(250 + owned * 2)),
            network_permille: source.tells(capped(20 + cpu / 2)),
            persistent: source.tells(true),
            config_pending: source.tells(false),
        }
    }

    fn lifecycle(&self, node: &Node, holds: u64) -> Lifecycle {
        match () {
            () if !node.alive => Lifecycle::Dead,
            () if self.now_ms < node.joined_ms => Lifecycle::Joining,
            () if node.leaves && holds == 0 => Lifecycle::Drained,
            () if node.leaves => Lifecycle::Draining,
            () if node.behind > 0 => Lifecycle::CatchingUp,
            () => Lifecycle::Serving,
        }
    }

    /// The data of each shard that has some: what has none is no data to be kept.
    fn data(&self, source: &Source) -> Vec<SystemGroup> {
        let holds = |shard: &usize| self.owned(*shard) > 0 || self.open_on(*shard) > 0;
        (0..self.shards.len()).filter(holds).filter_map(|shard| self.group(shard, source)).collect()
    }

    fn group(&self, at: usize, source: &Source) -> Option<SystemGroup> {
        let shard = self.shards.get(at)?;
        let leader = self.primary(at).filter(|node| node.alive).map_or_else(
            || Reading::gap(Gap::Error, "the primary is down"),
            |primary| source.tells(primary.name.clone()),
        );
        Some(SystemGroup {
            id: shard.name.clone(),
            kind: GroupKind::Data,
            model: GroupModel::AsyncPrimary,
            target_copies: source.tells(count(MEMBERS)),
            min_ack: source.tells(1),
            placements: source.tells(self.members(at).map(|node| self.placement(node, source)).collect()),
            leader,
            config_version: source.tells(shard.version),
            in_joint_config: Reading::NotApplicable,
            open: source.tells(false),
        })
    }

    fn placement(&self, node: &Node, source: &Source) -> SystemPlacement {
        let all = self.bytes(node.shard).max(1);
        let state = match () {
            () if !node.alive => PlacementState::Stale,
            () if node.behind > 0 || !node.whole => PlacementState::CatchingUp,
            () => PlacementState::InSync,
        };
        SystemPlacement {
            member: node.name.clone(),
            weight: 1,
            state,
            lag: source.tells(node.behind),
            progress_permille: source.tells(capped(all.saturating_sub(node.behind) * 1_000 / all)),
        }
    }

    /// Open slots are all that the cluster itself can tell of a move, and it keeps no mark of who began it.
    fn operations(&self) -> Vec<Operation> {
        let open = self.slots.iter().enumerate().filter_map(|(at, slot)| Some((at, slot.moving.as_ref()?)));
        open.map(|(at, moving)| Operation {
            id: format!("slot-{at}"),
            kind: OperationKind::Reshard,
            owner: UNKNOWN_OWNER.to_owned(),
            scope: moving.about.to_string(),
            progress_permille: Fact::unknown(Gap::NotScraped, ""),
        })
        .collect()
    }
}

fn capped(value: u64) -> u32 {
    u32::try_from(value.min(1_000)).unwrap_or(1_000)
}

fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
