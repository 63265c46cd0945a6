use super::*;
use crate::systems::redis::fixture::{Fixture, id, node, three_shards};

fn with<T>(fixture: &Fixture, look: impl FnOnce(Result<Cluster, Doubt>) -> T) -> T {
    look(conclude(&fixture.survey, &fixture.platform()))
}

fn doubt(fixture: &Fixture) -> Doubt {
    with(fixture, |concluded| concluded.map(|cluster| cluster.members.len()).expect_err("a doubt"))
}

fn stranger_in(fixture: &Fixture, place: &str) -> String {
    with(fixture, |concluded| {
        let cluster = concluded.expect("a cluster");
        match cluster.strangers.get(place) {
            Some(Stranger::Fresh(_)) => "fresh".to_owned(),
            Some(Stranger::Former(_)) => "former".to_owned(),
            Some(Stranger::Barred(why)) => why.clone(),
            None => "no stranger".to_owned(),
        }
    })
}

#[test]
fn all_that_know_one_another_are_members_in_the_order_of_their_places() {
    with(&three_shards(), |concluded| {
        let cluster = concluded.expect("a cluster");
        let names: Vec<&str> = cluster.members.iter().map(Member::name).collect();
        assert_eq!(names, ["p1", "p2", "p3", "p4", "p5", "p6"]);
        assert!(cluster.views == 1 && cluster.members.iter().all(|member| member.doubt.is_none()));
        assert_eq!(
            cluster.shard_of(&id(4)).iter().map(|member| member.name()).collect::<Vec<_>>(),
            ["p3", "p4"]
        );
        assert_eq!(cluster.silence(), None);
    });
}

#[test]
fn gossip_that_disagrees_is_a_doubt_about_those_it_is_about_and_no_choice() {
    let mut fixture = three_shards();
    let seen = fixture.of(6).view.nodes.get_mut(&id(1)).expect("p1");
    seen.slots = Slots::of([(0, 5_459)]);
    with(&fixture, |concluded| {
        let cluster = concluded.expect("a cluster");
        assert_eq!(cluster.views, 2);
        let doubts: Vec<&str> =
            cluster.members.iter().filter(|member| member.doubt.is_some()).map(Member::name).collect();
        assert_eq!(doubts, ["p1"]);
        assert!(cluster.members[0].doubt.as_ref().is_some_and(|doubt| doubt.contains("p6 see it otherwise")));
    });
}

#[test]
fn a_member_that_one_node_still_knows_is_one_and_one_that_only_knows_itself_is_none() {
    let mut fixture = three_shards();
    fixture.all_of(6, |node| node.slots = Slots::default());
    fixture.of(6).keys = 0;
    fixture.forget(6);
    assert_eq!(stranger_in(&fixture, "p6"), "former");
    let known = node(6, Some(id(5)), None);
    fixture.of(2).view.nodes.insert(id(6), known);
    with(&fixture, |concluded| {
        let cluster = concluded.expect("a cluster");
        assert!(cluster.member(&id(6)).is_some_and(|member| member.doubt.is_some()) && cluster.views == 2);
    });
}

#[test]
fn a_node_is_admitted_only_where_it_holds_nothing_and_is_nobodys() {
    let mut fixture = three_shards();
    let place = fixture.add_fresh();
    assert_eq!(stranger_in(&fixture, "p7"), "fresh");
    fixture.of(place).keys = 3;
    assert!(stranger_in(&fixture, "p7").contains("3 keys"));
    fixture.of(place).keys = 0;
    fixture.of(place).view.nodes.insert("f".repeat(40), node(99, None, None));
    assert!(stranger_in(&fixture, "p7").contains("another cluster"));
}

#[test]
fn two_clusters_in_the_places_of_one_are_none() {
    let mut fixture = three_shards();
    let place = fixture.add_fresh();
    let own = fixture.of(place).view.nodes.get_mut(&id(place)).expect("itself");
    own.slots = Slots::of([(0, 16_383)]);
    let doubt = doubt(&fixture);
    assert_eq!(doubt.gap, Gap::Conflicting);
    assert!(doubt.detail.contains("are one cluster, and p7 another"), "{}", doubt.detail);
}

#[test]
fn one_node_in_two_places_is_a_copy_of_its_file() {
    let mut fixture = three_shards();
    let place = fixture.add_fresh();
    fixture.of(place).id = id(1);
    assert!(doubt(&fixture).detail.contains("p1 and p7 are both node"));
}

#[test]
fn a_silent_node_has_its_place_by_the_address_that_others_know_and_is_missed() {
    let mut fixture = three_shards();
    fixture.silence(3);
    with(&fixture, |concluded| {
        let cluster = concluded.expect("a cluster");
        let member = cluster.member(&id(3)).expect("a member");
        assert_eq!((member.name(), member.reading), ("p3", Err("no connection in time")));
        assert!(cluster.silence().is_some_and(|doubt| doubt.detail.contains("p3")));
    });
    fixture.all_of(3, |node| node.failed = true);
    with(&fixture, |concluded| {
        assert_eq!(concluded.expect("a cluster").silence(), None, "it is known to have failed")
    });
    fixture.all_of(3, |node| node.host = "10.0.0.9".to_owned());
    with(&fixture, |concluded| {
        let cluster = concluded.expect("a cluster");
        assert_eq!(cluster.member(&id(3)).map(|member| member.place), Some(None));
    });
}

#[test]
fn nobody_who_answers_and_nobody_who_owns_a_slot_is_no_cluster() {
    let mut fixture = three_shards();
    for place in 1..=6 {
        fixture.all_of(place, |node| node.slots = Slots::default());
    }
    assert!(doubt(&fixture).detail.contains("found the cluster first"));
    for place in 1..=6 {
        fixture.silence(place);
    }
    assert!(doubt(&fixture).detail.starts_with("no node answers: p1: no connection in time; p2: "));
}
