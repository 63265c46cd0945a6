//! What a snapshot holds besides what was read: the owner's wish, our memory, and who may actuate.

use super::{State, since};
use crate::snapshot::Context;
use plimsoll_wire::fact::{Authority, Fact, Gap, Known};
use plimsoll_wire::size::Sizes;
use plimsoll_wire::snapshot::{Change, History, Now, Target};
use std::sync::Arc;

/// What our memory adds to what is read now.
pub(super) fn context(state: &State, now: &Now) -> Context {
    let spec = &state.spec;
    let memory = state.durable.memory();
    let changes = memory.map_or_else(Vec::new, |memory| {
        memory
            .changes
            .iter()
            .map(|change| Change {
                leg: change.leg,
                age_ms: since(&change.at, now),
                began_age_ms: since(&change.began, now),
            })
            .collect()
    });
    let wish = memory.and_then(|memory| memory.wish.as_ref());
    // With one policy there is one snapshot: what it sees is what is judged and kept, byte for byte.
    let (settings, kept) = match spec.policies.as_slice() {
        [policy] => {
            let kept = memory.and_then(|memory| memory.policy_state.get(&policy.name));
            (policy.settings.clone(), kept.cloned())
        }
        _ => (serde_json::Value::Null, None),
    };
    let history = History {
        changes,
        wish_held_ms: wish.map_or(0, |wish| since(&wish.since, now)),
        wish_direction: wish.map_or(0, |wish| wish.direction),
        ghost: memory.map_or_else(Sizes::default, |memory| memory.ghost),
    };
    Context {
        target: Target {
            key: spec.key.clone(),
            system: spec.profile.system.to_string(),
            platform: spec.platform.clone(),
            mode: spec.mode,
            bounds: spec.bounds(),
            settings,
            behavior: spec.behavior.clone(),
        },
        safety: spec.safety.clone(),
        profile: spec.profile.clone(),
        owner: owner(state, memory.and_then(|memory| memory.paused.as_ref())),
        history,
        plan: state.durable.plan().cloned(),
        state: kept,
    }
}

/// Who may actuate: a person's pause takes it from us; without a journal that is ours nobody knows.
fn owner(state: &State, paused: Option<&plimsoll_wire::journal::Note>) -> Fact<String> {
    let known = |value: String| {
        Fact::Known(Known {
            value,
            authority: Authority::Consensus,
            age_ms: 0,
            observer: Arc::from("journal"),
            observer_up_ms: u64::MAX,
            epoch: Arc::from(""),
            stable_ms: 0,
            reads: 1,
        })
    };
    if let Some(why) = &state.spec.held {
        return known(format!("a person (in the document: {why})"));
    }
    if let Some(leader) = state.leader() {
        return Fact::unknown(Gap::NotScraped, format!("{leader} leads"));
    }
    match (paused, state.durable.revision) {
        (Some(note), _) => known(format!("a person ({}: {})", note.who, note.why)),
        (None, Some(_)) => known("plimsoll".to_owned()),
        (None, None) => Fact::unknown(Gap::NotScraped, "the journal is not ours yet"),
    }
}
