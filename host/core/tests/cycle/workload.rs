//! What the judge makes of the object that a platform scales: another one of its name, and another hand on its size.

use plimsoll_core::change::Change;
use plimsoll_core::judge::{Judged, judge};
use plimsoll_core::workload;
use plimsoll_wire::Snapshot;
use plimsoll_wire::record::{Judgement, Verdict, Wisher};
use plimsoll_wire::workload::{IDENTITY, RIVALS};
use serde_json::{Value, json};
use std::path::Path;

fn base(name: &str) -> Value {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/scenarios/base"));
    serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

fn known(value: Value) -> Value {
    json!({ "state": "known", "value": value, "authority": "platform", "ageMs": 40, "observer": "x",
            "observerUpMs": 1_000_000, "stableMs": 40, "reads": 1 })
}

fn with(base: &Value, name: &str, fact: Value) -> Snapshot {
    let mut value = base.clone();
    value["facts"][name] = fact;
    serde_json::from_value(value).unwrap()
}

fn judged(change: &Change, snapshot: &Snapshot) -> Judgement {
    match judge(change, snapshot, true) {
        Judged::Verdict(judgement) => judgement,
        Judged::NeedFacts => panic!("the facts are direct"),
    }
}

fn rules(judgement: &Judgement) -> Vec<&str> {
    judgement.violations.iter().map(|one| &*one.rule).collect()
}

#[test]
fn another_autoscaler_on_the_workload_bars_both_directions_and_so_does_not_knowing() {
    let at_rest = base("quorum-at-rest.json");
    let rival =
        known(json!([{ "kind": "HorizontalPodAutoscaler", "name": "web", "remedy": "take it away" }]));
    let forbidden = json!({ "state": "unknown", "reason": { "kind": "error" }, "detail": "forbidden" });
    for to in [3, 7] {
        let change = Change::Wish {
            to,
            by: Wisher::Policy("load".to_owned()),
            rests_on: Some(vec!["demand".to_owned()]),
        };
        let none = judged(&change, &with(&at_rest, RIVALS, known(json!([]))));
        assert!(!rules(&none).contains(&"IDENT-5"), "{none:?}");
        let some = judged(&change, &with(&at_rest, RIVALS, rival.clone()));
        assert_eq!((some.verdict, rules(&some).contains(&"IDENT-5")), (Verdict::Deny, true), "{some:?}");
        assert!(
            some.violations.iter().any(|one| one.hint == "take it away"),
            "in the platform's words: {some:?}"
        );
        let unknown = judged(&change, &with(&at_rest, RIVALS, forbidden.clone()));
        let says = |judgement: &Judgement| {
            let first = &judgement.violations[0];
            first.rule == "EVID-1" && first.detail.starts_with("not known: what else scales the workload")
        };
        assert!(unknown.verdict >= Verdict::Defer && says(&unknown), "{unknown:?}");
        // Words of another version are no word at all.
        let strange = judged(&change, &with(&at_rest, RIVALS, known(json!({}))));
        assert!(strange.verdict >= Verdict::Defer && says(&strange), "{strange:?}");
    }
}

#[test]
fn a_plan_for_one_workload_does_nothing_to_another_of_its_name() {
    let before = base("quorum-before-stop.json");
    let made = known(json!({ "uid": "one" }));
    let stop = |snapshot: &Snapshot, plan_of: Option<&str>| {
        let mut plan = snapshot.plan.clone().unwrap();
        plan.workload = plan_of.map(Into::into);
        let subject = plan.subject.clone().unwrap();
        let verb = plimsoll_wire::journal::Verb::Platform(plimsoll_wire::journal::PlatformVerb::Stop {
            slot: subject.slot.clone(),
            member: subject.id.clone().unwrap(),
            size_after: plan.from() - plan.unit - 1,
        });
        judged(&Change::Effect { plan: Box::new(plan), subject, verb, undoing: false }, snapshot)
    };
    let of_wrong_cluster = |judgement: &Judgement| rules(judgement).contains(&"IDENT-1");
    let same = with(&before, IDENTITY, made);
    assert!(!of_wrong_cluster(&stop(&same, Some("one"))));
    // A plan of a daemon that did not write it down.
    assert!(!of_wrong_cluster(&stop(&same, None)));
    let other = stop(&same, Some("two"));
    assert!(of_wrong_cluster(&other) && other.verdict == Verdict::Deny, "{other:?}");
    // Nobody tells any more.
    let silent: Snapshot = serde_json::from_value(before).unwrap();
    let unknown = stop(&silent, Some("one"));
    assert_eq!((unknown.verdict, rules(&unknown)), (Verdict::Deny, vec!["EVID-1"]), "{unknown:?}");
    assert_eq!(workload::uid(&silent), Some(None));
}
