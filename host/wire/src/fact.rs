//! Three-valued facts: known with its provenance, unknown with a reason, or not applicable.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A value together with how well it is known.
///
/// Absence is never a number: what was not seen is [`Fact::Unknown`], with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Fact<T> {
    /// Seen, by somebody, some time ago.
    Known(Known<T>),
    /// Not seen, or not to be trusted.
    Unknown {
        /// Why the value is not known.
        reason: Gap,
        /// One line for people: what was tried.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
    /// The system has no such thing. Only a profile may say so; it is never inferred.
    NotApplicable,
}

/// A value that was seen, and by whom and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Known<T> {
    /// The value itself.
    pub value: T,
    /// On whose word.
    pub authority: Authority,
    /// How long before the snapshot it was observed, in milliseconds.
    pub age_ms: u64,
    /// Who told us: a member, a platform, a collector.
    pub observer: Arc<str>,
    /// How long the observer had been up when it told us, in milliseconds (EVID-4).
    pub observer_up_ms: u64,
    /// The topology epoch in which it was observed; empty where the system has none.
    #[serde(default, skip_serializing_if = "str_is_empty")]
    pub epoch: Arc<str>,
    /// For how long the value has been the same, in milliseconds.
    pub stable_ms: u64,
    /// How many consecutive reads gave this same value.
    pub reads: u32,
}

fn str_is_empty(text: &Arc<str>) -> bool {
    text.is_empty()
}

/// On whose word a value is known, weakest first so that `>=` reads "at least".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Authority {
    /// A cache that may be arbitrarily old.
    Cache,
    /// The member that the value is about.
    Own,
    /// The platform, by a linearizable read.
    Platform,
    /// All members but the one that the value is about.
    Survivors,
    /// The current leader.
    Leader,
    /// A linearizable read of the system itself.
    Consensus,
}

/// Why a value is not known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Gap {
    /// Nobody has asked yet, or the series does not exist.
    NotScraped,
    /// Last seen too long ago.
    Stale,
    /// Only some of those who should have answered did.
    Partial {
        /// How many answered.
        got: u32,
        /// How many should have.
        want: u32,
    },
    /// The read failed.
    Error,
    /// The answer could not be understood.
    Unparsable,
    /// Two sources disagree.
    Conflicting,
    /// The value belongs to another topology epoch.
    EpochMismatch,
}

impl Gap {
    /// The stable word for metrics, records and docs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotScraped => "not-scraped",
            Self::Stale => "stale",
            Self::Partial { .. } => "partial",
            Self::Error => "error",
            Self::Unparsable => "unparsable",
            Self::Conflicting => "conflicting",
            Self::EpochMismatch => "epoch-mismatch",
        }
    }
}

impl<T> Fact<T> {
    /// An unknown value with its reason.
    #[must_use]
    pub fn unknown(reason: Gap, detail: impl Into<String>) -> Self {
        Self::Unknown { reason, detail: detail.into() }
    }

    /// The value, where it is known.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Known(known) => Some(&known.value),
            Self::Unknown { .. } | Self::NotApplicable => None,
        }
    }

    /// The value with its provenance, where it is known.
    #[must_use]
    pub fn known(&self) -> Option<&Known<T>> {
        match self {
            Self::Known(known) => Some(known),
            Self::Unknown { .. } | Self::NotApplicable => None,
        }
    }

    /// The same knowledge of another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Known(known) => Fact::Known(known.map(change)),
            Self::Unknown { reason, detail } => Fact::Unknown { reason, detail },
            Self::NotApplicable => Fact::NotApplicable,
        }
    }
}

impl<T> Known<T> {
    /// The same provenance for another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Known<U> {
        Known {
            value: change(self.value),
            authority: self.authority,
            age_ms: self.age_ms,
            observer: self.observer,
            observer_up_ms: self.observer_up_ms,
            epoch: self.epoch,
            stable_ms: self.stable_ms,
            reads: self.reads,
        }
    }
}
