//! Where members run: what is there, and how a member is started and stopped.

pub mod exec;
pub mod kube;
pub mod sim;

use crate::actuate::Licence;
use plimsoll_core::observation::PlatformReport;
use plimsoll_wire::journal::{Outcome, PlatformVerb};

/// A platform, chosen by the daemon's file.
#[derive(Debug)]
pub enum Platform {
    /// The owner's own commands.
    Exec(exec::Exec),
    /// The pods of a StatefulSet.
    Kube(kube::Kube),
}

impl Platform {
    /// What the platform says about `target` (`namespace/name`), past every cache where `direct`. What could not be read is
    /// a gap.
    pub async fn observe(&self, target: &str, direct: bool) -> PlatformReport {
        match self {
            Self::Exec(exec) if direct => exec.observe(target).await,
            Self::Exec(exec) => exec.glance(target).await,
            Self::Kube(kube) if direct => kube.observe().await,
            Self::Kube(kube) => kube.glance().await,
        }
    }

    /// Puts our epoch on what stands for the target: whoever has an earlier one can no longer change it.
    ///
    /// # Errors
    /// Why it is not known to be there, in words.
    pub async fn stamp(&self, epoch: u64) -> Result<(), String> {
        match self {
            // The lock of each target's guard keeps others away, on this machine; there is no lease beside it.
            Self::Exec(_) => Ok(()),
            Self::Kube(kube) => kube.take_over(epoch).await,
        }
    }

    /// Carries out one verb, once, within the licence's deadline.
    pub async fn act(&self, licence: &Licence, verb: &PlatformVerb) -> Outcome {
        match self {
            Self::Exec(exec) => exec.act(licence, verb).await,
            Self::Kube(kube) => kube.act(licence, verb).await,
        }
    }
}
