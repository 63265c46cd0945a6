//! Shortens a record until it fits into a line. A list that grows with the members keeps its first part and says how
//! much is left out. The journal keeps all of it; nothing is resumed from a record.

use plimsoll_wire::record::{Body, Judgement, Record};
use std::sync::Arc;

/// What the names of one list may have in all: a few hundred usual ones.
const MOST_NAMES: usize = 8 << 10;
/// What one finding may say of what was seen, and what to do about it.
const MOST_TEXT: usize = 1 << 10;

/// The record as it is written down.
pub(super) fn fit(mut record: Record) -> Record {
    match &mut record.body {
        Body::Decision(decision) => shorten(&mut decision.judgement),
        Body::Intent { judgement, .. } => shorten(judgement),
        Body::Plan { plan, judgement, .. } => {
            names(&mut plan.members);
            names(&mut plan.victims);
            text(&mut plan.why);
            if let Some(judgement) = judgement {
                shorten(judgement);
            }
        }
        Body::Outcome { .. } | Body::Command { .. } | Body::Epoch { .. } | Body::Trouble { .. } => {}
    }
    record
}

fn shorten(judgement: &mut Judgement) {
    for one in &mut judgement.violations {
        text(&mut one.detail);
        text(&mut one.hint);
    }
}

fn names(list: &mut Vec<Arc<str>>) {
    let mut room = MOST_NAMES;
    let fits = |name: &&Arc<str>| {
        let left = room.checked_sub(name.len());
        room = left.unwrap_or(0);
        left.is_some()
    };
    let kept = list.iter().take_while(fits).count();
    let more = list.len() - kept;
    if more > 0 {
        list.truncate(kept);
        list.push(format!("and {more} more").into());
    }
}

fn text(text: &mut String) {
    let Some(most) = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= MOST_TEXT).last() else {
        return;
    };
    if most < text.len() && text.len() > MOST_TEXT {
        let left = text.len() - most;
        text.truncate(most);
        text.push_str(&format!("… ({left} bytes left out)"));
    }
}
