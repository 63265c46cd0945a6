//! Steps that wait for the whole, and pay what is owed.

use super::{BARRIER, Foretold, Look, Met, PAY_DEBTS, SETTLE, Step, Undo, WAITS, waiting};
use crate::groups::called;
use crate::snapshot::is_same;
use crate::snapshot::is_serving;
use plimsoll_wire::fact::Fact;
use plimsoll_wire::journal::{SystemVerb, Verb};
use plimsoll_wire::snapshot::{Debt, Member, PlacementState};

pub(super) const FAMILY: &[Step] = &[
    Step {
        name: BARRIER,
        verb: Some("barrier"),
        // Its answer is its evidence: a write that was committed.
        done: |look| Met::when(look.past, || "no write since".to_owned()),
        effect: |_| Some(SystemVerb::Barrier.into()),
        is_traceless: true,
        foreseen: |_, _| Some(SystemVerb::Barrier.into()),
        ..WAITS
    },
    Step {
        name: SETTLE,
        done: settled,
        once: true,
        tells: |_, ahead| {
            let hold_ms = ahead.snapshot.safety.hold_ms;
            waiting(format!("wait until {} members have been whole for {hold_ms} ms", ahead.size_after))
        },
        ..WAITS
    },
    Step {
        name: PAY_DEBTS,
        verb: Some("pay-debt"),
        done: |look| match look.snapshot.debts.value() {
            Some(debts) => Met::when(debts.is_empty(), || "debts are left".to_owned()),
            None => Met::no("debts are not known"),
        },
        effect: |look| Some(payment(look.snapshot.debts.value()?.first()?)),
        undo: pay_for_subject,
        tells: |step, ahead| {
            let does = if ahead.goes {
                format!("release what is kept for {}", ahead.subject.slot)
            } else {
                "release what is owed".to_owned()
            };
            Foretold { effect: step.verb, does }
        },
        ..WAITS
    },
];

fn payment(debt: &Debt) -> Verb {
    SystemVerb::PayDebt { member: debt.member.clone(), kind: debt.kind.clone() }.into()
}

/// What is kept for a member that never came to serve would stand in the way of everything that follows.
fn pay_for_subject(look: &Look) -> Undo {
    match &look.snapshot.debts {
        Fact::Known(known) => {
            let debt = known.value.iter().find(|debt| Some(&debt.member) == look.subject.id.as_ref());
            debt.map_or(Undo::Nothing, |debt| Undo::Do(payment(debt)))
        }
        Fact::Unknown { .. } => Undo::Wait("debts are not known".to_owned()),
        Fact::NotApplicable => Undo::Nothing,
    }
}

/// Every member that stays, and none that goes beside, is at work, and everything is whole, for `hold`.
fn settled(look: &Look) -> Met {
    let safety = &look.snapshot.safety;
    let Some(all) = look.rows() else { return Met::no("the member list is not known") };
    let (_, size_after) = look.sizes();
    if all.len() != usize::try_from(size_after).unwrap_or(usize::MAX) {
        return Met::No(format!("{} members are seen, {size_after} are expected", all.len()));
    }
    let leaves = |row: &Member| look.plan.leaving.iter().any(|one| is_same(one, row));
    for row in all.iter().filter(|row| !leaves(row)) {
        let alive = row.alive.known().filter(|known| known.value && known.stable_ms >= safety.hold_ms);
        if !is_serving(row) || alive.is_none() {
            let name = row.slot.as_deref().unwrap_or("a member");
            return Met::No(format!("{name} has not been at work for {} ms", safety.hold_ms));
        }
    }
    let Some(groups) = look.snapshot.groups.value() else { return Met::no("the groups are not known") };
    for group in groups {
        let Some(placements) = group.placements.known() else {
            return Met::No(format!("the placements of {} are not known", called(group)));
        };
        let whole = placements.value.iter().all(|placement| placement.state == PlacementState::InSync);
        if !whole || placements.stable_ms < safety.hold_ms {
            return Met::No(format!("{} has not been whole for {} ms", called(group), safety.hold_ms));
        }
    }
    Met::Yes
}
