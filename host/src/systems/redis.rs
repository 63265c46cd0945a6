//! Redis Cluster, 7.0 to 8: shards of a master and its replicas, which own 16384 slots between them.
//!
//! The driver reads every node at its own address, as the platform gives it, and follows no address that a node tells. It changes
//! things by `CLUSTER` commands and `MIGRATE`, a bounded part in each call: whatever was interrupted is found in the nodes
//! themselves and finished by the next.
//!
//! Redis replicates asynchronously: a write that only the master has confirmed can be lost when it fails. A planned change loses
//! none, since it moves nothing before the other side has it.

mod alarm;
mod call;
mod conduct;
mod cordon;
#[cfg(test)]
mod fixture;
mod layout;
mod lineage;
mod nodes;
mod planner;
mod profile;
mod reading;
mod report;
mod roles;
mod session;
mod survey;
mod transfer;
mod view;

use super::connection::{Connection, Purpose, Reach};
use super::{Kind, Opening, Settings, System};
use crate::actuate::{Pending, Permit};
use crate::leadership::{Leadership, NOT_LEADING};
use crate::yaml::problem::Sink;
use crate::yaml::raw::{Map, Scalar, raw};
use call::Decision;
use lineage::Lineage;
use plimsoll_core::observation::{PlatformReport, SystemReport};
use plimsoll_wire::fact::Gap;
use plimsoll_wire::journal::{Outcome, SystemVerb};
use plimsoll_wire::profile::Profile;
use reading::{Answers, Side};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use survey::{Answer, Survey, client};
use tokio::time::Instant;
use view::{Doubt, conclude};

/// The word for it in documents.
const WORD: &str = "redis";

/// Redis Cluster 7 and 8.
pub(super) static KIND: Kind = Kind {
    word: WORD,
    about: "Redis Cluster 7 and 8: shards of a master and its replicas.",
    profile: profile::profile,
    only_on: None,
    reach: Some(Reach {
        example: "{kind: redis, replicas: 1, caFile: /etc/redis/ca.pem, username: plimsoll, passwordFile: /etc/redis/password}",
        purposes: &[
            Purpose { word: "client", schemes: SCHEMES, port: 6379, lasting: false },
            Purpose { word: "peer", schemes: SCHEMES, port: 6379, lasting: false },
        ],
    }),
    keys: &["replicas", "throttle"],
    read,
    data: None,
};

/// Whether TLS is used is the connection's matter, not the address's.
const SCHEMES: [&str; 2] = ["", ""];

raw! {
    struct RawRedis {
        replicas: Scalar = "replicas",
        throttle: Scalar = "throttle",
    }
}

/// What the daemon's file says of a Redis Cluster beside its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisSettings {
    /// How many replicas each master has.
    pub replicas: u32,
    /// How many bytes a second move at most; none where nothing is held back.
    pub throttle: Option<u64>,
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self { replicas: 1, throttle: Some(32 << 20) }
    }
}

fn read(map: &Map<'_>, sink: &mut Sink) -> Arc<dyn Settings> {
    let (raw, usual) = (RawRedis::pick(map, sink), RedisSettings::default());
    Arc::new(RedisSettings {
        replicas: raw.replicas.get().map_or(usual.replicas, |count| count.count(0..=5, sink)),
        throttle: raw.throttle.get().map_or(usual.throttle, |rate| Some(rate.bytes(1 << 10..=1 << 40, sink))),
    })
}

impl Settings for RedisSettings {
    fn profile(&self, of_the_kind: Profile) -> Profile {
        profile::with(self, of_the_kind)
    }

    fn open(&self, opening: &Opening<'_>) -> anyhow::Result<Box<dyn System>> {
        let driver = Redis::new(opening.connection.clone(), self.clone());
        Ok(Box::new(driver.under(opening.leadership.clone())))
    }
}

/// How long a verb may take: a part of the slots moves, and the nodes come to see the same.
const VERB_DEADLINE: Duration = Duration::from_secs(45);
/// For how long replicas are given to have what their master had when the reading began.
const CONFIRM: Duration = Duration::from_millis(500);
/// How often a replica is asked again meanwhile.
const PAUSE: Duration = Duration::from_millis(25);

/// The driver of one Redis Cluster.
#[derive(Debug)]
pub struct Redis {
    access: Access,
    /// Whether this daemon may still act, asked before each part of a verb.
    leadership: Leadership,
    /// Which cluster it was when it was last read.
    lineage: Mutex<Option<Lineage>>,
}

/// How a node is logged in to, and what is asked of it.
#[derive(Clone, Debug)]
struct Access {
    connection: Connection,
    settings: RedisSettings,
}

impl System for Redis {
    fn observe<'a>(&'a self, platform: &'a PlatformReport) -> Pending<'a, SystemReport> {
        Box::pin(async {
            let survey = self.survey(platform).await;
            self.report(&survey, platform)
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

impl Redis {
    /// A driver; it connects when it is used.
    #[must_use]
    pub fn new(connection: Connection, settings: RedisSettings) -> Self {
        let lineage = Mutex::default();
        Self { access: Access { connection, settings }, leadership: Leadership::alone(), lineage }
    }

    /// The same, for a daemon that acts only while it leads.
    #[must_use]
    pub fn under(mut self, leadership: Leadership) -> Self {
        self.leadership = leadership;
        self
    }

    fn report(&self, survey: &Survey, platform: &PlatformReport) -> SystemReport {
        let cluster = match conclude(survey, platform) {
            Ok(cluster) => cluster,
            Err(doubt) => return report::without(&doubt),
        };
        let ids: Vec<&str> = cluster.members.iter().map(|member| member.id).collect();
        let mut lineage = self.lineage.lock().unwrap_or_else(PoisonError::into_inner);
        *lineage = lineage::follow(lineage.take(), &ids);
        match &*lineage {
            Some(lineage) => report::assemble(&cluster, &lineage.name, &self.access.settings),
            None => report::without(&Doubt::new(Gap::Error, "there is no member")),
        }
    }

    /// Carries out one verb, once.
    ///
    /// The nodes are read first, so that a verb whose end is reached already is not sent again. What was sent and not answered is
    /// [`Outcome::Unknown`].
    async fn carry_out(&self, permit: &Permit, verb: &SystemVerb, platform: &PlatformReport) -> Outcome {
        let (deadline, access) = (Instant::now() + permit.deadline, &self.access);
        let survey = self.survey(platform).await;
        // The nodes took their time to answer, and nothing but this keeps a deposed daemon from what follows.
        match call::decide(verb, &survey, platform, &access.settings) {
            Decision::Settled(outcome) => outcome,
            _ if !self.leadership.holds() => call::not_sent(NOT_LEADING),
            Decision::Meet(meeting) => conduct::meet(access, &meeting, deadline).await,
            Decision::Follow { member, master, members } => {
                conduct::follow(access, &member, &master, &members, deadline).await
            }
            Decision::Configure(changes) => conduct::configure(access, &changes, deadline).await,
            Decision::Move(work) => conduct::work(access, &self.leadership, &work, deadline).await,
            Decision::Forget { id, by } => conduct::forget(access, &id, &by, deadline).await,
            Decision::FailOver { to } => conduct::fail_over(access, &to, deadline).await,
        }
    }

    /// Asks every node that the platform knows, all at once; then replicas whether they have what their masters had.
    async fn survey(&self, platform: &PlatformReport) -> Survey {
        let begun = Instant::now();
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
        // A task ends within its own deadline; one that panicked counts as a node that did not answer.
        while let Some(done) = asked.join_next().await {
            survey.answers.extend(done);
        }
        self.confirm(&mut survey, begun).await;
        survey
    }

    /// A replica that keeps up has in a moment what its master had when it was asked.
    async fn confirm(&self, survey: &mut Survey, begun: Instant) {
        let wanted = survey.behind();
        let end = begun + self.access.connection.deadline;
        let mut asked = tokio::task::JoinSet::new();
        for (index, at, offset) in wanted {
            let (access, end) = (self.access.clone(), end.min(Instant::now() + CONFIRM));
            asked.spawn(async move { (index, caught_up(&access, &at, offset, end).await) });
        }
        while let Some(done) = asked.join_next().await {
            if let Ok((index, Some(side))) = done
                && let Some(Answer { reading: Ok(Answers { side: known, .. }), .. }) =
                    survey.answers.get_mut(index)
            {
                *known = side;
            }
        }
    }
}

/// The side of a replica once it has come so far, or at the end.
async fn caught_up(
    access: &Access,
    at: &crate::systems::address::Endpoint,
    wanted: u64,
    end: Instant,
) -> Option<Side> {
    let session = session::Session::open(access, at, end).await.ok()?;
    let mut last = None;
    while let Ok(side) = session.side().await {
        let waits = matches!(&side, Side::Replica { linked: true, offset } if *offset < wanted);
        last = Some(side);
        if !waits || Instant::now() + PAUSE >= end {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    last
}
