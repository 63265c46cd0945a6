//! The journal on a real API server: what it promises everywhere, and what only the real one can tell.

use anyhow::Context as _;
use plimsoll::actuate::journal::{JournalStore, KubernetesJournals, Revision};
use plimsoll::kubernetes::{Access, ApiServer};
use plimsoll_tests::cluster::Namespace;
use plimsoll_tests::kube::in_cluster;
use plimsoll_wire::FORMAT_VERSION;
use plimsoll_wire::journal::{Intent, Join, Journal, Outcome, PlatformVerb, Verb};
use serde_json::json;
use std::sync::Arc;

async fn store(namespace: &Namespace) -> anyhow::Result<JournalStore> {
    let kubeconfig = Some(namespace.cluster().kubeconfig().to_owned());
    let server = ApiServer::open(Access { kubeconfig, context: None }).await?;
    Ok(JournalStore::Kubernetes(KubernetesJournals::new(Arc::new(server))))
}

fn target(namespace: &Namespace) -> String {
    format!("{}/db", namespace.name())
}

/// A journal with something of everything in it.
fn journal(namespace: &Namespace, sequence: u64) -> Journal {
    let payload =
        json!({ "initialCluster": "a=http://a:2380", "odd": [null, 1, -3, "é\"\\", { "z": 1, "a": true }] });
    let join = Some(Join { existing: true, contacts: vec!["http://a:2380".into()], payload });
    let verb = Verb::Platform(PlatformVerb::Start { slot: "db-3".into(), size_after: 4, join });
    let outcome = Some(Outcome::Refused { message: "not\nnow".into() });
    let mut journal = Journal {
        format_version: FORMAT_VERSION,
        target: target(namespace).into(),
        epoch: 3,
        sequence,
        intent: Some(Intent { id: "i".into(), plan: "p".into(), unit: 0, verb, outcome }),
        ..Journal::default()
    };
    journal.memory.policy_state.insert("load".into(), "{\"ema\": 1.5}".into());
    journal
}

#[test]
fn the_real_server_gives_back_what_was_written_and_lets_one_of_many_writers_succeed() -> anyhow::Result<()> {
    in_cluster(|namespace: Namespace| async move {
        let (store, target) = (store(&namespace).await?, target(&namespace));
        assert_eq!(store.load(&target).await?, None);
        for expected in [None, Some(Revision(1)), Some(Revision(2))] {
            let mut writers = Vec::new();
            for number in 1..=8 {
                // Each a daemon of its own: one alone has a single call of a target under way.
                let (store, target, journal) =
                    (self::store(&namespace).await?, target.clone(), journal(&namespace, number));
                writers.push(tokio::spawn(async move {
                    (store.store(&target, expected, &journal).await, journal)
                }));
            }
            let mut won = Vec::new();
            for writer in writers {
                match writer.await? {
                    (Ok(revision), journal) => won.push((journal, revision)),
                    (Err(error), _) => assert_eq!(error.kind(), "conflict", "{error}"),
                }
            }
            assert_eq!(won.len(), 1, "against {expected:?}");
            assert_eq!(store.load(&target).await?, won.pop());
        }
        let fresh = self::store(&namespace).await?;
        assert_eq!(fresh.load(&target).await?, store.load(&target).await?);
        free(&namespace)
    })
}

#[test]
fn the_real_server_takes_the_largest_journal_and_tells_of_an_edit() -> anyhow::Result<()> {
    in_cluster(|namespace: Namespace| async move {
        let (store, target) = (store(&namespace).await?, target(&namespace));
        let mut large = journal(&namespace, 1);
        // What a write may be at most, less what stands around it.
        large.memory.policy_state.insert("p".into(), "x".repeat((512 << 10) - 4096));
        let first = store.store(&target, None, &large).await?;
        assert_eq!(store.load(&target).await?.context("no journal")?.0, large);
        let second = store.store(&target, Some(first), &journal(&namespace, 2)).await?;
        let edit = r#"{"status":{"journal":{"epoch":99}}}"#;
        let patch = ["patch", "scalingplan", "db", "--subresource=status", "--type=merge", "--patch", edit];
        namespace.kubectl(&patch)?;
        assert_eq!(store.load(&target).await.err().map(|error| error.kind()), Some("unreadable"));
        let written = store.store(&target, Some(second), &journal(&namespace, 3)).await;
        assert_eq!(written.err().map(|error| error.kind()), Some("unreadable"));
        // It does not go by accident.
        namespace.kubectl(&["delete", "scalingplan", "db", "--wait=false"])?;
        assert_eq!(namespace.field("scalingplan/db", ".status.journal.epoch")?, "99");
        free(&namespace)
    })
}

/// On purpose it goes, and lets its namespace go.
fn free(namespace: &Namespace) -> anyhow::Result<()> {
    let patch = r#"{"metadata":{"finalizers":null}}"#;
    namespace.kubectl(&["patch", "scalingplan", "db", "--type=merge", "--patch", patch]).map(drop)
}
