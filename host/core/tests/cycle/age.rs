//! How old a reading is that a source had said before it was asked for (EVID-1).

use crate::desk::Desk;
use plimsoll_core::observation::{Observation, Reading};

/// The platform repeats what it said some seconds ago; the system is asked anew.
fn repeated(seen: &mut Observation) {
    if let Reading::Value { source, .. } = &mut seen.platform.slots {
        source.age_ms = 7_000;
    }
}

#[test]
fn a_list_is_as_old_as_the_older_of_those_who_told_it() {
    let mut desk = Desk::quorum(3);
    desk.lens = Some(Box::new(repeated));
    desk.until("the first decision", |desk| !desk.decisions().is_empty());
    let snapshot = desk.state.snapshot().unwrap().clone();
    let age = |fact: &str| {
        let snapshot = serde_json::to_value(&*snapshot).unwrap();
        snapshot
            .pointer(fact)
            .and_then(serde_json::Value::as_u64)
            .unwrap_or_else(|| panic!("{fact}: {snapshot:#}"))
    };
    let fresh = age("/fingerprint/ageMs");
    assert_eq!(age("/members/ageMs"), fresh + 7_000);
    assert_eq!(age("/sizes/members/ageMs"), fresh + 7_000);
    assert_eq!(age("/members/value/0/running/ageMs"), fresh + 7_000);
    assert_eq!(age("/members/value/0/alive/ageMs"), fresh, "of the system");
}
