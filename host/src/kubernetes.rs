//! The API server of a Kubernetes, behind one bounded request layer: each call has a deadline and a cap, is sent
//! once, and ends as an answer or as a [`Failure`] that says whether anything can have changed.
//!
//! Reads name no `resourceVersion`: they are quorum reads, never served from a cache that may be old.

mod access;
#[cfg(feature = "kubernetes")]
mod client;
mod failure;
pub mod managed;
mod newest;
#[cfg(not(feature = "kubernetes"))]
mod no_client;
mod scalable;
pub mod scaling_plan;
pub mod stateful_autoscaler;
pub(crate) mod structural;
#[cfg(test)]
mod tests;
pub mod watch;
pub mod wish;

pub use access::{Access, AccessError, PersonsAccess};
pub use failure::Failure;
pub use scalable::Scalable;

use access::Way;
#[cfg(feature = "kubernetes")]
use client::{Client, Incoming};
use failure::Answered;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use newest::Newest;
#[cfg(not(feature = "kubernetes"))]
use no_client::{Client, Incoming};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a read of one object may take: far above what a healthy server needs, below a cycle.
pub const READ_DEADLINE: Duration = Duration::from_secs(5);
/// How long a write may take: longer than any webhook of ours (5 s), so that its refusal is heard.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(8);
/// How long one page of a list may take.
const LIST_DEADLINE: Duration = Duration::from_secs(10);
/// The most bytes of one answer: a page of pods, at a generous 64 KiB each.
const MAX_BODY: usize = 16 << 20;
/// Objects in a page.
const PAGE: usize = 250;
/// Pages of a list: with [`PAGE`] more than the ten thousand members that a target may have.
const MAX_PAGES: usize = 50;
/// Answers of 401 in a row, or connections that did not come about, after which credentials and authorities are read
/// again: a token is renewed while it is still good, so that one is a hiccup and three are none.
const ESTRANGED: u32 = 3;
/// How often that may be: a server that is gone for an hour costs no more than this.
const ANEW: Duration = Duration::from_secs(1);
/// The longest that a server's `Retry-After` is heeded: it asks, we still have to look once in a while.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// What we call ourselves. What stands before the slash is whom the server takes for the owner of a field that a write
/// of ours set: [`managed::OURS`].
const AGENT: &str = concat!("plimsoll/", env!("CARGO_PKG_VERSION"));

/// Checked before each write: why it may not be sent, if so.
pub type Guard = Arc<dyn Fn() -> Result<(), &'static str> + Send + Sync>;

/// An API server.
pub struct ApiServer {
    way: Way,
    deadlines: Deadlines,
    link: Mutex<Link>,
    newest: Newest,
    guard: Option<Guard>,
    shared: watch::Shared,
}

#[derive(Clone, Copy)]
struct Deadlines {
    read: Duration,
    write: Duration,
    list: Duration,
}

struct Link {
    client: Client,
    /// Failures in a row that may be about who we are to each other.
    estranged: u32,
    /// When credentials were last read again.
    anew: Option<Instant>,
    busy_until: Option<Instant>,
}

/// One write, with everything that the server is to check in its body (uid, resourceVersion) and absolute values
/// only, so that a late or repeated one can do no harm.
#[derive(Clone, Copy, Debug)]
pub enum Write<'a> {
    /// A new object, below this path.
    Create(&'a str, &'a Value),
    /// The whole object, or its subresource.
    Replace(&'a str, &'a Value),
    /// A merge patch.
    Merge(&'a str, &'a Value),
    /// Server-side apply: what we claim of an object, and nothing of what others own.
    Apply(&'a str, &'a Value, Claim),
}

/// What server-side apply does about a field that somebody else owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The server refuses with a conflict.
    Ask,
    /// It becomes ours: for what is the daemon's by definition, such as its own words in a status.
    Take,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ApiServer").field("way", &self.way).finish_non_exhaustive()
    }
}

impl ApiServer {
    /// Reads the credentials. Nothing is sent yet.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read or names what is not there.
    pub async fn open(access: Access) -> Result<Self, AccessError> {
        Self::by(Way::Daemons(access)).await
    }

    /// The same, for a person with their own kubeconfig.
    ///
    /// # Errors
    /// When a kubeconfig cannot be read or names what is not there.
    pub async fn open_for_person(access: PersonsAccess) -> Result<Self, AccessError> {
        Self::by(Way::Persons(access)).await
    }

    async fn by(way: Way) -> Result<Self, AccessError> {
        let client = Client::connect(&way).await?;
        let link = Mutex::new(Link { client, estranged: 0, anew: None, busy_until: None });
        let deadlines = Deadlines { read: READ_DEADLINE, write: WRITE_DEADLINE, list: LIST_DEADLINE };
        Ok(Self {
            way,
            deadlines,
            link,
            newest: Newest::default(),
            guard: None,
            shared: watch::Shared::default(),
        })
    }

    /// The namespace that the kubeconfig's context names, where a person says none.
    #[must_use]
    pub fn default_namespace(&self) -> String {
        self.link().client.default_namespace().to_owned()
    }

    /// The same, but it sends no write that the guard refuses.
    #[must_use]
    pub fn guarded_by(mut self, guard: Guard) -> Self {
        self.guard = Some(guard);
        self
    }

    /// One without a network between: the server is in this process, and its time is not ours.
    #[cfg(all(any(test, feature = "testing"), feature = "kubernetes"))]
    #[must_use]
    pub fn over(answers: axum::Router) -> Self {
        let client = Client::over(answers);
        let link = Mutex::new(Link { client, estranged: 0, anew: None, busy_until: None });
        let deadlines = Deadlines { read: READ_DEADLINE, write: WRITE_DEADLINE, list: LIST_DEADLINE };
        let way = Way::Daemons(Access { kubeconfig: None, context: None });
        Self {
            way,
            deadlines,
            link,
            newest: Newest::default(),
            guard: None,
            shared: watch::Shared::default(),
        }
    }

    /// Reads one object as the majority of the store has it, and never an older one than was seen before.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn read(&self, path: &str) -> Result<Value, Failure> {
        let object = self.call(&Method::GET, path, None, self.deadlines.read).await?;
        self.newest.check(path, object)
    }

    /// Reads all objects below a path that a label selector fits, whole or not at all.
    ///
    /// # Errors
    /// See [`Failure`]; also when a page is missing: part of a list is no list.
    pub async fn list(&self, path: &str, selector: &str) -> Result<Vec<Value>, Failure> {
        self.list_keeping(path, selector, |object| object).await.map(|(items, _)| items)
    }

    /// The same, and of each object only what `keep` leaves, so that of thousands no more than a page is held whole; with the
    /// version of the store that it is of: what a watch goes on from.
    async fn list_keeping(
        &self,
        path: &str,
        selector: &str,
        keep: watch::Keep,
    ) -> Result<(Vec<Value>, String), Failure> {
        let mut items = Vec::new();
        let mut from = String::new();
        for _ in 0..MAX_PAGES {
            let page = page_path(path, selector, &from)?;
            let mut page = self.call(&Method::GET, &page, None, self.deadlines.list).await?;
            match page["items"].take() {
                Value::Array(some) => items.extend(some.into_iter().map(keep)),
                // Written by Go for an empty list.
                Value::Null if page["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => {}
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                    return Err(Failure::unknown("the answer is no list"));
                }
            }
            match page["metadata"]["continue"].as_str() {
                Some(next) if !next.is_empty() => from = next.to_owned(),
                Some(_) | None => {
                    let version = page["metadata"]["resourceVersion"].as_str().unwrap_or_default();
                    return Ok((items, version.to_owned()));
                }
            }
        }
        Err(Failure::unknown(format!("the list has more than {} objects", PAGE * MAX_PAGES)))
    }

    /// Sends one write, once, if the guard lets it pass. Returns what the server made of it: an admission plugin may have
    /// changed it.
    ///
    /// # Errors
    /// See [`Failure`]; after [`Failure::Unknown`] the object is read before anything else is written.
    pub async fn write(&self, write: Write<'_>) -> Result<Value, Failure> {
        if let Some(guard) = &self.guard {
            guard().map_err(Failure::not_sent)?;
        }
        self.send(write).await
    }

    /// Sends a write of the lease, past the guard: a daemon that does not lead has to write it to become the leader.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn write_lease(&self, write: Write<'_>) -> Result<Value, Failure> {
        self.send(write).await
    }

    async fn send(&self, write: Write<'_>) -> Result<Value, Failure> {
        let (method, path, kind, body) = match write {
            Write::Create(path, body) => (Method::POST, path.to_owned(), "application/json", body),
            Write::Replace(path, body) => (Method::PUT, path.to_owned(), "application/json", body),
            Write::Merge(path, body) => {
                (Method::PATCH, path.to_owned(), "application/merge-patch+json", body)
            }
            Write::Apply(path, body, claim) => {
                let path = format!("{path}?fieldManager={}&force={}", managed::OURS, claim == Claim::Take);
                (Method::PATCH, path, "application/apply-patch+yaml", body)
            }
        };
        let object = self.call(&method, &path, Some((kind, body)), self.deadlines.write).await?;
        self.newest.note(&path, &object);
        Ok(object)
    }

    async fn call(
        &self,
        method: &Method,
        path: &str,
        body: Option<(&str, &Value)>,
        within: Duration,
    ) -> Result<Value, Failure> {
        let client = self.client()?;
        let request = request(method, path, body)?;
        let answer = match tokio::time::timeout(within, exchange(client, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::unknown(format!("no answer within {} ms", within.as_millis()))),
        };
        self.note(&answer).await;
        answer
    }

    /// Opens a stream of changes. The deadline is for its beginning; how long it may be silent is the reader's to say.
    async fn stream(&self, path: &str) -> Result<Incoming, Failure> {
        let client = self.client()?;
        let request = request(&Method::GET, path, None)?;
        let opened = match tokio::time::timeout(self.deadlines.list, client.send(request)).await {
            Err(_) => Err(Failure::unknown("no answer in time")),
            Ok(Err(failure)) => Err(failure),
            Ok(Ok(response)) if response.status().is_success() => Ok(response.into_body()),
            Ok(Ok(response)) => {
                let answered = tokio::time::timeout(self.deadlines.list, answer(response)).await;
                // A success was taken above.
                Err(match answered {
                    Ok(Err(failure)) => failure,
                    Ok(Ok(_)) | Err(_) => Failure::unknown("no answer in time"),
                })
            }
        };
        self.note(&opened.as_ref().map(|_| Value::Null).map_err(Clone::clone)).await;
        opened
    }

    fn link(&self) -> std::sync::MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self) -> Result<Client, Failure> {
        let link = self.link();
        match link.busy_until.map(|until| until.saturating_duration_since(Instant::now())) {
            Some(left) if !left.is_zero() => {
                let message = "the server asked for a pause, which is not over".to_owned();
                Err(Failure::Busy { retry_after: Some(left), message })
            }
            Some(_) | None => Ok(link.client.clone()),
        }
    }

    /// Remembers what an answer says about the calls that follow.
    async fn note(&self, answer: &Result<Value, Failure>) {
        let is_due = {
            let mut link = self.link();
            link.estranged = match answer {
                // Nothing was sent: the server may show a certificate of an authority that is new to us.
                Err(Failure::Unauthorized { .. } | Failure::NotSent { .. }) => {
                    link.estranged.saturating_add(1)
                }
                Ok(_) | Err(_) => 0,
            };
            if let Err(Failure::Busy { retry_after: Some(pause), .. }) = answer {
                link.busy_until = Some(Instant::now() + (*pause).min(MAX_RETRY_AFTER));
            }
            let is_due = link.estranged >= ESTRANGED && link.anew.is_none_or(|last| last.elapsed() >= ANEW);
            if is_due {
                (link.anew, link.estranged) = (Some(Instant::now()), 0);
            }
            is_due
        };
        if !is_due {
            return;
        }
        if let Err(failure @ Failure::Unauthorized { .. }) = answer {
            tracing::error!("{failure} ({ESTRANGED} times); reading the credentials again");
        }
        match Client::connect(&self.way).await {
            Ok(client) => self.link().client = client,
            Err(error) => tracing::error!("{error}"),
        }
    }
}

fn page_path(path: &str, selector: &str, from: &str) -> Result<String, Failure> {
    let mut url = reqwest::Url::parse("http://list.invalid")
        .and_then(|base| base.join(path))
        .map_err(|error| Failure::not_sent(error.to_string()))?;
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("limit", &PAGE.to_string());
        if !selector.is_empty() {
            query.append_pair("labelSelector", selector);
        }
        if !from.is_empty() {
            query.append_pair("continue", from);
        }
    }
    Ok(format!("{}?{}", url.path(), url.query().unwrap_or_default()))
}

fn request(method: &Method, path: &str, body: Option<(&str, &Value)>) -> Result<Request<Bytes>, Failure> {
    let mut builder = Request::builder()
        .method(method)
        .uri(path)
        .header(header::USER_AGENT, AGENT)
        .header(header::ACCEPT, "application/json");
    let body = match body {
        Some((kind, value)) => {
            builder = builder.header(header::CONTENT_TYPE, kind);
            Bytes::from(value.to_string())
        }
        None => Bytes::new(),
    };
    builder.body(body).map_err(|error| Failure::not_sent(error.to_string()))
}

async fn exchange(client: Client, request: Request<Bytes>) -> Result<Value, Failure> {
    answer(client.send(request).await?).await
}

async fn answer(response: hyper::Response<Incoming>) -> Result<Value, Failure> {
    let (head, body) = response.into_parts();
    let retry_after =
        head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = Limited::new(body, MAX_BODY).collect().await;
    let body = body.map_err(|error| Failure::unknown(format!("the answer broke off: {error}")))?.to_bytes();
    failure::of_answer(&Answered {
        status: head.status.as_u16(),
        retry_after: retry_after.map(Duration::from_secs),
        body: &body,
    })
}
