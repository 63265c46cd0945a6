//! What is kept, by compare-and-set, so that a plan can go on where it stood (`decisions.md` D5).

use crate::size::{Leg, Sizes};
use crate::snapshot::Endpoints;
pub use crate::verb::{JOIN, Join, MembershipEffect, PlatformVerb, SystemVerb, Verb};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The durable state of one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// See [`crate::FORMAT_VERSION`]; an unknown one means hold.
    pub format_version: u32,
    /// `namespace/name`.
    pub target: Arc<str>,
    /// Raised by every daemon that takes the target over, before anything else.
    pub epoch: u64,
    /// Counts plans, decisions and intents, so that ids never repeat.
    pub sequence: u64,
    /// The plan that is running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanState>,
    /// The last intent; void once its outcome was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// What outlives plans.
    #[serde(default)]
    pub memory: Memory,
    /// Ended plans, newest last, at most 16.
    #[serde(default)]
    pub history: Vec<Ended>,
    /// The newest audit record when this was written, as `<log>/<sequence>:<hash>`: a cut-off tail of the log shows.
    #[serde(default)]
    pub audit_head: String,
    /// The same of other daemons' logs, of which each led once, newest first, at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_audit_heads: Vec<String>,
}

/// A plan: from one legal resting size to the next, one unit at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlanState {
    /// Unique for the target.
    pub id: Arc<str>,
    /// The decision that it carries out.
    pub decision: Arc<str>,
    /// The changes of size, one after the other.
    pub legs: Vec<Leg>,
    /// Index of the leg that is under way.
    #[serde(default)]
    pub leg: u32,
    /// The system's id when it was made.
    pub fingerprint: String,
    /// The platform's id of the object that it scales; absent where a platform scales none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<Arc<str>>,
    /// The topology epoch when it was made.
    pub base_epoch: String,
    /// The digest of the module that wished it; empty for a person's wish.
    #[serde(default)]
    pub module: String,
    /// The members, by id, as they stood when the unit under way began (MUTEX-5).
    #[serde(default)]
    pub members: Vec<Arc<str>>,
    /// The members that were to be removed when the plan was made: what an approval names.
    #[serde(default)]
    pub victims: Vec<Arc<str>>,
    /// Where it stands.
    pub status: PlanStatus,
    /// The unit that is under way, from 0.
    pub unit: u32,
    /// The member of that unit, once it was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// How many members come, or give their data away, at the same time.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub together: u32,
    /// Those that give their data away beside the subject, in the order in which they go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaving: Vec<Subject>,
    /// Those that have come since the data was last spread, in the order in which they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<Subject>,
    /// What it was expected to move when it was made; absent where nothing moves, or nobody knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Index of the phase in the profile's list; a hint, the world decides.
    pub phase: u32,
    /// Whether the unit has passed what the system cannot take back.
    pub point_of_no_return: bool,
    /// Whether the unit is being taken back.
    #[serde(default)]
    pub undoing: bool,
    /// Why it holds, waits or was given up.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// When it began.
    pub started: Stamp,
    /// When it last made progress.
    pub progressed: Stamp,
}

impl PlanState {
    /// Members before and after the whole plan; none where it changes something else.
    #[must_use]
    pub fn members_leg(&self) -> Option<(u32, u32)> {
        of_members(&self.legs)
    }

    /// Members at its start. A journal with a plan that has none is not taken over.
    #[must_use]
    pub fn from(&self) -> u32 {
        self.members_leg().map_or(0, |(from, _)| from)
    }

    /// Members at its end.
    #[must_use]
    pub fn to(&self) -> u32 {
        self.members_leg().map_or(0, |(_, to)| to)
    }
}

impl Ended {
    /// Members at its start and where it was to end, for people.
    #[must_use]
    pub fn members_leg(&self) -> (u32, u32) {
        of_members(&self.legs).unwrap_or_default()
    }
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(together: &u32) -> bool {
    *together == 1
}

fn of_members(legs: &[Leg]) -> Option<(u32, u32)> {
    legs.iter().find_map(Leg::of_members)
}

/// What a plan is expected to move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Price {
    /// How much data, in bytes.
    pub bytes: u64,
    /// For how long, in milliseconds; absent where the system does not tell how fast it moves data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
}

/// Where a plan stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PlanStatus {
    /// Waits for a person.
    AwaitingApproval,
    /// Goes on.
    Running,
    /// Keeps its place until a check passes or a person acts.
    Held,
    /// Ends at the nearest legal size.
    Stopping,
    /// Reached its size.
    Done,
    /// Ended elsewhere, safely.
    Aborted,
}

/// The member that a unit is about: the triple of IDENT-2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// The platform's place.
    pub slot: Arc<str>,
    /// The addresses in that place.
    #[serde(default)]
    pub endpoints: Endpoints,
    /// The system's id; absent until a new member has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Arc<str>>,
    /// The incarnation when it was chosen.
    #[serde(default)]
    pub incarnation: String,
}

/// What is about to be done. It licenses one effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Unique for the target.
    pub id: Arc<str>,
    /// Of which plan.
    pub plan: Arc<str>,
    /// Of which unit.
    pub unit: u32,
    /// The verb with its absolute arguments.
    pub verb: Verb,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// What came of an effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The server accepted it. Done is only what is observed afterwards.
    Applied,
    /// The server refused it; nothing changed.
    Refused {
        /// In the server's words, at most 1 KiB.
        message: String,
    },
    /// Nobody knows: a time-out, a lost answer, a crash.
    Unknown {
        /// What happened.
        message: String,
    },
}

/// What outlives plans.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Ended changes of size, oldest first, at most 32.
    #[serde(default)]
    pub changes: Vec<Changed>,
    /// The combined wish's direction and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wish: Option<WishHeld>,
    /// Dry run only: what would be, had we acted.
    #[serde(default, skip_serializing_if = "Sizes::is_empty")]
    pub ghost: Sizes,
    /// Dry run only: the sizes that there were when `ghost` was decided. When somebody else changes them, what would be
    /// begins again from what is.
    #[serde(default, skip_serializing_if = "Sizes::is_empty")]
    pub ghost_of: Sizes,
    /// A person's pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Note>,
    /// A person's wish for a size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// The content that a person approved (`decisions.md` D10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Approved>,
    /// What each policy wants to be handed back.
    #[serde(default)]
    pub policy_state: BTreeMap<String, String>,
    /// The plan that began last, until it succeeds: the same one waits before it begins again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// Written orders that stand where they were written and were answered: none is obeyed twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answered: Vec<Answered>,
}

/// A plan that began and has not succeeded yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The changes of size that it was to make.
    pub legs: Vec<Leg>,
    /// A digest of the places in use when it began: a list of a thousand would double the journal.
    pub places: String,
    /// How often it was given up.
    pub given_up: u32,
    /// When it was given up last, or began.
    pub at: Stamp,
}

/// A written order, and what was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// Where it stands: one order a place.
    pub place: String,
    /// The verb: `pause`, `approve`, `cancel`.
    pub verb: String,
    /// Word for word what stands there: with other words it is another order.
    pub text: String,
    /// By whom, and when it was answered; `why` is the answer.
    pub note: Note,
    /// Whether it was obeyed.
    pub obeyed: bool,
}

/// Since when the combined wish has pointed in its direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WishHeld {
    /// -1 in, 1 out.
    pub direction: i8,
    /// Since when.
    pub since: Stamp,
}

/// One ended change of size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// What changed, from which size to which.
    pub leg: Leg,
    /// When it began.
    #[serde(default)]
    pub began: Stamp,
    /// When it ended.
    pub at: Stamp,
}

/// Who said something, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// Who.
    pub who: String,
    /// Why.
    #[serde(default)]
    pub why: String,
    /// When.
    pub at: Stamp,
}

/// A person's wish for a size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// What is wished.
    pub sizes: Sizes,
    /// By whom.
    pub note: Note,
}

/// What a person approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Approved {
    /// The content, as the plan shows it.
    pub content: String,
    /// By whom.
    pub note: Note,
}

/// A moment that outlives the process (`decisions.md` D3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Stamp {
    /// Which boot `mono_ms` counts from.
    pub boot: Arc<str>,
    /// Milliseconds since that boot.
    pub mono_ms: u64,
    /// Milliseconds since 1970, for people.
    pub wall_ms: i64,
}

/// An ended plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// Its id.
    pub id: Arc<str>,
    /// The changes of size that it was to make.
    pub legs: Vec<Leg>,
    /// The sizes at its end.
    pub ended_at: Sizes,
    /// How it ended.
    pub status: PlanStatus,
    /// Why, when not at its goal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// When.
    pub at: Stamp,
}
