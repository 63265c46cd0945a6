//! Small steps with waits between them.

use super::{ADMISSION, ALWAYS, EFFECTS, Finding, Invariant, Severity};
use crate::case::Case;
use crate::change::{Change, Direction};
use crate::count::count;
use crate::{plan, workload};
use plimsoll_wire::fact::Fact;
use plimsoll_wire::journal::{MembershipEffect, PlatformVerb, Verb};
use plimsoll_wire::record::Wisher;
use plimsoll_wire::snapshot::Change as Changed;

/// The rules of this family.
pub const FAMILY: &[Invariant] = &[
    Invariant {
        id: "STEP-1",
        kind: "MoreThanOneUnit",
        severity: Severity::Deny,
        moments: EFFECTS,
        protects: "The platform's size moves by one unit at a time.",
        advice: "Nothing: the plan asks again with one unit. If it repeats, somebody else writes the size too.",
        check: one_unit,
    },
    Invariant {
        id: "STEP-3",
        kind: "CoolingDown",
        severity: Severity::Defer,
        moments: ADMISSION,
        protects: "A pause follows each change, except before a change that a person asks for.",
        advice: "Wait for `cooldownIn` or `cooldownOut`.",
        check: cooldown,
    },
    Invariant {
        id: "STEP-4",
        kind: "Flapping",
        severity: Severity::Defer,
        moments: ADMISSION,
        protects: "New members are removed only for a wish that lasts. This rule delays neither growth nor a person's wish.",
        advice: "Wait for `reverse`. If it happens again and again, widen the gap between the policy's thresholds.",
        check: flap,
    },
    Invariant {
        id: "STEP-5",
        kind: "NotAWholeUnit",
        severity: Severity::Clamp,
        moments: ADMISSION,
        protects: "Only whole units are added and removed.",
        advice: "Nothing. Ask for a whole number of units to get exactly that number.",
        check: unit,
    },
    Invariant {
        id: "STEP-6",
        kind: "TooMuchRemoved",
        severity: Severity::Clamp,
        moments: ADMISSION,
        protects: "Only a part of the members is removed within a day.",
        advice: "Wait, or raise `fraction`.",
        check: fraction,
    },
    Invariant {
        id: "STEP-7",
        kind: "TooMuchAdded",
        severity: Severity::Clamp,
        moments: ADMISSION,
        protects: "One plan adds at most a part of the present members, so that a grossly wrong metric does not fill the platform.",
        advice: "Nothing: the next plan goes on from there. Raise `growth` if you want larger steps.",
        check: growth,
    },
    Invariant {
        id: "STEP-8",
        kind: "PlatformRefuses",
        severity: Severity::Deny,
        moments: ALWAYS,
        protects: "No plan begins if the platform is known to refuse a later step: a member that was removed from the system and cannot be stopped would hold the plan for good.",
        advice: "Change what the message names on the workload. No member was removed.",
        check: refusals,
    },
];

/// The step's size is absolute: it must be one more, or one less, than what the platform runs now.
fn one_unit(case: &Case) -> Finding {
    let Some(members) = case.snapshot.members.value() else { return Finding::unknown("the member list") };
    // The member that the step is about may be seen or not; everybody else must add up.
    let others = members.iter().filter(|row| row.slot.is_some() && !case.is_subject(row)).count();
    let others = u32::try_from(others).unwrap_or(u32::MAX);
    let (wanted, right) = match case.verb() {
        Some(Verb::Platform(PlatformVerb::Start { size_after, .. })) => {
            (*size_after, others.saturating_add(1))
        }
        Some(Verb::Platform(PlatformVerb::Stop { size_after, .. })) => (*size_after, others),
        _ => return Finding::Pass,
    };
    if wanted == right {
        return Finding::Pass;
    }
    Finding::broken(
        format!("the platform runs {others} other members, the step asks for {wanted} in all"),
        "the plan is out of step",
    )
}

/// Whether this is a wish that waits for another one to have stood: a person's is no flapping.
fn waits(case: &Case) -> bool {
    match case.change {
        Change::Wish { by, .. } => *by != Wisher::Person,
        Change::Effect { .. } => false,
    }
}

/// Which way it goes from what there would be by now, had dry run acted (`decisions.md` D9).
fn counted(case: &Case) -> Option<Direction> {
    Direction::between(case.counted, case.to)
}

fn cooldown(case: &Case) -> Finding {
    if !waits(case) {
        return Finding::Pass;
    }
    let safety = &case.snapshot.safety;
    let Some(direction) = counted(case) else { return Finding::Pass };
    let wanted = match direction {
        Direction::In => safety.cooldown_in_ms,
        Direction::Out => safety.cooldown_out_ms,
    };
    let youngest = case.snapshot.history.changes.iter().map(|change| change.age_ms).min();
    match youngest {
        Some(age) if age < wanted => Finding::broken(
            format!("the last change ended {age} ms ago"),
            format!("the next one may begin after {wanted} ms"),
        ),
        Some(_) | None => Finding::Pass,
    }
}

fn flap(case: &Case) -> Finding {
    // To have too few is what harms: a growth never waits for this.
    if !waits(case) || counted(case) != Some(Direction::In) {
        return Finding::Pass;
    }
    let (safety, history) = (&case.snapshot.safety, &case.snapshot.history);
    let grew = |change: &&Changed| change.leg.of_members().is_some_and(|(from, to)| from < to);
    let opposite = history.changes.iter().filter(grew).map(|change| change.age_ms).min();
    let Some(age) = opposite else { return Finding::Pass };
    if age < safety.reverse_ms {
        return Finding::broken(
            format!("members came {age} ms ago"),
            format!("the first may go again after {} ms", safety.reverse_ms),
        );
    }
    let is_held = history.wish_direction == direction_sign(Direction::In);
    let held = if is_held { history.wish_held_ms } else { 0 };
    if held < safety.sustain_ms {
        return Finding::broken(
            format!("this has been wished for {held} ms"),
            format!("it must last for {} ms", safety.sustain_ms),
        );
    }
    Finding::Pass
}

/// -1 in, 1 out.
#[must_use]
pub fn direction_sign(direction: Direction) -> i8 {
    match direction {
        Direction::In => -1,
        Direction::Out => 1,
    }
}

/// What the platform would refuse of the effects that are still to come.
fn refusals(case: &Case) -> Finding {
    let ahead = [(MembershipEffect::Runs, "start"), (MembershipEffect::Ends, "stop")];
    let ahead: Vec<&str> =
        ahead.into_iter().filter(|(kind, _)| case.has_yet_to(*kind)).map(|(_, verb)| verb).collect();
    if ahead.is_empty() {
        return Finding::Pass;
    }
    let told = match workload::refusals(case.snapshot) {
        Fact::NotApplicable => return Finding::Pass,
        Fact::Known(known) => known.value,
        Fact::Unknown { detail, .. } => {
            return Finding::unknown(format!("what the platform would refuse ({detail})"));
        }
    };
    let barred = told.iter().filter(|one| ahead.contains(&&*one.verb));
    let mut barred: Vec<String> = barred.map(|one| format!("to {}: {}", one.verb, one.why)).collect();
    if barred.is_empty() {
        return Finding::Pass;
    }
    barred.sort();
    Finding::broken(
        format!("the platform would refuse {}", barred.join("; ")),
        "change that on the workload first",
    )
}

fn unit(case: &Case) -> Finding {
    let unit = case.profile.unit.max(1);
    let rest = case.to % unit;
    if rest == 0 || case.to == case.from {
        return Finding::Pass;
    }
    // Towards the present size, which may itself be between two units.
    let size = if case.to > case.from {
        (case.to - rest).max(case.from)
    } else {
        case.to.saturating_add(unit - rest).min(case.from)
    };
    Finding::Clamp { least: size, most: size, detail: format!("a unit is {}", count(unit, "member")) }
}

/// At most max(one legal transition, a part of the members) in 24 hours (`decisions.md` D6).
fn fraction(case: &Case) -> Finding {
    if !case.shrinks() {
        return Finding::Pass;
    }
    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
    let removed: u32 = case
        .snapshot
        .history
        .changes
        .iter()
        .filter(|change| change.age_ms < DAY_MS)
        .filter_map(|change| change.leg.of_members())
        .fold(0, |sum: u32, (from, to)| sum.saturating_add(from.saturating_sub(to)));
    let before = case.from.saturating_add(removed);
    let part = u64::from(before) * u64::from(case.snapshot.safety.fraction_permille) / 1_000;
    let legal = plan::legal_below(case.from, case.profile, &case.snapshot.safety)
        .map_or(1, |below| case.from - below);
    let allowed = u32::try_from(part).unwrap_or(u32::MAX).max(legal).saturating_sub(removed);
    Finding::Clamp {
        least: case.from.saturating_sub(allowed),
        most: u32::MAX,
        detail: format!("{} went within 24 hours; {allowed} more may go", count(removed, "member")),
    }
}

/// At most max(one legal transition, the owner's multiple of the members) in one plan.
fn growth(case: &Case) -> Finding {
    if !case.grows() {
        return Finding::Pass;
    }
    let safety = &case.snapshot.safety;
    let part = u64::from(case.from) * u64::from(safety.growth_permille) / 1_000;
    let legal = plan::legal_above(case.from, case.profile, safety).unwrap_or(case.from);
    let most = u32::try_from(part).unwrap_or(u32::MAX).max(legal);
    let from = case.from;
    Finding::Clamp {
        least: 0,
        most,
        detail: format!("from {} one plan goes to {most} at most", count(from, "member")),
    }
}
