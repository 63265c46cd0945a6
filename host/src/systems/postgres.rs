//! PostgreSQL streaming replication, 13 to 18: one primary, standbys that follow it by replication slots of their own, and
//! where the owner wants it a set of synchronous candidates.
//!
//! The driver reads every member at its own address, as the platform gives it. The primary's slots are the list of members;
//! how far a standby has come is the primary's word. It changes things by `ALTER SYSTEM` with a reload and by the server's own
//! functions, never by files or commands.

mod alarm;
mod call;
mod conduct;
mod connection;
mod conninfo;
#[cfg(test)]
mod fixture;
mod handover;
mod lsn;
mod metered;
mod names;
mod reading;
mod report;
mod statement;
mod survey;
mod view;

use crate::actuate::Licence;
use crate::lead::{Lead, NOT_LEADING};
use call::Decision;
use plimsoll_core::observation::{PlatformReport, SystemReport};
use plimsoll_wire::journal::{Outcome, SystemVerb};
use std::path::PathBuf;
use std::time::Duration;
use survey::{Answer, Endpoint, Survey};
use tokio::time::Instant;

/// How the members of a PostgreSQL cluster are reached. It stands in the daemon's file, never in a target.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PostgresConfig {
    /// A PEM file with the certificates that sign the members' certificates. With it, connections are TLS; without it, not.
    pub ca: Option<PathBuf>,
    /// A PEM file with the client's certificate; only together with `key`.
    pub cert: Option<PathBuf>,
    /// A PEM file with the client's private key; only together with `cert`.
    pub key: Option<PathBuf>,
    /// The role to log in as.
    pub username: String,
    /// A file that holds the role's password; white space at its end is ignored. Only with `ca`, or on loopback.
    pub password_file: Option<PathBuf>,
    /// The database to connect to.
    pub database: String,
    /// Whether new standbys become synchronous candidates where commits wait for some.
    pub synchronous: bool,
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self {
            ca: None,
            cert: None,
            key: None,
            username: "plimsoll".to_owned(),
            password_file: None,
            database: "postgres".to_owned(),
            synchronous: true,
        }
    }
}

/// How long one member may take to answer a reading, everything included, where the owner says nothing.
const READ_DEADLINE: Duration = Duration::from_secs(3);
/// How long a verb may take: a hand-over ends sessions, waits for the successor and for its promotion.
const VERB_DEADLINE: Duration = Duration::from_secs(90);

/// The driver of one PostgreSQL cluster.
#[derive(Debug)]
pub struct Postgres {
    config: PostgresConfig,
    read_deadline: Duration,
    /// Whether this daemon may still act, asked before the calls of a verb.
    lead: Lead,
}

impl Postgres {
    /// A driver; it connects when it is used.
    #[must_use]
    pub fn new(config: PostgresConfig) -> Self {
        Self { config, read_deadline: READ_DEADLINE, lead: Lead::alone() }
    }

    /// The same with another deadline for one member's answer.
    #[must_use]
    pub fn reading_within(mut self, deadline: Duration) -> Self {
        self.read_deadline = deadline;
        self
    }

    /// The same, for a daemon that acts only while it leads.
    #[must_use]
    pub fn led_by(mut self, lead: Lead) -> Self {
        self.lead = lead;
        self
    }

    /// How long a verb may take.
    #[must_use]
    pub fn verb_deadline(&self) -> Duration {
        VERB_DEADLINE
    }

    /// Reads every member at its own address and puts the answers together.
    pub async fn observe(&self, platform: &PlatformReport) -> SystemReport {
        let survey = self.survey(platform).await;
        report::assemble(&survey, platform, self.config.synchronous)
    }

    /// Carries out one verb, once.
    ///
    /// The members are read first, so that a verb whose end is reached already is not sent again. What was sent and not
    /// answered is [`Outcome::Unknown`].
    pub async fn act(&self, licence: &Licence, verb: &SystemVerb, platform: &PlatformReport) -> Outcome {
        let deadline = Instant::now() + licence.deadline;
        let survey = self.survey(platform).await;
        let decision = call::decide(verb, &survey, platform, self.config.synchronous);
        // The members took their time to answer, and nothing but this keeps a deposed daemon from what follows.
        match decision {
            Decision::Settled(outcome) => outcome,
            _ if !self.lead.holds() => call::not_sent(NOT_LEADING),
            Decision::Send { at, statement } => {
                connection::send(&self.config, &at, &statement, deadline).await
            }
            Decision::SetNames { at, guard, expected, value } => {
                conduct::set_names(&self.config, &at, &guard, (&expected, &value), deadline).await
            }
            Decision::HandOver(handover) => {
                conduct::hand_over(&self.config, &self.lead, &handover, deadline).await
            }
            Decision::Release(release) => match conduct::release(&self.config, &release, deadline).await {
                Ok(()) => Outcome::Applied,
                Err(message) => Outcome::Unknown { message },
            },
        }
    }

    /// Asks every member that the platform knows, all at once.
    async fn survey(&self, platform: &PlatformReport) -> Survey {
        let mut asked = tokio::task::JoinSet::new();
        for slot in platform.slots.value().into_iter().flatten() {
            let (config, within) = (self.config.clone(), self.read_deadline);
            let (place, endpoints) = (slot.slot.clone(), slot.endpoints.clone());
            asked.spawn(async move {
                let reading = match Endpoint::of(&endpoints) {
                    Ok(at) => connection::read(&config, &at, within).await,
                    Err(why) => Err(why),
                };
                Answer { place, endpoints, reading }
            });
        }
        let mut survey = Survey::default();
        // A task ends within its own deadline; one that panicked counts as a member that did not answer.
        while let Some(done) = asked.join_next().await {
            survey.answers.extend(done);
        }
        survey
    }
}
