//! The statements that change something. Each names what must still be true of the server that carries it out, wherever SQL
//! lets it: where it is not, nothing happens and no row comes back.

/// Which server a statement is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// The primary that was read: of this system and on this timeline.
    Primary { system: String, timeline: u32 },
    /// A standby of this system.
    Standby { system: String },
}

impl Guard {
    /// A condition in SQL. `CASE` keeps the order: a standby has no position of its own to ask for.
    pub(super) fn condition(&self) -> String {
        let system = |system: &str| {
            format!("(SELECT system_identifier FROM pg_control_system())::text = {}", literal(system))
        };
        match self {
            Self::Primary { system: id, timeline } => format!(
                "CASE WHEN pg_is_in_recovery() THEN false ELSE {} AND \
                 left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) = '{timeline:08X}' END",
                system(id)
            ),
            Self::Standby { system: id } => {
                format!("CASE WHEN pg_is_in_recovery() THEN {} ELSE false END", system(id))
            }
        }
    }
}

/// A string in SQL. Connections set `standard_conforming_strings`, so that a backslash is one.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Makes a physical slot that keeps nothing until it is used.
pub(super) fn create_slot(name: &str, guard: &Guard) -> String {
    format!("SELECT pg_create_physical_replication_slot({}) WHERE {}", literal(name), guard.condition())
}

/// Drops a slot that nobody uses and makes it again: what it kept was for a member that did not come.
pub(super) fn remake_slot(name: &str, guard: &Guard) -> String {
    let name = literal(name);
    format!(
        "SELECT pg_drop_replication_slot({name}), pg_create_physical_replication_slot({name}) WHERE {}",
        guard.condition()
    )
}

/// Makes a slot that keeps log from now on, where there is none.
pub(super) fn prepare_slot(name: &str, guard: &Guard) -> String {
    let name = literal(name);
    format!(
        "SELECT pg_create_physical_replication_slot({name}, true) WHERE {} \
         AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = {name})",
        guard.condition()
    )
}

/// Drops a physical slot that nobody uses. The server refuses where somebody does.
pub(super) fn drop_slot(name: &str, guard: &Guard) -> String {
    format!(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
         WHERE slot_name = {} AND slot_type = 'physical' AND NOT active AND {}",
        literal(name),
        guard.condition()
    )
}

/// Whether the guard holds; for what cannot carry a condition.
pub(super) fn check(guard: &Guard) -> String {
    format!("SELECT 1 WHERE {}", guard.condition())
}

/// Sets a parameter for good. It takes effect with [`RELOAD`].
pub(super) fn set(parameter: &str, value: &str) -> String {
    format!("ALTER SYSTEM SET {parameter} = {}", literal(value))
}

/// Takes a parameter back that was set for good.
pub(super) fn reset(parameter: &str) -> String {
    format!("ALTER SYSTEM RESET {parameter}")
}

pub(super) const RELOAD: &str = "SELECT pg_reload_conf()";
pub(super) const SYNC_NAMES: &str = "synchronous_standby_names";
pub(super) const READ_ONLY: &str = "default_transaction_read_only";
pub(super) const CONNINFO: &str = "primary_conninfo";

/// The value that is in force in this session.
pub(super) fn show(parameter: &str) -> String {
    format!("SELECT current_setting({}) AS value", literal(parameter))
}

/// Makes this daemon the only one that changes anything here. The lock ends with the session.
pub(super) const LOCK: &str =
    "SELECT CASE WHEN pg_try_advisory_lock(7738150063188621) THEN 'true' ELSE 'false' END AS value";

/// A moment after which sessions begin under the fence.
pub(super) const CLOCK: &str = "SELECT clock_timestamp()::text AS value";

/// Ends sessions that began before a moment: their transactions may still write. Those of superusers only a superuser ends.
pub(super) fn end_sessions(before: &str) -> String {
    let before = literal(before);
    format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity JOIN pg_roles ON pg_roles.oid = usesysid \
         WHERE {OTHERS} AND NOT rolsuper AND backend_start < {before}::timestamptz"
    )
}

/// How many of them are left, and how many superusers have a transaction open that began before. A superuser's next one
/// begins under the fence.
pub(super) fn count_sessions(before: &str) -> String {
    let before = literal(before);
    format!(
        "SELECT count(*)::text AS value FROM pg_stat_activity JOIN pg_roles ON pg_roles.oid = usesysid \
         WHERE {OTHERS} AND CASE WHEN rolsuper THEN xact_start < {before}::timestamptz \
         ELSE backend_start < {before}::timestamptz END"
    )
}

const OTHERS: &str = "backend_type = 'client backend' AND pid <> pg_backend_pid()";

/// What the primary has written, what of it is on its disk, and what a standby has confirmed and replayed.
pub(super) fn positions(standby: &str) -> String {
    format!(
        "SELECT pg_current_wal_insert_lsn()::text AS written, pg_current_wal_flush_lsn()::text AS flushed, \
         least(flush_lsn, replay_lsn)::text AS confirmed \
         FROM pg_stat_replication WHERE application_name = {} AND state = 'streaming'",
        literal(standby)
    )
}

/// Makes a standby the primary, and waits until it is.
pub(super) fn promote(guard: &Guard, seconds: u64) -> String {
    format!("SELECT pg_promote(true, {seconds})::text AS value WHERE {}", guard.condition())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_cannot_end_its_statement() {
        assert_eq!(set("x", "a'; DROP TABLE t; --"), "ALTER SYSTEM SET x = 'a''; DROP TABLE t; --'");
        assert_eq!(literal("\\"), "'\\'");
    }

    #[test]
    fn a_statement_names_the_server_that_it_is_for() {
        let guard = Guard::Primary { system: "77".to_owned(), timeline: 26 };
        for statement in
            [create_slot("p2", &guard), remake_slot("p2", &guard), drop_slot("p2", &guard), check(&guard)]
        {
            assert!(statement.contains("= '77'") && statement.contains("'0000001A'"), "{statement}");
        }
        let guard = Guard::Standby { system: "77".to_owned() };
        assert!(promote(&guard, 5).contains("WHEN pg_is_in_recovery() THEN"));
    }
}
