//! What is kept of every cycle, so that it can be explained and run again.

use crate::journal::{Intent, Outcome, PlanState};
use crate::proposal::Reason;
use crate::safety::Safety;
use crate::size::Sizes;
use crate::snapshot::{Mode, Now};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One record of the audit log's body. The log adds sequence, time in RFC 3339 and the hash chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// See [`crate::FORMAT_VERSION`].
    pub format_version: u32,
    /// Unique for the target: for reading only.
    pub decision_id: Arc<str>,
    /// `namespace/name`.
    pub target: Arc<str>,
    /// When.
    pub now: Now,
    /// What happened.
    pub body: Body,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "a record is made, written and dropped; few exist at once")]
pub enum Body {
    /// A decision.
    Decision(Box<Decision>),
    /// Something is about to be done.
    Intent {
        /// What.
        intent: Intent,
        /// The check that let it pass.
        judgement: Judgement,
    },
    /// Something was done, refused, or nobody knows.
    Outcome {
        /// Which intent.
        intent: Arc<str>,
        /// What came of it.
        outcome: Outcome,
    },
    /// A plan began, moved to another phase, held or ended.
    Plan {
        /// The plan as it is now.
        plan: PlanState,
        /// Where it stands, in the profile's words.
        phase: String,
        /// The check that made it hold, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        judgement: Option<Judgement>,
    },
    /// A person said something.
    Command {
        /// The verb: `pause`, `resume`, `approve`, `cancel`, `scale`.
        verb: String,
        /// Who.
        who: String,
        /// Why, or which size.
        detail: String,
    },
    /// The daemon took the target over, or gave it up.
    Epoch {
        /// The new epoch.
        epoch: u64,
    },
    /// Something went wrong that is nobody's refusal.
    Trouble {
        /// A stable word.
        what: String,
        /// One line.
        detail: String,
    },
}

/// A decision: what was seen, asked, refused and planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// SHA-256 of the canonical snapshot, under which it is kept as a blob; filled in by the audit log.
    #[serde(default)]
    pub snapshot: String,
    /// Whether it was to be carried out.
    pub mode: Mode,
    /// The sizes now, those that are known.
    #[serde(default, skip_serializing_if = "Sizes::is_empty")]
    pub sizes: Sizes,
    /// Dry run: the sizes that there would be before this decision, had the earlier ones been carried out.
    #[serde(default, skip_serializing_if = "Sizes::is_empty")]
    pub ghost: Sizes,
    /// What each policy said.
    pub answers: Vec<PolicyAnswer>,
    /// The wish that the rule of combination made of them.
    pub wish: Wish,
    /// The check.
    pub judgement: Judgement,
    /// The sizes that were decided.
    #[serde(default, skip_serializing_if = "Sizes::is_empty")]
    pub decided: Sizes,
    /// The id of the plan that was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Arc<str>>,
    /// Parameters that differ from the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety: Option<Safety>,
    /// One word for status and metrics.
    pub reason: Reason,
}

/// What one policy said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PolicyAnswer {
    /// Whose answer it is.
    pub from: Wisher,
    /// SHA-256 of the module.
    #[serde(default)]
    pub module: String,
    /// What it wished; empty for nothing.
    #[serde(default, skip_serializing_if = "Sizes::is_empty")]
    pub sizes: Sizes,
    /// Why, in its own words, or why there is no wish.
    pub reason: Reason,
    /// Whether it failed (trap, limit, malformed answer).
    #[serde(default)]
    pub failed: bool,
    /// Fuel that it used.
    #[serde(default)]
    pub fuel: u64,
}

/// Who wishes. What a wish may do hangs on the kind, and never on a name that an owner chose.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Wisher {
    /// No one.
    #[default]
    Nobody,
    /// A person, by an order or in the target's document.
    Person,
    /// Another program, through `scale` of the target (`decisions.md` D24).
    Outside,
    /// A policy, by its name in the target's document.
    Policy(String),
}

impl Wisher {
    /// A policy's name; none of anybody else.
    #[must_use]
    pub fn policy(&self) -> Option<&str> {
        match self {
            Self::Policy(name) => Some(name),
            Self::Nobody | Self::Person | Self::Outside => None,
        }
    }
}

impl std::fmt::Display for Wisher {
    /// For people: no policy can be called so, since a name has no space and `scale` is taken.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Nobody => "",
            Self::Person => "a person",
            Self::Outside => "scale",
            Self::Policy(name) => name,
        })
    }
}

/// The combined wish.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Wish {
    /// What is wished; empty means hold.
    #[serde(default, skip_serializing_if = "Sizes::is_empty")]
    pub sizes: Sizes,
    /// Whose wish it is.
    #[serde(default)]
    pub from: Wisher,
    /// Which line of the rule decided.
    pub rule: String,
}

/// What the judge said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// The strongest of all findings.
    pub verdict: Verdict,
    /// The sizes after clamping; empty where the change has none.
    #[serde(default, skip_serializing_if = "Sizes::is_empty")]
    pub sizes: Sizes,
    /// Every finding, in the order of the catalogue; an empty list means that nothing was found.
    #[serde(default)]
    pub violations: Vec<Violation>,
}

impl Judgement {
    /// The finding to look at first: of the strongest ones, the first in the order of the catalogue. The catalogue
    /// goes from what is known and who acts, over votes and copies, to waits and bounds, so that what comes earlier
    /// is the reason for what comes later: a member of whom nobody knows is named before the leader that it may be.
    #[must_use]
    pub fn cause(&self) -> Option<&Violation> {
        self.violations.iter().find(|violation| violation.verdict == self.verdict)
    }
}

/// What the judge says, weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Go on.
    #[default]
    Allow,
    /// Go on, but only so far.
    Clamp,
    /// Ask again later.
    Defer,
    /// No, until something changes.
    Deny,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// The rule, such as `QUORUM-1`.
    pub rule: String,
    /// The hazard, such as `QuorumAtRisk`.
    pub kind: String,
    /// How strong.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
    /// Whether the rule is not broken but cannot be asked: something is not known.
    #[serde(default)]
    pub unknown: bool,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}
