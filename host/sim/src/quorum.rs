//! A quorum group: voters and learners that agree by majority, as etcd does.
//!
//! Writes are numbered; a member holds a prefix of them. A write is acknowledged when more than half of all
//! voters, alive or not, hold it. What is left out: terms and vote messages (an election takes a time, and the
//! live voter with the longest prefix wins it, where a majority is alive), snapshots and compaction (a learner
//! takes in the whole of the data at a bandwidth), and the time between a change of membership and its commit
//! (a removal commits under the new majority before it is answered, and the answer takes that long).

use crate::clients::Clients;
use crate::load::share;
use crate::oracle::{Margin, Standing};
use crate::platform::{Platform, PlatformSetup, State, Volume};
use crate::rng::{Rng, mix};
use crate::trace::Trace;
use crate::world::{Blow, Call, Effect, Mishap, World};
use plimsoll_core::observation::SystemReport;
use plimsoll_wire::journal::Verb;
use std::collections::BTreeMap;
use std::sync::Arc;

mod report;

/// How a quorum group is made.
#[derive(Clone, Debug)]
pub struct QuorumSetup {
    /// Where it runs.
    pub platform: PlatformSetup,
    /// Whether it refuses changes that lose the majority, as etcd does by default.
    pub strict: bool,
    /// Bytes of data at the start; a learner takes them all in.
    pub data_bytes: u64,
    /// Bytes a second that one member can take in.
    pub bytes_per_s: u64,
    /// Requests a second that one member can serve. Every member serves reads.
    pub requests_per_s: u64,
    /// How many thousandths of the requests are writes.
    pub writes_permille: u64,
    /// The shortest election, in milliseconds.
    pub election_ms: u64,
}

impl Default for QuorumSetup {
    fn default() -> Self {
        Self {
            platform: PlatformSetup::default(),
            strict: true,
            data_bytes: 2_000_000_000,
            bytes_per_s: 50_000_000,
            requests_per_s: 1_000,
            writes_permille: 200,
            election_ms: 1_000,
        }
    }
}

/// The bytes of one write; only the lag of a member that was away depends on it.
const WRITE_BYTES: u64 = 1_000;
/// Writes that happened before the run.
const HISTORY: u64 = 1_000_000;
/// A follower that is behind by no more than this keeps up: a few strides of a busy group.
const NEAR: u64 = 20_000;

/// A group of voters and learners.
#[derive(Debug)]
pub struct Quorum {
    setup: QuorumSetup,
    fingerprint: String,
    platform: Platform,
    members: BTreeMap<u64, Peer>,
    leader: Option<u64>,
    leader_since_ms: u64,
    election_ends_ms: Option<u64>,
    acknowledged: u64,
    part_milli: u64,
    epoch: u64,
    next_id: u64,
    now_ms: u64,
    flying: u64,
    slow: Option<(usize, u64, u64)>,
    losses: Vec<(usize, u64)>,
    chance: Rng,
}

#[derive(Clone, Debug)]
struct Peer {
    name: Arc<str>,
    slot: usize,
    voter: bool,
    /// Its prefix of the writes.
    holds: u64,
    /// Was alive once.
    started: bool,
    /// Is being given the whole of the data.
    filling: bool,
    /// Its data is gone for good.
    gone: bool,
}

impl Quorum {
    /// A healthy group whose members have been up for a day when the clock stands at `now_ms`.
    #[must_use]
    pub fn new(setup: QuorumSetup, seed: u64, now_ms: u64) -> Self {
        let fingerprint = format!("sim-{seed:016x}");
        let mut platform = Platform::new(setup.platform.clone(), seed, &fingerprint);
        let mut members = BTreeMap::new();
        for slot in 0..setup.platform.running {
            let id = slot as u64 + 1;
            let name: Arc<str> = member_name(id).into();
            if let Some(place) = platform.place_mut(slot) {
                place.volume = Some(Volume { member: name.clone(), removed: false });
            }
            let peer =
                Peer { name, slot, voter: true, holds: HISTORY, started: true, filling: false, gone: false };
            members.insert(id, peer);
        }
        let mut chance = Rng::stream(seed, "election");
        let leader = chance.between(1, setup.platform.running.max(1) as u64);
        Self {
            next_id: setup.platform.running as u64 + 1,
            fingerprint,
            platform,
            leader: members.contains_key(&leader).then_some(leader),
            leader_since_ms: 0,
            election_ends_ms: None,
            acknowledged: HISTORY,
            part_milli: 0,
            epoch: 1,
            now_ms,
            flying: 0,
            slow: None,
            losses: Vec::new(),
            members,
            setup,
            chance,
        }
    }

    fn is_alive(&self, peer: &Peer) -> bool {
        !peer.gone
            && self.platform.places().get(peer.slot).is_some_and(|place| {
                place.state == State::Running
                    && place.volume.as_ref().is_some_and(|volume| volume.member == peer.name)
            })
    }

    fn voters(&self) -> impl Iterator<Item = (&u64, &Peer)> {
        self.members.iter().filter(|(_, peer)| peer.voter)
    }

    fn need(&self) -> usize {
        self.voters().count() / 2 + 1
    }

    fn live_voters(&self) -> usize {
        self.voters().filter(|(_, peer)| self.is_alive(peer)).count()
    }

    fn has_majority(&self) -> bool {
        self.live_voters() >= self.need()
    }

    /// The leader, where it can get a change committed.
    fn acting_leader(&self) -> Option<u64> {
        self.leader
            .filter(|id| self.members.get(id).is_some_and(|peer| self.is_alive(peer)) && self.has_majority())
    }

    fn by_name(&self, name: &str) -> Option<u64> {
        self.members.iter().find(|(_, peer)| &*peer.name == name).map(|(id, _)| *id)
    }

    fn by_slot(&self, slot: usize) -> Option<u64> {
        self.members.iter().find(|(_, peer)| peer.slot == slot).map(|(id, _)| *id)
    }

    fn longest(&self) -> u64 {
        self.leader.and_then(|id| self.members.get(&id)).map_or(self.acknowledged, |peer| peer.holds)
    }

    /// Elections: a leader that is gone is missed at once and replaced after a while, if a majority is alive.
    fn lead(&mut self, trace: &mut Trace) {
        let leads =
            self.leader.is_some_and(|id| self.members.get(&id).is_some_and(|peer| self.is_alive(peer)));
        if leads {
            self.election_ends_ms = None;
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
        let live = self.voters().filter(|(_, peer)| self.is_alive(peer));
        self.leader = live.max_by_key(|(id, peer)| (peer.holds, u64::MAX - **id)).map(|(id, _)| *id);
        self.leader_since_ms = self.now_ms;
        self.election_ends_ms = None;
        let leader = self.leader.map(member_name).unwrap_or_default();
        trace.note(self.now_ms, format_args!("{leader} leads"));
    }

    /// Takes writes in, copies them to the others, and acknowledges what a majority holds.
    fn write(&mut self, for_ms: u64, asked: u64, clients: &mut Clients) {
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

    fn replicate(&mut self, leader: u64, for_ms: u64, flying: u64) {
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
    fn prompt(&self, leader: u64) -> Vec<u64> {
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
    fn is_in_sync(&self, peer: &Peer) -> bool {
        peer.holds + self.flying.max(1) >= self.acknowledged
    }

    /// How many writes more than half of all voters hold.
    fn confirmed(&self) -> u64 {
        let mut held: Vec<u64> =
            self.voters().map(|(_, peer)| if peer.gone { 0 } else { peer.holds }).collect();
        held.sort_unstable_by(|a, b| b.cmp(a));
        held.get(self.need() - 1).copied().unwrap_or(0)
    }

    /// After members went: what nobody holds any more is lost.
    fn count_losses(&mut self) {
        let held = self.members.values().filter(|peer| !peer.gone).map(|peer| peer.holds).max().unwrap_or(0);
        if held < self.acknowledged {
            self.losses.push((0, self.acknowledged - held));
            self.acknowledged = held;
        }
    }

    fn register(&mut self, slot: &str) -> Effect {
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

    fn start(&mut self, slot: &str, join: &serde_json::Value, now_ms: u64) -> Effect {
        let Some(slot) = self.platform.find(slot) else { return Effect::refused("no such slot") };
        let member = self.by_slot(slot);
        if !self.platform.start(slot, now_ms) {
            return Effect::applied(100, false);
        }
        let Some(place) = self.platform.place_mut(slot) else { return Effect::applied(100, false) };
        // Old data decides who the process is; a blank one becomes the registered member, if it was told how
        // to join, and else somebody whom nobody knows.
        if place.volume.is_none() {
            let peer = member.filter(|_| !join.is_null()).and_then(|id| self.members.get_mut(&id));
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

    fn promote(&mut self, member: &str) -> Effect {
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

    fn move_leader(&mut self, from: &str, to: &str, trace: &mut Trace) -> Effect {
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

    fn deregister(&mut self, member: &str) -> Effect {
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
    fn commit_without(&mut self, id: u64, need: usize) -> u64 {
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

    /// A member that was struck out exits by itself; its volume is that of a removed member.
    fn unplug(&mut self, peer: &Peer) {
        self.platform.crash(peer.slot, None);
        let own = |volume: &&mut Volume| volume.member == peer.name;
        if let Some(volume) =
            self.platform.place_mut(peer.slot).and_then(|place| place.volume.as_mut()).filter(own)
        {
            volume.removed = true;
        }
    }

    fn stop(&mut self, slot: &str) -> Effect {
        let Some(slot) = self.platform.find(slot) else { return Effect::refused("no such slot") };
        let changed = self.platform.stop(slot);
        if let Some(peer) = self.by_slot(slot).filter(|_| changed).and_then(|id| self.members.get_mut(&id)) {
            // A member that never ran has nothing to lose.
            peer.gone = true;
        }
        self.count_losses();
        Effect::applied(2_000, changed)
    }

    fn subject(&self, verb: &Verb) -> Option<usize> {
        match verb {
            Verb::Register { slot, .. } | Verb::Start { slot, .. } | Verb::Stop { slot, .. } => {
                self.platform.find(slot)
            }
            Verb::Promote { member } | Verb::Deregister { member } => {
                self.by_name(member).and_then(|id| self.members.get(&id)).map(|peer| peer.slot)
            }
            Verb::MoveLeader { .. }
            | Verb::Cordon { .. }
            | Verb::Uncordon { .. }
            | Verb::Drain { .. }
            | Verb::CancelDrain { .. }
            | Verb::Barrier
            | Verb::Rebalance
            | Verb::PayDebt { .. } => None,
        }
    }

    /// Slots whose joining or leaving is under way: learners, and what still runs of members struck out.
    fn open(&self) -> Vec<Arc<str>> {
        let learns =
            |slot: usize| self.by_slot(slot).and_then(|id| self.members.get(&id)).map(|peer| !peer.voter);
        (0..self.platform.places().len())
            .filter(|slot| {
                let used =
                    self.platform.places().get(*slot).is_some_and(|place| place.state != State::Vacant);
                learns(*slot).unwrap_or(used)
            })
            .map(|slot| self.platform.name(slot))
            .collect()
    }
}

impl World for Quorum {
    fn platform(&self) -> &Platform {
        &self.platform
    }

    fn platform_mut(&mut self) -> &mut Platform {
        &mut self.platform
    }

    fn groups(&self) -> usize {
        1
    }

    fn tick(&mut self, to_ms: u64, asked: u64, clients: &mut Clients, trace: &mut Trace) -> Vec<Mishap> {
        let for_ms = to_ms.saturating_sub(self.now_ms);
        self.now_ms = to_ms;
        if self.platform.tick(to_ms) {
            trace.note(to_ms, format_args!("something came up"));
        }
        self.lead(trace);
        self.write(for_ms, asked, clients);
        Vec::new()
    }

    fn is_calm(&self) -> bool {
        let behind = self.members.values().any(|peer| self.is_alive(peer) && !self.is_in_sync(peer));
        let electing = self.leader.is_none() && self.has_majority();
        !behind && !electing
    }

    fn capacity(&self) -> u64 {
        let serving = self.voters().filter(|(_, peer)| self.is_alive(peer)).count() as u64;
        serving * self.setup.requests_per_s * 1_000
    }

    fn act(&mut self, call: &Call<'_>, trace: &mut Trace) -> Effect {
        let lone = matches!(call.verb, Verb::Start { .. } | Verb::Stop { .. } | Verb::PayDebt { .. });
        if !lone && self.acting_leader().is_none() {
            return Effect::timed_out("etcdserver: request timed out");
        }
        match call.verb {
            Verb::Register { slot, .. } => self.register(slot),
            Verb::Start { slot, join, .. } => self.start(slot, join, call.now_ms),
            Verb::Promote { member } => self.promote(member),
            Verb::MoveLeader { from, to } => self.move_leader(from, to, trace),
            Verb::Deregister { member } => self.deregister(member),
            Verb::Barrier => Effect::applied(20, false),
            Verb::Stop { slot, .. } => self.stop(slot),
            Verb::PayDebt { member, .. } => Effect::applied(200, self.platform.set_aside(member)),
            Verb::Cordon { .. }
            | Verb::Uncordon { .. }
            | Verb::Drain { .. }
            | Verb::CancelDrain { .. }
            | Verb::Rebalance => Effect::refused("a quorum group has no data to move"),
        }
    }

    fn strike(&mut self, now_ms: u64, blow: &Blow, trace: &mut Trace) {
        match blow {
            Blow::Crash { slot, until_ms } => {
                if !self.platform.crash(*slot, *until_ms) {
                    return;
                }
                trace.note(now_ms, format_args!("{} crashed", self.platform.name(*slot)));
                let member = self.by_slot(*slot).filter(|_| until_ms.is_none());
                if let Some(peer) = member.and_then(|id| self.members.get_mut(&id)) {
                    peer.gone = true;
                }
                self.count_losses();
            }
            Blow::Slow { slot, until_ms, permille } => self.slow = Some((*slot, *until_ms, *permille)),
            // What moves in a quorum group is the data of a learner: all members are slow for it.
            Blow::SlowMoves { until_ms, permille } => {
                let learner = self.members.values().find(|peer| !peer.voter).map(|peer| peer.slot);
                self.slow = learner.map(|slot| (slot, *until_ms, *permille)).or(self.slow);
            }
        }
    }

    fn margins(&self) -> Vec<Margin> {
        let live = self.live_voters() as i64 - self.need() as i64;
        let holders = self.members.values().filter(|peer| !peer.gone && peer.holds >= self.acknowledged);
        vec![Margin { live, whole: holders.count() as i64 - 1, floor: 1 }]
    }

    fn standing(&self, verb: &Verb) -> Standing {
        let slot = self.subject(verb);
        let id = slot.and_then(|slot| self.by_slot(slot));
        let peer = id.and_then(|id| self.members.get(&id));
        let heirs = self.live_voters() > 1;
        let mut holds = Vec::new();
        if peer.is_some_and(|peer| peer.voter) {
            holds.push("a vote");
        }
        if id.is_some() && id == self.leader {
            holds.push("leadership");
        }
        let volume = slot.and_then(|slot| self.platform.places().get(slot)?.volume.as_ref());
        Standing {
            size: self.platform.size(),
            open: self.open(),
            subject: slot.map(|slot| self.platform.name(slot)),
            leads: id.is_some() && id == self.leader && heirs,
            holds,
            returning_volume: volume.is_some_and(|volume| volume.removed),
        }
    }

    fn take_losses(&mut self) -> Vec<(usize, u64)> {
        std::mem::take(&mut self.losses)
    }

    fn system_report(&self, now_ms: u64) -> SystemReport {
        self.report(now_ms)
    }
}

fn member_name(id: u64) -> String {
    format!("m-{id:04x}")
}
