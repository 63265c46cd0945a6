//! A watch of a server that does everything wrong that a stream can do wrong.
#![allow(clippy::unwrap_used, reason = "a test may end here")]

use super::*;
use crate::testing::objects::Reply;
use crate::testing::scripted::Scripted;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

const PATH: &str = "/apis/plimsoll.dev/v1alpha1/statefulautoscalers";

fn object(name: &str, version: &str) -> Value {
    json!({ "metadata": { "namespace": "n", "name": name, "resourceVersion": version } })
}

fn list(items: &[Value], version: &str) -> Reply {
    Reply::Json(200, json!({ "kind": "List", "metadata": { "resourceVersion": version }, "items": items }))
}

fn change(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({ "type": kind, "object": object }))
}

fn lines(lines: &[String]) -> Reply {
    Reply::Text(200, String::leak(lines.concat()))
}

/// Answers the first list, and then one thing a stream; streams beyond hang.
async fn server(items: Vec<Value>, streams: Vec<Reply>) -> (Scripted, Arc<Watched>) {
    let next = AtomicUsize::new(0);
    let server = Scripted::start(move |call| {
        if !call.path.contains("watch=1") {
            return list(&items, "5");
        }
        streams.get(next.fetch_add(1, Ordering::SeqCst)).cloned().unwrap_or(Reply::Hang)
    })
    .await;
    let watched = Watched::start(Arc::new(server.client().await), PATH, "a=b");
    (server, watched)
}

/// Waits until the names that are seen are these.
async fn sees(watched: &Watched, names: &[&str]) {
    let mut changes = watched.changes();
    let seen = async {
        loop {
            changes.borrow_and_update();
            let view = watched.view().map(|view| view.objects.keys().cloned().collect::<Vec<_>>());
            if view == Ok(names.iter().map(|name| format!("n/{name}")).collect()) {
                return;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), seen)
        .await
        .unwrap_or_else(|_| panic!("{:?}", watched.view()));
}

fn asked(server: &Scripted, what: &str) -> usize {
    server.calls().iter().filter(|call| call.path.contains(what)).count()
}

#[tokio::test]
async fn a_list_and_then_changes_one_after_the_other_and_on_from_where_a_stream_ended() {
    let first = lines(&[
        change("ADDED", &object("b", "6")),
        change("BOOKMARK", &json!({ "metadata": { "resourceVersion": "8" } })),
        change("DELETED", &object("a", "9")),
    ]);
    let (server, watched) =
        server(vec![object("a", "4")], vec![first, lines(&[change("MODIFIED", &object("c", "11"))])]).await;
    sees(&watched, &["b", "c"]).await;
    assert_eq!(asked(&server, "limit="), 1);
    let calls = server.calls();
    let streams: Vec<_> = calls.iter().filter(|call| call.path.contains("watch=1")).collect();
    assert!(streams[0].path.contains("resourceVersion=5") && streams[0].path.contains("labelSelector=a%3Db"));
    assert!(streams[1].path.contains("resourceVersion=9"), "{}", streams[1].path);
    assert!(watched.view().unwrap().age < Duration::from_secs(20));
}

#[tokio::test]
async fn what_has_expired_is_read_anew_in_the_stream_and_as_an_answer() {
    let gone = json!({ "kind": "Status", "code": 410, "message": "too old" });
    for reply in [lines(&[change("ERROR", &gone)]), Reply::status(410, "too old")] {
        let (server, watched) = server(vec![object("a", "4")], vec![reply]).await;
        sees(&watched, &["a"]).await;
        let again = async {
            while asked(&server, "limit=") < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), again).await.unwrap();
    }
}

#[tokio::test]
async fn a_torn_change_and_a_strange_one_change_nothing_and_the_stream_is_opened_anew() {
    let good = change("ADDED", &object("b", "6"));
    for bad in
        ["{\"type\":\"ADDED\",\"object\":{\"metadata\":", "nonsense\n", "{\"type\":\"ODD\",\"object\":{}}\n"]
    {
        let torn = Reply::Text(200, bad);
        let (server, watched) =
            server(vec![object("a", "4")], vec![torn, lines(std::slice::from_ref(&good))]).await;
        sees(&watched, &["a", "b"]).await;
        assert_eq!(asked(&server, "limit="), 1, "{bad}");
    }
}

#[tokio::test]
async fn a_stream_that_never_begins_leads_to_a_new_list_in_the_end() {
    let refused = vec![Reply::status(500, "no"); 3];
    let (server, watched) = server(vec![object("a", "4")], refused).await;
    sees(&watched, &["a"]).await;
    let again = async {
        while asked(&server, "limit=") < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), again).await.unwrap();
    let calls = server.calls();
    let lists: Vec<_> = calls.iter().enumerate().filter(|(_, call)| !call.path.contains("watch=1")).collect();
    assert_eq!(lists[1].0, 4, "a list, three streams, and a list: {:?}", server.lines());
}

#[tokio::test]
async fn forbidden_is_not_empty_and_ends_when_the_right_is_given_back() {
    let server = Scripted::start(|_| Reply::status(403, "no")).await;
    let watched = Watched::start(Arc::new(server.client().await), PATH, "");
    let mut changes = watched.changes();
    changes.changed().await.unwrap();
    let why = watched.view().map(|_| ()).unwrap_err();
    assert!(why.contains("not listed yet: forbidden"), "{why}");
    server.script(
        |call| if call.path.contains("watch=1") { Reply::Hang } else { list(&[object("a", "4")], "5") },
    );
    sees(&watched, &["a"]).await;
    // Taken away again, what was seen says nothing any more.
    server.script(|_| Reply::status(403, "no"));
}

#[test]
fn what_nothing_was_heard_of_for_minutes_is_too_old() {
    let store = Store::default();
    let now = Instant::now();
    assert!(store.view(now).unwrap_err().contains("not listed yet"));
    store.listed(std::iter::once(object("a", "1")), now);
    store.failed(&Failure::unknown("gone"));
    let later = now + Duration::from_secs(299);
    assert_eq!(store.view(later).map(|view| (view.objects.len(), view.age.as_secs())), Ok((1, 299)));
    let why = store.view(now + Duration::from_secs(301)).map(|_| ()).unwrap_err();
    assert!(why.contains("nothing was heard for 301 s: unknown: gone"), "{why}");
    store.fresh(now + Duration::from_secs(301));
    assert!(store.view(now + Duration::from_secs(301)).is_ok());
}

#[tokio::test]
async fn what_is_too_old_to_go_by_is_waited_for_and_what_we_may_not_see_is_not() {
    let store = Store::default();
    let at_once = || tokio::time::timeout(Duration::ZERO, store.recent(FRESH));
    assert!(at_once().await.is_err(), "never listed");
    let old = Instant::now() - FRESH - Duration::from_secs(1);
    store.listed(std::iter::once(object("a", "1")), old);
    assert!(at_once().await.is_err(), "too old");
    store.failed(&Failure::unknown("gone"));
    assert!(at_once().await.is_err(), "it may come back");
    // Heard once, and all who wait have it.
    let opened = async { store.fresh(Instant::now()) };
    let (one, other, ()) = tokio::join!(store.recent(FRESH), store.recent(FRESH), opened);
    assert_eq!((one.unwrap().objects.len(), other.unwrap().objects.len()), (1, 1));
    assert!(at_once().await.unwrap().is_some());
    store.fresh(old);
    let barred = async { store.failed(&Failure::Forbidden { message: "no".to_owned() }) };
    assert!(tokio::join!(store.recent(FRESH), barred).0.is_none());
    assert!(at_once().await.unwrap().is_none());
}

#[tokio::test]
async fn the_last_handle_ends_the_watch() {
    let (_server, watched) = server(Vec::new(), Vec::new()).await;
    let task = watched.task.clone();
    drop(watched);
    let ended = async {
        while !task.is_finished() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
}
