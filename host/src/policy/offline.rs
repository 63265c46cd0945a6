//! One module at a time, without a directory: what `policy eval` and `policy inspect` use.

use super::fault::{Flaw, Rejection};
use super::limits::{Class, Limits};
use super::process::Launch;
use super::scan::Inspection;
use super::version::{Evaluation, Version};
use plimsoll_wire::Snapshot;
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

    /// The same for bytes, with limits of one's own.
    ///
    /// # Errors
    /// Why it is not loaded.
    pub async fn load_bytes(&self, module: &[u8], class: Class, limits: Limits) -> Result<Loaded, Rejection> {
        let version = Version::load(&self.launch, class, limits, module, self.cache.as_deref()).await?;
        Ok(Loaded { version })
    }

    /// What a module is, imports and exports, and how a component describes itself.
    ///
    /// # Errors
    /// Why it is no policy.
    pub async fn inspect(&self, path: &Path, class: Class) -> Result<Inspection, Rejection> {
        Ok(self.load_file(path, class).await?.version.inspection)
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
    let file = std::fs::File::open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(Rejection::new(Flaw::NotRegular, format!("{} is not a regular file", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
