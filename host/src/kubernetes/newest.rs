//! Remembers the newest version of each object that this process has read or written. An answer with an older version
//! comes from a server or a cache that is behind, and is refused.
//!
//! Versions are compared as numbers, and only between objects of one uid: anywhere else the comparison means nothing.

use super::Failure;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// How many objects are remembered: those of the ten thousand members that a target may have, twice. Beyond them
/// the server's own check of what a write is bound to is all there is.
const MAX_OBJECTS: usize = 20_000;

/// What was seen, by path: uid and version.
#[derive(Debug, Default)]
pub(super) struct Newest(Mutex<BTreeMap<String, (String, u64)>>);

impl Newest {
    /// Lets an object that was read pass, unless a newer one was seen there before.
    pub(super) fn check(&self, path: &str, object: Value) -> Result<Value, Failure> {
        match self.note(path, &object) {
            Some(newer) => {
                let message = format!(
                    "{path} is shown in an older version than {newer}, which was there before; hint: when the \
                     cluster was restored from a backup, restart the daemon"
                );
                Err(Failure::Behind { message })
            }
            None => Ok(object),
        }
    }

    /// Remembers what an answer shows; gives the version that was seen before where that is newer.
    pub(super) fn note(&self, path: &str, object: &Value) -> Option<u64> {
        let metadata = &object["metadata"];
        let uid = metadata["uid"].as_str().filter(|uid| !uid.is_empty())?;
        let version: u64 = metadata["resourceVersion"].as_str()?.parse().ok()?;
        let path = path.split('?').next().unwrap_or_default();
        let path = match path.rsplit_once('/') {
            Some((object, "scale" | "status")) => object,
            Some(_) | None => path,
        };
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get_mut(path) {
            Some((known, newest)) if known == uid => {
                let newer = (*newest > version).then_some(*newest);
                *newest = version.max(*newest);
                newer
            }
            Some(entry) => {
                *entry = (uid.to_owned(), version);
                None
            }
            None => {
                if seen.len() < MAX_OBJECTS {
                    seen.insert(path.to_owned(), (uid.to_owned(), version));
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(uid: &str, version: &str) -> Value {
        json!({ "metadata": { "uid": uid, "resourceVersion": version } })
    }

    #[test]
    fn an_older_version_of_what_was_seen_is_behind_and_another_object_of_its_name_is_not() {
        let newest = Newest::default();
        assert!(newest.check("/a/x", object("one", "9")).is_ok());
        assert_eq!(newest.note("/a/x/scale", &object("one", "12")), None);
        let behind = newest.check("/a/x", object("one", "9"));
        assert!(
            matches!(&behind, Err(Failure::Behind { message }) if message.contains("than 12")),
            "{behind:?}"
        );
        assert!(newest.check("/a/x", object("one", "12")).is_ok(), "the same again is as new");
        assert!(newest.check("/a/y", object("two", "3")).is_ok());
        assert!(newest.check("/a/x", object("three", "2")).is_ok(), "it was made anew");
        assert!(newest.check("/a/x", object("three", "no number")).is_ok(), "which says nothing");
    }
}
