//! How far one plan may grow a target: a step of the owner's, and no further than there are places.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use plimsoll_core::change::Change;
use plimsoll_core::judge::{Judged, judge};
use plimsoll_wire::record::{Judgement, Verdict, Wisher};
use plimsoll_wire::snapshot::Snapshot;
use serde_json::{Value, json};

const STORE: &str = include_str!("../../../tests/scenarios/base/sharded-at-rest.json");
const GROUP: &str = include_str!("../../../tests/scenarios/base/quorum-at-rest.json");

/// A saved target at rest (a store of six, a group of five) whose owner allows a thousand and that has so many places.
fn with_places(base: &str, places: usize) -> Value {
    let mut value: Value = serde_json::from_str(base).unwrap();
    value["target"]["bounds"]["members"]["max"] = json!(1_000);
    let place = value["vacant"]["value"][0].clone();
    let places = (100..100 + places).map(|at| {
        let mut place = place.clone();
        place["slot"] = json!(format!("db-{at}"));
        place
    });
    value["vacant"]["value"] = places.collect();
    value
}

/// What the platform says of its room.
fn room(mut value: Value, members: u32, bound: &str) -> Value {
    let mut fact = value["sizes"]["members"].clone();
    fact["value"] = json!({ "members": members, "bound": bound });
    value["facts"]["platform.room"] = fact;
    value
}

fn no_room_for(mut value: Value, reason: &str) -> Value {
    value["facts"]["platform.room"] =
        json!({ "state": "unknown", "reason": { "kind": reason }, "detail": "quotas: no" });
    value
}

fn asked(value: Value, to: u32) -> Judgement {
    let snapshot: Snapshot = serde_json::from_value(value).unwrap();
    let change =
        Change::Wish { to, by: Wisher::Policy("load".to_owned()), rests_on: Some(vec!["demand".to_owned()]) };
    match judge(&change, &snapshot, true) {
        Judged::Verdict(judgement) => judgement,
        Judged::NeedFacts => panic!("the facts are direct"),
    }
}

/// The size that is admitted, and the kinds of what was found.
fn admitted(value: Value, to: u32) -> (u32, Vec<String>) {
    let judgement = asked(value, to);
    assert!(judgement.verdict <= Verdict::Clamp, "{judgement:?}");
    let kinds = judgement.violations.into_iter().map(|one| one.kind);
    (judgement.sizes.members.unwrap(), kinds.collect())
}

fn only(kind: &str) -> Vec<String> {
    vec![kind.to_owned()]
}

#[test]
fn one_plan_at_most_doubles_a_target_whatever_is_wished() {
    for wished in [13, 22, 60] {
        assert_eq!(admitted(with_places(STORE, 60), wished), (12, only("TooMuchAdded")), "{wished}");
    }
    assert_eq!(admitted(with_places(STORE, 60), 12), (12, Vec::new()));
    let judgement = asked(with_places(STORE, 60), 22);
    assert_eq!(judgement.violations[0].detail, "from 6 members one plan goes to 12 at most");
}

#[test]
fn a_plan_ends_where_the_places_do_and_not_at_nothing() {
    assert_eq!(admitted(with_places(STORE, 2), 60), (8, vec!["NoPlaceToRun".into(), "TooMuchAdded".into()]));
    assert_eq!(admitted(with_places(STORE, 2), 9), (8, only("NoPlaceToRun")));
    assert_eq!(admitted(with_places(STORE, 0), 9), (6, only("NoPlaceToRun")));
}

#[test]
fn the_room_that_a_platform_tells_bounds_a_plan_and_its_bound_is_named() {
    let told = room(with_places(STORE, 60), 1, "ResourceQuota compute: requests.cpu");
    assert_eq!(admitted(told.clone(), 9), (7, only("NoPlaceToRun")));
    let detail = &asked(told, 9).violations[0].detail;
    assert_eq!(detail, "room for 1 more: ResourceQuota compute: requests.cpu");
    assert_eq!(admitted(room(with_places(STORE, 2), 60, "quota"), 9), (8, only("NoPlaceToRun")));
}

#[test]
fn room_that_was_never_read_lets_one_step_pass_and_a_read_that_failed_is_waited_for() {
    assert_eq!(admitted(no_room_for(with_places(STORE, 60), "not-scraped"), 9).0, 7);
    assert_eq!(
        admitted(no_room_for(with_places(GROUP, 60), "not-scraped"), 9).0,
        7,
        "to the next odd number"
    );
    assert_eq!(admitted(no_room_for(with_places(STORE, 60), "error"), 9), (6, only("NoPlaceToRun")));
    let mut old = room(with_places(STORE, 60), 9, "quota");
    old["facts"]["platform.room"]["ageMs"] = json!(3_600_000);
    assert_eq!(admitted(old, 9), (6, only("NoPlaceToRun")), "what was there an hour ago");
}

#[test]
fn one_legal_step_is_always_allowed_and_a_place_short_of_it_is_none() {
    let careful = |mut value: Value| {
        value["safety"]["growthPermille"] = json!(1_000);
        value
    };
    assert_eq!(admitted(careful(with_places(STORE, 60)), 22), (7, only("TooMuchAdded")));
    assert_eq!(admitted(careful(with_places(GROUP, 60)), 7), (7, Vec::new()));
    let (size, kinds) = admitted(with_places(GROUP, 1), 7);
    assert_eq!(
        (size, kinds.contains(&"NoPlaceToRun".to_owned())),
        (5, true),
        "six voters are no place to rest"
    );
}

#[test]
fn a_floor_that_lies_further_is_reached_in_steps() {
    let mut value = with_places(STORE, 60);
    value["target"]["bounds"]["members"]["min"] = json!(30);
    let (size, kinds) = admitted(value.clone(), 6);
    assert_eq!((size, kinds), (12, vec!["BelowFloor".into(), "TooMuchAdded".into()]));
    assert_eq!(admitted(room(value, 0, "quota"), 6).0, 6, "there is no room on the way");
}

#[test]
fn in_dry_run_steps_count_from_what_would_be_and_places_from_what_is() {
    let mut value = with_places(STORE, 60);
    value["target"]["mode"] = json!("dryrun");
    value["history"]["ghost"] = json!({ "members": 12 });
    assert_eq!(admitted(value.clone(), 60).0, 24);
    assert_eq!(admitted(room(value, 9, "quota"), 60).0, 15);
}
