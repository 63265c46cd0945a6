//! Journals as `ScalingPlan` objects: one for each target, in the target's namespace, written by compare-and-set on the
//! object's `resourceVersion` through its `status`.
//!
//! Each write follows a quorum read of the same object, and is sent once. Where a write is not answered, the next read
//! shows whether it was applied; if it arrives later, the next write has already made its version too old. Where the
//! server refuses a write because the object has another version, and the journal in it is still the one that was read,
//! the write is sent for the new version.

use super::{Entry, JournalError, Revision};
use crate::kubernetes::scaling_plan::{self, About, Status};
use crate::kubernetes::{ApiServer, Failure, Write};
use plimsoll_wire::FORMAT_VERSION;
use plimsoll_wire::journal::Journal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// The most bytes of a journal: a third of what the API server's store takes in one request (1.5 MiB), since the
/// server keeps a list of all its fields beside it.
const MAX_JOURNAL_BYTES: usize = 512 << 10;

/// How often a write is bound again when the object was changed and the journal in it was not: people write their orders on
/// it, a few at a time.
const TRIES: u32 = 3;

/// The store. Clones share it.
#[derive(Clone, Debug)]
pub struct KubernetesJournals {
    server: Arc<ApiServer>,
    /// Which object each target's journal has been in since this daemon began.
    seen: Arc<Mutex<BTreeMap<String, String>>>,
}

/// An object with the journal in it, where one was written.
struct Found {
    object: Value,
    uid: String,
    journal: Option<(Journal, Revision)>,
}

impl KubernetesJournals {
    /// Journals on this API server.
    #[must_use]
    pub fn new(server: Arc<ApiServer>) -> Self {
        Self { server, seen: Arc::default() }
    }

    /// See [`super::JournalStore::load`].
    ///
    /// # Errors
    /// See [`super::JournalStore::load`].
    pub async fn load(&self, target: &str) -> Result<Option<(Journal, Revision)>, JournalError> {
        let place = Place::of(target)?;
        Ok(self.find(&place).await?.and_then(|found| found.journal))
    }

    /// See [`super::JournalStore::store`].
    ///
    /// # Errors
    /// See [`super::JournalStore::store`].
    pub async fn store<'a>(
        &self,
        target: &str,
        expected: Option<Revision>,
        entry: impl Into<Entry<'a>>,
    ) -> Result<Revision, JournalError> {
        let Entry { journal, profile } = entry.into();
        let place = Place::of(target)?;
        let value = checked(&place, journal)?;
        let about = profile.map(|profile| About::of(journal, profile));
        let mut left = TRIES;
        loop {
            let found = self.find(&place).await?;
            let revision = found.as_ref().and_then(|found| Some(found.journal.as_ref()?.1));
            if revision != expected {
                return Err(JournalError::Conflict { target: target.to_owned(), found: revision });
            }
            let (mut object, uid) = match found {
                Some(found) => (found.object, found.uid),
                None => self.create(&place).await?,
            };
            let next = Revision(revision.map_or(1, |Revision(number)| number + 1));
            object["status"] =
                json!({ "revision": next.0, "object": uid, "digest": digest(&value), "journal": value });
            if let Some(about) = &about {
                object["status"]["about"] = json!(about);
            }
            left -= 1;
            match self.replace(&place, object).await? {
                Some(stored) => return kept(&place, &stored["status"], next, &value),
                // Nothing was written. Where it was an order on the object that came between, and no journal of another's, the
                // next read shows the revision that is expected.
                None if left > 0 => {}
                None => return Err(self.lost(&place).await),
            }
        }
    }

    /// Writes the status of an object as it was read; nothing where it is not that any more.
    async fn replace(&self, place: &Place, mut object: Value) -> Result<Option<Value>, JournalError> {
        // The server keeps its own when it is not told; sent back, it would double the request.
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        match self.server.write(Write::Replace(&format!("{}/status", place.path), &object)).await {
            Ok(stored) => Ok(Some(stored)),
            Err(Failure::Conflict { .. }) => Ok(None),
            Err(failure) => Err(place.unanswered(failure)),
        }
    }

    /// Somebody else wrote: what is there now.
    async fn lost(&self, place: &Place) -> JournalError {
        match self.find(place).await {
            Ok(found) => JournalError::Conflict {
                target: place.target.clone(),
                found: found.and_then(|found| Some(found.journal?.1)),
            },
            Err(error) => error,
        }
    }

    async fn create(&self, place: &Place) -> Result<(Value, String), JournalError> {
        let blank = scaling_plan::blank(&place.namespace, &place.name);
        let collection = scaling_plan::collection(&place.namespace);
        let object = match self.server.write(Write::Create(&collection, &blank)).await {
            Ok(object) => object,
            Err(Failure::Conflict { .. }) => return Err(self.lost(place).await),
            Err(failure) => return Err(place.unanswered(failure)),
        };
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        self.remember(place, &uid);
        Ok((object, uid))
    }

    fn remember(&self, place: &Place, uid: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(place.target.clone()).or_insert_with(|| uid.to_owned());
    }

    fn seen(&self, place: &Place) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&place.target).cloned()
    }

    async fn find(&self, place: &Place) -> Result<Option<Found>, JournalError> {
        let object = match self.server.read(&place.path).await {
            Ok(object) => object,
            Err(Failure::NotFound { .. }) if self.seen(place).is_none() => return Ok(None),
            Err(Failure::NotFound { .. }) => {
                return Err(place.unreadable("it was removed while the daemon was running"));
            }
            Err(failure) => return Err(place.unanswered(failure)),
        };
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        if uid.is_empty() {
            return Err(place.unreadable("it has no uid"));
        }
        if self.seen(place).is_some_and(|seen| seen != uid) {
            return Err(place.unreadable("it was removed and recreated while the daemon was running"));
        }
        let status = Some(&object["status"]).filter(|status| !status.is_null());
        let journal = status.map(|status| read(place, &uid, status)).transpose()?;
        self.remember(place, &uid);
        Ok(Some(Found { object, uid, journal }))
    }
}

/// Where a target's journal is.
struct Place {
    target: String,
    namespace: String,
    name: String,
    path: String,
}

impl Place {
    fn of(target: &str) -> Result<Self, JournalError> {
        let is_name = |part: &str| {
            !part.is_empty()
                && part.len() <= 253
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
        };
        match target.split_once('/') {
            Some((namespace, name)) if is_name(namespace) && is_name(name) => Ok(Self {
                target: target.to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                path: format!("{}/{name}", scaling_plan::collection(namespace)),
            }),
            Some(_) | None => Err(JournalError::Refused {
                target: target.to_owned(),
                problem: "its name cannot be that of an object".to_owned(),
            }),
        }
    }

    fn show(&self) -> String {
        format!("ScalingPlan {}", self.target)
    }

    fn unreadable(&self, problem: impl Into<String>) -> JournalError {
        JournalError::Unreadable { place: self.show(), problem: problem.into(), source: None }
    }

    fn unanswered(&self, source: Failure) -> JournalError {
        JournalError::Unanswered { place: self.show(), source }
    }
}

/// The journal as a document, if it may be stored.
fn checked(place: &Place, journal: &Journal) -> Result<Value, JournalError> {
    let refused = |problem: String| JournalError::Refused { target: place.target.clone(), problem };
    if *journal.target != *place.target {
        return Err(refused(format!("it names the target {:?}", journal.target)));
    }
    if journal.format_version != FORMAT_VERSION {
        let version = journal.format_version;
        return Err(refused(format!("its format version is {version} and ours is {FORMAT_VERSION}")));
    }
    let value = serde_json::to_value(journal).map_err(|error| refused(error.to_string()))?;
    let bytes = value.to_string().len();
    if bytes > MAX_JOURNAL_BYTES {
        return Err(refused(format!("{bytes} bytes are more than {MAX_JOURNAL_BYTES}")));
    }
    Ok(value)
}

/// The revision that was written, if the server keeps what it was given.
fn kept(place: &Place, status: &Value, next: Revision, value: &Value) -> Result<Revision, JournalError> {
    if status["revision"] == json!(next.0) && digest(&status["journal"]) == digest(value) {
        return Ok(next);
    }
    let problem = "the API server keeps something else than what was written; is the definition of \
                   ScalingPlan (`plimsoll crd`) of this version?";
    Err(place.unreadable(problem))
}

fn read(place: &Place, uid: &str, status: &Value) -> Result<(Journal, Revision), JournalError> {
    let broken = |problem: String| place.unreadable(problem);
    // The one part that every version has.
    let version = status["journal"]["formatVersion"].as_u64();
    let version = version.ok_or_else(|| broken("it has no format version".to_owned()))?;
    if version != u64::from(FORMAT_VERSION) {
        return Err(JournalError::UnknownFormat { place: place.show(), version });
    }
    if status["digest"].as_str() != Some(&digest(&status["journal"])) {
        return Err(broken("its digest does not fit: somebody changed it".to_owned()));
    }
    // The words for people beside it are never believed, whoever wrote them.
    let mut kept = status.clone();
    if let Some(fields) = kept.as_object_mut() {
        fields.remove("about");
    }
    let status: Status = serde_json::from_value(kept).map_err(|error| broken(error.to_string()))?;
    if status.object != uid {
        return Err(broken("it is a copy of another object's".to_owned()));
    }
    if *status.journal.target != *place.target {
        let problem = format!("it is the journal of {:?}, not of {:?}", status.journal.target, place.target);
        return Err(broken(problem));
    }
    Ok((status.journal, Revision(status.revision)))
}

/// Of the document with its keys in order: the server keeps what it was given, but not in which order.
pub(super) fn digest(value: &Value) -> String {
    let mut text = String::new();
    sorted(value, &mut text);
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            text.push('{');
            for (key, value) in fields.iter().collect::<BTreeMap<_, _>>() {
                let _ = write!(text, "{}:", json!(key));
                sorted(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                sorted(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let _ = write!(text, "{value}");
        }
    }
}
