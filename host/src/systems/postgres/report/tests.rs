use super::*;
use crate::systems::postgres::fixture::{
    cascade, cut, fence, follower, handed_over, healthy, keep, of, platform, silence,
};
use crate::systems::postgres::reading::{Follower, Keep};

fn report(survey: &Survey) -> SystemReport {
    assemble(survey, &platform(u16::try_from(survey.answers.len()).expect("few")), true)
}

fn member(report: &SystemReport, name: &str) -> SystemMember {
    let members = report.members.value().expect("the members are known");
    members.iter().find(|member| *member.id == *name).expect("a member").clone()
}

fn placement(report: &SystemReport, name: &str) -> SystemPlacement {
    let groups = report.groups.value().expect("the groups are known");
    let all = groups[0].placements.value().expect("the placements are known");
    all.iter().find(|copy| *copy.member == *name).expect("a copy").clone()
}

fn detail<T: std::fmt::Debug>(told: &Reading<T>) -> &str {
    match told {
        Reading::Gap { detail, .. } => detail,
        Reading::Value { .. } | Reading::NotApplicable => panic!("{told:?} is no gap"),
    }
}

#[test]
fn a_healthy_cluster_is_one_group_that_needs_its_primary_and_one_more() {
    let report = report(&healthy(3));
    let group = report.groups.value().expect("known")[0].clone();
    assert_eq!((group.kind, group.model), (GroupKind::Control, GroupModel::AsyncPrimary));
    assert_eq!((group.min_ack.value(), group.target_copies.value()), (Some(&2), Some(&2)));
    assert_eq!(group.leader.value().map(|leader| &**leader), Some("p1"));
    for name in ["p1", "p2", "p3"] {
        let copy = placement(&report, name);
        assert_eq!((copy.weight, copy.state, copy.lag.value()), (1, PlacementState::InSync, Some(&0)));
        assert_eq!(member(&report, name).lifecycle.value(), Some(&Lifecycle::Serving));
        assert_eq!(member(&report, name).alive.value(), Some(&true));
    }
    assert_eq!(member(&report, "p2").roles.value(), Some(&BTreeSet::from([Role::SyncStandby, Role::Data])));
    assert_eq!(report.debts.value(), Some(&Vec::new()));
    assert_eq!(report.operations.value(), Some(&Vec::new()));
    assert_eq!(report.facts[ALARMS].value(), Some(&json!([])));
}

#[test]
fn a_standby_that_is_no_candidate_does_not_count_and_is_to_become_one() {
    let mut survey = healthy(3);
    of(&mut survey, 1).own.names = "ANY 1 (p2)".to_owned();
    let report = report(&survey);
    assert_eq!(
        (placement(&report, "p3").weight, placement(&report, "p3").state),
        (0, PlacementState::InSync)
    );
    assert_eq!(member(&report, "p3").roles.value(), Some(&BTreeSet::from([Role::Learner])));
    let kept_apart = assemble(&survey, &platform(3), false);
    assert_eq!(member(&kept_apart, "p3").roles.value(), Some(&BTreeSet::from([Role::Data])));
}

#[test]
fn where_nobody_has_to_confirm_each_copy_counts() {
    let mut survey = healthy(3);
    of(&mut survey, 1).own.names = String::new();
    let report = report(&survey);
    assert_eq!(report.groups.value().expect("known")[0].min_ack.value(), Some(&1));
    assert_eq!(placement(&report, "p2").weight, 1);
    assert_eq!(member(&report, "p2").roles.value(), Some(&BTreeSet::from([Role::Data])));
}

#[test]
fn a_set_that_cannot_be_read_leaves_the_group_unknown() {
    let mut survey = healthy(3);
    of(&mut survey, 1).own.names = "ANY 1 (*)".to_owned();
    let report = report(&survey);
    let group = &report.groups.value().expect("known")[0];
    assert!(detail(&group.placements).contains("name each one"));
    assert!(detail(&group.min_ack).starts_with("synchronous_standby_names"));
}

#[test]
fn a_silent_standby_is_dead_on_the_primarys_word_only() {
    let mut survey = healthy(3);
    silence(&mut survey, 2);
    let streams = report(&survey);
    assert!(detail(&member(&streams, "p2").alive).contains("connection refused"));
    assert_ne!(placement(&streams, "p2").state, PlacementState::InSync);
    cut(&mut survey, 2);
    let gone = report(&survey);
    assert_eq!(member(&gone, "p2").alive.value(), Some(&false));
    assert_eq!(member(&gone, "p2").lifecycle.value(), Some(&Lifecycle::Dead));
}

#[test]
fn a_primary_that_is_down_leaves_everything_unknown_with_the_reason() {
    let mut survey = healthy(3);
    silence(&mut survey, 1);
    let report = report(&survey);
    let why = "no member that answers is the primary (p1: connection refused)";
    assert_eq!(detail(&report.members), why);
    assert_eq!(detail(&report.groups), why);
    assert_eq!(detail(&report.fingerprint), why);
    assert_eq!(detail(&report.debts), why);
    assert_eq!(detail(&report.facts[ALARMS]), why);
}

#[test]
fn what_follows_a_standby_bars_its_removal() {
    let mut survey = healthy(3);
    of(&mut survey, 3).followers.push(follower(9));
    let report = report(&survey);
    let why = detail(&member(&report, "p3").hosted).to_owned();
    assert_eq!(why, "p9 follows p3, which is not the primary: let it follow the primary first");
    assert!(member(&report, "p2").hosted.value().is_some());
}

#[test]
fn a_member_that_follows_a_standby_bars_that_ones_removal_even_while_it_is_away() {
    let mut survey = healthy(4);
    cascade(&mut survey, 4, 2);
    let hosted = |survey: &Survey, name: &str| member(&report(survey), name).hosted;
    let why = "p4 follows p2, which is not the primary: let it follow the primary first";
    assert_eq!(detail(&hosted(&survey, "p2")), why);
    of(&mut survey, 2).followers.clear();
    assert_eq!(detail(&hosted(&survey, "p2")), why);
    for other in ["p1", "p3", "p4"] {
        assert!(hosted(&survey, other).value().is_some(), "{other}");
    }
}

#[test]
fn a_slot_of_somebody_else_on_a_standby_bars_its_removal() {
    let mut survey = healthy(3);
    of(&mut survey, 3).keeps.push(Keep { name: "reports".to_owned(), pid: None, ..keep(9) });
    let report = report(&survey);
    let why = "the replication slot reports on p3 is kept for somebody: drop it there if nobody needs it";
    assert_eq!(detail(&member(&report, "p3").hosted), why);
    assert!(member(&report, "p2").hosted.value().is_some());
    assert_eq!(report.debts.value(), Some(&Vec::new()), "nobody of ours drops it");
}

#[test]
fn a_member_that_follows_a_standby_serves_and_is_no_copy() {
    let mut survey = healthy(4);
    of(&mut survey, 1).own.names = "ANY 1 (p2, p3)".to_owned();
    cascade(&mut survey, 4, 2);
    let told = report(&survey);
    let found = member(&told, "p4");
    assert_eq!(found.lifecycle.value(), Some(&Lifecycle::Serving));
    assert_eq!(found.roles.value(), Some(&BTreeSet::from([Role::Data])), "it is never to confirm");
    let copies = |report: &SystemReport| {
        let all = report.groups.value().expect("known")[0].placements.value().expect("known").clone();
        all.iter().map(|copy| copy.member.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(copies(&told), ["p1", "p2", "p3"]);
    silence(&mut survey, 4);
    assert!(detail(&member(&report(&survey), "p4").alive).contains("connection refused"), "it is somewhere");
}

#[test]
fn a_candidate_that_follows_a_standby_is_a_copy_that_is_missing() {
    let mut survey = healthy(4);
    cascade(&mut survey, 4, 2);
    let told = report(&survey);
    assert_eq!((placement(&told, "p4").weight, placement(&told, "p4").state), (1, PlacementState::Stale));
    let faults = told.facts["faults"].value().expect("known").to_string();
    assert!(faults.contains("the primary p1 does not stream to it"), "{faults}");
}

#[test]
fn a_base_backup_is_an_operation() {
    let mut survey = healthy(3);
    let backup = Follower { name: "pg_basebackup".to_owned(), state: "backup".to_owned(), ..follower(8) };
    of(&mut survey, 2).followers.push(backup);
    let report = report(&survey);
    let operations = report.operations.value().expect("known");
    assert_eq!(
        (operations.len(), operations[0].kind, operations[0].scope.as_str()),
        (1, OperationKind::Backup, "p2")
    );
    assert!(member(&report, "p2").hosted.value().is_some(), "a backup is no follower");
}

#[test]
fn a_registered_member_is_told_whom_to_follow() {
    let mut survey = healthy(3);
    assert_eq!(detail(&report(&survey).join), "no registered member waits to be started");
    of(&mut survey, 1).keeps.push(Keep { pid: None, restart: None, ..keep(4) });
    let told = report(&survey);
    assert_eq!(member(&told, "p4").lifecycle.value(), Some(&Lifecycle::Provisioning));
    assert_eq!(member(&told, "p4").slot.as_deref(), Some("p4"));
    let join = told.join.value().expect("known");
    assert!(join.existing);
    assert_eq!(join.contacts, ["h1:5501"]);
    let payload = json!({"name": "p4", "slotName": "p4", "primary": {"host": "h1", "port": 5501}});
    assert_eq!(join.payload, payload);
    assert!(told.groups.value().expect("known")[0].placements.value().expect("known").len() == 3);
}

#[test]
fn a_slot_without_a_place_is_owed() {
    let mut survey = healthy(3);
    of(&mut survey, 1).keeps.push(Keep { pid: None, ..keep(4) });
    let debts = report(&survey).debts.value().expect("known").clone();
    assert_eq!(debts, [Debt { kind: SLOT_DEBT.to_owned(), member: "p4".into() }]);
}

#[test]
fn a_slot_that_lost_its_log_or_fills_the_disk_raises_an_alarm() {
    let alarms = |wal: &str, cut_off: bool| {
        let mut survey = healthy(3);
        if cut_off {
            cut(&mut survey, 3);
        }
        of(&mut survey, 1).keeps[1].wal = Some(wal.to_owned());
        report(&survey).facts[ALARMS].value().expect("known").to_string()
    };
    assert!(alarms("lost", true).contains("make it anew from a base backup"));
    assert!(alarms("extended", true).contains("SLOT_FILLS_DISK"));
    assert_eq!(alarms("extended", false), "[]", "somebody uses it");
    assert_eq!(alarms("reserved", true), "[]");
}

#[test]
fn a_primary_that_was_fenced_or_handed_over_takes_no_new_data() {
    let mut survey = healthy(3);
    fence(&mut survey);
    assert_eq!(member(&report(&survey), "p1").lifecycle.value(), Some(&Lifecycle::Draining));
    let after = report(&handed_over(3));
    assert_eq!(member(&after, "p1").lifecycle.value(), Some(&Lifecycle::Draining));
    assert_eq!((placement(&after, "p1").weight, placement(&after, "p1").state), (0, PlacementState::Leaving));
    assert_eq!(member(&after, "p1").hosted.value().map(|hosted| hosted.leaders), Some(0));
    assert_eq!(member(&after, "p2").hosted.value().map(|hosted| hosted.leaders), Some(1));
}

#[test]
fn the_epoch_changes_with_members_roles_and_timeline() {
    let epoch = |survey: &Survey| report(survey).epoch.value().expect("known").clone();
    let before = epoch(&healthy(3));
    let mut lowered = healthy(3);
    of(&mut lowered, 1).own.names = "ANY 1 (p2)".to_owned();
    assert_ne!(epoch(&lowered), before);
    assert_ne!(epoch(&handed_over(3)), before);
    assert_eq!(epoch(&healthy(3)), before);
}

#[test]
fn settings_that_wait_for_a_restart_are_told() {
    let mut survey = healthy(2);
    of(&mut survey, 2).own.pending = 1;
    let report = report(&survey);
    assert_eq!(member(&report, "p2").config_pending.value(), Some(&true));
    assert_eq!(member(&report, "p1").config_pending.value(), Some(&false));
}

#[test]
fn the_order_of_answers_does_not_matter() {
    let mut survey = healthy(3);
    let one = report(&survey);
    survey.answers.reverse();
    assert_eq!(report(&survey), one);
}
