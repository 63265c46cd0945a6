//! The question that is put to the judge: what is about to happen, and when its rules are asked.
//!
//! The moment follows from the change. Nobody can ask for a stop to be judged as if it were a wish.

use plimsoll_wire::journal::{MembershipEffect, PlanState, Subject, Verb};
use plimsoll_wire::profile::Profile;
use plimsoll_wire::record::Wisher;

/// When a rule is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Before a plan is made.
    Admission,
    /// Before each effect.
    Step,
    /// Before an effect that cannot be taken back, with direct reads.
    Destroy,
}

impl Moment {
    /// The stable word for records and docs.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Admission => "admission",
            Self::Step => "step",
            Self::Destroy => "destroy",
        }
    }
}

/// Whether members come or go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Members come.
    Out,
    /// Members go.
    In,
}

impl Direction {
    /// The direction between two sizes; none when they are equal.
    #[must_use]
    pub fn between(from: u32, to: u32) -> Option<Self> {
        match to.cmp(&from) {
            std::cmp::Ordering::Greater => Some(Self::Out),
            std::cmp::Ordering::Less => Some(Self::In),
            std::cmp::Ordering::Equal => None,
        }
    }
}

/// What is about to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A plan is wished: the number of members is to become another.
    Wish {
        /// What was wished.
        to: u32,
        /// Who wishes it: waits against flapping do not hold for a person.
        by: Wisher,
        /// The signals that the wish rests on; none means all that there are. A person's wish rests on none.
        rests_on: Option<Vec<String>>,
    },
    /// One effect of a plan.
    Effect {
        /// The plan.
        plan: Box<PlanState>,
        /// The member that it is about.
        subject: Subject,
        /// The effect.
        verb: Verb,
        /// Whether it takes the unit back.
        undoing: bool,
    },
}

impl Change {
    /// When it is judged. What ends a member, or takes it out of the membership, is judged as destruction; taking back a
    /// member that holds nothing yet is not, but where data moves by itself its stop is a removal like any other.
    #[must_use]
    pub fn moment(&self, profile: &Profile) -> Moment {
        let Self::Effect { verb, undoing, .. } = self else { return Moment::Admission };
        let destroys = match verb.membership_effect() {
            MembershipEffect::Ends => !undoing || profile.moves_data(),
            MembershipEffect::Leaves => !undoing,
            MembershipEffect::Joins
            | MembershipEffect::Runs
            | MembershipEffect::Votes
            | MembershipEffect::Stays => false,
        };
        if destroys { Moment::Destroy } else { Moment::Step }
    }

    /// Whether it takes a member out of the membership, or ends its process.
    #[must_use]
    pub fn ends(&self) -> bool {
        match self {
            Self::Effect { verb, .. } => verb.ends(),
            Self::Wish { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Judged, judge};
    use crate::profile::{SIM_QUORUM, SIM_SHARDED};
    use plimsoll_wire::journal::{PlatformVerb, SystemVerb};
    use plimsoll_wire::snapshot::Snapshot;

    const BEFORE: &str = include_str!("../../../tests/scenarios/base/quorum-before-stop.json");

    fn effect(verb: Verb, undoing: bool) -> (Change, Snapshot) {
        let snapshot: Snapshot = serde_json::from_str(BEFORE).expect("a saved snapshot");
        let plan = Box::new(snapshot.plan.clone().expect("a plan"));
        let subject = plan.subject.clone().expect("a subject");
        (Change::Effect { plan, subject, verb, undoing }, snapshot)
    }

    fn stop() -> Verb {
        PlatformVerb::Stop { slot: "db-3".into(), member: "m-0004".into(), size_after: 4 }.into()
    }

    #[test]
    fn what_ends_a_member_is_judged_as_destruction_whoever_asks() {
        let (change, snapshot) = effect(stop(), false);
        assert_eq!(judge(&change, &snapshot, false), Judged::NeedFacts);
        assert!(matches!(judge(&change, &snapshot, true), Judged::Verdict(_)));
        let removes = effect(SystemVerb::Deregister { member: "m-0004".into() }.into(), false).0;
        assert_eq!(removes.moment(&SIM_QUORUM), Moment::Destroy);
    }

    #[test]
    fn taking_a_start_back_is_destruction_only_where_data_moves_by_itself() {
        let back = effect(stop(), true).0;
        assert_eq!([back.moment(&SIM_QUORUM), back.moment(&SIM_SHARDED)], [Moment::Step, Moment::Destroy]);
    }
}
