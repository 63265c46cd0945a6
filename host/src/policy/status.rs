//! The status of policies, for people and programs.

use super::fault::Rejection;
use super::frame::Contract;
use super::shadow::ShadowStatus;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// How one policy stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyStatus {
    /// Its name: the file's, without `.wasm`.
    pub name: String,
    /// SHA-256 of the running module, in hex; absent if none runs.
    pub module: Option<String>,
    /// The contract that the running module follows.
    pub contract: Option<Contract>,
    /// When the running module took over.
    pub active_since: Option<SystemTime>,
    /// Failures in a row of the running module, of the target that has most of them.
    pub failures: u32,
    /// What is wrong with the file in the directory, if something is; the running module goes on.
    pub trouble: Option<Trouble>,
    /// The version that stands beside the running one and does not decide yet.
    pub shadow: Option<ShadowStatus>,
    /// The targets for which the running module does not decide, because it failed them.
    pub rolled_back: BTreeMap<Arc<str>, RolledBack>,
}

/// A target that went back to an earlier version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// SHA-256 of the module that decides for it, in hex; absent if none is left.
    pub module: Option<String>,
    /// What the newer version did.
    pub why: String,
    /// Since when.
    pub since: SystemTime,
}

/// A policy that does not decide for targets that name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Its name.
    pub policy: String,
    /// Who names it.
    pub targets: BTreeSet<Arc<str>>,
    /// What is wrong; absent while it is being loaded.
    pub why: Option<String>,
}

/// What is wrong, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What.
    pub rejection: Rejection,
    /// SHA-256 of the module that it is wrong with, where it could be read.
    pub module: Option<String>,
    /// Since when.
    pub since: SystemTime,
}

impl fmt::Display for RolledBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.module {
            Some(module) => write!(f, "back at version {}", module.get(..12).unwrap_or(module))?,
            None => f.write_str("rolled back, with no version before that is left")?,
        }
        write!(f, ": {}", self.why)
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let names: Vec<&str> = self.targets.iter().take(SHOWN).map(|target| &**target).collect();
        let more = self.targets.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let why = self.why.as_deref().unwrap_or("it is being loaded");
        write!(f, "policy {} does not decide for {}{more}: {why}", self.policy, names.join(", "))
    }
}
