//! Proves that each oracle can convict: a client does at the same server what a daemon must not do.
#![allow(clippy::unwrap_used, reason = "a test may end here")]

use super::cluster::{Cluster, WORKLOAD, server};
use super::daemon::{BOUNDS, INTERVAL_MS};
use super::evidence::{Evidence, What};
use super::oracle::judge;
use super::runs::{case, run, runtime};
use plimsoll::kubernetes::Write;
use plimsoll_wire::journal::{Intent, SystemVerb, Verb};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// Somebody at the server of a healthy group.
struct Rogue {
    cluster: Arc<Mutex<Cluster>>,
}

impl Rogue {
    fn at(size: u32) -> Self {
        let cluster = Arc::new(Mutex::new(Cluster::new(case(size, size, None))));
        cluster.lock().unwrap().born();
        Self { cluster }
    }

    fn patch(&self, path: &str, body: &Value) -> &Self {
        let sent = async { server(&self.cluster).write(Write::Merge(path, body)).await };
        runtime().block_on(sent).unwrap();
        self.pass()
    }

    fn scale(&self, replicas: u32) -> &Self {
        self.patch(&format!("{WORKLOAD}/scale"), &json!({ "spec": { "replicas": replicas } }))
    }

    fn call(&self, id: &str, verb: Verb) -> &Self {
        let intent = Intent { id: id.into(), plan: "p".into(), unit: 0, verb, outcome: None };
        self.cluster.lock().unwrap().call(&intent, 1);
        self.pass()
    }

    fn pass(&self) -> &Self {
        let mut cluster = self.cluster.lock().unwrap();
        let next_ms = cluster.now().mono_ms + 60_000;
        cluster.advance(next_ms);
        self
    }

    fn broken(&self) -> BTreeSet<&'static str> {
        ids(&self.cluster.lock().unwrap().evidence(BOUNDS, INTERVAL_MS))
    }
}

fn ids(evidence: &Evidence) -> BTreeSet<&'static str> {
    judge(evidence).into_iter().map(|(id, _)| id).collect()
}

/// What a clean run left, and somebody has changed.
fn forged(from: u32, to: u32, forge: impl FnOnce(&mut Evidence)) -> BTreeSet<&'static str> {
    let (mut evidence, _) = runtime().block_on(run(case(from, to, None)));
    assert_eq!(judge(&evidence), []);
    forge(&mut evidence);
    ids(&evidence)
}

#[test]
fn a_member_that_is_stopped_with_its_vote_is_found() {
    assert!(Rogue::at(5).scale(4).broken().contains("N2"));
}

#[test]
fn a_majority_that_is_stopped_is_found_and_so_is_a_jump_below_the_least_size() {
    let broken = Rogue::at(3).scale(1).broken();
    assert!(broken.is_superset(&BTreeSet::from(["N2", "N3", "N10"])), "{broken:?}");
}

#[test]
fn a_change_of_members_beside_another_is_found() {
    let register = Verb::System(SystemVerb::Register { slot: "db-3".into(), endpoints: Default::default() });
    let rogue = Rogue::at(3);
    rogue.call("i1", register).call("i2", Verb::System(SystemVerb::Deregister { member: "m-0002".into() }));
    assert!(rogue.broken().contains("N4"));
}

#[test]
fn a_write_of_something_else_is_found() {
    for body in [
        json!({ "metadata": { "labels": { "a": "b" } } }),
        json!({ "metadata": { "annotations": { "another": "1" } } }),
        json!({ "spec": { "template": { "spec": { "terminationGracePeriodSeconds": 0 } } } }),
    ] {
        assert!(Rogue::at(3).patch(WORKLOAD, &body).broken().contains("N12"), "{body}");
    }
}

#[test]
fn a_write_without_a_version_a_stamp_and_an_intent_is_found() {
    let broken = Rogue::at(3).scale(4).broken();
    assert!(broken.is_superset(&BTreeSet::from(["N5", "N6", "N7"])), "{broken:?}");
}

#[test]
fn a_second_effect_of_an_intent_is_found() {
    let rogue = Rogue::at(3);
    rogue.call("i1", Verb::System(SystemVerb::Barrier)).call("i1", Verb::System(SystemVerb::Barrier));
    assert!(rogue.broken().contains("N8"));
}

#[test]
fn a_write_to_a_claim_is_found() {
    let claim = "/api/v1/namespaces/shop/persistentvolumeclaims/data-db-0";
    let smaller = json!({ "spec": { "resources": { "requests": { "storage": "1Gi" } } } });
    assert!(Rogue::at(3).patch(claim, &smaller).broken().contains("N9"));
}

#[test]
fn a_deletion_is_found() {
    let broken = forged(5, 3, |evidence| {
        let write = evidence.log.iter_mut().find_map(|entry| match &mut entry.what {
            What::Write(write) => Some(write),
            What::Read { .. } | What::Landed(_) | What::Call { .. } | What::Decided(_) => None,
        });
        "DELETE".clone_into(&mut write.unwrap().method);
    });
    assert!(broken.contains("N1"));
}

#[test]
fn a_write_on_an_old_view_is_found() {
    let broken = forged(5, 3, |evidence| {
        let scale = evidence.log.iter_mut().find_map(|entry| match &mut entry.what {
            What::Write(write) if write.size().is_some() => Some(write),
            What::Write(_) | What::Read { .. } | What::Landed(_) | What::Call { .. } | What::Decided(_) => {
                None
            }
        });
        scale.unwrap().body["metadata"]["resourceVersion"] = json!("1");
    });
    assert_eq!(broken, BTreeSet::from(["N5"]));
}

#[test]
fn a_call_of_a_daemon_that_lost_the_leadership_is_found() {
    let broken = forged(5, 3, |evidence| {
        for entry in &mut evidence.log {
            if let What::Call { epoch, .. } = &mut entry.what {
                *epoch = 0;
            }
        }
    });
    assert_eq!(broken, BTreeSet::from(["N6"]));
}

#[test]
fn an_effect_before_its_intent_is_durable_is_found() {
    let broken = forged(5, 3, |evidence| {
        let call = |what: &What| matches!(what, What::Call { .. });
        let at = evidence.log.iter().position(|entry| call(&entry.what)).unwrap();
        let early = evidence.log.remove(at);
        // Before the write of its intent, which is the last one before it.
        let write = evidence.log[..at].iter().rposition(|entry| matches!(entry.what, What::Write(_)));
        evidence.log.insert(write.unwrap(), early);
    });
    assert!(broken.contains("N7"), "{broken:?}");
}

#[test]
fn a_shrinking_on_bad_signals_is_found() {
    let broken = forged(5, 3, |evidence| {
        for entry in &mut evidence.log {
            if let What::Write(write) = &mut entry.what {
                write.signals = false;
            }
        }
    });
    assert_eq!(broken, BTreeSet::from(["N11"]));
}

#[test]
fn a_wish_that_is_not_reached_and_a_silence_are_found() {
    assert_eq!(forged(3, 5, |evidence| evidence.voters = 4), BTreeSet::from(["N14"]));
    let silent = |evidence: &mut Evidence| {
        evidence.log.retain(|entry| !matches!(entry.what, What::Decided(_)));
    };
    assert_eq!(forged(3, 5, silent), BTreeSet::from(["N14"]));
}
