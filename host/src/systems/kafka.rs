//! Kafka in KRaft mode, 4.0 and later: brokers that hold copies of partitions, and controllers that are looked at and not
//! scaled.
//!
//! Each broker is asked at its own address, as the platform gives it, and tells what lies in its log directories. The rest
//! is the controllers' word, which any broker passes on. A broker is emptied by reassignments in bounded batches; marks in the
//! brokers' own settings say whose they are, so that a daemon that was killed finds them again.

mod alarm;
mod call;
mod conduct;
#[cfg(test)]
mod fixture;
mod lag;
mod order;
mod planner;
mod profile;
mod reading;
mod report;
mod scram;
mod session;
mod survey;
mod uptime;
mod view;

use super::connection::{Connection, Purpose, Reach};
use super::{Kind, Opening, Settings, System};
use crate::actuate::{Pending, Permit};
use crate::leadership::{Leadership, NOT_LEADING};
use crate::yaml::problem::Sink;
use crate::yaml::raw::{Map, Scalar, raw};
use call::{Decision, Terms};
use plimsoll_core::observation::{PlatformReport, SystemReport};
use plimsoll_wire::journal::{Outcome, SystemVerb};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The word for it in documents.
const WORD: &str = "kafka";
/// Whether TLS is used is the connection's matter, not the address's.
const SCHEMES: [&str; 2] = ["", ""];

/// Kafka in KRaft mode.
pub(super) static KIND: Kind = Kind {
    word: WORD,
    about: "Kafka 4.0 and later in KRaft mode: brokers with copies of partitions. Controllers are looked at, not scaled.",
    profile: profile::profile,
    only_on: None,
    reach: Some(Reach {
        example: "{kind: kafka, caFile: /etc/kafka/ca.pem, username: plimsoll, passwordFile: /etc/kafka/password}",
        purposes: &[Purpose { word: "client", schemes: SCHEMES, port: 9092, lasting: true }],
    }),
    keys: &["mechanism", "throttle"],
    read,
    data: None,
};

/// The mechanisms by which a user logs in.
const MECHANISMS: &[(&str, Mechanism)] = &[
    ("scram-sha-512", Mechanism::ScramSha512),
    ("scram-sha-256", Mechanism::ScramSha256),
    ("plain", Mechanism::Plain),
];
/// How fast copies travel may be bounded to: at least so much that they arrive, at most what no network has.
const RATES: std::ops::RangeInclusive<u64> = 64 * 1024..=1024 * 1024 * 1024 * 1024;

raw! {
    struct RawKafka {
        mechanism: Scalar = "mechanism",
        throttle: Scalar = "throttle",
    }
}

/// How a user logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM with SHA-512: the password is not sent.
    ScramSha512,
    /// SCRAM with SHA-256.
    ScramSha256,
    /// The password itself, for which TLS is needed.
    Plain,
}

impl Mechanism {
    /// Kafka's own word for it.
    fn word(self) -> &'static str {
        match self {
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
        }
    }
}

/// What the daemon's file says of a Kafka cluster beside its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// How `username` logs in.
    pub mechanism: Mechanism,
    /// Bytes a second that a broker sends, and takes, while copies travel.
    pub throttle: u64,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self { mechanism: Mechanism::ScramSha512, throttle: 50 * 1024 * 1024 }
    }
}

fn read(map: &Map<'_>, sink: &mut Sink) -> Arc<dyn Settings> {
    let (raw, usual) = (RawKafka::pick(map, sink), KafkaSettings::default());
    Arc::new(KafkaSettings {
        mechanism: raw
            .mechanism
            .get()
            .map_or(usual.mechanism, |word| word.choice(MECHANISMS, usual.mechanism, sink)),
        throttle: raw.throttle.get().map_or(usual.throttle, |rate| rate.bytes(RATES, sink)),
    })
}

impl Settings for KafkaSettings {
    fn open(&self, opening: &Opening<'_>) -> anyhow::Result<Box<dyn System>> {
        let driver = Kafka::new(opening.connection.clone(), self.clone());
        Ok(Box::new(driver.under(opening.leadership.clone())))
    }
}

/// How long a verb may take: brokers are read first, and then a few requests wait for the controller.
const VERB_DEADLINE: Duration = Duration::from_secs(30);

/// The driver of one Kafka cluster.
#[derive(Debug)]
pub struct Kafka {
    access: Access,
    /// Whether this daemon may still act, asked before each request of a verb.
    leadership: Leadership,
    seen: uptime::Seen,
}

/// How a broker is logged in to.
#[derive(Clone, Debug)]
struct Access {
    connection: Connection,
    settings: KafkaSettings,
}

impl System for Kafka {
    fn observe<'a>(&'a self, platform: &'a PlatformReport) -> Pending<'a, SystemReport> {
        Box::pin(async {
            let survey = self.survey(platform).await;
            report::assemble(&survey, platform)
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

impl Kafka {
    /// A driver; it connects when it is used.
    #[must_use]
    pub fn new(connection: Connection, settings: KafkaSettings) -> Self {
        let access = Access { connection, settings };
        Self { access, leadership: Leadership::alone(), seen: uptime::Seen::default() }
    }

    /// The same, for a daemon that acts only while it leads.
    #[must_use]
    pub fn under(mut self, leadership: Leadership) -> Self {
        self.leadership = leadership;
        self
    }

    /// Carries out one verb, once. The brokers are read first, so that a verb whose end is reached already is not sent again.
    async fn carry_out(&self, permit: &Permit, verb: &SystemVerb, platform: &PlatformReport) -> Outcome {
        let deadline = Instant::now() + permit.deadline;
        let survey = self.survey(platform).await;
        let terms = Terms { plan: &permit.plan, throttle: self.access.settings.throttle };
        match call::decide(verb, &survey, platform, terms) {
            Decision::Settled(outcome) => outcome,
            // The brokers took their time to answer, and nothing but this keeps a deposed daemon from what follows.
            Decision::Send(_) if !self.leadership.holds() => call::not_sent(NOT_LEADING),
            Decision::Send(orders) => {
                conduct::carry_out(&self.access, &self.leadership, &orders, deadline).await
            }
        }
    }

    async fn survey(&self, platform: &PlatformReport) -> survey::Survey {
        let up = |slot: &str, incarnation: &str, answers: bool| self.seen.since(slot, incarnation, answers);
        survey::survey(&self.access, platform, up).await
    }
}
