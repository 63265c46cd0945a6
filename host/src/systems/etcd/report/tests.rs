use super::*;
use crate::systems::etcd::call::{Call, Decision, decide};
use crate::systems::etcd::endpoint::Endpoint;
use crate::systems::etcd::survey::{Answer, List, Status};
use plimsoll_core::observation::Slot;
use plimsoll_core::observation::VacantSlot;
use plimsoll_wire::journal::{Outcome, SystemVerb};
use plimsoll_wire::snapshot::Endpoints;

const CLUSTER: u64 = 0xc1;

fn endpoints(number: u64) -> Endpoints {
    BTreeMap::from([
        ("client".to_owned(), format!("http://h{number}:2379")),
        ("peer".to_owned(), format!("http://h{number}:2380")),
    ])
}

/// Slots `e1` to `e<used>` in use, the next one vacant.
fn platform(used: u64) -> PlatformReport {
    let source = Source::new(Authority::Platform, "test", 0);
    let slots = (1..=used).map(|number| Slot {
        slot: format!("e{number}").into(),
        endpoints: endpoints(number),
        running: true,
        incarnation: "1".to_owned(),
        domain: Reading::default(),
        marker: Reading::default(),
    });
    let vacant = VacantSlot {
        slot: format!("e{}", used + 1).into(),
        endpoints: endpoints(used + 1),
        domain: Reading::default(),
        marker: Reading::default(),
    };
    PlatformReport {
        slots: source.tells(slots.collect()),
        vacant: source.tells(vec![vacant]),
        ..PlatformReport::default()
    }
}

fn registered(id: u64, learner: bool) -> Registered {
    Registered {
        id,
        name: format!("e{id}"),
        // As a member may write it: the case and the slash must not matter.
        peer_urls: vec![format!("HTTP://h{id}:2380/")],
        learner,
    }
}

/// Member `id` of three voters answers everything; 1 leads.
fn answer(id: u64) -> Answer {
    Answer {
        slot: format!("e{id}").into(),
        endpoint: endpoint(&format!("http://h{id}:2379")),
        up_ms: id * 1000,
        status: Ok(Status {
            cluster: CLUSTER,
            member: id,
            leader: 1,
            term: 2,
            committed: 1000,
            applied: 1000,
            db_bytes: 4096,
            version: "3.4.23".to_owned(),
            errors: Vec::new(),
        }),
        list: Ok(List {
            cluster: CLUSTER,
            member: id,
            members: (1..=3).map(|id| registered(id, false)).collect(),
        }),
    }
}

fn healthy() -> Survey {
    Survey { answers: (1..=3).map(answer).collect() }
}

fn silent(answer: &mut Answer) {
    answer.status = Err("no answer in time".to_owned());
    answer.list = Err("no answer in time".to_owned());
}

/// The survey with every answer changed by `change`.
fn with(change: impl Fn(&mut Answer)) -> Survey {
    let mut survey = healthy();
    survey.answers.iter_mut().for_each(change);
    survey
}

/// Every list has one more member, 4, which is a learner.
fn with_learner(name: &str) -> Survey {
    with(|answer| {
        if let Ok(list) = &mut answer.list {
            list.members.push(Registered { name: name.to_owned(), ..registered(4, true) });
        }
    })
}

fn reason<T>(reading: &Reading<T>) -> Option<Gap> {
    match reading {
        Reading::Gap { reason, .. } => Some(reason.clone()),
        Reading::Value { .. } | Reading::NotApplicable => None,
    }
}

/// Why everything is missing, when everything is missing for one reason.
fn all_missing(report: &SystemReport) -> Gap {
    let reasons = [
        reason(&report.fingerprint),
        reason(&report.epoch),
        reason(&report.members),
        reason(&report.groups),
        reason(&report.operations),
        reason(&report.debts),
        reason(&report.join),
    ];
    let first = reasons[0].clone().expect("a gap");
    assert!(reasons.iter().all(|reason| reason.as_ref() == Some(&first)), "{reasons:?}");
    first
}

fn members(report: &SystemReport) -> &[SystemMember] {
    report.members.value().expect("members")
}

fn group(report: &SystemReport) -> &SystemGroup {
    &report.groups.value().expect("groups")[0]
}

fn decided(verb: &SystemVerb, survey: &Survey) -> Decision {
    decide(verb, "intent-7", survey, &platform(3))
}

fn endpoint(address: &str) -> Endpoint {
    Endpoint { address: address.to_owned(), server_name: None }
}

fn sent(endpoint: &str, call: Call) -> Decision {
    Decision::Send { endpoint: self::endpoint(endpoint), call }
}

fn refused(message: &str) -> Decision {
    Decision::Settled(Outcome::Refused { message: format!("not sent: {message}") })
}

#[test]
fn reports_the_same_in_whatever_order_the_members_answered() {
    let straight = assemble(&healthy(), &platform(3));
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let mut survey = Survey { answers: order.iter().map(|at| healthy().answers[*at].clone()).collect() };
        for answer in &mut survey.answers {
            if let Ok(list) = &mut answer.list {
                list.members.reverse();
            }
        }
        assert_eq!(assemble(&survey, &platform(3)), straight);
    }
}

#[test]
fn finds_the_slot_of_each_member_by_its_peer_address() {
    let report = assemble(&healthy(), &platform(3));
    let slots: Vec<_> = members(&report).iter().map(|member| member.slot.as_deref()).collect();
    assert_eq!(slots, [Some("e1"), Some("e2"), Some("e3")]);
}

#[test]
fn gives_no_slot_to_a_member_whose_address_two_slots_claim() {
    let mut platform = platform(3);
    if let Reading::Value { value, .. } = &mut platform.slots {
        value[1].endpoints = endpoints(1);
    }
    let report = assemble(&healthy(), &platform);
    assert_eq!(members(&report)[0].slot, None);
}

#[test]
fn takes_the_uptime_that_a_majority_has() {
    let report = assemble(&healthy(), &platform(3));
    let Reading::Value { source, .. } = &report.epoch else { panic!("{:?}", report.epoch) };
    assert_eq!((source.authority, source.observer_up_ms), (Authority::Consensus, 2000));
    assert_eq!(report.facts["confirmedBy"].value(), Some(&json!(["1", "2", "3"])));
}

#[test]
fn names_every_voter_and_learner_in_the_epoch() {
    let before = assemble(&healthy(), &platform(3));
    let after = assemble(&with_learner(""), &platform(3));
    assert_eq!(before.epoch.value().map(String::as_str), Some("c1/1:voter,2:voter,3:voter"));
    assert_eq!(after.epoch.value().map(String::as_str), Some("c1/1:voter,2:voter,3:voter,4:learner"));
}

#[test]
fn keeps_the_epoch_when_a_member_only_publishes_its_name() {
    let unnamed = assemble(&with_learner(""), &platform(3));
    let named = assemble(&with_learner("e4"), &platform(3));
    assert_eq!(unnamed.epoch, named.epoch);
}

#[test]
fn believes_nobody_when_an_endpoint_belongs_to_another_cluster() {
    let mut survey = healthy();
    if let Ok(status) = &mut survey.answers[2].status {
        status.cluster = 0xc2;
    }
    assert_eq!(all_missing(&assemble(&survey, &platform(3))), Gap::Conflicting);
}

#[test]
fn believes_nobody_when_the_member_lists_differ() {
    let mut survey = healthy();
    if let Ok(list) = &mut survey.answers[1].list {
        list.members.pop();
    }
    assert_eq!(all_missing(&assemble(&survey, &platform(3))), Gap::Conflicting);
}

#[test]
fn believes_nobody_when_two_endpoints_are_the_same_member() {
    let mut survey = healthy();
    survey.answers.push(Answer { slot: "e4".into(), ..answer(1) });
    assert_eq!(all_missing(&assemble(&survey, &platform(4))), Gap::Conflicting);
}

#[test]
fn knows_no_leader_when_members_name_different_ones() {
    let mut survey = healthy();
    if let Ok(status) = &mut survey.answers[2].status {
        status.leader = 3;
    }
    let report = assemble(&survey, &platform(3));
    assert_eq!(reason(&group(&report).leader), Some(Gap::Conflicting));
    assert!(members(&report).iter().all(|member| reason(&member.roles) == Some(Gap::Conflicting)));
    assert!(members(&report).iter().all(|member| reason(&member.hosted) == Some(Gap::Conflicting)));
}

#[test]
fn holds_a_member_without_a_leader_for_stale_and_not_for_a_contradiction() {
    let mut survey = healthy();
    if let Ok(status) = &mut survey.answers[2].status {
        status.leader = 0;
    }
    survey.answers[2].list = Err("etcdserver: request timed out".to_owned());
    let report = assemble(&survey, &platform(3));
    assert_eq!(group(&report).leader.value().map(|id| &**id), Some("1"));
    let states: Vec<_> = group(&report).placements.value().expect("told").iter().map(|it| it.state).collect();
    assert_eq!(states, [PlacementState::InSync, PlacementState::InSync, PlacementState::Stale]);
}

#[test]
fn counts_a_silent_member_as_down_and_as_present() {
    let mut survey = healthy();
    silent(&mut survey.answers[2]);
    let report = assemble(&survey, &platform(3));
    let member = &members(&report)[2];
    let Reading::Value { value: false, source } = &member.alive else { panic!("{:?}", member.alive) };
    assert_eq!(source.authority, Authority::Survivors);
    assert_eq!(group(&report).min_ack.value(), Some(&2));
    let weights: Vec<_> =
        group(&report).placements.value().expect("told").iter().map(|it| it.weight).collect();
    assert_eq!(weights, [1, 1, 1]);
    assert_eq!(reason(&member.load_bytes), Some(Gap::Error));
}

#[test]
fn does_not_call_a_member_dead_on_less_than_a_majority_of_others() {
    // Of two voters one answers: it is the majority of nobody.
    let mut survey = with(|answer| {
        if let Ok(list) = &mut answer.list {
            list.members.truncate(2);
        }
    });
    survey.answers.truncate(2);
    silent(&mut survey.answers[1]);
    assert_eq!(all_missing(&assemble(&survey, &platform(2))), Gap::Partial { got: 1, want: 2 });
}

#[test]
fn knows_nothing_when_only_states_and_no_lists_are_answered() {
    let survey = with(|answer| answer.list = Err("no answer in time".to_owned()));
    assert_eq!(all_missing(&assemble(&survey, &platform(3))), Gap::Partial { got: 0, want: 2 });
}

#[test]
fn knows_nothing_when_nobody_answers_or_nobody_is_asked() {
    assert_eq!(all_missing(&assemble(&with(silent), &platform(3))), Gap::Error);
    assert_eq!(all_missing(&assemble(&Survey::default(), &platform(0))), Gap::Error);
    assert_eq!(all_missing(&assemble(&healthy(), &PlatformReport::default())), Gap::NotScraped);
}

#[test]
fn tells_what_the_registered_member_needs_to_join() {
    let report = assemble(&with_learner(""), &platform(3));
    let join = report.join.value().expect("told");
    assert!(join.existing);
    assert_eq!(join.contacts, ["http://h1:2380", "http://h2:2380", "http://h3:2380"], "never itself");
    assert_eq!(
        join.payload,
        json!({
            "initialCluster": "e1=http://h1:2380,e2=http://h2:2380,e3=http://h3:2380,e4=http://h4:2380",
            "initialClusterState": "existing",
            "name": "e4",
        })
    );
    assert_eq!(reason(&assemble(&healthy(), &platform(3)).join), Some(Gap::NotScraped));
}

#[test]
fn keeps_names_with_separators_out_of_the_join_list() {
    let survey = with(|answer| {
        if let Ok(list) = &mut answer.list {
            list.members[0].name = "a=http://evil:1,b".to_owned();
            list.members.push(Registered { name: String::new(), ..registered(4, true) });
        }
    });
    let report = assemble(&survey, &platform(3));
    let cluster = report.join.value().and_then(|join| join.payload["initialCluster"].as_str()).expect("told");
    assert!(cluster.starts_with("member-1=http://h1:2380,e2="), "{cluster}");
}

#[test]
fn measures_a_learner_against_what_the_leader_has_committed() {
    let mut survey = with_learner("e4");
    let mut learner = answer(4);
    learner.list = Err("etcdserver: rpc not supported for learner".to_owned());
    if let Ok(status) = &mut learner.status {
        status.applied = 940;
    }
    survey.answers.push(learner);
    let report = assemble(&survey, &platform(4));
    let placement = &group(&report).placements.value().expect("told")[3];
    assert_eq!((placement.weight, placement.state), (0, PlacementState::Learner));
    assert_eq!(placement.lag.value(), Some(&60));
    assert_eq!(placement.progress_permille.value(), Some(&940));
    assert_eq!(members(&report)[3].lifecycle.value(), Some(&Lifecycle::CatchingUp));
}

#[test]
fn passes_alarms_on_and_takes_no_missing_leader_for_one() {
    let mut survey = healthy();
    if let Ok(status) = &mut survey.answers[0].status {
        status.errors = vec!["memberID:1 alarm:NOSPACE ".to_owned(), alarm::NO_LEADER.to_owned()];
    }
    let report = assemble(&survey, &platform(3));
    let alarms = report.facts["alarms"].value().and_then(Value::as_array).expect("told");
    let [alarm] = alarms.as_slice() else { panic!("{alarms:?}") };
    assert_eq!((&alarm["kind"], &alarm["member"]), (&json!("NOSPACE"), &json!("1")));
}

/// Beside those, every fact of the snapshot is walked by the properties of the rules.
#[test]
fn whatever_is_told_besides_is_read_by_a_rule_or_stands_on_the_page() {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/policies.md"));
    for report in [assemble(&healthy(), &platform(3)), assemble(&Survey::default(), &platform(3))] {
        assert!(report.facts.len() >= 4, "{report:?}");
        for name in report.facts.keys() {
            let judged = name == ALARMS;
            assert!(judged || page.contains(&format!("| `{name}` |")), "nobody reads {name}");
        }
    }
}

#[test]
fn keeps_a_removed_member_that_still_answers_out_of_everything() {
    let mut survey = healthy();
    let mut zombie = answer(9);
    zombie.slot = "e4".into();
    if let Ok(status) = &mut zombie.status {
        status.leader = 9;
    }
    zombie.list = Err("etcdserver: server stopped".to_owned());
    survey.answers.push(zombie);
    let report = assemble(&survey, &platform(4));
    assert_eq!(members(&report).len(), 3);
    assert_eq!(group(&report).leader.value().map(|id| &**id), Some("1"));
    assert_eq!(report.facts["strangers"].value(), Some(&json!({"e4": "9"})));
}

#[test]
fn registers_a_learner_once_and_at_the_leader() {
    let verb = SystemVerb::Register { slot: "e4".into(), endpoints: endpoints(4) };
    let call = Call::AddLearner { peer_url: "http://h4:2380".to_owned() };
    assert_eq!(decided(&verb, &healthy()), sent("http://h1:2379", call));
    assert_eq!(decided(&verb, &with_learner("")), Decision::Settled(Outcome::Applied));
}

#[test]
fn refuses_to_register_where_a_voter_is_or_no_slot_is() {
    let taken = SystemVerb::Register { slot: "e2".into(), endpoints: endpoints(2) };
    assert_eq!(decided(&taken, &healthy()), refused("http://h2:2380 belongs to voter 2"));
    let nowhere = SystemVerb::Register { slot: "e9".into(), endpoints: endpoints(9) };
    assert_eq!(decided(&nowhere, &healthy()), refused("the platform has no slot e9"));
}

#[test]
fn moves_leadership_only_from_whom_it_was_to_be_moved() {
    let hand = |group: &str, from: &str, to: Option<&str>| SystemVerb::MoveLeader {
        group: group.into(),
        from: from.into(),
        to: to.map(Into::into),
    };
    let verb = |from: &str, to: &str| hand("control", from, Some(to));
    assert_eq!(decided(&verb("1", "2"), &healthy()), sent("http://h1:2379", Call::MoveLeader { to: 2 }));
    assert_eq!(decided(&verb("3", "1"), &healthy()), Decision::Settled(Outcome::Applied));
    assert_eq!(decided(&verb("3", "2"), &healthy()), refused("the leader is 1, not 3"));
    assert_eq!(decided(&verb("1", "4"), &with_learner("e4")), refused("4 is a learner"));
    assert_eq!(
        decided(&hand("control", "1", None), &healthy()),
        refused("etcd has to be told who leads next")
    );
    assert_eq!(decided(&hand("data-1", "1", Some("2")), &healthy()), refused("etcd has no group data-1"));
}

#[test]
fn removes_by_id_and_never_the_leader() {
    let verb = |member: &str| SystemVerb::Deregister { member: member.into() };
    assert_eq!(decided(&verb("2"), &healthy()), sent("http://h1:2379", Call::Remove { member: 2 }));
    assert_eq!(decided(&verb("9"), &healthy()), Decision::Settled(Outcome::Applied));
    assert_eq!(decided(&verb("1"), &healthy()), refused("1 is the leader"));
    assert_eq!(decided(&verb("e2!"), &healthy()), refused("`e2!` is no etcd member id"));
}

#[test]
fn sends_nothing_while_the_members_disagree_or_no_leader_is_known() {
    let barrier = SystemVerb::Barrier;
    assert_eq!(
        decided(&barrier, &healthy()),
        sent("http://h1:2379", Call::Barrier { value: "intent-7".to_owned() })
    );
    let mut survey = healthy();
    if let Ok(status) = &mut survey.answers[2].status {
        status.leader = 3;
    }
    assert_eq!(decided(&barrier, &survey), refused("members name different leaders: 1, 3"));
    // Already gone or not: without a majority's list nobody can say.
    let gone = SystemVerb::Deregister { member: "9".into() };
    assert!(matches!(decided(&gone, &with(silent)), Decision::Settled(Outcome::Refused { .. })));
}

#[test]
fn refuses_verbs_that_are_not_etcds() {
    assert_eq!(decided(&SystemVerb::Rebalance, &healthy()), refused("etcd has no `rebalance`"));
    let drain = SystemVerb::Drain { member: "2".into() };
    assert_eq!(decided(&drain, &healthy()), refused("etcd has no `drain`"));
}
