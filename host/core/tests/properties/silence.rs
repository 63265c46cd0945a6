//! Oracle 2: what is not known is never easier than what is known to be bad. Every fact of every plain start, and
//! the most of every scenario, by turns.

use crate::start::{Asked, STARTS, Start, WELL, parse, verdict};
use crate::worse::unknown;
use crate::{admits, verbs};
use plimsoll_core::change::Change;
use plimsoll_wire::profile::Topic;
use plimsoll_wire::record::Judgement;
use plimsoll_wire::snapshot::Snapshot;
use serde_json::{Value, json};

/// What may be bad about a fact, by its field. Not all of it is: what is admitted proves nothing here.
fn bad(at: &str, now: &Value) -> Vec<Value> {
    let push = |one: Value| {
        let mut list = now.as_array().cloned().unwrap_or_default();
        list.push(one);
        vec![json!(list), json!([])]
    };
    match at.rsplit('/').next().unwrap() {
        "alive" | "running" | "persistent" => vec![json!(false)],
        "configPending" | "inJointConfig" | "open" => vec![json!(true)],
        "lifecycle" => ["provisioning", "joining", "catching-up", "draining", "drained", "removed", "dead"]
            .map(|state| json!(state))
            .to_vec(),
        "roles" => vec![json!(["leader"]), json!(["learner"])],
        "owner" | "fingerprint" | "incarnation" | "epoch" | "leader" => vec![json!("another"), json!("")],
        "domain" => vec![json!("another"), json!("z-a"), json!("")],
        "generation" => vec![json!({ "spec": 2, "observed": 1 })],
        "marker" => vec![json!({ "fingerprint": "old", "memberId": "gone", "tombstoned": true })],
        "hosted" => {
            vec![
                json!({ "copies": 9, "leaders": 3, "moving": 1, "openWrites": 1, "failedMoves": 1, "due": 0 }),
            ]
        }
        "diskUsedBytes" | "loadBytes" | "growthBytesPerS" | "lag" => vec![json!(1_u64 << 50)],
        "diskCapacityBytes" | "drainBytesPerS" | "progressPermille" => vec![json!(0), json!(1)],
        "cpuPermille" | "memoryPermille" | "networkPermille" => vec![json!(1_000)],
        "targetCopies" | "minAck" => vec![json!(0), json!(1_000)],
        "configVersion" => vec![json!(0)],
        "operations" => push(json!({
            "id": "x", "kind": "join", "owner": "human", "progressPermille": unknown("error")
        })),
        "shards" => [("covered", 1), ("open", 1), ("owners", 1), ("leastOwners", 9)]
            .map(|(field, value)| {
                let mut map = now.clone();
                map[field] = json!(value);
                map
            })
            .to_vec(),
        "debts" => push(json!({ "kind": "volume", "member": "m-9999" })),
        "members" if at.starts_with("/sizes/") => {
            vec![json!(now.as_u64().unwrap() + 1), json!(3_900_000_000_u32)]
        }
        "vacant" | "members" | "groups" => vec![json!([])],
        "placements" => vec![json!([]), stale(now)],
        // What a member is called is no reading of its own.
        "id" => Vec::new(),
        "alarms" => push(json!({ "kind": "CORRUPT", "member": "m-0001" })),
        // What a driver tells besides, which no rule reads.
        _ if at.starts_with("/facts/") => Vec::new(),
        field => panic!("{field} is not in the list: what is bad about it?"),
    }
}

fn stale(placements: &Value) -> Value {
    let mut all = placements.clone();
    for one in all.as_array_mut().into_iter().flatten() {
        one["state"] = json!("stale");
    }
    all
}

/// The topic of a fact, where it has one.
fn topic(at: &str) -> Option<Topic> {
    Some(match at.rsplit('/').next().unwrap() {
        "fingerprint" => Topic::Fingerprint,
        "epoch" => Topic::Epoch,
        "owner" => Topic::Owner,
        "generation" => Topic::Generation,
        "members" if at.starts_with("/sizes/") => Topic::Size,
        "members" => Topic::Members,
        "incarnation" => Topic::Incarnation,
        "domain" => Topic::Domain,
        "leader" => Topic::Leader,
        "groups" | "placements" => Topic::Placements,
        "configVersion" => Topic::ConfigVersion,
        "inJointConfig" => Topic::JointConfig,
        "targetCopies" => Topic::Copies,
        "operations" => Topic::Operations,
        "debts" => Topic::Debts,
        "hosted" => Topic::Hosted,
        "loadBytes" => Topic::Load,
        "diskUsedBytes" | "diskCapacityBytes" => Topic::Disk,
        "growthBytesPerS" => Topic::Growth,
        "drainBytesPerS" => Topic::DrainRate,
        "cpuPermille" => Topic::Cpu,
        "memoryPermille" => Topic::Memory,
        "networkPermille" => Topic::Network,
        "marker" => Topic::Volume,
        "lag" => Topic::Lag,
        "configPending" => Topic::Pending,
        "shards" => Topic::Shards,
        _ => return None,
    })
}

/// Whether a fact may be missing: the profile says that the system has no such thing.
fn is_absent(start: &Start, at: &str) -> bool {
    topic(at).is_some_and(|topic| start.profile.lacks(topic))
}

/// Scenarios differ from the plain starts in one thing each: of their many members and groups the first ones will do.
fn is_one_of_many(at: &str) -> bool {
    let mut parts = at.split('/').skip(1);
    let (list, row) = (parts.next(), parts.nth(1).and_then(|row| row.parse::<u32>().ok()));
    matches!((list, row), (Some("members"), Some(2..)) | (Some("groups"), Some(1..)))
}

/// What takes the place of a fact that is not known. That it does not exist is for the profile to say alone; of a
/// failure domain the platform's owner says so. What was seen long ago is not known either (EVID-1).
fn silences(at: &str, now: &Value) -> Vec<Value> {
    let (gone, away, mut old) = (unknown("error"), json!({ "state": "not-applicable" }), now.clone());
    old["ageMs"] = json!(60_001);
    if at.ends_with("/domain") { vec![gone, old] } else { vec![gone, away, old] }
}

/// Every change that may be asked for in a start: its own, other sizes, and while a plan runs every effect of it.
fn changes(start: usize) -> Vec<Change> {
    let snapshot = parse(&STARTS[start].value);
    let sizes = [None, Some(1), Some(3), Some(4), Some(5), Some(6), Some(7)];
    let asked = |resize| Asked { start, resize, named: false }.change(&snapshot);
    let mut all: Vec<_> = sizes.into_iter().map(asked).collect();
    let Some(plan) = &snapshot.plan else { return all };
    let subject = plan.subject.clone().unwrap();
    for verb in verbs(&subject, plan.to()) {
        for undoing in [false, true] {
            let (plan, subject, verb) = (Box::new(plan.clone()), subject.clone(), verb.clone());
            all.push(Change::Effect { plan, subject, verb, undoing });
        }
    }
    all
}

#[test]
fn what_is_not_known_is_never_easier_than_what_is_known_to_be_bad() {
    let (mut refused, mut holes) = (0, Vec::new());
    for (index, start) in STARTS.iter().enumerate() {
        let changes = changes(index);
        let looks = |at: &&String| (index < WELL || !is_one_of_many(at)) && !is_absent(start, at);
        for at in start.facts.iter().filter(looks) {
            let (count, found) = compare(start, &changes, at);
            refused += count;
            holes.extend(found);
        }
    }
    holes.sort();
    holes.dedup();
    assert!(holes.is_empty(), "{} holes:\n{}", holes.len(), holes.join("\n"));
    assert!(refused > 10_000, "only {refused} bad facts were refused");
}

/// The facts that no rule reads, as the page tells them.
const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policies.md"));

/// A fact that is told and that nobody looks at is a hazard that nobody sees.
#[test]
fn every_fact_of_a_snapshot_is_read_by_a_rule_or_stands_on_the_page() {
    let mut unread = std::collections::BTreeSet::new();
    let mut read = std::collections::BTreeSet::new();
    for (index, start) in STARTS.iter().enumerate() {
        let changes = changes(index);
        for at in &start.facts {
            let field = at.rsplit('/').next().unwrap();
            if read.contains(field) {
                continue;
            }
            if is_read(start, &changes, at) {
                unread.remove(field);
                read.insert(field.to_owned());
            } else {
                unread.insert(field.to_owned());
            }
        }
    }
    let told = |field: &String| PAGE.contains(&format!("| `{field}` |"));
    let blind: Vec<&String> = unread.iter().filter(|field| !told(field)).collect();
    assert!(
        blind.is_empty(),
        "no rule reads {blind:?}; a rule has to, or docs/policies.md says what they are"
    );
    let also: Vec<&String> = read.iter().filter(|field| told(field)).collect();
    assert!(also.is_empty(), "a rule reads {also:?}, and docs/policies.md says that none does");
    assert!(read.len() > 20, "{read:?}");
}

/// Whether any change is judged in another way without a fact, or with a bad value of it.
fn is_read(start: &Start, changes: &[Change], at: &str) -> bool {
    let fact = start.value.pointer(at).unwrap();
    let bad = bad(at, &fact["value"]).into_iter().map(|bad| {
        let mut fact = fact.clone();
        fact["value"] = bad;
        fact
    });
    let snapshots: Vec<Snapshot> = silences(at, fact)
        .into_iter()
        .chain(bad)
        .map(|fact| {
            let mut value = start.value.clone();
            *value.pointer_mut(at).unwrap() = fact;
            parse(&value)
        })
        .collect();
    let plain = parse(&start.value);
    changes.iter().any(|change| {
        let before = verdict(change, &plain);
        snapshots.iter().any(|snapshot| verdict(change, snapshot) != before)
    })
}

/// How many bad values of one fact are refused, and where silence is not.
fn compare(start: &Start, changes: &[Change], at: &str) -> (usize, Vec<String>) {
    let with = |fact: Value| {
        let mut value = start.value.clone();
        *value.pointer_mut(at).unwrap() = fact;
        parse(&value)
    };
    let fact = start.value.pointer(at).unwrap();
    let bad: Vec<Snapshot> = bad(at, &fact["value"])
        .into_iter()
        .map(|bad| {
            let mut fact = fact.clone();
            fact["value"] = bad;
            with(fact)
        })
        .collect();
    let silent: Vec<(Value, Snapshot)> =
        silences(at, fact).into_iter().map(|fact| (fact.clone(), with(fact))).collect();
    let (mut refused, mut holes) = (0, Vec::new());
    for change in changes {
        let asked = |snapshot: &Snapshot| verdict(change, snapshot);
        let bars = |snapshot: &Snapshot| Some(asked(snapshot)).filter(|told| !admits(told, snapshot));
        let barred: Vec<Judgement> = bad.iter().filter_map(bars).collect();
        let Some(why) = barred.first() else { continue };
        refused += barred.len();
        let rules: Vec<&str> = why.violations.iter().map(|one| &*one.rule).collect();
        let what = match change {
            Change::Wish { to, .. } => format!("to {to}"),
            Change::Effect { verb, undoing, .. } => format!("{} undoing {undoing}", verb.kind()),
        };
        let easier = silent.iter().filter(|(_, snapshot)| admits(&asked(snapshot), snapshot));
        let tell = |(fact, _): &(Value, Snapshot)| {
            format!("{at} {fact} ({what} in {}): {}", start.name, rules.join(" "))
        };
        holes.extend(easier.map(tell));
    }
    (refused, holes)
}
