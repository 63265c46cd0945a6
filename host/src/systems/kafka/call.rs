//! What carries out a verb: a pure decision over what all brokers answered.

use super::order::{self, Order, Resource};
use super::planner::{self, Move};
use super::reading::{Key, Mark, Moving};
use super::report::{REGISTRATION, SETTINGS};
use super::survey::{Survey, client};
use super::view::{CORDONED, Cluster, FILLED, THROTTLED, conclude};
use crate::systems::address::Endpoint;
use plimsoll_core::observation::PlatformReport;
use plimsoll_wire::journal::{Outcome, SystemVerb};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// As many partitions move at the same time.
const MOST_MOVES: usize = 50;
/// For how many seconds one batch may travel, so that progress is seen and a drain can be taken back.
const BATCH_S: u64 = 15;
/// As many partitions are named in a refusal.
const NAMED: usize = 3;

/// What to do about a verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing is to be sent: the end is reached, or cannot be.
    Settled(Outcome),
    /// In this order, each at its broker.
    Send(Vec<(Endpoint, Order)>),
}

/// What a decision rests on beside the cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    /// The plan that the verb belongs to.
    pub(super) plan: &'a str,
    /// Bytes a second at which a broker sends, and takes, copies that travel.
    pub(super) throttle: u64,
}

/// A verb that was not sent changed nothing.
pub(super) fn not_sent(why: &str) -> Outcome {
    Outcome::Refused { message: format!("not sent: {why}") }
}

/// Decides on a verb. Its end being reached already is success, so that a verb may be given again after a crash.
pub(super) fn decide(
    verb: &SystemVerb,
    survey: &Survey,
    platform: &PlatformReport,
    terms: Terms,
) -> Decision {
    let cluster = match conclude(survey, platform) {
        Ok(cluster) => cluster,
        Err(doubt) => return Decision::Settled(not_sent(&doubt.detail)),
    };
    let calls = Calls { cluster: &cluster, terms };
    let orders = match verb {
        SystemVerb::Cordon { member } => calls.cordon(member),
        SystemVerb::Uncordon { member } => calls.uncordon(member),
        SystemVerb::Drain { member } => calls.drain(member),
        SystemVerb::CancelDrain { member } => calls.cancel(member),
        SystemVerb::Spread { onto } => calls.spread(onto),
        SystemVerb::MoveLeader { group, from, .. } => calls.move_leader(group, from),
        SystemVerb::PayDebt { member, kind } => calls.pay(member, kind),
        SystemVerb::Register { .. }
        | SystemVerb::Admit { .. }
        | SystemVerb::Promote { .. }
        | SystemVerb::Deregister { .. }
        | SystemVerb::Barrier
        | SystemVerb::Rebalance => Err(format!("Kafka has no `{}`", verb.kind())),
    };
    match orders.and_then(|orders| calls.placed(orders)) {
        Err(why) => Decision::Settled(not_sent(&why)),
        Ok(orders) if orders.is_empty() => Decision::Settled(Outcome::Applied),
        Ok(orders) => Decision::Send(orders),
    }
}

type Orders = Result<Vec<Order>, String>;

struct Calls<'a> {
    cluster: &'a Cluster<'a>,
    terms: Terms<'a>,
}

impl Calls<'_> {
    fn id(&self, member: &str) -> Result<i32, String> {
        let id = member.parse().ok().filter(|id| self.cluster.members().contains(id));
        id.ok_or_else(|| format!("there is no broker {member}"))
    }

    /// Each order at the broker that takes it; those that say nothing are left out.
    fn placed(&self, orders: Vec<Order>) -> Result<Vec<(Endpoint, Order)>, String> {
        let says = |order: &Order| match order {
            Order::Set(changes) => !changes.is_empty(),
            Order::Reassign(moves) => !moves.is_empty(),
            Order::Elect(keys) => !keys.is_empty(),
            Order::Unregister(_) => true,
        };
        let at = |order: &Order| {
            let own = match order {
                Order::Set(changes) => changes.keys().find_map(|resource| match resource {
                    Resource::Broker(id) => Some(*id),
                    Resource::Brokers | Resource::Topic(_) => None,
                }),
                Order::Reassign(_) | Order::Elect(_) | Order::Unregister(_) => None,
            };
            let id = own.unwrap_or(self.cluster.speaker.own.id);
            let answer = self.cluster.seen.get(&id).ok_or_else(|| format!("broker {id} does not answer"))?;
            client(&answer.endpoints)
        };
        orders.into_iter().filter(says).map(|order| Ok((at(&order)?, order))).collect()
    }

    fn cordon(&self, member: &str) -> Orders {
        let id = self.id(member)?;
        let broker = self.cluster.broker(id).ok_or_else(|| format!("broker {id} does not answer"))?;
        let mut orders = Vec::new();
        if self.cluster.marked(id, CORDONED) != Some(self.terms.plan) {
            let mark = order::mark(&Mark::new(CORDONED, Some(id), self.terms.plan), true);
            orders.push(Order::Set(BTreeMap::from([(Resource::Brokers, vec![mark])])));
        }
        // An owner who has closed some directories keeps them closed.
        if broker.own.cordoned_dirs.as_deref() == Some("") {
            orders.push(Order::Set(BTreeMap::from([(Resource::Broker(id), order::closed(true).to_vec())])));
        }
        Ok(orders)
    }

    /// The order that opens a broker that we have closed.
    fn open(&self, id: i32) -> Option<Order> {
        let closed = self.cluster.broker(id).is_some_and(|broker| broker.own.closed);
        closed.then(|| Order::Set(BTreeMap::from([(Resource::Broker(id), order::closed(false).to_vec())])))
    }

    /// The broker takes copies again, and nothing of its drain is left where nothing moves any more.
    fn uncordon(&self, member: &str) -> Orders {
        let id = self.id(member)?;
        let mut orders: Vec<Order> = self.open(id).into_iter().collect();
        let bounds = self.cluster.whole.moving.is_empty();
        let marks: Vec<&Mark> = self.cluster.speaker.own.marks.iter().collect();
        let goes = |mark: &&Mark| match mark.word.as_str() {
            CORDONED => mark.broker == Some(id),
            THROTTLED => bounds,
            _ => false,
        };
        let marks: Vec<&Mark> = marks.into_iter().filter(goes).collect();
        orders.extend(order::clear(&self.cluster.whole.topics, &marks));
        Ok(orders)
    }

    /// The marks of bounds.
    fn bounds(&self) -> Vec<&Mark> {
        self.cluster.speaker.own.marks.iter().filter(|mark| mark.word == THROTTLED).collect()
    }

    /// What is under way and is not this plan's bars everything.
    fn nobody_else_moves(&self) -> Result<(), String> {
        let ours =
            |moving: &Moving| self.cluster.owner(moving).is_some_and(|(_, plan)| plan == self.terms.plan);
        let others = self.cluster.whole.moving.iter().filter(|(_, moving)| !ours(moving));
        let names: Vec<Arc<str>> = others.take(NAMED).map(|(key, _)| Cluster::name(key)).collect();
        if names.is_empty() {
            return Ok(());
        }
        Err(format!("a reassignment that is not this plan's is under way: {}", names.join(", ")))
    }

    fn drain(&self, member: &str) -> Orders {
        let id = self.id(member)?;
        self.nobody_else_moves()?;
        if self.cluster.marked(id, CORDONED) != Some(self.terms.plan) {
            return Err(format!("broker {id} does not bear this plan's mark: it is cordoned first"));
        }
        if self.cluster.whole.moving.values().any(|moving| moving.removing.contains(&id)) {
            return Ok(Vec::new());
        }
        let leaving = self.cluster.all_marked(CORDONED);
        let moves = planner::drain(&self.cluster.layout(), &leaving)?;
        let moves = moves.into_iter().filter(|travels| travels.before.contains(&id)).collect();
        self.travel(moves, Vec::new())
    }

    fn spread(&self, onto: &[Arc<str>]) -> Orders {
        self.nobody_else_moves()?;
        if !self.cluster.whole.moving.is_empty() {
            return Ok(Vec::new());
        }
        let mut ids = self.cluster.newcomers();
        for member in onto {
            ids.insert(self.id(member)?);
        }
        let moves = planner::spread(&self.cluster.layout(), &ids, MOST_MOVES);
        if moves.is_empty() {
            return Ok(Vec::new());
        }
        let unmarked = ids.iter().filter(|id| self.cluster.marked(**id, FILLED) != Some(self.terms.plan));
        let marks = unmarked.map(|id| order::mark(&Mark::new(FILLED, Some(*id), self.terms.plan), true));
        let marks: Vec<order::Setting> = marks.collect();
        let marks = (!marks.is_empty()).then_some((Resource::Brokers, marks));
        let mut orders: Vec<Order> = ids.iter().filter_map(|id| self.open(*id)).collect();
        orders.push(Order::Set(marks.into_iter().collect()));
        self.travel(moves, orders)
    }

    /// The next batch of some moves: first what bounds it, then the moves. A partition with a copy that is behind waits.
    fn travel(&self, moves: Vec<Move>, mut orders: Vec<Order>) -> Orders {
        let is_whole = |key: &Key| {
            let partition = self.cluster.speaker.partitions.get(key);
            partition.is_some_and(|one| one.replicas.iter().all(|id| one.isr.contains(id)))
        };
        let (whole, behind): (Vec<Move>, Vec<Move>) = moves.into_iter().partition(|one| is_whole(&one.key));
        if whole.is_empty() && !behind.is_empty() {
            let names: Vec<Arc<str>> = behind.iter().take(NAMED).map(|one| Cluster::name(&one.key)).collect();
            let (many, names) = (behind.len(), names.join(", "));
            return Err(format!(
                "{many} partitions have a copy that is not in sync ({names}): nothing moves before it is"
            ));
        }
        let batch = planner::batch(whole, self.terms.throttle.saturating_mul(BATCH_S), MOST_MOVES);
        // What bounds the rate already is the owner's, unless our mark says otherwise.
        let own = &self.cluster.speaker.own;
        let rate = (!own.rated || !self.bounds().is_empty()).then_some(self.terms.throttle);
        orders.extend(order::throttle(&batch, &self.cluster.whole.topics, rate, self.terms.plan));
        orders.push(Order::Reassign(batch.into_iter().map(|one| (one.key, Some(one.replicas))).collect()));
        Ok(orders)
    }

    /// Takes back what is under way off this broker; what has arrived stays where it is.
    fn cancel(&self, member: &str) -> Orders {
        let id = self.id(member)?;
        let (ours, others): (Vec<_>, Vec<_>) =
            self.cluster.whole.moving.iter().partition(|(_, moving)| {
                moving.removing.contains(&id) && self.cluster.owner(moving).is_some()
            });
        let taken_back = ours.into_iter().map(|(key, _)| (key.clone(), None)).collect();
        let mut orders = vec![Order::Reassign(taken_back)];
        if others.is_empty() {
            orders.extend(order::clear(&self.cluster.whole.topics, &self.bounds()));
        }
        Ok(orders)
    }

    /// The first copy of a partition comes to lead it.
    fn move_leader(&self, group: &str, from: &str) -> Orders {
        let mut all = self.cluster.speaker.partitions.iter();
        let found = all.find(|(key, _)| *Cluster::name(key) == *group);
        let (key, partition) = found.ok_or_else(|| format!("there is no partition {group}"))?;
        if partition.leader.is_some_and(|leader| leader.to_string() != from) {
            return Ok(Vec::new());
        }
        match partition.replicas.first() {
            Some(first) if first.to_string() != from && partition.isr.contains(first) => {
                Ok(vec![Order::Elect(BTreeSet::from([key.clone()]))])
            }
            Some(_) | None => Err(format!("{group} has no first copy that is in sync beside broker {from}")),
        }
    }

    fn pay(&self, member: &str, kind: &str) -> Orders {
        match kind {
            REGISTRATION => {
                let id: i32 = member.parse().map_err(|_| format!("there is no broker {member}"))?;
                if self.cluster.left_over().contains(&id) {
                    return Ok(vec![Order::Unregister(id)]);
                }
                let known = self.cluster.row(id).is_some();
                let why = || format!("broker {id} runs, or holds something: it stays registered");
                if known { Err(why()) } else { Ok(Vec::new()) }
            }
            SETTINGS => self.clear(),
            _ => Err(format!("Kafka owes no `{kind}`")),
        }
    }

    /// Nothing of what bounded moves is left, and brokers that were filled come to lead their share.
    fn clear(&self) -> Orders {
        if !self.cluster.whole.moving.is_empty() {
            return Err("copies are still on their way".to_owned());
        }
        let filled = self.cluster.all_marked(FILLED);
        let led = self.cluster.speaker.partitions.iter().filter(|(_, partition)| {
            let first = partition.replicas.first().copied();
            first.is_some_and(|first| filled.contains(&first) && partition.isr.contains(&first))
                && partition.leader != first
        });
        let mut orders = vec![Order::Elect(led.map(|(key, _)| key.clone()).collect())];
        let due = planner::due(&self.cluster.layout(), &filled);
        let stale = self.cluster.stale(|id| due.get(&id).copied().unwrap_or(0) == 0);
        orders.extend(order::clear(&self.cluster.whole.topics, &stale));
        Ok(orders)
    }
}

#[cfg(test)]
mod tests;
