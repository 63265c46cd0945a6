//! One target's machine at a desk: a simulated group as its world, and every effect carried out, broken or kept back
//! as the test wants it. Nothing runs beside it, so that a test says exactly what happened when.

use plimsoll_core::arbiter::Arbiter;
use plimsoll_core::combine::OnError;
use plimsoll_core::cycle::{
    Command, Effect, Evaluated, Event, Order, PolicyRef, Spec, State, StoreError, step,
};
use plimsoll_core::observation::Observation;
use plimsoll_core::profile;
use plimsoll_sim::faults::FaultSetup;
use plimsoll_sim::load::{Load, Shape};
use plimsoll_sim::platform::PlatformSetup;
use plimsoll_sim::quorum::QuorumSetup;
use plimsoll_sim::sharded::ShardedSetup;
use plimsoll_sim::shards::ShardsSetup;
use plimsoll_sim::sim::{Setup, Sim, WorldSetup};
use plimsoll_wire::Safety;
use plimsoll_wire::journal::{Intent, Journal, PlanState, PlanStatus, Verb};
use plimsoll_wire::profile::{Profile, Topic};
use plimsoll_wire::proposal::{Answer, Proposal, Reason, Refusal, Sizes};
use plimsoll_wire::record::{Body, Decision, Record};
use plimsoll_wire::snapshot::{Behavior, Mode, Now};
use plimsoll_wire::status::Status;
use std::sync::Arc;

pub(crate) const SECOND: u64 = 1_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;

/// How long an answer takes.
const ANSWER_MS: u64 = 10;
/// How long anything may take before a test gives up.
const PATIENCE_MS: u64 = 4 * HOUR;

pub(crate) type Lens = Box<dyn FnMut(&mut Observation)>;

pub(crate) struct Desk {
    pub(crate) sim: Sim,
    pub(crate) state: State,
    /// What is on disk, with its revision.
    pub(crate) durable: Option<(Journal, u64)>,
    pub(crate) log: Vec<Record>,
    /// What was done to the world, in order.
    pub(crate) done: Vec<Intent>,
    /// What the policy wishes; none for its own refusal.
    pub(crate) wished: Option<u32>,
    /// What the policy wishes besides, in other dimensions.
    pub(crate) besides: Sizes,
    /// The digest of the policy's module.
    pub(crate) module: &'static str,
    /// What the policy wants to be handed back.
    pub(crate) kept: Option<String>,
    /// What the next writes of the journal meet.
    pub(crate) store_fails: Option<StoreError>,
    /// Whether the audit log cannot be written.
    pub(crate) audit_fails: bool,
    /// Why the epoch cannot be put on the world.
    pub(crate) stamp_fails: Option<String>,
    /// The epochs that were put on the world.
    pub(crate) stamped: Vec<u64>,
    pub(crate) lens: Option<Lens>,
    pub(crate) replies: Vec<(u64, Result<String, String>)>,
    pub(crate) loads: usize,
    pub(crate) stores: usize,
    /// The one effect whose answer is waited for.
    pub(crate) pending: Option<Effect>,
    pub(crate) arbiter: Arbiter,
    commands: u64,
    wake_ms: u64,
    boot: (Arc<str>, u64),
}

/// Hardly any waits, so that what is waited for is what the test is about.
pub(crate) fn hasty() -> Safety {
    Safety {
        hold_ms: 10 * SECOND,
        warmup_ms: SECOND,
        leader_stable_ms: SECOND,
        leader_quiet_ms: 5 * SECOND,
        cooldown_in_ms: SECOND,
        cooldown_out_ms: SECOND,
        reverse_ms: SECOND,
        sustain_ms: SECOND,
        fraction_permille: 1_000,
        ..Safety::default()
    }
}

pub(crate) fn spec(profile: &Arc<Profile>, safety: Safety) -> Spec {
    Spec {
        key: "default/db".into(),
        profile: profile.clone(),
        platform: "sim".to_owned(),
        mode: Mode::Enforce,
        min: 1,
        max: 7,
        behavior: Behavior::default(),
        safety,
        policies: vec![PolicyRef {
            name: "load".to_owned(),
            module: "load".to_owned(),
            on_error: OnError::Hold,
            settings: serde_json::Value::Null,
        }],
        held: None,
        pauses: plimsoll_core::pauses::Pauses::default(),
        interval_ms: 30 * SECOND,
        pace_ms: SECOND,
    }
}

fn world(profile: &Profile, running: usize) -> WorldSetup {
    let platform = PlatformSetup { running, slots: 9, ..PlatformSetup::default() };
    if profile.members_vote {
        let setup = QuorumSetup { platform, data_bytes: 500_000_000, ..QuorumSetup::default() };
        return WorldSetup::Quorum(setup);
    }
    if !profile.lacks(Topic::Shards) {
        let setup = ShardsSetup { platform, slots: 48, slot_bytes: 300_000_000, ..ShardsSetup::default() };
        return WorldSetup::Shards(setup);
    }
    WorldSetup::Sharded(ShardedSetup {
        platform,
        shards: 6,
        together: usize::try_from(profile.together.join.max(profile.together.drain) * profile.unit).unwrap(),
        shard_bytes: 500_000_000,
        ..ShardedSetup::default()
    })
}

impl Desk {
    /// A healthy group of so many members, up for a day, and a policy that wishes for what there is.
    pub(crate) fn new(members: u32, spec: Spec) -> Self {
        let world = world(&spec.profile, usize::try_from(members).unwrap());
        Self::within(world, members, spec)
    }

    /// The same in a world of the test's own.
    pub(crate) fn within(world: WorldSetup, members: u32, spec: Spec) -> Self {
        let sim = Sim::new(Setup {
            seed: 11,
            world,
            load: Load::new(Shape::Constant(600)),
            faults: FaultSetup::None,
            sample_ms: 15 * SECOND,
            window_ms: MINUTE,
        });
        let wake_ms = sim.now_ms();
        Self {
            sim,
            state: State::new(spec),
            durable: None,
            log: Vec::new(),
            done: Vec::new(),
            wished: Some(members),
            besides: Sizes::default(),
            module: "module-1",
            kept: None,
            store_fails: None,
            audit_fails: false,
            stamp_fails: None,
            stamped: Vec::new(),
            lens: None,
            replies: Vec::new(),
            loads: 0,
            stores: 0,
            pending: None,
            arbiter: Arbiter::new(1),
            commands: 0,
            wake_ms,
            boot: ("sim".into(), 0),
        }
    }

    /// An etcd-like group, with hardly any waits.
    pub(crate) fn quorum(members: u32) -> Self {
        Self::new(members, spec(&profile::SIM_QUORUM, hasty()))
    }

    /// A sharded store, with hardly any waits.
    pub(crate) fn sharded(members: u32) -> Self {
        Self::new(members, spec(&profile::SIM_SHARDED, hasty()))
    }

    /// A cluster of shards, with hardly any waits.
    pub(crate) fn shards(members: u32) -> Self {
        Self::new(members, Spec { max: 9, ..spec(&profile::SIM_SHARDS, hasty()) })
    }

    pub(crate) fn now(&self) -> Now {
        let (boot, since_ms) = self.boot.clone();
        Now { boot, mono_ms: self.sim.now_ms() - since_ms, ..self.sim.now() }
    }

    /// Hands an event over. Effects that nobody answers are carried out, the other one is kept.
    pub(crate) fn feed(&mut self, event: Event) {
        let now = self.now();
        for effect in step(&mut self.state, &now, event) {
            match effect {
                Effect::Wake { at_ms } => self.wake_ms = at_ms + self.boot.1,
                Effect::Reply { command, result } => self.replies.push((command, result)),
                Effect::GivePermit => self.arbiter.give("default/db"),
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

    /// Carries an effect out, or fails at it. The world has changed when this returns; the machine does not know yet.
    pub(crate) fn answer(&mut self, effect: Effect) -> Event {
        self.sim.advance(self.sim.now_ms() + ANSWER_MS);
        match effect {
            Effect::Load { request } => {
                self.loads += 1;
                Event::Loaded { request, result: Ok(self.durable.clone()) }
            }
            Effect::Observe { request, direct } => {
                let mut observation = Box::new(self.sim.observe(direct));
                observation.at = self.now();
                if let Some(lens) = &mut self.lens {
                    lens(&mut observation);
                }
                Event::Observed { request, observation }
            }
            Effect::Evaluate { request, asks } => Event::Evaluated {
                request,
                answers: asks.iter().map(|(policy, _)| self.says(policy)).collect(),
            },
            Effect::Store { request, expected, journal } => {
                Event::Stored { request, result: self.store(expected, *journal) }
            }
            Effect::Record { request, record, .. } if self.audit_fails => {
                drop(record);
                Event::Recorded { request, result: Err("no space left on device".to_owned()) }
            }
            Effect::Record { request, record, .. } => {
                self.log.push(*record);
                Event::Recorded { request, result: Ok(self.log.len().to_string()) }
            }
            Effect::Stamp { request, epoch } => {
                if let Some(why) = &self.stamp_fails {
                    return Event::Stamped { request, result: Err(why.clone()) };
                }
                self.stamped.push(epoch);
                Event::Stamped { request, result: Ok(()) }
            }
            Effect::Act { request, intent, .. } => {
                let answer = self.sim.act(&intent.verb, &format!("plan/{}", intent.plan));
                self.done.push(*intent);
                Event::Acted { request, outcome: answer.outcome }
            }
            Effect::AskPermit { request, resumed } => {
                let granted = self.arbiter.ask(&"default/db".into(), resumed);
                Event::Permitted { request, granted }
            }
            Effect::GivePermit | Effect::Reply { .. } | Effect::Wake { .. } => unreachable!("never kept"),
        }
    }

    fn says(&self, policy: &PolicyRef) -> Evaluated {
        let reason = Reason { code: "Wish".to_owned(), message: String::new() };
        let answer = match self.wished {
            Some(members) => Answer::Proposal(Proposal {
                sizes: Sizes { members: Some(members), ..self.besides },
                reason,
                signals: vec!["demand".to_owned()],
                state: self.kept.clone(),
                ..Proposal::default()
            }),
            None => Answer::Refusal { refusal: Refusal { reason } },
        };
        Evaluated { policy: policy.name.clone(), module: self.module.to_owned(), fuel: 1, answer: Ok(answer) }
    }

    fn store(&mut self, expected: Option<u64>, journal: Journal) -> Result<u64, StoreError> {
        self.stores += 1;
        if let Some(error) = &self.store_fails {
            return Err(error.clone());
        }
        let found = self.durable.as_ref().map(|(_, revision)| *revision);
        if found != expected {
            return Err(StoreError::Conflict(format!("revision {found:?}, not {expected:?}")));
        }
        let revision = found.unwrap_or(0) + 1;
        self.durable = Some((journal, revision));
        Ok(revision)
    }

    /// One event: the answer that is waited for, else the next tick.
    pub(crate) fn once(&mut self) {
        let event = match self.pending.take() {
            Some(effect) => self.answer(effect),
            None => {
                // A machine that asks to be woken now must not stop the clock.
                self.sim.advance(self.wake_ms.max(self.sim.now_ms() + 1));
                Event::Tick
            }
        };
        self.feed(event);
    }

    /// Lets it work for so long.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end_ms = self.sim.now_ms() + ms;
        while self.pending.is_some() || self.wake_ms.max(self.sim.now_ms() + 1) <= end_ms {
            if self.sim.now_ms() >= end_ms {
                break;
            }
            self.once();
        }
        self.sim.advance(end_ms);
    }

    /// Lets it work until something is so.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end_ms = self.sim.now_ms() + PATIENCE_MS;
        while !is_so(self) {
            let status = self.status();
            assert!(
                self.sim.now_ms() < end_ms,
                "never: {what}; waiting for {:?}, trouble {:?}, plan {:?}, last {:?}",
                status.waiting_for,
                status.trouble,
                status.plan,
                status.last_decision,
            );
            self.once();
        }
    }

    /// Lets it work until it is about to do this to the world: the effect is there and not carried out.
    pub(crate) fn until_about_to(&mut self, kind: &str) {
        self.until(
            kind,
            |desk| matches!(&desk.pending, Some(Effect::Act { intent, .. }) if intent.verb.kind() == kind),
        );
    }

    /// Lets it work until a plan is there, in this status.
    pub(crate) fn until_plan(&mut self, status: PlanStatus) {
        self.until(&format!("a plan that is {status:?}"), |desk| {
            desk.plan().is_some_and(|plan| plan.status == status)
        });
    }

    /// Lets it work until a plan has ended.
    pub(crate) fn until_ended(&mut self) -> (PlanStatus, u32, String) {
        let ended = self.journal().history.len();
        self.until("the end of the plan", |desk| desk.journal().history.len() > ended);
        let last = self.journal().history.last().unwrap();
        (last.status, last.ended_at.members.unwrap(), last.why.clone())
    }

    /// A person says something, and is answered.
    pub(crate) fn say(&mut self, order: Order) -> Result<String, String> {
        self.commands += 1;
        let id = self.commands;
        self.feed(Event::Said(Command { id, who: "ann".to_owned(), order }));
        self.until("a reply", |desk| desk.replies.iter().any(|(command, _)| *command == id));
        self.replies.iter().find(|(command, _)| *command == id).unwrap().1.clone()
    }

    pub(crate) fn scale(&mut self, members: u32) -> Result<String, String> {
        self.say(Order::Scale { members: Some(members) })
    }

    /// The owner changes the document.
    pub(crate) fn configure(&mut self, change: impl FnOnce(&mut Spec)) {
        let mut spec = self.state.spec().clone();
        change(&mut spec);
        self.feed(Event::Configured(Box::new(spec)));
    }

    /// The daemon is killed and started again; with another boot, so is its machine.
    pub(crate) fn restart(&mut self, boot: Option<&'static str>) {
        if let Some(boot) = boot {
            self.boot = (boot.into(), self.sim.now_ms());
        }
        self.state = State::new(self.state.spec().clone());
        self.pending = None;
        self.wake_ms = self.sim.now_ms();
        self.arbiter = Arbiter::new(1);
    }

    /// What is on disk.
    pub(crate) fn journal(&self) -> &Journal {
        static NONE: std::sync::LazyLock<Journal> = std::sync::LazyLock::new(Journal::default);
        self.durable.as_ref().map_or(&NONE, |(journal, _)| journal)
    }

    pub(crate) fn plan(&self) -> Option<&PlanState> {
        self.journal().plan.as_ref()
    }

    pub(crate) fn status(&self) -> Status {
        self.state.status()
    }

    /// What was done to the world, by its words.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        self.done.iter().map(|intent| Verb::kind(&intent.verb)).collect()
    }

    pub(crate) fn decisions(&self) -> Vec<&Decision> {
        self.log
            .iter()
            .filter_map(|record| match &record.body {
                Body::Decision(decision) => Some(&**decision),
                Body::Intent { .. }
                | Body::Outcome { .. }
                | Body::Plan { .. }
                | Body::Command { .. }
                | Body::Epoch { .. }
                | Body::Trouble { .. } => None,
            })
            .collect()
    }

    /// The reason of the last decision, as status shows it.
    pub(crate) fn reason(&self) -> String {
        self.status().last_decision.map(|last| last.reason).unwrap_or_default()
    }

    /// A condition of the status: whether it holds, its reason and its message.
    pub(crate) fn condition(&self, kind: &str) -> (bool, String, String) {
        let all = self.status().conditions;
        let found = all.into_iter().find(|condition| condition.kind == kind).unwrap();
        (found.status, found.reason, found.message)
    }
}
