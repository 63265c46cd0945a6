//! Remembers what earlier passes saw of the files. A file is read only after it has not changed for a moment, because
//! the beginning of a file that is being written must not be taken for the whole. A target ends only after its document
//! has been gone for a while.

use super::key::TargetKey;
use plimsoll_wire::snapshot::Now;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// For how long a file has to be as it is. A copy or an editor that saves a document pauses for milliseconds.
pub(super) const SETTLE_MS: u64 = 1_000;
/// A file that has not come to rest in this time is reported: its owner waits for it.
const RESTLESS_MS: u64 = 10_000;

/// What is remembered of the files from one reading to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    seen: BTreeMap<PathBuf, Seen>,
    /// Since when targets have no document any more, in milliseconds of the boot clock.
    pub(super) gone: BTreeMap<TargetKey, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    stamp: Option<Stamp>,
    since_ms: u64,
    /// When it was at rest last.
    rested_ms: u64,
}

/// What changes when a file is written, replaced, or led to by another link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Of what a path leads to; none where it leads to nothing.
    fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self {
            place: (meta.dev(), meta.ino()),
            size: meta.size(),
            written: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }

    /// Whether nobody has touched it for a while before a moment of the file system's own clock.
    fn is_old(&self, wall_ms: i64) -> bool {
        let changed_ms = self.changed.0.saturating_mul(1_000).saturating_add(self.changed.1 / 1_000_000);
        wall_ms.saturating_sub(changed_ms) >= 2 * i64::try_from(SETTLE_MS).unwrap_or(i64::MAX)
    }
}

/// Whether a file can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It has been as it is for a moment.
    Settled,
    /// It was written just now.
    Moving,
    /// It has been written all the time.
    Restless,
}

/// One pass over all files.
pub(super) struct Pass<'a> {
    before: &'a Files,
    now: &'a Now,
    seen: BTreeMap<PathBuf, Seen>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(before: &'a Files, now: &'a Now) -> Self {
        Self { before, now, seen: BTreeMap::new() }
    }

    /// What is remembered for the next one.
    pub(super) fn into_files(self, gone: BTreeMap<TargetKey, u64>) -> Files {
        Files { seen: self.seen, gone }
    }

    /// Reads a file that is at rest before and after; without a pass, whatever is there.
    pub(super) fn read<T>(
        pass: &mut Option<Pass>,
        path: &Path,
        read: impl FnOnce() -> Option<T>,
    ) -> (Option<T>, Rest) {
        let Some(pass) = pass else { return (read(), Rest::Settled) };
        let rest = pass.rest(path);
        if rest != Rest::Settled {
            return (None, rest);
        }
        let bytes = read();
        // Written while it was read: the next pass reads it again.
        if pass.seen.get(path).is_some_and(|seen| seen.stamp != Stamp::of(path)) {
            pass.seen.remove(path);
            return (None, pass.rest(path));
        }
        (bytes, Rest::Settled)
    }

    fn rest(&mut self, path: &Path) -> Rest {
        let (now_ms, stamp) = (self.now.mono_ms, Stamp::of(path));
        let before = self.before.seen.get(path);
        let since_ms = match before {
            Some(before) if before.stamp == stamp => before.since_ms,
            // Seen for the first time, when the daemon starts: what was not touched for long is at rest.
            None if stamp.is_none_or(|stamp| stamp.is_old(self.now.wall_ms)) => {
                now_ms.saturating_sub(SETTLE_MS)
            }
            Some(_) | None => now_ms,
        };
        // The reader reports a path that leads to nothing.
        let is_settled = stamp.is_none() || now_ms.saturating_sub(since_ms) >= SETTLE_MS;
        let rested_ms = if is_settled { now_ms } else { before.map_or(now_ms, |before| before.rested_ms) };
        self.seen.insert(path.to_owned(), Seen { stamp, since_ms, rested_ms });
        match (is_settled, now_ms.saturating_sub(rested_ms) >= RESTLESS_MS) {
            (true, _) => Rest::Settled,
            (false, true) => Rest::Restless,
            (false, false) => Rest::Moving,
        }
    }
}
