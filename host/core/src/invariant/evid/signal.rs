//! What measured load may do (EVID-10): bad data may hold, what is there of it may grow, nothing of it shrinks.

use crate::case::Case;
use crate::change::Change;
use crate::invariant::{Finding, listed};
use plimsoll_wire::snapshot::{Signal, SignalState};
use std::collections::BTreeMap;

pub(super) fn check(case: &Case) -> Finding {
    // A person's wish rests on no signal.
    let Change::Wish { rests_on: Some(named), .. } = case.change else { return Finding::Pass };
    let all = &case.snapshot.signals;
    let bad: Vec<String> = if case.would_shrink() {
        wanted(all, named, true).filter_map(|name| bars(all, name, is_good)).collect()
    } else if case.grows() {
        let passes = if named.is_empty() { is_no_falsehood } else { is_there };
        wanted(all, named, false).filter_map(|name| bars(all, name, passes)).collect()
    } else {
        Vec::new()
    };
    if bad.is_empty() { Finding::Pass } else { Finding::silent(listed(bad, "; ")) }
}

/// The signals that a wish stands on: a shrink on every one that its owner has not declared optional, beside those that the
/// policy names; a growth on those that it names, or where it names none on every one that is not optional.
fn wanted<'a>(
    all: &'a BTreeMap<String, Signal>,
    named: &'a [String],
    shrinks: bool,
) -> impl Iterator<Item = &'a String> {
    let declared = all.iter().filter(|(_, signal)| !signal.optional).map(|(name, _)| name);
    let declared = declared.filter(move |_| shrinks || named.is_empty());
    declared.chain(named)
}

/// What is wrong with a signal, if it bars the change.
fn bars(all: &BTreeMap<String, Signal>, name: &str, passes: fn(SignalState) -> bool) -> Option<String> {
    match all.get(name) {
        None => Some(format!("{name} is not a signal of this target")),
        Some(signal) => (!passes(signal.state)).then(|| describe(name, signal)),
    }
}

fn is_good(state: SignalState) -> bool {
    match state {
        SignalState::Ok => true,
        SignalState::Stale
        | SignalState::Absent
        | SignalState::Partial
        | SignalState::NotANumber
        | SignalState::Ambiguous
        | SignalState::Skewed
        | SignalState::Malformed
        | SignalState::Unavailable => false,
    }
}

/// Whether there is a number to grow on. Of a series that is there in part the load is at least what is there; in any
/// other state there is no number at all, and a wish that rests on it rests on nothing.
fn is_there(state: SignalState) -> bool {
    match state {
        SignalState::Ok | SignalState::Partial => true,
        SignalState::Stale
        | SignalState::Absent
        | SignalState::NotANumber
        | SignalState::Ambiguous
        | SignalState::Skewed
        | SignalState::Malformed
        | SignalState::Unavailable => false,
    }
}

/// Whether a growth that names no evidence may go: of what is silent a policy has read nothing, so that it grows on
/// something else; what answers, and answers wrongly, may be what it took for load.
fn is_no_falsehood(state: SignalState) -> bool {
    match state {
        SignalState::Ok
        | SignalState::Partial
        | SignalState::Stale
        | SignalState::Absent
        | SignalState::Unavailable => true,
        SignalState::NotANumber | SignalState::Ambiguous | SignalState::Skewed | SignalState::Malformed => {
            false
        }
    }
}

fn describe(name: &str, signal: &Signal) -> String {
    let state = serde_json::to_value(signal.state).ok();
    let word = state.as_ref().and_then(|value| value.as_str()).unwrap_or("unusable");
    if signal.detail.is_empty() {
        format!("{name} is {word}")
    } else {
        format!("{name} is {word}: {}", signal.detail)
    }
}
