//! Words that say why, and are no hazard of a rule: each with what it means and what to do about it. The reference is
//! printed from these tables.

/// A word that says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The stable word for records, status, events and metrics.
    pub word: &'static str,
    /// What it means.
    pub means: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

const fn word(word: &'static str, means: &'static str, advice: &'static str) -> Word {
    Word { word, means, advice }
}

/// Nobody wishes for a size.
pub const HOLD: Word = word(
    "Hold",
    "There is no wish to carry out: a policy holds, failed or was not asked, or a pause bars the direction.",
    "Read which policy held and why (`kubectl plimsoll explain`); correct the policy or its signals, or end the pause.",
);
/// A plan is under way. The rule of the same word says it of what somebody else runs.
pub const UNDER_WAY: Word = word(
    "OperationInProgress",
    "A plan is under way, or an operation that a plan would collide with: nothing else begins.",
    "Wait, or look at what the plan waits for (`kubectl plimsoll plan`).",
);
/// The size is as wished.
pub const AT_SIZE: Word = word("AtSize", "The target has the wished size.", "Nothing.");
/// A plan begins.
pub const ADMITTED: Word = word("Admitted", "Every rule let the wish pass, and a plan begins.", "Nothing.");
/// It would be done.
pub const DRY_RUN: Word = word(
    "DryRun",
    "The change would be made, and is only remembered: the target is in dry run.",
    "When its decisions convince you, set `mode: enforce`.",
);
/// The target only observes.
pub const OFF: Word =
    word("Off", "Nothing is decided: `mode: off`.", "Set `mode: dryrun` to see the decisions.");
/// The same plan was given up a while ago.
pub const GIVEN_UP: Word = word(
    "GivenUpBefore",
    "The same plan was given up a while ago, and waits before it begins again: 30 s, then twice as long each time, up to an \
     hour.",
    "Read why it was given up (`plimsoll status`, history) and remove the cause; ordering the size again begins it at once.",
);
/// Refused by no rule that could be named.
pub const REFUSED: Word = word(
    "Refused",
    "The check refused the wish without a finding.",
    "This is a defect of Plimsoll: please report it with the record (`plimsoll explain`).",
);

/// The words of decisions.
pub const DECISIONS: &[Word] = &[HOLD, UNDER_WAY, AT_SIZE, ADMITTED, DRY_RUN, OFF, GIVEN_UP, REFUSED];

/// The target was read, and its size is known.
pub const OBSERVED: Word = word("Observed", "Plimsoll has read the target and knows its size.", "Nothing.");
/// It was not read.
pub const NOT_OBSERVED: Word = word(
    "NotObserved",
    "Plimsoll has not read the target yet.",
    "Wait a few seconds; then look at the daemon's log, at the workload, and at the daemon's rights.",
);
/// It was read, and its size is not known.
pub const SIZE_UNKNOWN: Word = word(
    "SizeUnknown",
    "The number of members is not known; the message says why.",
    "Look at the workload that the document names, and at the daemon's rights.",
);
/// Something is wrong with our own tools.
pub const TROUBLE: Word = word(
    "Trouble",
    "The daemon has a problem, not the target; the first word of the message names it.",
    "Find the first word of the message in the table of troubles, and read the daemon's log.",
);
/// Another daemon leads.
pub const FOLLOWS: Word =
    word("Follows", "Another daemon leads; this one watches.", "Nothing; ask the one that leads.");
/// A plan is held.
pub const HELD: Word = word(
    "Held",
    "A plan keeps its place, because going on could lose data.",
    "Change what the message names; `kubectl plimsoll cancel` takes the plan back where the system still can.",
);
/// Somebody else owns the size.
pub const FIELD_MANAGER: Word = word(
    "FieldManager",
    "Somebody else owns the workload's `spec.replicas` besides Plimsoll, and may set it back.",
    "Make the manager that the message names leave the field alone; docs/kubernetes/gitops.md shows how.",
);
/// Scale-in is paused.
pub const SCALE_IN: Word = word(
    "ScaleIn",
    "Its document pauses scale-in (`plimsoll.dev/paused-scale-in`).",
    "Remove the annotation, if its author agrees.",
);
/// Scale-out is paused.
pub const SCALE_OUT: Word = word(
    "ScaleOut",
    "Its document pauses scale-out (`plimsoll.dev/paused-scale-out`).",
    "Remove the annotation, if its author agrees.",
);
/// The size is kept.
pub const REPLICAS: Word = word(
    "Replicas",
    "Its document fixes the size (`plimsoll.dev/paused-replicas`).",
    "Remove the annotation, if its author agrees.",
);

/// The words of conditions, beside those of decisions, phases and rules.
pub const CONDITIONS: &[Word] = &[
    OBSERVED,
    NOT_OBSERVED,
    SIZE_UNKNOWN,
    TROUBLE,
    FOLLOWS,
    HELD,
    FIELD_MANAGER,
    SCALE_IN,
    SCALE_OUT,
    REPLICAS,
];

/// The audit log.
pub const AUDIT_NOT_WRITTEN: Word = word(
    "AuditNotWritten",
    "A record could not be written to the audit log: Plimsoll does nothing that it cannot record.",
    "Free space on the disk of `audit.dir`, or repair it; the target then goes on by itself.",
);
/// The stamp on the workload.
pub const NOT_STAMPED: Word = word(
    "NotStamped",
    "The epoch could not be stamped on the workload of an unfinished plan, so that late writes of an earlier leader would not be rejected.",
    "Look at the daemon's right to patch the workload, and at the API server.",
);
/// Somebody else wrote the journal.
pub const JOURNAL_CONFLICT: Word = word(
    "JournalConflict",
    "The journal was changed since it was read.",
    "Nothing, if it happens once: Plimsoll reads it again. If it repeats, two daemons run without a common lease.",
);
/// The journal was not written.
pub const JOURNAL_NOT_WRITTEN: Word = word(
    "JournalNotWritten",
    "The journal could not be written: Plimsoll does nothing that is not in the journal first.",
    "Look at the API server and the daemon's rights on ScalingPlans, or at the disk of the state.",
);
/// The journal was not read.
pub const JOURNAL_NOT_READ: Word = word(
    "JournalNotRead",
    "The journal could not be read, or was edited by hand: the target holds.",
    "Do what the message says. Restore an edited journal from a backup, or set it aside if no plan was under way.",
);
/// The journal is of another version.
pub const JOURNAL_FORMAT_UNKNOWN: Word = word(
    "JournalFormatUnknown",
    "Another version of Plimsoll wrote the journal.",
    "Run the daemon that wrote it, or a newer one.",
);

/// What is wrong with our own tools.
pub const TROUBLES: &[Word] = &[
    AUDIT_NOT_WRITTEN,
    NOT_STAMPED,
    JOURNAL_CONFLICT,
    JOURNAL_NOT_WRITTEN,
    JOURNAL_NOT_READ,
    JOURNAL_FORMAT_UNKNOWN,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_word_is_in_one_table_and_says_what_to_do() {
        let (code, _) = include_str!("reason.rs").split_once("#[cfg(test)]").unwrap();
        let all: Vec<&Word> = [DECISIONS, CONDITIONS, TROUBLES].into_iter().flatten().collect();
        assert_eq!(code.matches(": Word =").count(), all.len(), "a word is in no table");
        let names: BTreeSet<&str> = all.iter().map(|word| word.word).collect();
        assert_eq!(names.len(), all.len(), "a word is there twice");
        let is_told = |word: &&Word| !word.means.is_empty() && !word.advice.is_empty();
        assert!(all.iter().all(is_told));
    }
}
