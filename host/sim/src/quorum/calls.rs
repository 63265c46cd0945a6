//! What a quorum group does when it is told to: each call as the real system takes or refuses it.

use super::{CONTROL, Peer, Quorum, WRITE_BYTES, member_name};
use crate::platform::Volume;
use crate::trace::Trace;
use crate::world::Effect;
use plimsoll_wire::journal::Join;

impl Quorum {
    pub(super) fn register(&mut self, slot: &str) -> Effect {
        let Some(slot) = self.platform.find(slot) else { return Effect::refused("unknown peer address") };
        if self.by_slot(slot).is_some() {
            return Effect::refused("etcdserver: Peer URLs already exists");
        }
        if self.members.values().any(|peer| !peer.voter) {
            return Effect::refused("etcdserver: too many learner members in cluster");
        }
        let id = self.next_id;
        self.next_id += 1;
        self.epoch += 1;
        let name = member_name(id).into();
        let peer = Peer { name, slot, voter: false, holds: 0, started: false, filling: true, gone: false };
        self.members.insert(id, peer);
        Effect::applied(120, true)
    }

    pub(super) fn start(&mut self, slot: &str, join: Option<&Join>, now_ms: u64) -> Effect {
        let Some(slot) = self.platform.find(slot) else { return Effect::refused("no such slot") };
        let member = self.by_slot(slot);
        if !self.platform.start(slot, now_ms) {
            return Effect::applied(100, false);
        }
        let Some(place) = self.platform.place_mut(slot) else { return Effect::applied(100, false) };
        // Old data decides who the process is; a blank one becomes the registered member, if it was told how
        // to join, and else somebody whom nobody knows.
        if place.volume.is_none() {
            let peer = member
                .filter(|_| join.is_some_and(|join| join.existing))
                .and_then(|id| self.members.get_mut(&id));
            let name = match peer {
                Some(peer) => {
                    (peer.holds, peer.filling, peer.gone) = (0, true, false);
                    peer.name.clone()
                }
                None => "stranger".into(),
            };
            place.volume = Some(Volume { member: name, removed: false });
        } else if let Some(peer) = member.and_then(|id| self.members.get_mut(&id)) {
            peer.gone &= place.volume.as_ref().is_none_or(|volume| volume.member != peer.name);
        }
        Effect::applied(1_500, true)
    }

    pub(super) fn promote(&mut self, member: &str) -> Effect {
        let Some(id) = self.by_name(member) else { return Effect::refused("etcdserver: member not found") };
        let longest = self.longest();
        let Some(peer) = self.members.get(&id) else {
            return Effect::refused("etcdserver: member not found");
        };
        if peer.voter {
            return Effect::refused("etcdserver: can only promote a learner member");
        }
        // etcd's own bar is 90 %, and it is checked without `strict` too.
        if peer.holds < longest / 10 * 9 || !self.is_alive(peer) {
            return Effect::refused(
                "etcdserver: can only promote a learner member which is in sync with leader",
            );
        }
        if let Some(peer) = self.members.get_mut(&id) {
            peer.voter = true;
        }
        self.epoch += 1;
        Effect::applied(150, true)
    }

    pub(super) fn move_leader(
        &mut self,
        group: &str,
        from: &str,
        to: Option<&str>,
        trace: &mut Trace,
    ) -> Effect {
        let Some(to) = to.filter(|_| group == CONTROL) else {
            return Effect::refused("etcdserver: bad leader transferee");
        };

        if self.by_name(from) != self.leader {
            return Effect::refused("etcdserver: not leader");
        }
        let heir = self
            .by_name(to)
            .filter(|id| self.members.get(id).is_some_and(|peer| peer.voter && self.is_alive(peer)));
        let Some(heir) = heir else { return Effect::refused("etcdserver: bad leader transferee") };
        // Raft brings the heir up to date before it lets go.
        let longest = self.longest();
        if let Some(peer) = self.members.get_mut(&heir) {
            peer.holds = longest;
        }
        let changed = self.leader != Some(heir);
        self.leader = Some(heir);
        self.leader_since_ms = self.now_ms;
        trace.note(self.now_ms, format_args!("{} leads", member_name(heir)));
        Effect::applied(250, changed)
    }

    pub(super) fn deregister(&mut self, member: &str) -> Effect {
        let Some(id) = self.by_name(member) else { return Effect::refused("etcdserver: member not found") };
        let rest = |voter: &(&u64, &Peer)| *voter.0 != id;
        let need = self.voters().filter(rest).count() / 2 + 1;
        let live = self.voters().filter(rest).filter(|(_, peer)| self.is_alive(peer)).count();
        let votes = self.members.get(&id).is_some_and(|peer| peer.voter);
        if votes && self.setup.strict && live < need {
            return Effect::refused("etcdserver: re-configuration failed due to not enough started members");
        }
        let mut took_ms = 120;
        if votes && live >= need {
            took_ms += self.commit_without(id, need);
        }
        if let Some(peer) = self.members.remove(&id) {
            self.unplug(&peer);
        }
        if self.leader == Some(id) {
            self.leader = None;
        }
        self.epoch += 1;
        self.count_losses();
        Effect::applied(took_ms, true)
    }

    /// The removal itself is a write that the new majority confirms, and with it all that came before it.
    /// Returns how long that takes.
    pub(super) fn commit_without(&mut self, id: u64, need: usize) -> u64 {
        let longest = self.longest();
        let mut rest: Vec<(u64, u64)> = self
            .voters()
            .filter(|(other, peer)| **other != id && self.is_alive(peer))
            .map(|(other, peer)| (peer.holds, *other))
            .collect();
        rest.sort_unstable_by(|a, b| b.cmp(a));
        let mut behind = 0;
        for (held, other) in rest.into_iter().take(need) {
            behind = behind.max(longest.saturating_sub(held));
            if let Some(peer) = self.members.get_mut(&other) {
                peer.holds = longest;
            }
        }
        behind * WRITE_BYTES * 1_000 / self.setup.bytes_per_s.max(1)
    }

    /// A member that was removed exits by itself; its volume is that of a removed member.
    pub(super) fn unplug(&mut self, peer: &Peer) {
        self.platform.crash(peer.slot, None);
        let own = |volume: &&mut Volume| volume.member == peer.name;
        if let Some(volume) =
            self.platform.place_mut(peer.slot).and_then(|place| place.volume.as_mut()).filter(own)
        {
            volume.removed = true;
        }
    }

    pub(super) fn stop(&mut self, slot: &str) -> Effect {
        let Some(slot) = self.platform.find(slot) else { return Effect::refused("no such slot") };
        let changed = self.platform.stop(slot);
        if let Some(peer) = self.by_slot(slot).filter(|_| changed).and_then(|id| self.members.get_mut(&id)) {
            // A member that never ran has nothing to lose.
            peer.gone = true;
        }
        self.count_losses();
        Effect::applied(2_000, changed)
    }

    /// `--force-new-cluster`: one member goes on alone with what it holds. All others are stopped, their data is
    /// wiped, and they may join again as new ones.
    pub(super) fn force_new_cluster(&mut self, slot: &str, trace: &mut Trace) -> Effect {
        let Some(slot) = self.platform.find(slot) else { return Effect::refused("no such slot") };
        let chosen = self.by_slot(slot).filter(|id| self.members.get(id).is_some_and(|it| self.is_alive(it)));
        let Some(id) = chosen else { return Effect::refused("no live member of the old cluster runs there") };
        for other in (0..self.platform.places().len()).filter(|other| *other != slot) {
            self.platform.stop(other);
            if let Some(place) = self.platform.place_mut(other) {
                place.volume = None;
            }
        }
        self.members.retain(|other, _| *other == id);
        if let Some(peer) = self.members.get_mut(&id) {
            (peer.voter, peer.filling) = (true, false);
        }
        self.epoch += 1;
        (self.leader, self.leader_since_ms) = (Some(id), self.now_ms);
        trace.note(self.now_ms, format_args!("{} is a new cluster by itself", member_name(id)));
        self.count_losses();
        Effect::applied(60_000, true)
    }
}
