//! Loads files and directories into configurations.

use super::daemon::{self, DaemonConfig};
use super::files::{Pass, Rest};
use super::key::TargetKey;
use super::object::{self, Objects, Unseen};
use super::target::{self, Origin, Stops, TargetConfig};
use crate::yaml::problem::{At, Problem, Problems, Sink, quote};
use crate::yaml::tree::{self, Document, MAX_FILE_BYTES};
use rustix::fs::{Mode, OFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A daemon's targets; each costs a task, a journal and a few megabytes.
const MAX_FILES: usize = 10_000;

/// A document, or a whole file, that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where it stands.
    pub file: Arc<str>,
    /// What it is called; absent where that could not be read for certain, so that it may be any target's.
    pub key: Option<TargetKey>,
    /// Where documents like it come from.
    pub origin: Origin,
    /// What it says that stops its target.
    pub stops: Stops,
}

/// What a directory of documents holds.
#[derive(Clone, Debug, Default)]
pub struct LoadedTargets {
    /// The documents that can be used, by name.
    pub targets: Vec<TargetConfig>,
    /// Those that cannot.
    pub broken: Vec<Broken>,
    /// Why not.
    pub problems: Problems,
    /// Whether the directory itself could be read; if not, no target of a file may be taken for removed.
    pub complete: bool,
    /// Where objects could not be read: no target that comes from there may be taken for removed.
    pub unseen: Unseen,
    /// Files that are being written: they were not read, and whatever came from them stays.
    pub moving: BTreeSet<Arc<str>>,
}

/// Reads the daemon's file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_daemon(path: &Path) -> Result<DaemonConfig, Problems> {
    let mut sink = Sink::new(&path.to_string_lossy());
    let config = read_file(path, None, &mut sink).and_then(|bytes| {
        let base = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let base = base.parent().unwrap_or(Path::new("/")).to_owned();
        daemon_from(&bytes, path, &base, &mut sink)
    });
    match config {
        Some(config) if sink.len() == 0 => Ok(config),
        Some(_) | None => Err(sink.into_problems()),
    }
}

/// The daemon's configuration from the bytes of its file.
pub(super) fn daemon_from(bytes: &[u8], file: &Path, base: &Path, sink: &mut Sink) -> Option<DaemonConfig> {
    let parsed = tree::parse(bytes, sink);
    if !parsed.whole {
        return None;
    }
    let mut documents = parsed.documents.into_iter();
    let Some(document) = documents.next() else {
        sink.add(&At::default(), "is empty", "begin with what `plimsoll check --print-defaults` prints");
        return None;
    };
    if let Some(second) = documents.next() {
        let at = At { line: second.root.line, column: 1, path: String::new() };
        sink.add(
            &at,
            "a second document",
            "the daemon's file has one; documents of targets stand in `targetsDir`",
        );
    }
    daemon::read(&document.root, file, base, sink)
}

/// Reads the documents of a directory. What is wrong with one does not hurt the others.
pub fn load_targets(dir: &Path, daemon: &DaemonConfig) -> LoadedTargets {
    load_all(dir, daemon, &Objects::default(), &mut None)
}

/// Reads the documents of a directory and those of the cluster, by the same rules. With a `pass`, files that are being
/// written are left for later.
pub(super) fn load_all(
    dir: &Path,
    daemon: &DaemonConfig,
    objects: &Objects,
    pass: &mut Option<Pass>,
) -> LoadedTargets {
    let mut loaded = load_files(dir, daemon, pass);
    object::targets_from(objects, daemon, &mut loaded);
    refuse_twins(&mut loaded);
    loaded.targets.sort_by(|a, b| a.key.cmp(&b.key));
    loaded
}

fn load_files(dir: &Path, daemon: &DaemonConfig, pass: &mut Option<Pass>) -> LoadedTargets {
    let mut loaded = LoadedTargets { complete: true, ..LoadedTargets::default() };
    let files = match list(dir) {
        Ok(files) => files,
        Err(problem) => {
            loaded.complete = false;
            // Nobody named it, and it is not needed. What came from it before stays all the same.
            if !daemon.targets_optional || dir.exists() {
                loaded.problems.push(problem);
            }
            return loaded;
        }
    };
    for path in files {
        let mut sink = Sink::new(&path.to_string_lossy());
        let (bytes, rest) = Pass::read(pass, &path, || read_file(&path, Some(dir), &mut sink));
        match (rest, bytes) {
            (Rest::Settled, Some(bytes)) => targets_from(&bytes, daemon, &mut sink, &mut loaded),
            (Rest::Settled, None) => loaded.broken.push(nameless(&sink)),
            (Rest::Moving | Rest::Restless, _) => {
                loaded.moving.insert(sink.file().clone());
                // What was read of it on the way does not count.
                sink = Sink::new(&path.to_string_lossy());
                if rest == Rest::Restless {
                    let hint = "write it once, or beside it and rename it into its place";
                    sink.add(&At::default(), "is being written all the time and is not read", hint);
                }
            }
        }
        loaded.problems.append(sink.into_problems());
    }
    loaded
}

/// A file, or a document of it, that may be any target's.
fn nameless(sink: &Sink) -> Broken {
    Broken { file: sink.file().clone(), key: None, origin: Origin::File, stops: Stops::default() }
}

/// The targets in the bytes of one file.
pub(super) fn targets_from(bytes: &[u8], daemon: &DaemonConfig, sink: &mut Sink, loaded: &mut LoadedTargets) {
    let parsed = tree::parse(bytes, sink);
    for Document { root, sound } in &parsed.documents {
        match target::read(root, Origin::File, daemon, sink) {
            Some(target) if *sound => loaded.targets.push(target),
            Some(_) | None => {
                loaded.broken.push(Broken {
                    key: target::identity(root),
                    stops: Stops::of(root),
                    ..nameless(sink)
                });
            }
        }
    }
    if !parsed.whole {
        loaded.broken.push(nameless(sink));
    } else if parsed.documents.is_empty() {
        // An editor empties a file before it writes it: that must not end a target.
        let hint = "write a document, or remove the file to remove its target";
        sink.add(&At::default(), "holds no document", hint);
        loaded.broken.push(nameless(sink));
    }
}

/// Refuses both of two documents that have one name or scale the same members: two targets would act on one thing.
fn refuse_twins(loaded: &mut LoadedTargets) {
    let mut names: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut members: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
    for (index, target) in loaded.targets.iter().enumerate() {
        names.entry(target.key.to_string()).or_default().push(index);
        members.entry(target.platform.members_of(&target.key)).or_default().push(index);
    }
    let mut refused = BTreeSet::new();
    for (name, twins) in names.iter().filter(|(_, twins)| twins.len() > 1) {
        let what = format!("{} is described twice", quote(name));
        twin_problems(loaded, twins, "metadata.name", &what, "keep one, or give it another name");
        refused.extend(twins.iter().copied());
    }
    for twins in members.values().filter(|twins| twins.len() > 1) {
        // Of one name and for the same members: that was said already.
        if twins.iter().all(|twin| refused.contains(twin)) {
            continue;
        }
        let Some(first) = twins.first().and_then(|first| loaded.targets.get(*first)) else { continue };
        let (what, hint) = first.platform.shared_by_two();
        twin_problems(loaded, twins, "spec.targetRef.name", &what, hint);
        refused.extend(twins.iter().copied());
    }
    let mut index = 0;
    loaded.targets.retain(|target| {
        let keep = !refused.contains(&index);
        if !keep {
            loaded.broken.push(Broken {
                file: target.file.clone(),
                key: Some(target.key.clone()),
                origin: target.origin,
                stops: Stops::default(),
            });
        }
        index += 1;
        keep
    });
}

fn twin_problems(loaded: &mut LoadedTargets, twins: &[usize], path: &str, what: &str, hint: &str) {
    for twin in twins {
        let other = twins.iter().find(|other| *other != twin).and_then(|other| loaded.targets.get(*other));
        let (Some(target), Some(other)) = (loaded.targets.get(*twin), other) else { continue };
        loaded.problems.push(Problem {
            file: target.file.clone(),
            line: target.line,
            column: usize::from(target.line > 0),
            path: path.to_owned(),
            message: format!("{what}, also in {}", place(other)),
            hint: hint.to_owned(),
        });
    }
}

/// Where a document stands: a line of a file, or an object.
fn place(target: &TargetConfig) -> String {
    match target.origin {
        Origin::File => format!("{}:{}", target.file, target.line),
        Origin::Object => target.file.to_string(),
    }
}

/// The documents' files of a directory, in order of their names.
fn list(dir: &Path) -> Result<Vec<PathBuf>, Problem> {
    let problem = |message: String, hint: &str| Problem {
        file: dir.to_string_lossy().into(),
        line: 0,
        column: 0,
        path: String::new(),
        message,
        hint: hint.to_owned(),
    };
    let unreadable = |error: std::io::Error| {
        problem(format!("cannot be read: {error}"), "see `targetsDir` in the daemon's file")
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if is_document(&path) {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(problem(format!("has more than {MAX_FILES} files"), ""));
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file is meant to be read: not an editor's or a mount's own (`.x.swp`, `..data`), and YAML.
pub(super) fn is_document(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    !hidden && yaml
}

/// Reads a regular file of bounded size. With `within`, a link may not lead out of that directory.
fn read_file(path: &Path, within: Option<&Path>, sink: &mut Sink) -> Option<Vec<u8>> {
    let here = At::default();
    if let Some(dir) = within
        && let (Ok(dir), Ok(real)) = (dir.canonicalize(), path.canonicalize())
        && !real.starts_with(&dir)
    {
        sink.add(&here, "is a link that leads out of the directory", "copy the file instead");
        return None;
    }
    match bounded(path) {
        Ok(Some(bytes)) => Some(bytes),
        Ok(None) => {
            sink.add(&here, "is not a regular file", "only files are read");
            None
        }
        Err(error) => {
            let is_missing = error.kind() == std::io::ErrorKind::NotFound;
            let hint = if is_missing { "`plimsoll check --print-defaults` prints a first file" } else { "" };
            sink.add(&here, format!("cannot be read: {error}"), hint);
            None
        }
    }
}

/// The bytes of a regular file, one more than is allowed at most; nothing if it is not a regular file.
fn bounded(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    // Without `NONBLOCK` the opening of a pipe would wait for a writer, for ever.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
