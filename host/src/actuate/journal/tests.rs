//! The file store: what it promises, on a real directory and on a disk that loses its power.

#![allow(clippy::unwrap_used)]

use super::file::file_name;
use super::*;
use crate::testing::disk::{Fault, SimulatedDisk};
use plimsoll_wire::FORMAT_VERSION;
use plimsoll_wire::journal::Journal;
use std::collections::BTreeSet;
use std::fs;

/// The version of a journal that a newer daemon wrote.
const NEWER: u64 = FORMAT_VERSION as u64 + 1;
const TARGET: &str = "shop/db";

fn journal(sequence: u64) -> Journal {
    let mut journal = Journal {
        format_version: FORMAT_VERSION,
        target: TARGET.into(),
        sequence,
        audit_head: format!("{sequence}:head"),
        ..Journal::default()
    };
    // Lengths that end at many places of a sector.
    journal.memory.policy_state.insert("p".to_owned(), "x".repeat(sequence as usize * 131 % 900));
    journal
}

fn stored(result: Result<Option<(Journal, Revision)>, JournalError>) -> Option<(u64, u64)> {
    result.unwrap().map(|(journal, Revision(revision))| (journal.sequence, revision))
}

fn on(disk: &SimulatedDisk) -> Result<FileJournals, JournalError> {
    FileJournals::on(Box::new(disk.clone()), None)
}

#[tokio::test]
async fn a_journal_is_read_back_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = JournalStore::File(FileJournals::open(directory.path()).unwrap());
    assert_eq!(store.load(TARGET).await.unwrap(), None);
    let first = store.store(TARGET, None, &journal(1)).await.unwrap();
    let second = store.store(TARGET, Some(first), &journal(2)).await.unwrap();
    assert_eq!(store.load(TARGET).await.unwrap(), Some((journal(2), second)));
    drop(store);
    let again = FileJournals::open(directory.path()).unwrap();
    assert_eq!(again.load(TARGET).await.unwrap(), Some((journal(2), second)));
    let kept = read_all(directory.path()).unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].journal.as_ref().unwrap().0, journal(2));
}

#[tokio::test]
async fn a_write_against_an_old_revision_is_refused_and_names_the_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileJournals::open(directory.path()).unwrap();
    let first = store.store(TARGET, None, &journal(1)).await.unwrap();
    let second = store.store(TARGET, Some(first), &journal(2)).await.unwrap();
    for expected in [None, Some(first), Some(Revision(99))] {
        let error = store.store(TARGET, expected, &journal(3)).await.unwrap_err();
        assert!(matches!(error, JournalError::Conflict { found, .. } if found == Some(second)), "{error}");
    }
    assert_eq!(stored(store.load(TARGET).await), Some((2, 2)));
}

#[tokio::test]
async fn of_many_writers_against_one_revision_exactly_one_succeeds() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileJournals::open(directory.path()).unwrap();
    let writers: Vec<_> = (1..=16)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.store(TARGET, None, &journal(number)).await })
        })
        .collect();
    let mut won = 0;
    for writer in writers {
        won += usize::from(writer.await.unwrap().is_ok());
    }
    assert_eq!(won, 1);
}

#[test]
fn a_second_daemon_on_the_directory_is_told_who_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let first = FileJournals::open(directory.path()).unwrap();
    let error = FileJournals::open(directory.path()).unwrap_err();
    assert_eq!(error.kind(), "held");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    drop(first);
    FileJournals::open(directory.path()).unwrap();
}

#[test]
fn an_unknown_format_is_held_and_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileJournals::open(directory.path()).unwrap();
    store.store_now(TARGET, None, &journal(1)).unwrap();
    let path = directory.path().join(file_name(TARGET));
    // As a newer version would write it: sound, and of a form that we do not know.
    let content =
        format!("{{\"revision\":7,\"journal\":{{\"formatVersion\":{NEWER},\"target\":[\"new\"]}}}}\n");
    let text = format!("{content}sha256 {}\n", crate::audit::Hash::of(content.as_bytes()));
    fs::write(&path, &text).unwrap();
    for error in
        [store.load_now(TARGET).unwrap_err(), store.store_now(TARGET, None, &journal(2)).unwrap_err()]
    {
        assert!(matches!(error, JournalError::UnknownFormat { version, .. } if version == NEWER), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn every_changed_byte_of_a_journal_shows_and_is_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileJournals::open(directory.path()).unwrap();
    let revision = store.store_now(TARGET, None, &journal(1)).unwrap();
    let path = directory.path().join(file_name(TARGET));
    let sound = fs::read(&path).unwrap();
    for place in 0..sound.len() {
        let mut changed = sound.clone();
        changed[place] ^= 0x20;
        fs::write(&path, &changed).unwrap();
        let error = store.load_now(TARGET).unwrap_err();
        assert_eq!(error.kind(), "unreadable", "byte {place}: {error}");
        assert!(error.to_string().contains("hint:"), "{error}");
        store.store_now(TARGET, Some(revision), &journal(2)).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), changed);
    }
    for length in 0..sound.len() {
        fs::write(&path, &sound[..length]).unwrap();
        assert_eq!(store.load_now(TARGET).unwrap_err().kind(), "unreadable", "{length} bytes");
    }
}

#[test]
fn a_journal_of_another_target_is_not_taken_for_ours() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileJournals::open(directory.path()).unwrap();
    store.store_now(TARGET, None, &journal(1)).unwrap();
    let other = directory.path().join(file_name("shop/other"));
    fs::copy(directory.path().join(file_name(TARGET)), other).unwrap();
    assert_eq!(store.load_now("shop/other").unwrap_err().kind(), "unreadable");
    assert_eq!(store.store_now("shop/third", None, &journal(1)).unwrap_err().kind(), "refused");
}

#[test]
fn a_journal_that_could_not_be_read_again_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileJournals::open(directory.path()).unwrap();
    let other_format = Journal { format_version: FORMAT_VERSION + 1, ..journal(1) };
    assert_eq!(store.store_now(TARGET, None, &other_format).unwrap_err().kind(), "refused");
    let mut large = journal(1);
    large.memory.policy_state.insert("p".to_owned(), "x".repeat(2 << 20));
    assert_eq!(store.store_now(TARGET, None, &large).unwrap_err().kind(), "refused");
    assert_eq!(store.load_now(TARGET).unwrap(), None);
}

#[test]
fn what_a_killed_daemon_left_half_written_is_ignored() {
    let directory = tempfile::tempdir().unwrap();
    drop(FileJournals::open(directory.path()).unwrap());
    let leftover = directory.path().join(format!("{}.tmp", file_name(TARGET)));
    fs::write(&leftover, "{\"revision\":9,").unwrap();
    assert!(read_all(directory.path()).unwrap().is_empty());
    let store = FileJournals::open(directory.path()).unwrap();
    assert!(!leftover.exists());
    assert_eq!(store.load_now(TARGET).unwrap(), None);
}

#[test]
fn different_targets_have_different_files_inside_the_directory() {
    let long = format!("{}/{}", "n".repeat(63), "t".repeat(253));
    let longer = format!("{long}2");
    let targets =
        ["a/b", "a-b", "a/b.journal", "../b", "a//b", "a%2Fb", "A/b", "a/.", "é/ü", "a\nb", &long, &longer];
    let names: BTreeSet<String> = targets.iter().map(|target| file_name(target)).collect();
    assert_eq!(names.len(), targets.len());
    for name in names {
        assert!(name.len() <= 240 && !name.contains('/') && !name.starts_with('.'), "{name}");
    }
}

#[test]
fn after_a_power_loss_the_journal_is_the_acknowledged_one_or_the_next() {
    let disk = SimulatedDisk::default();
    let store = on(&disk).unwrap();
    disk.record();
    let mut revision = None;
    for number in 1..=20 {
        revision = Some(store.store_now(TARGET, revision, &journal(number)).unwrap());
        disk.mark(number as usize);
    }
    let mut crashes = 0;
    for (acknowledged, moment) in disk.moments() {
        let acknowledged = acknowledged as u64;
        for crashed in moment.crashes() {
            crashes += 1;
            let found = stored(on(&crashed).unwrap().load_now(TARGET)).map_or(0, |(sequence, revision)| {
                assert_eq!(sequence, revision);
                sequence
            });
            assert!((acknowledged..=acknowledged + 1).contains(&found), "{found} after {acknowledged}");
        }
    }
    assert!(crashes > 200, "{crashes}");
}

#[test]
fn a_write_that_failed_at_any_call_is_either_there_for_good_or_not_at_all() {
    for fault in [Fault::Eio, Fault::Short, Fault::Dropped] {
        for call in 1..=12 {
            let disk = SimulatedDisk::default();
            let store = on(&disk).unwrap();
            let first = store.store_now(TARGET, None, &journal(1)).unwrap();
            disk.fail(disk.calls() + call, fault);
            let written = store.store_now(TARGET, Some(first), &journal(2));
            if let Err(error) = &written {
                assert_eq!(error.kind(), "not-durable");
            }
            // What the daemon reads now, it builds on: it must still be there after a power loss.
            let Ok(Some((seen, Revision(revision)))) = store.load_now(TARGET) else { continue };
            if written.is_ok() {
                assert_eq!(revision, 2);
            }
            for crashed in disk.crashes() {
                let found = stored(on(&crashed).unwrap().load_now(TARGET));
                assert_eq!(found, Some((seen.sequence, revision)), "{fault:?} at call {call}");
            }
        }
    }
}

#[test]
fn a_full_disk_keeps_the_old_journal_and_says_so() {
    let disk = SimulatedDisk::default();
    let store = on(&disk).unwrap();
    let first = store.store_now(TARGET, None, &journal(1)).unwrap();
    disk.set_capacity(700);
    let error = store.store_now(TARGET, Some(first), &journal(2)).unwrap_err();
    assert_eq!(error.kind(), "not-durable");
    assert_eq!(stored(store.load_now(TARGET)), Some((1, 1)));
    disk.set_capacity(1 << 20);
    store.store_now(TARGET, Some(first), &journal(3)).unwrap();
    assert_eq!(stored(store.load_now(TARGET)), Some((3, 2)));
}
