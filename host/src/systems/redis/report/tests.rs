use super::*;
use crate::systems::redis::cordon;
use crate::systems::redis::fixture::{Fixture, id, three_shards};
use crate::systems::redis::nodes::Slots;
use crate::systems::redis::view::conclude;

fn report(fixture: &Fixture) -> SystemReport {
    let cluster = conclude(&fixture.survey, &fixture.platform()).expect("a cluster");
    assemble(&cluster, "it", &RedisSettings::default())
}

fn member(report: &SystemReport, place: u16) -> SystemMember {
    let members = report.members.value().expect("members");
    members.iter().find(|member| *member.id == *id(place)).cloned().expect("a member")
}

fn lifecycle(fixture: &Fixture, place: u16) -> Option<Lifecycle> {
    member(&report(fixture), place).lifecycle.value().copied()
}

fn hosted(fixture: &Fixture, place: u16) -> Option<Hosted> {
    member(&report(fixture), place).hosted.value().copied()
}

fn states(fixture: &Fixture) -> Vec<PlacementState> {
    let report = report(fixture);
    let groups = report.groups.value().expect("groups");
    groups
        .iter()
        .flat_map(|group| group.placements.value().into_iter().flatten())
        .map(|copy| copy.state)
        .collect()
}

#[test]
fn a_cluster_at_rest_is_told_as_shards_of_a_master_and_a_replica() {
    let fixture = three_shards();
    let report = report(&fixture);
    let groups = report.groups.value().expect("groups");
    let told: Vec<_> = groups
        .iter()
        .map(|group| {
            (
                &*group.id,
                group.target_copies.value(),
                group.min_ack.value(),
                group.leader.value().map(|id| &**id),
            )
        })
        .collect();
    let (one, three, five) = (id(1), id(3), id(5));
    assert_eq!(
        told,
        [
            ("shard-p1", Some(&2), Some(&1), Some(one.as_str())),
            ("shard-p3", Some(&2), Some(&1), Some(three.as_str())),
            ("shard-p5", Some(&2), Some(&1), Some(five.as_str())),
        ]
    );
    let expected = ShardMap {
        scheme: Scheme::FixedSlots,
        count: 16_384,
        covered: 16_384,
        open: 0,
        owners: 3,
        least_owners: 3,
    };
    assert_eq!(report.shards.value(), Some(&expected));
    assert_eq!(hosted(&fixture, 2), Some(Hosted { copies: 5_461, ..Hosted::default() }));
    assert_eq!(hosted(&fixture, 3), Some(Hosted { copies: 5_462, leaders: 1, ..Hosted::default() }));
    assert_eq!(member(&report, 1).persistent.value(), Some(&true));
    assert_eq!(states(&fixture), [PlacementState::InSync; 6]);
}

#[test]
fn what_a_member_holds_is_the_others_word_and_a_gap_where_one_of_them_is_missing() {
    let mut fixture = three_shards();
    let told = member(&report(&fixture), 1).hosted;
    let Reading::Value { source, .. } = told else { panic!("{told:?}") };
    assert_eq!((source.authority, &*source.observer), (Authority::Survivors, "p2"));
    fixture.silence(6);
    assert_eq!(hosted(&fixture, 1), None);
    assert!(report(&fixture).shards.value().is_none());
    let three = member(&report(&fixture), 6);
    assert!(three.alive.value().is_none() && three.lifecycle.value().is_none());
    fixture.all_of(6, |node| node.failed = true);
    assert_eq!(hosted(&fixture, 1).map(|hosted| hosted.copies), Some(5_461));
    assert_eq!((lifecycle(&fixture, 6), states(&fixture)[5]), (Some(Lifecycle::Dead), PlacementState::Stale));
}

#[test]
fn views_that_differ_are_gaps_where_it_matters() {
    let mut fixture = three_shards();
    fixture.of(6).view.nodes.get_mut(&id(1)).expect("p1").slots = Slots::of([(0, 5_459)]);
    let report = report(&fixture);
    assert!(
        matches!(&report.shards, Reading::Gap { reason: Gap::Conflicting, detail } if detail.contains("2 different views"))
    );
    assert_eq!((hosted(&fixture, 1), hosted(&fixture, 2)), (None, None), "the whole shard");
    assert!(hosted(&fixture, 3).is_some());
}

#[test]
fn a_newcomer_joins_until_all_know_it_and_a_replica_until_it_has_a_master() {
    let mut fixture = three_shards();
    let master = fixture.add_member();
    assert_eq!(lifecycle(&fixture, master), Some(Lifecycle::Serving));
    assert_eq!(hosted(&fixture, master).map(|hosted| hosted.due), Some(4_096));
    let replica = fixture.add_member();
    assert_eq!(lifecycle(&fixture, replica), Some(Lifecycle::Joining));
    assert_eq!(hosted(&fixture, replica).map(|hosted| hosted.due), Some(0), "no shard of its own");
    fixture.all_of(replica, |node| node.master = Some(id(master)));
    fixture.of(replica).side = Side::Replica { linked: false, offset: 0 };
    assert_eq!(lifecycle(&fixture, replica), Some(Lifecycle::CatchingUp));
    fixture.of(replica).side = Side::Replica { linked: true, offset: 1_000 };
    assert_eq!(lifecycle(&fixture, replica), Some(Lifecycle::Serving));
    fixture.of(1).view.nodes.remove(&id(replica));
    assert_eq!(lifecycle(&fixture, replica), Some(Lifecycle::Joining));
}

#[test]
fn a_replica_that_lacks_a_byte_of_what_there_was_is_not_in_sync() {
    let mut fixture = three_shards();
    fixture.of(2).side = Side::Replica { linked: true, offset: 999 };
    assert_eq!(states(&fixture)[1], PlacementState::CatchingUp);
    fixture.of(2).side = Side::Replica { linked: true, offset: 1_001 };
    assert_eq!(states(&fixture)[1], PlacementState::InSync);
}

#[test]
fn a_shard_on_its_way_out_is_empty_only_without_slots_keys_and_moves() {
    let mut fixture = three_shards();
    for place in [5, 6] {
        let marked = cordon::mark(&fixture.of(place).settings);
        let settings = &mut fixture.of(place).settings;
        (settings.migrates, settings.barrier) = (marked.allowed, marked.barrier);
        assert_eq!(lifecycle(&fixture, place), Some(Lifecycle::Draining));
    }
    fixture.all_of(5, |node| node.slots = Slots::of([(10_923, 10_923)]));
    fixture.all_of(3, |node| node.slots = Slots::of([(5_461, 10_922), (10_924, 16_383)]));
    fixture.open(10_923, Some(5), Some(3), (5, 3));
    assert_eq!(hosted(&fixture, 6).map(|hosted| (hosted.copies, hosted.moving)), Some((1, 1)));
    assert_eq!(report(&fixture).operations.value(), Some(&Vec::new()), "a plan of ours goes on with it");
    fixture.of(5).view.open.clear();
    fixture.of(3).view.open.clear();
    fixture.all_of(5, |node| node.slots = Slots::default());
    fixture.all_of(3, |node| node.slots = Slots::of([(5_461, 16_383)]));
    let left = hosted(&fixture, 6).map(|hosted| (hosted.copies, hosted.moving, hosted.failed_moves));
    assert_eq!(left, Some((0, 0, 100)), "keys without a slot");
    fixture.of(6).keys = 0;
    assert_eq!(hosted(&fixture, 6), Some(Hosted::default()));
    assert_eq!(report(&fixture).groups.value().map(Vec::len), Some(2));
}

#[test]
fn a_slot_that_no_plan_of_ours_moves_is_an_operation_of_somebody() {
    let mut fixture = three_shards();
    fixture.open(7, Some(1), Some(3), (1, 3));
    let report = report(&fixture);
    let operations = report.operations.value().expect("operations");
    let [one] = operations.as_slice() else { panic!("{operations:?}") };
    assert_eq!((one.kind, &*one.owner, &one.scope), (OperationKind::Reshard, UNKNOWN_OWNER, &id(1)));
    assert_eq!(report.shards.value().map(|map| map.open), Some(1));
    assert_eq!(report.facts["openSlots"].value(), Some(&json!([{"slot": 7, "from": "p1", "to": "p3"}])));
}

#[test]
fn a_cluster_that_does_not_serve_raises_an_alarm() {
    let mut fixture = three_shards();
    fixture.of(3).ok = false;
    let told = report(&fixture).facts[ALARMS].value().cloned().expect("told");
    assert_eq!(told[0]["kind"], json!("CLUSTER_DOWN"));
    assert_eq!(told[0]["member"], json!(id(3)));
}

#[test]
fn the_epoch_changes_with_members_and_masters_and_not_with_slots() {
    let mut fixture = three_shards();
    let before = report(&fixture).epoch;
    fixture.all_of(1, |node| node.slots = Slots::of([(0, 5_000)]));
    fixture.all_of(3, |node| node.slots = Slots::of([(5_001, 10_922)]));
    assert_eq!(report(&fixture).epoch.value(), before.value());
    fixture.all_of(2, |node| node.master = Some(id(3)));
    assert_ne!(report(&fixture).epoch.value(), before.value());
}
