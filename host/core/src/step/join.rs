//! Steps by which a member comes.

use super::{
    ADMIT, CATCH_UP, Foretold, Look, Met, PROMOTE, REBALANCE, REGISTER, SPREAD, START, Step, Undo, WAITS,
    waiting,
};
use crate::groups;
use crate::snapshot::is_same;
use crate::snapshot::is_serving;
use crate::workload;
use plimsoll_wire::fact::Fact;
use plimsoll_wire::journal::{JOIN, Join, PlatformVerb, SystemVerb, Verb};
use plimsoll_wire::profile::Evidence;
use plimsoll_wire::snapshot::{Lifecycle, Operation, OperationKind, PlacementState, Role, Snapshot};
use std::sync::Arc;

pub(super) const FAMILY: &[Step] = &[
    Step {
        name: REGISTER,
        verb: Some("register"),
        done: |look| Met::when(is_registered(look), || "not registered".to_owned()),
        effect: |look| {
            let (slot, endpoints) = (look.subject.slot.clone(), look.subject.endpoints.clone());
            Some(SystemVerb::Register { slot, endpoints }.into())
        },
        undo: unregister,
        foreseen: |subject, _| {
            let (slot, endpoints) = (subject.slot.clone(), subject.endpoints.clone());
            Some(SystemVerb::Register { slot, endpoints }.into())
        },
        ..WAITS
    },
    Step {
        name: START,
        verb: Some("start"),
        done: |look| Met::when(is_started(look), || "not started".to_owned()),
        effect: start,
        undo: unstart,
        foreseen: |subject, size_after| {
            Some(PlatformVerb::Start { slot: subject.slot.clone(), size_after, join: None }.into())
        },
        lacks: |snapshot| join(snapshot).err().unwrap_or_default(),
        ..WAITS
    },
    Step {
        name: ADMIT,
        verb: Some("admit"),
        done: admitted,
        effect: |look| {
            let (slot, endpoints) = (look.subject.slot.clone(), look.subject.endpoints.clone());
            Some(SystemVerb::Admit { slot, endpoints }.into())
        },
        undo: expel,
        foreseen: |subject, _| {
            let (slot, endpoints) = (subject.slot.clone(), subject.endpoints.clone());
            Some(SystemVerb::Admit { slot, endpoints }.into())
        },
        ..WAITS
    },
    Step {
        name: CATCH_UP,
        done: caught_up,
        tells: |_, ahead| {
            let (safety, slot) = (&ahead.snapshot.safety, &ahead.subject.slot);
            waiting(format!(
                "wait until {slot} has {} of 1000 parts of the data, in {} reads in a row",
                safety.promote_permille, safety.observations
            ))
        },
        ..WAITS
    },
    Step {
        name: PROMOTE,
        verb: Some("promote"),
        done: promoted,
        effect: promote,
        foreseen: |subject, _| Some(SystemVerb::Promote { member: subject.id.clone()? }.into()),
        ..WAITS
    },
    Step {
        name: REBALANCE,
        verb: Some("rebalance"),
        done: rebalanced,
        // Once it was asked for, only time helps; the cursor says whether it was.
        effect: |look| (!look.past).then_some(SystemVerb::Rebalance.into()),
        once: true,
        is_traceless: true,
        foreseen: |_, _| Some(SystemVerb::Rebalance.into()),
        ..WAITS
    },
    Step {
        name: SPREAD,
        verb: Some("spread"),
        done: spread,
        effect: |look| {
            let busy = look.snapshot.operations.value()?.iter().any(|one| moves_onto(look, one));
            (!busy).then(|| SystemVerb::Spread { onto: newcomers(look) }.into())
        },
        once: true,
        foreseen: |subject, _| Some(SystemVerb::Spread { onto: subject.id.iter().cloned().collect() }.into()),
        tells: |step, ahead| Foretold {
            effect: step.verb,
            does: format!("move data onto {} until it is spread evenly", ahead.subject.slot),
        },
        ..WAITS
    },
];

/// A process that was let in is a member that no longer joins.
fn admitted(look: &Look) -> Met {
    let slot = &look.subject.slot;
    let Some(row) = look.in_slot() else { return Met::no("not started") };
    let stage = row.lifecycle.value();
    let joins = matches!(stage, None | Some(Lifecycle::Provisioning | Lifecycle::Joining));
    Met::when(row.id.value().is_some() && !joins, || format!("{slot} is not a member of the system yet"))
}

/// A member that was let in is removed again before its process ends.
fn expel(look: &Look) -> Undo {
    match look.in_slot().and_then(|row| row.id.value()) {
        Some(id) => Undo::Do(SystemVerb::Deregister { member: id.clone() }.into()),
        None => Undo::Nothing,
    }
}

/// Those that have come since the data was last spread, the subject last, by id.
fn newcomers(look: &Look) -> Vec<Arc<str>> {
    let rows = look.rows().unwrap_or_default();
    let came = look.plan.joined.iter().chain(std::iter::once(look.subject));
    came.filter_map(|one| rows.iter().find(|row| is_same(one, row))?.id.value().cloned()).collect()
}

/// Whether the system itself moves data onto one of those that came. A shard that is only open between two owners waits for
/// the next call to go on.
fn moves_onto(look: &Look, operation: &Operation) -> bool {
    operation.kind == OperationKind::Rebalance && newcomers(look).iter().any(|id| **id == *operation.scope)
}

/// Nothing is due to any member any more, and nothing is on its way.
fn spread(look: &Look) -> Met {
    let Some(rows) = look.rows() else { return Met::no("the member list is not known") };
    let mut due = 0_u64;
    for row in rows.iter().filter(|row| row.id.value().is_some()) {
        let Some(hosted) = row.hosted.value() else {
            let name = row.slot.as_deref().unwrap_or("a member");
            return Met::No(format!("what {name} holds is not known"));
        };
        due = due.saturating_add(hosted.due).saturating_add(hosted.moving);
    }
    Met::when(due == 0, || format!("{due} copies are still to be moved"))
}

fn is_registered(look: &Look) -> bool {
    look.in_slot().is_some_and(|row| row.id.value().is_some()) || look.homeless().is_some()
}

/// Where a member is registered for as long as it runs, its process ends first.
fn unregister(look: &Look) -> Undo {
    let here = look.in_slot().or_else(|| look.homeless());
    let runs = here.is_some_and(|row| row.incarnation.value().is_some());
    if runs && look.snapshot.profile.evidence == Evidence::Replaceable {
        return Undo::Nothing;
    }
    match here.and_then(|row| row.id.value()) {
        Some(id) => Undo::Do(SystemVerb::Deregister { member: id.clone() }.into()),
        None => Undo::Nothing,
    }
}

fn is_started(look: &Look) -> bool {
    look.in_slot().is_some_and(|row| row.running.value() == Some(&true))
}

fn start(look: &Look) -> Option<Verb> {
    let join = join(look.snapshot).ok()?;
    let (_, size_after) = look.sizes();
    Some(PlatformVerb::Start { slot: look.subject.slot.clone(), size_after, join }.into())
}

/// What the new member needs to join; none where it needs nothing.
///
/// # Errors
///
/// Why nobody knows, as the rest of a sentence.
fn join(snapshot: &Snapshot) -> Result<Option<Join>, String> {
    if !snapshot.facts.contains_key(JOIN) {
        return Err(", and nobody tells how to join".to_owned());
    }
    match workload::read(snapshot, JOIN, "{existing, contacts, payload}") {
        Fact::Known(known) => Ok(Some(known.value)),
        Fact::NotApplicable => Ok(None),
        Fact::Unknown { reason, detail } => {
            Err(format!(", and how to join is not known ({}: {detail})", reason.kind()))
        }
    }
}

fn unstart(look: &Look) -> Undo {
    if look.in_slot().is_none() {
        return Undo::Nothing;
    }
    let (size_after, _) = look.sizes();
    let member = look.id().unwrap_or_else(|| Arc::from(""));
    Undo::Do(PlatformVerb::Stop { slot: look.subject.slot.clone(), member, size_after }.into())
}

fn caught_up(look: &Look) -> Met {
    let slot = &look.subject.slot;
    let Some(row) = look.in_slot() else { return Met::no("not started") };
    let Some(id) = row.id.value() else {
        return Met::No(format!("{slot} is not a member of the system yet"));
    };
    if row.alive.value() != Some(&true) {
        return Met::No(format!("{slot} does not answer yet"));
    }
    let learning = groups::all(look.snapshot).iter().filter_map(|group| groups::copy_on(group, id));
    let mut learning = learning.filter(|copy| copy.state == PlacementState::Learner).peekable();
    if learning.peek().is_none() {
        // Where members do not learn first, serving is the sign.
        let serves = row.lifecycle.value() == Some(&Lifecycle::Serving);
        return Met::when(serves, || format!("{slot} is catching up"));
    }
    let safety = &look.snapshot.safety;
    for copy in learning {
        let Some(progress) = copy.progress_permille.known() else {
            return Met::No(format!("how far {slot} has come is not known"));
        };
        if progress.value < safety.promote_permille || progress.reads < safety.observations {
            return Met::No(format!("{slot} has {} of 1000 parts of the log", progress.value));
        }
    }
    Met::Yes
}

/// A member is what it came to be once it learns no more: it votes, confirms, or just serves.
fn promoted(look: &Look) -> Met {
    let Some(row) = look.in_slot() else { return Met::no("not started") };
    let learnt = row.roles.value().is_some_and(|roles| !roles.is_empty() && !roles.contains(&Role::Learner));
    Met::when(learnt && is_serving(row), || format!("{} does not vote and serve yet", look.subject.slot))
}

fn promote(look: &Look) -> Option<Verb> {
    let row = look.in_slot()?;
    let learner = row.roles.value().is_some_and(|roles| roles.contains(&Role::Learner));
    let member = row.id.value().cloned().filter(|_| learner)?;
    Some(SystemVerb::Promote { member }.into())
}

fn rebalanced(look: &Look) -> Met {
    if !look.past {
        return Met::no("not begun");
    }
    let moving = look.rows().is_none_or(|all| {
        all.iter().any(|row| match &row.hosted {
            Fact::Known(known) => known.value.moving > 0,
            Fact::Unknown { .. } => true,
            Fact::NotApplicable => false,
        })
    });
    let operations = look.snapshot.operations.value();
    let running = operations.is_none_or(|all| all.iter().any(|one| one.kind == OperationKind::Rebalance));
    Met::when(!moving && !running, || "data is on its way".to_owned())
}
