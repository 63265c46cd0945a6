//! The handlers of HTTP reads: readiness, metrics, targets, snapshots, policies, problems and decisions.

use super::{Shown, refuse};
use crate::audit::{self, Entry, EntryBody, ReadError};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use plimsoll_core::explain::explain;
use plimsoll_wire::record::Record;
use serde::Deserialize;

/// Decisions in one answer, unless asked otherwise.
const DECISIONS: usize = 50;
/// And at most.
const MAX_DECISIONS: usize = 1_000;

pub(super) async fn ready(State(shown): State<Shown>) -> Response {
    let reasons = not_ready(&shown);
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = serde_json::json!({ "ready": reasons.is_empty(), "reasons": reasons });
    // A follower is as ready as the leader: it watches, and takes over.
    if let Some(standing) = &shown.published.get().standing {
        response["leads"] = standing.leads.into();
        response["leader"] = standing.leader.clone().into();
    }
    (status, Json(response)).into_response()
}

/// Why nobody should rely on us yet: a document that was refused, a target that was never read or cannot be run, a
/// policy that a target names and that does not decide for it.
fn not_ready(shown: &Shown) -> Vec<String> {
    let view = shown.published.get();
    let Some(refused) = &view.refused else {
        return vec!["the targets' documents have not been read yet".to_owned()];
    };
    let unread = view.targets.keys().filter(|key| !view.snapshots.contains_key(*key));
    let mut reasons: Vec<String> = unread.map(|key| format!("target {key} has not been read yet")).collect();
    let unbuilt = view.unbuilt.iter().filter(|(key, _)| !view.targets.contains_key(*key));
    reasons.extend(refused.iter().map(|line| format!("refused: {line}")));
    reasons.extend(unbuilt.map(|(key, why)| format!("target {key} cannot be run: {why}")));
    let (wrong, loading) = shown.published.stopping_policies();
    reasons.extend(wrong.into_iter().chain(loading));
    reasons
}

pub(super) async fn metrics(State(shown): State<Shown>) -> Response {
    let view = shown.published.get();
    let (policies, is_readable) = (shown.published.policies(), shown.published.policy_directory().is_none());
    let text = crate::metrics::exposition(&view, &policies, is_readable, shown.published.counters());
    ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

pub(super) async fn targets(State(shown): State<Shown>) -> Response {
    Json(shown.published.get().targets.values().collect::<Vec<_>>()).into_response()
}

pub(super) async fn target(
    State(shown): State<Shown>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let view = shown.published.get();
    match view.targets.get(&*format!("{namespace}/{name}")) {
        Some(status) => Json(status).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "there is no such target; /v1/targets lists them"),
    }
}

pub(super) async fn snapshot(
    State(shown): State<Shown>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let view = shown.published.get();
    match view.snapshots.get(&*format!("{namespace}/{name}")) {
        Some(snapshot) => Json(snapshot).into_response(),
        None => {
            refuse(StatusCode::NOT_FOUND, "there is no snapshot of such a target yet; /v1/targets lists them")
        }
    }
}

pub(super) async fn policies(State(shown): State<Shown>) -> Response {
    Json(shown.published.policies()).into_response()
}

pub(super) async fn problems(State(shown): State<Shown>) -> Response {
    Json(&shown.published.get().problems).into_response()
}

/// What is asked of the audit log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    target: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn decisions(
    State(shown): State<Shown>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let Ok(Query(wanted)) = wanted else {
        return refuse(StatusCode::BAD_REQUEST, "write it as /v1/decisions?target=NAMESPACE/NAME&limit=50");
    };
    let limit = wanted.limit.unwrap_or(DECISIONS);
    if limit == 0 || limit > MAX_DECISIONS {
        return refuse(StatusCode::BAD_REQUEST, &format!("limit: 1 to {MAX_DECISIONS}"));
    }
    if let Some(target) = &wanted.target
        && !shown.published.get().targets.contains_key(&**target)
    {
        return refuse(StatusCode::NOT_FOUND, "there is no such target; /v1/targets lists them");
    }
    let Ok(place) = shown.readers.clone().try_acquire_owned() else {
        return refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "the audit log is being read for somebody else; try again",
        );
    };
    let audit = shown.audit.clone();
    let read = tokio::task::spawn_blocking(move || {
        let found = newest(&audit, wanted.target.as_deref(), limit);
        drop(place);
        found
    });
    match read.await {
        Ok(Ok(records)) => Json(records.iter().map(explained).collect::<Vec<_>>()).into_response(),
        Ok(Err(error)) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the audit log was not read to its end"),
    }
}

fn newest(dir: &std::path::Path, target: Option<&str>, limit: usize) -> Result<Vec<Record>, ReadError> {
    let is_wanted = |entry: &Entry| match &entry.body {
        EntryBody::Record(record) => {
            matches!(record.body, plimsoll_wire::record::Body::Decision(_))
                && target.is_none_or(|target| *record.target == *target)
        }
        EntryBody::Event(_) => false,
    };
    let found = audit::newest(dir, limit, is_wanted)?;
    Ok(found
        .into_iter()
        .filter_map(|entry| match entry.body {
            EntryBody::Record(record) => Some(*record),
            EntryBody::Event(_) => None,
        })
        .collect())
}

/// A record with its sentences, oldest first as in the log.
fn explained(record: &Record) -> serde_json::Value {
    serde_json::json!({ "decisionId": record.decision_id, "target": record.target, "sentences": explain(record), "record": record })
}
