//! One state machine a target: events in, effects out. Everything slow is an effect with a request number; its
//! answer comes back as an event, and an answer to another request is dropped (`decisions.md` D1, D2).

mod advance;
mod command;
mod decide;
mod view;

pub use command::{Command, Order};

use crate::combine::OnError;
use crate::observation::Observation;
use crate::profile::Profile;
use crate::snapshot::{Context, Tracker};
use plimsoll_wire::fact::{Authority, Fact, Gap, Known};
use plimsoll_wire::journal::{Intent, Journal, Outcome, Stamp};
use plimsoll_wire::proposal::Answer;
use plimsoll_wire::record::{Body, Record};
use plimsoll_wire::snapshot::{Behavior, Change, History, Mode, Now, Snapshot, Target};
use plimsoll_wire::status::LastDecision;
use plimsoll_wire::{FORMAT_VERSION, Safety};
use std::collections::VecDeque;
use std::sync::Arc;

/// What the owner wrote, checked and complete.
#[derive(Clone, Debug)]
pub struct Spec {
    /// `namespace/name`.
    pub key: Arc<str>,
    /// What is true of the system.
    pub profile: &'static Profile,
    /// Where members run, by kind.
    pub platform: String,
    /// Whether decisions are carried out.
    pub mode: Mode,
    /// The owner's least number of members.
    pub min: u32,
    /// The owner's greatest number of members.
    pub max: u32,
    /// How fast policies may go.
    pub behavior: Behavior,
    /// The safety parameters in force.
    pub safety: Safety,
    /// Who is asked.
    pub policies: Vec<PolicyRef>,
    /// The owner's own hold in the document: who and why.
    pub held: Option<String>,
    /// How often a decision is made, in milliseconds.
    pub interval_ms: u64,
    /// How often a running plan is looked at, in milliseconds.
    pub pace_ms: u64,
}

/// A policy of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyRef {
    /// Its name in the document.
    pub name: String,
    /// Its module's name in the policy directory.
    pub module: String,
    /// What happens when it fails.
    pub on_error: OnError,
    /// Its settings.
    pub settings: serde_json::Value,
}

/// What happened.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "an event is handed over once and dropped")]
pub enum Event {
    /// Time has passed.
    Tick,
    /// The journal was read.
    Loaded {
        /// Of which request.
        request: u64,
        /// The journal with its revision, or nothing yet, or why not.
        result: Result<Option<(Journal, u64)>, String>,
    },
    /// The target was read.
    Observed {
        /// Of which request.
        request: u64,
        /// What was read.
        observation: Box<Observation>,
    },
    /// The policies were asked.
    Evaluated {
        /// Of which request.
        request: u64,
        /// What they said.
        answers: Vec<Evaluated>,
    },
    /// The journal was written.
    Stored {
        /// Of which request.
        request: u64,
        /// The new revision, or why not. Nothing is done that was not written.
        result: Result<u64, StoreError>,
    },
    /// The audit log was written.
    Recorded {
        /// Of which request.
        request: u64,
        /// The log's newest hash, or why not. Nothing is done that was not recorded.
        result: Result<String, String>,
    },
    /// An effect on the world was tried.
    Acted {
        /// Of which request.
        request: u64,
        /// What came of it.
        outcome: Outcome,
    },
    /// The movement budget answered.
    Permitted {
        /// Of which request.
        request: u64,
        /// Whether a plan may begin.
        granted: bool,
    },
    /// A person said something.
    Said(Command),
    /// The owner changed the document.
    Configured(Box<Spec>),
}

/// What one policy said.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// Its name in the document.
    pub policy: String,
    /// The digest of the module that answered.
    pub module: String,
    /// Fuel that it used.
    pub fuel: u64,
    /// Its answer, or why there is none: a stable word and a line.
    pub answer: Result<Answer, (String, String)>,
}

/// Why the journal was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Somebody else wrote it.
    Conflict(String),
    /// It could not be made durable.
    Failed(String),
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Read the journal.
    Load {
        /// To be named in the answer.
        request: u64,
    },
    /// Read the target.
    Observe {
        /// To be named in the answer.
        request: u64,
        /// Past every cache.
        direct: bool,
    },
    /// Ask the policies, each with its settings and state.
    Evaluate {
        /// To be named in the answer.
        request: u64,
        /// What they see.
        asks: Vec<(PolicyRef, Arc<Snapshot>)>,
    },
    /// Write the journal where it still has this revision.
    Store {
        /// To be named in the answer.
        request: u64,
        /// The revision that it must have.
        expected: Option<u64>,
        /// What to write.
        journal: Box<Journal>,
    },
    /// Append to the audit log, durably.
    Record {
        /// To be named in the answer.
        request: u64,
        /// What to append.
        record: Box<Record>,
        /// The snapshot that a decision rests on.
        snapshot: Option<Arc<Snapshot>>,
    },
    /// Do something to the world, once.
    Act {
        /// To be named in the answer.
        request: u64,
        /// What was journaled and recorded.
        intent: Box<Intent>,
    },
    /// Ask the movement budget.
    AskPermit {
        /// To be named in the answer.
        request: u64,
        /// Whether the plan was running before a restart.
        resumed: bool,
    },
    /// Give the permit back.
    GivePermit,
    /// Answer a person.
    Reply {
        /// Which command.
        command: u64,
        /// What was done, or why not.
        result: Result<String, String>,
    },
    /// Send a tick then, on the monotonic clock.
    Wake {
        /// Milliseconds since boot.
        at_ms: u64,
    },
}

/// One thing to do, in its place in the queue.
#[derive(Clone, Debug)]
enum Chore {
    Load,
    Observe { direct: bool },
    Evaluate,
    Store,
    Record(Box<Record>, Option<Arc<Snapshot>>),
    Act(Box<Intent>),
    Permit { resumed: bool },
    GivePermit,
}

/// The state of one target's machine.
#[derive(Debug)]
pub struct State {
    spec: Spec,
    journal: Option<Journal>,
    revision: Option<u64>,
    tracker: Tracker,
    snapshot: Option<Arc<Snapshot>>,
    direct: bool,
    chores: VecDeque<Chore>,
    /// The request whose answer is waited for: one at a time.
    waiting: Option<u64>,
    requests: u64,
    next_decision_ms: u64,
    next_look_ms: u64,
    next_save_ms: u64,
    audit_head: String,
    pending_plan: Option<plimsoll_wire::journal::PlanState>,
    last: Option<LastDecision>,
    waiting_for: String,
    refused_at: Option<(u64, String)>,
    applied_at: Option<(u64, plimsoll_wire::journal::Verb)>,
    /// What the policies said, while what they saw is read again past every cache.
    unconfirmed: Option<Vec<Evaluated>>,
    trouble: Option<String>,
    replies: Vec<(u64, String)>,
}

/// How long to wait after our own tools failed, in milliseconds.
const RETRY_MS: u64 = 5_000;
/// How often policy state is saved when nothing else is (`decisions.md` D5), in milliseconds.
const SAVE_MS: u64 = 600_000;

impl State {
    /// A machine that knows nothing yet: it reads its journal first.
    #[must_use]
    pub fn new(spec: Spec) -> Self {
        Self {
            spec,
            journal: None,
            revision: None,
            tracker: Tracker::default(),
            snapshot: None,
            direct: false,
            chores: VecDeque::from([Chore::Load]),
            waiting: None,
            requests: 0,
            next_decision_ms: 0,
            next_look_ms: 0,
            next_save_ms: 0,
            audit_head: String::new(),
            pending_plan: None,
            last: None,
            waiting_for: String::new(),
            refused_at: None,
            applied_at: None,
            unconfirmed: None,
            trouble: None,
            replies: Vec::new(),
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
        self.journal.as_ref()
    }

    /// The newest snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.snapshot.as_ref()
    }

    fn queue(&mut self, chores: impl IntoIterator<Item = Chore>) {
        self.chores.extend(chores);
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
        let (epoch, sequence) = match &mut self.journal {
            Some(journal) => {
                journal.sequence += 1;
                (journal.epoch, journal.sequence)
            }
            None => (0, 0),
        };
        Arc::from(format!("{}-{prefix}{epoch}.{sequence}", self.spec.key.replace('/', "-")))
    }

    /// Takes the answer of the request that is waited for; an answer to another one is dropped.
    fn answered(&mut self, request: u64) -> bool {
        let wanted = self.waiting == Some(request);
        if wanted {
            self.waiting = None;
        }
        wanted
    }

    /// Our own tools failed: drop what was to be done, act on nothing, and begin again from what is durable.
    fn stumble(&mut self, now: &Now, what: &str, detail: &str, effects: &mut Vec<Effect>) {
        self.trouble = Some(format!("{what}: {detail}"));
        self.chores.clear();
        self.pending_plan = None;
        self.unconfirmed = None;
        for (command, _) in self.replies.drain(..) {
            effects.push(Effect::Reply { command, result: Err(format!("{what}: {detail}")) });
        }
        self.chores.push_back(Chore::Load);
        self.next_look_ms = now.mono_ms + RETRY_MS;
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
    match event {
        Event::Tick => {}
        Event::Loaded { request, result } => {
            if state.answered(request) {
                loaded(state, now, result, &mut effects);
            }
        }
        Event::Observed { request, observation } => {
            if state.answered(request) {
                observed(state, now, &observation);
            }
        }
        Event::Evaluated { request, answers } => {
            if state.answered(request) {
                decide::decide(state, now, answers);
            }
        }
        Event::Stored { request, result } => {
            if state.answered(request) {
                stored(state, now, result, &mut effects);
            }
        }
        Event::Recorded { request, result } => {
            if state.answered(request) {
                match result {
                    Ok(head) => state.audit_head = head,
                    Err(detail) => state.stumble(now, "AuditNotWritten", &detail, &mut effects),
                }
            }
        }
        Event::Acted { request, outcome } => {
            if state.answered(request) {
                advance::acted(state, now, outcome);
            }
        }
        Event::Permitted { request, granted } => {
            if state.answered(request) {
                decide::permitted(state, now, granted);
            }
        }
        Event::Said(command) => command::said(state, now, command, &mut effects),
        Event::Configured(spec) => configured(state, now, *spec),
    }
    drive(state, now, &mut effects);
    effects
}

/// Issues the next thing to do, or says when to look again.
fn drive(state: &mut State, now: &Now, effects: &mut Vec<Effect>) {
    if state.waiting.is_some() {
        return;
    }
    let resting = state.journal.is_none() && state.trouble.is_some() && now.mono_ms < state.next_look_ms;
    if state.chores.is_empty() && due(state, now) {
        state.chores.push_back(Chore::Observe { direct: wants_direct(state) });
    }
    let next = if resting { None } else { state.chores.pop_front() };
    let Some(chore) = next else {
        effects.push(Effect::Wake { at_ms: wake(state, now) });
        return;
    };
    if matches!(chore, Chore::GivePermit) {
        // Nobody answers to this one.
        effects.push(Effect::GivePermit);
        drive(state, now, effects);
        return;
    }
    state.requests += 1;
    let request = state.requests;
    effects.push(issue(state, request, chore));
    state.waiting = Some(request);
}

fn due(state: &State, now: &Now) -> bool {
    state.journal.is_some() && now.mono_ms >= wake(state, now)
}

/// While a plan runs, at the plan's pace; else when the next decision is due.
fn wake(state: &State, _now: &Now) -> u64 {
    let planned = state.journal.as_ref().is_some_and(|journal| journal.plan.is_some());
    if planned || state.journal.is_none() {
        state.next_look_ms.min(if planned { state.next_decision_ms } else { u64::MAX })
    } else {
        state.next_decision_ms.max(if state.trouble.is_some() { state.next_look_ms } else { 0 })
    }
}

/// A running plan reads past every cache; a decision that begins none may come from them.
fn wants_direct(state: &State) -> bool {
    state.journal.as_ref().is_some_and(|journal| journal.plan.is_some())
}

fn issue(state: &State, request: u64, chore: Chore) -> Effect {
    match chore {
        Chore::Load => Effect::Load { request },
        Chore::Observe { direct } => Effect::Observe { request, direct },
        Chore::Evaluate => Effect::Evaluate { request, asks: decide::asks(state) },
        Chore::Store => {
            let mut journal = state.journal.clone().unwrap_or_default();
            journal.audit_head.clone_from(&state.audit_head);
            Effect::Store { request, expected: state.revision, journal: Box::new(journal) }
        }
        Chore::Record(record, snapshot) => Effect::Record { request, record, snapshot },
        Chore::Act(intent) => Effect::Act { request, intent },
        Chore::Permit { resumed } => Effect::AskPermit { request, resumed },
        Chore::GivePermit => Effect::GivePermit,
    }
}

/// Takes the target over: the epoch is raised before anything else.
fn loaded(
    state: &mut State,
    now: &Now,
    result: Result<Option<(Journal, u64)>, String>,
    effects: &mut Vec<Effect>,
) {
    let (mut journal, revision) = match result {
        Ok(Some((journal, revision))) => (journal, Some(revision)),
        Ok(None) => (Journal { target: state.spec.key.clone(), ..Journal::default() }, None),
        Err(detail) => {
            state.journal = None;
            state.stumble(now, "JournalNotRead", &detail, effects);
            return;
        }
    };
    if revision.is_some() && journal.format_version != FORMAT_VERSION {
        let detail = format!("format version {}, this daemon knows {FORMAT_VERSION}", journal.format_version);
        state.journal = None;
        state.stumble(now, "JournalFormatUnknown", &detail, effects);
        return;
    }
    journal.format_version = FORMAT_VERSION;
    journal.epoch += 1;
    restamp(&mut journal, now);
    let epoch = journal.epoch;
    let running = journal.plan.is_some();
    state.audit_head.clone_from(&journal.audit_head);
    state.journal = Some(journal);
    state.revision = revision;
    state.trouble = None;
    state.chores.clear();
    let record = state.record(now, Body::Epoch { epoch });
    state.queue([Chore::Store, Chore::Record(record, None)]);
    if running {
        state.queue([Chore::Permit { resumed: true }]);
    }
    state.next_decision_ms = now.mono_ms;
    state.next_look_ms = now.mono_ms;
    state.next_save_ms = now.mono_ms + SAVE_MS;
}

/// Stamps of another boot start again: a wait is made longer by a reboot, never shorter.
fn restamp(journal: &mut Journal, now: &Now) {
    let renew = |old: &mut Stamp| {
        if old.boot != now.boot {
            let wall_ms = old.wall_ms;
            *old = Stamp { wall_ms, ..stamp(now) };
        }
    };
    journal.memory.changes.iter_mut().for_each(|change| renew(&mut change.at));
    if let Some(wish) = &mut journal.memory.wish {
        renew(&mut wish.since);
    }
    if let Some(plan) = &mut journal.plan {
        renew(&mut plan.started);
        renew(&mut plan.progressed);
    }
}

fn stored(state: &mut State, now: &Now, result: Result<u64, StoreError>, effects: &mut Vec<Effect>) {
    match result {
        Ok(revision) => {
            state.revision = Some(revision);
            state.next_save_ms = now.mono_ms + SAVE_MS;
            for (command, text) in state.replies.drain(..) {
                effects.push(Effect::Reply { command, result: Ok(text) });
            }
        }
        Err(StoreError::Conflict(detail)) => {
            state.journal = None;
            state.stumble(now, "JournalConflict", &detail, effects);
        }
        Err(StoreError::Failed(detail)) => {
            state.journal = None;
            state.stumble(now, "JournalNotWritten", &detail, effects);
        }
    }
}

/// A snapshot is made, and either a decision or the next look at the plan follows.
fn observed(state: &mut State, now: &Now, observation: &Observation) {
    let context = context(state, now);
    let snapshot = Arc::new(state.tracker.assemble(observation, now, context));
    state.direct = observation.direct;
    state.snapshot = Some(snapshot.clone());
    if let Some(answers) = state.unconfirmed.take() {
        decide::decide(state, now, answers);
        return;
    }
    if now.mono_ms >= state.next_decision_ms {
        state.next_decision_ms = now.mono_ms + state.spec.interval_ms;
        state.queue([Chore::Evaluate]);
        return;
    }
    advance::advance(state, now, &snapshot);
}

fn context(state: &State, now: &Now) -> Context {
    let spec = &state.spec;
    let memory = state.journal.as_ref().map(|journal| &journal.memory);
    let changes = memory.map_or_else(Vec::new, |memory| {
        memory
            .changes
            .iter()
            .map(|change| Change { from: change.from, to: change.to, age_ms: since(&change.at, now) })
            .collect()
    });
    let wish = memory.and_then(|memory| memory.wish.as_ref());
    // With one policy there is one snapshot: what it sees is what is judged and kept, byte for byte.
    let (settings, kept) = match spec.policies.as_slice() {
        [policy] => {
            let kept = memory.and_then(|memory| memory.policy_state.get(&policy.name));
            (policy.settings.clone(), kept.cloned())
        }
        _ => (serde_json::Value::Null, None),
    };
    let history = History {
        changes,
        wish_held_ms: wish.map_or(0, |wish| since(&wish.since, now)),
        wish_direction: wish.map_or(0, |wish| wish.direction),
        ghost_size: memory.and_then(|memory| memory.ghost_size),
    };
    Context {
        target: Target {
            key: spec.key.clone(),
            system: spec.profile.system.to_owned(),
            platform: spec.platform.clone(),
            mode: spec.mode,
            min: spec.min,
            max: spec.max,
            settings,
            behavior: spec.behavior.clone(),
        },
        safety: spec.safety.clone(),
        owner: owner(state, memory.and_then(|memory| memory.paused.as_ref())),
        history,
        plan: state.journal.as_ref().and_then(|journal| journal.plan.clone()),
        state: kept,
    }
}

/// Who may actuate: a person's pause takes it from us; without a journal that is ours nobody knows.
fn owner(state: &State, paused: Option<&plimsoll_wire::journal::Note>) -> Fact<String> {
    let known = |value: String| {
        Fact::Known(Known {
            value,
            authority: Authority::Consensus,
            age_ms: 0,
            observer: Arc::from("journal"),
            observer_up_ms: u64::MAX,
            epoch: Arc::from(""),
            stable_ms: 0,
            reads: 1,
        })
    };
    if let Some(why) = &state.spec.held {
        return known(format!("a person (in the document: {why})"));
    }
    match (paused, state.revision) {
        (Some(note), _) => known(format!("a person ({}: {})", note.who, note.why)),
        (None, Some(_)) => known("plimsoll".to_owned()),
        (None, None) => Fact::unknown(Gap::NotScraped, "the journal is not ours yet"),
    }
}

/// The owner changed the document. Leaving enforce during a plan is handled where the plan goes on (D9).
fn configured(state: &mut State, now: &Now, spec: Spec) {
    state.spec = spec;
    state.next_decision_ms = now.mono_ms;
}
