//! Hostile modules and guests (the codes name rows of the table in the design), each in the confined child that
//! the daemon would use, and a native probe in the guest's place.

use plimsoll::policy::{Class, Evaluation, Host, Launch, Limits, Loaded, Rejection, Sandbox};
use plimsoll_tests::guest::{answering, assemble, module, program, snapshot, wish, write};
use plimsoll_wire::proposal::Answer;

fn host() -> Host {
    let launch = Launch { program: plimsoll_tests::binary(), sandbox: Sandbox::Required };
    Host { launch, cache: None }
}

async fn load(module: &[u8]) -> Result<Loaded, Rejection> {
    host().load_bytes(module, Class::Compiled, Limits::of(Class::Compiled)).await
}

async fn ask(module: &[u8]) -> Evaluation {
    load(module).await.expect("a module that loads").evaluate(&snapshot()).await
}

fn verdict(evaluation: &Evaluation) -> String {
    match &evaluation.result {
        Ok(Answer::Proposal(proposal)) => format!("members {:?}", proposal.sizes.members),
        Ok(Answer::Refusal { refusal }) => format!("refusal {}", refusal.reason.code),
        Err(failure) => failure.kind().to_owned(),
    }
}

#[tokio::test]
async fn a_program_reads_a_snapshot_and_writes_a_proposal() {
    let evaluation = ask(&answering(&wish("5"))).await;
    assert_eq!(verdict(&evaluation), "members Some(5)", "{evaluation:?}");
    assert_eq!(evaluation.module.len(), 64);
    assert!(evaluation.fuel > 0);
}

#[tokio::test]
async fn a_native_probe_in_the_guests_place_is_refused_everywhere() {
    let boot = r#"{"role":"probe","class":"compiled","sandbox":"required","spaceBytes":1073741824,"cpuS":5}"#;
    let output = tokio::process::Command::new(plimsoll_tests::binary())
        .args(["policy-child", boot])
        .env_clear()
        .output()
        .await
        .expect("the probe runs");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    let report: serde_json::Value = serde_json::from_str(&text).expect("a report");
    let attempts = report["attempts"].as_object().expect("attempts");
    assert!(attempts.len() >= 15, "{text}");
    for (attempt, errno) in attempts {
        assert!([1, 11, 13].contains(&errno.as_i64().expect("a number")), "{attempt} gave {errno}");
    }
    assert_eq!(report["confinement"]["seccomp"], true);
    assert_eq!(report["confinement"]["noNewPrivileges"], true);
    assert_ne!(report["confinement"]["landlock"], "none");
}
