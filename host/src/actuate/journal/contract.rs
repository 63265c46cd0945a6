//! What every home of journals promises, checked on each of them; and what is peculiar to the one on a Kubernetes.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::kubernetes::scaling_plan;
use crate::testing::objects::{Objects, Reply};
use crate::testing::scripted::Scripted;
use plimsoll_core::profile::ETCD_ON_ORDINALS;
use plimsoll_wire::FORMAT_VERSION;
use plimsoll_wire::journal::{Intent, Join, PlatformVerb, Verb};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// The version of a journal that a newer daemon wrote.
const NEWER: u64 = FORMAT_VERSION as u64 + 1;
const TARGET: &str = "shop/db-main";
const PATH: &str = "/apis/plimsoll.dev/v1alpha1/namespaces/shop/scalingplans/db-main";

fn journal(sequence: u64) -> Journal {
    let verb = Verb::Platform(PlatformVerb::Start {
        slot: "db-3".into(),
        size_after: 4,
        join: Some(Join {
            existing: true,
            contacts: Vec::new(),
            payload: json!({ "z": [null, 1], "a": { "state": "existing" } }),
        }),
    });
    Journal {
        format_version: FORMAT_VERSION,
        target: TARGET.into(),
        sequence,
        intent: Some(Intent { id: "i".into(), plan: "p".into(), unit: 0, verb, outcome: None }),
        audit_head: format!("{sequence}:head"),
        ..Journal::default()
    }
}

/// An API server with objects, and the store on it.
struct OnServer {
    server: Scripted,
    objects: Arc<Mutex<Objects>>,
    store: JournalStore,
}

impl OnServer {
    async fn new() -> Self {
        let objects = Arc::new(Mutex::new(Objects::default()));
        let server = Scripted::start({
            let objects = objects.clone();
            move |call| objects.lock().unwrap().answer(call)
        })
        .await;
        let store = open(&server).await;
        Self { server, objects, store }
    }

    /// Lets the server answer the next write of a status so, with or without carrying it out.
    fn answer_the_next_write(&self, carried_out: bool, reply: Reply) {
        let (objects, left) = (self.objects.clone(), Mutex::new(Some(reply)));
        self.server.script(move |call| {
            let special = if call.method == "PUT" { left.lock().unwrap().take() } else { None };
            let mut objects = objects.lock().unwrap();
            match special {
                Some(reply) => {
                    if carried_out {
                        objects.answer(call);
                    }
                    reply
                }
                None => objects.answer(call),
            }
        });
    }

    /// Changes the object as somebody else would, immediately before each of the next writes of a status arrives.
    fn before_writes(&self, times: u32, change: impl Fn(&mut Value) + Send + Sync + 'static) {
        let (objects, left) = (self.objects.clone(), Mutex::new(times));
        self.server.script(move |call| {
            let mut objects = objects.lock().unwrap();
            let mut left = left.lock().unwrap();
            if call.method == "PUT" && *left > 0 {
                *left -= 1;
                let mut object = objects.get(PATH).unwrap().clone();
                change(&mut object);
                objects.put(PATH, object);
            }
            objects.answer(call)
        });
    }

    /// Changes the object as somebody else would.
    fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut objects = self.objects.lock().unwrap();
        let mut object = objects.get(PATH).unwrap().clone();
        change(&mut object);
        objects.put(PATH, object);
    }

    fn object(&self) -> Value {
        self.objects.lock().unwrap().get(PATH).unwrap().clone()
    }
}

async fn open(server: &Scripted) -> JournalStore {
    JournalStore::Kubernetes(KubernetesJournals::new(Arc::new(server.client().await)))
}

/// Runs a test on an empty store of each home.
async fn on_each(test: impl AsyncFn(JournalStore)) {
    let directory = tempfile::tempdir().unwrap();
    test(JournalStore::File(FileJournals::open(directory.path()).unwrap())).await;
    let on_server = OnServer::new().await;
    test(on_server.store.clone()).await;
}

#[tokio::test]
async fn each_home_gives_back_what_was_written() {
    on_each(async |store| {
        assert_eq!(store.load(TARGET).await.unwrap(), None);
        let first = store.store(TARGET, None, &journal(1)).await.unwrap();
        let second = store.store(TARGET, Some(first), &journal(2)).await.unwrap();
        assert_eq!((first, second), (Revision(1), Revision(2)));
        assert_eq!(store.load(TARGET).await.unwrap(), Some((journal(2), second)));
    })
    .await;
}

#[tokio::test]
async fn each_home_refuses_a_write_against_an_old_revision_and_names_the_new_one() {
    on_each(async |store| {
        let first = store.store(TARGET, None, &journal(1)).await.unwrap();
        let second = store.store(TARGET, Some(first), &journal(2)).await.unwrap();
        for expected in [None, Some(first), Some(Revision(99))] {
            let error = store.store(TARGET, expected, &journal(3)).await.unwrap_err();
            assert!(
                matches!(error, JournalError::Conflict { found, .. } if found == Some(second)),
                "{error}"
            );
        }
        assert_eq!(store.load(TARGET).await.unwrap(), Some((journal(2), second)));
    })
    .await;
}

#[tokio::test]
async fn each_home_lets_exactly_one_of_many_writers_succeed() {
    on_each(async |store| {
        for expected in [None, Some(Revision(1))] {
            let write = |number| {
                let store = store.clone();
                tokio::spawn(async move { store.store(TARGET, expected, &journal(number)).await })
            };
            let writers: Vec<_> = (1..=8).map(write).collect();
            let mut won = 0;
            for writer in writers {
                match writer.await.unwrap() {
                    Ok(_) => won += 1,
                    Err(error) => assert_eq!(error.kind(), "conflict", "{error}"),
                }
            }
            assert_eq!(won, 1, "against {expected:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn no_home_takes_a_journal_that_it_could_not_give_back() {
    on_each(async |store| {
        let other_format = Journal { format_version: FORMAT_VERSION + 1, ..journal(1) };
        assert_eq!(store.store(TARGET, None, &other_format).await.unwrap_err().kind(), "refused");
        assert_eq!(store.store("shop/other", None, &journal(1)).await.unwrap_err().kind(), "refused");
        let mut large = journal(1);
        large.memory.policy_state.insert("p".to_owned(), "x".repeat(2 << 20));
        assert_eq!(store.store(TARGET, None, &large).await.unwrap_err().kind(), "refused");
        assert_eq!(store.load(TARGET).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn the_object_is_named_after_its_target_and_only_its_status_is_written() {
    let on = OnServer::new().await;
    let first = on.store.store(TARGET, None, &journal(1)).await.unwrap();
    on.store.store(TARGET, Some(first), &journal(2)).await.unwrap();
    let object = on.object();
    assert_eq!(object["metadata"]["finalizers"], json!([scaling_plan::FINALIZER]));
    assert_eq!(object["metadata"]["ownerReferences"], Value::Null);
    assert_eq!(object["spec"], json!({ "target": TARGET }));
    assert_eq!(object["status"]["journal"], serde_json::to_value(journal(2)).unwrap());
    let writes: Vec<String> = on.server.lines().into_iter().filter(|line| !line.starts_with("GET")).collect();
    let status = format!("PUT {PATH}/status");
    assert_eq!(writes, [format!("POST {}", PATH.trim_end_matches("/db-main")), status.clone(), status]);
    for call in on.server.calls().iter().filter(|call| call.method == "PUT") {
        assert!(
            call.body["metadata"]["resourceVersion"].is_string() && call.body["metadata"]["uid"].is_string()
        );
    }
}

#[tokio::test]
async fn a_daemon_that_ended_between_making_the_object_and_writing_it_left_no_journal() {
    let on = OnServer::new().await;
    on.objects.lock().unwrap().put(PATH, scaling_plan::blank("shop", "db-main"));
    assert_eq!(on.store.load(TARGET).await.unwrap(), None);
    on.store.store(TARGET, None, &journal(1)).await.unwrap();
    assert_eq!(on.store.load(TARGET).await.unwrap(), Some((journal(1), Revision(1))));
}

#[tokio::test]
async fn a_write_that_was_not_answered_is_not_repeated_and_shows_in_the_next_read() {
    let doubtful =
        [Reply::Reset, Reply::status(504, "timeout"), Reply::status(500, "oops"), Reply::Torn(200, "{")];
    for reply in doubtful {
        for carried_out in [true, false] {
            let on = OnServer::new().await;
            let first = on.store.store(TARGET, None, &journal(1)).await.unwrap();
            on.answer_the_next_write(carried_out, reply.clone());
            let before = on.server.calls().len();
            let error = on.store.store(TARGET, Some(first), &journal(2)).await.unwrap_err();
            assert_eq!(error.kind(), "unanswered", "{error}");
            let writes =
                on.server.lines().split_off(before).iter().filter(|line| line.starts_with("PUT")).count();
            assert_eq!(writes, 1, "{reply:?}");
            let expected = if carried_out { (journal(2), Revision(2)) } else { (journal(1), Revision(1)) };
            assert_eq!(on.store.load(TARGET).await.unwrap(), Some(expected), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn whoever_changed_the_object_meanwhile_is_noticed_by_the_server() {
    let on = OnServer::new().await;
    let first = on.store.store(TARGET, None, &journal(1)).await.unwrap();
    on.before_writes(1, |object| {
        object["status"]["journal"] = json!(journal(7));
        object["status"]["digest"] = json!(kubernetes::digest(&json!(journal(7))));
        object["status"]["revision"] = json!(2);
    });
    let error = on.store.store(TARGET, Some(first), &journal(2)).await.unwrap_err();
    assert!(matches!(error, JournalError::Conflict { found: Some(Revision(2)), .. }), "{error}");
    assert_eq!(on.store.load(TARGET).await.unwrap(), Some((journal(7), Revision(2))));
}

#[tokio::test]
async fn an_order_that_is_written_meanwhile_costs_another_read_and_is_no_journal_of_anybodys() {
    let annotate = |object: &mut Value| {
        object["metadata"]["annotations"] = json!({ "plimsoll.dev/cancel": "p" });
    };
    let on = OnServer::new().await;
    let first = on.store.store(TARGET, None, &journal(1)).await.unwrap();
    on.before_writes(1, annotate);
    let second = on.store.store(TARGET, Some(first), &journal(2)).await.unwrap();
    assert_eq!(on.store.load(TARGET).await.unwrap(), Some((journal(2), second)));
    assert_eq!(on.object()["metadata"]["annotations"]["plimsoll.dev/cancel"], "p");
    // Bounded: a writer without end is reported.
    on.before_writes(100, annotate);
    let before = on.server.calls().len();
    let error = on.store.store(TARGET, Some(second), &journal(3)).await.unwrap_err();
    assert!(matches!(error, JournalError::Conflict { found: Some(Revision(2)), .. }), "{error}");
    let writes = on.server.lines().split_off(before).iter().filter(|line| line.starts_with("PUT")).count();
    assert_eq!(writes, 3);
}

#[tokio::test]
async fn an_unknown_format_is_held_and_never_overwritten_there_either() {
    let on = OnServer::new().await;
    let first = on.store.store(TARGET, None, &journal(1)).await.unwrap();
    on.change(|object| object["status"]["journal"] = json!({ "formatVersion": NEWER, "target": ["new"] }));
    let there = on.object();
    let fresh = open(&on.server).await;
    for error in [
        fresh.load(TARGET).await.unwrap_err(),
        fresh.store(TARGET, Some(first), &journal(2)).await.unwrap_err(),
    ] {
        assert!(matches!(error, JournalError::UnknownFormat { version, .. } if version == NEWER), "{error}");
    }
    assert_eq!(on.object(), there);
}

#[tokio::test]
async fn a_journal_that_somebody_edited_or_copied_is_not_taken_for_ours() {
    type Edit = fn(&mut Value);
    let edits: [(Edit, &str); 5] = [
        (|object| object["status"]["journal"]["epoch"] = json!(9), "digest"),
        (|object| object["status"]["journal"]["later"] = json!(true), "digest"),
        (|object| object["status"]["digest"] = Value::Null, "digest"),
        (|object| object["metadata"]["uid"] = json!("another"), "copy"),
        (|object| object["status"]["object"] = json!("another"), "copy"),
    ];
    for (edit, word) in edits {
        let on = OnServer::new().await;
        let first = on.store.store(TARGET, None, &journal(1)).await.unwrap();
        on.change(edit);
        let there = on.object();
        let fresh = open(&on.server).await;
        let error = fresh.load(TARGET).await.unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("hint:"), "{error}");
        fresh.store(TARGET, Some(first), &journal(2)).await.unwrap_err();
        assert_eq!(on.object(), there);
    }
}

#[tokio::test]
async fn what_people_are_told_beside_it_is_written_with_it_and_never_believed() {
    let on = OnServer::new().await;
    let entry = |sequence| (journal(sequence), &ETCD_ON_ORDINALS);
    let ((one, profile), (two, _)) = (entry(1), entry(2));
    let first = on.store.store(TARGET, None, Entry::in_words_of(&one, profile)).await.unwrap();
    let about = on.object()["status"]["about"].clone();
    assert_eq!(about["state"], "NoPlan");
    let writes = on.server.lines().iter().filter(|line| line.starts_with("PUT")).count();
    assert_eq!(writes, 1, "in the same write");
    for edit in [json!({ "state": "Held", "epoch": 99 }), json!("nonsense"), json!(7), Value::Null] {
        on.change(|object| object["status"]["about"] = edit);
        let fresh = open(&on.server).await;
        assert_eq!(fresh.load(TARGET).await.unwrap(), Some((journal(1), first)));
    }
    let second = on.store.store(TARGET, Some(first), Entry::in_words_of(&two, profile)).await.unwrap();
    assert_eq!(on.store.load(TARGET).await.unwrap(), Some((journal(2), second)));
    assert_eq!(on.object()["status"]["about"], about, "it is told anew");
}

#[tokio::test]
async fn an_object_that_was_taken_away_under_the_daemon_means_hold() {
    let on = OnServer::new().await;
    on.store.store(TARGET, None, &journal(1)).await.unwrap();
    on.objects.lock().unwrap().remove(PATH);
    assert_eq!(on.store.load(TARGET).await.unwrap_err().kind(), "unreadable");
    on.objects.lock().unwrap().put(PATH, scaling_plan::blank("shop", "db-main"));
    assert_eq!(on.store.load(TARGET).await.unwrap_err().kind(), "unreadable");
    assert_eq!(on.store.store(TARGET, None, &journal(1)).await.unwrap_err().kind(), "unreadable");
}

#[tokio::test]
async fn a_server_that_keeps_less_than_was_written_is_found_out() {
    let on = OnServer::new().await;
    let first = on.store.store(TARGET, None, &journal(1)).await.unwrap();
    let objects = on.objects.clone();
    on.server.script(move |call| {
        let mut call = call.clone();
        if call.method == "PUT" {
            call.body["status"]["journal"].as_object_mut().unwrap().remove("intent");
        }
        objects.lock().unwrap().answer(&call)
    });
    let error = on.store.store(TARGET, Some(first), &journal(2)).await.unwrap_err();
    assert!(error.to_string().contains("plimsoll crd"), "{error}");
    assert_eq!(on.store.load(TARGET).await.unwrap_err().kind(), "unreadable");
}

#[tokio::test]
async fn what_may_not_be_read_is_not_taken_for_missing() {
    let refusals = [
        Reply::status(403, "scalingplans is forbidden: User \"x\" cannot get resource"),
        Reply::Text(404, "404 page not found"),
        Reply::status(500, "oops"),
        Reply::Hang,
    ];
    for reply in refusals {
        let said = format!("{reply:?}");
        let server = Scripted::start(move |_| reply.clone()).await;
        let store = open(&server).await;
        let error =
            tokio::time::timeout(std::time::Duration::from_secs(30), store.load(TARGET)).await.unwrap();
        assert_eq!(error.unwrap_err().kind(), "unanswered", "{said}");
    }
}
