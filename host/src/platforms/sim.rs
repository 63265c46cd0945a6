//! The built-in simulator as a platform: a world of its own for each target, in real time. It is platform,
//! system and source of signals in one, for trying policies and rules without anything installed.
//!
//! Everything in a world follows from its seed, the time, and the calls made to it. So a world is stored as the list of
//! these calls ([`chronicle`]), and a daemon that restarts finds the world that it left, in which time has gone on.

mod chronicle;

use super::{Kind, Opening, Platform, Settings, Source};
use crate::actuate::{Pending, Permit};
use crate::machine::Clock;
use crate::yaml::problem::Sink;
use crate::yaml::raw::{Map, Scalar, raw};
use chronicle::{Call, Chronicle};
use plimsoll_core::observation::{Observation, PlatformReport, SystemReport};
use plimsoll_core::profile;
use plimsoll_sim::faults::FaultSetup;
use plimsoll_sim::load::{Load, Shape};
use plimsoll_sim::platform::PlatformSetup;
use plimsoll_sim::quorum::QuorumSetup;
use plimsoll_sim::sharded::ShardedSetup;
use plimsoll_sim::shards::ShardsSetup;
use plimsoll_sim::sim::{Answer, ORIGIN_MS, Setup, WorldSetup};
use plimsoll_wire::journal::{Outcome, PlatformVerb, Verb};
use plimsoll_wire::snapshot::{Now, Signal};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much faster than elsewhere a playground lives: a day is an hour, so that a person sees it go up and down, and
/// what takes minutes to boot or to copy takes seconds.
const HASTE: u64 = 24;
/// A day of the playground.
const DAY_MS: u64 = 24 * 60 * 60_000 / HASTE;
/// How often its signals are sampled.
const SAMPLE_MS: u64 = 5_000;
/// How much of them is kept.
const WINDOW_MS: u64 = 10 * 60_000;
/// The longest time without a daemon that passes in a world too: a few of its days, and a moment to catch up with.
const LONGEST_ABSENCE_MS: u64 = 6 * 60 * 60_000;

/// The word for it in documents.
pub(crate) const WORD: &str = "sim";
/// How long a verb may take: no world answers later than this.
pub(crate) const ACT_DEADLINE: Duration = Duration::from_secs(60);

/// The built-in simulator.
pub(super) static KIND: Kind = Kind {
    word: WORD,
    refers: "Sim",
    about: "The built-in simulator: a world of its own for each target.",
    source: Source::File { example: "{kind: sim, seed: 1}", keys: RawSim::KEYS, read },
    part: profile::SIMULATED,
    is_own: true,
    has_claims: false,
    unfenced: Some("a world on this machine's disk, which no other daemon sees"),
    twins: "keep one, or name another platform",
};

raw! {
    struct RawSim {
        seed: Scalar = "seed",
    }
}

/// What the daemon's file says of a simulated platform.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SimSettings {
    /// Everything in the world follows from it.
    seed: u64,
}

fn read(map: &Map<'_>, _: &Path, sink: &mut Sink) -> Arc<dyn Settings> {
    let raw = RawSim::pick(map, sink);
    Arc::new(SimSettings { seed: raw.seed.get().map_or(1, |seed| seed.whole(0..=u64::MAX, sink)) })
}

impl Settings for SimSettings {
    fn open(&self, opening: &Opening<'_>) -> anyhow::Result<Box<dyn Platform>> {
        let file = format!("{}.{}.json", opening.namespace, opening.target);
        let file = opening.state_dir.join(WORD).join(file);
        Ok(Box::new(Sim(World::open(opening.system, self.seed, opening.clock.clone(), &file)?)))
    }

    fn members_of(&self, target: &str) -> Vec<String> {
        vec![target.to_owned()]
    }
}

/// A simulated platform: one world.
#[derive(Debug)]
pub(crate) struct Sim(World);

impl Sim {
    /// The world, for the system that is in it too.
    pub(crate) fn world(&self) -> World {
        self.0.clone()
    }
}

impl Platform for Sim {
    fn observe<'a>(&'a self, _: &'a str, direct: bool) -> Pending<'a, PlatformReport> {
        Box::pin(async move { self.0.read(&self.0.clock.now(), direct) })
    }

    fn signals(&self) -> BTreeMap<String, Signal> {
        self.0.state().seen.signals.clone()
    }

    fn stamp(&self, _: u64) -> Pending<'_, Result<(), String>> {
        // A world of this machine's own: nobody else writes there.
        Box::pin(async { Ok(()) })
    }

    fn verb_deadline(&self, _: &PlatformVerb) -> Duration {
        ACT_DEADLINE
    }

    fn act<'a>(&'a self, permit: &'a Permit, verb: &'a PlatformVerb) -> Pending<'a, Outcome> {
        Box::pin(self.0.act(permit, Verb::Platform(verb.clone())))
    }
}

/// One world, which the platform and the system share.
#[derive(Clone, Debug)]
pub(crate) struct World {
    state: Arc<Mutex<State>>,
    clock: Clock,
    /// When it was taken up, and where its clock stood then.
    began: Now,
    stood_ms: u64,
}

#[derive(Debug)]
struct State {
    sim: plimsoll_sim::sim::Sim,
    chronicle: Chronicle,
    /// What was seen last: platform, system and signals of one moment.
    seen: Observation,
}

impl World {
    /// The world of a target, as it was left, or a new one in which everything follows from the seed and the time
    /// since now. Blocking: it reads a file, and lives through what is in it.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds something else.
    fn open(system: &str, seed: u64, clock: Clock, file: &Path) -> io::Result<Self> {
        let now = clock.now();
        Self::open_at(system, seed, clock, &now, file)
    }

    fn open_at(system: &str, seed: u64, clock: Clock, now: &Now, file: &Path) -> io::Result<Self> {
        let mut sim = new_world(system, seed)?;
        let chronicle = Chronicle::open(file, system, seed, now.wall_ms)?;
        for call in chronicle.calls() {
            sim.advance(ORIGIN_MS + call.at_ms);
            sim.act(&call.verb, &call.owner);
        }
        let last_ms = chronicle.calls().last().map_or(0, |call| call.at_ms);
        let age_ms = u64::try_from(now.wall_ms.saturating_sub(chronicle.began_wall_ms())).unwrap_or(0);
        // A wall clock that was set back stops the world for a moment and does not turn it back.
        let stood_ms = age_ms.clamp(last_ms, last_ms.saturating_add(LONGEST_ABSENCE_MS));
        sim.advance(ORIGIN_MS + stood_ms);
        let seen = sim.observe(false);
        let state = Arc::new(Mutex::new(State { sim, chronicle, seen }));
        Ok(Self { state, clock, began: now.clone(), stood_ms })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the whole world at this moment, and reports the platform's part of it.
    fn read(&self, now: &Now, direct: bool) -> PlatformReport {
        let mut state = self.state();
        let passed_ms = now.mono_ms.saturating_sub(self.began.mono_ms);
        state.sim.advance(ORIGIN_MS + self.stood_ms + passed_ms);
        let mut seen = state.sim.observe(direct);
        // The world has a calendar of its own; the report has ours.
        let shift_ms = now.wall_ms - seen.at.wall_ms;
        for signal in seen.signals.values_mut() {
            signal.samples.iter_mut().for_each(|sample| sample.at_ms += shift_ms);
        }
        let platform = seen.platform.clone();
        state.seen = seen;
        platform
    }

    /// The system's part of the last read.
    pub(crate) fn system(&self) -> SystemReport {
        self.state().seen.system.clone()
    }

    /// Carries one verb out; its answer takes as long as the world says.
    pub(crate) async fn act(&self, permit: &Permit, verb: Verb) -> Outcome {
        let (world, owner) = (self.clone(), format!("plan/{}", permit.plan));
        let acted = tokio::task::spawn_blocking(move || world.state().act(verb, owner));
        let answer = match acted.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                return Outcome::Refused { message: format!("not done: the world cannot be kept: {error}") };
            }
            Err(error) => return Outcome::Unknown { message: format!("the simulator ended: {error}") },
        };
        let took = Duration::from_millis(answer.took_ms);
        if took > permit.deadline {
            tokio::time::sleep(permit.deadline).await;
            return Outcome::Unknown { message: "no answer within the deadline".to_owned() };
        }
        tokio::time::sleep(took).await;
        answer.outcome
    }
}

impl State {
    /// What is done is durable first, as in a real system that has answered.
    fn act(&mut self, verb: Verb, owner: String) -> io::Result<Answer> {
        let at_ms = self.sim.now_ms() - ORIGIN_MS;
        self.chronicle.add(Call { at_ms, owner: owner.clone(), verb: verb.clone() })?;
        Ok(self.sim.act(&verb, &owner))
    }
}

/// A new world for a kind of system.
fn new_world(system: &str, seed: u64) -> io::Result<plimsoll_sim::sim::Sim> {
    let (world, low, high) = match system {
        "sim-quorum" => {
            let mut setup = QuorumSetup::default();
            setup.bytes_per_s *= HASTE;
            hasten(&mut setup.platform);
            (WorldSetup::Quorum(setup), 500, 3_500)
        }
        "sim-sharded" | "sim-together" => {
            let together = profile::sim_together().together;
            let together = if system == "sim-together" { together.join.max(together.drain) } else { 1 };
            let together = usize::try_from(together).unwrap_or(1);
            let mut setup = ShardedSetup { together, ..ShardedSetup::default() };
            setup.bytes_per_s *= HASTE;
            hasten(&mut setup.platform);
            (WorldSetup::Sharded(setup), 1_000, 6_000)
        }
        "sim-shards" => {
            let mut setup = ShardsSetup::default();
            setup.bytes_per_s *= HASTE;
            hasten(&mut setup.platform);
            (WorldSetup::Shards(setup), 1_000, 6_000)
        }
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no world for {system}"))),
    };
    let load = Load::new(Shape::Daily { low, high, period_ms: DAY_MS });
    let setup =
        Setup { seed, world, load, faults: FaultSetup::None, sample_ms: SAMPLE_MS, window_ms: WINDOW_MS };
    Ok(plimsoll_sim::sim::Sim::new(setup))
}

fn hasten(platform: &mut PlatformSetup) {
    platform.boot_ms /= HASTE;
    platform.boot_spread_ms /= HASTE;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end here")]
mod tests {
    use super::*;

    const WALL_MS: i64 = 1_000_000_000_000;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: WALL_MS + i64::try_from(mono_ms).unwrap(), boot: "b".into() }
    }

    fn open(system: &str, seed: u64, now: &Now, file: &Path) -> World {
        World::open_at(system, seed, Clock::new().unwrap(), now, file).unwrap()
    }

    fn slots(seen: &PlatformReport) -> usize {
        seen.slots.value().map_or(0, Vec::len)
    }

    #[test]
    fn tells_its_world_in_our_time() {
        let folder = tempfile::tempdir().unwrap();
        let world = open("sim-quorum", 1, &at(5_000), &folder.path().join("a.json"));
        let seen = world.read(&at(65_000), false);
        let signals = Sim(world).signals();
        let newest = signals["demand"].samples.last().map(|sample| sample.at_ms);
        assert!(newest.is_some_and(|newest| at(65_000).wall_ms - newest <= 10_000), "{newest:?}");
        assert_eq!(slots(&seen), 3);
    }

    #[test]
    fn a_world_goes_on_where_it_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        let world = open("sim-sharded", 7, &at(0), &file);
        let before = world.read(&at(60_000), true);
        let fingerprint = world.system().fingerprint;
        let slot = before.vacant.value().unwrap()[0].slot.clone();
        let verb = Verb::Platform(PlatformVerb::Start { slot, size_after: 4, join: None });
        let answer = world.state().act(verb, "plan/p1".to_owned()).unwrap();
        assert_eq!(answer.outcome, Outcome::Applied);
        let size = slots(&before) + 1;
        assert_eq!(slots(&world.read(&at(120_000), true)), size);
        drop(world);
        // Another boot: the boot clock is behind, the wall clock is not.
        let later = Now { mono_ms: 10, wall_ms: WALL_MS + 600_000, boot: "c".into() };
        let world = open("sim-sharded", 7, &later, &file);
        assert_eq!(slots(&world.read(&later, true)), size);
        assert_eq!(world.system().fingerprint.value(), fingerprint.value());
    }

    #[test]
    fn another_seed_is_another_world() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        let fingerprint = |seed| {
            let world = open("sim-quorum", seed, &at(0), &file);
            world.read(&at(1), true);
            world.system().fingerprint.value().cloned()
        };
        let first = fingerprint(1);
        assert_ne!(fingerprint(2), first);
        assert_eq!(fingerprint(1), first);
    }
}
