//! The mark of a shard that is on its way out.
//!
//! Redis has no cordon. A master that has lost its last slot turns into somebody's replica, and its own replicas move to
//! another master, unless `cluster-allow-replica-migration` is `no`. Owners set that for good, too, so it is no mark by itself:
//! the mark is `cluster-migration-barrier`, which has no meaning where replicas may not migrate, and which keeps what both
//! settings were before.

use super::reading::Settings;

/// Where marks begin. Nobody has so many replicas.
const MARK: u64 = 1_000_000_000;
/// The largest barrier that a mark can keep.
const MOST: u64 = 400_000_000;

/// What `cluster-allow-replica-migration` and `cluster-migration-barrier` are set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Migration {
    pub(super) allowed: bool,
    pub(super) barrier: u64,
}

impl Migration {
    /// The words of `CONFIG SET`.
    pub(super) fn order(&self) -> [String; 6] {
        let allowed = if self.allowed { "yes" } else { "no" };
        let (allow, barrier) = ("cluster-allow-replica-migration", "cluster-migration-barrier");
        ["CONFIG", "SET", allow, allowed, barrier, &self.barrier.to_string()].map(str::to_owned)
    }
}

/// What a node that is marked was set to before; none where it is not marked.
pub(super) fn before(settings: &Settings) -> Option<Migration> {
    let kept = settings.barrier.checked_sub(MARK).filter(|_| !settings.migrates)?;
    Some(Migration { allowed: kept % 2 == 1, barrier: kept / 2 })
}

/// What marks a node.
pub(super) fn mark(settings: &Settings) -> Migration {
    let barrier = settings.barrier.min(MOST);
    Migration { allowed: false, barrier: MARK + barrier * 2 + u64::from(settings.migrates) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(migrates: bool, barrier: u64) -> Settings {
        Settings { persistent: true, migrates, barrier, min_replicas: 0 }
    }

    #[test]
    fn a_mark_keeps_what_was_set_before_it() {
        for (migrates, barrier) in [(true, 1), (false, 1), (true, 0), (false, MOST)] {
            let marked = mark(&set(migrates, barrier));
            assert!(!marked.allowed);
            assert_eq!(before(&set(migrates, barrier)), None);
            let found = before(&set(false, marked.barrier));
            assert_eq!(found, Some(Migration { allowed: migrates, barrier }));
        }
    }

    #[test]
    fn a_mark_is_none_while_replicas_may_migrate() {
        assert_eq!(before(&set(true, mark(&set(true, 1)).barrier)), None);
    }

    #[test]
    fn the_largest_mark_fits_what_redis_takes() {
        assert!(mark(&set(true, u64::MAX)).barrier <= u64::from(u32::MAX / 2));
    }
}
