//! A quorum group: voters and learners that agree by majority, as etcd does.
//!
//! Writes are numbered; a member holds a prefix of them. A write is acknowledged when more than half of all
//! voters, alive or not, hold it. A leader is whom a majority votes for, and nobody votes for somebody who holds less.
//! What is left out: terms and vote messages (an election takes a time, and what its winner does not hold is cut off
//! everywhere at once), snapshots and compaction (a learner takes in the whole of the data at a bandwidth), and the
//! time between a change of membership and its commit (a removal commits under the new majority before it is
//! answered, and the answer takes that long).

use crate::clients::Clients;
use crate::oracle::{Margin, Standing};
use crate::platform::{Platform, PlatformSetup, State, Volume};
use crate::rng::Rng;
use crate::trace::Trace;
use crate::world::{About, Blow, Call, Effect, Mishap, World};
use plimsoll_core::observation::SystemReport;
use plimsoll_wire::journal::{PlatformVerb, SystemVerb, Verb};
use std::collections::BTreeMap;
use std::sync::Arc;

mod agree;
mod calls;
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
/// The name of its one group.
const CONTROL: &str = "control";
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
    /// Since when the leader has reached no majority.
    alone_since_ms: Option<u64>,
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
            alone_since_ms: None,
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

    fn subject(&self, verb: &Verb) -> Option<usize> {
        match About::of(verb) {
            About::Place(slot) => self.platform.find(slot),
            About::Member(member) => {
                self.by_name(member).and_then(|id| self.members.get(&id)).map(|peer| peer.slot)
            }
            About::Nobody => None,
        }
    }

    /// Slots whose joining or leaving is under way: learners, and what still runs of members removed.
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
        let lone = matches!(
            call.verb,
            Verb::Platform(PlatformVerb::Start { .. })
                | Verb::Platform(PlatformVerb::Stop { .. })
                | Verb::System(SystemVerb::PayDebt { .. })
        );
        if !lone && self.acting_leader().is_none() {
            return Effect::timed_out("etcdserver: request timed out");
        }
        match call.verb {
            Verb::System(SystemVerb::Register { slot, .. }) => self.register(slot),
            Verb::Platform(PlatformVerb::Start { slot, join, .. }) => {
                self.start(slot, join.as_ref(), call.now_ms)
            }
            Verb::System(SystemVerb::Promote { member }) => self.promote(member),
            Verb::System(SystemVerb::MoveLeader { group, from, to }) => {
                self.move_leader(group, from, to.as_deref(), trace)
            }
            Verb::System(SystemVerb::Deregister { member }) => self.deregister(member),
            Verb::System(SystemVerb::Barrier) => Effect::applied(20, false),
            Verb::Platform(PlatformVerb::Stop { slot, .. }) => self.stop(slot),
            Verb::System(SystemVerb::PayDebt { member, .. }) => {
                Effect::applied(200, self.platform.set_aside(member))
            }
            Verb::System(SystemVerb::Cordon { .. })
            | Verb::System(SystemVerb::Uncordon { .. })
            | Verb::System(SystemVerb::Drain { .. })
            | Verb::System(SystemVerb::CancelDrain { .. })
            | Verb::System(SystemVerb::Rebalance)
            | Verb::System(SystemVerb::Spread { .. }) => {
                Effect::refused("a quorum group has no data to move")
            }
            Verb::System(SystemVerb::Admit { .. }) => Effect::refused("members are registered first"),
        }
    }

    fn recover(&mut self, slot: &str, trace: &mut Trace) -> Effect {
        self.force_new_cluster(slot, trace)
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
        let lacks = |peer: &Peer| peer.holds < self.acknowledged;
        let holders = self.members.values().filter(|peer| !peer.gone && !lacks(peer));
        // A majority of voters that all lack something could elect one of them.
        let lacking = self.voters().filter(|(_, peer)| !peer.gone && lacks(peer)).count();
        let sure = self.need() as i64 - 1 - lacking as i64;
        vec![Margin { live, whole: holders.count() as i64 - 1, sure, floor: 1 }]
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
            followers: 0,
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
