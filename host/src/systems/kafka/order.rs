//! What is sent to Kafka: settings, reassignments, elections. Values that say what, and the messages that they become. Pure.

use super::planner::Move;
use super::reading::{BROKER, CLOSED, CORDONED_DIRS, Key, Mark, RATES, THROTTLED as LISTS, TOPIC, Topic};
use super::session::{Failure, refusal};
use super::survey::CONTROLLER_MS;
use super::view::THROTTLED;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, BrokerId, ElectLeadersRequest,
    ElectLeadersResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One thing that is asked of Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Other settings, all of one resource at once.
    Set(BTreeMap<Resource, Vec<Setting>>),
    /// Copies of partitions elsewhere; none takes back what is under way.
    Reassign(BTreeMap<Key, Option<Vec<i32>>>),
    /// The first copy leads, where it is in sync.
    Elect(BTreeSet<Key>),
    /// A broker that runs nowhere is not expected any more.
    Unregister(i32),
}

/// What has settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resource {
    /// What every broker has by default.
    Brokers,
    /// One broker; only it takes its own settings.
    Broker(i32),
    Topic(Arc<str>),
}

/// A setting with its value; none lets the default be in force.
pub(super) type Setting = (String, Option<String>);

/// Sets a mark, or takes it away.
pub(super) fn mark(mark: &Mark, is_set: bool) -> Setting {
    (mark.key(), is_set.then(|| "true".to_owned()))
}

/// Closes a broker's log directories to new copies, or opens them again.
pub(super) fn closed(is_closed: bool) -> [Setting; 2] {
    [
        (CORDONED_DIRS.to_owned(), is_closed.then(|| "*".to_owned())),
        (CLOSED.to_owned(), is_closed.then(|| "true".to_owned())),
    ]
}

/// Bounds the rate of some moves, with a mark, so that what is left behind is found: first of the brokers. Where the owner
/// bounds it already, `rate` is none, and that holds.
pub(super) fn throttle(
    moves: &[Move],
    topics: &BTreeMap<Arc<str>, Topic>,
    rate: Option<u64>,
    plan: &str,
) -> [Order; 2] {
    let mut lists: BTreeMap<&Arc<str>, [Vec<String>; 2]> = BTreeMap::new();
    for travels in moves {
        let (topic, number) = &travels.key;
        let of = |id: i32| format!("{number}:{id}");
        let [sent, taken] = lists.entry(topic).or_default();
        sent.extend(travels.before.iter().map(|id| of(*id)));
        taken.extend(travels.adding().map(of));
    }
    let lists = lists.into_iter().map(|(topic, both)| {
        let known = topics.get(topic).map(|topic| topic.throttled.clone()).unwrap_or_default();
        let settings = LISTS.iter().zip(both).zip(known);
        // An owner who throttles every copy of a topic has said all that there is to say.
        let settings = settings.filter(|(_, known)| known != "*");
        let settings = settings.map(|((key, list), _)| ((*key).to_owned(), Some(list.join(","))));
        (Resource::Topic(topic.clone()), settings.collect::<Vec<_>>())
    });
    let mut brokers = vec![mark(&Mark::new(THROTTLED, None, plan), true)];
    let rates = rate.into_iter().flat_map(|rate| RATES.map(|key| (key.to_owned(), Some(rate.to_string()))));
    brokers.extend(rates);
    [
        Order::Set(BTreeMap::from([(Resource::Brokers, brokers)])),
        Order::Set(lists.filter(|(_, settings)| !settings.is_empty()).collect()),
    ]
}

/// Takes bounds and marks back: first of the topics, so that a mark stands for as long as anything is left.
pub(super) fn clear(topics: &BTreeMap<Arc<str>, Topic>, marks: &[&Mark]) -> [Order; 2] {
    let mut brokers: Vec<Setting> = marks.iter().map(|one| mark(one, false)).collect();
    let bounded = marks.iter().any(|mark| mark.word == THROTTLED);
    if bounded {
        brokers.extend(RATES.map(|key| (key.to_owned(), None)));
    }
    let ours = |list: &String| bounded && !list.is_empty() && list != "*";
    let throttled = topics.iter().filter(|(_, topic)| topic.throttled.iter().any(ours));
    let cleared = throttled.map(|(name, topic)| {
        let keys = LISTS.iter().zip(&topic.throttled).filter(|(_, list)| ours(list));
        (Resource::Topic(name.clone()), keys.map(|(key, _)| ((*key).to_owned(), None)).collect())
    });
    let brokers = (!brokers.is_empty()).then_some((Resource::Brokers, brokers));
    [Order::Set(cleared.collect()), Order::Set(brokers.into_iter().collect())]
}

/// The message that changes settings.
pub(super) fn set(changes: &BTreeMap<Resource, Vec<Setting>>) -> IncrementalAlterConfigsRequest {
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    let resources = changes.iter().map(|(resource, settings)| {
        let (kind, name) = match resource {
            Resource::Brokers => (BROKER, String::new()),
            Resource::Broker(id) => (BROKER, id.to_string()),
            Resource::Topic(name) => (TOPIC, name.to_string()),
        };
        let configs = settings.iter().map(|(key, value)| {
            AlterableConfig::default()
                .with_name(StrBytes::from(key.clone()))
                .with_config_operation(if value.is_some() { SET } else { DELETE })
                .with_value(value.clone().map(StrBytes::from))
        });
        AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from(name))
            .with_configs(configs.collect())
    });
    IncrementalAlterConfigsRequest::default().with_resources(resources.collect())
}

/// The first of the refusals, where there is one.
pub(super) fn set_answer(answer: &IncrementalAlterConfigsResponse) -> Option<Failure> {
    answer.responses.iter().find_map(|one| {
        let failure = refusal(one.error_code, one.error_message.as_ref())?;
        Some(named(one.resource_name.as_str(), failure))
    })
}

fn named(name: &str, failure: Failure) -> Failure {
    match failure {
        Failure::Refused(words) => Failure::Refused(format!("{name}: {words}")),
        Failure::Unknown(words) => Failure::Unknown(format!("{name}: {words}")),
    }
}

fn topic(name: &Arc<str>) -> TopicName {
    TopicName(StrBytes::from(name.to_string()))
}

/// The message that moves copies. The number of copies of a partition stays what it is: the controller sees to that.
pub(super) fn reassign(moves: &BTreeMap<Key, Option<Vec<i32>>>) -> AlterPartitionReassignmentsRequest {
    let mut topics: BTreeMap<&Arc<str>, Vec<ReassignablePartition>> = BTreeMap::new();
    for ((name, number), replicas) in moves {
        let replicas = replicas.as_ref().map(|ids| ids.iter().map(|id| BrokerId(*id)).collect());
        let partition =
            ReassignablePartition::default().with_partition_index(*number).with_replicas(replicas);
        topics.entry(name).or_default().push(partition);
    }
    let topics = topics.into_iter();
    let topics =
        topics.map(|(name, all)| ReassignableTopic::default().with_name(topic(name)).with_partitions(all));
    AlterPartitionReassignmentsRequest::default()
        .with_timeout_ms(CONTROLLER_MS)
        .with_allow_replication_factor_change(false)
        .with_topics(topics.collect())
}

/// What came of it. What was refused of some partitions is looked at again before the next batch; where all were, nothing
/// has changed.
pub(super) fn reassign_answer(answer: &AlterPartitionReassignmentsResponse) -> Option<Failure> {
    if let Some(failure) = refusal(answer.error_code, answer.error_message.as_ref()) {
        return Some(failure);
    }
    let each =
        || answer.responses.iter().flat_map(|topic| topic.partitions.iter().map(move |one| (topic, one)));
    let failed = |code: i16| refusal(code, None).is_some();
    // To take back what has ended meanwhile is done already.
    const NOTHING_TO_TAKE_BACK: i16 = 85;
    let bad = each().filter(|(_, one)| one.error_code != NOTHING_TO_TAKE_BACK && failed(one.error_code));
    let failures = bad.filter_map(|(topic, one)| {
        let name = format!("{}-{}", topic.name.as_str(), one.partition_index);
        refusal(one.error_code, one.error_message.as_ref()).map(|failure| named(&name, failure))
    });
    let failures: Vec<Failure> = failures.collect();
    let unsure = failures.iter().find(|failure| matches!(failure, Failure::Unknown(_)));
    let all = failures.len() == each().count();
    unsure.or_else(|| failures.first().filter(|_| all)).cloned()
}

/// The message by which the first copies come to lead.
pub(super) fn elect(keys: &BTreeSet<Key>) -> ElectLeadersRequest {
    const PREFERRED: i8 = 0;
    let mut topics: BTreeMap<&Arc<str>, Vec<i32>> = BTreeMap::new();
    for (name, number) in keys {
        topics.entry(name).or_default().push(*number);
    }
    let topics = topics.into_iter();
    let topics =
        topics.map(|(name, all)| TopicPartitions::default().with_topic(topic(name)).with_partitions(all));
    ElectLeadersRequest::default()
        .with_election_type(PREFERRED)
        .with_topic_partitions(Some(topics.collect()))
        .with_timeout_ms(CONTROLLER_MS)
}

/// An election that is not needed, or has no candidate yet, is no failure: who leads is seen, and Kafka tries again itself.
pub(super) fn elect_answer(answer: &ElectLeadersResponse) -> Option<Failure> {
    refusal(answer.error_code, None)
}

#[cfg(test)]
mod tests;
