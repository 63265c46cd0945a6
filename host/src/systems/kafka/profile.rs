//! What is true of Kafka in KRaft mode. Source: Kafka's own operations guide (no data moves by itself; a broker is emptied,
//! stopped, and then its registration is removed) and what its operators check before they remove a broker.

use plimsoll_core::profile::{members_come_and_go, one_way, step};
use plimsoll_core::step::{CATCH_UP, CORDON, DRAIN, PAY_DEBTS, SETTLE, SPREAD, START, STOP, VERIFY};
use plimsoll_wire::profile::{Evidence, Profile, Together, Topic};
use std::collections::BTreeSet;

/// How brokers come and go.
pub(super) fn profile() -> Profile {
    Profile {
        system: super::WORD.into(),
        evidence: Evidence::Empty,
        picks_leader: true,
        scale_in: true,
        // Copies are chosen for all of them at once, and each moves once.
        together: Together { join: 3, drain: 3 },
        ways: members_come_and_go(
            vec![step(START), step(CATCH_UP), one_way(SPREAD), step(PAY_DEBTS), step(SETTLE)],
            vec![step(CORDON), step(DRAIN), step(VERIFY), one_way(STOP), step(PAY_DEBTS), step(SETTLE)],
        ),
        absent: BTreeSet::from([
            Topic::ConfigVersion,
            Topic::JointConfig,
            Topic::Growth,
            Topic::DrainRate,
            Topic::Cpu,
            Topic::Memory,
            Topic::Network,
            // A broker tells of no setting that waits for a restart.
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
}
