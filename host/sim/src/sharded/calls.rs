//! What a store does when it is told to.

use super::{Mode, Shard, Sharded, Task};
use crate::oracle::Cause;
use crate::world::Effect;
use std::collections::BTreeSet;

impl Sharded {
    pub(super) fn start(&mut self, slot: &str, now_ms: u64) -> Effect {
        let Some(slot) = self.platform.find(slot) else { return Effect::refused("no such slot") };
        Effect::applied(1_500, self.platform.start(slot, now_ms))
    }

    pub(super) fn stop(&mut self, slot: &str, number: u64) -> Effect {
        let Some(slot) = self.platform.find(slot) else { return Effect::refused("no such slot") };
        let changed = self.platform.stop(slot);
        if changed {
            self.lose(slot, Cause::Call(number));
        }
        Effect::applied(2_000, changed)
    }

    pub(super) fn set_mode(&mut self, member: &str, mode: Mode) -> Effect {
        let Some(at) = self.by_name(member) else { return Effect::refused("no such member") };
        let Some(node) = self.nodes.get_mut(at) else { return Effect::refused("no such member") };
        let same = matches!(
            (&node.mode, &mode),
            (Mode::Serving, Mode::Serving)
                | (Mode::Cordoned | Mode::Draining { .. }, Mode::Cordoned)
                | (Mode::Draining { .. }, Mode::Draining { .. })
        );
        if same {
            return Effect::applied(40, false);
        }
        node.mode = mode;
        self.restless = true;
        Effect::applied(150, true)
    }

    pub(super) fn drain(&mut self, member: &str, task: Task) -> Effect {
        let Some(at) = self.by_name(member) else { return Effect::refused("no such member") };
        let copies = self.copies_on(at);
        self.set_mode(member, Mode::Draining { task, copies })
    }

    /// Takes a drain back: copies on their way stay where they were.
    pub(super) fn cancel_drain(&mut self, member: &str, mode: Mode) -> Effect {
        let Some(at) = self.by_name(member) else { return Effect::refused("no such member") };
        for shard in &mut self.shards {
            if let Some(moving) = shard.moving.take_if(|moving| moving.from == Some(at)) {
                shard.copies.retain(|copy| copy.node != moving.to);
                shard.version += 1;
            }
        }
        let Some(node) = self.nodes.get_mut(at) else { return Effect::refused("no such member") };
        let drained = matches!(node.mode, Mode::Draining { .. });
        let back = matches!(node.mode, Mode::Cordoned) && matches!(mode, Mode::Serving);
        if drained || back {
            node.mode = mode;
        }
        Effect::applied(150, drained || back)
    }

    /// Moves the leadership of a shard, and of all others that are on the same members, off a member: to the one that was
    /// named, else evenly to those that can lead.
    pub(super) fn move_leaders(&mut self, group: &str, from: &str, to: Option<&str>) -> Effect {
        let wished = to.map(|to| self.by_name(to));
        let (Some(from), false) = (self.by_name(from), wished == Some(None)) else {
            return Effect::refused("no such member");
        };
        let wished = wished.flatten();
        let holders = |shard: &Shard| shard.copies.iter().map(|copy| copy.node).collect::<BTreeSet<_>>();
        let Some(alike) = self.shards.iter().find(|shard| *shard.name == *group).map(holders) else {
            return Effect::refused("no such shard");
        };
        let is_one = |shard: &Shard| shard.leader == Some(from) && holders(shard) == alike;
        let led: Vec<usize> =
            (0..self.shards.len()).filter(|at| self.shards.get(*at).is_some_and(is_one)).collect();
        let mut changed = false;
        for at in led {
            let heir = self.heir(at, Some(from), wished);
            let Some(heir) = heir else { continue };
            if let Some(shard) = self.shards.get_mut(at) {
                shard.leader = Some(heir);
                changed = true;
            }
        }
        Effect::applied(300, changed)
    }
}
