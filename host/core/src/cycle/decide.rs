//! A decision: wishes become one, the judge checks it, and what is admitted becomes a plan.

use super::{Action, Evaluated, PolicyRef, SAVE_REST_MS, State, advance, again, ghost, note, rest, stamp};
use crate::change::{Change, Direction};
use crate::combine::{OnError, combine};
use crate::judge::{Judged, judge};
use crate::plan;
use crate::profile;
use crate::reason::{self, Word};
use plimsoll_wire::Safety;
use plimsoll_wire::journal::{PlanState, PlanStatus, WishHeld};
use plimsoll_wire::profile::Profile;
use plimsoll_wire::proposal::{Answer, Reason, Sizes};
use plimsoll_wire::record::{Body, Decision, Judgement, PolicyAnswer, Verdict, Wish, Wisher};
use plimsoll_wire::snapshot::{Mode, Now, Snapshot};
use plimsoll_wire::status::{LastDecision, OutsideWish};
use std::sync::Arc;

/// The word of a policy's failure to stay within what can be wished.
const OUT_OF_RANGE: &str = "OUT_OF_RANGE";

/// What each policy is asked: the snapshot with its own settings and state.
pub(super) fn asks(state: &State) -> Vec<(PolicyRef, Arc<Snapshot>)> {
    let Some(snapshot) = &state.seen.snapshot else { return Vec::new() };
    let kept = state.durable.memory().map(|memory| &memory.policy_state);
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

/// A wish for what cannot change here is a failure of the policy, whatever else it wishes: nothing is done by halves.
fn answer_of(evaluated: &Evaluated, profile: &Profile) -> PolicyAnswer {
    let failure = |code: &str, message: &str| {
        (Sizes::default(), Reason { code: code.to_owned(), message: message.to_owned() }, true)
    };
    let (sizes, reason, failed) = match &evaluated.answer {
        Ok(Answer::Proposal(proposal)) => match profile::fixed(profile, &proposal.sizes) {
            Some(why) => failure(OUT_OF_RANGE, &why),
            None => (proposal.sizes, proposal.reason.clone(), false),
        },
        Ok(Answer::Refusal { refusal }) => (Sizes::default(), refusal.reason.clone(), false),
        Err((kind, detail)) => failure(kind, detail),
    };
    let (from, module) = (Wisher::Policy(evaluated.policy.clone()), evaluated.module.clone());
    PolicyAnswer { from, module, sizes, reason, failed, fuel: evaluated.fuel }
}

/// A wish from outside, as an answer beside those of the policies.
fn outside(wish: &OutsideWish) -> PolicyAnswer {
    let when = if wish.when.is_empty() { String::new() } else { format!(" at {}", wish.when) };
    let message = format!("{} wrote it{when}", wish.who);
    PolicyAnswer {
        from: Wisher::Outside,
        module: String::new(),
        sizes: Sizes::of_members(wish.members),
        reason: Reason { code: "ExternalWish".to_owned(), message },
        failed: false,
        fuel: 0,
    }
}

/// Decides, records, and begins or turns a plan.
pub(super) fn decide(state: &mut State, now: &Now, evaluated: Vec<Evaluated>) {
    let Some(snapshot) = state.seen.snapshot.clone() else { return };
    keep_policy_state(state, &evaluated);
    let of_policies = evaluated.iter().map(|one| {
        let policy = state.spec.policies.iter().find(|policy| policy.name == one.policy);
        (answer_of(one, &state.spec.profile), policy.map(|policy| policy.on_error).unwrap_or_default())
    });
    let from_outside = state.seen.outside.iter().map(|wish| (outside(wish), OnError::default()));
    let answers: Vec<_> = of_policies.chain(from_outside).collect();
    let asked = state.durable.memory().and_then(|memory| memory.asked.as_ref());
    let asked = asked.and_then(|asked| asked.sizes.members);
    let size = plan::counted_size(&snapshot);
    let wish = state.spec.pauses.bound(combine(size, asked, &answers), size);
    hold_wish(state, now, &wish, &snapshot);
    let rests_on = rests_on(&wish, &evaluated);
    let (to, by) = (wish.sizes.members.unwrap_or(0), wish.from.clone());
    let change = Change::Wish { to, by, rests_on };
    let judgement = match wish.sizes.members {
        Some(_) => match judge(&change, &snapshot, state.seen.direct) {
            Judged::Verdict(judgement) => judgement,
            // Only asked for before destruction; nothing is admitted on a verdict that was not given.
            Judged::NeedFacts => Judgement { verdict: Verdict::Defer, ..Judgement::default() },
        },
        None => Judgement::default(),
    };
    if !state.seen.direct && begins(state, now, &snapshot, &judgement) {
        // A cache may be arbitrarily old: what is to begin is judged once more on what is there now.
        state.attempt.unconfirmed = Some(evaluated);
        state.queue.push([Action::Observe { direct: true }]);
        return;
    }
    let answers: Vec<PolicyAnswer> = answers.into_iter().map(|(answer, _)| answer).collect();
    conclude(state, now, &snapshot, answers, wish, judgement);
}

/// Whether a plan would begin.
fn begins(state: &State, now: &Now, snapshot: &Snapshot, judgement: &Judgement) -> bool {
    let rests = state.durable.journal.as_ref().is_some_and(|journal| journal.plan.is_none());
    let size = plan::current_size(snapshot);
    let moves = judgement.sizes.members.is_some() && judgement.sizes.members != size;
    rests
        && moves
        && waits_again(state, now, snapshot, size, judgement.sizes.members).is_none()
        && judgement.verdict <= Verdict::Clamp
        && state.spec.mode == Mode::Enforce
}

/// Why what is admitted does not begin yet: the same plan was given up a while ago.
fn waits_again(
    state: &State,
    now: &Now,
    snapshot: &Snapshot,
    from: Option<u32>,
    to: Option<u32>,
) -> Option<String> {
    let memory = state.durable.memory().filter(|_| state.spec.mode == Mode::Enforce)?;
    again::bars(memory, now, snapshot, from, to)
}

/// The signals that the winning wish rests on; a person's, and one from outside, rests on none of ours.
fn rests_on(wish: &Wish, evaluated: &[Evaluated]) -> Option<Vec<String>> {
    let name = wish.from.policy()?;
    let winner = evaluated.iter().find(|one| one.policy == name);
    match winner.map(|winner| &winner.answer) {
        Some(Ok(Answer::Proposal(proposal))) => Some(proposal.signals.clone()),
        Some(Ok(Answer::Refusal { .. }) | Err(_)) | None => Some(Vec::new()),
    }
}

/// Keeps what each policy wants to be handed back; what a policy left that is no longer asked goes.
fn keep_policy_state(state: &mut State, evaluated: &[Evaluated]) {
    let Some(journal) = &mut state.durable.journal else { return };
    let asked = |name: &String| state.spec.policies.iter().any(|policy| policy.name == *name);
    journal.memory.policy_state.retain(|name, _| asked(name));
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
    let Some(journal) = &mut state.durable.journal else { return };
    let direction = match (wish.sizes.members, plan::counted_size(snapshot)) {
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
    let (size, counted) = (plan::current_size(snapshot), plan::counted_size(snapshot));
    let admitted = judgement.verdict <= Verdict::Clamp && wish.sizes.members.is_some();
    let again = waits_again(state, now, snapshot, size, judgement.sizes.members).filter(|_| admitted);
    let decided = if admitted && again.is_none() { judgement.sizes.members } else { counted };
    let running = state.durable.plan().is_some();
    let goes = admitted && decided != counted && decided.is_some() && !running;
    let reason = match again.filter(|_| !running) {
        Some(why) => hazard(reason::GIVEN_UP.word, &why),
        None => reason(state, &wish, &judgement, goes),
    };
    let module = answers.iter().find(|answer| answer.from == wish.from).map(|answer| answer.module.clone());
    let module = module.unwrap_or_default();
    let mut plan = None;
    if goes && state.spec.mode == Mode::Enforce {
        plan = new_plan(state, now, snapshot, size, decided, module.clone());
    }
    let decision = Decision {
        snapshot: String::new(),
        mode: state.spec.mode,
        sizes: snapshot.sizes.known(),
        ghost: snapshot.history.ghost,
        answers: answers.clone(),
        wish: wish.clone(),
        judgement: judgement.clone(),
        decided: decided.into(),
        plan: plan.as_ref().map(|plan| plan.id.clone()),
        safety: (state.spec.safety != Safety::default()).then(|| state.spec.safety.clone()),
        reason: reason.clone(),
    };
    let record = state.record(now, Body::Decision(Box::new(decision)));
    if let Some(plan) = &mut plan {
        plan.decision = record.decision_id.clone();
    }
    state.last = Some(LastDecision {
        id: record.decision_id.clone(),
        wall_ms: now.wall_ms,
        answers,
        wish: wish.clone(),
        decided: decided.into(),
        reason: reason.code,
        judgement,
    });
    state.queue.push([Action::Record(record, Some(snapshot.clone()))]);
    let reached = !running && reached(state, counted);
    match state.spec.mode {
        Mode::Enforce if goes => {
            state.attempt.pending_plan = plan;
            state.queue.push([Action::Permit { resumed: false }]);
        }
        Mode::Dryrun if goes => ghost::pretend(state, now, size, counted, decided),
        Mode::Off | Mode::Dryrun | Mode::Enforce => {
            if reached || save_is_due(state, now) {
                state.queue.push([Action::Store]);
            }
        }
    }
    if running {
        withdraw(state, &wish, &module);
        advance::advance(state, now, snapshot);
    }
}

/// Whether it is time to write the journal though nothing asks for it.
fn save_is_due(state: &State, now: &Now) -> bool {
    let rest_ms = if state.durable.is_saved() { SAVE_REST_MS } else { 0 };
    now.mono_ms >= state.due.save_ms.saturating_add(rest_ms)
}

/// A person's wish is forgotten once it is reached: from then on the policies are followed again.
fn reached(state: &mut State, counted: Option<u32>) -> bool {
    let Some(journal) = &mut state.durable.journal else { return false };
    journal.memory.asked.take_if(|asked| asked.sizes.members == counted).is_some()
}

/// One word and one sentence for status and metrics: that nothing is wished, that a plan is under way, the cause of a
/// refusal or limit ([`Judgement::cause`]), or what is done.
fn reason(state: &State, wish: &Wish, judgement: &Judgement, goes: bool) -> Reason {
    let told = |why: Word, message: &str| hazard(why.word, message);
    let Some(wished) = wish.sizes.members else { return told(reason::HOLD, &wish.rule) };
    if let Some(plan) = state.durable.plan() {
        let turned = if turns(plan, wished) { "; the wish has turned, and it is given up" } else { "" };
        let message =
            format!("a plan is under way: {} from {} to {}{turned}", plan.id, plan.from(), plan.to());
        return told(reason::UNDER_WAY, &message);
    }
    match (judgement.verdict, judgement.cause()) {
        (Verdict::Deny | Verdict::Defer, None) => told(reason::REFUSED, ""),
        (Verdict::Deny | Verdict::Defer, Some(cause)) => hazard(&cause.kind, &cause.detail),
        (Verdict::Allow | Verdict::Clamp, Some(cause)) if !goes => hazard(&cause.kind, &cause.detail),
        (Verdict::Allow | Verdict::Clamp, None) if !goes => told(reason::AT_SIZE, "the size is as wished"),
        (Verdict::Allow | Verdict::Clamp, _) => match state.spec.mode {
            Mode::Enforce => told(reason::ADMITTED, &wish.rule),
            Mode::Dryrun => told(reason::DRY_RUN, "it would be done; nothing is done in dry run"),
            Mode::Off => told(reason::OFF, "the target only observes"),
        },
    }
}

/// A word of a rule's.
fn hazard(code: &str, message: &str) -> Reason {
    Reason { code: code.to_owned(), message: message.to_owned() }
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
    let victims = plan::victims(snapshot, from.saturating_sub(to));
    let waits = shrinks && state.spec.safety.approve_scale_in;
    let id = state.next_id("p");
    Some(PlanState {
        decision: id.clone(),
        id,
        module,
        victims: plan::victim_ids(&victims),
        status: if waits { PlanStatus::AwaitingApproval } else { PlanStatus::Running },
        started: stamp(now),
        progressed: stamp(now),
        ..plan::begun(snapshot, from, to)?
    })
}

/// The movement budget has answered: the plan begins, or is dropped and wished again. Meanwhile somebody may have
/// paused the target, or taken it out of enforce.
pub(super) fn permitted(state: &mut State, now: &Now, granted: bool) {
    let plan = state.attempt.pending_plan.take();
    let held = state.is_held() || state.spec.mode != Mode::Enforce;
    let Some(journal) = &mut state.durable.journal else { return };
    if journal.plan.is_some() {
        // It was running before a restart.
        return;
    }
    if !granted {
        state.attempt.waiting_for = "the movement budget: other plans are under way".to_owned();
        return;
    }
    let Some(mut plan) = plan.filter(|_| !held) else {
        state.queue.push([Action::GivePermit]);
        return;
    };
    plan.progressed = stamp(now);
    if let Some(snapshot) = &state.seen.snapshot {
        again::began(&mut journal.memory, now, snapshot, &plan);
    }
    journal.plan = Some(plan);
    state.due.look_ms = now.mono_ms;
    note::note_plan(state, now, None);
}

/// Whether a wish points back to where a plan came from, or beyond.
fn turns(plan: &PlanState, wished: u32) -> bool {
    match plan::direction(plan) {
        Some(Direction::In) => wished >= plan.from(),
        Some(Direction::Out) => wished <= plan.from(),
        None => false,
    }
}

/// A wish that points the other way ends the plan at the nearest legal size; silence does not (D6, D8). A plan that
/// waits for approval also ends when another module wishes it than the one that is to be approved (D10).
fn withdraw(state: &mut State, wish: &Wish, module: &str) {
    let Some(wished) = wish.sizes.members else { return };
    let Some(plan) = state.durable.plan_mut() else { return };
    let why = match plan.status {
        PlanStatus::AwaitingApproval if plan.module != module => "another module wishes it now".to_owned(),
        PlanStatus::Running | PlanStatus::Held | PlanStatus::AwaitingApproval if turns(plan, wished) => {
            format!("the wish was withdrawn: {} wishes {wished}", wish.from)
        }
        PlanStatus::AwaitingApproval
        | PlanStatus::Running
        | PlanStatus::Held
        | PlanStatus::Stopping
        | PlanStatus::Done
        | PlanStatus::Aborted => return,
    };
    if !plan.undoing {
        rest::give_up(plan, &why);
        state.queue.push([Action::Store]);
    }
}
