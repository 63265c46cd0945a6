//! Cascades: standbys that follow a standby. Who streams from whom, and what would be cut off with a member.

use super::conninfo;
use super::reading::{Answers, Follower, Side};
use super::survey::{Answer, Survey, name_of, peer};
use super::view::{Cluster, Member, Part};

/// The standby that streams to the member of this name, with its view of it.
pub(super) fn upstream<'a>(survey: &'a Survey, name: &str) -> Option<(String, &'a Follower)> {
    let mut found: Vec<(String, &Follower)> = standbys(survey)
        .filter(|(own, _)| own != name)
        .flat_map(|(own, reading)| followers(reading).map(move |row| (own.clone(), row)))
        .filter(|(_, row)| row.name == name)
        .collect();
    // Two that stream under one name are told apart by nobody.
    if found.len() == 1 { found.pop() } else { None }
}

/// Whether a standby keeps log for the member of this name, by a slot that is in use.
pub(super) fn has_slot(survey: &Survey, upstream: &str, name: &str) -> bool {
    let mut standbys = standbys(survey).filter(|(own, _)| own == upstream);
    standbys.any(|(_, reading)| {
        reading.keeps.iter().any(|keep| keep.name == name && keep.physical && !keep.temporary)
    })
}

fn standbys(survey: &Survey) -> impl Iterator<Item = (String, &Answers)> {
    survey.answers.iter().filter_map(|answer: &Answer| {
        let reading = answer.reading.as_ref().ok()?;
        match reading.own.side {
            Side::Standby { .. } => Some((name_of(&answer.place)?, reading)),
            Side::Primary { .. } => None,
        }
    })
}

/// Who gets log of a server; a base backup ends by itself.
fn followers(reading: &Answers) -> impl Iterator<Item = &Follower> {
    reading.followers.iter().filter(|row| row.state != "backup")
}

/// What would be cut off with a member, in words; none where nothing would. During a hand-over the others follow their next
/// primary already.
pub(super) fn below(cluster: &Cluster, member: &Member) -> Option<String> {
    let reading = member.reading.ok().filter(|_| member.part != Part::Primary)?;
    let is_member = |name: &str| cluster.member(name).is_some();
    let fenced = cluster.primary.fenced;
    let streaming =
        followers(reading).map(|row| row.name.as_str()).filter(|name| !(fenced && is_member(name)));
    // One that is away for a moment comes back to whom it follows.
    let pointing = cluster.members.iter().filter(|other| !fenced && follows(other, member));
    let names = streaming.chain(pointing.map(|other| other.name.as_str()));
    if let Some(below) = names.min() {
        return Some(format!(
            "{below} follows {}, which is not the primary: let it follow the primary first",
            member.name
        ));
    }
    let kept = reading.keeps.iter().filter(|keep| keep.physical && !keep.temporary);
    let stranger = |name: &&str| !is_member(name) && !cluster.vacant.contains_key(*name);
    let standby = matches!(member.part, Part::Standby(_));
    let slot = kept.map(|keep| keep.name.as_str()).filter(|_| standby).filter(stranger).min()?;
    Some(format!(
        "the replication slot {slot} on {} is kept for somebody: drop it there if nobody needs it",
        member.name
    ))
}

/// Whether a standby is told to follow another member.
pub(super) fn follows(one: &Member, other: &Member) -> bool {
    let at = || one.reading.ok()?.own.conninfo.as_deref().and_then(conninfo::target);
    let points = || at().is_some_and(|at| peer(other.endpoints).is_ok_and(|peer| peer == at));
    one.name != other.name && matches!(one.part, Part::Standby(_)) && points()
}
