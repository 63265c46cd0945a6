//! Compiled code as the daemon keeps it: bytes that it never looks into, in a file without a name or in the
//! cache directory, handed from the child that compiled to the child that runs.
//!
//! A cached file is the code, then a head with the inspection and the code's digest, then the head's length.
//! Whoever can write the cache directory can run code in a policy's child, and nowhere else.

use super::child::digest;
use super::fault::{Flaw, Rejection};
use super::frame::{Ask, HEAD_BYTES, Reply, Role};
use super::limits::{Class, Limits};
use super::process::{Launch, Process, unexpected};
use super::scan::Inspection;
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::io::{self, Write};
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
        let detail = format!("{} bytes; class {} allows {}", module.len(), class.word(), bounds.module_bytes);
        return Err(Rejection::new(Flaw::TooLarge, detail));
    }
    let digest = digest(module);
    let cached = cache.map(|folder| folder.join(name(&digest, class)));
    if let Some(found) = cached.as_deref().and_then(|path| recall(path, &digest, limits)) {
        return Ok(found);
    }
    let failed =
        |error: io::Error| Rejection::new(Flaw::CompileFailed, format!("keeping compiled code: {error}"));
    let (file, draft) = draft(cache).map_err(failed)?;
    let made = translate(launch, class, limits, module, &file).await;
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

async fn translate(
    launch: &Launch,
    class: Class,
    limits: &Limits,
    module: &[u8],
    file: &File,
) -> Result<(Inspection, Artefact), Rejection> {
    let bounds = launch.bounds(class);
    let mut child =
        Process::start(launch, Role::Compile, class, limits).await.map_err(|trouble| trouble.rejection())?;
    let unreadable = |error: io::Error| Rejection::new(Flaw::CompileFailed, error.to_string());
    let mut sink = tokio::fs::File::from_std(file.try_clone().map_err(unreadable)?);
    let wall = Duration::from_millis(bounds.compile_wall_ms);
    let ask = Ask::Compile { limits: *limits };
    let answer = child.ask_into(&ask, module, wall, bounds.artefact_bytes, &mut sink).await;
    match answer.map_err(|trouble| trouble.rejection())? {
        (Reply::Compiled { inspection, sha256 }, length) => {
            let file = Arc::new(file.try_clone().map_err(unreadable)?);
            Ok((*inspection, Artefact { file, length, sha256 }))
        }
        (Reply::Rejected { rejection }, _) => Err(Rejection::new(rejection.flaw, rejection.detail)),
        (other, _) => Err(unexpected(&other).rejection()),
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
