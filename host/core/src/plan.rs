//! From an admitted size to ordered steps: who comes, who goes, and which sizes a system may rest at.

pub mod preview;
pub mod progress;

use crate::judge::Direction;
use crate::profile::{Profile, Victim};
use crate::snapshot::order;
use plimsoll_wire::Safety;
use plimsoll_wire::journal::Subject;
use plimsoll_wire::snapshot::{GroupKind, Member, Snapshot};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many members there are; none where that is not known.
#[must_use]
pub fn current_size(snapshot: &Snapshot) -> Option<u32> {
    snapshot.size.value().copied()
}

/// Whether a plan may end at this size (`decisions.md` D6).
#[must_use]
pub fn is_legal(size: u32, profile: &Profile, safety: &Safety) -> bool {
    let odd = !profile.members_vote || safety.allow_even || size % 2 == 1;
    size >= profile.min_size && size.is_multiple_of(profile.unit.max(1)) && odd
}

/// The next legal resting size below a size.
#[must_use]
pub fn legal_below(size: u32, profile: &Profile, safety: &Safety) -> Option<u32> {
    (profile.min_size..size).rev().find(|candidate| is_legal(*candidate, profile, safety))
}

/// The legal resting size to go to from `size` when a plan from `from` to `to` is given up: back where that is
/// legal, else onward.
#[must_use]
pub fn rest_near(size: u32, from: u32, to: u32, profile: &Profile, safety: &Safety) -> u32 {
    if is_legal(size, profile, safety) {
        return size;
    }
    let (low, high) = (from.min(to), from.max(to));
    let back: Vec<u32> = if from < to { (low..size).rev().collect() } else { (size + 1..=high).collect() };
    back.into_iter().find(|candidate| is_legal(*candidate, profile, safety)).unwrap_or(to)
}

/// The member as the subject of a unit.
#[must_use]
pub fn subject_of(member: &Member) -> Subject {
    Subject {
        slot: member.slot.clone().unwrap_or_else(|| Arc::from("")),
        endpoints: member.endpoints.clone(),
        id: member.id.value().cloned(),
        incarnation: member.incarnation.value().cloned().unwrap_or_default(),
    }
}

/// Who would go, first to go first: the dead, then followers before leaders, then from the fullest domain, then
/// the highest ordinal. Where the platform chooses, its choice.
#[must_use]
pub fn victims(snapshot: &Snapshot, profile: &Profile, count: u32) -> Vec<Subject> {
    let mut left: Vec<&Member> = snapshot.members.value().map_or_else(Vec::new, |all| all.iter().collect());
    let mut crowding = crowding(&left);
    let mut chosen = Vec::new();
    for _ in 0..count {
        let next = left
            .iter()
            .enumerate()
            .max_by_key(|(_, member)| rank(snapshot, profile, member, &crowding))
            .map(|(index, _)| index);
        let Some(index) = next else { break };
        let member = left.remove(index);
        if let Some(others) = domain(member).and_then(|domain| crowding.get_mut(domain)) {
            *others -= 1;
        }
        chosen.push(subject_of(member));
    }
    chosen
}

/// How many of those who are left share each domain.
fn crowding<'a>(members: &[&'a Member]) -> BTreeMap<&'a str, usize> {
    let mut count = BTreeMap::new();
    for domain in members.iter().filter_map(|member| domain(member)) {
        *count.entry(domain).or_default() += 1;
    }
    count
}

/// The widest part: what fails as one.
fn domain(member: &Member) -> Option<&str> {
    member.domain.value().map(|path| path.split('/').next().unwrap_or_default())
}

type Rank<'a> = (bool, bool, usize, (bool, &'a str, u64, &'a str), Option<&'a Arc<str>>);

fn rank<'a>(
    snapshot: &Snapshot,
    profile: &Profile,
    member: &'a Member,
    crowding: &BTreeMap<&str, usize>,
) -> Rank<'a> {
    let mut place = order(member.slot.as_deref());
    // A member without a slot sorts last, but cannot be stopped by the platform.
    place.0 = !place.0;
    let id = member.id.value();
    match profile.victim {
        Victim::HighestOrdinal => (false, false, 0, place, id),
        Victim::Named => {
            let dead = member.alive.value() == Some(&false);
            let crowd = domain(member).and_then(|domain| crowding.get(domain).copied()).unwrap_or(0);
            (dead, !leads(snapshot, member), crowd, place, id)
        }
    }
}

/// Whether a member leads a control group.
#[must_use]
pub fn leads(snapshot: &Snapshot, member: &Member) -> bool {
    let groups = snapshot.groups.value().map_or(&[][..], Vec::as_slice);
    let id = member.id.value();
    groups
        .iter()
        .filter(|group| group.kind == GroupKind::Control)
        .any(|group| id.is_some() && group.leader.value() == id)
}

/// The ids of all members, in order.
#[must_use]
pub fn member_ids(snapshot: &Snapshot) -> Vec<Arc<str>> {
    let mut ids: Vec<Arc<str>> = snapshot
        .members
        .value()
        .map_or_else(Vec::new, |all| all.iter().filter_map(|member| member.id.value().cloned()).collect());
    ids.sort();
    ids
}

/// What an approval names (`decisions.md` D10): it dies when any of it changes.
#[must_use]
pub fn approval_content(plan: &plimsoll_wire::journal::PlanState) -> String {
    format!(
        "cluster {} from {} to {} removing [{}] by module {} at {}",
        plan.fingerprint,
        plan.from,
        plan.to,
        plan.victims.join(", "),
        if plan.module.is_empty() { "none" } else { &plan.module },
        plan.base_epoch
    )
}

/// Whether members come or go in a plan.
#[must_use]
pub fn direction(plan: &plimsoll_wire::journal::PlanState) -> Option<Direction> {
    Direction::between(plan.from, plan.to)
}

/// How many units a plan has.
#[must_use]
pub fn units(plan: &plimsoll_wire::journal::PlanState, profile: &Profile) -> u32 {
    plan.from.abs_diff(plan.to) / profile.unit.max(1)
}
