//! A decision: wishes become one, the judge checks it, and what is admitted becomes a plan.

use super::{Chore, Evaluated, PolicyRef, State, advance, since, stamp};
use crate::combine::combine;
use crate::judge::{Change, Direction, Judged, Moment, judge};
use crate::plan;
use plimsoll_wire::Safety;
use plimsoll_wire::journal::{Changed, PlanState, PlanStatus, WishHeld};
use plimsoll_wire::proposal::{Answer, Reason};
use plimsoll_wire::record::{Body, Decision, Judgement, PolicyAnswer, Verdict, Wish};
use plimsoll_wire::snapshot::{Mode, Now, Snapshot};
use plimsoll_wire::status::LastDecision;
use std::sync::Arc;

/// How many changes are remembered.
const CHANGES: usize = 32;

/// What each policy is asked: the snapshot with its own settings and state.
pub(super) fn asks(state: &State) -> Vec<(PolicyRef, Arc<Snapshot>)> {
    let Some(snapshot) = &state.snapshot else { return Vec::new() };
    let kept = state.journal.as_ref().map(|journal| &journal.memory.policy_state);
    state
        .spec
        .policies
        .iter()
        .map(|policy| {
            let kept = kept.and_then(|kept| kept.get(&policy.name));
            // A large target's snapshot is copied only for a policy that must see something of its own.
            if policy.settings == snapshot.target.settings && kept == snapshot.state.as_ref() {
                return (policy.clone(), snapshot.clone());
            }
            let mut own = Snapshot::clone(snapshot);
            own.target.settings = policy.settings.clone();
            own.state = kept.cloned();
            (policy.clone(), Arc::new(own))
        })
        .collect()
}

fn answer_of(evaluated: &Evaluated) -> PolicyAnswer {
    let (members, reason, failed) = match &evaluated.answer {
        Ok(Answer::Proposal(proposal)) => (proposal.sizes.members, proposal.reason.clone(), false),
        Ok(Answer::Refusal { refusal }) => (None, refusal.reason.clone(), false),
        Err((kind, detail)) => (None, Reason { code: kind.clone(), message: detail.clone() }, true),
    };
    let (policy, module) = (evaluated.policy.clone(), evaluated.module.clone());
    PolicyAnswer { policy, module, members, reason, failed, fuel: evaluated.fuel }
}

/// Decides, records, and begins or turns a plan.
pub(super) fn decide(state: &mut State, now: &Now, evaluated: Vec<Evaluated>) {
    let Some(snapshot) = state.snapshot.clone() else { return };
    keep_policy_state(state, &evaluated);
    let answers: Vec<_> = evaluated
        .iter()
        .map(|one| {
            let policy = state.spec.policies.iter().find(|policy| policy.name == one.policy);
            (answer_of(one), policy.map(|policy| policy.on_error).unwrap_or_default())
        })
        .collect();
    let asked = state.journal.as_ref().and_then(|journal| journal.memory.asked.as_ref());
    let asked = asked.map(|asked| asked.members);
    let wish = combine(plan::current_size(&snapshot), asked, &answers);
    hold_wish(state, now, &wish, &snapshot);
    let rests_on = rests_on(&wish, &evaluated);
    let change = Change::Resize { to: wish.members.unwrap_or(0), rests_on, resumed: false };
    let judgement = match wish.members {
        Some(_) => match judge(Moment::Admission, &change, &snapshot, state.spec.profile, state.direct) {
            Judged::Verdict(judgement) => judgement,
            Judged::NeedFacts => Judgement::default(),
        },
        None => Judgement::default(),
    };
    if !state.direct && begins(state, &snapshot, &judgement) {
        // A cache may be arbitrarily old: what is to begin is judged once more on what is there now.
        state.unconfirmed = Some(evaluated);
        state.queue([Chore::Observe { direct: true }]);
        return;
    }
    let answers: Vec<PolicyAnswer> = answers.into_iter().map(|(answer, _)| answer).collect();
    conclude(state, now, &snapshot, answers, wish, judgement);
}

/// Whether a plan would begin.
fn begins(state: &State, snapshot: &Snapshot, judgement: &Judgement) -> bool {
    let rests = state.journal.as_ref().is_some_and(|journal| journal.plan.is_none());
    let moves = judgement.size.is_some() && judgement.size != plan::current_size(snapshot);
    rests && moves && judgement.verdict <= Verdict::Clamp && state.spec.mode == Mode::Enforce
}

/// The signals that the winning wish rests on; a person's rests on none.
fn rests_on(wish: &Wish, evaluated: &[Evaluated]) -> Option<Vec<String>> {
    if wish.from == "person" {
        return None;
    }
    let winner = evaluated.iter().find(|one| one.policy == wish.from)?;
    match &winner.answer {
        Ok(Answer::Proposal(proposal)) => Some(proposal.signals.clone()),
        Ok(Answer::Refusal { .. }) | Err(_) => Some(Vec::new()),
    }
}

fn keep_policy_state(state: &mut State, evaluated: &[Evaluated]) {
    let Some(journal) = &mut state.journal else { return };
    for one in evaluated {
        if let Ok(Answer::Proposal(proposal)) = &one.answer {
            match &proposal.state {
                Some(kept) => journal.memory.policy_state.insert(one.policy.clone(), kept.clone()),
                None => journal.memory.policy_state.remove(&one.policy),
            };
        }
    }
}

/// Remembers since when the wish has pointed where it points (STEP-4).
fn hold_wish(state: &mut State, now: &Now, wish: &Wish, snapshot: &Snapshot) {
    let Some(journal) = &mut state.journal else { return };
    let direction = match (wish.members, plan::current_size(snapshot)) {
        (Some(wished), Some(current)) => Direction::between(current, wished),
        (Some(_) | None, _) => None,
    };
    let sign = direction.map(crate::invariant::step::direction_sign);
    let held = journal.memory.wish.as_ref().map(|wish| wish.direction);
    if sign != held {
        journal.memory.wish = sign.map(|direction| WishHeld { direction, since: stamp(now) });
    }
}

/// What follows from wish and check; recorded whatever it is.
fn conclude(
    state: &mut State,
    now: &Now,
    snapshot: &Arc<Snapshot>,
    answers: Vec<PolicyAnswer>,
    wish: Wish,
    judgement: Judgement,
) {
    let size = plan::current_size(snapshot);
    let admitted = judgement.verdict <= Verdict::Clamp && wish.members.is_some();
    let decided = if admitted { judgement.size } else { size };
    let running = state.journal.as_ref().is_some_and(|journal| journal.plan.is_some());
    let goes = admitted && decided != size && decided.is_some();
    let ghost = state.journal.as_ref().and_then(|journal| journal.memory.ghost_size);
    let reason = reason(state, &wish, &judgement, goes, running, ghost == decided);
    let module = answers.iter().find(|answer| answer.policy == wish.from).map(|answer| answer.module.clone());
    let mut plan = None;
    if goes && !running && state.spec.mode == Mode::Enforce {
        plan = new_plan(state, now, snapshot, size, decided, module.unwrap_or_default());
    }
    let decision = Decision {
        snapshot: String::new(),
        mode: state.spec.mode,
        size,
        answers: answers.clone(),
        wish: wish.clone(),
        judgement: judgement.clone(),
        decided,
        plan: plan.as_ref().map(|plan| plan.id.clone()),
        safety: (state.spec.safety != Safety::default()).then(|| state.spec.safety.clone()),
        reason: reason.clone(),
    };
    let record = state.record(now, Body::Decision(Box::new(decision)));
    state.last = Some(LastDecision {
        id: record.decision_id.clone(),
        wall_ms: now.wall_ms,
        answers,
        wish: wish.clone(),
        decided,
        reason: reason.code,
        judgement,
    });
    state.queue([Chore::Record(record, Some(snapshot.clone()))]);
    if goes && !running {
        match state.spec.mode {
            Mode::Enforce => {
                state.pending_plan = plan;
                state.queue([Chore::Permit { resumed: false }]);
            }
            Mode::Dryrun => pretend(state, now, size, decided),
            Mode::Off => {}
        }
    } else if now.mono_ms >= state.next_save_ms {
        state.queue([Chore::Store]);
    }
    if running {
        withdraw(state, &wish);
        advance::advance(state, now, snapshot);
    }
}

/// One word and one sentence for status and metrics.
fn reason(
    state: &State,
    wish: &Wish,
    judgement: &Judgement,
    goes: bool,
    running: bool,
    ghost_there: bool,
) -> Reason {
    let strongest = judgement.violations.iter().max_by_key(|violation| violation.verdict);
    let (code, message) = match (wish.members, judgement.verdict) {
        (None, _) => ("Hold".to_owned(), wish.rule.clone()),
        (Some(_), Verdict::Deny | Verdict::Defer) => strongest.map_or_else(
            || ("Refused".to_owned(), String::new()),
            |violation| (violation.kind.clone(), violation.detail.clone()),
        ),
        (Some(_), Verdict::Allow | Verdict::Clamp) if running => {
            ("PlanRunning".to_owned(), "a plan is under way".to_owned())
        }
        (Some(_), Verdict::Allow | Verdict::Clamp) if !goes => strongest.map_or_else(
            || ("AtSize".to_owned(), "the size is as wished".to_owned()),
            |violation| (violation.kind.clone(), violation.detail.clone()),
        ),
        (Some(_), Verdict::Allow | Verdict::Clamp) => match state.spec.mode {
            Mode::Enforce => ("Admitted".to_owned(), wish.rule.clone()),
            Mode::Dryrun if ghost_there => {
                ("DryRun".to_owned(), "already decided; nothing is done in dry run".to_owned())
            }
            Mode::Dryrun => ("DryRun".to_owned(), "it would be done; nothing is done in dry run".to_owned()),
            Mode::Off => ("Off".to_owned(), "the target only observes".to_owned()),
        },
    };
    Reason { code, message }
}

fn new_plan(
    state: &mut State,
    now: &Now,
    snapshot: &Snapshot,
    from: Option<u32>,
    to: Option<u32>,
    module: String,
) -> Option<PlanState> {
    let (from, to) = (from?, to?);
    let shrinks = to < from;
    let victims = plan::victims(snapshot, state.spec.profile, from.saturating_sub(to));
    let waits = shrinks && state.spec.safety.approve_scale_in;
    let id = state.next_id("p");
    Some(PlanState {
        decision: id.clone(),
        id,
        from,
        to,
        fingerprint: snapshot.fingerprint.value().cloned()?,
        base_epoch: snapshot.epoch.value().cloned().unwrap_or_default(),
        module,
        members: plan::member_ids(snapshot),
        victims: victims.into_iter().map(|subject| subject.id.unwrap_or(subject.slot)).collect(),
        status: if waits { PlanStatus::AwaitingApproval } else { PlanStatus::Running },
        unit: 0,
        subject: None,
        phase: 0,
        point_of_no_return: false,
        undoing: false,
        why: String::new(),
        started: stamp(now),
        progressed: stamp(now),
    })
}

/// The movement budget has answered: the plan begins, or is dropped and wished again.
pub(super) fn permitted(state: &mut State, now: &Now, granted: bool) {
    let Some(mut plan) = state.pending_plan.take() else { return };
    if !granted {
        state.waiting_for = "the movement budget: other plans are under way".to_owned();
        return;
    }
    let Some(journal) = &mut state.journal else { return };
    plan.progressed = stamp(now);
    journal.plan = Some(plan);
    state.next_look_ms = now.mono_ms;
    advance::note_plan(state, now, None);
}

/// Dry run: what would have been done is remembered, so that waits and budgets go on as if it had been (D9).
fn pretend(state: &mut State, now: &Now, size: Option<u32>, decided: Option<u32>) {
    let (Some(size), Some(decided), Some(journal)) = (size, decided, &mut state.journal) else { return };
    let before = journal.memory.ghost_size.unwrap_or(size);
    if before == decided {
        return;
    }
    journal.memory.ghost_size = Some(decided);
    remember(&mut journal.memory.changes, Changed { from: before, to: decided, at: stamp(now) });
    state.queue([Chore::Store]);
}

/// Remembers a change, the oldest goes.
pub(super) fn remember(changes: &mut Vec<Changed>, change: Changed) {
    changes.push(change);
    let surplus = changes.len().saturating_sub(CHANGES);
    changes.drain(..surplus);
}

/// A wish that points the other way ends the plan at the nearest legal size; silence does not (D6, D8).
fn withdraw(state: &mut State, wish: &Wish) {
    let Some(wished) = wish.members else { return };
    let Some(plan) = state.journal.as_mut().and_then(|journal| journal.plan.as_mut()) else { return };
    let gone = match plan::direction(plan) {
        Some(Direction::In) => wished >= plan.from,
        Some(Direction::Out) => wished <= plan.from,
        None => false,
    };
    let going = matches!(plan.status, PlanStatus::Running | PlanStatus::Held | PlanStatus::AwaitingApproval);
    if gone && going && !plan.undoing {
        advance::give_up(plan, "the wish was withdrawn");
        state.queue([Chore::Store]);
    }
}

/// How long approvals last, in milliseconds.
const APPROVAL_MS: u64 = 3_600_000;

/// Whether a plan that waits for approval has waited too long.
pub(super) fn approval_expired(plan: &PlanState, now: &Now) -> bool {
    plan.status == PlanStatus::AwaitingApproval && since(&plan.started, now) > APPROVAL_MS
}
