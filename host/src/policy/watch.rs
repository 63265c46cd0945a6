//! Watches the policy directory: events wake it, a rescan is the backstop, and a file is taken only when it has
//! stood still. Few modules are loaded at a time, and what targets name comes first.

use super::artefact;
use super::fault::{Flaw, Rejection};
use super::folder::{self, Stamp};
use super::library::Shared;
use super::limits::COMPILE_SLOTS;
use super::memory::Remembered;
use super::release::{CaseFiles, End, release, restore};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet, spawn_blocking};
use tokio::time::Instant;

/// The watching task; it ends when this is dropped.
pub(crate) struct Watch {
    task: AbortHandle,
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

/// Begins to load what is there, and to watch.
pub(crate) fn keep_watching(shared: &Arc<Shared>) -> Watch {
    let round = Round {
        shared: Arc::clone(shared),
        seen: HashMap::new(),
        jobs: JoinSet::new(),
        busy: HashMap::new(),
        waiting: BTreeSet::new(),
        events: Events::default(),
        saved: HashMap::new(),
    };
    Watch { task: tokio::spawn(round.keep_on()).abort_handle() }
}

/// File events of the directory. They come from the directory that was there when they were asked for: another one
/// under the same name has to be asked for again.
#[derive(Default)]
struct Events {
    watcher: Option<RecommendedWatcher>,
    /// Which directory that is: device and number.
    of: Option<(u64, u64)>,
}

impl Events {
    /// Asks for the events of the directory that is there now.
    fn renew(&mut self, folder: &Path, wake: &Arc<Notify>) {
        let now = std::fs::metadata(folder).ok().map(|data| (data.dev(), data.ino()));
        if now == self.of && (now.is_none() || self.watcher.is_some()) {
            return;
        }
        // Without it (no inotify instances left, say) the rescan alone finds changes.
        self.watcher = now.and_then(|_| watcher(folder, wake));
        self.of = now;
    }
}

fn watcher(folder: &Path, wake: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let wake = Arc::clone(wake);
    let woken = move |event: notify::Result<notify::Event>| {
        // Our own reading is no change.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            wake.notify_one();
        }
    };
    let started = notify::recommended_watcher(woken).and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    started
        .inspect_err(|error| tracing::warn!(%error, "no file events: policies are found by rescan only"))
        .ok()
}

/// What came of trying to release what stands under a name.
struct Done {
    name: String,
    /// What was to be released.
    expected: Stamp,
    end: Result<(), End>,
    cases: Option<CaseFiles>,
}

struct Round {
    shared: Arc<Shared>,
    seen: HashMap<String, Seen>,
    jobs: JoinSet<Done>,
    /// What is being released, and whether a target names it.
    busy: HashMap<Id, (String, bool)>,
    /// What has settled and waits for a place.
    waiting: BTreeSet<String>,
    events: Events,
    /// What was kept last of each policy.
    saved: HashMap<String, Remembered>,
}

impl Round {
    async fn keep_on(mut self) {
        let mut first = true;
        let wake = Arc::clone(&self.shared.wake);
        loop {
            self.events.renew(&self.shared.folder, &wake);
            let rescan = Instant::now() + self.shared.config.rescan;
            let due = self.turn(first).await;
            self.begin_jobs();
            if self.jobs.is_empty() {
                self.tidy().await;
                if due.is_none() {
                    first = false;
                    self.shared.settled.send_replace(true);
                }
            }
            // A directory that is gone is looked for: no event tells that it is back.
            let missing = self.events.of.is_none().then(|| Instant::now() + self.shared.config.settle);
            let due = [due, missing].into_iter().flatten().fold(rescan, Instant::min);
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                // A storm of events is one event.
                () = wake.notified() => tokio::time::sleep(self.shared.config.settle / 4).await,
                Some(done) = self.jobs.join_next_with_id() => self.finish(done),
            }
        }
    }

    /// Reads the directory once and notes what has settled; returns when the next file will have.
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
        self.waiting.retain(|name| listing.found.contains_key(name));
        let mut next: Option<Instant> = None;
        for (name, found) in listing.found {
            match found {
                Err(rejection) => {
                    // Should it become readable again, it is read again.
                    self.seen.remove(&name);
                    self.shared.blame(&name, rejection, None);
                }
                Ok(stamp) => {
                    if let Some(due) = self.look(&name, stamp, cases.get(&name), first) {
                        next = Some(next.map_or(due, |next| next.min(due)));
                    }
                }
            }
        }
        next
    }

    /// Notes a policy for release if its files have stood still; else returns when they will have.
    fn look(&mut self, name: &str, stamp: Stamp, cases: Option<&Stamp>, first: bool) -> Option<Instant> {
        let now = Instant::now();
        let config = &self.shared.config;
        // At the start a file that has not changed for long is whole already.
        let stood = if first && stamp.age() > config.settle { config.settle } else { Duration::ZERO };
        let since = now.checked_sub(stood).unwrap_or(now);
        let seen = self.seen.entry(name.to_owned()).or_insert_with(|| Seen::new(stamp.clone(), since));
        if seen.stamp != stamp || cases.is_some_and(|cases| *cases != seen.case_stamp) {
            let (cases, case_stamp) = (std::mem::take(&mut seen.cases), cases.cloned().unwrap_or_default());
            *seen = Seen { tried: seen.tried, cases, case_stamp, ..Seen::new(stamp, now) };
            self.waiting.remove(name);
        }
        let is_busy = self.busy.values().any(|(busy, _)| busy == name);
        if seen.done || is_busy || self.waiting.contains(name) {
            return None;
        }
        let settled = seen.since + config.settle;
        let due = seen.tried.map_or(settled, |tried| settled.max(tried + config.pause));
        if due > now {
            return Some(due);
        }
        self.waiting.insert(name.to_owned());
        None
    }

    /// Begins to release what waits: what targets name before what they do not, which never takes the last place.
    fn begin_jobs(&mut self) {
        let (named, others): (Vec<_>, Vec<_>) =
            self.waiting.iter().cloned().partition(|name| self.shared.is_named(name));
        for (names, is_named) in [(named, true), (others, false)] {
            for name in names {
                let unnamed = self.busy.values().filter(|(_, is_named)| !is_named).count();
                let is_full = self.busy.len() >= COMPILE_SLOTS || (!is_named && unnamed + 1 >= COMPILE_SLOTS);
                let Some(seen) = self.seen.get_mut(&name).filter(|_| !is_full) else { continue };
                self.waiting.remove(&name);
                seen.tried = Some(Instant::now());
                let job = job(Arc::clone(&self.shared), name.clone(), seen.stamp.clone());
                let id = self.jobs.spawn(job).id();
                self.busy.insert(id, (name, is_named));
            }
        }
    }

    fn finish(&mut self, done: Result<(Id, Done), JoinError>) {
        let done = match done {
            Ok((id, done)) => {
                self.busy.remove(&id);
                done
            }
            Err(error) => {
                let Some((name, _)) = self.busy.remove(&error.id()) else { return };
                let rejection = Rejection::new(Flaw::CompileFailed, format!("releasing it: {error}"));
                let expected = self.seen.get(&name).map(|seen| seen.stamp.clone()).unwrap_or_default();
                Done { name, expected, end: Err(End::Rejected(rejection, None)), cases: None }
            }
        };
        if let Err(End::Rejected(rejection, module)) = &done.end {
            let (kind, detail) = (rejection.kind(), &rejection.detail);
            tracing::warn!(policy = done.name, kind, detail, "policy refused");
            self.shared.blame(&done.name, rejection.clone(), module.clone());
        }
        // What has changed meanwhile is looked at again, when it has stood still.
        let Some(seen) = self.seen.get_mut(&done.name).filter(|seen| seen.stamp == done.expected) else {
            return;
        };
        if let Some((files, stamp)) = done.cases {
            (seen.cases, seen.case_stamp) = (files, stamp);
        }
        match done.end {
            Ok(()) | Err(End::Rejected(..)) => seen.done = true,
            Err(End::Changed) => seen.since = Instant::now(),
        }
    }

    /// Keeps what is news of the policies, and removes what is kept of none: when nothing is under way.
    async fn tidy(&mut self) {
        for (name, remembered) in self.shared.remembered() {
            if self.saved.get(&name) != Some(&remembered) {
                self.shared.save(&name).await;
                self.saved.insert(name, remembered);
            }
        }
        // Of a directory that cannot be read nobody knows what is in it.
        let Some((policies, modules)) = self.shared.known().filter(|_| self.events.of.is_some()) else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        let pruned = spawn_blocking(move || {
            if let Some(cache) = &shared.config.cache {
                artefact::prune(cache, &modules);
            }
            if let Some(memory) = shared.memory() {
                memory.prune(&policies, &modules);
            }
        });
        // It is tried again with the next look.
        let _ = pruned.await;
    }
}

async fn job(shared: Arc<Shared>, name: String, expected: Stamp) -> Done {
    restore(&shared, &name).await;
    let (end, cases) = release(&shared, &name, &expected).await;
    Done { name, expected, end, cases }
}
