//! Steps by which data leaves a member.

use super::{CORDON, DRAIN, Look, Met, Step, Undo, VERIFY, WAITS, waiting};
use plimsoll_wire::fact::Authority;
use plimsoll_wire::journal::SystemVerb;
use plimsoll_wire::snapshot::{Lifecycle, OperationKind};

pub(super) const FAMILY: &[Step] = &[
    Step {
        name: CORDON,
        verb: Some("cordon"),
        done: cordoned,
        effect: |look| Some(SystemVerb::Cordon { member: look.id()? }.into()),
        undo: uncordon,
        foreseen: |subject, _| Some(SystemVerb::Cordon { member: subject.id.clone()? }.into()),
        ..WAITS
    },
    Step {
        name: DRAIN,
        verb: Some("drain"),
        done: drained,
        effect: |look| {
            let draining = is_draining(look)?;
            (!draining).then_some(SystemVerb::Drain { member: look.id()? }.into())
        },
        undo: cancel_drain,
        foreseen: |subject, _| Some(SystemVerb::Drain { member: subject.id.clone()? }.into()),
        ..WAITS
    },
    Step {
        name: VERIFY,
        done: verified,
        tells: |_, ahead| {
            let (hold_ms, slot) = (ahead.snapshot.safety.hold_ms, &ahead.subject.slot);
            waiting(format!("wait until others have told for {hold_ms} ms that {slot} holds nothing"))
        },
        ..WAITS
    },
];

/// A dead member takes no new data, and no cordon shows on it; should it come back, the cordon comes first.
fn cordoned(look: &Look) -> Met {
    let lifecycle = look.row().and_then(|row| row.lifecycle.value());
    let closed = matches!(lifecycle, Some(Lifecycle::Draining | Lifecycle::Drained | Lifecycle::Dead));
    Met::when(closed || look.is_gone(), || format!("{} takes new data", look.subject.slot))
}

fn uncordon(look: &Look) -> Undo {
    let Some(row) = look.row() else { return Undo::Nothing };
    match (row.id.value(), row.lifecycle.value()) {
        (Some(id), Some(Lifecycle::Draining | Lifecycle::Drained)) => {
            Undo::Do(SystemVerb::Uncordon { member: id.clone() }.into())
        }
        (Some(_) | None, _) => Undo::Nothing,
    }
}

fn is_draining(look: &Look) -> Option<bool> {
    let operations = look.snapshot.operations.value()?;
    let of_ours = |scope: &str| Some(scope) == look.subject.id.as_deref();
    Some(operations.iter().any(|one| one.kind == OperationKind::Drain && of_ours(&one.scope)))
}

fn drained(look: &Look) -> Met {
    if look.is_gone() {
        return Met::Yes;
    }
    let Some(row) = look.row() else { return Met::no("the member is not seen") };
    match row.hosted.value() {
        Some(hosted) => {
            let nothing = [hosted.copies, hosted.moving, hosted.open_writes, hosted.failed_moves] == [0; 4];
            Met::when(nothing, || format!("{} still holds {} copies", look.subject.slot, hosted.copies))
        }
        None => Met::No(format!("what {} holds is not known", look.subject.slot)),
    }
}

fn cancel_drain(look: &Look) -> Undo {
    let Some(id) = look.row().and_then(|row| row.id.value()) else { return Undo::Nothing };
    let draining = look
        .snapshot
        .operations
        .value()
        .is_some_and(|all| all.iter().any(|one| one.kind == OperationKind::Drain && *one.scope == **id));
    if draining { Undo::Do(SystemVerb::CancelDrain { member: id.clone() }.into()) } else { Undo::Nothing }
}

/// RED-6 with EVID-3 and EVID-4: empty on others' word, and for long enough.
fn verified(look: &Look) -> Met {
    if look.is_gone() {
        return Met::Yes;
    }
    let slot = &look.subject.slot;
    let Some(row) = look.row() else { return Met::no("the member is not seen") };
    let Some(hosted) = row.hosted.known() else {
        return Met::No(format!("what {slot} holds is not known"));
    };
    let safety = &look.snapshot.safety;
    let settled = hosted.stable_ms >= safety.hold_ms
        && hosted.reads >= safety.observations
        && hosted.observer_up_ms >= safety.warmup_ms
        && hosted.authority >= Authority::Survivors;
    Met::when(settled, || format!("{slot} has been empty for {} of {} ms", hosted.stable_ms, safety.hold_ms))
}
