//! What brokers answer, in plain values. Pure: messages in, values or words out.

use super::session::refusal;
use kafka_protocol::error::ParseResponseErrorCode as _;
use kafka_protocol::messages::{
    BrokerId, DescribeClusterResponse, DescribeConfigsResponse, DescribeLogDirsResponse,
    DescribeQuorumResponse, ListPartitionReassignmentsResponse, MetadataResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// As many partitions as are kept in memory; a cluster with more is not scaled.
pub(super) const MOST_PARTITIONS: usize = 20_000;
/// What a broker's configuration calls the log directories that take no new copies (4.3 and later).
pub(super) const CORDONED_DIRS: &str = "cordoned.log.dirs";
/// Bytes a second at which a broker sends, and takes, the copies that are being moved.
pub(super) const RATES: [&str; 2] =
    ["leader.replication.throttled.rate", "follower.replication.throttled.rate"];
/// Which copies of a topic those rates are for.
pub(super) const THROTTLED: [&str; 2] =
    ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"];
/// What a rate shows that nothing bounds.
const UNBOUNDED: &str = "9223372036854775807";
/// What our keys begin with.
const OURS: &str = "plimsoll.";
/// The key that says that we have closed a broker's log directories; it stands in that broker's own settings.
pub(super) const CLOSED: &str = "plimsoll.closed";
const MIN_ISR: &str = "min.insync.replicas";
/// What the kinds of resources with a configuration are called by number.
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;

/// A partition: its topic and its number.
pub(super) type Key = (Arc<str>, i32);

/// A broker that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) id: i32,
    /// `host:port` under which clients reach it.
    pub(super) address: String,
    pub(super) rack: Option<Arc<str>>,
    /// The controller lets it lead nothing: it has just come, or is not heard of.
    pub(super) fenced: bool,
}

/// Where a partition is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Partition {
    /// All copies, those too that are coming or going; the first leads where it can.
    pub(super) replicas: Vec<i32>,
    /// Those that have everything.
    pub(super) isr: Vec<i32>,
    pub(super) leader: Option<i32>,
    /// Whether it is Kafka's own.
    pub(super) internal: bool,
}

/// All partitions, as one broker knows them.
pub(super) type Partitions = BTreeMap<Key, Partition>;

/// What lies in a broker's log directories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dirs {
    /// Copies with their bytes.
    pub(super) copies: BTreeMap<Key, u64>,
    /// Bytes of its file systems: all, and those that are used.
    pub(super) disk: Option<(u64, u64)>,
}

/// A mark of a plan of ours. It stands in a key's name: of a key that it does not know Kafka shows no value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) word: String,
    /// The broker that it is about; none where it is about all.
    pub(super) broker: Option<i32>,
    pub(super) plan: String,
}

impl Mark {
    pub(super) fn new(word: &str, broker: Option<i32>, plan: &str) -> Self {
        Self { word: word.to_owned(), broker, plan: plan.to_owned() }
    }

    /// Its key.
    pub(super) fn key(&self) -> String {
        let broker = self.broker.map_or_else(|| "all".to_owned(), |id| id.to_string());
        format!("{OURS}{}.{broker}.{}", self.word, self.plan)
    }

    /// Out of a key.
    fn read(key: &str) -> Option<Self> {
        let (word, rest) = key.strip_prefix(OURS)?.split_once('.')?;
        let (broker, plan) = rest.split_once('.')?;
        let broker = if broker == "all" { None } else { Some(broker.parse().ok()?) };
        Some(Self::new(word, broker, plan))
    }
}

/// A broker's own configuration, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) id: i32,
    /// Marks of ours. All brokers show the same, since they stand in the settings that brokers have by default.
    pub(super) marks: BTreeSet<Mark>,
    /// Whether we have closed its log directories.
    pub(super) closed: bool,
    /// Whether somebody bounds the rate at which copies travel.
    pub(super) rated: bool,
    /// Its log directories that take no new copies; none where it knows no such thing.
    pub(super) cordoned_dirs: Option<String>,
    /// Whether it is a controller, too.
    pub(super) controls: bool,
}

/// A reassignment that is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Moving {
    pub(super) adding: Vec<i32>,
    pub(super) removing: Vec<i32>,
}

/// A topic's own configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) min_isr: u32,
    /// Which copies of it are throttled where they are sent, and where they arrive.
    pub(super) throttled: [String; 2],
}

/// The controllers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Quorum {
    pub(super) leader: i32,
    pub(super) epoch: i32,
    /// Each with how many records of metadata it is behind.
    pub(super) voters: BTreeMap<i32, i64>,
}

fn good(code: i16, message: Option<&StrBytes>) -> Result<(), String> {
    refusal(code, message).map_or(Ok(()), |failure| Err(failure.words()))
}

fn ids(all: &[BrokerId]) -> Vec<i32> {
    all.iter().map(|id| id.0).collect()
}

fn bytes(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}

fn own(text: &StrBytes) -> Arc<str> {
    Arc::from(text.as_str())
}

/// The cluster's id and who is registered.
pub(super) fn cluster(answer: &DescribeClusterResponse) -> Result<(String, Vec<Registered>), String> {
    good(answer.error_code, answer.error_message.as_ref())?;
    let registered =
        |broker: &kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker| Registered {
            id: broker.broker_id.0,
            address: format!("{}:{}", broker.host.as_str(), broker.port),
            rack: broker.rack.as_ref().map(own),
            fenced: broker.is_fenced,
        };
    let mut all: Vec<Registered> = answer.brokers.iter().map(registered).collect();
    all.sort_by_key(|broker| broker.id);
    Ok((answer.cluster_id.as_str().to_owned(), all))
}

/// All partitions; a topic that cannot be read leaves none of them known.
pub(super) fn partitions(answer: &MetadataResponse) -> Result<Partitions, String> {
    good(answer.error_code, None)?;
    let mut all = Partitions::new();
    for topic in &answer.topics {
        let name = topic.name.as_ref().map(|name| own(name)).ok_or("a topic has no name")?;
        good(topic.error_code, None).map_err(|why| format!("topic {name}: {why}"))?;
        for partition in &topic.partitions {
            if all.len() >= MOST_PARTITIONS {
                return Err(format!("there are more than {MOST_PARTITIONS} partitions"));
            }
            let leader = Some(partition.leader_id.0).filter(|id| *id >= 0);
            all.insert(
                (name.clone(), partition.partition_index),
                Partition {
                    replicas: ids(&partition.replica_nodes),
                    isr: ids(&partition.isr_nodes),
                    leader,
                    internal: topic.is_internal,
                },
            );
        }
    }
    Ok(all)
}

/// What lies in the log directories. One that cannot be read may hold anything.
pub(super) fn dirs(answer: &DescribeLogDirsResponse) -> Result<Dirs, String> {
    good(answer.error_code, None)?;
    let mut found = Dirs::default();
    let mut disks = Some(BTreeSet::new());
    for dir in &answer.results {
        good(dir.error_code, None).map_err(|why| format!("log directory {}: {why}", dir.log_dir.as_str()))?;
        for topic in &dir.topics {
            let name = own(&topic.name);
            for partition in &topic.partitions {
                if found.copies.len() >= MOST_PARTITIONS {
                    return Err(format!("it holds more than {MOST_PARTITIONS} copies"));
                }
                // A copy that changes its directory is there twice.
                *found.copies.entry((name.clone(), partition.partition_index)).or_default() +=
                    bytes(partition.partition_size);
            }
        }
        if dir.total_bytes < 0 || dir.usable_bytes < 0 {
            disks = None;
        } else if let Some(disks) = &mut disks {
            // Two directories with the very same figures are on one file system, which counts once.
            disks.insert((bytes(dir.total_bytes), bytes(dir.usable_bytes)));
        }
    }
    let sum = |disks: BTreeSet<(u64, u64)>| {
        disks.iter().fold((0_u64, 0_u64), |(all, used), (total, usable)| {
            (all.saturating_add(*total), used.saturating_add(total.saturating_sub(*usable)))
        })
    };
    found.disk = disks.filter(|disks| !disks.is_empty()).map(sum);
    Ok(found)
}

/// The configuration of the broker that answers: the only one that it tells of all those that it was asked about.
pub(super) fn own_config(answer: &DescribeConfigsResponse) -> Result<Own, String> {
    let mut told = answer.results.iter().filter(|result| result.error_code.ok().is_some());
    let (Some(result), None) = (told.next(), told.next()) else {
        let why =
            answer.results.first().and_then(|first| refusal(first.error_code, first.error_message.as_ref()));
        let why = why.map(|why| format!(" ({})", why.words())).unwrap_or_default();
        return Err(format!("which of the registered brokers this is cannot be told{why}"));
    };
    let id = result.resource_name.as_str().parse().map_err(|_| "it is no broker".to_owned())?;
    let mut own = Own { id, ..Own::default() };
    for config in &result.configs {
        let value = config.value.as_ref().map(StrBytes::as_str);
        match config.name.as_str() {
            CORDONED_DIRS if !config.is_sensitive => {
                own.cordoned_dirs = Some(value.unwrap_or_default().to_owned())
            }
            "process.roles" => own.controls = value.is_some_and(|roles| roles.contains("controller")),
            CLOSED => own.closed = true,
            name if RATES.contains(&name) => own.rated |= value.is_some_and(|rate| rate != UNBOUNDED),
            name => own.marks.extend(Mark::read(name)),
        }
    }
    Ok(own)
}

/// The configuration of topics.
pub(super) fn topics(answer: &DescribeConfigsResponse) -> Result<BTreeMap<Arc<str>, Topic>, String> {
    let mut all = BTreeMap::new();
    for result in &answer.results {
        let name = own(&result.resource_name);
        good(result.error_code, result.error_message.as_ref())
            .map_err(|why| format!("topic {name}: {why}"))?;
        let value = |key: &str| {
            let config = result.configs.iter().find(|config| config.name.as_str() == key)?;
            config.value.as_ref().map(StrBytes::as_str)
        };
        let min_isr = value(MIN_ISR).and_then(|text| text.parse().ok());
        let min_isr = min_isr.ok_or_else(|| format!("topic {name} does not say its {MIN_ISR}"))?;
        let throttled = THROTTLED.map(|key| value(key).unwrap_or_default().to_owned());
        all.insert(name, Topic { min_isr, throttled });
    }
    Ok(all)
}

/// What is asked of topics.
pub(super) fn topic_keys() -> Vec<StrBytes> {
    [MIN_ISR].iter().chain(&THROTTLED).map(|key| StrBytes::from_static_str(key)).collect()
}

/// Reassignments that are under way, on the controller's word.
pub(super) fn reassignments(
    answer: &ListPartitionReassignmentsResponse,
) -> Result<BTreeMap<Key, Moving>, String> {
    good(answer.error_code, answer.error_message.as_ref())?;
    let mut all = BTreeMap::new();
    for topic in &answer.topics {
        let name = own(&topic.name);
        for one in &topic.partitions {
            let moving = Moving { adding: ids(&one.adding_replicas), removing: ids(&one.removing_replicas) };
            all.insert((name.clone(), one.partition_index), moving);
        }
    }
    Ok(all)
}

/// The controllers, on the word of the one that leads.
pub(super) fn quorum(answer: &DescribeQuorumResponse) -> Result<Quorum, String> {
    good(answer.error_code, answer.error_message.as_ref())?;
    let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
    let partition = partition.ok_or("the controllers tell nothing of themselves")?;
    good(partition.error_code, partition.error_message.as_ref())?;
    let newest = partition.current_voters.iter().map(|voter| voter.log_end_offset).max().unwrap_or(0);
    let behind = |offset: i64| if offset < 0 { i64::MAX } else { newest.saturating_sub(offset) };
    let voters = partition.current_voters.iter();
    Ok(Quorum {
        leader: partition.leader_id.0,
        epoch: partition.leader_epoch,
        voters: voters.map(|voter| (voter.replica_id.0, behind(voter.log_end_offset))).collect(),
    })
}

#[cfg(test)]
mod tests;
