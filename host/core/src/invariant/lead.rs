//! Leaders: moved and verified before their holder is touched, and touched last.

use super::evid::label;
use super::{ADMISSION, EFFECTS, Finding, Invariant, Severity, first_group};
use crate::case::Case;
use crate::groups::{self, called, copy_on, heirs};
use crate::step;
use plimsoll_wire::journal::{SystemVerb, Verb};
use plimsoll_wire::profile::{Topic, Victim};
use plimsoll_wire::snapshot::{Group, GroupKind, Lifecycle, Member, PlacementState};

/// The rules of this family.
pub const FAMILY: &[Invariant] = &[
    Invariant {
        id: "LEAD-1",
        kind: "LeaderBeforeFollowers",
        severity: Severity::Defer,
        moments: ADMISSION,
        protects: "A leader is removed only when no follower can be removed instead.",
        advice: "Nothing; move leadership by hand if it cannot wait.",
        check: leader_last,
    },
    Invariant {
        id: "LEAD-2",
        kind: "LeaderNotMoved",
        severity: Severity::Deny,
        moments: EFFECTS,
        protects: "Before a leader goes, leadership has moved to a member that is in sync and stays.",
        advice: "Wait for the new leader. If leadership does not move, look at the members that could take it.",
        check: hand_over,
    },
    Invariant {
        id: "LEAD-3",
        kind: "LeadershipUnsettled",
        severity: Severity::Defer,
        moments: &[crate::change::Moment::Admission, crate::change::Moment::Destroy],
        protects: "No member is removed while leadership keeps moving.",
        advice: "Wait for `leaderQuiet`.",
        check: quiet,
    },
];

/// The first group of these that a member leads.
fn led<'a>(mut groups: impl Iterator<Item = &'a Group>, row: &Member) -> Option<&'a Group> {
    let id = row.id.value()?;
    groups.find(|group| group.leader.value() == Some(id))
}

fn controls<'a>(case: &'a Case) -> impl Iterator<Item = &'a Group> {
    groups::all(case.snapshot).iter().filter(|group| group.kind == GroupKind::Control)
}

/// Whether a member leads a control group. Users' data is led by every member.
fn leads(case: &Case, row: &Member) -> bool {
    led(controls(case), row).is_some()
}

/// Where the platform says who goes, nobody else can: the plan moves leadership off it first, or the highest ordinal's
/// lead would keep a group at its size for good. LEAD-2 sees to it that it has moved.
fn leader_last(case: &Case) -> Finding {
    let moves = step::shrinks_by(case.profile, step::MOVE_LEADERS).is_some();
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
        Some(Verb::System(SystemVerb::MoveLeader { group, from, to })) => {
            match groups::find(case.snapshot, group) {
                Some(group) => successor(case, group, from, to.as_deref()),
                None => Finding::unknown(format!("group {group}")),
            }
        }
        Some(verb) if verb.ends() && case.removes() => no_leader(case),
        Some(_) | None => Finding::Pass,
    }
}

/// Leadership of a group is handed to a member that holds this very group. Where the system chooses, it needs one to choose.
fn successor(case: &Case, group: &Group, from: &str, to: Option<&str>) -> Finding {
    if group.placements.value().is_none() {
        return Finding::unknown(format!("the placements of {}", called(group)));
    }
    let goes = |heir: &str| case.member(heir).is_some_and(|row| case.leaves_beside(row));
    let mut able = heirs(group, from).filter(|heir| heir_of(case, group, heir) == Finding::Pass);
    match to {
        None if able.next().is_some() => Finding::Pass,
        None => {
            let none = format!("nobody else who serves and stays holds {} in sync", called(group));
            Finding::broken(none, "wait until another could lead")
        }
        // One that gives its data away beside hands leadership on in its own turn, as if they went one by one.
        Some(to) if goes(to) && able.any(|heir| !goes(heir)) => {
            Finding::broken(format!("{to} is to go itself"), "another must lead")
        }
        Some(to) => heir_of(case, group, to),
    }
}

fn heir_of(case: &Case, group: &Group, to: &str) -> Finding {
    let Some(row) = case.member(to) else { return Finding::unknown(format!("member {to}")) };
    if row.alive.value() != Some(&true) || row.lifecycle.value() != Some(&Lifecycle::Serving) {
        return Finding::broken(format!("{} does not serve", label(row)), "another must lead");
    }
    if case.is_victim(row) && !case.leaves_beside(row) {
        return Finding::broken(format!("{} is to go itself", label(row)), "another must lead");
    }
    if copy_on(group, to).is_none_or(|copy| copy.state != PlacementState::InSync) {
        let detail = format!("{} is not in sync in {}", label(row), called(group));
        return Finding::broken(detail, "another must lead");
    }
    Finding::Pass
}

fn no_leader(case: &Case) -> Finding {
    for row in case.members().iter().filter(|row| case.is_subject(row)) {
        if let Some(group) = led(groups::all(case.snapshot).iter(), row) {
            return Finding::broken(
                format!("{} still leads {}", label(row), called(group)),
                "leadership is moved first",
            );
        }
        match row.hosted.value() {
            Some(hosted) if hosted.leaders > 0 => {
                return Finding::broken(
                    format!("{} still leads {} groups", label(row), hosted.leaders),
                    "leadership is moved first",
                );
            }
            Some(_) => {}
            None if case.profile.lacks(Topic::Hosted) || row.id.value().is_none() => {}
            None => return Finding::unknown(format!("what {} leads", label(row))),
        }
    }
    Finding::Pass
}

fn quiet(case: &Case) -> Finding {
    if !case.shrinks() || case.undoes() {
        return Finding::Pass;
    }
    let wanted = case.snapshot.safety.leader_quiet_ms;
    first_group(controls(case), |group| {
        let Some(leader) = group.leader.known() else {
            return Finding::unknown(format!("the leader of {}", called(group)));
        };
        if leader.stable_ms >= wanted {
            return Finding::Pass;
        }
        Finding::broken(
            format!("{} changed its leader {} ms ago", called(group), leader.stable_ms),
            format!("it must have been quiet for {wanted} ms"),
        )
    })
}
