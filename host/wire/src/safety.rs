//! The parameters of the invariants, as they were in force for one decision.

use serde::{Deserialize, Serialize};

/// Safety parameters of one target: the defaults of the catalogue, tightened or relaxed by the owner in
/// `spec.safety` within hard ceilings. Every record shows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Safety {
    /// EVID-1: how old a fact may be at admission and at a step's entry, in milliseconds.
    pub max_age_ms: u64,
    /// EVID-1: how old a fact may be before destruction, in milliseconds.
    pub direct_age_ms: u64,
    /// EVID-4: for how long an all-clear must have held, in milliseconds.
    pub hold_ms: u64,
    /// EVID-4: how long an observer must have been up, in milliseconds.
    pub warmup_ms: u64,
    /// EVID-4: how many consecutive reads an all-clear needs.
    pub observations: u32,
    /// QUORUM-3: how long the leader must have been the same, in milliseconds.
    pub leader_stable_ms: u64,
    /// QUORUM-4: how many further losses a control group must survive.
    pub tolerance: u32,
    /// QUORUM-5: whether a plan may end at an even number of voters.
    pub allow_even: bool,
    /// QUORUM-6: how far a learner must have caught up with the leader, in thousandths.
    pub promote_permille: u32,
    /// RED-1: how many eligible members must remain beyond the number of copies.
    pub spare: u32,
    /// RED-2: how many groups may be degraded before a change.
    pub max_degraded: u32,
    /// RED-3: groups whose owner accepts that they are unavailable meanwhile.
    pub accept_unavailable: Vec<String>,
    /// RED-5: over how many domains each group's copies must be spread (capped by what there was before).
    pub spread: u32,
    /// RED-7: how many synchronous candidates must remain beyond those required.
    pub sync_spare: u32,
    /// RED-10: the lag that the owner accepts to lose, in bytes.
    pub max_lag_bytes: u64,
    /// LEAD-2: how long a hand-over may take before the plan holds, in milliseconds.
    pub handover_timeout_ms: u64,
    /// LEAD-3: how long leadership must have been quiet, in milliseconds.
    pub leader_quiet_ms: u64,
    /// DRAIN-5: after how long without progress a plan holds, in milliseconds.
    pub stall_ms: u64,
    /// CAP-1: which part of a survivor's disk must stay free, in thousandths.
    pub headroom_permille: u32,
    /// CAP-1: how unevenly data may land on the survivors, in thousandths (2000 is twice the fair share).
    pub skew_permille: u32,
    /// CAP-3: the highest predicted use of a survivor's cpu, memory and network, in thousandths.
    pub utilization_permille: u32,
    /// STEP-3: the wait before a scale-in after any change, in milliseconds.
    pub cooldown_in_ms: u64,
    /// STEP-3: the wait before a scale-out after any change: so long that a signal shows the new size, in milliseconds.
    pub cooldown_out_ms: u64,
    /// STEP-4: the wait after a scale-out before a scale-in, in milliseconds.
    pub reverse_ms: u64,
    /// STEP-4: for how long the wish for a scale-in after a scale-out must have lasted, in milliseconds.
    pub sustain_ms: u64,
    /// STEP-6: which part of the members may be removed in 24 hours, in thousandths.
    pub fraction_permille: u32,
    /// STEP-7: to how much of its size one plan may grow a target, in thousandths (2000 is twice its size).
    pub growth_permille: u32,
    /// DRAIN-2: how many units may come or go at the same time, where the system can.
    pub together: u32,
    /// FLOOR-4: the owner's switch for scale-in; the profile's own where absent.
    pub scale_in: Option<bool>,
    /// Whether a scale-in waits for a person's approval.
    pub approve_scale_in: bool,
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

impl Default for Safety {
    /// The defaults, as `docs/configuration.md` lists them.
    fn default() -> Self {
        Self {
            max_age_ms: 60 * SECOND,
            direct_age_ms: 10 * SECOND,
            hold_ms: 120 * SECOND,
            warmup_ms: 300 * SECOND,
            observations: 3,
            leader_stable_ms: 60 * SECOND,
            tolerance: 1,
            allow_even: false,
            promote_permille: 950,
            spare: 0,
            max_degraded: 0,
            accept_unavailable: Vec::new(),
            spread: 2,
            sync_spare: 1,
            max_lag_bytes: 0,
            handover_timeout_ms: 300 * SECOND,
            leader_quiet_ms: 120 * SECOND,
            stall_ms: 30 * MINUTE,
            headroom_permille: 250,
            skew_permille: 2_000,
            utilization_permille: 700,
            cooldown_in_ms: 30 * MINUTE,
            cooldown_out_ms: MINUTE,
            reverse_ms: 6 * HOUR,
            sustain_ms: 30 * MINUTE,
            fraction_permille: 250,
            growth_permille: 2_000,
            together: 64,
            scale_in: None,
            approve_scale_in: false,
        }
    }
}
