//! The end of a unit: what comes after it, and what must not be left half done.

use super::close::end;
use super::note::{note_plan, update};
use super::{State, rest, stamp};
use crate::change::Direction;
use crate::plan::{self, together};
use plimsoll_wire::journal::{PlanState, PlanStatus};
use plimsoll_wire::snapshot::{Now, Snapshot};

/// A unit is complete, or taken back completely.
pub(super) fn finished(state: &mut State, now: &Now, plan: &PlanState) {
    if plan.undoing {
        update(state, |plan| {
            plan.undoing = false;
            plan.subject = None;
            plan.leaving.clear();
            plan.phase = 0;
        });
        let Some(plan) = state.durable.plan().cloned() else { return };
        if together::is_half_done(&plan) || !rest::rests(state, now, &plan) {
            note_plan(state, now, None);
        }
        return;
    }
    update(state, |plan| {
        let comes = plan::direction(plan) == Some(Direction::Out);
        match plan.subject.take().filter(|_| comes) {
            Some(subject) if !together::closes(plan.unit, plan::turns(plan), plan.together) => {
                plan.joined.push(subject);
            }
            Some(_) | None => plan.joined.clear(),
        }
        plan.unit += 1;
        plan.phase = 0;
        plan.point_of_no_return = false;
        plan.progressed = stamp(now);
    });
    let Some(plan) = state.durable.plan().cloned() else { return };
    if plan.unit >= plan::turns(&plan) {
        end(state, now, PlanStatus::Done, "");
        return;
    }
    state.due.look_ms = now.mono_ms;
    let may_rest = plan.status == PlanStatus::Stopping && !together::is_half_done(&plan);
    if may_rest && rest::rests(state, now, &plan) {
        return;
    }
    note_plan(state, now, None);
}

/// A plan that is given up leaves nobody half on the way: those that give their data away serve again, and over those that
/// came the data is spread. Says whether there is something left to do for that.
pub(super) fn leaves_nothing_half_done(
    state: &mut State,
    now: &Now,
    snapshot: &Snapshot,
    plan: &PlanState,
) -> bool {
    let Some(other) = together::rounded_off(plan, &state.spec.profile, &state.spec.safety) else {
        return false;
    };
    let members = plan::member_ids(snapshot);
    update(state, |plan| *plan = PlanState { progressed: stamp(now), members, ..other });
    note_plan(state, now, None);
    state.due.look_ms = now.mono_ms;
    true
}
