//! The settings of a library of policies.

use crate::policy::process::Launch;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// How a library behaves (`policyHost` in the daemon's file). Each default is what a daemon should use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryConfig {
    /// How children are started.
    pub launch: Launch,
    /// Where compiled code is kept between runs; without it every start compiles.
    pub cache: Option<PathBuf>,
    /// Where it is remembered what decides, what was rolled back and what stands in shadow; without it a restart forgets.
    pub memory: Option<PathBuf>,
    /// For how long a file must not have changed to count as whole.
    pub settle: Duration,
    /// How often the directory is read when no event came: some mounts send none.
    pub rescan: Duration,
    /// Least time between two attempts to load one policy, so that a storm of changes costs one compilation.
    pub pause: Duration,
    /// Failures in a row of one target after which a version gives way, for it, to the last one that answered it.
    pub failures: u32,
    /// Most policies that are loaded.
    pub policies: usize,
    /// Policies of the class `interpreter`, by name, where no manifest says otherwise.
    pub interpreters: BTreeSet<String>,
}

impl Default for LibraryConfig {
    fn default() -> Self {
        Self {
            launch: Launch::default(),
            cache: None,
            memory: None,
            settle: Duration::from_secs(1),
            rescan: Duration::from_secs(10),
            pause: Duration::from_secs(5),
            failures: 5,
            policies: 64,
            interpreters: BTreeSet::new(),
        }
    }
}
