//! What cannot all be true at once (EVID-11). Each entry of the table says what contradicts what; of what is not known, other
//! rules speak.

use super::label;
use crate::case::Case;
use crate::change::Moment;
use crate::groups::{self, called};
use crate::invariant::{Finding, listed};
use plimsoll_wire::snapshot::{Group, GroupKind, GroupModel, Member, OperationKind};
use std::collections::BTreeSet;

/// One way in which a snapshot can contradict itself.
type Contradiction = fn(&Case) -> Vec<String>;

const CONTRADICTIONS: [Contradiction; 7] = [
    bounds,
    size_and_list,
    named_twice,
    copies_twice,
    strangers_in_groups,
    copies_of_nothing,
    moves_of_nobody,
];

pub(super) fn check(case: &Case) -> Finding {
    let found: Vec<String> = CONTRADICTIONS.iter().flat_map(|contradiction| contradiction(case)).collect();
    if found.is_empty() {
        return Finding::Pass;
    }
    Finding::broken(listed(found, "; "), "find out which of it is wrong; nothing is done meanwhile")
}

fn groups<'a>(case: &'a Case) -> &'a [Group] {
    groups::all(case.snapshot)
}

fn twice<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| !seen.insert(*name)).collect()
}

/// What was asked for before a plan began binds that plan no more.
fn bounds(case: &Case) -> Vec<String> {
    let (least, most) = case.snapshot.target.member_bounds();
    if case.moment != Moment::Admission || least <= most {
        return Vec::new();
    }
    vec![format!("the least size asked for is {least}, the greatest {most}")]
}

/// While a plan runs the size is the plan's own count (`crate::snapshot`).
fn size_and_list(case: &Case) -> Vec<String> {
    let (Some(size), Some(members)) = (case.snapshot.sizes.members.value(), case.snapshot.members.value())
    else {
        return Vec::new();
    };
    let plans = case.snapshot.plan.is_some() || case.plan().is_some();
    if plans || usize::try_from(*size).is_ok_and(|size| size == members.len()) {
        return Vec::new();
    }
    vec![format!("the size is {size}, and {} members are listed", members.len())]
}

fn named_twice(case: &Case) -> Vec<String> {
    let rows = || case.members().iter();
    let vacant = case.snapshot.vacant.value().map_or(&[][..], Vec::as_slice);
    let lists = [
        ("slot", twice(rows().filter_map(|row| row.slot.as_deref()))),
        ("member", twice(rows().filter_map(|row| row.id.value().map(|id| &**id)))),
        ("vacant slot", twice(vacant.iter().map(|place| &*place.slot))),
        ("group", twice(groups(case).iter().map(|group| &*group.id))),
    ];
    let say = |(what, names): (&str, BTreeSet<&str>)| {
        names.into_iter().map(|name| format!("{what} {name} is named twice")).collect::<Vec<_>>()
    };
    lists.into_iter().flat_map(say).collect()
}

/// A copy that counts twice would be a vote too many.
fn copies_twice(case: &Case) -> Vec<String> {
    let of = |group: &Group| {
        let copies = group.placements.value().map_or(&[][..], Vec::as_slice);
        let members = twice(copies.iter().map(|copy| &*copy.member));
        members
            .into_iter()
            .map(|member| format!("{} has two copies on {member}", called(group)))
            .collect::<Vec<_>>()
    };
    groups(case).iter().flat_map(of).collect()
}

/// Who leads is a member, and who votes on who the members are is one, too.
fn strangers_in_groups(case: &Case) -> Vec<String> {
    if case.snapshot.members.value().is_none() {
        return Vec::new();
    }
    let is_member = |id: &str| case.member(id).is_some();
    let leads = |group: &Group| {
        let leader = group.leader.value().filter(|leader| !is_member(leader));
        leader.map(|leader| format!("{} is led by {leader}, who is no member", called(group)))
    };
    let votes = |group: &Group| {
        let own = case.profile.members_vote && group.kind == GroupKind::Control;
        let counted = own && group.model == GroupModel::StaticMajority;
        let copies = group.placements.value().filter(|_| counted).map_or(&[][..], Vec::as_slice);
        let strangers = copies.iter().filter(|copy| !is_member(&copy.member));
        strangers
            .map(|copy| format!("{} is in {} and is no member", copy.member, called(group)))
            .collect::<Vec<_>>()
    };
    groups(case).iter().flat_map(|group| leads(group).into_iter().chain(votes(group))).collect()
}

fn holding(case: &Case, holds: impl Fn(&plimsoll_wire::snapshot::Hosted) -> bool) -> Vec<String> {
    let holders = case.members().iter().filter(|row: &&Member| row.hosted.value().is_some_and(&holds));
    holders.map(label).collect()
}

/// Asked where members go: only there it has to be known what they hold.
fn copies_of_nothing(case: &Case) -> Vec<String> {
    let none = case.snapshot.groups.value().is_some_and(Vec::is_empty);
    if !none || !case.shrinks() || case.undoes() {
        return Vec::new();
    }
    let holders = holding(case, |hosted| hosted.copies > 0 || hosted.leaders > 0);
    if holders.is_empty() {
        return Vec::new();
    }
    vec![format!("there is no group, and copies are on {}", listed(holders, ", "))]
}

/// Asked before anything of ours moves.
fn moves_of_nobody(case: &Case) -> Vec<String> {
    if case.moment != Moment::Admission || !case.shrinks() || case.snapshot.plan.is_some() {
        return Vec::new();
    }
    let Some(operations) = case.snapshot.operations.value() else { return Vec::new() };
    if operations.iter().any(|operation| operation.kind != OperationKind::VolumeResize) {
        return Vec::new();
    }
    let moving = holding(case, |hosted| hosted.moving > 0);
    if moving.is_empty() {
        return Vec::new();
    }
    vec![format!("no operation is under way, and copies move on {}", listed(moving, ", "))]
}
