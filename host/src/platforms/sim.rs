//! The built-in simulator as a platform: a world of its own for each target, in real time. It is platform,
//! system and source of signals in one, for trying policies and rules without anything installed.
//!
//! Everything in a world follows from its seed, the time, and what was done to it; so a world is kept as the list
//! of what was done ([`chronicle`]), and a daemon that is started again finds the one that it left, in which time
//! has gone on.

mod chronicle;

use crate::actuate::Licence;
use chronicle::{Call, Chronicle};
use plimsoll_core::observation::Observation;
use plimsoll_sim::faults::FaultSetup;
use plimsoll_sim::load::{Load, Shape};
use plimsoll_sim::platform::PlatformSetup;
use plimsoll_sim::quorum::QuorumSetup;
use plimsoll_sim::sharded::ShardedSetup;
use plimsoll_sim::sim::{Answer, ORIGIN_MS, Setup, Sim, WorldSetup};
use plimsoll_wire::journal::{Outcome, Verb};
use plimsoll_wire::snapshot::Now;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
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

/// Which world a target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Voters and learners.
    Quorum,
    /// Shards with copies.
    Sharded,
}

impl Kind {
    /// The name of the profile of such a world.
    #[must_use]
    pub fn system(self) -> &'static str {
        match self {
            Self::Quorum => "sim-quorum",
            Self::Sharded => "sim-sharded",
        }
    }
}

/// One world.
#[derive(Debug)]
pub struct Playground {
    world: Arc<Mutex<World>>,
    /// When it was taken up, and where its clock stood then.
    began: Now,
    stood_ms: u64,
}

#[derive(Debug)]
struct World {
    sim: Sim,
    chronicle: Chronicle,
}

impl Playground {
    /// The world of a target, as it was left, or a new one in which everything follows from the seed and the time
    /// since `now`. Blocking: it reads a file, and lives through what is in it.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds something else.
    pub fn open(kind: Kind, seed: u64, now: &Now, file: &Path) -> io::Result<Self> {
        let chronicle = Chronicle::open(file, kind.system(), seed, now.wall_ms)?;
        let mut sim = new_world(kind, seed);
        for call in chronicle.calls() {
            sim.advance(ORIGIN_MS + call.at_ms);
            sim.act(&call.verb, &call.owner);
        }
        let last_ms = chronicle.calls().last().map_or(0, |call| call.at_ms);
        let age_ms = u64::try_from(now.wall_ms.saturating_sub(chronicle.began_wall_ms())).unwrap_or(0);
        // A wall clock that was set back stops the world for a moment and does not turn it back.
        let stood_ms = age_ms.clamp(last_ms, last_ms.saturating_add(LONGEST_ABSENCE_MS));
        sim.advance(ORIGIN_MS + stood_ms);
        let world = Arc::new(Mutex::new(World { sim, chronicle }));
        Ok(Self { world, began: now.clone(), stood_ms })
    }

    /// Everything there is to read, at this moment.
    pub fn observe(&self, now: &Now, direct: bool) -> Observation {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let passed_ms = now.mono_ms.saturating_sub(self.began.mono_ms);
        world.sim.advance(ORIGIN_MS + self.stood_ms + passed_ms);
        let mut seen = world.sim.observe(direct);
        // The world has a calendar of its own; what is told is told in ours.
        let shift_ms = now.wall_ms - seen.at.wall_ms;
        for signal in seen.signals.values_mut() {
            signal.samples.iter_mut().for_each(|sample| sample.at_ms += shift_ms);
        }
        seen.at = now.clone();
        seen
    }

    /// Carries one verb out; its answer takes as long as the world says.
    pub async fn act(&self, licence: &Licence, verb: &Verb) -> Outcome {
        let (world, verb, owner) = (self.world.clone(), verb.clone(), format!("plan/{}", licence.plan));
        let acted = tokio::task::spawn_blocking(move || {
            world.lock().unwrap_or_else(PoisonError::into_inner).act(verb, owner)
        });
        let answer = match acted.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                return Outcome::Refused { message: format!("not done: the world cannot be kept: {error}") };
            }
            Err(error) => return Outcome::Unknown { message: format!("the simulator ended: {error}") },
        };
        let took = Duration::from_millis(answer.took_ms);
        if took > licence.deadline {
            tokio::time::sleep(licence.deadline).await;
            return Outcome::Unknown { message: "no answer within the deadline".to_owned() };
        }
        tokio::time::sleep(took).await;
        answer.outcome
    }
}

impl World {
    /// What is done is durable first, as in a real system that has answered.
    fn act(&mut self, verb: Verb, owner: String) -> io::Result<Answer> {
        let at_ms = self.sim.now_ms() - ORIGIN_MS;
        self.chronicle.add(Call { at_ms, owner: owner.clone(), verb: verb.clone() })?;
        Ok(self.sim.act(&verb, &owner))
    }
}

fn new_world(kind: Kind, seed: u64) -> Sim {
    let (world, low, high) = match kind {
        Kind::Quorum => {
            let mut setup = QuorumSetup::default();
            setup.bytes_per_s *= HASTE;
            hasten(&mut setup.platform);
            (WorldSetup::Quorum(setup), 500, 3_500)
        }
        Kind::Sharded => {
            let mut setup = ShardedSetup::default();
            setup.bytes_per_s *= HASTE;
            hasten(&mut setup.platform);
            (WorldSetup::Sharded(setup), 1_000, 6_000)
        }
    };
    let load = Load::new(Shape::Daily { low, high, period_ms: DAY_MS });
    let setup =
        Setup { seed, world, load, faults: FaultSetup::None, sample_ms: SAMPLE_MS, window_ms: WINDOW_MS };
    Sim::new(setup)
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

    fn slots(seen: &Observation) -> usize {
        seen.platform.slots.value().map_or(0, Vec::len)
    }

    #[test]
    fn tells_its_world_in_our_time() {
        let folder = tempfile::tempdir().unwrap();
        let playground =
            Playground::open(Kind::Quorum, 1, &at(5_000), &folder.path().join("a.json")).unwrap();
        let seen = playground.observe(&at(65_000), false);
        assert_eq!(seen.at, at(65_000));
        let newest = seen.signals["demand"].samples.last().map(|sample| sample.at_ms);
        assert!(newest.is_some_and(|newest| at(65_000).wall_ms - newest <= 10_000), "{newest:?}");
        assert_eq!(slots(&seen), 3);
    }

    #[test]
    fn a_world_goes_on_where_it_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        let open = |now: &Now| Playground::open(Kind::Sharded, 7, now, &file).unwrap();
        let playground = open(&at(0));
        let before = playground.observe(&at(60_000), true);
        let slot = before.platform.vacant.value().unwrap()[0].slot.clone();
        let verb = Verb::Platform(plimsoll_wire::journal::PlatformVerb::Start {
            slot,
            size_after: 4,
            join: serde_json::Value::Null,
        });
        let answer = playground.world.lock().unwrap().act(verb, "plan/p1".to_owned()).unwrap();
        assert_eq!(answer.outcome, Outcome::Applied);
        let size = slots(&before) + 1;
        assert_eq!(slots(&playground.observe(&at(120_000), true)), size);
        drop(playground);
        // Another boot: the boot clock is behind, the wall clock is not.
        let later = Now { mono_ms: 10, wall_ms: WALL_MS + 600_000, boot: "c".into() };
        let seen = open(&later).observe(&later, true);
        assert_eq!(slots(&seen), size);
        assert_eq!(seen.system.fingerprint.value(), before.system.fingerprint.value());
    }

    #[test]
    fn another_seed_is_another_world() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        let fingerprint = |seed| {
            let playground = Playground::open(Kind::Quorum, seed, &at(0), &file).unwrap();
            playground.observe(&at(1), true).system.fingerprint.value().cloned()
        };
        let first = fingerprint(1);
        assert_ne!(fingerprint(2), first);
        assert_eq!(fingerprint(1), first);
    }
}
