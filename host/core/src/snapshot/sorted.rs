//! One order of what has none: whoever names a member or a group names the same one, however a snapshot lists them.

use super::{id_of, order};
use plimsoll_wire::Fact;
use plimsoll_wire::snapshot::{Group, Member, Placement, Snapshot};
use std::borrow::Cow;
use std::cmp::Ordering;

pub(super) fn by_place(one: &Member, other: &Member) -> Ordering {
    (order(one.slot.as_deref()), id_of(one)).cmp(&(order(other.slot.as_deref()), id_of(other)))
}

pub(super) fn by_name(one: &Group, other: &Group) -> Ordering {
    one.id.cmp(&other.id)
}

pub(super) fn by_member(one: &Placement, other: &Placement) -> Ordering {
    one.member.cmp(&other.member)
}

/// The snapshot with its lists in our order. The tracker's own is so already and is not copied; one from a file may not be.
pub(crate) fn sorted(snapshot: &Snapshot) -> Cow<'_, Snapshot> {
    if is_sorted(snapshot) {
        return Cow::Borrowed(snapshot);
    }
    let mut snapshot = snapshot.clone();
    sort(&mut snapshot.members, by_place);
    sort(&mut snapshot.groups, by_name);
    if let Fact::Known(groups) = &mut snapshot.groups {
        groups.value.iter_mut().for_each(|group| sort(&mut group.placements, by_member));
    }
    Cow::Owned(snapshot)
}

fn is_sorted(snapshot: &Snapshot) -> bool {
    fn all<T>(list: &Fact<Vec<T>>, by: fn(&T, &T) -> Ordering) -> bool {
        list.value().is_none_or(|list| list.is_sorted_by(|one, other| by(one, other).is_le()))
    }
    let groups = snapshot.groups.value().map_or(&[][..], Vec::as_slice);
    all(&snapshot.members, by_place)
        && all(&snapshot.groups, by_name)
        && groups.iter().all(|group| all(&group.placements, by_member))
}

fn sort<T>(list: &mut Fact<Vec<T>>, by: fn(&T, &T) -> Ordering) {
    if let Fact::Known(list) = list {
        list.value.sort_by(by);
    }
}
