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
    "Read who held and why (`kubectl plimsoll explain`); mend the policy or its signals, or end the pause.",
);
/// A plan is under way. The rule of the same word says it of what somebody else runs.
pub const UNDER_WAY: Word = word(
    "OperationInProgress",
    "A plan is under way, or something that it would collide with: nothing else begins.",
    "Wait, or look at what the plan waits for (`kubectl plimsoll plan`).",
);
/// The size is as wished.
pub const AT_SIZE: Word = word("AtSize", "There are as many members as are wished.", "Nothing.");
/// A plan begins.
pub const ADMITTED: Word = word("Admitted", "Every rule let the wish pass, and a plan begins.", "Nothing.");
/// It would be done.
pub const DRY_RUN: Word = word(
    "DryRun",
    "It would be done, and is only remembered: the target is in dry run.",
    "When its decisions convince you, `mode: enforce`.",
);
/// The target only observes.
pub const OFF: Word =
    word("Off", "Nothing is decided: `mode: off`.", "`mode: dryrun` to see what would be decided.");
/// The same plan was given up a while ago.
pub const GIVEN_UP: Word = word(
    "GivenUpBefore",
    "The same plan was given up a while ago, and waits before it begins again: 30 s, then twice as long each time, up to an \
     hour.",
    "Read why it was given up (`plimsoll status`, history) and change that; to order the size again begins it at once.",
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
pub const OBSERVED: Word =
    word("Observed", "The target was read, and how many members there are is known.", "Nothing.");
/// It was not read.
pub const NOT_OBSERVED: Word = word(
    "NotObserved",
    "The target has not been read yet.",
    "Wait a few seconds; then look at the daemon's log, at the workload, and at the daemon's rights.",
);
/// It was read, and its size is not known.
pub const SIZE_UNKNOWN: Word = word(
    "SizeUnknown",
    "How many members there are is not known; the message says why.",
    "Look at the workload that the document names, and at the daemon's rights.",
);
/// Something is wrong with our own tools.
pub const TROUBLE: Word = word(
    "Trouble",
    "Something is wrong with the daemon and not with the target; the message begins with which.",
    "Look the first word of the message up below, and read the daemon's log.",
);
/// Another daemon leads.
pub const FOLLOWS: Word =
    word("Follows", "Another daemon leads; this one watches.", "Nothing; ask the one that leads.");
/// A plan is held.
pub const HELD: Word = word(
    "Held",
    "A plan keeps its place because going on might lose data.",
    "Change what the message names; `kubectl plimsoll cancel` takes the plan back where the system still can.",
);
/// Somebody else owns the size.
pub const FIELD_MANAGER: Word = word(
    "FieldManager",
    "Somebody else owns the workload's `spec.replicas` besides Plimsoll, and may set it back.",
    "Take the field out of what the manager that the message names applies; docs/kubernetes/gitops.md shows how for each.",
);
/// Scale-in is paused.
pub const SCALE_IN: Word = word(
    "ScaleIn",
    "Its document pauses scale-in (`plimsoll.dev/paused-scale-in`).",
    "Take the annotation away, when whoever wrote it agrees.",
);
/// Scale-out is paused.
pub const SCALE_OUT: Word = word(
    "ScaleOut",
    "Its document pauses scale-out (`plimsoll.dev/paused-scale-out`).",
    "Take the annotation away, when whoever wrote it agrees.",
);
/// The size is kept.
pub const REPLICAS: Word = word(
    "Replicas",
    "Its document keeps it at one size (`plimsoll.dev/paused-replicas`).",
    "Take the annotation away, when whoever wrote it agrees.",
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
    "A record of the audit log could not be made to last: nothing is done without one.",
    "Free space on the disk of `audit.dir`, or mend it; the target goes on by itself.",
);
/// The stamp on the workload.
pub const NOT_STAMPED: Word = word(
    "NotStamped",
    "The epoch could not be put on the workload of an unfinished plan, so that nobody can tell its actors apart.",
    "Look at the daemon's right to patch the workload, and at the API server.",
);
/// Somebody else wrote the journal.
pub const JOURNAL_CONFLICT: Word = word(
    "JournalConflict",
    "The journal was changed since it was read.",
    "Nothing, once: it is read anew. Again and again it means two daemons without a lease.",
);
/// The journal was not written.
pub const JOURNAL_NOT_WRITTEN: Word = word(
    "JournalNotWritten",
    "The journal could not be written: nothing is done that is not journalled first.",
    "Look at the API server and the daemon's rights on ScalingPlans, or at the disk of the state.",
);
/// The journal was not read.
pub const JOURNAL_NOT_READ: Word = word(
    "JournalNotRead",
    "The journal could not be read, or was edited by hand: the target holds.",
    "Do what the message says. A journal that was edited is restored from a backup, or set aside when no plan was under way.",
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
