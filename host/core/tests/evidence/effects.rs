//! What single effects rest on: who leads which group next, and how a new member joins.

use crate::base;
use plimsoll_core::change::Change;
use plimsoll_core::judge::{Judged, judge};
use plimsoll_core::plan;
use plimsoll_core::plan::progress::{Next, next};
use plimsoll_wire::journal::{Join, PlanState, PlatformVerb, SystemVerb, Verb};
use plimsoll_wire::record::Violation;
use plimsoll_wire::snapshot::Snapshot;
use serde_json::{Value, json};
use std::sync::Arc;

fn parse(value: &Value) -> Snapshot {
    serde_json::from_value(value.clone()).unwrap()
}

/// What one rule says of an effect of the plan that runs.
fn said(rule: &str, value: &Value, verb: Verb) -> Option<Violation> {
    let snapshot = parse(value);
    let plan = Box::new(snapshot.plan.clone().unwrap());
    let subject = plan.subject.clone().unwrap();
    let change = Change::Effect { plan, subject, verb, undoing: false };
    match judge(&change, &snapshot, true) {
        Judged::Verdict(judgement) => judgement.violations.into_iter().find(|one| one.rule == rule),
        Judged::NeedFacts => panic!("the facts are direct"),
    }
}

/// The member that goes leads one shard, which the first three members hold too; the others hold only other shards.
fn leading() -> Value {
    let mut value = base("sharded-before-stop");
    value["plan"]["phase"] = json!(1);
    let shard = &mut value["groups"]["value"][0];
    shard["leader"]["value"] = json!("n-0006");
    let mut copy = shard["placements"]["value"][0].clone();
    copy["member"] = json!("n-0006");
    shard["placements"]["value"].as_array_mut().unwrap().push(copy);
    value
}

fn hand(to: Option<&str>) -> Verb {
    let (group, from) = ("shard-0".into(), "n-0006".into());
    Verb::System(SystemVerb::MoveLeader { group, from, to: to.map(Into::into) })
}

#[test]
fn leadership_of_a_data_group_goes_only_to_a_member_that_holds_that_group_in_sync() {
    let mut value = leading();
    let lead = |value: &Value, to| said("LEAD-2", value, hand(to)).map(|one| one.detail);
    let elsewhere = Some("db-3 is not in sync in group shard-0".to_owned());
    assert_eq!(lead(&value, Some("n-0004")), elsewhere, "in sync in another group");
    assert_eq!([lead(&value, Some("n-0001")), lead(&value, None)], [None, None]);
    for copy in [0, 1, 2] {
        assert_eq!(lead(&value, None), None, "the system still has one to choose");
        value["groups"]["value"][0]["placements"]["value"][copy]["state"] = json!("catching-up");
    }
    let behind = Some("db-0 is not in sync in group shard-0".to_owned());
    assert_eq!(lead(&value, Some("n-0001")), behind);
    let nobody = Some("nobody else who serves and stays holds group shard-0 in sync".to_owned());
    assert_eq!(lead(&value, None), nobody);
}

#[test]
fn a_member_that_leads_a_data_group_is_not_stopped() {
    let mut value = leading();
    value["plan"]["phase"] = json!(4);
    let stop = PlatformVerb::Stop { slot: "db-5".into(), member: "n-0006".into(), size_after: 5 };
    let found = said("LEAD-2", &value, stop.into()).unwrap();
    assert_eq!(found.detail, "db-5 still leads group shard-0");
}

#[test]
fn where_the_system_chooses_a_leader_each_that_it_may_choose_has_every_acknowledged_write() {
    let mut value = leading();
    let shard = &mut value["groups"]["value"][0];
    shard["model"] = json!("async-primary");
    shard["placements"]["value"][2]["lag"]["value"] = json!(4096);
    assert_eq!(said("RED-10", &value, hand(Some("n-0001"))), None);
    let found = said("RED-10", &value, hand(None)).unwrap();
    assert_eq!(found.detail, "db-2 is 4096 bytes behind in group shard-0");
}

#[test]
fn the_planner_names_a_member_that_holds_the_group_and_leads_least_or_leaves_it_to_the_system() {
    let mut value = leading();
    for (row, stable_ms, leads) in [(0, 900, 1), (1, 800, 0), (2, 850, 0), (4, 1_000, 0)] {
        let member = &mut value["members"]["value"][row];
        member["alive"]["stableMs"] = json!(stable_ms);
        member["hosted"]["value"]["leaders"] = json!(leads);
    }
    let snapshot = parse(&value);
    let plan = snapshot.plan.clone().unwrap();
    let asked = |picks_leader, plan: &PlanState| {
        let mut snapshot = snapshot.clone();
        Arc::make_mut(&mut snapshot.profile).picks_leader = picks_leader;
        match next(&snapshot, plan) {
            Next::Do { verb, .. } => verb,
            other @ (Next::Choose | Next::Wait { .. } | Next::Beside { .. } | Next::Finished) => {
                panic!("{other:?}")
            }
        }
    };
    let longest = "n-0005 has been up longer, and holds another shard";
    assert_eq!(asked(false, &plan), hand(Some("n-0003")), "{longest}");
    assert_eq!(asked(true, &plan), hand(None));
    // Who is to go next would only hand it on.
    let next_to_go = PlanState { victims: vec!["n-0006".into(), "n-0003".into()], ..plan.clone() };
    assert_eq!(asked(false, &next_to_go), hand(Some("n-0002")));
    let beside = plan::subject_of(&snapshot.members.value().unwrap()[2]);
    let beside = PlanState { leaving: vec![beside], ..plan };
    assert_eq!(asked(false, &beside), hand(Some("n-0002")));
}

#[test]
fn a_new_member_is_started_only_when_it_is_told_of_a_live_member_of_what_there_is() {
    let value = base("quorum-before-start");
    let start = |existing, contacts: &[&str]| {
        let contacts = contacts.iter().map(|address| (*address).to_owned()).collect();
        // What stands in the system's own words says nothing to a rule.
        let payload = json!({ "mode": "existing", "peers": ["http://db-0.sim:2380"] });
        let join = Some(Join { existing, contacts, payload });
        Verb::from(PlatformVerb::Start { slot: "db-3".into(), size_after: 4, join })
    };
    let join = |value: &Value, verb| said("IDENT-7", value, verb).map(|one| one.detail);
    let founds = Some("db-3 would not be told to join an existing cluster".to_owned());
    let alone = Some("no live member is among those that db-3 is told of".to_owned());
    assert_eq!(join(&value, start(true, &["http://db-0.sim:2380"])), None);
    assert_eq!(join(&value, start(false, &["http://db-0.sim:2380"])), founds);
    assert_eq!(join(&value, start(true, &[])), alone);
    assert_eq!(join(&value, start(true, &["http://db-3.sim:2380"])), alone, "of itself");
    let mut dead = value.clone();
    dead["members"]["value"][0]["alive"]["value"] = json!(false);
    assert_eq!(join(&dead, start(true, &["http://db-0.sim:2380"])), alone, "of one that is down");
}
