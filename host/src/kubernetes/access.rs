//! Where the API server is, and who we are there.

use super::failure::clipped;
use kube_client::config::{KubeConfigOptions, Kubeconfig};
use kube_client::{Client, Config};
use std::path::PathBuf;
use std::time::Duration;

/// How long a connection may take to come about: below every deadline of a call, so that "never sent" is told from
/// "not answered".
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);

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
    pub(super) async fn connect(&self) -> Result<Client, AccessError> {
        let place = match self {
            Self::Daemons(_) => "`kubernetes` in the daemon's file",
            Self::Persons(_) => "`--kubeconfig` or `$KUBECONFIG`, and `--context`",
        };
        let wrong = |problem: String| AccessError { problem: clipped(&problem), place };
        let kubeconfig = match self {
            Self::Daemons(Access { kubeconfig: None, .. }) => None,
            Self::Daemons(Access { kubeconfig: Some(file), .. })
            | Self::Persons(PersonsAccess { kubeconfig: Some(file), .. }) => {
                Some(Kubeconfig::read_from(file).map_err(|error| wrong(error.to_string()))?)
            }
            Self::Persons(PersonsAccess { kubeconfig: None, .. }) => {
                Some(Kubeconfig::read().map_err(|error| wrong(error.to_string()))?)
            }
        };
        let mut config = match kubeconfig {
            Some(kubeconfig) => {
                let (Self::Daemons(Access { context, .. }) | Self::Persons(PersonsAccess { context, .. })) =
                    self;
                let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
                Config::from_custom_kubeconfig(kubeconfig, &options)
                    .await
                    .map_err(|error| wrong(error.to_string()))?
            }
            None => Config::incluster().map_err(|error| wrong(error.to_string()))?,
        };
        // It would send a write again after a 504 that was carried out, and sleep for as long as a server says.
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_DEADLINE);
        Client::try_from(config).map_err(|error| wrong(error.to_string()))
    }
}
