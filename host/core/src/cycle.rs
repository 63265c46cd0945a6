//! One state machine a target: events in, effects out. Everything slow is an effect with a request number; its
//! answer comes back as an event, and an answer to another request is dropped (`decisions.md` D1, D2).

mod advance;
mod again;
mod approval;
mod close;
mod command;
mod context;
mod decide;
mod digest;
mod ends;
mod event;
mod ghost;
mod heads;
mod headway;
mod ledger;
mod note;
mod queue;
mod rest;
mod role;
mod spec;
mod takeover;
mod view;
mod written;

pub use command::{Command, Order};
pub use digest::journal_digest;
pub use event::{Effect, Evaluated, Event, StoreError};
pub use role::Role;
pub use spec::{PolicyRef, Spec};
pub use written::Written;

use ledger::Ledger;
use queue::{Action, Queue};

use crate::observation::Observation;
use crate::reason::{self, Word};
use crate::snapshot::Tracker;
use plimsoll_wire::FORMAT_VERSION;
use plimsoll_wire::journal::{Journal, PlanState, Stamp, Verb};
use plimsoll_wire::record::{Body, Record};
use plimsoll_wire::snapshot::{Now, Snapshot};
use plimsoll_wire::status::{LastDecision, OutsideWish};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The state of one target's machine.
#[derive(Clone, Debug)]
pub struct State {
    spec: Spec,
    role: Role,
    durable: Ledger,
    seen: Seen,
    queue: Queue,
    due: Due,
    attempt: Attempt,
    /// The last decision, to be shown.
    last: Option<LastDecision>,
    /// What is wrong with our own tools.
    trouble: Option<String>,
}

/// What was read and heard.
#[derive(Clone, Debug, Default)]
struct Seen {
    tracker: Tracker,
    snapshot: Option<Arc<Snapshot>>,
    /// Whether the snapshot was read past every cache.
    direct: bool,
    /// The wish from outside that stands.
    outside: Option<OutsideWish>,
    /// Written orders by where they stand, once it is known what stands there.
    written: BTreeMap<String, Vec<Written>>,
}

/// When something is to be done again.
#[derive(Clone, Debug, Default)]
struct Due {
    decision_ms: u64,
    look_ms: u64,
    save_ms: u64,
}

/// What is being tried: a decision that is not a plan yet, and a plan's next effect.
#[derive(Clone, Debug, Default)]
struct Attempt {
    /// What the policies said, while what they saw is read again past every cache.
    unconfirmed: Option<Vec<Evaluated>>,
    /// The plan that waits for its permit.
    pending_plan: Option<PlanState>,
    /// For what the plan waits, in words.
    waiting_for: String,
    /// What the world has refused, when, and in which words.
    refused_at: Option<(u64, Verb, String)>,
    applied_at: Option<(u64, Verb)>,
    /// The least that the unit under way ever had left to move.
    least: Option<headway::Least>,
    /// Since when the judge has denied the next step of a plan that can still be taken back.
    denied_since: Option<u64>,
}

/// How long to wait after our own tools failed, in milliseconds.
const RETRY_MS: u64 = 5_000;
/// How often policy state is saved when nothing else is (`decisions.md` D5), in milliseconds.
const SAVE_MS: u64 = 600_000;
/// How much later when nothing is new but the newest record of the audit log and the count of decisions: two requests an
/// hour are what a target at rest costs its store.
const SAVE_REST_MS: u64 = 3_000_000;

impl State {
    /// A machine that knows nothing yet and leads: it reads its journal first.
    #[must_use]
    pub fn new(spec: Spec) -> Self {
        Self {
            spec,
            role: Role::Leads,
            durable: Ledger::default(),
            seen: Seen::default(),
            queue: Queue { actions: VecDeque::from([Action::Load]), ..Queue::default() },
            due: Due::default(),
            attempt: Attempt::default(),
            last: None,
            trouble: None,
        }
    }

    /// What the owner wrote.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The durable state, once it was read.
    #[must_use]
    pub fn journal(&self) -> Option<&Journal> {
        self.durable.journal.as_ref()
    }

    /// The revision that the journal had when this machine read or wrote it last.
    #[must_use]
    pub fn revision(&self) -> Option<u64> {
        self.durable.revision
    }

    /// The newest snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.seen.snapshot.as_ref()
    }

    /// Whether nothing is under way or waits to be done: everything that is known is durable.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.queue.waiting.is_none() && self.queue.actions.is_empty()
    }

    /// Whether a person holds the target, by a command or in the document.
    fn is_held(&self) -> bool {
        let paused = self.durable.memory().is_some_and(|memory| memory.paused.is_some());
        paused || self.spec.held.is_some()
    }

    /// A hold has ended: the time in which nothing was to be done is no time without progress.
    fn go_on(&mut self, now: &Now) {
        if let Some(plan) = self.durable.plan_mut() {
            plan.progressed = stamp(now);
        }
    }

    /// A record of this target, with the next decision id.
    fn record(&mut self, now: &Now, body: Body) -> Box<Record> {
        let id = self.next_id("d");
        Box::new(Record {
            format_version: FORMAT_VERSION,
            decision_id: id,
            target: self.spec.key.clone(),
            now: now.clone(),
            body,
        })
    }

    fn next_id(&mut self, prefix: &str) -> Arc<str> {
        let (epoch, sequence) = self.durable.number();
        Arc::from(format!("{}-{prefix}{epoch}.{sequence}", self.spec.key.replace('/', "-")))
    }

    /// Our own tools failed: drop what was to be done, act on nothing, and begin again from what is durable.
    fn start_over(&mut self, now: &Now, what: Word, detail: &str, effects: &mut Vec<Effect>) {
        self.trouble = Some(format!("{}: {detail}", what.word));
        self.queue.give_up(&format!("{}: {detail}", what.word), effects);
        // Until what is durable was read nobody is obeyed either.
        self.durable.set_aside();
        self.attempt.pending_plan = None;
        self.attempt.unconfirmed = None;
        self.queue.push([Action::Load]);
        self.due.look_ms = now.mono_ms + RETRY_MS;
    }
}

/// A stamp of this moment.
fn stamp(now: &Now) -> Stamp {
    Stamp { boot: now.boot.clone(), mono_ms: now.mono_ms, wall_ms: now.wall_ms }
}

/// Milliseconds since a stamp of this boot; of another boot nobody knows, so the wait starts again (D3).
fn since(stamp: &Stamp, now: &Now) -> u64 {
    if stamp.boot == now.boot { now.mono_ms.saturating_sub(stamp.mono_ms) } else { 0 }
}

/// The machine's one function: what happened, and what is to be done about it.
#[must_use]
pub fn step(state: &mut State, now: &Now, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    if role::is_left_out(state, &event) {
        drive(state, now, &mut effects);
        return effects;
    }
    match event {
        Event::Tick => {}
        Event::Loaded { request, result } => {
            if state.queue.answered(request) {
                takeover::loaded(state, now, result, &mut effects);
                written::obey(state, now);
            }
        }
        Event::Observed { request, observation } => {
            if state.queue.answered(request) {
                observed(state, now, &observation);
            }
        }
        Event::Evaluated { request, answers } => {
            if state.queue.answered(request) {
                decide::decide(state, now, answers);
            }
        }
        Event::Stored { request, result } => {
            if state.queue.answered(request) {
                stored(state, now, result, &mut effects);
            }
        }
        Event::Recorded { request, result } => {
            if state.queue.answered(request) {
                match result {
                    Ok(head) => state.durable.audit_head = head,
                    Err(detail) => state.start_over(now, reason::AUDIT_NOT_WRITTEN, &detail, &mut effects),
                }
            }
        }
        Event::Stamped { request, result } => {
            if state.queue.answered(request)
                && let Err(detail) = result
            {
                state.start_over(now, reason::NOT_STAMPED, &detail, &mut effects);
            }
        }
        Event::Acted { request, outcome } => {
            if state.queue.answered(request) {
                advance::acted(state, now, outcome);
            }
        }
        Event::Permitted { request, granted } => {
            if state.queue.answered(request) {
                decide::permitted(state, now, granted);
            }
        }
        Event::Said(command) => command::said(state, now, command, &mut effects),
        Event::Role(role) => role::changed(state, now, role, &mut effects),
        Event::Configured(spec) => configured(state, now, *spec),
        Event::Wished(outside) => wished(state, now, outside),
        Event::Written { place, orders } => {
            state.seen.written.insert(place, orders);
            written::obey(state, now);
        }
    }
    drive(state, now, &mut effects);
    effects
}

/// Issues the next thing to do, or says when to look again.
fn drive(state: &mut State, now: &Now, effects: &mut Vec<Effect>) {
    if state.queue.waiting.is_some() || role::is_barred(state) {
        return;
    }
    let resting =
        state.durable.journal.is_none() && state.trouble.is_some() && now.mono_ms < state.due.look_ms;
    if state.queue.actions.is_empty() && due(state, now) {
        state.queue.actions.push_back(Action::Observe { direct: wants_direct(state) });
    }
    let next = if resting { None } else { state.queue.actions.pop_front() };
    let Some(action) = next else {
        effects.push(Effect::Wake { at_ms: wake(state, now) });
        return;
    };
    let request = state.queue.begin(&action);
    effects.push(issue(state, request, action));
    drive(state, now, effects);
}

fn due(state: &State, now: &Now) -> bool {
    (state.durable.journal.is_some() || state.leader().is_some()) && now.mono_ms >= wake(state, now)
}

/// While a plan runs, at the plan's pace; else when the next decision is due.
fn wake(state: &State, _now: &Now) -> u64 {
    let planned = state.durable.plan().is_some();
    if planned || state.durable.journal.is_none() {
        state.due.look_ms.min(if planned { state.due.decision_ms } else { u64::MAX })
    } else {
        state.due.decision_ms.max(if state.trouble.is_some() { state.due.look_ms } else { 0 })
    }
}

/// A running plan reads past every cache; a decision that begins none may come from them.
fn wants_direct(state: &State) -> bool {
    state.durable.plan().is_some()
}

fn issue(state: &mut State, request: u64, action: Action) -> Effect {
    match action {
        Action::Load => Effect::Load { request },
        Action::Observe { direct } => Effect::Observe { request, direct },
        Action::Evaluate => Effect::Evaluate { request, asks: decide::asks(state) },
        Action::Store => {
            let expected = state.durable.revision;
            Effect::Store { request, expected, journal: Box::new(state.durable.for_store()) }
        }
        Action::Record(record, snapshot) => Effect::Record { request, record, snapshot },
        Action::Stamp => Effect::Stamp { request, epoch: state.durable.epoch() },
        Action::Act(intent) => Effect::Act { request, epoch: state.durable.epoch(), intent },
        Action::Permit { resumed } => Effect::AskPermit { request, resumed },
        Action::GivePermit => Effect::GivePermit,
        Action::Reply(command, text) => Effect::Reply { command, result: Ok(text) },
    }
}

fn stored(state: &mut State, now: &Now, result: Result<u64, StoreError>, effects: &mut Vec<Effect>) {
    match result {
        Ok(revision) => {
            state.durable.revision = Some(revision);
            state.due.save_ms = now.mono_ms + SAVE_MS;
        }
        Err(StoreError::Conflict(detail)) => {
            state.start_over(now, reason::JOURNAL_CONFLICT, &detail, effects)
        }
        Err(StoreError::Failed(detail)) => {
            state.start_over(now, reason::JOURNAL_NOT_WRITTEN, &detail, effects)
        }
    }
}

/// A snapshot is made, and either a decision or the next look at the plan follows.
fn observed(state: &mut State, now: &Now, observation: &Observation) {
    let context = context::context(state, now);
    let mut snapshot = state.seen.tracker.assemble(observation, now, context);
    ghost::forget(state, &mut snapshot);
    let snapshot = Arc::new(snapshot);
    // Journal, log and world were all read or written since: whatever was wrong is over.
    state.trouble = None;
    state.durable.forget_stale();
    state.seen.direct = observation.direct;
    state.seen.snapshot = Some(snapshot.clone());
    if state.leader().is_some() {
        state.due.look_ms = now.mono_ms + state.spec.interval_ms;
        return;
    }
    if let Some(answers) = state.attempt.unconfirmed.take() {
        decide::decide(state, now, answers);
        return;
    }
    if now.mono_ms >= state.due.decision_ms {
        state.due.decision_ms = now.mono_ms + state.spec.interval_ms;
        state.queue.push([Action::Evaluate]);
        return;
    }
    advance::advance(state, now, &snapshot);
}

/// Somebody outside wishes for another size, or takes the wish away: that is looked at at once.
fn wished(state: &mut State, now: &Now, outside: Option<OutsideWish>) {
    if state.seen.outside != outside {
        state.seen.outside = outside;
        state.due.decision_ms = now.mono_ms;
    }
}

/// The owner changed the document. What is being read or asked, or was decided and not begun, belongs to the old one
/// and is dropped. Leaving enforce during a plan is handled where the plan goes on (D9).
fn configured(state: &mut State, now: &Now, spec: Spec) {
    if (&state.spec.held, &state.spec.pauses) != (&spec.held, &spec.pauses) {
        state.go_on(now);
    }
    state.spec = spec;
    state.queue.drop_reads();
    state.attempt.unconfirmed = None;
    state.attempt.pending_plan = None;
    state.due.decision_ms = now.mono_ms;
    if state.leader().is_some() {
        state.due.look_ms = now.mono_ms;
    }
}
