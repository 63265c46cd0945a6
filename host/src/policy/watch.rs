//! Watches the policy directory: events wake it, a rescan is the backstop, and a file is taken only when it has
//! stood still. One module is loaded at a time.

use super::fault::{Flaw, Rejection};
use super::folder::{self, Stamp};
use super::library::Shared;
use super::release::{End, release};
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
    wake: Arc<Notify>,
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Looks at the directory now, whatever was heard of it.
    pub(crate) fn look_again(&self) {
        self.wake.notify_one();
    }
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
    /// The snapshots that its test cases name, and their stamp before they were read.
    cases: Vec<String>,
    case_stamp: Stamp,
}

impl Seen {
    fn new(stamp: Stamp, since: Instant) -> Self {
        Self { stamp, since, done: false, tried: None, cases: Vec::new(), case_stamp: Stamp::default() }
    }
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
    let woken = Arc::clone(&wake);
    let task = tokio::spawn(async move {
        loop {
            let rescan = Instant::now() + round.shared.config.rescan;
            let due = round.turn(false).await.map_or(rescan, |due| due.min(rescan));
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                // A storm of events is one event.
                () = woken.notified() => tokio::time::sleep(round.shared.config.settle / 4).await,
            }
        }
    });
    Watch { task: task.abort_handle(), wake, _watcher: watcher }
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
        let cases: Vec<(String, Vec<String>)> =
            self.seen.iter().map(|(name, seen)| (name.clone(), seen.cases.clone())).collect();
        let looked = spawn_blocking(move || {
            let stamp = |(name, files): (String, Vec<String>)| (name, folder::stamps(&path, &files));
            (folder::list(&path), cases.into_iter().map(stamp).collect::<HashMap<_, _>>())
        });
        let (listing, cases) = looked.await.unwrap_or_else(|error| {
            (Err(Rejection::new(Flaw::Unreadable, format!("listing: {error}"))), HashMap::new())
        });
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
                    if let Some(due) = self.look(&name, stamp, cases.get(&name), first).await {
                        next = Some(next.map_or(due, |next| next.min(due)));
                    }
                }
            }
        }
        next
    }

    /// Loads a policy if its files have stood still; else returns when they will have.
    async fn look(
        &mut self,
        name: &str,
        stamp: Stamp,
        cases: Option<&Stamp>,
        first: bool,
    ) -> Option<Instant> {
        let now = Instant::now();
        let config = &self.shared.config;
        // At the start a file that has not changed for long is whole already.
        let stood = if first && stamp.age() > config.settle { config.settle } else { Duration::ZERO };
        let since = now.checked_sub(stood).unwrap_or(now);
        let seen = self.seen.entry(name.to_owned()).or_insert_with(|| Seen::new(stamp.clone(), since));
        if seen.stamp != stamp || cases.is_some_and(|cases| *cases != seen.case_stamp) {
            let (cases, case_stamp) = (std::mem::take(&mut seen.cases), cases.cloned().unwrap_or_default());
            *seen = Seen { tried: seen.tried, cases, case_stamp, ..Seen::new(stamp, now) };
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
        let (end, cases) = release(&self.shared, name, &expected).await;
        if let Some((files, stamp)) = cases {
            (seen.cases, seen.case_stamp) = (files, stamp);
        }
        match end {
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
        seen.done = true;
        None
    }
}
