//! What is true of PostgreSQL with streaming replication. Source: the manual's chapter on high availability (a slot before its
//! standby; a slot that nobody uses keeps log until the disk is full).

use plimsoll_core::profile::{members_come_and_go, one_way, step};
use plimsoll_core::step::{
    CATCH_UP, CORDON, MOVE_LEADERS, PAY_DEBTS, PROMOTE, REGISTER, SETTLE, START, STOP, VERIFY,
};
use plimsoll_wire::profile::{Evidence, Profile, Topic};
use std::collections::BTreeSet;

/// How members come and go.
pub(super) fn profile() -> Profile {
    Profile {
        system: super::WORD.into(),
        registers_first: true,
        // Every member holds everything.
        evidence: Evidence::Replaceable,
        scale_in: true,
        ways: members_come_and_go(
            vec![step(REGISTER), step(START), step(CATCH_UP), one_way(PROMOTE), step(SETTLE)],
            vec![
                step(MOVE_LEADERS),
                step(CORDON),
                step(VERIFY),
                one_way(STOP),
                step(PAY_DEBTS),
                step(SETTLE),
            ],
        ),
        // Nothing moves when one goes, so nobody needs room for it.
        absent: BTreeSet::from([
            Topic::ConfigVersion,
            Topic::JointConfig,
            Topic::Load,
            Topic::Disk,
            Topic::Growth,
            Topic::DrainRate,
            Topic::Cpu,
            Topic::Memory,
            Topic::Network,
            Topic::Shards,
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
}
