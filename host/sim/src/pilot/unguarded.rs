//! The same policy without the guard: what is wished is done at once.
//!
//! It is an HPA on a workload. It reads the same signals at the same interval, asks the same policy, keeps the owner's
//! bounds, and knows how many members the platform runs and nothing else. What images and workload controllers do for
//! themselves is done: places are filled in order, a new member registers before it starts and is given its vote as
//! soon as the system lets it, a member that comes back on an empty volume comes back under its old name, and the
//! highest places are emptied first. Where a group has had no majority for long, somebody follows the runbook: the
//! first member that runs goes on alone, and the others join it anew. But no rule is asked, nothing is waited for, and
//! nothing is looked at again before it is done. It is there for one figure: what the guard is worth on the same seeds.

use super::Policy;
use crate::sim::Sim;
use plimsoll_core::cycle::Spec;
use plimsoll_core::observation::{Observation, Slot};
use plimsoll_core::snapshot::{Context, Tracker, is_unlisted};
use plimsoll_core::step;
use plimsoll_wire::fact::{Authority, Fact, Gap, Known};
use plimsoll_wire::journal::{Join, Outcome, PlatformVerb, SystemVerb, Verb};
use plimsoll_wire::proposal::Answer;
use plimsoll_wire::size::Leg;
use plimsoll_wire::snapshot::{Change, History, Member, Role, Snapshot, Target};
use std::sync::Arc;

/// For how long a group must have been silent before somebody follows the runbook, in milliseconds. Twice as long as
/// any crash that the simulation draws: what comes back by itself is waited for.
const RUNBOOK_MS: u64 = 30 * 60 * 1_000;

/// A daemon without a guard.
pub struct Unguarded {
    spec: Spec,
    policy: Policy,
    tracker: Tracker,
    silent_since_ms: Option<u64>,
    /// What was changed: sizes before and after, and when. An HPA remembers it too, for its rates.
    changes: Vec<(u32, u32, u64)>,
}

/// How many changes are remembered: more than rates of an hour can ask for at one a decision.
const CHANGES: usize = 256;

impl Unguarded {
    /// A daemon that does what its first policy wishes.
    #[must_use]
    pub fn new(spec: Spec, policy: Policy) -> Self {
        Self { spec, policy, tracker: Tracker::default(), silent_since_ms: None, changes: Vec::new() }
    }

    /// Lets it work until then.
    pub fn run(&mut self, sim: &mut Sim, until_ms: u64) {
        while sim.now_ms() < until_ms {
            let next_ms = (sim.now_ms() + self.spec.interval_ms).min(until_ms);
            sim.advance(next_ms);
            self.once(sim);
        }
    }

    fn once(&mut self, sim: &mut Sim) {
        let seen = sim.observe(false);
        let Some(slots) = seen.platform.slots.value() else { return };
        let size = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        let context = self.context(sim.now_ms());
        let mut snapshot = self.tracker.assemble(&seen, &sim.now(), context);
        snapshot.sizes.members = counted(size);
        if self.follow_runbook(sim, &seen, slots) {
            return;
        }
        for learner in members(&snapshot).iter().filter(|row| learns(row)) {
            if let Some(member) = learner.id.value() {
                sim.act(&Verb::System(SystemVerb::Promote { member: member.clone() }), "unguarded");
            }
        }
        Self::let_in(sim, &snapshot);
        let Some(policy) = self.spec.policies.first() else { return };
        let Answer::Proposal(proposal) = (self.policy)(policy, &snapshot) else { return };
        let Some(wished) = proposal.sizes.members else { return };
        let wished = wished.clamp(self.spec.min, self.spec.max);
        if wished != size {
            self.remember(size, wished, sim.now_ms());
        }
        if wished > size {
            self.grow(sim, &snapshot, wished - size, wished);
        }
        if wished < size {
            Self::shrink(sim, slots, size - wished, wished);
        }
    }

    /// Whether a group that lost its majority for good was brought back by hand just now.
    fn follow_runbook(&mut self, sim: &mut Sim, seen: &Observation, slots: &[Slot]) -> bool {
        let silent = self.spec.profile.members_vote && seen.system.members.value().is_none();
        if !silent {
            self.silent_since_ms = None;
            return false;
        }
        let since_ms = *self.silent_since_ms.get_or_insert(sim.now_ms());
        if sim.now_ms() - since_ms < RUNBOOK_MS {
            return false;
        }
        let mut running = slots.iter().filter(|slot| slot.running);
        running.any(|slot| sim.recover(&slot.slot).outcome == Outcome::Applied)
    }

    /// Scripts beside the workload let in what runs and is no member yet, and give it its share of the slots.
    fn let_in(sim: &mut Sim, snapshot: &Snapshot) {
        let steps = |name: &str| snapshot.profile.grow().iter().any(|phase| &*phase.step == name);
        if steps(step::ADMIT) {
            for row in members(snapshot).iter().filter(|row| is_unlisted(row)) {
                let Some(slot) = row.slot.clone() else { continue };
                let verb = SystemVerb::Admit { slot, endpoints: row.endpoints.clone() };
                sim.act(&Verb::System(verb), "unguarded");
            }
        }
        let is_due = |row: &&Member| row.hosted.value().is_some_and(|hosted| hosted.due > 0);
        let onto: Vec<Arc<str>> =
            members(snapshot).iter().filter(is_due).filter_map(|row| row.id.value().cloned()).collect();
        if steps(step::SPREAD) && !onto.is_empty() {
            sim.act(&Verb::System(SystemVerb::Spread { onto }), "unguarded");
        }
    }

    fn remember(&mut self, from: u32, to: u32, at_ms: u64) {
        self.changes.push((from, to, at_ms));
        let surplus = self.changes.len().saturating_sub(CHANGES);
        self.changes.drain(..surplus);
    }

    fn context(&self, now_ms: u64) -> Context {
        let change = |(from, to, at_ms): &(u32, u32, u64)| Change {
            leg: Leg::members(*from, *to),
            age_ms: now_ms.saturating_sub(*at_ms),
            // It moves everything at once.
            began_age_ms: now_ms.saturating_sub(*at_ms),
        };
        let changes = self.changes.iter().map(change).collect();
        Context {
            target: Target {
                key: self.spec.key.clone(),
                system: self.spec.profile.system.to_string(),
                platform: self.spec.platform.clone(),
                mode: self.spec.mode,
                bounds: self.spec.bounds(),
                settings: serde_json::Value::Null,
                behavior: self.spec.behavior.clone(),
            },
            safety: self.spec.safety.clone(),
            profile: self.spec.profile.clone(),
            owner: Fact::unknown(Gap::NotScraped, "nobody asks"),
            history: History { changes, ..History::default() },
            plan: None,
            state: None,
        }
    }

    fn grow(&self, sim: &mut Sim, snapshot: &Snapshot, count: u32, size_after: u32) {
        let vacant = snapshot.vacant.value().map_or(&[][..], Vec::as_slice);
        for place in vacant.iter().take(usize::try_from(count).unwrap_or(0)) {
            let slot = place.slot.clone();
            let known = members(snapshot).iter().any(|row| row.slot.as_ref() == Some(&slot));
            if self.spec.profile.registers_first && !known {
                let verb = Verb::System(SystemVerb::Register {
                    slot: slot.clone(),
                    endpoints: place.endpoints.clone(),
                });
                // The image tries again until it is registered; the places behind it wait for it.
                if sim.act(&verb, "unguarded").outcome != Outcome::Applied {
                    return;
                }
            }
            // What an image is started with: the addresses of its fellows, and that they are there already.
            let join = Some(Join { existing: true, ..Join::default() });
            sim.act(&Verb::Platform(PlatformVerb::Start { slot, size_after, join }), "unguarded");
        }
        if self.spec.profile.grow().iter().any(|phase| &*phase.step == step::REBALANCE) {
            sim.act(&Verb::System(SystemVerb::Rebalance), "unguarded");
        }
    }

    /// The highest ordinals go, as a workload controller chooses.
    fn shrink(sim: &mut Sim, slots: &[Slot], count: u32, size_after: u32) {
        for slot in slots.iter().rev().take(usize::try_from(count).unwrap_or(0)) {
            let (slot, member) = (slot.slot.clone(), Arc::from(""));
            sim.act(&Verb::Platform(PlatformVerb::Stop { slot, member, size_after }), "unguarded");
        }
    }
}

/// The size as a workload controller counts it.
fn counted(size: u32) -> Fact<u32> {
    Fact::Known(Known {
        value: size,
        authority: Authority::Platform,
        age_ms: 0,
        observer: "platform".into(),
        observer_up_ms: u64::MAX,
        epoch: "".into(),
        stable_ms: 0,
        reads: 1,
    })
}

fn members(snapshot: &Snapshot) -> &[Member] {
    snapshot.members.value().map_or(&[], Vec::as_slice)
}

fn learns(row: &Member) -> bool {
    row.roles.value().is_some_and(|roles| roles.contains(&Role::Learner))
}
