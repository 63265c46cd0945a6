//! The policy directory as the daemon uses it: every policy's running version, what is wrong with the next one,
//! and one way to ask that never fails.
//!
//! A changed module is scanned, compiled, loaded, held to its own tests and tried on the last snapshots before it
//! takes over, between two evaluations; where its manifest wants that, it stands beside the running version for a
//! while first. Whatever fails on that way leaves the version that runs in place and shows in the status. A version
//! that fails a target several times in a row gives way, for that target, to the last one that answered it.

mod config;

pub use config::LibraryConfig;

use super::fault::{Failure, Fault, Flaw, Rejection};
use super::folder::{self, Listing};
use super::memory::{Memory, Remembered};
use super::shadow::{Course, Shadow};
use super::status::{PolicyStatus, Stopped, Trouble};
use super::version::{Evaluation, Version};
use super::versions::{Asked, Candidate, End, Policy, Refused, Release};
use super::watch::{Watch, keep_watching};
use plimsoll_wire::Snapshot;
use plimsoll_wire::proposal::Answer;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Notify, watch};

/// How long an evaluation waits for its policy to be loaded for the first time.
const FIRST_WAIT: Duration = Duration::from_secs(10);

/// A watched directory of policies.
pub struct Library {
    shared: Arc<Shared>,
    _watch: Watch,
}

pub(crate) struct Shared {
    pub config: LibraryConfig,
    pub folder: PathBuf,
    memory: Option<Memory>,
    /// Held while something is kept: the newest state of a policy is the last one that is written.
    keeping: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    /// Whether all that was there at the start was taken or refused.
    pub settled: watch::Sender<bool>,
    /// Ends the watch's rest: there is something to look at.
    pub wake: Arc<Notify>,
}

#[derive(Default)]
struct State {
    policies: BTreeMap<String, Policy>,
    /// Which targets name which policy; none before anybody said so.
    users: BTreeMap<String, BTreeSet<Arc<str>>>,
    /// Whether the directory was read.
    is_listed: bool,
    /// What is wrong with the directory as a whole.
    directory: Option<Trouble>,
    skipped: Vec<(String, Rejection)>,
}

impl Library {
    /// Begins to watch and to load what is there, and waits for neither. A broken module is not an error: it shows in
    /// the status.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn begin(folder: &Path, config: LibraryConfig) -> Result<Self, Rejection> {
        folder::list(folder)?;
        let shared = Arc::new(Shared {
            memory: config.memory.as_deref().map(Memory::new),
            config,
            folder: folder.to_owned(),
            keeping: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            changes: watch::Sender::new(0),
            settled: watch::Sender::new(false),
            wake: Arc::default(),
        });
        let watch = keep_watching(&shared);
        Ok(Self { shared, _watch: watch })
    }

    /// The same, and waits until all that is there was taken or refused.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub async fn open(folder: &Path, config: LibraryConfig) -> Result<Self, Rejection> {
        let library = Self::begin(folder, config)?;
        // The sender lives as long as the library.
        let _ = library.shared.settled.subscribe().wait_for(|settled| *settled).await;
        Ok(library)
    }

    /// Which targets name which policy: those that are named are compiled first, and what is wrong with one that is
    /// named stops somebody.
    pub fn name_users(&self, users: BTreeMap<String, BTreeSet<Arc<str>>>) {
        let mut state = self.shared.lock();
        if state.users == users {
            return;
        }
        for (name, policy) in &mut state.policies {
            // What nobody names has nothing to go back to; a target that names it again starts over.
            policy.keep_targets(users.get(name).unwrap_or(&BTreeSet::new()));
        }
        state.users = users;
        drop(state);
        self.shared.wake.notify_one();
        self.shared.changed();
    }

    /// Asks a policy. Never hangs and never fails: whatever goes wrong is a value, and the target holds.
    pub async fn evaluate(&self, policy: &str, snapshot: Arc<Snapshot>) -> Evaluation {
        self.shared.loaded(policy).await;
        let (version, shadow) = match self.shared.ask(policy, &snapshot) {
            Ok(versions) => versions,
            Err(why) => {
                let why = why.unwrap_or_else(|| self.shared.not_loaded(policy));
                return Evaluation::failed("", Failure::new(Fault::NotLoaded, why));
            }
        };
        let mut evaluation = version.evaluate(&snapshot).await;
        self.shared.end(policy, &version, &snapshot.target.key, &evaluation.result).await;
        evaluation.log = self.shared.within_budget(policy, evaluation.log);
        if let Some(shadow) = shadow {
            // Beside the decision, which does not wait for it.
            let (shared, policy) = (Arc::clone(&self.shared), policy.to_owned());
            let decided = evaluation.result.clone();
            tokio::spawn(async move { shared.compare(&policy, &shadow, &snapshot, &decided).await });
        }
        evaluation
    }

    /// How all policies stand, by name.
    #[must_use]
    pub fn status(&self) -> Vec<PolicyStatus> {
        let state = self.shared.lock();
        let mut all: Vec<_> = state.policies.iter().map(|(name, policy)| policy.status(name)).collect();
        let absent = state.users.keys().filter(|name| state.is_listed && !state.policies.contains_key(*name));
        for name in absent {
            let mut status = Policy::default().status(name);
            let rejection = Rejection::new(Flaw::Missing, self.shared.missing(name));
            status.trouble = Some(Trouble { rejection, module: None, since: SystemTime::UNIX_EPOCH });
            all.push(status);
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// The policies that targets name and that decide for none of them, or not for some; by name.
    #[must_use]
    pub fn stopped(&self) -> Vec<Stopped> {
        let state = self.shared.lock();
        let of = |(name, targets): (&String, &BTreeSet<Arc<str>>)| {
            let policy = state.policies.get(name);
            let (why, targets) = match policy.and_then(|policy| Some((policy, policy.active.as_ref()?))) {
                Some((policy, active)) => {
                    let lost = active.back.keys().filter(|target| !policy.good.contains_key(*target));
                    let lost: BTreeSet<_> = lost.cloned().collect();
                    (Some("it was rolled back, and no version before is left".to_owned()), lost)
                }
                None => {
                    let trouble = policy.and_then(|policy| policy.trouble.as_ref());
                    let absent = (policy.is_none() && state.is_listed).then(|| self.shared.missing(name));
                    (trouble.map(|trouble| trouble.rejection.to_string()).or(absent), targets.clone())
                }
            };
            (!targets.is_empty()).then(|| Stopped { policy: name.clone(), targets, why })
        };
        state.users.iter().filter_map(of).collect()
    }

    /// What is wrong with the directory as a whole; the policies that run go on.
    #[must_use]
    pub fn directory(&self) -> Option<Trouble> {
        self.shared.lock().directory.clone()
    }

    /// Files that were passed over, with the reason; names are printable.
    #[must_use]
    pub fn skipped(&self) -> Vec<(String, Rejection)> {
        self.shared.lock().skipped.clone()
    }

    /// Looks at the directory now, whatever was heard of it: a file system may tell nothing of its changes.
    pub fn look_again(&self) {
        self.shared.wake.notify_one();
    }

    /// A counter that rises with every change of the status; await `changed()` on it.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a target names this policy.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.lock().users.contains_key(name)
    }

    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Waits, for a while, for a policy that is being loaded for the first time: that it is not there yet says nothing
    /// of it.
    async fn loaded(&self, name: &str) {
        let mut changes = self.changes.subscribe();
        // Whether it came in time or not is seen by asking it. The sender lives as long as we do.
        let _ = tokio::time::timeout(FIRST_WAIT, changes.wait_for(|_| !self.is_loading(name))).await;
    }

    fn is_loading(&self, name: &str) -> bool {
        let state = self.lock();
        let is_new = |policy: &Policy| policy.active.is_none() && policy.trouble.is_none();
        state.policies.get(name).map_or(!state.is_listed && state.directory.is_none(), is_new)
    }

    /// The version to ask, and the one to ask beside it.
    fn ask(&self, name: &str, snapshot: &Arc<Snapshot>) -> Result<Asked, Option<String>> {
        self.lock().policies.get_mut(name).ok_or(None)?.begin(snapshot)
    }

    /// Asks the version in shadow what the active one was asked, and compares the answers.
    async fn compare(
        &self,
        name: &str,
        version: &Arc<Version>,
        snapshot: &Snapshot,
        decided: &Result<Answer, Failure>,
    ) {
        let evaluation = version.evaluate(snapshot).await;
        if self.note_shadow(name, version, snapshot, decided, &evaluation.result) {
            self.save(name).await;
            self.changed();
        }
    }

    /// Whether anything came of an answer in shadow.
    fn note_shadow(
        &self,
        name: &str,
        version: &Arc<Version>,
        snapshot: &Snapshot,
        decided: &Result<Answer, Failure>,
        beside: &Result<Answer, Failure>,
    ) -> bool {
        let mut state = self.lock();
        let Some(policy) = state.policies.get_mut(name) else { return false };
        let shadow = policy.shadow.as_mut();
        let Some(shadow) = shadow.filter(|shadow| Arc::ptr_eq(&shadow.release.version, version)) else {
            return false;
        };
        let course = shadow.take(&snapshot.target.key, decided, beside);
        tracing::info!(policy = name, target = %snapshot.target.key, module = version.digest(), "{shadow}");
        match course {
            Course::Goes => {}
            Course::Over => {
                if let Some(shadow) = policy.shadow.take() {
                    tracing::info!(policy = name, module = version.digest(), "policy taken");
                    policy.activate(shadow.release);
                }
            }
            Course::Failed(rejection) => {
                tracing::warn!(
                    policy = name,
                    kind = rejection.kind(),
                    detail = rejection.detail,
                    "policy refused"
                );
                let candidate = policy.shadow.take().map(|shadow| shadow.release.candidate);
                policy.refused =
                    candidate.map(|candidate| Refused { candidate, rejection: rejection.clone() });
                policy.blame(rejection, Some(version.digest().to_owned()));
            }
        }
        true
    }

    /// What of a log may be shown.
    fn within_budget(&self, name: &str, log: Vec<String>) -> Vec<String> {
        let mut state = self.lock();
        match state.policies.get_mut(name) {
            Some(policy) => policy.log.take(Instant::now(), log),
            None => log,
        }
    }

    fn not_loaded(&self, name: &str) -> String {
        let state = self.lock();
        let policy = state.policies.get(name);
        match policy.and_then(|policy| policy.trouble.as_ref()) {
            Some(trouble) => format!("policy `{name}` is not loaded: {}", trouble.rejection),
            None if policy.is_some() || !state.is_listed => format!("policy `{name}` is being loaded"),
            None => self.missing(name),
        }
    }

    fn missing(&self, name: &str) -> String {
        format!("no policy `{name}`: put {name}.wasm into {}", self.folder.display())
    }

    /// Counts; after too many failures in a row the target goes back to the version before.
    async fn end(
        &self,
        name: &str,
        version: &Arc<Version>,
        target: &Arc<str>,
        result: &Result<Answer, Failure>,
    ) {
        let most = self.config.failures;
        let end = match self.lock().policies.get_mut(name) {
            Some(policy) => policy.end(target, version, result, most),
            None => End::Nothing,
        };
        match end {
            End::Nothing => {}
            // Many come at once when a version has taken over; the watch keeps them with its next look.
            End::FirstAnswer => self.wake.notify_one(),
            End::RolledBack { from, to, why } => {
                tracing::warn!(policy = name, target = %target, from, to, why, "policy rolled back");
                self.save(name).await;
                self.changed();
            }
        }
    }

    /// Keeps what is to be remembered of a policy. What cannot be kept is reported, and a restart forgets it.
    pub(crate) async fn save(&self, name: &str) {
        let _turn = self.keeping.lock().await;
        let remembered = self.lock().policies.get(name).and_then(Remembered::of);
        let (Some(memory), Some(remembered)) = (self.memory.clone(), remembered) else { return };
        let owned = name.to_owned();
        let saved = tokio::task::spawn_blocking(move || memory.save(&owned, &remembered)).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(policy = name, %error, "what was released is not remembered: a restart forgets it");
        }
    }

    /// Takes note of a directory's listing.
    pub(crate) fn note(&self, listing: &Result<Listing, Rejection>) {
        let mut state = self.lock();
        let before = (state.directory.is_some(), state.skipped.len());
        let mut news = false;
        match listing {
            Err(rejection) => {
                let since = state.directory.as_ref().map_or_else(SystemTime::now, |trouble| trouble.since);
                state.directory = Some(Trouble { rejection: rejection.clone(), module: None, since });
            }
            Ok(listing) => {
                news |= !state.is_listed;
                state.is_listed = true;
                state.directory = None;
                state.skipped.clone_from(&listing.skipped);
                for (name, policy) in &mut state.policies {
                    if !listing.found.contains_key(name) && policy.active.is_some() {
                        let detail = format!("{name}.wasm is gone; its last version goes on until a restart");
                        news |= policy.blame(Rejection::new(Flaw::Missing, detail), None);
                    }
                }
                state
                    .policies
                    .retain(|name, policy| policy.active.is_some() || listing.found.contains_key(name));
                for name in listing.found.keys() {
                    state.policies.entry(name.clone()).or_default();
                }
            }
        }
        news |= before != (state.directory.is_some(), state.skipped.len());
        drop(state);
        if news {
            self.changed();
        }
    }

    /// Says what is wrong with a policy's file; what runs goes on.
    pub(crate) fn blame(&self, name: &str, rejection: Rejection, module: Option<String>) {
        let mut state = self.lock();
        let new = state.policies.entry(name.to_owned()).or_default().blame(rejection, module);
        drop(state);
        if new {
            self.changed();
        }
    }

    /// Whether there is room for one more policy.
    pub(crate) fn has_room(&self, name: &str) -> bool {
        let state = self.lock();
        let running = |policy: &Policy| policy.active.is_some();
        state.policies.get(name).is_some_and(running)
            || state.policies.values().filter(|policy| running(policy)).count() < self.config.policies
    }

    /// How a module stands that was found in the directory.
    pub(crate) fn standing(&self, name: &str, candidate: &Candidate) -> Standing {
        let mut state = self.lock();
        let Some(policy) = state.policies.get_mut(name) else { return Standing::New };
        if policy.shadow.as_ref().is_some_and(|shadow| shadow.release.candidate == *candidate) {
            return Standing::Known;
        }
        // Whatever comes now, what stood in shadow is no longer in the directory.
        let withdrawn = policy.shadow.take().is_some();
        let running = policy.active.as_ref().is_some_and(|active| active.release.candidate == *candidate);
        if running {
            policy.trouble = None;
            policy.refused = None;
        }
        let refused = policy.refused.as_ref().filter(|refused| refused.candidate == *candidate);
        let standing = match refused.map(|refused| refused.rejection.clone()) {
            // Without a version that runs it may as well be tried.
            Some(rejection) if policy.active.is_some() => Standing::Refused(rejection),
            Some(_) | None if running => Standing::Known,
            Some(_) | None => Standing::New,
        };
        drop(state);
        if running || withdrawn {
            self.changed();
        }
        standing
    }

    /// The last snapshots that a policy was asked with.
    pub(crate) fn recent(&self, name: &str) -> Vec<Arc<Snapshot>> {
        let state = self.lock();
        state.policies.get(name).map(|policy| policy.recent.iter().cloned().collect()).unwrap_or_default()
    }

    /// The next evaluation asks this version, or asks it as well where it has to stand in shadow first and there
    /// is a version to stand beside.
    pub(crate) fn admit(&self, name: &str, release: Release, shadow: u32) {
        let mut state = self.lock();
        let policy = state.policies.entry(name.to_owned()).or_default();
        let module = &release.candidate.module;
        if shadow > 0 && policy.active.is_some() {
            tracing::info!(policy = name, module, evaluations = shadow, "policy in shadow");
            policy.shadow = Some(Shadow::new(release, shadow));
            policy.trouble = None;
        } else {
            tracing::info!(policy = name, module, "policy taken");
            policy.activate(release);
        }
        drop(state);
        self.changed();
    }

    /// Changes one policy, and says so.
    pub(crate) fn change<T>(&self, name: &str, change: impl FnOnce(&mut Policy) -> T) -> T {
        let changed = change(self.lock().policies.entry(name.to_owned()).or_default());
        self.changed();
        changed
    }

    pub(crate) fn memory(&self) -> Option<&Memory> {
        self.memory.as_ref()
    }

    /// What is to be remembered of all policies.
    pub(crate) fn remembered(&self) -> Vec<(String, Remembered)> {
        let state = self.lock();
        let of = |(name, policy): (&String, &Policy)| Some((name.clone(), Remembered::of(policy)?));
        state.policies.iter().filter_map(of).collect()
    }

    /// The policies that are known, and the digests of all their versions; not before what was remembered of each is
    /// taken up.
    pub(crate) fn known(&self) -> Option<(BTreeSet<String>, BTreeSet<String>)> {
        let state = self.lock();
        let is_taken_up = |policy: &Policy| policy.is_restored || policy.trouble.is_some();
        state.policies.values().all(is_taken_up).then(|| {
            let modules = state.policies.values().flat_map(Policy::modules).collect();
            (state.policies.keys().cloned().collect(), modules)
        })
    }
}

/// How a module stands that was found in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has to be loaded.
    New,
    /// It runs already, with these limits and tests, or stands in shadow.
    Known,
    /// It failed before, and a restart does not make it better.
    Refused(Rejection),
}
