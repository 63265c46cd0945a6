//! Many groups in few rows: those that are alike are one row with a count, so that what the judge has to look at, and what
//! a snapshot weighs, follows the number of kinds of groups and not of groups.
//!
//! Two groups are alike where no rule can tell them apart: the same members with the same votes and states, the same
//! leader, the same rule, and facts on the same word. What else differs among them (an age, a lag) is told as the worst of
//! all. What is odd keeps a row of its own, so that people read its name.

mod cover;

use plimsoll_wire::Safety;
use plimsoll_wire::fact::{Authority, Fact, Gap};
use plimsoll_wire::snapshot::{
    GROUPS_LEFT_OUT, Group, GroupKind, GroupModel, Member, Placement, PlacementState, Snapshot,
};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;

/// How many odd groups have a row of their own: more names than anybody reads. Those beyond are folded like all others, so
/// that none is left out for being odd.
const MOST_APART: usize = 64;
/// How many rows there are, or as many as there are members, each of which weighs more than a row: with three copies a row
/// weighs up to 3 kB, and a snapshot stays below 1 MiB.
const MOST_ROWS: usize = 256;
/// How many copies are in all rows together, for groups with many copies each.
const COPIES_A_ROW: usize = 4;

/// What decides which groups keep a row of their own, and how many rows there may be.
#[derive(Debug)]
pub struct Folding<'a> {
    /// How old facts may be, and the groups that may be unavailable.
    pub safety: &'a Safety,
    /// Names that operations in flight are about.
    pub busy: BTreeSet<&'a str>,
    /// All members.
    pub members: &'a [Member],
}

/// Groups as a snapshot has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// In order of their names.
    pub rows: Vec<Group>,
    /// How many groups have no row, and no rule could tell them from the rows that speak for them.
    pub covered: u32,
    /// How many groups have no row, and nothing speaks for them.
    pub left_out: u32,
}

/// Folds groups that are alike into one row each; blind to their order.
#[must_use]
pub fn fold(mut groups: Vec<Group>, folding: &Folding) -> Folded {
    groups.sort_by(|one, other| one.id.cmp(&other.id));
    let apart = apart(&groups, folding);
    let (mut rows, mut classes) = (Vec::new(), Vec::<Group>::new());
    {
        let mut places: HashMap<Class, usize> = HashMap::new();
        for (at, group) in groups.iter().enumerate() {
            if apart.contains(&at) {
                rows.push(group.clone());
                continue;
            }
            let place = *places.entry(Class::of(group, folding)).or_insert(classes.len());
            match classes.get_mut(place) {
                Some(row) => absorb(row, group),
                None => classes.push(group.clone()),
            }
        }
    }
    classes.sort_by(|one, other| (other.count, &one.id).cmp(&(one.count, &other.id)));
    // Rows that are apart count too: they take room from the classes.
    let most = MOST_ROWS.max(folding.members.len());
    let apart: usize = rows.iter().map(copies_of).sum();
    let fits = |copies: usize| copies.saturating_add(apart) <= most.saturating_mul(COPIES_A_ROW);
    let chosen = cover::choose(&classes, folding, most.saturating_sub(rows.len()), fits);
    let (covered, left_out) = (chosen.covered, chosen.left_out);
    rows.extend(chosen.rows);
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    Folded { rows, covered, left_out }
}

fn copies_of(group: &Group) -> usize {
    group.placements.value().map_or(0, Vec::len)
}

/// The groups with a row of their own: first what is named twice (EVID-11 has to see both), then what is no user's data,
/// then what is odd; each in order of names.
fn apart(groups: &[Group], folding: &Folding) -> HashSet<usize> {
    let mut seen = HashSet::new();
    let twice: HashSet<&str> = groups.iter().map(|group| &*group.id).filter(|id| !seen.insert(*id)).collect();
    let rank = |group: &Group| match group.kind {
        _ if twice.contains(&*group.id) => Some(0),
        GroupKind::Control | GroupKind::System => Some(1),
        GroupKind::Data => (folding.busy.contains(&*group.id) || is_odd(group)).then_some(2),
    };
    let ranked = groups.iter().enumerate().filter_map(|(at, group)| Some((rank(group)?, at)));
    let mut apart: Vec<(u8, usize)> = ranked.collect();
    apart.sort_unstable();
    apart.into_iter().take(MOST_APART).map(|(_, at)| at).collect()
}

/// Whether a group is not as it should be and rest: not known, not whole, between two configurations, or with no copy to
/// spare.
fn is_odd(group: &Group) -> bool {
    let Some(copies) = group.placements.value() else { return true };
    let whole = copies.iter().all(|copy| copy.state == PlacementState::InSync);
    let wanted =
        group.target_copies.value().map_or(0, |copies| usize::try_from(*copies).unwrap_or(usize::MAX));
    let joint = group.in_joint_config.value() == Some(&true);
    !whole || copies.len() < wanted || joint || is_at_minimum(group, copies)
}

fn is_at_minimum(group: &Group, copies: &[Placement]) -> bool {
    let votes = |sound: bool| {
        let counted = copies.iter().filter(|copy| !sound || copy.state == PlacementState::InSync);
        counted.fold(0_u32, |sum, copy| sum.saturating_add(copy.weight))
    };
    let need = match group.model {
        GroupModel::StaticMajority => Some(votes(false) / 2 + 1),
        GroupModel::AckSet | GroupModel::AsyncPrimary => group.min_ack.value().copied(),
    };
    need.is_some_and(|need| votes(true) <= need)
}

/// What groups that are alike have in common.
#[derive(PartialEq, Eq, Hash)]
struct Class<'a> {
    rule: Rule<'a>,
    placements: Seen<'a, Vec<Copy<'a>>>,
    leader: Seen<'a, &'a str>,
    config: Seen<'a, ()>,
    flags: (Seen<'a, bool>, Seen<'a, bool>),
}

/// The rule by which a group is judged, and whether the owner accepts that it is unavailable (RED-3).
type Rule<'a> = (GroupKind, GroupModel, Seen<'a, u32>, Seen<'a, u32>, bool);

fn rule<'a>(group: &'a Group, folding: &Folding) -> Rule<'a> {
    let safety = folding.safety;
    let number = |fact| seen(fact, safety, |value: &u32| *value);
    let accepted = safety.accept_unavailable.iter().any(|name| **name == *group.id);
    (group.kind, group.model, number(&group.target_copies), number(&group.min_ack), accepted)
}

/// A copy, without what is a measure only.
type Copy<'a> = (&'a str, u32, PlacementState, Seen<'a, ()>, Seen<'a, ()>);

/// A fact as far as rules tell two of them apart.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Seen<'a, V> {
    Known { authority: Authority, observer: &'a str, epoch: &'a str, old: (bool, bool), value: V },
    Unknown(&'a Gap, &'a str),
    NotApplicable,
}

impl<'a> Class<'a> {
    fn of(group: &'a Group, folding: &Folding) -> Self {
        let safety = folding.safety;
        let copy = |copy: &'a Placement| -> Copy<'a> {
            let (lag, progress) =
                (seen(&copy.lag, safety, |_| ()), seen(&copy.progress_permille, safety, |_| ()));
            (&copy.member, copy.weight, copy.state, lag, progress)
        };
        let copies = |copies: &'a Vec<Placement>| {
            let mut copies: Vec<Copy> = copies.iter().map(copy).collect();
            copies.sort_by_key(|(member, ..)| *member);
            copies
        };
        let flag = |fact| seen(fact, safety, |value: &bool| *value);
        Self {
            rule: rule(group, folding),
            placements: seen(&group.placements, safety, copies),
            leader: seen(&group.leader, safety, |leader| &**leader),
            config: seen(&group.config_version, safety, |_| ()),
            flags: (flag(&group.in_joint_config), flag(&group.open)),
        }
    }
}

fn seen<'a, T, V>(fact: &'a Fact<T>, safety: &Safety, value: impl FnOnce(&'a T) -> V) -> Seen<'a, V> {
    match fact {
        Fact::Known(known) => Seen::Known {
            authority: known.authority,
            observer: &known.observer,
            epoch: &known.epoch,
            old: (known.age_ms > safety.max_age_ms, known.age_ms > safety.direct_age_ms),
            value: value(&known.value),
        },
        Fact::Unknown { reason, detail } => Seen::Unknown(reason, detail),
        Fact::NotApplicable => Seen::NotApplicable,
    }
}

/// Counts another group of a class, and keeps of both what is worse.
fn absorb(row: &mut Group, other: &Group) {
    row.count = row.count.checked_add(other.count.get()).unwrap_or(NonZeroU32::MAX);
    worse_of(row, other);
}

/// Keeps of two groups what is worse.
fn worse_of(row: &mut Group, other: &Group) {
    worse(&mut row.target_copies, &other.target_copies, |_, _| {});
    worse(&mut row.min_ack, &other.min_ack, |_, _| {});
    worse(&mut row.leader, &other.leader, |_, _| {});
    worse(&mut row.config_version, &other.config_version, |one, two| *one = (*one).min(*two));
    worse(&mut row.in_joint_config, &other.in_joint_config, |_, _| {});
    worse(&mut row.open, &other.open, |_, _| {});
    worse(&mut row.placements, &other.placements, |copies, others| {
        for copy in copies {
            let Some(other) = others.iter().find(|other| other.member == copy.member) else { continue };
            worse(&mut copy.lag, &other.lag, |one, two| *one = (*one).max(*two));
            worse(&mut copy.progress_permille, &other.progress_permille, |one, two| *one = (*one).min(*two));
        }
    });
}

fn worse<T>(row: &mut Fact<T>, other: &Fact<T>, value: impl FnOnce(&mut T, &T)) {
    let (Fact::Known(row), Fact::Known(other)) = (row, other) else { return };
    row.age_ms = row.age_ms.max(other.age_ms);
    row.observer_up_ms = row.observer_up_ms.min(other.observer_up_ms);
    row.stable_ms = row.stable_ms.min(other.stable_ms);
    row.reads = row.reads.min(other.reads);
    value(&mut row.value, &other.value);
}

/// How a row is called in sentences.
#[must_use]
pub fn called(group: &Group) -> String {
    match group.count.get() - 1 {
        0 => format!("group {}", group.id),
        more => format!("group {} (and {more} alike)", group.id),
    }
}

/// How many groups the snapshot has no row for; none where that is not known.
#[must_use]
pub fn left_out(snapshot: &Snapshot) -> Option<u64> {
    match snapshot.facts.get(GROUPS_LEFT_OUT) {
        None | Some(Fact::NotApplicable) => Some(0),
        Some(Fact::Known(known)) => known.value.as_u64(),
        Some(Fact::Unknown { .. }) => None,
    }
}

/// The row with this name.
#[must_use]
pub fn find<'a>(snapshot: &'a Snapshot, id: &str) -> Option<&'a Group> {
    snapshot.groups.value()?.iter().find(|group| *group.id == *id)
}

/// All rows; none where the groups are not known, which EVID-1 tells.
#[must_use]
pub fn all(snapshot: &Snapshot) -> &[Group] {
    snapshot.groups.value().map_or(&[], Vec::as_slice)
}

/// The copy of a group on a member.
#[must_use]
pub fn copy_on<'a>(group: &'a Group, member: &str) -> Option<&'a Placement> {
    group.placements.value()?.iter().find(|copy| *copy.member == *member)
}

/// Members that could lead a group after another, as far as their copies say: in sync, and not that other.
pub fn heirs<'a>(group: &'a Group, from: &'a str) -> impl Iterator<Item = &'a Arc<str>> {
    let copies = group.placements.value().map_or(&[][..], Vec::as_slice);
    let in_sync = copies.iter().filter(|copy| copy.state == PlacementState::InSync && copy.weight > 0);
    in_sync.map(|copy| &copy.member).filter(move |member| ***member != *from)
}

#[cfg(test)]
mod tests;
