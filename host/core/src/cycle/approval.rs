//! A scale-in that waits for a person: an approval names content, expires, and dies with any change of what it names
//! that is not a step of its own plan (`decisions.md` D10).

use super::{State, since};
use crate::change::Direction;
use crate::{plan, workload};
use plimsoll_wire::fact::Fact;
use plimsoll_wire::journal::{Approved, PlanState, PlanStatus, Subject};
use plimsoll_wire::snapshot::{Mode, Now, Snapshot};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How long a plan waits for a person, and how long an approval waits for its plan to begin, in milliseconds: longer,
/// and nobody remembers what the world looked like when the plan was shown.
const APPROVAL_MS: u64 = 3_600_000;

/// Why a plan that waits for a person is over, if it is.
pub(super) fn over(state: &State, now: &Now, snapshot: &Snapshot, plan: &PlanState) -> Option<String> {
    if state.spec.mode != Mode::Enforce {
        return Some("the target left enforce".to_owned());
    }
    if since(&plan.started, now) > APPROVAL_MS {
        return Some("nobody approved it in time".to_owned());
    }
    let count = plan.from().saturating_sub(plan.to());
    let goes = plan::victim_ids(&plan::victims(snapshot, count));
    let named = |ids: &[Arc<str>]| ids.iter().cloned().collect::<BTreeSet<_>>();
    if snapshot.members.value().is_some() && named(&goes) != named(&plan.victims) {
        return Some(format!("[{}] would go now, not [{}]", goes.join(", "), plan.victims.join(", ")));
    }
    moved(snapshot, plan)
}

/// What an approval lets a plan do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Approval {
    /// This member may go.
    Given,
    /// Not before something is known.
    NotYet(String),
    /// The approval is not for this, or no longer.
    Gone(String),
}

/// Whether the next member of a plan may go: where scale-in waits for approval, only what was approved.
pub(super) fn covers(
    state: &State,
    now: &Now,
    snapshot: &Snapshot,
    plan: &PlanState,
    subject: &Subject,
) -> Approval {
    let gone = |why: &str| Approval::Gone(why.to_owned());
    if !state.spec.safety.approve_scale_in || plan::direction(plan) != Some(Direction::In) {
        return Approval::Given;
    }
    let approved = state.durable.memory().and_then(|memory| memory.approved.as_ref());
    // It is this plan's: compared word for word when it was given, and it goes with the plan.
    let Some(approved) = approved else {
        return gone("scale-in waits for approval, and nobody approved this");
    };
    if subject.id.as_ref().is_none_or(|id| !plan.victims.contains(id)) {
        return gone("another member would go than was approved");
    }
    // A plan that was turned on its way to rest counts its units anew, and has taken steps of its own.
    if plan.unit > 0 || plan.status == PlanStatus::Stopping {
        return own_steps_only(snapshot, plan);
    }
    if lapsed(approved, now) {
        return gone("the approval expired before the plan began");
    }
    match (moved(snapshot, plan), &snapshot.epoch) {
        (Some(why), _) => Approval::Gone(why),
        (None, Fact::Unknown { .. }) => {
            Approval::NotYet("the topology epoch, which the approval names".to_owned())
        }
        (None, Fact::Known(_) | Fact::NotApplicable) => Approval::Given,
    }
}

/// An approval whose age nobody knows, since the machine was restarted, counts as expired.
fn lapsed(approved: &Approved, now: &Now) -> bool {
    approved.note.at.boot != now.boot || since(&approved.note.at, now) > APPROVAL_MS
}

/// Whether it is another cluster or topology than the plan was made for, before its first step.
fn moved(snapshot: &Snapshot, plan: &PlanState) -> Option<String> {
    let other = |fact: &Fact<String>, then: &str| fact.value().is_some_and(|now| now != then);
    if other(&snapshot.fingerprint, &plan.fingerprint) {
        return Some("it is another cluster now".to_owned());
    }
    if workload::uid(snapshot).is_some_and(|now| now != plan.workload) {
        return Some("it is another workload now".to_owned());
    }
    other(&snapshot.epoch, &plan.base_epoch)
        .then(|| "the topology has changed since the plan was shown".to_owned())
}

/// Between two members of a plan nobody may have come, and only those may have gone whose going was approved.
fn own_steps_only(snapshot: &Snapshot, plan: &PlanState) -> Approval {
    let here = plan::member_ids(snapshot);
    let came = here.iter().any(|id| !plan.members.contains(id));
    let went = plan.members.iter().any(|id| !here.contains(id) && !plan.victims.contains(id));
    if came || went {
        return Approval::Gone("the topology has changed, and not by this plan".to_owned());
    }
    Approval::Given
}
