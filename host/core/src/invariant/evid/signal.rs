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
        wanted(all, named, true)
            .filter_map(|name| bars(all, name, |state| state == SignalState::Ok))
            .collect()
    } else if case.grows() {
        // A wish that rests on what is not there rests on nothing; one that names nothing may rest on something else
        // than what is silent.
        let passes = if named.is_empty() { SignalState::is_no_falsehood } else { SignalState::is_there };
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

fn describe(name: &str, signal: &Signal) -> String {
    let state = serde_json::to_value(signal.state).ok();
    let word = state.as_ref().and_then(|value| value.as_str()).unwrap_or("unusable");
    if signal.detail.is_empty() {
        format!("{name} is {word}")
    } else {
        format!("{name} is {word}: {}", signal.detail)
    }
}
