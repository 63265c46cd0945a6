//! Alarms of the system that stand, as its driver tells them.

use crate::workload;
use plimsoll_wire::alarm::{ALARMS, Alarm};
use plimsoll_wire::fact::{Fact, Gap};
use plimsoll_wire::snapshot::Snapshot;

/// All alarms that stand. A driver that tells nothing of its system's health tells nothing good of it either.
#[must_use]
pub fn standing(snapshot: &Snapshot) -> Fact<Vec<Alarm>> {
    match workload::read(snapshot, ALARMS, "a list of {kind, member, remedy}") {
        Fact::NotApplicable => Fact::unknown(Gap::NotScraped, "the snapshot has no fact of that name"),
        told @ (Fact::Known(_) | Fact::Unknown { .. }) => told,
    }
}
