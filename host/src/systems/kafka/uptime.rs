//! For how long each broker has been seen to answer. Kafka tells nobody how long it has been up, so a broker counts as new
//! until this daemon has watched it for long enough; what restarts makes that wait longer, never shorter.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// As many places are remembered; those beyond count as new.
const MOST_PLACES: usize = 4096;

/// Since when the process in each place has been seen to answer, every time.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<BTreeMap<String, (String, Instant)>>);

impl Seen {
    /// Takes down that a place answers, or does not, and tells for how long it has.
    pub(super) fn since(&self, place: &str, incarnation: &str, answers: bool) -> Duration {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !answers {
            seen.remove(place);
            return Duration::ZERO;
        }
        match seen.get(place) {
            Some((known, since)) if known == incarnation => since.elapsed(),
            Some(_) | None => {
                if seen.len() < MOST_PLACES || seen.contains_key(place) {
                    seen.insert(place.to_owned(), (incarnation.to_owned(), Instant::now()));
                }
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_was_away_or_replaced_is_new_again() {
        let seen = Seen::default();
        assert_eq!(seen.since("b1", "one", true), Duration::ZERO);
        std::thread::sleep(Duration::from_millis(2));
        let up = seen.since("b1", "one", true);
        assert!(up > Duration::ZERO);
        assert_eq!(seen.since("b1", "two", true), Duration::ZERO, "another process");
        assert_eq!(seen.since("b1", "two", false), Duration::ZERO);
        assert_eq!(seen.since("b1", "two", true), Duration::ZERO, "it was away");
    }
}
