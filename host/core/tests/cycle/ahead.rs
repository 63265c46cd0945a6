//! What bars a later step is known before a member is removed; and what was given up waits before it begins again.

use crate::desk::{Desk, HOUR, MINUTE, SECOND, hasty, spec};
use plimsoll_core::change::Change;
use plimsoll_core::cycle::{Effect, Event, Order};
use plimsoll_core::judge::{Judged, judge};
use plimsoll_core::observation::{Observation, Reading};
use plimsoll_core::profile::{ETCD, SIM_QUORUM, SIM_SHARDED};
use plimsoll_wire::Snapshot;
use plimsoll_wire::journal::{Outcome, PlanState, PlanStatus, SystemVerb, Verb};
use plimsoll_wire::profile::{Profile, Victim};
use plimsoll_wire::record::{Judgement, Verdict, Wisher};
use plimsoll_wire::workload::REFUSALS;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, LazyLock};

static ORDINALS: LazyLock<Arc<Profile>> =
    LazyLock::new(|| Arc::new(Profile { victim: Victim::HighestOrdinal, ..Profile::clone(&SIM_QUORUM) }));

fn read(path: &str) -> Value {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests"));
    serde_json::from_str(&std::fs::read_to_string(folder.join(path)).unwrap()).unwrap()
}

fn judged(change: &Change, snapshot: &Value, profile: &Arc<Profile>) -> Judgement {
    let mut snapshot: Snapshot = serde_json::from_value(snapshot.clone()).unwrap();
    snapshot.profile = profile.clone();
    match judge(change, &snapshot, true) {
        Judged::Verdict(judgement) => judgement,
        Judged::NeedFacts => panic!("the facts are direct"),
    }
}

fn denied(judgement: &Judgement) -> Vec<&str> {
    let denied = judgement.violations.iter().filter(|one| one.verdict == Verdict::Deny);
    denied.map(|one| &*one.rule).collect()
}

fn resize(to: u32, by: Wisher, rests_on: Option<Vec<String>>) -> Change {
    Change::Wish { to, by, rests_on }
}

#[test]
fn votes_are_counted_in_every_state_on_the_way_and_not_at_the_end_alone() {
    let snapshot = read("data/dead-second-victim.json");
    let told = judged(&resize(3, Wisher::Person, None), &snapshot, &ETCD_ON_ORDINALS);
    assert_eq!((told.verdict, denied(&told)), (Verdict::Deny, vec!["QUORUM-4"]), "{told:?}");
    assert!(told.cause().unwrap().detail.starts_with("before it comes to"), "{told:?}");
}

static ETCD_ON_ORDINALS: LazyLock<Arc<Profile>> =
    LazyLock::new(|| Arc::new(Profile { victim: Victim::HighestOrdinal, ..Profile::clone(&ETCD) }));

/// The second member from the end does not answer, on the others' word.
fn dead_second(observation: &mut Observation) {
    let Reading::Value { value: members, .. } = &mut observation.system.members else { return };
    for member in members.iter_mut().filter(|member| member.slot.as_deref() == Some("db-3")) {
        if let Reading::Value { value, .. } = &mut member.alive {
            *value = false;
        }
    }
}

#[test]
fn a_plan_that_could_not_take_its_first_step_is_not_made() {
    let mut desk = Desk::new(5, spec(&ORDINALS, hasty()));
    desk.lens = Some(Box::new(dead_second));
    desk.wished = Some(3);
    desk.pass(10 * MINUTE);
    assert_eq!((desk.plan(), desk.kinds(), desk.journal().history.len()), (None, Vec::new(), 0));
    assert_eq!(desk.reason(), "QuorumAtRisk");
}

#[test]
fn dry_run_judges_what_there_would_be_and_shrinks_nothing_on_a_stale_signal() {
    let snapshot = read("data/dry-run-ghost-on-stale.json");
    let by = Wisher::Policy("load".to_owned());
    let told = judged(&resize(7, by, Some(Vec::new())), &snapshot, &SIM_QUORUM);
    assert!(told.verdict >= Verdict::Defer, "{told:?}");
    assert!(told.violations.iter().any(|one| one.rule == "EVID-10"), "{told:?}");
    let person = judged(&resize(7, Wisher::Person, None), &snapshot, &SIM_QUORUM);
    assert!(person.violations.iter().all(|one| one.rule != "EVID-10"), "{person:?}");
}

fn refusing(snapshot: &mut Value, verb: &str) {
    snapshot["facts"][REFUSALS] = json!({
        "state": "known", "value": [{ "verb": verb, "why": "because" }], "authority": "platform", "ageMs": 40,
        "observer": "x", "observerUpMs": 1_000_000, "stableMs": 40, "reads": 1,
    });
}

/// The effect of the plan in a snapshot.
fn effect(snapshot: &Value, verb: impl Fn(&PlanState) -> Verb) -> Change {
    let plan: PlanState = serde_json::from_value(snapshot["plan"].clone()).unwrap();
    let (subject, verb) = (plan.subject.clone().unwrap(), verb(&plan));
    Change::Effect { plan: Box::new(plan), subject, verb, undoing: false }
}

fn remove(plan: &PlanState) -> Verb {
    Verb::System(SystemVerb::Deregister { member: plan.subject.as_ref().unwrap().id.clone().unwrap() })
}

#[test]
fn a_member_whose_stop_would_be_refused_is_not_struck() {
    let mut snapshot = read("scenarios/base/quorum-before-deregister.json");
    let removes = effect(&snapshot, remove);
    let rules = |snapshot: &Value| {
        let told = judged(&removes, snapshot, &SIM_QUORUM);
        denied(&told).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(rules(&snapshot), Vec::<String>::new());
    refusing(&mut snapshot, "start");
    assert_eq!(rules(&snapshot), Vec::<String>::new(), "nothing is to be started");
    refusing(&mut snapshot, "stop");
    assert_eq!(rules(&snapshot), ["STEP-8"]);
    // What is not known is no permission.
    snapshot["facts"][REFUSALS] =
        json!({ "state": "unknown", "reason": { "kind": "error" }, "detail": "forbidden" });
    assert_eq!(rules(&snapshot), ["EVID-1"]);
}

#[test]
fn each_rule_of_a_later_step_is_asked_before_what_cannot_be_taken_back() {
    // IDENT-6 is about the stop alone: the platform would stop another member than the one that is removed.
    let mut snapshot = read("scenarios/base/quorum-before-deregister.json");
    let removes = effect(&snapshot, remove);
    let subject = snapshot["plan"]["subject"]["slot"].as_str().unwrap().to_owned();
    let rows = snapshot["members"]["value"].as_array_mut().unwrap();
    let other = rows.iter_mut().find(|row| row["slot"] != json!(subject)).unwrap();
    other["slot"] = json!("db-99");
    let told = judged(&removes, &snapshot, &ORDINALS);
    assert!(denied(&told).contains(&"IDENT-6"), "{told:?}");
    let named = judged(&removes, &snapshot, &SIM_QUORUM);
    assert!(!denied(&named).contains(&"IDENT-6"), "{named:?}");
}

#[test]
fn what_the_plan_itself_brings_about_bars_nothing_before() {
    let quorum = read("scenarios/base/quorum-at-rest.json");
    let sharded = read("scenarios/base/sharded-at-rest.json");
    for (snapshot, profile, to) in
        [(&quorum, &SIM_QUORUM, 3), (&quorum, &SIM_QUORUM, 7), (&sharded, &SIM_SHARDED, 5)]
    {
        let told = judged(&resize(to, Wisher::Person, None), snapshot, profile);
        assert!(told.verdict <= Verdict::Clamp, "to {to}: {told:?}");
    }
}

#[test]
fn a_plan_that_was_given_up_waits_longer_each_time_before_it_begins_again_and_an_order_begins_it_at_once() {
    let mut desk = Desk::quorum(3);
    desk.wished = Some(5);
    let mut waits = Vec::new();
    for _ in 0..5 {
        desk.until_plan(PlanStatus::Running);
        desk.say(Order::Cancel).unwrap();
        let (status, size, _) = desk.until_ended();
        assert_eq!((status, size), (PlanStatus::Aborted, 3));
        let ended_ms = desk.now().mono_ms;
        desk.until("the next plan", |desk| desk.plan().is_some());
        waits.push(desk.now().mono_ms - ended_ms);
    }
    for (waited, least) in waits.iter().zip([30, 60, 120, 240, 480]) {
        assert!((least * SECOND..(least + 90) * SECOND).contains(waited), "{waits:?}");
    }
    desk.say(Order::Cancel).unwrap();
    desk.until_ended();
    desk.pass(MINUTE);
    assert_eq!((desk.plan(), &*desk.reason()), (None, "GivenUpBefore"));
    desk.restart(None);
    desk.pass(2 * MINUTE);
    assert_eq!((desk.plan(), &*desk.reason()), (None, "GivenUpBefore"), "it outlives a restart");
    desk.scale(5).unwrap();
    desk.pass(10 * SECOND);
    assert!(desk.plan().is_some(), "{}", desk.reason());
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 5, String::new()));
    assert_eq!(desk.journal().memory.attempt, None, "it succeeded");
}

#[test]
fn another_wish_does_not_wait_for_a_plan_that_was_given_up() {
    let mut desk = Desk::quorum(5);
    desk.wished = Some(7);
    desk.until_plan(PlanStatus::Running);
    desk.say(Order::Cancel).unwrap();
    desk.until_ended();
    desk.wished = Some(3);
    let began_ms = desk.now().mono_ms;
    desk.until("the next plan", |desk| desk.plan().is_some());
    assert!(desk.now().mono_ms - began_ms < 30 * SECOND, "{}", desk.reason());
    assert_eq!(desk.until_ended(), (PlanStatus::Done, 3, String::new()));
}

#[test]
fn what_was_refused_is_told_while_a_step_waits() {
    let mut desk = Desk::quorum(5);
    desk.wished = Some(3);
    desk.until_about_to("stop");
    let Some(Effect::Act { request, .. }) = desk.pending.take() else { panic!("no act") };
    let message = "statefulsets.apps \"db\" is forbidden".to_owned();
    let outcome = Outcome::Refused { message: message.clone() };
    desk.feed(Event::Acted { request, outcome });
    for _ in 0..5 {
        assert!(desk.status().waiting_for.contains(&message), "{}", desk.status().waiting_for);
        desk.pass(SECOND);
    }
    desk.pass(HOUR);
    assert_eq!(desk.journal().history.last().and_then(|ended| ended.ended_at.members), Some(3));
}

#[test]
fn a_plan_that_was_turned_waits_too_though_another_member_came_in_the_place_of_the_one_that_went() {
    let mut desk = Desk::quorum(5);
    desk.wished = Some(3);
    desk.until("the first member to be gone", |desk| desk.sim.size() == 4);
    desk.say(Order::Cancel).unwrap();
    assert_eq!(desk.until_ended().1, 5);
    let ended_ms = desk.now().mono_ms;
    desk.until("the next plan", |desk| desk.plan().is_some());
    assert!(desk.now().mono_ms - ended_ms >= 30 * SECOND);
}
