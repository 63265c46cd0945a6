//! What a member without slots is to become: the master of a new shard, or a replica that another shard lacks.

use super::view::{Cluster, Member};

/// What a member is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The master of a shard.
    Master,
    /// A replica of this master.
    Replica(String),
}

/// Whether nothing is decided of a member yet: a master without slots and without replicas.
fn is_open(cluster: &Cluster, member: &Member) -> bool {
    member.is_master() && member.node.slots.is_empty() && cluster.replicas(member.id).next().is_none()
}

/// The part of a member that has none yet; none where it has one, or is on its way out. In the order of their places each
/// one completes the first shard that lacks a replica, and where none does it is a new shard's master.
pub(super) fn part(cluster: &Cluster, id: &str, replicas: u32) -> Option<Part> {
    let takes = |member: &&Member| !member.is_cordoned() && !member.node.failed;
    let count = |master: &str| u32::try_from(cluster.replicas(master).count()).unwrap_or(u32::MAX);
    let settled = cluster.masters().filter(takes).filter(|member| !is_open(cluster, member));
    let mut lacking: Vec<(&str, u32)> = settled
        .map(|master| (master.id, replicas.saturating_sub(count(master.id))))
        .filter(|(_, lacks)| *lacks > 0)
        .collect();
    for member in cluster.masters().filter(takes).filter(|member| is_open(cluster, member)) {
        let next = lacking.first_mut();
        let part = match next {
            Some((master, lacks)) => {
                *lacks -= 1;
                Part::Replica((*master).to_owned())
            }
            None => {
                lacking.push((member.id, replicas));
                Part::Master
            }
        };
        lacking.retain(|(_, lacks)| *lacks > 0);
        if member.id == id {
            return Some(part);
        }
    }
    None
}
