//! A policy directory with real files, and what is asked of it: the policy is always `p`.

use crate::guest::snapshot;
use plimsoll::policy::{Evaluation, Launch, Library, LibraryConfig, PolicyStatus, Sandbox};
use plimsoll_wire::proposal::Answer;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// As the daemon has it, with shorter waits.
#[must_use]
pub fn config() -> LibraryConfig {
    LibraryConfig {
        launch: Launch { program: crate::binary(), sandbox: Sandbox::Required, ..Launch::default() },
        settle: Duration::from_millis(60),
        rescan: Duration::from_secs(5),
        pause: Duration::from_millis(10),
        failures: 3,
        ..LibraryConfig::default()
    }
}

/// A library that watches this folder.
///
/// # Panics
/// When the folder cannot be read.
pub async fn open(folder: &Path) -> Library {
    Library::open(folder, config()).await.expect("a library")
}

/// What policy `p` wishes, or the kind of its failure.
pub async fn wished(library: &Library) -> String {
    answer_of(&library.evaluate("p", Arc::new(snapshot())).await)
}

/// What was answered: a size, a refusal's code, or the kind of a failure.
///
/// # Panics
/// When a proposal wishes no size.
#[must_use]
pub fn answer_of(evaluation: &Evaluation) -> String {
    match &evaluation.result {
        Ok(Answer::Proposal(proposal)) => format!("{:?}", proposal.sizes.members.expect("a size")),
        Ok(Answer::Refusal { refusal }) => refusal.reason.code.clone(),
        Err(failure) => failure.kind().to_owned(),
    }
}

/// How policy `p` stands.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn status(library: &Library) -> PolicyStatus {
    library.status().into_iter().find(|status| status.name == "p").expect("policy p")
}

/// The word for what is wrong with policy `p`; empty where nothing is.
#[must_use]
pub fn trouble(library: &Library) -> &'static str {
    library
        .status()
        .iter()
        .find(|s| s.name == "p")
        .and_then(|s| s.trouble.as_ref())
        .map_or("", |t| t.rejection.kind())
}

/// Waits for the library to change until this holds.
///
/// # Panics
/// When it does not in time.
pub async fn until(library: &Library, what: &str, holds: impl Fn(&Library) -> bool) {
    let mut changes = library.changes();
    let wait = async {
        while !holds(library) {
            changes.changed().await.expect("a library that lives");
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
    assert!(waited.is_ok(), "{what} did not come; status: {:?}", library.status());
}

/// Puts a file into a folder, whole or not at all.
///
/// # Panics
/// When the disk does not take it.
pub fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let draft = folder.join(".draft");
    std::fs::write(&draft, bytes).expect("a file");
    std::fs::rename(draft, folder.join(name)).expect("a rename");
}

/// A folder of its own.
///
/// # Panics
/// When there is no place for one.
#[must_use]
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a directory")
}
