//! Draining: in the profile's order, one at a time, to its end.

use super::evid::label;
use super::{ADMISSION, EFFECTS, Finding, Invariant, Severity, listed, mutex};
use crate::case::Case;
use crate::change::Moment;
use crate::plan::progress;
use crate::snapshot;
use plimsoll_wire::fact::Authority;
use plimsoll_wire::journal::{PlatformVerb, SystemVerb, Verb};
use plimsoll_wire::snapshot::{Lifecycle, Member};

/// The rules of this family.
pub const FAMILY: &[Invariant] = &[
    Invariant {
        id: "DRAIN-1",
        kind: "OutOfOrder",
        severity: Severity::Deny,
        moments: EFFECTS,
        protects: "Every earlier step of the profile is seen to be done before the next effect.",
        advice: "Wait. If somebody undid an earlier step, let the plan do it again.",
        check: order,
    },
    Invariant {
        id: "DRAIN-2",
        kind: "OneMemberAtATime",
        severity: Severity::Deny,
        moments: EFFECTS,
        protects: "One member leaves at a time (rook/rook#9230). Where the system can, others of the same plan give their data away meanwhile.",
        advice: "Wait until the other member has left, or take its removal back.",
        check: one,
    },
    Invariant {
        id: "DRAIN-3",
        kind: "DrainingMemberDown",
        severity: Severity::Defer,
        moments: &[Moment::Destroy],
        protects: "A member that dies while it drains is brought back before the plan goes on (banzaicloud/koperator#776).",
        advice: "Bring the member back: its data may be nowhere else.",
        check: stay_alive,
    },
    Invariant {
        id: "DRAIN-4",
        kind: "DrainInProgress",
        severity: Severity::Defer,
        moments: ADMISSION,
        protects: "No new plan begins while a member is leaving (scylladb/scylla-operator#1189).",
        advice: "Wait until that member is gone, or take its drain back.",
        check: no_turn,
    },
];

fn order(case: &Case) -> Finding {
    if case.undoes() {
        return Finding::Pass;
    }
    let (Some(plan), Some(verb)) = (case.plan(), case.verb()) else { return Finding::Pass };
    match progress::first_unmet(case.snapshot, plan) {
        Some(step) if !step.does(verb) => Finding::broken(
            format!("{} comes before {}", step.name, verb.kind()),
            "this is a defect of the planner; nothing is done",
        ),
        Some(_) | None if matches!(verb, Verb::System(SystemVerb::Cordon { .. })) => {
            settled(case.members().iter().filter(|row| case.is_subject(row)))
        }
        Some(_) | None => Finding::Pass,
    }
}

fn is_leaving(lifecycle: Option<&Lifecycle>) -> bool {
    matches!(lifecycle, Some(Lifecycle::Draining | Lifecycle::Drained))
}

/// Of each member it is known where in its life it is, so that none is on its way out unseen. What the system does not
/// list has no such place.
fn settled<'a>(rows: impl Iterator<Item = &'a Member>) -> Finding {
    let unseen = |row: &&Member| row.id.value().is_some() && row.lifecycle.value().is_none();
    match rows.filter(unseen).map(label).min() {
        Some(name) => Finding::unknown(format!("whether {name} is on its way out")),
        None => Finding::Pass,
    }
}

fn one(case: &Case) -> Finding {
    if !case.shrinks() || mutex::gives_back(case) {
        return Finding::Pass;
    }
    let others = || case.members().iter().filter(|row| !case.is_subject(row) && !case.leaves_beside(row));
    let leaving: Vec<String> = others().filter(|row| is_leaving(row.lifecycle.value())).map(label).collect();
    if leaving.is_empty() {
        return settled(others());
    }
    Finding::broken(format!("{} is leaving already", listed(leaving, ", ")), "wait until it has gone")
}

/// A dead victim of a system in which nothing moves is removed as dead; where data moves it must live to give it, unless
/// the others have made anew all that it held and say so (`decisions.md` D11).
fn stay_alive(case: &Case) -> Finding {
    if !case.profile.moves_data()
        || !matches!(case.verb(), Some(Verb::Platform(PlatformVerb::Stop { .. })))
        || !case.removes()
        || case.was_removed()
    {
        return Finding::Pass;
    }
    for row in case.members().iter().filter(|row| case.is_subject(row)) {
        match row.alive.value() {
            Some(true) => {}
            Some(false) if is_empty(row) => {}
            Some(false) => {
                return Finding::broken(
                    format!("{} is down", label(row)),
                    "bring it back; nobody else holds all that it has",
                );
            }
            None => return Finding::unknown(format!("whether {} is alive", label(row))),
        }
    }
    Finding::Pass
}

/// Nothing is on it, on the word of others.
fn is_empty(row: &Member) -> bool {
    row.hosted
        .known()
        .is_some_and(|known| snapshot::is_empty(&known.value) && known.authority >= Authority::Survivors)
}

fn no_turn(case: &Case) -> Finding {
    let leaving: Vec<String> =
        case.members().iter().filter(|row| is_leaving(row.lifecycle.value())).map(label).collect();
    if leaving.is_empty() {
        return settled(case.members().iter());
    }
    Finding::broken(
        format!("{} is draining", listed(leaving, ", ")),
        "wait until it has gone, or cancel its drain where the system can",
    )
}
