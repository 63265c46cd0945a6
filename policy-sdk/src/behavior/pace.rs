//! How fast the target may follow: the HPA's `behavior`, with defaults that suit data.

use crate::journal::PlanStatus;
use crate::snapshot::{Change, Rate, RateKind, Rules, Select};
use crate::{Fact, Refusal, Snapshot, refusal};

/// The rules of both directions, and the size that the target is on its way to.
#[derive(Debug)]
pub struct Pace {
    /// The rules for growing.
    pub up: Direction,
    /// The rules for shrinking.
    pub down: Direction,
    /// The end of the running plan, else the present size: a wish is compared with this.
    pub goal: u32,
}

/// The rules of one direction.
#[derive(Debug)]
pub struct Direction {
    /// Differences from the goal within this part of it are ignored.
    pub tolerance: f64,
    /// The most careful wish of this many milliseconds counts.
    pub window_ms: u64,
    rates: Vec<Rate>,
    select: Select,
}

/// The HPA's own.
const TOLERANCE: f64 = 0.1;
/// The HPA's own: growing does not wait.
const UP_WINDOW_S: u32 = 0;
/// Six times the HPA's: a member that comes back costs its data twice.
const DOWN_WINDOW_S: u32 = 1_800;

/// The HPA's own: four members or twice as many, whichever is more, every 15 seconds.
fn up_rates() -> Vec<Rate> {
    vec![
        Rate { kind: RateKind::Members, value: 4, period_seconds: 15 },
        Rate { kind: RateKind::Percent, value: 100, period_seconds: 15 },
    ]
}

/// The HPA may remove everything in 15 seconds. Two, so that a group of voters can go from one odd size to the
/// next; a tenth, so that large systems do not take weeks.
fn down_rates() -> Vec<Rate> {
    vec![
        Rate { kind: RateKind::Members, value: 2, period_seconds: 3_600 },
        Rate { kind: RateKind::Percent, value: 10, period_seconds: 3_600 },
    ]
}

/// The number of members.
///
/// # Errors
/// `UnknownSize` where nobody knows it.
pub fn size(input: &Snapshot) -> Result<u32, Refusal> {
    match &input.sizes.members {
        Fact::Known(size) => Ok(size.value),
        Fact::Unknown { reason, .. } => {
            Err(refusal("UnknownSize", format!("the number of members is not known: {}", reason.kind())))
        }
        Fact::NotApplicable => Err(refusal("UnknownSize", "the target has no number of members")),
    }
}

impl Pace {
    /// Reads `behavior` and the running plan.
    ///
    /// # Errors
    /// `BadBehavior` with every mistake, and `UnknownSize`.
    pub fn of(input: &Snapshot) -> Result<Self, Refusal> {
        let behavior = &input.target.behavior;
        let mut problems = Vec::new();
        let up = direction("scaleUp", &behavior.scale_up, UP_WINDOW_S, up_rates, &mut problems);
        let down = direction("scaleDown", &behavior.scale_down, DOWN_WINDOW_S, down_rates, &mut problems);
        if !problems.is_empty() {
            return Err(refusal("BadBehavior", problems.join("; ")));
        }
        Ok(Self { up, down, goal: goal(input, size(input)?) })
    }

    /// The wish as far as the rates let it go; never back past the goal.
    #[must_use]
    pub fn limit(&self, input: &Snapshot, size: u32, wish: u32) -> u32 {
        if wish > self.goal {
            let limit = self.up.limits(input, size, |start, rate| match rate.kind {
                RateKind::Members => start + u64::from(rate.value),
                RateKind::Percent => (start * (100 + u64::from(rate.value))).div_ceil(100),
            });
            let limit = match self.up.select {
                Select::Max => limit.max(),
                Select::Min => limit.min(),
                Select::Disabled => None,
            };
            wish.min(within_u32(limit, self.goal).max(self.goal))
        } else {
            let limit = self.down.limits(input, size, |start, rate| match rate.kind {
                RateKind::Members => start.saturating_sub(u64::from(rate.value)),
                RateKind::Percent => start * 100_u64.saturating_sub(u64::from(rate.value)) / 100,
            });
            let limit = match self.down.select {
                Select::Max => limit.min(),
                Select::Min => limit.max(),
                Select::Disabled => None,
            };
            wish.max(within_u32(limit, self.goal).min(self.goal))
        }
    }
}

fn within_u32(limit: Option<u64>, otherwise: u32) -> u32 {
    limit.map_or(otherwise, |limit| u32::try_from(limit).unwrap_or(u32::MAX))
}

impl Direction {
    /// Where each rate ends, counted from the size at the start of its period.
    fn limits<'a>(
        &'a self,
        input: &'a Snapshot,
        size: u32,
        end: impl Fn(u64, &Rate) -> u64 + 'a,
    ) -> impl Iterator<Item = u64> + 'a {
        self.rates.iter().map(move |rate| {
            end(u64::from(size_before(input, size, u64::from(rate.period_seconds) * 1_000)), rate)
        })
    }
}

fn direction(
    name: &str,
    rules: &Rules,
    window_s: u32,
    rates: impl Fn() -> Vec<Rate>,
    problems: &mut Vec<String>,
) -> Direction {
    let tolerance = rules.tolerance.unwrap_or(TOLERANCE);
    if !(0.0..=10.0).contains(&tolerance) {
        problems.push(format!("behavior.{name}.tolerance must be from 0 to 10"));
    }
    let window_s = rules.stabilization_window_seconds.unwrap_or(window_s);
    if window_s > 86_400 {
        problems.push(format!("behavior.{name}.stabilizationWindowSeconds must be at most 86400"));
    }
    for (index, rate) in rules.policies.iter().enumerate() {
        if rate.period_seconds == 0 {
            problems.push(format!("behavior.{name}.policies[{index}].periodSeconds must be above 0"));
        }
    }
    let rates = if rules.policies.is_empty() { rates() } else { rules.policies.clone() };
    let select = rules.select_policy.unwrap_or(Select::Max);
    Direction { tolerance, window_ms: u64::from(window_s) * 1_000, rates, select }
}

fn goal(input: &Snapshot, size: u32) -> u32 {
    input.plan.as_ref().map_or(size, |plan| match plan.status {
        PlanStatus::AwaitingApproval | PlanStatus::Running | PlanStatus::Held => {
            plan.members_leg().map_or(size, |(_, to)| to)
        }
        PlanStatus::Stopping | PlanStatus::Done | PlanStatus::Aborted => size,
    })
}

/// The size that a rate's period counts from. A change counts from its beginning, as the HPA counts from its decision: a
/// move may take longer than the period, and would be held against the next one just when that is allowed at last. A
/// plan of another boot is taken to have begun just now: the careful side of not knowing.
fn size_before(input: &Snapshot, size: u32, period_ms: u64) -> u32 {
    // Nothing ends before it begins: a beginning that is not told is the end.
    let is_recent = |change: &&Change| change.began_age_ms.max(change.age_ms) < period_ms;
    let mut recent = input.history.changes.iter().filter(is_recent);
    if let Some((from, _)) = recent.find_map(|change| change.leg.of_members()) {
        return from;
    }
    input.plan.as_ref().map_or(size, |plan| {
        let same_boot = plan.started.boot == input.now.boot;
        let age_ms = input.now.mono_ms.saturating_sub(plan.started.mono_ms);
        let began = plan.members_leg().map_or(size, |(from, _)| from);
        if same_boot && age_ms >= period_ms { size } else { began }
    })
}
