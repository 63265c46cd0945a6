//! When each target wants to be woken, the next one first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Who is to be woken when: one moment a target, in milliseconds of the boot clock.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    at: BTreeMap<Arc<str>, u64>,
    due: BTreeSet<(u64, Arc<str>)>,
}

impl Wakes {
    /// Wakes a target then, and no longer when it was to be woken before.
    pub(super) fn set(&mut self, key: &Arc<str>, at_ms: u64) {
        self.drop(key);
        self.at.insert(key.clone(), at_ms);
        self.due.insert((at_ms, key.clone()));
    }

    /// Wakes a target no more.
    pub(super) fn drop(&mut self, key: &Arc<str>) {
        if let Some(at_ms) = self.at.remove(key) {
            self.due.remove(&(at_ms, key.clone()));
        }
    }

    /// When the next one is to be woken.
    pub(super) fn next(&self) -> Option<u64> {
        self.due.first().map(|(at_ms, _)| *at_ms)
    }

    /// Those that are to be woken by now; each once.
    pub(super) fn take(&mut self, now_ms: u64) -> Vec<Arc<str>> {
        let mut taken = Vec::new();
        while let Some((at_ms, key)) = self.due.pop_first() {
            if at_ms > now_ms {
                self.due.insert((at_ms, key));
                break;
            }
            self.at.remove(&key);
            taken.push(key);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_woken_once_at_the_moment_that_was_said_last() {
        let [a, b, c] = ["a", "b", "c"].map(Arc::<str>::from);
        let mut wakes = Wakes::default();
        assert_eq!((wakes.next(), wakes.take(u64::MAX)), (None, Vec::new()));
        wakes.set(&a, 30);
        wakes.set(&b, 20);
        wakes.set(&c, 20);
        wakes.set(&a, 10);
        wakes.drop(&c);
        assert_eq!(wakes.next(), Some(10));
        assert_eq!(wakes.take(9), Vec::<Arc<str>>::new());
        assert_eq!(wakes.take(20), [a.clone(), b]);
        assert_eq!(wakes.take(u64::MAX), Vec::<Arc<str>>::new());
        wakes.set(&a, u64::MAX);
        assert_eq!(wakes.take(u64::MAX - 1), Vec::<Arc<str>>::new());
    }
}
