//! Bounds HTTP connections in number, in time, and in what they may send. A hostile client blocks its own place for a
//! while and nothing else.

use axum::Router;
use axum::http::{HeaderName, HeaderValue};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Clients at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 64;
/// How long the head of a request may take.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// How long a connection may take in all, its slow reader included.
const DEADLINE: Duration = Duration::from_secs(60);
/// Bytes of a request's head. No request has a body that is read. hyper asks before it reads on, and may read as
/// much again: with this it is 64 KiB at most.
const MAX_REQUEST: usize = 32 << 10;

/// Serves until the process ends.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let router = router.layer(axum::middleware::map_response(plain_words));
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    if let Ok(Err(error)) = tokio::time::timeout(DEADLINE, one(stream, router)).await {
                        tracing::debug!(%error, "HTTP connection");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting HTTP connections");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// One request a connection: a client that keeps its place would keep it from others.
async fn one(stream: TcpStream, router: Router) -> hyper::Result<()> {
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(MAX_REQUEST)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}

/// No browser is to guess what an answer is, or to keep it.
async fn plain_words(mut response: axum::response::Response) -> axum::response::Response {
    let headers = response.headers_mut();
    for (name, value) in [("x-content-type-options", "nosniff"), ("cache-control", "no-store")] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}
