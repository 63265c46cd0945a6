//! A driver under test with the members that it is about: what every driver's tests do with theirs.

use crate::process::wait_until;
use plimsoll::actuate::Permit;
use plimsoll::systems::System;
use plimsoll_core::observation::{PlatformReport, SystemReport};
use plimsoll_wire::journal::{Outcome, SystemVerb};
use std::time::Duration;

/// How long a verb may take on a busy machine.
const VERB: Duration = Duration::from_secs(90);

/// A driver and the place where its members run.
#[expect(async_fn_in_trait, reason = "awaited in the test that calls it, and nowhere else")]
pub trait Driven {
    /// The driver.
    fn driver(&self) -> &dyn System;

    /// What the platform would report.
    ///
    /// # Errors
    /// When the members cannot be listed.
    fn platform(&self) -> anyhow::Result<PlatformReport>;

    /// How long a report may take to be as wanted.
    fn patience(&self) -> Duration;

    /// Reads the system.
    ///
    /// # Errors
    /// When the members cannot be listed.
    async fn observe(&self) -> anyhow::Result<SystemReport> {
        Ok(self.driver().observe(&self.platform()?).await)
    }

    /// Observes until a report is as wanted.
    ///
    /// # Errors
    /// When none is in time.
    async fn observe_until(
        &self,
        what: &str,
        wanted: impl Fn(&SystemReport) -> bool,
    ) -> anyhow::Result<SystemReport> {
        wait_until(what, self.patience(), async || {
            let report = self.observe().await?;
            anyhow::ensure!(wanted(&report), "{report:#?}");
            Ok(report)
        })
        .await
    }

    /// Gives the driver a verb, once.
    ///
    /// # Errors
    /// When the members cannot be listed.
    async fn act(&self, verb: SystemVerb) -> anyhow::Result<Outcome> {
        let permit = Permit {
            target: "test/driven".into(),
            plan: "plan-1".into(),
            intent: "intent-1".into(),
            epoch: 1,
            deadline: VERB,
            membership: None,
        };
        Ok(self.driver().act(&permit, &verb, &self.platform()?).await)
    }

    /// Gives the driver a verb that is carried out.
    ///
    /// # Errors
    /// When it is not.
    async fn applied(&self, verb: SystemVerb) -> anyhow::Result<()> {
        match self.act(verb.clone()).await? {
            Outcome::Applied => Ok(()),
            Outcome::Refused { message } | Outcome::Unknown { message } => {
                anyhow::bail!("{}: {message}", verb.kind())
            }
        }
    }

    /// Gives the driver a verb that is refused, and returns the reason.
    ///
    /// # Errors
    /// When it is not refused.
    async fn refused(&self, verb: SystemVerb) -> anyhow::Result<String> {
        match self.act(verb.clone()).await? {
            Outcome::Refused { message } => Ok(message),
            other @ (Outcome::Applied | Outcome::Unknown { .. }) => {
                anyhow::bail!("{} was not refused: {other:?}", verb.kind())
            }
        }
    }
}
