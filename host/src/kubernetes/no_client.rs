//! Stands in for the connection in a build without the feature `kubernetes`: no connection ever comes about.

use super::Failure;
use super::access::{AccessError, Way};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, Response};

/// What a response brings.
pub(super) type Incoming = Full<Bytes>;

/// A connection, of which there is none.
#[derive(Clone)]
pub(super) enum Client {}

impl Client {
    #[expect(clippy::unused_async, reason = "as the connection of a whole build")]
    pub(super) async fn connect(way: &Way) -> Result<Self, AccessError> {
        Err(way.barred("this program was built without Kubernetes; build it with the feature `kubernetes`"))
    }

    pub(super) fn default_namespace(&self) -> &str {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "as the connection of a whole build")]
    pub(super) async fn send(&self, _: Request<Bytes>) -> Result<Response<Incoming>, Failure> {
        match *self {}
    }
}
