//! Health: nothing is changed while the system itself says that something is wrong with it.

use super::{ALWAYS, Finding, Invariant, Severity, listed};
use crate::alarm;
use crate::case::Case;
use plimsoll_wire::alarm::{ALARMS, Alarm};
use plimsoll_wire::fact::Fact;
use std::collections::BTreeSet;

/// The rules of this family.
pub const FAMILY: &[Invariant] = &[Invariant {
    id: "HEALTH-1",
    kind: "AlarmStanding",
    severity: Severity::Defer,
    moments: ALWAYS,
    protects: "Nothing is changed while the system raises an alarm: under etcd's CORRUPT and NOSPACE, etcd still accepts a change of members, and the write that has to confirm it never commits.",
    advice: "Clear the cause, then the alarm, as the message says.",
    check: alarms,
}];

/// A change of members is written through the very log that the alarm is about, so it bars both directions, and a person's
/// wish too. To take back what has no vote yet leaves the system as it was.
fn alarms(case: &Case) -> Finding {
    if case.undoes() && !case.removes() {
        return Finding::Pass;
    }
    let standing = match alarm::standing(case.snapshot) {
        Fact::Known(known) => known.value,
        Fact::Unknown { reason, detail } if detail.is_empty() => {
            return Finding::unknown(format!("`{ALARMS}` of the system ({})", reason.kind()));
        }
        Fact::Unknown { detail, .. } => {
            return Finding::unknown(format!("`{ALARMS}` of the system ({detail})"));
        }
        Fact::NotApplicable => return Finding::unknown(format!("`{ALARMS}` of the system")),
    };
    if standing.is_empty() {
        return Finding::Pass;
    }
    let remedies: BTreeSet<&str> =
        standing.iter().map(|alarm| &*alarm.remedy).filter(|remedy| !remedy.is_empty()).collect();
    let hint = if remedies.is_empty() {
        "clear its cause, then the alarm, with the system's own tools".to_owned()
    } else {
        remedies.into_iter().take(3).collect::<Vec<_>>().join("; ")
    };
    Finding::broken(listed(standing.iter().map(|alarm| say(case, alarm)), ", "), hint)
}

fn say(case: &Case, alarm: &Alarm) -> String {
    if alarm.member.is_empty() {
        return alarm.kind.clone();
    }
    match case.member(&alarm.member).and_then(|row| row.slot.as_deref()) {
        Some(slot) => format!("{} on {slot} (member {})", alarm.kind, alarm.member),
        None => format!("{} on member {}", alarm.kind, alarm.member),
    }
}
