//! Where the API server is, and who we are there.

use super::failure::clipped;
use std::path::PathBuf;

/// Where the API server is and who we are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The kubeconfig; none for a daemon in a pod, which has its service account mounted.
    pub kubeconfig: Option<PathBuf>,
    /// Which of its contexts; none for the current one.
    pub context: Option<String>,
}

/// The same for a person at a terminal, as `kubectl` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonsAccess {
    /// The kubeconfig; none for those of `$KUBECONFIG`, or `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// Which of its contexts; none for the current one.
    pub context: Option<String>,
}

/// The API server cannot even be asked.
#[derive(Debug, thiserror::Error)]
#[error("the Kubernetes API server cannot be reached as configured: {problem}; hint: look at {place}")]
pub struct AccessError {
    problem: String,
    place: &'static str,
}

/// The way there, to be gone again when credentials have changed.
#[derive(Clone, Debug)]
pub(super) enum Way {
    Daemons(Access),
    Persons(PersonsAccess),
}

impl Way {
    /// Why there is no way to go.
    pub(super) fn barred(&self, problem: &str) -> AccessError {
        let place = match self {
            Self::Daemons(_) => "`kubernetes` in the daemon's file",
            Self::Persons(_) => "`--kubeconfig` or `$KUBECONFIG`, and `--context`",
        };
        AccessError { problem: clipped(problem), place }
    }
}
