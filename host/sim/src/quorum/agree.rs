//! How a quorum group agrees: elections, copies of the log, and what counts as confirmed.

use super::{NEAR, Peer, Quorum, WRITE_BYTES, member_name};
use crate::clients::Clients;
use crate::load::share;
use crate::rng::mix;
use crate::trace::Trace;
use crate::world::World;

impl Quorum {
    pub(super) fn longest(&self) -> u64 {
        self.leader.and_then(|id| self.members.get(&id)).map_or(self.acknowledged, |peer| peer.holds)
    }

    /// Elections: a leader that is gone, or that has reached no majority for a while (Raft's check of the quorum), is
    /// replaced after a while, if a majority is alive.
    pub(super) fn lead(&mut self, trace: &mut Trace) {
        let leads =
            self.leader.is_some_and(|id| self.members.get(&id).is_some_and(|peer| self.is_alive(peer)));
        if leads && self.has_majority() {
            (self.election_ends_ms, self.alone_since_ms) = (None, None);
            return;
        }
        if leads && self.now_ms < *self.alone_since_ms.get_or_insert(self.now_ms) + self.setup.election_ms {
            return;
        }
        self.leader = None;
        let ends_ms = match self.election_ends_ms {
            Some(ends_ms) => ends_ms,
            None => {
                let ends_ms = self.now_ms + self.setup.election_ms + self.chance.below(2_000);
                self.election_ends_ms = Some(ends_ms);
                ends_ms
            }
        };
        if self.now_ms < ends_ms || !self.has_majority() {
            return;
        }
        self.leader = self.elected();
        self.leader_since_ms = self.now_ms;
        (self.election_ends_ms, self.alone_since_ms) = (None, None);
        let leader = self.leader.map(member_name).unwrap_or_default();
        trace.note(self.now_ms, format_args!("{leader} leads"));
        self.cut_dead_branches();
    }

    /// Who wins: whose time runs out first is chance, and a voter votes for whoever has no fewer writes than itself.
    /// While members keep what they have confirmed, nobody wins who lacks an acknowledged write; members that came
    /// back empty under their old names vote for each other.
    fn elected(&mut self) -> Option<u64> {
        let (need, salt) = (self.need(), self.chance.bits());
        let mut live: Vec<(u64, u64)> = self
            .voters()
            .filter(|(_, peer)| self.is_alive(peer))
            .map(|(id, peer)| (*id, peer.holds))
            .collect();
        live.sort_unstable_by_key(|(id, _)| mix(salt ^ id));
        let votes = |held: u64| live.iter().filter(|(_, own)| *own <= held).count();
        live.iter().find(|(_, held)| votes(*held) >= need).map(|(id, _)| *id)
    }

    /// What a new leader does not hold nobody will ever read again, whoever holds it still.
    fn cut_dead_branches(&mut self) {
        let Some(held) = self.leader.and_then(|id| self.members.get(&id)).map(|peer| peer.holds) else {
            return;
        };
        for peer in self.members.values_mut() {
            peer.holds = peer.holds.min(held);
        }
        self.count_losses();
    }

    /// Takes writes in, copies them to the others, and acknowledges what a majority holds.
    pub(super) fn write(&mut self, for_ms: u64, asked: u64, clients: &mut Clients) {
        let served = if self.acting_leader().is_some() { asked.min(self.capacity()) } else { 0 };
        clients.lived(for_ms, asked, served);
        let milli = self.part_milli + served * self.setup.writes_permille / 1_000 * for_ms / 1_000;
        self.part_milli = milli % 1_000;
        let Some(leader) = self.acting_leader() else { return };
        if let Some(peer) = self.members.get_mut(&leader) {
            peer.holds += milli / 1_000;
        }
        // A hundredth of a second of writes is on its way to those that are not needed for the majority.
        let flying = (milli / 1_000).div_ceil(for_ms.max(1)) * 10;
        self.replicate(leader, for_ms, flying);
        let confirmed = self.confirmed();
        clients.acknowledged(0, confirmed.saturating_sub(self.acknowledged));
        self.acknowledged = self.acknowledged.max(confirmed);
    }

    pub(super) fn replicate(&mut self, leader: u64, for_ms: u64, flying: u64) {
        let longest = self.longest();
        self.flying = flying;
        let prompt = self.prompt(leader);
        let slow = self.slow.filter(|(_, until_ms, _)| *until_ms > self.now_ms);
        let live: Vec<u64> =
            self.members.iter().filter(|(_, peer)| self.is_alive(peer)).map(|(id, _)| *id).collect();
        for id in live.into_iter().filter(|id| *id != leader) {
            let bytes_per_s = self.setup.bytes_per_s;
            let data_bytes = self.setup.data_bytes;
            let Some(peer) = self.members.get_mut(&id) else { continue };
            let mut bytes = bytes_per_s * for_ms / 1_000;
            if let Some((_, _, permille)) = slow.filter(|(slot, _, _)| *slot == peer.slot) {
                bytes = bytes * permille / 1_000;
            }
            // A new member takes in all data, whatever number of writes made it.
            let room = if peer.filling { share(longest, bytes, data_bytes) } else { bytes / WRITE_BYTES };
            let end = if prompt.contains(&id) { longest } else { longest.saturating_sub(flying) };
            // What a member holds beyond the leader was never acknowledged, and is cut off.
            peer.holds = longest.min(end.min(peer.holds + room).max(peer.holds));
            peer.filling &= peer.holds < end;
            peer.started = true;
        }
    }

    /// The followers that confirm first this time: as many as a majority needs.
    pub(super) fn prompt(&self, leader: u64) -> Vec<u64> {
        let live = self.voters().filter(|(id, peer)| **id != leader && self.is_alive(peer));
        let mut order: Vec<(u64, u64, u64)> =
            live.map(|(id, peer)| (u64::MAX - peer.holds, mix(self.now_ms ^ (id << 40)), *id)).collect();
        // Who is far behind is never among them while somebody else is there.
        let longest = self.longest();
        for entry in &mut order {
            let behind = longest.saturating_sub(u64::MAX - entry.0);
            entry.0 = if behind <= NEAR { 0 } else { behind };
        }
        order.sort_unstable();
        order.into_iter().take(self.need() - 1).map(|(_, _, id)| id).collect()
    }

    /// Whether a member holds all that was acknowledged, but for what is on its way.
    pub(super) fn is_in_sync(&self, peer: &Peer) -> bool {
        peer.holds + self.flying.max(1) >= self.acknowledged
    }

    /// How many writes more than half of all voters hold.
    pub(super) fn confirmed(&self) -> u64 {
        let mut held: Vec<u64> =
            self.voters().map(|(_, peer)| if peer.gone { 0 } else { peer.holds }).collect();
        held.sort_unstable_by(|a, b| b.cmp(a));
        held.get(self.need() - 1).copied().unwrap_or(0)
    }

    /// After members went: what nobody holds any more is lost.
    pub(super) fn count_losses(&mut self) {
        let held = self.members.values().filter(|peer| !peer.gone).map(|peer| peer.holds).max().unwrap_or(0);
        if held < self.acknowledged {
            self.losses.push((0, self.acknowledged - held));
            self.acknowledged = held;
        }
    }
}
