//! A sharded store with replication, modelled on systems that drain a member and then stop it.
//!
//! Each shard has copies on different members and one leader. A write is acknowledged when every copy in sync
//! has it, and there must be enough of those. A copy on a member that is away falls out of sync and is brought
//! up to date later. Data moves copy by copy: the new one is filled from the shard's others before the old one
//! is given up. The store repairs itself: copies of a member that has been dead for a while are made anew
//! elsewhere. It does not protect itself: a drain may fill a disk, and nobody stops the platform from stopping
//! a member that holds the last copy.
//!
//! What is left out: the store's own metadata group (it is always there while any member lives), and
//! elections by terms (a leader that is gone is replaced, after a while, by a copy in sync).

use crate::clients::Clients;
use crate::load::share;
use crate::oracle::{Cause, Margin, Standing};
use crate::platform::{Platform, PlatformSetup, State, Volume};
use crate::rng::Rng;
use crate::trace::Trace;
use crate::world::{About, Blow, Call, Effect, Mishap, World};
use plimsoll_core::observation::SystemReport;
use plimsoll_wire::journal::{PlatformVerb, SystemVerb, Verb};
use std::sync::Arc;

mod calls;
mod flow;
mod loss;
mod moves;
mod open;
mod report;

/// How a sharded store is made.
#[derive(Clone, Debug)]
pub struct ShardedSetup {
    /// Where it runs.
    pub platform: PlatformSetup,
    /// How many shards.
    pub shards: usize,
    /// How many copies of each.
    pub copies: usize,
    /// How many copies in sync a write needs.
    pub min_ack: usize,
    /// Bytes of each shard at the start.
    pub shard_bytes: u64,
    /// Bytes by which one write makes a shard grow: most writes replace something.
    pub write_bytes: u64,
    /// Bytes of each member's disk.
    pub disk_bytes: u64,
    /// Bytes a second that one member can give or take.
    pub bytes_per_s: u64,
    /// How many thousandths of a member's capacity moving data takes, at both ends.
    pub move_cost_permille: u64,
    /// How many copies a member takes in at a time.
    pub moves_at_once: usize,
    /// Requests a second that one member can serve.
    pub requests_per_s: u64,
    /// How many thousandths of the requests are writes.
    pub writes_permille: u64,
    /// How many members may come, and how many may give their data away, at the same time.
    pub together: usize,
    /// After how long away a member's copies are made anew elsewhere, in milliseconds.
    pub dead_after_ms: u64,
}

impl Default for ShardedSetup {
    fn default() -> Self {
        Self {
            platform: PlatformSetup { slots: 12, running: 6, ..PlatformSetup::default() },
            shards: 12,
            copies: 3,
            min_ack: 2,
            shard_bytes: 4_000_000_000,
            write_bytes: 100,
            disk_bytes: 100_000_000_000,
            bytes_per_s: 100_000_000,
            move_cost_permille: 150,
            moves_at_once: 2,
            requests_per_s: 1_000,
            writes_permille: 200,
            together: 1,
            dead_after_ms: 300_000,
        }
    }
}

/// Bytes on a disk besides the copies.
const BASE_BYTES: u64 = 1_000_000_000;

/// A sharded store.
#[derive(Debug)]
pub struct Sharded {
    setup: ShardedSetup,
    fingerprint: String,
    platform: Platform,
    /// Never shrinks: a node is known by its place in this list for the whole run.
    nodes: Vec<Node>,
    shards: Vec<Shard>,
    rebalance: Option<Task>,
    epoch: u64,
    now_ms: u64,
    slow_moves: Option<(u64, u64)>,
    slow_node: Option<(usize, u64, u64)>,
    losses: Vec<(usize, u64)>,
    /// Bytes that went from member to member.
    moved_bytes: u64,
    chance: Rng,
    /// Writes a second to each shard, as last served: for the report of growth.
    writes_per_s: u64,
    /// Something may be to be moved.
    restless: bool,
    /// Data is on its way.
    flowing: bool,
    /// A leader is being replaced.
    electing: bool,
}

/// Something that was asked for.
#[derive(Clone, Debug)]
struct Task {
    owner: String,
    cause: Cause,
}

#[derive(Clone, Debug)]
struct Node {
    name: Arc<str>,
    slot: usize,
    mode: Mode,
    /// Its data is gone for good, by whom.
    gone: Option<Cause>,
    /// No longer known to the store.
    forgotten: bool,
    away_since_ms: Option<u64>,
    /// When copies last had to go to it that could not fit, because of nature's losses alone.
    bereft_ms: Option<u64>,
    alive: bool,
    full: bool,
}

#[derive(Clone, Debug)]
enum Mode {
    Serving,
    Cordoned,
    Draining { task: Task, copies: usize },
}

#[derive(Clone, Debug)]
struct Shard {
    name: Arc<str>,
    acknowledged: u64,
    bytes: u64,
    leader: Option<usize>,
    leads_at_ms: Option<u64>,
    copies: Vec<Copy>,
    moving: Option<Move>,
    version: u64,
}

#[derive(Clone, Debug)]
struct Copy {
    node: usize,
    /// Its prefix of the writes.
    holds: u64,
    /// Bytes that it has, while it is being filled.
    filled: Option<u64>,
    /// Who brought it there, and when it was whole.
    cause: Cause,
    arrived_ms: u64,
}

/// What a member holds.
#[derive(Clone, Debug, Default)]
struct Load {
    copies: u64,
    leaders: u64,
    moving: u64,
    bytes: u64,
}

/// A copy on its way; the new one is among the copies already.
#[derive(Clone, Debug)]
struct Move {
    from: Option<usize>,
    to: usize,
    /// A rebalance or a drain, and not a repair.
    wanted: bool,
}

impl Sharded {
    /// A healthy store whose members have been up for a day when the clock stands at `now_ms`.
    #[must_use]
    pub fn new(setup: ShardedSetup, seed: u64, now_ms: u64) -> Self {
        let fingerprint = format!("sim-{seed:016x}");
        let platform = Platform::new(setup.platform.clone(), seed, &fingerprint);
        let mut store = Self {
            fingerprint,
            platform,
            nodes: Vec::new(),
            shards: Vec::new(),
            rebalance: None,
            epoch: 1,
            now_ms,
            slow_moves: None,
            slow_node: None,
            losses: Vec::new(),
            moved_bytes: 0,
            chance: Rng::stream(seed, "shards"),
            writes_per_s: 0,
            restless: false,
            flowing: false,
            electing: false,
            setup,
        };
        for slot in 0..store.setup.platform.running {
            store.join(slot);
        }
        store.refresh();
        let nodes = store.nodes.len().max(1);
        for at in 0..store.setup.shards {
            // Neighbouring slots lie in different domains, so neighbours make a spread.
            let on = (0..store.setup.copies.min(nodes)).map(|copy| Copy {
                node: (at + copy) % nodes,
                holds: 1_000_000,
                filled: None,
                cause: Cause::Nature,
                arrived_ms: 0,
            });
            store.shards.push(Shard {
                name: format!("shard-{at}").into(),
                acknowledged: 1_000_000,
                bytes: store.setup.shard_bytes,
                leader: Some(at % nodes),
                leads_at_ms: None,
                copies: on.collect(),
                moving: None,
                version: 1,
            });
        }
        store
    }

    /// A process that runs with a blank volume becomes a member.
    fn join(&mut self, slot: usize) {
        let name: Arc<str> = format!("n-{:04x}", self.nodes.len() + 1).into();
        if let Some(place) = self.platform.place_mut(slot) {
            place.volume = Some(Volume { member: name.clone(), removed: false });
        }
        self.nodes.push(Node {
            name,
            slot,
            mode: Mode::Serving,
            gone: None,
            forgotten: false,
            away_since_ms: None,
            bereft_ms: None,
            alive: false,
            full: false,
        });
        self.epoch += 1;
    }

    fn is_alive(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(|it| it.alive)
    }

    /// Who is alive: kept, and not worked out each time, because everything asks for it.
    fn refresh(&mut self) {
        for node in &mut self.nodes {
            node.alive = node.gone.is_none()
                && !node.forgotten
                && self.platform.places().get(node.slot).is_some_and(|place| {
                    place.state == State::Running
                        && place.volume.as_ref().is_some_and(|volume| volume.member == node.name)
                });
        }
    }

    fn by_name(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| !node.forgotten && &*node.name == name)
    }

    fn by_slot(&self, slot: usize) -> Option<usize> {
        self.nodes.iter().position(|node| !node.forgotten && node.slot == slot)
    }

    fn is_in_sync(&self, shard: &Shard, copy: &Copy) -> bool {
        copy.filled.is_none()
            && copy.holds >= shard.acknowledged
            && self.is_alive(copy.node)
            && self.nodes.get(copy.node).is_some_and(|node| !node.full)
    }

    fn copies_on(&self, node: usize) -> usize {
        self.shards.iter().flat_map(|shard| &shard.copies).filter(|copy| copy.node == node).count()
    }

    fn leads(&self, node: usize) -> usize {
        self.shards.iter().filter(|shard| shard.leader == Some(node)).count()
    }

    /// What each member holds, in one pass over the shards.
    fn tally(&self) -> Vec<Load> {
        let mut all = vec![Load { bytes: BASE_BYTES, ..Load::default() }; self.nodes.len()];
        for shard in &self.shards {
            for copy in &shard.copies {
                if let Some(load) = all.get_mut(copy.node) {
                    load.copies += 1;
                    load.bytes += copy.filled.unwrap_or(shard.bytes);
                }
            }
            if let Some(load) = shard.leader.and_then(|leader| all.get_mut(leader)) {
                load.leaders += 1;
            }
            let ends = shard.moving.iter().flat_map(|moving| [Some(moving.to), moving.from]).flatten();
            for end in ends {
                if let Some(load) = all.get_mut(end) {
                    load.moving += 1;
                }
            }
        }
        all
    }

    fn subject(&self, verb: &Verb) -> Option<usize> {
        match About::of(verb) {
            About::Place(slot) => self.platform.find(slot),
            About::Member(member) => {
                self.by_name(member).and_then(|at| self.nodes.get(at)).map(|node| node.slot)
            }
            About::Nobody => None,
        }
    }
}

impl World for Sharded {
    fn platform(&self) -> &Platform {
        &self.platform
    }

    fn platform_mut(&mut self) -> &mut Platform {
        &mut self.platform
    }

    fn groups(&self) -> usize {
        self.shards.len()
    }

    fn tick(&mut self, to_ms: u64, asked: u64, clients: &mut Clients, trace: &mut Trace) -> Vec<Mishap> {
        let for_ms = to_ms.saturating_sub(self.now_ms);
        self.now_ms = to_ms;
        if self.platform.tick(to_ms) {
            self.welcome(trace);
        }
        self.refresh();
        self.watch();
        self.elect(trace);
        self.serve(for_ms, asked, clients);
        self.flowing = false;
        if self.restless {
            self.fill(for_ms, trace);
            self.schedule(trace);
        }
        self.overflow()
    }

    fn is_calm(&self) -> bool {
        !self.flowing && !self.electing
    }

    fn moved_bytes(&self) -> u64 {
        self.moved_bytes
    }

    fn capacity(&self) -> u64 {
        let alive = (0..self.nodes.len()).filter(|node| self.is_alive(*node));
        alive.map(|node| self.node_capacity(node)).sum()
    }

    fn act(&mut self, call: &Call<'_>, trace: &mut Trace) -> Effect {
        let task = Task { owner: call.owner.to_owned(), cause: Cause::Call(call.number) };
        let effect = match call.verb {
            Verb::Platform(PlatformVerb::Start { slot, .. }) => self.start(slot, call.now_ms),
            Verb::Platform(PlatformVerb::Stop { slot, .. }) => self.stop(slot, call.number),
            Verb::System(SystemVerb::Cordon { member }) => self.set_mode(member, Mode::Cordoned),
            Verb::System(SystemVerb::Uncordon { member }) => self.cancel_drain(member, Mode::Serving),
            Verb::System(SystemVerb::Drain { member }) => self.drain(member, task),
            Verb::System(SystemVerb::CancelDrain { member }) => self.cancel_drain(member, Mode::Cordoned),
            Verb::System(SystemVerb::MoveLeader { group, from, to }) => {
                self.move_leaders(group, from, to.as_deref())
            }
            Verb::System(SystemVerb::Barrier) => Effect::applied(20, false),
            Verb::System(SystemVerb::Rebalance) => {
                let changed = self.rebalance.is_none();
                self.rebalance.get_or_insert(task);
                self.restless = true;
                Effect::applied(60, changed)
            }
            Verb::System(SystemVerb::PayDebt { member, .. }) => {
                Effect::applied(200, self.platform.set_aside(member))
            }
            Verb::System(SystemVerb::Register { .. })
            | Verb::System(SystemVerb::Admit { .. })
            | Verb::System(SystemVerb::Promote { .. }) => {
                Effect::refused("members of a sharded store register themselves")
            }
            Verb::System(SystemVerb::Spread { .. }) => Effect::refused("the store spreads by itself"),
            Verb::System(SystemVerb::Deregister { .. }) => {
                Effect::refused("a member is forgotten when it is empty and stopped")
            }
        };
        if effect.changed {
            self.refresh();
            (self.restless, self.flowing) = (true, true);
            trace.note(call.now_ms, format_args!("the store is told to {}", call.verb.kind()));
        }
        effect
    }

    fn strike(&mut self, now_ms: u64, blow: &Blow, trace: &mut Trace) {
        (self.restless, self.flowing) = (true, true);
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
        let floor = (self.setup.copies - self.setup.min_ack.min(self.setup.copies)) as i64;
        let margin = |shard: &Shard| {
            let live = shard.copies.iter().filter(|copy| self.is_in_sync(shard, copy)).count();
            let whole = shard.copies.iter().filter(|copy| {
                let remains = self.nodes.get(copy.node).is_some_and(|node| node.gone.is_none());
                remains && copy.filled.is_none() && copy.holds >= shard.acknowledged
            });
            let (live, whole) = (live as i64 - self.setup.min_ack as i64, whole.count() as i64 - 1);
            // Only a copy that holds everything can lead.
            Margin { live, whole, sure: 0, floor }
        };
        self.shards.iter().map(margin).collect()
    }

    fn standing(&self, verb: &Verb) -> Standing {
        let slot = self.subject(verb);
        let node = slot
            .and_then(|slot| self.by_slot(slot))
            .filter(|at| self.nodes.get(*at).is_some_and(|node| node.gone.is_none()));
        let mut holds = Vec::new();
        if node.is_some_and(|node| self.copies_on(node) > 0) {
            holds.push("copies");
        }
        if node.is_some_and(|node| self.leads(node) > 0) {
            holds.push("leadership");
        }
        let volume = slot.and_then(|slot| self.platform.places().get(slot)?.volume.as_ref());
        Standing {
            size: self.platform.size(),
            open: self.open(verb, slot),
            subject: slot.map(|slot| self.platform.name(slot)),
            holds,
            leads: false,
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
