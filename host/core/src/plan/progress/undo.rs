//! The way back of a unit that has not passed its point of no return (`decisions.md` D8).

use super::{Next, pending};
use crate::change::Direction;
use crate::plan;
use crate::step::{self, Look, PAY_DEBTS, STOP, Undo};
use plimsoll_wire::snapshot::Lifecycle;

/// Takes a unit back.
pub(in crate::plan) fn undo(look: Look) -> Next {
    if look.rows().is_none() {
        return wait(&look, "the member list is not known".to_owned());
    }
    match plan::direction(look.plan) {
        Some(Direction::Out) | None if !look.snapshot.profile.registers_first => join_of_data(&look),
        Some(Direction::Out) | None => join(&look),
        Some(Direction::In) => leave(&look),
    }
}

fn wait(look: &Look, why: String) -> Next {
    Next::Wait { step: "undo", index: look.plan.phase, why }
}

/// What is left of a step; none where nothing is.
fn remains(look: &Look, name: &str) -> Option<Next> {
    match step::find(name).map_or(Undo::Nothing, |step| (step.undo)(look)) {
        Undo::Nothing => None,
        Undo::Do(verb) => Some(Next::Do { index: look.plan.phase, verb }),
        Undo::Wait(why) => Some(wait(look, why)),
    }
}

/// A member that was registered leaves the membership first, then its process ends, as any member goes.
fn join(look: &Look) -> Next {
    let profile = &look.snapshot.profile;
    let steps = profile.grow().iter().map(|phase| &*phase.step).chain([PAY_DEBTS]);
    steps.into_iter().find_map(|name| remains(look, name)).unwrap_or(Next::Finished)
}

/// A member that joined by itself may have been given data: it goes like any other, up to its stop.
fn join_of_data(look: &Look) -> Next {
    for (_, step, _) in step::of(look.snapshot.profile.shrink()) {
        if let Some(next) = pending(look, step, look.plan.phase) {
            return next;
        }
        if step.name == STOP {
            break;
        }
    }
    remains(look, PAY_DEBTS).unwrap_or(Next::Finished)
}

/// A member that was to go serves again: its steps are taken back last first.
fn leave(look: &Look) -> Next {
    let Some(row) = look.row().filter(|row| row.id.value().is_some()) else { return Next::Finished };
    let steps = look.snapshot.profile.shrink().iter().rev();
    let steps = steps.filter(|phase| &*phase.step != PAY_DEBTS);
    if let Some(next) = steps.into_iter().find_map(|phase| remains(look, &phase.step)) {
        return next;
    }
    match row.lifecycle.value() {
        Some(Lifecycle::Serving) => Next::Finished,
        Some(
            Lifecycle::Provisioning
            | Lifecycle::Joining
            | Lifecycle::CatchingUp
            | Lifecycle::Draining
            | Lifecycle::Drained
            | Lifecycle::Removed
            | Lifecycle::Dead,
        )
        | None => wait(look, format!("{} does not serve again yet", look.subject.slot)),
    }
}
