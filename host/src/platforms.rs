//! Where members run: what is there, and how a member is started and stopped.

pub mod exec;
pub mod sim;

use crate::actuate::Licence;
use plimsoll_core::observation::PlatformReport;
use plimsoll_wire::journal::{Outcome, Verb};

/// A platform, chosen by the daemon's file.
#[derive(Debug)]
pub enum Platform {
    /// The owner's own commands.
    Exec(exec::Exec),
}

impl Platform {
    /// What the platform says about `target` (`namespace/name`). What could not be read is a gap.
    pub async fn observe(&self, target: &str) -> PlatformReport {
        match self {
            Self::Exec(exec) => exec.observe(target).await,
        }
    }

    /// Carries out one verb, once, within the licence's deadline.
    pub async fn act(&self, licence: &Licence, verb: &Verb) -> Outcome {
        match self {
            Self::Exec(exec) => exec.act(licence, verb).await,
        }
    }
}
