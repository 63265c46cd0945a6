//! The model: two daemons, one lease, and everything that can go wrong between them, in every order.

use super::daemon::{Aimed, Daemon, moment};
use super::world::{Call, Fencing, Harm, World};
use plimsoll_core::cycle::{Effect, Event, StoreError, journal_digest};
use plimsoll_wire::journal::{Intent, Journal, Outcome, PlanStatus};
use stateright::{Model, Property};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The most members that are registered in one run.
const NEWCOMERS: u32 = 2;

/// What may go wrong, and how often in one run: the bound of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// The leader loses its memory.
    pub(crate) crashes: u8,
    /// The lease of a leader that is alive goes to the other one.
    pub(crate) expiries: u8,
    /// A write is not answered in time and arrives later, or never.
    pub(crate) late: u8,
    /// A person changes the size by hand.
    pub(crate) edits: u8,
    /// The wish changes.
    pub(crate) wishes: u8,
    /// A minute passes.
    pub(crate) jumps: u8,
}

/// Two daemons and their world.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    pub(crate) size: u32,
    pub(crate) wishes: [u32; 2],
    pub(crate) fencing: Fencing,
    /// Whether a call to the data system ends, for certain, before the lease can be another's.
    pub(crate) calls_are_bounded: bool,
    pub(crate) budget: Budget,
}

/// Everything at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) world: World,
    /// None does not lead, and does nothing.
    pub(crate) daemons: [Option<Arc<Daemon>>; 2],
    /// Writes that nobody waits for any more, and that may still arrive.
    late: Vec<Arc<Late>>,
    wish: usize,
    jumps: u8,
    left: Budget,
}

/// A write under way.
#[derive(Clone, Debug)]
enum Late {
    Journal { expected: Option<u64>, journal: Arc<Journal> },
    Platform(Call),
    System { from: usize, call: Call },
}

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It gets the lease, which nobody holds.
    Elect(usize),
    /// The holder's lease runs out.
    Expire,
    /// It loses its memory: it ends, or notices that it does not lead any more.
    Drop(usize),
    /// What it waits for is done and answered; of a write to the platform, first what is read.
    Answer(usize, String),
    /// A read is served from an older world.
    Stale(usize),
    /// A write is not answered in time.
    Late(usize, String),
    /// A late write arrives.
    Land(usize),
    /// A person changes the size by hand.
    Edit(u32),
    /// The wish changes.
    Wish,
    /// A minute passes.
    Jump,
    /// What was to be done now is done.
    Tick(usize),
}

impl Moment {
    fn revision(&self) -> Option<u64> {
        self.world.journal.as_ref().map(|(_, revision)| *revision)
    }

    /// The journal of the store.
    pub(crate) fn journal(&self) -> Option<&Journal> {
        self.world.journal.as_ref().map(|(journal, _)| &**journal)
    }
}

impl Hash for Moment {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self { world, daemons, late, wish, jumps, left } = self;
        (world, wish, jumps, left).hash(hasher);
        let revision = self.revision();
        for daemon in daemons {
            daemon.is_some().hash(hasher);
            daemon.iter().for_each(|daemon| daemon.note(world.version, revision, hasher));
        }
        for late in late {
            match &**late {
                Late::Journal { expected, journal } => {
                    (0, *expected == revision, journal_digest(journal)).hash(hasher);
                }
                Late::Platform(call) => {
                    let again = world.effected.contains(&call.intent);
                    (1, call.epoch, call.term, call.version == world.version, again).hash(hasher);
                    format!("{:?}", call.verb).hash(hasher);
                }
                Late::System { from, call } => {
                    (2, from, call.epoch, call.term, world.effected.contains(&call.intent)).hash(hasher);
                    format!("{:?}", call.verb).hash(hasher);
                }
            }
        }
    }
}

impl PartialEq for Moment {
    /// The same as far as anything depends on it.
    fn eq(&self, other: &Self) -> bool {
        let number = |moment: &Self| {
            let mut hasher = std::hash::DefaultHasher::new();
            moment.hash(&mut hasher);
            hasher.finish()
        };
        number(self) == number(other)
    }
}

impl Model for Fleet {
    type State = Moment;
    type Action = Action;

    fn init_states(&self) -> Vec<Moment> {
        vec![Moment {
            world: World::new(self.size, self.fencing),
            daemons: [None, None],
            late: Vec::new(),
            wish: 0,
            jumps: 0,
            left: self.budget,
        }]
    }

    fn actions(&self, state: &Moment, actions: &mut Vec<Action>) {
        if state.world.harm.is_some() {
            return;
        }
        let left = &state.left;
        for (at, daemon) in state.daemons.iter().enumerate() {
            match daemon {
                Some(daemon) => self.choices(state, at, daemon, actions),
                None if state.world.lease.is_none() => actions.push(Action::Elect(at)),
                None => {}
            }
        }
        if let Some(holder) = state.world.lease
            && (left.expiries > 0 || state.daemons[holder].is_none())
        {
            actions.push(Action::Expire);
        }
        actions.extend((0..state.late.len()).map(Action::Land));
        if left.edits > 0 {
            let now = state.world.view.replicas;
            actions.extend([now - 1, now + 1].into_iter().filter(|size| *size > 0).map(Action::Edit));
        }
        if left.wishes > 0 {
            actions.push(Action::Wish);
        }
        if left.jumps > 0 {
            actions.push(Action::Jump);
        }
    }

    fn next_state(&self, state: &Moment, action: Action) -> Option<Moment> {
        let mut next = state.clone();
        match action {
            Action::Elect(at) => {
                let term = next.world.elect(at);
                next.daemons[at] = Some(Arc::new(Daemon::elected(&moment(at, next.jumps), term)));
            }
            Action::Expire => {
                let holder = next.world.lease.take()?;
                next.left.expiries -= u8::from(next.daemons[holder].is_some());
                if self.calls_are_bounded {
                    next.late.retain(|late| !matches!(&**late, Late::System { from, .. } if *from == holder));
                }
            }
            Action::Drop(at) => {
                next.daemons[at] = None;
                next.left.crashes -= u8::from(next.world.lease == Some(at));
            }
            Action::Answer(at, _) => self.answer(&mut next, at, false)?,
            Action::Stale(at) => self.answer(&mut next, at, true)?,
            Action::Late(at, _) => self.late(&mut next, at)?,
            Action::Land(which) => {
                let late = next.late.remove(which);
                match &*late {
                    Late::Journal { expected, journal } => drop(next.world.store(*expected, journal)),
                    Late::Platform(call) | Late::System { call, .. } => drop(next.world.take(call)),
                }
            }
            Action::Edit(size) => {
                next.left.edits -= 1;
                next.world.edit(size);
            }
            Action::Wish => {
                next.left.wishes -= 1;
                next.wish = 1 - next.wish;
            }
            Action::Jump => {
                next.left.jumps -= 1;
                next.jumps += 1;
            }
            Action::Tick(at) => self.feed(&mut next, at, Event::Tick)?,
        }
        Some(next)
    }

    /// Newcomers have new names for ever: so many are enough for a plan that was given up and its second try.
    fn within_boundary(&self, state: &Moment) -> bool {
        state.world.next_id <= self.size + 1 + NEWCOMERS
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one actor", |_: &Self, state: &Moment| {
                state.world.harm != Some(Harm::TwoActors)
            }),
            Property::always("no member goes undrained (N2)", |_: &Self, state: &Moment| {
                state.world.harm != Some(Harm::UndrainedMemberRemoved)
            }),
            Property::always("no majority is lost by us (N3)", |_: &Self, state: &Moment| {
                state.world.harm != Some(Harm::MajorityLost)
            }),
            Property::always("changes of members do not overlap (N4)", |_: &Self, state: &Moment| {
                state.world.harm != Some(Harm::ChangesOverlap)
            }),
            Property::always("an intent has one effect (N8)", |_: &Self, state: &Moment| {
                state.world.harm != Some(Harm::IntentTwice)
            }),
            Property::always("nobody starts that is not registered", |_: &Self, state: &Moment| {
                state.world.harm != Some(Harm::StrangerStarted)
            }),
            Property::sometimes("a plan finishes", |_: &Self, state: &Moment| ended(state, |_, _| true)),
            Property::sometimes("a successor is in the middle of a plan", |_: &Self, state: &Moment| {
                state.daemons.iter().flatten().any(|daemon| {
                    let journal = daemon.machine().journal();
                    journal.is_some_and(|journal| {
                        journal.plan.as_ref().is_some_and(|plan| !is_of(&plan.id, journal.epoch))
                    })
                })
            }),
            Property::sometimes("a successor finishes the plan", |_: &Self, state: &Moment| {
                ended(state, |id, epoch| !is_of(id, epoch))
            }),
        ]
    }
}

/// Whether the last plan came to its size, and more is so of its id and the journal's epoch.
fn ended(state: &Moment, and: impl Fn(&str, u64) -> bool) -> bool {
    state.journal().is_some_and(|journal| {
        journal
            .history
            .last()
            .is_some_and(|last| last.status == PlanStatus::Done && and(&last.id, journal.epoch))
    })
}

/// Whether a plan was begun in this epoch.
fn is_of(id: &str, epoch: u64) -> bool {
    id.contains(&format!("-p{epoch}."))
}

/// What an effect is, in a word, for whoever reads a run.
fn word(effect: &Effect, aimed: bool) -> String {
    match effect {
        Effect::Load { .. } => "read the journal".to_owned(),
        Effect::Observe { .. } => "observe".to_owned(),
        Effect::Store { journal, .. } => format!("write the journal (epoch {})", journal.epoch),
        Effect::Stamp { epoch, .. } => format!("stamp (epoch {epoch})"),
        Effect::Act { intent, epoch, .. } => {
            let how = match (Daemon::is_platforms(intent), aimed) {
                (true, false) => "read and stamp for",
                (true, true) | (false, _) => "do",
            };
            format!("{how} {:?} (epoch {epoch})", intent.verb)
        }
        Effect::Evaluate { .. }
        | Effect::Record { .. }
        | Effect::AskPermit { .. }
        | Effect::GivePermit
        | Effect::Reply { .. }
        | Effect::Wake { .. } => unreachable!("never kept"),
    }
}

impl Fleet {
    fn choices(&self, state: &Moment, at: usize, daemon: &Daemon, actions: &mut Vec<Action>) {
        let holds = state.world.lease == Some(at);
        if !holds || state.left.crashes > 0 {
            actions.push(Action::Drop(at));
        }
        let Some(effect) = &daemon.pending else {
            if daemon.wake_ms <= moment(at, state.jumps).mono_ms {
                actions.push(Action::Tick(at));
            }
            return;
        };
        let system = matches!(effect, Effect::Act { intent, .. } if !Daemon::is_platforms(intent));
        let writes = match effect {
            Effect::Store { .. } | Effect::Stamp { .. } | Effect::Act { .. } => true,
            Effect::Load { .. } | Effect::Observe { .. } => false,
            Effect::Evaluate { .. }
            | Effect::Record { .. }
            | Effect::AskPermit { .. }
            | Effect::GivePermit
            | Effect::Reply { .. }
            | Effect::Wake { .. } => unreachable!("never kept"),
        };
        // The lease is asked right before anything is written. What was sent before it was lost is `Late`; of a write
        // to the platform the read came before, and the server looks after the rest.
        let may = holds || !writes || daemon.aimed.is_some() || (system && !self.calls_are_bounded);
        if !may {
            return;
        }
        let told = word(effect, daemon.aimed.is_some());
        if let Effect::Observe { direct: false, .. } = effect
            && state.world.before != state.world.view
        {
            actions.push(Action::Stale(at));
        }
        let is_sent = match effect {
            Effect::Act { .. } => system || daemon.aimed.is_some(),
            // A stamp that comes late meets another version, and else does what the next try does.
            Effect::Stamp { .. } => false,
            Effect::Load { .. }
            | Effect::Observe { .. }
            | Effect::Evaluate { .. }
            | Effect::Store { .. }
            | Effect::Record { .. }
            | Effect::AskPermit { .. }
            | Effect::GivePermit
            | Effect::Reply { .. }
            | Effect::Wake { .. } => writes,
        };
        if is_sent && state.left.late > 0 {
            actions.push(Action::Late(at, told.clone()));
        }
        actions.push(Action::Answer(at, told));
    }

    fn feed(&self, next: &mut Moment, at: usize, event: Event) -> Option<()> {
        let wish = self.wishes[next.wish];
        let daemon = Arc::make_mut(next.daemons[at].as_mut()?);
        daemon.feed(&moment(at, next.jumps), wish, event);
        Some(())
    }

    /// What a daemon waits for is done, as far as the world lets it, and it hears of it.
    fn answer(&self, next: &mut Moment, at: usize, stale: bool) -> Option<()> {
        let daemon = next.daemons[at].clone()?;
        let event = match daemon.pending.as_ref()? {
            Effect::Load { request } => {
                let found = next.world.journal.clone();
                let found = found.map(|(journal, revision)| (Journal::clone(&journal), revision));
                Event::Loaded { request: *request, result: Ok(found) }
            }
            Effect::Observe { request, direct } => {
                let view = if stale { &next.world.before } else { &next.world.view };
                let observation = Box::new(view.observe(&moment(at, next.jumps), *direct));
                Event::Observed { request: *request, observation }
            }
            Effect::Store { request, expected, journal } => {
                let stored = next.world.store(*expected, &Arc::new(Journal::clone(journal)));
                Event::Stored { request: *request, result: stored.map_err(StoreError::Conflict) }
            }
            Effect::Stamp { request, epoch } => {
                let result = if next.world.fencing == Fencing::Whole && next.world.stamp > *epoch {
                    Err("another daemon has taken over".to_owned())
                } else {
                    next.world.stamp(*epoch, daemon.term);
                    Ok(())
                };
                Event::Stamped { request: *request, result }
            }
            Effect::Act { request, epoch, intent } if !Daemon::is_platforms(intent) => {
                let outcome = next.world.take(&call((*epoch, daemon.term), intent, 0));
                Event::Acted { request: *request, outcome }
            }
            Effect::Act { request, epoch, intent } => {
                let outcome = match daemon.aimed {
                    None => self.aim(next, at, *epoch, intent)?,
                    Some(aimed) => Some(next.world.take(&call((*epoch, daemon.term), intent, aimed.version))),
                };
                // The hand goes on: it has read, and is about to write.
                let Some(outcome) = outcome else { return Some(()) };
                Event::Acted { request: *request, outcome }
            }
            Effect::Evaluate { .. }
            | Effect::Record { .. }
            | Effect::AskPermit { .. }
            | Effect::GivePermit
            | Effect::Reply { .. }
            | Effect::Wake { .. } => unreachable!("never kept"),
        };
        self.feed(next, at, event)
    }

    /// What production does before it writes a size (`host/src/platforms/kube/scale.rs`): it reads the object, finds
    /// a newer stamp or another size, and else puts its own stamp there. None where a write comes next.
    fn aim(&self, next: &mut Moment, at: usize, epoch: u64, intent: &Intent) -> Option<Option<Outcome>> {
        let refused = |message: &str| Some(Some(Outcome::Refused { message: message.to_owned() }));
        let (from, to) = Daemon::sizes(&intent.verb)?;
        if next.world.fencing == Fencing::Whole && next.world.stamp > epoch {
            return refused("another daemon has taken over");
        }
        let now = next.world.view.replicas;
        if now == to {
            return Some(Some(Outcome::Applied));
        }
        if now != from {
            return refused("it has another size than expected");
        }
        if next.world.fencing == Fencing::Whole && next.world.stamp < epoch {
            next.world.stamp(epoch, next.daemons[at].as_ref()?.term);
        }
        let version = next.world.version;
        Arc::make_mut(next.daemons[at].as_mut()?).aimed = Some(Aimed { version });
        Some(None)
    }

    /// A write goes out and is not answered in time.
    fn late(&self, next: &mut Moment, at: usize) -> Option<()> {
        let message = "no answer in time".to_owned();
        let daemon = next.daemons[at].clone()?;
        next.left.late -= 1;
        let (late, event) = match daemon.pending.as_ref()? {
            Effect::Store { request, expected, journal } => (
                Late::Journal { expected: *expected, journal: Arc::new(Journal::clone(journal)) },
                Event::Stored { request: *request, result: Err(StoreError::Failed(message)) },
            ),
            Effect::Act { request, epoch, intent } => {
                let late = match daemon.aimed {
                    Some(aimed) => Late::Platform(call((*epoch, daemon.term), intent, aimed.version)),
                    None => Late::System { from: at, call: call((*epoch, daemon.term), intent, 0) },
                };
                (late, Event::Acted { request: *request, outcome: Outcome::Unknown { message } })
            }
            Effect::Load { .. } | Effect::Observe { .. } | Effect::Stamp { .. } => return None,
            Effect::Evaluate { .. }
            | Effect::Record { .. }
            | Effect::AskPermit { .. }
            | Effect::GivePermit
            | Effect::Reply { .. }
            | Effect::Wake { .. } => unreachable!("never kept"),
        };
        next.late.push(Arc::new(late));
        self.feed(next, at, event)
    }
}

fn call((epoch, term): (u64, u32), intent: &Intent, version: u32) -> Call {
    Call { intent: intent.id.clone(), epoch, term, verb: intent.verb.clone(), version }
}
