//! The one event loop. The effects of all targets go out as tasks, and their outcomes come back as events.

pub mod assembly;
mod caught;
mod cluster;
pub mod control;
mod executor;
mod first;
mod orders;
mod policies;
mod report;
mod role;
mod signals;
mod trouble;
mod wakes;

use crate::published::Published;
pub(crate) use cluster::listed;
pub use report::{EVENT_KINDS, Kind as EventKind};

use crate::config::{self, Change, Configuration, DaemonConfig, LogLevel, TargetConfig, TargetKey};
use anyhow::Context;
use caught::caught;
use cluster::Cluster;
use executor::{Executor, Tools};
use plimsoll_core::arbiter::Arbiter;
use plimsoll_core::cycle::{Effect, Event, Role, Spec, State, step};
use plimsoll_wire::snapshot::{Mode, Now};
use report::Reporter;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use trouble::{Announced, Troubles, Turn};
use wakes::Wakes;

/// Events that wait at most; a task that has one more to tell waits.
const EVENTS: usize = 1_024;
/// Commands that wait at most.
const COMMANDS: usize = 16;

/// The machine of a target: what is to be done about an event.
type Step = fn(&mut State, &Now, Event) -> Vec<Effect>;

/// One target in the loop.
struct Target {
    state: State,
    /// What it was built from.
    config: Arc<TargetConfig>,
    executor: Arc<Executor>,
    /// Which assembly of the target this is: answers to an earlier one are dropped.
    generation: u64,
    /// A target whose document is gone stays until its plan has ended.
    leaving: bool,
    frozen: Option<String>,
    /// What was handed to it of what others wrote.
    handed: cluster::Handed,
}

/// The loop and everything in it.
struct Daemon {
    tools: Tools,
    configuration: Configuration,
    targets: BTreeMap<Arc<str>, Target>,
    wakes: Wakes,
    arbiter: Arbiter,
    events: mpsc::Sender<(Arc<str>, u64, Option<Event>)>,
    replies: BTreeMap<u64, oneshot::Sender<Result<String, String>>>,
    commands: u64,
    generations: u64,
    published: Published,
    troubles: Troubles,
    /// The troubles that were logged last.
    shown: Vec<String>,
    /// What was logged of each target's own.
    announced: Announced,
    log_level: LogSetter,
    step: Step,
    /// Where targets come from beside the files.
    cluster: Cluster,
    /// Who leads.
    role: Role,
}

/// Changes from which severity on is logged.
pub type LogSetter = Box<dyn Fn(LogLevel) + Send + Sync>;

/// Runs until a signal ends it; `log_level` is called when the daemon's file says another one.
///
/// # Errors
/// When the daemon's file is wrong or its directories cannot be used. Broken targets are reported and left out.
pub async fn run(file: &Path, log_level: LogSetter) -> anyhow::Result<()> {
    run_with(file, log_level, step).await
}

/// The loop around a machine: [`step`], or one that fails on purpose in a test.
async fn run_with(file: &Path, log_level: LogSetter, step: Step) -> anyhow::Result<()> {
    let mut signals = signals::Signals::listen().context("listening for signals")?;
    let daemon = config::load_daemon(file).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let daemon = Arc::new(daemon);
    let (tools, mut election) = assembly::tools(&daemon).await?;
    let cluster = Cluster::watch(tools.kubernetes.as_ref(), daemon.kubernetes.as_ref()).await;
    let (sender, mut receiver) = mpsc::channel(EVENTS);
    let published = Published::new(tools.library.clone(), tools.counters.clone());
    let mut looping = Daemon {
        tools,
        arbiter: Arbiter::new(budget(&daemon)),
        targets: BTreeMap::new(),
        wakes: Wakes::default(),
        events: sender,
        replies: BTreeMap::new(),
        commands: 0,
        generations: 0,
        published: published.clone(),
        troubles: Troubles::default(),
        shown: Vec::new(),
        announced: Announced::default(),
        log_level,
        step,
        configuration: Configuration::new(daemon.clone()),
        cluster: cluster.clone(),
        role: election.role(),
    };
    let (orders, mut ordered) = mpsc::channel(COMMANDS);
    control::listen(&daemon.control_socket, orders, published.clone())
        .context("opening the control socket")?;
    if let Some(address) = daemon.http {
        crate::api::listen(address, published, &daemon.audit_dir)
            .await
            .context("opening the HTTP listener")?;
    }
    Reporter::start(&looping.tools, &looping.cluster, &looping.published, election.leading());
    let mut watch = config::Watch::new(file, &daemon.targets_dir);
    let mut cluster = cluster;
    looping.stand(&mut election);
    looping.troubles.sources = trouble::sources(&looping.tools.collector);
    looping.read_first(&mut watch).await;
    let mut stop = std::pin::pin!(signals::stopped());
    let mut policies = looping.tools.library.changes();
    tracing::info!(file = %file.display(), targets = looping.targets.len(), "running");
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some((key, generation, outcome)) = receiver.recv() => match outcome {
                Some(event) => looping.deliver(&key, Some(generation), event),
                None => looping.freeze(&key, generation),
            },
            () = looping.wait() => looping.tick(),
            Some(request) = ordered.recv() => looping.order(request),
            () = watch.changed() => { looping.reload(&mut watch).await; }
            () = cluster.changed() => { looping.reload(&mut watch).await; }
            asked = signals.next() => looping.heed(asked, &mut watch).await,
            () = election.changed() => looping.stand(&mut election),
            // It ends with the library, which we hold.
            Ok(()) = policies.changed() => looping.tell(),
        }
    }
    tracing::info!("stopping; whatever is under way is in the journal");
    election.leave().await;
    Ok(())
}

/// How many plans may move data at a time.
fn budget(daemon: &DaemonConfig) -> usize {
    usize::try_from(daemon.concurrent_plans).unwrap_or(1)
}

fn lines(problems: Vec<&config::Problem>) -> Vec<String> {
    problems.into_iter().map(ToString::to_string).collect()
}

impl Daemon {
    /// Until the next target wants to be woken.
    async fn wait(&self) {
        match self.wakes.next() {
            None => std::future::pending().await,
            Some(at_ms) => {
                let now_ms = self.tools.clock.now().mono_ms;
                tokio::time::sleep(Duration::from_millis(at_ms.saturating_sub(now_ms))).await;
            }
        }
    }

    fn tick(&mut self) {
        let now_ms = self.tools.clock.now().mono_ms;
        for key in self.wakes.take(now_ms) {
            self.deliver(&key, None, Event::Tick);
        }
    }

    /// Hands an event to its target's machine and sends out what follows. A machine that panics freezes its
    /// target; the others go on.
    fn deliver(&mut self, key: &Arc<str>, generation: Option<u64>, event: Event) {
        let now = self.tools.clock.now();
        let Some(target) = self.targets.get_mut(key) else { return };
        if generation.is_some_and(|generation| generation != target.generation) || target.frozen.is_some() {
            return;
        }
        let (state, step) = (&mut target.state, self.step);
        let stepped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| step(state, &now, event)));
        match stepped {
            Ok(effects) => {
                for effect in effects {
                    self.send_out(key, effect);
                }
            }
            Err(_) => {
                let generation = target.generation;
                self.freeze(key, generation);
            }
        }
        self.publish(key);
        self.forget(key);
    }

    /// Something of a target failed an assertion: it does nothing more until a restart; the others go on.
    fn freeze(&mut self, key: &Arc<str>, generation: u64) {
        let Some(target) = self.targets.get_mut(key).filter(|target| target.generation == generation) else {
            return;
        };
        tracing::error!(target = %key, "an assertion failed; the target is frozen");
        target.frozen = Some("an assertion failed; restart the daemon and report it".to_owned());
        self.wakes.drop(key);
        self.publish(key);
    }

    fn send_out(&mut self, key: &Arc<str>, effect: Effect) {
        let Some(target) = self.targets.get(key) else { return };
        let generation = target.generation;
        let answer = |event: Event, events: &mpsc::Sender<_>| {
            let (events, key) = (events.clone(), key.clone());
            tokio::spawn(async move { events.send((key, generation, Some(event))).await });
        };
        match effect {
            Effect::Wake { at_ms } => self.wakes.set(key, at_ms),
            Effect::AskPermit { request, resumed } => {
                let granted = self.arbiter.ask(key, resumed);
                answer(Event::Permitted { request, granted }, &self.events);
            }
            Effect::GivePermit => self.arbiter.give(key),
            Effect::Reply { command, result } => {
                if let Some(reply) = self.replies.remove(&command) {
                    // The one that asked may have gone.
                    let _ = reply.send(result);
                }
            }
            effect @ (Effect::Load { .. }
            | Effect::Observe { .. }
            | Effect::Evaluate { .. }
            | Effect::Store { .. }
            | Effect::Record { .. }
            | Effect::Stamp { .. }
            | Effect::Act { .. }) => {
                let (executor, events, key) = (target.executor.clone(), self.events.clone(), key.clone());
                tokio::spawn(async move {
                    let outcome = match caught(executor.carry_out(effect)).await {
                        Some(None) => return,
                        Some(Some(event)) => Some(event),
                        None => None,
                    };
                    // The loop has ended when nobody listens.
                    let _ = events.send((key, generation, outcome)).await;
                });
            }
        }
    }

    fn publish(&mut self, key: &Arc<str>) {
        if let Some(target) = self.targets.get(key) {
            let mut status = target.state.status();
            let now_ms = self.tools.clock.now().mono_ms;
            match self.announced.compare(key, status.trouble.as_deref(), now_ms) {
                Some(Turn::Began(what)) => tracing::error!(target = %key, "in trouble: {what}"),
                Some(Turn::Ended(what)) => tracing::info!(target = %key, "no longer in trouble: {what}"),
                None => {}
            }
            if let Some(why) = &target.frozen {
                status.trouble = Some(why.clone());
            }
            self.published.set(status, target.state.snapshot().cloned());
        }
    }

    /// A target whose document is gone goes when its plan has ended.
    fn forget(&mut self, key: &Arc<str>) {
        let gone = self.targets.get(key).is_some_and(|target| {
            // Without a journal nobody knows whether a plan is under way; and that one has ended is to be kept first.
            // What another daemon leads is its business.
            let followed = matches!(target.state.role(), Role::Follows { .. });
            let ended = target.state.is_at_rest()
                && target.state.journal().is_some_and(|journal| journal.plan.is_none());
            target.leaving && (followed || ended)
        });
        if gone {
            self.targets.remove(key);
            self.wakes.drop(key);
            self.published.remove(key);
            self.announced.forget(key);
            tracing::info!(target = %key, "no longer a target");
        }
    }

    /// Reads everything again. Returns when to do so once more without a change, if that is known.
    async fn reload(&mut self, watch: &mut config::Watch) -> Option<Duration> {
        let (old, cached, now) = (self.configuration.clone(), self.cluster.cached(), self.tools.clock.now());
        let objects = cached.objects();
        let reloaded = tokio::task::spawn_blocking(move || config::reload(&old, &objects, &now)).await;
        let Ok(reloaded) = reloaded else { return None };
        if let Some(wait) = reloaded.look_again {
            watch.look_within(wait);
        }
        let (fixed, refused) = reloaded.problems.iter().partition(|problem| problem.stops_nobody());
        (self.troubles.fixed, self.troubles.files) = (lines(fixed), lines(refused));
        watch.add(&reloaded.configuration.daemon.targets_dir);
        self.take_up(reloaded.configuration, reloaded.changes);
        self.retry();
        self.take_up_objects(&cached, &reloaded.problems);
        self.name_policies();
        self.tell();
        reloaded.look_again
    }

    /// Shows what is wrong, and logs what is news about it.
    fn tell(&mut self) {
        self.troubles.policies = self.policy_troubles();
        let news = self.troubles.news(&self.shown);
        for line in &news.come {
            tracing::error!("{line}");
        }
        for line in &news.gone {
            tracing::info!("no longer wrong: {line}");
        }
        self.shown = self.troubles.lines();
        self.published.set_problems(
            self.shown.clone(),
            self.troubles.refused(),
            self.troubles.unbuilt.clone(),
        );
    }

    /// Tries again what could not be built (a file that was missing may be there now), and ends pauses.
    fn retry(&mut self) {
        let is_mended = |collector| trouble::sources(&collector) != self.troubles.sources;
        if !self.troubles.sources.is_empty() && is_mended(assembly::collector(&self.configuration.daemon)) {
            self.renew_sources();
        }
        let targets = self.configuration.targets.iter();
        let due = targets.filter(|(key, config)| self.is_due(&key.to_string(), config));
        for key in due.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.assemble(&key);
        }
    }

    /// Whether a target is other than its document says now: it could not be built, or a pause has ended.
    fn is_due(&self, name: &str, config: &TargetConfig) -> bool {
        let wall_ms = self.tools.clock.now().wall_ms;
        let is_other = |spec: &Spec| {
            (&spec.held, &spec.pauses) != (&config.pauses.held_at(wall_ms), &config.pauses.at(wall_ms))
        };
        let running = self.targets.get(name).filter(|target| !target.leaving);
        self.troubles.unbuilt.contains_key(name)
            || running.is_some_and(|target| is_other(target.state.spec()))
    }

    /// Takes up what the daemon's own file says now. Platforms and systems come with the targets that use them.
    fn take_up_daemon(&mut self, old: &DaemonConfig) {
        let new = self.configuration.daemon.clone();
        self.arbiter.allow(budget(&new));
        if new.log.level != old.log.level {
            (self.log_level)(new.log.level);
        }
        if new.sources != old.sources {
            self.renew_sources();
        }
    }

    /// Reconnects to the sources, and gives every target an executor that asks them.
    fn renew_sources(&mut self) {
        self.tools.collector = assembly::collector(&self.configuration.daemon);
        self.troubles.sources = trouble::sources(&self.tools.collector);
        for key in self.configuration.targets.keys().cloned().collect::<Vec<_>>() {
            self.assemble(&key);
        }
    }

    fn take_up(&mut self, configuration: Configuration, changes: Vec<Change>) {
        let old = std::mem::replace(&mut self.configuration, configuration);
        for change in changes {
            match change {
                Change::Added(key) | Change::Changed(key) | Change::Withdrawn(key) => self.assemble(&key),
                Change::Removed(key) => self.leave(&key),
                Change::Daemon => self.take_up_daemon(&old.daemon),
                // The troubles say so.
                Change::Kept(_) => {}
            }
        }
    }

    /// Builds a target, or gives a running one its new document and executor.
    fn assemble(&mut self, key: &TargetKey) {
        let Some(config) = self.configuration.targets.get(key).cloned() else { return };
        let name: Arc<str> = Arc::from(key.to_string());
        let (spec, executor) = match self.build(&name, &config) {
            Ok(built) => built,
            Err(error) => {
                let goes_on = if self.targets.contains_key(&name) { "; it goes on as it was" } else { "" };
                self.troubles.unbuilt.insert(name, format!("{error:#}{goes_on}"));
                return;
            }
        };
        self.troubles.unbuilt.remove(&name);
        if let Some(target) = self.targets.get_mut(&name) {
            target.executor = Arc::new(executor);
            target.config = config;
            target.leaving = false;
            self.deliver(&name, None, Event::Configured(Box::new(spec)));
            return;
        }
        self.generations += 1;
        let target = Target {
            state: match &self.role {
                Role::Leads => State::new(spec),
                Role::Follows { leader } => State::following(spec, leader.clone()),
            },
            config,
            executor: Arc::new(executor),
            generation: self.generations,
            leaving: false,
            frozen: None,
            handed: cluster::Handed::default(),
        };
        tracing::info!(target = %name, mode = ?target.config.mode, "a target from now on");
        self.targets.insert(name.clone(), target);
        self.deliver(&name, None, Event::Tick);
    }

    /// A target's spec and executor. A change that leaves platform and system as they are leaves the target where it
    /// is, with everything that its drivers have learnt by watching, and a simulated world in the middle of its day.
    fn build(&self, name: &str, config: &TargetConfig) -> anyhow::Result<(Spec, Executor)> {
        let spec = assembly::spec(config, self.tools.clock.now().wall_ms)?;
        let running =
            self.targets.get(name).filter(|target| assembly::is_same_backend(&target.config, config));
        let backend = match running {
            Some(target) => target.executor.backend(),
            None => Arc::new(assembly::backend(config, &self.configuration.daemon, &self.tools)?),
        };
        let executor = assembly::executor(config, &self.tools, backend, spec.profile.clone());
        Ok((spec, executor))
    }

    /// The document is gone: what can be taken back is taken back, what cannot is finished (D9).
    fn leave(&mut self, key: &TargetKey) {
        let name: Arc<str> = Arc::from(key.to_string());
        self.troubles.unbuilt.remove(&name);
        let Some(target) = self.targets.get_mut(&name) else { return };
        tracing::info!(target = %name, "the document is gone: the target ends when no plan is under way");
        target.leaving = true;
        let mut spec = target.state.spec().clone();
        spec.mode = Mode::Off;
        self.deliver(&name, None, Event::Configured(Box::new(spec)));
    }
}

#[cfg(test)]
mod tests;
