//! What is wrong in a way that a change of brokers would make worse; each with what a person does about it.

use super::view::Cluster;
use plimsoll_wire::alarm::Alarm;
use std::sync::Arc;

/// As many partitions are named in one alarm.
const NAMED: usize = 3;

/// All alarms that stand.
pub(super) fn standing(cluster: &Cluster) -> Vec<Alarm> {
    let mut found: Vec<Alarm> = offline(cluster).into_iter().chain(leaderless(cluster)).collect();
    for answer in cluster.seen.values() {
        let Ok(broker) = &answer.reading else { continue };
        if broker.own.controls {
            let id = broker.own.id;
            found.push(Alarm {
                kind: "CONTROLLER_ON_BROKER".to_owned(),
                member: Arc::from(id.to_string()),
                remedy: format!(
                    "broker {id} is a controller, too, and the quorum of controllers does not follow the number of brokers: \
                     run controllers as processes of their own (process.roles=controller)"
                ),
            });
        }
    }
    found.sort();
    found
}

fn offline(cluster: &Cluster) -> Option<Alarm> {
    let partitions = cluster.speaker.partitions.iter();
    let lost: Vec<Arc<str>> =
        partitions.filter(|(_, one)| one.leader.is_none()).map(|(key, _)| Cluster::name(key)).collect();
    let names = lost.get(..NAMED.min(lost.len()))?.join(", ");
    (!lost.is_empty()).then(|| Alarm {
        kind: "OFFLINE_PARTITIONS".to_owned(),
        member: Arc::from(""),
        remedy: format!(
            "{} partitions have no leader ({names}): bring a broker back that holds a copy in sync",
            lost.len()
        ),
    })
}

fn leaderless(cluster: &Cluster) -> Option<Alarm> {
    (cluster.whole.quorum.leader < 0).then(|| Alarm {
        kind: "NO_ACTIVE_CONTROLLER".to_owned(),
        member: Arc::from(""),
        remedy: "no controller leads: bring more than half of the controllers back".to_owned(),
    })
}
