//! The offline "what if": what the judge says of a size in a snapshot, and the plan that would follow.
//!
//! It takes values and returns values. The plan is a foresight: each of its steps is judged again when its turn
//! comes, and a member is chosen anew for every unit.

use crate::change::{Change, Direction, Moment};
use crate::judge::{Judged, judge};
use crate::plan::{self, price, together};
use crate::step::{self, Ahead};
use plimsoll_wire::journal::{Price, Subject};
use plimsoll_wire::record::{Judgement, Verdict, Wisher};
use plimsoll_wire::snapshot::{Mode, Snapshot};
use serde::Serialize;
use std::sync::Arc;

/// What would come of a wish.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// `namespace/name`.
    pub target: Arc<str>,
    /// The kind of data system.
    pub system: String,
    /// Whether the target's decisions are carried out.
    pub mode: Mode,
    /// Members now; absent when not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// Members that there would be by now, had dry run acted; absent outside of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ghost: Option<u32>,
    /// The wish.
    pub wished: u32,
    /// What the judge says of it.
    pub judgement: Judgement,
    /// Whether the judge lets the wish pass, whole or a part of it: one that is limited to the size that there is does not
    /// pass. Whether it is carried out then is for `mode` to say.
    pub admitted: bool,
    /// The plan that would begin; absent where nothing would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Foresight>,
    /// The plan that is under way: until it ends, no other begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Arc<str>>,
}

/// A plan that has not begun.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Foresight {
    /// Members at its start.
    pub from: u32,
    /// Members at its end.
    pub to: u32,
    /// How many come, or give their data away, at the same time.
    #[serde(skip_serializing_if = "is_one")]
    pub together: u32,
    /// What it is expected to move; absent where nothing moves, or nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Whether it would wait for a person.
    pub needs_approval: bool,
    /// One after the other; of very many the first ones.
    pub units: Vec<Unit>,
    /// How many units are not shown.
    #[serde(skip_serializing_if = "is_zero")]
    pub units_left_out: u32,
}

/// More than anybody reads, and more members than any system has that is scaled one by one.
const MOST_UNITS: u32 = 1_000;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(number: &u32) -> bool {
    *number == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// One member that comes or goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unit {
    /// Counted from 1.
    pub unit: u32,
    /// Members afterwards.
    pub size_after: u32,
    /// The place; absent where none can be foreseen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<Arc<str>>,
    /// Who goes, by the system's id; absent for a member that comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<Arc<str>>,
    /// In order.
    pub steps: Vec<Step>,
}

/// One phase of a unit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The profile's word.
    pub phase: &'static str,
    /// What it does, or waits for, in words.
    pub does: String,
    /// The effect's word; absent where the step only waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<&'static str>,
    /// Which check stands before the effect.
    pub check: &'static str,
    /// Whether the system cannot take it back from here on.
    pub point_of_no_return: bool,
}

/// A size that is asked about, as in [`Change::Wish`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How many members.
    pub to: u32,
    /// Who would wish it.
    pub by: Wisher,
    /// The signals that it would rest on.
    pub rests_on: Option<Vec<String>>,
}

/// What would come of a wish in this snapshot.
#[must_use]
pub fn preview(snapshot: &Snapshot, asked: Asked) -> Preview {
    let Asked { to: wished, by, rests_on } = asked;
    let change = Change::Wish { to: wished, by, rests_on };
    let judgement = match judge(&change, snapshot, true) {
        Judged::Verdict(judgement) => judgement,
        // Only asked for before destruction; nothing is admitted on a verdict that was not given.
        Judged::NeedFacts => Judgement { verdict: Verdict::Defer, ..Judgement::default() },
    };
    let size = plan::current_size(snapshot);
    let counted = plan::counted_size(snapshot);
    let ghost = counted.filter(|_| counted != size);
    let is_void = judgement.sizes.members == counted && Some(wished) != counted;
    let admitted = judgement.verdict <= Verdict::Clamp && size.is_some() && !is_void;
    let running = snapshot.plan.as_ref().map(|plan| plan.id.clone());
    let plan = match (size, judgement.sizes.members) {
        // From what is only pretended nobody can say who would go.
        (Some(from), Some(to)) if admitted && from != to && running.is_none() && ghost.is_none() => {
            Some(foresee(snapshot, from, to))
        }
        (Some(_) | None, _) => None,
    };
    Preview {
        target: snapshot.target.key.clone(),
        system: snapshot.target.system.clone(),
        mode: snapshot.target.mode,
        size,
        ghost,
        wished,
        judgement,
        admitted,
        plan,
        running,
    }
}

/// The plan from one size to another, as it can be foreseen.
#[must_use]
pub fn foresee(snapshot: &Snapshot, from: u32, to: u32) -> Foresight {
    let goes = Direction::between(from, to) == Some(Direction::In);
    let count = from.abs_diff(to);
    let together =
        together::most(&snapshot.profile, &snapshot.safety, Direction::between(from, to)).min(count.max(1));
    let shown = count.min(MOST_UNITS);
    let subjects = if goes { plan::victims(snapshot, shown) } else { places(snapshot) };
    let mut subjects = subjects.into_iter();
    let units = (1..=shown).map(|unit| {
        let size_after = if goes { from.saturating_sub(unit) } else { from.saturating_add(unit) };
        let closes = goes || together::closes(unit - 1, count, together);
        foresee_unit(snapshot, unit, size_after, (goes, closes), subjects.next())
    });
    Foresight {
        from,
        to,
        together,
        price: price::of(snapshot, from, to),
        needs_approval: goes && snapshot.safety.approve_scale_in,
        units: units.collect(),
        units_left_out: count - shown,
    }
}

/// The free places, in the order in which they are taken.
fn places(snapshot: &Snapshot) -> Vec<Subject> {
    let vacant = snapshot.vacant.value().map_or(&[][..], Vec::as_slice);
    vacant.iter().map(|vacancy| named(&vacancy.slot, None)).collect()
}

fn named(slot: &Arc<str>, id: Option<Arc<str>>) -> Subject {
    Subject { slot: slot.clone(), endpoints: Default::default(), id, incarnation: String::new() }
}

fn foresee_unit(
    snapshot: &Snapshot,
    unit: u32,
    size_after: u32,
    (goes, closes): (bool, bool),
    subject: Option<Subject>,
) -> Unit {
    let slot = subject.as_ref().map(|subject| subject.slot.clone()).filter(|slot| !slot.is_empty());
    let name = slot.clone().unwrap_or_else(|| "a member that is chosen then".into());
    let leads = subject.as_ref().is_some_and(|subject| leads_now(snapshot, subject));
    // What never joined has no id, and is removed from no membership.
    let joined = !goes || subject.as_ref().is_none_or(|subject| subject.id.is_some());
    let ahead =
        Ahead { snapshot, subject: named(&name, joined.then(|| name.clone())), size_after, leads, goes };
    let phases = if goes { snapshot.profile.shrink() } else { snapshot.profile.grow() };
    let steps = step::of(phases).filter(|(_, step, _)| closes || !step.once).map(|(_, step, phase)| {
        let step::Foretold { effect, does } = (step.tells)(step, &ahead);
        let check = check(step, &ahead).kind();
        Step { phase: step.name, does, effect, check, point_of_no_return: phase.no_return }
    });
    let steps = steps.collect();
    Unit { unit, size_after, slot, member: subject.and_then(|subject| subject.id), steps }
}

/// Which check stands before a step's effect.
fn check(step: &step::Step, ahead: &Ahead) -> Moment {
    let ends = (step.foreseen)(&ahead.subject, ahead.size_after).is_some_and(|verb| verb.ends());
    if ends { Moment::Destroy } else { Moment::Step }
}

fn leads_now(snapshot: &Snapshot, subject: &Subject) -> bool {
    let members = snapshot.members.value().map_or(&[][..], Vec::as_slice);
    members.iter().any(|member| crate::snapshot::is_same(subject, member) && plan::leads(snapshot, member))
}
