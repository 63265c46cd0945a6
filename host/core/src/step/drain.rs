//! Steps by which data leaves a member.

use super::{CORDON, DRAIN, Look, Met, Step, Undo, VERIFY, WAITS, waiting};
use crate::groups::{self, called};
use plimsoll_wire::fact::Authority;
use plimsoll_wire::journal::SystemVerb;
use plimsoll_wire::profile::Evidence;
use plimsoll_wire::snapshot::{Lifecycle, Member, OperationKind, Role};

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
            if ahead.snapshot.profile.evidence == Evidence::Replaceable {
                return waiting(format!(
                    "wait until others have held all that {slot} holds for {hold_ms} ms"
                ));
            }
            waiting(format!("wait until others have told for {hold_ms} ms that {slot} holds nothing"))
        },
        ..WAITS
    },
];

/// A dead member takes no new data, and no cordon shows on it; should it come back, the cordon comes first. Where a member is
/// replaceable, a cordon means that no write waits for it any more, dead or not.
fn cordoned(look: &Look) -> Met {
    let slot = &look.subject.slot;
    if look.is_gone() {
        return Met::Yes;
    }
    if is_replaceable(look) {
        let awaited = look.row().is_some_and(|row| is_awaited(look, row));
        return Met::when(!awaited, || format!("writes wait for {slot}"));
    }
    let lifecycle = look.row().and_then(|row| row.lifecycle.value());
    let closed = matches!(lifecycle, Some(Lifecycle::Draining | Lifecycle::Drained | Lifecycle::Dead));
    Met::when(closed, || format!("{slot} takes new data"))
}

fn is_replaceable(look: &Look) -> bool {
    look.snapshot.profile.evidence == Evidence::Replaceable
}

/// Whether a write may have to wait for this member. What is not known is waited for.
fn is_awaited(look: &Look, row: &Member) -> bool {
    let Some(id) = row.id.value() else { return false };
    groups::all(look.snapshot).iter().any(|group| match (group.placements.value(), group.min_ack.value()) {
        // The primary itself confirms, and nobody else has to.
        (Some(_), Some(0 | 1)) => false,
        (Some(_), Some(_)) => groups::copy_on(group, id).is_some_and(|copy| copy.weight > 0),
        (None, _) | (_, None) => true,
    })
}

/// A member that serves and only learns was taken out of those that confirm.
fn uncordon(look: &Look) -> Undo {
    let Some(row) = look.row() else { return Undo::Nothing };
    let learns = row.roles.value().is_some_and(|roles| roles.contains(&Role::Learner));
    match (row.id.value(), row.lifecycle.value()) {
        (Some(id), Some(Lifecycle::Draining | Lifecycle::Drained)) => {
            Undo::Do(SystemVerb::Uncordon { member: id.clone() }.into())
        }
        (Some(id), Some(Lifecycle::Serving)) if is_replaceable(look) && learns => {
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
    if is_replaceable(look) {
        return held_elsewhere(look, row);
    }
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

/// EVID-4 where a member may go as it is: for long enough it has been the same who else holds what it holds.
fn held_elsewhere(look: &Look, row: &Member) -> Met {
    let safety = &look.snapshot.safety;
    for group in groups::all(look.snapshot) {
        let Some(known) = group.placements.known() else {
            return Met::No(format!("the placements of {} are not known", called(group)));
        };
        let holds = row.id.value().is_some_and(|id| groups::copy_on(group, id).is_some());
        let settled = known.stable_ms >= safety.hold_ms
            && known.reads >= safety.observations
            && known.observer_up_ms >= safety.warmup_ms
            && known.authority >= Authority::Survivors;
        if holds && !settled {
            let (name, stable_ms, hold_ms) = (called(group), known.stable_ms, safety.hold_ms);
            return Met::No(format!("who holds {name} has been the same for {stable_ms} of {hold_ms} ms"));
        }
    }
    Met::Yes
}
