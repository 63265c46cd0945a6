//! How slots move from shard to shard: one after the other, for as long as a call's time lasts.

use super::{Aim, LEAST_OWNERS, Move, Shards, Task};
use crate::oracle::Cause;
use crate::trace::Trace;
use crate::world::Mishap;
use std::cmp::Reverse;
use std::sync::Arc;

impl Shards {
    /// Goes on with what calls have set going.
    pub(super) fn work(&mut self, for_ms: u64, trace: &mut Trace) -> Vec<Mishap> {
        let mut mishaps = Vec::new();
        let from_ms = self.now_ms.saturating_sub(for_ms);
        for task in std::mem::take(&mut self.tasks) {
            self.is_busy = true;
            let work_ms = task.until_ms.min(self.now_ms).saturating_sub(from_ms);
            let goes_on = self.work_on(&task, work_ms, &mut mishaps, trace);
            if goes_on && task.until_ms > self.now_ms {
                self.tasks.push(task);
            }
        }
        mishaps
    }

    /// Moves what a task still wants, for so long; false when nothing is left, or an end is missing: what is open stays so.
    fn work_on(&mut self, task: &Task, work_ms: u64, mishaps: &mut Vec<Mishap>, trace: &mut Trace) -> bool {
        let mut left_ms = work_ms;
        while left_ms > 0 {
            let open = (0..self.slots.len()).find(|at| self.is_of(*at, &task.aim));
            let Some(at) = open.or_else(|| self.begin(task, mishaps)) else { return false };
            if !self.can_move(at) {
                return false;
            }
            left_ms = self.pour(at, left_ms, mishaps, trace);
        }
        true
    }

    /// Whether an open slot is for this task to end.
    fn is_of(&self, at: usize, aim: &Aim) -> bool {
        let Some(slot) = self.slots.get(at) else { return false };
        let Some(moving) = &slot.moving else { return false };
        match aim {
            Aim::Off(shard, _) | Aim::Finish(shard) => slot.shard == *shard || moving.to == *shard,
            Aim::Onto(shards) => shards.iter().any(|(shard, _)| moving.to == *shard || slot.shard == *shard),
        }
    }

    /// Opens the next slot of a task; none where there is none, or nobody to take it.
    fn begin(&mut self, task: &Task, mishaps: &mut Vec<Mishap>) -> Option<usize> {
        let (from, to, about) = match &task.aim {
            Aim::Off(shard, member) => (*shard, self.least_loaded(*shard)?, member.clone()),
            Aim::Onto(shards) => {
                let (to, member) =
                    shards.iter().max_by_key(|(shard, _)| (self.due(*shard), Reverse(*shard)))?;
                (self.most_loaded().filter(|_| self.due(*to) > 0)?, *to, Arc::clone(member))
            }
            Aim::Finish(_) => return None,
        };
        let at = self.slots.iter().position(|slot| slot.shard == from && slot.moving.is_none())?;
        let before = self.slots.get(at).map(|slot| self.margin(slot))?;
        let slot = self.slots.get_mut(at)?;
        slot.moving = Some(Move { to, bytes: 0, call: task.call, about });
        let after = self.slots.get(at).map(|slot| self.margin(slot))?;
        let cause = Cause::Call(task.call);
        mishaps.push(Mishap::Shifted { group: at, cause, before, after });
        Some(at)
    }

    /// Whether both ends of a move are there: keys are waited for by the replica that takes them too.
    fn can_move(&self, at: usize) -> bool {
        let Some(slot) = self.slots.get(at) else { return false };
        let Some(moving) = &slot.moving else { return false };
        self.serves(slot.shard) && self.can_take(moving.to)
    }

    fn can_take(&self, shard: usize) -> bool {
        let in_sync = self.members(shard).all(|node| self.is_in_sync(node) && !node.full);
        self.serves(shard) && in_sync
    }

    /// Moves a part of a slot; returns how much of the time is left.
    fn pour(&mut self, at: usize, left_ms: u64, mishaps: &mut Vec<Mishap>, trace: &mut Trace) -> u64 {
        let Some((from, to)) =
            self.slots.get(at).and_then(|slot| Some((slot.shard, slot.moving.as_ref()?.to)))
        else {
            return 0;
        };
        let ends = [from, to].into_iter().filter_map(|shard| self.primary(shard));
        let mut rate = ends.map(|node| self.pace(node.place)).min().unwrap_or(0);
        if let Some((_, permille)) = self.slow_moves.filter(|(until_ms, _)| *until_ms > self.now_ms) {
            rate = rate * permille / 1_000;
        }
        let Some(slot) = self.slots.get_mut(at) else { return 0 };
        let Some(moving) = &mut slot.moving else { return 0 };
        let missing = slot.bytes.saturating_sub(moving.bytes);
        let can = rate * left_ms / 1_000;
        self.moved_bytes += missing.min(can);
        if can < missing {
            moving.bytes += can;
            return 0;
        }
        let call = moving.call;
        let takes_ms = (missing * 1_000).checked_div(rate).unwrap_or(0);
        (slot.shard, slot.moving, slot.arrived) = (to, None, Some((self.now_ms, call)));
        for shard in [from, to] {
            if let Some(shard) = self.shards.get_mut(shard) {
                shard.version += 1;
            }
        }
        trace.note(self.now_ms, format_args!("slot {at} moved from shard {from} to shard {to}"));
        self.gossip();
        let left = self.owners();
        if self.owned(from) == 0 && left < LEAST_OWNERS {
            mishaps.push(Mishap::TooFewOwners { left, cause: Cause::Call(call) });
        }
        left_ms.saturating_sub(takes_ms)
    }

    /// Shards that stay, and that have a primary.
    fn staying(&self) -> impl Iterator<Item = usize> {
        (0..self.shards.len()).filter(|shard| {
            let stays = self.primary(*shard).is_some_and(|node| !node.forgotten && node.gone.is_none());
            stays && !self.leaves(*shard)
        })
    }

    /// How many slots a shard has, or is about to have.
    fn held(&self, shard: usize) -> usize {
        let goes = |slot: &&super::Slot| slot.moving.as_ref().map_or(slot.shard, |it| it.to) == shard;
        self.slots.iter().filter(goes).count()
    }

    /// How many slots are to be moved onto a shard for an even share.
    pub(super) fn due(&self, shard: usize) -> usize {
        let staying = self.staying().count();
        if staying == 0 || !self.staying().any(|one| one == shard) {
            return 0;
        }
        (self.slots.len() / staying).saturating_sub(self.held(shard))
    }

    /// The shard that would take the next slot of one that is emptied.
    pub(super) fn least_loaded(&self, not: usize) -> Option<usize> {
        let able = self.staying().filter(|shard| *shard != not && self.can_take(*shard));
        able.min_by_key(|shard| (self.held(*shard), *shard))
    }

    fn most_loaded(&self) -> Option<usize> {
        let able = (0..self.shards.len()).filter(|shard| self.serves(*shard));
        able.max_by_key(|shard| (self.held(*shard), Reverse(*shard)))
    }
}
