//! The audit log as whoever wants to change it unseen finds it: real files, the public interface, no help.

#![allow(clippy::unwrap_used)]

use plimsoll::actuate::journal::{FileJournals, read_all};
use plimsoll::audit::{
    AuditConfig, AuditLog, EntryBody, ExpectedHead, Soundness, VerifyReport, read, read_snapshot, verify,
};
use plimsoll_tests::audit::{TARGET, decision, snapshot, trouble};
use plimsoll_wire::FORMAT_VERSION;
use plimsoll_wire::journal::Journal;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn config() -> AuditConfig {
    AuditConfig {
        segment_bytes: 1 << 11,
        ballast_bytes: 1 << 12,
        min_free_bytes: 0,
        ..AuditConfig::default()
    }
}

/// A log of a few segments in a directory of its own, and the head after each record.
struct Written {
    directory: tempfile::TempDir,
    heads: Vec<String>,
}

impl Written {
    fn new(records: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = AuditLog::open(directory.path(), config()).unwrap();
        let heads = (1..=records).map(|number| append(&log, number)).collect();
        Self { directory, heads }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn segments(&self) -> Vec<PathBuf> {
        segments(self.path())
    }

    /// What the journal of the target keeps after the last record.
    fn expected(&self) -> [ExpectedHead; 1] {
        [ExpectedHead {
            target: TARGET.to_owned(),
            head: self.heads.last().unwrap().clone(),
            may_be_of_another: false,
        }]
    }

    fn verify(&self) -> VerifyReport {
        verify(self.path(), &self.expected()).unwrap()
    }

    fn verify_alone(&self) -> VerifyReport {
        verify(self.path(), &[]).unwrap()
    }
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    found.sort();
    found
}

fn append(log: &AuditLog, number: u64) -> String {
    if number.is_multiple_of(4) {
        log.append_decision(decision(number).unwrap(), &snapshot(number).unwrap()).unwrap();
    } else {
        log.append(&trouble(number, 20)).unwrap();
    }
    log.head()
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn write_lines(path: &Path, lines: &[String]) {
    fs::write(path, lines.join("\n") + "\n").unwrap();
}

#[test]
fn an_untouched_log_is_clean_and_reads_back() {
    let log = Written::new(12);
    let report = log.verify();
    assert_eq!(report.exit_code(), 0, "{report}");
    assert_eq!((report.heads, report.snapshots), (1, 3), "{report}");
    let mut numbers = Vec::new();
    let mut snapshots = Vec::new();
    for entry in read(log.path()).unwrap() {
        if let EntryBody::Record(record) = entry.unwrap().body {
            numbers.push(record.decision_id.to_string());
            if let plimsoll_wire::record::Body::Decision(decision) = record.body {
                snapshots.push(read_snapshot(log.path(), &decision.snapshot).unwrap());
            }
        }
    }
    assert_eq!(numbers, (1..=12).map(|number: u64| number.to_string()).collect::<Vec<_>>());
    assert_eq!(snapshots, [4, 8, 12].map(|number| snapshot(number).unwrap()));
}

#[test]
fn a_log_cut_at_any_byte_of_its_end_is_noticed() {
    let log = Written::new(9);
    let newest = log.segments().pop().unwrap();
    let whole = fs::read(&newest).unwrap();
    assert!(lines(&newest).len() >= 2);
    for length in 0..whole.len() {
        fs::write(&newest, &whole[..length]).unwrap();
        let at_a_line = length == 0 || whole[length - 1] == b'\n';
        let alone = log.verify_alone();
        let expected = if at_a_line { Soundness::Clean } else { Soundness::TornTail };
        assert_eq!(alone.soundness(), expected, "{length} bytes: {alone}");
        let report = log.verify();
        assert_eq!(report.exit_code(), 2, "{length} bytes: {report}");
        assert!(report.to_string().contains("cut off after record"), "{report}");
    }
}

#[test]
fn a_log_cut_anywhere_opens_again_and_keeps_the_broken_line() {
    let log = Written::new(9);
    let newest = log.segments().pop().unwrap();
    let whole = fs::read(&newest).unwrap();
    for length in (0..whole.len()).step_by(29) {
        fs::write(&newest, &whole[..length]).unwrap();
        let torn = log.verify_alone().soundness() == Soundness::TornTail;
        let opened = AuditLog::open(log.path(), config()).unwrap();
        append(&opened, 100);
        drop(opened);
        let report = log.verify_alone();
        assert_eq!(report.exit_code(), 0, "{length} bytes: {report}");
        let kept: Vec<_> = fs::read_dir(log.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "torn"))
            .collect();
        assert_eq!(!kept.is_empty(), torn, "{length} bytes");
        for path in kept {
            assert!(whole[..length].ends_with(&fs::read(&path).unwrap()));
            fs::remove_file(path).unwrap();
        }
        for path in log.segments().into_iter().filter(|path| *path > newest) {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn every_changed_byte_of_every_segment_is_noticed() {
    let log = Written::new(8);
    let mut changed = 0;
    for path in log.segments() {
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1 << (place % 8);
            fs::write(&path, &bytes).unwrap();
            let report = log.verify();
            assert_eq!(report.exit_code(), 2, "{}, byte {place}: {report}", path.display());
            assert_ne!(log.verify_alone().exit_code(), 0, "{}, byte {place}", path.display());
            changed += 1;
        }
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(log.verify().exit_code(), 0);
    println!("{changed} bytes changed, each noticed");
}

#[test]
fn an_altered_log_is_not_opened_and_the_error_names_file_and_line() {
    let log = Written::new(12);
    let first = &log.segments()[0];
    let mut bytes = fs::read(first).unwrap();
    let second_line = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 20;
    bytes[second_line] ^= 1;
    fs::write(first, &bytes).unwrap();
    let error = AuditLog::open(log.path(), config()).unwrap_err();
    assert_eq!(error.kind(), "corrupt");
    assert!(error.to_string().contains(&format!("{}:2:", first.display())), "{error}");
    assert_eq!(fs::read(first).unwrap(), bytes, "the evidence was changed");
}

#[test]
fn records_that_are_swapped_doubled_or_dropped_are_noticed() {
    let log = Written::new(20);
    let path = log.segments()[1].clone();
    let whole = lines(&path);
    assert!(whole.len() >= 4);
    for index in 0..whole.len() {
        let mut dropped = whole.clone();
        dropped.remove(index);
        let mut doubled = whole.clone();
        doubled.insert(index, whole[index].clone());
        let mut swapped = whole.clone();
        swapped.swap(index, (index + 1) % whole.len());
        for (what, changed) in [("dropped", dropped), ("doubled", doubled), ("swapped", swapped)] {
            write_lines(&path, &changed);
            let report = log.verify_alone();
            assert_eq!(report.exit_code(), 2, "{what} at line {}: {report}", index + 1);
        }
    }
    write_lines(&path, &whole);
    assert_eq!(log.verify().exit_code(), 0);
}

#[test]
fn a_missing_a_replayed_and_a_foreign_segment_are_noticed() {
    let log = Written::new(20);
    let paths = log.segments();
    assert!(paths.len() >= 4);
    for (index, path) in paths.iter().enumerate() {
        let whole = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        let report = log.verify();
        assert_eq!(report.exit_code(), 2, "without segment {}: {report}", index + 1);
        let other = paths[(index + 1) % paths.len()].clone();
        fs::copy(&other, path).unwrap();
        let report = log.verify();
        assert_eq!(report.exit_code(), 2, "segment {} in its place: {report}", other.display());
        fs::write(path, whole).unwrap();
    }
    // An old segment, once more at the end.
    let next = paths.last().unwrap().with_file_name(format!("audit-{:08}.jsonl", paths.len() + 1));
    fs::copy(&paths[1], &next).unwrap();
    assert_eq!(log.verify_alone().exit_code(), 2);
    fs::remove_file(next).unwrap();
    // Another log's whole content, sound in itself.
    let other = Written::new(30);
    assert_eq!(verify(other.path(), &log.expected()).unwrap().exit_code(), 2);
    let report = verify(
        other.path(),
        &[ExpectedHead {
            target: TARGET.to_owned(),
            head: log.heads[19].replace('a', "b"),
            may_be_of_another: false,
        }],
    );
    assert_eq!(report.unwrap().exit_code(), 2);
    assert_eq!(log.verify().exit_code(), 0);
}

/// Of daemons that take over from each other each has a log, and the journal knows the ends of both.
#[test]
fn a_tail_that_is_missing_shows_though_another_daemon_led_last() {
    let (ours, theirs) = (Written::new(12), Written::new(20));
    let known = |log: &Written| ExpectedHead { may_be_of_another: true, ..log.expected()[0].clone() };
    let heads = [known(&theirs), known(&ours)];
    for log in [&ours, &theirs] {
        let report = verify(log.path(), &heads).unwrap();
        assert_eq!((report.exit_code(), report.heads, report.elsewhere), (0, 1, 1), "{report}");
        assert!(report.to_string().contains("1 journal heads found, 1 of other logs"), "{report}");
    }
    // The newest record of ours, and all that came with it in its segment.
    let newest = ours.segments().pop().unwrap();
    let mut kept = lines(&newest);
    kept.pop();
    write_lines(&newest, &kept);
    assert_eq!(
        verify(ours.path(), &heads[..1]).unwrap().exit_code(),
        0,
        "what the other log holds cannot know"
    );
    let report = verify(ours.path(), &heads).unwrap();
    assert_eq!(report.exit_code(), 2, "{report}");
    assert!(report.to_string().contains("the journal of shop/db was written after record"), "{report}");
}

#[test]
fn an_older_copy_of_the_whole_log_is_noticed_by_what_the_journal_knows() {
    let log = Written::new(5);
    let newest = log.segments().pop().unwrap();
    let older = fs::read(&newest).unwrap();
    let opened = AuditLog::open(log.path(), config()).unwrap();
    let head = append(&opened, 6);
    drop(opened);
    let journals = tempfile::tempdir().unwrap();
    let store = FileJournals::open(journals.path()).unwrap();
    let journal = Journal {
        format_version: FORMAT_VERSION,
        target: TARGET.into(),
        audit_head: head,
        ..Journal::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.store(TARGET, None, &journal)).unwrap();
    let heads: Vec<_> = read_all(journals.path())
        .unwrap()
        .into_iter()
        .map(|kept| kept.journal.unwrap().0)
        .flat_map(|journal| ExpectedHead::of(&journal, false))
        .collect();
    assert_eq!(verify(log.path(), &heads).unwrap().exit_code(), 0);
    fs::write(&newest, older).unwrap();
    assert_eq!(verify(log.path(), &[]).unwrap().exit_code(), 0, "the chain alone cannot know");
    let report = verify(log.path(), &heads).unwrap();
    assert_eq!(report.exit_code(), 2, "{report}");
    assert!(report.to_string().contains("the journal of shop/db was written after record"), "{report}");
}

#[test]
fn a_missing_or_altered_snapshot_is_noticed() {
    let log = Written::new(4);
    let digest = read(log.path())
        .unwrap()
        .find_map(|entry| match entry.unwrap().body {
            EntryBody::Record(record) => {
                let plimsoll_wire::record::Body::Decision(decision) = record.body else { return None };
                Some(decision.snapshot)
            }
            EntryBody::Event(_) => None,
        })
        .unwrap();
    let path = log.path().join(format!("blobs/{}/{digest}.json.gz", &digest[..2]));
    let whole = fs::read(&path).unwrap();
    let sound = read_snapshot(log.path(), &digest).unwrap();
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        fs::write(&path, &bytes).unwrap();
        // Some bits of the wrapping mean nothing; what is read is right or refused.
        match read_snapshot(log.path(), &digest) {
            Ok(read) => assert_eq!(read, sound, "byte {place}"),
            Err(_) => assert_eq!(log.verify().exit_code(), 2, "byte {place}"),
        }
    }
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(log.verify().exit_code(), 2, "{length} bytes");
    }
    fs::remove_file(&path).unwrap();
    let report = log.verify();
    assert_eq!(report.exit_code(), 2);
    assert!(report.to_string().contains(&format!("its snapshot {digest} is missing")), "{report}");
}

#[test]
fn one_daemon_at_a_time_writes_a_log() {
    let directory = tempfile::tempdir().unwrap();
    let first = AuditLog::open(directory.path(), config()).unwrap();
    let error = AuditLog::open(directory.path(), config()).unwrap_err();
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    drop(first);
    AuditLog::open(directory.path(), config()).unwrap();
}

#[test]
fn a_writer_killed_again_and_again_loses_no_record_that_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let mut heads = Vec::new();
    for round in 1..=8 {
        let mut writer = Command::new(env!("CARGO_BIN_EXE_bench_audit"))
            .arg("--endless")
            .arg(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(writer.stdout.take().unwrap()).lines();
        let before = heads.len();
        for line in said.take(round * 7) {
            let head = line.unwrap();
            heads.push(ExpectedHead {
                target: format!("record {}", heads.len()),
                head,
                may_be_of_another: false,
            });
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        assert_eq!(heads.len() - before, round * 7);
        let report = verify(directory.path(), &heads).unwrap();
        assert!(report.soundness() <= Soundness::TornTail, "{report}");
        assert_eq!(report.heads, heads.len(), "{report}");
    }
    AuditLog::open(directory.path(), config()).unwrap();
    assert_eq!(verify(directory.path(), &heads).unwrap().exit_code(), 0);
}

/// A file system of one megabyte, gone with the value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "plimsoll-test"])
            .arg(directory.path())
            .output()
            .unwrap();
        assert!(
            mounted.status.success(),
            "this test fills a real disk and needs the right to mount a tmpfs (run it as root): {}",
            String::from_utf8_lossy(&mounted.stderr)
        );
        Self(directory)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.0.path().display());
    }
}

#[test]
fn a_really_full_disk_stops_the_log_and_loses_nothing() {
    let disk = SmallDisk::mount();
    let directory = disk.0.path().join("audit");
    let log = AuditLog::open(&directory, AuditConfig { ballast_bytes: 64 << 10, ..config() }).unwrap();
    let mut heads = Vec::new();
    let error = loop {
        let number = heads.len() as u64 + 1;
        match log.append(&trouble(number, 900)) {
            Ok(_) => heads.push(ExpectedHead {
                target: format!("record {number}"),
                head: log.head(),
                may_be_of_another: false,
            }),
            Err(error) => break error,
        }
        assert!(number < 10_000, "a megabyte does not fill up");
    };
    assert!(heads.len() > 100, "{} records only", heads.len());
    assert_eq!(error.kind(), "not-durable", "{error}");
    assert!(error.to_string().contains("free space"), "{error}");
    assert!(log.halted().is_some());
    let halted = |directory: &Path| {
        read(directory).unwrap().any(|entry| {
            matches!(entry.unwrap().body, EntryBody::Event(plimsoll::audit::Event::Halted { .. }))
        })
    };
    assert!(halted(&directory), "no record says why it stopped");
    let refused = log.append_decision(decision(1).unwrap(), &snapshot(1).unwrap()).unwrap_err();
    assert_eq!(refused.kind(), "full", "{refused}");
    let report = verify(&directory, &heads).unwrap();
    assert_eq!((report.exit_code(), report.heads), (0, heads.len()), "{report}");

    // Room again: as if somebody had grown the disk.
    let grown = Command::new("mount").args(["-o", "remount,size=4m"]).arg(disk.0.path()).status().unwrap();
    assert!(grown.success());
    log.append_decision(decision(2).unwrap(), &snapshot(2).unwrap()).unwrap();
    assert_eq!(log.halted(), None);
    heads.push(ExpectedHead { target: "the last".to_owned(), head: log.head(), may_be_of_another: false });
    let report = verify(&directory, &heads).unwrap();
    assert_eq!((report.exit_code(), report.heads), (0, heads.len()), "{report}");
    drop(log);
    AuditLog::open(&directory, config()).unwrap();
}

#[test]
fn a_journal_on_a_really_full_disk_stays_what_it_was() {
    let disk = SmallDisk::mount();
    let store = FileJournals::open(&disk.0.path().join("journals")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let journal = |sequence, state: usize| {
        let mut journal =
            Journal { format_version: FORMAT_VERSION, target: TARGET.into(), sequence, ..Journal::default() };
        journal.memory.policy_state.insert("p".to_owned(), "x".repeat(state));
        journal
    };
    let first = runtime.block_on(store.store(TARGET, None, &journal(1, 300 << 10))).unwrap();
    let error = runtime.block_on(store.store(TARGET, Some(first), &journal(2, 900 << 10))).unwrap_err();
    assert_eq!(error.kind(), "not-durable", "{error}");
    assert_eq!(runtime.block_on(store.load(TARGET)).unwrap(), Some((journal(1, 300 << 10), first)));
    let second = runtime.block_on(store.store(TARGET, Some(first), &journal(3, 10))).unwrap();
    assert_eq!(runtime.block_on(store.load(TARGET)).unwrap(), Some((journal(3, 10), second)));
}
