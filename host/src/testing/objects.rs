//! The objects of an API server with the checks of the real one, and its replies as they go over the wire.
#![allow(clippy::unwrap_used, reason = "a test may end here")]

use axum::body::{Body, Bytes};
use hyper::Response;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// One request as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// `GET`, `PUT`, ...
    pub method: String,
    /// With the query.
    pub path: String,
    /// The content type; empty where there is none.
    pub kind: String,
    /// The body; null where it is no JSON.
    pub body: Value,
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A status with a document.
    Json(u16, Value),
    /// A pause is asked for, in seconds.
    Later(u64),
    /// A status with a text.
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
    /// A status as the API server says it.
    #[must_use]
    pub fn status(code: u16, message: &str) -> Self {
        Self::Json(
            code,
            json!({ "kind": "Status", "code": code, "message": message, "details": { "name": "x" } }),
        )
    }
}

/// A reply as it goes over the wire; one that never comes is not for here.
///
/// # Errors
/// Where the connection is to be cut.
pub fn respond(reply: Reply) -> Result<Response<Body>, io::Error> {
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
#[derive(Clone, Debug, Default)]
pub struct Objects {
    objects: BTreeMap<String, Value>,
    version: u64,
}

impl Objects {
    /// Puts an object there as somebody else would, with a new uid where it has none, and the namespace of its path.
    pub fn put(&mut self, path: &str, mut object: Value) {
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

    /// An object by its path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.objects.get(path)
    }

    /// Takes an object away, whoever owns it.
    pub fn remove(&mut self, path: &str) {
        self.objects.remove(path);
    }

    /// Does what a request asks for, and says what the server would say.
    pub fn answer(&mut self, call: &Received) -> Reply {
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
