use super::*;
use crate::systems::postgres::fixture::{
    cascade, cut, fence, follower, handed_over, healthy, keep, of, platform, silence,
};
use crate::systems::postgres::lsn::Lsn;
use crate::systems::postgres::reading::Keep;
use crate::systems::postgres::report::SLOT_DEBT;
use plimsoll_wire::snapshot::Endpoints;

fn call(survey: &Survey, verb: SystemVerb) -> Decision {
    decide(&verb, survey, &platform(u16::try_from(survey.answers.len()).expect("few")), true)
}

fn refused(decision: Decision) -> String {
    let Decision::Settled(Outcome::Refused { message }) = decision else {
        panic!("{decision:?} is no refusal")
    };
    message
}

fn sent(decision: Decision) -> (String, String) {
    let Decision::Send { at, statement } = decision else { panic!("{decision:?} sends no statement") };
    (at.host, statement)
}

fn names(decision: Decision) -> (String, String) {
    let Decision::SetNames { expected, value, .. } = decision else { panic!("{decision:?} sets no names") };
    (expected, value)
}

fn register(place: &str) -> SystemVerb {
    SystemVerb::Register { slot: place.into(), endpoints: Endpoints::new() }
}

fn promote(name: &str) -> SystemVerb {
    SystemVerb::Promote { member: name.into() }
}

fn cordon(name: &str) -> SystemVerb {
    SystemVerb::Cordon { member: name.into() }
}

fn uncordon(name: &str) -> SystemVerb {
    SystemVerb::Uncordon { member: name.into() }
}

fn deregister(name: &str) -> SystemVerb {
    SystemVerb::Deregister { member: name.into() }
}

fn pay(name: &str, kind: &str) -> SystemVerb {
    SystemVerb::PayDebt { member: name.into(), kind: kind.to_owned() }
}

fn move_leader(from: &str, to: &str) -> SystemVerb {
    SystemVerb::MoveLeader { group: GROUP.into(), from: from.into(), to: Some(to.into()) }
}

#[test]
fn a_new_member_gets_its_slot_on_the_primary_first() {
    let mut survey = healthy(3);
    let (host, statement) = sent(call(&survey, register("p4")));
    assert_eq!(host, "h1");
    assert!(
        statement.starts_with("SELECT pg_create_physical_replication_slot('p4') WHERE CASE"),
        "{statement}"
    );
    of(&mut survey, 1).keeps.push(Keep { pid: None, restart: None, ..keep(4) });
    assert_eq!(call(&survey, register("p4")), DONE, "it has it already");
}

#[test]
fn a_slot_that_somebody_used_in_vain_is_made_again_and_one_in_use_is_not_touched() {
    let mut survey = healthy(3);
    of(&mut survey, 1).keeps.push(Keep { pid: None, ..keep(4) });
    assert!(
        sent(call(&survey, register("p4")))
            .1
            .starts_with("SELECT pg_drop_replication_slot('p4'), pg_create_")
    );
    of(&mut survey, 1).keeps[2].pid = Some(77);
    assert!(refused(call(&survey, register("p4"))).contains("somebody uses"));
}

#[test]
fn a_place_that_the_platform_does_not_have_gets_no_slot() {
    assert!(refused(call(&healthy(3), register("p9"))).contains("no vacant place p9"));
    assert!(refused(call(&healthy(3), register("p 9"))).contains("cannot be the name"));
}

#[test]
fn a_caught_up_standby_becomes_a_candidate_and_the_number_stays() {
    let mut survey = healthy(3);
    of(&mut survey, 1).own.names = "ANY 1 (p2)".to_owned();
    assert_eq!(names(call(&survey, promote("p3"))), ("ANY 1 (p2)".to_owned(), "ANY 1 (p2, p3)".to_owned()));
    assert_eq!(call(&survey, promote("p2")), DONE);
    of(&mut survey, 1).followers[1].replayed = Some(Lsn(1));
    assert!(refused(call(&survey, promote("p3"))).contains("bytes behind"));
    of(&mut survey, 1).own.names = String::new();
    assert_eq!(call(&survey, promote("p3")), DONE, "nobody has to confirm");
}

#[test]
fn a_standby_is_taken_out_of_the_candidates_unless_all_of_them_are_needed() {
    assert_eq!(names(call(&healthy(3), cordon("p3"))).1, "ANY 1 (p2)");
    assert!(refused(call(&healthy(2), cordon("p2"))).contains("needs p2"));
    assert!(refused(call(&healthy(3), cordon("p1"))).contains("is the primary"));
    let mut survey = healthy(3);
    of(&mut survey, 1).own.names = "ANY 1 (p2)".to_owned();
    assert_eq!(call(&survey, cordon("p3")), DONE);
    assert_eq!(names(call(&survey, uncordon("p3"))).1, "ANY 1 (p2, p3)", "and back");
    let apart = decide(&uncordon("p3"), &survey, &platform(3), false);
    assert_eq!(apart, DONE, "the owner keeps new standbys out");
}

#[test]
fn a_slot_is_dropped_only_where_nobody_runs() {
    let mut survey = healthy(3);
    of(&mut survey, 1).keeps.push(Keep { pid: None, restart: None, ..keep(4) });
    assert!(sent(call(&survey, deregister("p4"))).1.starts_with("SELECT pg_drop_replication_slot"));
    assert!(refused(call(&survey, deregister("p3"))).contains("still run by the platform"));
    assert!(refused(call(&survey, deregister("p1"))).contains("the primary"));
    assert_eq!(call(&survey, deregister("p9")), DONE);
}

#[test]
fn a_debt_is_paid_where_its_slot_is_and_only_while_it_is_owed() {
    let mut survey = healthy(3);
    of(&mut survey, 1).keeps.push(Keep { pid: None, ..keep(4) });
    let (host, statement) = sent(call(&survey, pay("p4", SLOT_DEBT)));
    assert_eq!(host, "h1");
    assert!(statement.contains("slot_name = 'p4' AND slot_type = 'physical' AND NOT active"), "{statement}");
    assert!(refused(call(&survey, pay("p3", SLOT_DEBT))).contains("run by the platform again"));
    assert_eq!(call(&survey, pay("p9", SLOT_DEBT)), DONE);
    of(&mut survey, 2).keeps.push(Keep { pid: None, ..keep(3) });
    assert_eq!(sent(call(&survey, pay("p3", "replication-slot on p2"))).0, "h2");
}

#[test]
fn a_hand_over_takes_slots_candidates_and_followers_along() {
    let Decision::HandOver(handover) = call(&healthy(4), move_leader("p1", "p2")) else {
        panic!("it may begin")
    };
    assert_eq!((handover.from.host.as_str(), handover.to.host.as_str()), ("h1", "h2"));
    assert_eq!(handover.names, "ANY 1 (p3, p4)");
    let others: Vec<(&str, &str)> =
        handover.others.iter().map(|other| (other.name.as_str(), other.conninfo.as_str())).collect();
    assert_eq!(
        others,
        [
            ("p3", "user=repl application_name=p3 host=h2 port=5502"),
            ("p4", "user=repl application_name=p4 host=h2 port=5502"),
        ]
    );
    let back: Vec<&str> = handover.release.others.iter().map(|other| other.conninfo.as_str()).collect();
    assert_eq!(back[0], "user=repl application_name=p3 host=h1 port=5501");
    assert_eq!(handover.release.slots.len(), 2);
}

#[test]
fn the_primary_is_not_handed_over_where_something_would_be_lost() {
    type Harm = fn(&mut Survey);
    let harms: [(&str, Harm); 8] = [
        ("bytes behind", |survey| of(survey, 1).followers[0].flushed = Some(Lsn(1))),
        ("logical replication slot sub", |survey| {
            of(survey, 1).keeps.push(Keep { name: "sub".to_owned(), physical: false, ..keep(9) });
        }),
        ("left behind", |survey| of(survey, 1).followers.push(follower(9))),
        ("default_transaction_read_only", |survey| of(survey, 2).own.read_only = true),
        ("too few candidates", |survey| of(survey, 1).own.names = "ANY 1 (p2)".to_owned()),
        ("does not show its primary_conninfo", |survey| of(survey, 3).own.conninfo = None),
        ("is a URI", |survey| of(survey, 3).own.conninfo = Some("postgresql://h1".to_owned())),
        ("p3 does not answer", |survey| silence(survey, 3)),
    ];
    for (words, harm) in harms {
        let mut survey = healthy(4);
        harm(&mut survey);
        let message = refused(call(&survey, move_leader("p1", "p2")));
        assert!(message.contains(words), "{words}: {message}");
    }
    assert!(refused(call(&healthy(3), move_leader("p2", "p3"))).contains("the primary is p1"));
    assert_eq!(call(&handed_over(3), move_leader("p1", "p2")), DONE);
}

#[test]
fn a_hand_over_that_was_cut_short_is_finished_or_taken_back() {
    let mut survey = healthy(4);
    fence(&mut survey);
    // p3 follows its next primary already, where its slot was made.
    cut(&mut survey, 3);
    of(&mut survey, 2).keeps.push(keep(3));
    of(&mut survey, 2).followers.push(follower(3));
    of(&mut survey, 3).own.conninfo = Some("application_name=p3 host=h2 port=5502".to_owned());
    assert!(matches!(call(&survey, move_leader("p1", "p2")), Decision::HandOver(_)));
    let Decision::Release(release) = call(&survey, uncordon("p1")) else { panic!("it can be released") };
    assert_eq!(release.others.len(), 1);
    assert_eq!(release.others[0].conninfo, "application_name=p3 host=h1 port=5501");
    assert_eq!(
        release.slots.iter().map(|(at, name)| (at.host.as_str(), name.as_str())).collect::<Vec<_>>(),
        [("h2", "p3")]
    );
    assert_eq!(call(&healthy(3), uncordon("p1")), DONE, "it is not fenced");
}

#[test]
fn nothing_is_sent_while_nobody_knows_who_leads() {
    let mut survey = healthy(3);
    silence(&mut survey, 1);
    for verb in [
        register("p4"),
        promote("p3"),
        cordon("p3"),
        deregister("p3"),
        pay("p4", SLOT_DEBT),
        move_leader("p1", "p2"),
    ] {
        assert!(refused(call(&survey, verb)).contains("no member that answers is the primary"));
    }
}

#[test]
fn who_follows_a_standby_neither_confirms_nor_leads_and_bars_a_hand_over() {
    let mut survey = healthy(4);
    of(&mut survey, 1).own.names = "ANY 1 (p2, p3)".to_owned();
    cascade(&mut survey, 4, 2);
    assert!(refused(call(&survey, promote("p4"))).contains("does not follow the primary"));
    for to in ["p2", "p4"] {
        assert_eq!(
            refused(call(&survey, move_leader("p1", to))),
            "not sent: p4 follows p2: let it follow p1 first"
        );
    }
}
