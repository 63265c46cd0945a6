//! What a planned hand-over of the primary needs, decided before anything is touched.
//!
//! The order, in which each step may be repeated:
//! 1. the successor gets the replication slots and the synchronous candidates of the one before;
//! 2. the primary is fenced: new transactions read only, and older sessions are ended;
//! 3. the successor is seen to have confirmed and replayed everything;
//! 4. the others follow the successor, which still is a standby: before a fenced primary nothing new comes;
//! 5. the successor is promoted.
//!
//! Until the last step the primary can be released, and writes go on as before.

use super::cascade;
use super::conninfo;
use super::statement::Guard;
use super::survey::{client, peer};
use super::view::{Cluster, Member, Part};
use crate::systems::address::Endpoint;

/// A hand-over that may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handover {
    pub(super) from: Endpoint,
    pub(super) guard: Guard,
    /// The successor's name, which the primary knows it by.
    pub(super) name: String,
    pub(super) to: Endpoint,
    /// The successor's `synchronous_standby_names`; empty where nobody has to confirm.
    pub(super) names: String,
    pub(super) others: Vec<Other>,
    /// What takes it back.
    pub(super) release: Release,
}

/// Another standby, and whom it is to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Other {
    pub(super) name: String,
    pub(super) at: Endpoint,
    /// Its next `primary_conninfo`.
    pub(super) conninfo: String,
}

/// What lets a fenced primary take writes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) at: Endpoint,
    pub(super) guard: Guard,
    /// Standbys that are to follow the primary again.
    pub(super) others: Vec<Other>,
    /// Slots on standbys that were for the next primary's followers: where, and their names.
    pub(super) slots: Vec<(Endpoint, String)>,
}

impl Handover {
    pub(super) fn standby_guard(&self) -> Guard {
        standby_guard(&self.guard)
    }
}

/// The same system, on the other side.
pub(super) fn standby_guard(guard: &Guard) -> Guard {
    match guard {
        Guard::Primary { system, .. } | Guard::Standby { system } => {
            Guard::Standby { system: system.clone() }
        }
    }
}

/// What a hand-over needs, or what is in its way.
pub(super) fn prepare(
    cluster: &Cluster,
    primary: &Endpoint,
    guard: &Guard,
    to: &str,
) -> Result<Handover, String> {
    let from = &cluster.primary;
    let successor = cluster.member(to).ok_or_else(|| format!("{to} is no member"))?;
    let Part::Standby(standby) = &successor.part else { return Err(format!("{to} is no standby")) };
    if !standby.fault.is_empty() {
        return Err(format!("{to} cannot lead: {}", standby.fault));
    }
    let reading = successor.reading.map_err(|why| format!("{to} does not answer: {why}"))?;
    if reading.own.read_only {
        return Err(format!(
            "{to} has default_transaction_read_only switched on itself: it would take no writes"
        ));
    }
    nothing_is_left_behind(cluster)?;
    nobody_cascades(cluster)?;
    let set = cluster.sync.as_ref().map_err(|why| format!("synchronous_standby_names: {why}"))?;
    let names = match set {
        None => String::new(),
        Some(set) => {
            let fewer = set.without(to).and_then(|set| set.without(&from.name));
            fewer
                .ok_or_else(|| format!("with {to} as the primary `{set}` has too few candidates"))?
                .to_string()
        }
    };
    let address = peer(successor.endpoints)?;
    let followers =
        cluster.members.iter().filter(|member| matches!(member.part, Part::Standby(_)) && member.name != to);
    let others = followers.map(|member| follows(member, &address)).collect::<Result<Vec<_>, _>>()?;
    let mut release = release(cluster, primary, guard)?;
    let at = client(successor.endpoints)?;
    // What this hand-over is about to make and to change goes back with it.
    let back = peer(from.endpoints)?;
    for other in &others {
        if !release.others.iter().any(|known| known.name == other.name) {
            let member = cluster.member(&other.name).ok_or_else(|| format!("{} is no member", other.name))?;
            release.others.push(follows(member, &back)?);
        }
        if !release.slots.iter().any(|(place, name)| *place == at && *name == other.name) {
            release.slots.push((at.clone(), other.name.clone()));
        }
    }
    Ok(Handover {
        from: primary.clone(),
        guard: guard.clone(),
        name: to.to_owned(),
        to: at,
        names,
        others,
        release,
    })
}

/// What hangs on the primary and would not come along.
fn nothing_is_left_behind(cluster: &Cluster) -> Result<(), String> {
    let from = &cluster.primary;
    if let Some(keep) = from.reading.keeps.iter().find(|keep| !keep.physical) {
        return Err(format!("the logical replication slot {} of {} would be lost", keep.name, from.name));
    }
    let stranger = |name: &str| cluster.member(name).is_none();
    if let Some(row) = from.reading.followers.iter().find(|row| stranger(&row.name)) {
        return Err(format!(
            "{:?} follows {} and is no member: it would be left behind",
            row.name, from.name
        ));
    }
    Ok(())
}

/// Whom a standby follows that is not the primary is the owner's arrangement, and a hand-over would change it.
fn nobody_cascades(cluster: &Cluster) -> Result<(), String> {
    let above = |member: &Member| match &member.part {
        Part::Standby(standby) => standby.upstream.clone(),
        Part::Primary | Part::Retired | Part::Registered => None,
    };
    match cluster.members.iter().find_map(|member| Some((&member.name, above(member)?))) {
        Some((name, above)) => {
            Err(format!("{name} follows {above}: let it follow {} first", cluster.primary.name))
        }
        None => Ok(()),
    }
}

fn follows(member: &Member, address: &(String, u16)) -> Result<Other, String> {
    let name = &member.name;
    let reading = member.reading.map_err(|why| format!("{name} does not answer: {why}"))?;
    let Some(old) = &reading.own.conninfo else {
        return Err(format!("{name} does not show its primary_conninfo (a role with pg_monitor sees it)"));
    };
    let (host, port) = address;
    let conninfo = conninfo::retarget(old, host, *port).map_err(|why| format!("{name}: {why}"))?;
    Ok(Other { name: name.clone(), at: client(member.endpoints)?, conninfo })
}

/// What lets a fenced primary take writes again.
pub(super) fn release(cluster: &Cluster, primary: &Endpoint, guard: &Guard) -> Result<Release, String> {
    let back = peer(cluster.primary.endpoints)?;
    let mut release =
        Release { at: primary.clone(), guard: guard.clone(), others: Vec::new(), slots: Vec::new() };
    for member in cluster.members.iter().filter(|member| matches!(member.part, Part::Standby(_))) {
        let Ok(reading) = member.reading else { continue };
        let elsewhere =
            |other: &Member| other.name != cluster.primary.name && cascade::follows(member, other);
        if cluster.members.iter().any(elsewhere) {
            release.others.push(follows(member, &back)?);
        }
        for keep in reading.keeps.iter().filter(|keep| keep.physical && cluster.member(&keep.name).is_some())
        {
            release.slots.push((client(member.endpoints)?, keep.name.clone()));
        }
    }
    Ok(release)
}
