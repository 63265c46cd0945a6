//! Dry run: what there would be by now is remembered, so that waits and budgets go on as if it were so (D9).

use super::ledger::remember;
use super::{Action, State, stamp};
use crate::plan;
use plimsoll_wire::journal::Changed;
use plimsoll_wire::size::{Leg, Sizes};
use plimsoll_wire::snapshot::{Mode, Now, Snapshot};

/// The step would have been done: the same is remembered as at the end of a plan.
pub(super) fn pretend(state: &mut State, now: &Now, size: Option<u32>, from: Option<u32>, to: Option<u32>) {
    let (Some(from), Some(to), Some(journal)) = (from, to, &mut state.durable.journal) else { return };
    let memory = &mut journal.memory;
    (memory.ghost, memory.ghost_of) = (Sizes::of_members(to), size.into());
    memory.wish = None;
    memory.asked.take_if(|asked| asked.sizes.members == Some(to));
    remember(&mut memory.changes, Changed { leg: Leg::members(from, to), began: stamp(now), at: stamp(now) });
    state.queue.push([Action::Store]);
}

/// What would be says nothing outside of dry run, nor once somebody else has changed the size that it stood on.
pub(super) fn forget(state: &mut State, snapshot: &mut Snapshot) {
    let Some(journal) = &mut state.durable.journal else { return };
    let memory = &mut journal.memory;
    let moved = match (memory.ghost_of.members, plan::current_size(snapshot)) {
        (Some(then), Some(now)) => then != now,
        (Some(_) | None, _) => false,
    };
    if moved || state.spec.mode != Mode::Dryrun {
        (memory.ghost, memory.ghost_of) = (Sizes::default(), Sizes::default());
        snapshot.history.ghost = Sizes::default();
    }
}
