//! An API server for tests: on loopback, spoken to over real connections, answering as a test scripts it or as a
//! store with compare-and-set does.
#![allow(clippy::unwrap_used, reason = "a test may end here")]

use super::{Access, ApiServer};
use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// One request as it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Received {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) kind: String,
    pub(crate) body: Value,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Json(u16, Value),
    /// A pause is asked for, in seconds.
    Later(u64),
    Text(u16, &'static str),
    /// No answer ever.
    Hang,
    /// The connection is cut before an answer.
    Reset,
    /// The connection is cut within the answer.
    Torn(u16, &'static str),
    /// An answer without an end.
    Endless,
}

impl Reply {
    pub(crate) fn status(code: u16, message: &str) -> Self {
        Self::Json(
            code,
            json!({ "kind": "Status", "code": code, "message": message, "details": { "name": "x" } }),
        )
    }
}

type Script = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

pub(crate) struct Scripted {
    home: tempfile::TempDir,
    calls: Arc<Mutex<Vec<Received>>>,
    script: Arc<Mutex<Script>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    pub(crate) async fn start(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        crate::tls::install_provider();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("kubeconfig"), kubeconfig(port, "one")).unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Arc::new(script)));
        let task = tokio::spawn(serve(listener, calls.clone(), script.clone()));
        Self { home, calls, script, task }
    }

    /// Answers one after the other; the last one again and again.
    pub(crate) async fn answering(replies: Vec<Reply>) -> Self {
        let next = Mutex::new(0_usize);
        Self::start(move |_| {
            let mut next = next.lock().unwrap();
            let reply = replies.get(*next).or(replies.last()).unwrap().clone();
            *next += 1;
            reply
        })
        .await
    }

    pub(crate) fn script(&self, script: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    pub(crate) fn access(&self) -> Access {
        Access { kubeconfig: Some(self.home.path().join("kubeconfig")), context: None }
    }

    pub(crate) async fn client(&self) -> ApiServer {
        ApiServer::open(self.access()).await.unwrap()
    }

    pub(crate) fn calls(&self) -> Vec<Received> {
        self.calls.lock().unwrap().clone()
    }

    /// Methods and paths of all calls so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.calls().iter().map(|call| format!("{} {}", call.method, call.path)).collect()
    }
}

fn kubeconfig(port: u16, token: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": format!("http://127.0.0.1:{port}") } }],
        "users": [{ "name": "test", "user": { "token": token } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
    })
    .to_string()
}

async fn serve(
    listener: tokio::net::TcpListener,
    calls: Arc<Mutex<Vec<Received>>>,
    script: Arc<Mutex<Script>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (calls, script) = (calls.clone(), script.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, calls.clone(), script.clone()));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<hyper::body::Incoming>,
    calls: Arc<Mutex<Vec<Received>>>,
    script: Arc<Mutex<Script>>,
) -> Result<Response<Body>, io::Error> {
    let (head, body) = request.into_parts();
    let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let kind = head.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap()).to_owned();
    let path = head.uri.to_string();
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    let received = Received { method: head.method.to_string(), path, kind, body };
    calls.lock().unwrap().push(received.clone());
    let script = script.lock().unwrap().clone();
    match script(&received) {
        Reply::Hang => std::future::pending().await,
        reply @ (Reply::Json(..)
        | Reply::Later(_)
        | Reply::Text(..)
        | Reply::Reset
        | Reply::Torn(..)
        | Reply::Endless) => respond(reply),
    }
}

/// A reply as it goes over the wire; one that never comes is not for here.
pub(crate) fn respond(reply: Reply) -> Result<Response<Body>, io::Error> {
    let build = |status: u16, body: Body| Ok(Response::builder().status(status).body(body).unwrap());
    match reply {
        Reply::Json(status, value) => build(status, Body::from(value.to_string())),
        Reply::Text(status, text) => build(status, Body::from(text)),
        Reply::Later(seconds) => {
            let response = Response::builder().status(429).header("Retry-After", seconds.to_string());
            Ok(response.body(Body::from("{}")).unwrap())
        }
        Reply::Hang | Reply::Reset => Err(io::Error::other("reset as scripted")),
        Reply::Torn(status, text) => build(status, Body::new(Pieces { first: Some(text), endless: false })),
        Reply::Endless => build(200, Body::new(Pieces { first: Some("{\"a\":\""), endless: true })),
    }
}

/// A body that breaks off, or never ends.
struct Pieces {
    first: Option<&'static str>,
    endless: bool,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, io::Error>>> {
        let piece = match self.first.take() {
            Some(text) => Ok(hyper::body::Frame::data(Bytes::from_static(text.as_bytes()))),
            None if self.endless => Ok(hyper::body::Frame::data(Bytes::from_static(&[b'x'; 64 << 10]))),
            None => Err(io::Error::other("torn as scripted")),
        };
        Poll::Ready(Some(piece))
    }
}

/// Objects with what the real server checks: resourceVersion and uid of a write, `status` and `scale` apart.
#[derive(Clone, Default)]
pub(crate) struct Objects {
    objects: BTreeMap<String, Value>,
    version: u64,
}

impl Objects {
    /// Puts an object there as somebody else would, with a new uid where it has none, and the namespace of its path.
    pub(crate) fn put(&mut self, path: &str, mut object: Value) {
        self.version += 1;
        let uid =
            object["metadata"]["uid"].as_str().map_or_else(|| format!("uid-{}", self.version), str::to_owned);
        object["metadata"]["uid"] = json!(uid);
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let below = path.split_once("/namespaces/").and_then(|(_, rest)| rest.split_once('/'));
        if let Some((namespace, _)) = below {
            object["metadata"]["namespace"] = json!(namespace);
        }
        self.objects.insert(path.to_owned(), object);
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Value> {
        self.objects.get(path)
    }

    pub(crate) fn remove(&mut self, path: &str) {
        self.objects.remove(path);
    }

    pub(crate) fn answer(&mut self, call: &Received) -> Reply {
        let whole = call.path.split('?').next().unwrap_or_default();
        let (path, part) = match whole.rsplit_once('/') {
            Some((path, part @ ("status" | "scale"))) => (path, part),
            Some(_) | None => (whole, ""),
        };
        match call.method.as_str() {
            "GET" => self.read(path),
            "POST" => self.create(path, call.body.clone()),
            _ => self.change(path, part, call),
        }
    }

    fn read(&self, path: &str) -> Reply {
        if let Some(object) = self.objects.get(path) {
            return Reply::Json(200, object.clone());
        }
        let below = format!("{path}/");
        let is_item = |key: &str| key.strip_prefix(&below).is_some_and(|name| !name.contains('/'));
        let items: Vec<&Value> =
            self.objects.iter().filter(|(key, _)| is_item(key)).map(|(_, it)| it).collect();
        // A collection ends in the plural of a kind, an object in a name: the tests' names have a dash.
        if path.rsplit('/').next().is_some_and(|last| !last.contains('-')) {
            return Reply::Json(200, json!({ "kind": "SomeList", "metadata": {}, "items": items }));
        }
        Reply::status(404, "not found")
    }

    fn create(&mut self, path: &str, mut object: Value) -> Reply {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let path = format!("{path}/{name}");
        if self.objects.contains_key(&path) {
            return Reply::status(409, "already exists");
        }
        object.as_object_mut().unwrap().remove("status");
        self.put(&path, object);
        Reply::Json(201, self.objects[&path].clone())
    }

    fn change(&mut self, path: &str, part: &str, call: &Received) -> Reply {
        let Some(now) = self.objects.get(path).cloned() else { return Reply::status(404, "not found") };
        for key in ["uid", "resourceVersion"] {
            let wanted = &call.body["metadata"][key];
            if !wanted.is_null() && *wanted != now["metadata"][key] {
                return Reply::status(409, "the object has been modified");
            }
        }
        let mut next = now.clone();
        match (call.method.as_str(), part) {
            ("PUT", "status") => next["status"] = call.body["status"].clone(),
            ("PATCH", "scale") => next["spec"]["replicas"] = call.body["spec"]["replicas"].clone(),
            ("PATCH", _) => merge(&mut next, &call.body),
            _ => return Reply::status(405, "not here"),
        }
        if call.path.contains("dryRun=All") {
            return Reply::Json(200, next);
        }
        if next["spec"] != now["spec"] {
            let generation = now["metadata"]["generation"].as_u64().unwrap_or(0);
            next["metadata"]["generation"] = json!(generation + 1);
        }
        self.put(path, next);
        let now = &self.objects[path];
        if part == "scale" {
            let replicas = &now["spec"]["replicas"];
            return Reply::Json(
                200,
                json!({ "kind": "Scale", "metadata": now["metadata"], "spec": { "replicas": replicas } }),
            );
        }
        Reply::Json(200, now.clone())
    }
}

/// RFC 7386.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key.as_str()], value);
        }
    }
}
