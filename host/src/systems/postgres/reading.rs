//! What one server is asked, and its rows as values: nobody draws a conclusion here.
//!
//! Everything is asked for as text, so that no type of a server's version has to be known, and each list has a limit one
//! above what is taken: whoever has more is not read in part.

use super::lsn::Lsn;
use std::collections::BTreeMap;
use std::str::FromStr;

/// The oldest and the newest major version whose views are known.
pub(super) const VERSIONS: std::ops::RangeInclusive<u32> = 13..=18;
/// The most rows that a list may have.
pub(super) const MOST_ROWS: usize = 256;

/// A row: each column that is not null.
pub(super) type Row = BTreeMap<String, String>;

/// The version alone, so that the other questions can be asked in its words.
pub(super) const VERSION: &str = "SELECT current_setting('server_version_num') AS version";

/// The replication slots.
pub(super) const SLOTS: &str = "SELECT slot_name::text AS name, slot_type::text AS kind, temporary::text AS temporary, \
     active_pid::text AS pid, restart_lsn::text AS restart, wal_status::text AS wal \
     FROM pg_replication_slots ORDER BY slot_name LIMIT 257";

/// Who follows this server. How old a reply is, is told by two clocks; where they differ by much a standby does not count.
pub(super) const FOLLOWERS: &str = "SELECT pid::text AS pid, application_name::text AS name, state::text AS state, \
     sync_state::text AS sync, flush_lsn::text AS flushed, replay_lsn::text AS replayed, \
     (extract(epoch FROM clock_timestamp() - reply_time) * 1000)::bigint::text AS reply \
     FROM pg_stat_replication ORDER BY pid LIMIT 257";

/// What a server says of itself. A setting of the command line that the files have otherwise is called pending for ever: a
/// restart would not change it.
pub(super) fn own_question(version: u32) -> String {
    let paused = if version >= 14 {
        "pg_get_wal_replay_pause_state()"
    } else {
        "CASE WHEN pg_is_wal_replay_paused() THEN 'paused' ELSE 'not paused' END"
    };
    format!(
        "SELECT (SELECT system_identifier FROM pg_control_system())::text AS system, \
         pg_is_in_recovery()::text AS recovery, \
         (extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()) * 1000)::bigint::text AS up, \
         CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn()::text END AS flushed, \
         CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END AS timeline, \
         pg_last_wal_replay_lsn()::text AS replayed, \
         CASE WHEN pg_is_in_recovery() THEN {paused} END AS replay, \
         (SELECT status FROM pg_stat_wal_receiver) AS receiver, \
         (SELECT received_tli::text FROM pg_stat_wal_receiver) AS received_timeline, \
         current_setting('synchronous_standby_names') AS names, \
         current_setting('default_transaction_read_only') AS read_only, \
         (SELECT count(*) FROM pg_settings WHERE pending_restart AND source <> 'command line')::text AS pending, \
         current_setting('primary_conninfo', true) AS conninfo"
    )
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// The id that a cluster is given when it is founded, and that all its copies have.
    pub(super) system: String,
    pub(super) up_ms: u64,
    pub(super) side: Side,
    /// `synchronous_standby_names`, as it is in force.
    pub(super) names: String,
    /// Whether transactions may write only where they say so: our fence.
    pub(super) read_only: bool,
    /// How many settings wait for a restart.
    pub(super) pending: u64,
    /// `primary_conninfo`; none where the role may not see it.
    pub(super) conninfo: Option<String>,
}

/// Which side of replication a server is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// It takes writes.
    Primary {
        /// What is on its disk.
        flushed: Lsn,
        timeline: u32,
    },
    /// It follows.
    Standby {
        replayed: Option<Lsn>,
        /// Whether replay goes on.
        replays: bool,
        /// The timeline that it receives, where it receives one.
        timeline: Option<u32>,
    },
}

/// A server's view of one that follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Follower {
    pub(super) pid: i64,
    /// Its `application_name`.
    pub(super) name: String,
    /// `streaming`, `catchup`, `backup`, ...
    pub(super) state: String,
    pub(super) flushed: Option<Lsn>,
    pub(super) replayed: Option<Lsn>,
    /// How old its last reply is.
    pub(super) reply_ms: Option<i64>,
}

/// A replication slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keep {
    pub(super) name: String,
    pub(super) physical: bool,
    pub(super) temporary: bool,
    /// Who uses it now.
    pub(super) pid: Option<i64>,
    /// From where on log is kept; none where it was never used.
    pub(super) restart: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved`, `lost`.
    pub(super) wal: Option<String>,
}

impl Keep {
    /// Whether it waits for its first user. A lost slot has no position either, and can never be used again.
    pub(super) fn is_fresh(&self) -> bool {
        self.pid.is_none() && self.restart.is_none() && self.wal.as_deref() != Some("lost")
    }
}

/// Everything that one server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answers {
    /// The major version.
    pub(super) version: u32,
    pub(super) own: Own,
    pub(super) followers: Vec<Follower>,
    pub(super) keeps: Vec<Keep>,
}

/// The major version, where it is one whose views are known.
pub(super) fn version(rows: &[Row]) -> Result<u32, String> {
    let number: u32 = column(only(rows)?, "version")?;
    let major = number / 10_000;
    if VERSIONS.contains(&major) {
        return Ok(major);
    }
    Err(format!("it is PostgreSQL {major}; {} to {} are supported", VERSIONS.start(), VERSIONS.end()))
}

/// What a server says of itself.
pub(super) fn own(rows: &[Row]) -> Result<Own, String> {
    let row = only(rows)?;
    let side = if flag(row, "recovery")? {
        Side::Standby {
            replayed: lsn(row, "replayed")?,
            replays: row.get("replay").is_some_and(|state| state == "not paused"),
            timeline: match row.get("receiver").map(String::as_str) {
                Some("streaming") => optional(row, "received_timeline")?,
                Some(_) | None => None,
            },
        }
    } else {
        let timeline = text(row, "timeline")?;
        Side::Primary {
            flushed: lsn(row, "flushed")?.ok_or("it does not say what is on its disk")?,
            timeline: u32::from_str_radix(timeline, 16)
                .map_err(|_| format!("its timeline {timeline:?} is no number"))?,
        }
    };
    Ok(Own {
        system: text(row, "system")?.to_owned(),
        up_ms: column::<i64>(row, "up")?.try_into().unwrap_or(0),
        side,
        names: text(row, "names")?.to_owned(),
        read_only: flag(row, "read_only")?,
        pending: column(row, "pending")?,
        conninfo: row.get("conninfo").filter(|text| !text.is_empty()).cloned(),
    })
}

pub(super) fn followers(rows: &[Row]) -> Result<Vec<Follower>, String> {
    whole(rows, "followers")?;
    let one = |row: &Row| {
        Ok(Follower {
            pid: column(row, "pid")?,
            name: row.get("name").cloned().unwrap_or_default(),
            // Null is what a role sees that may not read statistics of others.
            state: row
                .get("state")
                .cloned()
                .ok_or("the role may not read pg_stat_replication (pg_monitor may)")?,
            flushed: lsn(row, "flushed")?,
            replayed: lsn(row, "replayed")?,
            reply_ms: optional(row, "reply")?,
        })
    };
    rows.iter().map(one).collect()
}

pub(super) fn keeps(rows: &[Row]) -> Result<Vec<Keep>, String> {
    whole(rows, "replication slots")?;
    let one = |row: &Row| {
        Ok(Keep {
            name: text(row, "name")?.to_owned(),
            physical: text(row, "kind")? == "physical",
            temporary: flag(row, "temporary")?,
            pid: optional(row, "pid")?,
            restart: lsn(row, "restart")?,
            wal: row.get("wal").cloned(),
        })
    };
    rows.iter().map(one).collect()
}

fn whole(rows: &[Row], what: &str) -> Result<(), String> {
    if rows.len() > MOST_ROWS { Err(format!("it has more than {MOST_ROWS} {what}")) } else { Ok(()) }
}

fn only(rows: &[Row]) -> Result<&Row, String> {
    match rows {
        [row] => Ok(row),
        other => Err(format!("it answered {} rows where one is expected", other.len())),
    }
}

fn text<'a>(row: &'a Row, name: &str) -> Result<&'a str, String> {
    row.get(name).map(String::as_str).ok_or_else(|| format!("its answer has no `{name}`"))
}

fn column<T: FromStr>(row: &Row, name: &str) -> Result<T, String> {
    let found = text(row, name)?;
    found.parse().map_err(|_| format!("its `{name}` is {:?}", clip(found)))
}

fn optional<T: FromStr>(row: &Row, name: &str) -> Result<Option<T>, String> {
    if row.contains_key(name) { column(row, name).map(Some) } else { Ok(None) }
}

fn lsn(row: &Row, name: &str) -> Result<Option<Lsn>, String> {
    let Some(found) = row.get(name) else { return Ok(None) };
    Lsn::parse(found).map(Some).ok_or_else(|| format!("its `{name}` is {:?}", clip(found)))
}

fn flag(row: &Row, name: &str) -> Result<bool, String> {
    match text(row, name)? {
        "true" | "on" | "t" => Ok(true),
        "false" | "off" | "f" => Ok(false),
        other => Err(format!("its `{name}` is {:?}", clip(other))),
    }
}

fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests;
