//! What a cluster does when it is told to.

use super::{Aim, Shards, Task};
use crate::oracle::Cause;
use crate::platform::{State, Volume};
use crate::world::Effect;
use std::sync::Arc;

impl Shards {
    pub(super) fn start(&mut self, slot: &str) -> Effect {
        let Some(place) = self.platform.find(slot) else { return Effect::refused("no such slot") };
        Effect::applied(1_500, self.platform.start(place, self.now_ms))
    }

    pub(super) fn stop(&mut self, slot: &str, number: u64) -> Effect {
        let Some(place) = self.platform.find(slot) else { return Effect::refused("no such slot") };
        let changed = self.platform.stop(place);
        if changed {
            self.lose(place, Cause::Call(number));
        }
        Effect::applied(2_000, changed)
    }

    /// `CLUSTER MEET`, and `CLUSTER REPLICATE` where a shard lacks a replica.
    pub(super) fn admit(&mut self, slot: &str) -> Effect {
        let Some(place) = self.platform.find(slot) else { return Effect::refused("no such slot") };
        let Some(here) = self.platform.places().get(place).filter(|here| here.state == State::Running) else {
            return Effect::refused("connection refused");
        };
        match here.volume.as_ref().map(|volume| volume.member.clone()) {
            None => {
                self.join(place);
                Effect::applied(400, true)
            }
            Some(member) if self.by_name(&member).is_some() => Effect::applied(60, false),
            Some(_) => Effect::refused("ERR the node is not empty"),
        }
    }

    /// A member that serves again ends what its leaving left open.
    pub(super) fn set_leaving(&mut self, member: &str, leaves: bool, call: u64) -> Effect {
        let Some(node) = self.by_name(member).and_then(|at| self.nodes.get_mut(at)) else {
            return Effect::refused("ERR Unknown node");
        };
        let changed = node.leaves != leaves;
        node.leaves = leaves;
        let shard = node.shard;
        if !leaves {
            self.forget_tasks(shard);
            let finishes = self.open_on(shard) > 0;
            if finishes {
                self.set_going(Aim::Finish(shard), call);
            }
            return Effect::applied(150, changed || finishes);
        }
        Effect::applied(150, changed)
    }

    pub(super) fn drain(&mut self, member: &str, call: u64) -> Effect {
        let Some(shard) = self.shard_of(member) else { return Effect::refused("ERR Unknown node") };
        if self.owned(shard) == 0 && self.open_on(shard) == 0 {
            return Effect::applied(60, false);
        }
        if self.least_loaded(shard).is_none() {
            return Effect::refused("ERR no other shard can take its slots now");
        }
        self.set_going(Aim::Off(shard, member.into()), call);
        Effect::applied(1_000, true)
    }

    /// No further slot is begun; the one that is open is ended.
    pub(super) fn cancel_drain(&mut self, member: &str) -> Effect {
        let Some(shard) = self.shard_of(member) else { return Effect::refused("ERR Unknown node") };
        let before = self.tasks.len();
        self.forget_tasks(shard);
        Effect::applied(60, self.tasks.len() != before)
    }

    pub(super) fn spread(&mut self, onto: &[Arc<str>], call: u64) -> Effect {
        let mut aims = Vec::new();
        for member in onto {
            let Some(shard) = self.shard_of(member) else { return Effect::refused("ERR Unknown node") };
            if aims.iter().all(|(known, _)| *known != shard) {
                aims.push((shard, member.clone()));
            }
        }
        // An even share of all: a shard that lost some elsewhere gets its own back.
        for shard in (0..self.shards.len()).filter(|shard| self.due(*shard) > 0) {
            if let Some(first) = onto.first().filter(|_| aims.iter().all(|(known, _)| *known != shard)) {
                aims.push((shard, first.clone()));
            }
        }
        let due = aims.iter().any(|(shard, _)| self.due(*shard) > 0 || self.open_on(*shard) > 0);
        if due {
            self.set_going(Aim::Onto(aims), call);
        }
        Effect::applied(1_000, due)
    }

    /// `CLUSTER FORGET` on every other member.
    pub(super) fn deregister(&mut self, member: &str) -> Effect {
        let Some(at) = self.by_name(member) else { return Effect::refused("ERR Unknown node") };
        let Some(node) = self.nodes.get(at) else { return Effect::refused("ERR Unknown node") };
        let (shard, place, name) = (node.shard, node.place, node.name.clone());
        if self.owned(shard) > 0 || self.open_on(shard) > 0 {
            return Effect::refused("ERR the node is not empty: its shard owns slots");
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.forgotten = true;
        }
        let own = |volume: &&mut Volume| volume.member == name;
        if let Some(volume) =
            self.platform.place_mut(place).and_then(|place| place.volume.as_mut()).filter(own)
        {
            volume.removed = true;
        }
        self.epoch += 1;
        self.gossip();
        Effect::applied(300, true)
    }

    fn shard_of(&self, member: &str) -> Option<usize> {
        self.by_name(member).and_then(|at| self.nodes.get(at)).map(|node| node.shard)
    }

    /// The same call again only has more time.
    fn set_going(&mut self, aim: Aim, call: u64) {
        self.tasks.retain(|task| !task.aim.is_like(&aim));
        self.tasks.push(Task { aim, until_ms: self.now_ms + self.setup.batch_ms, call });
    }

    fn forget_tasks(&mut self, shard: usize) {
        self.tasks.retain(|task| !matches!(&task.aim, Aim::Off(of, _) if *of == shard));
    }
}

impl Aim {
    /// Whether it moves slots off, or onto, the same shards.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Off(one, _), Self::Off(two, _)) | (Self::Finish(one), Self::Finish(two)) => one == two,
            (Self::Onto(_), Self::Onto(_)) => true,
            (Self::Off(..) | Self::Onto(_) | Self::Finish(_), _) => false,
        }
    }
}
