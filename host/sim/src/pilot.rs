//! The production cycle at the helm of a simulated world, in virtual time.
//!
//! The cycle sees only events and the time that they carry. Every effect takes a while; the daemon may be
//! killed between any two of them, and its successor reads what was durable.

mod unguarded;

pub use unguarded::Unguarded;

use crate::sim::Sim;
use plimsoll_core::arbiter::Arbiter;
use plimsoll_core::cycle::{Command, Effect, Evaluated, Event, PolicyRef, Spec, State, StoreError, step};
use plimsoll_core::observation::Observation;
use plimsoll_wire::journal::{Intent, Journal, Outcome, Verb};
use plimsoll_wire::proposal::Answer;
use plimsoll_wire::record::{Body, Record};
use plimsoll_wire::snapshot::{Now, Snapshot};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long a read takes, in milliseconds.
const READ_MS: u64 = 40;
/// How long a durable write takes, in milliseconds.
const WRITE_MS: u64 = 5;
/// How long the policies take, in milliseconds.
const POLICY_MS: u64 = 20;
/// How long until a call that is not answered is given up, in milliseconds.
const DEADLINE_MS: u64 = 5_000;
/// How long until a killed daemon is back, in milliseconds.
const RESTART_MS: u64 = 5_000;

/// A policy as a function: the simulation's stand-in for a module, run natively.
pub type Policy = Box<dyn FnMut(&PolicyRef, &Snapshot) -> Answer + Send>;

/// Asks a policy wherever it runs, failures and fuel included.
pub type Asker = Box<dyn FnMut(&PolicyRef, &Snapshot) -> Evaluated + Send>;

/// Makes a record durable, with the snapshot that a decision rests on, and says what the log's newest hash is.
pub type Recorder = Box<dyn FnMut(&Record, Option<&Snapshot>) -> Result<String, String> + Send>;

/// What becomes of a call between the daemon and the world, besides what the simulation draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It arrives and is answered.
    Through,
    /// It arrives; its answer does not.
    Unanswered,
    /// It does not arrive, and nobody knows.
    Lost,
    /// It is refused on the way.
    Refused,
}

/// Decides what becomes of a call, by its verb.
pub type Line = Box<dyn FnMut(&Verb) -> Passage + Send>;

/// Changes what is observed on its way to the daemon.
pub type Lens = Box<dyn FnMut(&mut Observation) + Send>;

/// A daemon in the simulation.
pub struct Pilot {
    spec: Spec,
    state: State,
    policy: Asker,
    recorder: Option<Recorder>,
    durable: Option<(Journal, u64)>,
    records: Vec<Record>,
    keep_records: bool,
    inbox: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    wake_ms: u64,
    kills: u64,
    arbiter: Arbiter,
    tally: Tally,
    effects: u64,
    kill_before: Option<u64>,
    lens: Option<Lens>,
    line: Option<Line>,
    replies: Vec<(u64, Result<String, String>)>,
    boot: Option<Arc<str>>,
}

/// What the daemon did, in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Decisions that were recorded.
    pub decisions: u64,
    /// Decisions by their reason.
    pub reasons: BTreeMap<String, u64>,
    /// Findings of the judge by their kind.
    pub refusals: BTreeMap<String, u64>,
    /// Plans that ended, by how.
    pub plans: BTreeMap<String, u64>,
    /// Effects that were carried out, by verb.
    pub effects: BTreeMap<String, u64>,
}

impl Pilot {
    /// A daemon that has just been started.
    #[must_use]
    pub fn new(spec: Spec, mut policy: Policy, sim: &Sim) -> Self {
        let native = move |asked: &PolicyRef, snapshot: &Snapshot| {
            let answer = policy(asked, snapshot);
            let (policy, module) = (asked.name.clone(), "native".to_owned());
            Evaluated { policy, module, fuel: 0, answer: Ok(answer) }
        };
        Self::asking(spec, Box::new(native), sim)
    }

    /// A daemon that has just been started and asks its policies through this.
    #[must_use]
    pub fn asking(spec: Spec, policy: Asker, sim: &Sim) -> Self {
        Self {
            state: State::new(spec.clone()),
            spec,
            policy,
            recorder: None,
            durable: None,
            records: Vec::new(),
            keep_records: false,
            inbox: BTreeMap::new(),
            sequence: 0,
            wake_ms: sim.now_ms(),
            kills: 0,
            arbiter: Arbiter::new(1),
            tally: Tally::default(),
            effects: 0,
            kill_before: None,
            lens: None,
            line: None,
            replies: Vec::new(),
            boot: None,
        }
    }

    /// Is killed right before its effect of that number, counted from 0, once.
    #[must_use]
    pub fn killed_before(mut self, effect: u64) -> Self {
        self.kill_before = Some(effect);
        self
    }

    /// Records through this, besides its own figures.
    #[must_use]
    pub fn recording(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Is killed now, whatever it is doing, and back a little later.
    pub fn kill(&mut self, sim: &Sim) {
        self.die(&sim.now());
    }

    /// Sees the world through this.
    pub fn look_through(&mut self, lens: Option<Lens>) {
        self.lens = lens;
    }

    /// Speaks to the world over this.
    pub fn speak_over(&mut self, line: Option<Line>) {
        self.line = line;
    }

    /// The machine that it runs on is restarted: nothing but what is durable remains, and the boot clock is another.
    pub fn reboot(&mut self, sim: &Sim, boot: &str) {
        self.boot = Some(boot.into());
        self.die(&sim.now());
    }

    /// How many effects it has had, the one that was cut off by a kill not counted.
    #[must_use]
    pub fn effects(&self) -> u64 {
        self.effects
    }

    /// What people were answered, by the number of their command.
    pub fn replies(&self) -> &[(u64, Result<String, String>)] {
        &self.replies
    }

    /// Keeps every record, for reading; without it only the figures stay.
    #[must_use]
    pub fn keeping_records(mut self) -> Self {
        self.keep_records = true;
        self
    }

    /// What was recorded.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Takes what was recorded since the last time.
    pub fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    /// The machine.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The journal as it is on disk.
    #[must_use]
    pub fn journal(&self) -> Option<&Journal> {
        self.durable.as_ref().map(|(journal, _)| journal)
    }

    /// How often the daemon was killed.
    #[must_use]
    pub fn kills(&self) -> u64 {
        self.kills
    }

    /// What the daemon did.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// A person says something.
    pub fn say(&mut self, sim: &mut Sim, command: Command) {
        self.feed(sim, Event::Said(command));
    }

    /// The owner changes the document.
    pub fn configure(&mut self, sim: &mut Sim, spec: Spec) {
        self.spec = spec.clone();
        self.feed(sim, Event::Configured(Box::new(spec)));
    }

    /// Lets the daemon work until then.
    pub fn run(&mut self, sim: &mut Sim, until_ms: u64) {
        while let Some(at_ms) = self.next_ms().filter(|at_ms| *at_ms <= until_ms) {
            sim.advance(at_ms);
            let due = self.inbox.first_key_value().is_some_and(|((due_ms, _), _)| *due_ms <= at_ms);
            let event = if due { self.inbox.pop_first().map(|(_, event)| event) } else { None };
            if event.is_none() {
                self.wake_ms = u64::MAX;
            }
            self.feed(sim, event.unwrap_or(Event::Tick));
        }
        sim.advance(until_ms);
    }

    fn next_ms(&self) -> Option<u64> {
        let answer_ms = self.inbox.first_key_value().map(|((due_ms, _), _)| *due_ms);
        let wake_ms = (self.wake_ms != u64::MAX).then_some(self.wake_ms);
        answer_ms.into_iter().chain(wake_ms).min()
    }

    fn feed(&mut self, sim: &mut Sim, event: Event) {
        let mut now = sim.now();
        if let Some(boot) = &self.boot {
            now.boot.clone_from(boot);
        }
        for effect in step(&mut self.state, &now, event) {
            let chosen = self.kill_before.take_if(|effect| *effect == self.effects).is_some();
            if sim.kill_now() || chosen {
                self.die(&now);
                return;
            }
            // To ask to be woken is no effect on anything.
            self.effects += u64::from(!matches!(effect, Effect::Wake { .. }));
            self.carry_out(sim, &now, effect);
        }
    }

    /// Everything that was not durable is gone, and so are all answers that were on their way.
    fn die(&mut self, now: &Now) {
        self.kills += 1;
        self.state = State::new(self.spec.clone());
        self.inbox.clear();
        self.wake_ms = now.mono_ms + RESTART_MS;
    }

    fn answer(&mut self, at_ms: u64, event: Event) {
        self.sequence += 1;
        self.inbox.insert((at_ms, self.sequence), event);
    }

    fn carry_out(&mut self, sim: &mut Sim, now: &Now, effect: Effect) {
        let now_ms = now.mono_ms;
        match effect {
            Effect::Load { request } => {
                let result = Ok(self.durable.clone());
                self.answer(now_ms + WRITE_MS, Event::Loaded { request, result });
            }
            Effect::Observe { request, direct } => {
                let mut observation = Box::new(sim.observe(direct));
                observation.at = now.clone();
                if let Some(lens) = &mut self.lens {
                    lens(&mut observation);
                }
                self.answer(now_ms + READ_MS, Event::Observed { request, observation });
            }
            Effect::Evaluate { request, asks } => {
                let answers = asks.iter().map(|(policy, snapshot)| (self.policy)(policy, snapshot)).collect();
                self.answer(now_ms + POLICY_MS, Event::Evaluated { request, answers });
            }
            Effect::Store { request, expected, journal } => {
                let result = self.store(expected, *journal);
                self.answer(now_ms + WRITE_MS, Event::Stored { request, result });
            }
            Effect::Record { request, record, snapshot } => {
                let result = match &mut self.recorder {
                    Some(recorder) => recorder(&record, snapshot.as_deref()),
                    None => Ok((self.tally.decisions + 1).to_string()),
                };
                self.record(*record);
                self.answer(now_ms + WRITE_MS, Event::Recorded { request, result });
            }
            // There is one pilot only: nobody else writes.
            Effect::Stamp { request, .. } => {
                self.answer(now_ms + WRITE_MS, Event::Stamped { request, result: Ok(()) });
            }
            Effect::Act { request, intent, .. } => {
                *self.tally.effects.entry(intent.verb.kind().to_owned()).or_default() += 1;
                let (outcome, took_ms) = self.act(sim, &intent);
                self.answer(now_ms + took_ms.max(1), Event::Acted { request, outcome });
            }
            Effect::AskPermit { request, resumed } => {
                let granted = self.arbiter.ask(&self.spec.key.clone(), resumed);
                self.answer(now_ms + 1, Event::Permitted { request, granted });
            }
            Effect::GivePermit => self.arbiter.give(&self.spec.key.clone()),
            Effect::Reply { command, result } => self.replies.push((command, result)),
            Effect::Wake { at_ms } => self.wake_ms = at_ms.max(now_ms + 1),
        }
    }

    /// A call on the world, over the line.
    fn act(&mut self, sim: &mut Sim, intent: &Intent) -> (Outcome, u64) {
        let passage = self.line.as_mut().map_or(Passage::Through, |line| line(&intent.verb));
        let unknown = Outcome::Unknown { message: "no answer within the deadline".to_owned() };
        match passage {
            Passage::Lost => return (unknown, DEADLINE_MS),
            Passage::Refused => return (Outcome::Refused { message: "not now".to_owned() }, READ_MS),
            Passage::Through | Passage::Unanswered => {}
        }
        let answer = sim.act(&intent.verb, &format!("plan/{}", intent.plan));
        if passage == Passage::Unanswered { (unknown, DEADLINE_MS) } else { (answer.outcome, answer.took_ms) }
    }

    fn store(&mut self, expected: Option<u64>, journal: Journal) -> Result<u64, StoreError> {
        let found = self.durable.as_ref().map(|(_, revision)| *revision);
        if found != expected {
            return Err(StoreError::Conflict(format!("revision {found:?}, not {expected:?}")));
        }
        let revision = found.unwrap_or(0) + 1;
        self.durable = Some((journal, revision));
        Ok(revision)
    }

    fn record(&mut self, record: Record) {
        match &record.body {
            Body::Decision(decision) => {
                self.tally.decisions += 1;
                *self.tally.reasons.entry(decision.reason.code.clone()).or_default() += 1;
                for violation in &decision.judgement.violations {
                    *self.tally.refusals.entry(violation.kind.clone()).or_default() += 1;
                }
            }
            Body::Plan { plan, judgement, .. } => {
                let word = serde_json::to_value(plan.status).ok();
                let word = word.as_ref().and_then(|value| value.as_str()).unwrap_or("unknown").to_owned();
                *self.tally.plans.entry(word).or_default() += 1;
                for violation in judgement.iter().flat_map(|judgement| &judgement.violations) {
                    *self.tally.refusals.entry(violation.kind.clone()).or_default() += 1;
                }
            }
            Body::Intent { .. } | Body::Epoch { .. } | Body::Command { .. } => {}
            Body::Outcome { outcome, .. } => match outcome {
                Outcome::Applied => {}
                Outcome::Refused { .. } => *self.tally.effects.entry("refused".to_owned()).or_default() += 1,
                Outcome::Unknown { .. } => *self.tally.effects.entry("unknown".to_owned()).or_default() += 1,
            },
            Body::Trouble { what, .. } => *self.tally.reasons.entry(what.clone()).or_default() += 1,
        }
        if self.keep_records {
            self.records.push(record);
        }
    }
}
