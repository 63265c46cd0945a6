//! What an effect cannot be asked for without.

use crate::profile::PhaseName;
use crate::workload;
use plimsoll_wire::fact::Fact;
use plimsoll_wire::journal::{JOIN, Join};
use plimsoll_wire::snapshot::Snapshot;

/// What is lacking for the effect of a phase that is only waited for, as the rest of a sentence.
pub(super) fn of(snapshot: &Snapshot, phase: PhaseName) -> String {
    if phase == PhaseName::Start {
        return join(snapshot).err().unwrap_or_default();
    }
    let leads = phase == PhaseName::MoveLeaders;
    if leads { ", and nobody who is in sync could lead instead".to_owned() } else { String::new() }
}

/// What the new member needs to join; none where it needs nothing.
///
/// # Errors
///
/// Why nobody knows, as the rest of a sentence.
pub(super) fn join(snapshot: &Snapshot) -> Result<Option<Join>, String> {
    if !snapshot.facts.contains_key(JOIN) {
        return Err(", and nobody tells how to join".to_owned());
    }
    match workload::read(snapshot, JOIN, "{existing, contacts, payload}") {
        Fact::Known(known) => Ok(Some(known.value)),
        Fact::NotApplicable => Ok(None),
        Fact::Unknown { reason, detail } => {
            Err(format!(", and how to join is not known ({}: {detail})", reason.kind()))
        }
    }
}
