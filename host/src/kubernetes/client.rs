//! The connection to an API server, by `kube-client`: no other file knows its types.

use super::Failure;
use super::access::{Access, AccessError, PersonsAccess, Way};
use crate::causes;
use hyper::body::Bytes;
use hyper::{Request, Response};
use kube_client::Config;
use kube_client::config::{KubeConfigOptions, Kubeconfig};
use std::time::Duration;

/// How long a connection may take to come about: below every deadline of a call, so that "never sent" differs from
/// "not answered".
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);

/// What a response brings.
pub(super) type Incoming = kube_client::client::Body;

/// A connection, with the credentials of a moment.
#[derive(Clone)]
pub(super) struct Client(kube_client::Client);

impl Client {
    pub(super) async fn connect(way: &Way) -> Result<Self, AccessError> {
        let wrong = |problem: String| way.barred(&problem);
        let kubeconfig = match way {
            Way::Daemons(Access { kubeconfig: None, .. }) => None,
            Way::Daemons(Access { kubeconfig: Some(file), .. })
            | Way::Persons(PersonsAccess { kubeconfig: Some(file), .. }) => {
                Some(Kubeconfig::read_from(file).map_err(|error| wrong(error.to_string()))?)
            }
            Way::Persons(PersonsAccess { kubeconfig: None, .. }) => {
                Some(Kubeconfig::read().map_err(|error| wrong(error.to_string()))?)
            }
        };
        let mut config = match kubeconfig {
            Some(kubeconfig) => {
                let (Way::Daemons(Access { context, .. }) | Way::Persons(PersonsAccess { context, .. })) =
                    way;
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
        kube_client::Client::try_from(config).map(Self).map_err(|error| wrong(error.to_string()))
    }

    /// One without a wire between.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn over(answers: axum::Router) -> Self {
        Self(kube_client::Client::new(answers, "default"))
    }

    pub(super) fn default_namespace(&self) -> &str {
        self.0.default_namespace()
    }

    pub(super) async fn send(&self, request: Request<Bytes>) -> Result<Response<Incoming>, Failure> {
        let body = |bytes: Bytes| if bytes.is_empty() { Incoming::empty() } else { Incoming::from(bytes) };
        let request = request.map(body);
        self.0.send(request).await.map_err(|error| of_transport(&error))
    }
}

/// What it means that there was no answer at all.
fn of_transport(error: &kube_client::Error) -> Failure {
    let message = causes::on_one_line(error);
    let unauthenticated = matches!(error, kube_client::Error::Auth(_));
    let unconnected = if let kube_client::Error::Service(inner) = error {
        let inner = inner.downcast_ref::<hyper_util::client::legacy::Error>();
        inner.is_some_and(hyper_util::client::legacy::Error::is_connect)
    } else {
        false
    };
    if unauthenticated || unconnected { Failure::not_sent(message) } else { Failure::unknown(message) }
}
