//! Redundancy and placement: never the last copy, never too few.

use super::evid::label;
use super::{ALWAYS, EFFECTS, Finding, Invariant, Severity, listed};
use crate::case::Case;
use crate::change::Moment;
use crate::profile::Topic;
use crate::quorum::is_alive;
use crate::snapshot::never_joined;
use plimsoll_wire::fact::Fact;
use plimsoll_wire::journal::{PlatformVerb, SystemVerb, Verb};
use plimsoll_wire::snapshot::{Group, GroupModel, Lifecycle, Member, PlacementState};
use std::collections::BTreeSet;

/// The rules of this family.
pub const FAMILY: &[Invariant] = &[
    Invariant {
        id: "RED-1",
        kind: "TooFewMembersForCopies",
        severity: Severity::Deny,
        moments: ALWAYS,
        protects: "As many members remain as each group wants copies.",
        advice: "Ask for fewer copies, or keep the members.",
        check: copies_fit,
    },
    Invariant {
        id: "RED-2",
        kind: "CopiesMissing",
        severity: Severity::Defer,
        moments: ALWAYS,
        protects: "Nothing is taken away while something is missing already (gluster/glusterfs#895).",
        advice: "Wait until the missing copies are back; when none are being made, look at the system.",
        check: whole_before,
    },
    Invariant {
        id: "RED-3",
        kind: "WritesWouldStop",
        severity: Severity::Deny,
        moments: &[Moment::Destroy],
        protects: "Every group can still confirm writes when the member is gone.",
        advice: "Wait for copies elsewhere, or add a member first.",
        check: ack_after_stop,
    },
    Invariant {
        id: "RED-4",
        kind: "LastCopyLost",
        severity: Severity::Deny,
        moments: &[Moment::Destroy],
        protects: "No member goes that holds the only whole copy of anything.",
        advice: "Wait for a second whole copy; when none is made, look at why the system makes none.",
        check: last_copy,
    },
    Invariant {
        id: "RED-5",
        kind: "SpreadLost",
        severity: Severity::Deny,
        moments: ALWAYS,
        protects: "Copies stay spread over as many failure domains as asked, or as there were.",
        advice: "Bring members into the failure domains that are short, or ask for less spread.",
        check: spread,
    },
    Invariant {
        id: "RED-6",
        kind: "MemberNotEmpty",
        severity: Severity::Deny,
        moments: &[Moment::Destroy],
        protects: "A member that holds data is not stopped (cockroachdb/cockroach-operator#542).",
        advice: "Wait for the drain; when it stands still, look at what the member still holds.",
        check: empty,
    },
    Invariant {
        id: "RED-7",
        kind: "SyncStandbyLost",
        severity: Severity::Deny,
        moments: ALWAYS,
        protects: "Enough synchronous candidates remain, so that durability is not lowered in silence.",
        advice: "Bring a synchronous candidate back, or keep the member.",
        check: sync_floor,
    },
    Invariant {
        id: "RED-10",
        kind: "UnreplicatedWritesLost",
        severity: Severity::Deny,
        moments: EFFECTS,
        protects: "A role goes only to a member that has every acknowledged write.",
        advice: "Wait until the other member has every acknowledged write.",
        check: async_gap,
    },
];

fn groups<'a>(case: &'a Case) -> &'a [Group] {
    case.snapshot.groups.value().map_or(&[], Vec::as_slice)
}

/// Members that may hold a copy once the victims are gone.
fn eligible<'a>(case: &'a Case) -> impl Iterator<Item = &'a Member> {
    case.members().iter().filter(|member| {
        !case.is_victim(member)
            && is_alive(member)
            && matches!(
                member.lifecycle.value(),
                Some(Lifecycle::Serving | Lifecycle::CatchingUp | Lifecycle::Joining)
            )
    })
}

fn copies_fit(case: &Case) -> Finding {
    if !case.removes() || case.profile.absent.contains(&Topic::Copies) {
        return Finding::Pass;
    }
    let left = eligible(case).count();
    let spare = case.snapshot.safety.spare;
    let mut broken = Vec::new();
    for group in groups(case) {
        let Some(copies) = group.target_copies.value() else {
            return Finding::unknown(format!("how many copies group {} wants", group.id));
        };
        if left < usize::try_from(copies.saturating_add(spare)).unwrap_or(usize::MAX) {
            broken.push(format!(
                "group {} wants {copies} copies and {spare} spare, {left} members remain",
                group.id
            ));
        }
    }
    list(broken, "keep more members, or ask for fewer copies")
}

fn list(broken: Vec<String>, hint: &str) -> Finding {
    if broken.is_empty() { Finding::Pass } else { Finding::broken(listed(broken, "; "), hint) }
}

/// Copies that a dead victim held are what the removal repairs, so they do not count as missing.
fn whole_before(case: &Case) -> Finding {
    // What grows a degraded system may be what heals it; what the plan itself has under way is its own.
    if !case.removes() || undoes_or_finishes(case) {
        return Finding::Pass;
    }
    let mut degraded = Vec::new();
    for group in groups(case) {
        let Some(placements) = group.placements.value() else {
            return Finding::unknown(format!("the placements of group {}", group.id));
        };
        let repaired = |id: &str| {
            case.member(id)
                .is_some_and(|member| case.is_victim(member) && member.alive.value() == Some(&false))
        };
        let mine = |id: &str| case.member(id).is_some_and(|member| case.is_victim(member));
        let bad = placements.iter().filter(|placement| match placement.state {
            PlacementState::InSync => {
                !case.member(&placement.member).is_some_and(is_alive) && !repaired(&placement.member)
            }
            PlacementState::CatchingUp | PlacementState::Stale => !repaired(&placement.member),
            PlacementState::Leaving => !mine(&placement.member),
            PlacementState::Learner => false,
        });
        let missing = bad.count();
        if missing > 0 {
            degraded.push(format!("group {} has {missing} copies that are not whole", group.id));
        }
        let there = placements.iter().filter(|placement| placement.weight > 0).count();
        let wanted = group.target_copies.value().map(|copies| usize::try_from(*copies).unwrap_or(usize::MAX));
        if let Some(wanted) = wanted.filter(|wanted| missing == 0 && there < *wanted) {
            degraded.push(format!("group {} has {there} of {wanted} copies", group.id));
        }
    }
    if degraded.len() <= usize::try_from(case.snapshot.safety.max_degraded).unwrap_or(0) {
        return Finding::Pass;
    }
    list(degraded, "wait until the system has healed")
}

/// Effects after which nothing more is taken away.
fn undoes_or_finishes(case: &Case) -> bool {
    matches!(
        case.verb(),
        Some(
            Verb::System(SystemVerb::Barrier)
                | Verb::System(SystemVerb::PayDebt { .. })
                | Verb::System(SystemVerb::Uncordon { .. })
                | Verb::System(SystemVerb::CancelDrain { .. })
        )
    )
}

fn ack_after_stop(case: &Case) -> Finding {
    if !case.removes() {
        return Finding::Pass;
    }
    let gone = case.victim_ids();
    let mut broken = Vec::new();
    for group in groups(case) {
        if case.snapshot.safety.accept_unavailable.iter().any(|name| *name == *group.id) {
            continue;
        }
        let Some(standing) = case.standing(group) else {
            return Finding::unknown(format!("the placements of group {}", group.id));
        };
        let after = standing.without(&gone);
        let need = match group.model {
            GroupModel::StaticMajority => after.need(),
            GroupModel::AckSet | GroupModel::AsyncPrimary => standing.need(),
        };
        let Some(need) = need else { return Finding::unknown(format!("what group {} needs", group.id)) };
        if after.have() < need {
            broken.push(format!("group {} would have {} of {need} copies", group.id, after.have()));
        }
    }
    list(broken, "wait until its copies are elsewhere")
}

fn last_copy(case: &Case) -> Finding {
    if !case.removes() {
        return Finding::Pass;
    }
    let gone = case.victim_ids();
    let mut sole = Vec::new();
    for group in groups(case) {
        let Some(standing) = case.standing(group) else {
            return Finding::unknown(format!("the placements of group {}", group.id));
        };
        let holds = standing.holders.iter().any(|(id, ..)| gone.contains(id));
        if holds && standing.without(&gone).have() == 0 {
            sole.push(format!("group {} has no other whole copy", group.id));
        }
    }
    list(sole, "wait until it is copied elsewhere")
}

fn domains(case: &Case, gone: bool) -> Option<BTreeSet<String>> {
    // Where nothing moves by itself, what never joined spreads no copy.
    let counts = |member: &&Member| case.profile.moves_data || !never_joined(case.snapshot, member);
    let all = case.members().iter().filter(counts).filter(|member| !(gone && case.is_victim(member)));
    let mut found = BTreeSet::new();
    for member in all {
        match &member.domain {
            Fact::Known(known) => {
                // The widest part is what fails as one: a zone, else a rack, else a host.
                found.insert(known.value.split('/').next().unwrap_or_default().to_owned());
            }
            Fact::NotApplicable => {}
            Fact::Unknown { .. } => return None,
        }
    }
    Some(found)
}

/// Asked of whole members: where every member holds every group this is the same, elsewhere it is what the
/// system's own placement has to work with.
fn spread(case: &Case) -> Finding {
    if !case.removes() {
        return Finding::Pass;
    }
    let (Some(before), Some(after)) = (domains(case, false), domains(case, true)) else {
        return Finding::unknown("the failure domains of all members");
    };
    let wanted = usize::try_from(case.snapshot.safety.spread).unwrap_or(usize::MAX).min(before.len());
    if after.len() >= wanted {
        return Finding::Pass;
    }
    Finding::broken(
        format!("{} failure domains would remain, {wanted} are asked for", after.len()),
        "another member must go, or more domains must be filled",
    )
}

fn empty(case: &Case) -> Finding {
    let Some(Verb::Platform(PlatformVerb::Stop { .. })) = case.verb() else { return Finding::Pass };
    if !case.removes() || !case.profile.moves_data {
        return Finding::Pass;
    }
    let gone = case.victim_ids();
    for group in groups(case) {
        let Some(placements) = group.placements.value() else {
            return Finding::unknown(format!("the placements of group {}", group.id));
        };
        if placements.iter().any(|placement| gone.contains(&placement.member)) {
            return Finding::broken(
                format!("group {} still has a copy on the member", group.id),
                "the drain goes on",
            );
        }
    }
    Finding::Pass
}

fn sync_floor(case: &Case) -> Finding {
    if !case.removes() {
        return Finding::Pass;
    }
    let gone = case.victim_ids();
    let mut broken = Vec::new();
    for group in groups(case).iter().filter(|group| group.model == GroupModel::AsyncPrimary) {
        let Some(standing) = case.standing(group) else {
            return Finding::unknown(format!("the placements of group {}", group.id));
        };
        let Some(ack) = group.min_ack.value() else {
            return Finding::unknown(format!("how many must confirm a write of group {}", group.id));
        };
        // One of those who confirm is the primary itself.
        let required = ack.saturating_sub(1);
        if required == 0 {
            continue;
        }
        let left = standing.without(&gone).have().saturating_sub(1);
        if left < required.saturating_add(case.snapshot.safety.sync_spare) {
            broken.push(format!("group {} would have {left} synchronous candidates", group.id));
        }
    }
    list(broken, "add a standby first")
}

fn async_gap(case: &Case) -> Finding {
    let Some(Verb::System(SystemVerb::MoveLeader { to, .. })) = case.verb() else { return Finding::Pass };
    for group in groups(case).iter().filter(|group| group.model == GroupModel::AsyncPrimary) {
        let placement = group.placements.value().and_then(|all| all.iter().find(|copy| copy.member == *to));
        let Some(lag) = placement.and_then(|copy| copy.lag.value()) else {
            return Finding::unknown(format!("how far {to} is behind in group {}", group.id));
        };
        if *lag > case.snapshot.safety.max_lag_bytes {
            let who = case.member(to).map_or_else(|| to.to_string(), label);
            return Finding::broken(
                format!("{who} is {lag} bytes behind in group {}", group.id),
                format!("at most {} may be lost", case.snapshot.safety.max_lag_bytes),
            );
        }
    }
    Finding::Pass
}
