//! Decides which call carries out a verb and to whom it goes, from what the members agree on. Pure.

use super::agreement::{Agreement, agree};
use super::endpoint::Endpoint;
use super::report::GROUP;
use super::survey::{Registered, Survey, hex, normal_url};
use plimsoll_core::observation::PlatformReport;
use plimsoll_wire::journal::{Outcome, SystemVerb};
use plimsoll_wire::snapshot::Endpoints;

/// One call to one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Register a member without a vote.
    AddLearner {
        /// Where the other members will reach it.
        peer_url: String,
    },
    /// Give a learner its vote. The server refuses while it is behind.
    Promote { member: u64 },
    /// Hand leadership over; only the leader itself can.
    MoveLeader { to: u64 },
    /// Strike a member from the membership.
    Remove { member: u64 },
    /// Commit one write.
    Barrier { value: String },
}

/// What to do about a verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing is to be sent: the end is reached, or cannot be.
    Settled(Outcome),
    /// Send this there.
    Send {
        /// The endpoint for clients of the member that is to carry it out.
        endpoint: Endpoint,
        /// What.
        call: Call,
    },
}

/// A verb that was not sent changed nothing.
pub(super) fn not_sent(why: &str) -> Outcome {
    Outcome::Refused { message: format!("not sent: {why}") }
}

/// Decides on a verb. Its end being reached already is success, so that a verb may be given again after a
/// crash; everything goes to the leader, so that nothing is passed on between members and the one answer is
/// the one that counts.
pub(super) fn decide(
    verb: &SystemVerb,
    intent: &str,
    survey: &Survey,
    platform: &PlatformReport,
) -> Decision {
    let agreement = match agree(survey) {
        Ok(agreement) => agreement,
        Err(disagreement) => return refuse(disagreement.detail),
    };
    let leader = match &agreement.leader {
        Ok(leader) => *leader,
        Err(disagreement) => return refuse(disagreement.detail.clone()),
    };
    match verb {
        SystemVerb::Register { slot, endpoints } => register(slot, endpoints, &agreement, leader, platform),
        SystemVerb::Promote { member } => with_id(member, |id| promote(id, &agreement, leader)),
        SystemVerb::MoveLeader { group, .. } if **group != *GROUP => {
            refuse(format!("etcd has no group {group}"))
        }
        // etcd hands leadership to the member that is named, and chooses none itself.
        SystemVerb::MoveLeader { to: None, .. } => refuse("etcd has to be told who leads next"),
        SystemVerb::MoveLeader { from, to: Some(to), .. } => {
            with_id(from, |from| with_id(to, |to| move_leader(from, to, &agreement, leader)))
        }
        SystemVerb::Deregister { member } => with_id(member, |id| deregister(id, &agreement, leader)),
        SystemVerb::Barrier => to_leader(&agreement, leader, Call::Barrier { value: intent.to_owned() }),
        SystemVerb::Cordon { .. }
        | SystemVerb::Uncordon { .. }
        | SystemVerb::Drain { .. }
        | SystemVerb::CancelDrain { .. }
        | SystemVerb::Rebalance
        | SystemVerb::Admit { .. }
        | SystemVerb::Spread { .. }
        | SystemVerb::PayDebt { .. } => refuse(format!("etcd has no `{}`", verb.kind())),
    }
}

fn register(
    slot: &str,
    endpoints: &Endpoints,
    agreement: &Agreement,
    leader: u64,
    platform: &PlatformReport,
) -> Decision {
    let Some(peer) = endpoints.get("peer") else {
        return refuse(format!("slot {slot} has no `peer` endpoint"));
    };
    let peer_url = normal_url(peer);
    if let Some(member) = agreement.members.values().find(|member| member.peer_urls.contains(&peer_url)) {
        return already_registered(member, &peer_url);
    }
    // A place that the platform does not know could never be started or stopped by it.
    let in_use = platform.slots.value().is_some_and(|slots| slots.iter().any(|known| &*known.slot == slot));
    let vacant = platform.vacant.value().is_some_and(|slots| slots.iter().any(|known| &*known.slot == slot));
    if !in_use && !vacant {
        return refuse(format!("the platform has no slot {slot}"));
    }
    to_leader(agreement, leader, Call::AddLearner { peer_url })
}

fn already_registered(member: &Registered, peer_url: &str) -> Decision {
    if member.learner || member.is_unstarted() {
        return Decision::Settled(Outcome::Applied);
    }
    refuse(format!("{peer_url} belongs to voter {}", hex(member.id)))
}

fn promote(id: u64, agreement: &Agreement, leader: u64) -> Decision {
    match agreement.members.get(&id) {
        None => refuse(format!("{} is no member", hex(id))),
        Some(member) if !member.learner => Decision::Settled(Outcome::Applied),
        Some(_) => to_leader(agreement, leader, Call::Promote { member: id }),
    }
}

fn move_leader(from: u64, to: u64, agreement: &Agreement, leader: u64) -> Decision {
    if leader == to {
        return Decision::Settled(Outcome::Applied);
    }
    if leader != from {
        return refuse(format!("the leader is {}, not {}", hex(leader), hex(from)));
    }
    match agreement.members.get(&to) {
        None => refuse(format!("{} is no member", hex(to))),
        Some(member) if member.learner => refuse(format!("{} is a learner", hex(to))),
        Some(_) => to_leader(agreement, leader, Call::MoveLeader { to }),
    }
}

fn deregister(id: u64, agreement: &Agreement, leader: u64) -> Decision {
    if !agreement.members.contains_key(&id) {
        return Decision::Settled(Outcome::Applied);
    }
    // etcd would do it, and be without a leader for an election. Leadership may have come back since the
    // plan moved it away.
    if id == leader {
        return refuse(format!("{} is the leader", hex(id)));
    }
    to_leader(agreement, leader, Call::Remove { member: id })
}

fn to_leader(agreement: &Agreement, leader: u64, call: Call) -> Decision {
    match agreement.heard.get(&leader) {
        Some(heard) => Decision::Send { endpoint: heard.endpoint.clone(), call },
        None => refuse(format!("the leader {} does not answer", hex(leader))),
    }
}

fn with_id(text: &str, then: impl FnOnce(u64) -> Decision) -> Decision {
    match u64::from_str_radix(text, 16) {
        Ok(id) => then(id),
        Err(_) => refuse(format!("`{text}` is no etcd member id")),
    }
}

fn refuse(why: impl AsRef<str>) -> Decision {
    Decision::Settled(not_sent(why.as_ref()))
}
