//! Draining: in the profile's order, one at a time, to its end.

use super::evid::label;
use super::{ADMISSION, EFFECTS, Finding, Invariant, Severity};
use crate::judge::{Case, Moment};
use crate::plan::progress;
use plimsoll_wire::journal::Verb;
use plimsoll_wire::snapshot::Lifecycle;

/// The rules of this family.
pub const FAMILY: &[Invariant] = &[
    Invariant {
        id: "DRAIN-1",
        kind: "OutOfOrder",
        severity: Severity::Deny,
        moments: EFFECTS,
        protects: "Every earlier phase of the profile is seen done before the next effect.",
        check: order,
    },
    Invariant {
        id: "DRAIN-2",
        kind: "OneMemberAtATime",
        severity: Severity::Deny,
        moments: EFFECTS,
        protects: "One member leaves at a time (rook/rook#9230).",
        check: one,
    },
    Invariant {
        id: "DRAIN-3",
        kind: "DrainingMemberDown",
        severity: Severity::Defer,
        moments: &[Moment::Destroy],
        protects: "A member that dies while it drains is brought back before the plan goes on \
                   (banzaicloud/koperator#776).",
        check: stay_alive,
    },
    Invariant {
        id: "DRAIN-4",
        kind: "DrainInProgress",
        severity: Severity::Defer,
        moments: ADMISSION,
        protects: "No new plan while a member is on its way out (scylladb/scylla-operator#1189).",
        check: no_turn,
    },
];

fn order(case: &Case) -> Finding {
    if case.undoes() {
        return Finding::Pass;
    }
    let (Some(plan), Some(verb)) = (case.plan(), case.verb()) else { return Finding::Pass };
    match progress::first_unmet(case.snapshot, plan, case.profile) {
        Some(phase) if !progress::belongs(verb, phase) => Finding::broken(
            format!("{} comes before {}", phase.kind(), verb.kind()),
            "this is a defect of the planner; nothing is done",
        ),
        Some(_) | None => Finding::Pass,
    }
}

fn is_leaving(lifecycle: Option<&Lifecycle>) -> bool {
    matches!(lifecycle, Some(Lifecycle::Draining | Lifecycle::Drained))
}

fn one(case: &Case) -> Finding {
    if !case.shrinks() {
        return Finding::Pass;
    }
    let mut others: Vec<String> = case
        .members()
        .iter()
        .filter(|row| is_leaving(row.lifecycle.value()) && !case.is_subject(row))
        .map(label)
        .collect();
    if others.is_empty() {
        return Finding::Pass;
    }
    others.sort();
    Finding::broken(format!("{} is leaving already", others.join(", ")), "wait until it has gone")
}

/// A dead victim of a system in which nothing moves is removed as dead; where data moves it must live to give it.
fn stay_alive(case: &Case) -> Finding {
    if !case.profile.moves_data || !matches!(case.verb(), Some(Verb::Stop { .. })) || !case.removes() {
        return Finding::Pass;
    }
    for row in case.members().iter().filter(|row| case.is_subject(row)) {
        match row.alive.value() {
            Some(true) => {}
            Some(false) => {
                return Finding::broken(
                    format!("{} is down", label(row)),
                    "bring it back; it is not empty until it says so",
                );
            }
            None => return Finding::unknown(format!("whether {} is alive", label(row))),
        }
    }
    Finding::Pass
}

fn no_turn(case: &Case) -> Finding {
    let mut leaving: Vec<String> =
        case.members().iter().filter(|row| is_leaving(row.lifecycle.value())).map(label).collect();
    if leaving.is_empty() {
        return Finding::Pass;
    }
    leaving.sort();
    Finding::broken(
        format!("{} is draining", leaving.join(", ")),
        "wait until it has gone, or cancel its drain where the system can",
    )
}
