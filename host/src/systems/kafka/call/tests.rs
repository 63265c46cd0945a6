use super::*;
use crate::systems::kafka::fixture::{broker, key, mark, platform, silence, survey, whole};

const THREE: &[(&str, i32, &[i32])] =
    &[("orders", 0, &[1, 2, 3]), ("orders", 1, &[2, 3, 1]), ("__consumer_offsets", 0, &[3, 1, 2])];

fn decided(survey: &Survey, verb: &SystemVerb) -> Decision {
    let terms = Terms { plan: "plan-1", throttle: 1_000_000 };
    decide(verb, survey, &platform(survey), terms)
}

fn refused(survey: &Survey, verb: &SystemVerb) -> String {
    match decided(survey, verb) {
        Decision::Settled(Outcome::Refused { message }) => message,
        other @ (Decision::Settled(_) | Decision::Send(_)) => panic!("{other:?}"),
    }
}

fn sent(survey: &Survey, verb: &SystemVerb) -> Vec<Order> {
    match decided(survey, verb) {
        Decision::Send(orders) => orders.into_iter().map(|(_, order)| order).collect(),
        other @ Decision::Settled(_) => panic!("{other:?}"),
    }
}

fn moves(orders: &[Order]) -> BTreeMap<Key, Option<Vec<i32>>> {
    let all = orders.iter().filter_map(|order| match order {
        Order::Reassign(moves) => Some(moves.clone()),
        Order::Set(_) | Order::Elect(_) | Order::Unregister(_) => None,
    });
    all.flatten().collect()
}

fn drain(id: i32) -> SystemVerb {
    SystemVerb::Drain { member: id.to_string().into() }
}

const DONE: Decision = Decision::Settled(Outcome::Applied);

#[test]
fn a_drain_moves_everything_internal_topics_too_and_bounds_it_first() {
    let mut all = survey(4, THREE);
    assert!(refused(&all, &drain(3)).contains("cordoned first"));
    mark(&mut all, CORDONED, 3);
    let orders = sent(&all, &drain(3));
    assert!(matches!(orders.as_slice(), [Order::Set(_), Order::Set(_), Order::Reassign(_)]), "{orders:?}");
    let moves = moves(&orders);
    assert_eq!(moves.len(), 3);
    assert!(moves.contains_key(&key("__consumer_offsets", 0)));
    assert!(moves.values().flatten().all(|replicas| !replicas.contains(&3) && replicas.contains(&4)));
}

#[test]
fn fewer_brokers_than_copies_are_refused() {
    let mut all = survey(3, THREE);
    mark(&mut all, CORDONED, 3);
    assert!(refused(&all, &drain(3)).contains("fewer brokers would be left than it needs"));
}

#[test]
fn nothing_goes_to_a_broker_that_is_silent_closed_or_fenced() {
    let mut all = survey(4, THREE);
    mark(&mut all, CORDONED, 3);
    broker(&mut all, 4).own.cordoned_dirs = Some("/data/1".to_owned());
    assert!(refused(&all, &drain(3)).contains("takes new copies"));
    let mut all = survey(4, THREE);
    mark(&mut all, CORDONED, 3);
    silence(&mut all, 4, false);
    assert!(refused(&all, &drain(3)).contains("takes new copies"));
}

#[test]
fn somebody_elses_reassignment_bars_ours() {
    let mut all = survey(4, THREE);
    mark(&mut all, CORDONED, 3);
    whole(&mut all).moving.insert(key("orders", 1), Moving { adding: vec![4], removing: vec![2] });
    assert!(refused(&all, &drain(3)).contains("not this plan's is under way: orders-1"));
    assert!(refused(&all, &SystemVerb::Spread { onto: vec!["4".into()] }).contains("orders-1"));
}

#[test]
fn a_partition_that_is_behind_waits_and_the_others_move() {
    let mut all = survey(4, THREE);
    mark(&mut all, CORDONED, 3);
    broker(&mut all, 1).partitions.get_mut(&key("orders", 0)).expect("it is there").isr = vec![1, 3];
    let moved = moves(&sent(&all, &drain(3)));
    assert_eq!(moved.len(), 2);
    assert!(!moved.contains_key(&key("orders", 0)));
    for partition in broker(&mut all, 1).partitions.values_mut() {
        partition.isr.pop();
    }
    let why = refused(&all, &drain(3));
    assert!(why.contains("3 partitions have a copy that is not in sync"), "{why}");
}

#[test]
fn what_is_under_way_is_waited_for_and_can_be_taken_back() {
    let mut all = survey(4, THREE);
    mark(&mut all, CORDONED, 3);
    whole(&mut all).moving.insert(key("orders", 0), Moving { adding: vec![4], removing: vec![3] });
    assert_eq!(decided(&all, &drain(3)), DONE);
    let orders = sent(&all, &SystemVerb::CancelDrain { member: "3".into() });
    assert_eq!(moves(&orders), BTreeMap::from([(key("orders", 0), None)]));
}

#[test]
fn a_cordon_is_a_mark_of_all_and_a_setting_of_its_own() {
    let all = survey(3, THREE);
    let cordon = SystemVerb::Cordon { member: "3".into() };
    let Decision::Send(orders) = decided(&all, &cordon) else { panic!("it is sent") };
    let hosts: Vec<&str> = orders.iter().map(|(at, _)| at.host.as_str()).collect();
    assert_eq!(hosts, ["10.0.0.1", "10.0.0.3"], "only a broker itself takes its own settings");
    let mut cordoned = all.clone();
    mark(&mut cordoned, CORDONED, 3);
    broker(&mut cordoned, 3).own.cordoned_dirs = Some("*".to_owned());
    broker(&mut cordoned, 3).own.closed = true;
    assert_eq!(decided(&cordoned, &cordon), DONE);
    let back = sent(&cordoned, &SystemVerb::Uncordon { member: "3".into() });
    assert_eq!(back.len(), 2, "{back:?}");
}

#[test]
fn a_spread_marks_who_comes_and_opens_what_an_earlier_plan_closed() {
    let mut all = survey(4, THREE);
    broker(&mut all, 4).own.cordoned_dirs = Some("*".to_owned());
    broker(&mut all, 4).own.closed = true;
    let orders = sent(&all, &SystemVerb::Spread { onto: vec!["4".into()] });
    let [Order::Set(opened), Order::Set(marked), ..] = orders.as_slice() else { panic!("{orders:?}") };
    assert!(opened.contains_key(&Resource::Broker(4)) && marked.contains_key(&Resource::Brokers));
    assert_eq!(moves(&orders).len(), 2);
}

#[test]
fn only_a_broker_that_runs_nowhere_is_unregistered() {
    let mut all = survey(4, THREE);
    let pay = SystemVerb::PayDebt { member: "4".into(), kind: REGISTRATION.to_owned() };
    assert!(refused(&all, &pay).contains("it stays registered"));
    silence(&mut all, 4, true);
    assert!(refused(&all, &pay).contains("it stays registered"), "its place is still in use");
    all.answers.retain(|answer| answer.reading.is_ok());
    assert_eq!(sent(&all, &pay), [Order::Unregister(4)]);
}

#[test]
fn leaders_are_elected_and_nothing_of_ours_is_left() {
    let mut all = survey(3, THREE);
    mark(&mut all, FILLED, 2);
    broker(&mut all, 1).partitions.get_mut(&key("orders", 1)).expect("it is there").leader = Some(3);
    let orders = sent(&all, &SystemVerb::PayDebt { member: "2".into(), kind: SETTINGS.to_owned() });
    let [Order::Elect(keys), Order::Set(_)] = orders.as_slice() else { panic!("{orders:?}") };
    assert_eq!(keys, &BTreeSet::from([key("orders", 1)]));
}
