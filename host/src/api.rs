//! HTTP: reads only, until there is authentication (`decisions.md` D28).

use crate::daemon::Published;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use std::net::SocketAddr;

/// Listens and serves until the process ends.
///
/// # Errors
/// When the address cannot be used.
pub async fn listen(address: SocketAddr, published: Published) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/v1/targets", get(targets))
        .with_state(published);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

async fn targets(State(published): State<Published>) -> axum::Json<serde_json::Value> {
    let view = published.get();
    axum::Json(serde_json::to_value(view.targets.values().collect::<Vec<_>>()).unwrap_or_default())
}
