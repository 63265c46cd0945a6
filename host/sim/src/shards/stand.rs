//! How a cluster stands, for the oracle: what it can still lose, what is lost, and what a call would overlap with.

use super::{MEMBERS, Node, Shards, Slot};
use crate::load::share;
use crate::oracle::{Cause, Margin, Standing};
use crate::platform::State;
use plimsoll_wire::journal::{PlatformVerb, Verb};
use std::sync::Arc;

impl Shards {
    /// A slot on its way is on both shards, a part of it on each: it stands as the weaker one does.
    pub(super) fn margin(&self, slot: &Slot) -> Margin {
        let to = slot.moving.as_ref().map(|moving| moving.to);
        let ends = || std::iter::once(slot.shard).chain(to);
        let least = |counts: &dyn Fn(&Node) -> bool| {
            let each = ends().map(|shard| self.members(shard).filter(|node| counts(node)).count() as i64);
            each.min().unwrap_or(0) - 1
        };
        let live = least(&|node| node.alive && node.whole);
        Margin { live, whole: least(&|node| node.gone.is_none() && node.whole), sure: 0, floor: 1 }
    }

    fn is_kept(&self, shard: usize) -> bool {
        self.members(shard).any(|node| node.gone.is_none() && node.whole)
    }

    /// After members went: the part of a slot that nobody holds any more is lost, and the rest stays where it is.
    pub(super) fn count_losses(&mut self) {
        for at in 0..self.slots.len() {
            let Some(slot) = self.slots.get(at) else { continue };
            let moved = slot.moving.as_ref().map_or(0, |moving| moving.bytes);
            let there = share(slot.acknowledged, moved, slot.bytes);
            let to = slot.moving.as_ref().map(|moving| moving.to);
            let (source, target) = (self.is_kept(slot.shard), to.is_none_or(|to| self.is_kept(to)));
            let mut lost = if source { 0 } else { slot.acknowledged - there };
            lost += if target { 0 } else { there };
            let Some(slot) = self.slots.get_mut(at) else { continue };
            match to {
                Some(to) if !source && target => (slot.shard, slot.moving) = (to, None),
                Some(_) if !target => slot.moving = None,
                Some(_) | None => {}
            }
            if lost > 0 {
                slot.acknowledged -= lost;
                self.losses.push((at, lost));
            }
        }
    }

    pub(super) fn lose(&mut self, place: usize, cause: Cause) {
        if let Some(node) = self.by_place(place).and_then(|at| self.nodes.get_mut(at)) {
            node.gone.get_or_insert(cause);
        }
        self.count_losses();
    }

    /// The member that runs, or last ran, in a place, forgotten or not.
    fn last_in(&self, place: usize) -> Option<&Node> {
        self.nodes.iter().rfind(|node| node.place == place)
    }

    pub(super) fn stands(&self, verb: &Verb) -> Standing {
        let place = self.subject(verb);
        let node = place.and_then(|place| self.by_place(place)).and_then(|at| self.nodes.get(at));
        let node = node.filter(|node| node.gone.is_none());
        let owns = node.is_some_and(|node| self.owned(node.shard) > 0 || self.open_on(node.shard) > 0);
        let is_primary = |node: &Node| self.primary(node.shard).is_some_and(|it| it.name == node.name);
        let followers = node.filter(|node| is_primary(node)).map_or(0, |node| {
            self.members(node.shard).filter(|other| other.name != node.name && other.gone.is_none()).count()
        });
        let volume = place.and_then(|place| self.platform.places().get(place)?.volume.as_ref());
        Standing {
            size: self.platform.size(),
            open: self.open(verb, place),
            subject: place.map(|place| self.platform.name(place)),
            holds: if owns { vec!["slots of its shard"] } else { Vec::new() },
            leads: false,
            followers,
            returning_volume: volume.is_some_and(|volume| volume.removed),
        }
    }

    /// Places whose joining or leaving is under way, and that an effect on this subject may not overlap with. The members
    /// of one shard come together, and go together.
    fn open(&self, verb: &Verb, subject: Option<usize>) -> Vec<Arc<str>> {
        let shard = subject.and_then(|place| self.last_in(place)).map(|node| node.shard);
        let comes = matches!(verb, Verb::Platform(PlatformVerb::Start { .. }));
        let places = self.platform.places().iter().enumerate();
        let is_new = |place: &crate::platform::Place| match place.state {
            State::Booting { .. } => true,
            State::Running => place.volume.is_none(),
            State::Vacant | State::Down { .. } => false,
        };
        let joining: Vec<usize> =
            places.filter(|(at, place)| Some(*at) != subject && is_new(place)).map(|(at, _)| at).collect();
        let joining = if comes && joining.len() < MEMBERS { Vec::new() } else { joining };
        // One that was stopped before it was forgotten is torn out; one that was forgotten still runs.
        let is_torn = |node: &&Node| matches!(node.gone, Some(Cause::Call(_))) && !node.forgotten;
        let runs = |node: &&Node| {
            let place = self.platform.places().get(node.place);
            place.is_some_and(|place| {
                place.state != State::Vacant
                    && place.volume.as_ref().is_some_and(|volume| volume.member == node.name)
            })
        };
        let leaving = self.nodes.iter().filter(|node| {
            is_torn(node) || (node.gone.is_none() && (node.leaves || node.forgotten) && runs(node))
        });
        let others = leaving.filter(|node| comes || Some(node.shard) != shard);
        let others = others.map(|node| node.place).filter(|place| Some(*place) != subject);
        joining.into_iter().chain(others).map(|place| self.platform.name(place)).collect()
    }
}
