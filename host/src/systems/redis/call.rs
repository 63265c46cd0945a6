//! What carries out a verb: a pure decision over what all nodes answered.

use super::RedisSettings;
use super::cordon::{self, Migration};
use super::layout;
use super::planner::{Layout, Move};
use super::report::LEAST_OWNERS;
use super::roles::{self, Part};
use super::survey::{Survey, client, peer};
use super::view::{Cluster, Member, Stranger, conclude};
use crate::systems::address::Endpoint;
use plimsoll_core::observation::PlatformReport;
use plimsoll_wire::journal::{Outcome, SystemVerb};
use plimsoll_wire::snapshot::Endpoints;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What to do about a verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing is to be sent: the end is reached, or cannot be.
    Settled(Outcome),
    /// A new node is made known to the cluster.
    Meet(Box<Meeting>),
    /// A member without slots becomes a replica.
    Follow { member: Contact, master: String, members: Vec<Contact> },
    /// Settings of several members.
    Configure(Vec<(Contact, Migration)>),
    /// Slots move.
    Move(Box<Work>),
    /// The cluster forgets a member.
    Forget { id: String, by: Vec<Contact> },
    /// A replica takes over from its master.
    FailOver { to: Contact },
}

/// A node and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contact {
    pub(super) name: String,
    pub(super) id: String,
    /// Where the daemon reaches it.
    pub(super) at: Endpoint,
    /// Where the other nodes do.
    pub(super) peer: (String, u16),
}

/// A new node and who it is to be known to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meeting {
    pub(super) newcomer: Contact,
    /// Its port for the cluster's own messages.
    pub(super) bus: u16,
    /// Whether it still knows the cluster that it was removed from, and has to forget that first.
    pub(super) reset: bool,
    /// The members; the first of them introduces it.
    pub(super) members: Vec<Contact>,
}

/// Slots that are to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) layout: Layout,
    /// Slots that are on their way already: they are finished first.
    pub(super) open: Vec<Move>,
    pub(super) aim: Aim,
    /// Every member.
    pub(super) members: Vec<Contact>,
    /// How many bytes a key has, on average.
    pub(super) key_bytes: u64,
}

/// What slots move for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// Nothing but to finish what is on its way.
    Finish,
    /// Off this shard.
    Empty(String),
    /// Onto these shards.
    Fill(BTreeSet<String>),
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
    settings: &RedisSettings,
) -> Decision {
    let cluster = match conclude(survey, platform) {
        Ok(cluster) => cluster,
        Err(doubt) => return refuse(doubt.detail),
    };
    // A change that one node has not heard of could be undone by what that node still tells the others.
    if let Some(doubt) = cluster.silence() {
        return refuse(doubt.detail);
    }
    let calls = Calls { cluster: &cluster, survey, replicas: settings.replicas };
    let decided = match verb {
        SystemVerb::Admit { slot, .. } => calls.admit(slot),
        SystemVerb::Cordon { member } => calls.cordon(member),
        SystemVerb::Uncordon { member } => calls.uncordon(member),
        SystemVerb::Drain { member } => calls.drain(member),
        SystemVerb::Spread { onto } => calls.spread(onto),
        SystemVerb::Deregister { member } => calls.deregister(member),
        SystemVerb::MoveLeader { from, to, .. } => calls.move_leader(from, to.as_deref()),
        // Nothing moves by itself: what a drain has left on its way is finished by whatever comes next.
        SystemVerb::CancelDrain { .. } => Ok(DONE),
        SystemVerb::Register { .. }
        | SystemVerb::Promote { .. }
        | SystemVerb::Barrier
        | SystemVerb::Rebalance
        | SystemVerb::PayDebt { .. } => Err(format!("Redis has no `{}`", verb.kind())),
    };
    decided.unwrap_or_else(refuse)
}

struct Calls<'a> {
    cluster: &'a Cluster<'a>,
    survey: &'a Survey,
    replicas: u32,
}

type Decided = Result<Decision, String>;

impl Calls<'_> {
    fn admit(&self, slot: &str) -> Decided {
        let here =
            self.cluster.members.iter().find(|member| member.place.is_some_and(|place| **place == *slot));
        if let Some(member) = here {
            return match roles::part(self.cluster, member.id, self.replicas) {
                // It would not know its master everywhere.
                _ if self.cluster.views != 1 => Ok(DONE),
                Some(Part::Replica(master)) => Ok(Decision::Follow {
                    member: contact(member)?,
                    master,
                    members: self.contacts(|_| true)?,
                }),
                Some(Part::Master) | None => Ok(DONE),
            };
        }
        self.agree()?;
        let (answer, reset) = match self.cluster.strangers.get(slot) {
            Some(Stranger::Fresh(answer)) => (answer, false),
            Some(Stranger::Former(answer)) => (answer, true),
            Some(Stranger::Barred(why)) => return Err(format!("{slot} may not be admitted: {why}")),
            None => return Err(self.absent(slot)),
        };
        let read = answer.reading.as_ref().map_err(Clone::clone)?;
        let own = read.view.own().ok_or_else(|| format!("{slot} does not tell its own address"))?;
        let newcomer = contact_of(&answer.place, &read.id, &answer.endpoints)?;
        let members = self.contacts(|_| true)?;
        Ok(Decision::Meet(Box::new(Meeting { newcomer, bus: own.bus, reset, members })))
    }

    fn absent(&self, slot: &str) -> String {
        let answer = self.survey.answers.iter().find(|answer| *answer.place == *slot);
        match answer.map(|answer| &answer.reading) {
            Some(Err(why)) => format!("{slot} does not answer yet: {why}"),
            Some(Ok(_)) | None => format!("the platform runs nothing in {slot}"),
        }
    }

    /// Marks the whole shard, so that no member of it changes sides when the last slot has gone.
    fn cordon(&self, id: &str) -> Decided {
        self.configure(id, |answers| {
            cordon::before(&answers.settings).is_none().then(|| cordon::mark(&answers.settings))
        })
    }

    fn uncordon(&self, id: &str) -> Decided {
        let shard: BTreeSet<&str> = self.cluster.shard_of(id).iter().map(|member| member.id).collect();
        let open = layout::open(self.cluster);
        if open.iter().any(|open| shard.contains(&*open.from) || shard.contains(&*open.to)) {
            return self.work(Aim::Finish);
        }
        self.configure(id, |answers| cordon::before(&answers.settings))
    }

    fn configure(&self, id: &str, next: impl Fn(&super::reading::Answers) -> Option<Migration>) -> Decided {
        let mut changes = Vec::new();
        for member in self.cluster.shard_of(id) {
            // Whoever has failed has forgotten, and takes no slot back.
            let Ok(answers) = member.reading else { continue };
            if let Some(migration) = next(answers) {
                changes.push((contact(member)?, migration));
            }
        }
        Ok(if changes.is_empty() { DONE } else { Decision::Configure(changes) })
    }

    fn drain(&self, id: &str) -> Decided {
        let Some(master) = self.cluster.master_of(id) else { return Ok(DONE) };
        let busy =
            layout::open(self.cluster).iter().any(|open| open.from == master.id || open.to == master.id);
        if master.most == 0 && !busy {
            return Ok(DONE);
        }
        let open = self.cluster.shard_of(id).into_iter().find(|member| !member.is_cordoned());
        if let Some(member) = open {
            return Err(format!(
                "{} is not cordoned: it could change sides when its last slot has gone",
                member.name()
            ));
        }
        let stays = self.cluster.masters().filter(|one| one.id != master.id && !one.node.slots.is_empty());
        let stays = stays.filter(|one| !one.is_cordoned() && !one.node.failed).count();
        if stays < usize::try_from(LEAST_OWNERS).unwrap_or(usize::MAX) {
            return Err(format!("{stays} masters would be left, {LEAST_OWNERS} have to agree on a failover"));
        }
        self.work(Aim::Empty(master.id.to_owned()))
    }

    fn spread(&self, onto: &[Arc<str>]) -> Decided {
        let layout = layout::of(self.cluster, self.replicas);
        let wanted = |id: &str| layout.due(id) > 0 || onto.iter().any(|one| **one == *id);
        let onto: BTreeSet<String> =
            layout.shards.iter().map(|shard| shard.id.clone()).filter(|id| wanted(id)).collect();
        self.work(Aim::Fill(onto))
    }

    fn work(&self, aim: Aim) -> Decided {
        self.agree()?;
        let layout = layout::of(self.cluster, self.replicas);
        let open = layout::open(self.cluster);
        if let Some(pair) =
            open.windows(2).find(|pair| pair.first().map(|one| one.slot) == pair.last().map(|one| one.slot))
        {
            let slot = pair.first().map_or(0, |one| one.slot);
            return Err(format!(
                "slot {slot} is on its way to two nodes: close it with `redis-cli --cluster fix`"
            ));
        }
        if let Some(open) =
            open.iter().find(|open| !layout::is_ours(self.cluster, &layout, open) && !self.is_owner(open))
        {
            return Err(format!(
                "slot {} is on its way from {} to {}, and no plan of ours moves it: finish it with `redis-cli --cluster fix`",
                open.slot, open.from, open.to
            ));
        }
        let (data, keys) = self.cluster.masters().filter_map(|master| master.reading.ok()).fold(
            (0_u64, 0_u64),
            |(data, keys), answers| {
                (data.saturating_add(answers.memory.data), keys.saturating_add(answers.keys))
            },
        );
        Ok(Decision::Move(Box::new(Work {
            layout,
            open,
            aim,
            members: self.contacts(|_| true)?,
            key_bytes: data.checked_div(keys).unwrap_or(0).max(1),
        })))
    }

    /// Whether who takes a slot owns it already: only the mark is left of the move.
    fn is_owner(&self, open: &Move) -> bool {
        self.cluster.member(&open.to).is_some_and(|member| member.node.slots.has(open.slot))
    }

    /// Every node that stays forgets it, or none is asked to.
    fn deregister(&self, id: &str) -> Decided {
        let Some(member) = self.cluster.member(id) else { return Ok(DONE) };
        if let Some(silent) = self.cluster.members.iter().find(|one| one.id != id && one.reading.is_err()) {
            // Failed or not, it would tell the others of the member again once it is back.
            return Err(format!("{} does not answer, and would bring {} back", silent.name(), member.name()));
        }
        if let Some(replica) = self.cluster.replicas(id).next() {
            return Err(format!("{} replicates {}: it goes first", replica.name(), member.name()));
        }
        if member.most > 0 {
            return Err(format!("{} owns {} slots by some view", member.name(), member.most));
        }
        if layout::open(self.cluster).iter().any(|open| open.from == id || open.to == id) {
            return Err(format!("a slot is on its way from or to {}", member.name()));
        }
        if let Ok(answers) = member.reading
            && answers.keys > 0
            && member.is_master()
        {
            return Err(format!("{} owns no slot, and holds {} keys", member.name(), answers.keys));
        }
        Ok(Decision::Forget { id: id.to_owned(), by: self.contacts(|other| other.id != id)? })
    }

    fn move_leader(&self, from: &str, to: Option<&str>) -> Decided {
        let to = to.ok_or("Redis has to be told who leads next")?;
        let member = self.cluster.member(to).ok_or_else(|| format!("{to} is no member"))?;
        if member.is_master() {
            return match self.cluster.member(from) {
                Some(before) if before.node.master.as_deref() == Some(to) => Ok(DONE),
                Some(_) | None => {
                    Err(format!("{} is a master already, and not that of {from}", member.name()))
                }
            };
        }
        if member.node.master.as_deref() != Some(from) {
            return Err(format!("{} does not replicate {from}", member.name()));
        }
        if !member.is_linked() {
            return Err(format!("{} is not linked to its master", member.name()));
        }
        self.agree()?;
        Ok(Decision::FailOver { to: contact(member)? })
    }

    /// All nodes see the same cluster.
    fn agree(&self) -> Result<(), String> {
        if self.cluster.views == 1 {
            return Ok(());
        }
        let doubt = self.cluster.members.iter().find_map(|member| member.doubt.clone());
        Err(doubt.unwrap_or_else(|| format!("there are {} views of the cluster", self.cluster.views)))
    }

    fn contacts(&self, which: impl Fn(&Member) -> bool) -> Result<Vec<Contact>, String> {
        let alive = self.cluster.members.iter().filter(|member| member.reading.is_ok());
        alive.filter(|member| which(member)).map(contact).collect()
    }
}

fn contact(member: &Member) -> Result<Contact, String> {
    let (Some(place), Some(endpoints)) = (member.place, member.endpoints) else {
        return Err(format!("no place of the platform is known to be that of {}", member.id));
    };
    contact_of(place, member.id, endpoints)
}

fn contact_of(place: &Arc<str>, id: &str, endpoints: &Endpoints) -> Result<Contact, String> {
    let (at, peer) = (client(endpoints)?, peer(endpoints)?);
    Ok(Contact { name: place.to_string(), id: id.to_owned(), at, peer })
}

#[cfg(test)]
mod tests;
