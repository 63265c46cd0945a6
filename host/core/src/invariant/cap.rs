//! Capacity: the survivors can hold and serve what they are given.

use super::evid::label;
use super::{ADMISSION, ALWAYS, Finding, Invariant, Severity, listed};
use crate::case::Case;
use crate::plan::price::drain_ms;
use crate::{plan, workload};
use plimsoll_wire::fact::{Fact, Gap};
use plimsoll_wire::journal::{SystemVerb, Verb};
use plimsoll_wire::profile::Topic;
use plimsoll_wire::snapshot::{Lifecycle, Member};

/// The rules of this family. CAP-4 (object limits) and CAP-5 (memory fit) come with systems that have them.
pub const FAMILY: &[Invariant] = &[
    Invariant {
        id: "CAP-1",
        kind: "NotEnoughSpaceToAbsorb",
        severity: Severity::Deny,
        moments: ALWAYS,
        protects: "No survivor's disk fills up with the removed member's data (cockroachdb/cockroach#90752).",
        advice: "Free space or enlarge the disks of the members that stay, or keep the member.",
        check: disk,
    },
    Invariant {
        id: "CAP-2",
        kind: "DrainTimeUnknown",
        severity: Severity::Deny,
        moments: ADMISSION,
        protects: "The duration of the drain is known, so that growth meanwhile is counted.",
        advice: "Wait until data has moved long enough to measure the rate, or let the system report it.",
        check: duration,
    },
    Invariant {
        id: "CAP-3",
        kind: "SurvivorsOverloaded",
        severity: Severity::Deny,
        moments: ADMISSION,
        protects: "The members that remain can carry the present load.",
        advice: "Wait for less load, or keep the member.",
        check: load,
    },
    Invariant {
        id: "CAP-6",
        kind: "NoPlaceToRun",
        severity: Severity::Clamp,
        moments: ADMISSION,
        protects: "Each new member has a place to run in: a plan ends where the places end.",
        advice: "Make room: nodes, quota or volumes, as the message says.",
        check: schedulable,
    },
];

/// Whether data is still to leave the victims: afterwards their disks no longer matter.
fn data_leaves(case: &Case) -> bool {
    case.shrinks()
        && !case.undoes()
        && case.profile.moves_data()
        && matches!(
            case.verb(),
            None | Some(Verb::System(SystemVerb::Cordon { .. }) | Verb::System(SystemVerb::Drain { .. }))
        )
}

fn is_survivor(case: &Case, row: &Member) -> bool {
    !case.is_victim(row)
        && row.alive.value() == Some(&true)
        && matches!(row.lifecycle.value(), Some(Lifecycle::Serving | Lifecycle::CatchingUp))
}

/// Seconds until the victims are empty; none where a rate is not known.
fn drain_seconds(case: &Case) -> Option<u64> {
    let mut victims = case.members().iter().filter(|row| case.is_victim(row));
    victims.try_fold(0_u64, |sum, row| Some(sum.saturating_add(drain_ms(row)?.div_ceil(1_000))))
}

fn permille(part: u64, of: u32) -> u64 {
    u64::try_from(u128::from(part) * u128::from(of) / 1_000).unwrap_or(u64::MAX)
}

/// `proj(s)` of the catalogue: what is used, an uneven share of what comes, and growth until it has come.
fn disk(case: &Case) -> Finding {
    if !data_leaves(case) || case.profile.lacks(Topic::Disk) {
        return Finding::Pass;
    }
    let safety = &case.snapshot.safety;
    let survivors: Vec<&Member> = case.members().iter().filter(|row| is_survivor(case, row)).collect();
    let mut moved: u64 = 0;
    for row in case.members().iter().filter(|row| case.is_victim(row)) {
        let Some(load) = row.load_bytes.value() else {
            return Finding::unknown(format!("how much data is on {}", label(row)));
        };
        moved = moved.saturating_add(*load);
    }
    let fair = moved.div_ceil(u64::try_from(survivors.len().max(1)).unwrap_or(1));
    let share = permille(fair, safety.skew_permille).min(moved);
    let free = 1_000_u32.saturating_sub(safety.headroom_permille).min(case.profile.disk_watermark_permille);
    let seconds = match drain_seconds(case) {
        Some(seconds) => seconds,
        // Of a system that never tells how fast it moves data, an hour is assumed; at admission CAP-2 says so.
        None if case.profile.lacks(Topic::DrainRate) || case.verb().is_none() => 3_600,
        None => return Finding::unknown("how long the victims' data takes to move"),
    };
    let mut full = Vec::new();
    for row in survivors {
        let (Some(used), Some(capacity)) = (row.disk_used_bytes.value(), row.disk_capacity_bytes.value())
        else {
            return Finding::unknown(format!("the disk of {}", label(row)));
        };
        let growth = match &row.growth_bytes_per_s {
            Fact::Known(known) => known.value.saturating_mul(seconds),
            Fact::Unknown { .. } | Fact::NotApplicable if case.profile.lacks(Topic::Growth) => 0,
            Fact::Unknown { .. } | Fact::NotApplicable => {
                return Finding::unknown(format!("how fast {} fills up", label(row)));
            }
        };
        let projected = used.saturating_add(share).saturating_add(growth);
        let limit = permille(*capacity, free);
        if projected > limit {
            full.push(format!("{} would hold {projected} of {limit} usable bytes", label(row)));
        }
    }
    if full.is_empty() {
        return Finding::Pass;
    }
    Finding::broken(listed(full, "; "), "grow the disks first, or keep the member")
}

fn duration(case: &Case) -> Finding {
    if !data_leaves(case) || case.profile.lacks(Topic::DrainRate) {
        return Finding::Pass;
    }
    if drain_seconds(case).is_some() {
        return Finding::Pass;
    }
    Finding::silent("how fast the victims' data can move")
}

/// The part of a member that is in use, and its name.
type Use = fn(&Member) -> &Fact<u32>;

fn load(case: &Case) -> Finding {
    if !case.shrinks() {
        return Finding::Pass;
    }
    let kinds: [(&str, Topic, Use); 3] = [
        ("cpu", Topic::Cpu, |row| &row.cpu_permille),
        ("memory", Topic::Memory, |row| &row.memory_permille),
        ("network", Topic::Network, |row| &row.network_permille),
    ];
    let mut over = Vec::new();
    for (name, topic, used) in kinds {
        if case.profile.lacks(topic) {
            continue;
        }
        match predicted(case, used) {
            Err(detail) => return Finding::unknown(format!("the {name} use of {detail}")),
            Ok(permille) if permille > u64::from(case.snapshot.safety.utilization_permille) => {
                over.push(format!("{name} would be used to {permille} of 1000 parts"));
            }
            Ok(_) => {}
        }
    }
    if over.is_empty() {
        return Finding::Pass;
    }
    Finding::broken(
        over.join("; "),
        format!("{} parts are the most", case.snapshot.safety.utilization_permille),
    )
}

/// All load on the survivors, evenly; a dead member's load is on the others already.
fn predicted(case: &Case, used: Use) -> Result<u64, String> {
    let mut total: u64 = 0;
    let mut survivors: u64 = 0;
    for row in case.members().iter().filter(|row| row.alive.value() == Some(&true)) {
        match used(row) {
            Fact::Known(known) => total += u64::from(known.value),
            Fact::Unknown { .. } | Fact::NotApplicable => return Err(label(row)),
        }
        survivors += u64::from(is_survivor(case, row));
    }
    Ok(total.div_ceil(survivors.max(1)))
}

/// Places are those of the world, in dry run too: what is only remembered takes none.
fn schedulable(case: &Case) -> Finding {
    let Some(present) = plan::current_size(case.snapshot).filter(|_| case.grows()) else {
        return Finding::Pass;
    };
    let (room, bound) = room(case, present);
    // Where places are not known IDENT-4 has said so.
    let places = case.snapshot.vacant.value().map_or(usize::MAX, Vec::len);
    let places = u32::try_from(places).unwrap_or(u32::MAX);
    let (more, bound) = if places < room { (places, "the vacant slots".to_owned()) } else { (room, bound) };
    let most = present.saturating_add(more).max(case.from);
    Finding::Clamp { least: 0, most, detail: format!("room for {more} more: {bound}") }
}

/// How many more can be placed, and what ends first. What was never read bars no single step, as it did not before
/// anybody asked; what could not be read this time is read again first.
fn room(case: &Case, present: u32) -> (u32, String) {
    match workload::room(case.snapshot) {
        Fact::NotApplicable => (u32::MAX, String::new()),
        Fact::Known(known) => (known.value.members, known.value.bound),
        Fact::Unknown { reason: Gap::NotScraped, detail } => {
            let legal = plan::legal_above(present, case.profile, &case.snapshot.safety);
            let step = legal.map_or(1, |above| above - present);
            (step, format!("one step at a time, since the room is not read ({detail})"))
        }
        Fact::Unknown { reason, detail } => {
            (0, format!("the room is not known now ({}; {detail})", reason.kind()))
        }
    }
}
