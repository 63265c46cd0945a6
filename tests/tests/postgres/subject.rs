//! The driver with a rig for its platform.

use plimsoll::actuate::Permit;
use plimsoll::systems::System as _;
use plimsoll::systems::connection::Connection;
use plimsoll::systems::postgres::{Postgres, PostgresSettings};
use plimsoll_core::observation::{
    PlatformReport, Reading, SystemGroup, SystemMember, SystemPlacement, SystemReport,
};
use plimsoll_tests::postgres::{PATIENCE, Rig};
use plimsoll_tests::process::wait_until;
use plimsoll_wire::journal::{Outcome, SystemVerb};
use plimsoll_wire::snapshot::{Endpoints, Lifecycle};
use std::time::Duration;

pub(crate) struct Subject {
    pub(crate) rig: Rig,
    pub(crate) driver: Postgres,
}

impl Subject {
    pub(crate) async fn start(members: usize) -> anyhow::Result<Self> {
        Ok(Self::with(Rig::start(members, 5).await?, Connection::default()))
    }

    pub(crate) fn with(rig: Rig, connection: Connection) -> Self {
        // A busy machine takes its time.
        let connection = Connection { deadline: Duration::from_secs(10), ..connection };
        Self { rig, driver: Postgres::new(connection, PostgresSettings::default()) }
    }

    pub(crate) fn platform(&self) -> anyhow::Result<PlatformReport> {
        Ok(self.rig.list()?.report())
    }

    pub(crate) async fn observe(&self) -> anyhow::Result<SystemReport> {
        Ok(self.driver.observe(&self.platform()?).await)
    }

    /// Observes until a report is as wanted.
    pub(crate) async fn observe_until(
        &self,
        what: &str,
        wanted: impl Fn(&SystemReport) -> bool,
    ) -> anyhow::Result<SystemReport> {
        wait_until(what, PATIENCE, async || {
            let report = self.observe().await?;
            anyhow::ensure!(wanted(&report), "{report:#?}");
            Ok(report)
        })
        .await
    }

    pub(crate) async fn act(&self, verb: SystemVerb) -> anyhow::Result<Outcome> {
        let permit = Permit {
            target: "test/postgres".into(),
            plan: "plan-1".into(),
            intent: "intent-1".into(),
            epoch: 1,
            deadline: Duration::from_secs(90),
            membership: None,
        };
        Ok(self.driver.act(&permit, &verb, &self.platform()?).await)
    }

    pub(crate) async fn applied(&self, verb: SystemVerb) -> anyhow::Result<()> {
        match self.act(verb.clone()).await? {
            Outcome::Applied => Ok(()),
            Outcome::Refused { message } | Outcome::Unknown { message } => {
                anyhow::bail!("{}: {message}", verb.kind())
            }
        }
    }

    pub(crate) async fn refused(&self, verb: SystemVerb) -> anyhow::Result<String> {
        match self.act(verb.clone()).await? {
            Outcome::Refused { message } => Ok(message),
            other @ (Outcome::Applied | Outcome::Unknown { .. }) => {
                anyhow::bail!("{} was not refused: {other:?}", verb.kind())
            }
        }
    }

    /// From the slot to a synchronous candidate, as a plan does it.
    pub(crate) async fn grow(&self, slot: &str) -> anyhow::Result<()> {
        self.applied(register(slot)).await?;
        let report = self.observe_until("it is registered", |report| member(report, slot).is_some()).await?;
        let join = report.join.value().expect("told while a member is not started");
        self.rig.add(slot, &serde_json::to_value(join)?)?;
        self.serving(slot).await?;
        self.applied(SystemVerb::Promote { member: slot.into() }).await
    }

    pub(crate) async fn serving(&self, slot: &str) -> anyhow::Result<SystemReport> {
        self.observe_until(&format!("{slot} serves"), |report| {
            member(report, slot).is_some_and(|one| one.lifecycle.value() == Some(&Lifecycle::Serving))
        })
        .await
    }

    /// How many standbys have to confirm, and who may, by the server's own word.
    pub(crate) async fn set(&self, slot: &str) -> anyhow::Result<String> {
        self.rig.ask(slot, "SHOW synchronous_standby_names").await
    }
}

pub(crate) fn register(slot: &str) -> SystemVerb {
    SystemVerb::Register { slot: slot.into(), endpoints: Endpoints::new() }
}

pub(crate) fn move_leader(from: &str, to: &str) -> SystemVerb {
    SystemVerb::MoveLeader { group: "replication".into(), from: from.into(), to: Some(to.into()) }
}

pub(crate) fn member<'a>(report: &'a SystemReport, name: &str) -> Option<&'a SystemMember> {
    report.members.value()?.iter().find(|member| *member.id == *name)
}

pub(crate) fn group(report: &SystemReport) -> Option<&SystemGroup> {
    report.groups.value()?.first()
}

pub(crate) fn placement<'a>(report: &'a SystemReport, name: &str) -> Option<&'a SystemPlacement> {
    group(report)?.placements.value()?.iter().find(|copy| *copy.member == *name)
}

/// The reason of a gap.
pub(crate) fn detail<T: std::fmt::Debug>(told: &Reading<T>) -> String {
    match told {
        Reading::Gap { detail, .. } => detail.clone(),
        Reading::Value { .. } | Reading::NotApplicable => panic!("{told:?} is no gap"),
    }
}
