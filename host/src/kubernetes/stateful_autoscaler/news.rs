//! Decides whether a new status is worth a write. The status of a target at rest is not.

use super::status::{LastDecision, Moment, Status};

/// How often a text is brought up to date in which nothing but a number has changed: "for 94 s" is no news, and a
/// write a second for it would wear the API server out.
const REFRESH_MS: i64 = 10 * 60 * 1_000;
/// The same while a plan runs, where such a number is progress.
const REFRESH_MOVING_MS: i64 = 15 * 1_000;

/// Puts back what was written before where it says the same, numbers within texts aside.
pub(super) fn keep_old_news(fresh: &mut Status, before: &Status, wall_ms: i64) {
    let last = (fresh.last_decision.as_mut(), before.last_decision.as_ref());
    if let (Some(fresh), Some(before)) = last {
        let as_before = LastDecision { id: before.id.clone(), time: before.time.clone(), ..fresh.clone() };
        if as_before == *before {
            *fresh = as_before;
        }
    }
    let every = if fresh.plan.is_some() { REFRESH_MOVING_MS } else { REFRESH_MS };
    let written = before.updated.wall_ms();
    // A clock that went back makes no text young for ever.
    let is_due = written.is_none_or(|written| !(0..every).contains(&(wall_ms - written)));
    let is_same = Status { updated: before.updated.clone(), ..fresh.clone() } == *before;
    if is_same || !is_due && without_numbers(fresh) == without_numbers(before) {
        fresh.clone_from(before);
    }
}

/// A status with every run of digits in its texts as one `#`, and without the decision's id and time. Numbers that are
/// fields of their own stay: they are news.
fn without_numbers(status: &Status) -> Status {
    let mut status = Status { updated: Moment::default(), ..status.clone() };
    let mut texts = vec![&mut status.message];
    texts.extend(status.trouble.as_mut());
    texts.extend(status.conditions.iter_mut().map(|condition| &mut condition.message));
    if let Some(plan) = &mut status.plan {
        plan.progressed = Moment::default();
        texts.push(&mut plan.waiting_for);
    }
    if let Some(last) = &mut status.last_decision {
        last.time = Moment::default();
        last.id.clear();
        texts.extend(last.wishes.iter_mut().map(|wish| &mut wish.message));
        let constraints = last.constraints_applied.iter_mut();
        texts.extend(constraints.flat_map(|one| [&mut one.message, &mut one.hint]));
    }
    for text in texts {
        *text = masked(text);
    }
    status
}

fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for character in text.chars() {
        if !character.is_ascii_digit() {
            masked.push(character);
        } else if !masked.ends_with('#') {
            masked.push('#');
        }
    }
    masked
}
