//! Remembers releases across restarts, in one file for each policy: the version that decides, what each target went
//! back to and why, and the version in shadow with its progress. The modules themselves are kept under their digests.
//! Without this a restart would let a version decide that was rolled back, and would cut a time in shadow short.

use super::child::digest;
use super::shadow::Count;
use super::versions::{Active, Back, Candidate, Policy, Refused};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of one policy's file: some thousand targets.
const FILE_BYTES: u64 = 4 << 20;

/// What is remembered of one policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Remembered {
    pub active: Candidate,
    pub answered: BTreeSet<Arc<str>>,
    pub back: BTreeMap<Arc<str>, Back>,
    pub good: Vec<(Candidate, BTreeSet<Arc<str>>)>,
    pub shadow: Option<(Candidate, Count)>,
    pub refused: Option<Refused>,
}

impl Remembered {
    /// Of a policy as it stands; nothing before a version runs.
    pub(crate) fn of(policy: &Policy) -> Option<Self> {
        let Active { release, answered, back, .. } = policy.active.as_ref()?;
        let mut good: Vec<(Candidate, BTreeSet<Arc<str>>)> = Vec::new();
        for (target, release) in &policy.good {
            match good.iter_mut().find(|(candidate, _)| *candidate == release.candidate) {
                Some((_, targets)) => drop(targets.insert(target.clone())),
                None => good.push((release.candidate.clone(), BTreeSet::from([target.clone()]))),
            }
        }
        Some(Self {
            active: release.candidate.clone(),
            answered: answered.clone(),
            back: back.clone(),
            good,
            shadow: policy
                .shadow
                .as_ref()
                .map(|shadow| (shadow.release.candidate.clone(), shadow.count.clone())),
            refused: policy.refused.clone(),
        })
    }
}

/// The folder where it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    folder: PathBuf,
}

impl Memory {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Keeps a module's bytes, before it may decide.
    pub(crate) fn keep(&self, module: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join(format!("{module}.wasm"));
        if path.metadata().is_ok_and(|data| data.len() == bytes.len() as u64) {
            return Ok(());
        }
        self.put(&path, bytes)
    }

    /// A module's bytes, if they are whole and no more than so many.
    pub(crate) fn module(&self, module: &str, most: u64) -> Option<Vec<u8>> {
        let bytes = read(&self.folder.join(format!("{module}.wasm")), most)?;
        (digest(&bytes) == module).then_some(bytes)
    }

    pub(crate) fn save(&self, policy: &str, remembered: &Remembered) -> io::Result<()> {
        self.put(&self.folder.join(format!("{policy}.json")), &serde_json::to_vec(remembered)?)
    }

    pub(crate) fn recall(&self, policy: &str) -> Option<Remembered> {
        let path = self.folder.join(format!("{policy}.json"));
        let bytes = read(&path, FILE_BYTES)?;
        serde_json::from_slice(&bytes)
            .inspect_err(
                |error| tracing::warn!(path = %path.display(), %error, "what was remembered is not used"),
            )
            .ok()
    }

    /// Removes what is of no policy and no version any more.
    pub(crate) fn prune(&self, policies: &BTreeSet<String>, modules: &BTreeSet<String>) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            let is_known = match file.rsplit_once('.') {
                Some((policy, "json")) => policies.contains(policy),
                Some((module, "wasm")) => modules.contains(module),
                Some(_) | None => false,
            };
            if !is_known {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let draft = path.with_extension("draft");
        let mut file = File::create(&draft)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        std::fs::rename(draft, path)
    }
}

fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(most + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= most).then_some(bytes)
}
