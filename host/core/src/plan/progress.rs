//! Where a unit stands, derived from the world and not from what we did: level-triggered (P3, P4).

mod undo;

use crate::case::is_same;
use crate::change::Direction;
use crate::groups::{self, called};
use crate::plan::unit_sizes;
use crate::plan::{self, lack};
use crate::profile::{Phase, PhaseName, Profile};
use crate::quorum::member;
use crate::snapshot::{is_serving, never_joined};
use plimsoll_wire::fact::{Authority, Fact};
use plimsoll_wire::journal::{PlanState, PlatformVerb, Subject, SystemVerb, Verb};
use plimsoll_wire::snapshot::{Group, Lifecycle, Member, OperationKind, PlacementState, Role, Snapshot};
use std::cmp::Reverse;
use std::sync::Arc;

/// What a unit needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A subject has to be chosen.
    Choose,
    /// This effect.
    Do {
        /// In which phase.
        phase: PhaseName,
        /// At which index of the profile's list.
        index: u32,
        /// What.
        verb: Verb,
    },
    /// Time.
    Wait {
        /// In which phase.
        phase: PhaseName,
        /// At which index of the profile's list.
        index: u32,
        /// For what.
        why: String,
    },
    /// The unit is complete, or is taken back completely.
    Finished,
}

/// The phases of a plan's units.
#[must_use]
pub fn phases(plan: &PlanState, profile: &'static Profile) -> &'static [Phase] {
    match plan::direction(plan) {
        Some(Direction::In) => profile.shrink,
        Some(Direction::Out) | None => profile.grow,
    }
}

/// What the unit under way needs next, in this snapshot.
#[must_use]
pub fn next(snapshot: &Snapshot, plan: &PlanState, profile: &'static Profile) -> Next {
    let Some(subject) = &plan.subject else { return Next::Choose };
    if plan.undoing {
        return undo::undo(snapshot, plan, subject, profile);
    }
    for (index, phase) in phases(plan, profile).iter().enumerate() {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        if let Met::No(why) = met(snapshot, plan, subject, phase.name, index) {
            return match verb(snapshot, plan, subject, profile, phase.name, plan.phase > index) {
                Some(verb) => Next::Do { phase: phase.name, index, verb },
                None => {
                    let why = format!("{why}{}", lack::of(snapshot, phase.name));
                    Next::Wait { phase: phase.name, index, why }
                }
            };
        }
    }
    Next::Finished
}

/// The first phase whose end is not seen; for DRAIN-1.
#[must_use]
pub fn first_unmet(snapshot: &Snapshot, plan: &PlanState, profile: &Profile) -> Option<PhaseName> {
    let subject = plan.subject.as_ref()?;
    let phases = match plan::direction(plan) {
        Some(Direction::In) => profile.shrink,
        Some(Direction::Out) | None => profile.grow,
    };
    phases.iter().enumerate().find_map(|(index, phase)| {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        matches!(met(snapshot, plan, subject, phase.name, index), Met::No(_)).then_some(phase.name)
    })
}

/// Whether a verb is what a phase does.
#[must_use]
pub fn belongs(verb: &Verb, phase: PhaseName) -> bool {
    match verb {
        Verb::System(SystemVerb::Register { .. }) => phase == PhaseName::Register,
        Verb::Platform(PlatformVerb::Start { .. }) => phase == PhaseName::Start,
        Verb::System(SystemVerb::Promote { .. }) => phase == PhaseName::Promote,
        Verb::System(SystemVerb::MoveLeader { .. }) => phase == PhaseName::MoveLeaders,
        Verb::System(SystemVerb::Cordon { .. }) => phase == PhaseName::Cordon,
        Verb::System(SystemVerb::Drain { .. }) => phase == PhaseName::Drain,
        Verb::System(SystemVerb::Deregister { .. }) => phase == PhaseName::Deregister,
        Verb::System(SystemVerb::Barrier) => phase == PhaseName::Barrier,
        Verb::Platform(PlatformVerb::Stop { .. }) => phase == PhaseName::Stop,
        Verb::System(SystemVerb::Rebalance) => phase == PhaseName::Rebalance,
        Verb::System(SystemVerb::PayDebt { .. }) => phase == PhaseName::PayDebts,
        Verb::System(SystemVerb::Uncordon { .. }) | Verb::System(SystemVerb::CancelDrain { .. }) => false,
    }
}

enum Met {
    Yes,
    No(String),
}

impl Met {
    fn when(condition: bool, why: impl FnOnce() -> String) -> Self {
        if condition { Self::Yes } else { Self::No(why()) }
    }
}

fn rows(snapshot: &Snapshot) -> Option<&[Member]> {
    snapshot.members.value().map(Vec::as_slice)
}

fn row<'a>(snapshot: &'a Snapshot, subject: &Subject) -> Option<&'a Member> {
    rows(snapshot)?.iter().find(|row| is_same(subject, row))
}

/// The row in the subject's slot, whoever runs there.
fn in_slot<'a>(snapshot: &'a Snapshot, subject: &Subject) -> Option<&'a Member> {
    rows(snapshot)?.iter().find(|row| row.slot.as_deref() == Some(&*subject.slot))
}

fn met(snapshot: &Snapshot, plan: &PlanState, subject: &Subject, phase: PhaseName, index: u32) -> Met {
    if rows(snapshot).is_none() {
        return Met::No("the member list is not known".to_owned());
    }
    let past = plan.phase > index;
    match phase {
        PhaseName::Register => Met::when(registered(snapshot, subject), || "not registered".to_owned()),
        PhaseName::Start => Met::when(started(snapshot, subject), || "not started".to_owned()),
        PhaseName::CatchUp => caught_up(snapshot, subject),
        PhaseName::Promote => promoted(snapshot, subject),
        // Its answer is its evidence: a write that was committed. The cursor is the only trace that it leaves.
        PhaseName::Barrier => Met::when(past, || "no write since".to_owned()),
        PhaseName::Rebalance => rebalanced(snapshot, past),
        PhaseName::Cordon => cordoned(snapshot, subject),
        PhaseName::MoveLeaders => leads_nothing(snapshot, subject),
        PhaseName::Drain => drained(snapshot, subject),
        PhaseName::Verify => verified(snapshot, subject),
        PhaseName::Deregister => deregistered(snapshot, subject),
        PhaseName::Stop => Met::when(in_slot(snapshot, subject).is_none(), || {
            format!("{} is still run by the platform", subject.slot)
        }),
        PhaseName::Settle => settled(snapshot, plan),
        PhaseName::PayDebts => match snapshot.debts.value() {
            Some(debts) => Met::when(debts.is_empty(), || "debts are left".to_owned()),
            None => Met::No("debts are not known".to_owned()),
        },
    }
}

fn registered(snapshot: &Snapshot, subject: &Subject) -> bool {
    in_slot(snapshot, subject).is_some_and(|row| row.id.value().is_some())
        || homeless(snapshot, subject).is_some()
}

/// A member that the system knows for the slot's addresses while the platform does not run the slot yet: the
/// drivers match members to vacant slots too, but the platform lists only slots in use.
fn homeless<'a>(snapshot: &'a Snapshot, subject: &Subject) -> Option<&'a Member> {
    let id = subject.id.as_ref()?;
    member(rows(snapshot)?, id)
}

fn started(snapshot: &Snapshot, subject: &Subject) -> bool {
    in_slot(snapshot, subject).is_some_and(|row| row.running.value() == Some(&true))
}

fn caught_up(snapshot: &Snapshot, subject: &Subject) -> Met {
    let Some(row) = in_slot(snapshot, subject) else { return Met::No("not started".to_owned()) };
    let Some(id) = row.id.value() else {
        return Met::No(format!("{} is not a member of the system yet", subject.slot));
    };
    if row.alive.value() != Some(&true) {
        return Met::No(format!("{} does not answer yet", subject.slot));
    }
    let learning = groups::all(snapshot).iter().filter_map(|group| groups::copy_on(group, id));
    let mut learning = learning.filter(|copy| copy.state == PlacementState::Learner).peekable();
    if learning.peek().is_none() {
        // Where members do not learn first, serving is the sign.
        return Met::when(row.lifecycle.value() == Some(&Lifecycle::Serving), || {
            format!("{} is catching up", subject.slot)
        });
    }
    let safety = &snapshot.safety;
    for copy in learning {
        let Some(progress) = copy.progress_permille.known() else {
            return Met::No(format!("how far {} has come is not known", subject.slot));
        };
        if progress.value < safety.promote_permille || progress.reads < safety.observations {
            return Met::No(format!("{} has {} of 1000 parts of the log", subject.slot, progress.value));
        }
    }
    Met::Yes
}

fn promoted(snapshot: &Snapshot, subject: &Subject) -> Met {
    let Some(row) = in_slot(snapshot, subject) else { return Met::No("not started".to_owned()) };
    let votes = row.roles.value().is_some_and(|roles| roles.contains(&Role::Voter));
    Met::when(votes && is_serving(row), || format!("{} does not vote and serve yet", subject.slot))
}

fn rebalanced(snapshot: &Snapshot, past: bool) -> Met {
    if !past {
        return Met::No("not begun".to_owned());
    }
    let moving = rows(snapshot).is_none_or(|all| {
        all.iter().any(|row| match &row.hosted {
            Fact::Known(known) => known.value.moving > 0,
            Fact::Unknown { .. } => true,
            Fact::NotApplicable => false,
        })
    });
    let running = snapshot
        .operations
        .value()
        .is_none_or(|all| all.iter().any(|operation| operation.kind == OperationKind::Rebalance));
    Met::when(!moving && !running, || "data is on its way".to_owned())
}

/// Gone is as good as cordoned, empty and deregistered: the phases before a stop stay met after it.
fn gone(snapshot: &Snapshot, subject: &Subject) -> bool {
    row(snapshot, subject).is_none() && in_slot(snapshot, subject).is_none()
}

/// A dead member takes no new data, and no cordon shows on it; should it come back, the cordon comes first.
fn cordoned(snapshot: &Snapshot, subject: &Subject) -> Met {
    let lifecycle = row(snapshot, subject).and_then(|row| row.lifecycle.value());
    let closed = matches!(lifecycle, Some(Lifecycle::Draining | Lifecycle::Drained | Lifecycle::Dead));
    Met::when(closed || gone(snapshot, subject), || format!("{} takes new data", subject.slot))
}

fn leads_nothing(snapshot: &Snapshot, subject: &Subject) -> Met {
    let Some(row) = row(snapshot, subject) else { return Met::Yes };
    if row.id.value().is_none() {
        return Met::Yes;
    }
    for group in groups::all(snapshot) {
        match group.leader.value() {
            Some(leader) if row.id.value() == Some(leader) => {
                return Met::No(format!("{} leads {}", subject.slot, called(group)));
            }
            Some(_) => {}
            None => return Met::No(format!("the leader of {} is not known", called(group))),
        }
    }
    // Of groups that are in no row only the member's own count tells.
    let none =
        groups::left_out(snapshot) == Some(0) || row.hosted.value().is_some_and(|hosted| hosted.leaders == 0);
    Met::when(none, || format!("which groups {} leads is not known of all", subject.slot))
}

fn drained(snapshot: &Snapshot, subject: &Subject) -> Met {
    if gone(snapshot, subject) {
        return Met::Yes;
    }
    let Some(row) = row(snapshot, subject) else { return Met::No("the member is not seen".to_owned()) };
    match row.hosted.value() {
        Some(hosted) => {
            let nothing = [hosted.copies, hosted.moving, hosted.open_writes, hosted.failed_moves] == [0; 4];
            Met::when(nothing, || format!("{} still holds {} copies", subject.slot, hosted.copies))
        }
        None => Met::No(format!("what {} holds is not known", subject.slot)),
    }
}

/// RED-6 with EVID-3 and EVID-4: empty on others' word, and for long enough.
fn verified(snapshot: &Snapshot, subject: &Subject) -> Met {
    if gone(snapshot, subject) {
        return Met::Yes;
    }
    let Some(row) = row(snapshot, subject) else { return Met::No("the member is not seen".to_owned()) };
    let Some(hosted) = row.hosted.known() else {
        return Met::No(format!("what {} holds is not known", subject.slot));
    };
    let safety = &snapshot.safety;
    let settled = hosted.stable_ms >= safety.hold_ms
        && hosted.reads >= safety.observations
        && hosted.observer_up_ms >= safety.warmup_ms
        && hosted.authority >= Authority::Survivors;
    Met::when(settled, || {
        format!("{} has been empty for {} of {} ms", subject.slot, hosted.stable_ms, safety.hold_ms)
    })
}

fn deregistered(snapshot: &Snapshot, subject: &Subject) -> Met {
    let Some(id) = &subject.id else {
        let nobody = in_slot(snapshot, subject).is_none_or(|row| never_joined(snapshot, row));
        return Met::when(nobody, || format!("whether {} is a member is not known", subject.slot));
    };
    let listed = rows(snapshot).is_none_or(|all| member(all, id).is_some());
    let told = snapshot.members.known().is_some_and(|known| known.authority >= Authority::Survivors);
    Met::when(!listed && told, || format!("{} is still a member", subject.slot))
}

/// Everybody who stays is at work, and everything is whole, for `hold`.
fn settled(snapshot: &Snapshot, plan: &PlanState) -> Met {
    let safety = &snapshot.safety;
    let Some(all) = rows(snapshot) else { return Met::No("the member list is not known".to_owned()) };
    let (_, size_after) = unit_sizes(plan);
    if all.len() != usize::try_from(size_after).unwrap_or(usize::MAX) {
        return Met::No(format!("{} members are seen, {size_after} are expected", all.len()));
    }
    for row in all {
        let alive = row.alive.known().filter(|known| known.value && known.stable_ms >= safety.hold_ms);
        if !is_serving(row) || alive.is_none() {
            let name = row.slot.as_deref().unwrap_or("a member");
            return Met::No(format!("{name} has not been at work for {} ms", safety.hold_ms));
        }
    }
    let Some(groups) = snapshot.groups.value() else { return Met::No("the groups are not known".to_owned()) };
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

/// The effect that a phase needs now; none where only time helps.
fn verb(
    snapshot: &Snapshot,
    plan: &PlanState,
    subject: &Subject,
    profile: &Profile,
    phase: PhaseName,
    begun: bool,
) -> Option<Verb> {
    rows(snapshot)?;
    let (_, size_after) = unit_sizes(plan);
    let id = subject.id.clone();
    match phase {
        PhaseName::Register => Some(Verb::System(SystemVerb::Register {
            slot: subject.slot.clone(),
            endpoints: subject.endpoints.clone(),
        })),
        PhaseName::Start => {
            let join = lack::join(snapshot).ok()?;
            Some(Verb::Platform(PlatformVerb::Start { slot: subject.slot.clone(), size_after, join }))
        }
        PhaseName::Promote => {
            let row = in_slot(snapshot, subject)?;
            let learner = row.roles.value().is_some_and(|roles| roles.contains(&Role::Learner));
            learner
                .then(|| row.id.value().cloned().map(|member| Verb::System(SystemVerb::Promote { member })))?
        }
        PhaseName::Barrier => Some(Verb::System(SystemVerb::Barrier)),
        PhaseName::Rebalance => {
            // Once asked for, only time helps; the cursor says whether it was.
            (!begun).then_some(Verb::System(SystemVerb::Rebalance))
        }
        PhaseName::Cordon => Some(Verb::System(SystemVerb::Cordon { member: id? })),
        PhaseName::MoveLeaders => {
            let from = id?;
            hand_over(snapshot, profile, from)
        }
        PhaseName::Drain => {
            let draining = snapshot.operations.value()?.iter().any(|operation| {
                operation.kind == OperationKind::Drain && Some(&*operation.scope) == id.as_deref()
            });
            (!draining).then_some(Verb::System(SystemVerb::Drain { member: id? }))
        }
        PhaseName::Deregister => Some(Verb::System(SystemVerb::Deregister { member: id? })),
        // What never joined has no id. That it did not, is what its deregistration being seen means.
        PhaseName::Stop => {
            let member = id.unwrap_or_else(|| Arc::from(""));
            Some(Verb::Platform(PlatformVerb::Stop { slot: subject.slot.clone(), member, size_after }))
        }
        PhaseName::PayDebts => {
            let debt = snapshot.debts.value()?.first()?.clone();
            Some(Verb::System(SystemVerb::PayDebt { member: debt.member, kind: debt.kind }))
        }
        PhaseName::CatchUp | PhaseName::Verify | PhaseName::Settle => None,
    }
}

/// The first group that a member leads, and who leads it next. Where the system chooses among those who could, it is only
/// seen to that there is one.
fn hand_over(snapshot: &Snapshot, profile: &Profile, from: Arc<str>) -> Option<Verb> {
    let group = groups::all(snapshot).iter().find(|group| group.leader.value() == Some(&from))?;
    let to = successor(snapshot, group, &from)?;
    let to = (!profile.picks_leader).then_some(to);
    Some(Verb::System(SystemVerb::MoveLeader { group: group.id.clone(), from, to }))
}

/// Who leads a group next, of those who serve and hold that very group in sync: who leads least, then who has been up
/// longest; ties go to the first id, so that the choice is one.
fn successor(snapshot: &Snapshot, group: &Group, from: &str) -> Option<Arc<str>> {
    let all = rows(snapshot)?;
    let able = groups::heirs(group, from).filter_map(|id| {
        let row = member(all, id).filter(|row| is_serving(row))?;
        let led = row.hosted.value().map_or(0, |hosted| hosted.leaders);
        Some((led, Reverse(row.alive.known()?.stable_ms), id))
    });
    able.min().map(|(_, _, id)| id.clone())
}
