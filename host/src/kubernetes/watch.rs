//! Watches the objects of one kind: a list, then a stream of changes. A stream may end, expire, fall silent, be torn or
//! be refused (`CONTRIBUTING.md`, Faults of the API server).
//!
//! The cache of a watch may be older than the world, and says how old it is. It serves status, reads that begin
//! nothing, and waking up on changes. Before anything is written the object itself is read.

mod shared;
mod store;

pub(super) use shared::Shared;
pub use store::View;

use super::failure::{Answered, of_answer};
use super::{ApiServer, Failure, Incoming};
use axum::body::Bytes;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// For how long the server is asked to keep a stream open; then it is opened again where it stood.
const STREAM: Duration = Duration::from_secs(290);
/// How long the cache counts without news from the server.
pub const FRESH: Duration = Duration::from_secs(90);
/// The longest that a stream may say nothing. The server sends a bookmark a minute, but none of a kind of which it has
/// heard nothing itself since it runs, where its store does not tell it how far it is (etcd before 3.4.31 and 3.5.13). Then
/// everything is read again, which also shows whether the connection lives: soon enough that what is seen stays good
/// enough to go by ([`FRESH`]), and not of all kinds at once.
const SILENCE: Duration = Duration::from_secs(70);
/// A stream has at least so long, also after a list that took longer than all that.
const LEAST: Duration = Duration::from_secs(20);
/// Over how long they are spread.
const SPREAD: Duration = Duration::from_secs(10);
/// The most bytes of one change: an object's own limit in the store is a tenth of it.
const MAX_CHANGE: usize = 16 << 20;
/// Streams that do not begin, in a row, before the list is read again: a server may answer the same wrong thing for
/// ever to the same question.
const STARTS: u32 = 3;
/// The first wait after a failure; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait after a failure. All watchers of a server that comes back are spread over it.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What becomes of an object before it is kept: what nobody looks at need not be held in memory. Of `null` nothing is.
pub type Keep = fn(Value) -> Value;

/// Objects that are watched. The watch ends with the last handle.
#[derive(Debug)]
pub struct Watched {
    store: Arc<Store>,
    task: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watched {
    /// Begins to watch the objects below a path that a label selector fits (all, where it is empty).
    #[must_use]
    pub fn start(server: Arc<ApiServer>, path: &str, selector: &str) -> Arc<Self> {
        Self::keeping(server, path, selector, |object| object)
    }

    /// The same, and only what `keep` leaves of each object is held.
    #[must_use]
    pub fn keeping(server: Arc<ApiServer>, path: &str, selector: &str, keep: Keep) -> Arc<Self> {
        let store = Arc::new(Store::default());
        let watch = Watch {
            server,
            path: path.to_owned(),
            selector: selector.to_owned(),
            keep,
            store: store.clone(),
        };
        let task = tokio::spawn(watch.run()).abort_handle();
        Arc::new(Self { store, task })
    }

    /// What is seen now.
    ///
    /// # Errors
    /// Why nothing is known, in words: never listed yet, forbidden, or too old.
    pub fn view(&self) -> Result<View, String> {
        self.store.view(Instant::now())
    }

    /// The cache, once it is fresh enough. Where it is not, this waits: the list is being read again already, once for
    /// all who wait. None after so long, and where the server does not let us see it.
    pub async fn recent(&self, patience: Duration) -> Option<View> {
        tokio::time::timeout(patience, self.store.recent(FRESH)).await.ok().flatten()
    }

    /// Waits for the next change. What happens between two calls is missed; to miss nothing, see [`Self::changes`].
    pub async fn changed(&self) {
        // The sender lives as long as we do.
        let _ = self.changes().changed().await;
    }

    /// A counter of the changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.store.changes()
    }
}

/// The task that watches.
struct Watch {
    server: Arc<ApiServer>,
    path: String,
    selector: String,
    keep: Keep,
    store: Arc<Store>,
}

/// How a stream ended.
#[derive(Debug, PartialEq)]
enum Ended {
    /// As streams do: it goes on where it stood.
    Over,
    /// The server no longer keeps the version that it went on from: everything is read again.
    Expired,
    /// The server was silent for too long: everything is read again.
    Silent,
}

impl Watch {
    async fn run(self) {
        let mut failed: u32 = 0;
        loop {
            let now = Instant::now();
            let (items, mut version) =
                match self.server.list_keeping(&self.path, &self.selector, self.keep).await {
                    Ok(listed) => listed,
                    Err(failure) => {
                        self.store.failed(&failure);
                        self.rest(&mut failed, &failure).await;
                        continue;
                    }
                };
            self.store.listed(items.into_iter(), now);
            failed = 0;
            self.follow(&mut version, &mut failed).await;
        }
    }

    /// Follows from a version on, stream after stream, until everything has to be read again.
    async fn follow(&self, version: &mut String, failed: &mut u32) {
        let mut starts = 0;
        loop {
            let before = version.clone();
            match self.stream(version).await {
                Ok(Ended::Over) => {}
                Ok(Ended::Expired | Ended::Silent) | Err(Failure::Expired { .. }) => return,
                Err(failure) => {
                    self.store.failed(&failure);
                    starts = if *version == before { starts + 1 } else { 0 };
                    self.rest(failed, &failure).await;
                    if starts >= STARTS {
                        return;
                    }
                    continue;
                }
            }
            (starts, *failed) = (0, 0);
        }
    }

    /// One stream, from a version on, which moves on with each change.
    async fn stream(&self, version: &mut String) -> Result<Ended, Failure> {
        let mut body = self.server.stream(&self.question(version)?).await?;
        let mut line: Vec<u8> = Vec::new();
        let (silence, least) = (SILENCE + SPREAD / 1_000 * self.share(), Instant::now() + LEAST);
        loop {
            let until = self.store.heard().map_or(least, |heard| (heard + silence).max(least));
            let bytes = match tokio::time::timeout_at(until, next(&mut body)).await {
                Ok(Ok(Some(bytes))) => bytes,
                Ok(Ok(None)) => break,
                Ok(Err(failure)) => return Err(failure),
                Err(_) => return Ok(Ended::Silent),
            };
            let mut rest = &*bytes;
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let (head, tail) = rest.split_at(end);
                line.extend_from_slice(head);
                rest = tail.get(1..).unwrap_or_default();
                let whole = std::mem::take(&mut line);
                if !whole.is_empty() && self.take(&whole, version)? == Ended::Expired {
                    return Ok(Ended::Expired);
                }
            }
            line.extend_from_slice(rest);
            if line.len() > MAX_CHANGE {
                return Err(Failure::unknown("a change is larger than any object"));
            }
        }
        if line.is_empty() { Ok(Ended::Over) } else { Err(Failure::unknown("a change broke off")) }
    }

    fn question(&self, version: &str) -> Result<String, Failure> {
        let seconds = STREAM.as_secs().to_string();
        let mut query = vec![
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", &seconds),
            ("resourceVersion", version),
        ];
        if !self.selector.is_empty() {
            query.push(("labelSelector", &self.selector));
        }
        let url = reqwest::Url::parse_with_params(&format!("http://watch.invalid{}", self.path), query)
            .map_err(|error| Failure::not_sent(error.to_string()))?;
        Ok(format!("{}?{}", url.path(), url.query().unwrap_or_default()))
    }

    /// One line of a stream.
    fn take(&self, line: &[u8], version: &mut String) -> Result<Ended, Failure> {
        let mut change: Value = serde_json::from_slice(line)
            .map_err(|error| Failure::unknown(format!("a change that cannot be read: {error}")))?;
        let object = change["object"].take();
        let now = Instant::now();
        let next = object["metadata"]["resourceVersion"].as_str().map(ToOwned::to_owned);
        match change["type"].as_str().unwrap_or_default() {
            "BOOKMARK" => self.store.fresh(now),
            "ADDED" | "MODIFIED" => {
                let (name, namespace) = (&object["metadata"]["name"], &object["metadata"]["namespace"]);
                let place = json!({ "metadata": { "name": name, "namespace": namespace } });
                let kept = (self.keep)(object);
                if kept.is_null() { self.store.remove(&place, now) } else { self.store.put(kept, now) }
            }
            "DELETED" => self.store.remove(&object, now),
            "ERROR" => {
                let status = u16::try_from(object["code"].as_u64().unwrap_or(500)).unwrap_or(500);
                let body = object.to_string();
                let answered = Answered { status, retry_after: None, body: body.as_bytes() };
                return match of_answer(&answered) {
                    Err(Failure::Expired { .. }) => Ok(Ended::Expired),
                    Err(failure) => Err(failure),
                    Ok(_) => Err(Failure::unknown("an error that is none")),
                };
            }
            other => return Err(Failure::unknown(format!("a change of the kind {other:?}"))),
        }
        let next = next.filter(|next| !next.is_empty());
        *version = next.ok_or_else(|| Failure::unknown("a change without a version"))?;
        Ok(Ended::Over)
    }

    /// Waits after a failure: longer each time, and not all watchers as long.
    async fn rest(&self, failed: &mut u32, failure: &Failure) {
        if *failed == 0 {
            tracing::warn!(path = %self.path, "watching: {failure}");
        }
        let wait = FIRST_WAIT.saturating_mul(1 << (*failed).min(6)).min(LONGEST_WAIT);
        *failed = failed.saturating_add(1);
        // Between half of it and all of it.
        tokio::time::sleep(wait / 2 + wait / 2_000 * self.share()).await;
    }

    /// Any number of thousandths. Nothing is decided by this.
    fn share(&self) -> u32 {
        u32::try_from(RandomState::new().hash_one(&self.path) % 1_000).unwrap_or(0)
    }
}

/// The next bytes of a stream; none at its end.
async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Failure> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(Failure::unknown(format!("the stream broke off: {error}"))),
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "watch/tests.rs"]
mod tests;
