//! Judges what a source answered: the one place where an answer becomes a signal. No I/O, no clock.

mod answer;
mod behind;
mod series;

pub use answer::{Answer, Failure, Reply};
pub(super) use answer::{Parsed, read_reply};
pub(super) use behind::{judge_behind, not_countable};
pub(super) use series::judge_series;

use super::definition::SignalDefinition;
use plimsoll_wire::snapshot::{Signal, SignalState};

/// How much of what a source sent is shown to people, in characters.
const EXCERPT_CHARS: usize = 120;

/// Why there is no series to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) state: SignalState,
    pub(super) detail: String,
}

impl Fault {
    fn malformed(detail: impl Into<String>) -> Self {
        Self { state: SignalState::Malformed, detail: detail.into() }
    }

    fn unavailable(detail: impl Into<String>) -> Self {
        Self { state: SignalState::Unavailable, detail: detail.into() }
    }
}

/// Judges one reply for one definition at the wall clock time `now_ms`: every fault gives a state, and only a
/// fresh, whole and finite series gives `ok`.
#[must_use]
pub fn judge_answer(definition: &SignalDefinition, reply: &Reply, now_ms: i64) -> Signal {
    judge_outcome(definition, &read_reply(&definition.question(), reply), now_ms)
}

/// Judges what [`read_reply`] made of a reply; a batch reads it once and judges it for each target.
pub(super) fn judge_outcome(
    definition: &SignalDefinition,
    outcome: &Result<Parsed, Fault>,
    now_ms: i64,
) -> Signal {
    match outcome {
        Ok(parsed) => judge_series(definition, parsed, now_ms),
        Err(found) => fault(found.state, found.detail.clone()),
    }
}

/// A signal without samples.
pub(super) fn fault(state: SignalState, detail: impl Into<String>) -> Signal {
    let (detail, samples) = (detail.into(), Vec::new());
    Signal { state, age_ms: None, coverage_permille: None, detail, optional: false, samples }
}

/// A signal whose source the daemon's file does not have.
pub(super) fn no_such_source<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Signal {
    let known: Vec<&str> = known.map(String::as_str).collect();
    let known =
        if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
    let detail = format!("the daemon's file has no source named {}; {known}", excerpt(name.as_bytes()));
    fault(SignalState::Unavailable, detail)
}

/// The beginning of what a source sent, in one line and with everything escaped that a terminal or a log could
/// take for its own.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    // Four bytes a character and one more, so that the cut is noticed.
    let head = &bytes[..bytes.len().min(4 * EXCERPT_CHARS + 4)];
    let text = String::from_utf8_lossy(head);
    let mut shown = String::new();
    for (count, c) in text.trim().chars().enumerate() {
        if count == EXCERPT_CHARS {
            shown.push('…');
            break;
        }
        if c.is_ascii_graphic() || c == ' ' || (c.is_alphanumeric() && !c.is_ascii()) {
            shown.push(c);
        } else {
            shown.extend(c.escape_default());
        }
    }
    shown
}

#[cfg(test)]
mod tests;
