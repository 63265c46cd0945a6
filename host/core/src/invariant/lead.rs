//! Leaders: moved and verified before their holder is touched, and touched last.

use super::evid::label;
use super::{ADMISSION, EFFECTS, Finding, Invariant, Severity};
use crate::case::Case;
use crate::profile::{PhaseName, Topic, Victim};
use plimsoll_wire::journal::{MembershipEffect, SystemVerb, Verb};
use plimsoll_wire::snapshot::{GroupKind, Lifecycle, Member, PlacementState};

/// The rules of this family.
pub const FAMILY: &[Invariant] = &[
    Invariant {
        id: "LEAD-1",
        kind: "LeaderBeforeFollowers",
        severity: Severity::Defer,
        moments: ADMISSION,
        protects: "A leader goes only when nobody else can.",
        advice: "Nothing: move leadership by hand if it has to be soon.",
        check: leader_last,
    },
    Invariant {
        id: "LEAD-2",
        kind: "LeaderNotMoved",
        severity: Severity::Deny,
        moments: EFFECTS,
        protects: "Leadership has moved, to a member that has everything and stays, before its holder goes.",
        advice: "Wait for the new leader; when leadership does not move, look at who could take it.",
        check: hand_over,
    },
    Invariant {
        id: "LEAD-3",
        kind: "LeadershipUnsettled",
        severity: Severity::Defer,
        moments: &[crate::change::Moment::Admission, crate::change::Moment::Destroy],
        protects: "Nothing is removed while leadership is moving about.",
        advice: "Wait for `leaderQuiet`.",
        check: quiet,
    },
];

fn leads(case: &Case, row: &Member) -> bool {
    let groups = case.snapshot.groups.value().map_or(&[][..], Vec::as_slice);
    groups
        .iter()
        .filter(|group| group.kind == GroupKind::Control)
        .any(|group| row.id.value().is_some_and(|id| group.leader.value() == Some(id)))
}

/// Where the platform says who goes, nobody else can: the plan moves leadership off it first, or the highest ordinal's
/// lead would keep a group at its size for good. LEAD-2 sees to it that it has moved.
fn leader_last(case: &Case) -> Finding {
    let moves = case.profile.shrink.iter().any(|phase| phase.name == PhaseName::MoveLeaders);
    if !case.shrinks() || (case.profile.victim == Victim::HighestOrdinal && moves) {
        return Finding::Pass;
    }
    let victims: Vec<&Member> = case.members().iter().filter(|row| case.is_victim(row)).collect();
    let spared_follower = case.members().iter().any(|row| !case.is_victim(row) && !leads(case, row));
    match victims.into_iter().find(|row| leads(case, row)) {
        Some(leader) if spared_follower => Finding::broken(
            format!("{} leads and would go, though a follower could", label(leader)),
            "move leadership off the member that the platform removes first",
        ),
        Some(_) | None => Finding::Pass,
    }
}

fn hand_over(case: &Case) -> Finding {
    match case.verb() {
        Some(Verb::System(SystemVerb::MoveLeader { to, .. })) => successor(case, to),
        Some(verb)
            if matches!(verb.membership_effect(), MembershipEffect::Leaves | MembershipEffect::Ends)
                && case.removes() =>
        {
            no_leader(case)
        }
        Some(_) | None => Finding::Pass,
    }
}

fn successor(case: &Case, to: &str) -> Finding {
    let Some(row) = case.member(to) else { return Finding::unknown(format!("member {to}")) };
    if row.alive.value() != Some(&true) || row.lifecycle.value() != Some(&Lifecycle::Serving) {
        return Finding::broken(format!("{} does not serve", label(row)), "another must lead");
    }
    if case.is_victim(row) {
        return Finding::broken(format!("{} is to go itself", label(row)), "another must lead");
    }
    let groups = case.snapshot.groups.value().map_or(&[][..], Vec::as_slice);
    for group in groups.iter().filter(|group| group.kind == GroupKind::Control) {
        let state = group
            .placements
            .value()
            .and_then(|all| all.iter().find(|copy| &*copy.member == to))
            .map(|copy| copy.state);
        if state != Some(PlacementState::InSync) {
            return Finding::broken(
                format!("{} is not in sync in group {}", label(row), group.id),
                "another must lead",
            );
        }
    }
    Finding::Pass
}

fn no_leader(case: &Case) -> Finding {
    for row in case.members().iter().filter(|row| case.is_subject(row)) {
        if leads(case, row) {
            return Finding::broken(format!("{} still leads", label(row)), "leadership is moved first");
        }
        match row.hosted.value() {
            Some(hosted) if hosted.leaders > 0 => {
                return Finding::broken(
                    format!("{} still leads {} groups", label(row), hosted.leaders),
                    "leadership is moved first",
                );
            }
            Some(_) => {}
            None if case.profile.absent.contains(&Topic::Hosted) || row.id.value().is_none() => {}
            None => return Finding::unknown(format!("what {} leads", label(row))),
        }
    }
    Finding::Pass
}

fn quiet(case: &Case) -> Finding {
    if !case.shrinks() || case.undoes() {
        return Finding::Pass;
    }
    let groups = case.snapshot.groups.value().map_or(&[][..], Vec::as_slice);
    for group in groups.iter().filter(|group| group.kind == GroupKind::Control) {
        let Some(leader) = group.leader.known() else {
            return Finding::unknown(format!("the leader of group {}", group.id));
        };
        let wanted = case.snapshot.safety.leader_quiet_ms;
        if leader.stable_ms < wanted {
            return Finding::broken(
                format!("group {} changed its leader {} ms ago", group.id, leader.stable_ms),
                format!("it must have been quiet for {wanted} ms"),
            );
        }
    }
    Finding::Pass
}
