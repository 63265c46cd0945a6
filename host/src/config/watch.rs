//! Tells when the daemon's file or the targets' directory may have changed.

use super::load::is_document;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// An editor writes a file in several steps; a change is looked at when it has been quiet for this long.
const QUIET: Duration = Duration::from_millis(200);
/// Under a steady stream of changes a look is taken this often all the same.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// Events can be lost (a full queue, a network file system), so a look is taken this often in any case.
const RESCAN: Duration = Duration::from_secs(30);

/// Watches the places that a configuration is read from.
#[derive(Debug)]
pub struct Watch {
    hints: mpsc::Receiver<()>,
    // Dropped with us, which ends the watch.
    watcher: Option<RecommendedWatcher>,
    watched: Vec<PathBuf>,
    rescan: Duration,
    /// When the first and the newest of the changes were told that nobody has looked at yet.
    heard: Option<(Instant, Instant)>,
    /// When a look is taken without any.
    next_look: Instant,
}

impl Watch {
    /// Begins to watch the directory of the daemon's file and the targets' directory. Where the system
    /// cannot watch them, a look is taken every half minute.
    pub fn new(daemon_file: &Path, targets_dir: &Path) -> Self {
        // One place: more hints than one say no more than one.
        let (sender, hints) = mpsc::channel(1);
        let file_name = daemon_file.file_name().map(ToOwned::to_owned);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let relevant = event.as_ref().map_or(true, |event| matters(event, file_name.as_deref()));
            if relevant {
                // Full means that a hint waits already.
                let _ = sender.try_send(());
            }
        });
        let mut watch = Self {
            hints,
            watcher: None,
            watched: Vec::new(),
            rescan: RESCAN,
            heard: None,
            next_look: Instant::now() + RESCAN,
        };
        match watcher {
            Ok(watcher) => watch.watcher = Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "cannot watch for changes of the configuration; looking every 30 s")
            }
        }
        let absolute = std::path::absolute(daemon_file).unwrap_or_else(|_| daemon_file.to_owned());
        // The directory and not the file: most editors replace the file by another.
        let parent = absolute.parent().unwrap_or(Path::new("/"));
        watch.add(parent);
        watch.add(targets_dir);
        watch
    }

    /// Watches one more directory, when a reload has led to another.
    pub fn add(&mut self, dir: &Path) {
        if self.watched.iter().any(|watched| watched == dir) {
            return;
        }
        // One that is not there is reported where it is read, if it is missed.
        let Some(watcher) = self.watcher.as_mut().filter(|_| dir.exists()) else { return };
        match watcher.watch(dir, RecursiveMode::NonRecursive) {
            Ok(()) => self.watched.push(dir.to_owned()),
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "cannot watch for changes of the configuration; looking every 30 s");
            }
        }
    }

    /// Takes the next look within this time, whatever changes.
    pub fn look_within(&mut self, wait: Duration) {
        self.next_look = self.next_look.min(Instant::now() + wait);
    }

    /// Waits until something may have changed. Several changes in quick succession
    /// are one, and half a minute without any ends the wait too: the caller reads the files, which shows what has changed.
    ///
    /// May be given up and asked again at any time, as a loop that waits for other things too does: what was
    /// heard, and since when, is kept.
    pub async fn changed(&mut self) {
        loop {
            let due =
                self.heard.map_or(self.next_look, |(first, last)| (first + LONGEST_WAIT).min(last + QUIET));
            match timeout_at(due, self.hints.recv()).await {
                Ok(Some(())) => {
                    let now = Instant::now();
                    self.heard = Some((self.heard.map_or(now, |(first, _)| first), now));
                    if now < due {
                        continue;
                    }
                }
                // The watcher has ended; without it there is only the rescan.
                Ok(None) => tokio::time::sleep_until(due).await,
                Err(_) => {}
            }
            self.heard = None;
            self.next_look = Instant::now() + self.rescan;
            return;
        }
    }
}

/// Whether an event may have changed what we read. Our own reading makes events too, which must not make us
/// read again.
fn matters(event: &Event, daemon_file: Option<&std::ffi::OsStr>) -> bool {
    let change = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    };
    // `..data` is the link that a mounted ConfigMap is swapped by.
    let ours = |path: &PathBuf| {
        let name = path.file_name();
        is_document(path) || name == daemon_file || name.is_some_and(|name| name == "..data")
    };
    change && (event.paths.is_empty() || event.need_rescan() || event.paths.iter().any(ours))
}
