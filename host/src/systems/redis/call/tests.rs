use super::*;
use crate::systems::redis::fixture::{Fixture, id, three_shards};
use crate::systems::redis::nodes::Slots;
use crate::systems::redis::reading::Side;

fn given(fixture: &Fixture, verb: &SystemVerb) -> Decision {
    decide(verb, &fixture.survey, &fixture.platform(), &RedisSettings::default())
}

fn refused(fixture: &Fixture, verb: &SystemVerb) -> String {
    let decision = given(fixture, verb);
    let Decision::Settled(Outcome::Refused { message }) = decision else {
        panic!("not refused: {decision:?}")
    };
    message
}

fn admit(place: u16) -> SystemVerb {
    SystemVerb::Admit { slot: format!("p{place}").into(), endpoints: Endpoints::new() }
}

fn whom(place: u16) -> Arc<str> {
    id(place).into()
}

fn drain(place: u16) -> SystemVerb {
    SystemVerb::Drain { member: whom(place) }
}

fn cordon_shard(fixture: &mut Fixture, places: [u16; 2]) {
    for place in places {
        let settings = &mut fixture.of(place).settings;
        let marked = cordon::mark(settings);
        (settings.migrates, settings.barrier) = (marked.allowed, marked.barrier);
    }
}

/// Four shards, the last of them in p7 and p8.
fn four_shards() -> Fixture {
    let mut fixture = three_shards();
    let (master, replica) = (fixture.add_member(), fixture.add_member());
    fixture.all_of(replica, |node| node.master = Some(id(master)));
    fixture.of(replica).side = Side::Replica { linked: true, offset: 1_000 };
    fixture.all_of(5, |node| node.slots = Slots::of([(10_923, 16_000)]));
    fixture.all_of(master, |node| node.slots = Slots::of([(16_001, 16_383)]));
    fixture
}

#[test]
fn a_fresh_node_is_met_then_gets_its_part_and_then_nothing_is_left_to_do() {
    let mut fixture = three_shards();
    let place = fixture.add_fresh();
    let Decision::Meet(meeting) = given(&fixture, &admit(place)) else { panic!("it is not met") };
    assert_eq!(
        (meeting.newcomer.name.as_str(), meeting.bus, meeting.reset, meeting.members.len()),
        ("p7", 17_007, false, 6)
    );
    let mut fixture = three_shards();
    let (master, replica) = (fixture.add_member(), fixture.add_member());
    assert_eq!(given(&fixture, &admit(master)), DONE, "it is the new shard's master");
    let Decision::Follow { member, master: of, .. } = given(&fixture, &admit(replica)) else {
        panic!("it follows nobody")
    };
    assert_eq!((member.name.as_str(), of), ("p8", id(master)));
    fixture.all_of(replica, |node| node.master = Some(id(master)));
    assert_eq!(given(&fixture, &admit(replica)), DONE);
}

#[test]
fn a_node_that_was_removed_forgets_first_and_one_of_another_cluster_is_refused() {
    let mut fixture = three_shards();
    let place = fixture.add_member();
    fixture.forget(place);
    assert!(matches!(given(&fixture, &admit(place)), Decision::Meet(meeting) if meeting.reset));
    let mut fixture = three_shards();
    let place = fixture.add_fresh();
    fixture.of(place).keys = 1;
    assert!(refused(&fixture, &admit(place)).contains("may not be admitted"));
    fixture.silence(place);
    assert!(refused(&fixture, &admit(place)).contains("does not answer yet"));
}

#[test]
fn a_shard_is_marked_as_a_whole_and_given_back_as_it_was() {
    let mut fixture = four_shards();
    fixture.of(8).settings.migrates = false;
    let Decision::Configure(changes) = given(&fixture, &SystemVerb::Cordon { member: whom(8) }) else {
        panic!("no cordon")
    };
    assert_eq!(changes.iter().map(|(member, _)| member.name.as_str()).collect::<Vec<_>>(), ["p7", "p8"]);
    cordon_shard(&mut fixture, [7, 8]);
    assert_eq!(given(&fixture, &SystemVerb::Cordon { member: whom(7) }), DONE);
    let uncordon = SystemVerb::Uncordon { member: whom(7) };
    let Decision::Configure(changes) = given(&fixture, &uncordon) else { panic!("no uncordon") };
    let back: Vec<(bool, u64)> = changes.iter().map(|(_, set)| (set.allowed, set.barrier)).collect();
    assert_eq!(back, [(true, 1), (false, 1)]);
    fixture.open(16_001, Some(7), Some(5), (7, 5));
    assert!(
        matches!(given(&fixture, &uncordon), Decision::Move(work) if work.aim == Aim::Finish),
        "first what is on its way"
    );
}

#[test]
fn slots_leave_only_a_marked_shard_and_never_the_third_but_last() {
    let mut fixture = four_shards();
    assert!(refused(&fixture, &drain(8)).contains("is not cordoned"));
    cordon_shard(&mut fixture, [7, 8]);
    let Decision::Move(work) = given(&fixture, &drain(8)) else { panic!("nothing moves") };
    assert_eq!((work.aim, work.open.len(), work.members.len()), (Aim::Empty(id(7)), 0, 8));
    fixture.all_of(7, |node| node.slots = Slots::default());
    fixture.all_of(5, |node| node.slots = Slots::of([(10_923, 16_383)]));
    assert_eq!(given(&fixture, &drain(8)), DONE);
    let mut three = three_shards();
    cordon_shard(&mut three, [5, 6]);
    assert!(refused(&three, &drain(6)).contains("2 masters would be left"));
}

#[test]
fn what_a_killed_move_has_left_open_is_finished_first() {
    let mut fixture = four_shards();
    cordon_shard(&mut fixture, [7, 8]);
    let (giver, taker) = (id(7), id(5));
    let expected = [Move { slot: 16_001, from: giver.clone(), to: taker.clone() }];
    for (from, to) in [(Some(7), Some(5)), (Some(7), None), (None, Some(5))] {
        let mut fixture = four_shards();
        cordon_shard(&mut fixture, [7, 8]);
        fixture.open(16_001, from, to, (7, 5));
        let Decision::Move(work) = given(&fixture, &drain(7)) else { panic!("nothing moves") };
        assert_eq!(work.open, expected, "{from:?} {to:?}");
    }
    // Only the mark is left: the taker owns it already.
    fixture.all_of(7, |node| node.slots = Slots::default());
    fixture.all_of(5, |node| node.slots = Slots::of([(10_923, 16_383)]));
    fixture.open(16_001, Some(7), None, (7, 5));
    let Decision::Move(work) = given(&fixture, &drain(7)) else { panic!("nothing moves") };
    assert_eq!(work.open, expected);
}

#[test]
fn somebody_elses_move_and_a_slot_with_two_destinations_are_left_alone() {
    let mut fixture = four_shards();
    cordon_shard(&mut fixture, [7, 8]);
    fixture.open(5, Some(1), Some(3), (1, 3));
    assert!(refused(&fixture, &drain(7)).contains("no plan of ours moves it"));
    let mut fixture = four_shards();
    cordon_shard(&mut fixture, [7, 8]);
    fixture.open(16_001, Some(7), None, (7, 5));
    fixture.open(16_001, None, Some(3), (7, 3));
    assert!(refused(&fixture, &drain(7)).contains("two nodes"));
}

#[test]
fn data_spreads_onto_masters_to_which_something_is_due() {
    let mut fixture = three_shards();
    let place = fixture.add_member();
    let spread = SystemVerb::Spread { onto: vec![whom(place)] };
    let Decision::Move(work) = given(&fixture, &spread) else { panic!("nothing moves") };
    assert_eq!(work.aim, Aim::Fill([id(place)].into()));
}

#[test]
fn everybody_forgets_a_member_or_nobody_is_asked() {
    let mut fixture = four_shards();
    let deregister = |place: u16| SystemVerb::Deregister { member: whom(place) };
    assert!(refused(&fixture, &deregister(7)).contains("p8 replicates p7"));
    let Decision::Forget { id: gone, by } = given(&fixture, &deregister(8)) else { panic!("nobody forgets") };
    assert_eq!((gone, by.len()), (id(8), 7));
    fixture.forget(8);
    assert_eq!(given(&fixture, &deregister(8)), DONE);
    assert!(refused(&fixture, &deregister(7)).contains("owns 383 slots by some view"));
    fixture.all_of(7, |node| node.slots = Slots::default());
    fixture.all_of(5, |node| node.slots = Slots::of([(10_923, 16_383)]));
    fixture.of(7).keys = 4;
    assert!(refused(&fixture, &deregister(7)).contains("holds 4 keys"));
    fixture.of(7).keys = 0;
    assert!(matches!(given(&fixture, &deregister(7)), Decision::Forget { .. }));
    fixture.silence(2);
    assert!(refused(&fixture, &deregister(7)).contains("the views of p2 are missing"));
    fixture.all_of(2, |node| node.failed = true);
    assert!(refused(&fixture, &deregister(7)).contains("p2 does not answer, and would bring p7 back"));
}

#[test]
fn only_a_linked_replica_takes_over_and_only_from_its_master() {
    let mut fixture = three_shards();
    let over = |from: u16, to: u16| SystemVerb::MoveLeader {
        group: "shard-p1".into(),
        from: whom(from),
        to: Some(whom(to)),
    };
    assert!(matches!(given(&fixture, &over(1, 2)), Decision::FailOver { to } if to.name == "p2"));
    assert!(refused(&fixture, &over(1, 4)).contains("does not replicate"));
    assert!(refused(&fixture, &over(1, 3)).contains("a master already"));
    fixture.of(2).side = Side::Replica { linked: false, offset: 0 };
    assert!(refused(&fixture, &over(1, 2)).contains("is not linked"));
}

#[test]
fn nothing_changes_while_the_nodes_do_not_see_the_same() {
    let mut fixture = four_shards();
    cordon_shard(&mut fixture, [7, 8]);
    fixture.of(2).view.nodes.get_mut(&id(7)).expect("p7").slots = Slots::of([(16_002, 16_383)]);
    for verb in [drain(7), SystemVerb::Spread { onto: vec![whom(7)] }] {
        assert!(refused(&fixture, &verb).contains("do not agree on p7"));
    }
}
