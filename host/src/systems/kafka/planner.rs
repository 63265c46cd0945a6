//! Which copies move, and where to. Pure, and deterministic: the same layout gives the same moves.
//!
//! What is kept: a copy moves only off a broker that empties or onto one that has come, so no byte travels that does not have
//! to; no two copies of a partition share a broker; a partition is spread over as many racks as before, or more. What is
//! balanced: copies, bytes and leaders, in the way that operators know from Cruise Control's goals.

use super::reading::Key;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A broker that may hold copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broker {
    pub(super) rack: Option<Arc<str>>,
    /// Whether it may be given more copies.
    pub(super) is_open: bool,
    /// Bytes that it has room for.
    pub(super) room: u64,
}

/// A partition with the copies that it is to have, the one that leads by preference first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) key: Key,
    pub(super) replicas: Vec<i32>,
    pub(super) bytes: u64,
}

/// All brokers and all partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) brokers: BTreeMap<i32, Broker>,
    pub(super) parts: Vec<Part>,
}

/// A partition with new copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) key: Key,
    pub(super) before: Vec<i32>,
    pub(super) replicas: Vec<i32>,
    /// Bytes that travel.
    pub(super) bytes: u64,
}

impl Move {
    /// The brokers that get a copy.
    pub(super) fn adding(&self) -> impl Iterator<Item = i32> {
        self.replicas.iter().copied().filter(|id| !self.before.contains(id))
    }
}

/// What a broker will hold once all that was chosen has moved.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    copies: u64,
    leads: u64,
    bytes: u64,
    /// Bytes that are still to come.
    coming: u64,
}

/// A layout with what brokers will hold.
struct Plan<'a> {
    layout: &'a Layout,
    loads: BTreeMap<i32, Load>,
    /// How many copies of each topic a broker has.
    topics: BTreeMap<(i32, Arc<str>), u64>,
}

impl<'a> Plan<'a> {
    fn new(layout: &'a Layout) -> Self {
        let loads = layout.brokers.keys().map(|id| (*id, Load::default())).collect();
        let mut plan = Self { layout, loads, topics: BTreeMap::new() };
        for part in &layout.parts {
            plan.count(part, &part.replicas, true);
        }
        plan
    }

    fn count(&mut self, part: &Part, replicas: &[i32], is_added: bool) {
        let change = |value: &mut u64, by: u64| {
            *value = if is_added { value.saturating_add(by) } else { value.saturating_sub(by) };
        };
        for (at, id) in replicas.iter().enumerate() {
            let load = self.loads.entry(*id).or_default();
            change(&mut load.copies, 1);
            change(&mut load.bytes, part.bytes);
            change(&mut load.leads, u64::from(at == 0));
            change(self.topics.entry((*id, part.key.0.clone())).or_default(), 1);
        }
    }

    fn load(&self, id: i32) -> Load {
        self.loads.get(&id).copied().unwrap_or_default()
    }

    fn of_topic(&self, id: i32, part: &Part) -> u64 {
        self.topics.get(&(id, part.key.0.clone())).copied().unwrap_or(0)
    }

    fn rack(&self, id: i32) -> Option<&Arc<str>> {
        self.layout.brokers.get(&id)?.rack.as_ref()
    }

    /// Over how many racks some copies are spread. Brokers without a rack are in one of their own.
    fn racks(&self, replicas: &[i32]) -> usize {
        let racks: BTreeSet<_> =
            replicas.iter().map(|id| (self.rack(*id), self.rack(*id).is_none().then_some(id))).collect();
        racks.len()
    }

    fn has_room(&self, id: i32, part: &Part) -> bool {
        let room = self.layout.brokers.get(&id).map_or(0, |broker| broker.room);
        self.load(id).coming.saturating_add(part.bytes) <= room
    }

    fn takes(&self, id: i32, part: &Part, replicas: &[i32]) -> bool {
        let is_open = self.layout.brokers.get(&id).is_some_and(|broker| broker.is_open);
        is_open && !replicas.contains(&id) && self.has_room(id, part)
    }

    /// What each broker that takes copies would have.
    fn share(&self) -> Share {
        let open = self.layout.brokers.iter().filter(|(_, broker)| broker.is_open);
        let loads: Vec<Load> = open.map(|(id, _)| self.load(*id)).collect();
        let many = u64::try_from(loads.len()).unwrap_or(u64::MAX).max(1);
        let sum = |of: fn(&Load) -> u64| loads.iter().map(of).fold(0_u64, u64::saturating_add) / many;
        Share {
            copies: sum(|load| load.copies),
            bytes: sum(|load| load.bytes),
            leads: sum(|load| load.leads),
        }
    }

    /// Carries a move out on paper.
    fn settle(&mut self, part: &Part, replicas: Vec<i32>) -> Move {
        let travels = Move { key: part.key.clone(), before: part.replicas.clone(), replicas, bytes: 0 };
        let added: Vec<i32> = travels.adding().collect();
        self.count(part, &part.replicas, false);
        self.count(part, &travels.replicas, true);
        for id in &added {
            let load = self.loads.entry(*id).or_default();
            load.coming = load.coming.saturating_add(part.bytes);
        }
        let copies = u64::try_from(added.len()).unwrap_or(u64::MAX);
        Move { bytes: part.bytes.saturating_mul(copies), ..travels }
    }
}

/// Takes every copy off some brokers, the largest first.
///
/// # Errors
/// What stands in the way, where a copy has nowhere to go.
pub(super) fn drain(layout: &Layout, leaving: &BTreeSet<i32>) -> Result<Vec<Move>, String> {
    let mut plan = Plan::new(layout);
    let goes = |part: &&Part| part.replicas.iter().any(|id| leaving.contains(id));
    let mut parts: Vec<&Part> = layout.parts.iter().filter(goes).collect();
    parts.sort_by(|a, b| (Reverse(a.bytes), &a.key).cmp(&(Reverse(b.bytes), &b.key)));
    let mut moves = Vec::new();
    for part in parts {
        let mut replicas = part.replicas.clone();
        for at in 0..replicas.len() {
            if replicas.get(at).is_some_and(|id| leaving.contains(id)) {
                let heir = heir(&plan, part, &replicas, at, leaving)?;
                if let Some(place) = replicas.get_mut(at) {
                    *place = heir;
                }
            }
        }
        if part.replicas.first().is_some_and(|first| leaving.contains(first)) {
            lead_by_the_least_loaded(&plan, part, &mut replicas);
        }
        moves.push(plan.settle(part, replicas));
    }
    Ok(moves)
}

/// Who takes the copy at a place of the list.
fn heir(
    plan: &Plan,
    part: &Part,
    replicas: &[i32],
    at: usize,
    leaving: &BTreeSet<i32>,
) -> Result<i32, String> {
    let (topic, number) = &part.key;
    let with = |id: i32| {
        let mut changed = replicas.to_vec();
        if let Some(place) = changed.get_mut(at) {
            *place = id;
        }
        changed
    };
    let stays = |id: &i32| !leaving.contains(id);
    let open: Vec<i32> = plan.layout.brokers.keys().copied().filter(stays).collect();
    let free: Vec<i32> = open.into_iter().filter(|id| !replicas.contains(id)).collect();
    if free.is_empty() {
        let copies = replicas.len();
        return Err(format!(
            "{topic}-{number} has {copies} copies: fewer brokers would be left than it needs"
        ));
    }
    let able: Vec<i32> = free.into_iter().filter(|id| plan.takes(*id, part, replicas)).collect();
    if able.is_empty() {
        return Err(format!(
            "no broker has room for the {} bytes of {topic}-{number} and takes new copies",
            part.bytes
        ));
    }
    let before = plan.racks(replicas);
    let rank = |id: &i32| {
        let load = plan.load(*id);
        (Reverse(plan.racks(&with(*id))), plan.of_topic(*id, part), load.copies, load.bytes, *id)
    };
    let kept = able.into_iter().filter(|id| plan.racks(&with(*id)) >= before);
    kept.min_by_key(rank).ok_or_else(|| {
        format!(
            "{topic}-{number} is spread over {before} racks, and no broker keeps it so: it would share a rack"
        )
    })
}

/// Of the copies that were there before, the one whose broker leads least comes first: it is in sync and can lead at once.
fn lead_by_the_least_loaded(plan: &Plan, part: &Part, replicas: &mut [i32]) {
    let stays = |(_, id): &(usize, &i32)| part.replicas.contains(id);
    let next = replicas.iter().enumerate().filter(stays).min_by_key(|(_, id)| (plan.load(**id).leads, **id));
    if let Some((at, _)) = next {
        replicas.swap(0, at);
    }
}

/// Moves copies onto brokers that have come until each has its even share, each partition at most once; no more than so many.
pub(super) fn spread(layout: &Layout, onto: &BTreeSet<i32>, most: usize) -> Vec<Move> {
    let mut plan = Plan::new(layout);
    let share = plan.share();
    let mut moved = BTreeSet::new();
    let mut moves = Vec::new();
    let open = |id: &i32| layout.brokers.get(id).is_some_and(|broker| broker.is_open);
    for newcomer in onto.iter().copied().filter(open) {
        while moves.len() < most && plan.load(newcomer).copies < share.copies {
            let Some((at, donor)) = next_onto(&plan, newcomer, onto, &moved, &share) else { break };
            let Some(part) = layout.parts.get(at) else { break };
            let replicas = part.replicas.iter().map(|id| if *id == donor { newcomer } else { *id }).collect();
            moved.insert(at);
            moves.push((at, plan.settle(part, replicas)));
        }
    }
    for newcomer in onto.iter().copied().filter(open) {
        lead_a_share(&mut plan, newcomer, share.leads, &mut moves);
    }
    moves.into_iter().map(|(_, travels)| travels).collect()
}

/// How many copies are still to come onto each of some brokers until each has its even share; none where none can move.
pub(super) fn due(layout: &Layout, onto: &BTreeSet<i32>) -> BTreeMap<i32, u64> {
    let plan = Plan::new(layout);
    let share = plan.share();
    let lacks = |id: i32| {
        let lacks = share.copies.saturating_sub(plan.load(id).copies);
        let can = lacks > 0 && next_onto(&plan, id, onto, &BTreeSet::new(), &share).is_some();
        if can { lacks } else { 0 }
    };
    onto.iter().map(|id| (*id, lacks(*id))).collect()
}

/// What each broker has where all have the same.
struct Share {
    copies: u64,
    bytes: u64,
    leads: u64,
}

/// The copy that comes next, and whose it is: from the broker with the most copies, of the topic that the newcomer has least
/// of, of the size that lets bytes and copies come out even together.
fn next_onto(
    plan: &Plan,
    newcomer: i32,
    onto: &BTreeSet<i32>,
    moved: &BTreeSet<usize>,
    share: &Share,
) -> Option<(usize, i32)> {
    let load = plan.load(newcomer);
    let left = share.copies.saturating_sub(load.copies).max(1);
    let ideal = share.bytes.saturating_sub(load.bytes) / left;
    // Where racks leave one donor alone, the two share what they have.
    let gives = |id: &i32| !onto.contains(id) && plan.load(*id).copies > load.copies.saturating_add(1);
    let parts = plan.layout.parts.iter().enumerate();
    let able = parts.filter(|(at, part)| !moved.contains(at) && plan.takes(newcomer, part, &part.replicas));
    let choices = able.flat_map(|(at, part)| {
        let before = plan.racks(&part.replicas);
        part.replicas.iter().copied().filter(gives).filter_map(move |donor| {
            let with: Vec<i32> =
                part.replicas.iter().map(|id| if *id == donor { newcomer } else { *id }).collect();
            (plan.racks(&with) >= before).then(|| {
                let rank = (
                    Reverse(plan.load(donor).copies),
                    plan.of_topic(newcomer, part),
                    part.bytes.abs_diff(ideal),
                    &part.key,
                    donor,
                );
                (rank, at, donor)
            })
        })
    });
    choices.min().map(|(_, at, donor)| (at, donor))
}

/// Of what moves anyway, the newcomer leads as many partitions as an even share has; it gets no more than that.
fn lead_a_share(plan: &mut Plan, newcomer: i32, share: u64, moves: &mut [(usize, Move)]) {
    let layout = plan.layout;
    let mut own: Vec<usize> = (0..moves.len()).collect();
    own.retain(|at| moves.get(*at).is_some_and(|(_, travels)| travels.replicas.contains(&newcomer)));
    loop {
        let leads = plan.load(newcomer).leads;
        let first = |at: &usize| moves.get(*at).and_then(|(_, travels)| travels.replicas.first().copied());
        let change = if leads < share {
            // From whoever leads most.
            let others = own.iter().filter_map(|at| Some((*at, first(at).filter(|id| *id != newcomer)?)));
            let most = others.max_by_key(|(at, id)| (plan.load(*id).leads, Reverse(*at)));
            most.filter(|(_, id)| plan.load(*id).leads > leads.saturating_add(1))
        } else if leads > share {
            // To whoever leads least, where that makes the two more alike.
            let own = own.iter().copied().filter(|at| first(at) == Some(newcomer));
            let least = |at: usize| {
                let others = moves.get(at).map_or(&[][..], |(_, travels)| &travels.replicas);
                others.iter().filter(|id| **id != newcomer).map(|id| plan.load(*id).leads).min()
            };
            let given = own.filter_map(|at| Some((least(at)?, at))).min();
            given.filter(|(least, _)| leads > least.saturating_add(1)).map(|(_, at)| (at, newcomer))
        } else {
            None
        };
        let Some((at, _)) = change else { return };
        let Some((index, travels)) = moves.get_mut(at) else { return };
        let Some(part) = layout.parts.get(*index) else { return };
        let with = travels.replicas.clone();
        let to = if leads < share {
            with.iter().position(|id| *id == newcomer)
        } else {
            let others = with.iter().enumerate().filter(|(_, id)| **id != newcomer);
            others.min_by_key(|(_, id)| (plan.load(**id).leads, **id)).map(|(at, _)| at)
        };
        let Some(to) = to else { return };
        plan.count(part, &with, false);
        travels.replicas.swap(0, to);
        let after = travels.replicas.clone();
        plan.count(part, &after, true);
    }
}

/// The first of some moves: as many as fit into so many bytes and so many partitions, and one in any case.
pub(super) fn batch(moves: Vec<Move>, most_bytes: u64, most: usize) -> Vec<Move> {
    let mut sum = 0_u64;
    let fits = |(at, travels): &(usize, Move)| {
        sum = sum.saturating_add(travels.bytes);
        *at == 0 || (*at < most && sum <= most_bytes)
    };
    moves.into_iter().enumerate().take_while(fits).map(|(_, travels)| travels).collect()
}

#[cfg(test)]
mod tests;
