//! Direct and cached reads. A direct read asks the API server; a cached read takes what the watches hold and costs the
//! server nothing. A cached read may be older than the world, so whatever may begin something, and everything while a
//! plan runs, is read directly.
//!
//! All targets of a namespace share their watches: a list costs the server the whole namespace, whatever its selector. Of
//! pods only those with an ordinal are held (`host/src/kubernetes/watch/shared.rs`).

use crate::kubernetes::watch::{FRESH, View, Watched};
use crate::kubernetes::{ApiServer, Failure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a cached read waits for the watch to catch up before it asks the server: a page of a list may take as long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same for a relaxed read, which may be a little old.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

/// A target's watches, and when it was last read directly.
#[derive(Debug, Default)]
pub(super) struct Watches {
    /// By path. They end with the target.
    open: Mutex<BTreeMap<String, Arc<Watched>>>,
    direct: Mutex<Option<Instant>>,
}

impl Watches {
    /// Notes that a direct read begins.
    pub(super) fn read_directly(&self) {
        *self.direct.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether the cache is surely not older than the last direct read. A cached read may be as old as `FRESH`.
    fn may_serve(&self) -> bool {
        let last = *self.direct.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_none_or(|at| at.elapsed() > FRESH)
    }

    async fn view(&self, server: &Arc<ApiServer>, path: &str, patience: Duration) -> Option<View> {
        let watched = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.entry(path.to_owned()).or_insert_with(|| server.watched(path)).clone()
        };
        // Forbidden, or silent for ever: the server is asked, and its own words are reported.
        watched.recent(patience).await
    }
}

/// Where reads go: to the server, or to the cache first.
#[derive(Clone)]
pub(super) struct Reader {
    server: Arc<ApiServer>,
    /// None for a direct one.
    watches: Option<Arc<Watches>>,
    patience: Duration,
}

impl Reader {
    /// Reads the server, past every cache.
    pub(super) fn direct(server: &Arc<ApiServer>) -> Self {
        Self { server: server.clone(), watches: None, patience: PATIENCE }
    }

    /// Reads the cache, and the server where the cache may be older than the last direct read.
    pub(super) fn cached(server: &Arc<ApiServer>, watches: &Arc<Watches>) -> Self {
        let kept = watches.may_serve().then(|| watches.clone());
        Self { server: server.clone(), watches: kept, patience: PATIENCE }
    }

    /// Reads the cache however shortly after a direct read: for facts that do not change from one moment to the next.
    pub(super) fn relaxed(server: &Arc<ApiServer>, watches: &Arc<Watches>) -> Self {
        Self { server: server.clone(), watches: Some(watches.clone()), patience: SHORT_PATIENCE }
    }

    /// Whether it reads past every cache.
    pub(super) fn is_direct(&self) -> bool {
        self.watches.is_none()
    }

    /// All objects below a path.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        self.some(path, |_| true).await
    }

    /// All objects below a path, as they are held: of some there are thousands, and nobody changes them.
    pub(super) async fn shared(&self, path: &str) -> Result<Vec<Arc<Value>>, Failure> {
        match self.view(path).await {
            Some(view) => Ok(view.objects.values().cloned().collect()),
            None => Ok(self.server.list(path, "").await?.into_iter().map(Arc::new).collect()),
        }
    }

    /// Those of which this holds.
    pub(super) async fn some(
        &self,
        path: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Vec<Value>, Failure> {
        match self.view(path).await {
            Some(view) => Ok(cloned(view.objects.values().filter(|object| fits(object)))),
            None => Ok(self.server.list(path, "").await?.into_iter().filter(fits).collect()),
        }
    }

    /// Those of a namespace whose names begin so and whose labels fit: the selector in the server's words, and in ours. Of
    /// thousands that are cached only these are examined.
    pub(super) async fn named(
        &self,
        path: &str,
        (namespace, beginnings): (&str, &[String]),
        (selector, fits): (&str, impl Fn(&Value) -> bool),
    ) -> Result<Vec<Value>, Failure> {
        if let Some(view) = self.view(path).await {
            // By name: one may begin as two do.
            let found: BTreeMap<_, _> = beginnings
                .iter()
                .flat_map(|beginning| {
                    let key = format!("{namespace}/{beginning}");
                    view.objects.range(key.clone()..).take_while(move |(name, _)| name.starts_with(&key))
                })
                .collect();
            return Ok(cloned(found.into_values().filter(|object| fits(object))));
        }
        let is_named = |object: &Value| {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            beginnings.iter().any(|beginning| name.starts_with(beginning)) && fits(object)
        };
        Ok(self.server.list(path, selector).await?.into_iter().filter(is_named).collect())
    }

    async fn view(&self, path: &str) -> Option<View> {
        self.watches.as_ref()?.view(&self.server, path, self.patience).await
    }

    /// One object below a path, with its namespace (empty for what has none). One that is not cached is read directly.
    pub(super) async fn read(&self, path: &str, namespace: &str, name: &str) -> Result<Value, Failure> {
        let key = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        let view = self.view(path).await;
        match view.as_ref().and_then(|view| view.objects.get(&key)) {
            Some(object) => Ok(Value::clone(object)),
            None => self.server.read(&format!("{path}/{name}")).await,
        }
    }
}

fn cloned<'a>(objects: impl Iterator<Item = &'a Arc<Value>>) -> Vec<Value> {
    objects.map(|object| Value::clone(object)).collect()
}
