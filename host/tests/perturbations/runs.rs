//! The runs: each write of a plan from three to five and back, and each thing that can be done to it.
#![allow(clippy::unwrap_used, reason = "a test may end here")]

use super::cluster::Cluster;
use super::daemon::{BOUNDS, Daemon, INTERVAL_MS};
use super::evidence::Evidence;
use super::oracle::judge;
use super::perturbation::{Case, Perturbation};
use plimsoll_wire::snapshot::SignalState;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// How long a run may take before it counts as stuck, in milliseconds of the world.
const PATIENCE_MS: u64 = 1_800_000;
/// For how long a run goes on after its end: what comes too late comes now, and there are decisions.
const REST_MS: u64 = 4 * INTERVAL_MS;

/// A run to its end, and how many writes there were.
pub(crate) async fn run(case: Case) -> (Evidence, usize) {
    let cluster = Arc::new(Mutex::new(Cluster::new(case)));
    let begin_ms = cluster.lock().unwrap().now().mono_ms;
    let mut daemon = Daemon::start(&cluster, case.to);
    let mut done_ms = None;
    let mut writes = 0;
    loop {
        daemon.once().await;
        let cluster = cluster.lock().unwrap();
        let now_ms = cluster.now().mono_ms;
        if done_ms.is_none() && cluster.is_done() {
            (done_ms, writes) = (Some(now_ms), cluster.writes());
        }
        if done_ms.is_some_and(|done_ms| now_ms >= done_ms + REST_MS) || now_ms >= begin_ms + PATIENCE_MS {
            return (cluster.evidence(BOUNDS, INTERVAL_MS), writes);
        }
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub(crate) fn case(from: u32, to: u32, fault: Option<(Perturbation, usize)>) -> Case {
    Case { from, to, fault, signals: SignalState::Ok }
}

#[test]
fn a_plan_without_faults_breaks_nothing() {
    for (from, to) in [(3, 5), (5, 3)] {
        let (evidence, writes) = runtime().block_on(run(case(from, to, None)));
        assert_eq!(judge(&evidence), [], "{from} to {to}");
        println!("{from} to {to}: {writes} writes");
        assert!(writes > 20);
    }
}

/// Of all pairs of a write and what is done at it, every fourth; with `PLIMSOLL_LONG=1` all.
const SAMPLE: usize = 4;

/// All that can be done at all writes of a plan, or a sample of it.
fn perturb(from: u32, to: u32) {
    let (begun, long) =
        (std::time::Instant::now(), std::env::var("PLIMSOLL_LONG").is_ok_and(|value| value == "1"));
    let (_, writes) = runtime().block_on(run(case(from, to, None)));
    let (mut broken, mut count) = (BTreeMap::new(), 0);
    for at in 1..=writes {
        for (index, fault) in Perturbation::ALL.into_iter().enumerate() {
            if !long && (index + at) % SAMPLE != 0 {
                continue;
            }
            let (evidence, _) = runtime().block_on(run(case(from, to, Some((fault, at)))));
            let found = judge(&evidence);
            count += 1;
            if !found.is_empty() {
                broken.insert((fault, at), found);
            }
        }
    }
    let seconds = begun.elapsed().as_secs();
    println!("{from} to {to}: {count} runs over {writes} writes in {seconds} s");
    for (case, found) in &broken {
        println!("{case:?}: {found:#?}");
    }
    assert!(broken.is_empty(), "{} of {count} runs broke something", broken.len());
}

#[test]
fn whatever_is_done_at_whichever_write_of_a_growth_breaks_nothing() {
    perturb(3, 5);
}

#[test]
fn whatever_is_done_at_whichever_write_of_a_shrinking_breaks_nothing() {
    perturb(5, 3);
}

#[test]
fn nothing_shrinks_before_signals_are_good() {
    for signals in [SignalState::Absent, SignalState::Stale, SignalState::NotANumber, SignalState::Partial] {
        let case = Case { signals, ..case(5, 3, None) };
        let (evidence, writes) = runtime().block_on(run(case));
        assert_eq!(judge(&evidence), [], "{signals:?}");
        assert!(writes > 20, "once they are good it goes on");
    }
}
