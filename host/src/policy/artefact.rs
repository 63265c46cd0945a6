//! Compiled code as the daemon keeps it: bytes that it never looks into, in a file without a name or in the
//! cache directory, handed from the child that compiled to the child that runs.
//!
//! A cached file is the code, then a head with the inspection and the code's digest, then the head's length.
//! Whoever can write the cache directory can run code in a policy's child, and nowhere else.

use super::child::digest;
use super::fault::{Flaw, Rejection};
use super::frame::{Ask, HEAD_BYTES, Reply, Role};
use super::limits::{Bounds, CACHE_SPARE_BYTES, CACHE_SPARE_FILES, Class, Limits, compile_space};
use super::process::{Allowed, Launch, Process, Trouble, unexpected};
use super::room;
use super::scan::Inspection;
use rustix::fs::MemfdFlags;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Rises whenever the scan or the engine's settings change, so that older files are compiled again.
const CACHE_FORMAT: u32 = 1;

/// Compiled code of one module.
#[derive(Debug)]
pub(crate) struct Artefact {
    pub file: Arc<File>,
    pub length: u64,
    pub sha256: String,
}

/// Scans and compiles a module in a fresh child, or takes the result of an earlier time from the cache.
pub(crate) async fn compile(
    launch: &Launch,
    class: Class,
    limits: &Limits,
    module: &[u8],
    cache: Option<&Path>,
) -> Result<(Inspection, Artefact), Rejection> {
    let bounds = launch.bounds(class);
    if module.len() as u64 > bounds.module_bytes {
        return Err(too_large(module.len() as u64, class, &bounds));
    }
    let digest = digest(module);
    let cached = cache.map(|folder| folder.join(name(&digest, class)));
    if let Some(found) = cached.as_deref().and_then(|path| recall(path, &digest, limits)) {
        return Ok(found);
    }
    let space_bytes = compile_space(module.len() as u64, &bounds);
    let allowed = Allowed { class, cpu_s: bounds.compile_cpu_s, space_bytes, by_container: false };
    let refusal = cache.map(|folder| Refusal::of(folder, &digest, &allowed));
    if let Some(rejection) = refusal.as_ref().and_then(Refusal::recall) {
        return Err(rejection);
    }
    let failed =
        |error: io::Error| Rejection::new(Flaw::CompileFailed, format!("keeping compiled code: {error}"));
    let (file, draft) = draft(cache).map_err(failed)?;
    let made = match translate(launch, allowed, limits, module, &file).await {
        Ok(made) => Ok(made),
        Err(End { rejection, is_certain }) => {
            if let Some(refusal) = refusal.as_ref().filter(|_| is_certain) {
                refusal.keep(&rejection);
            }
            Err(rejection)
        }
    };
    let kept = made.and_then(|(inspection, artefact)| {
        if let (Some(draft), Some(path)) = (&draft, &cached) {
            keep(&artefact, &inspection, draft, path).map_err(failed)?;
        }
        Ok((inspection, artefact))
    });
    if let (Err(_), Some(draft)) = (&kept, &draft) {
        let _ = std::fs::remove_file(draft);
    }
    kept
}

/// Why a module was not compiled.
struct End {
    rejection: Rejection,
    /// Whether another attempt would end the same: it is the module's doing and not the machine's.
    is_certain: bool,
}

impl End {
    fn of(trouble: &Trouble, allowed: &Allowed) -> Self {
        let is_certain = matches!(trouble, Trouble::Died { signal: Some(libc::SIGXCPU | libc::SIGABRT), .. });
        Self { rejection: trouble.rejection(allowed), is_certain }
    }
}

async fn translate(
    launch: &Launch,
    allowed: Allowed,
    limits: &Limits,
    module: &[u8],
    file: &File,
) -> Result<(Inspection, Artefact), End> {
    let bounds = launch.bounds(allowed.class);
    let part = room::take(allowed.space_bytes).await;
    let allowed = Allowed { space_bytes: part.bytes, by_container: part.is_cut, ..allowed };
    let child = Process::start(launch, Role::Compile, allowed.class, part.bytes, Some(allowed.cpu_s)).await;
    let mut child = child.map_err(|trouble| End::of(&trouble, &allowed))?;
    let unreadable = |error: io::Error| {
        let rejection = Rejection::new(Flaw::CompileFailed, error.to_string());
        End { rejection, is_certain: false }
    };
    let mut sink = tokio::fs::File::from_std(file.try_clone().map_err(unreadable)?);
    let wall = Duration::from_millis(bounds.compile_wall_ms);
    let ask = Ask::Compile { limits: *limits };
    let answer = child.ask_into(&ask, module, wall, bounds.artefact_bytes, &mut sink).await;
    match answer.map_err(|trouble| End::of(&trouble, &allowed))? {
        (Reply::Compiled { inspection, sha256 }, length) => {
            let file = Arc::new(file.try_clone().map_err(unreadable)?);
            Ok((*inspection, Artefact { file, length, sha256 }))
        }
        (Reply::Rejected { rejection }, _) => {
            let is_certain = rejection.flaw == Flaw::CompileLimit;
            Err(End { rejection: Rejection::new(rejection.flaw, rejection.detail), is_certain })
        }
        (other, _) => Err(End::of(&unexpected(&other), &allowed)),
    }
}

fn name(digest: &str, class: Class) -> String {
    format!("{digest}-{}-{CACHE_FORMAT}-{}.code", class.word(), env!("CARGO_PKG_VERSION"))
}

/// A file to write code to: in the cache directory under a passing name, else one that has no name.
fn draft(cache: Option<&Path>) -> io::Result<(File, Option<PathBuf>)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let Some(folder) = cache else {
        return Ok((File::from(rustix::fs::memfd_create("plimsoll-policy", MemfdFlags::CLOEXEC)?), None));
    };
    std::fs::create_dir_all(folder)?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!(".draft-{}-{count}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    Ok((file, Some(path)))
}

fn keep(artefact: &Artefact, inspection: &Inspection, draft: &Path, path: &Path) -> io::Result<()> {
    let head = serde_json::to_vec(&(inspection, &artefact.sha256))?;
    let length = u32::try_from(head.len()).map_err(io::Error::other)?;
    let mut file = &*artefact.file;
    io::Seek::seek(&mut file, io::SeekFrom::Start(artefact.length))?;
    file.write_all(&head)?;
    file.write_all(&length.to_le_bytes())?;
    file.sync_data()?;
    std::fs::rename(draft, path)
}

/// What an earlier compilation left, if it is whole and still fits. The child compares the code's digest.
fn recall(path: &Path, digest: &str, limits: &Limits) -> Option<(Inspection, Artefact)> {
    let file = File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    let mut length = [0; 4];
    file.read_exact_at(&mut length, size.checked_sub(4)?).ok()?;
    let length = u32::from_le_bytes(length);
    if length > HEAD_BYTES {
        return None;
    }
    let code = size.checked_sub(4 + u64::from(length))?;
    let mut head = vec![0; length as usize];
    file.read_exact_at(&mut head, code).ok()?;
    let (inspection, sha256): (Inspection, String) = serde_json::from_slice(&head).ok()?;
    let fits = inspection.digest == digest && inspection.shape.memory_bytes <= limits.memory_bytes;
    fits.then(|| (inspection, Artefact { file: Arc::new(file), length: code, sha256 }))
}

/// Forgets what the cache holds of a module, because a child found it damaged.
pub(crate) fn forget(cache: &Path, digest: &str, class: Class) {
    let _ = std::fs::remove_file(cache.join(name(digest, class)));
}

/// Where it is kept that a module cannot be compiled within what it is allowed: to find that out takes all of it.
struct Refusal {
    path: PathBuf,
    /// What was allowed; with more it is tried again.
    allowed: String,
}

impl Refusal {
    fn of(cache: &Path, digest: &str, allowed: &Allowed) -> Self {
        let path = cache.join(name(digest, allowed.class)).with_extension("refused");
        Self {
            path,
            allowed: format!("{} s, {} bytes of {:?} MiB", allowed.cpu_s, allowed.space_bytes, room::all()),
        }
    }

    fn recall(&self) -> Option<Rejection> {
        let file = File::open(&self.path).ok()?;
        let (allowed, rejection): (String, Rejection) =
            serde_json::from_reader(file.take(u64::from(HEAD_BYTES))).ok()?;
        (allowed == self.allowed).then_some(rejection)
    }

    fn keep(&self, rejection: &Rejection) {
        let draft = self.path.with_extension("refused-draft");
        let written = serde_json::to_vec(&(&self.allowed, rejection))
            .map_err(io::Error::other)
            .and_then(|bytes| std::fs::write(&draft, bytes))
            .and_then(|()| std::fs::rename(&draft, &self.path));
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "a refusal is not kept: a restart compiles it again");
        }
    }
}

/// Why a file is not even looked at.
pub(crate) fn too_large(bytes: u64, class: Class, bounds: &Bounds) -> Rejection {
    let (word, most) = (class.word(), bounds.module_bytes);
    let detail = format!(
        "{bytes} bytes; class {word} allows {most}, and `policyHost.{word}.moduleSize` of the daemon's file gives more"
    );
    Rejection::new(Flaw::TooLarge, detail)
}

/// Removes what nobody needs: drafts that were left, and of modules that are not wanted all but the newest few.
pub(crate) fn prune(cache: &Path, wanted: &BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(cache) else { return };
    let mut spare = Vec::new();
    for entry in entries.flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let Ok(data) = entry.metadata() else { continue };
        let age = data.modified().ok().and_then(|modified| modified.elapsed().ok()).unwrap_or_default();
        if file.starts_with('.') || file.ends_with("-draft") {
            // Another daemon may be writing it.
            if age > DRAFT_AGE {
                let _ = std::fs::remove_file(entry.path());
            }
        } else if !file.get(..64).is_some_and(|digest| wanted.contains(digest)) {
            spare.push((age, data.len(), entry.path()));
        }
    }
    spare.sort();
    let mut bytes = 0_u64;
    for (index, (_, length, path)) in spare.into_iter().enumerate() {
        bytes = bytes.saturating_add(length);
        if index >= CACHE_SPARE_FILES || bytes > CACHE_SPARE_BYTES {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// For how long a draft may be somebody's who writes: longer than any compilation.
const DRAFT_AGE: Duration = Duration::from_secs(60 * 60);
