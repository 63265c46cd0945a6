//! A running plan: one look at the world, and at most one effect.

use super::approval::{self, Approval};
use super::close::end;
use super::ends::{finished, leaves_nothing_half_done};
use super::note::{note_plan, update};
use super::{Action, State, headway, rest, since, stamp, takeover};
use crate::change::Change;
use crate::explain::describe;
use crate::invariant::ident;
use crate::judge::{Judged, judge};
use crate::plan;
use crate::plan::progress::{self, Next};
use crate::plan::together;
use crate::step;
use plimsoll_wire::journal::{Intent, Outcome, PlanState, PlanStatus, Subject, Verb};
use plimsoll_wire::record::{Body, Judgement, Verdict};
use plimsoll_wire::snapshot::{Mode, Now, Snapshot};
use std::sync::Arc;

/// Looks at the world and does what comes next.
pub(super) fn advance(state: &mut State, now: &Now, snapshot: &Arc<Snapshot>) {
    state.due.look_ms = now.mono_ms + state.spec.pace_ms;
    headway::note(state, now, snapshot);
    let Some(plan) = state.durable.plan().cloned() else { return };
    if state.is_held() {
        state.attempt.waiting_for = "a person has paused this target".to_owned();
        return;
    }
    // A plan that is being given up goes to where it can rest; that is not the way that is paused.
    if plan.status != PlanStatus::Stopping
        && let Some(why) = state.spec.pauses.bars(plan::direction(&plan))
    {
        state.attempt.waiting_for = format!("a person has paused this direction: {why}");
        return;
    }
    if plan.status == PlanStatus::AwaitingApproval {
        match approval::over(state, now, snapshot, &plan) {
            Some(why) => end(state, now, PlanStatus::Aborted, &why),
            None => state.attempt.waiting_for = "a person's approval".to_owned(),
        }
        return;
    }
    leave_enforce(state);
    adopt_id(state, snapshot);
    let Some(plan) = state.durable.plan().cloned() else { return };
    carry_on(state, now, snapshot, &plan, progress::next(snapshot, &plan));
}

/// Does what comes next. What is refused of a member beside keeps the subject from nothing.
fn carry_on(state: &mut State, now: &Now, snapshot: &Arc<Snapshot>, plan: &PlanState, next: Next) {
    match next {
        Next::Choose => choose(state, now, snapshot, plan),
        Next::Do { index, verb } => {
            reach(state, now, index);
            attempt(state, now, snapshot, verb, None);
        }
        Next::Beside { subject, verb, index } => {
            reach(state, now, index);
            if !attempt(state, now, snapshot, verb, Some(&subject)) {
                carry_on(state, now, snapshot, plan, progress::alone(snapshot, plan));
            }
        }
        Next::Wait { step, index, why } => {
            reach(state, now, index);
            waits(state, now, format!("{step}: {why}"));
        }
        Next::Finished => finished(state, now, plan),
    }
}

/// The owner took the target out of enforce: finish what cannot be taken back, take back the rest (D9).
fn leave_enforce(state: &mut State) {
    if state.spec.mode == Mode::Enforce {
        return;
    }
    if let Some(plan) = state.durable.plan_mut()
        && matches!(plan.status, PlanStatus::Running | PlanStatus::Held)
    {
        rest::give_up(plan, "the target left enforce");
    }
}

/// A new member gets its id when the system gives it one; from then on it is known by it (IDENT-2).
fn adopt_id(state: &mut State, snapshot: &Snapshot) {
    let Some(plan) = state.durable.plan_mut() else { return };
    let Some(subject) = plan.subject.as_mut().filter(|subject| subject.id.is_none()) else { return };
    let rows = snapshot.members.value().map_or(&[][..], Vec::as_slice);
    let row = rows.iter().find(|row| row.slot.as_deref() == Some(&*subject.slot));
    if let Some(id) = row.and_then(|row| row.id.value()) {
        subject.id = Some(id.clone());
    }
}

/// The next unit's member; a plan that is being given up takes none.
fn choose(state: &mut State, now: &Now, snapshot: &Arc<Snapshot>, plan: &PlanState) {
    if plan.unit >= plan::turns(plan) {
        end(state, now, PlanStatus::Done, "");
        return;
    }
    if plan.status == PlanStatus::Stopping
        && (leaves_nothing_half_done(state, now, snapshot, plan) || rest::rests(state, now, plan))
    {
        return;
    }
    let Some((subject, leaving)) = together::chosen(snapshot, plan) else {
        waits(state, now, "a member that can be chosen".to_owned());
        return;
    };
    match of_all(state, now, snapshot, plan, std::iter::once(&subject).chain(&leaving)) {
        Approval::Given => {}
        Approval::NotYet(why) => {
            waits(state, now, why);
            return;
        }
        // On its way to rest already there is no other way: it ends here.
        Approval::Gone(why) if plan.status == PlanStatus::Stopping => {
            end(state, now, PlanStatus::Aborted, &why);
            return;
        }
        Approval::Gone(why) => {
            update(state, |plan| rest::give_up(plan, &why));
            note_plan(state, now, None);
            state.due.look_ms = now.mono_ms;
            return;
        }
    }
    update(state, |plan| {
        plan.members = plan::member_ids(snapshot);
        plan.subject = Some(subject);
        plan.leaving = leaving;
        plan.phase = 0;
        plan.point_of_no_return = false;
        plan.progressed = stamp(now);
    });
    note_plan(state, now, None);
    state.due.look_ms = now.mono_ms;
}

/// What the approval says of the first of these that may not go.
fn of_all<'a>(
    state: &State,
    now: &Now,
    snapshot: &Snapshot,
    plan: &PlanState,
    subjects: impl Iterator<Item = &'a Subject>,
) -> Approval {
    let mut told = subjects.map(|one| approval::covers(state, now, snapshot, plan, one));
    told.find(|one| *one != Approval::Given).unwrap_or(Approval::Given)
}

/// One effect, if the judge lets it pass; says whether it is looked after. Of one on a member beside the subject, a refusal
/// is no hazard to the plan: it is done in that member's own turn.
fn attempt(
    state: &mut State,
    now: &Now,
    snapshot: &Arc<Snapshot>,
    verb: Verb,
    beside: Option<&Subject>,
) -> bool {
    if refused_lately(state, now, &verb) || applied_lately(state, now, &verb) {
        return true;
    }
    let Some(plan) = state.durable.plan().cloned() else { return true };
    let is_spared = beside.is_some() && !plan.undoing;
    let plan = beside.map_or(plan.clone(), |subject| together::view(&plan, subject));
    let Some(subject) = plan.subject.clone() else { return true };
    let no_return = progress::steps(&plan, &state.spec.profile)
        .any(|(_, step, phase)| step.does(&verb) && phase.no_return);
    let undoing = plan.undoing;
    let change = Change::Effect { plan: Box::new(plan.clone()), subject, verb: verb.clone(), undoing };
    let judgement = match judge(&change, snapshot, state.seen.direct) {
        Judged::NeedFacts => {
            state.queue.push([Action::Observe { direct: true }]);
            return true;
        }
        Judged::Verdict(judgement) => judgement,
    };
    if judgement.verdict > Verdict::Clamp {
        if is_spared {
            return false;
        }
        stopped(state, now, snapshot, &plan, judgement);
        return true;
    }
    let one_way = no_return && !undoing;
    if since(&plan.progressed, now) > state.spec.safety.stall_ms {
        let why = format!(
            "Stalled: to {} has been tried before, and nothing came of it{}",
            describe(&verb),
            last(state)
        );
        hold(state, now, "Stalled", &why, None);
    }
    go(state, now, verb, one_way, judgement);
    true
}

/// What came of an effect, in words that begin with whose they are and name the member: it may be another one than the one
/// whose turn it is. Nothing of one that was accepted.
fn tried(verb: &Verb, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Refused { message } => refusal(verb, message),
        Outcome::Unknown { message } => {
            format!("whether this was done is not known: {}: {message}", describe(verb))
        }
        Outcome::Applied => String::new(),
    }
}

fn refusal(verb: &Verb, message: &str) -> String {
    let who = if verb.is_platform() { "platform" } else { "system" };
    format!("the {who} refused to {}: {message}", describe(verb))
}

/// Why nothing is done, and what was heard when something was tried last in this unit: a wait alone says nothing of what
/// is in its way.
fn with_refusal(state: &State, why: String) -> String {
    let Some(journal) = &state.durable.journal else { return why };
    let (Some(plan), Some(intent)) = (&journal.plan, &journal.intent) else { return why };
    let heard = intent.outcome.as_ref().filter(|_| (&intent.plan, intent.unit) == (&plan.id, plan.unit));
    match heard.map(|outcome| tried(&intent.verb, outcome)) {
        Some(told) if !told.is_empty() && !why.contains(&*told) => format!("{why} ({told})"),
        Some(_) | None => why,
    }
}

/// What was heard of the effect before.
fn last(state: &State) -> String {
    let intent = state.durable.journal.as_ref().and_then(|journal| journal.intent.as_ref());
    match intent.and_then(|intent| intent.outcome.as_ref()) {
        Some(Outcome::Refused { message } | Outcome::Unknown { message }) => format!(" ({message})"),
        Some(Outcome::Applied) | None => String::new(),
    }
}

/// Journals and records the intent, then acts: in this order, and only when both are durable (N7).
fn go(state: &mut State, now: &Now, verb: Verb, one_way: bool, judgement: Judgement) {
    let (id, stall_ms) = (state.next_id("i"), state.spec.safety.stall_ms);
    let Some(journal) = &mut state.durable.journal else { return };
    let Some(plan) = &mut journal.plan else { return };
    plan.point_of_no_return |= one_way;
    // To try once more is no progress: a plan that has stood still for too long goes on to say so.
    if plan.status == PlanStatus::Held && since(&plan.progressed, now) <= stall_ms {
        plan.status = PlanStatus::Running;
        plan.why.clear();
    }
    let intent = Intent { id, plan: plan.id.clone(), unit: plan.unit, verb, outcome: None };
    journal.intent = Some(intent.clone());
    state.attempt.waiting_for.clear();
    state.attempt.denied_since = None;
    let record = state.record(now, Body::Intent { intent: intent.clone(), judgement });
    state.queue.push([Action::Store, Action::Record(record, None), Action::Act(Box::new(intent))]);
}

/// What was accepted is not asked again while the world takes its time to show it. It never may: then the plan
/// holds like any other that makes no progress.
fn applied_lately(state: &mut State, now: &Now, verb: &Verb) -> bool {
    let Some((at_ms, applied)) = &state.attempt.applied_at else { return false };
    if applied != verb || now.mono_ms.saturating_sub(*at_ms) >= a_while_ms(state) {
        return false;
    }
    waits(state, now, format!("it was accepted, and is not to be seen yet: {}", describe(verb)));
    true
}

/// DRAIN-7: what the system has refused is not asked again until the world has stood for a while.
fn refused_lately(state: &mut State, now: &Now, verb: &Verb) -> bool {
    let Some((at, refused, message)) = &state.attempt.refused_at else { return false };
    if refused != verb {
        return false;
    }
    if now.mono_ms.saturating_sub(*at) >= a_while_ms(state) {
        state.attempt.refused_at = None;
        return false;
    }
    let why = refusal(verb, message);
    waits(state, now, why);
    true
}

/// The judge said no. What is merely not so yet is waited for; what is wrong before the point of no return, and stays so
/// for a while, is taken back; after it the plan keeps its place and says so.
fn stopped(state: &mut State, now: &Now, snapshot: &Arc<Snapshot>, plan: &PlanState, judgement: Judgement) {
    let wrong = judgement.violations.iter().find(|one| one.verdict == Verdict::Deny && !one.unknown);
    if wrong.is_none() {
        state.attempt.denied_since = None;
    }
    let cause = judgement.cause();
    let why = cause.map_or_else(String::new, |one| format!("{}: {}", one.kind, one.detail));
    state.attempt.waiting_for = with_refusal(state, why.clone());
    // What is on its way to rest already keeps its place: to give that up would only begin it again.
    let may_end = !plan.point_of_no_return && !plan.undoing && plan.status != PlanStatus::Stopping;
    if wrong.is_some() && may_end {
        if has_lasted(state, now) {
            update(state, |plan| rest::give_up(plan, &why));
            note_plan(state, now, Some(judgement));
        }
        return;
    }
    // What lies on a volume that is there from before is not learned by waiting: only a person can say.
    let lasts = judgement.violations.iter().any(|one| one.rule == ident::NO_ZOMBIE);
    if (wrong.is_some() || lasts) && rest::turns(state, now, snapshot, plan, &why) {
        return;
    }
    let stalled = since(&plan.progressed, now) > state.spec.safety.stall_ms;
    if wrong.is_some() || stalled {
        hold(state, now, cause.map_or("", |one| &one.kind), &why, Some(judgement.clone()));
    }
}

/// For how long the world may take to show what was done, or to come right by itself.
fn a_while_ms(state: &State) -> u64 {
    state.spec.safety.hold_ms.clamp(1_000, 60_000)
}

/// Whether what is wrong has been so for a while: a member that fails to answer once is no reason to give up a plan, which
/// may leave a volume behind that bars the next one.
fn has_lasted(state: &mut State, now: &Now) -> bool {
    let since = *state.attempt.denied_since.get_or_insert(now.mono_ms);
    now.mono_ms.saturating_sub(since) >= a_while_ms(state)
}

/// Keeps the plan's place and says why, once for each kind of reason. A plan that is being given up stays so.
fn hold(state: &mut State, now: &Now, kind: &str, why: &str, judgement: Option<Judgement>) {
    let Some(plan) = state.durable.plan() else { return };
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

/// Nothing is done this time, and this is why. Without progress for too long the plan holds, and never does more
/// (DRAIN-5, P8).
fn waits(state: &mut State, now: &Now, why: String) {
    state.attempt.waiting_for = with_refusal(state, why);
    let progressed = state.durable.plan().map(|plan| &plan.progressed);
    if progressed.is_some_and(|progressed| since(progressed, now) > state.spec.safety.stall_ms) {
        let why = format!("Stalled: {}", state.attempt.waiting_for);
        hold(state, now, "Stalled", &why, None);
    }
}

/// The world has come to another phase.
fn reach(state: &mut State, now: &Now, index: u32) {
    let moved = state.durable.plan_mut().is_some_and(|plan| {
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
    let Some(journal) = &mut state.durable.journal else { return };
    let Some(intent) = &mut journal.intent else { return };
    intent.outcome = Some(outcome.clone());
    let (id, verb) = (intent.id.clone(), intent.verb.clone());
    match &outcome {
        Outcome::Applied => {
            state.attempt.refused_at = None;
            state.attempt.applied_at = Some((now.mono_ms, verb.clone()));
            // These leave no trace in the world that is theirs alone: the cursor is their trace.
            if step::all().any(|step| step.is_traceless && step.does(&verb))
                && let Some(plan) = &mut journal.plan
            {
                plan.phase += 1;
                plan.progressed = stamp(now);
            }
        }
        Outcome::Refused { message } | Outcome::Unknown { message } => {
            state.attempt.refused_at = matches!(outcome, Outcome::Refused { .. })
                .then(|| (now.mono_ms, verb.clone(), message.clone()));
            state.attempt.waiting_for = tried(&verb, &outcome);
        }
    }
    let is_on_its_way = matches!(outcome, Outcome::Unknown { .. }) && verb.is_platform();
    let record = state.record(now, Body::Outcome { intent: id, outcome });
    state.queue.push([Action::Record(record, None), Action::Store]);
    if is_on_its_way {
        takeover::from_ourselves(state, now);
    }
    state.due.look_ms = now.mono_ms;
}
