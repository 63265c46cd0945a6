//! The policy directory as the daemon uses it: every policy's running version, what is wrong with the next one,
//! and one way to ask that never fails.
//!
//! A changed module is scanned, compiled, loaded, held to its own tests and tried on the last snapshots before it
//! takes over, between two evaluations; where its manifest wants that, it stands beside the running version for a
//! while first. Whatever fails on that way leaves the version that runs in place and shows in the status. A version
//! that fails several times in a row gives way to the last one that worked.

use super::fault::{Failure, Fault, Flaw, Rejection};
use super::folder::{self, Listing};
use super::frame::Contract;
use super::limits::{Class, Limits};
use super::log_budget::LogBudget;
use super::manifest::Manifest;
use super::process::Launch;
use super::shadow::{Course, Shadow, ShadowStatus};
use super::version::{Evaluation, Version};
use super::watch::{Watch, keep_watching};
use plimsoll_wire::Snapshot;
use plimsoll_wire::proposal::Answer;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;

/// Snapshots of a policy on which its next version is tried.
const TRIALS: usize = 4;

/// How a library behaves. Each default is what a daemon should use.
#[derive(Clone, Debug)]
pub struct LibraryConfig {
    /// How children are started.
    pub launch: Launch,
    /// Where compiled code is kept between runs; without it every start compiles.
    pub cache: Option<PathBuf>,
    /// For how long a file must not have changed to count as whole.
    pub settle: Duration,
    /// How often the directory is read when no event came: some mounts send none.
    pub rescan: Duration,
    /// Least time between two attempts to load one policy, so that a storm of changes costs one compilation.
    pub pause: Duration,
    /// Failures in a row after which a version gives way to the last good one.
    pub failures: u32,
    /// Most policies that are loaded.
    pub policies: usize,
    /// Policies of the class `interpreter`, by name, where no manifest says otherwise.
    pub interpreters: BTreeSet<String>,
}

impl LibraryConfig {
    /// The class of a policy: what its manifest says, else what the daemon's file says.
    pub(crate) fn class(&self, name: &str, manifest: &Manifest) -> Class {
        let listed = if self.interpreters.contains(name) { Class::Interpreter } else { Class::Compiled };
        manifest.class.unwrap_or(listed)
    }
}

impl Default for LibraryConfig {
    fn default() -> Self {
        Self {
            launch: Launch::default(),
            cache: None,
            settle: Duration::from_secs(1),
            rescan: Duration::from_secs(10),
            pause: Duration::from_secs(5),
            failures: 5,
            policies: 64,
            interpreters: BTreeSet::new(),
        }
    }
}

/// A watched directory of policies.
pub struct Library {
    shared: Arc<Shared>,
    watch: Watch,
}

/// How one policy stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyStatus {
    /// Its name: the file's, without `.wasm`.
    pub name: String,
    /// SHA-256 of the running module, in hex; absent if none runs.
    pub module: Option<String>,
    /// The contract that the running module follows.
    pub contract: Option<Contract>,
    /// When the running module took over.
    pub active_since: Option<SystemTime>,
    /// Failures in a row of the running module.
    pub failures: u32,
    /// What is wrong with the file in the directory, if something is; the running module goes on.
    pub trouble: Option<Trouble>,
    /// The version that stands beside the running one and does not decide yet.
    pub shadow: Option<ShadowStatus>,
}

/// What is wrong, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What.
    pub rejection: Rejection,
    /// SHA-256 of the module that it is wrong with, where it could be read.
    pub module: Option<String>,
    /// Since when.
    pub since: SystemTime,
}

pub(crate) struct Shared {
    pub config: LibraryConfig,
    pub folder: PathBuf,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    policies: BTreeMap<String, Policy>,
    /// What is wrong with the directory as a whole.
    directory: Option<Trouble>,
    skipped: Vec<(String, Rejection)>,
}

#[derive(Default)]
struct Policy {
    active: Option<Active>,
    /// The version that will take over once it has stood beside the active one for long enough.
    shadow: Option<Shadow>,
    /// The last version that gave an answer, and what it was released as.
    good: Option<(Candidate, Arc<Version>)>,
    /// The digest that was rolled back, which is not taken again.
    barred: Option<String>,
    trouble: Option<Trouble>,
    recent: VecDeque<Arc<Snapshot>>,
    log: LogBudget,
}

/// What makes one release the same as another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// SHA-256 of the module, in hex.
    pub module: String,
    pub class: Class,
    pub limits: Limits,
    /// A fingerprint of its test cases.
    pub cases: String,
}

struct Active {
    candidate: Candidate,
    version: Arc<Version>,
    since: SystemTime,
    failures: u32,
    has_answered: bool,
}

impl Library {
    /// Reads the directory, loads what is in it, and begins to watch. A broken module is not an error: it
    /// shows in the status.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub async fn open(folder: &Path, config: LibraryConfig) -> Result<Self, Rejection> {
        folder::list(folder)?;
        let shared = Arc::new(Shared {
            config,
            folder: folder.to_owned(),
            state: Mutex::default(),
            changes: watch::Sender::new(0),
        });
        let watch = keep_watching(&shared).await;
        Ok(Self { shared, watch })
    }

    /// Asks a policy. Never hangs and never fails: whatever goes wrong is a value, and the target holds.
    pub async fn evaluate(&self, policy: &str, snapshot: Arc<Snapshot>) -> Evaluation {
        let Some((version, shadow)) = self.shared.begin(policy, &snapshot) else {
            return Evaluation::failed("", self.shared.not_loaded(policy));
        };
        let mut evaluation = version.evaluate(&snapshot).await;
        self.shared.end(policy, &version, &evaluation.result);
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
        self.shared.lock().policies.iter().map(|(name, policy)| policy.status(name)).collect()
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
        self.watch.look_again();
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

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// The version to ask, and the one to ask beside it.
    fn begin(&self, name: &str, snapshot: &Arc<Snapshot>) -> Option<(Arc<Version>, Option<Arc<Version>>)> {
        let mut state = self.lock();
        let policy = state.policies.get_mut(name)?;
        policy.recent.retain(|kept| kept.target.key != snapshot.target.key);
        policy.recent.push_back(Arc::clone(snapshot));
        if policy.recent.len() > TRIALS {
            policy.recent.pop_front();
        }
        let shadow = policy.shadow.as_ref().map(|shadow| Arc::clone(&shadow.version));
        policy.active.as_ref().map(|active| (Arc::clone(&active.version), shadow))
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
        let mut state = self.lock();
        let Some(policy) = state.policies.get_mut(name) else { return };
        let Some(shadow) = policy.shadow.as_mut().filter(|shadow| Arc::ptr_eq(&shadow.version, version))
        else {
            return;
        };
        let course = shadow.take(&snapshot.target.key, decided, &evaluation.result);
        tracing::info!(policy = name, target = %snapshot.target.key, module = version.digest(), "{shadow}");
        match course {
            Course::Goes => {}
            Course::Over => {
                if let Some(shadow) = policy.shadow.take() {
                    policy.activate(shadow.candidate, shadow.version);
                }
            }
            Course::Failed(rejection) => {
                tracing::warn!(
                    policy = name,
                    kind = rejection.kind(),
                    detail = rejection.detail,
                    "policy refused"
                );
                policy.shadow = None;
                policy.blame(rejection, Some(version.digest().to_owned()));
            }
        }
        drop(state);
        self.changed();
    }

    /// What of a log may be shown.
    fn within_budget(&self, name: &str, log: Vec<String>) -> Vec<String> {
        let mut state = self.lock();
        match state.policies.get_mut(name) {
            Some(policy) => policy.log.take(Instant::now(), log),
            None => log,
        }
    }

    fn not_loaded(&self, name: &str) -> Failure {
        let state = self.lock();
        let trouble = state.policies.get(name).and_then(|policy| policy.trouble.as_ref());
        let detail = match trouble {
            Some(trouble) => format!("policy `{name}` is not loaded: {}", trouble.rejection),
            None => format!("no policy `{name}`: put {name}.wasm into {}", self.folder.display()),
        };
        Failure::new(Fault::NotLoaded, detail)
    }

    /// Counts; after too many failures in a row the last good version takes over.
    fn end(&self, name: &str, version: &Arc<Version>, result: &Result<Answer, Failure>) {
        let mut state = self.lock();
        let Some(policy) = state.policies.get_mut(name) else { return };
        let Some(active) = policy.active.as_mut().filter(|active| Arc::ptr_eq(&active.version, version))
        else {
            return;
        };
        let failure = match result {
            Ok(_) => {
                active.failures = 0;
                active.has_answered = true;
                return;
            }
            // Not the policy's doing.
            Err(failure) if matches!(failure.fault, Fault::Busy | Fault::Input | Fault::Sandbox) => return,
            Err(failure) => failure,
        };
        active.failures = active.failures.saturating_add(1);
        if active.failures < self.config.failures {
            return;
        }
        if let Some((candidate, good)) = policy.good.take() {
            let detail = format!("{} failures in a row, the last one {failure}", active.failures);
            let digest = version.digest().to_owned();
            policy.blame(Rejection::new(Flaw::RolledBack, detail), Some(digest.clone()));
            policy.barred = Some(digest);
            policy.active = Some(Active::new(candidate, good));
            drop(state);
            self.changed();
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
        if policy.barred.as_ref() == Some(&candidate.module) {
            return Standing::Barred;
        }
        if policy.shadow.as_ref().is_some_and(|shadow| shadow.candidate == *candidate) {
            return Standing::Known;
        }
        // Whatever comes now, what stood in shadow is no longer in the directory.
        let withdrawn = policy.shadow.take().is_some();
        let running = policy.active.as_ref().is_some_and(|active| active.candidate == *candidate);
        if running {
            policy.trouble = None;
        }
        drop(state);
        if running || withdrawn {
            self.changed();
        }
        if running { Standing::Known } else { Standing::New }
    }

    /// The last snapshots that a policy was asked with.
    pub(crate) fn recent(&self, name: &str) -> Vec<Arc<Snapshot>> {
        let state = self.lock();
        state.policies.get(name).map(|policy| policy.recent.iter().cloned().collect()).unwrap_or_default()
    }

    /// The next evaluation asks this version, or asks it as well where it has to stand in shadow first and there
    /// is a version to stand beside.
    pub(crate) fn admit(&self, name: &str, candidate: Candidate, version: Version, shadow: u32) {
        let mut state = self.lock();
        let policy = state.policies.entry(name.to_owned()).or_default();
        let version = Arc::new(version);
        if shadow > 0 && policy.active.is_some() {
            tracing::info!(
                policy = name,
                module = candidate.module,
                evaluations = shadow,
                "policy in shadow"
            );
            policy.shadow = Some(Shadow::new(candidate, version, shadow));
            policy.trouble = None;
        } else {
            tracing::info!(policy = name, module = candidate.module, "policy taken");
            policy.activate(candidate, version);
        }
        drop(state);
        self.changed();
    }
}

/// How a module stands that was found in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has to be loaded.
    New,
    /// It runs already, with these limits and tests, or stands in shadow.
    Known,
    /// It was rolled back.
    Barred,
}

impl Active {
    fn new(candidate: Candidate, version: Arc<Version>) -> Self {
        Self { candidate, version, since: SystemTime::now(), failures: 0, has_answered: false }
    }
}

impl Policy {
    /// Takes over; what ran before is kept for the case that this fails.
    fn activate(&mut self, candidate: Candidate, version: Arc<Version>) {
        if let Some(old) = self.active.take().filter(|old| old.has_answered) {
            self.good = Some((old.candidate, old.version));
        }
        self.active = Some(Active::new(candidate, version));
        self.trouble = None;
        self.barred = None;
    }

    /// Whether this is news.
    fn blame(&mut self, rejection: Rejection, module: Option<String>) -> bool {
        if self.trouble.as_ref().is_some_and(|old| old.rejection == rejection && old.module == module) {
            return false;
        }
        self.trouble = Some(Trouble { rejection, module, since: SystemTime::now() });
        true
    }

    fn status(&self, name: &str) -> PolicyStatus {
        let active = self.active.as_ref();
        PolicyStatus {
            name: name.to_owned(),
            module: active.map(|active| active.version.digest().to_owned()),
            contract: active.and_then(|active| active.version.inspection.contract),
            active_since: active.map(|active| active.since),
            failures: active.map_or(0, |active| active.failures),
            trouble: self.trouble.clone(),
            shadow: self.shadow.as_ref().map(Shadow::status),
        }
    }
}
