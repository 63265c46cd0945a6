//! A running plan: one look at the world, and at most one effect.

use super::{Chore, State, decide, since, stamp};
use crate::judge::{Change, Direction, Judged, Moment, judge, unit_sizes};
use crate::plan;
use crate::plan::progress::{self, Next};
use crate::profile::PhaseName;
use plimsoll_wire::journal::{Changed, Ended, Intent, Outcome, PlanState, PlanStatus, Subject, Verb};
use plimsoll_wire::record::{Body, Judgement, Verdict};
use plimsoll_wire::snapshot::{Mode, Now, Snapshot};
use std::sync::Arc;

/// How many ended plans are remembered.
const HISTORY: usize = 16;

/// Looks at the world and does what comes next.
pub(super) fn advance(state: &mut State, now: &Now, snapshot: &Arc<Snapshot>) {
    state.next_look_ms = now.mono_ms + state.spec.pace_ms;
    let Some(plan) = state.journal.as_ref().and_then(|journal| journal.plan.clone()) else { return };
    let paused = state.journal.as_ref().is_some_and(|journal| journal.memory.paused.is_some());
    if paused || state.spec.held.is_some() {
        state.waiting_for = "a person has paused this target".to_owned();
        return;
    }
    if plan.status == PlanStatus::AwaitingApproval {
        if decide::approval_expired(&plan, now) {
            end(state, now, PlanStatus::Aborted, "nobody approved it in time");
        } else {
            state.waiting_for = "a person's approval".to_owned();
        }
        return;
    }
    leave_enforce(state);
    adopt_id(state, snapshot);
    let Some(plan) = state.journal.as_ref().and_then(|journal| journal.plan.clone()) else { return };
    match progress::next(snapshot, &plan, state.spec.profile) {
        Next::Choose => choose(state, now, snapshot, &plan),
        Next::Do { phase, index, verb } => attempt(state, now, snapshot, &plan, phase, index, verb),
        Next::Wait { phase, index, why } => wait(state, now, &plan, phase, index, &why),
        Next::Finished => finished(state, now, &plan),
    }
}

/// The owner took the target out of enforce: finish what cannot be taken back, take back the rest (D9).
fn leave_enforce(state: &mut State) {
    if state.spec.mode == Mode::Enforce {
        return;
    }
    if let Some(plan) = state.journal.as_mut().and_then(|journal| journal.plan.as_mut())
        && matches!(plan.status, PlanStatus::Running | PlanStatus::Held)
    {
        give_up(plan, "the target left enforce");
    }
}

/// A new member gets its id when the system gives it one; from then on it is known by it (IDENT-2).
fn adopt_id(state: &mut State, snapshot: &Snapshot) {
    let Some(plan) = state.journal.as_mut().and_then(|journal| journal.plan.as_mut()) else { return };
    let Some(subject) = plan.subject.as_mut().filter(|subject| subject.id.is_none()) else { return };
    let rows = snapshot.members.value().map_or(&[][..], Vec::as_slice);
    let row = rows.iter().find(|row| row.slot.as_deref() == Some(&*subject.slot));
    if let Some(id) = row.and_then(|row| row.id.value()) {
        subject.id = Some(id.clone());
    }
}

/// Ends a plan at the nearest legal size: back where the unit can be taken back, onward where it cannot.
pub(super) fn give_up(plan: &mut PlanState, why: &str) {
    plan.status = PlanStatus::Stopping;
    plan.undoing = plan.subject.is_some() && !plan.point_of_no_return;
    why.clone_into(&mut plan.why);
}

/// The next unit's member; a plan that is being given up takes none.
fn choose(state: &mut State, now: &Now, snapshot: &Arc<Snapshot>, plan: &PlanState) {
    if plan.unit >= plan::units(plan, state.spec.profile) {
        end(state, now, PlanStatus::Done, "");
        return;
    }
    if plan.status == PlanStatus::Stopping && rests(state, now, plan) {
        return;
    }
    let subject = match plan::direction(plan) {
        Some(Direction::In) => plan::victims(snapshot, state.spec.profile, 1).pop(),
        Some(Direction::Out) | None => vacancy(snapshot),
    };
    let Some(subject) = subject.filter(|subject| !subject.slot.is_empty()) else {
        state.waiting_for = "a member that can be chosen".to_owned();
        return;
    };
    let approved = !state.spec.safety.approve_scale_in
        || plan::direction(plan) != Some(Direction::In)
        || subject.id.as_ref().is_some_and(|id| plan.victims.contains(id));
    if !approved {
        end(state, now, PlanStatus::Aborted, "another member would go than was approved");
        return;
    }
    update(state, |plan| {
        plan.members = plan::member_ids(snapshot);
        plan.subject = Some(subject);
        plan.phase = 0;
        plan.point_of_no_return = false;
        plan.progressed = stamp(now);
    });
    note_plan(state, now, None);
    state.next_look_ms = now.mono_ms;
}

fn vacancy(snapshot: &Snapshot) -> Option<Subject> {
    let place = snapshot.vacant.value()?.first()?;
    Some(Subject {
        slot: place.slot.clone(),
        endpoints: place.endpoints.clone(),
        id: None,
        incarnation: String::new(),
    })
}

fn update(state: &mut State, change: impl FnOnce(&mut PlanState)) {
    if let Some(plan) = state.journal.as_mut().and_then(|journal| journal.plan.as_mut()) {
        change(plan);
    }
}

/// Writes the plan down, in the journal and in the log.
pub(super) fn note_plan(state: &mut State, now: &Now, judgement: Option<Judgement>) {
    let Some(plan) = state.journal.as_ref().and_then(|journal| journal.plan.clone()) else { return };
    let phase = phase_name(state, &plan);
    let record = state.record(now, Body::Plan { plan, phase: phase.to_owned(), judgement });
    state.queue([Chore::Store, Chore::Record(record, None)]);
}

/// The phase that a plan is in, in the profile's words.
pub(super) fn phase_name(state: &State, plan: &PlanState) -> &'static str {
    if plan.undoing {
        return "undo";
    }
    let index = usize::try_from(plan.phase).unwrap_or(usize::MAX);
    match (&plan.subject, progress::phases(plan, state.spec.profile).get(index)) {
        (None, _) => "choose",
        (Some(_), Some(phase)) => phase.name.kind(),
        (Some(_), None) => "finish",
    }
}

/// One effect, if the judge lets it pass.
fn attempt(
    state: &mut State,
    now: &Now,
    snapshot: &Arc<Snapshot>,
    plan: &PlanState,
    phase: PhaseName,
    index: u32,
    verb: Verb,
) {
    reach(state, now, index);
    if refused_lately(state, now, &verb) || applied_lately(state, now, &verb) {
        return;
    }
    let Some(plan) = state.journal.as_ref().and_then(|journal| journal.plan.clone()).or(Some(plan.clone()))
    else {
        return;
    };
    let Some(subject) = plan.subject.clone() else { return };
    let profiled = progress::phases(&plan, state.spec.profile).iter().find(|entry| entry.name == phase);
    let moment = match profiled {
        Some(entry) if !plan.undoing => entry.moment,
        // To take a start back where data moves by itself is a removal, and is checked like one.
        Some(_) | None if state.spec.profile.moves_data && phase == PhaseName::Stop => Moment::Destroy,
        Some(_) | None => Moment::Step,
    };
    let undoing = plan.undoing;
    let change = Change::Effect { plan: Box::new(plan.clone()), subject, verb: verb.clone(), undoing };
    let judgement = match judge(moment, &change, snapshot, state.spec.profile, state.direct) {
        Judged::NeedFacts => {
            state.queue([Chore::Observe { direct: true }]);
            return;
        }
        Judged::Verdict(judgement) => judgement,
    };
    if judgement.verdict > Verdict::Clamp {
        stopped(state, now, &plan, judgement);
        return;
    }
    let one_way = profiled.is_some_and(|entry| entry.no_return) && !undoing;
    go(state, now, verb, one_way, judgement);
}

/// Journals and records the intent, then acts: in this order, and only when both are durable (N7).
fn go(state: &mut State, now: &Now, verb: Verb, one_way: bool, judgement: Judgement) {
    let id = state.next_id("i");
    let Some(journal) = &mut state.journal else { return };
    let Some(plan) = &mut journal.plan else { return };
    plan.point_of_no_return |= one_way;
    if plan.status == PlanStatus::Held {
        plan.status = PlanStatus::Running;
        plan.why.clear();
    }
    let intent = Intent { id, plan: plan.id.clone(), unit: plan.unit, verb, outcome: None };
    journal.intent = Some(intent.clone());
    state.waiting_for.clear();
    let record = state.record(now, Body::Intent { intent: intent.clone(), judgement });
    state.queue([Chore::Store, Chore::Record(record, None), Chore::Act(Box::new(intent))]);
}

/// What was accepted is not asked again while the world takes its time to show it. It never may: then the plan
/// holds like any other that makes no progress.
fn applied_lately(state: &mut State, now: &Now, verb: &Verb) -> bool {
    let Some((at_ms, applied)) = &state.applied_at else { return false };
    if applied != verb || now.mono_ms.saturating_sub(*at_ms) >= state.spec.safety.hold_ms.clamp(1_000, 60_000)
    {
        return false;
    }
    let why = format!("{} was accepted and is not to be seen yet", verb.kind());
    state.waiting_for.clone_from(&why);
    let progressed =
        state.journal.as_ref().and_then(|journal| journal.plan.as_ref()).map(|plan| &plan.progressed);
    if progressed.is_some_and(|progressed| since(progressed, now) > state.spec.safety.stall_ms) {
        hold(state, now, "Stalled", &format!("Stalled: {why}"), None);
    }
    true
}

/// DRAIN-7: what the system has refused is not asked again until the world has stood for a while.
fn refused_lately(state: &mut State, now: &Now, verb: &Verb) -> bool {
    let Some((at, message)) = &state.refused_at else { return false };
    if now.mono_ms.saturating_sub(*at) >= state.spec.safety.hold_ms.clamp(1_000, 60_000) {
        state.refused_at = None;
        return false;
    }
    state.waiting_for = format!("the system refused to {}: {message}", verb.kind());
    true
}

/// The judge said no. What is merely not so yet is waited for; what is wrong before the point of no return is
/// taken back; after it the plan keeps its place and says so.
fn stopped(state: &mut State, now: &Now, plan: &PlanState, judgement: Judgement) {
    let wrong = judgement.violations.iter().find(|one| one.verdict == Verdict::Deny && !one.unknown);
    let strongest = judgement.violations.iter().max_by_key(|one| one.verdict);
    let why = strongest.map_or_else(String::new, |one| format!("{}: {}", one.kind, one.detail));
    state.waiting_for.clone_from(&why);
    // What is on its way to rest already keeps its place: to give that up would only begin it again.
    let may_end = !plan.point_of_no_return && !plan.undoing && plan.status != PlanStatus::Stopping;
    if wrong.is_some() && may_end {
        update(state, |plan| give_up(plan, &why));
        note_plan(state, now, Some(judgement));
        return;
    }
    let stalled = since(&plan.progressed, now) > state.spec.safety.stall_ms;
    if wrong.is_some() || stalled {
        hold(state, now, strongest.map_or("", |one| &one.kind), &why, Some(judgement.clone()));
    }
}

/// Keeps the plan's place and says why, once for each kind of reason. A plan that is being given up stays so.
fn hold(state: &mut State, now: &Now, kind: &str, why: &str, judgement: Option<Judgement>) {
    let Some(plan) = state.journal.as_ref().and_then(|journal| journal.plan.as_ref()) else { return };
    if plan.status != PlanStatus::Running && plan.why.starts_with(kind) {
        return;
    }
    update(state, |plan| {
        if plan.status == PlanStatus::Running {
            plan.status = PlanStatus::Held;
        }
        why.clone_into(&mut plan.why);
    });
    note_plan(state, now, judgement);
}

/// Nothing but time helps. Without progress for too long the plan holds, and never does more (DRAIN-5, P8).
fn wait(state: &mut State, now: &Now, plan: &PlanState, phase: PhaseName, index: u32, why: &str) {
    reach(state, now, index);
    state.waiting_for = format!("{}: {why}", phase.kind());
    let stalled = since(&plan.progressed, now) > state.spec.safety.stall_ms;
    if stalled {
        hold(state, now, "Stalled", &format!("Stalled: {why}"), None);
    }
}

/// The world has come to another phase.
fn reach(state: &mut State, now: &Now, index: u32) {
    let moved = state.journal.as_mut().and_then(|journal| journal.plan.as_mut()).is_some_and(|plan| {
        let moved = index > plan.phase;
        if moved {
            plan.phase = index;
            plan.progressed = stamp(now);
            if plan.status == PlanStatus::Held {
                plan.status = PlanStatus::Running;
                plan.why.clear();
            }
        }
        moved
    });
    if moved {
        note_plan(state, now, None);
    }
}

/// An effect was tried.
pub(super) fn acted(state: &mut State, now: &Now, outcome: Outcome) {
    let Some(journal) = &mut state.journal else { return };
    let Some(intent) = &mut journal.intent else { return };
    intent.outcome = Some(outcome.clone());
    let (id, verb) = (intent.id.clone(), intent.verb.clone());
    match &outcome {
        Outcome::Applied => {
            state.refused_at = None;
            state.applied_at = Some((now.mono_ms, verb.clone()));
            // These leave no trace in the world that is theirs alone: the cursor is their trace.
            if matches!(verb, Verb::Barrier | Verb::Rebalance)
                && let Some(plan) = &mut journal.plan
            {
                plan.phase += 1;
                plan.progressed = stamp(now);
            }
        }
        Outcome::Refused { message } | Outcome::Unknown { message } => {
            state.refused_at =
                matches!(outcome, Outcome::Refused { .. }).then(|| (now.mono_ms, message.clone()));
        }
    }
    let record = state.record(now, Body::Outcome { intent: id, outcome });
    state.queue([Chore::Record(record, None), Chore::Store]);
    state.next_look_ms = now.mono_ms;
}

/// A unit is complete, or taken back completely.
fn finished(state: &mut State, now: &Now, plan: &PlanState) {
    if plan.undoing {
        update(state, |plan| {
            plan.undoing = false;
            plan.subject = None;
            plan.phase = 0;
        });
        let Some(plan) = state.journal.as_ref().and_then(|journal| journal.plan.clone()) else { return };
        if !rests(state, now, &plan) {
            note_plan(state, now, None);
        }
        return;
    }
    update(state, |plan| {
        plan.unit += 1;
        plan.subject = None;
        plan.phase = 0;
        plan.point_of_no_return = false;
        plan.progressed = stamp(now);
    });
    let Some(plan) = state.journal.as_ref().and_then(|journal| journal.plan.clone()) else { return };
    if plan.unit >= plan::units(&plan, state.spec.profile) {
        end(state, now, PlanStatus::Done, "");
        return;
    }
    state.next_look_ms = now.mono_ms;
    if plan.status == PlanStatus::Stopping && rests(state, now, &plan) {
        return;
    }
    note_plan(state, now, None);
}

/// A plan that is given up rests where it may: here, or at the nearest legal size, to which it turns.
fn rests(state: &mut State, now: &Now, plan: &PlanState) -> bool {
    let (size, _) = unit_sizes(plan);
    let safety = state.spec.safety.clone();
    let rest = plan::rest_near(size, plan.from, plan.to, state.spec.profile, &safety);
    if rest == plan.to && rest != size {
        // It leads there already.
        return false;
    }
    if rest == size {
        let why = plan.why.clone();
        end(state, now, PlanStatus::Aborted, &why);
        return true;
    }
    update(state, |plan| {
        let began = plan.from;
        plan.from = size;
        plan.to = rest;
        plan.unit = 0;
        plan.subject = None;
        plan.phase = 0;
        // Not `Running`: a wish that turns once more must not send it back and forth between two illegal rests.
        plan.status = PlanStatus::Stopping;
        plan.why = format!("{} (began at {began}; {size} is no legal size to rest at)", plan.why);
        plan.progressed = stamp(now);
    });
    note_plan(state, now, None);
    true
}

/// The plan is over: remembered, and the permit given back.
pub(super) fn end(state: &mut State, now: &Now, status: PlanStatus, why: &str) {
    update(state, |plan| {
        plan.status = status;
        if plan.why.is_empty() {
            why.clone_into(&mut plan.why);
        }
    });
    note_plan(state, now, None);
    let Some(journal) = &mut state.journal else { return };
    let Some(plan) = journal.plan.take() else { return };
    let (size, _) = unit_sizes(&plan);
    if size != plan.from {
        decide::remember(&mut journal.memory.changes, Changed { from: plan.from, to: size, at: stamp(now) });
    }
    if journal.memory.asked.as_ref().is_some_and(|asked| asked.members == size) {
        journal.memory.asked = None;
    }
    journal.memory.wish = None;
    journal.memory.approved = None;
    journal.intent = None;
    journal.history.push(Ended {
        id: plan.id,
        from: plan.from,
        to: plan.to,
        ended_at: size,
        status,
        why: if plan.why.is_empty() { why.to_owned() } else { plan.why },
        at: stamp(now),
    });
    let surplus = journal.history.len().saturating_sub(HISTORY);
    journal.history.drain(..surplus);
    state.waiting_for.clear();
    state.refused_at = None;
    state.applied_at = None;
    state.queue([Chore::Store, Chore::GivePermit]);
    state.next_decision_ms = now.mono_ms + state.spec.pace_ms;
}
