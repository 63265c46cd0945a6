//! The same policy without the guard: what is wished is done at once.
//!
//! It reads what the daemon reads, at the same interval, asks the same policy of the same snapshot, and keeps the
//! owner's bounds: an HPA on a workload. What images do for themselves is done (a new member registers, and is given
//! its vote as soon as the system lets it). But no rule is asked, nothing is waited for, and nothing is looked at
//! again before it is done. It is there for one figure: what the guard is worth on the same seeds.

use super::Policy;
use crate::sim::Sim;
use plimsoll_core::cycle::Spec;
use plimsoll_core::snapshot::{Context, Tracker};
use plimsoll_wire::fact::{Fact, Gap};
use plimsoll_wire::journal::Verb;
use plimsoll_wire::proposal::Answer;
use plimsoll_wire::snapshot::{History, Member, Role, Snapshot, Target};
use std::sync::Arc;

/// A daemon without a guard.
pub struct Unguarded {
    spec: Spec,
    policy: Policy,
    tracker: Tracker,
}

impl Unguarded {
    /// A daemon that does what its first policy wishes.
    #[must_use]
    pub fn new(spec: Spec, policy: Policy) -> Self {
        Self { spec, policy, tracker: Tracker::default() }
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
        let observation = sim.observe(false);
        let snapshot = self.tracker.assemble(&observation, &sim.now(), self.context());
        let Some(size) = snapshot.size.value().copied() else { return };
        let Some(policy) = self.spec.policies.first() else { return };
        let Answer::Proposal(proposal) = (self.policy)(policy, &snapshot) else { return };
        let Some(wished) = proposal.sizes.members else { return };
        let wished = wished.clamp(self.spec.min, self.spec.max);
        for learner in members(&snapshot).iter().filter(|row| learns(row)) {
            if let Some(member) = learner.id.value() {
                sim.act(&Verb::Promote { member: member.clone() }, "unguarded");
            }
        }
        if wished > size {
            self.grow(sim, &snapshot, wished - size, wished);
        }
        if wished < size {
            Self::shrink(sim, &snapshot, size - wished, wished);
        }
    }

    fn context(&self) -> Context {
        Context {
            target: Target {
                key: self.spec.key.clone(),
                system: self.spec.profile.system.to_owned(),
                platform: self.spec.platform.clone(),
                mode: self.spec.mode,
                min: self.spec.min,
                max: self.spec.max,
                settings: serde_json::Value::Null,
                behavior: self.spec.behavior.clone(),
            },
            safety: self.spec.safety.clone(),
            owner: Fact::unknown(Gap::NotScraped, "nobody asks"),
            history: History::default(),
            plan: None,
            state: None,
        }
    }

    fn grow(&self, sim: &mut Sim, snapshot: &Snapshot, count: u32, size_after: u32) {
        let vacant = snapshot.vacant.value().map_or(&[][..], Vec::as_slice);
        for place in vacant.iter().take(usize::try_from(count).unwrap_or(0)) {
            let slot = place.slot.clone();
            if self.spec.profile.registers_first {
                let endpoints = place.endpoints.clone();
                sim.act(&Verb::Register { slot: slot.clone(), endpoints }, "unguarded");
            }
            let join = sim.observe(true).system.join.value().cloned().unwrap_or_default();
            sim.act(&Verb::Start { slot, size_after, join }, "unguarded");
        }
        if self.spec.profile.moves_data {
            sim.act(&Verb::Rebalance, "unguarded");
        }
    }

    /// The highest ordinals go, as a workload controller chooses.
    fn shrink(sim: &mut Sim, snapshot: &Snapshot, count: u32, size_after: u32) {
        let rows = members(snapshot).iter().rev().filter(|row| row.slot.is_some());
        for row in rows.take(usize::try_from(count).unwrap_or(0)) {
            let member = row.id.value().cloned().unwrap_or_else(|| Arc::from(""));
            if let Some(slot) = row.slot.clone() {
                sim.act(&Verb::Stop { slot, member, size_after }, "unguarded");
            }
        }
    }
}

fn members(snapshot: &Snapshot) -> &[Member] {
    snapshot.members.value().map_or(&[], Vec::as_slice)
}

fn learns(row: &Member) -> bool {
    row.roles.value().is_some_and(|roles| roles.contains(&Role::Learner))
}
