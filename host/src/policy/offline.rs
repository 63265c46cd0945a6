//! One module at a time, without a directory: what `policy eval` and `policy inspect` use.

use super::child::digest;
use super::fault::{Flaw, Rejection};
use super::folder;
use super::limits::{Class, Limits};
use super::process::Launch;
use super::scan::Inspection;
use super::version::{Evaluation, Version};
use plimsoll_wire::Snapshot;
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Loads modules by path.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// How children are started.
    pub launch: Launch,
    /// Where compiled code is kept between runs, if anywhere.
    pub cache: Option<PathBuf>,
}

/// One loaded module.
pub struct Loaded {
    version: Version,
}

impl Host {
    /// Reads, scans, compiles and loads a module with the limits of its class.
    ///
    /// # Errors
    /// Why it is not loaded.
    pub async fn load_file(&self, path: &Path, class: Class) -> Result<Loaded, Rejection> {
        let module = read(path, self.launch.bounds(class).module_bytes)?;
        self.load_bytes(&module, class, self.launch.allowances.of(class).limits).await
    }

    /// Reads a module as the daemon would: with the manifest beside it, where there is one. What is chosen here goes
    /// before the manifest's class, and that before the daemon's file's.
    ///
    /// # Errors
    /// Why it is not loaded.
    pub async fn load_as_placed(
        &self,
        path: &Path,
        chosen: Option<Class>,
        interpreters: &BTreeSet<String>,
    ) -> Result<Loaded, Rejection> {
        let manifest = folder::manifest_beside(path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let class = chosen.unwrap_or_else(|| manifest.class_of(&name, interpreters));
        let module = read(path, self.launch.bounds(class).module_bytes)?;
        manifest.admits(&digest(&module))?;
        let limits = manifest.limits(self.launch.allowances.of(class).limits);
        self.load_bytes(&module, class, limits).await
    }

    /// The same for bytes, with limits of one's own.
    ///
    /// # Errors
    /// Why it is not loaded.
    pub async fn load_bytes(&self, module: &[u8], class: Class, limits: Limits) -> Result<Loaded, Rejection> {
        let version = Version::load(&self.launch, class, limits, module, self.cache.as_deref()).await?;
        Ok(Loaded { version })
    }
}

impl Loaded {
    /// Asks it once, in a fresh instance. Never hangs; whatever goes wrong is a value.
    pub async fn evaluate(&self, snapshot: &Snapshot) -> Evaluation {
        self.version.evaluate(snapshot).await
    }

    /// What it is.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.version.inspection
    }

    /// The process id of its idle child.
    pub async fn child_id(&self) -> Option<u32> {
        self.version.child_id().await
    }
}

/// At most one byte more than is allowed, so that a file that grows cannot fill the memory.
fn read(path: &Path, most: u64) -> Result<Vec<u8>, Rejection> {
    let unreadable =
        |error: std::io::Error| Rejection::new(Flaw::Unreadable, format!("{}: {error}", path.display()));
    // A FIFO would have us wait for somebody to write.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| unreadable(error.into()))?;
    let file = std::fs::File::from(file);
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(Rejection::new(Flaw::NotRegular, format!("{} is not a regular file", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
