use super::*;
use crate::systems::kafka::fixture::{broker, key, mark, platform, silence, survey, whole};
use crate::systems::kafka::view::{FILLED, THROTTLED};

fn report(survey: &Survey) -> SystemReport {
    assemble(survey, &platform(survey))
}

fn member(report: &SystemReport, id: &str) -> SystemMember {
    let all = report.members.value().expect("members");
    all.iter().find(|member| &*member.id == id).expect("this member").clone()
}

fn hosted(report: &SystemReport, id: &str) -> Hosted {
    *member(report, id).hosted.value().expect("it is known")
}

const THREE: &[(&str, i32, &[i32])] =
    &[("orders", 0, &[1, 2, 3]), ("orders", 1, &[2, 3, 1]), ("__consumer_offsets", 0, &[3, 1, 2])];

#[test]
fn a_cluster_at_rest_is_told_whole() {
    let report = report(&survey(3, THREE));
    assert_eq!(report.fingerprint.value().map(String::as_str), Some("cluster-1"));
    let groups = report.groups.value().expect("groups");
    let kinds: Vec<GroupKind> = groups.iter().map(|group| group.kind).collect();
    assert_eq!(kinds, [GroupKind::System, GroupKind::Data, GroupKind::Data]);
    assert!(
        groups
            .iter()
            .all(|group| (group.target_copies.value(), group.min_ack.value()) == (Some(&3), Some(&2)))
    );
    assert_eq!(hosted(&report, "2"), Hosted { copies: 3, leaders: 1, ..Hosted::default() });
    assert_eq!(member(&report, "2").load_bytes.value(), Some(&300));
    assert_eq!(report.debts.value(), Some(&Vec::new()));
    assert_eq!(report.operations.value(), Some(&Vec::new()));
}

/// The lie: nothing is reassigned any more, and one broker's view still has the internal topic on it.
#[test]
fn what_anybody_names_or_lies_in_its_directories_is_still_held() {
    let mut all = survey(4, THREE);
    assert_eq!(hosted(&report(&all), "4").copies, 0);
    let late = broker(&mut all, 2);
    late.partitions.get_mut(&key("__consumer_offsets", 0)).expect("it is there").replicas.push(4);
    assert_eq!(hosted(&report(&all), "4").copies, 1, "one broker names it");

    let mut all = survey(4, THREE);
    let dirs = broker(&mut all, 4).dirs.as_mut().expect("they were read");
    dirs.copies.insert(key("__transaction_state", 7), 0);
    assert_eq!(hosted(&report(&all), "4").copies, 1, "an empty copy lies there, and nobody names it");

    broker(&mut all, 4).dirs = Err("log directory /a: KafkaStorageError (56)".to_owned());
    let told = member(&report(&all), "4").hosted;
    assert!(
        matches!(told, Reading::Gap { ref detail, .. } if detail.contains("KafkaStorageError")),
        "{told:?}"
    );
}

#[test]
fn its_own_word_alone_proves_nothing() {
    let told = member(&report(&survey(1, &[])), "1").hosted;
    assert!(
        matches!(told, Reading::Value { ref source, .. } if source.authority == Authority::Own),
        "{told:?}"
    );
    let told = member(&report(&survey(2, &[])), "1").hosted;
    assert!(
        matches!(told, Reading::Value { ref source, .. } if source.authority == Authority::Survivors),
        "{told:?}"
    );
}

#[test]
fn a_broker_that_is_silent_is_down_when_the_controllers_say_so() {
    let mut all = survey(3, THREE);
    silence(&mut all, 3, false);
    let unknown = member(&report(&all), "3");
    assert_eq!((unknown.lifecycle.value(), unknown.alive.value()), (None, None));
    assert_eq!(unknown.slot.as_deref(), Some("k3"), "known by its address");
    silence(&mut all, 3, true);
    let mut all = survey(3, THREE);
    silence(&mut all, 3, true);
    let dead = member(&report(&all), "3");
    assert_eq!((dead.lifecycle.value(), dead.alive.value()), (Some(&Lifecycle::Dead), Some(&false)));
    assert!(dead.hosted.value().is_none(), "nobody knows what lies in its directories");
}

#[test]
fn a_broker_that_is_fenced_does_not_serve_yet() {
    let mut all = survey(4, THREE);
    for id in 1..=4 {
        broker(&mut all, id).registered.last_mut().expect("four of them").fenced = true;
    }
    assert_eq!(member(&report(&all), "4").lifecycle.value(), Some(&Lifecycle::CatchingUp));
}

#[test]
fn one_that_runs_nowhere_and_holds_nothing_is_a_debt_and_no_member() {
    let mut all = survey(4, THREE);
    silence(&mut all, 4, true);
    all.answers.retain(|answer| answer.reading.is_ok());
    let told = report(&all);
    assert_eq!(told.members.value().map(Vec::len), Some(3));
    assert_eq!(told.debts.value(), Some(&vec![Debt { kind: REGISTRATION.to_owned(), member: "4".into() }]));
    // While a copy is named as its, it is a member that is down.
    broker(&mut all, 2).partitions.get_mut(&key("orders", 0)).expect("it is there").replicas.push(4);
    broker(&mut all, 1).partitions.get_mut(&key("orders", 0)).expect("it is there").replicas.push(4);
    let told = report(&all);
    assert_eq!((told.members.value().map(Vec::len), told.debts.value()), (Some(4), Some(&Vec::new())));
}

#[test]
fn two_clusters_or_two_of_one_id_are_a_conflict() {
    let mut all = survey(2, &[]);
    broker(&mut all, 2).cluster = "another".to_owned();
    let why = report(&all).members;
    assert!(matches!(why, Reading::Gap { reason: Gap::Conflicting, .. }), "{why:?}");
    let mut all = survey(2, &[]);
    broker(&mut all, 2).own.id = 1;
    let why = report(&all).members;
    assert!(matches!(why, Reading::Gap { reason: Gap::Conflicting, .. }), "{why:?}");
}

#[test]
fn a_reassignment_is_ours_by_our_mark_alone() {
    let mut all = survey(4, THREE);
    let moving = Moving { adding: vec![4], removing: vec![3] };
    whole(&mut all).moving.insert(key("orders", 0), moving);
    let told = report(&all).operations.value().expect("operations").clone();
    assert_eq!(told.iter().map(|one| one.owner.as_str()).collect::<Vec<_>>(), ["unknown"]);
    mark(&mut all, CORDONED, 3);
    let told = report(&all).operations.value().expect("operations").clone();
    let one = told.first().expect("one");
    assert_eq!(
        (one.kind, one.owner.as_str(), one.scope.as_str()),
        (OperationKind::Drain, "plan/plan-1", "3")
    );
    assert_eq!(told.len(), 1);

    let mut all = survey(4, THREE);
    whole(&mut all).moving.insert(key("orders", 0), Moving { adding: vec![4], removing: vec![3] });
    mark(&mut all, FILLED, 4);
    let told = report(&all).operations.value().expect("operations").clone();
    let one = told.first().expect("one");
    assert_eq!(
        (one.kind, one.owner.as_str(), one.scope.as_str()),
        (OperationKind::Rebalance, "plan/plan-1", "4")
    );
}

#[test]
fn what_is_under_way_is_told_of_each_copy_and_by_bytes() {
    let mut all = survey(4, THREE);
    for id in 1..=4 {
        let partition = broker(&mut all, id).partitions.get_mut(&key("orders", 0)).expect("it is there");
        partition.replicas = vec![1, 2, 3, 4];
    }
    broker(&mut all, 4).dirs.as_mut().expect("read").copies.insert(key("orders", 0), 25);
    whole(&mut all).moving.insert(key("orders", 0), Moving { adding: vec![4], removing: vec![3] });
    mark(&mut all, CORDONED, 3);
    let told = report(&all);
    let groups = told.groups.value().expect("groups");
    let group = groups.iter().find(|group| &*group.id == "orders-0").expect("the partition");
    assert_eq!(group.target_copies.value(), Some(&3));
    let states: Vec<PlacementState> =
        group.placements.value().expect("copies").iter().map(|copy| copy.state).collect();
    use PlacementState::{CatchingUp, InSync, Leaving};
    assert_eq!(states, [InSync, InSync, Leaving, CatchingUp]);
    let operation = told.operations.value().and_then(|all| all.first()).expect("a drain").clone();
    assert_eq!(operation.progress_permille.value(), Some(&250));
    assert_eq!(hosted(&told, "4").moving, 1);
}

#[test]
fn bounds_and_marks_are_a_debt_where_nothing_moves() {
    let mut all = survey(3, THREE);
    for id in 1..=3 {
        let one = super::super::reading::Mark::new(THROTTLED, None, "plan-1");
        broker(&mut all, id).own.marks.insert(one);
    }
    let told = report(&all);
    assert_eq!(told.debts.value(), Some(&vec![Debt { kind: SETTINGS.to_owned(), member: ALL.into() }]));
    whole(&mut all).moving.insert(key("orders", 0), Moving::default());
    assert_eq!(report(&all).debts.value(), Some(&Vec::new()), "they bound what moves");
}

#[test]
fn only_who_comes_is_owed_a_share() {
    let mut all = survey(4, THREE);
    assert_eq!(hosted(&report(&all), "4").due, 2, "nine copies on four brokers");
    assert_eq!(hosted(&report(&all), "1").due, 0);
    broker(&mut all, 4).own.cordoned_dirs = Some("*".to_owned());
    assert_eq!(hosted(&report(&all), "4").due, 0, "its owner has closed it");
}

#[test]
fn a_controller_that_is_a_broker_and_a_lost_partition_are_alarms() {
    let mut all = survey(3, THREE);
    broker(&mut all, 2).own.controls = true;
    broker(&mut all, 1).partitions.get_mut(&key("orders", 1)).expect("it is there").leader = None;
    let told = report(&all).facts.remove(ALARMS).and_then(|told| told.value().cloned()).expect("told");
    let text = told.to_string();
    assert!(text.contains("CONTROLLER_ON_BROKER") && text.contains("OFFLINE_PARTITIONS"), "{text}");
    assert!(text.contains("1 partitions have no leader (orders-1)"), "{text}");
}
