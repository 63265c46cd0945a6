//! Named series with their states.

use serde::{Deserialize, Serialize};

/// A named series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Signal {
    /// Whether the samples may be used, and if not, why not.
    pub state: SignalState,
    /// How long before the snapshot the newest sample was taken, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// Which part of the window has samples, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage_permille: Option<u32>,
    /// One line for people on what is wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Whether its owner says that a shrink may go without it.
    #[serde(default)]
    pub optional: bool,
    /// Oldest first; empty unless the state is `ok` or `partial`.
    #[serde(default)]
    pub samples: Vec<Sample>,
}

/// Whether a series may be used, and if not, why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SignalState {
    /// Fresh, whole, finite.
    Ok,
    /// The newest sample is too old.
    Stale,
    /// There is no such series.
    Absent,
    /// Some of it is missing (warnings, a short history): good for growing only.
    Partial,
    /// A sample is NaN or infinite.
    NotANumber,
    /// More than one series answered and no aggregation was declared.
    Ambiguous,
    /// A sample lies in the future.
    Skewed,
    /// The source answered something that is not an answer.
    Malformed,
    /// The source did not answer.
    Unavailable,
}

impl SignalState {
    /// Whether a number is there to read: of a series that is there in part the load is at least what is there.
    #[must_use]
    pub fn is_there(self) -> bool {
        match self {
            Self::Ok | Self::Partial => true,
            Self::Stale
            | Self::Absent
            | Self::NotANumber
            | Self::Ambiguous
            | Self::Skewed
            | Self::Malformed
            | Self::Unavailable => false,
        }
    }

    /// Whether nothing false was read: what answers, and answers wrongly, may have been taken for load.
    #[must_use]
    pub fn is_no_falsehood(self) -> bool {
        match self {
            Self::Ok | Self::Partial | Self::Stale | Self::Absent | Self::Unavailable => true,
            Self::NotANumber | Self::Ambiguous | Self::Skewed | Self::Malformed => false,
        }
    }
}

/// One sample of a series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// The value, finite.
    pub value: f64,
}
