//! Stores the statuses of a target's commands, and holds the target's lock.
//!
//! A guard writes here, the daemon reads. Files lie in `<state>/exec/<target>/`: `lock`, and for each intent
//! `<intent>.json` with `<intent>.out` and `<intent>.err` beside it.

use super::status::{GuardStatus, MAX_STATUS};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Statuses that are kept for one target. The daemon needs the last; people like to see some more.
pub(super) const KEPT: usize = 64;
/// Output that a server left running may have written before its file is emptied.
const MAX_LEFT_OUTPUT: u64 = 1024 * 1024;
/// The suffix of a status that is being written.
const DRAFT: &str = "json-draft";

/// One target's folder.
#[derive(Clone, Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    pub(super) fn new(state: &Path, target: &str) -> Self {
        Self { folder: state.join("exec").join(file_name(target)) }
    }

    pub(super) fn create(&self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)
    }

    /// The lock of the target. The file stays closed to what a command starts (close-on-exec is what the
    /// standard library opens with), so that a server never holds it.
    pub(super) fn open_lock(&self) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.folder.join("lock"))
    }

    /// Writes down who holds the lock. Advice for readers only: the lock is what counts.
    pub(super) fn sign(lock: &mut File, intent: &str) -> io::Result<()> {
        lock.set_len(0)?;
        lock.seek(SeekFrom::Start(0))?;
        lock.write_all(intent.as_bytes())
    }

    /// The intent that signed last, and whether the lock is held now. A guard signs just before it begins, so
    /// that a holder may not have signed yet; it has not begun then.
    fn signature(&self) -> io::Result<Option<(String, bool)>> {
        let lock = match File::open(self.folder.join("lock")) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_held = match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => false, // Closing the file gives it back.
            Err(rustix::io::Errno::WOULDBLOCK) => true,
            Err(error) => return Err(error.into()),
        };
        let mut intent = String::new();
        lock.take(4096).read_to_string(&mut intent)?;
        Ok(Some((intent, is_held)))
    }

    /// The status of the command that began last, if one did. No earlier one can still run: a guard begins
    /// only when the last command has ended.
    pub(super) fn last(&self) -> io::Result<Option<GuardStatus>> {
        // The lock first: a guard stores the end before it lets go.
        let Some((intent, is_held)) = self.signature()? else { return Ok(None) };
        let Some(mut status) = self.load(&intent)? else { return Ok(None) };
        let is_orphan = !is_held && status.is_orphan();
        if is_orphan {
            status.end_if_overdue();
        }
        status.running = status.end.is_none() && (is_held || is_orphan);
        Ok(Some(status))
    }

    /// For a guard that has the lock: the command that an earlier guard began and was killed over, if it
    /// still runs.
    pub(super) fn orphan(&self) -> io::Result<Option<GuardStatus>> {
        let Some((intent, _)) = self.signature()? else { return Ok(None) };
        let status = self.load(&intent)?.filter(GuardStatus::is_orphan);
        if let Some(status) = &status {
            status.end_if_overdue();
        }
        Ok(status)
    }

    pub(super) fn output(&self, intent: &str, stream: &str) -> PathBuf {
        self.folder.join(format!("{}.{stream}", file_name(intent)))
    }

    fn status_path(&self, intent: &str) -> PathBuf {
        self.folder.join(format!("{}.json", file_name(intent)))
    }

    /// Writes a status so that it survives a crash, whole or not at all.
    pub(super) fn save(&self, status: &GuardStatus) -> io::Result<()> {
        let path = self.status_path(&status.intent);
        let draft = path.with_extension(DRAFT);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&serde_json::to_vec(status)?)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        File::open(&self.folder)?.sync_all()
    }

    /// The stored status of an intent; `None` if its command was never begun.
    pub(super) fn load(&self, intent: &str) -> io::Result<Option<GuardStatus>> {
        read_status(&self.status_path(intent))
    }

    /// Every stored status, in the order of their beginning, each with whether its guard still runs.
    pub(super) fn all(&self) -> io::Result<Vec<GuardStatus>> {
        let last = self.last()?;
        let mut found = Vec::new();
        for path in self.status_files()? {
            found.extend(read_status(&path)?); // None: pruned just now.
        }
        for status in &mut found {
            if let Some(last) = last.as_ref().filter(|last| last.intent == status.intent) {
                status.clone_from(last);
            }
        }
        found.sort_by(|a, b| (a.started_ms, &a.intent).cmp(&(b.started_ms, &b.intent)));
        Ok(found)
    }

    fn status_files(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "json") {
                paths.push(path);
            }
        }
        Ok(paths)
    }

    /// Drops all but the newest statuses, never that of `current`. Under the lock only.
    pub(super) fn prune(&self, current: &str) -> io::Result<()> {
        self.drop_drafts()?;
        let mut aged = Vec::new();
        for path in self.status_files()? {
            if path != self.status_path(current) {
                aged.push((fs::metadata(&path)?.modified()?, path));
            }
        }
        aged.sort();
        let surplus = (aged.len() + 1).saturating_sub(KEPT);
        for (_, path) in aged.into_iter().take(surplus) {
            fs::remove_file(&path)?;
            for stream in ["out", "err"] {
                let output = path.with_extension(stream);
                // A file that somebody wrote to after the command had ended belongs to a server that goes on
                // writing: were it unlinked, it would grow where nobody sees it.
                if fs::metadata(&output).is_ok_and(|m| m.len() == 0) {
                    fs::remove_file(&output)?;
                }
            }
        }
        Ok(())
    }

    /// Drops what a guard that was killed while it wrote has left.
    fn drop_drafts(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == DRAFT) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Empties outputs that a server which a command left running has blown up. They are open for appending,
    /// so the server goes on at the beginning. The output of a running command is its guard's business.
    pub(super) fn trim_outputs(&self) -> io::Result<()> {
        let running = self.signature()?.map(|(intent, _)| file_name(&intent));
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            let is_output = path.extension().is_some_and(|e| e == "out" || e == "err");
            let is_running =
                running.as_deref().is_some_and(|name| path.file_stem().is_some_and(|s| s == name));
            if is_output && !is_running && fs::metadata(&path).is_ok_and(|m| m.len() > MAX_LEFT_OUTPUT) {
                OpenOptions::new().write(true).open(&path)?.set_len(0)?;
            }
        }
        Ok(())
    }
}

fn read_status(path: &Path) -> io::Result<Option<GuardStatus>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_STATUS).read_to_end(&mut bytes)?;
    match serde_json::from_slice::<GuardStatus>(&bytes) {
        Ok(status) if status.format_version == 1 => Ok(Some(status)),
        Ok(status) => Err(unusable(path, &format!("format version {}", status.format_version))),
        Err(error) => Err(unusable(path, &error.to_string())),
    }
}

/// Nobody can know whether that command still runs, so that everything waits for a person.
fn unusable(path: &Path, what: &str) -> io::Error {
    io::Error::other(format!(
        "{} is no status of a command ({what}); see that none of this target runs, then remove the file",
        path.display()
    ))
}

/// A name for a file that no other text gets and that leads out of no folder.
pub(super) fn file_name(text: &str) -> String {
    let mut name = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte as char),
            _ => {
                let _ = write!(name, "%{byte:02X}");
            }
        }
    }
    if (1..=160).contains(&name.len()) {
        return name;
    }
    name.truncate(100);
    name.push('='); // Never in a name that was spelled out.
    for byte in &Sha256::digest(text.as_bytes())[..16] {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end here")]
mod tests {
    use super::super::status::End;
    use super::*;

    #[test]
    fn file_names_stay_in_their_folder_and_apart() {
        let long = "x".repeat(5000);
        let texts = ["", ".", "..", "/", "a/b", "a%2Fb", "../../etc/passwd", "a\0b", "A", "a", "ä", &long];
        let names: Vec<String> = texts.iter().map(|t| file_name(t)).collect();
        for name in &names {
            assert!(!name.is_empty() && name.len() < 200 && !name.contains(['/', '.', '\0']), "{name}");
        }
        let apart: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(apart.len(), names.len());
        assert_eq!(file_name("default/web"), "default%2Fweb");
    }

    fn status(intent: &str, started_ms: i64) -> GuardStatus {
        GuardStatus {
            format_version: 1,
            target: "lab/web".into(),
            plan: "p1".into(),
            intent: intent.into(),
            slot: "e1".into(),
            verb: "start".into(),
            program: "/bin/true".into(),
            guard_pid: 1,
            process: None,
            deadline_mono_ms: 0,
            started_ms,
            end: Some(End::default()),
            running: false,
        }
    }

    #[test]
    fn keeps_the_newest_statuses_and_outputs_that_are_still_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path(), "lab/web");
        store.create().unwrap();
        let born = std::time::SystemTime::UNIX_EPOCH;
        for n in 0..100_u32 {
            let intent = format!("i{n}");
            store.save(&status(&intent, i64::from(n))).unwrap();
            let age = born + std::time::Duration::from_secs(u64::from(n));
            File::open(store.status_path(&intent)).unwrap().set_modified(age).unwrap();
            fs::write(store.output(&intent, "out"), if n == 7 { "still here" } else { "" }).unwrap();
        }
        fs::write(store.folder.join("i0.json-draft"), "torn").unwrap();
        store.prune("i3").unwrap();
        let left: Vec<String> = store.all().unwrap().into_iter().map(|s| s.intent).collect();
        let mut wanted = vec!["i3".to_owned()];
        wanted.extend((37..100).map(|n| format!("i{n}")));
        assert_eq!(left, wanted);
        assert!(store.output("i7", "out").exists() && !store.output("i8", "out").exists());
        assert!(!store.folder.join("i0.json-draft").exists());
    }

    #[test]
    fn empties_what_a_server_that_was_left_running_has_blown_up() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path(), "lab/web");
        store.create().unwrap();
        let size = |intent: &str| fs::metadata(store.output(intent, "out")).unwrap().len();
        let large = vec![b'x'; 2 * 1024 * 1024];
        for intent in ["ended", "running"] {
            fs::write(store.output(intent, "out"), &large).unwrap();
        }
        fs::write(store.output("small", "out"), "x").unwrap();
        Store::sign(&mut store.open_lock().unwrap(), "running").unwrap();
        store.trim_outputs().unwrap();
        assert_eq!((size("ended"), size("running"), size("small")), (0, 2 * 1024 * 1024, 1));
    }

    #[test]
    fn a_damaged_status_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path(), "lab/web");
        store.create().unwrap();
        fs::write(store.status_path("i1"), "{\"formatVersion\":").unwrap();
        let error = store.all().unwrap_err().to_string();
        assert!(error.contains("i1.json is no status"), "{error}");
    }

    #[test]
    fn reads_back_the_largest_status_that_it_writes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path(), "lab/web");
        store.create().unwrap();
        let tail = "\u{1}".repeat(usize::try_from(super::super::status::TAIL).unwrap());
        let end = End { stdout: tail.clone(), stderr: tail, ..End::default() };
        let large = GuardStatus { end: Some(end), ..status("i1", 0) };
        store.save(&large).unwrap();
        assert_eq!(store.load("i1").unwrap(), Some(large));
    }
}
