//! What happens in a cluster as time passes, without anybody's doing: primaries are replaced, requests are served, replicas
//! catch up, room runs out.

use super::{BASE_BYTES, Shards};
use crate::clients::Clients;
use crate::load::share;
use crate::oracle::Cause;
use crate::trace::Trace;
use crate::world::Mishap;

/// For how long after a slot of ours has arrived an overflow is ours.
const BLAME_MS: u64 = 3_600_000;

impl Shards {
    /// A primary that is down is replaced after a while, if most owners of slots are there to agree.
    pub(super) fn fail_over(&mut self, trace: &mut Trace) {
        let owners: Vec<usize> = (0..self.shards.len()).filter(|shard| self.owned(*shard) > 0).collect();
        let agree = owners.iter().filter(|shard| self.serves(**shard)).count() > owners.len() / 2;
        for at in 0..self.shards.len() {
            let heir = self.heir(at).filter(|_| !self.serves(at));
            let (now_ms, wait_ms, bytes) = (self.now_ms, self.setup.failover_ms, self.bytes(at));
            let Some(shard) = self.shards.get_mut(at) else { continue };
            let Some(heir) = heir else {
                shard.fails_over_ms = None;
                continue;
            };
            let due_ms = *shard.fails_over_ms.get_or_insert(now_ms + wait_ms);
            self.is_busy = true;
            if now_ms < due_ms || !agree {
                continue;
            }
            shard.version += 1;
            shard.fails_over_ms = None;
            let before = std::mem::replace(&mut shard.primary, heir);
            // The old primary comes back as a replica, and takes in everything again.
            if let Some(node) = self.nodes.get_mut(before) {
                (node.whole, node.behind) = (bytes == 0, bytes);
            }
            trace.note(now_ms, format_args!("node {heir} is the primary of shard {at}"));
            self.gossip();
            // What the old one had and nobody else has is gone with its role.
            self.count_losses();
        }
    }

    /// The replica that may become the primary: alive, and with every acknowledged write.
    fn heir(&self, shard: usize) -> Option<usize> {
        let primary = self.shards.get(shard)?.primary;
        let able = |(at, node): &(usize, &super::Node)| {
            node.shard == shard && *at != primary && node.alive && node.whole && self.now_ms >= node.joined_ms
        };
        self.nodes.iter().enumerate().find(able).map(|(at, _)| at)
    }

    pub(super) fn is_in_sync(&self, node: &super::Node) -> bool {
        node.alive && node.whole && node.behind == 0
    }

    /// What a shard can serve, in thousandths of a request a second: less while slots move.
    pub(super) fn shard_capacity(&self, shard: usize) -> u64 {
        let busy = self.open_on(shard) > 0;
        let left = if busy { 1_000 - self.setup.move_cost_permille.min(1_000) } else { 1_000 };
        self.setup.requests_per_s * left
    }

    /// Serves what is asked: each slot an equal part, by the primary of its shard. Writes count where the replica has them.
    pub(super) fn serve(&mut self, for_ms: u64, asked: u64, clients: &mut Clients) {
        let part = asked / self.slots.len().max(1) as u64;
        let mut served = 0;
        for shard in 0..self.shards.len() {
            let owned = self.owned(shard) as u64;
            if owned == 0 || !self.serves(shard) {
                continue;
            }
            let (capacity, wanted) = (self.shard_capacity(shard), part * owned);
            let each = if wanted > capacity { share(part, capacity, wanted) } else { part };
            served += each * owned;
            self.write(shard, each, for_ms, clients);
        }
        self.served_milli = served / self.slots.len().max(1) as u64;
        clients.lived(for_ms, part * self.slots.len() as u64, served);
    }

    fn write(&mut self, shard: usize, each: u64, for_ms: u64, clients: &mut Clients) {
        // Rounded up to a whole write: a slot with little to do would else never be written at all.
        let writes = (each * self.setup.writes_permille / 1_000 * for_ms).div_ceil(1_000_000);
        let Some(primary) = self.shards.get(shard).map(|it| it.primary) else { return };
        let follows = |(at, node): &(usize, &super::Node)| *at != primary && self.is_in_sync(node);
        let nodes =
            || self.nodes.iter().enumerate().filter(|(_, node)| node.shard == shard && !node.forgotten);
        let counts = nodes().any(|it| follows(&it));
        let late: Vec<usize> =
            nodes().filter(|it| it.0 != primary && !follows(it)).map(|(at, _)| at).collect();
        let mut written = 0;
        for (at, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.shard == shard) {
            slot.bytes += writes * self.setup.write_bytes;
            written += writes * self.setup.write_bytes;
            if counts {
                slot.acknowledged += writes;
                clients.acknowledged(at, writes);
            }
        }
        for at in late {
            if let Some(node) = self.nodes.get_mut(at) {
                node.behind += written;
            }
        }
    }

    /// Replicas take in what they lack, while their primary is there.
    pub(super) fn replicate(&mut self, for_ms: u64) {
        for at in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(at).filter(|node| node.alive && node.behind > 0) else {
                continue;
            };
            let (shard, place) = (node.shard, node.place);
            self.is_busy = true;
            let is_primary = self.shards.get(shard).is_some_and(|it| it.primary == at);
            if !is_primary && !self.serves(shard) {
                continue;
            }
            let took = if is_primary { u64::MAX } else { self.pace(place) * for_ms / 1_000 };
            if let Some(node) = self.nodes.get_mut(at) {
                node.behind = node.behind.saturating_sub(took);
                node.whole |= node.behind == 0;
            }
        }
    }

    /// Bytes a second that the member in a place can take now.
    pub(super) fn pace(&self, place: usize) -> u64 {
        let slow = self.slow_node.filter(|(of, until_ms, _)| *of == place && *until_ms > self.now_ms);
        slow.map_or(self.setup.bytes_per_s, |(_, _, permille)| self.setup.bytes_per_s * permille / 1_000)
    }

    /// Members that have just become fuller than full, and by whose data.
    pub(super) fn overflow(&mut self) -> Vec<Mishap> {
        let mut mishaps = Vec::new();
        for at in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(at).filter(|node| node.alive) else { continue };
            let (used, limit) = (BASE_BYTES + self.bytes(node.shard), self.setup.room_bytes);
            // Room must come back, and not only a byte of it.
            let full = used > limit || (node.full && used > limit / 100 * 95);
            if full && !node.full {
                let cause = self.who_filled(node.shard, used);
                mishaps.push(Mishap::Overflow { slot: self.platform.name(node.place), cause });
            }
            if let Some(node) = self.nodes.get_mut(at) {
                node.full = full;
            }
        }
        mishaps
    }

    fn who_filled(&self, shard: usize, used: u64) -> Cause {
        let (mut ours, mut last) = (0, 0);
        for slot in &self.slots {
            let came =
                slot.arrived.filter(|(at_ms, _)| slot.shard == shard && self.now_ms < at_ms + BLAME_MS);
            let comes = slot.moving.as_ref().filter(|moving| moving.to == shard);
            ours += came.map_or(0, |_| slot.bytes) + comes.map_or(0, |moving| moving.bytes);
            last = last.max(came.map_or(0, |(_, call)| call)).max(comes.map_or(0, |moving| moving.call));
        }
        let fits = used.saturating_sub(ours) <= self.setup.room_bytes;
        if ours > 0 && fits { Cause::Call(last) } else { Cause::Nature }
    }
}
