//! A client of Kafka that knows nothing of the product's driver: topics, records, committed offsets, reassignments.

use anyhow::Context as _;
use bytes::{Buf as _, Bytes, BytesMut};
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId, CreateTopicsRequest, DescribeConfigsRequest, FetchRequest,
    FindCoordinatorRequest, GroupId, IncrementalAlterConfigsRequest, MetadataRequest, MetadataResponse,
    OffsetCommitRequest, ProduceRequest, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion as _, Request, StrBytes};
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Long enough for a produce request that waits for a copy to come back.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to one broker.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    next: i32,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, next: 0 })
    }

    /// Sends one request in one version and waits for the answer.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn ask<R: Request>(&mut self, request: &R, version: i16) -> anyhow::Result<R::Response> {
        self.next += 1;
        let mut body = BytesMut::new();
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.next);
        header.encode(&mut body, R::header_version(version))?;
        request.encode(&mut body, version)?;
        let exchange = async {
            self.stream.write_i32(i32::try_from(body.len())?).await?;
            self.stream.write_all(&body).await?;
            let length = usize::try_from(self.stream.read_i32().await?)?;
            let mut answer = BytesMut::zeroed(length);
            self.stream.read_exact(&mut answer).await?;
            anyhow::Ok(answer.freeze())
        };
        let mut answer = tokio::time::timeout(PATIENCE, exchange).await.context("no answer in time")??;
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version))?;
        anyhow::ensure!(header.correlation_id == self.next, "the answer to another request");
        let response = R::Response::decode(&mut answer, version)?;
        anyhow::ensure!(!answer.has_remaining(), "a longer answer than expected");
        Ok(response)
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn create(&mut self, topic: &str, partitions: i32, copies: i16) -> anyhow::Result<()> {
        let least = CreatableTopicConfig::default()
            .with_name(text("min.insync.replicas"))
            .with_value(Some(text(if copies > 2 { "2" } else { "1" })));
        let topic = CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(partitions)
            .with_replication_factor(copies)
            .with_configs(vec![least]);
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(20_000);
        let answer = self.ask(&request, 5).await?;
        for topic in &answer.topics {
            anyhow::ensure!(topic.error_code == 0, "{} {:?}", topic.error_code, topic.error_message);
        }
        Ok(())
    }

    /// All topics.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn metadata(&mut self) -> anyhow::Result<MetadataResponse> {
        self.ask(&MetadataRequest::default().with_topics(None), 9).await
    }

    /// Where the copies of a partition are, and which of them are in sync.
    ///
    /// # Errors
    /// When there is no such partition.
    pub async fn copies(&mut self, topic: &str, partition: i32) -> anyhow::Result<(Vec<i32>, Vec<i32>)> {
        let all = self.metadata().await?;
        let found =
            all.topics.iter().filter(|one| one.name.as_ref().is_some_and(|name| name.as_str() == topic));
        let found = found.flat_map(|one| &one.partitions).find(|one| one.partition_index == partition);
        let found = found.with_context(|| format!("no {topic}-{partition}"))?;
        let ids = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect();
        Ok((ids(&found.replica_nodes), ids(&found.isr_nodes)))
    }

    /// Writes records to a partition and waits until all copies in sync have them. Returns the offset of the first.
    ///
    /// # Errors
    /// When they are not acknowledged.
    pub async fn produce(&mut self, topic: &str, partition: i32, values: &[Bytes]) -> anyhow::Result<i64> {
        let mut offset = 0_i64..;
        let records: Vec<Record> =
            values.iter().map(|value| record(offset.next().unwrap_or_default(), value.clone())).collect();
        let mut batch = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut batch, &records, &options)?;
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch.freeze()));
        let data = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(20_000).with_topic_data(vec![data]);
        let answer = self.ask(&request, 9).await?;
        let one = answer.responses.first().and_then(|topic| topic.partition_responses.first());
        let one = one.context("no answer for the partition")?;
        anyhow::ensure!(one.error_code == 0, "not written: error {}", one.error_code);
        Ok(one.base_offset)
    }

    /// Records of a partition from an offset on: each with its own offset. Empty where there are none yet.
    ///
    /// # Errors
    /// When the broker does not lead the partition, or does not answer.
    pub async fn fetch(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> anyhow::Result<Vec<(i64, Bytes)>> {
        let part = FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(4 * 1024 * 1024);
        let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![part]);
        let request = FetchRequest::default()
            .with_max_wait_ms(100)
            .with_min_bytes(1)
            .with_max_bytes(4 * 1024 * 1024)
            .with_topics(vec![topic]);
        let answer = self.ask(&request, 11).await?;
        let one = answer.responses.first().and_then(|topic| topic.partitions.first());
        let one = one.context("no answer for the partition")?;
        anyhow::ensure!(one.error_code == 0, "not read: error {}", one.error_code);
        let Some(mut batches) = one.records.clone().filter(|bytes| !bytes.is_empty()) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        // The last batch may be cut short.
        while let Ok(set) = RecordBatchDecoder::decode(&mut batches) {
            let records = set.records.into_iter().filter(|record| record.offset >= offset);
            found.extend(records.filter_map(|record| Some((record.offset, record.value?))));
            if !batches.has_remaining() {
                break;
            }
        }
        Ok(found)
    }

    /// Moves the copies of a partition, as a person would.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn reassign(
        &mut self,
        topic: &str,
        partition: i32,
        copies: Option<&[i32]>,
    ) -> anyhow::Result<()> {
        let copies = copies.map(|ids| ids.iter().map(|id| BrokerId(*id)).collect());
        let part = ReassignablePartition::default().with_partition_index(partition).with_replicas(copies);
        let topic = ReassignableTopic::default().with_name(name(topic)).with_partitions(vec![part]);
        let request =
            AlterPartitionReassignmentsRequest::default().with_timeout_ms(20_000).with_topics(vec![topic]);
        let answer = self.ask(&request, 0).await?;
        anyhow::ensure!(answer.error_code == 0, "{} {:?}", answer.error_code, answer.error_message);
        for one in answer.responses.iter().flat_map(|topic| &topic.partitions) {
            anyhow::ensure!(one.error_code == 0, "{} {:?}", one.error_code, one.error_message);
        }
        Ok(())
    }

    /// Sets something of a broker, as a person would; none takes it back.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn configure(&mut self, broker: i32, key: &str, value: Option<&str>) -> anyhow::Result<()> {
        let config = AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(i8::from(value.is_none()))
            .with_value(value.map(text));
        let resource = AlterConfigsResource::default()
            .with_resource_type(4)
            .with_resource_name(text(&broker.to_string()))
            .with_configs(vec![config]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let answer = self.ask(&request, 1).await?;
        for one in &answer.responses {
            anyhow::ensure!(one.error_code == 0, "{} {:?}", one.error_code, one.error_message);
        }
        Ok(())
    }

    /// The keys of all settings of the broker that is connected to, and by default of all, that somebody has set while it ran.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn settings(&mut self, broker: i32) -> anyhow::Result<Vec<String>> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(4)
            .with_resource_name(text(&broker.to_string()))
            .with_configuration_keys(None);
        let answer = self.ask(&DescribeConfigsRequest::default().with_resources(vec![resource]), 4).await?;
        let one = answer.results.first().context("no answer")?;
        anyhow::ensure!(one.error_code == 0, "{} {:?}", one.error_code, one.error_message);
        // Of a broker, and of all by default.
        let is_dynamic = |source: i8| matches!(source, 2 | 3);
        let set = one.configs.iter().filter(|config| is_dynamic(config.config_source));
        Ok(set.map(|config| config.name.as_str().to_owned()).collect())
    }

    /// The address of the broker that keeps a group's offsets.
    ///
    /// # Errors
    /// When there is none yet.
    pub async fn coordinator(&mut self, group: &str) -> anyhow::Result<String> {
        let request = FindCoordinatorRequest::default().with_key(text(group));
        let answer = self.ask(&request, 3).await?;
        anyhow::ensure!(answer.error_code == 0, "{} {:?}", answer.error_code, answer.error_message);
        Ok(format!("{}:{}", answer.host.as_str(), answer.port))
    }

    /// Commits how far a group has come in a partition.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn commit(
        &mut self,
        group: &str,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> anyhow::Result<()> {
        let part = OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset);
        let topic = OffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(vec![part]);
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        let answer = self.ask(&request, 7).await?;
        let one = answer.topics.first().and_then(|topic| topic.partitions.first());
        let one = one.context("no answer for the partition")?;
        anyhow::ensure!(one.error_code == 0, "not committed: error {}", one.error_code);
        Ok(())
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from(text.to_owned())
}

fn name(topic: &str) -> TopicName {
    TopicName(text(topic))
}

/// A record of now: one of 1970 is older than the broker keeps any, and is deleted unread.
fn record(offset: i64, value: Bytes) -> Record {
    let now_ms = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis());
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: i32::try_from(offset).unwrap_or(-1),
        timestamp: i64::try_from(now_ms).unwrap_or(i64::MAX),
        key: None,
        value: Some(value),
        headers: Default::default(),
    }
}
