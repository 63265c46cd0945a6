//! A circuit breaker: what failed several times in a row is left alone for a while.

/// One failure may be chance; three in a row are not.
const TRIP_AFTER: u32 = 3;
/// The first pause.
const FIRST_PAUSE_MS: u64 = 1_000;
/// The longest pause: a source that is back is noticed within this.
const LONGEST_PAUSE_MS: u64 = 30_000;

/// Counts failures in a row and refuses while it is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Breaker {
    failures: u32,
    failed_at_ms: u64,
    open_until_ms: u64,
}

impl Breaker {
    /// Whether to ask now; if not, in how many milliseconds. After a pause one caller is let through, the
    /// next only when `probe_ms` have passed without news from it (it may have been cancelled).
    pub(super) fn admit(&mut self, now_ms: u64, probe_ms: u64) -> Result<(), u64> {
        if self.failures < TRIP_AFTER {
            return Ok(());
        }
        if now_ms < self.open_until_ms {
            return Err(self.open_until_ms - now_ms);
        }
        self.open_until_ms = now_ms.saturating_add(probe_ms);
        Ok(())
    }

    /// What was asked has answered.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// What was asked has failed.
    pub(super) fn failed(&mut self, now_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        self.failed_at_ms = now_ms;
        if self.failures >= TRIP_AFTER {
            let doublings = (self.failures - TRIP_AFTER).min(16);
            let pause = (FIRST_PAUSE_MS << doublings).min(LONGEST_PAUSE_MS);
            self.open_until_ms = now_ms.saturating_add(pause);
        }
    }

    /// Whether there is anything to remember at `now_ms`: ten of the longest pauses after the last failure
    /// there is not.
    pub(super) fn is_worth_keeping(&self, now_ms: u64) -> bool {
        self.failures > 0 && now_ms < self.failed_at_ms.saturating_add(10 * LONGEST_PAUSE_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tripped(failures: u32, at_ms: u64) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..failures {
            breaker.failed(at_ms);
        }
        breaker
    }

    #[test]
    fn two_failures_do_not_open_it() {
        assert_eq!(tripped(2, 100).admit(100, 5_000), Ok(()));
    }

    #[test]
    fn three_failures_open_it_for_a_second_then_one_probe_passes() {
        let mut breaker = tripped(3, 100);
        assert_eq!(breaker.admit(100, 5_000), Err(1_000));
        assert_eq!(breaker.admit(1_099, 5_000), Err(1));
        assert_eq!(breaker.admit(1_100, 5_000), Ok(()));
        assert_eq!(breaker.admit(1_100, 5_000), Err(5_000));
    }

    #[test]
    fn pauses_double_up_to_a_bound() {
        assert_eq!(tripped(4, 0).admit(0, 1), Err(2_000));
        assert_eq!(tripped(u32::from(u8::MAX), 0).admit(0, 1), Err(LONGEST_PAUSE_MS));
    }

    #[test]
    fn a_success_forgets_all_failures() {
        let mut breaker = tripped(9, 0);
        breaker.succeeded();
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn a_probe_that_is_never_heard_of_again_does_not_block_for_ever() {
        let mut breaker = tripped(3, 0);
        assert_eq!(breaker.admit(1_000, 5_000), Ok(()));
        assert_eq!(breaker.admit(6_000, 5_000), Ok(()));
    }
}
