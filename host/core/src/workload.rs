//! What a platform tells of the object that it scales: which one it is, who else has a hand in its size, and for how
//! many more members there is room.
//!
//! A platform that scales no object tells nothing, and no rule asks. One that does tells all of it or says what it could
//! not read.

use crate::observation::{Reading, Source};
use plimsoll_wire::fact::{Fact, Gap};
use plimsoll_wire::snapshot::Snapshot;
use plimsoll_wire::workload::{
    BUDGETS, Budget, IDENTITY, Identity, REFUSALS, RIVALS, ROOM, Refusal, Rival, Room,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

/// Which object it is, and who owns its size.
#[must_use]
pub fn identity(snapshot: &Snapshot) -> Fact<Identity> {
    read(snapshot, IDENTITY, "{uid, sizeOwners}")
}

/// What else changes its size.
#[must_use]
pub fn rivals(snapshot: &Snapshot) -> Fact<Vec<Rival>> {
    read(snapshot, RIVALS, "a list of {kind, name, remedy}")
}

/// How many members must stay healthy.
#[must_use]
pub fn budgets(snapshot: &Snapshot) -> Fact<Vec<Budget>> {
    read(snapshot, BUDGETS, "a list of {name, desired, healthy, members}")
}

/// What the platform would refuse.
#[must_use]
pub fn refusals(snapshot: &Snapshot) -> Fact<Vec<Refusal>> {
    read(snapshot, REFUSALS, "a list of {verb, why}")
}

/// How many more members can be placed. A platform that does not tell has no limit that it knows of.
#[must_use]
pub fn room(snapshot: &Snapshot) -> Fact<Room> {
    read(snapshot, ROOM, "{members, bound}")
}

/// The room of a platform that lists every place it has: as many as are vacant.
#[must_use]
pub fn room_of_places(source: &Source, vacant: usize) -> (String, Reading<Value>) {
    let members = u32::try_from(vacant).unwrap_or(u32::MAX);
    (ROOM.to_owned(), source.tells(json!({ "members": members, "bound": "the vacant slots" })))
}

/// The platform's id of the object, inside: none where it scales none. None at all where it is not known.
#[must_use]
pub fn uid(snapshot: &Snapshot) -> Option<Option<Arc<str>>> {
    match identity(snapshot) {
        Fact::Known(known) => Some(Some(Arc::from(known.value.uid))),
        Fact::NotApplicable => Some(None),
        Fact::Unknown { .. } => None,
    }
}

/// One of the open list of facts, by its name. `shape` says to people how it has to look.
pub(crate) fn read<T: DeserializeOwned>(snapshot: &Snapshot, name: &str, shape: &str) -> Fact<T> {
    match snapshot.facts.get(name) {
        None | Some(Fact::NotApplicable) => Fact::NotApplicable,
        Some(Fact::Unknown { reason, detail }) => Fact::unknown(reason.clone(), detail.clone()),
        // What was seen long ago may have changed since.
        Some(Fact::Known(known)) if known.age_ms > snapshot.safety.max_age_ms => {
            Fact::unknown(Gap::Stale, format!("{name} was read {} s ago", known.age_ms / 1_000))
        }
        Some(Fact::Known(known)) => match serde_json::from_value(known.value.clone()) {
            Ok(value) => Fact::Known(known.clone().map(|_| value)),
            Err(_) => Fact::unknown(Gap::Unparsable, format!("`facts.{name}` is not {shape}")),
        },
    }
}

/// Who owns the size of the object beside us, each with what makes it leave the size alone (`decisions.md` D25). None where
/// nobody else owns it.
#[must_use]
pub fn owned_elsewhere(snapshot: &Snapshot) -> Option<String> {
    let known = identity(snapshot);
    let owners = &known.value()?.size_owners;
    let told: Vec<String> = owners.iter().map(|owner| format!("{}: {}", owner.name, owner.remedy)).collect();
    (!told.is_empty()).then(|| format!("the size is also owned by {}", told.join("; ")))
}
