//! A cluster of shards, modelled on Redis Cluster: the key space is divided into slots, each slot is owned by one shard, and
//! a shard is a primary with its replica.
//!
//! A process that was started knows nobody until it is admitted: then it becomes the replica of a shard that has none, or
//! the primary of a new shard without slots. Nothing moves by itself. A call to spread or to drain moves slots for a while,
//! one after the other; a slot on its way is open, and stays so when the call's time is over or an end of the move is down:
//! the next call goes on with it. Replication is asynchronous, and the clients here wait for the replica (`WAIT 1`): a
//! write counts as acknowledged when both members of the shard have it. A primary that is down is replaced by its replica
//! if that has everything, and if most owners of slots can agree. After each change members need some seconds to agree on
//! who owns what.
//!
//! What is left out: replicas that move to other shards by themselves, a member that was forgotten and is let in again by
//! one that has not heard of it, and unacknowledged writes (they are not counted, so none is ever lost).

use crate::clients::Clients;
use crate::oracle::{Cause, Margin, Standing};
use crate::platform::{Platform, PlatformSetup, State, Volume};
use crate::trace::Trace;
use crate::world::{About, Blow, Call, Effect, Mishap, World};
use plimsoll_core::observation::SystemReport;
use plimsoll_wire::journal::{PlatformVerb, SystemVerb, Verb};
use std::sync::Arc;

mod calls;
mod flow;
mod moves;
mod report;
mod stand;

/// How a cluster of shards is made.
#[derive(Clone, Debug)]
pub struct ShardsSetup {
    /// Where it runs.
    pub platform: PlatformSetup,
    /// How many slots the key space has.
    pub slots: usize,
    /// Bytes of each slot at the start.
    pub slot_bytes: u64,
    /// Bytes by which one write makes a slot grow: most writes replace something.
    pub write_bytes: u64,
    /// Bytes that each member has room for.
    pub room_bytes: u64,
    /// Bytes a second that one member can give or take.
    pub bytes_per_s: u64,
    /// For how long one call moves slots, in milliseconds.
    pub batch_ms: u64,
    /// How long members need to agree after a change, in milliseconds.
    pub gossip_ms: u64,
    /// How long until a primary that is down is replaced, in milliseconds.
    pub failover_ms: u64,
    /// How many thousandths of a primary's capacity moving slots takes, at both ends.
    pub move_cost_permille: u64,
    /// Requests a second that one primary can serve.
    pub requests_per_s: u64,
    /// How many thousandths of the requests are writes.
    pub writes_permille: u64,
}

impl Default for ShardsSetup {
    fn default() -> Self {
        Self {
            platform: PlatformSetup { slots: 12, running: 6, ..PlatformSetup::default() },
            slots: 64,
            slot_bytes: 750_000_000,
            write_bytes: 100,
            room_bytes: 100_000_000_000,
            bytes_per_s: 100_000_000,
            batch_ms: 20_000,
            gossip_ms: 3_000,
            failover_ms: 4_000,
            move_cost_permille: 150,
            requests_per_s: 2_000,
            writes_permille: 200,
        }
    }
}

/// Members of a shard: a primary and one replica.
const MEMBERS: usize = 2;
/// How many primaries must own slots, so that a failover can be agreed on.
const LEAST_OWNERS: usize = 3;
/// Bytes in use besides the slots.
const BASE_BYTES: u64 = 1_000_000_000;
/// Writes to each slot before the run.
const HISTORY: u64 = 1_000_000;

/// A cluster of shards.
#[derive(Debug)]
pub struct Shards {
    setup: ShardsSetup,
    fingerprint: String,
    platform: Platform,
    /// Never shrinks: a node is known by its place in this list for the whole run.
    nodes: Vec<Node>,
    /// Never shrinks either.
    shards: Vec<Shard>,
    slots: Vec<Slot>,
    tasks: Vec<Task>,
    epoch: u64,
    now_ms: u64,
    /// Until when members do not all see the same.
    agrees_ms: u64,
    slow_moves: Option<(u64, u64)>,
    slow_node: Option<(usize, u64, u64)>,
    losses: Vec<(usize, u64)>,
    moved_bytes: u64,
    /// Requests to each slot that were served, in thousandths a second: for the report of load and growth.
    served_milli: u64,
    is_busy: bool,
}

#[derive(Clone, Debug)]
struct Node {
    name: Arc<str>,
    /// The platform's slot that it runs in.
    place: usize,
    shard: usize,
    leaves: bool,
    /// Its data is gone for good, by whom.
    gone: Option<Cause>,
    /// No longer known to the cluster.
    forgotten: bool,
    /// When the others know it.
    joined_ms: u64,
    /// Has every acknowledged write of its shard.
    whole: bool,
    /// Bytes that it has to take in to be in sync.
    behind: u64,
    alive: bool,
    full: bool,
}

#[derive(Clone, Debug)]
struct Shard {
    name: Arc<str>,
    primary: usize,
    version: u64,
    /// When the primary is replaced, while it is down.
    fails_over_ms: Option<u64>,
}

#[derive(Clone, Debug)]
struct Slot {
    shard: usize,
    acknowledged: u64,
    bytes: u64,
    moving: Option<Move>,
    /// When it came to its shard, and by which call.
    arrived: Option<(u64, u64)>,
}

/// A slot between two owners: the part that was moved is with the new one only.
#[derive(Clone, Debug)]
struct Move {
    to: usize,
    bytes: u64,
    call: u64,
    /// The member that is emptied or filled.
    about: Arc<str>,
}

/// What a call set going, for as long as its time lasts.
#[derive(Clone, Debug)]
struct Task {
    aim: Aim,
    until_ms: u64,
    call: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Aim {
    /// All slots leave the shard of this member.
    Off(usize, Arc<str>),
    /// The shards of these members get their even share.
    Onto(Vec<(usize, Arc<str>)>),
    /// What is open on a shard is ended, and nothing else.
    Finish(usize),
}

impl Shards {
    /// A healthy cluster whose members have been up for a day when the clock stands at `now_ms`.
    #[must_use]
    pub fn new(setup: ShardsSetup, seed: u64, now_ms: u64) -> Self {
        let fingerprint = format!("sim-{seed:016x}");
        let platform = Platform::new(setup.platform.clone(), seed, &fingerprint);
        let mut cluster = Self {
            fingerprint,
            platform,
            nodes: Vec::new(),
            shards: Vec::new(),
            slots: Vec::new(),
            tasks: Vec::new(),
            epoch: 1,
            now_ms,
            agrees_ms: 0,
            slow_moves: None,
            slow_node: None,
            losses: Vec::new(),
            moved_bytes: 0,
            served_milli: 0,
            is_busy: false,
            setup,
        };
        for place in 0..cluster.setup.platform.running {
            cluster.join(place);
        }
        for node in &mut cluster.nodes {
            node.joined_ms = 0;
        }
        (cluster.now_ms, cluster.agrees_ms) = (now_ms, 0);
        let shards = cluster.shards.len().max(1);
        cluster.slots = (0..cluster.setup.slots)
            .map(|at| Slot {
                shard: at * shards / cluster.setup.slots,
                acknowledged: HISTORY,
                bytes: cluster.setup.slot_bytes,
                moving: None,
                arrived: None,
            })
            .collect();
        cluster.refresh();
        cluster
    }

    /// A process becomes a member: the replica of the first shard that lacks one, else the primary of a new shard.
    fn join(&mut self, place: usize) {
        let at = self.nodes.len();
        let name: Arc<str> = format!("n-{:04x}", at + 1).into();
        if let Some(place) = self.platform.place_mut(place) {
            place.volume = Some(Volume { member: name.clone(), removed: false });
        }
        let lacks =
            |shard: &usize| (1..MEMBERS).contains(&self.members(*shard).count()) && !self.leaves(*shard);
        let shard = (0..self.shards.len()).filter(lacks).max_by_key(|shard| self.owned(*shard) > 0);
        let behind = shard.map_or(0, |shard| self.bytes(shard));
        let shard = shard.unwrap_or(self.shards.len());
        if shard == self.shards.len() {
            let name = format!("shard-{shard}").into();
            self.shards.push(Shard { name, primary: at, version: 1, fails_over_ms: None });
        }
        self.nodes.push(Node {
            name,
            place,
            shard,
            leaves: false,
            gone: None,
            forgotten: false,
            joined_ms: self.now_ms + self.setup.gossip_ms,
            whole: behind == 0,
            behind,
            alive: false,
            full: false,
        });
        self.epoch += 1;
        self.gossip();
    }

    /// Something has changed that not everybody has heard of.
    fn gossip(&mut self) {
        self.agrees_ms = self.now_ms + self.setup.gossip_ms;
        self.is_busy = true;
    }

    /// Who is alive: kept, and not worked out each time, because everything asks for it.
    fn refresh(&mut self) {
        for node in &mut self.nodes {
            node.alive = node.gone.is_none()
                && !node.forgotten
                && self.platform.places().get(node.place).is_some_and(|place| {
                    place.state == State::Running
                        && place.volume.as_ref().is_some_and(|volume| volume.member == node.name)
                });
        }
    }

    fn by_name(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| !node.forgotten && &*node.name == name)
    }

    /// The member in a place, the newest where one that is gone is still known there.
    fn by_place(&self, place: usize) -> Option<usize> {
        self.nodes.iter().rposition(|node| !node.forgotten && node.place == place)
    }

    /// The members of a shard that the cluster knows, dead or alive.
    fn members(&self, shard: usize) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.shard == shard && !node.forgotten)
    }

    fn leaves(&self, shard: usize) -> bool {
        self.members(shard).any(|node| node.leaves)
    }

    fn primary(&self, shard: usize) -> Option<&Node> {
        self.nodes.get(self.shards.get(shard)?.primary)
    }

    fn serves(&self, shard: usize) -> bool {
        self.primary(shard).is_some_and(|node| node.alive)
    }

    /// How many slots a shard owns, those that are leaving it among them.
    fn owned(&self, shard: usize) -> usize {
        self.slots.iter().filter(|slot| slot.shard == shard).count()
    }

    fn open_on(&self, shard: usize) -> usize {
        let ends = |slot: &Slot, moving: &Move| slot.shard == shard || moving.to == shard;
        self.slots.iter().filter(|slot| slot.moving.as_ref().is_some_and(|moving| ends(slot, moving))).count()
    }

    /// Bytes that each member of a shard holds.
    fn bytes(&self, shard: usize) -> u64 {
        let own = |slot: &Slot| {
            let moved = slot.moving.as_ref().map_or(0, |moving| moving.bytes);
            match &slot.moving {
                _ if slot.shard == shard => slot.bytes.saturating_sub(moved),
                Some(moving) if moving.to == shard => moved,
                Some(_) | None => 0,
            }
        };
        self.slots.iter().map(own).sum()
    }

    fn owners(&self) -> usize {
        (0..self.shards.len()).filter(|shard| self.owned(*shard) > 0).count()
    }

    fn subject(&self, verb: &Verb) -> Option<usize> {
        match About::of(verb) {
            About::Place(slot) => self.platform.find(slot),
            About::Member(member) => {
                self.by_name(member).and_then(|at| self.nodes.get(at)).map(|node| node.place)
            }
            About::Nobody => None,
        }
    }
}

impl World for Shards {
    fn platform(&self) -> &Platform {
        &self.platform
    }

    fn platform_mut(&mut self) -> &mut Platform {
        &mut self.platform
    }

    fn groups(&self) -> usize {
        self.slots.len()
    }

    fn tick(&mut self, to_ms: u64, asked: u64, clients: &mut Clients, trace: &mut Trace) -> Vec<Mishap> {
        let for_ms = to_ms.saturating_sub(self.now_ms);
        self.now_ms = to_ms;
        self.platform.tick(to_ms);
        self.refresh();
        self.is_busy = to_ms < self.agrees_ms;
        self.fail_over(trace);
        self.serve(for_ms, asked, clients);
        self.replicate(for_ms);
        let mut mishaps = self.work(for_ms, trace);
        mishaps.extend(self.overflow());
        mishaps
    }

    fn is_calm(&self) -> bool {
        !self.is_busy
    }

    fn moved_bytes(&self) -> u64 {
        self.moved_bytes
    }

    fn capacity(&self) -> u64 {
        let serving = (0..self.shards.len()).filter(|shard| self.owned(*shard) > 0 && self.serves(*shard));
        serving.map(|shard| self.shard_capacity(shard)).sum()
    }

    fn act(&mut self, call: &Call<'_>, trace: &mut Trace) -> Effect {
        let effect = match call.verb {
            Verb::Platform(PlatformVerb::Start { slot, .. }) => self.start(slot),
            Verb::Platform(PlatformVerb::Stop { slot, .. }) => self.stop(slot, call.number),
            Verb::System(SystemVerb::Admit { slot, .. }) => self.admit(slot),
            Verb::System(SystemVerb::Cordon { member }) => self.set_leaving(member, true, call.number),
            Verb::System(SystemVerb::Uncordon { member }) => self.set_leaving(member, false, call.number),
            Verb::System(SystemVerb::Drain { member }) => self.drain(member, call.number),
            Verb::System(SystemVerb::CancelDrain { member }) => self.cancel_drain(member),
            Verb::System(SystemVerb::Spread { onto }) => self.spread(onto, call.number),
            Verb::System(SystemVerb::Deregister { member }) => self.deregister(member),
            Verb::System(SystemVerb::Barrier) => Effect::applied(20, false),
            Verb::System(SystemVerb::PayDebt { member, .. }) => {
                Effect::applied(200, self.platform.set_aside(member))
            }
            Verb::System(SystemVerb::Register { .. }) | Verb::System(SystemVerb::Promote { .. }) => {
                Effect::refused("ERR a process is let in when it runs, and its role follows")
            }
            Verb::System(SystemVerb::Rebalance) => Effect::refused("ERR slots are moved one by one"),
            Verb::System(SystemVerb::MoveLeader { .. }) => {
                Effect::refused("ERR a primary goes with its replica, after its slots have gone")
            }
        };
        if effect.changed {
            self.refresh();
            self.is_busy = true;
            trace.note(call.now_ms, format_args!("the cluster is told to {}", call.verb.kind()));
        }
        effect
    }

    fn strike(&mut self, now_ms: u64, blow: &Blow, trace: &mut Trace) {
        self.is_busy = true;
        match blow {
            Blow::Crash { slot, until_ms } => {
                if self.platform.crash(*slot, *until_ms) {
                    trace.note(now_ms, format_args!("{} crashed", self.platform.name(*slot)));
                    if until_ms.is_none() {
                        self.lose(*slot, Cause::Nature);
                    }
                }
            }
            Blow::Slow { slot, until_ms, permille } => self.slow_node = Some((*slot, *until_ms, *permille)),
            Blow::SlowMoves { until_ms, permille } => self.slow_moves = Some((*until_ms, *permille)),
        }
        self.refresh();
    }

    fn margins(&self) -> Vec<Margin> {
        self.slots.iter().map(|slot| self.margin(slot)).collect()
    }

    fn standing(&self, verb: &Verb) -> Standing {
        self.stands(verb)
    }

    fn take_losses(&mut self) -> Vec<(usize, u64)> {
        std::mem::take(&mut self.losses)
    }

    fn system_report(&self, now_ms: u64) -> SystemReport {
        self.report(now_ms)
    }
}
