use super::*;
use crate::systems::postgres::fixture::{
    FLUSHED, cascade, cut, fence, handed_over, healthy, keep, of, platform, silence,
};
use crate::systems::postgres::reading::Keep;

fn standby(survey: &Survey, members: u16, name: &str) -> Standby {
    let cluster = conclude(survey, &platform(members)).expect("they agree");
    let part = &cluster.member(name).expect("a member").part;
    let Part::Standby(standby) = part else { panic!("{name} is {part:?}") };
    standby.clone()
}

fn doubt(survey: &Survey) -> Doubt {
    conclude(survey, &platform(3)).expect_err("nobody may conclude anything")
}

#[test]
fn a_healthy_cluster_has_one_primary_and_standbys_in_sync() {
    let survey = healthy(3);
    let cluster = conclude(&survey, &platform(3)).expect("they agree");
    assert_eq!(
        (cluster.primary.name.as_str(), cluster.primary.timeline, cluster.primary.fenced),
        ("p1", 3, false)
    );
    assert_eq!(cluster.members.len(), 3);
    assert!(cluster.owed.is_empty() && cluster.strangers.is_empty());
    for name in ["p2", "p3"] {
        let standby = standby(&survey, 3, name);
        assert_eq!((standby.state, standby.lag), (PlacementState::InSync, Some(0)), "{}", standby.fault);
    }
}

#[test]
fn a_standby_that_streams_and_lacks_something_is_not_in_sync() {
    type Harm = fn(&mut Survey);
    let harms: [(&str, Harm); 9] = [
        ("bytes behind", |survey| of(survey, 1).followers[0].flushed = Some(Lsn(FLUSHED.0 - 1))),
        ("bytes behind", |survey| of(survey, 1).followers[0].replayed = Some(Lsn(FLUSHED.0 - 70_000))),
        ("not known", |survey| of(survey, 1).followers[0].replayed = None),
        ("reply is", |survey| of(survey, 1).followers[0].reply_ms = Some(31_000)),
        ("not replied", |survey| of(survey, 1).followers[0].reply_ms = None),
        ("catchup", |survey| of(survey, 1).followers[0].state = "catchup".to_owned()),
        ("application_name must be p2", |survey| of(survey, 1).followers[0].name = "walreceiver".to_owned()),
        ("replay is paused", |survey| {
            of(survey, 2).own.side =
                Side::Standby { replayed: Some(FLUSHED), replays: false, timeline: Some(3) };
        }),
        ("timeline 2", |survey| {
            of(survey, 2).own.side =
                Side::Standby { replayed: Some(FLUSHED), replays: true, timeline: Some(2) };
        }),
    ];
    for (words, harm) in harms {
        let mut survey = healthy(3);
        harm(&mut survey);
        let found = standby(&survey, 3, "p2");
        assert_ne!(found.state, PlacementState::InSync, "{words}");
        assert!(found.fault.contains(words), "{}", found.fault);
        assert_eq!(standby(&survey, 3, "p3").state, PlacementState::InSync);
    }
}

#[test]
fn a_standby_to_which_nothing_is_streamed_is_stale() {
    let mut survey = healthy(3);
    cut(&mut survey, 2);
    let found = standby(&survey, 3, "p2");
    assert_eq!((found.state, found.streams, found.lag), (PlacementState::Stale, false, None));
}

#[test]
fn two_primaries_are_a_conflict() {
    let mut survey = healthy(3);
    of(&mut survey, 3).own.side = Side::Primary { flushed: FLUSHED, timeline: 4 };
    let found = doubt(&survey);
    assert_eq!(found.gap, Gap::Conflicting);
    assert_eq!(
        found.detail,
        "p1 and p3 both are primaries, on timelines 3 and 4: one of them must be stopped"
    );
}

#[test]
fn a_fenced_primary_on_an_older_timeline_has_handed_over() {
    let survey = handed_over(3);
    let cluster = conclude(&survey, &platform(3)).expect("they agree");
    assert_eq!(cluster.primary.name, "p2");
    assert_eq!(cluster.member("p1").map(|member| &member.part), Some(&Part::Retired));
    assert_eq!(standby(&survey, 3, "p3").state, PlacementState::InSync);
}

#[test]
fn a_fenced_primary_on_the_same_timeline_is_a_conflict() {
    let mut survey = handed_over(3);
    of(&mut survey, 2).own.side = Side::Primary { flushed: FLUSHED, timeline: 3 };
    assert_eq!(doubt(&survey).gap, Gap::Conflicting);
}

#[test]
fn before_a_fenced_primary_a_position_is_enough_whomever_a_standby_follows() {
    let mut survey = healthy(3);
    fence(&mut survey);
    cut(&mut survey, 3);
    assert_eq!(standby(&survey, 3, "p3").state, PlacementState::InSync);
    of(&mut survey, 3).own.side =
        Side::Standby { replayed: Some(Lsn(FLUSHED.0 - 1)), replays: true, timeline: None };
    assert_ne!(standby(&survey, 3, "p3").state, PlacementState::InSync);
}

#[test]
fn without_a_primary_that_answers_nothing_is_known() {
    let mut survey = healthy(3);
    silence(&mut survey, 1);
    let found = doubt(&survey);
    assert_eq!(found.gap, Gap::Error);
    assert_eq!(found.detail, "no member that answers is the primary (p1: connection refused)");
    assert_eq!(doubt(&Survey::default()).detail, "no member answers (the platform runs none)");
}

#[test]
fn members_of_two_systems_are_a_conflict() {
    let mut survey = healthy(3);
    of(&mut survey, 3).own.system = "1".to_owned();
    let found = doubt(&survey);
    assert_eq!(found.gap, Gap::Conflicting);
    assert!(found.detail.contains("p3 are of system 1"), "{}", found.detail);
}

#[test]
fn who_has_no_slot_is_no_member() {
    let mut survey = healthy(3);
    of(&mut survey, 1).keeps.retain(|keep| keep.name != "p2");
    let cluster = conclude(&survey, &platform(3)).expect("they agree");
    assert!(cluster.member("p2").is_none());
    assert_eq!(
        cluster.strangers.get("p2").map(String::as_str),
        Some("the primary p1 has no replication slot p2")
    );
}

#[test]
fn a_slot_of_a_vacant_place_is_a_member_to_come_or_is_owed() {
    let mut survey = healthy(3);
    of(&mut survey, 1).keeps.push(Keep { pid: None, restart: None, ..keep(4) });
    let cluster = conclude(&survey, &platform(3)).expect("they agree");
    assert_eq!(cluster.member("p4").map(|member| &member.part), Some(&Part::Registered));
    assert!(cluster.owed.is_empty());

    let mut survey = healthy(3);
    of(&mut survey, 1).keeps.push(Keep { pid: None, ..keep(4) });
    let cluster = conclude(&survey, &platform(3)).expect("they agree");
    assert!(cluster.member("p4").is_none());
    assert_eq!(cluster.owed, [Owed { name: "p4".to_owned(), on: None }]);
}

#[test]
fn a_slot_that_is_nobodys_place_is_left_alone() {
    let mut survey = healthy(3);
    of(&mut survey, 1).keeps.push(Keep { name: "backup_tool".to_owned(), pid: None, ..keep(4) });
    let cluster = conclude(&survey, &platform(3)).expect("they agree");
    assert!(cluster.owed.is_empty());
    assert_eq!(cluster.members.len(), 3);
}

#[test]
fn slots_for_a_hand_over_that_did_not_happen_are_owed() {
    let mut survey = healthy(3);
    of(&mut survey, 2).keeps.push(Keep { pid: None, ..keep(3) });
    let owed = |survey: &Survey| conclude(survey, &platform(3)).expect("they agree").owed;
    assert_eq!(owed(&survey), [Owed { name: "p3".to_owned(), on: Some("p2".to_owned()) }]);
    fence(&mut survey);
    assert!(owed(&survey).is_empty(), "the hand-over is under way");
}

#[test]
fn a_slot_of_a_member_that_followed_a_standby_is_owed_once_it_is_gone() {
    let owed = |survey: &Survey, members| conclude(survey, &platform(members)).expect("they agree").owed;
    let mut survey = healthy(4);
    of(&mut survey, 1).own.names = "ANY 1 (p2, p3)".to_owned();
    cascade(&mut survey, 4, 2);
    of(&mut survey, 1).keeps.retain(|keep| keep.name != "p4");
    assert_eq!(standby(&survey, 4, "p4").upstream.as_deref(), Some("p2"), "a slot there makes it a member");
    assert!(owed(&survey, 4).is_empty());
    of(&mut survey, 2).followers.clear();
    of(&mut survey, 2).keeps[0].pid = None;
    assert!(owed(&survey, 4).is_empty(), "it is away for a moment");
    survey.answers.pop();
    assert_eq!(owed(&survey, 3), [Owed { name: "p4".to_owned(), on: Some("p2".to_owned()) }]);
}

#[test]
fn a_standby_that_follows_another_as_it_should_has_no_fault() {
    type Harm = fn(&mut Survey);
    let harms: [(&str, Harm); 4] = [
        ("p2 says \"catchup\" of it", |survey| of(survey, 2).followers[0].state = "catchup".to_owned()),
        ("reply is", |survey| of(survey, 2).followers[0].reply_ms = Some(31_000)),
        ("replay is paused", |survey| {
            of(survey, 4).own.side =
                Side::Standby { replayed: Some(FLUSHED), replays: false, timeline: Some(3) };
        }),
        ("timeline 2", |survey| {
            of(survey, 4).own.side =
                Side::Standby { replayed: Some(FLUSHED), replays: true, timeline: Some(2) };
        }),
    ];
    let cascaded = || {
        let mut survey = healthy(4);
        of(&mut survey, 1).own.names = "ANY 1 (p2, p3)".to_owned();
        cascade(&mut survey, 4, 2);
        survey
    };
    let found = standby(&cascaded(), 4, "p4");
    assert_eq!((found.state, found.fault.as_str()), (PlacementState::InSync, ""));
    for (words, harm) in harms {
        let mut survey = cascaded();
        harm(&mut survey);
        let found = standby(&survey, 4, "p4");
        assert_ne!(found.state, PlacementState::InSync, "{words}");
        assert!(found.fault.contains(words), "{}", found.fault);
    }
}

#[test]
fn places_that_would_share_a_slot_are_a_conflict() {
    let mut survey = healthy(3);
    survey.answers[2].place = "P2".into();
    let found = doubt(&survey);
    assert_eq!(
        (found.gap, found.detail.as_str()),
        (Gap::Conflicting, "two places would have the replication slot p2")
    );
    survey.answers[2].place = "rack 1/p3".into();
    assert_eq!(doubt(&survey).gap, Gap::Unparsable);
}

#[test]
fn a_slot_that_is_lost_is_never_taken_for_one_that_waits_for_its_first_user() {
    let lost = |number| Keep { pid: None, restart: None, wal: Some("lost".to_owned()), ..keep(number) };
    let mut survey = healthy(3);
    silence(&mut survey, 3);
    let primary = of(&mut survey, 1);
    primary.keeps.retain(|keep| keep.name != "p3");
    primary.followers.retain(|row| row.name != "p3");
    primary.keeps.push(lost(3));
    primary.keeps.push(lost(4));
    let cluster = conclude(&survey, &platform(3)).expect("they agree");
    let part = cluster.member("p3").map(|member| &member.part);
    assert!(
        matches!(part, Some(Part::Standby(standby)) if standby.wal.as_deref() == Some("lost")),
        "{part:?}"
    );
    assert!(cluster.member("p4").is_none());
    assert_eq!(cluster.owed, [Owed { name: "p4".to_owned(), on: None }]);
}
