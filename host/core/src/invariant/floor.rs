//! Floors and ceilings.

use super::{ADMISSION, Finding, Invariant, Severity};
use crate::case::Case;
use crate::count::count;
use plimsoll_wire::profile::Topic;

/// The rules of this family.
pub const FAMILY: &[Invariant] = &[
    Invariant {
        id: "FLOOR-1",
        kind: "BelowFloor",
        severity: Severity::Clamp,
        moments: ADMISSION,
        protects: "There are never fewer members than the owner, the copies and the votes need.",
        advice: "Nothing, or lower `minReplicas` if fewer would do.",
        check: min,
    },
    Invariant {
        id: "FLOOR-2",
        kind: "AboveCeiling",
        severity: Severity::Clamp,
        moments: ADMISSION,
        protects: "There are never more members than the owner allows.",
        advice: "Raise `maxReplicas` if you want more.",
        check: max,
    },
    Invariant {
        id: "FLOOR-3",
        kind: "ZeroMembers",
        severity: Severity::Deny,
        moments: ADMISSION,
        protects: "A system that holds data is never scaled to zero (rabbitmq/cluster-operator#1876).",
        advice: "Remove the target instead.",
        check: zero,
    },
    Invariant {
        id: "FLOOR-4",
        kind: "ScaleInDisabled",
        severity: Severity::Deny,
        moments: ADMISSION,
        protects: "Members are removed only where the profile or the owner has switched scale-in on (rook/rook#4478).",
        advice: "Switch it on with `scaleIn: true` below `spec.safety`.",
        check: enabled,
    },
];

fn min(case: &Case) -> Finding {
    // Up to the owner's own floor a wish is lifted; no other floor makes anything grow.
    let (least, _) = case.snapshot.target.member_bounds();
    if case.to >= case.from {
        return Finding::Clamp {
            least,
            most: u32::MAX,
            detail: format!("not below {least}: the owner's least size"),
        };
    }
    let (safety, profile) = (&case.snapshot.safety, case.profile);
    let mut floor = (least.max(profile.min_size), "the owner's least size".to_owned());
    if profile.members_vote {
        let votes = safety.tolerance.saturating_mul(2).saturating_add(1);
        if votes > floor.0 {
            floor = (votes, format!("{} survive {}", count(votes, "voter"), count(safety.tolerance, "loss")));
        }
    }
    if !profile.lacks(Topic::Copies) {
        let groups = case.snapshot.groups.value().map_or(&[][..], Vec::as_slice);
        let copies = groups.iter().filter_map(|group| group.target_copies.value()).max();
        let least = copies.map_or(0, |copies| copies.saturating_add(safety.spare));
        if let Some(copies) = copies.filter(|_| least > floor.0) {
            floor = (least, format!("groups want {}", count(copies, "copy")));
        }
    }
    Finding::Clamp {
        least: floor.0.min(case.from).max(least),
        most: u32::MAX,
        detail: format!("not below {}: {}", floor.0, floor.1),
    }
}

fn max(case: &Case) -> Finding {
    if case.to <= case.from {
        return Finding::Pass;
    }
    let (_, most) = case.snapshot.target.member_bounds();
    Finding::Clamp {
        least: 0,
        most: most.max(case.from),
        detail: format!("not above {most}: the owner's greatest size"),
    }
}

fn zero(case: &Case) -> Finding {
    if case.to > 0 {
        return Finding::Pass;
    }
    Finding::broken("no members would remain", "suspending a system is another operation, by a person")
}

fn enabled(case: &Case) -> Finding {
    if !case.shrinks() || case.snapshot.safety.scale_in.unwrap_or(case.profile.scale_in) {
        return Finding::Pass;
    }
    Finding::broken("scale-in is switched off", "set spec.safety.scaleIn: true once its drain has been tried")
}
