//! Evidence: act only on what is known, fresh, complete, settled, and told by somebody other than the victim.

use super::{ADMISSION, ALWAYS, Finding, Invariant, Severity};
use crate::judge::{Case, Change, Moment};
use crate::profile::Topic;
use crate::quorum;
use plimsoll_wire::fact::{Authority, Fact};
use plimsoll_wire::journal::{Bearing, Verb};
use plimsoll_wire::snapshot::{GroupKind, Hosted, Member, Role, SignalState};
use std::collections::BTreeSet;

/// The rules of this family.
pub const FAMILY: &[Invariant] = &[
    Invariant {
        id: "EVID-1",
        kind: "EvidenceMissing",
        severity: Severity::Evidence,
        moments: ALWAYS,
        protects: "Nothing is done on a fact that is missing, stale or contradictory \
                   (opensearch-k8s-operator#1447: an API error was read as drained).",
        advice: "Look at what the message calls unknown: a source, a member or a right of the daemon that does not answer.",
        check: known,
    },
    Invariant {
        id: "EVID-2",
        kind: "EmptinessNotProved",
        severity: Severity::Evidence,
        moments: &[Moment::Destroy],
        protects: "Emptiness is a positive statement about a named member, never its absence from an answer \
                   (k8ssandra/cass-operator#261).",
        advice: "Wait until the system says of this very member that it is empty; when it never does, look at its own tool for draining.",
        check: positive,
    },
    Invariant {
        id: "EVID-3",
        kind: "EmptinessNotProved",
        severity: Severity::Evidence,
        moments: &[Moment::Destroy],
        protects: "The victim does not testify for itself (cockroachdb/docs#4435).",
        advice: "Let another member, or the system's coordinator, tell what the member holds; see that one can be reached.",
        check: authority,
    },
    Invariant {
        id: "EVID-4",
        kind: "EvidenceUnsettled",
        severity: Severity::Evidence,
        moments: &[Moment::Destroy],
        protects: "Zero is not evidence until it is old (oxidecomputer/omicron#8445).",
        advice: "Wait: the reading has to stand for `hold`.",
        check: settled,
    },
    Invariant {
        id: "EVID-5",
        kind: "ReportersMissing",
        severity: Severity::Evidence,
        moments: ALWAYS,
        protects: "Every member has reported, so that a count over them is a count.",
        advice: "Bring the members that the message names back, or let them be reached.",
        check: coverage,
    },
    Invariant {
        id: "EVID-6",
        kind: "ReadNotLinearizable",
        severity: Severity::Evidence,
        moments: &[Moment::Destroy],
        protects: "Before destruction nothing is read from a cache (pravega/zookeeper-operator#314).",
        advice: "Wait for a direct read; when none comes, look at the API server and at the system's endpoints.",
        check: linearizable,
    },
    Invariant {
        id: "EVID-7",
        kind: "MembersDisagree",
        severity: Severity::Evidence,
        moments: ALWAYS,
        protects: "One leader, named the same by all who were asked.",
        advice: "Wait for an election to end; when it does not, look at the network between the members.",
        check: agreement,
    },
    Invariant {
        id: "EVID-8",
        kind: "PlatformBehind",
        severity: Severity::Evidence,
        moments: ALWAYS,
        protects: "The platform has acted on everything that it was asked for.",
        advice: "Wait until the platform's controller has caught up; when it does not, look at that controller.",
        check: generation,
    },
    Invariant {
        id: "EVID-9",
        kind: "MemberNotEmpty",
        severity: Severity::Evidence,
        moments: &[Moment::Destroy],
        protects: "Emptiness counts moving copies, open writes and failed moves too (apache/hadoop#7179, \
                   gluster/glusterfs#2350).",
        advice: "Wait; when something has failed to move, mend that with the system's own tools.",
        check: open_data,
    },
    Invariant {
        id: "EVID-10",
        kind: "StaleMetrics",
        severity: Severity::Evidence,
        moments: ADMISSION,
        protects: "Silence is not low load: a signal that is missing, stale, partial or not a number never \
                   shrinks anything (KEDA's Prometheus scaler reads all of them as 0).",
        advice: "Mend the signal that the message names: its query, its source, or what should be scraped.",
        check: signals,
    },
];

/// What must be known for a change; the safest direction has the shortest list (`invariants.md` section 4).
fn required(case: &Case) -> &'static [Topic] {
    const GROW: &[Topic] = &[
        Topic::Fingerprint,
        Topic::Owner,
        Topic::Generation,
        Topic::Members,
        Topic::Leader,
        Topic::Placements,
        Topic::Operations,
    ];
    const SHRINK: &[Topic] = &[
        Topic::Fingerprint,
        Topic::Owner,
        Topic::Generation,
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
    if case.shrinks() && !case.undoes() { SHRINK } else { GROW }
}

fn max_age(case: &Case) -> u64 {
    match case.moment {
        Moment::Admission | Moment::Step => case.snapshot.safety.max_age_ms,
        Moment::Destroy => case.snapshot.safety.direct_age_ms,
    }
}

fn known(case: &Case) -> Finding {
    let mut gaps: Vec<String> = required(case).iter().flat_map(|topic| topic_gaps(case, *topic)).collect();
    gaps.sort();
    gaps.dedup();
    if gaps.is_empty() { Finding::Pass } else { Finding::unknown(gaps.join("; ")) }
}

/// What is wrong with one fact for this case, if anything.
fn gap<T>(case: &Case, topic: Topic, name: &str, fact: &Fact<T>) -> Option<String> {
    match fact {
        Fact::Known(known) if known.age_ms <= max_age(case) => None,
        Fact::Known(known) => Some(format!("{name} was last seen {} ms ago", known.age_ms)),
        Fact::Unknown { reason, detail } if detail.is_empty() => Some(format!("{name} ({})", reason.kind())),
        Fact::Unknown { reason, detail } => Some(format!("{name} ({}: {detail})", reason.kind())),
        // Only a profile may say that a system has no such thing.
        Fact::NotApplicable if case.profile.absent.contains(&topic) => None,
        Fact::NotApplicable => Some(format!("{name} (declared away, but not by the profile)")),
    }
}

fn topic_gaps(case: &Case, topic: Topic) -> Vec<String> {
    if case.profile.absent.contains(&topic) {
        return Vec::new();
    }
    let snapshot = case.snapshot;
    let one = |found: Option<String>| found.into_iter().collect::<Vec<_>>();
    match topic {
        Topic::Fingerprint => one(gap(case, topic, "the system's id", &snapshot.fingerprint)),
        Topic::Epoch => one(gap(case, topic, "the topology epoch", &snapshot.epoch)),
        Topic::Owner => one(gap(case, topic, "who may actuate", &snapshot.owner)),
        Topic::Generation => one(gap(case, topic, "the platform's generation", &snapshot.generation)),
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

fn group_gaps(case: &Case, topic: Topic) -> Vec<String> {
    let whole = gap(case, topic, "the groups", &case.snapshot.groups);
    let groups = case.snapshot.groups.value().map_or(&[][..], Vec::as_slice);
    // Of no groups at all every rule holds: where members vote there is one that they vote in.
    let voted = || groups.iter().any(|group| group.kind == GroupKind::Control);
    let none = whole.is_none() && case.profile.members_vote && !voted();
    let none = none.then(|| "the group that members vote in".to_owned());
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

fn member_gaps(case: &Case, topic: Topic) -> Vec<String> {
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

/// How a member is called in sentences.
pub(crate) fn label(member: &Member) -> String {
    match (&member.slot, member.id.value()) {
        (Some(slot), _) => slot.to_string(),
        (None, Some(id)) => format!("member {id}"),
        (None, None) => "a member without a name".to_owned(),
    }
}

/// Whether an effect ends a member for good, so that its emptiness must be proved.
fn ends_member(case: &Case) -> bool {
    matches!(case.bearing(), Some(Bearing::Leaves | Bearing::Ends)) && case.removes()
}

/// Before a stop: where members are registered, the list of members says that it is gone, on consensus; where
/// they hold data, a statement about that very member says that it holds none.
fn positive(case: &Case) -> Finding {
    if !ends_member(case) || !matches!(case.verb(), Some(Verb::Stop { .. })) {
        return Finding::Pass;
    }
    let Some(subject) = case.subject() else { return Finding::Pass };
    if case.profile.moves_data {
        return match case.members().iter().find(|member| case.is_subject(member)) {
            Some(member) if member.hosted.value().is_some() => Finding::Pass,
            Some(_) | None => Finding::unknown(format!("what {} holds", subject.slot)),
        };
    }
    let Some(id) = &subject.id else { return Finding::unknown(format!("the id of {}", subject.slot)) };
    match case.snapshot.members.known() {
        None => Finding::unknown("the member list"),
        Some(list) if quorum::member(&list.value, id).is_some() => Finding::broken(
            format!("{} ({id}) is still a member of the system", subject.slot),
            "it is deregistered first",
        ),
        Some(_) => Finding::Pass,
    }
}

fn authority(case: &Case) -> Finding {
    if !ends_member(case) {
        return Finding::Pass;
    }
    if !case.profile.moves_data {
        return match case.snapshot.members.known().map(|known| known.authority) {
            Some(Authority::Consensus | Authority::Leader | Authority::Survivors) => Finding::Pass,
            Some(Authority::Platform | Authority::Own | Authority::Cache) => Finding::broken(
                "the member list is not on the system's own word",
                "it must be read from a majority of the system",
            ),
            None => Finding::unknown("the member list"),
        };
    }
    for member in case.members().iter().filter(|member| case.is_subject(member)) {
        match member.hosted.known().map(|known| known.authority) {
            Some(Authority::Consensus | Authority::Leader | Authority::Survivors) => {}
            Some(Authority::Platform | Authority::Own | Authority::Cache) => {
                return Finding::broken(
                    format!("only {} itself says that it is empty", label(member)),
                    "the survivors or the leader must say so",
                );
            }
            None => return Finding::unknown(format!("what {} holds", label(member))),
        }
    }
    Finding::Pass
}

fn settled(case: &Case) -> Finding {
    if !ends_member(case) || !case.profile.moves_data {
        return Finding::Pass;
    }
    let safety = &case.snapshot.safety;
    for member in case.members().iter().filter(|member| case.is_subject(member)) {
        let Some(known) = member.hosted.known() else {
            return Finding::unknown(format!("what {} holds", label(member)));
        };
        if known.stable_ms < safety.hold_ms || known.reads < safety.observations {
            return Finding::broken(
                format!(
                    "{} has been empty for {} ms in {} reads",
                    label(member),
                    known.stable_ms,
                    known.reads
                ),
                format!("it must stay so for {} ms and {} reads", safety.hold_ms, safety.observations),
            );
        }
        if known.observer_up_ms < safety.warmup_ms {
            return Finding::broken(
                format!("{} has been up for {} ms only", known.observer, known.observer_up_ms),
                format!("an observer counts after {} ms", safety.warmup_ms),
            );
        }
    }
    Finding::Pass
}

/// Everybody must have been asked; a dead one is known to be dead. The member that is being added may not be there
/// yet, and one whose removal is being taken back may stay as it is.
fn coverage(case: &Case) -> Finding {
    let all = case.members();
    let mut silent: Vec<String> = all
        .iter()
        .filter(|member| member.id.value().is_some())
        .filter(|member| !case.is_subject(member) || (case.shrinks() && !case.undoes()))
        .filter(|member| member.alive.known().is_none_or(|known| known.age_ms > max_age(case)))
        .map(label)
        .collect();
    if silent.is_empty() {
        return Finding::Pass;
    }
    silent.sort();
    Finding::unknown(format!(
        "{} of {} members reported; missing: {}",
        all.len() - silent.len(),
        all.len(),
        silent.join(", ")
    ))
}

fn linearizable(case: &Case) -> Finding {
    match case.snapshot.members.known() {
        None => Finding::unknown("the member list"),
        Some(known) if known.authority == Authority::Cache => {
            Finding::broken("the member list comes from a cache", "it must be read from the system itself")
        }
        Some(_) => Finding::Pass,
    }
}

fn agreement(case: &Case) -> Finding {
    let Some(groups) = case.snapshot.groups.value() else { return Finding::unknown("the groups") };
    for group in groups.iter().filter(|group| group.kind == GroupKind::Control) {
        let Some(leader) = group.leader.value() else {
            return Finding::unknown(format!("the leader of group {}", group.id));
        };
        let others = || case.members().iter().filter(|member| member.id.value() != Some(leader));
        let claims = |member: &&Member| {
            member.roles.value().is_some_and(|roles: &BTreeSet<Role>| roles.contains(&Role::Leader))
        };
        // Who is dead claims nothing, but that it led is told of it too; what the system does not list has no roles.
        let is_silent = |member: &&Member| member.roles.value().is_none() && member.id.value().is_some();
        let mut claiming: Vec<String> = others().filter(claims).map(label).collect();
        if !claiming.is_empty() {
            claiming.sort();
            return Finding::broken(
                format!("group {} is led by {leader}, but {} says so too", group.id, claiming.join(", ")),
                "wait until the election is over",
            );
        }
        if let Some(silent) = others().filter(is_silent).map(label).min() {
            return Finding::unknown(format!("whether {silent} leads group {} too", group.id));
        }
    }
    Finding::Pass
}

fn generation(case: &Case) -> Finding {
    if case.profile.absent.contains(&Topic::Generation) {
        return Finding::Pass;
    }
    match &case.snapshot.generation {
        Fact::Known(known) if known.value.spec == known.value.observed => Finding::Pass,
        Fact::Known(known) => Finding::broken(
            format!("generation {} was asked for, {} is seen", known.value.spec, known.value.observed),
            "wait until the platform has caught up",
        ),
        Fact::NotApplicable | Fact::Unknown { .. } => Finding::unknown("the platform's generation"),
    }
}

/// Whether a member holds nothing at all.
pub(crate) fn is_empty(hosted: &Hosted) -> bool {
    *hosted == Hosted { copies: 0, leaders: 0, moving: 0, open_writes: 0, failed_moves: 0 }
}

fn open_data(case: &Case) -> Finding {
    if !ends_member(case) || !case.profile.moves_data {
        return Finding::Pass;
    }
    for member in case.members().iter().filter(|member| case.is_subject(member)) {
        let Some(hosted) = member.hosted.value() else {
            return Finding::unknown(format!("what {} holds", label(member)));
        };
        if !is_empty(hosted) {
            return Finding::broken(
                format!(
                    "{} still holds {} copies, leads {}, has {} moving, {} open and {} failed moves",
                    label(member),
                    hosted.copies,
                    hosted.leaders,
                    hosted.moving,
                    hosted.open_writes,
                    hosted.failed_moves
                ),
                "the drain goes on",
            );
        }
    }
    Finding::Pass
}

/// Bad data may hold or grow, never shrink.
fn signals(case: &Case) -> Finding {
    let Change::Resize { rests_on, .. } = case.change else { return Finding::Pass };
    if !case.shrinks() {
        return Finding::Pass;
    }
    let Some(named) = rests_on else { return Finding::Pass };
    let all = &case.snapshot.signals;
    let names: Vec<&String> = if named.is_empty() { all.keys().collect() } else { named.iter().collect() };
    let bad: Vec<String> = names
        .into_iter()
        .filter_map(|name| match all.get(name) {
            None => Some(format!("{name} is not a signal of this target")),
            Some(signal) => match signal.state {
                SignalState::Ok => None,
                SignalState::Stale
                | SignalState::Absent
                | SignalState::Partial
                | SignalState::NotANumber
                | SignalState::Ambiguous
                | SignalState::Skewed
                | SignalState::Malformed
                | SignalState::Unavailable => Some(describe(name, signal)),
            },
        })
        .collect();
    if bad.is_empty() { Finding::Pass } else { Finding::unknown(bad.join("; ")) }
}

fn describe(name: &str, signal: &plimsoll_wire::snapshot::Signal) -> String {
    let state = serde_json::to_value(signal.state).ok();
    let word = state.as_ref().and_then(|value| value.as_str()).unwrap_or("unusable");
    if signal.detail.is_empty() {
        format!("{name} is {word}")
    } else {
        format!("{name} is {word}: {}", signal.detail)
    }
}
