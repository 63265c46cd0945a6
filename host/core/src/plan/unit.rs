//! Units of several members: a shard of a primary and its replicas comes and goes as a whole.

use crate::groups;
use plimsoll_wire::snapshot::{Group, GroupKind, Member, Snapshot};

/// The members of one unit, in the order in which they go: whoever leads is the last, so that no other has to take the
/// lead meanwhile. A member that shares nothing with anybody is alone, and so is every member where a unit is one.
#[must_use]
pub fn of<'a>(snapshot: &'a Snapshot, member: &'a Member) -> Vec<&'a Member> {
    let Some(id) = member.id.value().filter(|_| shares(snapshot)) else { return vec![member] };
    let rows = snapshot.members.value().map_or(&[][..], Vec::as_slice);
    let of_it: Vec<&Group> = data(snapshot).filter(|group| groups::copy_on(group, id).is_some()).collect();
    let is_mate = |row: &&Member| match row.id.value() {
        Some(other) => of_it.iter().any(|group| groups::copy_on(group, other).is_some()),
        None => false,
    };
    let mut mates: Vec<&Member> = rows.iter().filter(is_mate).collect();
    if mates.is_empty() {
        return vec![member];
    }
    let leads = |row: &Member| {
        of_it.iter().any(|group| group.leader.value().is_some() && group.leader.value() == row.id.value())
    };
    mates.sort_by_key(|row| leads(row));
    mates
}

/// Whether the members of a unit are those that hold the same groups: data moves off them as a whole.
#[must_use]
pub fn shares(snapshot: &Snapshot) -> bool {
    snapshot.profile.unit() > 1 && snapshot.profile.moves_data()
}

/// The groups that hold users' data.
pub fn data(snapshot: &Snapshot) -> impl Iterator<Item = &Group> {
    groups::all(snapshot).iter().filter(|group| group.kind == GroupKind::Data)
}
