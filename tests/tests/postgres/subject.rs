//! The driver with a rig for its platform.

use plimsoll::systems::System;
use plimsoll::systems::connection::Connection;
use plimsoll::systems::postgres::{Postgres, PostgresSettings};
use plimsoll_core::observation::{
    PlatformReport, Reading, SystemGroup, SystemMember, SystemPlacement, SystemReport,
};
use plimsoll_tests::driven::Driven;
use plimsoll_tests::postgres::{PATIENCE, Rig};
use plimsoll_wire::journal::SystemVerb;
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

impl Driven for Subject {
    fn driver(&self) -> &dyn System {
        &self.driver
    }

    fn platform(&self) -> anyhow::Result<PlatformReport> {
        Ok(self.rig.list()?.report())
    }

    fn patience(&self) -> Duration {
        PATIENCE
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
