//! The driver with a rig for its platform.

use plimsoll::systems::System;
use plimsoll::systems::connection::Connection;
use plimsoll::systems::kafka::{Kafka, KafkaSettings};
use plimsoll_core::observation::{PlatformReport, SystemGroup, SystemMember, SystemReport};
use plimsoll_tests::driven::Driven;
use plimsoll_tests::kafka::{PATIENCE, Rig};
use plimsoll_tests::process::wait_until;
use plimsoll_wire::journal::SystemVerb;
use plimsoll_wire::snapshot::{Hosted, Lifecycle, PlacementState};
use std::time::Duration;

pub(crate) struct Subject {
    pub(crate) rig: Rig,
    pub(crate) driver: Kafka,
}

impl Subject {
    pub(crate) fn start(brokers: usize) -> anyhow::Result<Self> {
        Ok(Self::with(Rig::start(brokers, 5)?, Connection::default(), KafkaSettings::default()))
    }

    pub(crate) fn with(rig: Rig, connection: Connection, settings: KafkaSettings) -> Self {
        // A busy machine takes its time.
        let connection = Connection { deadline: Duration::from_secs(15), ..connection };
        Self { rig, driver: Kafka::new(connection, settings) }
    }

    pub(crate) async fn serving(&self, brokers: &[&str]) -> anyhow::Result<SystemReport> {
        self.observe_until(&format!("{brokers:?} serve"), |report| {
            brokers.iter().all(|id| {
                member(report, id).is_some_and(|one| one.lifecycle.value() == Some(&Lifecycle::Serving))
            })
        })
        .await
    }

    /// Gives a verb again until a broker holds nothing, as a plan does it.
    pub(crate) async fn empty(&self, broker: &str) -> anyhow::Result<SystemReport> {
        wait_until("the broker is empty", PATIENCE, async || {
            let report = self.observe().await?;
            let hosted = hosted(&report, broker);
            if hosted.is_some_and(|hosted| (hosted.copies, hosted.moving, hosted.leaders) == (0, 0, 0)) {
                return Ok(report);
            }
            if report.operations.value().is_some_and(Vec::is_empty) {
                self.applied(SystemVerb::Drain { member: broker.into() }).await?;
            }
            anyhow::bail!("{hosted:?}")
        })
        .await
    }

    /// Gives a verb again until each broker has its share, as a plan does it.
    pub(crate) async fn spread(&self, broker: &str) -> anyhow::Result<SystemReport> {
        wait_until("the copies are spread", PATIENCE, async || {
            let report = self.observe().await?;
            let members = report.members.value().map_or(&[][..], Vec::as_slice);
            let hosted: Option<Vec<Hosted>> = members.iter().map(|one| one.hosted.value().copied()).collect();
            let left = hosted.map(|all| all.iter().map(|one| one.due + one.moving).sum::<u64>());
            if left == Some(0) {
                return Ok(report);
            }
            if left.is_some() && report.operations.value().is_some_and(Vec::is_empty) {
                self.applied(SystemVerb::Spread { onto: vec![broker.into()] }).await?;
            }
            anyhow::bail!("{left:?} copies are left")
        })
        .await
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

pub(crate) fn cordon(broker: &str) -> SystemVerb {
    SystemVerb::Cordon { member: broker.into() }
}

pub(crate) fn drain(broker: &str) -> SystemVerb {
    SystemVerb::Drain { member: broker.into() }
}

pub(crate) fn pay(broker: &str, kind: &str) -> SystemVerb {
    SystemVerb::PayDebt { member: broker.into(), kind: kind.to_owned() }
}

pub(crate) fn member<'a>(report: &'a SystemReport, id: &str) -> Option<&'a SystemMember> {
    report.members.value()?.iter().find(|member| *member.id == *id)
}

pub(crate) fn hosted(report: &SystemReport, id: &str) -> Option<Hosted> {
    member(report, id)?.hosted.value().copied()
}

pub(crate) fn group<'a>(report: &'a SystemReport, id: &str) -> Option<&'a SystemGroup> {
    report.groups.value()?.iter().find(|group| *group.id == *id)
}

/// Whether every copy of every partition is in sync.
pub(crate) fn is_whole(report: &SystemReport) -> bool {
    let all = report.groups.value().map_or(&[][..], Vec::as_slice);
    let whole = |group: &SystemGroup| {
        group
            .placements
            .value()
            .is_some_and(|copies| copies.iter().all(|one| one.state == PlacementState::InSync))
    };
    !all.is_empty() && all.iter().all(whole)
}

/// What is owed, as kind and broker.
pub(crate) fn debts(report: &SystemReport) -> Vec<(String, String)> {
    let all = report.debts.value().map_or(&[][..], Vec::as_slice);
    all.iter().map(|debt| (debt.kind.clone(), debt.member.to_string())).collect()
}
