//! Carries out what was decided at several nodes. It decides nothing but that a step took too long.

use super::Access;
use super::call::{Aim, Contact, Meeting, Work, not_sent};
use super::cordon::Migration;
use super::nodes::View;
use super::planner::Move;
use super::reading::Side;
use super::session::{Failure, Session, words};
use super::transfer::{End, Transfer};
use super::view::shape;
use crate::leadership::{Leadership, NOT_LEADING};
use plimsoll_wire::journal::Outcome;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// How long one call moves slots at most. The plan looks at the world and calls again.
const BATCH: Duration = Duration::from_secs(10);
/// How long the nodes are given to see the same after a change; then the next reading says what is.
const GOSSIP: Duration = Duration::from_secs(5);
/// How often a node is asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// Makes a new node known to all members.
pub(super) async fn meet(access: &Access, meeting: &Meeting, deadline: Instant) -> Outcome {
    let Meeting { newcomer, bus, reset, members } = meeting;
    let Some(host) = members.first() else { return not_sent("no member answers") };
    let (name, port) = &newcomer.peer;
    let address = match resolve(name, *port).await {
        Ok(address) => address.to_string(),
        Err(why) => return not_sent(&format!("{}: {why}", newcomer.name)),
    };
    let (by, it) = match (at(access, host, deadline).await, at(access, newcomer, deadline).await) {
        (Ok(by), Ok(it)) => (by, it),
        (Err(why), _) | (_, Err(why)) => return not_sent(&why),
    };
    // A node that holds a key refuses this.
    if *reset && let Err(failure) = it.order(&["CLUSTER", "RESET", "HARD"]).await {
        return named(newcomer, failure).outcome();
    }
    let (port, bus) = (port.to_string(), bus.to_string());
    if let Err(failure) = by.order(&["CLUSTER", "MEET", &address, &port, &bus]).await {
        let failure = named(host, failure);
        return if *reset { Outcome::Unknown { message: failure.words() } } else { failure.outcome() };
    }
    let everybody: Vec<&Contact> = members.iter().chain([newcomer]).collect();
    await_one_view(access, &everybody, members.len() + 1, deadline).await;
    Outcome::Applied
}

/// `CLUSTER MEET` takes no name.
async fn resolve(name: &str, port: u16) -> Result<IpAddr, String> {
    let mut found = tokio::net::lookup_host((name, port)).await.map_err(|error| error.to_string())?;
    found.next().map(|address| address.ip()).ok_or_else(|| format!("{name} has no address"))
}

/// Lets a member replicate a master. One that owns a slot or holds a key refuses.
pub(super) async fn follow(
    access: &Access,
    member: &Contact,
    master: &str,
    members: &[Contact],
    deadline: Instant,
) -> Outcome {
    let session = match at(access, member, deadline).await {
        Ok(session) => session,
        Err(why) => return not_sent(&why),
    };
    if let Err(failure) = session.order(&["CLUSTER", "REPLICATE", master]).await {
        return named(member, failure).outcome();
    }
    await_one_view(access, &members.iter().collect::<Vec<_>>(), members.len(), deadline).await;
    Outcome::Applied
}

/// Sets settings of several members. Each is set again where the call is repeated.
pub(super) async fn configure(
    access: &Access,
    changes: &[(Contact, Migration)],
    deadline: Instant,
) -> Outcome {
    for (at, (member, migration)) in changes.iter().enumerate() {
        let set = async {
            let session = self::at(access, member, deadline).await.map_err(Failure::Refused)?;
            let order = migration.order();
            session
                .order(&order.each_ref().map(String::as_str))
                .await
                .map_err(|failure| named(member, failure))
        };
        match set.await {
            Ok(()) => {}
            Err(failure) if at == 0 => return failure.outcome(),
            Err(failure) => return Outcome::Unknown { message: failure.words() },
        }
    }
    Outcome::Applied
}

/// Lets every node that stays forget a member. All of them must be there before the first is asked: a node that is told after
/// a minute brings the member back to all others.
pub(super) async fn forget(access: &Access, id: &str, by: &[Contact], deadline: Instant) -> Outcome {
    let mut sessions = Vec::new();
    for member in by {
        match at(access, member, deadline).await {
            Ok(session) => sessions.push((member, session)),
            Err(why) => return not_sent(&why),
        }
    }
    let mut failed = Vec::new();
    for (member, session) in &sessions {
        match session.order(&["CLUSTER", "FORGET", id]).await {
            Ok(()) => {}
            Err(Failure::Refused(why)) if why.contains("Unknown node") => {}
            Err(failure) => failed.push(named(member, failure).words()),
        }
    }
    if failed.is_empty() { Outcome::Applied } else { Outcome::Unknown { message: failed.join("; ") } }
}

/// A planned failover: the master stops writes, waits until the replica has everything, and the replica is elected.
pub(super) async fn fail_over(access: &Access, to: &Contact, deadline: Instant) -> Outcome {
    let session = match at(access, to, deadline).await {
        Ok(session) => session,
        Err(why) => return not_sent(&why),
    };
    if let Err(failure) = session.order(&["CLUSTER", "FAILOVER"]).await {
        return named(to, failure).outcome();
    }
    loop {
        match session.side().await {
            Ok(Side::Master { .. }) => return Outcome::Applied,
            Ok(Side::Replica { .. }) if Instant::now() + PAUSE < deadline => tokio::time::sleep(PAUSE).await,
            Ok(Side::Replica { .. }) => {
                return Outcome::Unknown {
                    message: format!("{} was asked, and has not taken over in time", to.name),
                };
            }
            Err(why) => return Outcome::Unknown { message: format!("{}: {why}", to.name) },
        }
    }
}

/// Moves slots for as long as one call may: first those that are on their way.
pub(super) async fn work(
    access: &Access,
    leadership: &Leadership,
    work: &Work,
    deadline: Instant,
) -> Outcome {
    let begun = Instant::now();
    let until = begun + BATCH.min(deadline.saturating_duration_since(begun) / 2);
    let mut transfer = Transfer::new(access, work, until, deadline);
    let (mut layout, mut open) = (work.layout.clone(), work.open.iter());
    while leadership.holds() && Instant::now() < until {
        let next = match (open.next(), &work.aim) {
            (Some(step), _) => Ok(Some(step.clone())),
            (None, Aim::Finish) => Ok(None),
            (None, Aim::Empty(from)) => layout.empties(from),
            (None, Aim::Fill(onto)) => layout.fills(onto),
        };
        let step: Move = match next {
            Ok(Some(step)) => step,
            Ok(None) => break,
            Err(why) if transfer.has_changed() => return Outcome::Unknown { message: why },
            Err(why) => return not_sent(&why),
        };
        match transfer.slot(&step, leadership).await {
            Ok(End::Moved) => layout.note(step.slot, &step.to),
            Ok(End::TimeIsUp) => break,
            Err(failure) if transfer.has_changed() => return Outcome::Unknown { message: failure.words() },
            Err(failure) => return failure.outcome(),
        }
    }
    if !transfer.has_changed() && !leadership.holds() {
        return not_sent(NOT_LEADING);
    }
    drop(transfer);
    let members: Vec<&Contact> = work.members.iter().collect();
    await_one_view(access, &members, members.len(), deadline).await;
    Outcome::Applied
}

/// A session with a member, or why there is none.
pub(super) async fn at(access: &Access, member: &Contact, deadline: Instant) -> Result<Session, String> {
    let session = Session::with(access, &member.at, &member.id, deadline).await;
    session.map_err(|why| format!("{}: {why}", member.name))
}

pub(super) fn named(member: &Contact, failure: Failure) -> Failure {
    match failure {
        Failure::Refused(why) => Failure::Refused(format!("{}: {why}", member.name)),
        Failure::Unknown(why) => Failure::Unknown(format!("{}: {why}", member.name)),
    }
}

/// Waits until these nodes know so many and see the same of them. Gossip takes a moment; what comes next is read anew in any case.
async fn await_one_view(access: &Access, nodes: &[&Contact], wanted: usize, deadline: Instant) {
    let end = deadline.min(Instant::now() + GOSSIP);
    let mut sessions = Vec::new();
    for node in nodes {
        match Session::open(access, &node.at, end).await {
            Ok(session) => sessions.push(session),
            Err(_) => return,
        }
    }
    loop {
        let mut views = Vec::new();
        for session in &sessions {
            let told: Result<String, Failure> = session.ask(&words(&["CLUSTER", "NODES"])).await;
            match told.ok().and_then(|text| View::parse(&text).ok()) {
                Some(view) => views.push(view),
                None => return,
            }
        }
        let first = views.first().map(|view| shape(&view.nodes));
        let alike = views.iter().all(|view| {
            view.handshakes == 0 && view.nodes.len() == wanted && Some(shape(&view.nodes)) == first
        });
        if alike || Instant::now() + PAUSE >= end {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
