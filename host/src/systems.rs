//! Drivers of data systems: each one observes its system and carries out verbs on it, since what knows how
//! to drain knows how to check.

pub mod etcd;
pub mod postgres;

use crate::actuate::Licence;
use plimsoll_core::observation::{PlatformReport, SystemReport};
use plimsoll_wire::journal::{Outcome, SystemVerb};
use std::time::Duration;

/// The driver of one target's system.
#[derive(Debug)]
pub enum System {
    /// etcd 3.4 and later.
    Etcd(etcd::Etcd),
}

impl System {
    /// Reads the system. Whatever could not be read is a gap in the report, never an error.
    pub async fn observe(&self, platform: &PlatformReport) -> SystemReport {
        match self {
            Self::Etcd(driver) => driver.observe(platform).await,
        }
    }

    /// How long a verb may take.
    #[must_use]
    pub fn verb_deadline(&self) -> Duration {
        match self {
            Self::Etcd(driver) => driver.verb_deadline(),
        }
    }

    /// Carries out one verb, once. It never repeats a call whose outcome is unknown.
    pub async fn act(&self, licence: &Licence, verb: &SystemVerb, platform: &PlatformReport) -> Outcome {
        match self {
            Self::Etcd(driver) => driver.act(licence, verb, platform).await,
        }
    }
}
