//! What is true of Redis Cluster. Sources: Redis' cluster specification and its guide to scaling (an empty node is added, then
//! slots move; a node is forgotten by all others within a minute).

use super::RedisSettings;
use plimsoll_core::profile::{members_come_and_go, one_way, step};
use plimsoll_core::step::{ADMIT, CATCH_UP, CORDON, DEREGISTER, DRAIN, SETTLE, SPREAD, START, STOP, VERIFY};
use plimsoll_wire::profile::{Evidence, Profile, Topic};
use std::collections::BTreeSet;

/// How members come and go, with one replica of each master.
pub(super) fn profile() -> Profile {
    with(&RedisSettings::default(), kind())
}

/// The same with these settings: a shard is a master and its replicas, and three shards have to stay.
pub(super) fn with(settings: &RedisSettings, of_the_kind: Profile) -> Profile {
    let unit = settings.replicas.saturating_add(1);
    Profile { unit, min_size: unit.saturating_mul(super::report::LEAST_OWNERS), ..of_the_kind }
}

fn kind() -> Profile {
    Profile {
        system: super::WORD.into(),
        evidence: Evidence::Empty,
        scale_in: false,
        ways: members_come_and_go(
            vec![step(START), step(ADMIT), step(CATCH_UP), one_way(SPREAD), step(SETTLE)],
            vec![step(CORDON), step(DRAIN), step(VERIFY), one_way(DEREGISTER), one_way(STOP), step(SETTLE)],
        ),
        // Nobody knows how fast slots move before some have; a node's memory stands for its disk.
        absent: BTreeSet::from([
            Topic::JointConfig,
            Topic::Growth,
            Topic::DrainRate,
            Topic::Cpu,
            Topic::Network,
            Topic::Pending,
        ]),
        ..Profile::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core::profile::{NAMED, ORDINALS, compose};

    #[test]
    fn the_profile_has_no_flaw_on_any_platform() {
        for platform in [NAMED, ORDINALS] {
            assert_eq!(compose(&profile(), &platform).err(), None);
        }
    }

    #[test]
    fn a_unit_is_a_shard_and_three_of_them_have_to_stay() {
        let sized = |replicas| {
            let profile = with(&RedisSettings { replicas, ..RedisSettings::default() }, profile());
            (profile.unit, profile.min_size)
        };
        assert_eq!([0, 1, 2].map(sized), [(1, 3), (2, 6), (3, 9)]);
    }
}
