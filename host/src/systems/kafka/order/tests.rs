use super::*;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};

fn travels(number: i32, before: &[i32], replicas: &[i32]) -> Move {
    Move { key: ("orders".into(), number), before: before.to_vec(), replicas: replicas.to_vec(), bytes: 1 }
}

#[test]
fn bounds_stand_with_a_mark_and_go_before_it() {
    let moves = [travels(0, &[1, 2], &[4, 2]), travels(1, &[2, 3], &[2, 4])];
    let [brokers, lists] = throttle(&moves, &BTreeMap::new(), Some(1_000), "plan-1");
    let Order::Set(brokers) = brokers else { panic!("{brokers:?}") };
    let keys: Vec<&str> = brokers.values().flatten().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["plimsoll.throttled.all.plan-1", RATES[0], RATES[1]]);
    let Order::Set(lists) = lists else { panic!("{lists:?}") };
    let lists: Vec<&str> = lists.values().flatten().filter_map(|(_, list)| list.as_deref()).collect();
    assert_eq!(lists, ["0:1,0:2,1:2,1:3", "0:4,1:4"]);

    let mark = Mark::new(THROTTLED, None, "plan-1");
    let throttled = Topic { min_isr: 2, throttled: ["0:1".to_owned(), "*".to_owned()] };
    let [first, second] = clear(&BTreeMap::from([("orders".into(), throttled)]), &[&mark]);
    let topic =
        Order::Set(BTreeMap::from([(Resource::Topic("orders".into()), vec![(LISTS[0].to_owned(), None)])]));
    assert_eq!(first, topic, "an owner's star stays");
    let Order::Set(second) = second else { panic!("{second:?}") };
    assert!(second.contains_key(&Resource::Brokers));
}

#[test]
fn what_is_not_ours_is_not_cleared() {
    let throttled = Topic { min_isr: 2, throttled: ["0:1".to_owned(), String::new()] };
    let topics = BTreeMap::from([("orders".into(), throttled)]);
    let filled = Mark::new("filled", Some(4), "plan-1");
    let [first, second] = clear(&topics, &[&filled]);
    assert_eq!(first, Order::Set(BTreeMap::new()), "no mark says that we bounded anything");
    let Order::Set(second) = second else { panic!("{second:?}") };
    assert_eq!(second.values().flatten().count(), 1, "{second:?}");
    assert_eq!(clear(&topics, &[]), [Order::Set(BTreeMap::new()), Order::Set(BTreeMap::new())]);
}

#[test]
fn the_number_of_copies_cannot_change() {
    let request =
        reassign(&BTreeMap::from([(("orders".into(), 3), Some(vec![4, 2])), (("late".into(), 0), None)]));
    assert!(!request.allow_replication_factor_change);
    let first = request.topics.first().and_then(|topic| topic.partitions.first()).expect("a partition");
    assert_eq!(first.replicas, None, "taken back");
}

fn answer(codes: &[i16]) -> AlterPartitionReassignmentsResponse {
    let partitions = codes.iter().zip(0..).map(|(code, number)| {
        ReassignablePartitionResponse::default().with_partition_index(number).with_error_code(*code)
    });
    let topic = ReassignableTopicResponse::default()
        .with_name(TopicName(StrBytes::from_static_str("orders")))
        .with_partitions(partitions.collect());
    AlterPartitionReassignmentsResponse::default().with_responses(vec![topic])
}

#[test]
fn a_batch_is_refused_where_all_of_it_is_and_unsure_where_any_is() {
    const BAD: i16 = 39;
    assert_eq!(reassign_answer(&answer(&[0, 0])), None);
    assert_eq!(reassign_answer(&answer(&[0, BAD])), None, "the next reading shows what is left");
    let refused = reassign_answer(&answer(&[BAD, BAD]));
    assert!(matches!(&refused, Some(Failure::Refused(why)) if why.starts_with("orders-0: ")), "{refused:?}");
    assert!(matches!(reassign_answer(&answer(&[0, 7])), Some(Failure::Unknown(_))));
    assert_eq!(reassign_answer(&answer(&[85, 85])), None, "nothing was left to take back");
}
