//! What is wrong in a way that a change of members would make worse; each with what a person does about it.

use super::view::{Cluster, Member, Part, Standby};
use plimsoll_wire::alarm::Alarm;

/// All alarms that stand.
pub(super) fn standing(cluster: &Cluster) -> Vec<Alarm> {
    let mut found: Vec<Alarm> = cluster
        .members
        .iter()
        .filter_map(|member| match &member.part {
            Part::Standby(standby) => of_slot(member, standby),
            Part::Primary | Part::Retired | Part::Registered => None,
        })
        .collect();
    found.sort();
    found
}

/// A lost slot means a standby that can never catch up; an idle one that keeps much log fills the primary's disk.
fn of_slot(member: &Member, standby: &Standby) -> Option<Alarm> {
    let name = &member.name;
    let kept = standby.kept.map_or_else(|| "much".to_owned(), |bytes| format!("{bytes} bytes of"));
    let (kind, remedy) = match standby.wal.as_deref() {
        Some("lost") => (
            "SLOT_LOST",
            format!(
                "the primary has removed log that {name} still needed: stop {name} and make it anew from a base backup"
            ),
        ),
        Some("extended" | "unreserved") if !standby.streams || standby.upstream.is_some() => (
            "SLOT_FILLS_DISK",
            format!(
                "nobody uses the replication slot {name}, and it keeps {kept} log on the primary: start {name} again, or stop \
                 it for good and drop the slot with pg_drop_replication_slot('{name}')"
            ),
        ),
        Some(_) | None => return None,
    };
    Some(Alarm { kind: kind.to_owned(), member: name.as_str().into(), remedy })
}
