//! Data that is divided among owners: every shard has one, none is between two, and no owner goes with what it owns.

use super::{ADMISSION, ALWAYS, Finding, Invariant, Severity, listed};
use crate::case::Case;
use crate::count::count;
use crate::groups::{self, called};
use crate::plan::unit;
use crate::step;
use plimsoll_wire::fact::Fact;
use plimsoll_wire::journal::MembershipEffect;
use plimsoll_wire::profile::Topic;
use plimsoll_wire::shards::ShardMap;
use plimsoll_wire::snapshot::{Group, GroupKind};
use std::collections::BTreeSet;

/// The rules of this family. SHARD-1, SHARD-2 and SHARD-7 come with plans that change the number of shards.
pub const FAMILY: &[Invariant] = &[
    Invariant {
        id: "SHARD-3",
        kind: "ShardsUncovered",
        severity: Severity::Deny,
        moments: ALWAYS,
        protects: "Every shard has an owner that serves: data without one can be neither read nor written.",
        advice: "Bring the owner of the missing shards back, or give them another one with the system's own tool.",
        check: coverage,
    },
    Invariant {
        id: "SHARD-4",
        kind: "ShardMoving",
        severity: Severity::Defer,
        moments: ALWAYS,
        protects: "No member comes or goes while a shard is between two owners (OT-CONTAINER-KIT/redis-operator#1647).",
        advice: "Wait until the move has ended. If it stands still, finish it with the system's own tool.",
        check: none_open,
    },
    Invariant {
        id: "SHARD-5",
        kind: "ShardTornApart",
        severity: Severity::Deny,
        moments: ALWAYS,
        protects: "A shard goes as a whole, after its data has moved: a member that is left behind would have no data, or the only copy.",
        advice: "Let the members of one shard be those that go: move replicas, or fail over, as the message says.",
        check: movable,
    },
    Invariant {
        id: "SHARD-6",
        kind: "TooFewOwners",
        severity: Severity::Deny,
        moments: ADMISSION,
        protects: "As many members own shards as the system needs to agree on a failover (Redis Cluster: three masters).",
        advice: "Keep more members.",
        check: owners,
    },
];

/// The map; none where there is nothing to ask, or nobody knows, which EVID-1 tells.
fn map<'a>(case: &'a Case) -> Result<&'a ShardMap, Finding> {
    match &case.snapshot.shards {
        Fact::Known(known) => Ok(&known.value),
        Fact::NotApplicable if case.profile.lacks(Topic::Shards) => Err(Finding::Pass),
        Fact::NotApplicable | Fact::Unknown { .. } => Err(Finding::unknown("the map of shards")),
    }
}

fn coverage(case: &Case) -> Finding {
    let map = match map(case) {
        Ok(map) => map,
        Err(finding) => return finding,
    };
    if map.covered >= map.count {
        return Finding::Pass;
    }
    let word = map.scheme.word();
    Finding::broken(
        format!("{} of {} {word}s have an owner that serves", map.covered, map.count),
        "bring the owners of the others back",
    )
}

/// Whether the effect leaves who the members are as it is: a plan's own moves, and what gives a member back.
fn moves_only(case: &Case) -> bool {
    case.membership_effect() == Some(MembershipEffect::Stays)
}

fn none_open(case: &Case) -> Finding {
    let map = match map(case) {
        Ok(map) => map,
        Err(finding) => return finding,
    };
    if map.open == 0 || moves_only(case) {
        return Finding::Pass;
    }
    let open = u32::try_from(map.open).unwrap_or(u32::MAX);
    Finding::broken(
        format!("{} between two owners", count(open, map.scheme.word())),
        "wait until the move has ended",
    )
}

/// Where data moves, those that go must hold whole shards, and there must be a step that moves them.
fn movable(case: &Case) -> Finding {
    if !case.removes() || case.profile.lacks(Topic::Shards) || !case.profile.moves_data() {
        return Finding::Pass;
    }
    let gone = case.victim_ids();
    let holds = |group: &Group| {
        group.placements.value().is_none_or(|copies| copies.iter().any(|copy| gone.contains(&copy.member)))
    };
    let held: Vec<&Group> = unit::data(case.snapshot).filter(|group| holds(group)).collect();
    if !held.is_empty() && step::shrinks_by(case.profile, step::DRAIN).is_none() {
        let names = listed(held.iter().map(|group| called(group)), ", ");
        return Finding::broken(
            format!("nothing moves {names} to another member"),
            "move the data by hand first; this system cannot be asked to",
        );
    }
    // A single copy that goes is another matter: RED-3 and RED-4 ask for the others. That a part of a unit is wished for, which
    // no plan removes, STEP-5 says.
    let is_part = case.verb().is_none() && !case.to.is_multiple_of(case.profile.unit());
    if !unit::shares(case.snapshot) || case.change.ends() || is_part {
        return Finding::Pass;
    }
    super::each_group(held.into_iter(), "a whole shard must go", |group| {
        let name = called(group);
        let copies = group.placements.value().ok_or_else(|| format!("the placements of {name}"))?;
        let stays = copies.iter().filter(|copy| !gone.contains(&copy.member));
        let stays: Vec<String> = stays.map(|copy| copy.member.to_string()).collect();
        let goes: Vec<String> = copies
            .iter()
            .map(|copy| &copy.member)
            .filter(|id| gone.contains(*id))
            .map(ToString::to_string)
            .collect();
        let say =
            || format!("{name}: {} would go, {} would stay", listed(goes, ", "), listed(stays.clone(), ", "));
        Ok((!stays.is_empty()).then(say).into_iter().collect())
    })
}

/// Asked before a plan begins: who owns nothing yet, or nothing any more, is no owner that is lost.
fn owners(case: &Case) -> Finding {
    let map = match map(case) {
        Ok(map) => map,
        Err(finding) => return finding,
    };
    if !case.removes() || map.least_owners == 0 {
        return Finding::Pass;
    }
    let gone = case.victim_ids();
    let mut lost = BTreeSet::new();
    for group in groups::all(case.snapshot).iter().filter(|group| group.kind == GroupKind::Data) {
        match group.leader.value() {
            Some(leader) if gone.contains(leader) => {
                lost.insert(leader);
            }
            Some(_) => {}
            None => return Finding::unknown(format!("the leader of {}", called(group))),
        }
    }
    let left = map.owners.saturating_sub(u32::try_from(lost.len()).unwrap_or(u32::MAX));
    if left >= map.least_owners {
        return Finding::Pass;
    }
    Finding::broken(
        format!("{left} members would own {}s, {} are needed", map.scheme.word(), map.least_owners),
        "keep more members",
    )
}
