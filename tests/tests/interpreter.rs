//! The class `interpreter` with a real one: `examples/policy-python`, the language's interpreter inside, in the confined child.
//! `scripts/build-python-policy.sh` builds it.

use plimsoll::policy::{Class, Host, Limits, Loaded, Sandbox};
use plimsoll_tests::guest::snapshot;
use plimsoll_tests::library::config;
use plimsoll_wire::Snapshot;
use plimsoll_wire::proposal::Answer;
use plimsoll_wire::snapshot::SignalState;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The module; none where its tool could not be had, which the long form does not accept.
fn module() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bin/guests/per-member-python.wasm");
    if built.is_file() {
        return Some(built);
    }
    let why = std::fs::read_to_string(built.with_extension("wasm.left-out"));
    let why = why.expect("scripts/build-python-policy.sh builds it");
    assert!(std::env::var("PLIMSOLL_LONG").is_err(), "not built: {why}");
    println!("left out: {why}");
    None
}

async fn asked(policy: &Loaded, settings: Value, change: impl FnOnce(&mut Snapshot)) -> Value {
    let mut snapshot = snapshot();
    snapshot.target.settings = settings;
    change(&mut snapshot);
    let answer = policy.evaluate(&snapshot).await;
    let limits = Limits::of(Class::Interpreter);
    assert!(answer.fuel > 100_000 && answer.fuel < limits.fuel, "{}", answer.fuel);
    println!("{} units of fuel, {} ms in the child", answer.fuel, answer.guest_us / 1_000);
    match answer.result {
        Ok(Answer::Proposal(proposal)) => {
            json!({ "members": proposal.sizes.members, "code": proposal.reason.code, "signals": proposal.signals })
        }
        Ok(Answer::Refusal { refusal }) => json!({ "refusal": refusal.reason.code }),
        Err(failure) => json!({ "failure": failure.kind() }),
    }
}

#[tokio::test]
async fn a_policy_in_python_is_asked_in_its_class_and_refused_in_the_other() {
    let Some(module) = module() else { return };
    let host = Host { launch: config().launch, cache: None };
    assert_eq!(host.launch.sandbox, Sandbox::Required);
    let refused = host.load_file(&module, Class::Compiled).await.err().map(|why| why.kind().to_owned());
    assert_eq!(refused.as_deref(), Some("TOO_LARGE"));

    let policy = host.load_file(&module, Class::Interpreter).await.unwrap();
    let inspection = policy.inspection();
    assert_eq!(inspection.manifest.as_ref().map(|told| &told["name"]), Some(&json!("per-member")));
    let settings = || json!({ "signal": "load", "perMember": 0.25 });
    assert_eq!(
        asked(&policy, settings(), |_| ()).await,
        json!({ "members": 4, "code": "PerMember", "signals": ["load"] })
    );
    // A fresh instance each time: what one evaluation did, the next does not see.
    let stale = |snapshot: &mut Snapshot| {
        let signal = snapshot.signals.get_mut("load").unwrap();
        signal.state = SignalState::Stale;
        signal.samples.clear();
    };
    assert_eq!(asked(&policy, settings(), stale).await, json!({ "refusal": "StaleMetrics" }));
    assert_eq!(asked(&policy, json!(null), |_| ()).await, json!({ "refusal": "Settings" }));
    // An exception that nobody catches is a failure of one evaluation, and the child goes on.
    let endless = json!({ "signal": "load", "perMember": 5e-324 });
    assert_eq!(asked(&policy, endless, |_| ()).await["failure"], json!("GUEST"));
    assert_eq!(asked(&policy, settings(), |_| ()).await["members"], json!(4));
}
