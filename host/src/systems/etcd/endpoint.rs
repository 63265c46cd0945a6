//! A member's address, and the identity that the member must prove there.

use plimsoll_wire::snapshot::Endpoints;

/// Where a member answers its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The address that is connected to; empty where the platform gives none.
    pub(super) address: String,
    /// The name that the member's certificate has to bear, where that is not the address's own host: the IP of a pod
    /// becomes another pod's, its name does not (`decisions.md` D13).
    pub(super) server_name: Option<String>,
}

impl Endpoint {
    /// As the platform gives it: `client`, and `serverName` where there is one.
    pub(super) fn of(endpoints: &Endpoints) -> Self {
        let address = endpoints.get("client").cloned().unwrap_or_default();
        // In a certificate an IPv6 address has no brackets.
        let server_name = endpoints.get("serverName").map(|name| name.trim_matches(['[', ']']).to_owned());
        Self { address, server_name }
    }
}
