//! The data system of a simulated world. The world itself belongs to the platform: `platforms::sim`.

use super::{Kind, Opening, Settings, System};
use crate::actuate::{Pending, Permit};
use crate::platforms::sim::{self, ACT_DEADLINE, World};
use anyhow::Context as _;
use plimsoll_core::observation::{PlatformReport, SystemReport};
use plimsoll_core::profile;
use plimsoll_wire::journal::{Outcome, SystemVerb, Verb};
use plimsoll_wire::profile::Profile;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// One group that agrees by majority.
pub(super) static QUORUM: Kind = kind(
    "sim-quorum",
    profile::sim_quorum,
    "Simulated: voters and learners that agree by majority. Nothing is installed or touched.",
);

/// Shards with copies.
pub(super) static SHARDED: Kind = kind(
    "sim-sharded",
    profile::sim_sharded,
    "Simulated: shards with copies on data members. Nothing is installed or touched.",
);

/// Shards with copies, on members of which several may change at the same time.
pub(super) static TOGETHER: Kind = kind(
    "sim-together",
    profile::sim_together,
    "Simulated: like `sim-sharded`, and three members may come or go at the same time.",
);

/// Shards of a primary and a replica, among which slots are divided.
pub(super) static SHARDS: Kind = kind(
    "sim-shards",
    profile::sim_shards,
    "Simulated: slots divided among shards of a primary and a replica, like a Redis Cluster. Nothing is installed or touched.",
);

const fn kind(word: &'static str, profile: fn() -> Profile, about: &'static str) -> Kind {
    Kind {
        word,
        about,
        profile,
        only_on: Some(sim::WORD),
        reach: None,
        keys: &[],
        read: |_, _| Arc::new(Simulated),
        data: None,
    }
}

/// A simulated system has no settings of its own.
#[derive(Debug, PartialEq)]
struct Simulated;

impl Settings for Simulated {
    fn open(&self, opening: &Opening<'_>) -> anyhow::Result<Box<dyn System>> {
        let platform: &dyn Any = opening.platform;
        let platform = platform.downcast_ref::<sim::Sim>().context("the platform is not simulated")?;
        Ok(Box::new(Inside(platform.world())))
    }
}

/// The system in a world.
#[derive(Debug)]
struct Inside(World);

impl System for Inside {
    fn observe<'a>(&'a self, _: &'a PlatformReport) -> Pending<'a, SystemReport> {
        Box::pin(async { self.0.system() })
    }

    fn verb_deadline(&self) -> Duration {
        ACT_DEADLINE
    }

    fn act<'a>(
        &'a self,
        permit: &'a Permit,
        verb: &'a SystemVerb,
        _: &'a PlatformReport,
    ) -> Pending<'a, Outcome> {
        Box::pin(self.0.act(permit, Verb::System(verb.clone())))
    }
}
