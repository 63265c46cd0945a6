//! What bars a later step that is known: asked before a plan begins, and before each point of no return, so that nothing is
//! removed that can then not be stopped.
//!
//! It goes by what is known now. What only becomes so by the plan's own earlier steps bars nothing yet
//! ([`crate::invariant::BY_OWN_STEPS`]).

use super::examine;
use crate::case::Case;
use crate::change::{Change, Direction};
use crate::invariant::{BY_OWN_STEPS, Invariant, quorum};
use crate::plan;
use crate::plan::progress::steps;
use crate::plan::together;
use crate::snapshot::is_same;
use plimsoll_wire::fact::Fact;
use plimsoll_wire::journal::{MembershipEffect, PlanState, Subject};
use plimsoll_wire::record::Violation;
use plimsoll_wire::snapshot::Snapshot;

/// What bars a step of a plan between these sizes: of its first unit by any rule, and of the others by those about votes,
/// in the state that the units before leave behind.
pub(super) fn of_plan(snapshot: &Snapshot, from: u32, to: u32) -> Vec<Violation> {
    let Some(plan) = Direction::between(from, to).and_then(|_| plan::begun(snapshot, from, to)) else {
        return Vec::new();
    };
    let shrinks = to < from;
    let subjects = if shrinks {
        plan::victims(snapshot, from.saturating_sub(to))
    } else {
        plan::next_subject(snapshot, &plan).into_iter().collect()
    };
    let mut found = Vec::new();
    let mut then = std::borrow::Cow::Borrowed(snapshot);
    for (unit, subject) in (0..).zip(&subjects) {
        // Where data moves, what is left of it where depends on the system.
        if unit > 0 && !(shrinks && snapshot.profile.members_vote) {
            break;
        }
        let members = plan::member_ids(&then);
        // Those that give their data away beside the first are judged with it, as they will be.
        let beside = together::chosen(snapshot, &plan).filter(|_| shrinks && unit == 0);
        let leaving = beside.map_or_else(Vec::new, |(_, leaving)| leaving);
        let plan = PlanState { unit, members, subject: Some(subject.clone()), leaving, ..plan.clone() };
        let asked = |rule: &Invariant| unit == 0 || quorum::FAMILY.iter().any(|one| one.id == rule.id);
        found.extend(of_steps(&plan, subject, 0, &then, &asked));
        without(then.to_mut(), subject);
    }
    found
}

/// What bars a later step of the unit that an effect belongs to; nothing where the effect can be taken back.
pub(super) fn of_unit(case: &Case) -> Vec<Violation> {
    let (Some(plan), Some(subject), Some(verb)) = (case.plan(), case.subject(), case.verb()) else {
        return Vec::new();
    };
    let mut steps = steps(plan, case.profile);
    let Some((here, _, phase)) = steps.find(|(_, step, _)| step.does(verb)) else { return Vec::new() };
    if !phase.no_return || case.undoes() {
        return Vec::new();
    }
    of_steps(plan, subject, here + 1, case.snapshot, &|_| true)
}

/// Asks the rules about each step from one on, and tells which step each finding is about.
fn of_steps(
    plan: &PlanState,
    subject: &Subject,
    first: u32,
    snapshot: &Snapshot,
    asked: &dyn Fn(&Invariant) -> bool,
) -> Vec<Violation> {
    let mut found = Vec::new();
    let (_, size_after) = plan::unit_sizes(plan);
    for (index, step, _) in steps(plan, &snapshot.profile).filter(|(index, ..)| *index >= first) {
        let Some(verb) = (step.foreseen)(subject, size_after) else { continue };
        let plan = PlanState { phase: index, ..plan.clone() };
        let step = format!("before it comes to {} {}", verb.kind(), subject.slot);
        let undoing = false;
        let change = Change::Effect { plan: Box::new(plan.clone()), subject: subject.clone(), verb, undoing };
        let case = Case::effect(&change, &plan, subject, snapshot).foreseen();
        let told = examine(&case, &|rule| !BY_OWN_STEPS.contains(&rule.id) && asked(rule));
        found.extend(
            told.into_iter().map(|one| Violation { detail: format!("{step}: {}", one.detail), ..one }),
        );
    }
    found
}

/// The world after a member that holds a vote has gone.
fn without(snapshot: &mut Snapshot, subject: &Subject) {
    if let Fact::Known(known) = &mut snapshot.members {
        known.value.retain(|member| !is_same(subject, member));
    }
    if let Fact::Known(known) = &mut snapshot.sizes.members {
        known.value = known.value.saturating_sub(1);
    }
    let Fact::Known(groups) = &mut snapshot.groups else { return };
    for group in &mut groups.value {
        if let Fact::Known(placements) = &mut group.placements {
            placements.value.retain(|placement| Some(&placement.member) != subject.id.as_ref());
        }
    }
}

impl Case<'_> {
    /// Whether an effect of this kind is still to come, or is about to: of the unit, or of the plan that would begin.
    #[must_use]
    pub fn has_yet_to(&self, kind: MembershipEffect) -> bool {
        let Some(verb) = self.verb() else {
            return match kind {
                MembershipEffect::Ends => self.shrinks(),
                MembershipEffect::Runs => self.grows(),
                MembershipEffect::Joins
                | MembershipEffect::Votes
                | MembershipEffect::Leaves
                | MembershipEffect::Stays => true,
            };
        };
        if verb.membership_effect() == kind || self.undoes() {
            return verb.membership_effect() == kind;
        }
        let (Some(plan), Some(subject)) = (self.plan(), self.subject()) else { return false };
        let (_, size_after) = plan::unit_sizes(plan);
        let steps = || steps(plan, self.profile);
        let here = steps().find(|(_, step, _)| step.does(verb)).map_or(0, |(index, ..)| index);
        let later = steps().filter(|(index, ..)| *index >= here);
        later
            .filter_map(|(_, step, _)| (step.foreseen)(subject, size_after))
            .any(|one| one.membership_effect() == kind)
    }
}
