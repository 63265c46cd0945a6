//! Ways in which a snapshot gets worse.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// The places of all facts that are known, outermost first.
pub(crate) fn places(value: &Value, at: &str, found: &mut Vec<String>) {
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

pub(crate) const GAPS: [&str; 7] =
    ["not-scraped", "stale", "partial", "error", "unparsable", "conflicting", "epoch-mismatch"];

pub(crate) fn unknown(gap: &str) -> Value {
    let reason =
        if gap == "partial" { json!({ "kind": gap, "got": 1, "want": 2 }) } else { json!({ "kind": gap }) };
    json!({ "state": "unknown", "reason": reason })
}

/// One way in which a snapshot gets worse.
#[derive(Clone, Debug)]
pub(crate) enum Worse {
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

pub(crate) fn worse() -> impl Strategy<Value = Worse> {
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
pub(crate) fn spoil(value: &mut Value, facts: &[String], how: &Worse) -> Option<String> {
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
                // A part of a series is better than none of it.
                if SIGNALS[*state] != "partial" || signal["state"] == json!("ok") {
                    signal["state"] = json!(SIGNALS[*state]);
                }
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
        "alarms" => *value = json!([{ "kind": "CORRUPT", "member": "m-0001" }]),
        "placements" => {
            if let Some(first) = value.as_array_mut().and_then(|list| list.first_mut()) {
                first["state"] = json!("stale");
            }
        }
        _ => {}
    }
}
