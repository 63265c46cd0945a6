//! How much a policy may log over time (W59): each evaluation's log is capped already, but a capped log every cycle
//! would still fill a disk.

use super::limits::{LOG_BURST_BYTES, LOG_DAY_BYTES};
use std::time::{Duration, Instant};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Bytes that a policy may still log, filled up as time passes.
#[derive(Debug)]
pub(crate) struct LogBudget {
    left: u64,
    filled: Option<Instant>,
    /// Lines that were left out since the last that was shown.
    dropped: u64,
}

impl Default for LogBudget {
    fn default() -> Self {
        Self { left: LOG_BURST_BYTES, filled: None, dropped: 0 }
    }
}

impl LogBudget {
    /// The lines that may be shown, and one that says so if some may not.
    pub(crate) fn take(&mut self, now: Instant, lines: Vec<String>) -> Vec<String> {
        if let Some(passed) = self.filled.and_then(|filled| now.checked_duration_since(filled)) {
            self.left = self.left.saturating_add(earned(passed)).min(LOG_BURST_BYTES);
        }
        self.filled = Some(now);
        let mut shown = Vec::with_capacity(lines.len());
        for line in lines {
            match self.left.checked_sub(line.len() as u64) {
                Some(left) => {
                    self.left = left;
                    if self.dropped > 0 {
                        let mebi = LOG_DAY_BYTES >> 20;
                        let dropped = std::mem::take(&mut self.dropped);
                        shown.push(format!("[{dropped} lines left out: a policy may log {mebi} MiB a day]"));
                    }
                    shown.push(line);
                }
                None => self.dropped += 1,
            }
        }
        shown
    }
}

/// What a policy earns in this time.
fn earned(passed: Duration) -> u64 {
    let bytes = u128::from(LOG_DAY_BYTES) * passed.as_millis() / DAY.as_millis();
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(lines: &[String]) -> u64 {
        lines.iter().map(|line| line.len() as u64).sum()
    }

    #[test]
    fn a_day_of_full_logs_stays_within_the_days_budget() {
        let mut budget = LogBudget::default();
        let began = Instant::now();
        let full = || vec!["x".repeat(1_000); 64];
        let mut shown = 0;
        for cycle in 0..24 * 60 * 4 {
            shown += bytes(&budget.take(began + Duration::from_secs(15) * cycle, full()));
        }
        assert!(shown <= LOG_DAY_BYTES + LOG_BURST_BYTES + (1 << 20), "{shown}");
        assert!(shown >= LOG_DAY_BYTES * 9 / 10, "{shown}");
    }

    #[test]
    fn what_was_left_out_is_told_with_the_next_line_that_is_shown() {
        let mut budget = LogBudget { left: 3, ..LogBudget::default() };
        let now = Instant::now();
        let lines = |text: &[&str]| text.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
        assert_eq!(budget.take(now, lines(&["abc", "d", "e"])), ["abc"]);
        let later = budget.take(now + Duration::from_secs(1), lines(&["f"]));
        assert_eq!(later, ["[2 lines left out: a policy may log 50 MiB a day]", "f"]);
    }

    #[test]
    fn a_short_log_is_never_touched() {
        let mut budget = LogBudget::default();
        let line = vec!["5 members".to_owned()];
        assert_eq!(budget.take(Instant::now(), line.clone()), line);
    }
}
