//! Steps by which a member goes.

use super::{DEREGISTER, Look, Met, STOP, Step, WAITS, by_effect, waiting};
use crate::quorum::member;
use crate::snapshot::never_joined;
use plimsoll_wire::fact::Authority;
use plimsoll_wire::journal::{PlatformVerb, SystemVerb, Verb};
use std::sync::Arc;

pub(super) const FAMILY: &[Step] = &[
    Step {
        name: DEREGISTER,
        verb: Some("deregister"),
        done: deregistered,
        effect: |look| Some(SystemVerb::Deregister { member: look.id()? }.into()),
        foreseen: |subject, _| Some(SystemVerb::Deregister { member: subject.id.clone()? }.into()),
        tells: |step, ahead| match ahead.subject.id {
            Some(_) => by_effect(step, ahead),
            // What never joined is removed from no membership.
            None => waiting(format!("make sure that {} is no member", ahead.subject.slot)),
        },
        ..WAITS
    },
    Step {
        name: STOP,
        verb: Some("stop"),
        done: |look| {
            Met::when(look.in_slot().is_none(), || {
                format!("{} is still run by the platform", look.subject.slot)
            })
        },
        effect: stop,
        foreseen: |subject, size_after| {
            let (slot, member) = (subject.slot.clone(), subject.id.clone()?);
            Some(PlatformVerb::Stop { slot, member, size_after }.into())
        },
        tells: |step, ahead| {
            let mut named = ahead.clone();
            named.subject.id.get_or_insert_with(|| ahead.subject.slot.clone());
            by_effect(step, &named)
        },
        ..WAITS
    },
];

fn deregistered(look: &Look) -> Met {
    let slot = &look.subject.slot;
    let Some(id) = &look.subject.id else {
        let nobody = look.in_slot().is_none_or(|row| never_joined(look.snapshot, row));
        return Met::when(nobody, || format!("whether {slot} is a member is not known"));
    };
    let listed = look.rows().is_none_or(|all| member(all, id).is_some());
    let list = look.snapshot.members.known();
    let on_its_word = list.is_some_and(|known| known.authority >= Authority::Survivors);
    Met::when(!listed && on_its_word, || format!("{slot} is still a member"))
}

/// A member that never joined has no id; its deregistration being seen means that it did not.
fn stop(look: &Look) -> Option<Verb> {
    let (size_before, mut size_after) = look.sizes();
    // Where a join is taken back, the size goes back to what it was.
    if look.plan.undoing {
        size_after = size_before;
    }
    let member = look.id().unwrap_or_else(|| Arc::from(""));
    Some(PlatformVerb::Stop { slot: look.subject.slot.clone(), member, size_after }.into())
}
