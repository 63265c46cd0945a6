//! Which records of which audit logs a journal knows.

use plimsoll_wire::journal::Journal;

/// How many other daemons' logs are remembered.
const OTHERS: usize = 8;

/// Notes the newest record of our own log. What the journal knew of another daemon's log is kept beside it: only that
/// log can be checked against it, and only so a tail that was cut off it shows after we took over.
pub(super) fn note(journal: &mut Journal, head: &str) {
    let of_ours = |other: &String| log_of(other) == log_of(head);
    let before = std::mem::replace(&mut journal.audit_head, head.to_owned());
    if !before.is_empty() && !of_ours(&before) {
        journal.other_audit_heads.retain(|other| log_of(other) != log_of(&before));
        journal.other_audit_heads.insert(0, before);
    }
    journal.other_audit_heads.retain(|other| !of_ours(other));
    journal.other_audit_heads.truncate(OTHERS);
}

/// The log that a head is of; one that was begun before logs had a name has none.
fn log_of(head: &str) -> &str {
    head.split_once('/').map_or("", |(log, _)| log)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn others(journal: &Journal) -> Vec<&str> {
        journal.other_audit_heads.iter().map(String::as_str).collect()
    }

    #[test]
    fn each_log_is_known_by_its_newest_record() {
        let mut journal = Journal::default();
        for head in ["", "a/1:x", "a/2:y"] {
            note(&mut journal, head);
            assert_eq!((&*journal.audit_head, others(&journal)), (head, vec![]));
        }
        note(&mut journal, "b/1:z");
        assert_eq!((&*journal.audit_head, others(&journal)), ("b/1:z", vec!["a/2:y"]));
        note(&mut journal, "c/1:z");
        assert_eq!(others(&journal), ["b/1:z", "a/2:y"]);
        // One that comes back is no other any more.
        note(&mut journal, "a/9:q");
        assert_eq!((&*journal.audit_head, others(&journal)), ("a/9:q", vec!["c/1:z", "b/1:z"]));
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let mut journal = Journal::default();
        for log in 0..100 {
            note(&mut journal, &format!("{log}/1:x"));
        }
        assert_eq!(others(&journal).len(), OTHERS);
        assert_eq!(others(&journal).first(), Some(&"98/1:x"));
    }
}
