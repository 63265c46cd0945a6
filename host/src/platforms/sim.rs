//! The built-in simulator as a platform: a world of its own for each target, in real time. It is platform,
//! system and source of signals in one, for trying policies and rules without anything installed.

use crate::actuate::Licence;
use plimsoll_core::observation::Observation;
use plimsoll_sim::faults::FaultSetup;
use plimsoll_sim::load::{Load, Shape};
use plimsoll_sim::quorum::QuorumSetup;
use plimsoll_sim::sharded::ShardedSetup;
use plimsoll_sim::sim::{ORIGIN_MS, Setup, Sim, WorldSetup};
use plimsoll_wire::journal::{Outcome, Verb};
use plimsoll_wire::snapshot::Now;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A day of the playground, so that a person sees it go up and down.
const DAY_MS: u64 = 60 * 60_000;
/// How often its signals are sampled.
const SAMPLE_MS: u64 = 5_000;
/// How much of them is kept.
const WINDOW_MS: u64 = 10 * 60_000;

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

/// One world. It begins anew with the daemon, and so does what its journal says of it.
#[derive(Debug)]
pub struct Playground {
    sim: Mutex<Sim>,
    began: Now,
}

impl Playground {
    /// A world in which everything follows from the seed and the time since `now`.
    #[must_use]
    pub fn new(kind: Kind, seed: u64, now: Now) -> Self {
        let (world, low, high) = match kind {
            Kind::Quorum => (WorldSetup::Quorum(QuorumSetup::default()), 500, 3_500),
            Kind::Sharded => (WorldSetup::Sharded(ShardedSetup::default()), 1_000, 6_000),
        };
        let load = Load::new(Shape::Daily { low, high, period_ms: DAY_MS });
        let setup =
            Setup { seed, world, load, faults: FaultSetup::None, sample_ms: SAMPLE_MS, window_ms: WINDOW_MS };
        Self { sim: Mutex::new(Sim::new(setup)), began: now }
    }

    /// Everything there is to read, at this moment.
    pub fn observe(&self, now: &Now, direct: bool) -> Observation {
        let mut sim = self.sim.lock().unwrap_or_else(PoisonError::into_inner);
        sim.advance(ORIGIN_MS + now.mono_ms.saturating_sub(self.began.mono_ms));
        let mut seen = sim.observe(direct);
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
        let answer = {
            let mut sim = self.sim.lock().unwrap_or_else(PoisonError::into_inner);
            sim.act(verb, &format!("plan/{}", licence.plan))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 1_000_000_000_000 + i64::try_from(mono_ms).unwrap(), boot: "b".into() }
    }

    #[test]
    fn tells_its_world_in_our_time() {
        let playground = Playground::new(Kind::Quorum, 1, at(5_000));
        let seen = playground.observe(&at(65_000), false);
        assert_eq!(seen.at, at(65_000));
        let newest = seen.signals["demand"].samples.last().map(|sample| sample.at_ms);
        assert!(newest.is_some_and(|newest| at(65_000).wall_ms - newest <= 10_000), "{newest:?}");
        assert_eq!(seen.platform.slots.value().map(Vec::len), Some(3));
    }
}
