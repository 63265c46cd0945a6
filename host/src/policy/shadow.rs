//! Runs a new version in shadow, beside the running one. It is asked the same questions, and its answers are shown and
//! decide nothing, until it has answered often enough without failing.

use super::fault::{Failure, Flaw, Rejection};
use super::versions::{Release, is_its_own};
use plimsoll_core::count::count;
use plimsoll_wire::proposal::Answer;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A version in shadow.
pub(crate) struct Shadow {
    pub release: Release,
    pub count: Count,
}

/// How far a version in shadow has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    /// How often it must answer.
    pub wanted: u32,
    answered: u32,
    differed: u32,
    /// Its last answer beside the one that decided.
    last: String,
}

/// How a version in shadow stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShadowStatus {
    /// SHA-256 of the module, in hex.
    pub module: String,
    /// How often it has answered.
    pub answered: u32,
    /// How often it must, to take over.
    pub wanted: u32,
    /// How often its answer was another than the one that decided.
    pub differed: u32,
    /// Its last answer beside the one that decided, for people; empty before the first.
    pub last: String,
}

/// How it goes on with a version in shadow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// It has to answer more often.
    Goes,
    /// It takes over.
    Over,
    /// It is refused.
    Failed(Rejection),
}

impl Shadow {
    pub(crate) fn new(release: Release, wanted: u32) -> Self {
        Self { release, count: Count { wanted, ..Count::default() } }
    }

    /// Takes note of one answer beside the one that decided.
    pub(crate) fn take(
        &mut self,
        target: &str,
        decided: &Result<Answer, Failure>,
        beside: &Result<Answer, Failure>,
    ) -> Course {
        let count = &mut self.count;
        match beside {
            Ok(_) => {}
            // Not the policy's doing: this evaluation does not count.
            Err(failure) if !is_its_own(failure) => return Course::Goes,
            Err(failure) => {
                let of = format!("evaluation {} of {} in shadow", count.answered + 1, count.wanted);
                return Course::Failed(Rejection::new(Flaw::Shadow, format!("{of}, on {target}: {failure}")));
            }
        }
        let (wish, decided) = (wish(beside), wish(decided));
        count.answered += 1;
        count.differed += u32::from(wish != decided);
        count.last = format!("{target}: {wish} where {decided} decided");
        if count.answered < count.wanted { Course::Goes } else { Course::Over }
    }

    pub(crate) fn status(&self) -> ShadowStatus {
        ShadowStatus {
            module: self.release.candidate.module.clone(),
            answered: self.count.answered,
            wanted: self.count.wanted,
            differed: self.count.differed,
            last: self.count.last.clone(),
        }
    }
}

impl fmt::Display for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status().fmt(f)
    }
}

impl fmt::Display for ShadowStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let module = self.module.get(..12).unwrap_or(&self.module);
        write!(
            f,
            "{module} in shadow: {} of {} answers, {} differ",
            self.answered, self.wanted, self.differed
        )?;
        if self.last.is_empty() { Ok(()) } else { write!(f, "; last {}", self.last) }
    }
}

/// What an answer comes to, in a few words.
fn wish(result: &Result<Answer, Failure>) -> String {
    match result {
        Ok(Answer::Proposal(proposal)) => {
            proposal.sizes.members.map_or_else(|| "a hold".to_owned(), |members| count(members, "member"))
        }
        Ok(Answer::Refusal { refusal }) => format!("the refusal {}", refusal.reason.code),
        Err(failure) => format!("the failure {}", failure.fault),
    }
}
