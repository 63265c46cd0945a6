//! The file system under what must not be lost: the audit log and the journals.
//!
//! It is a trait so that tests can take the power away between any two calls. Names are relative to one
//! directory, with `/` between parts.

mod real;

pub use real::{Exclusive, Held, RealDisk};

use std::io;

/// One directory of a file system.
pub trait Disk: Send + Sync {
    /// How a person finds this file: its path.
    fn place(&self, name: &str) -> String;

    /// The names of the entries of a folder, sorted; `""` is the directory itself. A missing folder is empty.
    ///
    /// # Errors
    /// When the folder cannot be read.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// What the file system says of a file; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn stat(&self, name: &str) -> io::Result<Option<Stat>>;

    /// All bytes of a file of at most `limit` bytes.
    ///
    /// # Errors
    /// When it cannot be read or is longer.
    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>>;

    /// Makes a file that was not there and opens it at its end. Its name lasts after [`Disk::sync_folder`].
    ///
    /// # Errors
    /// When it exists or cannot be made.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Opens an existing file at its end.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn open_end(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Cuts a file to `length` bytes and makes that last.
    ///
    /// # Errors
    /// When either fails.
    fn cut(&self, name: &str, length: u64) -> io::Result<()>;

    /// Gives a file another name, in the place of one that may be there.
    ///
    /// # Errors
    /// When it fails.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. One that is not there is no error.
    ///
    /// # Errors
    /// When it fails.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes a folder, unless it is there.
    ///
    /// # Errors
    /// When it fails.
    fn make_folder(&self, name: &str) -> io::Result<()>;

    /// Makes the names in a folder last.
    ///
    /// # Errors
    /// When it fails; what lasts is then unknown.
    fn sync_folder(&self, name: &str) -> io::Result<()>;

    /// Makes a file that takes up `bytes` of the disk.
    ///
    /// # Errors
    /// When there is no room.
    fn reserve(&self, name: &str, bytes: u64) -> io::Result<()>;

    /// Bytes that may still be written.
    ///
    /// # Errors
    /// When the file system cannot be asked.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// A file that is written at its end.
pub trait DiskFile: Send {
    /// One write at the end; says how many bytes were taken.
    ///
    /// # Errors
    /// When nothing was taken.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Makes what was written last. After an error this descriptor must not be used again: the kernel may
    /// have dropped the pages and marked them clean.
    ///
    /// # Errors
    /// When it is not known whether it lasts.
    fn sync(&mut self) -> io::Result<()>;

    /// What the file system says of the open file.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn stat(&self) -> io::Result<Stat>;
}

/// What the file system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Bytes.
    pub length: u64,
    /// Which file it is, whatever its name.
    pub id: u64,
    /// Milliseconds since 1970 of its last change.
    pub modified_ms: i64,
}

/// What ends the names of files that are being written; they mean nothing after a crash.
pub const TEMPORARY: &str = ".tmp";

/// Puts `bytes` under `name`, whole or not at all, and makes that last.
///
/// # Errors
/// [`ReplaceError::Before`] when the old content still stands, [`ReplaceError::Unknown`] when the new one
/// stands but may not last.
pub fn replace(disk: &dyn Disk, name: &str, bytes: &[u8]) -> Result<(), ReplaceError> {
    let temporary = format!("{name}{TEMPORARY}");
    write_new(disk, &temporary, bytes).map_err(|error| {
        // The room that it takes may be what the next attempt needs.
        let _ = disk.remove(&temporary);
        ReplaceError::Before(error)
    })?;
    disk.rename(&temporary, name).map_err(ReplaceError::Before)?;
    disk.sync_folder(folder_of(name)).map_err(ReplaceError::Unknown)
}

/// Why [`replace`] failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// The old content stands.
    #[error("the new content could not be written")]
    Before(#[source] io::Error),
    /// The new content stands; a crash may bring the old one back.
    #[error("the new content may not last")]
    Unknown(#[source] io::Error),
}

impl ReplaceError {
    /// The operating system's error.
    #[must_use]
    pub fn into_io(self) -> io::Error {
        match self {
            Self::Before(error) | Self::Unknown(error) => error,
        }
    }
}

fn write_new(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    disk.remove(name)?;
    let mut file = disk.create(name)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        match file.append(rest)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            taken => rest = &rest[taken.min(rest.len())..],
        }
    }
    file.sync()
}

/// The folder part of a name; `""` for the directory itself.
#[must_use]
pub fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}
