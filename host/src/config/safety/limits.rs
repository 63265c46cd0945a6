//! The table of `spec.safety`: each parameter with its rule, its default's place, its hard bounds, and what it means.

use super::{Bounds, Kind, Limit};
use plimsoll_wire::safety::Safety;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Waits go down to one second and not to none: a wait of none is a rule that is switched off, and a rule
/// that tests need to be quick must still be seen to be there.
const LEAST_WAIT: u64 = SECOND;

const fn wait(ceiling: u64, slot: fn(&mut Safety) -> &mut u64) -> Kind {
    Kind::Wait(Bounds { floor: LEAST_WAIT, ceiling, slot })
}

const fn ratio(floor: u32, ceiling: u32, slot: fn(&mut Safety) -> &mut u32) -> Kind {
    Kind::Ratio(Bounds { floor, ceiling, slot })
}

const fn count(floor: u32, ceiling: u32, slot: fn(&mut Safety) -> &mut u32) -> Kind {
    Kind::Count(Bounds { floor, ceiling, slot })
}

const fn limit(key: &'static str, rule: &'static str, kind: Kind, doc: &'static str) -> Limit {
    Limit { key, rule, kind, doc }
}

/// Every parameter of `spec.safety`.
pub const LIMITS: [Limit; 30] = [
    // Ten minutes is ten times the default: an older fact says nothing about a system that may have failed over since.
    limit(
        "maxAge",
        "EVID-1",
        wait(10 * MINUTE, |s| &mut s.max_age_ms),
        "How old a fact may be when a change is admitted and when a step begins.",
    ),
    // What is read directly is read within one request; a minute already allows for the slowest of them.
    limit(
        "directAge",
        "EVID-1",
        wait(MINUTE, |s| &mut s.direct_age_ms),
        "How old a fact may be right before something is destroyed.",
    ),
    // A day: an all-clear that must hold longer would never be given by a system that compacts nightly.
    limit("hold", "EVID-4", wait(DAY, |s| &mut s.hold_ms), "For how long an all-clear must have held."),
    limit(
        "warmup",
        "EVID-4",
        wait(DAY, |s| &mut s.warmup_ms),
        "How long the observer of an all-clear must have been up.",
    ),
    // One read is the least there is; a hundred, a cycle each, is already most of an hour.
    limit(
        "observations",
        "EVID-4",
        count(1, 100, |s| &mut s.observations),
        "How many reads in a row must give an all-clear.",
    ),
    limit(
        "leaderStable",
        "QUORUM-3",
        wait(DAY, |s| &mut s.leader_stable_ms),
        "For how long the leader must have been the same.",
    ),
    // Three further losses need nine voters, beyond which consensus systems advise against voters at all.
    limit(
        "tolerance",
        "QUORUM-4",
        count(0, 3, |s| &mut s.tolerance),
        "How many more losses a control group must survive.",
    ),
    limit(
        "allowEven",
        "QUORUM-5",
        Kind::Switch(|s| &mut s.allow_even),
        "Whether a plan may end at an even number of voters.",
    ),
    // etcd itself refuses to promote below nine tenths.
    limit(
        "promote",
        "QUORUM-6",
        ratio(900, 1_000, |s| &mut s.promote_permille),
        "How far a learner must have caught up with the leader.",
    ),
    // More than ten spare members is not a margin but another size.
    limit(
        "spare",
        "RED-1",
        count(0, 10, |s| &mut s.spare),
        "How many members must remain beyond the number of copies.",
    ),
    // A hundred degraded groups are an outage; a person who scales in one should say so.
    limit(
        "maxDegraded",
        "RED-2",
        count(0, 100, |s| &mut s.max_degraded),
        "How many groups may be degraded before a change.",
    ),
    limit(
        "acceptUnavailable",
        "RED-3",
        Kind::Names(|s| &mut s.accept_unavailable),
        "Groups that may be unavailable while a member is stopped.",
    ),
    // One domain is the owner's word that domains do not matter; ten is more than any region has.
    limit(
        "spread",
        "RED-5",
        count(1, 10, |s| &mut s.spread),
        "Over how many failure domains each group's copies are spread.",
    ),
    limit(
        "syncSpare",
        "RED-7",
        count(0, 10, |s| &mut s.sync_spare),
        "How many synchronous candidates must remain beyond those required.",
    ),
    // A gibibyte of lost writes is beyond anything that is called asynchronous by intention.
    limit(
        "maxLag",
        "RED-10",
        Kind::Bytes(Bounds { floor: 0, ceiling: 1 << 30, slot: |s| &mut s.max_lag_bytes }),
        "How many bytes of writes the owner accepts to lose.",
    ),
    // A hand-over that takes an hour has failed; the plan holds and somebody looks.
    limit(
        "handoverTimeout",
        "LEAD-2",
        wait(HOUR, |s| &mut s.handover_timeout_ms),
        "How long a hand-over of leadership may take before the plan holds.",
    ),
    limit(
        "leaderQuiet",
        "LEAD-3",
        wait(DAY, |s| &mut s.leader_quiet_ms),
        "For how long leadership must not have moved.",
    ),
    // A day without any progress is not slow, it stands.
    limit(
        "stall",
        "DRAIN-5",
        wait(DAY, |s| &mut s.stall_ms),
        "After how long without progress a plan holds.",
    ),
    // Under 5 % most storage engines turn read-only; with over 90 % nothing could ever be removed.
    limit(
        "headroom",
        "CAP-1",
        ratio(50, 900, |s| &mut s.headroom_permille),
        "Which part of each survivor's disk must stay free.",
    ),
    // A fair share is 1; nothing that balances at all puts ten times the fair share on one member.
    limit(
        "skew",
        "CAP-1",
        ratio(1_000, 10_000, |s| &mut s.skew_permille),
        "How much more than its fair share a survivor may receive.",
    ),
    // Queues grow without bound on the way to 100 %; under 10 % nothing could ever be removed.
    limit(
        "utilization",
        "CAP-3",
        ratio(100, 950, |s| &mut s.utilization_permille),
        "How busy a survivor's cpu, memory and network may become.",
    ),
    // A week: a wait that is longer than the load's own rhythm is a decision not to scale, see `scaleIn`.
    limit(
        "cooldownIn",
        "STEP-3",
        wait(7 * DAY, |s| &mut s.cooldown_in_ms),
        "The wait after any change before a scale-in, except for a person's wish.",
    ),
    limit(
        "cooldownOut",
        "STEP-3",
        wait(7 * DAY, |s| &mut s.cooldown_out_ms),
        "The wait after any change before a scale-out, except for a person's wish: so long that a signal shows the new size.",
    ),
    limit(
        "reverse",
        "STEP-4",
        wait(30 * DAY, |s| &mut s.reverse_ms),
        "The wait after a scale-out before a scale-in, except for a person's wish. A scale-out never waits for it.",
    ),
    limit(
        "sustain",
        "STEP-4",
        wait(7 * DAY, |s| &mut s.sustain_ms),
        "For how long the wish for a scale-in after a scale-out must have lasted.",
    ),
    // Everything in a day is the most there is; under 1 % of the members is never a whole one.
    limit(
        "fraction",
        "STEP-6",
        ratio(10, 1_000, |s| &mut s.fraction_permille),
        "Which part of the members may be removed in 24 hours.",
    ),
    // 100 % is one legal step at a time; ten times the size in one plan is no step any more.
    limit(
        "growth",
        "STEP-7",
        ratio(1_000, 10_000, |s| &mut s.growth_permille),
        "To how much of its size one plan may grow a target; one legal step is always allowed.",
    ),
    limit(
        "together",
        "DRAIN-2",
        count(1, 64, |s| &mut s.together),
        "How many units may come or go at the same time, where the system can; they are removed one after the other all the same.",
    ),
    limit(
        "scaleIn",
        "FLOOR-4",
        Kind::ProfileSwitch(|s| &mut s.scale_in),
        "Whether members may be removed at all; the system profile's word where absent.",
    ),
    limit(
        "approveScaleIn",
        "FLOOR-4",
        Kind::Switch(|s| &mut s.approve_scale_in),
        "Whether a scale-in waits for a person's approval.",
    ),
];
