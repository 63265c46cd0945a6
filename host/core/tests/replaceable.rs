//! A system whose members all hold everything: a primary, and copies of which some confirm its writes. A member may go as it is,
//! once others hold what it holds and enough of them confirm.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use plimsoll_core::change::Change;
use plimsoll_core::judge::{Judged, judge};
use plimsoll_core::plan::progress::{Next, next};
use plimsoll_wire::journal::{PlatformVerb, SystemVerb, Verb};
use plimsoll_wire::snapshot::Snapshot;
use serde_json::{Value, json};

/// `db-5` (`n-0006`) is about to be stopped: it confirms nothing any more, and `n-0001` waits for one of `n-0002` and `n-0003`.
fn before_stop() -> Value {
    let base = include_str!("../../../tests/scenarios/base/sharded-before-stop.json");
    let mut value: Value = serde_json::from_str(base).unwrap();
    value["profile"]["evidence"] = json!("replaceable");
    value["profile"]["registersFirst"] = json!(true);
    let ways = &mut value["profile"]["ways"]["members"];
    ways["grow"] = json!([{"step": "register"}, {"step": "start"}, {"step": "promote"}]);
    ways["shrink"] = json!([
        {"step": "move-leaders"}, {"step": "cordon"}, {"step": "verify"}, {"step": "stop", "noReturn": true},
        {"step": "settle"}
    ]);
    value["plan"]["phase"] = json!(3);
    let mut group = value["groups"]["value"][0].clone();
    group["id"] = json!("replication");
    group["kind"] = json!("control");
    group["model"] = json!("async-primary");
    group["minAck"]["value"] = json!(2);
    group["targetCopies"]["value"] = json!(2);
    let copy = group["placements"]["value"][0].clone();
    let copies: Vec<Value> = (1..=6)
        .map(|number| {
            let mut copy = copy.clone();
            copy["member"] = json!(format!("n-000{number}"));
            copy["weight"] = json!(u32::from(number <= 3));
            copy
        })
        .collect();
    group["placements"]["value"] = json!(copies);
    value["groups"]["value"] = json!([group]);
    for row in value["members"]["value"].as_array_mut().unwrap() {
        row["lifecycle"]["value"] = json!("serving");
    }
    value["members"]["value"][5]["roles"]["value"] = json!(["learner"]);
    value
}

fn snapshot(value: &Value) -> Snapshot {
    serde_json::from_value(value.clone()).unwrap()
}

/// What bars the stop.
fn bars(value: &Value) -> Vec<String> {
    let snapshot = snapshot(value);
    let plan = Box::new(snapshot.plan.clone().unwrap());
    let subject = plan.subject.clone().unwrap();
    let verb = PlatformVerb::Stop { slot: "db-5".into(), member: "n-0006".into(), size_after: 5 }.into();
    let Judged::Verdict(judgement) =
        judge(&Change::Effect { plan, subject, verb, undoing: false }, &snapshot, true)
    else {
        panic!("the facts are direct")
    };
    judgement.violations.iter().map(|one| format!("{}: {}", one.rule, one.detail)).collect()
}

/// What the unit needs next.
fn step(value: &Value) -> Next {
    let snapshot = snapshot(value);
    next(&snapshot, snapshot.plan.as_ref().unwrap())
}

fn copy(value: &mut Value, number: usize) -> &mut Value {
    &mut value["groups"]["value"][0]["placements"]["value"][number - 1]
}

#[test]
fn a_member_goes_as_it_is_where_others_hold_everything_and_confirm() {
    assert_eq!(bars(&before_stop()), Vec::<String>::new());
    let Next::Do { verb: Verb::Platform(PlatformVerb::Stop { slot, .. }), .. } = step(&before_stop()) else {
        panic!("it is stopped next")
    };
    assert_eq!(&*slot, "db-5");
}

#[test]
fn it_stays_while_nobody_else_holds_everything_or_too_few_confirm() {
    let mut alone = before_stop();
    (1..=5).for_each(|number| copy(&mut alone, number)["state"] = json!("catching-up"));
    let told = bars(&alone).join("\n");
    assert!(told.contains("EVID-2: nobody else holds group replication whole"), "{told}");
    let mut few = before_stop();
    [2, 3].into_iter().for_each(|number| copy(&mut few, number)["state"] = json!("catching-up"));
    let told = bars(&few).join("\n");
    assert!(told.contains("EVID-2: 1 members could confirm a write of group replication, 2 must"), "{told}");
}

#[test]
fn what_hangs_on_a_member_bars_its_own_removal_and_nobody_elses() {
    let hanging = |number: usize| {
        let mut value = before_stop();
        value["members"]["value"][number]["hosted"] =
            json!({"state": "unknown", "reason": {"kind": "conflicting"}, "detail": "n-0009 follows it"});
        value
    };
    assert_eq!(bars(&hanging(2)), Vec::<String>::new());
    let told = bars(&hanging(5)).join("\n");
    assert!(
        told.contains("EVID-1: not known: what is hosted of db-5 (conflicting: n-0009 follows it)"),
        "{told}"
    );
}

#[test]
fn only_the_word_of_others_that_has_stood_counts() {
    let mut own = before_stop();
    own["groups"]["value"][0]["placements"]["authority"] = json!("own");
    assert!(
        bars(&own).join("\n").contains("EVID-2: who holds group replication is not on the word of others")
    );
    let mut young = before_stop();
    young["groups"]["value"][0]["placements"]["stableMs"] = json!(1_000);
    assert!(
        bars(&young)
            .join("\n")
            .contains("EVID-4: group replication: who holds it has been the same for 1000 ms")
    );
    let Next::Wait { step: "verify", why, .. } = step(&young) else { panic!("it waits") };
    assert!(why.contains("1000 of 120000 ms"), "{why}");
}

#[test]
fn a_member_for_whom_writes_wait_is_taken_out_first_dead_or_not() {
    for lifecycle in ["serving", "dead"] {
        let mut awaited = before_stop();
        copy(&mut awaited, 6)["weight"] = json!(1);
        awaited["members"]["value"][5]["lifecycle"]["value"] = json!(lifecycle);
        let Next::Do { verb, .. } = step(&awaited) else { panic!("{lifecycle}: it is taken out") };
        assert_eq!(verb, SystemVerb::Cordon { member: "n-0006".into() }.into(), "{lifecycle}");
        awaited["groups"]["value"][0]["minAck"]["value"] = json!(1);
        let Next::Do { verb, .. } = step(&awaited) else { panic!("{lifecycle}: nobody waits") };
        assert_eq!(verb.kind(), "stop", "{lifecycle}");
    }
}

#[test]
fn what_was_taken_out_is_taken_in_again_when_it_stays() {
    let mut back = before_stop();
    back["plan"]["undoing"] = json!(true);
    let Next::Do { verb, .. } = step(&back) else { panic!("it is taken in again") };
    assert_eq!(verb, SystemVerb::Uncordon { member: "n-0006".into() }.into());
    back["members"]["value"][5]["roles"]["value"] = json!(["sync-standby"]);
    assert_eq!(step(&back), Next::Finished);
}

#[test]
fn a_newcomer_that_is_taken_back_ends_before_it_is_forgotten() {
    let mut back = before_stop();
    back["plan"]["legs"] = json!([{ "dimension": "members", "from": 5, "to": 6 }]);
    back["plan"]["undoing"] = json!(true);
    let Next::Do { verb, .. } = step(&back) else { panic!("its process ends") };
    assert_eq!(verb.kind(), "stop");
    // Nobody runs there any more, and the system still knows it.
    back["members"]["value"][5]["incarnation"] =
        json!({"state": "unknown", "reason": {"kind": "not-scraped"}});
    let Next::Do { verb, .. } = step(&back) else { panic!("it is forgotten") };
    assert_eq!(verb, SystemVerb::Deregister { member: "n-0006".into() }.into());
}
