//! The driver with a rig for its platform.

use plimsoll::systems::System;
use plimsoll::systems::connection::Connection;
use plimsoll::systems::redis::{Redis, RedisSettings};
use plimsoll_core::observation::{PlatformReport, Reading, SystemMember, SystemReport};
use plimsoll_tests::driven::Driven;
use plimsoll_tests::process::wait_until;
use plimsoll_tests::redis::{PATIENCE, Rig};
use plimsoll_wire::journal::SystemVerb;
use plimsoll_wire::snapshot::{Endpoints, Hosted, Lifecycle};
use std::time::Duration;

pub(crate) struct Subject {
    pub(crate) rig: Rig,
    pub(crate) driver: Redis,
    /// Ports at which the daemon reaches the first nodes, where those are not the ones that they reach each other at.
    pub(crate) clients: Vec<u16>,
}

impl Subject {
    pub(crate) fn start(shards: usize) -> anyhow::Result<Self> {
        Ok(Self::with(Rig::start(shards, 8)?, Connection::default()))
    }

    pub(crate) fn with(rig: Rig, connection: Connection) -> Self {
        // A busy machine takes its time.
        let connection = Connection { deadline: Duration::from_secs(10), ..connection };
        Self { rig, driver: Redis::new(connection, RedisSettings::default()), clients: Vec::new() }
    }

    /// Gives a verb again and again, as a plan does, until the report is as wanted.
    pub(crate) async fn until(
        &self,
        verb: SystemVerb,
        wanted: impl Fn(&SystemReport) -> bool,
    ) -> anyhow::Result<SystemReport> {
        wait_until(verb.kind(), PATIENCE, async || {
            let report = self.observe().await?;
            if wanted(&report) {
                return Ok(report);
            }
            let outcome = self.act(verb.clone()).await?;
            anyhow::bail!("{outcome:?} {report:#?}")
        })
        .await
    }

    /// Starts a node in a slot and lets it in, as a plan does.
    pub(crate) async fn come(&self, slot: &str) -> anyhow::Result<String> {
        self.rig.add(slot)?;
        self.until(admit(slot), |report| lifecycle(report, slot) == Some(Lifecycle::Serving)).await?;
        self.rig.id(slot).await
    }

    /// Moves slots onto members until nothing is due to any.
    pub(crate) async fn fill(&self, onto: &[&str]) -> anyhow::Result<SystemReport> {
        let onto = onto.iter().map(|id| (*id).into()).collect();
        self.until(SystemVerb::Spread { onto }, |report| {
            report.members.value().is_some_and(|all| {
                all.iter().all(|one| one.hosted.value().is_some_and(|hosted| hosted.due + hosted.moving == 0))
            })
        })
        .await
    }
}

impl Driven for Subject {
    fn driver(&self) -> &dyn System {
        &self.driver
    }

    fn platform(&self) -> anyhow::Result<PlatformReport> {
        let mut listing = self.rig.list()?;
        for (entry, port) in listing.members.iter_mut().zip(&self.clients) {
            entry.endpoints.insert("client".to_owned(), format!("127.0.0.1:{port}"));
        }
        Ok(listing.report())
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }
}

pub(crate) fn admit(slot: &str) -> SystemVerb {
    SystemVerb::Admit { slot: slot.into(), endpoints: Endpoints::new() }
}

pub(crate) fn drain(id: &str) -> SystemVerb {
    SystemVerb::Drain { member: id.into() }
}

pub(crate) fn cordon(id: &str) -> SystemVerb {
    SystemVerb::Cordon { member: id.into() }
}

pub(crate) fn uncordon(id: &str) -> SystemVerb {
    SystemVerb::Uncordon { member: id.into() }
}

pub(crate) fn deregister(id: &str) -> SystemVerb {
    SystemVerb::Deregister { member: id.into() }
}

/// Why something is not known.
pub(crate) fn detail<T>(reading: &Reading<T>) -> String {
    match reading {
        Reading::Gap { detail, .. } => detail.clone(),
        Reading::Value { .. } | Reading::NotApplicable => "it is told".to_owned(),
    }
}

pub(crate) fn member<'a>(report: &'a SystemReport, slot: &str) -> Option<&'a SystemMember> {
    report.members.value()?.iter().find(|one| one.slot.as_deref() == Some(slot))
}

pub(crate) fn lifecycle(report: &SystemReport, slot: &str) -> Option<Lifecycle> {
    member(report, slot)?.lifecycle.value().copied()
}

pub(crate) fn hosted(report: &SystemReport, slot: &str) -> Option<Hosted> {
    member(report, slot)?.hosted.value().copied()
}
