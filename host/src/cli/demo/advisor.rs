//! The policy of the demo: the shipped module in a confined child process, or the same policy run natively.

use super::story::POLICY;
use crate::policy::{Class, Host, Loaded};
use anyhow::anyhow;
use plimsoll_core::cycle::{Evaluated, PolicyRef};
use plimsoll_policy_sdk::program;
use plimsoll_policy_target_utilization::TargetUtilization;
use plimsoll_sim::pilot::{Asker, Policy};
use plimsoll_wire::Snapshot;
use plimsoll_wire::proposal::{Answer, Reason, Refusal};
use std::path::{Path, PathBuf};

/// A policy, and what it is in one line.
pub(super) struct Advisor {
    pub(super) asker: Asker,
    pub(super) description: String,
}

/// The module that was named; else the one that lies beside this program; else the native twin.
pub(super) fn advisor(named: Option<&Path>) -> anyhow::Result<Advisor> {
    if let Some(path) = named {
        return confined(path).map_err(|error| anyhow!("{}: {error}", path.display()));
    }
    let Some(path) = beside() else {
        return Ok(native_advisor("no module found beside this program (`make policies` builds it)"));
    };
    Ok(confined(&path).unwrap_or_else(|error| native_advisor(&error)))
}

/// `bin/policies` or `policies`, in the program's folder or one of those above it.
fn beside() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let file = format!("{POLICY}.wasm");
    let folders = program.ancestors().skip(1).take(4);
    folders.flat_map(|folder| ["bin/policies", "policies"].map(|name| folder.join(name).join(&file))).find(
        |path| {
            // Its source lies in a folder of the same name.
            path.is_file()
        },
    )
}

fn confined(path: &Path) -> Result<Advisor, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let loaded: Loaded = runtime
        .block_on(Host::default().load_file(path, Class::Compiled))
        .map_err(|rejection| rejection.to_string())?;
    let digest: String = loaded.inspection().digest.chars().take(12).collect();
    let description = format!("{POLICY}.wasm ({digest}) in a confined child process");
    let asker = move |asked: &PolicyRef, snapshot: &Snapshot| {
        let evaluation = runtime.block_on(loaded.evaluate(snapshot));
        let answer = evaluation.result.map_err(|failure| (failure.kind().to_owned(), failure.to_string()));
        let (policy, module) = (asked.name.clone(), evaluation.module);
        Evaluated { policy, module, fuel: evaluation.fuel, answer }
    };
    Ok(Advisor { asker: Box::new(asker), description })
}

pub(super) fn native_advisor(why: &str) -> Advisor {
    let asker = |asked: &PolicyRef, snapshot: &Snapshot| {
        let (policy, module) = (asked.name.clone(), "native".to_owned());
        Evaluated { policy, module, fuel: 0, answer: Ok(twin(snapshot)) }
    };
    Advisor { asker: Box::new(asker), description: format!("{POLICY}, run natively: {why}") }
}

/// The same source, compiled into this program: it answers byte for byte as the module does.
fn twin(snapshot: &Snapshot) -> Answer {
    let answer = plimsoll_wire::canonical(snapshot)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&program::answer::<TargetUtilization>(&bytes)).ok());
    answer.unwrap_or_else(|| {
        let reason = Reason { code: "UnreadableSnapshot".to_owned(), message: String::new() };
        Answer::Refusal { refusal: Refusal { reason } }
    })
}

/// The native twin for a daemon without a guard: it keeps its settings and its state by itself.
pub(super) fn unguarded(settings: serde_json::Value) -> Policy {
    let mut state = None;
    Box::new(move |_, snapshot: &Snapshot| {
        let mut own = snapshot.clone();
        own.target.settings = settings.clone();
        own.state.clone_from(&state);
        let answer = twin(&own);
        if let Answer::Proposal(proposal) = &answer {
            state.clone_from(&proposal.state);
        }
        answer
    })
}
