//! Turns raw answers into a report. Pure, and independent of the order in which the members answered.

use super::agreement::{Agreement, Disagreement, Heard, agree};
use super::alarm;
use super::survey::{Registered, Survey, hex, normal_url};
use plimsoll_core::observation::{
    PlatformReport, Reading, Source, SystemGroup, SystemMember, SystemPlacement, SystemReport,
};
use plimsoll_wire::alarm::{ALARMS, Alarm};
use plimsoll_wire::fact::{Authority, Gap};
use plimsoll_wire::journal::Join;
use plimsoll_wire::snapshot::{GroupKind, GroupModel, Hosted, Lifecycle, PlacementState, Role};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The name of etcd's one group.
pub(super) const GROUP: &str = "control";

/// Puts the answers together.
pub(super) fn assemble(survey: &Survey, platform: &PlatformReport) -> SystemReport {
    if platform.slots.value().is_none() {
        return without(&Disagreement {
            gap: Gap::NotScraped,
            detail: "the platform does not tell where the members are".to_owned(),
        });
    }
    match agree(survey) {
        Ok(agreement) => View::new(&agreement, platform).report(),
        Err(disagreement) => without(&disagreement),
    }
}

/// A report in which everything is missing for one reason.
fn without(why: &Disagreement) -> SystemReport {
    SystemReport {
        fingerprint: gap(why),
        epoch: gap(why),
        members: gap(why),
        groups: gap(why),
        operations: gap(why),
        shards: Reading::NotApplicable,
        debts: gap(why),
        join: gap(why),
        facts: [ALARMS, "confirmedBy", "strangers", "versions"]
            .into_iter()
            .map(|name| (name.to_owned(), gap(why)))
            .collect(),
    }
}

fn gap<T>(why: &Disagreement) -> Reading<T> {
    Reading::gap(why.gap.clone(), why.detail.clone())
}

/// What the members agree on, seen together with the platform's places.
struct View<'a> {
    agreement: &'a Agreement,
    /// The place of each peer address; none where two places claim it.
    slots: BTreeMap<String, Option<Arc<str>>>,
    /// A majority that answered linearizable reads.
    quorum: Source,
}

impl<'a> View<'a> {
    fn new(agreement: &'a Agreement, platform: &PlatformReport) -> Self {
        let used = platform.slots.value().into_iter().flatten().map(|slot| (&slot.slot, &slot.endpoints));
        let vacant = platform.vacant.value().into_iter().flatten().map(|slot| (&slot.slot, &slot.endpoints));
        let mut slots: BTreeMap<String, Option<Arc<str>>> = BTreeMap::new();
        for (slot, endpoints) in used.chain(vacant) {
            let Some(peer) = endpoints.get("peer") else { continue };
            slots
                .entry(normal_url(peer))
                .and_modify(|known| {
                    if known.as_ref() != Some(slot) {
                        *known = None;
                    }
                })
                .or_insert_with(|| Some(slot.clone()));
        }
        let quorum = Source::new(Authority::Consensus, "etcd quorum", agreement.quorum_up_ms);
        Self { agreement, slots, quorum }
    }

    fn report(&self) -> SystemReport {
        SystemReport {
            fingerprint: self.quorum.tells(hex(self.agreement.cluster)),
            epoch: self.quorum.tells(self.agreement.epoch()),
            members: self.quorum.tells(self.agreement.members.values().map(|it| self.member(it)).collect()),
            groups: self.quorum.tells(vec![self.group()]),
            // etcd runs no operation of its own: a change of membership is committed or it is not.
            operations: self.quorum.tells(Vec::new()),
            // It keeps nothing for members that left.
            shards: Reading::NotApplicable,
            debts: self.quorum.tells(Vec::new()),
            join: self.join(),
            facts: self.facts(),
        }
    }

    fn heard(&self, id: u64) -> Option<&Heard> {
        self.agreement.heard.get(&id)
    }

    /// The others' word about a member, where enough of them speak.
    fn survivors(&self, id: u64) -> Option<Source> {
        self.agreement.survivors_speak(id).then(|| {
            let observer = format!("etcd members other than {}", hex(id));
            Source::new(Authority::Survivors, observer, self.agreement.quorum_up_ms)
        })
    }

    fn own(&self, id: u64) -> Option<Source> {
        self.heard(id).map(|heard| Source::new(Authority::Own, hex(id), heard.up_ms))
    }

    fn slot_of(&self, member: &Registered) -> Option<Arc<str>> {
        let places: BTreeSet<&Arc<str>> =
            member.peer_urls.iter().filter_map(|url| self.slots.get(url)?.as_ref()).collect();
        let mut places = places.into_iter();
        match (places.next(), places.next()) {
            (Some(slot), None) => Some(slot.clone()),
            (None, _) | (Some(_), Some(_)) => None,
        }
    }

    fn member(&self, member: &Registered) -> SystemMember {
        let own = self.own(member.id);
        SystemMember {
            id: hex(member.id).into(),
            slot: self.slot_of(member),
            lifecycle: self.lifecycle(member),
            alive: self.alive(member),
            roles: self.roles(member),
            hosted: self.hosted(member),
            load_bytes: match (&own, self.heard(member.id)) {
                (Some(own), Some(heard)) => own.tells(heard.status.db_bytes),
                _ => self.silent(member),
            },
            // Every member has all data already, so that nothing leaves one when it goes.
            drain_bytes_per_s: Reading::NotApplicable,
            ..SystemMember::default()
        }
    }

    /// No reading of a member that did not answer.
    fn silent<T>(&self, member: &Registered) -> Reading<T> {
        Reading::gap(Gap::Error, format!("member {} does not answer", hex(member.id)))
    }

    fn alive(&self, member: &Registered) -> Reading<bool> {
        match (self.own(member.id), self.survivors(member.id)) {
            (Some(own), _) => own.tells(true),
            (None, Some(survivors)) => survivors.tells(false),
            (None, None) => self.silent(member),
        }
    }

    fn lifecycle(&self, member: &Registered) -> Reading<Lifecycle> {
        let confirmed = self.agreement.confirmed.contains(&member.id);
        match (self.own(member.id), self.survivors(member.id)) {
            (None, _) if member.is_unstarted() => self.quorum.tells(Lifecycle::Provisioning),
            (Some(_), _) if member.learner => self.quorum.tells(Lifecycle::CatchingUp),
            // It answered a linearizable read, so that it had everything that was committed until then.
            (Some(own), _) if confirmed => own.tells(Lifecycle::Serving),
            (Some(own), _) => own.tells(Lifecycle::CatchingUp),
            (None, Some(survivors)) => survivors.tells(Lifecycle::Dead),
            (None, None) => self.silent(member),
        }
    }

    fn roles(&self, member: &Registered) -> Reading<BTreeSet<Role>> {
        if member.learner {
            return self.quorum.tells(BTreeSet::from([Role::Learner]));
        }
        match &self.agreement.leader {
            Ok(leader) if *leader == member.id => {
                self.quorum.tells(BTreeSet::from([Role::Voter, Role::Leader]))
            }
            Ok(_) => self.quorum.tells(BTreeSet::from([Role::Voter])),
            Err(why) => gap(why),
        }
    }

    fn hosted(&self, member: &Registered) -> Reading<Hosted> {
        let leaders = match &self.agreement.leader {
            Ok(leader) => u64::from(*leader == member.id),
            Err(why) => return gap(why),
        };
        let started = !member.is_unstarted() || self.heard(member.id).is_some();
        self.quorum.tells(Hosted { copies: u64::from(started), leaders, ..Hosted::default() })
    }

    fn group(&self) -> SystemGroup {
        let votes = u32::try_from(self.agreement.voters().count()).unwrap_or(u32::MAX);
        let need = u32::try_from(self.agreement.need).unwrap_or(u32::MAX);
        SystemGroup {
            id: GROUP.into(),
            kind: GroupKind::Control,
            model: GroupModel::StaticMajority,
            target_copies: self.quorum.tells(votes),
            min_ack: self.quorum.tells(need),
            placements: self
                .quorum
                .tells(self.agreement.members.values().map(|member| self.placement(member)).collect()),
            leader: match &self.agreement.leader {
                Ok(leader) => self.quorum.tells(hex(*leader).into()),
                Err(why) => gap(why),
            },
            // etcd numbers no configurations; the epoch names each one instead.
            config_version: Reading::NotApplicable,
            // One change at a time, never a joint configuration.
            in_joint_config: self.quorum.tells(false),
            // A write is acknowledged when a majority has it on disk.
            open: self.quorum.tells(false),
        }
    }

    fn placement(&self, member: &Registered) -> SystemPlacement {
        let state = if member.learner {
            PlacementState::Learner
        } else if self.agreement.confirmed.contains(&member.id) {
            // A member answers a linearizable read only once it has applied all that was committed when the
            // read began: that proves it in sync, which two numbers read at two moments cannot.
            PlacementState::InSync
        } else if self.heard(member.id).is_some_and(|heard| heard.status.leader != 0) {
            PlacementState::CatchingUp
        } else {
            PlacementState::Stale
        };
        let (lag, progress_permille) = self.progress(member);
        SystemPlacement {
            member: hex(member.id).into(),
            weight: u32::from(!member.learner),
            state,
            lag,
            progress_permille,
        }
    }

    /// How many entries a member is behind, and how far it has come.
    fn progress(&self, member: &Registered) -> (Reading<u64>, Reading<u32>) {
        let (Some(heard), Some(own)) = (self.heard(member.id), self.own(member.id)) else {
            return (self.silent(member), self.silent(member));
        };
        let Some(committed) = self.agreement.committed() else {
            let why = "the leader's index is not known";
            return (Reading::gap(Gap::Error, why), Reading::gap(Gap::Error, why));
        };
        let applied = heard.status.applied.min(committed);
        let permille = applied.saturating_mul(1000) / committed;
        let permille = u32::try_from(permille).unwrap_or(1000);
        (own.tells(committed - applied), own.tells(permille))
    }

    /// What the one member that is registered and not started needs to join.
    fn join(&self) -> Reading<Join> {
        let waiting: Vec<&Registered> =
            self.agreement.members.values().filter(|member| member.is_unstarted()).collect();
        let [newcomer] = waiting.as_slice() else {
            return match waiting.len() {
                0 => Reading::gap(Gap::NotScraped, "no registered member waits to be started"),
                several => Reading::gap(
                    Gap::Conflicting,
                    format!("{several} registered members wait to be started; etcd starts one at a time"),
                ),
            };
        };
        let Some(slot) = self.slot_of(newcomer) else {
            let urls = newcomer.peer_urls.join(", ");
            let detail = format!("no slot of the platform has the peer address {urls}");
            return Reading::gap(Gap::Conflicting, detail);
        };
        let cluster: Vec<String> = self
            .agreement
            .members
            .values()
            .flat_map(|member| {
                let name =
                    if member.id == newcomer.id { slot.to_string() } else { self.join_name(member, &slot) };
                member.peer_urls.iter().map(move |url| format!("{name}={url}"))
            })
            .collect();
        let others = self.agreement.members.values().filter(|member| member.id != newcomer.id);
        let payload = json!({
            "initialCluster": cluster.join(","),
            "initialClusterState": "existing",
            "name": &*slot,
        });
        let contacts = others.flat_map(|member| member.peer_urls.iter().cloned()).collect();
        self.quorum.tells(Join { existing: true, contacts, payload })
    }

    /// A name for the newcomer's list. etcd compares members there by address; it reads the list by name, so
    /// that names must be unique and free of its separators.
    fn join_name(&self, member: &Registered, newcomer: &str) -> String {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        let same = self.agreement.members.values().filter(|other| other.name == member.name).count();
        if member.name.chars().all(plain) && same == 1 && member.name != newcomer {
            member.name.clone()
        } else {
            format!("member-{}", hex(member.id))
        }
    }

    fn facts(&self) -> BTreeMap<String, Reading<Value>> {
        // etcd keeps them as it keeps its data: each member tells those of all.
        let errors = self.agreement.heard.values().flat_map(|heard| &heard.status.errors);
        let alarms: BTreeSet<Alarm> = errors.filter_map(|error| alarm::parse(error)).collect();
        let versions: BTreeMap<String, &str> = self
            .agreement
            .heard
            .iter()
            .map(|(id, heard)| (hex(*id), heard.status.version.as_str()))
            .collect();
        let strangers: BTreeMap<&str, String> =
            self.agreement.strangers.iter().map(|(slot, id)| (&**slot, hex(*id))).collect();
        let confirmed: Vec<String> = self.agreement.confirmed.iter().copied().map(hex).collect();
        BTreeMap::from([
            (ALARMS.to_owned(), self.quorum.tells(json!(alarms))),
            ("confirmedBy".to_owned(), self.quorum.tells(json!(confirmed))),
            ("strangers".to_owned(), self.quorum.tells(json!(strangers))),
            ("versions".to_owned(), self.quorum.tells(json!(versions))),
        ])
    }
}

#[cfg(test)]
mod tests;
