//! The step by which leadership leaves a member.

use super::{Foretold, Look, MOVE_LEADERS, Met, Step, WAITS, waiting};
use crate::groups::{self, called};
use crate::quorum::member;
use crate::snapshot::is_same;
use crate::snapshot::is_serving;
use plimsoll_wire::journal::{SystemVerb, Verb};
use plimsoll_wire::snapshot::{Group, Member};
use std::cmp::Reverse;
use std::sync::Arc;

pub(super) const FAMILY: &[Step] = &[Step {
    name: MOVE_LEADERS,
    verb: Some("move-leader"),
    done: leads_nothing,
    effect: move_leader,
    tells: |step, ahead| {
        let slot = &ahead.subject.slot;
        if ahead.leads {
            let does = format!("move leadership from {slot} to a member that is in sync");
            return Foretold { effect: step.verb, does };
        }
        waiting(format!("make sure that {slot} leads nothing"))
    },
    lacks: |_| ", and nobody who is in sync could lead instead".to_owned(),
    ..WAITS
}];

fn leads_nothing(look: &Look) -> Met {
    let Some(row) = look.row() else { return Met::Yes };
    if row.id.value().is_none() {
        return Met::Yes;
    }
    for group in groups::all(look.snapshot) {
        match group.leader.value() {
            Some(leader) if row.id.value() == Some(leader) => {
                return Met::No(format!("{} leads {}", look.subject.slot, called(group)));
            }
            Some(_) => {}
            None => return Met::No(format!("the leader of {} is not known", called(group))),
        }
    }
    // Of groups that are in no row only the member's own count tells.
    let none = groups::left_out(look.snapshot) == Some(0)
        || row.hosted.value().is_some_and(|hosted| hosted.leaders == 0);
    Met::when(none, || format!("which groups {} leads is not known of all", look.subject.slot))
}

/// The first group that a member leads, and who leads it next. Where the system chooses among those who could, it is only
/// seen to that there is one.
fn move_leader(look: &Look) -> Option<Verb> {
    let from = look.id()?;
    let group = groups::all(look.snapshot).iter().find(|group| group.leader.value() == Some(&from))?;
    let (_, to) = successor(look, group, &from)?;
    let to = (!look.snapshot.profile.picks_leader).then_some(to);
    Some(SystemVerb::MoveLeader { group: group.id.clone(), from, to }.into())
}

/// Whether leadership that an effect moves can go to a member that gives nothing away itself.
pub(crate) fn goes_to_one_that_stays(look: &Look, verb: &Verb) -> bool {
    let Verb::System(SystemVerb::MoveLeader { group, from, .. }) = verb else { return true };
    let group = groups::find(look.snapshot, group);
    group.and_then(|group| successor(look, group, from)).is_some_and(|(leaves, _)| !leaves)
}

/// Who leads a group next, of those who serve and hold that very group in sync, and whether that one goes beside: only where
/// nobody else could, or the copies that go would wait for each other. First who stays when the plan has ended, or leadership
/// would have to move again; then who leads least, then who has been up longest; ties go to the first id, so that the choice
/// is one.
fn successor(look: &Look, group: &Group, from: &str) -> Option<(bool, Arc<str>)> {
    let all = look.rows()?;
    let leaves = |row: &Member| look.plan.leaving.iter().any(|one| is_same(one, row));
    let able = groups::heirs(group, from).filter_map(|id| {
        let row = member(all, id).filter(|row| is_serving(row))?;
        let goes = look.plan.victims.contains(id);
        let led = row.hosted.value().map_or(0, |hosted| hosted.leaders);
        Some((leaves(row), goes, led, Reverse(row.alive.known()?.stable_ms), id))
    });
    able.min().map(|(leaves, .., id)| (leaves, id.clone()))
}
