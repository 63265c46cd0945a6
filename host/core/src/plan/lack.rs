//! What an effect cannot be asked for without.

use crate::profile::PhaseName;
use plimsoll_wire::fact::Fact;
use plimsoll_wire::snapshot::Snapshot;

/// What is lacking for the effect of a phase that is only waited for, as the rest of a sentence.
pub(super) fn of(snapshot: &Snapshot, phase: PhaseName) -> String {
    match (phase, snapshot.facts.get("join")) {
        (PhaseName::Start, Some(Fact::Unknown { reason, detail })) => {
            format!(", and how to join is not known ({}: {detail})", reason.kind())
        }
        (PhaseName::Start, None) => ", and nobody tells how to join".to_owned(),
        (PhaseName::MoveLeaders, _) => ", and nobody who is in sync could lead instead".to_owned(),
        (_, _) => String::new(),
    }
}
