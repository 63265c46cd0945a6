//! The world of the model: a StatefulSet with its version and stamp, an etcd in its pods, the journal and the lease.
//! It is small, has no clock, and judges each effect that it accepts by itself: it shares no code with the judge.

use super::view::{Member, View, name, place};
use plimsoll_core::cycle::journal_digest;
use plimsoll_wire::journal::{Journal, Outcome, PlatformVerb, SystemVerb, Verb};
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What must never happen: the oracles of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Harm {
    /// An effect of a daemon that lost the leadership was accepted after one of its successor: two are effective.
    TwoActors,
    /// N2: the number drops while the member that goes with it votes.
    UndrainedMemberRemoved,
    /// N3: an effect of ours took the majority.
    MajorityLost,
    /// N4: a change of members begins while one of another member is under way.
    ChangesOverlap,
    /// N8: one intent had two effects.
    IntentTwice,
    /// A process starts that the group does not know: it would found a group of its own.
    StrangerStarted,
}

/// What the server checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fencing {
    /// Version and stamp of the StatefulSet, as in production.
    Whole,
    /// Nothing: the world takes whatever comes.
    None,
}

/// Everything but the daemons.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) view: View,
    /// What was to be seen before the last change: what a cache may still show.
    pub(crate) before: View,
    /// The version of the StatefulSet: only ever compared with what was read.
    pub(crate) version: u32,
    /// The epoch on the StatefulSet.
    pub(crate) stamp: u64,
    pub(crate) next_id: u32,
    /// Places of which a change is under way.
    open: BTreeSet<u32>,
    pub(crate) journal: Option<(Arc<Journal>, u64)>,
    /// Who holds the lease.
    pub(crate) lease: Option<usize>,
    /// The newest epoch that has put its stamp there or had an effect.
    pub(crate) actor: u64,
    /// Whose that was. One that raises its own epoch is no other.
    actors_term: u32,
    /// How often a daemon was elected.
    elections: u32,
    /// Intents that had an effect.
    pub(crate) effected: BTreeSet<Arc<str>>,
    pub(crate) harm: Option<Harm>,
    pub(crate) fencing: Fencing,
}

/// A call as the server gets it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) intent: Arc<str>,
    pub(crate) epoch: u64,
    /// Whose it is: what a daemon sends after it was elected anew is another's.
    pub(crate) term: u32,
    pub(crate) verb: Verb,
    /// The version that a write to the StatefulSet was bound to.
    pub(crate) version: u32,
}

impl World {
    /// A healthy group.
    pub(crate) fn new(size: u32, fencing: Fencing) -> Self {
        let members = (0..size).map(|place| (place, Member { id: place + 1, votes: true })).collect();
        let view = View { replicas: size, members, leader: 1, changes: 0 };
        Self {
            before: view.clone(),
            view,
            version: 0,
            stamp: 0,
            next_id: size + 1,
            open: BTreeSet::new(),
            journal: None,
            lease: None,
            actor: 0,
            actors_term: 0,
            elections: 0,
            effected: BTreeSet::new(),
            harm: None,
            fencing,
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut View)) {
        let before = self.view.clone();
        change(&mut self.view);
        self.view.elect();
        if self.view != before {
            self.before = before;
        }
    }

    /// A person changes the size by hand, past us.
    pub(crate) fn edit(&mut self, replicas: u32) {
        self.version += 1;
        self.change(|view| view.replicas = replicas);
        self.close();
    }

    /// Somebody is elected. Which term it is.
    pub(crate) fn elect(&mut self, who: usize) -> u32 {
        self.lease = Some(who);
        self.elections += 1;
        self.elections
    }

    /// Our epoch on the object: it has another version from now on.
    pub(crate) fn stamp(&mut self, epoch: u64, term: u32) {
        self.stamp = epoch;
        self.version += 1;
        self.note_actor(epoch, term);
    }

    fn note_actor(&mut self, epoch: u64, term: u32) {
        if epoch > self.actor {
            (self.actor, self.actors_term) = (epoch, term);
        }
    }

    fn acts(&mut self, epoch: u64, term: u32) {
        if epoch < self.actor && term != self.actors_term {
            self.harm = self.harm.or(Some(Harm::TwoActors));
        }
        self.note_actor(epoch, term);
    }

    /// A call arrives: whether it is accepted is the server's business, whether that does harm is ours.
    pub(crate) fn take(&mut self, call: &Call) -> Outcome {
        let before = self.view.clone();
        let checked = match self.check(call) {
            Ok(subject) => subject,
            Err(message) => return Outcome::Refused { message: message.to_owned() },
        };
        self.acts(call.epoch, call.term);
        if !self.effected.insert(call.intent.clone()) {
            self.harm = self.harm.or(Some(Harm::IntentTwice));
        }
        if let Some(subject) = checked
            && self.open.iter().any(|open| *open != subject)
        {
            self.harm = self.harm.or(Some(Harm::ChangesOverlap));
        }
        if let (Verb::Platform(PlatformVerb::Start { .. }), Some(place)) = (&call.verb, checked)
            && !before.members.contains_key(&place)
        {
            self.harm = self.harm.or(Some(Harm::StrangerStarted));
        }
        self.carry_out(&call.verb);
        let gone = (self.view.replicas..before.replicas)
            .any(|place| self.view.members.get(&place).is_some_and(|member| member.votes));
        if gone {
            self.harm = self.harm.or(Some(Harm::UndrainedMemberRemoved));
        }
        if before.has_majority() && !self.view.has_majority() {
            self.harm = self.harm.or(Some(Harm::MajorityLost));
        }
        self.close();
        Outcome::Applied
    }

    /// As the API server and etcd check it. Gives the place whose member comes or goes.
    fn check(&self, call: &Call) -> Result<Option<u32>, &'static str> {
        let view = &self.view;
        let place = match &call.verb {
            Verb::Platform(PlatformVerb::Start { slot, .. })
            | Verb::Platform(PlatformVerb::Stop { slot, .. }) => {
                return if self.fencing == Fencing::Whole && call.version != self.version {
                    Err("Conflict: the object has been modified")
                } else {
                    Ok(Some(place(slot)))
                };
            }
            _ if !view.has_majority() => return Err("etcdserver: no leader"),
            Verb::System(SystemVerb::Register { slot, .. }) => {
                let place = place(slot);
                if view.members.contains_key(&place) {
                    return Err("etcdserver: Peer URLs already exists");
                }
                if view.has_learner() {
                    return Err("etcdserver: too many learner members in cluster");
                }
                place
            }
            Verb::System(SystemVerb::Promote { member }) => {
                let place = view.find(member).ok_or("etcdserver: member not found")?;
                let learner = view.members.get(&place).is_some_and(|member| !member.votes);
                if !learner || !view.runs(place) {
                    return Err("etcdserver: can only promote a learner member which is in sync with leader");
                }
                place
            }
            Verb::System(SystemVerb::Deregister { member }) => {
                let place = view.find(member).ok_or("etcdserver: member not found")?;
                let mut rest = view.clone();
                rest.members.remove(&place);
                if !rest.has_majority() {
                    return Err("etcdserver: re-configuration failed due to not enough started members");
                }
                place
            }
            Verb::System(SystemVerb::MoveLeader { from, to, .. }) => {
                let heir = to.as_ref().and_then(|to| view.find(to)).is_some_and(|place| view.runs(place));
                return if *name(view.leader) == **from && heir {
                    Ok(None)
                } else {
                    Err("etcdserver: bad leader transferee")
                };
            }
            Verb::System(SystemVerb::Barrier) => return Ok(None),
            Verb::System(SystemVerb::Cordon { .. })
            | Verb::System(SystemVerb::Uncordon { .. })
            | Verb::System(SystemVerb::Drain { .. })
            | Verb::System(SystemVerb::CancelDrain { .. })
            | Verb::System(SystemVerb::Rebalance)
            | Verb::System(SystemVerb::Admit { .. })
            | Verb::System(SystemVerb::Spread { .. })
            | Verb::System(SystemVerb::PayDebt { .. }) => return Err("there is no such thing"),
        };
        Ok(Some(place))
    }

    fn carry_out(&mut self, verb: &Verb) {
        let next = self.next_id;
        match verb {
            Verb::Platform(PlatformVerb::Start { size_after, slot, .. }) => {
                self.version += 1;
                self.open.insert(place(slot));
                self.change(|view| view.replicas = *size_after);
            }
            Verb::Platform(PlatformVerb::Stop { size_after, .. }) => {
                self.version += 1;
                self.change(|view| view.replicas = *size_after);
            }
            Verb::System(SystemVerb::Register { slot, .. }) => {
                self.next_id += 1;
                let place = place(slot);
                self.open.insert(place);
                self.change(|view| {
                    view.members.insert(place, Member { id: next, votes: false });
                    view.changes += 1;
                });
            }
            Verb::System(SystemVerb::Promote { member }) => self.change(|view| {
                let place = view.find(member);
                if let Some(member) = place.and_then(|place| view.members.get_mut(&place)) {
                    member.votes = true;
                }
                view.changes += 1;
            }),
            Verb::System(SystemVerb::Deregister { member }) => {
                if let Some(place) = self.view.find(member) {
                    self.open.insert(place);
                    self.change(|view| {
                        view.members.remove(&place);
                        view.changes += 1;
                    });
                }
            }
            Verb::System(SystemVerb::MoveLeader { to, .. }) => {
                let place = to.as_ref().and_then(|to| self.view.find(to));
                let heir = place.and_then(|place| self.view.members.get(&place)).map(|member| member.id);
                self.change(|view| view.leader = heir.unwrap_or(view.leader));
            }
            Verb::System(SystemVerb::Barrier)
            | Verb::System(SystemVerb::Cordon { .. })
            | Verb::System(SystemVerb::Uncordon { .. })
            | Verb::System(SystemVerb::Drain { .. })
            | Verb::System(SystemVerb::CancelDrain { .. })
            | Verb::System(SystemVerb::Rebalance)
            | Verb::System(SystemVerb::Admit { .. })
            | Verb::System(SystemVerb::Spread { .. })
            | Verb::System(SystemVerb::PayDebt { .. }) => {}
        }
    }

    /// A change has ended where a voter runs, or nobody is left.
    fn close(&mut self) {
        let view = &self.view;
        self.open.retain(|place| match view.members.get(place) {
            Some(member) => !member.votes || !view.runs(*place),
            None => view.runs(*place),
        });
    }

    /// Writes the journal where it still has this revision.
    pub(crate) fn store(&mut self, expected: Option<u64>, journal: &Arc<Journal>) -> Result<u64, String> {
        let found = self.journal.as_ref().map(|(_, revision)| *revision);
        if found != expected {
            return Err(format!("revision {found:?}, not {expected:?}"));
        }
        let revision = found.unwrap_or(0) + 1;
        self.journal = Some((journal.clone(), revision));
        Ok(revision)
    }
}

impl Hash for World {
    /// Versions, revisions and ids only count: what they decide is hashed with what is compared with them.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self {
            view,
            before,
            version: _,
            stamp,
            next_id,
            open,
            journal,
            lease,
            actor,
            actors_term,
            elections: _,
            effected: _,
            harm,
            fencing: _,
        } = self;
        (view, before, stamp, next_id, open, lease, actor, actors_term, harm).hash(hasher);
        journal.as_ref().map(|(journal, _)| journal_digest(journal)).hash(hasher);
    }
}
