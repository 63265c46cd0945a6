//! The course of a plan: which way it goes, in how many turns, and how many members there are after each.

use crate::change::Direction;
use plimsoll_wire::journal::PlanState;

/// Whether members come or go in a plan.
#[must_use]
pub fn direction(plan: &PlanState) -> Option<Direction> {
    Direction::between(plan.from(), plan.to())
}

/// Members before and after the unit that is under way.
#[must_use]
pub fn unit_sizes(plan: &PlanState) -> (u32, u32) {
    match Direction::between(plan.from(), plan.to()) {
        Some(Direction::Out) => {
            let before = plan.from().saturating_add(plan.unit);
            (before, before.saturating_add(1))
        }
        Some(Direction::In) => {
            let before = plan.from().saturating_sub(plan.unit);
            (before, before.saturating_sub(1))
        }
        None => (plan.from(), plan.to()),
    }
}

/// How many members come or go in a plan, one after the other. A unit of several members is several turns, and only whole
/// units are places to rest.
#[must_use]
pub fn turns(plan: &PlanState) -> u32 {
    plan.from().abs_diff(plan.to())
}
