//! The stored status of each command, and what it means for the plan.

use super::guard::{GRACE, monotonic_ms};
use super::listing::clip;
use super::process::Process;
use plimsoll_wire::journal::Outcome;
use serde::{Deserialize, Serialize};

/// Bytes of each output stream that are kept in a status.
pub(super) const TAIL: u64 = 64 * 1024;
/// A status with two tails of control characters, each six bytes in JSON.
pub(super) const MAX_STATUS: u64 = 1024 * 1024;
/// The exit code by which a command says: refused, and nothing was changed.
pub(super) const EXIT_REFUSED: i32 = 3;

/// What is known of the command of one intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardStatus {
    /// 1.
    pub format_version: u32,
    /// `namespace/name`.
    pub target: String,
    /// The plan.
    pub plan: String,
    /// The intent, which permits this one command.
    pub intent: String,
    /// The slot that it is about.
    pub slot: String,
    /// `start` or `stop`.
    pub verb: String,
    /// The program.
    pub program: String,
    /// The guard's process id.
    pub guard_pid: u32,
    /// The command, which leads a process group, once it was started.
    #[serde(default)]
    pub process: Option<Process>,
    /// On the monotonic clock of the command's boot: when its guard ends it.
    pub deadline_mono_ms: u64,
    /// Milliseconds since 1970, for people.
    pub started_ms: i64,
    /// How it ended; absent while it runs, and for ever if its guard was killed.
    #[serde(default)]
    pub end: Option<End>,
    /// Whether it still runs, under its guard or without. Not stored.
    #[serde(skip)]
    pub running: bool,
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// Its exit code, if it exited.
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Why the guard ended it: its deadline, or a flood of output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by_guard: Option<String>,
    /// Why it could not be started at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_started: Option<String>,
    /// Milliseconds since 1970, for people.
    pub ended_ms: i64,
    /// The last of what it wrote to its standard output.
    #[serde(default)]
    pub stdout: String,
    /// The last of what it wrote to its standard error.
    #[serde(default)]
    pub stderr: String,
}

impl GuardStatus {
    /// What came of the command; `None` while it runs.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        let Some(end) = &self.end else {
            let lost = "its guard ended before it could tell how the command ended".to_owned();
            return (!self.running).then_some(Outcome::Unknown { message: lost });
        };
        Some(end.outcome(&self.program))
    }

    /// Whether the command runs although its guard does not.
    pub(super) fn is_orphan(&self) -> bool {
        self.end.is_none() && self.process.as_ref().is_some_and(Process::is_alive)
    }

    /// Ends a command past its deadline that has no guard to do it: the finder has that duty, for it
    /// bars the next step until it is gone.
    pub(super) fn end_if_overdue(&self) {
        let overdue = monotonic_ms() > self.deadline_mono_ms.saturating_add(super::ms(GRACE));
        if let Some(process) = self.process.as_ref().filter(|_| overdue) {
            process.kill_group();
        }
    }
}

impl End {
    fn outcome(&self, program: &str) -> Outcome {
        let program = clip(program);
        if let Some(why) = &self.not_started {
            return Outcome::Refused { message: format!("{program} could not be started: {why}") };
        }
        if let Some(why) = &self.ended_by_guard {
            return Outcome::Unknown { message: format!("{program} was ended: {why}{}", self.said()) };
        }
        match (self.exit_code, self.signal) {
            (Some(0), _) => Outcome::Applied,
            (Some(EXIT_REFUSED), _) => {
                Outcome::Refused { message: format!("{program} refused, exit code 3{}", self.said()) }
            }
            // A command that failed may have done half of its work.
            (Some(code), _) => {
                Outcome::Unknown { message: format!("{program} failed with exit code {code}{}", self.said()) }
            }
            (None, Some(signal)) => {
                Outcome::Unknown { message: format!("{program} was ended by signal {signal}{}", self.said()) }
            }
            (None, None) => Outcome::Unknown { message: format!("nobody knows how {program} ended") },
        }
    }

    fn said(&self) -> String {
        let said = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        last_words(said)
    }
}

/// The end of foreign output, for a message.
pub(super) fn last_words(said: &str) -> String {
    let said = said.trim();
    if said.is_empty() {
        return String::new();
    }
    let skip = said.chars().count().saturating_sub(300);
    let tail: String = said.chars().skip(skip).collect();
    format!("; it said: {}", clip(&tail))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end here")]
mod tests {
    use super::*;

    #[test]
    fn only_a_clean_exit_counts_as_applied() {
        let end = |exit_code, signal| End { exit_code, signal, ..End::default() };
        assert_eq!(end(Some(0), None).outcome("p"), Outcome::Applied);
        assert!(matches!(end(Some(3), None).outcome("p"), Outcome::Refused { .. }));
        assert!(matches!(end(Some(1), None).outcome("p"), Outcome::Unknown { .. }));
        assert!(matches!(end(None, Some(9)).outcome("p"), Outcome::Unknown { .. }));
        let late = End { ended_by_guard: Some("deadline".into()), ..end(Some(0), None) };
        assert!(matches!(late.outcome("p"), Outcome::Unknown { .. }));
        let absent = End { not_started: Some("no such file".into()), ..End::default() };
        assert!(matches!(absent.outcome("p"), Outcome::Refused { .. }));
    }
}
