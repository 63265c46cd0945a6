//! The planner's layout out of a cluster, and which slots are on their way in it.

use super::nodes::Way;
use super::planner::{Layout, Move, Shard};
use super::roles::{self, Part};
use super::view::{Cluster, Member};

/// How full a node's memory may become by slots that come, in thousandths: writes go on, and a fork copies pages.
const FULL_PERMILLE: u64 = 900;

/// All shards that own slots or may take some, in the order of their places.
pub(super) fn of(cluster: &Cluster, replicas: u32) -> Layout {
    let is_shard =
        |master: &&Member| !matches!(roles::part(cluster, master.id, replicas), Some(Part::Replica(_)));
    Layout { shards: cluster.masters().filter(is_shard).map(|master| shard(cluster, master)).collect() }
}

fn shard(cluster: &Cluster, master: &Member) -> Shard {
    let members = cluster.shard_of(master.id);
    let free = |member: &&Member| {
        member.reading.map_or(0, |answers| {
            let most = u128::from(answers.memory.most) * u128::from(FULL_PERMILLE) / 1_000;
            u64::try_from(most).unwrap_or(u64::MAX).saturating_sub(answers.memory.used)
        })
    };
    let data = master.reading.map_or(0, |answers| answers.memory.data);
    let ready = |member: &&Member| {
        member.reading.is_ok_and(|answers| !answers.loading) && !member.node.failed && !member.is_cordoned()
    };
    Shard {
        id: master.id.to_owned(),
        slots: master.node.slots.each().collect(),
        closed: !members.iter().all(ready),
        free: members.iter().map(free).min().unwrap_or(0),
        weight: data.checked_div(master.node.slots.count()).unwrap_or(0),
    }
}

/// Every slot that is on its way, once: from its owner, or from whoever still gives it, to whoever takes it.
pub(super) fn open(cluster: &Cluster) -> Vec<Move> {
    let mut found: Vec<Move> = Vec::new();
    for (end, open) in cluster.open() {
        let owner = cluster.masters().find(|master| master.node.slots.has(open.slot));
        let (from, to) = match &open.way {
            Way::To(to) => (end.id, to.as_str()),
            // Who gave it may have failed over meanwhile.
            Way::From(from) => {
                (owner.filter(|owner| owner.id != end.id).map_or(from.as_str(), |owner| owner.id), end.id)
            }
        };
        let this = Move { slot: open.slot, from: from.to_owned(), to: to.to_owned() };
        if !found.contains(&this) {
            found.push(this);
        }
    }
    found.sort_by(|one, other| (one.slot, &one.from, &one.to).cmp(&(other.slot, &other.from, &other.to)));
    found
}

/// Whether a plan of ours moves such a slot: off a shard that is on its way out, or onto one that has less than its share.
pub(super) fn is_ours(cluster: &Cluster, layout: &Layout, open: &Move) -> bool {
    let leaves = cluster.shard_of(&open.from).iter().any(|member| member.is_cordoned());
    leaves || layout.is_poor(&open.to)
}
