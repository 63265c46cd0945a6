//! What goes for good: members with their data, and the writes that nobody else has.

use super::{Cause, Copy, Sharded};
use crate::platform::State;

impl Sharded {
    /// Members for which nothing is kept any more are forgotten.
    pub(super) fn forget(&mut self) {
        for at in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(at) else { continue };
            let vacant =
                self.platform.places().get(node.slot).is_none_or(|place| place.state == State::Vacant);
            if node.gone.is_some() && !node.forgotten && vacant && self.copies_on(at) == 0 {
                if let Some(node) = self.nodes.get_mut(at) {
                    node.forgotten = true;
                }
                self.epoch += 1;
            }
        }
    }

    /// After members went: what nobody holds any more is lost.
    pub(super) fn count_losses(&mut self) {
        let nodes = &self.nodes;
        let remains = |copy: &&Copy| nodes.get(copy.node).is_some_and(|node| node.gone.is_none());
        for (at, shard) in self.shards.iter_mut().enumerate() {
            let held = shard.copies.iter().filter(remains).map(|copy| copy.holds).max().unwrap_or(0);
            if held < shard.acknowledged {
                self.losses.push((at, shard.acknowledged - held));
                shard.acknowledged = held;
            }
        }
    }

    pub(super) fn lose(&mut self, slot: usize, cause: Cause) {
        if let Some(node) = self.by_slot(slot).and_then(|at| self.nodes.get_mut(at)) {
            node.gone.get_or_insert(cause);
        }
        self.restless = true;
        self.count_losses();
        self.forget();
    }
}
