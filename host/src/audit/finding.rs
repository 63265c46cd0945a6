//! What can be wrong with an audit log.

use super::chain::{Hash, Head};
use std::fmt;

/// Something that is wrong with a log, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub place: String,
    /// The line in it, from 1; absent when it is about the whole file.
    pub line: Option<u64>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The last line is half-written, as a crash leaves it.
    Torn {
        /// How much of it is there.
        bytes: u64,
    },
    /// A line is not what was written.
    Altered {
        /// What shows it.
        why: &'static str,
    },
    /// A line does not follow the one before: something was taken out, put in or moved.
    Broken {
        /// The sequence that should be here.
        expected: u64,
        /// The sequence that is here.
        found: u64,
    },
    /// Segments are missing that no record says were retired.
    MissingSegments {
        /// The first.
        from: u32,
        /// The last.
        to: u32,
    },
    /// A segment ends without a seal, and another follows.
    Unsealed,
    /// A segment is shorter than what was acknowledged of it.
    CutShort {
        /// Bytes that were acknowledged.
        acknowledged: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// A snapshot that a record mentions is not there.
    SnapshotMissing {
        /// Its digest.
        digest: Hash,
    },
    /// A snapshot is not what was written.
    SnapshotAltered {
        /// What shows it.
        why: String,
    },
    /// A journal was written after a record that the log does not hold: its tail was cut off.
    CutOff {
        /// Whose journal.
        target: String,
        /// The record that the journal knows.
        head: Head,
        /// The last record of the log.
        end: u64,
    },
    /// The record that a journal knows is another one in this log: it is a different log, or was rewritten.
    Rewritten {
        /// Whose journal.
        target: String,
        /// The record that the journal knows.
        head: Head,
    },
    /// A journal's head is not one.
    HeadUnreadable {
        /// Whose journal.
        target: String,
        /// What it says.
        head: String,
    },
}

impl Problem {
    /// The stable word for metrics, scripts and docs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Torn { .. } => "torn",
            Self::Altered { .. } => "altered",
            Self::Broken { .. } => "broken",
            Self::MissingSegments { .. } => "missing-segments",
            Self::Unsealed => "unsealed",
            Self::CutShort { .. } => "cut-short",
            Self::SnapshotMissing { .. } => "snapshot-missing",
            Self::SnapshotAltered { .. } => "snapshot-altered",
            Self::CutOff { .. } => "cut-off",
            Self::Rewritten { .. } => "rewritten",
            Self::HeadUnreadable { .. } => "head-unreadable",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}:{line}: {}", self.place, self.problem),
            None => write!(formatter, "{}: {}", self.place, self.problem),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn { bytes } => {
                write!(
                    formatter,
                    "the last record is half-written ({bytes} bytes of it); the next start of the daemon moves it aside"
                )
            }
            Self::Altered { why } => write!(formatter, "the record was altered: {why}"),
            Self::Broken { expected, found } => write!(
                formatter,
                "record {found} does not follow the one before it ({expected} is due): records were taken out, put in or moved"
            ),
            Self::MissingSegments { from, to } if from == to => {
                write!(formatter, "segment {from} is missing and no record says that it was retired")
            }
            Self::MissingSegments { from, to } => {
                write!(
                    formatter,
                    "segments {from} to {to} are missing and no record says that they were retired"
                )
            }
            Self::Unsealed => write!(formatter, "the segment ends without a seal: its end was cut off"),
            Self::CutShort { acknowledged, found } => {
                write!(formatter, "the segment has {found} of its {acknowledged} acknowledged bytes")
            }
            Self::SnapshotMissing { digest } => write!(formatter, "its snapshot {digest} is missing"),
            Self::SnapshotAltered { why } => write!(formatter, "the snapshot was altered: {why}"),
            Self::CutOff { target, head, end } => write!(
                formatter,
                "cut off after record {end}: the journal of {target} was written after record {}",
                head.sequence
            ),
            Self::Rewritten { target, head } => write!(
                formatter,
                "record {} is not the one that the journal of {target} knows ({}): the log was rewritten or belongs to another daemon",
                head.sequence, head.hash
            ),
            Self::HeadUnreadable { target, head } => {
                write!(formatter, "the journal of {target} has no readable audit head ({head:?})")
            }
        }
    }
}
