//! What is wrong in a way that a change of members would make worse; each with what a person does about it.

use super::view::Cluster;
use plimsoll_wire::alarm::Alarm;

/// All alarms that stand: masters that own slots and say that the cluster does not serve.
pub(super) fn standing(cluster: &Cluster) -> Vec<Alarm> {
    let down = cluster.masters().filter(|master| {
        !master.node.slots.is_empty() && master.reading.is_ok_and(|answers| !answers.ok && !answers.loading)
    });
    let alarm = |member: &super::view::Member| {
        Alarm {
        kind: "CLUSTER_DOWN".to_owned(),
        member: member.id.into(),
        remedy: "find the slots without an owner that serves (`redis-cli --cluster check`) and bring the owner back".to_owned(),
    }
    };
    down.map(alarm).collect()
}
