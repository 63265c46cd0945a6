//! The guarded release of a changed module: what its manifest says that it must answer, and the time in shadow.

use plimsoll::policy::{Library, LibraryConfig};
use plimsoll_tests::guest::{answering, fails_on_other_snapshots, program, snapshot, wish};
use plimsoll_tests::library::{answer_of, config, folder, open, put, status, trouble, until, wished};
use plimsoll_wire::{Fact, Snapshot};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

/// A manifest with one case: asked with this snapshot (a document or the name of a file), so many members.
fn manifest(snapshot: &serde_json::Value, members: u32) -> Vec<u8> {
    let case = serde_json::json!({
        "name": "the busy hour", "snapshot": snapshot, "expect": { "members": members }
    });
    serde_json::to_vec(&serde_json::json!({ "tests": [case] })).expect("JSON")
}

fn inline() -> serde_json::Value {
    serde_json::to_value(snapshot()).expect("JSON")
}

/// What is wrong with policy `p`, in words.
fn detail(library: &Library) -> String {
    status(library).trouble.map(|trouble| trouble.rejection.detail).unwrap_or_default()
}

/// A snapshot with other bytes than [`snapshot`]'s.
fn other() -> Arc<Snapshot> {
    let mut other = snapshot();
    other.sizes.members = Fact::NotApplicable;
    Arc::new(other)
}

fn put_snapshot(folder: &Path, name: &str) {
    put(folder, name, &serde_json::to_vec(&snapshot()).expect("JSON"));
}

#[tokio::test]
async fn a_module_that_fails_a_test_case_leaves_the_old_version_and_names_the_case() {
    let folder = folder();
    put(folder.path(), "p.json", &manifest(&inline(), 3));
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    let library = open(folder.path()).await;
    assert_eq!((wished(&library).await.as_str(), trouble(&library)), ("3", ""));
    let first = status(&library).module;

    put(folder.path(), "p.wasm", &answering(&wish("4")));
    until(&library, "the failing case", |library| trouble(library) == "TEST").await;
    assert_eq!(
        detail(&library),
        "1 of 1 test cases fail: `the busy hour`: expected 3 members, got 4 members (Test)"
    );
    assert_eq!((wished(&library).await.as_str(), status(&library).module), ("3", first.clone()));

    put(folder.path(), "p.wasm", &program("", "unreachable"));
    until(&library, "the trap", |library| detail(library).contains("expected 3 members, got GUEST")).await;
    assert_eq!(wished(&library).await, "3");

    put(folder.path(), "p.wasm", &answering(&wish("4")));
    put(folder.path(), "p.json", &manifest(&inline(), 4));
    until(&library, "the version that passes", |library| status(library).module != first).await;
    assert_eq!((wished(&library).await.as_str(), trouble(&library)), ("4", ""));
}

#[tokio::test]
async fn every_kind_of_answer_can_be_expected() {
    let folder = folder();
    let refusal = r#"{"refusal":{"reason":{"code":"NoSignal"}}}"#;
    let hold = r#"{"reason":{"code":"Quiet"}}"#;
    let case = |expect: serde_json::Value| serde_json::json!({ "snapshot": inline(), "settings": { "any": 1 }, "expect": expect });
    let cases = serde_json::json!({ "tests": [
        case(serde_json::json!({ "hold": true, "code": "Quiet" })),
        case(serde_json::json!({ "hold": true, "code": "Loud" })),
        case(serde_json::json!({ "refusal": "NoSignal" })),
        case(serde_json::json!({ "members": 3, "code": "Test" })),
    ] });
    put(folder.path(), "p.json", &serde_json::to_vec(&cases).expect("JSON"));
    let mut library = None;
    for (answer, failing) in [(hold, ["`2`", "`3`", "`4`"].as_slice()), (refusal, &["`1`", "`2`", "`4`"])] {
        put(folder.path(), "p.wasm", &answering(answer));
        let library = match library.as_ref() {
            Some(library) => library,
            None => library.insert(open(folder.path()).await),
        };
        let what = format!("3 of 4 test cases fail: {}", failing[0]);
        until(library, &what, |library| detail(library).starts_with(&what)).await;
        for name in failing {
            assert!(detail(library).contains(name), "{}", detail(library));
        }
    }
}

#[tokio::test]
async fn a_case_may_name_a_file_which_is_watched_like_the_module() {
    let folder = folder();
    let named = |name: &str| manifest(&name.into(), 3);
    put(folder.path(), "p.json", &named("busy.json"));
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    let library = open(folder.path()).await;
    assert_eq!(trouble(&library), "TEST");
    assert!(detail(&library).ends_with("`the busy hour`: busy.json is not there"), "{}", detail(&library));
    assert_eq!(wished(&library).await, "NOT_LOADED");

    put_snapshot(folder.path(), "busy.json");
    until(&library, "the file", |library| trouble(library).is_empty()).await;
    assert_eq!(wished(&library).await, "3");

    put(folder.path(), "busy.json", b"{\"formatVersion\": 1}");
    until(&library, "no snapshot", |library| trouble(library) == "TEST").await;
    assert!(detail(&library).contains("busy.json: missing field"), "{}", detail(&library));
    assert_eq!(wished(&library).await, "3", "the version that runs goes on");

    std::fs::remove_file(folder.path().join("busy.json")).expect("it is there");
    symlink("/etc/hostname", folder.path().join("busy.json")).expect("a link");
    until(&library, "the link", |library| detail(library).contains("a link that leaves")).await;
    assert_eq!(wished(&library).await, "3");
}

#[tokio::test]
async fn a_version_in_shadow_is_asked_the_same_and_decides_only_when_its_time_is_over() {
    let folder = folder();
    put(folder.path(), "p.yaml", b"shadow: 3\n");
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    let library = open(folder.path()).await;
    assert_eq!(wished(&library).await, "3", "the first version has nothing to stand beside");
    let first = status(&library).module;

    put(folder.path(), "p.wasm", &answering(&wish("5")));
    until(&library, "the shadow", |library| status(library).shadow.is_some()).await;
    for answered in 1..3 {
        assert_eq!(wished(&library).await, "3");
        let answer_of =
            |library: &Library| status(library).shadow.is_some_and(|shadow| shadow.answered == answered);
        until(&library, "an answer in shadow", answer_of).await;
        assert_eq!(status(&library).module, first);
    }
    let shadow = status(&library).shadow.expect("a version in shadow");
    assert_eq!((shadow.wanted, shadow.differed), (3, 2));
    assert_eq!(shadow.last, "default/demo: 5 members where 3 members decided");
    assert_eq!(wished(&library).await, "3");
    until(&library, "the end of its time", |library| status(library).module != first).await;
    assert_eq!((wished(&library).await.as_str(), status(&library).shadow), ("5", None));
}

#[tokio::test]
async fn a_restart_does_not_cut_the_time_in_shadow_short() {
    let (folder, memory) = (folder(), folder());
    let settings = LibraryConfig { memory: Some(memory.path().join("policies")), ..config() };
    put(folder.path(), "p.yaml", b"shadow: 3\n");
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    let library = Library::open(folder.path(), settings.clone()).await.expect("a library");
    assert_eq!(wished(&library).await, "3");
    put(folder.path(), "p.wasm", &answering(&wish("5")));
    let answered = |library: &Library| status(library).shadow.map_or(u32::MAX, |shadow| shadow.answered);
    until(&library, "the shadow", |library| answered(library) == 0).await;
    assert_eq!(wished(&library).await, "3");
    // The status shows an answer before it is kept; the restart comes after that.
    let kept = || std::fs::read_to_string(memory.path().join("policies/p.json")).unwrap_or_default();
    until(&library, "an answer in shadow that is kept", |_| kept().contains("\"answered\":1,")).await;
    drop(library);

    let library = Library::open(folder.path(), settings).await.expect("a library");
    assert_eq!((wished(&library).await.as_str(), answered(&library)), ("3", 1));
    until(&library, "another answer", |library| answered(library) == 2).await;
    assert_eq!(wished(&library).await, "3");
    until(&library, "the end of its time", |library| status(library).shadow.is_none()).await;
    assert_eq!(wished(&library).await, "5");
}

#[tokio::test]
async fn a_failure_in_shadow_is_the_end_of_a_version() {
    let folder = folder();
    put(folder.path(), "p.yaml", b"shadow: 2\n");
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    let library = open(folder.path()).await;
    assert_eq!(wished(&library).await, "3");
    let first = status(&library).module;
    // It passes the trial on the snapshot that was seen, and loops for ever on any other.
    put(folder.path(), "p.wasm", &fails_on_other_snapshots(&wish("8"), "(loop (br 0))"));
    until(&library, "the shadow", |library| status(library).shadow.is_some()).await;
    assert_eq!(answer_of(&library.evaluate("p", other()).await), "3");
    until(&library, "its end", |library| trouble(library) == "SHADOW").await;
    let said = detail(&library);
    assert!(said.starts_with("evaluation 1 of 2 in shadow, on default/demo: FUEL"), "{said}");
    assert_eq!((status(&library).module, status(&library).shadow), (first, None));
    assert_eq!(wished(&library).await, "3");
}

#[tokio::test]
async fn a_version_in_shadow_that_is_taken_away_never_decides() {
    let folder = folder();
    put(folder.path(), "p.yaml", b"shadow: 1\n");
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    let library = open(folder.path()).await;
    put(folder.path(), "p.wasm", &answering(&wish("5")));
    until(&library, "the shadow", |library| status(library).shadow.is_some()).await;
    put(folder.path(), "p.wasm", &answering(&wish("3")));
    until(&library, "the withdrawal", |library| status(library).shadow.is_none()).await;
    for _ in 0..3 {
        assert_eq!(wished(&library).await, "3");
    }
    assert_eq!(trouble(&library), "");
}
