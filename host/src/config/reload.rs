//! Changes while the daemon runs: what is in force after a reading of the files, given what was before.

use super::daemon::{DaemonConfig, Kubernetes, PlatformKind};
use super::load::{Broken, LoadedTargets, load_all, load_daemon};
use super::object::Objects;
use super::problem::{Problem, Problems};
use super::target::{Origin, System, TargetConfig, TargetKey};
use plimsoll_wire::snapshot::Mode;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All that is in force at one time.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The daemon's own.
    pub daemon: Arc<DaemonConfig>,
    /// The targets', by name.
    pub targets: BTreeMap<TargetKey, Arc<TargetConfig>>,
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
    /// A target whose document is gone.
    Removed(TargetKey),
    /// A target whose document is broken; it goes on as it was configured before.
    Kept(TargetKey),
    /// A target whose document is broken and which may no longer use what it refers to: it is switched off.
    Withdrawn(TargetKey),
}

/// Reads everything anew, the objects of the cluster as they were seen. Blocking: it reads files.
pub fn reload(old: &Configuration, objects: &Objects) -> Reloaded {
    let (daemon, problems) = match load_daemon(&old.daemon.file) {
        Ok(daemon) => (Some(daemon), Problems::default()),
        Err(problems) => (None, problems),
    };
    let (daemon, mut told) = keep_fixed(&old.daemon, daemon);
    told.append(problems);
    let loaded = load_all(&daemon.targets_dir, &daemon, objects);
    let mut reloaded = merge(old, daemon, loaded);
    told.append(std::mem::take(&mut reloaded.problems));
    reloaded.problems = told;
    reloaded
}

/// The daemon's new configuration, with what cannot change while it runs as it was: what it holds open, and what
/// running policies were loaded with.
fn keep_fixed(old: &Arc<DaemonConfig>, new: Option<DaemonConfig>) -> (Arc<DaemonConfig>, Problems) {
    let mut told = Problems::default();
    let Some(mut new) = new else { return (old.clone(), told) };
    let mut keep = |key: &str, differs: bool| {
        if differs {
            told.push(Problem {
                file: old.file.to_string_lossy().into(),
                line: 0,
                column: 0,
                path: key.to_owned(),
                message: "cannot change while the daemon runs; the old value stays".to_owned(),
                hint: "restart the daemon".to_owned(),
            });
        }
    };
    keep("stateDir", new.state_dir != old.state_dir);
    keep("http", new.http != old.http);
    keep("control.socket", new.control_socket != old.control_socket);
    keep("audit", new.audit != old.audit);
    keep("kubernetes", new.kubernetes != old.kubernetes);
    keep("policiesDir", new.policies_dir != old.policies_dir);
    keep("policyHost", new.policy_host != old.policy_host);
    keep("log.format", new.log.format != old.log.format);
    new.state_dir.clone_from(&old.state_dir);
    new.http = old.http;
    new.control_socket.clone_from(&old.control_socket);
    new.audit.clone_from(&old.audit);
    new.kubernetes.clone_from(&old.kubernetes);
    new.policies_dir.clone_from(&old.policies_dir);
    new.policy_host.clone_from(&old.policy_host);
    new.log.format = old.log.format;
    if new == **old { (old.clone(), told) } else { (Arc::new(new), told) }
}

/// What is in force after a reading. Pure: equal arguments give equal results.
///
/// A target whose document is broken keeps the configuration that it had. One whose document is gone is
/// removed, unless the directory could not be read: then nothing is known to be gone.
pub fn merge(old: &Configuration, daemon: Arc<DaemonConfig>, loaded: LoadedTargets) -> Reloaded {
    let LoadedTargets { targets, broken, mut problems, complete, unseen } = refuse_second_hands(old, loaded);
    let is_gone = |target: &TargetConfig| match target.origin {
        Origin::File => complete,
        Origin::Object => !unseen.covers(&target.key.namespace),
    };
    let mut changes = Vec::new();
    if daemon != old.daemon {
        changes.push(Change::Daemon);
    }
    let mut in_force: BTreeMap<TargetKey, Arc<TargetConfig>> = BTreeMap::new();
    for target in targets {
        let key = target.key.clone();
        let target = match old.targets.get(&key) {
            // The same allocation tells the same configuration.
            Some(before) if **before == target => before.clone(),
            Some(_) => {
                changes.push(Change::Changed(key.clone()));
                Arc::new(target)
            }
            None => {
                changes.push(Change::Added(key.clone()));
                Arc::new(target)
            }
        };
        in_force.insert(key, target);
    }
    for (key, before) in &old.targets {
        if in_force.contains_key(key) {
            continue;
        }
        let is_broken = broken.iter().any(|broken| may_be(broken, before));
        if !is_broken && is_gone(before) {
            changes.push(Change::Removed(key.clone()));
        } else {
            let (kept, change) = keep(before, &daemon, &mut problems);
            changes.push(change);
            in_force.insert(key.clone(), kept);
        }
    }
    Reloaded { configuration: Configuration { daemon, targets: in_force }, changes, problems }
}

/// Refuses documents for members that a target with a broken document goes on scaling.
fn refuse_second_hands(old: &Configuration, mut loaded: LoadedTargets) -> LoadedTargets {
    // Each round refuses one document, which may then be kept as it was and stand in the way of another.
    while let Some((index, holder)) = second_hand(old, &loaded) {
        let target = loaded.targets.remove(index);
        loaded.problems.push(Problem {
            file: target.file.clone(),
            line: target.line,
            column: usize::from(target.line > 0),
            path: "spec.targetRef.name".to_owned(),
            message: format!(
                "target `{holder}`, whose document is broken, still scales `{}`",
                target.platform.name
            ),
            hint: "mend or remove that document first".to_owned(),
        });
        loaded.broken.push(Broken { file: target.file.clone(), key: Some(target.key) });
    }
    loaded
}

/// A loaded document for members that another target, which is to be kept, scales already.
fn second_hand(old: &Configuration, loaded: &LoadedTargets) -> Option<(usize, TargetKey)> {
    let is_loaded = |key: &TargetKey| loaded.targets.iter().any(|target| target.key == *key);
    let is_broken = |target: &TargetConfig| loaded.broken.iter().any(|broken| may_be(broken, target));
    let kept = old.targets.values().filter(|target| !is_loaded(&target.key) && is_broken(target));
    kept.flat_map(|kept| {
        let same = |(_, target): &(usize, &TargetConfig)| may_share_members(kept, target);
        loaded.targets.iter().enumerate().find(same).map(|(index, _)| (index, kept.key.clone()))
    })
    .next()
}

/// Whether two targets may have the same members; of a platform that has been changed meanwhile, nobody knows.
fn may_share_members(kept: &TargetConfig, target: &TargetConfig) -> bool {
    let members = |of: &TargetConfig| of.platform.members_of(&of.key);
    kept.platform.name == target.platform.name
        && (kept.platform != target.platform || members(kept) == members(target))
}

/// Whether a broken document may be that of a target.
fn may_be(broken: &Broken, target: &TargetConfig) -> bool {
    match &broken.key {
        Some(key) => *key == target.key,
        None => broken.file == target.file,
    }
}

/// A target as it was, unless the daemon's file has taken back what it uses: then it may act no more.
fn keep(
    before: &Arc<TargetConfig>,
    daemon: &DaemonConfig,
    problems: &mut Problems,
) -> (Arc<TargetConfig>, Change) {
    let key = before.key.clone();
    let (kept, change, message) = if is_open(before, daemon) {
        (before.clone(), Change::Kept(key), "keeps the configuration that it had before")
    } else {
        let off = Arc::new(TargetConfig { mode: Mode::Off, ..(**before).clone() });
        (off, Change::Withdrawn(key), "is switched off: it uses what the daemon's file no longer opens to it")
    };
    problems.push(Problem {
        file: before.file.clone(),
        line: 0,
        column: 0,
        path: String::new(),
        message: format!("target `{}` {message}", before.key),
        hint: "mend the document, or remove it to remove the target".to_owned(),
    });
    (kept, change)
}

/// Whether the daemon's file still has, and opens to the target, what it uses.
fn is_open(target: &TargetConfig, daemon: &DaemonConfig) -> bool {
    let namespace = &target.key.namespace;
    let platform = match &target.platform.kind {
        PlatformKind::Workload { kind, .. } => {
            let has = |now: &&Kubernetes| kind.is_stateful_set() || now.scalable.contains(kind);
            daemon.kubernetes.as_ref().filter(has).map(|now| &now.namespaces)
        }
        PlatformKind::Exec(_) | PlatformKind::Sim(_) => {
            daemon.platforms.get(&target.platform.name).map(|now| &now.namespaces)
        }
    };
    let system = match &target.system {
        System::Sim => true,
        System::Etcd(system) => {
            daemon.systems.get(&system.name).is_some_and(|now| now.namespaces.allow(namespace))
        }
    };
    let source = |name: &String| daemon.sources.get(name).is_some_and(|now| now.namespaces.allow(namespace));
    platform.is_some_and(|open| open.allow(namespace))
        && system
        && target.signals.iter().all(|signal| source(&signal.source))
}
