//! Remembers when the daemon itself removed members: series that end with them are not counted as missing.

use super::TargetKey;
use plimsoll_wire::journal::Journal;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Longer than anybody remembers how many series there were.
const KEPT_MS: i64 = 24 * 60 * 60 * 1_000;

/// The last time for each target, in milliseconds since 1970. Cloning is cheap, and clones share what is noted.
#[derive(Clone, Debug, Default)]
pub struct TakenAway {
    last_ms: Arc<Mutex<BTreeMap<TargetKey, i64>>>,
}

impl TakenAway {
    /// Notes that a member of a target was taken away at `wall_ms`. What is older than a day is dropped.
    pub fn note(&self, target: &TargetKey, wall_ms: i64) {
        let mut last_ms = self.last_ms.lock().unwrap_or_else(PoisonError::into_inner);
        last_ms.retain(|_, at_ms| wall_ms.saturating_sub(*at_ms) < KEPT_MS);
        let at_ms = last_ms.entry(target.clone()).or_insert(wall_ms);
        *at_ms = wall_ms.max(*at_ms);
    }

    /// Notes what a journal tells of it, so that a restart forgets nothing.
    pub fn note_journal(&self, target: &TargetKey, journal: &Journal) {
        if let Some(wall_ms) = last_of(journal) {
            self.note(target, wall_ms);
        }
    }

    /// When one was taken away for the last time, as far as that is known.
    #[must_use]
    pub fn last_ms(&self, target: &str) -> Option<i64> {
        self.last_ms.lock().unwrap_or_else(PoisonError::into_inner).get(target).copied()
    }
}

/// When a plan took a member away for the last time: one that shrank, or one that did not reach its goal and was
/// taken back.
fn last_of(journal: &Journal) -> Option<i64> {
    let ended = journal.history.iter().filter(|ended| {
        let (from, to) = ended.members_leg();
        ended.ended_at.members.is_none_or(|size| size < from.max(to))
    });
    let running = journal.plan.iter().filter(|plan| plan.to() < plan.from() || plan.undoing);
    ended.map(|ended| ended.at.wall_ms).chain(running.map(|plan| plan.progressed.wall_ms)).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_wire::journal::{Ended, PlanStatus, Stamp};
    use plimsoll_wire::size::{Leg, Sizes};

    #[test]
    fn a_journal_tells_when_a_plan_took_members_away() {
        let ended = |from, to, ended_at, wall_ms| Ended {
            id: "p".into(),
            legs: vec![Leg::members(from, to)],
            ended_at: Sizes::of_members(ended_at),
            status: PlanStatus::Done,
            why: String::new(),
            at: Stamp { wall_ms, ..Stamp::default() },
        };
        let journal = |history| Journal { history, ..Journal::default() };
        assert_eq!(last_of(&journal(vec![])), None);
        assert_eq!(last_of(&journal(vec![ended(3, 5, 5, 7)])), None, "it only grew");
        assert_eq!(last_of(&journal(vec![ended(5, 3, 3, 7), ended(3, 5, 5, 9)])), Some(7));
        assert_eq!(last_of(&journal(vec![ended(3, 5, 3, 8)])), Some(8), "it was taken back");
    }

    #[test]
    fn the_last_time_is_kept_for_a_day_and_shared_by_clones() {
        let (taken, (a, b)) = (TakenAway::default(), ("default/a".into(), "default/b".into()));
        taken.note(&a, 1_000);
        taken.clone().note(&b, 5_000);
        taken.note(&b, 4_000);
        assert_eq!((taken.last_ms(&a), taken.last_ms(&b)), (Some(1_000), Some(5_000)));
        taken.note(&b, KEPT_MS + 1_000);
        assert_eq!((taken.last_ms(&a), taken.last_ms(&b)), (None, Some(KEPT_MS + 1_000)));
    }
}
