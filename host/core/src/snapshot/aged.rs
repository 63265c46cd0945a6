//! What is old is not known (EVID-1): a snapshot as the rules see it, so that none of them has to ask how old a fact is.

use plimsoll_wire::fact::{Fact, Gap, Known};
use plimsoll_wire::size::Observed;
use plimsoll_wire::snapshot::{Group, Member, Operation, Placement, Snapshot, Vacancy};
use std::borrow::Cow;

/// Runs a body for every fact of a snapshot, inner ones first. Each struct is taken apart field by field, so that a new
/// fact does not compile before it is named here. `iter` and `values` say whether they are only looked at.
macro_rules! each_fact {
    ($snapshot:expr, $iter:ident, $values:ident, $fact:ident => $body:expr) => {{
        let Snapshot {
            format_version: _, now: _, target: _, safety: _, profile: _, history: _, plan: _, signals: _, state: _,
            sizes, fingerprint, epoch, generation, owner, members, vacant, groups, shards: map, operations,
            debts, facts,
        } = $snapshot;
        if let Fact::Known(Known { value, .. }) = members {
            for row in value.$iter() {
                let Member {
                    slot: _, endpoints: _, id, incarnation, lifecycle, running, alive, roles, domain, hosted,
                    load_bytes, disk_capacity_bytes, disk_used_bytes, growth_bytes_per_s, drain_bytes_per_s,
                    cpu_permille, memory_permille, network_permille, persistent, config_pending, marker,
                } = row;
                each_fact!(@these $fact => $body; id, incarnation, lifecycle, running, alive, roles, domain, hosted,
                    load_bytes, disk_capacity_bytes, disk_used_bytes, growth_bytes_per_s, drain_bytes_per_s,
                    cpu_permille, memory_permille, network_permille, persistent, config_pending, marker);
            }
        }
        if let Fact::Known(Known { value, .. }) = vacant {
            for place in value.$iter() {
                let Vacancy { slot: _, endpoints: _, domain, marker } = place;
                each_fact!(@these $fact => $body; domain, marker);
            }
        }
        if let Fact::Known(Known { value, .. }) = groups {
            for group in value.$iter() {
                let Group {
                    id: _, count: _, kind: _, model: _, target_copies, min_ack, placements, leader, config_version,
                    in_joint_config, open,
                } = group;
                if let Fact::Known(Known { value, .. }) = placements {
                    for copy in value.$iter() {
                        let Placement { member: _, weight: _, state: _, lag, progress_permille } = copy;
                        each_fact!(@these $fact => $body; lag, progress_permille);
                    }
                }
                each_fact!(@these $fact => $body; target_copies, min_ack, placements, leader, config_version,
                    in_joint_config, open);
            }
        }
        if let Fact::Known(Known { value, .. }) = operations {
            for operation in value.$iter() {
                let Operation { id: _, kind: _, owner: _, scope: _, progress_permille } = operation;
                each_fact!(@these $fact => $body; progress_permille);
            }
        }
        for told in facts.$values() {
            each_fact!(@these $fact => $body; told);
        }
        let Observed { members: size, shards, cpu_milli, memory_bytes, volume_bytes } = sizes;
        each_fact!(@these $fact => $body; size, shards, cpu_milli, memory_bytes, volume_bytes, map, fingerprint, epoch, generation, owner, members, vacant, groups,
            operations, debts);
    }};
    (@these $fact:ident => $body:expr; $($each:ident),+) => {
        $({ let $fact = $each; $body; })+
    };
}

/// The snapshot without what was seen longer ago than this. One in which nothing is old is not copied.
pub(crate) fn fresh(snapshot: &Snapshot, most_ms: u64) -> Cow<'_, Snapshot> {
    if !holds_old(snapshot, most_ms) {
        return Cow::Borrowed(snapshot);
    }
    let mut snapshot = snapshot.clone();
    each_fact!(&mut snapshot, iter_mut, values_mut, fact => expire(fact, most_ms));
    Cow::Owned(snapshot)
}

fn holds_old(snapshot: &Snapshot, most_ms: u64) -> bool {
    let mut found = false;
    each_fact!(snapshot, iter, values, fact => found |= age(fact) > most_ms);
    found
}

fn age<T>(fact: &Fact<T>) -> u64 {
    fact.known().map_or(0, |known| known.age_ms)
}

fn expire<T>(fact: &mut Fact<T>, most_ms: u64) {
    let age_ms = age(fact);
    if age_ms > most_ms {
        *fact = Fact::unknown(Gap::Stale, format!("last seen {age_ms} ms ago"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const BASES: [&str; 4] = [
        include_str!("../../../../tests/scenarios/base/quorum-at-rest.json"),
        include_str!("../../../../tests/scenarios/base/quorum-before-promote.json"),
        include_str!("../../../../tests/scenarios/base/sharded-at-rest.json"),
        include_str!("../../../../tests/scenarios/base/sharded-before-stop.json"),
    ];

    /// The places of all known facts, innermost first.
    fn places(value: &Value, at: &str, found: &mut Vec<String>) {
        let inner: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields.iter().map(|(name, inner)| (name.clone(), inner)).collect(),
            Value::Array(items) => {
                items.iter().enumerate().map(|(at, inner)| (at.to_string(), inner)).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
        };
        for (name, inner) in inner {
            places(inner, &format!("{at}/{name}"), found);
        }
        if value["state"] == json!("known") {
            found.push(at.to_owned());
        }
    }

    #[test]
    fn every_fact_that_is_too_old_is_not_known_and_no_other_changes() {
        for base in BASES {
            let young: Value = serde_json::from_str(base).unwrap();
            let parsed: Snapshot = serde_json::from_value(young.clone()).unwrap();
            assert!(matches!(fresh(&parsed, 60_000), Cow::Borrowed(_)), "copied for nothing");
            let mut all = Vec::new();
            places(&young, "", &mut all);
            assert!(all.len() > 50, "only {} facts", all.len());
            for at in all {
                let mut old = young.clone();
                old.pointer_mut(&at).unwrap()["ageMs"] = json!(60_001);
                let parsed: Snapshot = serde_json::from_value(old).unwrap();
                let aged = serde_json::to_value(&*fresh(&parsed, 60_000)).unwrap();
                let wanted = json!({
                    "state": "unknown", "reason": { "kind": "stale" }, "detail": "last seen 60001 ms ago"
                });
                assert_eq!(aged.pointer(&at), Some(&wanted), "{at}");
            }
        }
    }
}
