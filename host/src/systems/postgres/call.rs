//! What carries out a verb: a pure decision over what all members answered.

use super::handover::{self, Handover, Release};
use super::names::SyncSet;
use super::report::{GROUP, debt_kind};
use super::statement::{self, Guard};
use super::survey::{Survey, client, name_of};
use super::view::{Cluster, Member, Part, conclude};
use crate::systems::address::Endpoint;
use plimsoll_core::observation::PlatformReport;
use plimsoll_wire::journal::{Outcome, SystemVerb};

/// What to do about a verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing is to be sent: the end is reached, or cannot be.
    Settled(Outcome),
    /// One statement; no row back means that the server is not the one that it was for.
    Send { at: Endpoint, statement: String },
    /// Another set of synchronous candidates at the primary.
    SetNames {
        at: Endpoint,
        guard: Guard,
        /// The setting that this was decided on.
        expected: String,
        value: String,
    },
    /// The primary hands over.
    HandOver(Box<Handover>),
    /// A fenced primary takes writes again.
    Release(Box<Release>),
}

/// A verb that was not sent changed nothing.
pub(super) fn not_sent(why: &str) -> Outcome {
    Outcome::Refused { message: format!("not sent: {why}") }
}

fn refuse(why: impl AsRef<str>) -> Decision {
    Decision::Settled(not_sent(why.as_ref()))
}

const DONE: Decision = Decision::Settled(Outcome::Applied);

/// Decides on a verb. Its end being reached already is success, so that a verb may be given again after a crash.
pub(super) fn decide(
    verb: &SystemVerb,
    survey: &Survey,
    platform: &PlatformReport,
    raises: bool,
) -> Decision {
    let cluster = match conclude(survey, platform) {
        Ok(cluster) => cluster,
        Err(doubt) => return refuse(doubt.detail),
    };
    let calls = match Calls::new(&cluster, platform) {
        Ok(calls) => calls,
        Err(why) => return refuse(why),
    };
    match verb {
        SystemVerb::Register { slot, .. } => calls.register(slot),
        SystemVerb::Deregister { member } => calls.deregister(member),
        SystemVerb::Promote { member } => calls.raise(member),
        SystemVerb::Cordon { member } => calls.lower(member),
        SystemVerb::Uncordon { member } => calls.give_back(member, raises),
        SystemVerb::MoveLeader { group, .. } if **group != *GROUP => {
            refuse(format!("PostgreSQL has no group {group}"))
        }
        // Nobody chooses among standbys but who asks.
        SystemVerb::MoveLeader { to: None, .. } => refuse("PostgreSQL has to be told who leads next"),
        SystemVerb::MoveLeader { from, to: Some(to), .. } => calls.move_leader(from, to),
        SystemVerb::PayDebt { member, kind } => calls.pay(member, kind),
        SystemVerb::Drain { .. }
        | SystemVerb::CancelDrain { .. }
        | SystemVerb::Barrier
        | SystemVerb::Admit { .. }
        | SystemVerb::Spread { .. }
        | SystemVerb::Rebalance => refuse(format!("PostgreSQL has no `{}`", verb.kind())),
    }
}

struct Calls<'a> {
    cluster: &'a Cluster<'a>,
    platform: &'a PlatformReport,
    primary: Endpoint,
    guard: Guard,
}

impl<'a> Calls<'a> {
    fn new(cluster: &'a Cluster<'a>, platform: &'a PlatformReport) -> Result<Self, String> {
        let guard = Guard::Primary { system: cluster.system.to_owned(), timeline: cluster.primary.timeline };
        Ok(Self { cluster, platform, primary: client(cluster.primary.endpoints)?, guard })
    }

    fn to_primary(&self, statement: String) -> Decision {
        Decision::Send { at: self.primary.clone(), statement }
    }

    /// Whether the platform runs nobody in the place of this name.
    fn is_vacant(&self, name: &str) -> bool {
        let vacant = self.platform.vacant.value().map_or(&[][..], Vec::as_slice);
        vacant.iter().any(|slot| name_of(&slot.slot).as_deref() == Some(name))
    }

    fn register(&self, place: &str) -> Decision {
        let Some(name) = name_of(place) else {
            return refuse(format!("the place {place} cannot be the name of a replication slot"));
        };
        if self.cluster.member(&name).is_some() {
            return DONE;
        }
        if !self.is_vacant(&name) {
            return refuse(format!("the platform has no vacant place {place}"));
        }
        match self.cluster.primary.reading.keeps.iter().find(|keep| keep.name == name) {
            None => self.to_primary(statement::create_slot(&name, &self.guard)),
            // It was used by one that did not come up, and keeps log for nobody.
            Some(keep) if keep.physical && keep.pid.is_none() => {
                self.to_primary(statement::remake_slot(&name, &self.guard))
            }
            Some(_) => refuse(format!("somebody uses the replication slot {name} already")),
        }
    }

    fn deregister(&self, name: &str) -> Decision {
        match self.cluster.member(name).map(|member| &member.part) {
            None => DONE,
            Some(Part::Registered) if self.is_vacant(name) => {
                self.to_primary(statement::drop_slot(name, &self.guard))
            }
            Some(Part::Registered | Part::Standby(_)) => {
                refuse(format!("{name} is still run by the platform; its replication slot goes after it"))
            }
            Some(Part::Primary | Part::Retired) => refuse(format!("{name} is or was the primary")),
        }
    }

    /// The standby becomes a synchronous candidate.
    fn raise(&self, name: &str) -> Decision {
        let Some(Member { part: Part::Standby(standby), .. }) = self.cluster.member(name) else {
            return refuse(format!("{name} is no standby"));
        };
        match &self.cluster.sync {
            Err(why) => refuse(format!("synchronous_standby_names: {why}")),
            // Nobody has to confirm: then it is all that it can be.
            Ok(None) => DONE,
            Ok(Some(set)) if set.has(name) => DONE,
            Ok(Some(_)) if !standby.fault.is_empty() => refuse(format!("{name}: {}", standby.fault)),
            Ok(Some(_)) if standby.upstream.is_some() => {
                refuse(format!("{name} does not follow the primary: nobody would hear what it confirms"))
            }
            Ok(Some(set)) => self.set_names(&set.with(name)),
        }
    }

    /// No commit waits for the standby any more.
    fn lower(&self, name: &str) -> Decision {
        match self.cluster.member(name).map(|member| &member.part) {
            None | Some(Part::Retired | Part::Registered) => return DONE,
            Some(Part::Primary) => return refuse(format!("{name} is the primary; it hands over first")),
            Some(Part::Standby(_)) => {}
        }
        match &self.cluster.sync {
            Err(why) => refuse(format!("synchronous_standby_names: {why}")),
            Ok(Some(set)) if set.has(name) => match set.without(name) {
                Some(fewer) => self.set_names(&fewer),
                None => refuse(format!("`{set}` needs {name}: as many must confirm as there are candidates")),
            },
            Ok(Some(_) | None) => DONE,
        }
    }

    fn give_back(&self, name: &str, raises: bool) -> Decision {
        match self.cluster.member(name).map(|member| &member.part) {
            Some(Part::Primary) if self.cluster.primary.fenced => {
                match handover::release(self.cluster, &self.primary, &self.guard) {
                    Ok(release) => Decision::Release(Box::new(release)),
                    Err(why) => refuse(why),
                }
            }
            Some(Part::Standby(_)) if raises => self.raise(name),
            Some(Part::Primary | Part::Standby(_)) => DONE,
            Some(Part::Retired | Part::Registered) | None => refuse(format!("{name} does not serve")),
        }
    }

    fn set_names(&self, set: &SyncSet) -> Decision {
        Decision::SetNames {
            at: self.primary.clone(),
            guard: self.guard.clone(),
            expected: self.cluster.primary.reading.own.names.clone(),
            value: set.to_string(),
        }
    }

    fn move_leader(&self, from: &str, to: &str) -> Decision {
        if self.cluster.primary.name == to {
            return DONE;
        }
        if self.cluster.primary.name != from {
            return refuse(format!("the primary is {}, not {from}", self.cluster.primary.name));
        }
        match handover::prepare(self.cluster, &self.primary, &self.guard, to) {
            Ok(handover) => Decision::HandOver(Box::new(handover)),
            Err(why) => refuse(why),
        }
    }

    /// A slot goes only where nobody is run any more and nobody uses it.
    fn pay(&self, name: &str, kind: &str) -> Decision {
        let Some(owed) = self.cluster.owed.iter().find(|owed| owed.name == name && debt_kind(owed) == kind)
        else {
            let keeps = &self.cluster.primary.reading.keeps;
            let left = keeps.iter().any(|keep| keep.name == name) && !self.is_vacant(name);
            return if left { refuse(format!("{name} is run by the platform again")) } else { DONE };
        };
        match &owed.on {
            None => self.to_primary(statement::drop_slot(name, &self.guard)),
            Some(standby) => match self.cluster.member(standby).map(|member| client(member.endpoints)) {
                Some(Ok(at)) => {
                    let guard = Guard::Standby { system: self.cluster.system.to_owned() };
                    Decision::Send { at, statement: statement::drop_slot(name, &guard) }
                }
                Some(Err(why)) => refuse(why),
                None => refuse(format!("{standby} is no member")),
            },
        }
    }
}

#[cfg(test)]
mod tests;
