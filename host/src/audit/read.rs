//! Reading a log, while a daemon may be writing it.

use super::blob::{self, Unavailable};
use super::chain::{self, Content, Hash};
use super::event::Event;
use super::finding::{Finding, Problem};
use super::walk::{acknowledged, lines, read_segment, segment_name, segment_numbers};
use crate::disk::{Disk, RealDisk};
use plimsoll_wire::record::Record;
use plimsoll_wire::{FORMAT_VERSION, Snapshot};
use std::collections::VecDeque;
use std::io;
use std::path::Path;

/// A line of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Counts all lines from 1.
    pub sequence: u64,
    /// When it was written, in RFC 3339.
    pub time: String,
    /// The line's hash.
    pub hash: Hash,
    /// What it says.
    pub body: EntryBody,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub enum EntryBody {
    /// A record of the daemon.
    Record(Box<Record>),
    /// A line of the log's own.
    Event(Event),
}

/// Why a line, or a snapshot, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It was altered.
    #[error("{0}; hint: run `plimsoll audit verify`")]
    Altered(Finding),
    /// It is sound and in a form that this version does not know.
    #[error("{place}:{line}: {problem}; hint: read it with the version of Plimsoll that wrote it")]
    Unknown {
        /// The file.
        place: String,
        /// The line, from 1.
        line: u64,
        /// What is not known.
        problem: String,
    },
    /// The snapshot is not there.
    #[error("the snapshot {digest} is not in {place}; it may have been retired")]
    NoSnapshot {
        /// The log.
        place: String,
        /// Its digest.
        digest: String,
    },
    /// The disk fails.
    #[error("{place} cannot be read")]
    Unreadable {
        /// Where.
        place: String,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
}

/// All lines, oldest first. A half-written last line is left out; any other broken line is an error, after
/// which reading goes on.
///
/// # Errors
/// When the directory cannot be read.
pub fn read(directory: &Path) -> Result<impl Iterator<Item = Result<Entry, ReadError>> + use<>, ReadError> {
    entries(RealDisk::at(directory))
}

pub(super) fn entries<D: Disk>(
    disk: D,
) -> Result<impl Iterator<Item = Result<Entry, ReadError>> + use<D>, ReadError> {
    let numbers = numbers_of(&disk)?;
    let mut ready: VecDeque<Result<Entry, ReadError>> = VecDeque::new();
    let mut at = 0;
    Ok(std::iter::from_fn(move || {
        loop {
            if let Some(entry) = ready.pop_front() {
                return Some(entry);
            }
            let number = *numbers.get(at)?;
            at += 1;
            ready = segment(&disk, number, at == numbers.len()).into();
        }
    }))
}

/// The newest `count` records that `wanted` takes, oldest of them first. Only as much is read as is needed.
///
/// # Errors
/// When the directory, or a line on the way, cannot be read.
pub fn newest(
    directory: &Path,
    count: usize,
    mut wanted: impl FnMut(&Entry) -> bool,
) -> Result<Vec<Entry>, ReadError> {
    let disk = RealDisk::at(directory);
    let numbers = numbers_of(&disk)?;
    let mut found = VecDeque::new();
    for (back, number) in numbers.iter().rev().enumerate() {
        for entry in segment(&disk, *number, back == 0).into_iter().rev() {
            if found.len() == count {
                return Ok(found.into());
            }
            let entry = entry?;
            if wanted(&entry) {
                found.push_front(entry);
            }
        }
    }
    Ok(found.into())
}

/// A snapshot by its digest.
///
/// # Errors
/// When it is not there, was altered, or is of another version.
pub fn read_snapshot(directory: &Path, digest: &str) -> Result<Snapshot, ReadError> {
    let disk = RealDisk::at(directory);
    let missing = || ReadError::NoSnapshot { place: disk.place(""), digest: digest.to_owned() };
    let hash: Hash = digest.parse().map_err(|_| missing())?;
    let place = disk.place(&blob::name(hash));
    let bytes = blob::load(&disk, hash).map_err(|error| match error {
        Unavailable::Missing => missing(),
        Unavailable::Altered(why) => ReadError::Altered(Finding {
            place: place.clone(),
            line: None,
            problem: Problem::SnapshotAltered { why },
        }),
        Unavailable::Unreadable(source) => ReadError::Unreadable { place: place.clone(), source },
    })?;
    serde_json::from_slice(&bytes).map_err(|error| ReadError::Unknown {
        place,
        line: 1,
        problem: error.to_string(),
    })
}

fn numbers_of(disk: &dyn Disk) -> Result<Vec<u32>, ReadError> {
    segment_numbers(disk).map_err(|source| ReadError::Unreadable { place: disk.place(""), source })
}

fn segment(disk: &dyn Disk, number: u32, newest: bool) -> Vec<Result<Entry, ReadError>> {
    let name = segment_name(number);
    let bytes = match read_segment(disk, number) {
        Ok(bytes) => bytes,
        // Retired since the directory was listed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(source) => return vec![Err(ReadError::Unreadable { place: disk.place(&name), source })],
    };
    // The segment after it may say that its end does not count.
    let next = if newest { None } else { read_segment(disk, number + 1).ok() };
    let counted = acknowledged(number, next.as_deref())
        .and_then(|length| bytes.get(..usize::try_from(length).ok()?))
        .unwrap_or(&bytes);
    let place = disk.place(&name);
    let mut entries = Vec::new();
    for line in lines(counted) {
        match chain::check(line.bytes) {
            Ok(link) if line.ended => entries.push(entry(&place, line.number, &link)),
            Ok(_) | Err(_) if newest && line.last => {}
            Ok(_) => entries.push(Err(altered(&place, line.number, "its end is missing"))),
            Err(why) => entries.push(Err(altered(&place, line.number, why))),
        }
    }
    entries
}

fn altered(place: &str, line: u64, why: &'static str) -> ReadError {
    ReadError::Altered(Finding {
        place: place.to_owned(),
        line: Some(line),
        problem: Problem::Altered { why },
    })
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    format_version: u64,
}

fn entry(place: &str, line: u64, link: &chain::Link<'_>) -> Result<Entry, ReadError> {
    let unknown = |problem: String| ReadError::Unknown { place: place.to_owned(), line, problem };
    let malformed = |error: serde_json::Error| unknown(error.to_string());
    let body = match link.content {
        Content::Event => EntryBody::Event(serde_json::from_slice(link.body).map_err(malformed)?),
        Content::Record => {
            let version = serde_json::from_slice::<Version>(link.body).map_err(malformed)?.format_version;
            if version != u64::from(FORMAT_VERSION) {
                return Err(unknown(format!("format version {version} is not {FORMAT_VERSION}")));
            }
            EntryBody::Record(Box::new(serde_json::from_slice(link.body).map_err(malformed)?))
        }
    };
    let time = String::from_utf8_lossy(link.time).into_owned();
    Ok(Entry { sequence: link.head.sequence, time, hash: link.head.hash, body })
}
