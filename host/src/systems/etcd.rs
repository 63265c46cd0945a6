//! etcd: one control group that decides by majority, membership by id, learners before voters.
//!
//! The driver reads every member at its own endpoint, as the platform gives it, and follows no address that
//! the cluster itself advertises: whoever can write an advertised address must not be able to choose where
//! the daemon's credentials go (`decisions.md` D12).
//!
//! Written against etcd 3.4 and the gRPC interface that 3.5 and 3.6 share with it.

mod agreement;
mod alarm;
mod call;
mod client;
mod endpoint;
mod identity;
mod outcome;
mod report;
mod survey;

use super::connection::{Connection, Purpose, Reach};
use super::{Data, Kind, Opening, Settings, System};
use crate::actuate::{Pending, Permit};
use crate::leadership::{Leadership, NOT_LEADING};
use plimsoll_core::observation::{PlatformReport, SystemReport};
use plimsoll_core::profile;
use plimsoll_wire::journal::{Outcome, SystemVerb};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// etcd 3.4 and later.
pub(super) static KIND: Kind = Kind {
    word: "etcd",
    about: "etcd 3.4 and later: voters that agree by majority, learners before them.",
    profile: profile::etcd,
    only_on: None,
    reach: Some(Reach {
        example: "{kind: etcd, caFile: /etc/etcd/ca.pem, certFile: /etc/etcd/client.pem, keyFile: /etc/etcd/client.key}",
        purposes: &[
            Purpose { word: "client", schemes: SCHEMES, port: 2379, lasting: false },
            Purpose { word: "peer", schemes: SCHEMES, port: 2380, lasting: true },
        ],
    }),
    keys: &[],
    read: |_, _| Arc::new(Plain),
    data: Some(Data { folder: "member", identity: identity::identity }),
};

const SCHEMES: [&str; 2] = ["http://", "https://"];

/// An etcd has no settings beside those of its connection.
#[derive(Debug, PartialEq)]
struct Plain;

impl Settings for Plain {
    fn open(&self, opening: &Opening<'_>) -> anyhow::Result<Box<dyn System>> {
        Ok(Box::new(Etcd::new(opening.connection.clone()).under(opening.leadership.clone())))
    }
}

impl System for Etcd {
    fn observe<'a>(&'a self, platform: &'a PlatformReport) -> Pending<'a, SystemReport> {
        Box::pin(self.read(platform))
    }

    fn verb_deadline(&self) -> Duration {
        self.connection.deadline.saturating_mul(VERB_READINGS).max(LEAST_VERB_DEADLINE)
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

/// A verb reads first, and then waits for its answer as long as three readings take.
const VERB_READINGS: u32 = 4;
/// The least that a verb has: an owner who is impatient with reads does not mean that an election, which a verb may
/// begin, ends as unknown.
const LEAST_VERB_DEADLINE: Duration = Duration::from_secs(8);

/// The driver of one etcd cluster.
#[derive(Debug)]
pub struct Etcd {
    connection: Connection,
    /// Whether this daemon may still act, asked before the one call of a verb (N6).
    leadership: Leadership,
    /// Since when each member has been seen up without a restart.
    seen: Mutex<BTreeMap<Arc<str>, Seen>>,
}

/// A member that answered, and since when.
#[derive(Clone, Debug)]
struct Seen {
    /// The incarnation that answered first.
    incarnation: String,
    since: Instant,
}

impl Etcd {
    /// A driver; it connects when it is used.
    #[must_use]
    pub fn new(connection: Connection) -> Self {
        Self { connection, leadership: Leadership::alone(), seen: Mutex::default() }
    }

    /// The same, for a daemon that acts only while it leads.
    #[must_use]
    pub fn under(mut self, leadership: Leadership) -> Self {
        self.leadership = leadership;
        self
    }

    /// Reads every member at its own endpoint and puts the answers together.
    ///
    /// Ends within the deadline of one member's answer. What was not answered, or not by enough members, or not by all in the
    /// same way, is a gap.
    async fn read(&self, platform: &PlatformReport) -> SystemReport {
        let survey = self.survey(platform, self.connection.deadline).await;
        report::assemble(&survey, platform)
    }

    /// Carries out one verb, once.
    ///
    /// The members are read first, so that a verb whose end is reached already is not sent again, and so
    /// that it goes to the member that can carry it out. A call is sent at most once: what was sent and not
    /// answered is [`Outcome::Unknown`].
    async fn carry_out(&self, permit: &Permit, verb: &SystemVerb, platform: &PlatformReport) -> Outcome {
        let deadline = Instant::now() + permit.deadline;
        // A member that is silent is waited for, but not until nothing is left for the call itself.
        let within = self.connection.deadline.min(permit.deadline / 2);
        let survey = self.survey(platform, within).await;
        match call::decide(verb, &permit.intent, &survey, platform) {
            call::Decision::Settled(outcome) => outcome,
            // The members took their time to answer, and nothing else stops a daemon that lost leadership meanwhile.
            call::Decision::Send { .. } if !self.leadership.holds() => call::not_sent(NOT_LEADING),
            call::Decision::Send { endpoint, call } => {
                client::send(&self.connection, &endpoint, &call, deadline).await
            }
        }
    }

    /// Asks every member that the platform knows, all at once, each of which may take so long.
    async fn survey(&self, platform: &PlatformReport, within: Duration) -> survey::Survey {
        let Some(slots) = platform.slots.value() else {
            return survey::Survey::default();
        };
        let mut asked = tokio::task::JoinSet::new();
        for slot in slots {
            let connection = self.connection.clone();
            let slot = slot.clone();
            asked.spawn(async move {
                let endpoint = endpoint::Endpoint::of(&slot.endpoints);
                let readings = client::read(&connection, &endpoint, within).await;
                (slot, endpoint, readings)
            });
        }
        let mut answers = Vec::new();
        // A task ends within its own deadline; one that panicked counts as a member that did not answer.
        while let Some(done) = asked.join_next().await {
            let Ok((slot, endpoint, (status, list))) = done else { continue };
            let up_ms = self.up_ms(&slot.slot, &slot.incarnation, status.is_ok());
            answers.push(survey::Answer { slot: slot.slot, endpoint, up_ms, status, list });
        }
        survey::Survey { answers }
    }

    /// For how long the member of a slot has been up without a restart, as far as this driver has seen it.
    ///
    /// etcd does not tell its uptime over gRPC. What was watched is a lower bound, so that a restarted
    /// daemon waits longer, never shorter (EVID-4).
    fn up_ms(&self, slot: &Arc<str>, incarnation: &str, answered: bool) -> u64 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.get(slot).is_some_and(|seen| seen.incarnation == incarnation);
        // Without an incarnation nothing tells a short silence from a restart.
        if !answered {
            if incarnation.is_empty() || !known {
                seen.remove(slot);
            }
            return 0;
        }
        let now = Instant::now();
        if !known {
            seen.insert(slot.clone(), Seen { incarnation: incarnation.to_owned(), since: now });
        }
        let since = seen.get(slot).map_or(now, |seen| seen.since);
        u64::try_from(now.duration_since(since).as_millis()).unwrap_or(u64::MAX)
    }
}
