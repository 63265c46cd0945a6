//! Journals in a locked directory: a file a target, replaced as a whole.
//!
//! A file is one line of JSON (`{"revision":N,"journal":{...}}`) and one line with its SHA-256, so that a
//! damaged file can be told from an old one.

use super::{JournalError, Revision};
use crate::disk::{self, Disk, Exclusive, RealDisk, ReplaceError};
use plimsoll_wire::FORMAT_VERSION;
use plimsoll_wire::journal::Journal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The most bytes of a journal: what the Kubernetes store can hold in one object, with room to spare.
const MAX_JOURNAL_BYTES: usize = 1 << 20;

const ENDING: &str = ".journal";

/// The store. Clones share it; the directory is locked until the last one is dropped.
#[derive(Clone)]
pub struct FileJournals {
    shared: Arc<Shared>,
}

struct Shared {
    disk: Box<dyn Disk>,
    /// Targets whose last write may not last: they are written again before they are read. The mutex also
    /// makes compare and set one step.
    doubtful: Mutex<BTreeSet<String>>,
    _lock: Option<Exclusive>,
}

impl std::fmt::Debug for FileJournals {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("FileJournals").field(&self.shared.disk.place("")).finish()
    }
}

/// What a directory keeps of one target.
#[derive(Debug)]
pub struct Kept {
    /// The file.
    pub place: String,
    /// Its content.
    pub journal: Result<(Journal, Revision), JournalError>,
}

/// All journals of a directory, for reading only: files are replaced as a whole, so no lock is needed.
///
/// # Errors
/// When the directory cannot be listed.
pub fn read_all(directory: &Path) -> io::Result<Vec<Kept>> {
    let disk = RealDisk::at(directory);
    let names = disk.list("")?.into_iter().filter(|name| name.ends_with(ENDING));
    Ok(names
        .filter_map(|name| {
            let journal = read(&disk, &name).transpose()?;
            Some(Kept { place: disk.place(&name), journal })
        })
        .collect())
}

impl FileJournals {
    /// Opens the directory, made when it is missing, for this process alone.
    ///
    /// # Errors
    /// [`JournalError::Held`] when another process has it, [`JournalError::NotDurable`] when it cannot be
    /// made or written.
    pub fn open(directory: &Path) -> Result<Self, JournalError> {
        let not_durable =
            |source| JournalError::NotDurable { place: directory.display().to_string(), source };
        let disk = RealDisk::make(directory).map_err(not_durable)?;
        let lock = Exclusive::take(directory)?;
        Self::on(Box::new(disk), Some(lock))
    }

    pub(super) fn on(disk: Box<dyn Disk>, lock: Option<Exclusive>) -> Result<Self, JournalError> {
        // Also syncs the names: a daemon that was killed may have left the last one in memory only.
        remove_leftovers(disk.as_ref())
            .and_then(|()| disk.sync_folder(""))
            .map_err(|source| JournalError::NotDurable { place: disk.place(""), source })?;
        let shared = Shared { disk, doubtful: Mutex::default(), _lock: lock };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// See [`super::JournalStore::load`].
    ///
    /// # Errors
    /// See [`super::JournalStore::load`].
    pub async fn load(&self, target: &str) -> Result<Option<(Journal, Revision)>, JournalError> {
        let (shared, target) = (self.shared.clone(), target.to_owned());
        blocking(target.clone(), move || shared.load(&target)).await
    }

    /// See [`super::JournalStore::store`].
    ///
    /// # Errors
    /// See [`super::JournalStore::store`].
    pub async fn store(
        &self,
        target: &str,
        expected: Option<Revision>,
        journal: &Journal,
    ) -> Result<Revision, JournalError> {
        let (shared, target, journal) = (self.shared.clone(), target.to_owned(), journal.clone());
        blocking(target.clone(), move || shared.store(&target, expected, &journal)).await
    }

    #[cfg(test)]
    pub(super) fn load_now(&self, target: &str) -> Result<Option<(Journal, Revision)>, JournalError> {
        self.shared.load(target)
    }

    #[cfg(test)]
    pub(super) fn store_now(
        &self,
        target: &str,
        expected: Option<Revision>,
        journal: &Journal,
    ) -> Result<Revision, JournalError> {
        self.shared.store(target, expected, journal)
    }
}

async fn blocking<T: Send + 'static>(
    target: String,
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(JournalError::Stopping { target }))
}

impl Shared {
    fn load(&self, target: &str) -> Result<Option<(Journal, Revision)>, JournalError> {
        let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        self.current(target, &mut doubtful)
    }

    fn store(
        &self,
        target: &str,
        expected: Option<Revision>,
        journal: &Journal,
    ) -> Result<Revision, JournalError> {
        let refused = |problem: String| JournalError::Refused { target: target.to_owned(), problem };
        if &*journal.target != target {
            return Err(refused(format!("it names the target {:?}", journal.target)));
        }
        if journal.format_version != FORMAT_VERSION {
            let version = journal.format_version;
            return Err(refused(format!("its format version is {version} and ours is {FORMAT_VERSION}")));
        }
        let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.current(target, &mut doubtful)?.map(|(_, revision)| revision);
        if found != expected {
            return Err(JournalError::Conflict { target: target.to_owned(), found });
        }
        let next = Revision(found.map_or(1, |Revision(number)| number + 1));
        let bytes = encode(next, journal).map_err(|error| refused(error.to_string()))?;
        if bytes.len() > MAX_JOURNAL_BYTES {
            return Err(refused(format!("{} bytes are more than {MAX_JOURNAL_BYTES}", bytes.len())));
        }
        self.replace(target, &bytes, &mut doubtful)?;
        Ok(next)
    }

    /// What is stored, once it is sure to last.
    fn current(
        &self,
        target: &str,
        doubtful: &mut BTreeSet<String>,
    ) -> Result<Option<(Journal, Revision)>, JournalError> {
        let name = file_name(target);
        let Some((journal, revision)) = read(self.disk.as_ref(), &name)? else {
            return self.absent(target, doubtful);
        };
        if &*journal.target != target {
            let problem = format!("it is the journal of {:?}, not of {target:?}", journal.target);
            return Err(unreadable(self.disk.place(&name), problem));
        }
        if doubtful.contains(target) {
            let bytes = encode(revision, &journal).map_err(|error| JournalError::Refused {
                target: target.to_owned(),
                problem: error.to_string(),
            })?;
            self.replace(target, &bytes, doubtful)?;
        }
        Ok(Some((journal, revision)))
    }

    fn absent(
        &self,
        target: &str,
        doubtful: &BTreeSet<String>,
    ) -> Result<Option<(Journal, Revision)>, JournalError> {
        if doubtful.contains(target) {
            // Written by us and gone: somebody removed it under our lock.
            let problem = "it was removed while the daemon was running".to_owned();
            return Err(unreadable(self.disk.place(&file_name(target)), problem));
        }
        Ok(None)
    }

    fn replace(
        &self,
        target: &str,
        bytes: &[u8],
        doubtful: &mut BTreeSet<String>,
    ) -> Result<(), JournalError> {
        let name = file_name(target);
        let result = disk::replace(self.disk.as_ref(), &name, bytes);
        match &result {
            Ok(()) => {
                doubtful.remove(target);
            }
            Err(ReplaceError::Unknown(_)) => {
                doubtful.insert(target.to_owned());
            }
            Err(ReplaceError::Before(_)) => {}
        }
        result.map_err(|error| JournalError::NotDurable {
            place: self.disk.place(&name),
            source: error.into_io(),
        })
    }
}

/// Files that a crash left half-written. Only the holder of the lock may remove them.
fn remove_leftovers(disk: &dyn Disk) -> io::Result<()> {
    for name in disk.list("")? {
        if name.ends_with(&format!("{ENDING}{}", disk::TEMPORARY)) {
            disk.remove(&name)?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    revision: u64,
    journal: &'a Journal,
}

#[derive(Deserialize)]
struct Stored {
    revision: u64,
    journal: Journal,
}

/// The one part of the file that every version has.
#[derive(Deserialize)]
struct Versioned {
    journal: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    format_version: u64,
}

fn encode(Revision(revision): Revision, journal: &Journal) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = plimsoll_wire::canonical(&Written { revision, journal })?;
    bytes.push(b'\n');
    let sum = checksum(&bytes);
    bytes.extend_from_slice(sum.as_bytes());
    Ok(bytes)
}

fn checksum(content: &[u8]) -> String {
    let mut line = "sha256 ".to_owned();
    for byte in Sha256::digest(content) {
        let _ = write!(line, "{byte:02x}");
    }
    line.push('\n');
    line
}

fn read(disk: &dyn Disk, name: &str) -> Result<Option<(Journal, Revision)>, JournalError> {
    let place = disk.place(name);
    let bytes = match disk.read(name, MAX_JOURNAL_BYTES as u64) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let problem = "it cannot be read".to_owned();
            return Err(JournalError::Unreadable { place, problem, source: Some(error) });
        }
    };
    decode(&bytes, place).map(Some)
}

fn decode(bytes: &[u8], place: String) -> Result<(Journal, Revision), JournalError> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return Err(unreadable(place, format!("it is incomplete ({} bytes without an end)", bytes.len())));
    };
    let (content, sum) = bytes.split_at(end + 1);
    if checksum(content).as_bytes() != sum {
        return Err(unreadable(place, "its checksum does not match its content".to_owned()));
    }
    let malformed = |error: serde_json::Error| unreadable(place.clone(), error.to_string());
    let version = serde_json::from_slice::<Versioned>(content).map_err(malformed)?.journal.format_version;
    if version != u64::from(FORMAT_VERSION) {
        return Err(JournalError::UnknownFormat { place, version });
    }
    let stored: Stored = serde_json::from_slice(content).map_err(malformed)?;
    Ok((stored.journal, Revision(stored.revision)))
}

fn unreadable(place: String, problem: String) -> JournalError {
    JournalError::Unreadable { place, problem, source: None }
}

/// A file name for a target, different for different targets whatever their names hold.
pub(super) fn file_name(target: &str) -> String {
    /// File systems take 255 bytes; the ending and the temporary one need some.
    const LONGEST: usize = 220;
    let mut name = String::new();
    for byte in target.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => name.push(char::from(byte)),
            _ => {
                let _ = write!(name, "%{byte:02X}");
            }
        }
    }
    if name.len() > LONGEST {
        // 64 digits of a digest tell long names apart; `+` occurs in no short one.
        name.truncate(LONGEST - 65);
        name.push('+');
        for byte in Sha256::digest(target.as_bytes()) {
            let _ = write!(name, "{byte:02x}");
        }
    }
    name + ENDING
}
