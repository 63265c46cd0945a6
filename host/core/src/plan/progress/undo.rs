//! The way back of a unit that has not passed its point of no return.

use super::{Met, Next, homeless, in_slot, met, row, rows, verb};
use crate::change::Direction;
use crate::plan;
use crate::plan::unit_sizes;
use crate::profile::{PhaseName, Profile};
use plimsoll_wire::fact::Fact;
use plimsoll_wire::journal::{PlanState, PlatformVerb, Subject, SystemVerb, Verb};
use plimsoll_wire::snapshot::{Lifecycle, OperationKind, Snapshot};
use std::sync::Arc;

/// Takes a unit back that has not passed its point of no return (`decisions.md` D8).
pub(super) fn undo(snapshot: &Snapshot, plan: &PlanState, subject: &Subject, profile: &Profile) -> Next {
    if rows(snapshot).is_none() {
        let why = "the member list is not known".to_owned();
        return Next::Wait { phase: PhaseName::Settle, index: plan.phase, why };
    }
    let step = |phase, verb| Next::Do { phase, index: plan.phase, verb };
    match plan::direction(plan) {
        Some(Direction::Out) | None if !profile.registers_first => {
            undo_join(snapshot, plan, subject, profile)
        }
        Some(Direction::Out) | None => {
            let here = in_slot(snapshot, subject).or_else(|| homeless(snapshot, subject));
            if let Some(id) = here.and_then(|row| row.id.value()) {
                return step(
                    PhaseName::Register,
                    Verb::System(SystemVerb::Deregister { member: id.clone() }),
                );
            }
            if in_slot(snapshot, subject).is_some() {
                let (size_after, _) = unit_sizes(plan);
                let member = subject.id.clone().unwrap_or_else(|| Arc::from(""));
                return step(
                    PhaseName::Start,
                    Verb::Platform(PlatformVerb::Stop { slot: subject.slot.clone(), member, size_after }),
                );
            }
            undo_debts(snapshot, plan, subject)
        }
        Some(Direction::In) => undo_shrink(snapshot, plan, subject),
    }
}

/// A member that joined by itself may have been given data: it goes like any other, up to its stop.
fn undo_join(snapshot: &Snapshot, plan: &PlanState, subject: &Subject, profile: &Profile) -> Next {
    let index = plan.phase;
    for phase in profile.shrink {
        if let Met::No(why) = met(snapshot, plan, subject, phase.name, index) {
            let (size_before, _) = unit_sizes(plan);
            return match verb(snapshot, plan, subject, profile, phase.name, false) {
                Some(Verb::Platform(PlatformVerb::Stop { slot, member, .. })) => {
                    let verb = Verb::Platform(PlatformVerb::Stop { slot, member, size_after: size_before });
                    Next::Do { phase: phase.name, index, verb }
                }
                Some(verb) => Next::Do { phase: phase.name, index, verb },
                None => Next::Wait { phase: phase.name, index, why },
            };
        }
        if phase.name == PhaseName::Stop {
            break;
        }
    }
    undo_debts(snapshot, plan, subject)
}

/// What is kept for a member that never came to serve: it would stand in the way of everything that follows.
fn undo_debts(snapshot: &Snapshot, plan: &PlanState, subject: &Subject) -> Next {
    let (phase, index) = (PhaseName::PayDebts, plan.phase);
    match &snapshot.debts {
        Fact::Known(known) => match known.value.iter().find(|debt| Some(&debt.member) == subject.id.as_ref())
        {
            Some(debt) => {
                let verb = Verb::System(SystemVerb::PayDebt {
                    member: debt.member.clone(),
                    kind: debt.kind.clone(),
                });
                Next::Do { phase, index, verb }
            }
            None => Next::Finished,
        },
        Fact::Unknown { .. } => Next::Wait { phase, index, why: "debts are not known".to_owned() },
        Fact::NotApplicable => Next::Finished,
    }
}

fn undo_shrink(snapshot: &Snapshot, plan: &PlanState, subject: &Subject) -> Next {
    let Some(row) = row(snapshot, subject) else { return Next::Finished };
    let Some(id) = row.id.value() else { return Next::Finished };
    let step = |phase, verb| Next::Do { phase, index: plan.phase, verb };
    let draining = snapshot.operations.value().is_some_and(|all| {
        all.iter().any(|operation| operation.kind == OperationKind::Drain && *operation.scope == **id)
    });
    if draining {
        return step(PhaseName::Drain, Verb::System(SystemVerb::CancelDrain { member: id.clone() }));
    }
    match row.lifecycle.value() {
        Some(Lifecycle::Draining | Lifecycle::Drained) => {
            step(PhaseName::Cordon, Verb::System(SystemVerb::Uncordon { member: id.clone() }))
        }
        Some(Lifecycle::Serving) => Next::Finished,
        Some(
            Lifecycle::Provisioning
            | Lifecycle::Joining
            | Lifecycle::CatchingUp
            | Lifecycle::Removed
            | Lifecycle::Dead,
        )
        | None => Next::Wait {
            phase: PhaseName::Cordon,
            index: plan.phase,
            why: format!("{} does not serve again yet", subject.slot),
        },
    }
}
