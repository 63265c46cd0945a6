//! Asks all brokers, and the cluster through one of them.

use super::Access;
use super::lag::{self, Offsets};
use super::reading::{self, BROKER, Dirs, Key, Moving, Own, Partitions, Quorum, Registered, TOPIC, Topic};
use super::session::{Failure, Session};
use crate::systems::address::{Addresses, Endpoint};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeConfigsRequest, DescribeLogDirsRequest, DescribeQuorumRequest,
    ListPartitionReassignmentsRequest, MetadataRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use plimsoll_core::observation::PlatformReport;
use plimsoll_wire::snapshot::Endpoints;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const ADDRESSES: Addresses = Addresses {
    schemes: &["kafka://", "PLAINTEXT://", "SSL://", "SASL_SSL://", "SASL_PLAINTEXT://"],
    port: 9092,
};
/// How long a broker may wait for the controller before it says that it does not answer, in milliseconds.
pub(super) const CONTROLLER_MS: i32 = 5_000;

/// One reading of the whole cluster.
#[derive(Clone, Debug)]
pub(super) struct Survey {
    /// One for each place in use, in no particular order.
    pub(super) answers: Vec<Answer>,
    /// What one of them told of the whole, or why none did.
    pub(super) whole: Result<Whole, String>,
    /// How far consumers are, or why nobody knows.
    pub(super) offsets: Result<Offsets, String>,
}

/// What one place answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The platform's name of the place.
    pub(super) place: Arc<str>,
    pub(super) endpoints: Endpoints,
    /// For how long the process there has been seen to answer.
    pub(super) up: Duration,
    /// What was read, or why nothing was.
    pub(super) reading: Result<Broker, String>,
}

/// What one broker says.
#[derive(Clone, Debug)]
pub(super) struct Broker {
    pub(super) own: Own,
    pub(super) cluster: String,
    pub(super) registered: Vec<Registered>,
    pub(super) partitions: Partitions,
    pub(super) dirs: Result<Dirs, String>,
}

/// What is true of the cluster as a whole; who is asked does not matter, since the controllers answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Whole {
    /// The broker that was asked.
    pub(super) speaker: i32,
    pub(super) moving: BTreeMap<Key, Moving>,
    pub(super) topics: BTreeMap<Arc<str>, Topic>,
    pub(super) quorum: Quorum,
}

/// Where the daemon reaches a broker.
pub(super) fn client(endpoints: &Endpoints) -> Result<Endpoint, String> {
    ADDRESSES.client(endpoints)
}

/// The addresses under which other brokers may know this one.
pub(super) fn known_as(endpoints: &Endpoints) -> Vec<String> {
    let client = client(endpoints).ok().map(|at| (at.host, at.port));
    let peer = ADDRESSES.peer(endpoints).ok();
    client.into_iter().chain(peer).map(|(host, port)| format!("{host}:{port}")).collect()
}

/// Asks every broker that the platform knows, all at once, and then one of them about the whole.
pub(super) async fn survey(
    access: &Access,
    platform: &PlatformReport,
    up: impl Fn(&str, &str, bool) -> Duration,
) -> Survey {
    let deadline = Instant::now() + access.connection.deadline;
    let mut asked = tokio::task::JoinSet::new();
    for slot in platform.slots.value().into_iter().flatten() {
        let (access, slot) = (access.clone(), slot.clone());
        asked.spawn(async move {
            let reading = match client(&slot.endpoints) {
                Ok(at) => broker(&access, &at, deadline).await,
                Err(why) => Err(why),
            };
            (slot, reading)
        });
    }
    let mut answers = Vec::new();
    // A task ends within its own deadline; one that panicked counts as a broker that did not answer.
    while let Some(done) = asked.join_next().await {
        let Ok((slot, reading)) = done else { continue };
        let up = up(&slot.slot, &slot.incarnation, reading.is_ok());
        answers.push(Answer { place: slot.slot, endpoints: slot.endpoints, up, reading });
    }
    let whole = whole(access, &answers).await;
    let offsets = match speaker(&answers) {
        Some((_, broker)) => lag::read(access, &answers, &broker.partitions).await,
        None => Err("no broker serves".to_owned()),
    };
    Survey { answers, whole, offsets }
}

async fn broker(access: &Access, at: &Endpoint, deadline: Instant) -> Result<Broker, String> {
    let mut session = Session::open(access, at, deadline).await?;
    let question = DescribeClusterRequest::default().with_include_fenced_brokers(true);
    let answer = session.ask_since(&question, 2).await.map_err(|failure| {
        format!("{} (Kafka 4.0 or later tells which brokers are registered)", failure.words())
    })?;
    let (cluster, registered) = reading::cluster(&answer)?;
    let resource = |broker: &Registered| {
        DescribeConfigsResource::default()
            .with_resource_type(BROKER)
            .with_resource_name(StrBytes::from(broker.id.to_string()))
            .with_configuration_keys(None)
    };
    let question =
        DescribeConfigsRequest::default().with_resources(registered.iter().map(resource).collect());
    let own = reading::own_config(&session.ask(&question).await.map_err(Failure::words)?)?;
    let question = MetadataRequest::default().with_topics(None);
    let partitions = reading::partitions(&session.ask_since(&question, 1).await.map_err(Failure::words)?)?;
    let question = DescribeLogDirsRequest::default().with_topics(None);
    let dirs = session.ask(&question).await.map_err(Failure::words);
    let dirs = dirs.and_then(|answer| reading::dirs(&answer));
    Ok(Broker { own, cluster, registered, partitions, dirs })
}

/// The broker that is asked about the whole: one that serves, and the first of those by id.
pub(super) fn speaker(answers: &[Answer]) -> Option<(&Answer, &Broker)> {
    let all = answers.iter().filter_map(|answer| Some((answer, answer.reading.as_ref().ok()?)));
    let serves = |broker: &Broker| {
        let row = broker.registered.iter().find(|one| one.id == broker.own.id);
        row.is_some_and(|row| !row.fenced)
    };
    all.filter(|(_, broker)| serves(broker))
        .min_by_key(|(_, broker)| (!broker.own.marks.is_empty(), broker.own.id))
}

async fn whole(access: &Access, answers: &[Answer]) -> Result<Whole, String> {
    let (answer, broker) = speaker(answers).ok_or_else(|| {
        let why =
            answers.iter().filter_map(|answer| Some((&answer.place, answer.reading.as_ref().err()?))).min();
        why.map_or_else(
            || "no broker serves".to_owned(),
            |(place, why)| format!("no broker answers and serves; {place}: {why}"),
        )
    })?;
    let deadline = Instant::now() + access.connection.deadline;
    let mut session = Session::open(access, &client(&answer.endpoints)?, deadline).await?;
    let question =
        ListPartitionReassignmentsRequest::default().with_timeout_ms(CONTROLLER_MS).with_topics(None);
    let moving = reading::reassignments(&session.ask(&question).await.map_err(Failure::words)?)?;
    let partition = PartitionData::default().with_partition_index(0);
    let metadata = TopicData::default()
        .with_topic_name(TopicName(StrBytes::from_static_str("__cluster_metadata")))
        .with_partitions(vec![partition]);
    let question = DescribeQuorumRequest::default().with_topics(vec![metadata]);
    let quorum = reading::quorum(&session.ask(&question).await.map_err(Failure::words)?)?;
    let names: BTreeSet<&Arc<str>> = broker.partitions.keys().map(|(topic, _)| topic).collect();
    let resource = |name: &Arc<str>| {
        DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(StrBytes::from(name.to_string()))
            .with_configuration_keys(Some(reading::topic_keys()))
    };
    let question =
        DescribeConfigsRequest::default().with_resources(names.into_iter().map(resource).collect());
    let topics = reading::topics(&session.ask(&question).await.map_err(Failure::words)?)?;
    Ok(Whole { speaker: broker.own.id, moving, topics, quorum })
}
