use super::*;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};

fn text(text: &str) -> StrBytes {
    StrBytes::from(text.to_owned())
}

fn config(name: &str, value: Option<&str>) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult::default()
        .with_name(text(name))
        .with_value(value.map(text))
        .with_is_sensitive(value.is_none())
}

fn resource(name: &str, error: i16, configs: Vec<DescribeConfigsResourceResult>) -> DescribeConfigsResult {
    DescribeConfigsResult::default()
        .with_resource_name(text(name))
        .with_error_code(error)
        .with_configs(configs)
}

fn dir(name: &str, topic: &str, sizes: &[i64], disk: (i64, i64)) -> DescribeLogDirsResult {
    let partitions = sizes.iter().zip(0..).map(|(size, number)| {
        DescribeLogDirsPartition::default().with_partition_index(number).with_partition_size(*size)
    });
    let topic = DescribeLogDirsTopic::default()
        .with_name(TopicName(text(topic)))
        .with_partitions(partitions.collect());
    DescribeLogDirsResult::default()
        .with_log_dir(text(name))
        .with_topics(vec![topic])
        .with_total_bytes(disk.0)
        .with_usable_bytes(disk.1)
}

/// As a broker of 4.3 answers that was asked about itself and two others.
#[test]
fn a_broker_is_the_one_that_it_tells_of() {
    let configs = vec![
        config("process.roles", Some("broker")),
        config(CORDONED_DIRS, Some("")),
        config("plimsoll.cordoned.2.plan-7", None),
        config("plimsoll.throttled.all.plan-7", None),
        config("plimsoll.closed", None),
        config("plimsoll.unheard-of", None),
        config("follower.replication.throttled.rate", Some("1000")),
    ];
    let results =
        vec![resource("1", 42, Vec::new()), resource("2", 0, configs), resource("3", 42, Vec::new())];
    let own =
        own_config(&DescribeConfigsResponse::default().with_results(results)).expect("it is the second");
    assert_eq!((own.id, own.controls, own.cordoned_dirs.as_deref()), (2, false, Some("")));
    assert!(own.closed && own.rated);
    let marks = [Mark::new("cordoned", Some(2), "plan-7"), Mark::new("throttled", None, "plan-7")];
    assert_eq!(own.marks, BTreeSet::from(marks));

    let nobody = DescribeConfigsResponse::default().with_results(vec![resource("1", 29, Vec::new())]);
    let why = own_config(&nobody).expect_err("it tells of nobody");
    assert!(why.contains("cannot be told (TopicAuthorizationFailed (29))"), "{why}");
    let two = vec![resource("1", 0, Vec::new()), resource("2", 0, Vec::new())];
    assert!(own_config(&DescribeConfigsResponse::default().with_results(two)).is_err(), "it cannot be both");
}

#[test]
fn an_older_broker_knows_no_closed_directories() {
    let known = vec![resource("2", 0, vec![config("process.roles", Some("broker,controller"))])];
    let own = own_config(&DescribeConfigsResponse::default().with_results(known)).expect("it is the second");
    assert_eq!((own.cordoned_dirs, own.controls), (None, true));
    // A key that it does not know shows no value, whatever was written there.
    let unknown = vec![resource("2", 0, vec![config(CORDONED_DIRS, None)])];
    let own =
        own_config(&DescribeConfigsResponse::default().with_results(unknown)).expect("it is the second");
    assert_eq!(own.cordoned_dirs, None);
}

#[test]
fn one_file_system_is_counted_once_and_a_copy_on_the_move_twice() {
    let answer = DescribeLogDirsResponse::default().with_results(vec![
        dir("/a", "orders", &[100, 20], (1_000, 400)),
        dir("/b", "orders", &[30], (1_000, 400)),
        dir("/c", "late", &[1], (500, 500)),
    ]);
    let found = dirs(&answer).expect("it can be read");
    assert_eq!(found.disk, Some((1_500, 600)));
    let sizes: Vec<u64> = found.copies.values().copied().collect();
    assert_eq!(sizes, [1, 130, 20]);
}

#[test]
fn a_directory_that_cannot_be_read_leaves_everything_unknown() {
    let lost = dir("/b", "orders", &[], (0, 0)).with_error_code(56);
    let answer =
        DescribeLogDirsResponse::default().with_results(vec![dir("/a", "orders", &[1], (10, 5)), lost]);
    let why = dirs(&answer).expect_err("one is offline");
    assert!(why.contains("log directory /b: KafkaStorageError (56)"), "{why}");
    let unsized_disk =
        DescribeLogDirsResponse::default().with_results(vec![dir("/a", "orders", &[1], (-1, -1))]);
    assert_eq!(dirs(&unsized_disk).expect("it can be read").disk, None);
}

#[test]
fn a_topic_that_cannot_be_read_leaves_no_partition_known() {
    let partition = MetadataResponsePartition::default()
        .with_leader_id(BrokerId(-1))
        .with_replica_nodes(vec![BrokerId(1), BrokerId(2)])
        .with_isr_nodes(vec![BrokerId(2)]);
    let topic = |error: i16| {
        MetadataResponseTopic::default()
            .with_name(Some(TopicName(text("orders"))))
            .with_error_code(error)
            .with_partitions(vec![partition.clone()])
    };
    let all = partitions(&MetadataResponse::default().with_topics(vec![topic(0)])).expect("one partition");
    let one = all.get(&(Arc::from("orders"), 0)).expect("it is there");
    assert_eq!((one.leader, &one.replicas, &one.isr), (None, &vec![1, 2], &vec![2]));
    let why = partitions(&MetadataResponse::default().with_topics(vec![topic(29)])).expect_err("not for us");
    assert!(why.starts_with("topic orders: TopicAuthorizationFailed"), "{why}");
}
