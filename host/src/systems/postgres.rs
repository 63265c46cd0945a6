//! PostgreSQL streaming replication, 13 to 18: one primary, standbys that follow it by replication slots of their own, and
//! where the owner wants it a set of synchronous candidates.
//!
//! The driver reads every member at its own address, as the platform gives it. The primary's slots are the list of members;
//! how far a standby has come is the primary's word. It changes things by `ALTER SYSTEM` with a reload and by the server's own
//! functions, never by files or commands.

mod alarm;
mod call;
mod cascade;
mod conduct;
mod conninfo;
#[cfg(test)]
mod fixture;
mod handover;
mod lsn;
mod names;
mod profile;
mod reading;
mod report;
mod session;
mod statement;
mod survey;
mod view;

use super::connection::{Connection, Purpose, Reach};
use super::{Kind, Opening, Settings, System};
use crate::actuate::{Pending, Permit};
use crate::leadership::{Leadership, NOT_LEADING};
use crate::yaml::problem::Sink;
use crate::yaml::raw::{Map, Scalar, raw};
use call::Decision;
use plimsoll_core::observation::{PlatformReport, SystemReport};
use plimsoll_wire::journal::{Outcome, SystemVerb};
use std::sync::Arc;
use std::time::Duration;
use survey::{Answer, Survey, client};
use tokio::time::Instant;

/// The word for it in documents.
const WORD: &str = "postgres";

/// PostgreSQL 13 to 18.
pub(super) static KIND: Kind = Kind {
    word: WORD,
    about: "PostgreSQL 13 to 18: a primary with standbys, synchronous or not.",
    profile: profile::profile,
    only_on: None,
    reach: Some(Reach {
        example: "{kind: postgres, caFile: /etc/postgres/ca.pem, username: plimsoll, passwordFile: /etc/postgres/password}",
        purposes: &[
            Purpose { word: "client", schemes: SCHEMES, port: 5432, lasting: false },
            Purpose { word: "peer", schemes: SCHEMES, port: 5432, lasting: true },
        ],
    }),
    keys: &["database", "role", "synchronous"],
    read,
    data: None,
};

/// Whether TLS is used is the connection's matter, not the address's.
const SCHEMES: [&str; 2] = ["", ""];

raw! {
    struct RawPostgres {
        database: Scalar = "database",
        role: Scalar = "role",
        synchronous: Scalar = "synchronous",
    }
}

/// What the daemon's file says of a PostgreSQL cluster beside its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresSettings {
    /// The role to log in as without a password; `username` and `passwordFile` take its place.
    pub role: String,
    /// The database to connect to.
    pub database: String,
    /// Whether new standbys become synchronous candidates where commits wait for some.
    pub synchronous: bool,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self { role: "plimsoll".to_owned(), database: "postgres".to_owned(), synchronous: true }
    }
}

fn read(map: &Map<'_>, sink: &mut Sink) -> Arc<dyn Settings> {
    let (raw, usual) = (RawPostgres::pick(map, sink), PostgresSettings::default());
    Arc::new(PostgresSettings {
        role: raw.role.get().map_or(usual.role, |role| role.text(sink)),
        database: raw.database.get().map_or(usual.database, |database| database.text(sink)),
        synchronous: raw.synchronous.get().map_or(usual.synchronous, |flag| flag.switch(sink)),
    })
}

impl Settings for PostgresSettings {
    fn open(&self, opening: &Opening<'_>) -> anyhow::Result<Box<dyn System>> {
        let driver = Postgres::new(opening.connection.clone(), self.clone());
        Ok(Box::new(driver.under(opening.leadership.clone())))
    }
}

/// How long a verb may take: a hand-over ends sessions, waits for the successor and for its promotion.
const VERB_DEADLINE: Duration = Duration::from_secs(90);

/// The driver of one PostgreSQL cluster.
#[derive(Debug)]
pub struct Postgres {
    access: Access,
    /// Whether this daemon may still act, asked before the calls of a verb.
    leadership: Leadership,
}

/// How a server is logged in to.
#[derive(Clone, Debug)]
struct Access {
    connection: Connection,
    settings: PostgresSettings,
}

impl System for Postgres {
    fn observe<'a>(&'a self, platform: &'a PlatformReport) -> Pending<'a, SystemReport> {
        Box::pin(async {
            let survey = self.survey(platform).await;
            report::assemble(&survey, platform, self.access.settings.synchronous)
        })
    }

    fn verb_deadline(&self) -> Duration {
        VERB_DEADLINE
    }

    fn act<'a>(
        &'a self,
        permit: &'a Permit,
        verb: &'a SystemVerb,
        platform: &'a PlatformReport,
    ) -> Pending<'a, Outcome> {
        Box::pin(self.carry_out(permit, verb, platform))
    }
}

impl Postgres {
    /// A driver; it connects when it is used.
    #[must_use]
    pub fn new(connection: Connection, settings: PostgresSettings) -> Self {
        Self { access: Access { connection, settings }, leadership: Leadership::alone() }
    }

    /// The same, for a daemon that acts only while it leads.
    #[must_use]
    pub fn under(mut self, leadership: Leadership) -> Self {
        self.leadership = leadership;
        self
    }

    /// Carries out one verb, once.
    ///
    /// The members are read first, so that a verb whose end is reached already is not sent again. What was sent and not
    /// answered is [`Outcome::Unknown`].
    async fn carry_out(&self, permit: &Permit, verb: &SystemVerb, platform: &PlatformReport) -> Outcome {
        let (deadline, access) = (Instant::now() + permit.deadline, &self.access);
        let survey = self.survey(platform).await;
        // The members took their time to answer, and nothing but this keeps a daemon that lost the leadership from what follows.
        match call::decide(verb, &survey, platform, access.settings.synchronous) {
            Decision::Settled(outcome) => outcome,
            _ if !self.leadership.holds() => call::not_sent(NOT_LEADING),
            Decision::Send { at, statement } => session::send(access, &at, &statement, deadline).await,
            Decision::SetNames { at, guard, expected, value } => {
                conduct::set_names(access, &at, &guard, (&expected, &value), deadline).await
            }
            Decision::HandOver(handover) => {
                conduct::hand_over(access, &self.leadership, &handover, deadline).await
            }
            Decision::Release(release) => match conduct::release(access, &release, deadline).await {
                Ok(()) => Outcome::Applied,
                Err(message) => Outcome::Unknown { message },
            },
        }
    }

    /// Asks every member that the platform knows, all at once.
    async fn survey(&self, platform: &PlatformReport) -> Survey {
        let mut asked = tokio::task::JoinSet::new();
        for slot in platform.slots.value().into_iter().flatten() {
            let access = self.access.clone();
            let (place, endpoints) = (slot.slot.clone(), slot.endpoints.clone());
            asked.spawn(async move {
                let reading = match client(&endpoints) {
                    Ok(at) => session::read(&access, &at).await,
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
