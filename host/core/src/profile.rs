//! The profile of a target, composed of what is true of its system and what is true of its platform, and what a profile
//! must not say.

use crate::step;
use plimsoll_wire::profile::{Evidence, Phase, Profile, Together, Topic, Victim, Ways};
use plimsoll_wire::size::{Dimension, Each, Sizes};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

/// What is true of a kind of platform.
#[derive(Clone, Copy, Debug)]
pub struct Platform {
    /// Which member goes.
    pub victim: Victim,
    /// Facts that it does not tell.
    pub absent: &'static [Topic],
}

/// Members are named, and nothing tells what was asked for and what has been acted on: the owner's commands.
pub const NAMED: Platform = Platform { victim: Victim::Named, absent: &[Topic::Generation] };

/// The highest ordinal goes, and the controller tells what it has acted on: a StatefulSet.
pub const ORDINALS: Platform = Platform { victim: Victim::HighestOrdinal, absent: &[] };

/// The simulator: members are named, and everything is told.
pub const SIMULATED: Platform = Platform { victim: Victim::Named, absent: &[] };

/// The profile of a system on a platform.
///
/// # Errors
/// Every flaw of it, in words.
pub fn compose(system: &Profile, platform: &Platform) -> Result<Arc<Profile>, Vec<String>> {
    let profile = on(system, platform);
    let flaws = flaws(&profile);
    if flaws.is_empty() { Ok(Arc::new(profile)) } else { Err(flaws) }
}

fn on(system: &Profile, platform: &Platform) -> Profile {
    let absent = system.absent.iter().chain(platform.absent).copied().collect();
    Profile { victim: platform.victim, absent, ..system.clone() }
}

/// What a profile must not say: a plan by it would come to a standstill, or remove what nothing was proved of.
#[must_use]
pub fn flaws(profile: &Profile) -> Vec<String> {
    let mut flaws = Vec::new();
    for (list, phases) in [("grow", profile.grow()), ("shrink", profile.shrink())] {
        flaws.extend(unknown_steps(list, phases));
    }
    let grows = |name: &str| profile.grow().iter().position(|phase| &*phase.step == name);
    let shrinks = |name: &str| profile.shrink().iter().position(|phase| &*phase.step == name);
    let stop = shrinks(step::STOP);
    let mut must = |holds: bool, flaw: &str| {
        if !holds {
            flaws.push(flaw.to_owned());
        }
    };
    let moved = profile.ways.each().all(|(dimension, _)| dimension == Dimension::Members);
    must(moved, "ways: no plan changes anything but members");
    let single = profile.together == Together::default();
    must(
        single || profile.moves_data() && !profile.members_vote,
        "together: only where data moves by itself and members do not vote can several change at the same time",
    );
    must(profile.together.join > 0 && profile.together.drain > 0, "together: at least one changes at a time");
    must(profile.unit > 0, "unit: a unit has at least one member");
    must(profile.min_size > 0, "minSize: a system has at least one member");
    must(grows(step::START).is_some(), "grow: there is no step start");
    must(stop.is_some(), "shrink: there is no step stop");
    must(
        profile.shrink().iter().any(|phase| phase.no_return && &*phase.step == step::STOP),
        "shrink: the step stop cannot be taken back, and must say noReturn",
    );
    must(
        !profile.registers_first
            || grows(step::REGISTER) < grows(step::START) && grows(step::REGISTER).is_some(),
        "grow: the step register must come before start where members are registered first",
    );
    let proof = match profile.evidence {
        Evidence::Unlisted => {
            Some((step::DEREGISTER, "shrink: deregister must come before stop, since it is the proof"))
        }
        Evidence::Empty => {
            Some((step::VERIFY, "shrink: verify must come before stop, since it is the proof"))
        }
        Evidence::Replaceable => None,
    };
    if let Some((name, flaw)) = proof {
        must(shrinks(name).is_some() && shrinks(name) < stop, flaw);
    }
    flaws
}

/// Why some of these sizes cannot change here, if so.
#[must_use]
pub fn fixed(profile: &Profile, sizes: &Sizes) -> Option<String> {
    let (dimension, _) = sizes.each().find(|(dimension, _)| profile.ways.get(*dimension).is_none())?;
    let can: Vec<&str> = profile.ways.each().map(|(dimension, _)| dimension.word()).collect();
    Some(format!("{} cannot change {}; it can change {}", profile.system, dimension.word(), can.join(", ")))
}

fn unknown_steps(list: &str, phases: &[Phase]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut flaws = Vec::new();
    for phase in phases {
        if step::find(&phase.step).is_none() {
            let known: Vec<&str> = step::all().map(|step| step.name).collect();
            flaws.push(format!("{list}: {} is not one of {}", phase.step, known.join(", ")));
        }
        if !seen.insert(&phase.step) {
            flaws.push(format!("{list}: {} stands there twice", phase.step));
        }
    }
    flaws
}

/// A step that can be taken back.
#[must_use]
pub fn step(name: &str) -> Phase {
    Phase { step: name.into(), no_return: false }
}

/// A step that the system cannot take back.
#[must_use]
pub fn one_way(name: &str) -> Phase {
    Phase { step: name.into(), no_return: true }
}

/// The ways of a system whose members come by the first steps and go by the second.
#[must_use]
pub fn members_come_and_go(grow: Vec<Phase>, shrink: Vec<Phase>) -> Each<Ways> {
    Each::of_members(Ways { grow, shrink })
}

/// etcd 3.4 to 3.6. Source: etcd's runtime reconfiguration guide
/// (register first, start second; learner first; remove before stop).
#[must_use]
pub fn etcd() -> Profile {
    Profile {
        system: "etcd".into(),
        unit: 1,
        min_size: 1,
        // Our own default: every member confirms every write, more than seven only slow it down.
        max_voters: Some(7),
        members_vote: true,
        registers_first: true,
        evidence: Evidence::Unlisted,
        picks_leader: false,
        victim: Victim::Named,
        scale_in: true,
        // Each change of voters is one, and is committed before the next.
        together: Together::default(),
        // etcd's HealthInterval: before it has passed, a change is refused with "unhealthy cluster".
        connected_ms: 6_000,
        disk_watermark_permille: 1_000,
        ways: members_come_and_go(
            vec![
                step(step::REGISTER),
                step(step::START),
                step(step::CATCH_UP),
                one_way(step::PROMOTE),
                step(step::BARRIER),
                step(step::SETTLE),
            ],
            vec![
                step(step::MOVE_LEADERS),
                one_way(step::DEREGISTER),
                step(step::BARRIER),
                one_way(step::STOP),
                step(step::SETTLE),
                step(step::PAY_DEBTS),
            ],
        ),
        // Every member holds everything: nothing moves when one goes, so nobody needs room for it.
        absent: BTreeSet::from([
            Topic::ConfigVersion,
            Topic::Copies,
            Topic::Hosted,
            Topic::Load,
            Topic::Disk,
            Topic::Growth,
            Topic::DrainRate,
            Topic::Cpu,
            Topic::Memory,
            Topic::Network,
            // Its settings are those that it was started with.
            Topic::Pending,
            Topic::Shards,
        ]),
    }
}

/// The simulator's quorum group: an etcd without the parts that need a network.
#[must_use]
pub fn sim_quorum() -> Profile {
    let etcd = etcd();
    let absent = etcd.absent.iter().copied().filter(|topic| *topic != Topic::Pending).collect();
    Profile { system: "sim-quorum".into(), connected_ms: 0, absent, ..etcd }
}

/// The simulator's sharded world with replication, modelled on systems that drain and then stop.
#[must_use]
pub fn sim_sharded() -> Profile {
    Profile {
        system: "sim-sharded".into(),
        max_voters: None,
        members_vote: false,
        registers_first: false,
        evidence: Evidence::Empty,
        picks_leader: true,
        connected_ms: 0,
        disk_watermark_permille: 850,
        ways: members_come_and_go(
            vec![step(step::START), step(step::CATCH_UP), one_way(step::REBALANCE), step(step::SETTLE)],
            vec![
                step(step::CORDON),
                step(step::MOVE_LEADERS),
                step(step::DRAIN),
                step(step::VERIFY),
                one_way(step::STOP),
                step(step::SETTLE),
                step(step::PAY_DEBTS),
            ],
        ),
        absent: BTreeSet::from([Topic::ConfigVersion, Topic::JointConfig, Topic::Shards]),
        ..etcd()
    }
}

/// The same, and several members may come, or give their data away, at the same time.
#[must_use]
pub fn sim_together() -> Profile {
    Profile { system: "sim-together".into(), together: Together { join: 3, drain: 3 }, ..sim_sharded() }
}

/// The simulator's cluster of shards, each a primary and a replica, modelled on Redis Cluster.
#[must_use]
pub fn sim_shards() -> Profile {
    let sharded = sim_sharded();
    let absent = sharded.absent.iter().copied().filter(|topic| *topic != Topic::Shards).collect();
    Profile {
        system: "sim-shards".into(),
        unit: 2,
        // Three primaries agree on a failover, and each has its replica.
        min_size: 6,
        ways: members_come_and_go(
            vec![
                step(step::START),
                step(step::ADMIT),
                step(step::CATCH_UP),
                one_way(step::SPREAD),
                step(step::SETTLE),
            ],
            vec![
                step(step::CORDON),
                step(step::DRAIN),
                step(step::VERIFY),
                one_way(step::DEREGISTER),
                one_way(step::STOP),
                step(step::SETTLE),
            ],
        ),
        absent,
        ..sharded
    }
}

/// etcd by the owner's commands.
pub static ETCD: LazyLock<Arc<Profile>> = LazyLock::new(|| Arc::new(on(&etcd(), &NAMED)));

/// etcd in the pods of a StatefulSet.
pub static ETCD_ON_ORDINALS: LazyLock<Arc<Profile>> = LazyLock::new(|| Arc::new(on(&etcd(), &ORDINALS)));

/// The simulator's quorum group.
pub static SIM_QUORUM: LazyLock<Arc<Profile>> = LazyLock::new(|| Arc::new(on(&sim_quorum(), &SIMULATED)));

/// The simulator's sharded world.
pub static SIM_SHARDED: LazyLock<Arc<Profile>> = LazyLock::new(|| Arc::new(on(&sim_sharded(), &SIMULATED)));

/// The simulator's sharded world in which several members change at the same time.
pub static SIM_TOGETHER: LazyLock<Arc<Profile>> = LazyLock::new(|| Arc::new(on(&sim_together(), &SIMULATED)));

/// The simulator's cluster of shards.
pub static SIM_SHARDS: LazyLock<Arc<Profile>> = LazyLock::new(|| Arc::new(on(&sim_shards(), &SIMULATED)));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_that_are_built_in_have_no_flaw() {
        for profile in [&ETCD, &ETCD_ON_ORDINALS, &SIM_QUORUM, &SIM_SHARDED, &SIM_TOGETHER, &SIM_SHARDS] {
            assert_eq!(flaws(profile), Vec::<String>::new(), "{}", profile.system);
        }
    }

    #[test]
    fn every_flaw_of_a_profile_is_named() {
        let mut profile = sim_sharded();
        profile.unit = 0;
        let ways = profile.ways.members.as_mut().expect("its members come and go");
        ways.grow.push(step("start"));
        ways.shrink.retain(|phase| &*phase.step != step::VERIFY);
        ways.shrink.push(step("vanish"));
        let flaws = compose(&profile, &NAMED).expect_err("it has flaws");
        let has = |word: &str| flaws.iter().any(|flaw| flaw.contains(word));
        assert!(has("start stands there twice") && has("vanish is not one of"), "{flaws:?}");
        assert!(has("unit: ") && has("verify must come before stop") && flaws.len() == 4, "{flaws:?}");
    }

    #[test]
    fn a_fact_is_absent_where_system_or_platform_has_none() {
        let named = on(&etcd(), &NAMED);
        assert!(named.lacks(Topic::Generation) && named.lacks(Topic::Copies) && !named.lacks(Topic::Volume));
        assert!(!ETCD_ON_ORDINALS.lacks(Topic::Generation));
    }
}
