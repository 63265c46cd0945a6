//! Where every member holds everything, a member may go as soon as others hold all that it holds and enough of them confirm
//! every write: what proves it is what is said of the others, on their word.

use crate::case::Case;
use crate::groups::{self, called};
use crate::invariant::Finding;
use crate::quorum::is_alive;
use plimsoll_wire::fact::Authority;
use plimsoll_wire::snapshot::{Group, Placement, PlacementState};

/// Whether another live member holds each group whole that the member holds, and whether those that are left can confirm.
pub(super) fn check(case: &Case) -> Finding {
    let gone = case.victim_ids();
    for group in groups::all(case.snapshot) {
        let Some(placements) = group.placements.known() else {
            return Finding::unknown(format!("the placements of {}", called(group)));
        };
        if !placements.value.iter().any(|copy| gone.contains(&copy.member)) {
            continue;
        }
        if placements.authority < Authority::Survivors {
            return Finding::broken(
                format!("who holds {} is not on the word of others", called(group)),
                "the leader or the others must say so",
            );
        }
        let elsewhere = |copy: &Placement| {
            !gone.contains(&copy.member)
                && copy.state == PlacementState::InSync
                && case.member(&copy.member).is_some_and(is_alive)
        };
        if !placements.value.iter().any(elsewhere) {
            return Finding::broken(
                format!("nobody else holds {} whole", called(group)),
                "wait for a second whole copy",
            );
        }
        let Some(standing) = case.standing(group) else {
            return Finding::unknown(format!("the placements of {}", called(group)));
        };
        let Some(need) = standing.need() else {
            return Finding::unknown(format!("how many must confirm a write of {}", called(group)));
        };
        let left = standing.without(&gone).have();
        if left < need {
            return Finding::broken(
                format!("{left} members could confirm a write of {}, {need} must", called(group)),
                "add a member that confirms first",
            );
        }
    }
    Finding::Pass
}

/// Whether it has been so for long enough, in the eyes of somebody who has been there for long enough.
pub(super) fn settled(case: &Case) -> Finding {
    let gone = case.victim_ids();
    let holds = |group: &&Group| {
        group.placements.value().is_some_and(|all| all.iter().any(|copy| gone.contains(&copy.member)))
    };
    for group in groups::all(case.snapshot).iter().filter(holds) {
        let Some(placements) = group.placements.known() else { continue };
        let what = format!("{}: who holds it has been the same", called(group));
        let stood = super::has_stood(case, placements, &what);
        if stood != Finding::Pass {
            return stood;
        }
    }
    Finding::Pass
}
