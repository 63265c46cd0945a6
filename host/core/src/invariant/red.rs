//! Redundancy and placement: never the last copy, never too few.

use super::evid::label;
use super::{ALWAYS, EFFECTS, Finding, Invariant, Severity, each_group, listed};
use crate::case::Case;
use crate::change::Moment;
use crate::count::count;
use crate::groups::{self, called, copy_on, heirs};
use crate::quorum::is_alive;
use crate::snapshot::never_joined;
use plimsoll_wire::fact::Fact;
use plimsoll_wire::journal::{PlatformVerb, SystemVerb, Verb};
use plimsoll_wire::profile::Topic;
use plimsoll_wire::snapshot::{Group, GroupModel, Lifecycle, Member, Placement, PlacementState};
use std::collections::BTreeSet;

/// The rules of this family.
pub const FAMILY: &[Invariant] = &[
    Invariant {
        id: "RED-1",
        kind: "TooFewMembersForCopies",
        severity: Severity::Deny,
        moments: ALWAYS,
        protects: "At least as many members remain as each group wants copies.",
        advice: "Ask for fewer copies, or keep the members.",
        check: copies_fit,
    },
    Invariant {
        id: "RED-2",
        kind: "CopiesMissing",
        severity: Severity::Defer,
        moments: ALWAYS,
        protects: "No member is removed while copies are missing already (gluster/glusterfs#895).",
        advice: "Wait until the missing copies are back. If the system makes none, look at why.",
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
        protects: "No member is removed that holds the only whole copy of anything.",
        advice: "Wait for a second whole copy. If the system makes none, look at why.",
        check: last_copy,
    },
    Invariant {
        id: "RED-5",
        kind: "SpreadLost",
        severity: Severity::Deny,
        moments: ALWAYS,
        protects: "Copies stay spread over as many failure domains as you ask for, or as there were.",
        advice: "Add members in the failure domains that are short, or ask for less spread.",
        check: spread,
    },
    Invariant {
        id: "RED-6",
        kind: "MemberNotEmpty",
        severity: Severity::Deny,
        moments: &[Moment::Destroy],
        protects: "A member that holds data is not stopped (cockroachdb/cockroach-operator#542).",
        advice: "Wait for the drain. If it stands still, look at what the member still holds.",
        check: empty,
    },
    Invariant {
        id: "RED-7",
        kind: "SyncStandbyLost",
        severity: Severity::Deny,
        moments: ALWAYS,
        protects: "Enough synchronous candidates remain, so that durability does not silently decrease.",
        advice: "Bring a synchronous candidate back, or keep the member.",
        check: sync_floor,
    },
    Invariant {
        id: "RED-10",
        kind: "UnreplicatedWritesLost",
        severity: Severity::Deny,
        moments: EFFECTS,
        protects: "A role moves only to a member that has every acknowledged write.",
        advice: "Wait until the other member has every acknowledged write.",
        check: async_gap,
    },
];

fn groups<'a>(case: &'a Case) -> &'a [Group] {
    groups::all(case.snapshot)
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
    if !case.removes() || case.profile.lacks(Topic::Copies) {
        return Finding::Pass;
    }
    let left = eligible(case).count();
    let spare = case.snapshot.safety.spare;
    each_group(groups(case).iter(), "keep more members, or ask for fewer copies", |group| {
        let name = called(group);
        let copies = group.target_copies.value().ok_or_else(|| format!("how many copies {name} wants"))?;
        let short = left < usize::try_from(copies.saturating_add(spare)).unwrap_or(usize::MAX);
        let say =
            || format!("{name} wants {} and {spare} spare, {left} members remain", count(copies, "copy"));
        Ok(short.then(say).into_iter().collect())
    })
}

/// Copies that a dead victim held are what the removal repairs, so they do not count as missing.
fn whole_before(case: &Case) -> Finding {
    // What grows a degraded system may be what heals it; what the plan itself has under way is its own.
    if !case.removes() || undoes_or_finishes(case) {
        return Finding::Pass;
    }
    let (mut degraded, mut said, mut unknown) = (0_u32, Vec::new(), None);
    for group in groups(case) {
        match lacking(case, group) {
            Ok(Some(say)) => {
                degraded = degraded.saturating_add(group.count.get());
                said.push(say);
            }
            Ok(None) => {}
            Err(detail) => unknown = unknown.or(Some(detail)),
        }
    }
    match unknown {
        _ if degraded > case.snapshot.safety.max_degraded => {
            Finding::broken(listed(said, "; "), "wait until the system has healed")
        }
        Some(detail) => Finding::unknown(detail),
        None => Finding::Pass,
    }
}

/// What is missing of one group, if anything.
fn lacking(case: &Case, group: &Group) -> Result<Option<String>, String> {
    let name = called(group);
    let placements = group.placements.value().ok_or_else(|| format!("the placements of {name}"))?;
    let wanted = group.target_copies.value().map(|copies| usize::try_from(*copies).unwrap_or(usize::MAX));
    if wanted.is_some_and(|wanted| moves_beside(case) && whole(case, placements) >= wanted) {
        return Ok(None);
    }
    let victim = |id: &str| case.member(id).filter(|member| case.is_victim(member));
    let repaired = |id: &str| victim(id).is_some_and(|member| member.alive.value() == Some(&false));
    let bad = placements.iter().filter(|placement| match placement.state {
        PlacementState::InSync => {
            !case.member(&placement.member).is_some_and(is_alive) && !repaired(&placement.member)
        }
        PlacementState::CatchingUp | PlacementState::Stale => !repaired(&placement.member),
        PlacementState::Leaving => victim(&placement.member).is_none(),
        PlacementState::Learner => false,
    });
    let missing = bad.count();
    if missing > 0 {
        return Ok(Some(format!("{name} has {} that are not whole", count(missing, "copy"))));
    }
    let there = placements.iter().filter(|placement| placement.weight > 0).count();
    let short = wanted.filter(|wanted| there < *wanted);
    Ok(short.map(|wanted| format!("{name} has {there} of {wanted} copies")))
}

/// Whether copies may be on their way off members that leave beside: each stays whole where it is until it has come.
fn moves_beside(case: &Case) -> bool {
    case.plan().is_some_and(|plan| !plan.leaving.is_empty())
}

/// How many copies have everything, on members that are alive and do not end now.
fn whole(case: &Case, placements: &[Placement]) -> usize {
    let stays = |member: &Member| is_alive(member) && !(case.change.ends() && case.is_subject(member));
    let is_whole = |copy: &&Placement| {
        copy.weight > 0
            && copy.state == PlacementState::InSync
            && case.member(&copy.member).is_some_and(stays)
    };
    placements.iter().filter(is_whole).count()
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
    let accepted = &case.snapshot.safety.accept_unavailable;
    let asked = groups(case).iter().filter(|group| accepted.iter().all(|name| **name != *group.id));
    each_group(asked, "wait until its copies are elsewhere", |group| {
        let name = called(group);
        let standing = case.standing(group).ok_or_else(|| format!("the placements of {name}"))?;
        let after = standing.without(&gone);
        let need = match group.model {
            GroupModel::StaticMajority => after.need(),
            GroupModel::AckSet | GroupModel::AsyncPrimary => standing.need(),
        };
        let (have, need) = (after.have(), need.ok_or_else(|| format!("what {name} needs"))?);
        let say = || format!("{name} would have {have} of {need} copies");
        Ok((have < need).then(say).into_iter().collect())
    })
}

fn last_copy(case: &Case) -> Finding {
    if !case.removes() {
        return Finding::Pass;
    }
    let gone = case.victim_ids();
    each_group(groups(case).iter(), "wait until it is copied elsewhere", |group| {
        let name = called(group);
        let standing = case.standing(group).ok_or_else(|| format!("the placements of {name}"))?;
        let sole =
            standing.holders.iter().any(|(id, ..)| gone.contains(id)) && standing.without(&gone).have() == 0;
        Ok(sole.then(|| format!("{name} has no other whole copy")).into_iter().collect())
    })
}

fn domains(case: &Case, gone: bool) -> Option<BTreeSet<String>> {
    // Where nothing moves by itself, what never joined spreads no copy.
    let counts = |member: &&Member| case.profile.moves_data() || !never_joined(case.snapshot, member);
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
    if !case.removes() || !case.profile.moves_data() {
        return Finding::Pass;
    }
    let gone = case.victim_ids();
    each_group(groups(case).iter(), "the drain goes on", |group| {
        let name = called(group);
        let copies = group.placements.value().ok_or_else(|| format!("the placements of {name}"))?;
        let holds = copies.iter().any(|copy| gone.contains(&copy.member));
        Ok(holds.then(|| format!("{name} still has a copy on the member")).into_iter().collect())
    })
}

fn sync_floor(case: &Case) -> Finding {
    if !case.removes() {
        return Finding::Pass;
    }
    let gone = case.victim_ids();
    let asked = groups(case).iter().filter(|group| group.model == GroupModel::AsyncPrimary);
    each_group(asked, "add a standby first", |group| {
        let name = called(group);
        let standing = case.standing(group).ok_or_else(|| format!("the placements of {name}"))?;
        let ack = group.min_ack.value();
        let ack = ack.ok_or_else(|| format!("how many must confirm a write of {name}"))?;
        // One of those who confirm is the primary itself.
        let required = ack.saturating_sub(1);
        let left = standing.without(&gone).have().saturating_sub(1);
        let short = required > 0 && left < required.saturating_add(case.snapshot.safety.sync_spare);
        Ok(short.then(|| format!("{name} would have {left} synchronous candidates")).into_iter().collect())
    })
}

/// Where the system chooses, each of those that it may choose is asked.
fn async_gap(case: &Case) -> Finding {
    let Some(Verb::System(SystemVerb::MoveLeader { group, from, to })) = case.verb() else {
        return Finding::Pass;
    };
    let Some(group) = groups::find(case.snapshot, group) else {
        return Finding::unknown(format!("group {group}"));
    };
    if group.model != GroupModel::AsyncPrimary {
        return Finding::Pass;
    }
    let heirs: Vec<&str> = match to {
        Some(to) => vec![to],
        None => heirs(group, from).map(|heir| &**heir).collect(),
    };
    let most = case.snapshot.safety.max_lag_bytes;
    each_group([group].into_iter(), &format!("at most {most} may be lost"), |group| {
        let mut broken = Vec::new();
        for heir in &heirs {
            let lag = copy_on(group, heir).and_then(|copy| copy.lag.value());
            let lag = lag.ok_or_else(|| format!("how far {heir} is behind in {}", called(group)))?;
            if *lag > most {
                let who = case.member(heir).map_or_else(|| (*heir).to_owned(), label);
                broken.push(format!("{who} is {lag} bytes behind in {}", called(group)));
            }
        }
        Ok(broken)
    })
}
