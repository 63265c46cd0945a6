//! One Prometheus, or anything that speaks its API: asks, within bounds, and leaves judging to `judge`.
//!
//! The client crate builds the queries and has the types of the answers. The request around them is our own
//! (`decisions.md` D16): the crate reads bodies without a cap, follows redirects and drops warnings.

mod config;
mod transport;

pub use config::{CollectError, Credentials, MAX_DEADLINE, SourceConfig};

use super::breaker::Breaker;
use super::definition::{Question, SignalDefinition};
use super::judge::{
    Failure, Fault, Parsed, Reply, fault, judge_behind, judge_outcome, not_countable, read_reply,
};
use super::series::{Count, count};
use super::{Moment, SignalsByTarget, TargetKey};
use plimsoll_wire::snapshot::{Now, Signal, SignalState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use transport::Transport;

/// Queries that a source has to work on at the same time, at most; a Prometheus itself works on 20.
const MAX_IN_FLIGHT: usize = 8;
/// Different questions at one time, at most.
const MAX_QUESTIONS: usize = 2_048;
/// An answer younger than this (and than a step) serves other targets that ask the same. Never a target that it
/// has served before: that one wants to know what is new.
const MAX_SHARED_MS: u64 = 5_000;

/// One metric source. Cloning is cheap; clones share connections, answers and breakers.
#[derive(Clone, Debug)]
pub struct Prometheus {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    transport: Transport,
    turns: Semaphore,
    slots: Mutex<BTreeMap<Question, Slot>>,
    /// Opened by whatever concerns the source as a whole.
    source_breaker: Mutex<Breaker>,
    /// Opened by what may be one question's own fault, such as a query that takes too long.
    breakers: Mutex<BTreeMap<Question, Breaker>>,
}

/// Where those who ask the same wait for one another and find the answer.
type Slot = Arc<tokio::sync::Mutex<Option<Recent>>>;
/// What a question came to, for all who asked it.
type Outcome = Arc<Result<Parsed, Fault>>;

#[derive(Debug)]
struct Recent {
    asked_mono_ms: u64,
    served: BTreeSet<TargetKey>,
    outcome: Outcome,
}

impl Prometheus {
    /// Builds the client; nothing is sent yet.
    ///
    /// # Errors
    /// When the URL, the limits or the CA file cannot be used.
    pub fn new(config: SourceConfig) -> Result<Self, CollectError> {
        let shared = Shared {
            transport: Transport::new(config)?,
            turns: Semaphore::new(MAX_IN_FLIGHT),
            slots: Mutex::default(),
            source_breaker: Mutex::default(),
            breakers: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Reads all wanted signals and counts the series behind them, each question once for all targets. The
    /// definitions' `source` is not looked at: they are taken to be meant for this one.
    pub async fn read(&self, wanted: &[(TargetKey, SignalDefinition)], now: &Now) -> SignalsByTarget {
        let moment = Moment::new(now);
        self.shared.forget(moment.mono_ms());
        let mut targets_by_question: BTreeMap<Question, BTreeSet<TargetKey>> = BTreeMap::new();
        let mut counts = Vec::with_capacity(wanted.len());
        for (target, definition) in wanted {
            let counted = count(definition);
            let beside = match &counted {
                Count::Ask(question) => Some(question.clone()),
                Count::Nothing | Count::Unreadable(_) => None,
            };
            for question in beside.into_iter().chain([definition.question()]) {
                targets_by_question.entry(question).or_default().insert(target.clone());
            }
            counts.push(counted);
        }
        let outcomes = self.ask_all(targets_by_question, moment).await;
        let mut signals = SignalsByTarget::new();
        for ((target, definition), counted) in wanted.iter().zip(counts) {
            let signal = judged(definition, &counted, &outcomes, moment.wall_ms());
            signals.entry(target.clone()).or_default().insert(definition.name.clone(), signal);
        }
        signals
    }

    /// Asks all at once. A question without an outcome was ended from outside.
    async fn ask_all(
        &self,
        questions: BTreeMap<Question, BTreeSet<TargetKey>>,
        moment: Moment,
    ) -> BTreeMap<Question, Outcome> {
        let mut asked = JoinSet::new();
        for (question, targets) in questions {
            let shared = self.shared.clone();
            asked.spawn(async move {
                let outcome = shared.ask(&question, targets, moment).await;
                (question, outcome)
            });
        }
        let mut outcomes = BTreeMap::new();
        while let Some(joined) = asked.join_next().await {
            outcomes.extend(joined);
        }
        outcomes
    }
}

/// What a definition's answer says, and what the count of its series adds to that.
fn judged(
    definition: &SignalDefinition,
    counted: &Count,
    outcomes: &BTreeMap<Question, Outcome>,
    now_ms: i64,
) -> Signal {
    const ENDED: &str = "the query was ended before its answer";
    let signal = match outcomes.get(&definition.question()) {
        Some(outcome) => judge_outcome(definition, outcome, now_ms),
        None => fault(SignalState::Unavailable, ENDED),
    };
    match counted {
        Count::Nothing => signal,
        Count::Unreadable(problem) => not_countable(signal, problem),
        Count::Ask(question) => match outcomes.get(question) {
            Some(outcome) => judge_behind(signal, definition, outcome, now_ms),
            None => not_countable(signal, ENDED),
        },
    }
}

impl Shared {
    /// Asks, or takes the answer that somebody else has just got. Waits for its turn for at most one deadline.
    async fn ask(&self, question: &Question, targets: BTreeSet<TargetKey>, moment: Moment) -> Outcome {
        let deadline = self.transport.deadline();
        let busy = || refusal(question, Failure::Busy, format!("waited {} ms", deadline.as_millis()));
        let Some(slot) = self.slot(question) else {
            return refusal(question, Failure::Busy, format!("more than {MAX_QUESTIONS} questions"));
        };
        let waiting = async {
            let recent = slot.lock().await;
            // Measured from when this caller began: what was asked since then is as fresh as it wants, however
            // long the answer took.
            let serves = |recent: &Recent| {
                recent.asked_mono_ms >= moment.mono_ms
                    || (recent.is_young(question, moment.mono_ms) && recent.served.is_disjoint(&targets))
            };
            if recent.as_ref().is_some_and(serves) {
                return (recent, None);
            }
            let turn = self.turns.acquire().await.ok();
            (recent, turn)
        };
        let Ok((mut recent, turn)) = timeout(deadline, waiting).await else { return busy() };
        if let (None, Some(recent)) = (&turn, recent.as_mut()) {
            recent.served.extend(targets);
            return recent.outcome.clone();
        }
        let asked_mono_ms = moment.mono_ms();
        if let Err(wait_ms) = self.admit(question, asked_mono_ms) {
            return refusal(question, Failure::Pausing, format!("next try in {wait_ms} ms"));
        }
        let reply = self.transport.exchange(question, moment.wall_ms()).await;
        self.note(question, &reply, moment.mono_ms());
        let outcome = Arc::new(read_reply(question, &reply));
        *recent = Some(Recent { asked_mono_ms, served: targets, outcome: outcome.clone() });
        outcome
    }

    fn slot(&self, question: &Question) -> Option<Slot> {
        let mut slots = lock(&self.slots);
        if slots.len() >= MAX_QUESTIONS && !slots.contains_key(question) {
            return None;
        }
        Some(slots.entry(question.clone()).or_default().clone())
    }

    /// Drops answers that nobody will be served with any more, and failures of long ago.
    fn forget(&self, now_mono_ms: u64) {
        lock(&self.slots).retain(|question, slot| {
            let is_waited_for = Arc::strong_count(slot) > 1;
            let serves = || {
                slot.try_lock().is_ok_and(|recent| {
                    recent.as_ref().is_some_and(|recent| recent.is_young(question, now_mono_ms))
                })
            };
            is_waited_for || serves()
        });
        lock(&self.breakers).retain(|_, breaker| breaker.is_worth_keeping(now_mono_ms));
    }

    fn admit(&self, question: &Question, now_mono_ms: u64) -> Result<(), u64> {
        let probe_ms = u64::try_from(self.transport.deadline().as_millis()).unwrap_or(u64::MAX);
        if let Some(breaker) = lock(&self.breakers).get_mut(question) {
            breaker.admit(now_mono_ms, probe_ms)?;
        }
        lock(&self.source_breaker).admit(now_mono_ms, probe_ms)
    }

    /// Tells the breakers. A source that gives any HTTP answer is alive; whether it can answer this question is
    /// the question's own matter, so that one target's heavy query does not silence the others.
    fn note(&self, question: &Question, reply: &Reply, now_mono_ms: u64) {
        let (source_is_well, question_is_well) = match reply {
            Reply::Answered(answer) => (true, !matches!(answer.status, 401 | 403 | 408 | 429 | 500..)),
            Reply::Failed { how, .. } => match how {
                Failure::Connect | Failure::NotHttp | Failure::Closed => (false, false),
                Failure::Deadline | Failure::Truncated | Failure::Oversized => (true, false),
                // Nothing was sent.
                Failure::Credentials | Failure::Pausing | Failure::Busy => return,
            },
        };
        let note = |breaker: &mut Breaker, is_well| match is_well {
            true => breaker.succeeded(),
            false => breaker.failed(now_mono_ms),
        };
        note(&mut lock(&self.source_breaker), source_is_well);
        let mut breakers = lock(&self.breakers);
        if question_is_well {
            breakers.remove(question);
        } else if breakers.len() < MAX_QUESTIONS || breakers.contains_key(question) {
            note(breakers.entry(question.clone()).or_default(), false);
        }
    }
}

impl Recent {
    /// Whether this answer is young enough to serve another target that asks the same.
    fn is_young(&self, question: &Question, now_mono_ms: u64) -> bool {
        let shared_ms = match question.step_ms {
            0 => question.lookback_ms / 4,
            step_ms => step_ms.min(question.lookback_ms / 4),
        };
        now_mono_ms.saturating_sub(self.asked_mono_ms) < shared_ms.min(MAX_SHARED_MS)
    }
}

fn refusal(question: &Question, how: Failure, detail: String) -> Outcome {
    Arc::new(read_reply(question, &Reply::Failed { how, detail }))
}

/// A lock whose holder panicked still guards whole values: each is written in one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
