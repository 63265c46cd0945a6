//! Takes up changes while the daemon runs: decides what is in force after a pass over the files, given what was in
//! force before.

use super::daemon::{DaemonConfig, Kubernetes};
use super::files::{Files, Pass, Rest, SETTLE_MS};
use super::key::TargetKey;
use super::load::{Broken, LoadedTargets, load_all, load_daemon};
use super::object::Objects;
use super::target::{Origin, Pause, Stops, TargetConfig};
use crate::platforms::Workload;
use crate::yaml::problem::{Problem, Problems};
use plimsoll_wire::snapshot::{Mode, Now};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What is said of a key that is taken up by the next start alone.
const STAYS: &str = "cannot change while the daemon runs; the old value stays";

impl Problem {
    /// Whether the daemon and its targets go on whole all the same: it asks for a restart, and is no refusal.
    #[must_use]
    pub fn stops_nobody(&self) -> bool {
        self.message == STAYS
    }
}

/// All that is in force at one time.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The daemon's own.
    pub daemon: Arc<DaemonConfig>,
    /// The targets', by name.
    pub targets: BTreeMap<TargetKey, Arc<TargetConfig>>,
    /// What was seen of the files that they come from.
    pub files: Files,
}

impl Configuration {
    /// A daemon's before any target is known.
    #[must_use]
    pub fn new(daemon: Arc<DaemonConfig>) -> Self {
        Self { daemon, targets: BTreeMap::new(), files: Files::default() }
    }
}

/// What a reading of the files led to.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// What is in force now.
    pub configuration: Configuration,
    /// What is different from before.
    pub changes: Vec<Change>,
    /// What is wrong with the files, and what was therefore kept.
    pub problems: Problems,
    /// When to read again, whatever changes: a file was being written, or a target's document is gone.
    pub look_again: Option<Duration>,
}

/// One difference between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The daemon's own.
    Daemon,
    /// A target that is new.
    Added(TargetKey),
    /// A target that is configured otherwise.
    Changed(TargetKey),
    /// A target whose document has been gone for long enough, or whose object is deleted.
    Removed(TargetKey),
    /// A target without a good document; it goes on as it was configured before.
    Kept(TargetKey),
    /// A target whose document is broken and which may no longer use what it refers to: it is switched off.
    Withdrawn(TargetKey),
}

/// Reads all documents again: files as they are at this moment, objects as they are cached. Blocking: it reads files.
pub fn reload(old: &Configuration, objects: &Objects, now: &Now) -> Reloaded {
    let mut pass = Some(Pass::new(&old.files, now));
    let (read, rest) = Pass::read(&mut pass, &old.daemon.file, || Some(load_daemon(&old.daemon.file)));
    let (daemon, problems) = match read {
        Some(Ok(daemon)) => (Some(daemon), Problems::default()),
        Some(Err(problems)) => (None, problems),
        None => (None, Problems::default()),
    };
    let (daemon, mut all) = keep_fixed(&old.daemon, daemon);
    all.append(problems);
    let mut loaded = load_all(&daemon.targets_dir, &daemon, objects, &mut pass);
    if rest != Rest::Settled {
        loaded.moving.insert(old.daemon.file.to_string_lossy().into());
    }
    let mut reloaded = merge(old, daemon, loaded, now.mono_ms);
    all.append(std::mem::take(&mut reloaded.problems));
    reloaded.problems = all;
    if let Some(pass) = pass {
        let gone = std::mem::take(&mut reloaded.configuration.files.gone);
        reloaded.configuration.files = pass.into_files(gone);
    }
    reloaded
}

/// The daemon's new configuration, with what cannot change while it runs as it was: what it holds open, and what
/// running policies were loaded with.
fn keep_fixed(old: &Arc<DaemonConfig>, new: Option<DaemonConfig>) -> (Arc<DaemonConfig>, Problems) {
    let mut problems = Problems::default();
    let Some(mut new) = new else { return (old.clone(), problems) };
    let mut keep = |key: &str, differs: bool| {
        if differs {
            problems.push(Problem {
                file: old.file.to_string_lossy().into(),
                line: 0,
                column: 0,
                path: key.to_owned(),
                message: STAYS.to_owned(),
                hint: "restart the daemon".to_owned(),
            });
        }
    };
    keep("stateDir", new.state_dir != old.state_dir);
    keep("http", new.http != old.http);
    keep("control.socket", new.control_socket != old.control_socket);
    keep("audit", (&new.audit_dir, &new.audit) != (&old.audit_dir, &old.audit));
    keep("kubernetes", new.kubernetes != old.kubernetes);
    keep("policiesDir", new.policies_dir != old.policies_dir);
    keep("policyHost", new.policy_host != old.policy_host);
    keep("log.format", new.log.format != old.log.format);
    new.state_dir.clone_from(&old.state_dir);
    new.http = old.http;
    new.control_socket.clone_from(&old.control_socket);
    new.audit_dir.clone_from(&old.audit_dir);
    new.audit.clone_from(&old.audit);
    new.kubernetes.clone_from(&old.kubernetes);
    new.policies_dir.clone_from(&old.policies_dir);
    new.policy_host.clone_from(&old.policy_host);
    new.log.format = old.log.format;
    if new == **old { (old.clone(), problems) } else { (Arc::new(new), problems) }
}

/// What is in force after a reading, at a moment of the boot clock. Pure: equal arguments give equal results.
///
/// A target whose document is broken keeps the configuration that it had. One whose object is deleted ends at once; one whose
/// document is gone from the directory ends when it has been gone for `removeAfter`, and not while the directory cannot be
/// read, or holds something that may be its document.
pub fn merge(old: &Configuration, daemon: Arc<DaemonConfig>, loaded: LoadedTargets, now_ms: u64) -> Reloaded {
    let reading = Reading { old, daemon: &daemon, now_ms };
    let loaded = reading.refuse_claimed(loaded);
    let mut changes = Vec::new();
    if daemon != old.daemon {
        changes.push(Change::Daemon);
    }
    let mut in_force: BTreeMap<TargetKey, Arc<TargetConfig>> = BTreeMap::new();
    for target in &loaded.targets {
        let key = target.key.clone();
        let target = match old.targets.get(&key) {
            // The same allocation tells the same configuration.
            Some(before) if **before == *target => before.clone(),
            Some(_) => {
                changes.push(Change::Changed(key.clone()));
                Arc::new(target.clone())
            }
            None => {
                changes.push(Change::Added(key.clone()));
                Arc::new(target.clone())
            }
        };
        in_force.insert(key, target);
    }
    let mut problems = Problems::default();
    let mut files = old.files.clone();
    files.gone.clear();
    let mut look_again = (!loaded.moving.is_empty()).then_some(SETTLE_MS);
    for (key, before) in &old.targets {
        if in_force.contains_key(key) {
            continue;
        }
        let fate = reading.fate(&loaded, before);
        match (&fate, old.files.gone.get(key)) {
            (Fate::Gone { since_ms, left_ms }, _) => {
                files.gone.insert(key.clone(), *since_ms);
                look_again = Some(look_again.map_or(*left_ms, |before| before.min(*left_ms)));
            }
            // Nothing is known while files are being written.
            (Fate::Moving, Some(since_ms)) => {
                files.gone.insert(key.clone(), *since_ms);
            }
            (Fate::Moving | Fate::Kept | Fate::Held | Fate::Unclear(_) | Fate::Ended, _) => {}
        }
        if fate == Fate::Ended {
            changes.push(Change::Removed(key.clone()));
        } else {
            let (kept, change) = keep(before, &daemon, &fate, &mut problems);
            changes.push(change);
            in_force.insert(key.clone(), kept);
        }
    }
    let mut all = loaded.problems;
    all.append(problems);
    let configuration = Configuration { daemon, targets: in_force, files };
    let look_again = look_again.map(Duration::from_millis);
    Reloaded { configuration, changes, problems: all, look_again }
}

/// What becomes of a target that no good document describes now.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// Its document is there and broken, or nobody can see whether it is there.
    Kept,
    /// Its document is broken and means to stop it.
    Held,
    /// Files are being written: one may be its.
    Moving,
    /// It has no document, and this file holds one that may be its.
    Unclear(Arc<str>),
    /// Its document is gone, since when, and for how long that may last.
    Gone { since_ms: u64, left_ms: u64 },
    /// Its document has been gone for long enough, or its object is deleted.
    Ended,
}

/// One reading, after what was before.
struct Reading<'a> {
    old: &'a Configuration,
    daemon: &'a DaemonConfig,
    now_ms: u64,
}

impl Reading<'_> {
    fn fate(&self, loaded: &LoadedTargets, before: &TargetConfig) -> Fate {
        let is_its = |broken: &&Broken| match &broken.key {
            Some(key) => *key == before.key,
            None => broken.file == before.file,
        };
        let mut its = loaded.broken.iter().filter(is_its).peekable();
        if its.peek().is_some() {
            return if its.any(|broken| broken.stops.is_news_for(before)) { Fate::Held } else { Fate::Kept };
        }
        match before.origin {
            Origin::Object if loaded.unseen.covers(&before.key.namespace) => Fate::Kept,
            Origin::Object => Fate::Ended,
            Origin::File if !loaded.complete => Fate::Kept,
            Origin::File if !loaded.moving.is_empty() => Fate::Moving,
            Origin::File => match self.unattributed(loaded) {
                Some(file) => Fate::Unclear(file),
                None => self.gone(&before.key),
            },
        }
    }

    /// The file of a broken document that no known target is known to be described by: a slip in a name or a namespace
    /// looks like that, and so does a file that was cut short.
    fn unattributed(&self, loaded: &LoadedTargets) -> Option<Arc<str>> {
        let mut taken = BTreeSet::new();
        let mut is_known = |broken: &Broken| {
            let is_missing = |key: &&TargetKey| {
                self.old.targets.contains_key(key) && !loaded.targets.iter().any(|target| target.key == **key)
            };
            // Of two with one name the second is another's.
            broken.key.as_ref().filter(is_missing).is_some_and(|key| taken.insert(key.clone()))
        };
        let files = loaded.broken.iter().filter(|broken| broken.origin == Origin::File);
        files.filter(|broken| !is_known(broken)).map(|broken| broken.file.clone()).next()
    }

    fn gone(&self, key: &TargetKey) -> Fate {
        let since_ms = self.old.files.gone.get(key).copied().unwrap_or(self.now_ms);
        let most_ms = u64::try_from(self.daemon.remove_after.as_millis()).unwrap_or(u64::MAX);
        match most_ms.saturating_sub(self.now_ms.saturating_sub(since_ms)) {
            0 => Fate::Ended,
            left_ms => Fate::Gone { since_ms, left_ms },
        }
    }

    /// Refuses documents for members that a target without a good document goes on scaling.
    fn refuse_claimed(&self, mut loaded: LoadedTargets) -> LoadedTargets {
        // Each round refuses one document, which may then be kept as it was and stand in the way of another.
        while let Some((index, holder)) = self.claimed(&loaded) {
            let target = loaded.targets.remove(index);
            loaded.problems.push(Problem {
                file: target.file.clone(),
                line: target.line,
                column: usize::from(target.line > 0),
                path: "spec.targetRef.name".to_owned(),
                message: format!(
                    "target `{holder}`, whose document is broken or gone, still scales `{}`",
                    target.platform.name
                ),
                hint: format!(
                    "mend or put back that document; to give a target another name, remove its document and wait \
                     until the target has ended (`removeAfter`, {})",
                    crate::yaml::unit::show_duration(self.daemon.remove_after)
                ),
            });
            loaded.broken.push(Broken {
                file: target.file.clone(),
                key: Some(target.key),
                origin: target.origin,
                stops: Stops::default(),
            });
        }
        loaded
    }

    /// A loaded document for members that another target, which is to be kept, scales already.
    fn claimed(&self, loaded: &LoadedTargets) -> Option<(usize, TargetKey)> {
        let is_loaded = |key: &TargetKey| loaded.targets.iter().any(|target| target.key == *key);
        let kept = self.old.targets.values().filter(|target| !is_loaded(&target.key));
        let mut kept = kept.filter(|target| self.fate(loaded, target) != Fate::Ended);
        kept.find_map(|kept| {
            let same = |(_, target): &(usize, &TargetConfig)| may_share_members(kept, target);
            loaded.targets.iter().enumerate().find(same).map(|(index, _)| (index, kept.key.clone()))
        })
    }
}

/// Whether two targets may have the same members; of a platform that has been changed meanwhile, nobody knows.
fn may_share_members(kept: &TargetConfig, target: &TargetConfig) -> bool {
    let members = |of: &TargetConfig| of.platform.members_of(&of.key);
    kept.platform.name == target.platform.name
        && (kept.platform != target.platform || members(kept) == members(target))
}

/// A target as it was, unless the daemon's file has taken back what it uses: then it may act no more.
fn keep(
    before: &Arc<TargetConfig>,
    daemon: &DaemonConfig,
    fate: &Fate,
    problems: &mut Problems,
) -> (Arc<TargetConfig>, Change) {
    let key = before.key.clone();
    let is_open = is_open(before, daemon);
    let (message, hint) = match fate {
        _ if !is_open => (
            "is switched off: it uses what the daemon's file no longer opens to it".to_owned(),
            "mend the document, or remove it to remove the target".to_owned(),
        ),
        Fate::Moving => (String::new(), String::new()),
        Fate::Unclear(file) => (
            format!("has no document now and goes on as it was: a document in {file} may be its"),
            "mend that document, or remove it".to_owned(),
        ),
        Fate::Gone { .. } => (
            format!(
                "has no document any more; it ends when that has lasted `{}`",
                crate::yaml::unit::show_duration(daemon.remove_after)
            ),
            "put the document back to keep it".to_owned(),
        ),
        Fate::Held => (
            "keeps the configuration that it had before and does nothing: its document means to stop it"
                .to_owned(),
            "mend the document".to_owned(),
        ),
        Fate::Kept | Fate::Ended => (
            "keeps the configuration that it had before".to_owned(),
            "mend the document, or remove it to remove the target".to_owned(),
        ),
    };
    if !message.is_empty() {
        let message = format!("target `{}` {message}", before.key);
        problems.push(Problem { message, hint, ..problem_of(before) });
    }
    if is_open {
        let held = if *fate == Fate::Held { held(before) } else { before.clone() };
        let change = if held == *before { Change::Kept(key) } else { Change::Changed(key) };
        return (held, change);
    }
    (Arc::new(TargetConfig { mode: Mode::Off, ..(**before).clone() }), Change::Withdrawn(key))
}

/// A target as it was, paused until its document is mended.
fn held(before: &Arc<TargetConfig>) -> Arc<TargetConfig> {
    let why = "its document means to stop it and is broken: mend it".to_owned();
    let mut held = (**before).clone();
    held.pauses.all = Some(Pause { why, until_wall_ms: None });
    Arc::new(held)
}

/// A problem with the document of a target as a whole.
fn problem_of(target: &TargetConfig) -> Problem {
    Problem {
        file: target.file.clone(),
        line: 0,
        column: 0,
        path: String::new(),
        message: String::new(),
        hint: String::new(),
    }
}

/// Whether the daemon's file still has, and opens to the target, what it uses.
fn is_open(target: &TargetConfig, daemon: &DaemonConfig) -> bool {
    let namespace = &target.key.namespace;
    let platform = match target.platform.settings.workload() {
        Some(Workload { kind, .. }) => {
            let has = |now: &&Kubernetes| kind.is_stateful_set() || now.scalable.contains(kind);
            daemon.kubernetes.as_ref().filter(has).map(|now| &now.namespaces)
        }
        None => daemon.platforms.get(&target.platform.name).map(|now| &now.namespaces),
    };
    let system = target.system.kind.reach.is_none()
        || daemon.systems.get(&target.system.name).is_some_and(|now| now.namespaces.allow(namespace));
    let source = |name: &String| daemon.sources.get(name).is_some_and(|now| now.namespaces.allow(namespace));
    platform.is_some_and(|open| open.allow(namespace))
        && system
        && target.signals.iter().all(|signal| source(&signal.definition.source))
}
