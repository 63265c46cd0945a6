//! What is durable of a target: its journal, and what the stores said when it was last read and written.

use super::{heads, journal_digest};
use plimsoll_wire::journal::{Changed, Journal, Memory, PlanState};

/// How many changes are remembered.
const CHANGES: usize = 32;

/// The journal, once it was read, and where it stands beside what is stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) journal: Option<Journal>,
    /// The journal as it was before our own tools failed: to be shown, and nothing else.
    pub(super) stale: Option<Journal>,
    /// The revision that it had when it was read or written last.
    pub(super) revision: Option<u64>,
    /// What a successor would go by, of the journal as it was last given to be written.
    pub(super) saved: u64,
    /// The newest record of our audit log.
    pub(super) audit_head: String,
}

impl Ledger {
    /// The plan that is under way.
    pub(super) fn plan(&self) -> Option<&PlanState> {
        self.journal.as_ref()?.plan.as_ref()
    }

    /// The same, to be changed.
    pub(super) fn plan_mut(&mut self) -> Option<&mut PlanState> {
        self.journal.as_mut()?.plan.as_mut()
    }

    /// What is remembered from cycle to cycle.
    pub(super) fn memory(&self) -> Option<&Memory> {
        self.journal.as_ref().map(|journal| &journal.memory)
    }

    /// The epoch in which we write; none before the journal was read.
    pub(super) fn epoch(&self) -> u64 {
        self.journal.as_ref().map_or(0, |journal| journal.epoch)
    }

    /// What people are shown: the journal, or what it was before our own tools failed.
    pub(super) fn shown(&self) -> Option<&Journal> {
        self.journal.as_ref().or(self.stale.as_ref())
    }

    /// A new number for an id, with the epoch that it is of.
    pub(super) fn number(&mut self) -> (u64, u64) {
        let Some(journal) = &mut self.journal else { return (0, 0) };
        journal.sequence += 1;
        (journal.epoch, journal.sequence)
    }

    /// The journal as it is to be written now, with the newest record that it knows of.
    pub(super) fn for_store(&mut self) -> Journal {
        let mut journal = self.journal.clone().unwrap_or_default();
        heads::note(&mut journal, &self.audit_head);
        self.saved = journal_digest(&journal);
        journal
    }

    /// Whether what is written says all that a successor would go by.
    pub(super) fn is_saved(&self) -> bool {
        self.journal.as_ref().map(journal_digest) == Some(self.saved)
    }

    /// What is held in memory may be more than what is durable, and counts no more before that was read again.
    pub(super) fn set_aside(&mut self) {
        self.stale = self.journal.take().or(self.stale.take());
    }

    /// The stores work again: what was set aside is shown no more.
    pub(super) fn forget_stale(&mut self) {
        self.stale = None;
    }
}

/// Remembers a change, the oldest goes.
pub(super) fn remember(changes: &mut Vec<Changed>, change: Changed) {
    changes.push(change);
    let surplus = changes.len().saturating_sub(CHANGES);
    changes.drain(..surplus);
}
