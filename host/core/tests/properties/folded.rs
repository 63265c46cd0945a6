//! Groups that are alike are one row, and the judge says of the rows what it says of the groups.

use crate::config;
use crate::start::{Asked, STARTS, asked, parse};
use crate::worse::{places, spoil, worse};
use plimsoll_core::groups::{Folding, fold};
use plimsoll_wire::Fact;
use plimsoll_wire::record::{Judgement, Verdict};
use plimsoll_wire::snapshot::{GROUPS_LEFT_OUT, Snapshot};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Each group of users' data, so many times.
fn multiply(value: &mut Value, times: usize) {
    let Some(groups) = value["groups"]["value"].as_array_mut() else { return };
    let more: Vec<Value> = groups.iter().filter(|group| group["kind"] == json!("data")).cloned().collect();
    for (number, group) in (1..times).flat_map(|number| more.iter().map(move |group| (number, group))) {
        let mut group = group.clone();
        group["id"] = json!(format!("{}-{number}", group["id"].as_str().unwrap()));
        groups.push(group);
    }
}

fn folded(snapshot: &Snapshot) -> Snapshot {
    let mut next = snapshot.clone();
    let operations = snapshot.operations.value().map_or(&[][..], Vec::as_slice);
    let folding = Folding {
        safety: &snapshot.safety,
        busy: operations.iter().map(|operation| &*operation.scope).collect(),
        members: snapshot.members.value().map_or(&[], Vec::as_slice),
    };
    if let Fact::Known(groups) = &mut next.groups {
        let folded = fold(std::mem::take(&mut groups.value), &folding);
        assert_eq!(folded.left_out, 0, "so few have room");
        groups.value = folded.rows;
    }
    next
}

/// A rule with its verdict, and whether it could not be asked.
type Said<'a> = BTreeSet<(&'a str, Verdict, bool)>;

/// A judgement without the names in its sentences.
fn said(judgement: &Judgement) -> (Verdict, Option<u32>, Said<'_>) {
    let rules = judgement.violations.iter().map(|one| (&*one.rule, one.verdict, one.unknown));
    (judgement.verdict, judgement.sizes.members, rules.collect())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_verdict_on_rows_is_the_verdict_on_the_groups_that_they_stand_for(
        asked in asked(),
        before in prop::collection::vec(worse(), 0..3),
        times in 1..6_usize,
        degraded in 0..6_u32,
        after in prop::collection::vec(worse(), 0..4),
        by in 0..40_usize,
    ) {
        let base = asked.start();
        let mut value = base.value.clone();
        for how in &before {
            spoil(&mut value, &base.facts, how);
        }
        multiply(&mut value, times);
        value["safety"]["maxDegraded"] = json!(degraded);
        let mut facts = Vec::new();
        places(&value, "", &mut facts);
        for how in &after {
            spoil(&mut value, &facts, how);
        }
        let unfolded = parse(&value);
        let rows = folded(&unfolded);
        let (one, two) = (asked.judged(&unfolded), asked.judged(&rows));
        prop_assert_eq!(said(&one), said(&two), "{}\nunfolded {:?}\nfolded {:?}", &base.name, &one, &two);

        if let Some(groups) = value["groups"]["value"].as_array_mut().filter(|groups| !groups.is_empty()) {
            let by = by % groups.len();
            groups.rotate_left(by);
            groups.reverse();
        }
        prop_assert_eq!(folded(&parse(&value)), rows, "in another order");
    }
}

#[test]
fn groups_that_are_in_no_row_bar_a_shrink_and_no_growth() {
    let start = STARTS.iter().position(|base| base.name == "sharded-at-rest").unwrap();
    let base = &STARTS[start];
    for left_out in [json!(3), json!(null)] {
        let mut value = base.value.clone();
        let mut fact = value["fingerprint"].clone();
        fact["value"] = left_out;
        value["facts"][GROUPS_LEFT_OUT] = fact;
        let (whole, partial) = (parse(&base.value), parse(&value));
        let ask = |to, snapshot| Asked { start, resize: Some(to), named: true }.judged(snapshot);
        assert!(ask(5, &whole).verdict <= Verdict::Clamp);
        let shrink = ask(5, &partial);
        assert!(shrink.verdict > Verdict::Clamp, "{shrink:?}");
        assert!(
            shrink.violations.iter().any(|one| one.rule == "EVID-1" && one.detail.contains("all groups"))
        );
        assert_eq!(ask(7, &partial), ask(7, &whole), "a growth may go");
    }
}
