//! One run: a world, its load, its faults, its clients and the oracle, behind the calls that a daemon makes.

use crate::clients::Clients;
use crate::faults::{Fate, FaultSetup, Faults};
use crate::load::Load;
use crate::oracle::{Cause, Oracle};
use crate::platform::State;
use crate::quorum::{Quorum, QuorumSetup};
use crate::sharded::{Sharded, ShardedSetup};
use crate::shards::{Shards, ShardsSetup};
use crate::trace::Trace;
use crate::world::{Blow, Call, Effect, Mishap, World};
use plimsoll_core::observation::Observation;
use plimsoll_wire::journal::{Outcome, Verb};
use plimsoll_wire::snapshot::{Now, Sample, Signal, SignalState};
use std::collections::{BTreeMap, VecDeque};

const DEMAND: &str = "demand";
const UTILIZATION: &str = "utilization";
/// The signals that a simulated world has by itself.
pub const SIGNALS: [&str; 2] = [DEMAND, UTILIZATION];

/// The world's clock at the start of a run: everything has been up for a day.
pub const ORIGIN_MS: u64 = 86_400_000;

/// What the wall clock shows when the world's clock shows 0: 2026-01-01, 00:00 UTC.
const EPOCH_MS: i64 = 1_767_225_600_000;

/// The longest stride when nothing is on its way, and when something is.
const CALM_MS: u64 = 5_000;
const BUSY_MS: u64 = 1_000;

/// How a run is made. The same one gives the same run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Everything that is drawn is drawn from it.
    pub seed: u64,
    /// The kind of world.
    pub world: WorldSetup,
    /// What is asked of it.
    pub load: Load,
    /// What breaks.
    pub faults: FaultSetup,
    /// How often signals are sampled, in milliseconds.
    pub sample_ms: u64,
    /// How much of them is kept, in milliseconds.
    pub window_ms: u64,
}

/// The kind of world.
#[derive(Clone, Debug)]
pub enum WorldSetup {
    /// Voters and learners.
    Quorum(QuorumSetup),
    /// Shards with copies, which drain and move.
    Sharded(ShardedSetup),
    /// Slots that primaries with replicas own.
    Shards(ShardsSetup),
}

/// One run.
#[derive(Debug)]
pub struct Sim {
    world: Box<dyn World>,
    load: Load,
    faults: Faults,
    clients: Clients,
    oracle: Oracle,
    trace: Trace,
    now_ms: u64,
    calls: u64,
    sample_ms: u64,
    window_ms: u64,
    samples: VecDeque<Point>,
}

/// One sample of all signals.
#[derive(Clone, Copy, Debug)]
struct Point {
    at_ms: u64,
    demand_milli: u64,
    capacity_milli: u64,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the caller is told.
    pub outcome: Outcome,
    /// So many milliseconds after the call.
    pub took_ms: u64,
}

/// A run in figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Acknowledged writes that were lost because of us.
    pub lost_by_us: u64,
    /// Acknowledged writes that were lost without us.
    pub lost_by_nature: u64,
    /// Milliseconds in which less than 99 % of the requests were served.
    pub violated_ms: u64,
    /// Calls that were made.
    pub calls: u64,
    /// What went wrong because of us, counted by kind.
    pub ours: BTreeMap<&'static str, u64>,
    /// What went wrong without us, counted by kind.
    pub nature: BTreeMap<&'static str, u64>,
}

impl Sim {
    /// A run at its start.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let world: Box<dyn World> = match setup.world {
            WorldSetup::Quorum(quorum) => Box::new(Quorum::new(quorum, setup.seed, ORIGIN_MS)),
            WorldSetup::Sharded(sharded) => Box::new(Sharded::new(sharded, setup.seed, ORIGIN_MS)),
            WorldSetup::Shards(shards) => Box::new(Shards::new(shards, setup.seed, ORIGIN_MS)),
        };
        let mut sim = Self {
            clients: Clients::new(world.groups()),
            world,
            load: setup.load,
            faults: Faults::new(setup.seed, &setup.faults, ORIGIN_MS),
            oracle: Oracle::default(),
            trace: Trace::default(),
            now_ms: ORIGIN_MS,
            calls: 0,
            sample_ms: setup.sample_ms.max(1),
            window_ms: setup.window_ms,
            samples: VecDeque::new(),
        };
        sim.sample();
        sim
    }

    /// The world's clock, in milliseconds; it starts at [`ORIGIN_MS`].
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The same as a moment on two clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { mono_ms: self.now_ms, wall_ms: wall_ms(self.now_ms), boot: "sim".into() }
    }

    /// Lets time pass. Never goes back.
    pub fn advance(&mut self, to_ms: u64) {
        while self.now_ms < to_ms {
            let stride_ms = if self.world.is_calm() { CALM_MS } else { BUSY_MS };
            // Strides end on a grid, so that samples fall where they should.
            let mut next_ms = ((self.now_ms / stride_ms + 1) * stride_ms).min(to_ms);
            if let Some(blow_ms) = self.faults.next_ms() {
                next_ms = next_ms.min(blow_ms.max(self.now_ms + 1));
            }
            self.stride(next_ms);
        }
    }

    fn stride(&mut self, to_ms: u64) {
        let asked = self.load.milli_per_s(self.now_ms - ORIGIN_MS);
        let mishaps = self.world.tick(to_ms, asked, &mut self.clients, &mut self.trace);
        let sampled = self.now_ms / self.sample_ms;
        self.now_ms = to_ms;
        self.count_losses(Cause::Nature);
        mishaps.into_iter().for_each(|mishap| self.file(mishap));
        if to_ms / self.sample_ms != sampled {
            self.sample();
        }
        while self.faults.next_ms().is_some_and(|at_ms| at_ms <= to_ms) {
            self.strike();
        }
    }

    /// Something went wrong by itself.
    fn file(&mut self, mishap: Mishap) {
        match mishap {
            Mishap::Overflow { slot, cause } => {
                self.trace.note(self.now_ms, format_args!("{slot} is past its disk"));
                self.oracle.overflowed(self.now_ms, &slot, cause);
            }
            Mishap::Shifted { group, cause, before, after } => {
                self.oracle.shifted(self.now_ms, cause, group, &before, &after);
            }
            Mishap::TooFewOwners { left, cause } => {
                self.trace.note(self.now_ms, format_args!("{left} members own data"));
                self.oracle.short_of_owners(self.now_ms, left, cause);
            }
        }
    }

    fn strike(&mut self) {
        let places = self.world.platform().places().iter().enumerate();
        let used: Vec<usize> =
            places.filter(|(_, place)| place.state != State::Vacant).map(|(slot, _)| slot).collect();
        if let Some(blow) = self.faults.blow(self.now_ms, &used) {
            self.suffer(&blow);
        }
    }

    /// Something breaks now: for a story that is told, and not one that is drawn.
    pub fn suffer(&mut self, blow: &Blow) {
        let before = self.world.margins();
        self.world.strike(self.now_ms, blow, &mut self.trace);
        let after = self.world.margins();
        self.oracle.changed(self.now_ms, Cause::Nature, &before, &after);
        self.count_losses(Cause::Nature);
    }

    fn count_losses(&mut self, cause: Cause) {
        for (group, writes) in self.world.take_losses() {
            self.trace.note(self.now_ms, format_args!("{writes} acknowledged writes of {group} lost"));
            self.clients.lost(group, writes);
            self.oracle.lost(self.now_ms, cause, group, writes);
        }
    }

    /// Reads everything there is to read, past every cache where `direct`.
    pub fn observe(&mut self, direct: bool) -> Observation {
        let mut seen = Observation {
            at: self.now(),
            direct,
            platform: self.world.platform().report(),
            system: self.world.system_report(self.now_ms),
            signals: self.signals(),
        };
        self.faults.distort(&mut seen);
        seen
    }

    /// Carries one verb out, for `owner` (`plan/<id>`). The world has changed when this returns; the caller may
    /// know of it only [`Answer::took_ms`] later.
    pub fn act(&mut self, verb: &Verb, owner: &str) -> Answer {
        self.calls += 1;
        let fate = self.faults.fate(self.now_ms);
        let early = match fate {
            Fate::Normal | Fate::Unanswered => None,
            Fate::Conflict => Some(Effect::refused("conflict: the object has been modified")),
            Fate::Refused => Some(Effect::refused("the server is too busy for changes")),
            Fate::Lost => Some(Effect::timed_out("no answer within the deadline")),
        };
        let mut effect = early.unwrap_or_else(|| self.carry_out(verb, owner));
        if fate == Fate::Unanswered {
            effect = Effect::timed_out("no answer within the deadline");
        }
        let kind = verb.kind();
        self.trace.note(
            self.now_ms,
            format_args!("call {} {verb:?} for {owner}: {:?} ({kind})", self.calls, effect.outcome),
        );
        Answer { outcome: effect.outcome, took_ms: effect.took_ms }
    }

    fn carry_out(&mut self, verb: &Verb, owner: &str) -> Effect {
        let standing = self.world.standing(verb);
        let before = self.world.margins();
        let call = Call { now_ms: self.now_ms, number: self.calls, verb, owner };
        let effect = self.world.act(&call, &mut self.trace);
        if effect.changed {
            let cause = Cause::Call(self.calls);
            self.oracle.called(self.now_ms, self.calls, verb, &standing);
            let after = self.world.margins();
            self.oracle.changed(self.now_ms, cause, &before, &after);
            self.count_losses(cause);
        }
        effect
    }

    /// What people do by hand where a group has lost its majority for good: the member in `slot` goes on alone with
    /// what it has. No daemon does this: it is there for the figure of what happens without a guard.
    pub fn recover(&mut self, slot: &str) -> Answer {
        self.calls += 1;
        let before = self.world.margins();
        let effect = self.world.recover(slot, &mut self.trace);
        if effect.changed {
            let cause = Cause::Call(self.calls);
            let after = self.world.margins();
            self.oracle.changed(self.now_ms, cause, &before, &after);
            self.count_losses(cause);
        }
        self.trace
            .note(self.now_ms, format_args!("call {} recover {slot}: {:?}", self.calls, effect.outcome));
        Answer { outcome: effect.outcome, took_ms: effect.took_ms }
    }

    /// Whether the daemon is killed here; to be asked between any two effects of its.
    pub fn kill_now(&mut self) -> bool {
        let killed = self.faults.kill(self.now_ms);
        if killed {
            self.trace.note(self.now_ms, format_args!("the daemon is killed"));
        }
        killed
    }

    /// Kills the daemon before its effect of this number, counted from 1; [`Faults::effects`] says how many
    /// there were.
    pub fn kill_at(&mut self, effect: u64) {
        self.faults.kill_at(effect);
    }

    fn sample(&mut self) {
        let demand_milli = self.load.milli_per_s(self.now_ms - ORIGIN_MS);
        let point = Point { at_ms: self.now_ms, demand_milli, capacity_milli: self.world.capacity() };
        self.samples.push_back(point);
        while self.samples.front().is_some_and(|first| first.at_ms + self.window_ms < self.now_ms) {
            self.samples.pop_front();
        }
    }

    /// `demand`: requests a second, all together. `utilization`: demand as a part of what can be served.
    fn signals(&self) -> BTreeMap<String, Signal> {
        #[expect(clippy::cast_precision_loss, reason = "policies see floats; rates are far below 2^52")]
        let thousandths = |milli: u64| milli as f64 / 1_000.0;
        let part = |point: &Point| point.demand_milli.saturating_mul(1_000) / point.capacity_milli.max(1);
        BTreeMap::from([
            (DEMAND.to_owned(), self.signal(&|point| thousandths(point.demand_milli))),
            (UTILIZATION.to_owned(), self.signal(&|point| thousandths(part(point)))),
        ])
    }

    fn signal(&self, value: &dyn Fn(&Point) -> f64) -> Signal {
        let sample = |point: &Point| Sample { at_ms: wall_ms(point.at_ms), value: value(point) };
        let want = self.window_ms / self.sample_ms + 1;
        let coverage = self.samples.len() as u64 * 1_000 / want.max(1);
        Signal {
            state: SignalState::Ok,
            age_ms: self.samples.back().map(|last| self.now_ms - last.at_ms),
            coverage_permille: Some(u32::try_from(coverage.min(1_000)).unwrap_or(1_000)),
            detail: String::new(),
            optional: false,
            samples: self.samples.iter().map(sample).collect(),
        }
    }

    /// What goes wrong, and whose it is.
    #[must_use]
    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// What the clients remember.
    #[must_use]
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// What breaks.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The truth.
    #[must_use]
    pub fn world(&self) -> &dyn World {
        &*self.world
    }

    /// What happened.
    pub fn trace(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// A digest of everything that happened so far and of what the clients remember.
    #[must_use]
    pub fn digest(&self) -> u64 {
        crate::rng::mix(self.trace.digest() ^ crate::rng::fold(format!("{:?}", self.clients).as_bytes()))
    }

    /// Members in use now.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.world.platform().size()
    }

    /// What is asked now, in requests a second.
    #[must_use]
    pub fn demand_per_s(&self) -> u64 {
        self.load.milli_per_s(self.now_ms - ORIGIN_MS) / 1_000
    }

    /// What can be served now, in requests a second.
    #[must_use]
    pub fn capacity_per_s(&self) -> u64 {
        self.world.capacity() / 1_000
    }

    /// The run so far, in figures.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let count = |findings: &[crate::oracle::Finding]| {
            let mut kinds = BTreeMap::new();
            for finding in findings {
                *kinds.entry(finding.harm.kind()).or_default() += 1;
            }
            kinds
        };
        Summary {
            acknowledged: self.clients.acknowledged_writes(),
            lost_by_us: self.oracle.lost_by_us(),
            lost_by_nature: self.clients.lost_writes() - self.oracle.lost_by_us(),
            violated_ms: self.clients.violated_ms,
            calls: self.calls,
            ours: count(self.oracle.findings()),
            nature: count(self.oracle.misfortunes()),
        }
    }
}

fn wall_ms(now_ms: u64) -> i64 {
    EPOCH_MS + i64::try_from(now_ms).unwrap_or(i64::MAX)
}
