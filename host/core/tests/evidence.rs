//! What a change may rest on: whole and fresh facts that do not contradict one another, no alarm, and good signals.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "evidence/effects.rs"]
mod effects;
#[path = "evidence/stray.rs"]
mod stray;

use plimsoll_core::change::Change;
use plimsoll_core::judge::{Judged, judge};
use plimsoll_core::plan::preview::{Asked, preview};
use plimsoll_wire::record::{Judgement, Verdict, Wisher};
use plimsoll_wire::snapshot::Snapshot;
use serde_json::{Value, json};

fn base(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/scenarios/base");
    serde_json::from_str(&std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap()).unwrap()
}

fn with(name: &str, patches: &[(&str, Value)]) -> Value {
    let mut value = base(name);
    for (at, to) in patches {
        *value.pointer_mut(at).unwrap_or_else(|| panic!("nothing at {at}")) = to.clone();
    }
    value
}

fn asked(value: &Value, to: u32, rests_on: Option<&[&str]>) -> Judgement {
    let snapshot: Snapshot = serde_json::from_value(value.clone()).unwrap();
    let rests_on = rests_on.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    let by = if rests_on.is_some() { Wisher::Policy("load".to_owned()) } else { Wisher::Person };
    let change = Change::Wish { to, by, rests_on };
    match judge(&change, &snapshot, true) {
        Judged::Verdict(judgement) => judgement,
        Judged::NeedFacts => panic!("the facts are direct"),
    }
}

fn words(judgement: &Judgement) -> Vec<&str> {
    judgement.violations.iter().map(|one| &*one.kind).collect()
}

/// A snapshot, what is different in it, and what is said of that.
type Case<'a> = (&'a str, Vec<(&'a str, Value)>, &'a str);

#[test]
fn what_cannot_all_be_true_at_once_holds_and_is_named() {
    let quorum = base("quorum-at-rest");
    let first = |at: &str| quorum.pointer(at).unwrap().clone();
    let with_copy = |of: usize| {
        let mut rows = first("/members/value");
        let row = rows[of].clone();
        rows.as_array_mut().unwrap().push(row);
        rows
    };
    let mut copies = first("/groups/value/0/placements/value");
    let copy = copies[0].clone();
    copies.as_array_mut().unwrap().push(copy);
    let mut foreign = first("/groups/value/0/placements/value");
    foreign[0]["member"] = json!("m-9999");
    let groups = json!([first("/groups/value/0"), first("/groups/value/0")]);
    let moving =
        json!({ "copies": 1, "leaders": 0, "moving": 5, "openWrites": 0, "failedMoves": 3, "due": 0 });
    let cases: Vec<Case> = vec![
        (
            "quorum-at-rest",
            vec![("/sizes/members/value", json!(7))],
            "the size is 7, and 5 members are listed",
        ),
        (
            "quorum-at-rest",
            vec![("/sizes/members/value", json!(3_900_000_000_u32))],
            "the size is 3900000000",
        ),
        (
            "quorum-at-rest",
            vec![("/groups/value/0/leader/value", json!("m-9999"))],
            "led by m-9999, who is no member",
        ),
        ("quorum-at-rest", vec![("/members/value", with_copy(0))], "is named twice"),
        ("quorum-at-rest", vec![("/groups/value", groups)], "group control is named twice"),
        ("quorum-at-rest", vec![("/groups/value/0/placements/value", copies)], "two copies on m-0001"),
        ("quorum-at-rest", vec![("/groups/value/0/placements/value", foreign)], "m-9999 is in group control"),
        (
            "quorum-at-rest",
            vec![("/target/bounds/members/min", json!(9)), ("/target/bounds/members/max", json!(3))],
            "the least size asked for is 9, the greatest 3",
        ),
        ("sharded-at-rest", vec![("/groups/value", json!([]))], "there is no group, and copies are on"),
        (
            "sharded-at-rest",
            vec![("/members/value/0/hosted/value", moving)],
            "no operation is under way, and copies move",
        ),
    ];
    for (name, patches, told) in cases {
        let to = if name.starts_with("quorum") { 3 } else { 5 };
        let judgement = asked(&with(name, &patches), to, None);
        let found = judgement.violations.iter().find(|one| one.rule == "EVID-11");
        let found = found.unwrap_or_else(|| panic!("{told}: {judgement:?}"));
        assert!(found.detail.contains(told), "{}", found.detail);
        assert!(judgement.verdict >= Verdict::Defer, "{judgement:?}");
    }
}

#[test]
fn an_absurd_size_ends_neither_the_judge_nor_the_foresight() {
    for size in [0, 8, 3_900_000_000, u32::MAX] {
        for to in [0, 1, 3, u32::MAX] {
            for name in ["quorum-at-rest", "sharded-at-rest"] {
                let value = with(
                    name,
                    &[("/sizes/members/value", json!(size)), ("/target/bounds/members/max", json!(u32::MAX))],
                );
                let snapshot: Snapshot = serde_json::from_value(value).unwrap();
                let shown = preview(&snapshot, Asked { to, by: Wisher::Person, rests_on: None });
                // To wish for what there is changes nothing.
                assert!(
                    (!shown.admitted || size == to) && shown.plan.is_none(),
                    "{name} from {size} to {to}: {shown:?}"
                );
            }
        }
    }
}

#[test]
fn a_growth_to_an_absurd_size_is_foreseen_as_far_as_anybody_reads() {
    let value = with("sharded-at-rest", &[("/target/bounds/members/max", json!(u32::MAX))]);
    let snapshot: Snapshot = serde_json::from_value(value).unwrap();
    let foresight = plimsoll_core::plan::preview::foresee(&snapshot, 6, u32::MAX);
    assert!(foresight.units.len() <= 1_000, "{}", foresight.units.len());
    assert!(foresight.units_left_out > 4_000_000_000, "{}", foresight.units_left_out);
}

#[test]
fn while_an_alarm_stands_nothing_grows_or_shrinks_and_the_message_says_how_to_clear_it() {
    let alarm = json!([{ "kind": "NOSPACE", "member": "m-0002", "remedy": "make room, then disarm" }]);
    for to in [3, 7] {
        let told = asked(&with("quorum-at-rest", &[("/facts/alarms/value", alarm.clone())]), to, None);
        assert_eq!(words(&told), ["AlarmStanding"], "{told:?}");
        let one = &told.violations[0];
        assert_eq!((one.verdict, &*one.hint), (Verdict::Defer, "make room, then disarm"));
        assert!(one.detail.starts_with("NOSPACE on db-"), "{}", one.detail);
    }
    let mut silent = base("quorum-at-rest");
    silent["facts"].as_object_mut().unwrap().remove("alarms");
    let told = asked(&silent, 3, None);
    assert_eq!(words(&told), ["EvidenceMissing"], "a driver that tells nothing tells nothing good: {told:?}");
}

fn signals(value: &mut Value, of: &[(&str, &str, bool)]) {
    let all = of.iter().map(|(name, state, optional)| {
        ((*name).to_owned(), json!({ "state": state, "optional": optional, "samples": [] }))
    });
    value["signals"] = Value::Object(all.collect());
}

const BAD: [&str; 7] = ["stale", "absent", "not-a-number", "ambiguous", "skewed", "malformed", "unavailable"];

#[test]
fn a_shrink_rests_on_every_signal_that_is_not_optional_whatever_the_policy_names() {
    let verdict = |of: &[(&str, &str, bool)], named: Option<&[&str]>| {
        let mut value = base("quorum-at-rest");
        signals(&mut value, of);
        asked(&value, 3, named).verdict
    };
    assert!(verdict(&[("load", "ok", false), ("queue", "ok", false)], Some(&["load"])) <= Verdict::Clamp);
    for state in BAD.into_iter().chain(["partial"]) {
        let other = |optional| [("load", "ok", false), ("queue", state, optional)];
        assert_eq!(verdict(&other(false), Some(&["load"])), Verdict::Defer, "{state}");
        assert_eq!(verdict(&other(false), Some(&[])), Verdict::Defer, "{state}");
        assert!(verdict(&other(true), Some(&["load"])) <= Verdict::Clamp, "optional and {state}");
        assert_eq!(verdict(&other(true), Some(&["queue"])), Verdict::Defer, "optional, named and {state}");
        assert!(verdict(&other(false), None) <= Verdict::Clamp, "a person's wish rests on none");
    }
    assert_eq!(verdict(&[("load", "ok", false)], Some(&["other"])), Verdict::Defer);
}

#[test]
fn a_growth_waits_for_a_number_in_the_signals_that_it_rests_on_and_for_no_other() {
    let verdict = |of: &[(&str, &str, bool)], named: Option<&[&str]>| {
        let mut value = base("quorum-at-rest");
        signals(&mut value, of);
        asked(&value, 7, named).verdict
    };
    for state in BAD {
        let of = [("load", "ok", false), ("queue", state, false)];
        assert_eq!(verdict(&of, Some(&["queue"])), Verdict::Defer, "{state}");
        let silent = ["stale", "absent", "unavailable"].contains(&state);
        let unnamed = verdict(&of, Some(&[]));
        assert_eq!(unnamed <= Verdict::Clamp, silent, "{state}: of what is silent nothing was read");
        assert!(verdict(&of, Some(&["load"])) <= Verdict::Clamp, "{state}: rests on a good one");
        assert!(verdict(&of, None) <= Verdict::Clamp, "a person's wish rests on none");
    }
    let part = [("load", "partial", false)];
    assert!(verdict(&part, Some(&["load"])) <= Verdict::Clamp, "the load is at least what is there");
}

#[test]
fn one_silent_system_is_one_finding_that_claims_no_hazard() {
    for name in ["quorum-at-rest", "sharded-at-rest"] {
        let gone =
            json!({ "state": "unknown", "reason": { "kind": "error" }, "detail": "no member answered" });
        let system = ["sizes/members", "fingerprint", "epoch", "members", "groups", "debts", "operations"];
        let patches: Vec<(String, Value)> =
            system.iter().map(|field| (format!("/{field}"), gone.clone())).collect();
        let mut patches: Vec<(&str, Value)> = patches.iter().map(|(at, to)| (&**at, to.clone())).collect();
        patches.push(("/facts/alarms", gone.clone()));
        for to in [3, 5, 9] {
            let told = asked(&with(name, &patches), to, None);
            assert_eq!(words(&told), ["EvidenceMissing"], "{told:?}");
            let detail = &told.violations[0].detail;
            assert_eq!(detail.matches("no member answered").count(), 1, "{detail}");
        }
    }
}

#[test]
fn a_message_about_thousands_of_members_names_a_few_and_says_how_many_more() {
    let mut value = base("quorum-at-rest");
    let row = value["members"]["value"][0].clone();
    let rows = value["members"]["value"].as_array_mut().unwrap();
    for number in 0..5_000 {
        let mut row = row.clone();
        (row["slot"], row["id"]["value"]) = (json!(format!("x-{number}")), json!(format!("n-{number}")));
        row["lifecycle"]["value"] = json!("draining");
        rows.push(row);
    }
    let told = asked(&value, 3, None);
    let bytes = serde_json::to_vec(&told).unwrap().len();
    assert!(bytes < 16 << 10, "{bytes} bytes");
    assert!(told.violations.iter().any(|one| one.detail.contains("more")), "{told:?}");
}

#[test]
fn a_fact_of_another_shape_is_told_by_its_key_and_the_shape_that_it_should_have() {
    for alarms in [json!("CORRUPT"), json!([{ "member": "m-0001" }]), json!([7])] {
        let value = with("quorum-at-rest", &[("/facts/alarms/value", alarms)]);
        let judgement = asked(&value, 3, None);
        let found = judgement.violations.iter().find(|one| one.rule == "EVID-1").unwrap();
        let wanted = "`facts.alarms` is not a list of {kind, member, remedy}";
        assert!(found.detail.contains(wanted), "{found:?}");
    }
}
