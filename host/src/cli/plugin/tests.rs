use super::Place;
use super::client::{Client, Kind, Target};
use crate::testing::objects::{Objects, Reply};
use crate::testing::scripted::Scripted;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const PATH: &str = "/apis/plimsoll.dev/v1alpha1/namespaces/shop/scalingplans/db-main";

async fn client(server: &Scripted) -> Client {
    let place =
        Place { namespace: Some("shop".to_owned()), context: None, kubeconfig: server.access().kubeconfig };
    Client::open(&place).await.unwrap()
}

fn db() -> Target {
    Target { namespace: "shop".to_owned(), name: "db-main".to_owned() }
}

/// A server with a plan, whose next write is answered so, with or without being carried out.
async fn with_plan(carried_out: bool, reply: Reply) -> Scripted {
    let mut objects = Objects::default();
    objects.put(PATH, json!({ "metadata": { "namespace": "shop", "name": "db-main" } }));
    let (objects, left) = (Arc::new(Mutex::new(objects)), Mutex::new(Some(reply)));
    Scripted::start(move |call| {
        let special = if call.method == "PATCH" { left.lock().unwrap().take() } else { None };
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
    })
    .await
}

async fn annotate(server: &Scripted) -> anyhow::Result<Value> {
    client(server).await.annotate(Kind::Plan, &db(), "plimsoll.dev/cancel", Some("p1")).await
}

#[tokio::test]
async fn every_write_names_what_was_read_and_what_was_not_answered_is_read_before_anything_is_sent_again() {
    let doubtful = [Reply::Reset, Reply::status(504, "timeout"), Reply::status(500, "oops")];
    for reply in doubtful {
        for (carried_out, writes) in [(true, 1), (false, 2)] {
            let server = with_plan(carried_out, reply.clone()).await;
            let object = annotate(&server).await.unwrap();
            assert_eq!(object["metadata"]["annotations"]["plimsoll.dev/cancel"], "p1", "{reply:?}");
            let calls = server.calls();
            let methods: Vec<&str> = calls.iter().map(|call| &*call.method).collect();
            let expected =
                if writes == 1 { vec!["GET", "PATCH", "GET"] } else { vec!["GET", "PATCH", "GET", "PATCH"] };
            assert_eq!(methods, expected, "{reply:?}, carried out: {carried_out}");
            for call in calls.iter().filter(|call| call.method == "PATCH") {
                let metadata = &call.body["metadata"];
                assert!(metadata["uid"].is_string() && metadata["resourceVersion"].is_string(), "{call:?}");
                assert!(call.path.ends_with("?fieldManager=kubectl-plimsoll"), "{call:?}");
            }
        }
    }
    let conflict = Reply::status(409, "the object has been modified");
    assert!(annotate(&with_plan(false, conflict).await).await.is_ok(), "nothing changed: it is tried again");
}

#[tokio::test]
async fn what_went_wrong_is_told_with_what_to_do() {
    let forbidden = "scalingplans.plimsoll.dev \"db\" is forbidden: User \"ann\" cannot get resource";
    let unknown = json!({ "kind": "Status", "message": "the server could not find the requested resource", "details": {} });
    let rows = [
        (Reply::Text(404, "404 page not found"), "next: install Plimsoll's chart"),
        (Reply::Json(404, unknown), "plimsoll crd"),
        (Reply::status(403, forbidden), "you may not: "),
        (Reply::status(401, "Unauthorized"), "next: renew your credentials"),
        (Reply::status(500, "oops"), "oops"),
    ];
    for (reply, part) in rows {
        let said = format!("{reply:?}");
        let server = Scripted::start(move |_| reply.clone()).await;
        let client = client(&server).await;
        for error in [
            client.get(Kind::Plan, &db()).await.unwrap_err(),
            client.list(Kind::Autoscaler, true).await.unwrap_err(),
            client.annotate(Kind::Plan, &db(), "a", Some("b")).await.unwrap_err(),
        ] {
            assert!(error.to_string().contains(part), "{said}: {error}");
        }
    }
}

#[tokio::test]
async fn a_target_is_typed_as_people_know_it() {
    let server = Scripted::answering(Vec::new()).await;
    let client = client(&server).await;
    for typed in ["db-main", "sfa/db-main", "scalingplan/db-main", "shop/db-main"] {
        assert_eq!(client.target(typed).unwrap(), db(), "{typed}");
    }
    for typed in ["", "/", "a/b/c", "DB", "db?x=y", "../db"] {
        assert!(client.target(typed).is_err(), "{typed}");
    }
}
