//! One policy in several languages and in both contracts gives the same bytes on 50 recorded snapshots. Each
//! module runs in the confined child that the daemon would use.

use plimsoll::policy::{Class, Host, Launch, Sandbox};
use plimsoll_core::combine::OnError;
use plimsoll_core::cycle::{PolicyRef, Spec};
use plimsoll_core::profile;
use plimsoll_policy_sdk::program;
use plimsoll_policy_target_utilization::TargetUtilization;
use plimsoll_sim::faults::FaultSetup;
use plimsoll_sim::load::{Load, Shape};
use plimsoll_sim::pilot::Pilot;
use plimsoll_sim::quorum::QuorumSetup;
use plimsoll_sim::sim::{Setup, Sim, WorldSetup};
use plimsoll_wire::proposal::Answer;
use plimsoll_wire::snapshot::{Behavior, Mode, Snapshot};
use plimsoll_wire::{Fact, Safety};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn lines(name: &str) -> Vec<String> {
    let path = root().join("tests/data").join(name);
    let text = std::fs::read_to_string(&path).expect("recorded data");
    text.lines().map(str::to_owned).collect()
}

/// The answers of a built module, one for each snapshot, as canonical JSON.
async fn evaluate_all(module: &str, snapshots: &[String]) -> Vec<String> {
    let path = root().join("bin/policies").join(module);
    assert!(path.is_file(), "{} is missing: run scripts/build-policies.sh first", path.display());
    let launch =
        Launch { program: plimsoll_tests::binary(), sandbox: Sandbox::Required, ..Launch::default() };
    let host = Host { launch, cache: None };
    let loaded = host.load_file(&path, Class::Compiled).await.expect("a module that loads");
    let (mut answers, mut fuel) = (Vec::new(), 0);
    for line in snapshots {
        let snapshot = serde_json::from_str(line).expect("a recorded snapshot");
        let evaluation = loaded.evaluate(&snapshot).await;
        fuel = evaluation.fuel.max(fuel);
        let answer = evaluation.result.expect("an answer");
        let bytes = plimsoll_wire::canonical(&answer).expect("canonical bytes");
        answers.push(String::from_utf8(bytes).expect("text"));
    }
    println!("{module}: at most {fuel} units of fuel for an evaluation");
    answers
}

fn assert_equal(module: &str, answers: &[String]) {
    let recorded = lines("answers-50.jsonl");
    assert_eq!(answers.len(), recorded.len());
    for (index, (answer, expected)) in answers.iter().zip(&recorded).enumerate() {
        assert_eq!(answer, expected, "{module}, line {} of snapshots-50.jsonl", index + 1);
    }
}

#[test]
fn the_library_gives_the_recorded_answers() {
    let snapshots = lines("snapshots-50.jsonl");
    assert_eq!(snapshots.len(), 50);
    let answer = |line: &String| program::answer::<TargetUtilization>(line.as_bytes());
    let text = |line| String::from_utf8(answer(line)).expect("text");
    assert_equal("the library", &snapshots.iter().map(text).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_program_in_rust_gives_the_recorded_answers() {
    let module = "target-utilization.wasm";
    assert_equal(module, &evaluate_all(module, &lines("snapshots-50.jsonl")).await);
}

#[tokio::test]
async fn the_program_in_go_gives_the_recorded_answers() {
    let module = "target-utilization-go.wasm";
    assert_equal(module, &evaluate_all(module, &lines("snapshots-50.jsonl")).await);
}

#[tokio::test]
async fn the_component_gives_the_recorded_answers() {
    let module = "target-utilization.component.wasm";
    assert_equal(module, &evaluate_all(module, &lines("snapshots-50.jsonl")).await);
}

/// What 50 lines are worth depends on what stands in them.
#[test]
fn the_recorded_snapshots_are_fifty_situations_and_not_one() {
    let snapshots = lines("snapshots-50.jsonl");
    let distinct: BTreeSet<&String> = snapshots.iter().collect();
    assert_eq!(distinct.len(), 50);
    let (mut states, mut sizes, mut codes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for line in &snapshots {
        let snapshot: Snapshot = serde_json::from_str(line).expect("a recorded snapshot");
        states.extend(snapshot.signals.values().map(|signal| format!("{:?}", signal.state)));
        sizes.insert(match snapshot.sizes.members {
            Fact::Known(_) => "known",
            Fact::Unknown { .. } => "unknown",
            Fact::NotApplicable => "not applicable",
        });
    }
    for line in lines("answers-50.jsonl") {
        codes.insert(match serde_json::from_str(&line).expect("a recorded answer") {
            Answer::Proposal(proposal) => proposal.reason.code,
            Answer::Refusal { refusal } => refusal.reason.code,
        });
    }
    assert_eq!(states.len(), 9, "{states:?}");
    assert_eq!(sizes.len(), 3, "{sizes:?}");
    assert!(codes.len() >= 18, "{codes:?}");
}

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// How often one combination of a signal's state and an answer's code is kept.
const KEPT: usize = 12;

/// Snapshots that the production cycle made of a simulated day with faults, and the library's answers, whose state
/// the cycle carried on.
fn simulated_day() -> (Vec<String>, Vec<String>) {
    let mut sim = Sim::new(Setup {
        seed: 11,
        world: WorldSetup::Quorum(QuorumSetup::default()),
        load: Load::new(Shape::Daily { low: 600, high: 3_600, period_ms: DAY_MS / 4 }).with_noise(50, 11),
        faults: FaultSetup::Drawn { until_ms: DAY_MS },
        sample_ms: 15_000,
        window_ms: 120_000,
    });
    let settings =
        serde_json::json!({ "signal": "demand", "target": 600, "type": "AverageValue", "window": "2m" });
    let spec = Spec {
        key: "default/sim".into(),
        profile: Arc::clone(&profile::SIM_QUORUM),
        platform: "sim".to_owned(),
        mode: Mode::Enforce,
        min: 3,
        max: 7,
        behavior: Behavior::default(),
        safety: Safety::default(),
        policies: vec![PolicyRef {
            name: "load".to_owned(),
            module: "native".to_owned(),
            on_error: OnError::Hold,
            settings,
        }],
        interval_ms: 15_000,
        held: None,
        pauses: plimsoll_core::pauses::Pauses::default(),
        pace_ms: 2_000,
    };
    let kept = Arc::new(Mutex::new((BTreeMap::<String, usize>::new(), Vec::new(), Vec::new())));
    let keeper = Arc::clone(&kept);
    let policy = move |_: &PolicyRef, snapshot: &Snapshot| {
        let line = plimsoll_wire::canonical(snapshot).expect("canonical bytes");
        let written = program::answer::<TargetUtilization>(&line);
        let answer: Answer = serde_json::from_slice(&written).expect("an answer");
        let code = match &answer {
            Answer::Proposal(proposal) => &proposal.reason.code,
            Answer::Refusal { refusal } => &refusal.reason.code,
        };
        let state = snapshot.signals.get("demand").map(|signal| signal.state);
        let mut kept = keeper.lock().expect("nobody panics with it");
        let seen = kept.0.entry(format!("{state:?} {code}")).or_default();
        *seen += 1;
        if *seen <= KEPT {
            kept.1.push(String::from_utf8(line).expect("text"));
            kept.2.push(String::from_utf8(written).expect("text"));
        }
        answer
    };
    let end_ms = sim.now_ms() + DAY_MS;
    Pilot::new(spec, Box::new(policy), &sim).run(&mut sim, end_ms);
    let kept = kept.lock().expect("nobody panics with it");
    println!("{:?}", kept.0);
    (kept.1.clone(), kept.2.clone())
}

#[tokio::test]
async fn the_twins_agree_on_a_simulated_day_with_faults() {
    let (snapshots, expected) = simulated_day();
    let distinct: BTreeSet<&String> = snapshots.iter().collect();
    assert_eq!(distinct.len(), snapshots.len());
    assert!(snapshots.len() >= 50, "only {} snapshots", snapshots.len());
    for module in ["target-utilization-go.wasm", "target-utilization.component.wasm"] {
        let answers = evaluate_all(module, &snapshots).await;
        for (answer, (expected, snapshot)) in answers.iter().zip(expected.iter().zip(&snapshots)) {
            assert_eq!(answer, expected, "{module} on {snapshot}");
        }
    }
}
