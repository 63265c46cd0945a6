//! What a read costs, and that a cached one says what a direct one says.

use super::*;
use plimsoll_core::observation::Slot;
use std::sync::atomic::{AtomicBool, Ordering};

fn is_watch(call: &Received) -> bool {
    call.path.contains("watch=1")
}

/// The requests so far that are no streams.
fn reads(cluster: &Cluster) -> usize {
    cluster.server.calls().iter().filter(|call| !is_watch(call)).count()
}

/// Reads until a read asks nothing.
async fn settle(cluster: &Cluster, kube: &Kube) {
    let quiet = async {
        loop {
            let before = reads(cluster);
            kube.read(false).await;
            if reads(cluster) == before {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), quiet).await.expect("a read that asks nothing");
}

#[tokio::test]
async fn at_rest_a_look_asks_nothing_and_says_what_a_direct_one_says() {
    let cluster = Cluster::new().await;
    cluster.spoil(is_watch, false, Reply::Hang);
    settle(&cluster, &cluster.kube).await;
    let before = reads(&cluster);
    let mut cached = cluster.kube.read(false).await;
    for _ in 0..5 {
        cached = cluster.kube.read(false).await;
    }
    assert_eq!(reads(&cluster), before);
    let direct = cluster.kube.read(true).await;
    assert_eq!(format!("{cached:?}"), format!("{direct:?}"));
    assert_eq!(direct.slots.value().map(Vec::len), Some(3));
    let asked = reads(&cluster);
    assert!(asked > before);
    // The cache may be older than that read.
    cluster.kube.read(false).await;
    assert!(reads(&cluster) > asked);
}

#[tokio::test]
async fn targets_of_a_namespace_share_what_is_watched() {
    let cluster = Cluster::new().await;
    cluster.spoil(is_watch, false, Reply::Hang);
    let neighbour = Kube::new(cluster.kube.server.clone(), cluster.kube.config.clone());
    settle(&cluster, &cluster.kube).await;
    let before = reads(&cluster);
    let report = neighbour.read(false).await;
    assert_eq!((reads(&cluster), report.slots.value().map(Vec::len)), (before, Some(3)));
    // It goes on for who is left.
    drop(neighbour);
    cluster.kube.read(false).await;
    assert_eq!(reads(&cluster), before);
}

#[tokio::test]
async fn a_change_is_seen_without_asking() {
    let cluster = Cluster::new().await;
    let gone = json!({ "metadata": { "namespace": "shop", "name": "db-main-2", "resourceVersion": "99" } });
    let event = json!({ "type": "DELETED", "object": gone });
    let text: &'static str = String::leak(format!("{event}\n"));
    let (objects, sent_once) = (cluster.objects.clone(), AtomicBool::new(false));
    cluster.server.script(move |call| match (is_watch(call), call.path.contains("/pods?")) {
        (true, true) if !sent_once.swap(true, Ordering::SeqCst) => Reply::Text(200, text),
        (true, true | false) => Reply::Hang,
        (false, true | false) => objects.lock().unwrap().answer(call),
    });
    // Its place is still asked for.
    let is_gone = |slots: &Vec<Slot>| slots.len() == 3 && slots[2].incarnation.is_empty();
    let seen = async {
        while !cluster.kube.read(false).await.slots.value().is_some_and(is_gone) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen).await.expect("a place without a pod");
}

#[tokio::test]
async fn what_may_not_be_watched_is_read_and_what_may_not_be_read_is_a_gap() {
    let cluster = Cluster::new().await;
    cluster.spoil(is_watch, false, Reply::status(403, "watch is not yours"));
    for _ in 0..20 {
        assert_eq!(cluster.kube.read(false).await.slots.value().map(Vec::len), Some(3));
    }
    let is_pods = |call: &Received| call.path.contains("/pods");
    cluster.spoil(
        move |call| is_pods(call) || is_watch(call),
        false,
        Reply::status(403, "pods are not yours"),
    );
    let gap = async {
        while cluster.kube.read(false).await.slots.value().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gap).await.expect("a gap");
}
