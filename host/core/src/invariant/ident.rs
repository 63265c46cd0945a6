//! Identity and control: what is acted on is what was checked, by one hand.

use super::{ALWAYS, EFFECTS, Finding, Invariant, Severity, listed, mutex};
use crate::case::Case;
use crate::snapshot::is_same;
use crate::snapshot::order;
use crate::step;
use crate::workload;
use plimsoll_wire::fact::{Authority, Fact};
use plimsoll_wire::journal::{MembershipEffect, PlanState, PlatformVerb, Verb};
use plimsoll_wire::profile::{Topic, Victim};
use plimsoll_wire::snapshot::{Lifecycle, Member};

/// The rule that says what may lie on a volume.
pub const NO_ZOMBIE: &str = "IDENT-4";

/// The rules of this family.
pub const FAMILY: &[Invariant] = &[
    Invariant {
        id: "IDENT-1",
        kind: "WrongCluster",
        severity: Severity::Deny,
        moments: EFFECTS,
        protects: "A plan acts only on the cluster that it was made for.",
        advice: "Look at what is there first. The plan for the earlier workload goes no further: remove it (docs/kubernetes/operating.md#when-the-workload-is-replaced).",
        check: cluster,
    },
    Invariant {
        id: "IDENT-2",
        kind: "MemberReplaced",
        severity: Severity::Deny,
        moments: EFFECTS,
        protects: "The member is still the one that was chosen: same slot, same id, same incarnation (Sieve: eight bugs deleted volumes of live members that were matched by name).",
        advice: "Find out who replaced the member. You can cancel the plan; a new plan chooses again.",
        check: member,
    },
    Invariant {
        id: "IDENT-3",
        kind: "ForeignMarker",
        severity: Severity::Deny,
        moments: EFFECTS,
        protects: "A completion mark that is older than our drain permits nothing (scylladb/scylla-operator#3539: about 21 TB orphaned).",
        advice: "Wait for an answer to this plan's drain. Clear a leftover of another tool with the system's own tools.",
        check: marker,
    },
    Invariant {
        id: NO_ZOMBIE,
        kind: "ZombieVolume",
        severity: Severity::Deny,
        moments: ALWAYS,
        protects: "A new member does not start on a removed member's data (pravega/zookeeper-operator#513).",
        advice: "Look at what the claim holds. When you no longer need the data, delete the claim.",
        check: zombie,
    },
    Invariant {
        id: "IDENT-5",
        kind: "NotInControl",
        severity: Severity::Deny,
        moments: ALWAYS,
        protects: "Only one controller changes the size, and only one daemon acts.",
        advice: "Point the other autoscaler or controller at the StatefulAutoscaler, or remove it.",
        check: single_hand,
    },
    Invariant {
        id: "IDENT-6",
        kind: "WrongVictim",
        severity: Severity::Deny,
        moments: EFFECTS,
        protects: "The platform removes the member that was drained, and no other (datastax/kaap#254: ordinal 10 not recognised as the last).",
        advice: "Cancel the plan. A platform that removes the highest ordinal cannot remove another member.",
        check: victim,
    },
    Invariant {
        id: "IDENT-7",
        kind: "WouldBootstrap",
        severity: Severity::Deny,
        moments: EFFECTS,
        protects: "A new member joins the cluster and does not found another one (nats-io/nats-server#2792).",
        advice: "Correct the member's start command, so that it joins what there is and founds nothing.",
        check: join,
    },
];

fn cluster(case: &Case) -> Finding {
    let Some(plan) = case.plan() else { return Finding::Pass };
    match case.snapshot.fingerprint.value() {
        Some(now) if *now == plan.fingerprint => same_workload(case, plan),
        Some(now) => Finding::broken(
            format!("the plan is for cluster {}, this is {now}", plan.fingerprint),
            "the plan must be cancelled",
        ),
        None => Finding::unknown("the system's id"),
    }
}

/// The same data under another object of the same name is not what was looked at either: who made it anew chose its
/// size, its claims and its first ordinal anew.
fn same_workload(case: &Case, plan: &PlanState) -> Finding {
    // Of a daemon that did not write it down yet.
    let Some(wanted) = &plan.workload else { return Finding::Pass };
    match workload::uid(case.snapshot) {
        Some(Some(now)) if now == *wanted => Finding::Pass,
        Some(Some(now)) => Finding::broken(
            format!("the plan is for the workload {wanted}, this is {now}"),
            "the plan must be cancelled",
        ),
        Some(None) | None => Finding::unknown("which workload it is"),
    }
}

fn member(case: &Case) -> Finding {
    let Some(subject) = case.subject() else { return Finding::Pass };
    let Some(members) = case.snapshot.members.value() else { return Finding::unknown("the member list") };
    let here = members.iter().find(|member| member.slot.as_deref() == Some(&*subject.slot));
    let Some(found) = here else { return Finding::Pass };
    if let (Some(wanted), Some(id)) = (&subject.id, found.id.value())
        && wanted != id
    {
        return Finding::broken(
            format!("{} is now member {id}, {wanted} was chosen", subject.slot),
            "the plan gives up; the next one chooses again",
        );
    }
    if subject.id.is_none() && found.id.value().is_some() && case.shrinks() && !case.undoes() {
        return Finding::broken(
            format!("{} was no member when it was chosen, and is one by now", subject.slot),
            "the plan gives up; the next one chooses again",
        );
    }
    // One that was restarted while it was on its way out serves again like any other: it is still this member.
    if mutex::gives_back(case) {
        return Finding::Pass;
    }
    // A member that is still to be started had no incarnation when its place was chosen.
    if subject.incarnation.is_empty() {
        return Finding::Pass;
    }
    match found.incarnation.value() {
        Some(now) if *now == subject.incarnation => Finding::Pass,
        // Nothing runs there any more: a member that was removed may end by itself. That is not another member.
        Some(now) if now.is_empty() && found.running.value() == Some(&false) => Finding::Pass,
        Some(_) if is_struck(case, members, found) => Finding::Pass,
        Some(now) => Finding::broken(
            format!("{} was replaced: incarnation {now}, not {}", subject.slot, subject.incarnation),
            "the plan gives up; the next one chooses again",
        ),
        None => Finding::unknown(format!("the incarnation of {}", subject.slot)),
    }
}

/// Whether the system has removed the member that goes, and knows nobody in its place: whatever the platform has
/// started there since (a pod that was evicted comes back under its name) is what is left of it. A member without a
/// place might be the one in it.
fn is_struck(case: &Case, members: &[Member], found: &Member) -> bool {
    let removes = step::shrinks_by(case.profile, step::DEREGISTER).is_some();
    let told = case.snapshot.members.known().is_some_and(|known| known.authority >= Authority::Survivors);
    let placed = members.iter().all(|member| member.slot.is_some());
    let goes = case.shrinks() && !case.undoes();
    removes && told && placed && goes && found.id.value().is_none()
}

/// A member that is already drained before our own drain has begun was drained by somebody else.
fn marker(case: &Case) -> Finding {
    let (Some(plan), Some(subject)) = (case.plan(), case.subject()) else { return Finding::Pass };
    let drain = step::shrinks_by(case.profile, step::DRAIN);
    let Some(drain) = drain else { return Finding::Pass };
    let ours = plan.phase >= drain;
    if !case.shrinks() || case.undoes() || ours {
        return Finding::Pass;
    }
    for member in case.members().iter().filter(|member| is_same(subject, member)) {
        match member.lifecycle.value() {
            Some(Lifecycle::Drained | Lifecycle::Removed) => {
                return Finding::broken(
                    format!("{} was already drained before this plan asked for it", subject.slot),
                    "clear the mark of the earlier drain, or let the member serve again",
                );
            }
            Some(
                Lifecycle::Provisioning
                | Lifecycle::Joining
                | Lifecycle::CatchingUp
                | Lifecycle::Serving
                | Lifecycle::Draining
                | Lifecycle::Dead,
            ) => {}
            None if member.id.value().is_none() => {}
            None => return Finding::unknown(format!("whether {} was drained before", subject.slot)),
        }
    }
    Finding::Pass
}

fn zombie(case: &Case) -> Finding {
    if !case.grows() {
        return Finding::Pass;
    }
    // Past the start the volume is the new member's own.
    let wanted = match case.membership_effect() {
        None => None,
        Some(MembershipEffect::Joins | MembershipEffect::Runs) => case.subject().map(|subject| &subject.slot),
        Some(
            MembershipEffect::Votes
            | MembershipEffect::Leaves
            | MembershipEffect::Ends
            | MembershipEffect::Stays,
        ) => return Finding::Pass,
    };
    let Some(vacant) = case.snapshot.vacant.value() else { return Finding::unknown("the vacant slots") };
    let count = usize::try_from(case.to.saturating_sub(case.from)).unwrap_or(usize::MAX);
    let chosen: Vec<_> = match wanted {
        Some(slot) => vacant.iter().filter(|place| place.slot == *slot).collect(),
        None => vacant.iter().take(count).collect(),
    };
    for place in chosen {
        // What lies there is not learned by waiting, so the doubt itself is told as the hazard.
        match &place.marker {
            Fact::Known(known) if known.value.fingerprint.is_empty() && !known.value.tombstoned => {}
            Fact::Known(known) => {
                return Finding::broken(
                    format!("the volume of {} holds data of member {}", place.slot, known.value.member_id),
                    "set the old data aside; a removed member must not come back with it",
                );
            }
            Fact::NotApplicable if case.profile.lacks(Topic::Volume) => {}
            Fact::Unknown { detail, .. } if !detail.is_empty() => {
                return Finding::silent(format!("what lies on the volume of {}: {detail}", place.slot));
            }
            Fact::NotApplicable | Fact::Unknown { .. } => {
                return Finding::silent(format!("what lies on the volume of {}", place.slot));
            }
        }
    }
    Finding::Pass
}

fn single_hand(case: &Case) -> Finding {
    match &case.snapshot.owner {
        Fact::Known(known) if known.value == "plimsoll" => no_rival(case),
        Fact::Known(known) => {
            Finding::broken(format!("{} is in control", known.value), "end the other hand's hold first")
        }
        Fact::NotApplicable | Fact::Unknown { .. } => Finding::unknown("who is in control"),
    }
}

fn no_rival(case: &Case) -> Finding {
    let rivals = match workload::rivals(case.snapshot) {
        Fact::NotApplicable => return Finding::Pass,
        Fact::Known(known) => known.value,
        Fact::Unknown { detail, .. } => {
            return Finding::unknown(format!("what else scales the workload ({detail})"));
        }
    };
    if rivals.is_empty() {
        return Finding::Pass;
    }
    let told = rivals.iter().map(|rival| format!("{} {}", rival.kind, rival.name));
    let remedies = rivals.iter().map(|rival| rival.remedy.clone());
    Finding::broken(format!("{} scales the workload too", listed(told, ", ")), listed(remedies, "; "))
}

fn victim(case: &Case) -> Finding {
    let Some(Verb::Platform(PlatformVerb::Stop { slot, member, .. })) = case.verb() else {
        return Finding::Pass;
    };
    let Some(subject) = case.subject() else { return Finding::Pass };
    if *slot != subject.slot || subject.id.as_ref().is_some_and(|id| id != member) {
        return Finding::broken(
            format!("{slot} would be stopped, {} was drained", subject.slot),
            "this is a defect of the planner; nothing is stopped",
        );
    }
    match case.profile.victim {
        Victim::Named => Finding::Pass,
        Victim::HighestOrdinal => {
            let highest = case
                .members()
                .iter()
                .filter_map(|row| row.slot.as_deref())
                .max_by_key(|slot| order(Some(slot)));
            if highest == Some(&**slot) {
                return Finding::Pass;
            }
            Finding::broken(
                format!("the platform would remove {}, {slot} was drained", highest.unwrap_or("nobody")),
                "the platform always removes the highest ordinal",
            )
        }
    }
}

fn join(case: &Case) -> Finding {
    let Some(Verb::Platform(PlatformVerb::Start { slot, join, .. })) = case.verb() else {
        return Finding::Pass;
    };
    if !case.profile.registers_first {
        return Finding::Pass;
    }
    let Some(join) = join.as_ref().filter(|join| join.existing) else {
        return Finding::broken(
            format!("{slot} would not be told to join an existing cluster"),
            "the driver could not tell how to join",
        );
    };
    let reachable = case.members().iter().any(|member| {
        member.slot.as_ref() != Some(slot)
            && member.alive.value() == Some(&true)
            && member.endpoints.values().any(|address| join.contacts.contains(address))
    });
    if reachable {
        return Finding::Pass;
    }
    Finding::broken(
        format!("no live member is among those that {slot} is told of"),
        "wait until the driver sees the members again",
    )
}
