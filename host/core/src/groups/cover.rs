//! More kinds of groups than rows: with random placement nearly every group has members of its own. Of groups that are
//! sound and of one shape, a rule that asks about one member hears the same of each that this member holds; so a group
//! needs no row where each of its members is in a row of that shape, leading where it leads.

use super::{Folding, Seen, is_odd, rule, seen, worse_of};
use crate::quorum::is_alive;
use plimsoll_wire::snapshot::{Group, Member};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Classes of groups with the rows that speak for them.
pub(super) struct Covered {
    /// The rows.
    pub(super) rows: Vec<Group>,
    /// How many groups have no row, and others speak for them.
    pub(super) covered: u32,
    /// How many groups have no row, and nobody speaks for them.
    pub(super) left_out: u32,
}

/// What sound groups of one shape have in common, whoever holds them.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Shape<'a> {
    rule: super::Rule<'a>,
    leader: Seen<'a, ()>,
    config: Seen<'a, ()>,
    flags: (Seen<'a, bool>, Seen<'a, bool>),
    weights: Seen<'a, Vec<u32>>,
}

/// A member in a group of a shape: its weight there, and whether it leads.
type Part<'a> = (Shape<'a>, &'a str, u32, bool);

/// Chooses at most so many rows: first those that speak for a member that no other speaks for yet, then the others, in the
/// order of the list.
pub(super) fn choose(
    classes: &[Group],
    folding: &Folding,
    most: usize,
    fits: impl Fn(usize) -> bool,
) -> Covered {
    let members: BTreeMap<&str, &Member> =
        folding.members.iter().filter_map(|row| Some((&**row.id.value()?, row))).collect();
    let parts: Vec<Option<Vec<Part>>> = classes.iter().map(|class| parts(class, folding, &members)).collect();
    let (mut kept, mut copies, mut by_part) = (Vec::new(), 0_usize, HashMap::<&Part, usize>::new());
    let mut is_kept = HashSet::new();
    for speaks in [true, false] {
        for (at, class) in classes.iter().enumerate() {
            let own = parts.get(at).and_then(Option::as_deref);
            let is_new = own.is_none_or(|own| own.iter().any(|part| !by_part.contains_key(part)));
            let weight = copies.saturating_add(super::copies_of(class));
            if is_kept.contains(&at) || (speaks && !is_new) || kept.len() >= most || !fits(weight) {
                continue;
            }
            copies = weight;
            own.into_iter().flatten().for_each(|part| {
                by_part.entry(part).or_insert(kept.len());
            });
            is_kept.insert(at);
            kept.push(class.clone());
        }
    }
    let (mut covered, mut left_out) = (0_u32, 0_u32);
    for (at, class) in classes.iter().enumerate().filter(|(at, _)| !is_kept.contains(at)) {
        let own = parts.get(at).and_then(Option::as_deref);
        let rows: Option<Vec<usize>> =
            own.and_then(|own| own.iter().map(|part| by_part.get(part).copied()).collect());
        match rows {
            Some(rows) => {
                covered = covered.saturating_add(class.count.get());
                rows.iter()
                    .filter_map(|row| kept.get_mut(*row).map(|row| worse_of(row, class)))
                    .for_each(drop);
            }
            None => left_out = left_out.saturating_add(class.count.get()),
        }
    }
    drop(by_part);
    Covered { rows: kept, covered, left_out }
}

/// The members of a sound group; none of one that is not, since it speaks for itself only.
fn parts<'a>(
    group: &'a Group,
    folding: &Folding<'a>,
    members: &BTreeMap<&str, &Member>,
) -> Option<Vec<Part<'a>>> {
    let copies = group.placements.value()?;
    let lives = |id: &str| members.get(id).is_some_and(|row| is_alive(row));
    if is_odd(group) || !copies.iter().all(|copy| lives(&copy.member)) {
        return None;
    }
    let safety = folding.safety;
    let weights = |_: &_| {
        let mut weights: Vec<u32> = copies.iter().map(|copy| copy.weight).collect();
        weights.sort_unstable();
        weights
    };
    let flag = |fact| seen(fact, safety, |value: &bool| *value);
    let shape = Shape {
        rule: rule(group, folding),
        leader: seen(&group.leader, safety, |_| ()),
        config: seen(&group.config_version, safety, |_| ()),
        flags: (flag(&group.in_joint_config), flag(&group.open)),
        weights: seen(&group.placements, safety, weights),
    };
    let leads = |member: &str| group.leader.value().is_some_and(|leader| **leader == *member);
    let part = |copy: &'a plimsoll_wire::snapshot::Placement| {
        (shape.clone(), &*copy.member, copy.weight, leads(&copy.member))
    };
    Some(copies.iter().map(part).collect())
}
