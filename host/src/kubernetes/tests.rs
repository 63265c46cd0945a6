//! The client against an API server that misbehaves in every way of the table.
#![allow(clippy::unwrap_used, reason = "a test may end here")]

use super::*;
use crate::testing::objects::Reply;
use crate::testing::scripted::Scripted;
use serde_json::json;

const PATH: &str = "/apis/apps/v1/namespaces/default/statefulsets/db-x";

fn write() -> Value {
    json!({ "metadata": { "resourceVersion": "7" } })
}

/// What comes of a read and of a write when both are answered so.
async fn both(reply: Reply) -> (Result<Value, Failure>, Result<Value, Failure>, Vec<String>) {
    let server = Scripted::start(move |_| reply.clone()).await;
    let client = server.client().await;
    let read = client.read(PATH).await;
    // Another client: the pauses of the first do not concern it.
    let written = server.client().await.write(Write::Merge(PATH, &write())).await;
    (read, written, server.lines())
}

fn kind(result: &Result<Value, Failure>) -> &'static str {
    result.as_ref().map_or_else(Failure::kind, |_| "ok")
}

#[tokio::test]
async fn each_fault_is_told_from_the_others_and_no_call_is_sent_twice() {
    let rows = [
        (Reply::status(401, "who"), "unauthorized"),
        (Reply::status(404, "none"), "not-found"),
        (Reply::status(409, "modified"), "conflict"),
        (Reply::status(500, "oops"), "unknown"),
        (Reply::status(502, "bad gateway"), "unknown"),
        (Reply::status(503, "leader changed"), "unknown"),
        (Reply::status(504, "timeout"), "unknown"),
        (Reply::Later(1), "busy"),
        (Reply::Text(200, "<html>"), "unknown"),
        (Reply::Reset, "unknown"),
        (Reply::Torn(200, "{\"kind\":"), "unknown"),
        (Reply::Endless, "unknown"),
    ];
    for (reply, expected) in rows {
        let said = format!("{reply:?}");
        let (read, written, calls) = both(reply).await;
        assert_eq!((kind(&read), kind(&written)), (expected, expected), "{said}");
        assert_eq!(calls, [format!("GET {PATH}"), format!("PATCH {PATH}")], "{said}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_left_after_the_deadline_of_the_call() {
    let server = Scripted::start(|_| Reply::Hang).await;
    let short = Duration::from_millis(50);
    let client = server.client().await;
    let client = ApiServer { deadlines: Deadlines { read: short, write: short, list: short }, ..client };
    for failure in [
        client.read(PATH).await.unwrap_err(),
        client.write(Write::Merge(PATH, &write())).await.unwrap_err(),
        client.list("/api/v1/pods", "").await.unwrap_err(),
    ] {
        assert_eq!(failure, Failure::unknown("no answer within 50 ms"));
    }
}

#[tokio::test]
async fn a_write_that_was_never_sent_is_known_to_have_changed_nothing() {
    let server = Scripted::start(|_| Reply::Reset).await;
    let client = server.client().await;
    drop(server);
    // The listener goes with its task; until then it may still take a connection and cut it.
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match client.write(Write::Merge(PATH, &write())).await.unwrap_err().kind() {
            "not-sent" => break,
            other => assert!(other == "unknown" && Instant::now() < end, "{other}"),
        }
    }
}

#[tokio::test]
async fn a_pause_that_the_server_asks_for_is_kept() {
    let server = Scripted::answering(vec![Reply::Later(3600), Reply::Json(200, json!({}))]).await;
    let client = server.client().await;
    assert_eq!(client.read(PATH).await.unwrap_err().kind(), "busy");
    let Err(Failure::Busy { retry_after: Some(left), .. }) = client.read(PATH).await else {
        panic!("not busy")
    };
    assert!(left <= MAX_RETRY_AFTER, "{left:?}");
    assert_eq!(server.calls().len(), 1, "nothing is sent within the pause");
}

#[tokio::test]
async fn after_three_refusals_of_who_we_are_the_credentials_are_read_anew() {
    let server = Scripted::start(|_| Reply::status(401, "who")).await;
    let client = server.client().await;
    for _ in 0..2 {
        assert_eq!(client.read(PATH).await.unwrap_err().kind(), "unauthorized");
    }
    // The rotated file leads to another server, which knows us.
    let other = Scripted::start(|_| Reply::Json(200, json!({ "kind": "Known" }))).await;
    std::fs::copy(other.access().kubeconfig.unwrap(), server.access().kubeconfig.unwrap()).unwrap();
    assert_eq!(client.read(PATH).await.unwrap_err().kind(), "unauthorized");
    assert_eq!(client.read(PATH).await.unwrap(), json!({ "kind": "Known" }));
}

#[tokio::test]
async fn after_three_connections_that_did_not_come_about_the_authorities_are_read_anew() {
    let server = Scripted::start(|_| Reply::Json(200, json!({ "kind": "Known" }))).await;
    let access = server.access();
    let kubeconfig = access.kubeconfig.clone().unwrap();
    let right = std::fs::read_to_string(&kubeconfig).unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (before, address) = right.split_once("http://").unwrap();
    let end = address.find(|it: char| !(it.is_ascii_digit() || ".:".contains(it))).unwrap_or(address.len());
    std::fs::write(&kubeconfig, format!("{before}http://{closed}{}", &address[end..])).unwrap();
    let client = ApiServer::open(access).await.unwrap();
    for _ in 0..2 {
        assert_eq!(client.read(PATH).await.unwrap_err().kind(), "not-sent");
    }
    std::fs::write(&kubeconfig, right).unwrap();
    assert_eq!(client.read(PATH).await.unwrap_err().kind(), "not-sent");
    assert_eq!(client.read(PATH).await.unwrap(), json!({ "kind": "Known" }));
}

#[tokio::test]
async fn a_list_is_whole_or_there_is_none() {
    let page = |items: Value, next: &str| {
        Reply::Json(200, json!({ "kind": "PodList", "items": items, "metadata": { "continue": next } }))
    };
    let server = Scripted::answering(vec![page(json!([1]), "a/b"), page(json!([2]), "")]).await;
    assert_eq!(
        server.client().await.list("/api/v1/pods", "app in (a,b)").await.unwrap(),
        [json!(1), json!(2)]
    );
    assert_eq!(
        server.lines(),
        [
            "GET /api/v1/pods?limit=250&labelSelector=app+in+%28a%2Cb%29",
            "GET /api/v1/pods?limit=250&labelSelector=app+in+%28a%2Cb%29&continue=a%2Fb"
        ]
    );
    let endings =
        [Reply::status(410, "expired"), Reply::Torn(200, "{"), Reply::Json(200, json!({ "kind": "Status" }))];
    for second in endings {
        let server = Scripted::answering(vec![page(json!([1]), "next"), second]).await;
        server.client().await.list("/api/v1/pods", "").await.unwrap_err();
    }
    let empty = Scripted::answering(vec![page(Value::Null, "")]).await;
    assert!(empty.client().await.list("/api/v1/pods", "").await.unwrap().is_empty());
    let endless = Scripted::answering(vec![page(json!([1]), "next")]).await;
    assert_eq!(endless.client().await.list("/api/v1/pods", "").await.unwrap_err().kind(), "unknown");
}

#[tokio::test]
async fn a_kubeconfig_that_is_not_there_is_told_with_where_to_look() {
    let access = Access { kubeconfig: Some("/nowhere/kubeconfig".into()), context: None };
    let error = ApiServer::open(access).await.unwrap_err().to_string();
    assert!(error.contains("/nowhere/kubeconfig") && error.contains("hint:"), "{error}");
}

#[tokio::test]
async fn a_daemon_that_does_not_lead_reads_everything_and_writes_nothing_but_the_lease() {
    let server = Scripted::answering(vec![Reply::Json(200, json!({}))]).await;
    let clock = crate::machine::Clock::new().unwrap();
    let leadership = crate::leadership::Leadership::by_lease(clock.clone(), Duration::from_secs(10));
    let client = server.client().await.guarded_by(leadership.guard());
    let body = json!({});
    let refused = client.write(Write::Merge("/x", &body)).await.unwrap_err();
    assert!(
        matches!(&refused, Failure::NotSent { message } if message.contains("does not lead")),
        "{refused}"
    );
    assert!(client.read("/x").await.is_ok());
    assert!(client.write_lease(Write::Replace("/lease", &body)).await.is_ok());
    assert_eq!(server.lines(), ["GET /x", "PUT /lease"]);
    leadership.until(Some(clock.now().mono_ms + 60_000));
    assert!(client.write(Write::Merge("/x", &body)).await.is_ok());
}
