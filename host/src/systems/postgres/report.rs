//! From raw answers to a report: pure, and blind to the order in which the members answered.

use super::survey::{Survey, peer};
use super::view::{Cluster, Doubt, Member, Owed, Part, Standby, conclude};
use super::{alarm, cascade};
use plimsoll_core::observation::{
    PlatformReport, Reading, Source, SystemGroup, SystemMember, SystemPlacement, SystemReport,
};
use plimsoll_wire::alarm::ALARMS;
use plimsoll_wire::fact::{Authority, Fact, Gap};
use plimsoll_wire::journal::Join;
use plimsoll_wire::snapshot::{
    Debt, GroupKind, GroupModel, Hosted, Lifecycle, Operation, OperationKind, PlacementState, Role,
    UNKNOWN_OWNER,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The name of the one group: the primary with all who follow it.
pub(super) const GROUP: &str = "replication";
/// What is owed for a slot that nobody uses. On a standby its name follows.
pub(super) const SLOT_DEBT: &str = "replication-slot";

/// Puts the answers together. `raises` says whether standbys are to become synchronous candidates where there are any.
pub(super) fn assemble(survey: &Survey, platform: &PlatformReport, raises: bool) -> SystemReport {
    if platform.slots.value().is_none() {
        return without(&Doubt {
            gap: Gap::NotScraped,
            detail: "the platform does not tell where the members are".to_owned(),
        });
    }
    match conclude(survey, platform) {
        Ok(cluster) => View::new(&cluster, raises).report(platform),
        Err(doubt) => without(&doubt),
    }
}

/// A report in which everything is missing for one reason.
fn without(why: &Doubt) -> SystemReport {
    let facts = [ALARMS, "primary", "faults", "strangers"];
    SystemReport {
        fingerprint: gap(why),
        epoch: gap(why),
        members: gap(why),
        groups: gap(why),
        operations: gap(why),
        shards: Reading::NotApplicable,
        debts: gap(why),
        join: gap(why),
        facts: facts.into_iter().map(|name| (name.to_owned(), gap(why))).collect(),
    }
}

fn gap<T>(why: &Doubt) -> Reading<T> {
    Reading::gap(why.gap.clone(), why.detail.clone())
}

/// The kind of a debt.
pub(super) fn debt_kind(owed: &Owed) -> String {
    match &owed.on {
        None => SLOT_DEBT.to_owned(),
        Some(standby) => format!("{SLOT_DEBT} on {standby}"),
    }
}

struct View<'a> {
    cluster: &'a Cluster<'a>,
    raises: bool,
    /// The primary's word.
    leader: Source,
}

impl<'a> View<'a> {
    fn new(cluster: &'a Cluster<'a>, raises: bool) -> Self {
        let up_ms = cluster.primary.reading.own.up_ms;
        let leader = Source::new(Authority::Leader, cluster.primary.name.as_str(), up_ms);
        Self { cluster, raises, leader }
    }

    fn report(&self, platform: &PlatformReport) -> SystemReport {
        let debt = |owed: &Owed| Debt { kind: debt_kind(owed), member: owed.name.as_str().into() };
        SystemReport {
            fingerprint: self.leader.tells(self.cluster.system.to_owned()),
            epoch: self.leader.tells(self.epoch()),
            members: self.leader.tells(self.cluster.members.iter().map(|one| self.member(one)).collect()),
            groups: self.leader.tells(vec![self.group()]),
            operations: self.leader.tells(self.operations()),
            shards: Reading::NotApplicable,
            debts: self.leader.tells(self.cluster.owed.iter().map(debt).collect()),
            join: self.join(platform),
            facts: self.facts(),
        }
    }

    /// Changes with every change of who the members are, who leads and who confirms.
    fn epoch(&self) -> String {
        let part = |member: &Member| {
            let role = match member.part {
                Part::Primary => "primary",
                Part::Retired => "retired",
                Part::Registered => "registered",
                Part::Standby(_) if self.cluster.confirms(&member.name) => "synchronous",
                Part::Standby(_) => "standby",
            };
            format!("{}:{role}", member.name)
        };
        let parts: Vec<String> = self.cluster.members.iter().map(part).collect();
        format!("{}/{}/{}", self.cluster.system, self.cluster.primary.timeline, parts.join(","))
    }

    /// How many standbys must confirm a commit.
    fn required(&self) -> Option<u32> {
        self.cluster.sync.as_ref().ok().map(|sync| sync.as_ref().map_or(0, |set| set.required))
    }

    /// Whether a standby is still to become a synchronous candidate.
    fn is_to_be_raised(&self, name: &str) -> bool {
        self.raises && matches!(&self.cluster.sync, Ok(Some(set)) if !set.has(name))
    }

    fn own(&self, member: &Member) -> Option<Source> {
        let reading = member.reading.ok()?;
        Some(Source::new(Authority::Own, member.name.as_str(), reading.own.up_ms))
    }

    fn silent<T>(&self, member: &Member) -> Reading<T> {
        let why = member.reading.err().unwrap_or("it does not say");
        Reading::gap(Gap::Error, format!("member {} does not answer: {why}", member.name))
    }

    fn member(&self, member: &Member) -> SystemMember {
        let own = self.own(member);
        SystemMember {
            id: member.name.as_str().into(),
            slot: Some(member.place.clone()),
            lifecycle: self.lifecycle(member),
            alive: self.alive(member),
            roles: self.leader.tells(self.roles(member)),
            hosted: self.hosted(member),
            config_pending: match (&own, member.reading) {
                (Some(own), Ok(reading)) => own.tells(reading.own.pending > 0),
                _ => self.silent(member),
            },
            drain_bytes_per_s: Reading::NotApplicable,
            ..SystemMember::default()
        }
    }

    fn alive(&self, member: &Member) -> Reading<bool> {
        match (self.own(member), &member.part) {
            (Some(own), _) => own.tells(true),
            // Who is silent and gets no log is dead on the primary's word; who gets it is somewhere, and nobody knows how well.
            (None, Part::Standby(standby)) if !standby.streams => self.leader.tells(false),
            (None, Part::Standby(_) | Part::Primary | Part::Retired | Part::Registered) => {
                self.silent(member)
            }
        }
    }

    fn lifecycle(&self, member: &Member) -> Reading<Lifecycle> {
        match &member.part {
            Part::Primary if self.cluster.primary.fenced => self.leader.tells(Lifecycle::Draining),
            Part::Primary => self.leader.tells(Lifecycle::Serving),
            Part::Retired => self.leader.tells(Lifecycle::Draining),
            Part::Registered => self.leader.tells(Lifecycle::Provisioning),
            Part::Standby(standby) => match (member.reading.is_ok(), standby.state) {
                (true, PlacementState::InSync) => self.leader.tells(Lifecycle::Serving),
                (true, _) => self.leader.tells(Lifecycle::CatchingUp),
                (false, _) if standby.streams => self.silent(member),
                (false, _) => self.leader.tells(Lifecycle::Dead),
            },
        }
    }

    fn roles(&self, member: &Member) -> BTreeSet<Role> {
        match &member.part {
            Part::Primary => BTreeSet::from([Role::Leader, Role::Data]),
            Part::Retired => BTreeSet::from([Role::Data]),
            Part::Registered => BTreeSet::from([Role::Learner]),
            Part::Standby(_) if self.cluster.confirms(&member.name) => {
                BTreeSet::from([Role::SyncStandby, Role::Data])
            }
            Part::Standby(Standby { upstream: None, .. }) if self.is_to_be_raised(&member.name) => {
                BTreeSet::from([Role::Learner])
            }
            Part::Standby(_) => BTreeSet::from([Role::Data]),
        }
    }

    /// What a member holds. Who follows a standby would be cut off with it: then nobody knows what hangs on it.
    fn hosted(&self, member: &Member) -> Reading<Hosted> {
        let copies = u64::from(member.part != Part::Registered);
        let leaders = u64::from(member.part == Part::Primary);
        if let Some(below) = cascade::below(self.cluster, member) {
            return Reading::gap(Gap::Conflicting, below);
        }
        self.leader.tells(Hosted { copies, leaders, ..Hosted::default() })
    }

    fn group(&self) -> SystemGroup {
        let copies = match (&self.cluster.sync, self.required()) {
            (Ok(_), Some(required)) => self.leader.tells(required.saturating_add(1)),
            (Err(why), _) => Reading::gap(Gap::Unparsable, format!("synchronous_standby_names: {why}")),
            (Ok(_), None) => Reading::default(),
        };
        let placements = match &self.cluster.sync {
            Ok(_) => {
                self.leader.tells(self.cluster.members.iter().filter_map(|one| self.placement(one)).collect())
            }
            Err(why) => Reading::gap(Gap::Unparsable, format!("synchronous_standby_names: {why}")),
        };
        SystemGroup {
            id: GROUP.into(),
            // The primary's slots say who the members are: who leads it leads the cluster.
            kind: GroupKind::Control,
            model: GroupModel::AsyncPrimary,
            target_copies: copies.clone(),
            min_ack: copies,
            placements,
            leader: self.leader.tells(self.cluster.primary.name.as_str().into()),
            config_version: Reading::NotApplicable,
            in_joint_config: Reading::NotApplicable,
            open: Reading::NotApplicable,
        }
    }

    /// A copy counts for what the group needs where it confirms commits; where nobody has to, each counts. One that follows
    /// another standby is cut off with it and is none.
    fn placement(&self, member: &Member) -> Option<SystemPlacement> {
        let (weight, state, lag) = match &member.part {
            Part::Registered => return None,
            Part::Primary => (1, PlacementState::InSync, Some(0)),
            Part::Retired => (0, PlacementState::Leaving, None),
            Part::Standby(Standby { upstream: Some(_), .. }) => return None,
            Part::Standby(standby) => {
                let counts = self.required() == Some(0) || self.cluster.confirms(&member.name);
                (u32::from(counts), standby.state, standby.lag)
            }
        };
        let unknown = || Reading::gap(Gap::Error, format!("the primary does not stream to {}", member.name));
        Some(SystemPlacement {
            member: member.name.as_str().into(),
            weight,
            state,
            lag: lag.map_or_else(unknown, |lag| self.leader.tells(lag)),
            progress_permille: lag.map_or_else(
                || Reading::gap(Gap::Error, format!("the primary does not stream to {}", member.name)),
                |lag| self.leader.tells(self.permille(lag)),
            ),
        })
    }

    fn permille(&self, lag: u64) -> u32 {
        let all = self.cluster.primary.flushed.0.max(1);
        let parts = u128::from(all.saturating_sub(lag)) * 1_000 / u128::from(all);
        u32::try_from(parts).unwrap_or(1_000)
    }

    /// Base backups that are being taken, of whomever.
    fn operations(&self) -> Vec<Operation> {
        let mut found = Vec::new();
        for member in &self.cluster.members {
            let Ok(reading) = member.reading else { continue };
            for row in reading.followers.iter().filter(|row| row.state == "backup") {
                found.push(Operation {
                    id: format!("backup/{}/{}", member.name, row.pid),
                    kind: OperationKind::Backup,
                    owner: UNKNOWN_OWNER.to_owned(),
                    scope: member.name.clone(),
                    progress_permille: Fact::NotApplicable,
                });
            }
        }
        found
    }

    /// What the one member that is registered and does not run needs to join.
    fn join(&self, platform: &PlatformReport) -> Reading<Join> {
        let slots = platform.slots.value().map_or(&[][..], Vec::as_slice);
        let runs = |member: &Member| slots.iter().any(|slot| slot.slot == member.place && slot.running);
        let waits = |member: &&Member| match &member.part {
            Part::Registered => true,
            Part::Standby(standby) => member.reading.is_err() && !standby.streams && !runs(member),
            Part::Primary | Part::Retired => false,
        };
        let waiting: Vec<&Member> = self.cluster.members.iter().filter(waits).collect();
        let [newcomer] = waiting.as_slice() else {
            return match waiting.len() {
                0 => Reading::gap(Gap::NotScraped, "no registered member waits to be started"),
                several => Reading::gap(Gap::Conflicting, format!("{several} registered members do not run")),
            };
        };
        match peer(self.cluster.primary.endpoints) {
            Ok((host, port)) => self.leader.tells(Join {
                existing: true,
                contacts: self.cluster.primary.endpoints.get("peer").cloned().into_iter().collect(),
                payload: json!({
                    "name": newcomer.name,
                    "slotName": newcomer.name,
                    "primary": { "host": host, "port": port },
                }),
            }),
            Err(why) => {
                Reading::gap(Gap::Error, format!("of the primary {}: {why}", self.cluster.primary.name))
            }
        }
    }

    fn facts(&self) -> BTreeMap<String, Reading<Value>> {
        let primary = &self.cluster.primary;
        let faults: BTreeMap<&str, &str> = self
            .cluster
            .members
            .iter()
            .filter_map(|member| match &member.part {
                Part::Standby(Standby { fault, .. }) if !fault.is_empty() => {
                    Some((member.name.as_str(), fault.as_str()))
                }
                Part::Standby(_) | Part::Primary | Part::Retired | Part::Registered => None,
            })
            .collect();
        let told = json!({
            "name": primary.name,
            "timeline": primary.timeline,
            "version": primary.reading.version,
            "fenced": primary.fenced,
            "synchronousStandbyNames": primary.reading.own.names,
        });
        BTreeMap::from([
            (ALARMS.to_owned(), self.leader.tells(json!(alarm::standing(self.cluster)))),
            ("primary".to_owned(), self.leader.tells(told)),
            ("faults".to_owned(), self.leader.tells(json!(faults))),
            ("strangers".to_owned(), self.leader.tells(json!(self.cluster.strangers))),
        ])
    }
}

#[cfg(test)]
mod tests;
