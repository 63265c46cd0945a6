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
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

/// As many groups of one broker are looked at; the others are counted.
const MOST_GROUPS: usize = 64;
/// As many offsets are kept of one broker's groups.
const MOST_OFFSETS: usize = 4_096;
/// Stands for the end of a partition.
const LATEST: i64 = -1;

/// What groups have committed, each in a partition.
type Committed = BTreeMap<(Arc<str>, Key), i64>;

/// What all brokers told of consumers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offsets {
    pub(super) committed: Committed,
    pub(super) ends: BTreeMap<Key, i64>,
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
    let mut led: BTreeMap<i32, Vec<Key>> = BTreeMap::new();
    for (_, key) in all.committed.keys() {
        if let Some(leader) = partitions.get(key).and_then(|partition| partition.leader) {
            led.entry(leader).or_default().push(key.clone());
        }
    }
    let mut asked = tokio::task::JoinSet::new();
    for answer in answers {
        let Ok(broker) = &answer.reading else { continue };
        let Some(keys) = led.remove(&broker.own.id) else { continue };
        let (access, at) = (access.clone(), client(&answer.endpoints)?);
        asked.spawn(async move { ends(&mut Session::open(&access, &at, deadline).await?, keys).await });
    }
    while let Some(done) = asked.join_next().await {
        all.ends.extend(done.map_err(|error| error.to_string())??);
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

/// Where some partitions end, on the word of their leader.
async fn ends(session: &mut Session, keys: Vec<Key>) -> Result<BTreeMap<Key, i64>, String> {
    let mut topics: BTreeMap<Arc<str>, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for (topic, number) in keys {
        let partition = ListOffsetsPartition::default().with_partition_index(number).with_timestamp(LATEST);
        topics.entry(topic).or_default().push(partition);
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

/// How many records of a topic were written, and how many of them a group has committed; none where an end is not known.
type Sum = Option<(u64, u64)>;

/// How far each group is in each topic. A partition whose end nobody told leaves its group on that topic unknown: it is left
/// out, and counted.
pub(super) fn told(offsets: &Offsets, partitions: &Partitions) -> Consumers {
    let mut sums: BTreeMap<_, Sum> = BTreeMap::new();
    for ((group, key), committed) in &offsets.committed {
        let end = offsets.ends.get(key).and_then(|end| u64::try_from(*end).ok());
        let entry = sums.entry((group, &key.0)).or_insert(Some((0, 0)));
        *entry = match (*entry, end, u64::try_from(*committed)) {
            (Some((written, sum)), Some(end), Ok(committed)) => {
                Some((written.saturating_add(end), sum.saturating_add(committed.min(end))))
            }
            (_, _, _) => None,
        };
    }
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let unknown = count(sums.values().filter(|sum| sum.is_none()).count());
    let rows = sums.into_iter().filter_map(|((group, topic), sum)| {
        let (written, committed) = sum?;
        let all = partitions.keys().filter(|(name, _)| name == topic).count();
        Some(ConsumerLag {
            group: group.to_string(),
            topic: topic.to_string(),
            partitions: count(all),
            written,
            committed,
        })
    });
    Consumers { groups: rows.collect(), left_out: count(offsets.left_out), unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_summed_by_group_and_topic_and_what_is_not_known_is_left_out() {
        let key = |topic: &str, number: i32| (Arc::from(topic), number);
        let mut offsets = Offsets { left_out: 3, ..Offsets::default() };
        for (group, topic, number, committed) in
            [("a", "orders", 0, 10), ("a", "orders", 1, 20), ("a", "late", 0, 1), ("b", "orders", 1, 30)]
        {
            offsets.committed.insert((Arc::from(group), key(topic, number)), committed);
        }
        offsets.ends = BTreeMap::from([(key("orders", 0), 15), (key("orders", 1), 27)]);
        let row = |group: &str, written, committed| ConsumerLag {
            group: group.to_owned(),
            topic: "orders".to_owned(),
            partitions: 0,
            written,
            committed,
        };
        let wanted = Consumers { groups: vec![row("a", 42, 30), row("b", 27, 27)], left_out: 3, unknown: 1 };
        assert_eq!(told(&offsets, &Partitions::default()), wanted);
    }
}
