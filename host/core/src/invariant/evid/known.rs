//! What must be known for a change (EVID-1). What is too old is not: `crate::snapshot::aged` sees to that for every rule.

use super::label;
use crate::case::Case;
use crate::groups::{self, called};
use crate::invariant::{Finding, listed};
use plimsoll_wire::fact::{Fact, Gap};
use plimsoll_wire::profile::{Evidence, Topic};
use plimsoll_wire::snapshot::{Group, GroupKind, Member, Snapshot};
use std::collections::BTreeMap;

/// What must be known for a change; the safest direction has the shortest list.
fn required(case: &Case) -> &'static [Topic] {
    const GROW: &[Topic] = &[
        Topic::Fingerprint,
        Topic::Owner,
        Topic::Generation,
        Topic::Size,
        Topic::Members,
        Topic::Leader,
        Topic::Placements,
        Topic::Shards,
        Topic::Operations,
    ];
    const SHRINK: &[Topic] = &[
        Topic::Fingerprint,
        Topic::Owner,
        Topic::Generation,
        Topic::Size,
        Topic::Members,
        Topic::Leader,
        Topic::Placements,
        Topic::JointConfig,
        Topic::Shards,
        Topic::Operations,
        Topic::Debts,
        Topic::Incarnation,
        Topic::Hosted,
        Topic::Load,
        Topic::Disk,
        Topic::Copies,
    ];
    if case.would_shrink() && !case.undoes() { SHRINK } else { GROW }
}

/// Of each thing that is not known, its name and why.
type Missing = (String, String);

pub(super) fn check(case: &Case) -> Finding {
    let mut whole: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let gaps = required(case).iter().flat_map(|topic| topic_gaps(case, *topic));
    for (name, why) in gaps.chain(left_out(case)) {
        whole.entry(why).or_default().push(name);
    }
    if whole.is_empty() {
        return Finding::Pass;
    }
    // One silent source leaves many gaps for one reason, which is said once.
    let of_one = |(why, names): (String, Vec<String>)| {
        let names = listed(names, ", ");
        if why.is_empty() { names } else { format!("{names} ({why})") }
    };
    Finding::unknown(listed(whole.into_iter().map(of_one), "; "))
}

fn topic_gaps(case: &Case, topic: Topic) -> Vec<Missing> {
    if case.profile.lacks(topic) {
        return Vec::new();
    }
    match asked(topic) {
        Asked::Whole(name, look) => look(case.snapshot).gap(case, topic, name).into_iter().collect(),
        Asked::Groups(name, look) => group_gaps(case, topic, name, look),
        Asked::Members(looks) => member_gaps(case, topic, looks),
    }
}

/// What a fact of a member is called, and the fact.
type OfMember = (&'static str, fn(&Member) -> State<'_>);

/// Where a topic is looked up: what it is called, and its fact.
enum Asked {
    /// One fact of the snapshot.
    Whole(&'static str, fn(&Snapshot) -> State<'_>),
    /// One of each group.
    Groups(&'static str, fn(&Group) -> State<'_>),
    /// Some of each member.
    Members(&'static [OfMember]),
}

/// The one place that knows which facts a topic is made of.
fn asked(topic: Topic) -> Asked {
    match topic {
        Topic::Fingerprint => Asked::Whole("the system's id", |all| State::of(&all.fingerprint)),
        Topic::Epoch => Asked::Whole("the topology epoch", |all| State::of(&all.epoch)),
        Topic::Owner => Asked::Whole("who may actuate", |all| State::of(&all.owner)),
        Topic::Generation => Asked::Whole("the platform's generation", |all| State::of(&all.generation)),
        Topic::Size => Asked::Whole("the number of members", |all| State::of(&all.sizes.members)),
        Topic::Members => Asked::Whole("the member list", |all| State::of(&all.members)),
        Topic::Operations => Asked::Whole("operations in flight", |all| State::of(&all.operations)),
        Topic::Shards => Asked::Whole("the map of shards", |all| State::of(&all.shards)),
        Topic::Debts => Asked::Whole("debts", |all| State::of(&all.debts)),
        Topic::Leader => Asked::Groups("the leader", |group| State::of(&group.leader)),
        Topic::Placements => Asked::Groups("the placements", |group| State::of(&group.placements)),
        Topic::ConfigVersion => Asked::Groups("the configuration", |group| State::of(&group.config_version)),
        Topic::JointConfig => Asked::Groups("the joint state", |group| State::of(&group.in_joint_config)),
        Topic::Copies => Asked::Groups("the number of copies", |group| State::of(&group.target_copies)),
        Topic::Incarnation => Asked::Members(&[("the incarnation", |row| State::of(&row.incarnation))]),
        Topic::Domain => Asked::Members(&[("the domain", |row| State::of(&row.domain))]),
        Topic::Hosted => Asked::Members(&[("what is hosted", |row| State::of(&row.hosted))]),
        Topic::Load => Asked::Members(&[("the data", |row| State::of(&row.load_bytes))]),
        Topic::Disk => Asked::Members(&[
            ("the disk size", |row| State::of(&row.disk_capacity_bytes)),
            ("the used disk", |row| State::of(&row.disk_used_bytes)),
        ]),
        Topic::Growth => Asked::Members(&[("the growth", |row| State::of(&row.growth_bytes_per_s))]),
        Topic::DrainRate => Asked::Members(&[("the drain rate", |row| State::of(&row.drain_bytes_per_s))]),
        Topic::Cpu => Asked::Members(&[("the cpu use", |row| State::of(&row.cpu_permille))]),
        Topic::Memory => Asked::Members(&[("the memory use", |row| State::of(&row.memory_permille))]),
        Topic::Network => Asked::Members(&[("the network use", |row| State::of(&row.network_permille))]),
        Topic::Volume => Asked::Members(&[("the volume's marker", |row| State::of(&row.marker))]),
        // Rules that need them ask for themselves.
        Topic::Lag | Topic::Pending => Asked::Members(&[]),
    }
}

/// A fact without its value.
enum State<'a> {
    Known,
    Unknown(&'a Gap, &'a str),
    NotApplicable,
}

impl<'a> State<'a> {
    fn of<T>(fact: &'a Fact<T>) -> Self {
        match fact {
            Fact::Known(_) => Self::Known,
            Fact::Unknown { reason, detail } => Self::Unknown(reason, detail),
            Fact::NotApplicable => Self::NotApplicable,
        }
    }

    /// What is wrong with the fact for this case, if anything.
    fn gap(&self, case: &Case, topic: Topic, name: impl Into<String>) -> Option<Missing> {
        let why = match self {
            Self::Known => return None,
            Self::Unknown(reason, "") => reason.kind().to_owned(),
            Self::Unknown(reason, detail) => format!("{}: {detail}", reason.kind()),
            // Only a profile may say that a system has no such thing.
            Self::NotApplicable if case.profile.lacks(topic) => return None,
            Self::NotApplicable => "declared away, but not by the profile".to_owned(),
        };
        Some((name.into(), why))
    }
}

fn group_gaps(case: &Case, topic: Topic, name: &str, look: fn(&Group) -> State<'_>) -> Vec<Missing> {
    let whole = State::of(&case.snapshot.groups).gap(case, topic, "the groups");
    let groups = groups::all(case.snapshot);
    // Of no groups at all every rule holds: where members vote there is one that they vote in.
    let voted = || groups.iter().any(|group| group.kind == GroupKind::Control);
    let none = whole.is_none() && case.profile.members_vote && !voted();
    let none = none.then(|| ("the group that members vote in".to_owned(), String::new()));
    let each = groups
        .iter()
        .filter_map(|group| look(group).gap(case, topic, format!("{name} of {}", called(group))));
    whole.into_iter().chain(none).chain(each).collect()
}

/// Where every member holds everything, what one of them holds decides about its own removal alone.
fn member_gaps(case: &Case, topic: Topic, looks: &[OfMember]) -> Vec<Missing> {
    let of_victims = topic == Topic::Hosted && case.profile.evidence == Evidence::Replaceable;
    let concerns = |member: &&Member| !of_victims || case.victims.is_empty() || case.is_victim(member);
    // A member that is already out of the system has nothing to report any more.
    let listed = case.members().iter().filter(|member| member.id.value().is_some()).filter(concerns);
    let gaps = listed.flat_map(|member| {
        looks.iter().filter_map(move |(name, look)| {
            look(member).gap(case, topic, format!("{name} of {}", label(member)))
        })
    });
    gaps.collect()
}

/// Groups that the snapshot has no room for may be those that a removal would hurt.
fn left_out(case: &Case) -> Option<Missing> {
    let goes = (case.would_shrink() && !case.undoes()) || case.removes();
    let why = match groups::left_out(case.snapshot) {
        Some(0) => return None,
        Some(left_out) => format!("{left_out} of them in more states than a snapshot has rows for"),
        None => "how many are left out is not known".to_owned(),
    };
    goes.then(|| ("all groups".to_owned(), why))
}
