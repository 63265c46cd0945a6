//! Carries out the effects of one target, and turns their outcomes into events. It decides nothing.

use crate::actuate::journal::{Entry, JournalError, JournalStore, Revision};
use crate::actuate::{Membership, Permit};
use crate::audit::AuditLog;
use crate::causes;
use crate::collect::{Collector, SignalDefinition, TakenAway};
use crate::kubernetes::ApiServer;
use crate::leadership::{Leadership, NOT_LEADING};
use crate::machine::Clock;
use crate::metrics::Counters;
use crate::platforms::Platform;
use crate::platforms::exec::SharedLists;
use crate::policy::Library;
use crate::systems::System;
use plimsoll_core::cycle::{Effect, Evaluated, Event, PolicyRef, StoreError};
use plimsoll_core::observation::{Observation, PlatformReport, SystemReport};
use plimsoll_wire::Snapshot;
use plimsoll_wire::journal::{Intent, Outcome, Verb};
use plimsoll_wire::profile::Profile;
use plimsoll_wire::record::{Body, Record};
use plimsoll_wire::snapshot::Signal;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// How long a read of everything may take before it counts as a gap.
const READ_DEADLINE: Duration = Duration::from_secs(60);

/// How many write records at a time: one is at the disk, while the bytes of the other's snapshot are made.
pub(super) const RECORDERS: usize = 2;

/// The tools that all targets share.
#[derive(Clone)]
pub struct Tools {
    /// The machine's clocks.
    pub clock: Clock,
    /// Whether this daemon may act at this moment.
    pub leadership: Leadership,
    /// Whether it leads, to be watched.
    pub leading: watch::Receiver<bool>,
    /// The journals.
    pub journals: Arc<JournalStore>,
    /// The API server, where the daemon's file names one.
    pub kubernetes: Option<Arc<ApiServer>>,
    /// The audit log.
    pub audit: Arc<AuditLog>,
    /// The policies.
    pub library: Arc<Library>,
    /// The sources of signals.
    pub collector: Collector,
    /// What is counted of every record, for metrics.
    pub counters: Arc<Counters>,
    /// Whose turn it is to write a record.
    pub recorders: Arc<Semaphore>,
    /// The lists that targets of one platform have in common.
    pub lists: Arc<SharedLists>,
    /// When members were taken away by ourselves.
    pub taken_away: TakenAway,
}

/// The executor of one target.
pub struct Executor {
    key: Arc<str>,
    tools: Tools,
    backend: Arc<Backend>,
    signals: Vec<SignalDefinition>,
    profile: Arc<Profile>,
}

/// What a target runs on: its platform and its system, each behind its driver.
pub struct Backend {
    platform: Box<dyn Platform>,
    system: Box<dyn System>,
    // The platform's last report: it tells a verb of the system which endpoint to call.
    last: Mutex<PlatformReport>,
    // The members in the system's last direct read: a verb of the platform is checked against them.
    membership: Mutex<Option<Membership>>,
}

impl Backend {
    /// A platform and the system that runs on it.
    #[must_use]
    pub fn new(platform: Box<dyn Platform>, system: Box<dyn System>) -> Self {
        Self { platform, system, last: Mutex::default(), membership: Mutex::default() }
    }
}

impl Executor {
    /// An executor for a target.
    #[must_use]
    pub fn new(
        key: Arc<str>,
        tools: Tools,
        backend: Arc<Backend>,
        signals: Vec<SignalDefinition>,
        profile: Arc<Profile>,
    ) -> Self {
        Self { key, tools, backend, signals, profile }
    }

    /// The target's backend.
    #[must_use]
    pub fn backend(&self) -> Arc<Backend> {
        self.backend.clone()
    }

    /// Carries an effect out. The effects that the loop carries out itself have no event of ours.
    pub async fn carry_out(&self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Load { request } => Some(Event::Loaded { request, result: self.load().await }),
            Effect::Observe { request, direct } => {
                let observation = Box::new(self.observe(direct).await);
                Some(Event::Observed { request, observation })
            }
            Effect::Evaluate { request, asks } => {
                Some(Event::Evaluated { request, answers: self.evaluate(asks).await })
            }
            Effect::Store { request, expected, journal } => {
                let entry = Entry::in_words_of(&journal, &self.profile);
                let stored = self.tools.journals.store(&self.key, expected.map(Revision), entry).await;
                let result = stored.map(|revision| revision.0).map_err(|error| store_error(&error));
                Some(Event::Stored { request, result })
            }
            Effect::Record { request, record, snapshot } => {
                Some(Event::Recorded { request, result: self.record(*record, snapshot).await })
            }
            Effect::Stamp { request, epoch } => {
                Some(Event::Stamped { request, result: self.stamp(epoch).await })
            }
            Effect::Act { request, epoch, intent } => {
                Some(Event::Acted { request, outcome: self.act(epoch, &intent).await })
            }
            Effect::AskPermit { .. } | Effect::GivePermit | Effect::Reply { .. } | Effect::Wake { .. } => {
                None
            }
        }
    }

    async fn load(&self) -> Result<Option<(plimsoll_wire::journal::Journal, u64)>, String> {
        let loaded = self.tools.journals.load(&self.key).await;
        if let Ok(Some((journal, _))) = &loaded {
            self.tools.taken_away.note_journal(&self.key, journal);
        }
        loaded
            .map(|found| found.map(|(journal, revision)| (journal, revision.0)))
            .map_err(|error| causes::on_one_line(&error))
    }

    async fn observe(&self, direct: bool) -> Observation {
        let at = self.tools.clock.now();
        let backend = &*self.backend;
        let members = async {
            let read = async {
                let platform = backend.platform.observe(&self.key, direct).await;
                let system = backend.system.observe(&platform).await;
                (platform, system)
            };
            tokio::time::timeout(READ_DEADLINE, read).await.unwrap_or_default()
        };
        let ((platform, system), asked) = tokio::join!(members, self.signals());
        backend.last.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&platform);
        *backend.membership.lock().unwrap_or_else(PoisonError::into_inner) =
            membership(&system).filter(|_| direct);
        let mut signals = backend.platform.signals();
        signals.extend(asked);
        Observation { at, direct, platform, system, signals }
    }

    async fn signals(&self) -> BTreeMap<String, Signal> {
        let now = self.tools.clock.now();
        let taken_away_ms = self.tools.taken_away.last_ms(&self.key);
        let of_now = |definition: &SignalDefinition| SignalDefinition { taken_away_ms, ..definition.clone() };
        let wanted: Vec<_> =
            self.signals.iter().map(|definition| (self.key.clone(), of_now(definition))).collect();
        let mut read = self.tools.collector.read(&wanted, &now).await;
        read.remove(&self.key).unwrap_or_default()
    }

    /// Policies are asked one after the other: each has its own child, and a cycle has time.
    async fn evaluate(&self, asks: Vec<(PolicyRef, Arc<Snapshot>)>) -> Vec<Evaluated> {
        let mut answers = Vec::with_capacity(asks.len());
        for (policy, snapshot) in asks {
            let evaluation = self.tools.library.evaluate(&policy.module, snapshot).await;
            for line in &evaluation.log {
                tracing::info!(target: "policy", target = %self.key, policy = %policy.name, "{line}");
            }
            let answer = evaluation.result.map_err(|failure| (failure.kind().to_owned(), failure.detail));
            answers.push(Evaluated {
                policy: policy.name,
                module: evaluation.module,
                fuel: evaluation.fuel,
                answer,
            });
        }
        answers
    }

    fn membership(&self) -> Option<Membership> {
        self.backend.membership.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn record(&self, record: Record, snapshot: Option<Arc<Snapshot>>) -> Result<String, String> {
        let audit = self.tools.audit.clone();
        self.tools.counters.count(&record);
        // Records wait for the log here, and not each in a thread that holds its snapshot's bytes.
        let turn = self.tools.recorders.acquire().await;
        let written = tokio::task::spawn_blocking(move || {
            let appended = match (&record.body, snapshot) {
                (Body::Decision(_), Some(snapshot)) => audit.append_decision(record, &snapshot),
                _ => audit.append(&record),
            };
            appended.map(|_| audit.head()).map_err(|error| causes::on_one_line(&error))
        });
        let written = written.await;
        drop(turn);
        written.unwrap_or_else(|error| Err(format!("the writer ended: {error}")))
    }

    /// Stamps our epoch on the workload, so that writes with an older epoch are rejected.
    async fn stamp(&self, epoch: u64) -> Result<(), String> {
        self.backend.platform.stamp(epoch).await
    }

    async fn act(&self, epoch: u64, intent: &Intent) -> Outcome {
        // Checked immediately before: leadership may have been lost since the decision (N6).
        let Some(_out) = self.tools.leadership.begin() else {
            return Outcome::Refused { message: NOT_LEADING.to_owned() };
        };
        tracing::info!(target = %self.key, intent = %intent.id, verb = intent.verb.kind(), "acting");
        let permit = |deadline| Permit {
            target: self.key.clone(),
            plan: intent.plan.clone(),
            intent: intent.id.clone(),
            epoch,
            deadline,
            membership: self.membership(),
        };
        let outcome = self.backend.act(&permit, &intent.verb, &self.tools.leadership).await;
        tracing::info!(target = %self.key, intent = %intent.id, ?outcome, "acted");
        self.note_taken(&intent.verb, &outcome);
        outcome
    }

    /// Notes that a member went, or may have gone: the series that ended with it are not missed.
    fn note_taken(&self, verb: &Verb, outcome: &Outcome) {
        if verb.ends() && !matches!(outcome, Outcome::Refused { .. }) {
            self.tools.taken_away.note(&self.key, self.tools.clock.now().wall_ms);
        }
    }
}

impl Backend {
    async fn act(
        &self,
        permit: &impl Fn(Duration) -> Permit,
        verb: &Verb,
        leadership: &Leadership,
    ) -> Outcome {
        match verb {
            Verb::Platform(verb) => self.platform.act(&permit(self.platform.verb_deadline(verb)), verb).await,
            Verb::System(verb) => {
                let platform = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // Nothing fences a call to the data system: it has to have ended before anybody else may lead.
                let within = leadership.within(self.system.verb_deadline());
                self.system.act(&permit(within), verb, &platform).await
            }
        }
    }
}

/// Who the members are, as far as the system told all of it.
fn membership(system: &SystemReport) -> Option<Membership> {
    let (cluster, members) = (system.fingerprint.value()?, system.members.value()?);
    let members = members.iter().map(|member| member.id.clone()).collect();
    Some(Membership { cluster: cluster.as_str().into(), members })
}

fn store_error(error: &JournalError) -> StoreError {
    match error {
        JournalError::Conflict { .. } => StoreError::Conflict(causes::on_one_line(error)),
        JournalError::UnknownFormat { .. }
        | JournalError::Unreadable { .. }
        | JournalError::NotDurable { .. }
        | JournalError::Unanswered { .. }
        | JournalError::Refused { .. }
        | JournalError::Held(_)
        | JournalError::Stopping { .. } => StoreError::Failed(causes::on_one_line(error)),
    }
}
