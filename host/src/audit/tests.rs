//! The log on a disk that loses its power between any two calls, fails any one of them, or fills up.

#![allow(clippy::unwrap_used)]

use super::log::AuditLog;
use super::read::{EntryBody, entries};
use super::verify::verify_on;
use super::*;
use crate::testing::disk::{Fault, SimulatedDisk};
use plimsoll_wire::record::{Body, Record};
use plimsoll_wire::snapshot::Now;
use plimsoll_wire::{FORMAT_VERSION, Snapshot};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;

const RECORDS: usize = 50;

fn small() -> AuditConfig {
    AuditConfig {
        segment_bytes: 4 << 10,
        keep_bytes: 16 << 10,
        keep_ms: u64::MAX,
        keep_snapshot_bytes: 2_000,
        keep_snapshot_ms: u64::MAX,
        keep_snapshot_records: 12,
        ballast_bytes: 1 << 10,
        min_free_bytes: 0,
    }
}

fn outside() -> Outside {
    Outside { wall_ms: || 1_800_000_000_000, new_log: || Ok("log".to_owned()) }
}

fn record(number: usize, body: Body) -> Record {
    Record {
        format_version: FORMAT_VERSION,
        decision_id: number.to_string().into(),
        target: "shop/db".into(),
        now: now(number),
        body,
    }
}

fn now(number: usize) -> Now {
    Now { mono_ms: number as u64, wall_ms: 1_800_000_000_000, boot: "boot".into() }
}

fn trouble(number: usize) -> Record {
    // Lengths that begin and end lines at many places of a sector.
    let detail = "x".repeat(number * 37 % 500);
    record(number, Body::Trouble { what: "test".to_owned(), detail })
}

fn decision(number: usize) -> Record {
    let body = json!({
        "kind": "decision", "mode": "dryrun", "answers": [], "wish": {"rule": "none"},
        "judgement": {"verdict": "allow"}, "reason": {"code": "Steady"},
    });
    record(number, serde_json::from_value(body).unwrap())
}

fn snapshot(number: usize) -> Snapshot {
    let gap = json!({"state": "unknown", "reason": {"kind": "not-scraped"}});
    serde_json::from_value(json!({
        "formatVersion": FORMAT_VERSION, "now": now(number),
        "target": {"key": "shop/db", "system": "etcd", "platform": "exec", "mode": "dryrun", "bounds": {"members": {"min": 1, "max": 9}}},
        "profile": plimsoll_wire::profile::Profile::default(),
        "sizes": {"members": gap}, "fingerprint": gap, "epoch": gap, "generation": gap, "owner": gap, "members": gap,
        "vacant": gap, "groups": gap, "shards": gap, "operations": gap, "debts": gap,
    }))
    .unwrap()
}

/// Appends record `number`; every fifth is a decision with a snapshot.
fn append(log: &AuditLog, number: usize) -> Result<Appended, AuditError> {
    if number.is_multiple_of(5) {
        log.append_decision(decision(number), &snapshot(number))
    } else {
        log.append(&trouble(number))
    }
}

fn open(disk: &SimulatedDisk) -> Result<AuditLog, AuditError> {
    AuditLog::on(Arc::new(disk.clone()), small(), outside(), None)
}

/// The numbers of the records that a log holds.
fn numbers(disk: &SimulatedDisk) -> Vec<usize> {
    entries(disk.clone())
        .unwrap()
        .filter_map(|entry| match entry.unwrap().body {
            EntryBody::Record(record) => Some(record.decision_id.parse().unwrap()),
            EntryBody::Event(_) => None,
        })
        .collect()
}

fn heads(head: &str) -> [ExpectedHead; 1] {
    [ExpectedHead { target: "shop/db".to_owned(), head: head.to_owned(), may_be_of_another: false }]
}

/// After a crash: nothing acknowledged is lost, nothing is invented, the log goes on.
fn survives(disk: &SimulatedDisk, acknowledged: &[String], attempted: usize) {
    let head = acknowledged.last().map_or("", String::as_str);
    let found = verify_on(disk, &heads(head)).unwrap();
    assert!(found.soundness() <= Soundness::TornTail, "{found}");
    let log = open(disk).unwrap();
    let held = numbers(disk);
    assert!(held.windows(2).all(|pair| pair[1] == pair[0] + 1), "{held:?}");
    let last = held.last().copied().unwrap_or(0);
    assert!(
        (acknowledged.len()..=attempted).contains(&last),
        "{held:?}, acknowledged {}",
        acknowledged.len()
    );
    append(&log, last + 1).unwrap();
    let found = verify_on(disk, &heads(head)).unwrap();
    assert_eq!(found.soundness(), Soundness::Clean, "{found}");
    assert_eq!(numbers(disk).last(), Some(&(last + 1)));
}

/// Runs the script and returns the head after each record.
fn script(disk: &SimulatedDisk) -> Vec<String> {
    let log = open(disk).unwrap();
    (1..=RECORDS)
        .map(|number| {
            append(&log, number).unwrap();
            disk.mark(number);
            log.head()
        })
        .collect()
}

#[test]
fn loses_and_invents_nothing_wherever_the_power_goes() {
    let disk = SimulatedDisk::default();
    disk.record();
    let heads = script(&disk);
    let (mut moments, mut crashes) = (0, 0);
    let mut seen = HashSet::new();
    for (acknowledged, moment) in disk.moments() {
        moments += 1;
        for crashed in moment.crashes() {
            if !seen.insert((acknowledged, crashed.fingerprint())) {
                continue;
            }
            crashes += 1;
            survives(&crashed, &heads[..acknowledged], (acknowledged + 1).min(RECORDS));
        }
    }
    println!("{crashes} crashes at {moments} moments");
    assert!(crashes > 1_000, "the script is too short to mean anything");
}

#[test]
fn the_script_meets_rotation_and_retention() {
    let disk = SimulatedDisk::default();
    script(&disk);
    let events: Vec<Event> = entries(disk.clone())
        .unwrap()
        .filter_map(|entry| match entry.unwrap().body {
            EntryBody::Event(event) => Some(event),
            EntryBody::Record(_) => None,
        })
        .collect();
    for (what, met) in [
        ("sealed", events.iter().any(|event| matches!(event, Event::Sealed { .. }))),
        ("retired", events.iter().any(|event| matches!(event, Event::Retired { .. }))),
        ("snapshots", events.iter().any(|event| matches!(event, Event::RetiredSnapshots { .. }))),
    ] {
        assert!(met, "{what} is not among {events:?}");
    }
    assert!(numbers(&disk)[0] > 1);
}

#[test]
fn a_crash_while_it_recovers_loses_nothing_either() {
    let disk = SimulatedDisk::default();
    disk.record();
    let heads = script(&disk);
    let mut crashes = 0;
    let torn = disk
        .moments()
        .into_iter()
        .flat_map(|(acknowledged, moment)| {
            moment.crashes().into_iter().map(move |crashed| (acknowledged, crashed))
        })
        .step_by(53);
    for (acknowledged, crashed) in torn {
        crashed.record();
        open(&crashed).unwrap();
        for (_, moment) in crashed.moments() {
            for again in moment.crashes().into_iter().step_by(13) {
                crashes += 1;
                survives(&again, &heads[..acknowledged], (acknowledged + 1).min(RECORDS));
            }
        }
    }
    println!("{crashes} crashes while recovering");
    assert!(crashes > 200);
}

/// What a run with one failing call acknowledged, and every number it tried.
fn run_with_fault(disk: &SimulatedDisk) -> (Vec<usize>, String) {
    let log = match open(disk) {
        Ok(log) => log,
        // A daemon that cannot open its log does nothing, and is started again.
        Err(_) => open(disk).unwrap(),
    };
    let mut acknowledged = Vec::new();
    let mut head = log.head();
    for number in 1..=RECORDS {
        match append(&log, number) {
            Ok(_) => {
                acknowledged.push(number);
                head = log.head();
            }
            Err(error) => assert_eq!(error.kind(), "not-durable", "{error}"),
        }
    }
    (acknowledged, head)
}

#[test]
fn an_error_at_any_call_loses_and_invents_nothing() {
    let calls = {
        let disk = SimulatedDisk::default();
        script(&disk);
        disk.calls()
    };
    let mut refused = 0;
    for fault in [Fault::Eio, Fault::Short, Fault::Dropped] {
        for call in 1..=calls {
            let disk = SimulatedDisk::default();
            disk.fail(call, fault);
            let (acknowledged, head) = run_with_fault(&disk);
            refused += RECORDS - acknowledged.len();
            assert!(RECORDS - acknowledged.len() <= 2, "{fault:?} at call {call} stopped the log");
            for crashed in disk.crashes() {
                let report = verify_on(&crashed, &heads(&head)).unwrap();
                assert!(report.soundness() <= Soundness::TornTail, "{fault:?} at call {call}: {report}");
                let mut held = numbers(&crashed);
                if acknowledged.last() != Some(&RECORDS) {
                    // The failure came last: nobody knows of that record, and both answers are right.
                    held.retain(|number| *number != RECORDS);
                }
                let first = acknowledged.iter().position(|number| Some(number) == held.first()).unwrap_or(0);
                assert_eq!(held, acknowledged[first..], "{fault:?} at call {call}");
                open(&crashed).unwrap();
            }
        }
    }
    println!("{refused} records refused at {calls} calls with 3 faults each");
    assert!(refused > calls, "faults were hardly noticed");
}

#[test]
fn a_failed_sync_is_never_repeated_on_the_same_file() {
    let disk = SimulatedDisk::default();
    let log = open(&disk).unwrap();
    append(&log, 1).unwrap();
    // The next calls are the write and the sync of record 2.
    disk.fail(disk.calls() + 2, Fault::Dropped);
    assert_eq!(append(&log, 2).unwrap_err().kind(), "not-durable");
    assert!(log.halted().is_some());
    append(&log, 3).unwrap();
    assert_eq!(log.halted(), None);
    assert_eq!(numbers(&disk), [1, 3]);
    let gap = entries(disk.clone())
        .unwrap()
        .any(|entry| matches!(entry.unwrap().body, EntryBody::Event(Event::Gap { segment: 1, .. })));
    assert!(gap, "no record speaks of the gap");
}

#[test]
fn a_record_that_vanished_under_a_failed_sync_halts_the_log_for_good() {
    let disk = SimulatedDisk::default();
    let log = open(&disk).unwrap();
    append(&log, 1).unwrap();
    disk.fail(disk.calls() + 2, Fault::Dropped);
    append(&log, 2).unwrap_err();
    disk.tamper("audit-00000001.jsonl", |bytes| bytes[40] ^= 1);
    for number in [3, 4] {
        let error = append(&log, number).unwrap_err();
        assert_eq!(error.kind(), "corrupt");
        assert!(error.to_string().contains("audit-00000001.jsonl:1:"), "{error}");
    }
}

#[test]
fn a_segment_that_somebody_truncates_is_noticed_before_the_next_record() {
    let disk = SimulatedDisk::default();
    let log = open(&disk).unwrap();
    append(&log, 1).unwrap();
    disk.tamper("audit-00000001.jsonl", Vec::clear);
    assert_eq!(append(&log, 2).unwrap_err().kind(), "not-durable");
    assert_eq!(append(&log, 2).unwrap_err().kind(), "corrupt");
}

#[test]
fn a_full_disk_still_takes_the_record_that_says_so() {
    let disk = SimulatedDisk::default();
    disk.set_capacity(9_000);
    let log = open(&disk).unwrap();
    let mut written = 0;
    let error = loop {
        match append(&log, written + 1) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < RECORDS);
    };
    assert_eq!(error.kind(), "not-durable");
    let halted = entries(disk.clone())
        .unwrap()
        .any(|entry| matches!(entry.unwrap().body, EntryBody::Event(Event::Halted { .. })));
    assert!(halted, "no record says why it stopped");
    // Decisions stay refused until the room that was given up can be set aside again.
    assert_eq!(log.append_decision(decision(90), &snapshot(90)).unwrap_err().kind(), "full");
    disk.set_capacity(90_000);
    log.append_decision(decision(91), &snapshot(91)).unwrap();
    let held = numbers(&disk);
    assert_eq!(held, (1..=written).chain([91]).collect::<Vec<_>>());
    assert_eq!(verify_on(&disk, &heads(&log.head())).unwrap().soundness(), Soundness::Clean);
    open(&disk).unwrap();
}

#[test]
fn nothing_is_begun_below_the_floor_and_what_was_begun_is_still_recorded() {
    let disk = SimulatedDisk::default();
    disk.set_capacity(20_000);
    let config = AuditConfig { min_free_bytes: 19_000, ..small() };
    let log = AuditLog::on(Arc::new(disk.clone()), config, outside(), None).unwrap();
    assert_eq!(log.append_decision(decision(1), &snapshot(1)).unwrap_err().kind(), "full");
    let outcome = plimsoll_wire::journal::Outcome::Applied;
    log.append(&record(2, Body::Outcome { intent: "i".into(), outcome })).unwrap();
    log.append_decision(decision(3), &snapshot(3)).unwrap_err();
    let halts = entries(disk.clone())
        .unwrap()
        .filter(|entry| matches!(entry.as_ref().unwrap().body, EntryBody::Event(Event::Halted { .. })))
        .count();
    assert_eq!(halts, 1, "one record an episode");
}

#[test]
fn a_record_that_is_too_long_is_refused_and_the_log_goes_on() {
    let disk = SimulatedDisk::default();
    let log = open(&disk).unwrap();
    let body = Body::Trouble { what: "long".to_owned(), detail: "x".repeat(64 << 10) };
    assert_eq!(log.append(&record(1, body)).unwrap_err().kind(), "too-long");
    append(&log, 2).unwrap();
    assert_eq!(numbers(&disk), [2]);
}

#[test]
fn a_plan_of_thousands_of_members_is_recorded_with_the_number_of_those_left_out() {
    let disk = SimulatedDisk::default();
    let log = open(&disk).unwrap();
    let names = |most: usize| (0..most).map(|number| format!("{number:0>200}")).collect::<Vec<_>>();
    let stamp = json!({ "boot": "b", "monoMs": 1, "wallMs": 1 });
    let plan = json!({
        "id": "p", "decision": "1", "legs": [{"dimension": "members", "from": 5, "to": 3}], "fingerprint": "f", "baseEpoch": "e", "members": names(5_000),
        "victims": names(3), "status": "running", "unit": 0, "phase": 0, "pointOfNoReturn": false,
        "why": "é".repeat(40_000), "started": stamp, "progressed": stamp,
    });
    let plan = serde_json::from_value(plan).unwrap();
    let body = Body::Plan { plan, phase: "drain".to_owned(), judgement: None };
    log.append(&record(1, body)).unwrap();
    let written = entries(disk).unwrap().find_map(|entry| match entry.unwrap().body {
        EntryBody::Record(record) => Some(record.body),
        EntryBody::Event(_) => None,
    });
    let Some(Body::Plan { plan, .. }) = written else { panic!("{written:?}") };
    assert_eq!((plan.members.len(), plan.victims.len()), (41, 3));
    assert_eq!(plan.members.last().map(|last| &**last), Some("and 4960 more"));
    assert!(plan.why.ends_with("bytes left out)") && plan.why.len() < 2_000, "{}", plan.why.len());
}

#[test]
fn snapshots_of_the_newest_records_are_never_removed() {
    let disk = SimulatedDisk::default();
    let config = AuditConfig { keep_snapshot_bytes: 1, keep_snapshot_records: 1_000, ..small() };
    let log = AuditLog::on(Arc::new(disk.clone()), config, outside(), None).unwrap();
    for number in 1..=RECORDS {
        append(&log, number).unwrap();
    }
    let report = verify_on(&disk, &heads(&log.head())).unwrap();
    assert_eq!(report.soundness(), Soundness::Clean, "{report}");
    let decisions = numbers(&disk).into_iter().filter(|number| number.is_multiple_of(5)).count();
    assert_eq!(report.snapshots, decisions as u64);
}

#[test]
fn old_records_go_with_their_segments_and_the_newest_sealed_one_stays() {
    let disk = SimulatedDisk::default();
    let everything = AuditConfig { keep_bytes: u64::MAX, ..small() };
    let log = AuditLog::on(Arc::new(disk.clone()), everything.clone(), outside(), None).unwrap();
    for number in 1..=RECORDS {
        append(&log, number).unwrap();
    }
    drop(log);
    assert_eq!(numbers(&disk)[0], 1);
    // Two days later: whatever was sealed before is old, and the age is that of the lines on disk.
    let later = AuditConfig { keep_ms: 86_400_000, ..everything };
    let two_days_later = Outside { wall_ms: || 1_800_000_000_000 + 2 * 86_400_000, ..outside() };
    let log = AuditLog::on(Arc::new(disk.clone()), later, two_days_later, None).unwrap();
    for number in RECORDS + 1..=RECORDS + 40 {
        append(&log, number).unwrap();
    }
    let report = verify_on(&disk, &heads(&log.head())).unwrap();
    assert_eq!(report.soundness(), Soundness::Clean, "{report}");
    let left = numbers(&disk);
    assert!(left[0] > 1 && left.contains(&(RECORDS + 1)), "{left:?}");
    let old = left.iter().filter(|number| **number <= RECORDS).count();
    let before = RECORDS - old;
    assert!(before > RECORDS / 2, "{before} of {RECORDS} old records are gone");
}

#[test]
fn a_head_that_is_no_head_is_a_finding() {
    let disk = SimulatedDisk::default();
    let log = open(&disk).unwrap();
    append(&log, 1).unwrap();
    assert!(log.head().starts_with("log/"), "{}", log.head());
    let report = verify_on(&disk, &heads("not a head")).unwrap();
    assert_eq!(report.exit_code(), 2, "{report}");
}
