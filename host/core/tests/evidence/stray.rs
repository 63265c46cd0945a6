//! A pod that was added by hand and never joined: it holds nothing, so it may go, and nothing is built beside it.

use crate::{asked, base, words};
use plimsoll_core::change::Change;
use plimsoll_core::judge::{Judged, judge};
use plimsoll_core::plan::preview::{Asked, preview};
use plimsoll_core::plan::progress::{Next, next};
use plimsoll_core::plan::victims;
use plimsoll_wire::journal::{PlanState, PlatformVerb, Verb};
use plimsoll_wire::record::{Judgement, Verdict, Wisher};
use plimsoll_wire::snapshot::Snapshot;
use serde_json::{Value, json};

/// Five members and a sixth place in which nobody ever was one.
fn beside_a_stray() -> Value {
    let mut value = base("quorum-at-rest");
    let mut row = value["members"]["value"][4].clone();
    let unlisted = json!({ "state": "unknown", "reason": { "kind": "not-scraped" } });
    for field in ["id", "lifecycle", "alive", "roles", "hosted", "loadBytes", "configPending", "persistent"] {
        row[field] = unlisted.clone();
    }
    row["slot"] = json!("db-5");
    row["incarnation"]["value"] = json!("p-stray");
    // A pod that waits for a machine is on none.
    row["domain"] = unlisted;
    value["members"]["value"].as_array_mut().unwrap().push(row);
    value["sizes"]["members"]["value"] = json!(6);
    value
}

fn planned(value: &Value, phase: u32) -> (Snapshot, PlanState) {
    let mut snapshot: Snapshot = serde_json::from_value(value.clone()).unwrap();
    let stamp = json!({ "boot": snapshot.now.boot, "monoMs": 1, "wallMs": 1 });
    let ids: Vec<&Value> =
        value["members"]["value"].as_array().unwrap().iter().map(|row| &row["id"]["value"]).collect();
    let ids: Vec<&Value> = ids.into_iter().filter(|id| !id.is_null() && **id != json!("m-9999")).collect();
    let plan: PlanState = serde_json::from_value(json!({
        "id": "p", "decision": "1", "legs": [{ "dimension": "members", "from": 6, "to": 5 }], "fingerprint": value["fingerprint"]["value"], "baseEpoch": "1",
        "members": ids, "victims": ["db-5"], "status": "running", "unit": 0, "phase": phase,
        "subject": { "slot": "db-5", "endpoints": {}, "incarnation": "p-stray" },
        "pointOfNoReturn": false, "started": stamp, "progressed": stamp,
    }))
    .unwrap();
    snapshot.plan = Some(plan.clone());
    (snapshot, plan)
}

fn stopping(value: &Value) -> Judgement {
    let (snapshot, plan) = planned(value, 3);
    let subject = plan.subject.clone().unwrap();
    let verb =
        Verb::Platform(PlatformVerb::Stop { slot: subject.slot.clone(), member: "".into(), size_after: 5 });
    let change = Change::Effect { plan: Box::new(plan), subject, verb, undoing: false };
    match judge(&change, &snapshot, true) {
        Judged::Verdict(judgement) => judgement,
        Judged::NeedFacts => panic!("the facts are direct"),
    }
}

#[test]
fn what_never_joined_may_go_and_goes_first() {
    let value = beside_a_stray();
    let told = asked(&value, 5, None);
    assert!(told.verdict <= Verdict::Clamp, "{told:?}");
    let snapshot: Snapshot = serde_json::from_value(value.clone()).unwrap();
    let first = victims(&snapshot, 1);
    assert_eq!(&*first[0].slot, "db-5");
    let shown = preview(&snapshot, Asked { to: 5, by: Wisher::Person, rests_on: None });
    let removed = &shown.plan.unwrap().units[0].steps[1];
    assert_eq!((&*removed.does, removed.effect), ("make sure that db-5 is no member", None));
    // Nothing is removed from the membership: the system never had it.
    let verb = |phase| match next(&planned(&value, phase).0, &planned(&value, phase).1) {
        Next::Do { verb, .. } => verb.kind(),
        other @ (Next::Choose | Next::Wait { .. } | Next::Beside { .. } | Next::Finished) => {
            panic!("{other:?}")
        }
    };
    assert_eq!([verb(0), verb(3)], ["barrier", "stop"]);
    let told = stopping(&value);
    assert_eq!(told.verdict, Verdict::Allow, "{told:?}");
}

#[test]
fn nothing_grows_beside_what_never_joined_and_nobody_is_told_to_bring_it_back() {
    let told = asked(&beside_a_stray(), 7, None);
    assert_eq!(words(&told), ["MembersNotReady"], "{told:?}");
    let one = &told.violations[0];
    assert_eq!(one.detail, "no member of the system: db-5");
    assert!(!one.hint.contains("bring") && one.hint.contains("may go"), "{}", one.hint);
}

#[test]
fn what_has_joined_since_or_may_be_a_member_of_another_name_stays() {
    let mut joined = beside_a_stray();
    joined["members"]["value"][5]["id"] = joined["members"]["value"][4]["id"].clone();
    joined["members"]["value"][5]["id"]["value"] = json!("m-9999");
    let told = stopping(&joined);
    assert!(words(&told).contains(&"MemberReplaced"), "{told:?}");
    // A member without a place might be the one in it.
    let mut homeless = beside_a_stray();
    homeless["members"]["value"][4].as_object_mut().unwrap().remove("slot");
    assert!(stopping(&homeless).verdict >= Verdict::Defer);
    assert!(asked(&homeless, 5, None).verdict >= Verdict::Defer);
    // Nor does a list on nobody's word say who is a member.
    let mut hearsay = beside_a_stray();
    hearsay["members"]["authority"] = json!("platform");
    assert!(stopping(&hearsay).verdict >= Verdict::Defer);
    assert!(asked(&hearsay, 5, None).verdict >= Verdict::Defer);
}
