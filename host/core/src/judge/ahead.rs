//! What bars a later step that is known: asked before a plan begins, and before each point of no return, so that nothing is
//! struck that can then not be stopped.
//!
//! It goes by what is known now. What only becomes so by the plan's own earlier steps bars nothing yet
//! ([`crate::invariant::BY_OWN_STEPS`]).

use super::examine;
use crate::case::{Case, is_same};
use crate::change::{Change, Direction};
use crate::invariant::{BY_OWN_STEPS, Invariant, quorum};
use crate::plan;
use crate::profile::{Phase, PhaseName, Profile};
use crate::workload;
use plimsoll_wire::fact::Fact;
use plimsoll_wire::journal::{
    MembershipEffect, PlanState, PlanStatus, PlatformVerb, Stamp, Subject, SystemVerb, Verb,
};
use plimsoll_wire::record::Violation;
use plimsoll_wire::snapshot::Snapshot;

/// What bars a step of a plan between these sizes: of its first unit by any rule, and of the others by those about votes,
/// in the state that the units before leave behind.
pub(super) fn of_plan(snapshot: &Snapshot, profile: &Profile, from: u32, to: u32) -> Vec<Violation> {
    let Some(plan) = foreseen(snapshot, from, to) else { return Vec::new() };
    let shrinks = to < from;
    let subjects = if shrinks {
        plan::victims(snapshot, profile, from.saturating_sub(to))
    } else {
        plan::next_subject(snapshot, profile, &plan).into_iter().collect()
    };
    let mut found = Vec::new();
    let mut then = std::borrow::Cow::Borrowed(snapshot);
    for (unit, subject) in (0..).zip(&subjects) {
        // Where data moves, what is left of it where depends on the system.
        if unit > 0 && !(shrinks && profile.members_vote) {
            break;
        }
        let members = plan::member_ids(&then);
        let plan = PlanState { unit, members, subject: Some(subject.clone()), ..plan.clone() };
        let asked = |rule: &Invariant| unit == 0 || quorum::FAMILY.iter().any(|one| one.id == rule.id);
        found.extend(of_phases(&plan, subject, 0, &then, profile, &asked));
        without(then.to_mut(), subject);
    }
    found
}

/// What bars a later step of the unit that an effect belongs to; nothing where the effect can be taken back.
pub(super) fn of_unit(case: &Case) -> Vec<Violation> {
    let (Some(plan), Some(subject), Some(verb)) = (case.plan(), case.subject(), case.verb()) else {
        return Vec::new();
    };
    let phases = phases(plan, case.profile);
    let here = phases.iter().position(|phase| plan::progress::belongs(verb, phase.name));
    let Some(here) = here.filter(|here| phases.get(*here).is_some_and(|phase| phase.no_return)) else {
        return Vec::new();
    };
    if case.undoes() {
        return Vec::new();
    }
    of_phases(plan, subject, here + 1, case.snapshot, case.profile, &|_| true)
}

fn phases<'a>(plan: &PlanState, profile: &'a Profile) -> &'a [Phase] {
    match plan::direction(plan) {
        Some(Direction::In) => profile.shrink,
        Some(Direction::Out) | None => profile.grow,
    }
}

/// Asks the rules about each step from one on, and tells which step each finding is about.
fn of_phases(
    plan: &PlanState,
    subject: &Subject,
    first: usize,
    snapshot: &Snapshot,
    profile: &Profile,
    asked: &dyn Fn(&Invariant) -> bool,
) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, phase) in phases(plan, profile).iter().enumerate().skip(first) {
        let Some(verb) = verb(plan, subject, phase.name) else { continue };
        let plan = PlanState { phase: u32::try_from(index).unwrap_or(u32::MAX), ..plan.clone() };
        let step = format!("before it comes to {} {}", verb.kind(), subject.slot);
        let undoing = false;
        let change = Change::Effect { plan: Box::new(plan.clone()), subject: subject.clone(), verb, undoing };
        let case = Case::effect(&change, &plan, subject, snapshot, profile).foreseen();
        let told = examine(&case, &|rule| !BY_OWN_STEPS.contains(&rule.id) && asked(rule));
        found.extend(
            told.into_iter().map(|one| Violation { detail: format!("{step}: {}", one.detail), ..one }),
        );
    }
    found
}

/// The effect of a phase as far as it is known before; none where it is not, or waits only.
fn verb(plan: &PlanState, subject: &Subject, phase: PhaseName) -> Option<Verb> {
    let (_, size_after) = plan::unit_sizes(plan);
    let (slot, id) = (subject.slot.clone(), subject.id.clone());
    match phase {
        PhaseName::Register => {
            Some(Verb::System(SystemVerb::Register { slot, endpoints: subject.endpoints.clone() }))
        }
        PhaseName::Start => Some(Verb::Platform(PlatformVerb::Start { slot, size_after, join: None })),
        PhaseName::Cordon => Some(Verb::System(SystemVerb::Cordon { member: id? })),
        PhaseName::Drain => Some(Verb::System(SystemVerb::Drain { member: id? })),
        PhaseName::Deregister => Some(Verb::System(SystemVerb::Deregister { member: id? })),
        PhaseName::Barrier => Some(Verb::System(SystemVerb::Barrier)),
        PhaseName::Stop => Some(Verb::Platform(PlatformVerb::Stop { slot, member: id?, size_after })),
        PhaseName::CatchUp
        | PhaseName::Promote
        | PhaseName::Rebalance
        | PhaseName::MoveLeaders
        | PhaseName::Verify
        | PhaseName::Settle
        | PhaseName::PayDebts => None,
    }
}

/// The plan that would begin; none where nobody knows of what: EVID-1 says so.
fn foreseen(snapshot: &Snapshot, from: u32, to: u32) -> Option<PlanState> {
    Direction::between(from, to)?;
    Some(PlanState {
        id: "".into(),
        decision: "".into(),
        from,
        to,
        fingerprint: snapshot.fingerprint.value().cloned()?,
        workload: workload::uid(snapshot)?,
        base_epoch: String::new(),
        module: String::new(),
        members: Vec::new(),
        victims: Vec::new(),
        status: PlanStatus::Running,
        unit: 0,
        subject: None,
        phase: 0,
        point_of_no_return: false,
        undoing: false,
        why: String::new(),
        started: Stamp::default(),
        progressed: Stamp::default(),
    })
}

/// The world after a member that holds a vote has gone.
fn without(snapshot: &mut Snapshot, subject: &Subject) {
    if let Fact::Known(known) = &mut snapshot.members {
        known.value.retain(|member| !is_same(subject, member));
    }
    if let Fact::Known(known) = &mut snapshot.size {
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
        let phases = phases(plan, self.profile);
        let here = phases.iter().position(|phase| plan::progress::belongs(verb, phase.name));
        let later = phases.iter().skip(here.unwrap_or(0));
        later
            .filter_map(|phase| self::verb(plan, subject, phase.name))
            .any(|one| one.membership_effect() == kind)
    }
}
