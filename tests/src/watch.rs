//! A watcher that judges how an etcd cluster's membership was changed. It shares no code with the product.
//!
//! It has two sources, since each one misses something:
//!
//! * **The members' own logs** ([`history`]). Raft writes a line for every configuration that a member
//!   applies, and one for every leader that it learns of. Of all logs together nothing is missing, however
//!   short it lasted; but only a log tells when something was applied *there*, and a log says nothing about
//!   the world outside its process.
//! * **Polling** every member every 100 ms over gRPC. It sees what a client sees and when; what lasts less
//!   than a poll it does not see, and a member's list comes from that member's memory, so that two lists may
//!   differ for a moment. So polling convicts nobody of a change that it did *not* see. It adds three things:
//!   every configuration that it sees must be in the logs (else the logs are not whole, and the watcher says
//!   so instead of acquitting), whether a removed member's data had been set aside when the next change was
//!   seen, and how far a learner had come before it was a voter.
//!
//! What neither can see: a change that was proposed and never committed; and whether leadership moved in the
//! time between the proposal of a removal and its commit.

pub mod history;

use crate::etcd::{Rig, connect};
use etcd_client::Client;
use history::{Configuration, History, Logs};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// How often every member is asked.
const PERIOD: Duration = Duration::from_millis(100);

/// How long a member may take to answer.
const DEADLINE: Duration = Duration::from_millis(400);

/// The part of the leader's log that a learner must be seen to have applied, in thousandths. etcd itself
/// promotes from 900 on.
const CAUGHT_UP_PERMILLE: u64 = 900;

/// A watcher at work.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
    /// The configuration when it began; what led to it is not judged.
    baseline: Configuration,
}

/// What polling saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Configurations in the order in which they were first seen, each with the folders of set-aside data
    /// that were there right after.
    pub configurations: Vec<(Configuration, BTreeSet<String>)>,
    /// Members that were seen to run as learners, with the best that they reached, in thousandths of what
    /// the leader had.
    pub learners: BTreeMap<u64, u64>,
    /// Polls in which at least one member answered.
    pub polls: u64,
}

/// What the watcher found.
#[derive(Clone, Debug)]
pub struct Findings {
    /// What was done wrong, a line each; none is what a test wants.
    pub violations: Vec<String>,
    /// Every change of membership since the watch began, in order.
    pub changes: Vec<history::Change>,
}

impl Watch {
    /// Begins to watch a cluster that is at rest.
    ///
    /// # Errors
    /// When no member answers.
    pub async fn start(rig: &Rig) -> anyhow::Result<Self> {
        let (endpoints, set_aside) = (rig.endpoints(), rig.home().join("set-aside"));
        Self::over(move || endpoints.clone(), move || folders(&set_aside)).await
    }

    /// Begins to watch members that come and go: `endpoints` tells where they are now, `gone` which of those that
    /// were removed are out of the way with their data (anything that ends in `-` and the member's id).
    ///
    /// # Errors
    /// When no member answers.
    pub async fn over(
        endpoints: impl Fn() -> Vec<String> + Send + 'static,
        gone: impl Fn() -> BTreeSet<String> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let mut poller =
            Poller { endpoints: Box::new(endpoints), clients: BTreeMap::new(), gone: Box::new(gone) };
        let seen = Arc::new(Mutex::new(Seen::default()));
        poller.poll(&seen).await;
        let baseline = seen.lock().unwrap_or_else(PoisonError::into_inner).configurations.first().cloned();
        let Some((baseline, _)) = baseline else { anyhow::bail!("no member answers the watcher") };
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn({
            let (stop, seen) = (stop.clone(), seen.clone());
            async move {
                let mut ticks = tokio::time::interval(PERIOD);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !stop.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    poller.poll(&seen).await;
                }
            }
        });
        Ok(Self { stop, seen, task, baseline })
    }

    /// Ends the watch and judges everything that happened since it began.
    ///
    /// # Errors
    /// When the members' logs cannot be read.
    pub async fn finish(self, rig: &Rig) -> anyhow::Result<Findings> {
        self.finish_with(&rig.logs()?).await
    }

    /// The same with the logs of all members that ever ran, each with a name.
    ///
    /// # Errors
    /// When the watch itself failed.
    pub async fn finish_with(self, logs: &[(String, String)]) -> anyhow::Result<Findings> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(judge(&self.baseline, &Logs::parse(logs), &seen))
    }
}

/// Judges what both sources tell.
#[must_use]
pub fn judge(baseline: &Configuration, logs: &Logs, seen: &Seen) -> Findings {
    let history = History::from(logs, baseline);
    let mut violations = history.violations(logs, &caught_up(seen));
    if !history.has(baseline) {
        violations.push(format!("the logs do not have the configuration {baseline} that was polled first"));
    }
    for (configuration, aside) in &seen.configurations {
        match history.position(configuration) {
            None => violations.push(format!("the logs do not have the configuration {configuration}")),
            Some(position) => violations.extend(not_set_aside(&history, position, aside)),
        }
    }
    Findings { violations, changes: history.changes() }
}

/// The members that polling saw catch up as learners.
fn caught_up(seen: &Seen) -> BTreeSet<u64> {
    seen.learners.iter().filter(|(_, permille)| **permille >= CAUGHT_UP_PERMILLE).map(|(id, _)| *id).collect()
}

/// The next change may come only after the voter that was removed before is gone with its data. A learner
/// may go without ever having had any.
fn not_set_aside(history: &History, position: usize, aside: &BTreeSet<String>) -> Vec<String> {
    let is_aside =
        |id: u64| aside.iter().any(|folder| folder.trim_end_matches('+').ends_with(&format!("-{id:x}")));
    history
        .changes()
        .iter()
        .take(position.saturating_sub(1))
        .filter_map(|change| match change {
            history::Change::Removed { id, voter: true, .. } if !is_aside(*id) => Some(*id),
            history::Change::Removed { .. }
            | history::Change::Added { .. }
            | history::Change::Promoted { .. }
            | history::Change::Several(_) => None,
        })
        .map(|id| format!("the next change came while removed member {id:x} was not set aside yet"))
        .collect()
}

/// Asks all members.
struct Poller {
    endpoints: Box<dyn Fn() -> Vec<String> + Send>,
    clients: BTreeMap<String, Client>,
    gone: Box<dyn Fn() -> BTreeSet<String> + Send>,
}

/// What one member answered.
struct Answer {
    member: u64,
    leader: u64,
    applied: u64,
    configuration: Configuration,
}

impl Poller {
    async fn poll(&mut self, seen: &Mutex<Seen>) {
        let endpoints = (self.endpoints)();
        self.clients.retain(|known, _| endpoints.contains(known));
        for endpoint in endpoints {
            if !self.clients.contains_key(&endpoint)
                && let Ok(client) = connect(std::slice::from_ref(&endpoint)).await
            {
                self.clients.insert(endpoint, client);
            }
        }
        let mut asked = tokio::task::JoinSet::new();
        for client in self.clients.values().cloned() {
            asked.spawn(async move { tokio::time::timeout(DEADLINE, ask(client)).await });
        }
        let mut answers = Vec::new();
        while let Some(answer) = asked.join_next().await {
            if let Ok(Ok(Ok(answer))) = answer {
                answers.push(answer);
            }
        }
        let aside = (self.gone)();
        note(&answers, &aside, &mut seen.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A member's own state, and the membership as it has it in memory.
async fn ask(client: Client) -> anyhow::Result<Answer> {
    let status = client.maintenance_client().status().await?;
    let list = client.cluster_client().member_list().await;
    let mut configuration = Configuration::default();
    // A learner does not give the list.
    for member in list.iter().flat_map(|list| list.members()) {
        let part = if member.is_learner() { &mut configuration.learners } else { &mut configuration.voters };
        part.insert(member.id());
    }
    Ok(Answer {
        member: status.header().map_or(0, etcd_client::ResponseHeader::member_id),
        leader: status.leader(),
        applied: status.raft_applied_index(),
        configuration,
    })
}

fn note(answers: &[Answer], aside: &BTreeSet<String>, seen: &mut Seen) {
    seen.polls += u64::from(!answers.is_empty());
    for answer in answers.iter().filter(|answer| !answer.configuration.voters.is_empty()) {
        if !seen.configurations.iter().any(|(known, _)| *known == answer.configuration) {
            seen.configurations.push((answer.configuration.clone(), aside.clone()));
        }
    }
    let leads = answers.iter().find(|answer| answer.leader == answer.member).map(|answer| answer.applied);
    let is_learner = |id: u64| answers.iter().any(|answer| answer.configuration.learners.contains(&id));
    for learner in answers.iter().filter(|answer| is_learner(answer.member)) {
        let permille = learner.applied.saturating_mul(1000) / leads.unwrap_or(u64::MAX).max(1);
        let best = seen.learners.entry(learner.member).or_default();
        *best = permille.max(*best);
    }
}

fn folders(under: &std::path::Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(under).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
