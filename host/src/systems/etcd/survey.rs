//! The raw answers of all members to one read. No conclusion is drawn from them here.

use super::endpoint::Endpoint;
use std::sync::Arc;

/// One reading of all members.
#[derive(Clone, Debug, Default)]
pub(super) struct Survey {
    /// One for each slot in use, in no particular order.
    pub(super) answers: Vec<Answer>,
}

/// What one endpoint answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The slot that was asked.
    pub(super) slot: Arc<str>,
    /// Its endpoint for clients.
    pub(super) endpoint: Endpoint,
    /// For how long it has been seen up.
    pub(super) up_ms: u64,
    /// Its own state, or why there is none.
    pub(super) status: Result<Status, String>,
    /// The membership as it stood after a linearizable read on the same connection, or why there is none.
    /// A learner answers no linearizable read, so it has none.
    pub(super) list: Result<List, String>,
}

/// What a member says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) cluster: u64,
    pub(super) member: u64,
    /// 0 when it knows of none.
    pub(super) leader: u64,
    pub(super) term: u64,
    /// The raft index that it knows to be committed.
    pub(super) committed: u64,
    pub(super) applied: u64,
    pub(super) db_bytes: u64,
    pub(super) version: String,
    /// Alarms, and that there is no leader.
    pub(super) errors: Vec<String>,
}

/// The membership as one member knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct List {
    pub(super) cluster: u64,
    /// Who says so.
    pub(super) member: u64,
    pub(super) members: Vec<Registered>,
}

/// A member as it is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) id: u64,
    /// Empty until it has started for the first time.
    pub(super) name: String,
    pub(super) peer_urls: Vec<String>,
    pub(super) learner: bool,
}

impl Registered {
    /// Whether it has not started yet: a member publishes its name when it does.
    pub(super) fn is_unstarted(&self) -> bool {
        self.name.is_empty()
    }
}

/// The id as etcd's own tools print it.
pub(super) fn hex(id: u64) -> String {
    format!("{id:x}")
}

/// The one way to write an address, so that two can be compared: a scheme, lower case, no slash at the end.
pub(super) fn normal_url(url: &str) -> String {
    let url = url.trim();
    let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    match reqwest::Url::parse(&full) {
        Ok(parsed) => parsed.as_str().trim_end_matches('/').to_owned(),
        Err(_) => full.trim_end_matches('/').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_equal_addresses_equally() {
        assert_eq!(normal_url("HTTP://LocalHost:2380/"), "http://localhost:2380");
        assert_eq!(normal_url(" 127.0.0.1:2380"), "http://127.0.0.1:2380");
        assert_ne!(normal_url("https://a:2380"), normal_url("http://a:2380"));
    }
}
