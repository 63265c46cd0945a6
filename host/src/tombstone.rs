//! Tombstones: which members were removed for good, for the init container that finds a member's data on a volume
//! (`decisions.md` D22). Pure.
//!
//! A scale-in leaves a member's volume behind, and on it the identity of a member that must never come back. When the
//! member is proved to be removed, the daemon writes a tombstone into one `ConfigMap` of the workload's namespace. An init
//! container (`plimsoll set-aside`), without credentials or network, sets the data aside whose tombstone it finds.
//!
//! A system's own identities are not enough: an etcd that is founded again with the same names and token has the same ids
//! again, and its data is nobody's to set aside. So data has a name as well, a random one that the init container
//! gives it. It tells the name in its termination message, the tombstone names it, and only data of that name is set
//! aside.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The `ConfigMap` in each namespace.
pub const CONFIG_MAP: &str = "plimsoll-tombstones";
/// The word by which the init container's command is known.
pub const COMMAND: &str = "set-aside";
/// The API server takes no key that is longer.
const MAX_KEY: usize = 253;

/// One removed member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tombstone {
    /// The pod that it was.
    pub pod: String,
    /// The uids of the claims that the pod had.
    pub claims: BTreeSet<String>,
    /// The names of the data that is to be set aside.
    pub data: BTreeSet<String>,
}

impl Tombstone {
    /// This one and an earlier one of the same member, in one.
    #[must_use]
    pub fn with(mut self, earlier: Self) -> Self {
        self.claims.extend(earlier.claims);
        self.data.extend(earlier.data);
        self
    }
}

/// What the init container says of the data that the pod's next container will find, in its termination message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Said {
    /// The data's name.
    pub data: String,
    /// Whose it is, as [`key`] has it; absent where there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Where earlier data was set aside to, just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<String>,
}

/// The key of a member in the `ConfigMap`, by the system's own ids of the cluster and of the member; none where they do
/// not make one.
#[must_use]
pub fn key(cluster: &str, member: &str) -> Option<String> {
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let key = format!("{cluster}.{member}");
    (plain(cluster) && plain(member) && key.len() <= MAX_KEY).then_some(key)
}

/// A tombstone as it stands in the `ConfigMap`. What cannot be read names no data.
#[must_use]
pub fn read(text: &str) -> Option<Tombstone> {
    serde_json::from_str(text).ok()
}

/// Whether some tombstone names a claim: what lies on it will be set aside, or was never anybody's.
#[must_use]
pub fn names_claim(tombstones: &BTreeMap<String, Tombstone>, uid: &str) -> bool {
    tombstones.values().any(|tombstone| tombstone.claims.contains(uid))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end here")]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_of_plain_ids_only() {
        assert_eq!(key("a1", "b2").unwrap(), "a1.b2");
        for (cluster, member) in [("", "b"), ("a", ""), ("a/b", "c"), ("a", "../c"), ("a.b", "c")] {
            assert_eq!(key(cluster, member), None, "{cluster} {member}");
        }
        assert_eq!(key(&"a".repeat(200), &"b".repeat(60)), None);
    }

    #[test]
    fn what_a_tombstone_names_only_grows() {
        let one = read(r#"{"pod":"db-3","claims":["a"],"data":["x"]}"#).unwrap();
        let both = read(r#"{"pod":"db-3","claims":["b"],"data":["y"]}"#).unwrap().with(one);
        assert_eq!(both, read(r#"{"pod":"db-3","claims":["a","b"],"data":["x","y"]}"#).unwrap());
        assert_eq!(read("removed by hand"), None);
    }
}
