//! The guarded release of one module: read → digest → scan, compile and load → its own tests → trial on the last
//! snapshots → shadow beside the running version → active. Whatever fails leaves the running version in place.

use super::case;
use super::child::digest;
use super::fault::{Flaw, Rejection};
use super::folder::{self, Content, Stamp};
use super::library::{Candidate, Shared, Standing};
use super::manifest::Manifest;
use super::version::Version;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Why a version did not take over.
pub(crate) enum End {
    /// The files changed while they were read.
    Changed,
    Rejected(Rejection, Option<String>),
}

/// The files of snapshots that a manifest names, and their stamp before they were read.
pub(crate) type CaseFiles = (Vec<String>, Stamp);

/// Brings what stands in the directory under this name to where it may decide, or says why not.
pub(crate) async fn release(
    shared: &Arc<Shared>,
    name: &str,
    expected: &Stamp,
) -> (Result<(), End>, Option<CaseFiles>) {
    let (path, owned, asked) = (shared.folder.clone(), name.to_owned(), Arc::clone(shared));
    let read = spawn_blocking(move || {
        let config = &asked.config;
        let most = |manifest: &Manifest| config.launch.bounds(config.class(&owned, manifest)).module_bytes;
        let content = folder::read(&path, &owned, most)?;
        let after = folder::read_stamp(&path, &owned)?;
        Ok((content, after))
    });
    let read: Result<(Content, Stamp), Rejection> = read
        .await
        .unwrap_or_else(|error| Err(Rejection::new(Flaw::Unreadable, format!("reading {name}: {error}"))));
    match read {
        Err(rejection) => (Err(End::Rejected(rejection, None)), None),
        Ok((content, after)) if content.stamp != *expected || after != *expected => (Err(End::Changed), None),
        Ok((content, _)) => {
            let cases = (content.files.keys().cloned().collect(), content.case_stamp.clone());
            let module = digest(&content.module);
            let end = admit(shared, name, content, &module).await;
            (end.map_err(|rejection| End::Rejected(rejection, Some(module))), Some(cases))
        }
    }
}

async fn admit(shared: &Arc<Shared>, name: &str, content: Content, module: &str) -> Result<(), Rejection> {
    let Content { manifest, files, .. } = &content;
    if let Some(wanted) = manifest.sha256.as_ref().filter(|wanted| *wanted != module) {
        let detail = format!("the manifest asks for sha256 {wanted}, the module has {module}");
        return Err(Rejection::new(Flaw::Digest, detail));
    }
    let class = shared.config.class(name, manifest);
    let limits = manifest.limits(shared.config.launch.allowances.of(class).limits);
    let cases = case::fingerprint(&manifest.tests, files);
    let candidate = Candidate { module: module.to_owned(), class, limits, cases };
    match shared.standing(name, &candidate) {
        Standing::New => {}
        Standing::Known => return Ok(()),
        Standing::Barred => {
            let detail = "this module was rolled back; put another one there";
            return Err(Rejection::new(Flaw::RolledBack, detail));
        }
    }
    if !shared.has_room(name) {
        let detail = format!("{} policies are loaded already", shared.config.policies);
        return Err(Rejection::new(Flaw::TooMany, detail));
    }
    let cache = shared.config.cache.as_deref();
    let version = Version::load(&shared.config.launch, class, limits, &content.module, cache).await?;
    case::check(&version, &manifest.tests, files).await?;
    try_out(shared, name, &version).await?;
    shared.admit(name, candidate, version, manifest.shadow);
    Ok(())
}

/// The trial: no failure on the snapshots that the running version was asked with last.
async fn try_out(shared: &Shared, name: &str, version: &Version) -> Result<(), Rejection> {
    for snapshot in shared.recent(name) {
        if let Err(failure) = version.evaluate(&snapshot).await.result {
            let detail = format!("on the last snapshot of {}: {failure}", snapshot.target.key);
            return Err(Rejection::new(Flaw::Trial, detail));
        }
    }
    Ok(())
}
