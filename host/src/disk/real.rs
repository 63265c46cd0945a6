//! The operating system's file system, and the lock that keeps a directory to one daemon.

use super::{Disk, DiskFile, Stat};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A directory of the operating system.
#[derive(Clone, Debug)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// The directory, made (for this user alone) when it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(root: &Path) -> io::Result<Self> {
        if !root.is_dir() {
            fs::create_dir_all(root)?;
            // The name of a new directory lasts only once its parent is synced.
            if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(Self::at(root))
    }

    /// The directory as it is, for reading.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }
}

impl Disk for RealDisk {
    fn place(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn stat(&self, name: &str) -> io::Result<Option<Stat>> {
        match fs::symlink_metadata(self.path(name)) {
            Ok(metadata) => Ok(Some(stat_of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(self.path(name))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {limit} bytes")));
        }
        Ok(bytes)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(true).mode(0o600);
        Ok(Box::new(RealFile(options.open(self.path(name))?)))
    }

    fn open_end(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).custom_flags(NO_FOLLOW);
        Ok(Box::new(RealFile(options.open(self.path(name))?)))
    }

    fn cut(&self, name: &str, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).custom_flags(NO_FOLLOW).open(self.path(name))?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn make_folder(&self, name: &str) -> io::Result<()> {
        match fs::create_dir(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn sync_folder(&self, name: &str) -> io::Result<()> {
        File::open(self.path(name))?.sync_all()
    }

    fn reserve(&self, name: &str, bytes: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).custom_flags(NO_FOLLOW);
        let mut file = options.open(self.path(name))?;
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
            Ok(()) => {}
            // Not every file system can: then the room is taken by writing.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                io::copy(&mut io::repeat(0).take(bytes), &mut file)?;
            }
            Err(error) => return Err(error.into()),
        }
        file.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let status = rustix::fs::statvfs(&self.root)?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }
}

/// A link in the place of a file would let whoever can write the directory point us anywhere.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;

struct RealFile(File);

impl DiskFile for RealFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn stat(&self) -> io::Result<Stat> {
        Ok(stat_of(&self.0.metadata()?))
    }
}

fn stat_of(metadata: &fs::Metadata) -> Stat {
    let modified_ms = metadata.mtime().saturating_mul(1000).saturating_add(metadata.mtime_nsec() / 1_000_000);
    Stat { length: metadata.len(), id: metadata.ino(), modified_ms }
}

/// A directory that belongs to this process alone, until this value is dropped or the process ends. The
/// descriptor is close-on-exec, so that no command that we start keeps the lock.
#[derive(Debug)]
pub struct Exclusive {
    _file: File,
}

/// Why a directory could not be had alone.
#[derive(Debug, thiserror::Error)]
pub enum Held {
    /// Another process has it.
    #[error(
        "{place} is held by process {pid}; hint: stop that daemon, or give this one a directory of its own"
    )]
    By {
        /// The lock file.
        place: String,
        /// Who holds it, as the holder wrote it.
        pid: String,
    },
    /// The lock file cannot be used.
    #[error("cannot lock {place}; hint: the directory must exist and be writable by this user")]
    Unusable {
        /// The lock file.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Exclusive {
    /// Takes the directory, or says at once who has it; waits for what a holder that was killed has left behind.
    ///
    /// # Errors
    /// See [`Held`].
    pub fn take(directory: &Path) -> Result<Self, Held> {
        let path = directory.join("lock");
        let place = path.display().to_string();
        let unusable = |source| Held::Unusable { place: place.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(NO_FOLLOW);
        let mut file = options.open(&path).map_err(unusable)?;
        let mut tries = 0;
        while let Err(refused) = file.try_lock() {
            let pid = match refused {
                TryLockError::WouldBlock => holder(&mut file),
                TryLockError::Error(error) => return Err(unusable(error)),
            };
            tries += 1;
            if tries > ORPHAN_TRIES || !is_gone(&pid) {
                return Err(Held::By { pid, place });
            }
            std::thread::sleep(ORPHAN_PAUSE);
        }
        // The pid is for people: the lock holds whether or not it can be written (a full disk).
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }

    /// Whether some process has the directory now.
    #[must_use]
    pub fn is_taken(directory: &Path) -> bool {
        File::open(directory.join("lock"))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

/// Who was killed between `fork` and `exec` of a program leaves a copy of itself that holds the lock until it is that
/// program. On a busy machine that takes a moment: up to five seconds.
const ORPHAN_TRIES: u32 = 250;
const ORPHAN_PAUSE: Duration = Duration::from_millis(20);

/// Whether there is no process of that number; what is not a number is no evidence.
fn is_gone(pid: &str) -> bool {
    pid.parse::<u32>().is_ok_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}

fn holder(file: &mut File) -> String {
    // Read each time.
    if file.rewind().is_err() {
        return "unknown".to_owned();
    }
    let mut text = String::new();
    // The file of a holder on a full disk is empty.
    match file.take(32).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        Ok(_) | Err(_) => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lock that somebody else has, in whose file this stands.
    fn held(directory: &Path, pid: u32) -> File {
        let path = directory.join("lock");
        std::fs::write(&path, format!("{pid}\n")).unwrap();
        let file = File::open(path).unwrap();
        file.try_lock().unwrap();
        file
    }

    #[test]
    fn what_a_killed_holder_left_behind_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let orphan = held(folder.path(), gone.id());
        let taking = std::thread::spawn({
            let path = folder.path().to_path_buf();
            move || Exclusive::take(&path)
        });
        drop(orphan);
        let _taken = taking.join().unwrap().unwrap();
        assert!(Exclusive::is_taken(folder.path()));
    }

    #[test]
    fn a_holder_that_lives_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let _holder = held(folder.path(), std::process::id());
        let Err(Held::By { pid, .. }) = Exclusive::take(folder.path()) else { panic!("it was taken twice") };
        assert_eq!(pid, std::process::id().to_string());
    }
}
