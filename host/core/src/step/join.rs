//! Steps by which a member comes.

use super::{CATCH_UP, Look, Met, PROMOTE, REBALANCE, REGISTER, START, Step, Undo, WAITS, waiting};
use crate::groups;
use crate::snapshot::is_serving;
use crate::workload;
use plimsoll_wire::fact::Fact;
use plimsoll_wire::journal::{JOIN, Join, PlatformVerb, SystemVerb, Verb};
use plimsoll_wire::profile::Evidence;
use plimsoll_wire::snapshot::{Lifecycle, OperationKind, PlacementState, Role, Snapshot};
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
];

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
