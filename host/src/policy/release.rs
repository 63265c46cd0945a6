//! The guarded release of one module: read → digest → scan, compile and load → its own tests → trial on the last
//! snapshots → shadow beside the running version → active. Whatever fails leaves the running version in place.

use super::case;
use super::child::digest;
use super::fault::{Flaw, Rejection};
use super::folder::{self, Content, Stamp};
use super::library::{Shared, Standing};
use super::manifest::Manifest;
use super::shadow::Shadow;
use super::version::Version;
use super::versions::{Active, Candidate, KEPT, Refused, Release};
use std::collections::BTreeMap;
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
        let most = |manifest: &Manifest| {
            config.launch.bounds(manifest.class_of(&owned, &config.interpreters)).module_bytes
        };
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
    let (manifest, files) = (&content.manifest, &content.files);
    manifest.admits(module)?;
    let class = manifest.class_of(name, &shared.config.interpreters);
    let limits = manifest.limits(shared.config.launch.allowances.of(class).limits);
    let cases = case::fingerprint(&manifest.tests, files);
    let candidate = Candidate { module: module.to_owned(), class, limits, cases };
    match shared.standing(name, &candidate) {
        Standing::New => {}
        Standing::Known => return Ok(()),
        Standing::Refused(rejection) => return Err(rejection),
    }
    if !shared.has_room(name) {
        let detail = format!("{} policies are loaded already", shared.config.policies);
        return Err(Rejection::new(Flaw::TooMany, detail));
    }
    let cache = shared.config.cache.as_deref();
    let version = Version::load(&shared.config.launch, class, limits, &content.module, cache).await?;
    case::check(&version, &manifest.tests, files).await?;
    if let Err(rejection) = try_out(shared, name, &version).await {
        let refused = Refused { candidate, rejection: rejection.clone() };
        shared.change(name, |policy| policy.refused = Some(refused));
        shared.save(name).await;
        return Err(rejection);
    }
    keep_module(shared, name, &candidate, content.module).await;
    shared.admit(name, Release { candidate, version: Arc::new(version) }, manifest.shadow);
    shared.save(name).await;
    Ok(())
}

/// The module's bytes outlive its file: another version may be in its place when it is gone back to.
async fn keep_module(shared: &Arc<Shared>, name: &str, candidate: &Candidate, bytes: Vec<u8>) {
    let Some(memory) = shared.memory().cloned() else { return };
    let module = candidate.module.clone();
    let kept = spawn_blocking(move || memory.keep(&module, &bytes)).await;
    if let Ok(Err(error)) = kept {
        tracing::warn!(policy = name, %error, "the module is not kept: no restart goes back to it");
    }
}

/// Takes up, once, what was remembered of a policy: what ran before the restart runs again, until what is in the
/// directory now has taken the same way as ever.
pub(crate) async fn restore(shared: &Arc<Shared>, name: &str) {
    let is_first = shared.change(name, |policy| !std::mem::replace(&mut policy.is_restored, true));
    let Some(memory) = shared.memory().cloned().filter(|_| is_first) else { return };
    let owned = name.to_owned();
    let Ok(Some(remembered)) = spawn_blocking(move || memory.recall(&owned)).await else { return };
    let Some(active) = recalled(shared, name, &remembered.active).await else { return };
    let mut good = BTreeMap::new();
    for (candidate, targets) in remembered.good.into_iter().take(KEPT) {
        if let Some(release) = recalled(shared, name, &candidate).await {
            good.extend(targets.into_iter().map(|target| (target, release.clone())));
        }
    }
    let shadow = match remembered.shadow {
        Some((candidate, count)) => {
            recalled(shared, name, &candidate).await.map(|release| Shadow { release, count })
        }
        None => None,
    };
    tracing::info!(
        policy = name,
        module = active.candidate.module,
        "policy taken as it was before the restart"
    );
    shared.change(name, |policy| {
        policy.good = good;
        policy.shadow = shadow;
        policy.refused = remembered.refused;
        policy.active = Some(Active::restored(active, remembered.answered, remembered.back));
    });
}

/// A version that was remembered, if its bytes are still there and it still loads.
async fn recalled(shared: &Arc<Shared>, name: &str, candidate: &Candidate) -> Option<Release> {
    let config = &shared.config;
    let (memory, module) = (shared.memory()?.clone(), candidate.module.clone());
    let most = config.launch.bounds(candidate.class).module_bytes;
    let bytes = spawn_blocking(move || memory.module(&module, most)).await.ok()?;
    let module = &candidate.module;
    let Some(bytes) = bytes else {
        tracing::warn!(policy = name, module, "the version that was remembered is gone");
        return None;
    };
    let (class, limits, cache) = (candidate.class, candidate.limits, config.cache.as_deref());
    match Version::load(&config.launch, class, limits, &bytes, cache).await {
        Ok(version) => Some(Release { candidate: candidate.clone(), version: Arc::new(version) }),
        Err(rejection) => {
            tracing::warn!(policy = name, module, %rejection, "the version that was remembered is not loaded");
            None
        }
    }
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
