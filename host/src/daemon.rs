//! The one event loop: effects of all targets go out as tasks, and what came of them comes back as events.

pub mod assembly;
pub mod control;
mod hands;
mod view;

pub use view::{PolicyView, Published, View};

use crate::config::{self, Change, Configuration, TargetKey};
use anyhow::Context;
use control::{Order, Request};
use hands::{Hands, Tools};
use plimsoll_core::arbiter::Arbiter;
use plimsoll_core::cycle::{Command, Effect, Event, State, step};
use plimsoll_wire::snapshot::Mode;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Events that wait at most; a task that has one more to tell waits.
const EVENTS: usize = 1_024;
/// Commands that wait at most.
const COMMANDS: usize = 16;

/// One target in the loop.
struct Target {
    state: State,
    hands: Arc<Hands>,
    /// Which assembly of the target this is: answers to an earlier one are dropped.
    generation: u64,
    /// A target whose document is gone stays until its plan has ended.
    leaving: bool,
    frozen: Option<String>,
    wake_ms: u64,
}

/// The loop and everything in it.
struct Daemon {
    tools: Tools,
    configuration: Configuration,
    targets: BTreeMap<Arc<str>, Target>,
    arbiter: Arbiter,
    events: mpsc::Sender<(Arc<str>, u64, Event)>,
    replies: BTreeMap<u64, oneshot::Sender<Result<String, String>>>,
    commands: u64,
    generations: u64,
    published: Published,
}

/// Runs until a signal ends it.
///
/// # Errors
/// When the daemon's file is wrong or its directories cannot be used. Broken targets are told and left out.
pub async fn run(file: &Path) -> anyhow::Result<()> {
    let loaded = config::load(file).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    for problem in loaded.problems.iter() {
        tracing::error!("{problem}");
    }
    let daemon = loaded.configuration.daemon.clone();
    let tools = assembly::tools(&daemon).await?;
    let (sender, mut receiver) = mpsc::channel(EVENTS);
    let published = Published::new(tools.library.clone(), tools.counters.clone());
    let mut looping = Daemon {
        tools,
        arbiter: Arbiter::new(usize::try_from(daemon.concurrent_plans).unwrap_or(1)),
        targets: BTreeMap::new(),
        events: sender,
        replies: BTreeMap::new(),
        commands: 0,
        generations: 0,
        published: published.clone(),
        configuration: Configuration { daemon: daemon.clone(), targets: BTreeMap::new() },
    };
    let (orders, mut ordered) = mpsc::channel(COMMANDS);
    control::listen(&daemon.control_socket, orders, published.clone())
        .context("opening the control socket")?;
    if let Some(address) = daemon.http {
        crate::api::listen(address, published, &daemon.audit.dir)
            .await
            .context("opening the HTTP listener")?;
    }
    looping.take_up(loaded.configuration, loaded.changes);
    looping.problems(&loaded.problems);
    let mut watch = config::Watch::new(file, &daemon.targets_dir);
    let mut stop = std::pin::pin!(stopped());
    tracing::info!(file = %file.display(), targets = looping.targets.len(), "running");
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some((key, generation, event)) = receiver.recv() => looping.deliver(&key, Some(generation), event),
            () = looping.wait() => looping.tick(),
            Some(request) = ordered.recv() => looping.order(request),
            () = watch.changed() => looping.reload(&mut watch).await,
        }
    }
    tracing::info!("stopping; whatever is under way is in the journal");
    Ok(())
}

async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

impl Daemon {
    /// Until the next target wants to be woken.
    async fn wait(&self) {
        let next =
            self.targets.values().filter(|target| target.frozen.is_none()).map(|target| target.wake_ms).min();
        match next {
            None => std::future::pending().await,
            Some(at_ms) => {
                let now_ms = self.tools.clock.now().mono_ms;
                tokio::time::sleep(Duration::from_millis(at_ms.saturating_sub(now_ms))).await;
            }
        }
    }

    fn tick(&mut self) {
        let now_ms = self.tools.clock.now().mono_ms;
        let due: Vec<Arc<str>> = self
            .targets
            .iter()
            .filter(|(_, target)| target.wake_ms <= now_ms)
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            if let Some(target) = self.targets.get_mut(&key) {
                target.wake_ms = u64::MAX;
            }
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
        let state = &mut target.state;
        let stepped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| step(state, &now, event)));
        match stepped {
            Ok(effects) => {
                for effect in effects {
                    self.send_out(key, effect);
                }
            }
            Err(_) => {
                tracing::error!(target = %key, "its machine failed an assertion; the target is frozen");
                target.frozen = Some("an assertion failed; restart the daemon and report it".to_owned());
            }
        }
        self.publish(key);
        self.forget(key);
    }

    fn send_out(&mut self, key: &Arc<str>, effect: Effect) {
        let Some(target) = self.targets.get_mut(key) else { return };
        let generation = target.generation;
        let answer = |event: Event, events: &mpsc::Sender<_>| {
            let (events, key) = (events.clone(), key.clone());
            tokio::spawn(async move { events.send((key, generation, event)).await });
        };
        match effect {
            Effect::Wake { at_ms } => target.wake_ms = at_ms,
            Effect::AskPermit { request, resumed } => {
                let granted = self.arbiter.ask(key, resumed);
                answer(Event::Permitted { request, granted }, &self.events);
            }
            Effect::GivePermit => self.arbiter.give(key),
            Effect::Reply { command, result } => {
                if let Some(reply) = self.replies.remove(&command) {
                    // Whoever asked may have gone.
                    let _ = reply.send(result);
                }
            }
            effect @ (Effect::Load { .. }
            | Effect::Observe { .. }
            | Effect::Evaluate { .. }
            | Effect::Store { .. }
            | Effect::Record { .. }
            | Effect::Act { .. }) => {
                let (hands, events, key) = (target.hands.clone(), self.events.clone(), key.clone());
                tokio::spawn(async move {
                    if let Some(event) = hands.carry_out(effect).await {
                        // The loop has ended when nobody listens.
                        let _ = events.send((key, generation, event)).await;
                    }
                });
            }
        }
    }

    fn publish(&mut self, key: &Arc<str>) {
        if let Some(target) = self.targets.get(key) {
            let mut status = target.state.status();
            if let Some(why) = &target.frozen {
                status.trouble = Some(why.clone());
            }
            self.published.set(status, target.state.snapshot().cloned());
        }
    }

    /// A target whose document is gone goes when its plan has ended.
    fn forget(&mut self, key: &Arc<str>) {
        let gone = self.targets.get(key).is_some_and(|target| {
            target.leaving && target.state.journal().is_none_or(|journal| journal.plan.is_none())
        });
        if gone {
            self.targets.remove(key);
            self.published.remove(key);
        }
    }

    fn order(&mut self, request: Request) {
        let keys: Vec<Arc<str>> = match &request.target {
            Some(name) => self.targets.keys().filter(|key| ***key == **name).cloned().collect(),
            None => self.targets.keys().cloned().collect(),
        };
        let Some((last, rest)) = keys.split_last() else {
            let known: Vec<&str> = self.targets.keys().map(|key| &**key).collect();
            let name = request.target.as_deref().unwrap_or("any");
            let _ =
                request.reply.send(Err(format!("there is no target {name}; known: {}", known.join(", "))));
            return;
        };
        for key in rest {
            self.say(key, &request.who, request.order.clone(), None);
        }
        self.say(&last.clone(), &request.who, request.order, Some(request.reply));
    }

    fn say(
        &mut self,
        key: &Arc<str>,
        who: &str,
        order: Order,
        reply: Option<oneshot::Sender<Result<String, String>>>,
    ) {
        self.commands += 1;
        if let Some(reply) = reply {
            self.replies.insert(self.commands, reply);
        }
        let command = Command { id: self.commands, who: who.to_owned(), order };
        self.deliver(key, None, Event::Said(command));
    }

    async fn reload(&mut self, watch: &mut config::Watch) {
        let old = self.configuration.clone();
        let Ok(reloaded) = tokio::task::spawn_blocking(move || config::reload(&old)).await else { return };
        for problem in reloaded.problems.iter() {
            tracing::error!("{problem}");
        }
        self.problems(&reloaded.problems);
        watch.add(&reloaded.configuration.daemon.targets_dir);
        if reloaded.changes.contains(&Change::Daemon) {
            match assembly::collector(&reloaded.configuration.daemon) {
                Ok(collector) => self.tools.collector = collector,
                Err(error) => tracing::error!("{error:#}; the sources stay as they were"),
            }
        }
        self.take_up(reloaded.configuration, reloaded.changes);
    }

    fn problems(&self, problems: &config::Problems) {
        self.published.set_problems(problems.iter().map(ToString::to_string).collect());
    }

    fn take_up(&mut self, configuration: Configuration, changes: Vec<Change>) {
        self.configuration = configuration;
        for change in changes {
            match change {
                Change::Added(key) | Change::Changed(key) | Change::Withdrawn(key) => self.assemble(&key),
                Change::Removed(key) => self.leave(&key),
                Change::Daemon => {
                    for key in self.configuration.targets.keys().cloned().collect::<Vec<_>>() {
                        self.assemble(&key);
                    }
                }
                Change::Kept(key) => tracing::warn!(target = %key, "goes on as it was configured before"),
            }
        }
    }

    /// Builds a target, or gives a running one its new document and hands.
    fn assemble(&mut self, key: &TargetKey) {
        let Some(config) = self.configuration.targets.get(key).cloned() else { return };
        let name: Arc<str> = Arc::from(key.to_string());
        let built = assembly::spec(&config)
            .and_then(|spec| Ok((spec, assembly::hands(&config, &self.configuration.daemon, &self.tools)?)));
        let (spec, hands) = match built {
            Ok(built) => built,
            Err(error) => {
                tracing::error!(target = %name, "{error:#}");
                return;
            }
        };
        if let Some(target) = self.targets.get_mut(&name) {
            target.hands = Arc::new(hands);
            target.leaving = false;
            self.deliver(&name, None, Event::Configured(Box::new(spec)));
            return;
        }
        self.generations += 1;
        let target = Target {
            state: State::new(spec),
            hands: Arc::new(hands),
            generation: self.generations,
            leaving: false,
            frozen: None,
            wake_ms: u64::MAX,
        };
        self.targets.insert(name.clone(), target);
        self.deliver(&name, None, Event::Tick);
    }

    /// The document is gone: what can be taken back is taken back, what cannot is finished (D9).
    fn leave(&mut self, key: &TargetKey) {
        let name: Arc<str> = Arc::from(key.to_string());
        let Some(target) = self.targets.get_mut(&name) else { return };
        target.leaving = true;
        let mut spec = target.state.spec().clone();
        spec.mode = Mode::Off;
        self.deliver(&name, None, Event::Configured(Box::new(spec)));
    }
}
