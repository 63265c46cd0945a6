//! Records to write into an audit log.

use plimsoll_wire::record::{Body, Record};
use plimsoll_wire::snapshot::Now;
use plimsoll_wire::{FORMAT_VERSION, Snapshot};
use serde_json::json;

/// The target of all these records.
pub const TARGET: &str = "shop/db";

fn now(number: u64) -> Now {
    Now { mono_ms: number, wall_ms: 1_800_000_000_000, boot: "boot".into() }
}

/// A record that says something of `detail_bytes` bytes.
#[must_use]
pub fn trouble(number: u64, detail_bytes: usize) -> Record {
    let body = Body::Trouble { what: "test".to_owned(), detail: "x".repeat(detail_bytes) };
    Record {
        format_version: FORMAT_VERSION,
        decision_id: number.to_string().into(),
        target: TARGET.into(),
        now: now(number),
        body,
    }
}

/// A decision, which goes with [`snapshot`].
///
/// # Errors
/// When the wire format has changed under it.
pub fn decision(number: u64) -> serde_json::Result<Record> {
    let body = serde_json::from_value(json!({
        "kind": "decision", "mode": "dryrun", "sizes": {"members": 3},
        "answers": [{"from": {"policy": "load"}, "sizes": {"members": 3}, "reason": {"code": "Steady", "message": "load is at its goal"}}],
        "wish": {"sizes": {"members": 3}, "from": {"policy": "load"}, "rule": "only-wish"},
        "judgement": {"verdict": "allow"}, "reason": {"code": "Steady"},
    }))?;
    Ok(Record { body, ..trouble(number, 0) })
}

/// A snapshot that knows nothing, different for every number.
///
/// # Errors
/// When the wire format has changed under it.
pub fn snapshot(number: u64) -> serde_json::Result<Snapshot> {
    let gap = json!({"state": "unknown", "reason": {"kind": "not-scraped"}});
    serde_json::from_value(json!({
        "formatVersion": FORMAT_VERSION, "now": now(number),
        "target": {"key": TARGET, "system": "etcd", "platform": "exec", "mode": "dryrun", "bounds": {"members": {"min": 1, "max": 9}}},
        "profile": plimsoll_wire::profile::Profile::default(),
        "sizes": {"members": gap}, "fingerprint": gap, "epoch": gap, "generation": gap, "owner": gap, "members": gap,
        "vacant": gap, "groups": gap, "shards": gap, "operations": gap, "debts": gap,
    }))
}
