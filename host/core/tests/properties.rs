//! What holds of the judge for every snapshot: it is total, blind to order, never easier on a worse snapshot, and
//! licenses nothing on a fact that is not known.
//!
//! The snapshots are those of `tests/scenarios/base`, with random facts made worse.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use plimsoll_core::judge::{Change, Judged, Moment, judge};
use plimsoll_core::profile::{self, Profile};
use plimsoll_wire::journal::{PlanState, Subject, Verb};
use plimsoll_wire::record::{Judgement, Verdict};
use plimsoll_wire::snapshot::Snapshot;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

/// A saved snapshot, and the effect that its plan is about to have, if it has one.
struct Base {
    name: &'static str,
    value: Value,
    /// Places of all known facts.
    facts: Vec<String>,
    effect: Option<(Verb, Moment)>,
}

static BASES: LazyLock<Vec<Base>> = LazyLock::new(|| {
    let stop = |slot: &str, member: &str, size_after| Verb::Stop {
        slot: slot.into(),
        member: member.into(),
        size_after,
    };
    let join = json!({ "mode": "existing", "peers": ["http://db-0.sim:2380", "http://db-1.sim:2380"] });
    let all = [
        ("quorum-at-rest", include_str!("../../../tests/scenarios/base/quorum-at-rest.json"), None),
        (
            "quorum-before-start",
            include_str!("../../../tests/scenarios/base/quorum-before-start.json"),
            Some((Verb::Start { slot: "db-3".into(), size_after: 4, join }, Moment::Step)),
        ),
        (
            "quorum-before-promote",
            include_str!("../../../tests/scenarios/base/quorum-before-promote.json"),
            Some((Verb::Promote { member: "m-0004".into() }, Moment::Step)),
        ),
        (
            "quorum-before-deregister",
            include_str!("../../../tests/scenarios/base/quorum-before-deregister.json"),
            Some((Verb::Deregister { member: "m-0004".into() }, Moment::Destroy)),
        ),
        (
            "quorum-before-stop",
            include_str!("../../../tests/scenarios/base/quorum-before-stop.json"),
            Some((stop("db-3", "m-0004", 4), Moment::Destroy)),
        ),
        ("sharded-at-rest", include_str!("../../../tests/scenarios/base/sharded-at-rest.json"), None),
        (
            "sharded-before-stop",
            include_str!("../../../tests/scenarios/base/sharded-before-stop.json"),
            Some((stop("db-5", "n-0006", 5), Moment::Destroy)),
        ),
    ];
    all.into_iter()
        .map(|(name, text, effect)| {
            let value: Value = serde_json::from_str(text).unwrap();
            let mut facts = Vec::new();
            places(&value, "", &mut facts);
            Base { name, value, facts, effect }
        })
        .collect()
});

/// The places of all facts that are known, outermost first.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if fields.get("state") == Some(&json!("known")) {
                found.push(at.to_owned());
            }
            for (name, inner) in fields {
                places(inner, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                places(inner, &format!("{at}/{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

const GAPS: [&str; 7] =
    ["not-scraped", "stale", "partial", "error", "unparsable", "conflicting", "epoch-mismatch"];

fn unknown(gap: &str) -> Value {
    let reason =
        if gap == "partial" { json!({ "kind": gap, "got": 1, "want": 2 }) } else { json!({ "kind": gap }) };
    json!({ "state": "unknown", "reason": reason })
}

/// One way in which a snapshot gets worse.
#[derive(Clone, Debug)]
enum Worse {
    /// A fact is not known, for a reason.
    Unknown(Index, usize),
    /// A fact is old.
    Old(Index),
    /// A value has stood for no time.
    Fresh(Index),
    /// Somebody spoke who does not count.
    Hearsay(Index),
    /// The speaker has just come up.
    Newcomer(Index),
    /// A number or a flag of a fact is worse.
    Value(Index),
    /// Somebody else does something.
    Busy(usize),
    /// A signal is bad.
    Signal(usize),
    /// Something is owed.
    Owed,
}

fn worse() -> impl Strategy<Value = Worse> {
    prop_oneof![
        4 => (any::<Index>(), 0..GAPS.len()).prop_map(|(at, gap)| Worse::Unknown(at, gap)),
        2 => any::<Index>().prop_map(Worse::Old),
        2 => any::<Index>().prop_map(Worse::Fresh),
        2 => any::<Index>().prop_map(Worse::Hearsay),
        1 => any::<Index>().prop_map(Worse::Newcomer),
        6 => any::<Index>().prop_map(Worse::Value),
        1 => (0..6_usize).prop_map(Worse::Busy),
        1 => (0..SIGNALS.len()).prop_map(Worse::Signal),
        1 => Just(Worse::Owed),
    ]
}

const SIGNALS: [&str; 8] =
    ["stale", "absent", "partial", "not-a-number", "ambiguous", "skewed", "malformed", "unavailable"];
const BUSY: [&str; 6] = ["join", "drain", "backup", "upgrade", "command", "recovery"];

/// Makes a snapshot worse. Returns the place, where there is one.
fn spoil(value: &mut Value, facts: &[String], how: &Worse) -> Option<String> {
    let place = |at: &Index| facts[at.index(facts.len())].clone();
    match how {
        Worse::Unknown(at, gap) => put(value, place(at), |fact| *fact = unknown(GAPS[*gap])),
        Worse::Old(at) => put(value, place(at), |fact| fact["ageMs"] = json!(3_600_000)),
        Worse::Fresh(at) => put(value, place(at), |fact| {
            fact["stableMs"] = json!(0);
            fact["reads"] = json!(1);
        }),
        Worse::Hearsay(at) => put(value, place(at), |fact| fact["authority"] = json!("cache")),
        Worse::Newcomer(at) => put(value, place(at), |fact| fact["observerUpMs"] = json!(0)),
        Worse::Value(at) => {
            let at = place(at);
            put(value, at.clone(), |fact| spoil_value(&at, fact))
        }
        Worse::Busy(kind) => put(value, "/operations".to_owned(), |fact| {
            if let Some(list) = fact["value"].as_array_mut() {
                let (kind, progress) = (BUSY[*kind], unknown("error"));
                list.push(json!({ "id": "x", "kind": kind, "owner": "human", "progressPermille": progress }));
            }
        }),
        Worse::Signal(state) => {
            for signal in value["signals"].as_object_mut()?.values_mut() {
                signal["state"] = json!(SIGNALS[*state]);
            }
            None
        }
        Worse::Owed => put(value, "/debts".to_owned(), |fact| {
            if let Some(list) = fact["value"].as_array_mut() {
                list.push(json!({ "kind": "volume", "member": "m-9999" }));
            }
        }),
    }
}

/// Changes a fact, unless an earlier change has taken it away.
fn put(value: &mut Value, at: String, change: impl FnOnce(&mut Value)) -> Option<String> {
    let fact = value.pointer_mut(&at)?;
    if fact["state"] != json!("known") {
        return None;
    }
    change(fact);
    Some(at)
}

/// What is worse than a value depends on what it is a value of.
fn spoil_value(at: &str, fact: &mut Value) {
    let field = at.rsplit('/').next().unwrap();
    let value = &mut fact["value"];
    match field {
        "alive" | "running" => *value = json!(false),
        "lifecycle" => *value = json!("dead"),
        "configPending" | "inJointConfig" => *value = json!(true),
        "diskUsedBytes" | "loadBytes" | "growthBytesPerS" | "lag" => *value = json!(1_u64 << 50),
        "cpuPermille" | "memoryPermille" | "networkPermille" => *value = json!(999),
        "progressPermille" => *value = json!(1),
        "owner" => *value = json!("somebody else"),
        "fingerprint" => *value = json!("another"),
        "incarnation" => *value = json!("another"),
        "generation" => value["observed"] = json!(0),
        "hosted" => value["openWrites"] = json!(1),
        "marker" => *value = json!({ "fingerprint": "old", "memberId": "gone", "tombstoned": true }),
        "placements" => {
            if let Some(first) = value.as_array_mut().and_then(|list| list.first_mut()) {
                first["state"] = json!("stale");
            }
        }
        _ => {}
    }
}

#[derive(Clone, Debug)]
struct Asked {
    base: usize,
    resize: Option<u32>,
    named: bool,
}

fn asked() -> impl Strategy<Value = Asked> {
    let size = prop_oneof![8 => 0..12_u32, 1 => any::<u32>()];
    (0..BASES.len(), proptest::option::of(size), any::<bool>()).prop_map(|(base, resize, named)| Asked {
        base,
        resize,
        named,
    })
}

impl Asked {
    fn base(&self) -> &'static Base {
        &BASES[self.base]
    }

    fn change(&self, snapshot: &Snapshot) -> (Change, Moment) {
        let plain = || {
            let rests_on = self.named.then(|| vec!["demand".to_owned()]);
            let to = self.resize.unwrap_or(3);
            (Change::Resize { to, rests_on, resumed: false }, Moment::Admission)
        };
        match (&self.base().effect, self.resize, &snapshot.plan) {
            (Some((verb, moment)), None, Some(plan)) => (effect(plan, verb), *moment),
            _ => plain(),
        }
    }
}

fn effect(plan: &PlanState, verb: &Verb) -> Change {
    let subject = plan.subject.clone().unwrap();
    Change::Effect { plan: Box::new(plan.clone()), subject, verb: verb.clone(), undoing: false }
}

fn parse(value: &Value) -> Snapshot {
    serde_json::from_value(value.clone()).unwrap()
}

fn profile_of(snapshot: &Snapshot) -> &'static Profile {
    profile::find(&snapshot.target.system).unwrap()
}

fn ask(asked: &Asked, snapshot: &Snapshot) -> Judgement {
    let (change, moment) = asked.change(snapshot);
    verdict(moment, &change, snapshot)
}

fn verdict(moment: Moment, change: &Change, snapshot: &Snapshot) -> Judgement {
    match judge(moment, change, snapshot, profile_of(snapshot), true) {
        Judged::Verdict(judgement) => judgement,
        Judged::NeedFacts => panic!("the facts are direct"),
    }
}

/// Whether something would be done.
fn admits(judgement: &Judgement, snapshot: &Snapshot) -> bool {
    let moves = judgement.size.is_none() || judgement.size != snapshot.size.value().copied();
    judgement.verdict <= Verdict::Clamp && moves
}

/// D11: a dead member is what a removal repairs, so its death may open the door to its own removal.
fn opens_repair(place: Option<&str>) -> bool {
    place.is_some_and(|at| at.ends_with("/alive"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_worse_snapshot_is_never_admitted_where_the_better_one_was_refused(
        asked in asked(),
        before in prop::collection::vec(worse(), 0..4),
        last in worse(),
    ) {
        let base = asked.base();
        let mut value = base.value.clone();
        for how in &before {
            spoil(&mut value, &base.facts, how);
        }
        let better = parse(&value);
        let place = spoil(&mut value, &base.facts, &last);
        let worse = parse(&value);
        let dies = opens_repair(place.as_deref()) && matches!(last, Worse::Value(_));
        prop_assume!(!(dies && asked.resize.is_some()));
        let (one, two) = (ask(&asked, &better), ask(&asked, &worse));
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
        let base = asked.base();
        let mut value = base.value.clone();
        for how in &spoiled {
            spoil(&mut value, &base.facts, how);
        }
        let straight = parse(&value);
        turn(&mut value, by);
        let turned = parse(&value);
        prop_assert_eq!(ask(&asked, &straight), ask(&asked, &turned));
    }

    #[test]
    fn clamping_twice_is_clamping_once(asked in asked(), to in any::<u32>(), small in 0..20_u32, wide in any::<bool>()) {
        let snapshot = parse(&asked.base().value);
        let resize = |to| Change::Resize { to, rests_on: None, resumed: false };
        let once = verdict(Moment::Admission, &resize(if wide { to } else { small }), &snapshot);
        let size = once.size.unwrap();
        let twice = verdict(Moment::Admission, &resize(size), &snapshot);
        prop_assert_eq!(twice.size, Some(size));
        prop_assert!(twice.violations.iter().all(|one| one.verdict != Verdict::Clamp), "{:?}", twice);
    }

    #[test]
    fn the_judge_has_an_answer_to_everything(
        asked in asked(),
        spoiled in prop::collection::vec(worse(), 0..6),
        numbers in prop::collection::vec(extreme(), 12),
        verb in 0..13_usize,
        moment in prop::sample::select(vec![Moment::Admission, Moment::Step, Moment::Destroy]),
        undoing in any::<bool>(),
    ) {
        let base = asked.base();
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
            let change = Change::Effect {
                plan: Box::new(plan.clone()), subject: subject.clone(), verb: verb.clone(), undoing,
            };
            let _ = judge(moment, &change, &snapshot, profile, true);
            let change = Change::Resize { to: numbers[1], rests_on: None, resumed: undoing };
            let _ = judge(Moment::Admission, &change, &snapshot, profile, true);
            let _ = plimsoll_core::plan::progress::next(&snapshot, &plan, profile);
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
    (snapshot.target.min, snapshot.target.max) = (numbers[9], numbers[10]);
    let change = |from, to| plimsoll_wire::snapshot::Change { from, to, age_ms: 1 };
    snapshot.history.changes =
        vec![change(numbers[0], numbers[1]), change(numbers[2], numbers[3]), change(u32::MAX, 0)];
    if let plimsoll_wire::Fact::Known(known) = &mut snapshot.size {
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
    let own = BASES.iter().find_map(|base| parse(&base.value).plan).unwrap();
    let mut plan = snapshot.plan.clone().unwrap_or(own);
    (plan.from, plan.to, plan.unit, plan.phase) = (numbers[8], numbers[9], numbers[10], numbers[11]);
    plan
}

fn verbs(subject: &Subject, size_after: u32) -> Vec<Verb> {
    let member: Arc<str> = subject.id.clone().unwrap_or_else(|| "m-0001".into());
    let (slot, endpoints) = (subject.slot.clone(), subject.endpoints.clone());
    vec![
        Verb::Register { slot: slot.clone(), endpoints },
        Verb::Start { slot: slot.clone(), size_after, join: json!({ "mode": "existing" }) },
        Verb::Promote { member: member.clone() },
        Verb::MoveLeader { from: member.clone(), to: "m-0001".into() },
        Verb::Cordon { member: member.clone() },
        Verb::Uncordon { member: member.clone() },
        Verb::Drain { member: member.clone() },
        Verb::CancelDrain { member: member.clone() },
        Verb::Deregister { member: member.clone() },
        Verb::Barrier,
        Verb::Stop { slot, member: member.clone(), size_after },
        Verb::Rebalance,
        Verb::PayDebt { member, kind: "volume".to_owned() },
    ]
}

/// Both profiles declare the platform's generation away, so it is not among them.
///
/// What must be known, restated from section 4 of the catalogue and not taken from the code: by its place, for the
/// kind of world and whether members go.
fn is_required(at: &str, sharded: bool, goes: bool, subject: Option<&str>) -> bool {
    let parts: Vec<&str> = at.split('/').skip(1).collect();
    match parts.as_slice() {
        ["fingerprint" | "owner" | "members" | "groups" | "operations"] => true,
        ["debts"] => goes,
        ["groups", _, _, "leader" | "placements"] => true,
        ["groups", _, _, "inJointConfig"] => goes && !sharded,
        ["groups", _, _, "targetCopies"] => goes && sharded,
        ["members", _, row, "alive" | "lifecycle"] => subject != Some(row),
        ["members", _, row, "incarnation"] => goes && subject != Some(row),
        ["members", _, _, "hosted" | "loadBytes" | "diskUsedBytes" | "diskCapacityBytes"] => goes && sharded,
        _ => false,
    }
}

/// Oracle 1: every required fact, every reason why it may be missing, and an old one besides.
#[test]
fn no_effect_is_licensed_on_a_fact_that_is_not_known() {
    let mut asked_for = 0;
    for (index, base) in BASES.iter().enumerate() {
        let sharded = base.name.starts_with("sharded");
        for resize in [Some(3), Some(5), Some(7), None] {
            let asked = Asked { base: index, resize, named: true };
            let snapshot = parse(&base.value);
            let before = ask(&asked, &snapshot);
            if !admits(&before, &snapshot) {
                continue;
            }
            let (change, _) = asked.change(&snapshot);
            let (goes, subject) = match &change {
                Change::Resize { to, .. } => (*to < *snapshot.size.value().unwrap(), None),
                Change::Effect { plan, subject, .. } => {
                    let rows = snapshot.members.value().unwrap();
                    let row = rows.iter().position(|row| row.slot.as_ref() == Some(&subject.slot));
                    (plan.to < plan.from, row.map(|row| row.to_string()))
                }
            };
            for at in base.facts.iter().filter(|at| is_required(at, sharded, goes, subject.as_deref())) {
                let gone = GAPS.iter().map(|gap| unknown(gap));
                let mut old = base.value.pointer(at).unwrap().clone();
                old["ageMs"] = json!(61_000);
                for fact in gone.chain([old]) {
                    let mut value = base.value.clone();
                    *value.pointer_mut(at).unwrap() = fact.clone();
                    let snapshot = parse(&value);
                    let judgement = ask(&asked, &snapshot);
                    let name = base.name;
                    // How old a member's place in life is, is the age of the list that it stands in.
                    let inner = at.ends_with("/lifecycle") && fact["state"] == json!("known");
                    assert!(
                        inner || !admits(&judgement, &snapshot),
                        "{name} {resize:?}: {at} is {fact}, and {judgement:?}"
                    );
                    asked_for += 1;
                }
            }
        }
    }
    assert!(asked_for > 2_000, "only {asked_for} questions were asked");
}
