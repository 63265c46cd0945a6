//! The cache of a watch, and how old it is.

use crate::kubernetes::Failure;
use serde_json::Value;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// What is older says nothing any more: two bookmarks were missed, the stream was opened again, and that failed too.
const TOO_OLD: Duration = Duration::from_secs(300);

/// What is seen of all objects at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// The objects, by `namespace/name` (or the name, of what has no namespace).
    pub objects: Arc<BTreeMap<String, Arc<Value>>>,
    /// For how long nothing was heard from the server: what is seen may be older than the world by so much.
    pub age: Duration,
}

/// The objects, behind a lock that is held for a moment only.
#[derive(Debug)]
pub(super) struct Store {
    inner: Mutex<Inner>,
    changes: watch::Sender<u64>,
    /// Told whenever there is news of how old this is, a change or not.
    heard: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    objects: Arc<BTreeMap<String, Arc<Value>>>,
    /// When the server was heard last; none before the first list.
    heard: Option<Instant>,
    /// What is wrong since.
    problem: Option<Problem>,
}

#[derive(Debug)]
struct Problem {
    words: String,
    /// The server does not let us see this, however long we wait.
    barred: bool,
}

impl Default for Store {
    fn default() -> Self {
        Self { inner: Mutex::default(), changes: watch::Sender::new(0), heard: Notify::new() }
    }
}

impl Store {
    pub(super) fn view(&self, now: Instant) -> Result<View, String> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let why = inner.problem.as_ref().map_or_else(String::new, |problem| format!(": {}", problem.words));
        let Some(heard) = inner.heard else { return Err(format!("not listed yet{why}")) };
        let age = now.duration_since(heard);
        if age > TOO_OLD {
            return Err(format!("nothing was heard for {} s{why}", age.as_secs()));
        }
        Ok(View { objects: inner.objects.clone(), age })
    }

    /// What is seen, as soon as it is at most as old as this; none where the server does not let us see it.
    pub(super) async fn recent(&self, within: Duration) -> Option<View> {
        loop {
            let mut heard = pin!(self.heard.notified());
            // From here on no change is missed.
            heard.as_mut().enable();
            match self.view(Instant::now()) {
                Ok(view) if view.age <= within => return Some(view),
                Err(_) if self.is_barred() => return None,
                Ok(_) | Err(_) => heard.await,
            }
        }
    }

    /// When the server was heard last.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).heard
    }

    /// Whether the server said that we may not see this.
    fn is_barred(&self) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.heard.is_none() && inner.problem.as_ref().is_some_and(|problem| problem.barred)
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Everything was read, as it was at this moment or later.
    pub(super) fn listed(&self, objects: impl Iterator<Item = Value>, now: Instant) {
        let objects = objects.filter_map(|object| Some((key(&object)?, Arc::new(object)))).collect();
        self.change(now, |inner| inner.objects = Arc::new(objects));
    }

    pub(super) fn put(&self, object: Value, now: Instant) {
        let Some(key) = key(&object) else { return };
        self.change(now, |inner| {
            Arc::make_mut(&mut inner.objects).insert(key, Arc::new(object));
        });
    }

    pub(super) fn remove(&self, object: &Value, now: Instant) {
        let Some(key) = key(object) else { return };
        self.change(now, |inner| {
            Arc::make_mut(&mut inner.objects).remove(&key);
        });
    }

    /// Nothing has changed, and the server says so.
    pub(super) fn fresh(&self, now: Instant) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        (inner.heard, inner.problem) = (Some(now), None);
        drop(inner);
        self.heard.notify_waiters();
    }

    /// The server did not tell. What was seen grows old; what we may not see is not seen from now on, however fresh it
    /// was: forbidden is not empty, and is not old either.
    pub(super) fn failed(&self, failure: &Failure) {
        let barred = match failure {
            Failure::Forbidden { .. } | Failure::NotFound { .. } | Failure::Invalid { .. } => true,
            Failure::Conflict { .. }
            | Failure::Unauthorized { .. }
            | Failure::Busy { .. }
            | Failure::Denied { .. }
            | Failure::Expired { .. }
            | Failure::Behind { .. }
            | Failure::NotSent { .. }
            | Failure::Unknown { .. } => false,
        };
        {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.problem = Some(Problem { words: failure.to_string(), barred });
            if barred {
                inner.heard = None;
            }
        }
        if barred {
            self.heard.notify_waiters();
            self.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    fn change(&self, now: Instant, change: impl FnOnce(&mut Inner)) {
        {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut inner);
            (inner.heard, inner.problem) = (Some(now), None);
        }
        self.heard.notify_waiters();
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

fn key(object: &Value) -> Option<String> {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str()?;
    Some(metadata["namespace"].as_str().map_or_else(|| name.to_owned(), |space| format!("{space}/{name}")))
}
