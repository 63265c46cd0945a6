//! The first thing that a machine does: it reads its journal and takes the target over.

use super::{Action, Effect, SAVE_MS, State, stamp};
use crate::reason;
use plimsoll_wire::FORMAT_VERSION;
use plimsoll_wire::journal::{Journal, Stamp};
use plimsoll_wire::record::Body;
use plimsoll_wire::snapshot::Now;

/// Takes the target over: the epoch is raised before anything else.
pub(super) fn loaded(
    state: &mut State,
    now: &Now,
    result: Result<Option<(Journal, u64)>, String>,
    effects: &mut Vec<Effect>,
) {
    let (mut journal, revision) = match result {
        Ok(Some((journal, revision))) => (journal, Some(revision)),
        Ok(None) => (Journal { target: state.spec.key.clone(), ..Journal::default() }, None),
        Err(detail) => {
            state.start_over(now, reason::JOURNAL_NOT_READ, &detail, effects);
            return;
        }
    };
    if let Some(detail) = revision.and_then(|_| strange(&journal)) {
        state.start_over(now, reason::JOURNAL_FORMAT_UNKNOWN, &detail, effects);
        return;
    }
    journal.format_version = FORMAT_VERSION;
    journal.epoch += 1;
    restamp(&mut journal, now);
    let epoch = journal.epoch;
    let running = journal.plan.is_some();
    let unfinished = journal.intent.as_ref().is_some_and(|intent| intent.outcome.is_none());
    state.durable.audit_head.clone_from(&journal.audit_head);
    state.durable.journal = Some(journal);
    state.durable.revision = revision;
    state.queue.actions.clear();
    let record = state.record(now, Body::Epoch { epoch });
    state.queue.push([Action::Store, Action::Record(record, None)]);
    if running || unfinished {
        // Before anything is read or done: whoever had the target may have a write on its way.
        state.queue.push([Action::Stamp]);
    }
    // What is durable says who holds a permit: one may be left of a plan that never came to be written down.
    state.queue.push([if running { Action::Permit { resumed: true } } else { Action::GivePermit }]);
    state.due.decision_ms = now.mono_ms;
    state.due.look_ms = now.mono_ms;
    state.due.save_ms = now.mono_ms + SAVE_MS;
}

/// What in a journal this daemon does not understand, if anything.
fn strange(journal: &Journal) -> Option<String> {
    if journal.format_version != FORMAT_VERSION {
        return Some(format!(
            "format version {}, this daemon knows {FORMAT_VERSION}",
            journal.format_version
        ));
    }
    let plan = journal.plan.as_ref().filter(|plan| plan.members_leg().is_none())?;
    Some(format!("plan {} changes no number of members, and this daemon changes nothing else", plan.id))
}

/// A write to the platform was not answered and may still arrive, even after its plan was given up: nothing else touches
/// the object meanwhile, so its version is no bar. We are our own successor then. Queued behind the journal's write, which
/// has to carry the epoch.
pub(super) fn from_ourselves(state: &mut State, now: &Now) {
    let Some(journal) = &mut state.durable.journal else { return };
    journal.epoch += 1;
    let epoch = journal.epoch;
    let record = state.record(now, Body::Epoch { epoch });
    state.queue.push([Action::Record(record, None), Action::Stamp]);
}

/// Stamps of another boot start again: a wait is made longer by a reboot, never shorter.
fn restamp(journal: &mut Journal, now: &Now) {
    let renew = |old: &mut Stamp| {
        if old.boot != now.boot {
            let wall_ms = old.wall_ms;
            *old = Stamp { wall_ms, ..stamp(now) };
        }
    };
    journal.memory.changes.iter_mut().for_each(|change| renew(&mut change.at));
    if let Some(wish) = &mut journal.memory.wish {
        renew(&mut wish.since);
    }
    if let Some(attempt) = &mut journal.memory.attempt {
        renew(&mut attempt.at);
    }
    if let Some(plan) = &mut journal.plan {
        renew(&mut plan.started);
        renew(&mut plan.progressed);
    }
}
