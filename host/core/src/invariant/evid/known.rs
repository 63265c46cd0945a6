//! What must be known for a change (EVID-1). What is too old is not: `crate::snapshot::aged` sees to that for every rule.

use super::label;
use crate::case::Case;
use crate::invariant::{Finding, listed};
use crate::profile::Topic;
use plimsoll_wire::fact::Fact;
use plimsoll_wire::snapshot::GroupKind;
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
    for (name, why) in required(case).iter().flat_map(|topic| topic_gaps(case, *topic)) {
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

/// What is wrong with one fact for this case, if anything.
fn gap<T>(case: &Case, topic: Topic, name: &str, fact: &Fact<T>) -> Option<Missing> {
    let why = match fact {
        Fact::Known(_) => return None,
        Fact::Unknown { reason, detail } if detail.is_empty() => reason.kind().to_owned(),
        Fact::Unknown { reason, detail } => format!("{}: {detail}", reason.kind()),
        // Only a profile may say that a system has no such thing.
        Fact::NotApplicable if case.profile.absent.contains(&topic) => return None,
        Fact::NotApplicable => "declared away, but not by the profile".to_owned(),
    };
    Some((name.to_owned(), why))
}

fn topic_gaps(case: &Case, topic: Topic) -> Vec<Missing> {
    if case.profile.absent.contains(&topic) {
        return Vec::new();
    }
    let snapshot = case.snapshot;
    let one = |found: Option<Missing>| found.into_iter().collect::<Vec<_>>();
    match topic {
        Topic::Fingerprint => one(gap(case, topic, "the system's id", &snapshot.fingerprint)),
        Topic::Epoch => one(gap(case, topic, "the topology epoch", &snapshot.epoch)),
        Topic::Owner => one(gap(case, topic, "who may actuate", &snapshot.owner)),
        Topic::Generation => one(gap(case, topic, "the platform's generation", &snapshot.generation)),
        Topic::Size => one(gap(case, topic, "the number of members", &snapshot.size)),
        Topic::Members => one(gap(case, topic, "the member list", &snapshot.members)),
        Topic::Operations => one(gap(case, topic, "operations in flight", &snapshot.operations)),
        Topic::Debts => one(gap(case, topic, "debts", &snapshot.debts)),
        Topic::Leader | Topic::Placements | Topic::ConfigVersion | Topic::JointConfig | Topic::Copies => {
            group_gaps(case, topic)
        }
        Topic::Incarnation
        | Topic::Domain
        | Topic::Hosted
        | Topic::Load
        | Topic::Disk
        | Topic::Growth
        | Topic::DrainRate
        | Topic::Cpu
        | Topic::Memory
        | Topic::Network
        | Topic::Volume
        | Topic::Lag
        | Topic::Pending => member_gaps(case, topic),
    }
}

fn group_gaps(case: &Case, topic: Topic) -> Vec<Missing> {
    let whole = gap(case, topic, "the groups", &case.snapshot.groups);
    let groups = case.snapshot.groups.value().map_or(&[][..], Vec::as_slice);
    // Of no groups at all every rule holds: where members vote there is one that they vote in.
    let voted = || groups.iter().any(|group| group.kind == GroupKind::Control);
    let none = whole.is_none() && case.profile.members_vote && !voted();
    let none = none.then(|| ("the group that members vote in".to_owned(), String::new()));
    let each = groups.iter().filter_map(|group| {
        let name = |what: &str| format!("{what} of group {}", group.id);
        match topic {
            Topic::Leader => gap(case, topic, &name("the leader"), &group.leader),
            Topic::Placements => gap(case, topic, &name("the placements"), &group.placements),
            Topic::ConfigVersion => gap(case, topic, &name("the configuration"), &group.config_version),
            Topic::JointConfig => gap(case, topic, &name("the joint state"), &group.in_joint_config),
            Topic::Copies => gap(case, topic, &name("the number of copies"), &group.target_copies),
            Topic::Fingerprint
            | Topic::Epoch
            | Topic::Owner
            | Topic::Generation
            | Topic::Size
            | Topic::Members
            | Topic::Incarnation
            | Topic::Domain
            | Topic::Operations
            | Topic::Debts
            | Topic::Hosted
            | Topic::Load
            | Topic::Disk
            | Topic::Growth
            | Topic::DrainRate
            | Topic::Cpu
            | Topic::Memory
            | Topic::Network
            | Topic::Volume
            | Topic::Lag
            | Topic::Pending => None,
        }
    });
    whole.into_iter().chain(none).chain(each).collect()
}

fn member_gaps(case: &Case, topic: Topic) -> Vec<Missing> {
    case.members()
        .iter()
        // A member that is already out of the system has nothing to report any more.
        .filter(|member| member.id.value().is_some())
        .flat_map(|member| {
            let name = |what: &str| format!("{what} of {}", label(member));
            match topic {
                Topic::Incarnation => vec![gap(case, topic, &name("the incarnation"), &member.incarnation)],
                Topic::Domain => vec![gap(case, topic, &name("the domain"), &member.domain)],
                Topic::Hosted => vec![gap(case, topic, &name("what is hosted"), &member.hosted)],
                Topic::Load => vec![gap(case, topic, &name("the data"), &member.load_bytes)],
                Topic::Disk => vec![
                    gap(case, topic, &name("the disk size"), &member.disk_capacity_bytes),
                    gap(case, topic, &name("the used disk"), &member.disk_used_bytes),
                ],
                Topic::Growth => vec![gap(case, topic, &name("the growth"), &member.growth_bytes_per_s)],
                Topic::DrainRate => {
                    vec![gap(case, topic, &name("the drain rate"), &member.drain_bytes_per_s)]
                }
                Topic::Cpu => vec![gap(case, topic, &name("the cpu use"), &member.cpu_permille)],
                Topic::Memory => vec![gap(case, topic, &name("the memory use"), &member.memory_permille)],
                Topic::Network => vec![gap(case, topic, &name("the network use"), &member.network_permille)],
                Topic::Volume => vec![gap(case, topic, &name("the volume's marker"), &member.marker)],
                Topic::Fingerprint
                | Topic::Epoch
                | Topic::Owner
                | Topic::Generation
                | Topic::Size
                | Topic::Members
                | Topic::Leader
                | Topic::Placements
                | Topic::ConfigVersion
                | Topic::JointConfig
                | Topic::Copies
                | Topic::Operations
                | Topic::Debts
                | Topic::Lag
                | Topic::Pending => vec![],
            }
        })
        .flatten()
        .collect()
}
