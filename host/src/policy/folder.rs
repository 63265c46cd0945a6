//! Reads the policy directory. Links may stay inside it (a mounted ConfigMap is nothing but links, swapped
//! through `..data`), may not leave it, and must end at a regular file.

use super::case::{Case, Files, Source};
use super::fault::{Flaw, Rejection, one_line};
use super::limits::{CASE_BYTES, MANIFEST_BYTES};
use super::manifest::{Manifest, parse};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Entries of the directory that are looked at (W70).
pub(crate) const ENTRIES: usize = 1_000;
const NAME_BYTES: usize = 63;
const MANIFESTS: [(&str, bool); 3] = [("yaml", false), ("yml", false), ("json", true)];

/// What tells one content of a file from another without reading it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<[i128; 5]>);

impl Stamp {
    /// For how long nothing has changed, as far as the file system's clock and ours agree.
    pub(crate) fn age(&self) -> Duration {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let newest =
            self.0.iter().map(|[_, _, _, modified, changed]| *modified.max(changed)).max().unwrap_or(0);
        let newest = u128::try_from(newest).unwrap_or(0);
        Duration::from_nanos(u64::try_from(now.saturating_sub(newest)).unwrap_or(u64::MAX))
    }
}

/// What the directory holds.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Policies by name.
    pub found: BTreeMap<String, Result<Stamp, Rejection>>,
    /// What was passed over, printable.
    pub skipped: Vec<(String, Rejection)>,
}

/// A module and its manifest, as they were at one moment.
#[derive(Debug)]
pub(crate) struct Content {
    pub module: Vec<u8>,
    pub manifest: Manifest,
    pub stamp: Stamp,
    /// The snapshots that the manifest's test cases name.
    pub files: Files,
    /// Their stamp before they were read.
    pub case_stamp: Stamp,
}

/// Lists the policies of a directory.
pub(crate) fn list(path: &Path) -> Result<Listing, Rejection> {
    let folder = open(path)?;
    let entries = std::fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
    let mut listing = Listing::default();
    for (index, entry) in entries.enumerate() {
        if index >= ENTRIES {
            let detail =
                format!("more than {ENTRIES} entries in the policy directory; the rest is not looked at");
            listing.skipped.push(("...".to_owned(), Rejection::new(Flaw::TooMany, detail)));
            break;
        }
        let file = entry.map_err(|error| unreadable(path, &error))?.file_name();
        let shown = one_line(&file.to_string_lossy(), 80);
        if !shown.ends_with(".wasm") || shown.starts_with("..") {
            continue;
        }
        match file.to_str().and_then(|file| file.strip_suffix(".wasm")).filter(|name| is_name(name)) {
            Some(name) => {
                listing.found.insert(name.to_owned(), stamp(&folder, name));
            }
            None => {
                let detail = "a policy is named by lower-case letters, digits, `-`, `_` and single dots";
                listing.skipped.push((shown, Rejection::new(Flaw::Name, detail)));
            }
        }
    }
    Ok(listing)
}

/// Reads a policy's module and manifest, each opened once; of the module one byte more than `most` says at most.
pub(crate) fn read(
    path: &Path,
    name: &str,
    most: impl FnOnce(&Manifest) -> u64,
) -> Result<Content, Rejection> {
    let folder = open(path)?;
    let manifest = read_manifest(&folder, name)?;
    let most = most(&manifest);
    let mut file = regular(&folder, &format!("{name}.wasm"))?;
    let stamp = stamp(&folder, name)?;
    let module = take(&mut file, most + 1, name)?;
    let case_stamp = stamps(path, &file_names(&manifest.tests));
    let files = snapshots(&folder, &manifest.tests);
    Ok(Content { module, manifest, stamp, files, case_stamp })
}

/// The manifest beside a module that is named by its path.
pub(crate) fn manifest_beside(module: &Path) -> Result<Manifest, Rejection> {
    let folder = module.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = module.file_stem().unwrap_or_default().to_string_lossy();
    read_manifest(&open(folder)?, &name)
}

fn read_manifest(folder: &OwnedFd, name: &str) -> Result<Manifest, Rejection> {
    let Some((mut file, is_json)) = manifest(folder, name)? else { return Ok(Manifest::default()) };
    let bytes = take(&mut file, MANIFEST_BYTES + 1, name)?;
    if bytes.len() as u64 > MANIFEST_BYTES {
        let detail = format!("the manifest has more than {MANIFEST_BYTES} bytes; put snapshots into files");
        return Err(Rejection::new(Flaw::Manifest, detail));
    }
    parse(&bytes, is_json)
}

/// The files that test cases name, in order and each once: the order of [`Files`].
fn file_names(cases: &[Case]) -> Vec<String> {
    let names = cases.iter().filter_map(|case| match &case.snapshot {
        Source::File(name) => Some(name.clone()),
        Source::Inline(_) => None,
    });
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The snapshots that test cases name, each read once and all together within their bound.
fn snapshots(folder: &OwnedFd, cases: &[Case]) -> Files {
    let mut files = Files::new();
    let mut left = CASE_BYTES;
    for name in file_names(cases) {
        let content = regular(folder, &name).and_then(|mut file| take(&mut file, left + 1, &name));
        let content = content.and_then(|bytes| match left.checked_sub(bytes.len() as u64) {
            Some(rest) => {
                left = rest;
                Ok(bytes)
            }
            None => {
                let detail =
                    format!("{name}: the snapshots of all test cases have more than {CASE_BYTES} bytes");
                Err(Rejection::new(Flaw::Test, detail))
            }
        });
        files.insert(name, content);
    }
    files
}

/// The stamp of files by name; one that cannot be opened has a stamp of its own.
pub(crate) fn stamps(path: &Path, names: &[String]) -> Stamp {
    let folder = open(path);
    let look = |name: &String| {
        let file = folder.as_ref().ok().and_then(|folder| regular(folder, name).ok());
        file.and_then(|file| of(&file, name).ok()).unwrap_or_default()
    };
    Stamp(names.iter().map(look).collect())
}

/// The stamp of a policy's files, as [`list`] gives it.
pub(crate) fn read_stamp(path: &Path, name: &str) -> Result<Stamp, Rejection> {
    stamp(&open(path)?, name)
}

fn open(path: &Path) -> Result<OwnedFd, Rejection> {
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|error| unreadable(path, &error.into()))
}

fn is_name(name: &str) -> bool {
    let outer =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    name.len() <= NAME_BYTES
        && outer(name.as_bytes().first())
        && outer(name.as_bytes().last())
        && !name.contains("..")
        && !name.ends_with(".wasm")
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte))
}

fn stamp(folder: &OwnedFd, name: &str) -> Result<Stamp, Rejection> {
    let mut stamps = vec![of(&regular(folder, &format!("{name}.wasm"))?, name)?];
    if let Some((file, _)) = manifest(folder, name)? {
        stamps.push(of(&file, name)?);
    }
    Ok(Stamp(stamps))
}

fn of(file: &File, name: &str) -> Result<[i128; 5], Rejection> {
    use std::os::unix::fs::MetadataExt;
    let data = file.metadata().map_err(|error| unreadable(Path::new(name), &error))?;
    let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Ok([
        data.dev().into(),
        data.ino().into(),
        data.size().into(),
        nanos(data.mtime(), data.mtime_nsec()),
        nanos(data.ctime(), data.ctime_nsec()),
    ])
}

fn manifest(folder: &OwnedFd, name: &str) -> Result<Option<(File, bool)>, Rejection> {
    let mut found = None;
    for (extension, is_json) in MANIFESTS {
        match regular(folder, &format!("{name}.{extension}")) {
            Ok(_) if found.is_some() => {
                let detail = format!("{name} has more than one manifest");
                return Err(Rejection::new(Flaw::Manifest, detail));
            }
            Ok(file) => found = Some((file, is_json)),
            Err(rejection) if rejection.flaw == Flaw::Missing => {}
            Err(rejection) => return Err(rejection),
        }
    }
    Ok(found)
}

/// Opens a regular file of the directory. A first look without opening it for real keeps us from touching a
/// device or waiting for a FIFO; what decides is the kind of what was then opened.
fn regular(folder: &OwnedFd, file: &str) -> Result<File, Rejection> {
    beneath(folder, file, OFlags::PATH)?;
    beneath(folder, file, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
}

fn beneath(folder: &OwnedFd, file: &str, flags: OFlags) -> Result<File, Rejection> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let opened = rustix::fs::openat2(folder, file, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
    let opened = opened.map_err(|error| match error {
        rustix::io::Errno::NOENT => Rejection::new(Flaw::Missing, format!("{file} is not there")),
        rustix::io::Errno::XDEV => Rejection::new(
            Flaw::NotRegular,
            format!("{file} is a link that leaves the policy directory; put a copy there"),
        ),
        rustix::io::Errno::LOOP => {
            Rejection::new(Flaw::NotRegular, format!("{file} is a link to itself, or to a special link"))
        }
        other => unreadable(Path::new(file), &other.into()),
    })?;
    let stat = rustix::fs::fstat(&opened).map_err(|error| unreadable(Path::new(file), &error.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Rejection::new(Flaw::NotRegular, format!("{file} is not a regular file")));
    }
    Ok(File::from(opened))
}

fn take(file: &mut File, most: u64, name: &str) -> Result<Vec<u8>, Rejection> {
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(|error| unreadable(Path::new(name), &error))?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: &io::Error) -> Rejection {
    Rejection::new(Flaw::Unreadable, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_are_plain_words() {
        for name in ["a", "target-utilization", "v1.2", "a_b"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-a", "a-", "A", "ä", "a\nb", "..", "a..b", ".a", "a.wasm", "a/b", &"x".repeat(64)]
        {
            assert!(!is_name(name), "{name}");
        }
    }
}
