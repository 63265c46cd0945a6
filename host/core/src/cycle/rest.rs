//! Where a plan that is given up comes to rest: at a legal size, back where that can be, onward where not
//! (`decisions.md` D6).

use super::approval::{self, Approval};
use super::close::end;
use super::note::{note_plan, update};
use super::{State, stamp};
use crate::change::Change;
use crate::judge::{Judged, judge};
use crate::plan;
use crate::plan::progress::{self, Next};
use crate::plan::unit_sizes;
use plimsoll_wire::journal::{PlanState, PlanStatus};
use plimsoll_wire::record::Verdict;
use plimsoll_wire::size::Leg;
use plimsoll_wire::snapshot::{Now, Snapshot};

/// Ends a plan at the nearest legal size: back where the unit can be taken back, onward where it cannot.
pub(super) fn give_up(plan: &mut PlanState, why: &str) {
    plan.status = PlanStatus::Stopping;
    plan.undoing = plan.subject.is_some() && !plan.point_of_no_return;
    why.clone_into(&mut plan.why);
}

/// A plan that is given up rests where it may: here, or at the nearest legal size, to which it turns.
pub(super) fn rests(state: &mut State, now: &Now, plan: &PlanState) -> bool {
    let (size, _) = unit_sizes(plan);
    let rest = plan::rest_near(size, plan.from(), plan.to(), &state.spec.profile, &state.spec.safety);
    if rest == plan.to() && rest != size {
        // It leads there already.
        return false;
    }
    if rest == size {
        let why = plan.why.clone();
        end(state, now, PlanStatus::Aborted, &why);
        return true;
    }
    let why = format!("{} (began at {}; {size} is no legal size to rest at)", plan.why, plan.from());
    head_for(state, now, turned(plan, size, rest, now, why));
    true
}

/// A plan on its way to rest whose next unit is barred turns round, where the other way is clear now: so it never
/// goes back and forth between two ways that are both barred, but keeps its place.
pub(super) fn turns(state: &mut State, now: &Now, snapshot: &Snapshot, plan: &PlanState, bar: &str) -> bool {
    if plan.status != PlanStatus::Stopping || plan.point_of_no_return || !is_untouched(snapshot, plan) {
        return false;
    }
    let Some(other) = other_way(state, now, snapshot, plan, bar) else { return false };
    if !is_clear(state, snapshot, &other) {
        return false;
    }
    head_for(state, now, other);
    true
}

/// Whether nothing of the unit under way would have to be taken back.
fn is_untouched(snapshot: &Snapshot, plan: &PlanState) -> bool {
    let undone = PlanState { undoing: true, ..plan.clone() };
    progress::next(snapshot, &undone) == Next::Finished
}

fn other_way(
    state: &State,
    now: &Now,
    snapshot: &Snapshot,
    plan: &PlanState,
    bar: &str,
) -> Option<PlanState> {
    let spec = &state.spec;
    let (size, _) = unit_sizes(plan);
    let direction = plan::direction(plan)?;
    let rest = plan::rest_beyond(size, direction, &spec.profile, &spec.safety, (spec.min, spec.max))?;
    let why = format!("the way from {size} to {} is barred ({bar}): it goes to {rest}", plan.to());
    let other = turned(plan, size, rest, now, why);
    let subject = plan::next_subject(snapshot, &other)?;
    // A removal that a person must approve is not begun in passing.
    let approved = approval::covers(state, now, snapshot, &other, &subject) == Approval::Given;
    approved.then(|| PlanState { members: plan::member_ids(snapshot), subject: Some(subject), ..other })
}

/// Whether the judge would let the first effect of a plan's unit pass, now or later. Doubt is no clear way.
fn is_clear(state: &State, snapshot: &Snapshot, plan: &PlanState) -> bool {
    let Next::Do { verb, .. } = progress::next(snapshot, plan) else { return false };
    let Some(subject) = plan.subject.clone() else { return false };
    let change = Change::Effect { plan: Box::new(plan.clone()), subject, verb, undoing: false };
    match judge(&change, snapshot, state.seen.direct) {
        Judged::Verdict(judgement) => judgement.verdict < Verdict::Deny,
        // The next look reads past every cache.
        Judged::NeedFacts => false,
    }
}

/// The same plan on another way, from where it is. Not `Running`: a wish that turns once more must not send it back
/// and forth between two illegal rests.
fn turned(plan: &PlanState, from: u32, to: u32, now: &Now, why: String) -> PlanState {
    PlanState {
        legs: vec![Leg::members(from, to)],
        leg: 0,
        unit: 0,
        subject: None,
        together: 1,
        leaving: Vec::new(),
        joined: Vec::new(),
        phase: 0,
        undoing: false,
        status: PlanStatus::Stopping,
        why,
        progressed: stamp(now),
        ..plan.clone()
    }
}

fn head_for(state: &mut State, now: &Now, other: PlanState) {
    update(state, |plan| *plan = other);
    state.due.look_ms = now.mono_ms;
    note_plan(state, now, None);
}
