//! What holds of the judge for every snapshot: it is total, blind to order, never easier on a worse snapshot, and
//! licenses nothing on a fact that is not known.
//!
//! The snapshots are those of `tests/scenarios` and its `base`, with random facts made worse.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "properties/folded.rs"]
mod folded;
#[path = "properties/silence.rs"]
mod silence;
#[path = "properties/start.rs"]
mod start;
#[path = "properties/worse.rs"]
mod worse;

use crate::start::{Asked, STARTS, WELL, asked, parse, verdict};
use crate::worse::{GAPS, Worse, spoil, unknown, worse};
use plimsoll_core::change::Change;
use plimsoll_core::invariant::{self, Severity};
use plimsoll_core::judge::judge;
use plimsoll_core::profile;
use plimsoll_wire::journal::{Join, PlanState, PlatformVerb, Subject, SystemVerb, Verb};
use plimsoll_wire::record::{Judgement, Verdict, Wisher};
use plimsoll_wire::size::{Bounds, Leg};
use plimsoll_wire::snapshot::Snapshot;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whether something would be done.
fn admits(judgement: &Judgement, snapshot: &Snapshot) -> bool {
    let moves = judgement.sizes.members.is_none()
        || judgement.sizes.members != snapshot.sizes.members.value().copied();
    judgement.verdict <= Verdict::Clamp && moves
}

/// D11: a dead member is what a removal repairs, so its death may open the door to its own removal.
fn opens_repair(place: Option<&str>) -> bool {
    place.is_some_and(|at| at.ends_with("/alive"))
}

/// 1500 of each, or as many as `PROPTEST_CASES` asks for beyond that. Where a case is left out, that is no sign of
/// a test that proves nothing.
fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    let cases = asked.cases.max(1_500);
    ProptestConfig { cases, max_global_rejects: cases, failure_persistence: None, ..asked }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_worse_snapshot_is_never_admitted_where_the_better_one_was_refused(
        asked in asked(),
        before in prop::collection::vec(worse(), 0..4),
        last in worse(),
    ) {
        let base = asked.start();
        let mut value = base.value.clone();
        for how in &before {
            spoil(&mut value, &base.facts, how);
        }
        let better = parse(&value);
        let place = spoil(&mut value, &base.facts, &last);
        let worse = parse(&value);
        let dies = opens_repair(place.as_deref()) && matches!(last, Worse::Value(_));
        prop_assume!(!(dies && matches!(asked.change(&better), Change::Wish { .. })));
        let (one, two) = (asked.judged(&better), asked.judged(&worse));
        prop_assert!(
            admits(&one, &better) || !admits(&two, &worse),
            "{}: at {place:?} {last:?}\nbetter {one:?}\nworse {two:?}", base.name
        );
    }

    #[test]
    fn the_order_of_members_groups_and_placements_does_not_matter(
        asked in asked(),
        spoiled in prop::collection::vec(worse(), 0..4),
        by in 1..7_usize,
    ) {
        let base = asked.start();
        let mut value = base.value.clone();
        for how in &spoiled {
            spoil(&mut value, &base.facts, how);
        }
        let straight = parse(&value);
        turn(&mut value, by);
        let turned = parse(&value);
        prop_assert_eq!(asked.judged(&straight), asked.judged(&turned));
    }

    #[test]
    fn clamping_twice_is_clamping_once(asked in asked(), to in any::<u32>(), small in 0..20_u32, wide in any::<bool>()) {
        let snapshot = parse(&asked.start().value);
        let resize = |to| Change::Wish { to, by: Wisher::Person, rests_on: None };
        let once = verdict(&resize(if wide { to } else { small }), &snapshot);
        let size = once.sizes.members.unwrap();
        let twice = verdict(&resize(size), &snapshot);
        prop_assert_eq!(twice.sizes.members, Some(size));
        prop_assert!(twice.violations.iter().all(|one| one.verdict != Verdict::Clamp), "{:?}", twice);
    }

    #[test]
    fn the_judge_has_an_answer_to_everything(
        asked in asked(),
        spoiled in prop::collection::vec(worse(), 0..6),
        numbers in prop::collection::vec(extreme(), 12),
        verb in 0..13_usize,
        undoing in any::<bool>(),
    ) {
        let base = asked.start();
        let mut value = base.value.clone();
        for how in &spoiled {
            spoil(&mut value, &base.facts, how);
        }
        let mut snapshot = parse(&value);
        stretch(&mut snapshot, &numbers);
        let plan = stretched_plan(&snapshot, &numbers);
        let subject = plan.subject.clone().unwrap();
        let verb = verbs(&subject, numbers[0])[verb].clone();
        for profile in [&profile::ETCD, &profile::SIM_QUORUM, &profile::SIM_SHARDED] {
            snapshot.profile = std::sync::Arc::clone(profile);
            let change = Change::Effect {
                plan: Box::new(plan.clone()), subject: subject.clone(), verb: verb.clone(), undoing,
            };
            let _ = judge(&change, &snapshot, true);
            let change = Change::Wish { to: numbers[1], by: Wisher::Person, rests_on: None };
            let _ = judge(&change, &snapshot, true);
            let _ = plimsoll_core::plan::progress::next(&snapshot, &plan);
        }
    }
}

fn extreme() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..12_u32, 1 => Just(u32::MAX), 1 => Just(u32::MAX - 1), 1 => any::<u32>()]
}

/// Turns every list whose order means nothing.
fn turn(value: &mut Value, by: usize) {
    let rotate = |list: Option<&mut Vec<Value>>| {
        if let Some(list) = list.filter(|list| !list.is_empty()) {
            let by = by % list.len();
            list.rotate_left(by);
            list.reverse();
        }
    };
    rotate(value["members"]["value"].as_array_mut());
    for group in value["groups"]["value"].as_array_mut().into_iter().flatten() {
        rotate(group["placements"]["value"].as_array_mut());
    }
    rotate(value["groups"]["value"].as_array_mut());
    rotate(value["operations"]["value"].as_array_mut());
    rotate(value["debts"]["value"].as_array_mut());
}

/// Numbers that nobody expects, wherever a number may stand.
fn stretch(snapshot: &mut Snapshot, numbers: &[u32]) {
    let safety = &mut snapshot.safety;
    (safety.tolerance, safety.spare, safety.spread, safety.sync_spare) =
        (numbers[2], numbers[3], numbers[4], numbers[5]);
    (safety.fraction_permille, safety.headroom_permille, safety.skew_permille) =
        (numbers[6], numbers[7], numbers[8]);
    snapshot.target.bounds = Bounds::of_members(numbers[9], numbers[10]);
    let change = |from, to| plimsoll_wire::snapshot::Change {
        leg: Leg::members(from, to),
        age_ms: 1,
        began_age_ms: 1,
    };
    snapshot.history.changes =
        vec![change(numbers[0], numbers[1]), change(numbers[2], numbers[3]), change(u32::MAX, 0)];
    if let plimsoll_wire::Fact::Known(known) = &mut snapshot.sizes.members {
        known.value = numbers[11];
    }
    if let plimsoll_wire::Fact::Known(known) = &mut snapshot.groups {
        for group in &mut known.value {
            for copies in [&mut group.target_copies, &mut group.min_ack] {
                if let plimsoll_wire::Fact::Known(known) = copies {
                    known.value = numbers[4];
                }
            }
            if let plimsoll_wire::Fact::Known(known) = &mut group.placements {
                known.value.iter_mut().for_each(|placement| placement.weight = numbers[5]);
            }
        }
    }
    if let plimsoll_wire::Fact::Known(known) = &mut snapshot.members {
        for row in &mut known.value {
            if let plimsoll_wire::Fact::Known(known) = &mut row.hosted {
                (known.value.copies, known.value.moving) = (u64::MAX, u64::MAX);
            }
            for bytes in [&mut row.load_bytes, &mut row.disk_used_bytes, &mut row.growth_bytes_per_s] {
                if let plimsoll_wire::Fact::Known(known) = bytes {
                    known.value = u64::MAX - u64::from(numbers[6]);
                }
            }
        }
    }
}

fn stretched_plan(snapshot: &Snapshot, numbers: &[u32]) -> PlanState {
    let own = STARTS.iter().find_map(|base| parse(&base.value).plan).unwrap();
    let mut plan = snapshot.plan.clone().unwrap_or(own);
    (plan.unit, plan.phase) = (numbers[10], numbers[11]);
    plan.legs = vec![Leg::members(numbers[8], numbers[9])];
    plan
}

fn verbs(subject: &Subject, size_after: u32) -> Vec<Verb> {
    let member: Arc<str> = subject.id.clone().unwrap_or_else(|| "m-0001".into());
    let (slot, endpoints) = (subject.slot.clone(), subject.endpoints.clone());
    vec![
        Verb::System(SystemVerb::Register { slot: slot.clone(), endpoints }),
        Verb::Platform(PlatformVerb::Start {
            slot: slot.clone(),
            size_after,
            join: Some(Join { existing: true, ..Join::default() }),
        }),
        Verb::System(SystemVerb::Promote { member: member.clone() }),
        Verb::System(SystemVerb::MoveLeader {
            group: "control".into(),
            from: member.clone(),
            to: Some("m-0001".into()),
        }),
        Verb::System(SystemVerb::Cordon { member: member.clone() }),
        Verb::System(SystemVerb::Uncordon { member: member.clone() }),
        Verb::System(SystemVerb::Drain { member: member.clone() }),
        Verb::System(SystemVerb::CancelDrain { member: member.clone() }),
        Verb::System(SystemVerb::Deregister { member: member.clone() }),
        Verb::System(SystemVerb::Barrier),
        Verb::Platform(PlatformVerb::Stop { slot, member: member.clone(), size_after }),
        Verb::System(SystemVerb::Rebalance),
        Verb::System(SystemVerb::PayDebt { member, kind: "volume".to_owned() }),
    ]
}

/// What it depends on what must be known.
struct Needs {
    sharded: bool,
    /// Whether nothing has begun yet.
    admission: bool,
    /// Whether members go.
    goes: bool,
    /// The row of the member that an effect is about.
    subject: Option<String>,
}

/// What must be known, restated from section 4 of the catalogue and not taken from the code: by its place.
fn is_required(at: &str, asked: &Needs) -> bool {
    let Needs { sharded, admission, goes, subject } = asked;
    let (sharded, admission, goes, subject) = (*sharded, *admission, *goes, subject.as_deref());
    let parts: Vec<&str> = at.split('/').skip(1).collect();
    match parts.as_slice() {
        ["fingerprint" | "owner" | "generation" | "members" | "groups" | "operations"] => true,
        ["sizes", "members"] => true,
        ["facts", "alarms"] => true,
        ["debts"] => goes || admission,
        ["groups", _, _, "leader" | "placements"] => true,
        // How old it is, is looked at where members go.
        ["groups", _, _, "inJointConfig"] => goes && !sharded,
        ["groups", _, _, "targetCopies"] => goes && sharded,
        ["members", _, row, "alive" | "lifecycle"] => subject != Some(row),
        ["members", _, row, "incarnation"] => goes && subject != Some(row),
        ["members", _, _, "hosted" | "loadBytes" | "diskUsedBytes" | "diskCapacityBytes"] => goes && sharded,
        _ => false,
    }
}

/// What the property of order would find by chance in one of a hundred thousand cases: which of several is named.
#[test]
fn of_several_of_which_nothing_is_known_the_same_one_is_named_in_any_order() {
    for (start, base) in STARTS.iter().enumerate() {
        let asked = Asked { start, resize: None, named: false };
        let mut value = base.value.clone();
        for row in value["members"]["value"].as_array_mut().into_iter().flatten() {
            row["cpuPermille"] = unknown("stale");
            row["loadBytes"] = unknown("stale");
        }
        for group in value["groups"]["value"].as_array_mut().into_iter().flatten() {
            group["leader"] = unknown("stale");
            group["placements"]["value"].as_array_mut().into_iter().flatten().for_each(|placement| {
                placement["lag"] = unknown("stale");
            });
        }
        let straight = asked.judged(&parse(&value));
        for by in 1..3 {
            turn(&mut value, by);
            assert_eq!(straight, asked.judged(&parse(&value)), "{}", base.name);
        }
    }
}

/// Oracle 1: every required fact, every reason why it may be missing, and an old one besides.
#[test]
fn no_effect_is_licensed_on_a_fact_that_is_not_known() {
    let mut asked_for = 0;
    for (index, base) in STARTS.iter().take(WELL).enumerate() {
        let sharded = base.name.starts_with("sharded");
        for resize in [Some(3), Some(5), Some(7), None] {
            let asked = Asked { start: index, resize, named: true };
            let snapshot = parse(&base.value);
            let before = asked.judged(&snapshot);
            if !admits(&before, &snapshot) {
                continue;
            }
            let change = asked.change(&snapshot);
            let (goes, subject) = match &change {
                Change::Wish { to, .. } => (*to < *snapshot.sizes.members.value().unwrap(), None),
                Change::Effect { plan, subject, .. } => {
                    let rows = snapshot.members.value().unwrap();
                    let row = rows.iter().position(|row| row.slot.as_ref() == Some(&subject.slot));
                    (plan.to() < plan.from(), row.map(|row| row.to_string()))
                }
            };
            let needs = Needs { sharded, admission: matches!(change, Change::Wish { .. }), goes, subject };
            for at in base.facts.iter().filter(|at| is_required(at, &needs)) {
                let gone = GAPS.iter().map(|gap| unknown(gap));
                let mut old = base.value.pointer(at).unwrap().clone();
                old["ageMs"] = json!(61_000);
                for fact in gone.chain([old]) {
                    let mut value = base.value.clone();
                    *value.pointer_mut(at).unwrap() = fact.clone();
                    let snapshot = parse(&value);
                    let judgement = asked.judged(&snapshot);
                    let name = &base.name;
                    assert!(
                        !admits(&judgement, &snapshot),
                        "{name} {resize:?}: {at} is {fact}, and {judgement:?}"
                    );
                    asked_for += 1;
                }
            }
        }
    }
    assert!(asked_for > 2_000, "only {asked_for} questions were asked");
}

/// How often each rule was found broken, and how often it could not be asked, over what the properties draw from.
fn found() -> BTreeMap<&'static str, (u32, u32)> {
    let mut found: BTreeMap<&str, (u32, u32)> = invariant::all().map(|rule| (rule.id, (0, 0))).collect();
    let mut runner = TestRunner::deterministic();
    let drawn = (asked(), prop::collection::vec(worse(), 0..4));
    for _ in 0..4_000 {
        let (asked, spoiled) = drawn.new_tree(&mut runner).unwrap().current();
        let mut value = asked.start().value.clone();
        for how in &spoiled {
            spoil(&mut value, &asked.start().facts, how);
        }
        for one in asked.judged(&parse(&value)).violations {
            let count = found.get_mut(&*one.rule).unwrap();
            if one.unknown { count.1 += 1 } else { count.0 += 1 }
        }
    }
    found
}

/// A property that holds of a rule that is never asked holds of nothing.
#[test]
fn what_the_properties_draw_from_breaks_every_rule_of_every_family() {
    let found = found();
    for (rule, (broken, unknown)) in &found {
        println!("{rule:<10} broken {broken:>5}, not known {unknown:>5}");
    }
    let families: std::collections::BTreeSet<&str> =
        found.keys().map(|rule| rule.split('-').next().unwrap()).collect();
    let all = [
        "CAP", "DRAIN", "EVID", "FLOOR", "HEALTH", "IDENT", "LEAD", "MUTEX", "QUORUM", "RED", "SHARD", "STEP",
    ];
    assert_eq!(families.into_iter().collect::<Vec<_>>(), all);
    // These have no other finding than that something is not known, or that a size is limited.
    let only_unknown = ["EVID-1", "EVID-5", "EVID-10", "CAP-2"];
    let never: Vec<&str> = invariant::all()
        .filter(|rule| {
            let (broken, unknown) = found[rule.id];
            let enough = if only_unknown.contains(&rule.id) { unknown } else { broken };
            enough < if rule.severity == Severity::Clamp { 1 } else { 3 }
        })
        .map(|rule| rule.id)
        .collect();
    assert!(never.is_empty(), "hardly ever broken: {never:?}");
}
