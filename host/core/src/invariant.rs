//! The invariants, a file a family. A new one is a file (or a function in one) and a line in [`all`].
//!
//! Held by construction, because no verb exists that could break them: QUORUM-11 (no force), RED-8 (no lowered
//! durability), RED-9 and LEAD-4/5 (nothing is restarted), DRAIN-6 (no time-out ends a drain).

pub mod cap;
pub mod drain;
pub mod evid;
pub mod floor;
pub mod health;
pub mod ident;
pub mod lead;
pub mod mutex;
pub mod quorum;
pub mod red;
pub mod shard;
pub mod step;

use crate::case::Case;
use crate::change::Moment;
use plimsoll_wire::record::{Verdict, Violation};
use plimsoll_wire::snapshot::Group;

/// One rule: what it protects, when it is asked and how it is asked.
pub struct Invariant {
    /// Its id in the catalogue.
    pub id: &'static str,
    /// The hazard, a noun.
    pub kind: &'static str,
    /// What a broken rule means.
    pub severity: Severity,
    /// When it is asked.
    pub moments: &'static [Moment],
    /// What it protects, and which incident it would have stopped.
    pub protects: &'static str,
    /// What to do about it, for whoever finds it broken; a finding has a hint of its own where more is known.
    pub advice: &'static str,
    /// The question. Total, blind to the order of members, and never easier on a worse snapshot.
    pub check: fn(&Case) -> Finding,
}

/// What a broken rule means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The size moves towards the present one.
    Clamp,
    /// Ask again later.
    Defer,
    /// Ask again later; before destruction, no.
    Evidence,
    /// No.
    Deny,
}

/// What a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing.
    Pass,
    /// The size must lie between these, both included.
    Clamp {
        /// The least size.
        least: u32,
        /// The greatest size.
        most: u32,
        /// Why.
        detail: String,
    },
    /// It is broken.
    Broken {
        /// What was seen.
        detail: String,
        /// What to do about it.
        hint: String,
    },
    /// Nobody knows. It is told by EVID-1, since nothing was found of this rule's own hazard.
    Unknown {
        /// What is not known.
        detail: String,
    },
    /// Nobody knows, and that is the very hazard of this rule.
    Silent {
        /// What is not known.
        detail: String,
    },
}

/// How many of those whom a message is about it names. A record of thousands of members stays a record.
const MOST_NAMED: usize = 8;

/// What a message is about, in order and each once: the first few of it, and how many more there are.
pub(crate) fn listed(all: impl IntoIterator<Item = String>, between: &str) -> String {
    let all: std::collections::BTreeSet<String> = all.into_iter().collect();
    let more = all.len().saturating_sub(MOST_NAMED);
    let mut text = all.into_iter().take(MOST_NAMED).collect::<Vec<_>>().join(between);
    if more > 0 {
        text.push_str(&format!("{between}and {more} more"));
    }
    text
}

/// What a rule says of one group: what is broken, or that something is not known.
type OfGroup = Result<Vec<String>, String>;

/// Asks each group, and collects all that is broken. What is broken is told before what is not known, so that the answer
/// does not depend on which group comes first.
pub(crate) fn each_group<'a>(
    groups: impl Iterator<Item = &'a Group>,
    hint: &str,
    ask: impl Fn(&'a Group) -> OfGroup,
) -> Finding {
    let (mut broken, mut unknown) = (Vec::new(), None);
    for group in groups {
        match ask(group) {
            Ok(found) => broken.extend(found),
            Err(detail) => unknown = unknown.or(Some(detail)),
        }
    }
    match unknown {
        _ if !broken.is_empty() => Finding::broken(listed(broken, "; "), hint),
        Some(detail) => Finding::unknown(detail),
        None => Finding::Pass,
    }
}

/// The same where one finding is enough: the first that is broken, else the first that is not known.
pub(crate) fn first_group<'a>(
    groups: impl Iterator<Item = &'a Group>,
    ask: impl Fn(&'a Group) -> Finding,
) -> Finding {
    let mut unknown = Finding::Pass;
    for found in groups.map(ask) {
        match found {
            Finding::Broken { .. } => return found,
            Finding::Unknown { .. } | Finding::Silent { .. } if unknown == Finding::Pass => unknown = found,
            Finding::Unknown { .. } | Finding::Silent { .. } | Finding::Clamp { .. } | Finding::Pass => {}
        }
    }
    unknown
}

impl Finding {
    /// A broken rule.
    pub fn broken(detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Broken { detail: detail.into(), hint: hint.into() }
    }

    /// Something that nobody knows, where that is the rule's own hazard.
    pub fn silent(detail: impl Into<String>) -> Self {
        Self::Silent { detail: detail.into() }
    }

    /// Something that nobody knows.
    pub fn unknown(detail: impl Into<String>) -> Self {
        Self::Unknown { detail: detail.into() }
    }
}

impl Invariant {
    /// A finding of this rule.
    #[must_use]
    pub fn violation(&self, verdict: Verdict, detail: String, hint: String) -> Violation {
        let (rule, kind) = (self.id.to_owned(), self.kind.to_owned());
        Violation { rule, kind, verdict, detail, unknown: false, hint }
    }
}

/// At every moment.
pub const ALWAYS: &[Moment] = &[Moment::Admission, Moment::Step, Moment::Destroy];
/// Before a plan is made.
pub const ADMISSION: &[Moment] = &[Moment::Admission];
/// Before each effect.
pub const EFFECTS: &[Moment] = &[Moment::Step, Moment::Destroy];

/// Rules that become true by a plan's own earlier steps (a member is no member any more, has been drained, leads nothing,
/// is told how to join): asked when it is their turn. All others that are asked before an effect stand, and are asked ahead
/// too, before what cannot be taken back: a new rule stands unless it is named here.
pub const BY_OWN_STEPS: &[&str] = &["IDENT-7", "QUORUM-6", "QUORUM-8", "LEAD-2", "DRAIN-1", "STEP-1"];

/// All rules, in the order of the catalogue.
pub fn all() -> impl Iterator<Item = &'static Invariant> {
    [
        evid::FAMILY,
        ident::FAMILY,
        quorum::FAMILY,
        red::FAMILY,
        lead::FAMILY,
        drain::FAMILY,
        cap::FAMILY,
        mutex::FAMILY,
        health::FAMILY,
        step::FAMILY,
        floor::FAMILY,
        shard::FAMILY,
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_that_waits_for_a_plans_own_steps_is_one_that_is_asked_before_a_step() {
        for id in BY_OWN_STEPS {
            assert!(all().any(|rule| rule.id == *id && rule.moments.contains(&Moment::Step)), "{id}");
        }
    }
}
