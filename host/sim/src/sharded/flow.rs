//! What happens in a store as time passes, without anybody's doing: members come up, leaders are replaced,
//! requests are served, disks fill.

use super::{BASE_BYTES, Cause, Clients, Mishap, Node, Sharded, Trace, share};
use std::collections::BTreeSet;

/// For how long after data of ours has arrived an overflow is ours.
const BLAME_MS: u64 = 3_600_000;

impl Sharded {
    /// What runs with a blank volume becomes a member; what comes back is known by its volume.
    pub(super) fn welcome(&mut self, trace: &mut Trace) {
        self.restless = true;
        for slot in 0..self.platform.places().len() {
            let blank = self.platform.places().get(slot).is_some_and(|place| place.volume.is_none());
            if blank && self.platform.is_running(slot) {
                self.join(slot);
                trace.note(self.now_ms, format_args!("{} joined", self.platform.name(slot)));
            }
        }
    }

    /// Since when each member is away.
    pub(super) fn watch(&mut self) {
        for at in 0..self.nodes.len() {
            let alive = self.is_alive(at);
            let now_ms = self.now_ms;
            let Some(node) = self.nodes.get_mut(at).filter(|node| !node.forgotten) else { continue };
            node.away_since_ms = if alive { None } else { node.away_since_ms.or(Some(now_ms)) };
            self.restless |= !alive;
        }
        for at in 0..self.nodes.len() {
            let bereft = self.is_alive(at) && self.is_bereft(at);
            if let Some(node) = self.nodes.get_mut(at).filter(|_| bereft) {
                node.bereft_ms = Some(self.now_ms);
            }
        }
    }

    /// A leader that is gone is replaced after a while by a copy in sync, if there is one.
    pub(super) fn elect(&mut self, trace: &mut Trace) {
        self.electing = false;
        for at in 0..self.shards.len() {
            let leader = self.shards.get(at).and_then(|shard| shard.leader);
            if leader.is_some_and(|node| self.is_alive(node)) {
                continue;
            }
            let wait_ms = 1_000 + self.chance.below(2_000);
            let now_ms = self.now_ms;
            let Some(shard) = self.shards.get_mut(at) else { continue };
            shard.leader = None;
            if now_ms < *shard.leads_at_ms.get_or_insert(now_ms + wait_ms) {
                self.electing = true;
                continue;
            }
            if let Some(heir) = self.heir(at, None, None)
                && let Some(shard) = self.shards.get_mut(at)
            {
                shard.leader = Some(heir);
                shard.leads_at_ms = None;
                trace.note(now_ms, format_args!("node {heir} leads shard {at}"));
            }
        }
    }

    /// Who could lead a shard: in sync and serving; who leads least, the wished one first among equals. A member that
    /// is on its way out leads only where nobody else can.
    pub(super) fn heir(&self, at: usize, not: Option<usize>, wished: Option<usize>) -> Option<usize> {
        let shard = self.shards.get(at)?;
        let able = shard.copies.iter().filter(|copy| self.is_in_sync(shard, copy)).map(|copy| copy.node);
        let able = able.filter(|node| Some(*node) != not);
        able.min_by_key(|node| {
            let leaving =
                self.nodes.get(*node).is_some_and(|node| !matches!(node.mode, super::Mode::Serving));
            (leaving, self.leads(*node), Some(*node) != wished, *node)
        })
    }

    /// What a member can serve, in thousandths of a request a second: less while data moves to or from it.
    pub(super) fn node_capacity(&self, node: usize) -> u64 {
        let moves = self.shards.iter().filter_map(|shard| shard.moving.as_ref());
        let busy = moves.clone().any(|moving| moving.to == node || moving.from == Some(node));
        let left = if busy { 1_000 - self.setup.move_cost_permille.min(1_000) } else { 1_000 };
        self.setup.requests_per_s * left
    }

    /// Serves what is asked: each shard an equal part, by its leader, as far as that can. Writes are
    /// acknowledged where enough copies are in sync.
    pub(super) fn serve(&mut self, for_ms: u64, asked: u64, clients: &mut Clients) {
        let part = asked / self.shards.len().max(1) as u64;
        let mut room: Vec<Option<(u64, u64)>> = vec![None; self.nodes.len()];
        let mut served = 0;
        for at in 0..self.shards.len() {
            let Some(shard) = self.shards.get(at) else { continue };
            let in_sync: Vec<usize> = (0..shard.copies.len())
                .filter(|copy| shard.copies.get(*copy).is_some_and(|copy| self.is_in_sync(shard, copy)))
                .collect();
            let Some(leader) = shard.leader.filter(|_| in_sync.len() >= self.setup.min_ack) else { continue };
            let (capacity, wanted) = *room
                .get_mut(leader)
                .map_or(&mut None, |slot| slot)
                .get_or_insert_with(|| (self.node_capacity(leader), part * self.leads(leader) as u64));
            let got = if wanted > capacity { share(part, capacity, wanted) } else { part };
            served += got;
            self.acknowledge(at, &in_sync, got * self.setup.writes_permille / 1_000, for_ms, clients);
        }
        self.writes_per_s = served * self.setup.writes_permille / 1_000_000 / self.shards.len().max(1) as u64;
        clients.lived(for_ms, part * self.shards.len() as u64, served);
    }

    fn acknowledge(&mut self, at: usize, in_sync: &[usize], milli_per_s: u64, for_ms: u64, to: &mut Clients) {
        // Rounded up to a whole write: a world of slow shards would else never write at all.
        let writes = (milli_per_s * for_ms).div_ceil(1_000_000);
        let Some(shard) = self.shards.get_mut(at) else { return };
        shard.acknowledged += writes;
        shard.bytes += writes * self.setup.write_bytes;
        for copy in in_sync {
            if let Some(copy) = shard.copies.get_mut(*copy) {
                copy.holds = shard.acknowledged;
            }
        }
        to.acknowledged(at, writes);
    }

    /// Members that have just become fuller than full, and by whose data.
    pub(super) fn overflow(&mut self) -> Vec<Mishap> {
        let mut mishaps = Vec::new();
        for (at, load) in self.tally().into_iter().enumerate() {
            let used = load.bytes;
            if !self.is_alive(at) {
                continue;
            }
            let limit = self.setup.disk_bytes;
            let Some(node) = self.nodes.get(at) else { continue };
            let (was_full, slot) = (node.full, node.slot);
            // Room must come back, and not only a byte of it.
            let full = used > limit || (was_full && used > limit / 100 * 95);
            if full && !was_full {
                let cause = self.who_filled(at, used);
                mishaps.push(Mishap::Overflow { slot: self.platform.name(slot), cause });
            }
            if let Some(node) = self.nodes.get_mut(at) {
                node.full = full;
            }
        }
        mishaps
    }

    fn who_filled(&self, node: usize, used: u64) -> Cause {
        let mut ours = 0;
        let mut call = 0;
        for shard in &self.shards {
            for copy in shard.copies.iter().filter(|copy| copy.node == node) {
                let recent = copy.filled.is_some() || self.now_ms < copy.arrived_ms + BLAME_MS;
                if let Cause::Call(number) = copy.cause
                    && recent
                {
                    ours += copy.filled.unwrap_or(shard.bytes);
                    call = call.max(number);
                }
            }
        }
        let fits = used.saturating_sub(ours) <= self.setup.disk_bytes;
        // What was sent there when there was no other room arrives later.
        let bereft = self.nodes.get(node).and_then(|node| node.bereft_ms);
        let bereft = bereft.is_some_and(|since| self.now_ms < since + BLAME_MS);
        if ours > 0 && fits && !bereft { Cause::Call(call) } else { Cause::Nature }
    }

    /// Whether nature took more than the one member that there must always be room for, and all copies, kept in
    /// domains of their own, no longer fit on who is left: all together, or in the domain of this one.
    fn is_bereft(&self, node: usize) -> bool {
        let struck = |node: &&Node| {
            !node.forgotten && node.away_since_ms.is_some() && !matches!(node.gone, Some(Cause::Call(_)))
        };
        if self.nodes.iter().filter(struck).count() < 2 {
            return false;
        }
        let domain = |node: &Node| self.platform.domain(node.slot);
        let living: Vec<&str> = self.nodes.iter().filter(|node| node.alive).map(domain).collect();
        let domains = living.iter().collect::<BTreeSet<_>>().len().max(1);
        let here = self.nodes.get(node).map_or("", domain);
        let copies = self.setup.copies.min(living.len());
        let once: u64 = self.shards.iter().map(|shard| shard.bytes).sum();
        let room = |members: usize| members as u64 * self.setup.disk_bytes.saturating_sub(BASE_BYTES);
        let beside = living.iter().filter(|domain| **domain == here).count();
        once * copies as u64 > room(living.len()) || once * (copies / domains) as u64 > room(beside)
    }
}
