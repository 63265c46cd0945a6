//! How data moves in a store: drains, repairs, rebalancing, at a bandwidth that both ends share.

use super::{Cause, Copy, Mode, Move, Sharded, Trace};
use std::collections::BTreeSet;

impl Sharded {
    /// Fills copies that are not whole, and ends moves whose new copy is.
    pub(super) fn fill(&mut self, for_ms: u64, trace: &mut Trace) {
        self.notice_lag();
        let mut streams = vec![0_u64; self.nodes.len()];
        let mut flows = Vec::new();
        for (at, shard) in self.shards.iter().enumerate() {
            for copy in shard.copies.iter().filter(|copy| copy.filled.is_some() && self.is_alive(copy.node)) {
                // Data comes from whoever has it all; without such a one nothing can be filled.
                let sources = shard.copies.iter().filter(|source| self.is_in_sync(shard, source));
                let Some(source) = sources.map(|source| source.node).min() else { continue };
                for end in [source, copy.node] {
                    if let Some(count) = streams.get_mut(end) {
                        *count += 1;
                    }
                }
                flows.push((at, source, copy.node));
            }
        }
        for (at, source, target) in flows {
            let busiest = [source, target].iter().filter_map(|end| streams.get(*end)).max().copied();
            let rate = self.pace(target) / busiest.unwrap_or(1).max(1);
            self.flowing = true;
            self.pour(at, target, rate * for_ms / 1_000, trace);
        }
    }

    /// A copy that was away and is behind is brought up to date from where it was.
    fn notice_lag(&mut self) {
        for at in 0..self.shards.len() {
            let Some(shard) = self.shards.get(at) else { continue };
            let behind: Vec<usize> = (0..shard.copies.len())
                .filter(|copy| {
                    shard.copies.get(*copy).is_some_and(|copy| {
                        copy.filled.is_none() && copy.holds < shard.acknowledged && self.is_alive(copy.node)
                    })
                })
                .collect();
            let write_bytes = self.setup.write_bytes;
            let Some(shard) = self.shards.get_mut(at) else { continue };
            for copy in behind {
                let Some(copy) = shard.copies.get_mut(copy) else { continue };
                let missing = (shard.acknowledged - copy.holds).saturating_mul(write_bytes);
                copy.filled = Some(shard.bytes.saturating_sub(missing));
            }
        }
    }

    /// Bytes a second that a member can take now.
    fn pace(&self, node: usize) -> u64 {
        let mut rate = self.setup.bytes_per_s;
        if let Some((_, permille)) = self.slow_moves.filter(|(until_ms, _)| *until_ms > self.now_ms) {
            rate = rate * permille / 1_000;
        }
        let slot = self.nodes.get(node).map(|node| node.slot);
        let slow = self.slow_node.filter(|(of, until_ms, _)| Some(*of) == slot && *until_ms > self.now_ms);
        slow.map_or(rate, |(_, _, permille)| rate * permille / 1_000)
    }

    fn pour(&mut self, at: usize, target: usize, bytes: u64, trace: &mut Trace) {
        let now_ms = self.now_ms;
        if self.nodes.get(target).is_some_and(|node| node.full) {
            return;
        }
        let Some(shard) = self.shards.get_mut(at) else { return };
        let Some(copy) = shard.copies.iter_mut().find(|copy| copy.node == target) else { return };
        let had = copy.filled.unwrap_or(0);
        let filled = had + bytes;
        self.moved_bytes += filled.min(shard.bytes).saturating_sub(had);
        if filled < shard.bytes {
            copy.filled = Some(filled);
            return;
        }
        (copy.filled, copy.holds, copy.arrived_ms) = (None, shard.acknowledged, now_ms);
        shard.version += 1;
        let Some(moving) = shard.moving.take_if(|moving| moving.to == target) else { return };
        if let Some(from) = moving.from {
            let led = shard.leader == Some(from);
            shard.copies.retain(|copy| copy.node != from);
            if led {
                let heir = self.heir(at, Some(from), None);
                if let Some(shard) = self.shards.get_mut(at) {
                    shard.leader = heir;
                }
            }
        }
        trace.note(now_ms, format_args!("shard {at} moved to node {target}"));
        self.forget();
    }

    /// Begins what is to be moved, as much at a time as members take, and notices when nothing is left to do.
    pub(super) fn schedule(&mut self, trace: &mut Trace) {
        self.abandon();
        for at in 0..self.shards.len() {
            if self.shards.get(at).is_some_and(|shard| shard.moving.is_none()) {
                self.begin(at, trace);
            }
        }
        self.spread(trace);
        let away = (0..self.nodes.len()).any(|at| {
            self.nodes.get(at).is_some_and(|node| !node.forgotten)
                && !self.is_alive(at)
                && self.copies_on(at) > 0
        });
        let filling = self.shards.iter().any(|shard| {
            shard.moving.is_some()
                || shard.copies.len() < self.setup.copies
                || shard.copies.iter().any(|copy| copy.filled.is_some() || copy.holds < shard.acknowledged)
        });
        let leaving = self
            .nodes
            .iter()
            .any(|node| !node.forgotten && node.gone.is_none() && !matches!(node.mode, Mode::Serving));
        self.restless = away || filling || leaving || self.rebalance.is_some();
    }

    /// A move whose target has died begins anew.
    fn abandon(&mut self) {
        for at in 0..self.shards.len() {
            let to = self.shards.get(at).and_then(|shard| shard.moving.as_ref()).map(|moving| moving.to);
            let Some(to) = to.filter(|to| !self.is_alive(*to)) else { continue };
            if let Some(shard) = self.shards.get_mut(at) {
                shard.moving = None;
                shard.copies.retain(|copy| copy.node != to);
            }
            self.forget();
        }
    }

    /// What a shard needs, most urgent first: a copy in place of a dead one, then a copy elsewhere than on a
    /// member that is being drained.
    fn begin(&mut self, at: usize, trace: &mut Trace) {
        let Some(shard) = self.shards.get(at) else { return };
        if !shard.copies.iter().any(|copy| self.is_in_sync(shard, copy)) {
            return;
        }
        let dead =
            shard.copies.iter().find_map(|copy| self.is_lost(copy.node).map(|cause| (copy.node, cause)));
        let drained = || {
            shard.copies.iter().find_map(|copy| match self.nodes.get(copy.node).map(|node| &node.mode) {
                Some(Mode::Draining { task, .. }) => Some((copy.node, task.cause)),
                Some(Mode::Serving | Mode::Cordoned) | None => None,
            })
        };
        let (from, cause, wanted) = match (dead, shard.copies.len() < self.setup.copies) {
            (Some((from, cause)), _) => (Some(from), cause, false),
            (None, true) => (None, Cause::Nature, false),
            (None, false) => match drained() {
                Some((from, cause)) => (Some(from), cause, true),
                None => return,
            },
        };
        if let Some(to) = self.target(at, from) {
            self.launch(at, Move { from, to, wanted }, cause, trace);
        }
    }

    /// Whether a member has been dead for long enough for its copies to be made anew, and by whom.
    fn is_lost(&self, node: usize) -> Option<Cause> {
        let node = self.nodes.get(node)?;
        let away_ms = self.now_ms.saturating_sub(node.away_since_ms?);
        (away_ms >= self.setup.dead_after_ms).then(|| node.gone.unwrap_or(Cause::Nature))
    }

    /// Where a copy may go: in a domain that the others are not in, where there is one; then the emptiest.
    fn target(&self, at: usize, from: Option<usize>) -> Option<usize> {
        let shard = self.shards.get(at)?;
        let domain = |node: usize| self.nodes.get(node).map_or("", |node| self.platform.domain(node.slot));
        let others = shard.copies.iter().filter(|copy| Some(copy.node) != from);
        let taken: BTreeSet<&str> = others.map(|copy| domain(copy.node)).collect();
        let holds: BTreeSet<usize> = shard.copies.iter().map(|copy| copy.node).collect();
        let free = (0..self.nodes.len()).filter(|node| {
            self.is_alive(*node)
                && !holds.contains(node)
                && self.nodes.get(*node).is_some_and(|it| matches!(it.mode, Mode::Serving) && !it.full)
                && self.arriving(*node) < self.setup.moves_at_once
        });
        free.min_by_key(|node| (taken.contains(domain(*node)), self.copies_on(*node), *node))
    }

    fn arriving(&self, node: usize) -> usize {
        self.shards.iter().filter(|shard| shard.moving.as_ref().is_some_and(|it| it.to == node)).count()
    }

    fn launch(&mut self, at: usize, moving: Move, cause: Cause, trace: &mut Trace) {
        trace.note(self.now_ms, format_args!("shard {at} goes to node {}", moving.to));
        self.flowing = true;
        if let Some(shard) = self.shards.get_mut(at) {
            let copy = Copy { node: moving.to, holds: 0, filled: Some(0), cause, arrived_ms: 0 };
            shard.copies.push(copy);
            shard.version += 1;
            shard.moving = Some(moving);
        }
    }

    /// Rebalancing: copies go from the fullest to the emptiest until they differ by one; then leaders do.
    fn spread(&mut self, trace: &mut Trace) {
        let Some(task) = self.rebalance.clone() else { return };
        let serving: Vec<usize> = (0..self.nodes.len())
            .filter(|at| {
                self.nodes.get(*at).is_some_and(|it| matches!(it.mode, Mode::Serving)) && self.is_alive(*at)
            })
            .collect();
        while let Some((at, from, to)) = self.lopsided(&serving) {
            self.launch(at, Move { from: Some(from), to, wanted: true }, task.cause, trace);
        }
        if self.shards.iter().any(|shard| shard.moving.is_some()) {
            return;
        }
        self.share_leaders(&serving);
        self.rebalance = None;
        trace.note(self.now_ms, format_args!("balanced"));
    }

    /// A shard whose copy should go from a fuller member to an emptier one, without losing a domain.
    fn lopsided(&self, serving: &[usize]) -> Option<(usize, usize, usize)> {
        // Copies that are about to leave count no more.
        let load = |node: usize| {
            let leaving = self.shards.iter().filter_map(|shard| shard.moving.as_ref());
            self.copies_on(node) - leaving.filter(|moving| moving.from == Some(node)).count()
        };
        let to = serving.iter().copied().min_by_key(|node| (load(*node), *node))?;
        if self.arriving(to) >= self.setup.moves_at_once {
            return None;
        }
        let mut fuller: Vec<usize> =
            serving.iter().copied().filter(|node| load(*node) >= load(to) + 2).collect();
        fuller.sort_by_key(|node| (usize::MAX - load(*node), *node));
        fuller.into_iter().find_map(|from| self.movable(from, to).map(|at| (at, from, to)))
    }

    fn movable(&self, from: usize, to: usize) -> Option<usize> {
        let domain = |node: usize| self.nodes.get(node).map_or("", |node| self.platform.domain(node.slot));
        self.shards.iter().position(|shard| {
            let has = |node: usize| shard.copies.iter().any(|copy| copy.node == node);
            let others: BTreeSet<&str> =
                shard.copies.iter().filter(|copy| copy.node != from).map(|copy| domain(copy.node)).collect();
            let keeps = !others.contains(domain(to)) || others.contains(domain(from));
            shard.moving.is_none() && has(from) && !has(to) && keeps
        })
    }

    fn share_leaders(&mut self, serving: &[usize]) {
        let fair = self.shards.len() / serving.len().max(1);
        for at in 0..self.shards.len() {
            let Some(leader) = self.shards.get(at).and_then(|shard| shard.leader) else { continue };
            let Some(heir) = self.heir(at, Some(leader), None) else { continue };
            let uneven = self.leads(leader) > fair && self.leads(heir) + 1 < self.leads(leader);
            if let Some(shard) = self.shards.get_mut(at).filter(|_| uneven) {
                shard.leader = Some(heir);
            }
        }
    }
}
