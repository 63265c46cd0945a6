//! How far consumers are behind: what groups have committed, and where partitions end.

use super::Access;
use super::reading::{Key, Partitions};
use super::session::{Failure, Session, refusal};
use super::survey::{Answer, client};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    BrokerId, GroupId, ListGroupsRequest, ListOffsetsRequest, OffsetFetchRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use plimsoll_wire::lag::{ConsumerLag, Consumers};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::Instant;

/// As many groups of one broker are looked at; the others are counted.
const MOST_GROUPS: usize = 64;
/// As many offsets are kept of one broker's groups.
const MOST_OFFSETS: usize = 4_096;
/// Stand for the end of a partition, and for its oldest record.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// What groups have committed, each in a partition.
type Committed = BTreeMap<(Arc<str>, Key), i64>;

/// What all brokers told of consumers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offsets {
    pub(super) committed: Committed,
    /// The oldest record and the end of each partition of a topic of which something was committed; none where its leader did
    /// not tell.
    pub(super) spans: BTreeMap<Key, Option<(i64, i64)>>,
    /// Groups that were not looked at.
    pub(super) left_out: usize,
}

/// Asks every broker for the groups that it keeps, and then for the ends of the partitions that it leads. Where one does not
/// answer nobody knows how far consumers are.
pub(super) async fn read(
    access: &Access,
    answers: &[Answer],
    partitions: &Partitions,
) -> Result<Offsets, String> {
    let deadline = Instant::now() + access.connection.deadline;
    let mut asked = tokio::task::JoinSet::new();
    for answer in answers.iter().filter(|answer| answer.reading.is_ok()) {
        let (access, at) = (access.clone(), client(&answer.endpoints)?);
        asked.spawn(async move { groups(&mut Session::open(&access, &at, deadline).await?).await });
    }
    let mut all = Offsets::default();
    while let Some(done) = asked.join_next().await {
        let told = done.map_err(|error| error.to_string())??;
        all.committed.extend(told.committed);
        all.left_out += told.left_out;
    }
    let topics: BTreeSet<&Arc<str>> = all.committed.keys().map(|(_, (topic, _))| topic).collect();
    let mut led: BTreeMap<i32, Vec<Key>> = BTreeMap::new();
    let mut spans = BTreeMap::new();
    for (key, partition) in partitions.iter().filter(|(key, _)| topics.contains(&key.0)) {
        spans.insert(key.clone(), None);
        led.entry(partition.leader.unwrap_or(-1)).or_default().push(key.clone());
    }
    all.spans = spans;
    let mut asked = tokio::task::JoinSet::new();
    for answer in answers {
        let Ok(broker) = &answer.reading else { continue };
        let Some(keys) = led.remove(&broker.own.id) else { continue };
        let (access, at) = (access.clone(), client(&answer.endpoints)?);
        asked.spawn(async move {
            let mut session = Session::open(&access, &at, deadline).await?;
            let ends = offsets(&mut session, &keys, LATEST).await?;
            Ok::<_, String>((offsets(&mut session, &keys, EARLIEST).await?, ends))
        });
    }
    while let Some(done) = asked.join_next().await {
        let (starts, ends) = done.map_err(|error| error.to_string())??;
        for (key, end) in ends {
            let start = starts.get(&key).copied();
            all.spans.insert(key, start.map(|start| (start, end)));
        }
    }
    Ok(all)
}

fn good(code: i16) -> Result<(), String> {
    refusal(code, None).map_or(Ok(()), |failure| Err(failure.words()))
}

/// The groups that a broker keeps, with what they have committed.
async fn groups(session: &mut Session) -> Result<Offsets, String> {
    let answer = session.ask(&ListGroupsRequest::default()).await.map_err(Failure::words)?;
    good(answer.error_code)?;
    let mut ids: Vec<GroupId> = answer.groups.into_iter().map(|group| group.group_id).collect();
    ids.sort();
    let mut told = Offsets { left_out: ids.len().saturating_sub(MOST_GROUPS), ..Offsets::default() };
    for id in ids.into_iter().take(MOST_GROUPS) {
        let group: Arc<str> = Arc::from(id.0.as_str());
        let question = OffsetFetchRequestGroup::default().with_group_id(id).with_topics(None);
        let question = OffsetFetchRequest::default().with_groups(vec![question]);
        let answer = session.ask_since(&question, 8).await.map_err(Failure::words)?;
        let mut offsets = Committed::new();
        for one in &answer.groups {
            good(one.error_code).map_err(|why| format!("group {group}: {why}"))?;
            for topic in &one.topics {
                let name: Arc<str> = Arc::from(topic.name.as_str());
                let known = topic.partitions.iter().filter(|one| one.committed_offset >= 0);
                offsets.extend(
                    known.map(|one| {
                        ((group.clone(), (name.clone(), one.partition_index)), one.committed_offset)
                    }),
                );
            }
        }
        if told.committed.len().saturating_add(offsets.len()) > MOST_OFFSETS {
            told.left_out += 1;
        } else {
            told.committed.extend(offsets);
        }
    }
    Ok(told)
}

/// The offsets of some partitions at one end, on the word of their leader.
async fn offsets(session: &mut Session, keys: &[Key], at: i64) -> Result<BTreeMap<Key, i64>, String> {
    let mut topics: BTreeMap<Arc<str>, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for (topic, number) in keys {
        let partition = ListOffsetsPartition::default().with_partition_index(*number).with_timestamp(at);
        topics.entry(topic.clone()).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        let name = TopicName(StrBytes::from(name.to_string()));
        ListOffsetsTopic::default().with_name(name).with_partitions(partitions)
    });
    let question = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(topics.collect());
    let answer = session.ask_since(&question, 1).await.map_err(Failure::words)?;
    let mut found = BTreeMap::new();
    for topic in &answer.topics {
        let name: Arc<str> = Arc::from(topic.name.as_str());
        for one in topic.partitions.iter().filter(|one| one.error_code == 0) {
            found.insert((name.clone(), one.partition_index), one.offset);
        }
    }
    Ok(found)
}

/// How far each group is in each topic. A topic of which one partition is not known is left out, and counted.
pub(super) fn told(offsets: &Offsets) -> Consumers {
    let mut groups = Vec::new();
    let mut unknown = 0_u32;
    let pairs: BTreeSet<(&Arc<str>, &Arc<str>)> =
        offsets.committed.keys().map(|(group, (topic, _))| (group, topic)).collect();
    for (group, topic) in pairs {
        match of_one(offsets, group, topic) {
            Some(row) => groups.push(row),
            None => unknown = unknown.saturating_add(1),
        }
    }
    Consumers { groups, left_out: u32::try_from(offsets.left_out).unwrap_or(u32::MAX), unknown }
}

/// A partition of which a group never committed anything counts from its oldest record, and so does one whose records were
/// deleted before they were read.
fn of_one(offsets: &Offsets, group: &Arc<str>, topic: &Arc<str>) -> Option<ConsumerLag> {
    let (group_name, topic_name) = (group.to_string(), topic.to_string());
    let mut row =
        ConsumerLag { group: group_name, topic: topic_name, partitions: 0, written: 0, committed: 0 };
    for (key, span) in offsets.spans.iter().filter(|(key, _)| key.0 == *topic) {
        let (start, end) = (*span)?;
        let committed = offsets.committed.get(&(group.clone(), key.clone())).copied().unwrap_or(start);
        let count = |offset: i64| u64::try_from(offset).unwrap_or(0);
        row.partitions = row.partitions.saturating_add(1);
        row.written = row.written.saturating_add(count(end));
        row.committed = row.committed.saturating_add(count(committed.max(start)));
    }
    (row.partitions > 0).then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_summed_by_group_and_topic_and_what_is_not_known_is_left_out() {
        let key = |topic: &str, number: i32| (Arc::from(topic), number);
        let mut offsets = Offsets { left_out: 3, ..Offsets::default() };
        for (group, topic, number, committed) in
            [("a", "orders", 0, 10), ("a", "orders", 1, 20), ("a", "late", 0, 1), ("b", "orders", 1, 1)]
        {
            offsets.committed.insert((Arc::from(group), key(topic, number)), committed);
        }
        offsets.spans = BTreeMap::from([
            (key("orders", 0), Some((4, 15))),
            (key("orders", 1), Some((5, 27))),
            (key("late", 0), None),
        ]);
        let row = |group: &str, committed: u64| ConsumerLag {
            group: group.to_owned(),
            topic: "orders".to_owned(),
            partitions: 2,
            written: 42,
            committed,
        };
        // Group b never committed in partition 0, and what it had not read of partition 1 is deleted.
        let wanted = Consumers { groups: vec![row("a", 30), row("b", 9)], left_out: 3, unknown: 1 };
        assert_eq!(told(&offsets), wanted);
    }
}
