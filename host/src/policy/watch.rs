//! Watches the policy directory: events wake it, a rescan is the backstop, and a file is taken only when it has
//! stood still. One module is loaded at a time.

use super::child::digest;
use super::fault::{Flaw, Rejection};
use super::folder::{self, Content, Stamp};
use super::library::{Shared, Standing};
use super::version::Version;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::Instant;

/// The watching task; it ends when this is dropped.
pub(crate) struct Watch {
    task: AbortHandle,
    _watcher: Option<RecommendedWatcher>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What was seen of one policy's files.
struct Seen {
    stamp: Stamp,
    /// Since when the stamp is the same.
    since: Instant,
    /// Whether this content was taken, or refused.
    done: bool,
    /// When it was last tried.
    tried: Option<Instant>,
}

/// Loads what is there and begins to watch.
pub(crate) async fn keep_watching(shared: &Arc<Shared>) -> Watch {
    let wake = Arc::new(Notify::new());
    let watcher = watcher(shared, &wake);
    let mut round = Round { shared: Arc::clone(shared), seen: HashMap::new() };
    // The first time nobody waits for a file to settle longer than it takes.
    while let Some(due) = round.turn(true).await {
        tokio::time::sleep_until(due).await;
    }
    let task = tokio::spawn(async move {
        loop {
            let rescan = Instant::now() + round.shared.config.rescan;
            let due = round.turn(false).await.map_or(rescan, |due| due.min(rescan));
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                // A storm of events is one event.
                () = wake.notified() => tokio::time::sleep(round.shared.config.settle / 4).await,
            }
        }
    });
    Watch { task: task.abort_handle(), _watcher: watcher }
}

/// Without it (no inotify instances left, say) the rescan alone finds changes.
fn watcher(shared: &Shared, wake: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let wake = Arc::clone(wake);
    let woken = move |event: notify::Result<notify::Event>| {
        // Our own reading is no change.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            wake.notify_one();
        }
    };
    let started = notify::recommended_watcher(woken).and_then(|mut watcher| {
        watcher.watch(&shared.folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    started
        .inspect_err(|error| tracing::warn!(%error, "no file events: policies are found by rescan only"))
        .ok()
}

struct Round {
    shared: Arc<Shared>,
    seen: HashMap<String, Seen>,
}

impl Round {
    /// Reads the directory once and loads what has settled; returns when the next file will have.
    async fn turn(&mut self, first: bool) -> Option<Instant> {
        let path = self.shared.folder.clone();
        let listing = spawn_blocking(move || folder::list(&path)).await;
        let listing = listing
            .unwrap_or_else(|error| Err(Rejection::new(Flaw::Unreadable, format!("listing: {error}"))));
        self.shared.note(&listing);
        let listing = listing.ok()?;
        self.seen.retain(|name, _| listing.found.contains_key(name));
        let mut next: Option<Instant> = None;
        for (name, found) in listing.found {
            match found {
                Err(rejection) => {
                    // Should it become readable again, it is looked at anew.
                    self.seen.remove(&name);
                    self.shared.blame(&name, rejection, None);
                }
                Ok(stamp) => {
                    if let Some(due) = self.look(&name, stamp, first).await {
                        next = Some(next.map_or(due, |next| next.min(due)));
                    }
                }
            }
        }
        next
    }

    /// Loads a policy if its files have stood still; else returns when they will have.
    async fn look(&mut self, name: &str, stamp: Stamp, first: bool) -> Option<Instant> {
        let now = Instant::now();
        let config = &self.shared.config;
        // At the start a file that has not changed for long is whole already.
        let stood = if first && stamp.age() > config.settle { config.settle } else { Duration::ZERO };
        let seen = self.seen.entry(name.to_owned()).or_insert_with(|| Seen {
            stamp: stamp.clone(),
            since: now.checked_sub(stood).unwrap_or(now),
            done: false,
            tried: None,
        });
        if seen.stamp != stamp {
            *seen = Seen { stamp, since: now, done: false, tried: seen.tried };
        }
        if seen.done {
            return None;
        }
        let settled = seen.since + config.settle;
        let due = seen.tried.map_or(settled, |tried| settled.max(tried + config.pause));
        if due > now {
            return Some(due);
        }
        seen.tried = Some(now);
        let expected = seen.stamp.clone();
        match release(&self.shared, name, &expected).await {
            Ok(()) => {}
            Err(End::Rejected(rejection, module)) => {
                tracing::warn!(
                    policy = name,
                    kind = rejection.kind(),
                    detail = rejection.detail,
                    "policy refused"
                );
                self.shared.blame(name, rejection, module);
            }
            Err(End::Changed) => return Some(Instant::now() + config.settle),
        }
        if let Some(seen) = self.seen.get_mut(name) {
            seen.done = true;
        }
        None
    }
}

/// Why a version did not take over.
enum End {
    /// The files changed while they were read.
    Changed,
    Rejected(Rejection, Option<String>),
}

/// The guarded release: read → digest → scan, compile and load → trial → active.
async fn release(shared: &Arc<Shared>, name: &str, expected: &Stamp) -> Result<(), End> {
    let (path, owned) = (shared.folder.clone(), name.to_owned());
    let content = spawn_blocking(move || {
        let content = folder::read(&path, &owned)?;
        let after = folder::read_stamp(&path, &owned)?;
        Ok((content, after))
    });
    let read: Result<(Content, Stamp), Rejection> = content
        .await
        .unwrap_or_else(|error| Err(Rejection::new(Flaw::Unreadable, format!("reading {name}: {error}"))));
    let (content, after) = read.map_err(|rejection| End::Rejected(rejection, None))?;
    if content.stamp != *expected || after != *expected {
        return Err(End::Changed);
    }
    let module = digest(&content.module);
    let reject = |rejection| End::Rejected(rejection, Some(module.clone()));
    if let Some(wanted) = content.manifest.sha256.as_ref().filter(|wanted| **wanted != module) {
        let detail = format!("the manifest asks for sha256 {wanted}, the module has {module}");
        return Err(reject(Rejection::new(Flaw::Digest, detail)));
    }
    match shared.standing(name, &module, &content.manifest.limits()) {
        Standing::New => {}
        Standing::Running => return Ok(()),
        Standing::Barred => {
            let detail = "this module was rolled back; put another one there";
            return Err(reject(Rejection::new(Flaw::RolledBack, detail)));
        }
    }
    if !shared.has_room(name) {
        let detail = format!("{} policies are loaded already", shared.config.policies);
        return Err(reject(Rejection::new(Flaw::TooMany, detail)));
    }
    let (class, limits) = (content.manifest.class, content.manifest.limits());
    let cache = shared.config.cache.as_deref();
    let version =
        Version::load(&shared.config.launch, class, limits, &content.module, cache).await.map_err(&reject)?;
    drop(content);
    for snapshot in shared.recent(name) {
        if let Err(failure) = version.evaluate(&snapshot).await.result {
            let detail = format!("on the last snapshot of {}: {failure}", snapshot.target.key);
            return Err(reject(Rejection::new(Flaw::Trial, detail)));
        }
    }
    tracing::info!(policy = name, module, "policy taken");
    shared.activate(name, version);
    Ok(())
}
