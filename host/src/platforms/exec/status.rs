//! What is kept of every command on disk: who holds a target's lock, and what came of each intent.
//!
//! A guard writes here, the daemon reads. Files lie in `<state>/exec/<target>/`: `lock`, and for each intent
//! `<intent>.json` with `<intent>.out` and `<intent>.err` beside it.

use super::listing::clip;
use plimsoll_wire::journal::Outcome;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Statuses that are kept for one target. The daemon needs the last; people like to see some more.
pub(super) const KEPT: usize = 64;
/// Bytes of each output stream that are kept in a status.
pub(super) const TAIL: u64 = 64 * 1024;
/// A status with two tails of control characters, each six bytes in JSON.
const MAX_STATUS: u64 = 1024 * 1024;
/// Output that a server left running may have written before its file is emptied.
const MAX_LEFT_OUTPUT: u64 = 1024 * 1024;
/// The exit code by which a command says: refused, and nothing was changed.
pub(super) const EXIT_REFUSED: i32 = 3;

/// What is known of the command of one intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardStatus {
    /// 1.
    pub format_version: u32,
    /// `namespace/name`.
    pub target: String,
    /// The plan.
    pub plan: String,
    /// The intent, which licensed this one command.
    pub intent: String,
    /// The slot that it is about.
    pub slot: String,
    /// `start` or `stop`.
    pub verb: String,
    /// The program.
    pub program: String,
    /// The guard's process id.
    pub guard_pid: u32,
    /// The command's process id and process group, once it was started.
    #[serde(default)]
    pub pid: Option<u32>,
    /// Milliseconds since 1970, for people.
    pub started_ms: i64,
    /// How it ended; absent while it runs, and for ever if its guard was killed.
    #[serde(default)]
    pub end: Option<End>,
    /// Whether its guard holds the lock at this moment. Not stored.
    #[serde(skip)]
    pub running: bool,
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// Its exit code, if it exited.
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Why the guard ended it: its deadline, or a flood of output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by_guard: Option<String>,
    /// Why it could not be started at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_started: Option<String>,
    /// Milliseconds since 1970, for people.
    pub ended_ms: i64,
    /// The last of what it wrote to its standard output.
    #[serde(default)]
    pub stdout: String,
    /// The last of what it wrote to its standard error.
    #[serde(default)]
    pub stderr: String,
}

impl GuardStatus {
    /// What came of the command; `None` while it runs.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        let Some(end) = &self.end else {
            let lost = "its guard ended before it could tell how the command ended".to_owned();
            return (!self.running).then_some(Outcome::Unknown { message: lost });
        };
        Some(end.outcome(&self.program))
    }
}

impl End {
    fn outcome(&self, program: &str) -> Outcome {
        if let Some(why) = &self.not_started {
            return Outcome::Refused { message: format!("{program} could not be started: {why}") };
        }
        if let Some(why) = &self.ended_by_guard {
            return Outcome::Unknown { message: format!("{program} was ended: {why}{}", self.said()) };
        }
        match (self.exit_code, self.signal) {
            (Some(0), _) => Outcome::Applied,
            (Some(EXIT_REFUSED), _) => {
                Outcome::Refused { message: format!("{program} refused, exit code 3{}", self.said()) }
            }
            // A command that failed may have done half of its work.
            (Some(code), _) => {
                Outcome::Unknown { message: format!("{program} failed with exit code {code}{}", self.said()) }
            }
            (None, Some(signal)) => {
                Outcome::Unknown { message: format!("{program} was ended by signal {signal}{}", self.said()) }
            }
            (None, None) => Outcome::Unknown { message: format!("nobody knows how {program} ended") },
        }
    }

    fn said(&self) -> String {
        let said = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        last_words(said)
    }
}

/// The end of foreign output, for a message.
pub(super) fn last_words(said: &str) -> String {
    let said = said.trim();
    if said.is_empty() {
        return String::new();
    }
    let skip = said.chars().count().saturating_sub(300);
    let tail: String = said.chars().skip(skip).collect();
    format!("; it said: {}", clip(&tail))
}

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

    /// The intent whose guard holds the lock now.
    pub(super) fn holder(&self) -> io::Result<Option<String>> {
        let lock = match File::open(self.folder.join("lock")) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None), // Closing the file gives it back.
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut name = String::new();
                lock.take(4096).read_to_string(&mut name)?;
                Ok(Some(name))
            }
            Err(error) => Err(error.into()),
        }
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
        let draft = path.with_extension("json-draft");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&serde_json::to_vec(status)?)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        File::open(&self.folder)?.sync_all()
    }

    /// The stored status of an intent; `None` if its command was never begun.
    pub(super) fn load(&self, intent: &str) -> io::Result<Option<GuardStatus>> {
        match File::open(self.status_path(intent)) {
            Ok(file) => read_status(file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every stored status, in the order of their beginning, each with whether its guard still runs.
    pub(super) fn all(&self) -> io::Result<Vec<GuardStatus>> {
        let holder = self.holder()?;
        let mut found = Vec::new();
        for path in self.status_files()? {
            match File::open(&path) {
                Ok(file) => found.push(read_status(file)?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // Pruned just now.
                Err(error) => return Err(error),
            }
        }
        for status in &mut found {
            status.running = status.end.is_none() && holder.as_deref() == Some(&*status.intent);
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

    /// Empties outputs that a server which a command left running has blown up. They are open for appending,
    /// so the server goes on at the beginning. The output of a running command is its guard's business.
    pub(super) fn trim_outputs(&self) -> io::Result<()> {
        let running = self.holder()?.map(|intent| file_name(&intent));
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

fn read_status(file: File) -> io::Result<GuardStatus> {
    let mut bytes = Vec::new();
    file.take(MAX_STATUS).read_to_end(&mut bytes)?;
    let status: GuardStatus = serde_json::from_slice(&bytes)?;
    if status.format_version != 1 {
        return Err(io::Error::other(format!("status of format version {}", status.format_version)));
    }
    Ok(status)
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
mod tests {
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

    #[test]
    fn only_a_clean_exit_counts_as_applied() {
        let end = |exit_code, signal| End { exit_code, signal, ..End::default() };
        assert_eq!(end(Some(0), None).outcome("p"), Outcome::Applied);
        assert!(matches!(end(Some(3), None).outcome("p"), Outcome::Refused { .. }));
        assert!(matches!(end(Some(1), None).outcome("p"), Outcome::Unknown { .. }));
        assert!(matches!(end(None, Some(9)).outcome("p"), Outcome::Unknown { .. }));
        let late = End { ended_by_guard: Some("deadline".into()), ..end(Some(0), None) };
        assert!(matches!(late.outcome("p"), Outcome::Unknown { .. }));
        let absent = End { not_started: Some("no such file".into()), ..End::default() };
        assert!(matches!(absent.outcome("p"), Outcome::Refused { .. }));
    }
}
