//! One policy in several languages and in both contracts gives the same bytes on 50 recorded snapshots. Each
//! module runs in the confined child that the daemon would use.

use plimsoll::policy::{Class, Host, Launch, Sandbox};
use plimsoll_policy_sdk::program;
use plimsoll_policy_target_utilization::TargetUtilization;
use std::path::{Path, PathBuf};

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
    let launch = Launch { program: plimsoll_tests::binary(), sandbox: Sandbox::Required };
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
