//! Moments of a plan at which a test strikes, taken from the journal alone: it says what is about to be done before it
//! is done, and the outcome right after (`decisions.md` D5).

use plimsoll_wire::journal::{Ended, Journal};

/// When the daemon is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The effect is journaled and what came of it is not: it has not begun, or is under way.
    Before(&'static str),
    /// The platform's command runs: the effect, and the command.
    While(&'static str, &'static str),
    /// The effect is done and journaled as done, and the next phase has not begun.
    After(&'static str),
    /// A phase without an effect of its own has begun: its index in etcd's profile, and its name.
    In(u32, &'static str),
}

impl Moment {
    /// Whether a journal stands at this moment.
    #[must_use]
    pub fn is(self, journal: &Journal) -> bool {
        let Some(plan) = &journal.plan else { return false };
        let intent =
            journal.intent.as_ref().filter(|intent| intent.plan == plan.id && intent.unit == plan.unit);
        match self {
            Self::Before(verb) | Self::While(verb, _) => {
                intent.is_some_and(|intent| intent.verb.kind() == verb && intent.outcome.is_none())
            }
            Self::After(verb) => {
                intent.is_some_and(|intent| intent.verb.kind() == verb && intent.outcome.is_some())
            }
            Self::In(phase, _) => plan.subject.is_some() && plan.phase == phase,
        }
    }

    /// Its phase's index in etcd's profile.
    #[must_use]
    pub fn phase(self) -> u32 {
        match self {
            Self::Before(verb) | Self::While(verb, _) | Self::After(verb) => match verb {
                "start" | "deregister" => 1,
                "promote" | "stop" => 3,
                // Growing it comes fourth; two later than when shrinking.
                "barrier" => 4,
                _ => 0,
            },
            Self::In(phase, _) => phase,
        }
    }
}

/// Whether the plan has ended that came after `before`.
#[must_use]
pub fn is_over(journal: &Journal, before: Option<&Ended>) -> bool {
    journal.plan.is_none() && journal.history.last().map(|ended| &ended.id) != before.map(|ended| &ended.id)
}
