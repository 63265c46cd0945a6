//! An API server on loopback, spoken to over real connections, that answers as a test scripts it.
#![allow(clippy::unwrap_used, reason = "a test may end here")]

use super::objects::{Received, Reply, respond};
use crate::kubernetes::{Access, ApiServer};
use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::io;
use std::sync::{Arc, Mutex};

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
