//! Evidence: act only on what is known, fresh, complete, settled, and told by somebody other than the victim.

mod contradiction;
mod known;
mod replaceable;
mod signal;

use super::{ADMISSION, ALWAYS, Finding, Invariant, Severity, first_group, listed};
use crate::case::Case;
use crate::change::Moment;
use crate::groups::called;
use crate::quorum;
use crate::snapshot;
use plimsoll_wire::fact::{Authority, Fact, Known};
use plimsoll_wire::journal::{PlatformVerb, Verb};
use plimsoll_wire::profile::{Evidence, Topic};
use plimsoll_wire::snapshot::{GroupKind, Member, Role};
use std::collections::BTreeSet;

/// The rule that says that something is not known.
pub const KNOWN: &str = "EVID-1";
/// The rule that says that members did not report.
pub const COVERAGE: &str = "EVID-5";

/// The rules of this family.
pub const FAMILY: &[Invariant] = &[
    Invariant {
        id: KNOWN,
        kind: "EvidenceMissing",
        severity: Severity::Evidence,
        moments: ALWAYS,
        protects: "No change rests on a fact that is missing, stale or contradictory (opensearch-k8s-operator#1447: an API error was read as drained).",
        advice: "Look at what the message calls unknown: a source, a member or a right of the daemon that gives no answer.",
        check: known::check,
    },
    Invariant {
        id: "EVID-2",
        kind: "EmptinessNotProved",
        severity: Severity::Evidence,
        moments: &[Moment::Destroy],
        protects: "\"Empty\" is a positive statement about a named member, never the member's absence from an answer (k8ssandra/cass-operator#261).",
        advice: "Wait until the system says that this very member is empty. If it never does, look at the system's own tool for draining.",
        check: positive,
    },
    Invariant {
        id: "EVID-3",
        kind: "EmptinessNotProved",
        severity: Severity::Evidence,
        moments: &[Moment::Destroy],
        protects: "The member that is to go does not testify for itself (cockroachdb/docs#4435).",
        advice: "Make sure that another member, or the system's coordinator, can be reached and can say what the member holds.",
        check: authority,
    },
    Invariant {
        id: "EVID-4",
        kind: "EvidenceUnsettled",
        severity: Severity::Evidence,
        moments: &[Moment::Destroy],
        protects: "A zero counts as evidence only after it has stood for a while (oxidecomputer/omicron#8445: zero under-replicated ranges right after a start).",
        advice: "Wait: the reading has to stand for `hold`.",
        check: settled,
    },
    Invariant {
        id: COVERAGE,
        kind: "ReportersMissing",
        severity: Severity::Evidence,
        moments: ALWAYS,
        protects: "Every member has reported, so that a total over them is a total.",
        advice: "Bring the members that the message names back, or make them reachable.",
        check: coverage,
    },
    Invariant {
        id: "EVID-6",
        kind: "ReadNotLinearizable",
        severity: Severity::Evidence,
        moments: &[Moment::Destroy],
        protects: "Every reading before destruction is direct, none is from a cache (pravega/zookeeper-operator#314).",
        advice: "Wait for a direct read. If none comes, look at the API server and at the system's endpoints.",
        check: linearizable,
    },
    Invariant {
        id: "EVID-7",
        kind: "MembersDisagree",
        severity: Severity::Evidence,
        moments: ALWAYS,
        protects: "All members that answer name the same leader.",
        advice: "Wait for an election to end. If it does not end, look at the network between the members.",
        check: agreement,
    },
    Invariant {
        id: "EVID-8",
        kind: "PlatformBehind",
        severity: Severity::Evidence,
        moments: ALWAYS,
        protects: "The platform has finished everything that it was asked for.",
        advice: "Wait until the platform's controller has caught up. If it does not, look at that controller.",
        check: generation,
    },
    Invariant {
        id: "EVID-9",
        kind: "MemberNotEmpty",
        severity: Severity::Evidence,
        moments: &[Moment::Destroy],
        protects: "\"Empty\" counts moving copies, open writes and failed moves too (apache/hadoop#7179, gluster/glusterfs#2350).",
        advice: "Wait. If a move has failed, repair it with the system's own tools.",
        check: open_data,
    },
    Invariant {
        id: "EVID-10",
        kind: "StaleMetrics",
        severity: Severity::Evidence,
        moments: ADMISSION,
        protects: "Silence is not low load. While a signal is missing, stale, partial or not a number the target does not shrink, whatever the policy names as its evidence (KEDA's Prometheus scaler reads all of them as 0), and it does not grow on a signal that is not a number.",
        advice: "Repair the signal that the message names: its query, its source, or the exporter. Declare a signal that a shrink does not need `optional: true`.",
        check: signal::check,
    },
    Invariant {
        id: "EVID-11",
        kind: "FactsContradict",
        severity: Severity::Evidence,
        moments: ALWAYS,
        protects: "No change rests on facts that cannot all be true at once: some of them are wrong, and Plimsoll cannot know which.",
        advice: "Look at both facts that the message names. One of the two sources, or the document, is wrong.",
        check: contradiction::check,
    },
];

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
    case.verb().is_some_and(Verb::ends) && case.removes()
}

/// Before a stop: where members are registered, the list of members says that it is gone, on consensus; where
/// they hold data, a statement about that very member says that it holds none.
fn positive(case: &Case) -> Finding {
    if !ends_member(case) || !matches!(case.verb(), Some(Verb::Platform(PlatformVerb::Stop { .. }))) {
        return Finding::Pass;
    }
    let Some(subject) = case.subject() else { return Finding::Pass };
    if case.profile.moves_data() && !case.was_removed() {
        return match case.members().iter().find(|member| case.is_subject(member)) {
            Some(member) if member.hosted.value().is_some() => Finding::Pass,
            Some(_) | None => Finding::unknown(format!("what {} holds", subject.slot)),
        };
    }
    let Some(id) = &subject.id else { return never_joined(case, &subject.slot) };
    if is_replaceable(case) {
        return replaceable::check(case);
    }
    match case.snapshot.members.known() {
        None => Finding::unknown("the member list"),
        Some(list) if quorum::member(&list.value, id).is_some() => Finding::broken(
            format!("{} ({id}) is still a member of the system", subject.slot),
            "it is deregistered first",
        ),
        Some(_) => Finding::Pass,
    }
}

/// What was chosen without an id was never a member; so it is still, or it is not taken away.
fn never_joined(case: &Case, slot: &str) -> Finding {
    match case.members().iter().find(|member| case.is_subject(member)) {
        Some(member) if snapshot::never_joined(case.snapshot, member) => Finding::Pass,
        Some(member) if member.id.value().is_some() => Finding::broken(
            format!("{slot} is a member of the system by now"),
            "the plan gives up; the next one chooses again",
        ),
        Some(_) | None => Finding::unknown(format!("whether {slot} is a member of the system")),
    }
}

fn authority(case: &Case) -> Finding {
    if !ends_member(case) {
        return Finding::Pass;
    }
    if !case.profile.moves_data() || case.was_removed() {
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

fn is_replaceable(case: &Case) -> bool {
    case.profile.evidence == Evidence::Replaceable
}

fn settled(case: &Case) -> Finding {
    if ends_member(case) && is_replaceable(case) {
        return replaceable::settled(case);
    }
    if !ends_member(case) || !case.profile.moves_data() || case.was_removed() {
        return Finding::Pass;
    }
    for member in case.members().iter().filter(|member| case.is_subject(member)) {
        let Some(known) = member.hosted.known() else {
            return Finding::unknown(format!("what {} holds", label(member)));
        };
        let stood = has_stood(case, known, &format!("{} has been empty", label(member)));
        if stood != Finding::Pass {
            return stood;
        }
    }
    Finding::Pass
}

/// Whether what is known has been so for long enough, in the eyes of somebody who has been there for long enough.
fn has_stood<T>(case: &Case, known: &Known<T>, what: &str) -> Finding {
    let safety = &case.snapshot.safety;
    if known.stable_ms < safety.hold_ms || known.reads < safety.observations {
        return Finding::broken(
            format!("{what} for {} ms in {} reads", known.stable_ms, known.reads),
            format!("it must stay so for {} ms and {} reads", safety.hold_ms, safety.observations),
        );
    }
    if known.observer_up_ms < safety.warmup_ms {
        return Finding::broken(
            format!("{} has been up for {} ms only", known.observer, known.observer_up_ms),
            format!("an observer counts after {} ms", safety.warmup_ms),
        );
    }
    Finding::Pass
}

/// Everybody must have been asked; a dead one is known to be dead. The member that is being added may not be there
/// yet, and one whose removal is being taken back may stay as it is.
fn coverage(case: &Case) -> Finding {
    let all = case.members();
    let silent: Vec<String> = all
        .iter()
        .filter(|member| member.id.value().is_some())
        .filter(|member| !case.is_subject(member) || (case.shrinks() && !case.undoes()))
        .filter(|member| member.alive.value().is_none())
        .map(label)
        .collect();
    if silent.is_empty() {
        return Finding::Pass;
    }
    let (heard, all) = (all.len() - silent.len(), all.len());
    Finding::silent(format!("{heard} of {all} members reported; missing: {}", listed(silent, ", ")))
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
    first_group(groups.iter().filter(|group| group.kind == GroupKind::Control), |group| {
        let Some(leader) = group.leader.value() else {
            return Finding::unknown(format!("the leader of {}", called(group)));
        };
        let others = || case.members().iter().filter(|member| member.id.value() != Some(leader));
        let claims = |member: &&Member| {
            member.roles.value().is_some_and(|roles: &BTreeSet<Role>| roles.contains(&Role::Leader))
        };
        // Who is dead claims nothing, but that it led is told of it too; what the system does not list has no roles.
        let is_silent = |member: &&Member| member.roles.value().is_none() && member.id.value().is_some();
        let claiming: Vec<String> = others().filter(claims).map(label).collect();
        if !claiming.is_empty() {
            let claiming = listed(claiming, ", ");
            return Finding::broken(
                format!("{} is led by {leader}, but {claiming} says so too", called(group)),
                "wait until the election is over",
            );
        }
        match others().filter(is_silent).map(label).min() {
            Some(silent) => Finding::unknown(format!("whether {silent} leads {} too", called(group))),
            None => Finding::Pass,
        }
    })
}

fn generation(case: &Case) -> Finding {
    if case.profile.lacks(Topic::Generation) {
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

fn open_data(case: &Case) -> Finding {
    if !ends_member(case) || !case.profile.moves_data() || case.was_removed() {
        return Finding::Pass;
    }
    for member in case.members().iter().filter(|member| case.is_subject(member)) {
        let Some(hosted) = member.hosted.value() else {
            return Finding::unknown(format!("what {} holds", label(member)));
        };
        if !snapshot::is_empty(hosted) {
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
