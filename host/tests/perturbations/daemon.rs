//! The daemon under test: the production machine with the production journal and platform. Its data system is the
//! simulator's, and its log keeps nothing.
#![allow(clippy::unwrap_used, reason = "a test may end here")]

use super::cluster::{Cluster, server};
use plimsoll::actuate::Permit;
use plimsoll::actuate::journal::{Entry, JournalError, KubernetesJournals, Revision};
use plimsoll::kubernetes::Scalable;
use plimsoll::platforms::kube::{ACT_DEADLINE, Kube, KubeConfig};
use plimsoll_core::combine::OnError;
use plimsoll_core::cycle::{Effect, Evaluated, Event, PolicyRef, Spec, State, StoreError, step};
use plimsoll_core::observation::Observation;
use plimsoll_core::pauses::Pauses;
use plimsoll_core::profile::ETCD_ON_ORDINALS;
use plimsoll_wire::Safety;
use plimsoll_wire::journal::{Outcome, Verb};
use plimsoll_wire::proposal::{Answer, Proposal, Reason, Sizes};
use plimsoll_wire::record::Body;
use plimsoll_wire::snapshot::{Behavior, Mode};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const SECOND: u64 = 1_000;
/// How often a decision is due.
pub(crate) const INTERVAL_MS: u64 = 30 * SECOND;
/// The owner's bounds.
pub(crate) const BOUNDS: (u32, u32) = (3, 5);
/// How long a read takes, and how long a write.
const CALL_MS: u64 = 20;
/// How long until a daemon that died is back.
const RESTART_MS: u64 = 3 * SECOND;

pub(crate) struct Daemon {
    cluster: Arc<Mutex<Cluster>>,
    state: State,
    pending: Option<Effect>,
    wake_ms: u64,
    wish: u32,
    journals: KubernetesJournals,
    kube: Kube,
}

fn spec() -> Spec {
    Spec {
        key: "shop/db-main".into(),
        profile: Arc::clone(&ETCD_ON_ORDINALS),
        platform: "kube".to_owned(),
        mode: Mode::Enforce,
        min: BOUNDS.0,
        max: BOUNDS.1,
        behavior: Behavior::default(),
        safety: Safety {
            hold_ms: 5 * SECOND,
            warmup_ms: SECOND,
            leader_stable_ms: SECOND,
            leader_quiet_ms: 2 * SECOND,
            cooldown_in_ms: SECOND,
            cooldown_out_ms: SECOND,
            reverse_ms: SECOND,
            sustain_ms: SECOND,
            fraction_permille: 1_000,
            ..Safety::default()
        },
        policies: vec![PolicyRef {
            name: "load".to_owned(),
            module: "load".to_owned(),
            on_error: OnError::Hold,
            settings: serde_json::Value::Null,
        }],
        held: None,
        pauses: Pauses::default(),
        interval_ms: INTERVAL_MS,
        pace_ms: SECOND,
    }
}

impl Daemon {
    /// One that has just been started: nothing but what is stored is known.
    pub(crate) fn start(cluster: &Arc<Mutex<Cluster>>, wish: u32) -> Self {
        let server = Arc::new(server(cluster));
        let endpoints = BTreeMap::from([
            ("client".to_owned(), "http://{ip}:2379".to_owned()),
            // As the simulated group knows its members.
            ("peer".to_owned(), "http://{pod}.sim:2380".to_owned()),
        ]);
        let config = KubeConfig {
            namespace: "shop".to_owned(),
            workload: "db".to_owned(),
            kind: Scalable::stateful_set(),
            endpoints,
            set_aside: false,
        };
        cluster.lock().unwrap().born();
        Self {
            cluster: cluster.clone(),
            state: State::new(spec()),
            pending: None,
            wake_ms: 0,
            wish,
            journals: KubernetesJournals::new(server.clone()),
            kube: Kube::new(server, config),
        }
    }

    /// One event: the answer that is waited for, else the next tick. A crash on the way ends this life.
    pub(crate) async fn once(&mut self) {
        let event = match self.pending.take() {
            None => {
                let mut cluster = self.cluster.lock().unwrap();
                let next_ms = self.wake_ms.max(cluster.now().mono_ms + 1);
                cluster.advance(next_ms);
                Event::Tick
            }
            Some(effect) => {
                let crash = self.cluster.lock().unwrap().crash();
                let event = tokio::select! {
                    biased;
                    event = self.carry_out(effect) => Some(event),
                    () = crash.notified() => None,
                };
                let Some(event) = event else {
                    self.restart();
                    return;
                };
                event
            }
        };
        self.feed(event);
    }

    fn restart(&mut self) {
        {
            let mut cluster = self.cluster.lock().unwrap();
            let back_ms = cluster.now().mono_ms + RESTART_MS;
            cluster.advance(back_ms);
        }
        *self = Self::start(&self.cluster.clone(), self.wish);
    }

    fn feed(&mut self, event: Event) {
        let now = self.cluster.lock().unwrap().now();
        for effect in step(&mut self.state, &now, event) {
            match effect {
                Effect::Wake { at_ms } => self.wake_ms = at_ms,
                Effect::GivePermit | Effect::Reply { .. } => {}
                Effect::Load { .. }
                | Effect::Observe { .. }
                | Effect::Evaluate { .. }
                | Effect::Store { .. }
                | Effect::Record { .. }
                | Effect::Stamp { .. }
                | Effect::Act { .. }
                | Effect::AskPermit { .. } => self.pending = Some(effect),
            }
        }
    }

    async fn carry_out(&self, effect: Effect) -> Event {
        let key = self.state.spec().key.clone();
        self.pass();
        match effect {
            Effect::Load { request } => {
                let loaded = self.journals.load(&key).await;
                let loaded = loaded.map(|found| found.map(|(journal, revision)| (journal, revision.0)));
                Event::Loaded { request, result: loaded.map_err(|error| error.to_string()) }
            }
            Effect::Observe { request, direct } => {
                Event::Observed { request, observation: Box::new(self.observe(direct).await) }
            }
            Effect::Evaluate { request, asks } => {
                let answers = asks.iter().map(|(policy, _)| says(policy, self.wish)).collect();
                Event::Evaluated { request, answers }
            }
            Effect::Store { request, expected, journal } => {
                let entry = Entry::in_words_of(&journal, &self.state.spec().profile);
                let stored = self.journals.store(&key, expected.map(Revision), entry).await;
                let result = stored.map(|revision| revision.0).map_err(|error| match &error {
                    JournalError::Conflict { .. } => StoreError::Conflict(error.to_string()),
                    JournalError::UnknownFormat { .. }
                    | JournalError::Unreadable { .. }
                    | JournalError::Refused { .. }
                    | JournalError::NotDurable { .. }
                    | JournalError::Unanswered { .. }
                    | JournalError::Held(_)
                    | JournalError::Stopping { .. } => StoreError::Failed(error.to_string()),
                });
                Event::Stored { request, result }
            }
            Effect::Record { request, record, .. } => {
                if let Body::Decision(decision) = &record.body {
                    let reason = format!("{}: {}", decision.reason.code, decision.reason.message);
                    self.cluster.lock().unwrap().decided(reason);
                }
                Event::Recorded { request, result: Ok(String::new()) }
            }
            Effect::Stamp { request, epoch } => {
                Event::Stamped { request, result: self.kube.take_over(epoch).await }
            }
            Effect::Act { request, epoch, intent } => {
                let outcome = match &intent.verb {
                    Verb::Platform(verb) => {
                        let permit = Permit {
                            target: key,
                            plan: intent.plan.clone(),
                            intent: intent.id.clone(),
                            epoch,
                            deadline: ACT_DEADLINE,
                            membership: None,
                        };
                        self.kube.act(&permit, verb).await
                    }
                    Verb::System(_) => {
                        let outcome = self.cluster.lock().unwrap().call(&intent, epoch);
                        died_or(outcome).await
                    }
                };
                Event::Acted { request, outcome }
            }
            Effect::AskPermit { request, .. } => Event::Permitted { request, granted: true },
            Effect::GivePermit | Effect::Reply { .. } | Effect::Wake { .. } => unreachable!("never kept"),
        }
    }

    fn pass(&self) {
        let mut cluster = self.cluster.lock().unwrap();
        let next_ms = cluster.now().mono_ms + CALL_MS;
        cluster.advance(next_ms);
    }

    async fn observe(&self, direct: bool) -> Observation {
        let at = self.cluster.lock().unwrap().now();
        let platform = self.kube.read(true).await;
        let (system, signals) = self.cluster.lock().unwrap().system(direct);
        Observation { at, direct, platform, system, signals }
    }
}

/// A daemon that died hears of no outcome.
async fn died_or(outcome: Option<Outcome>) -> Outcome {
    match outcome {
        Some(outcome) => outcome,
        None => std::future::pending().await,
    }
}

fn says(policy: &PolicyRef, wish: u32) -> Evaluated {
    let reason = Reason { code: "Wish".to_owned(), message: String::new() };
    let proposal = Proposal {
        sizes: Sizes::of_members(wish),
        reason,
        signals: vec!["demand".to_owned()],
        ..Proposal::default()
    };
    Evaluated {
        policy: policy.name.clone(),
        module: "module-1".to_owned(),
        fuel: 1,
        answer: Ok(Answer::Proposal(proposal)),
    }
}
