//! HTTP: reads only, until there is authentication (`decisions.md` D28).

mod read;
mod serve;

use crate::published::Published;
use axum::Router;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What requests read from.
#[derive(Clone)]
struct Shown {
    published: Published,
    /// The audit log.
    audit: Arc<Path>,
    /// Who may read the audit log now: one reading may hold a whole segment in memory.
    readers: Arc<Semaphore>,
}

/// Listens and serves until the process ends.
///
/// # Errors
/// When the address cannot be used.
pub async fn listen(address: SocketAddr, published: Published, audit: &Path) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let shown = Shown { published, audit: Arc::from(audit), readers: Arc::new(Semaphore::new(1)) };
    tokio::spawn(serve::serve(listener, router(shown)));
    Ok(())
}

fn router(shown: Shown) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(read::ready))
        .route("/metrics", get(read::metrics))
        .route("/v1/targets", get(read::targets))
        .route("/v1/targets/{namespace}/{name}", get(read::target))
        .route("/v1/targets/{namespace}/{name}/snapshot", get(read::snapshot))
        .route("/v1/policies", get(read::policies))
        .route("/v1/problems", get(read::problems))
        .route("/v1/decisions", get(read::decisions))
        .fallback(nothing_here)
        .method_not_allowed_fallback(reads_only)
        .with_state(shown)
}

/// An error that says what it is and what to do.
fn refuse(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(serde_json::json!({ "error": message }))).into_response()
}

async fn nothing_here(method: Method) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return reads_only().await;
    }
    refuse(
        StatusCode::NOT_FOUND,
        "there are /healthz, /readyz, /metrics, /v1/targets, /v1/targets/NAMESPACE/NAME, \
         /v1/targets/NAMESPACE/NAME/snapshot, /v1/policies, /v1/problems and /v1/decisions",
    )
}

async fn reads_only() -> Response {
    let mut response = refuse(
        StatusCode::METHOD_NOT_ALLOWED,
        "this address serves reads only; what changes something goes over the control socket, by the `plimsoll` command",
    );
    response.headers_mut().insert("allow", axum::http::HeaderValue::from_static("GET, HEAD"));
    response
}
