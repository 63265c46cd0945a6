//! Tries each policy's settings: asks the policy once about a made-up cluster in which every signal of the document is
//! well. Only the policy itself knows whether its settings are right, and whether a signal that they name exists.

use crate::config::TargetConfig;
use crate::daemon::assembly;
use crate::platforms::sim;
use crate::policy::Library;
use plimsoll_sim::sim::SIGNALS;
use plimsoll_wire::{Answer, FORMAT_VERSION, Snapshot};
use serde_json::{Value, json};
use std::sync::Arc;

/// What a policy says of its settings. The words are the policies' contract: `docs/policies.md`.
const SETTINGS: [&str; 2] = ["BadSettings", "NoMetrics"];
/// When the made-up snapshot was taken.
const WALL_MS: i64 = 1_800_000_000_000;
const SAMPLES: i64 = 60;

/// Asks every policy of every target; what it says against its settings, by the places of both. That it fails is no word on
/// them: the cluster is made up.
pub(super) async fn all(library: &Library, targets: &[TargetConfig]) -> Vec<(usize, usize, String)> {
    let mut found = Vec::new();
    for (at, target) in targets.iter().enumerate() {
        for (index, policy) in target.policies.iter().enumerate() {
            let name = &*policy.asked.module;
            // A module that is not loaded is reported as that.
            let is_loaded =
                |status: &crate::policy::PolicyStatus| status.name == name && status.module.is_some();
            let Some(snapshot) = snapshot(target, &policy.asked.settings) else { continue };
            if !library.status().iter().any(is_loaded) {
                continue;
            }
            let answer = library.evaluate(name, Arc::new(snapshot)).await.result;
            if let Ok(Answer::Refusal { refusal }) = answer
                && SETTINGS.contains(&refusal.reason.code.as_str())
            {
                found.push((at, index, refusal.reason.message));
            }
        }
    }
    found
}

/// A cluster of the least size of which nothing is wrong that is known, and nothing known but what settings are about.
fn snapshot(target: &TargetConfig, settings: &Value) -> Option<Snapshot> {
    let known = |value: Value| {
        json!({ "state": "known", "value": value, "authority": "consensus", "ageMs": 0, "observer": "check",
                "observerUpMs": 86_400_000, "stableMs": 86_400_000, "reads": 1_000 })
    };
    let unknown = json!({ "state": "unknown", "reason": { "kind": "not-scraped" } });
    let spec = assembly::spec(target, 0).ok()?;
    let document = json!({
        "formatVersion": FORMAT_VERSION,
        "now": { "monoMs": 1_000_000, "wallMs": WALL_MS, "boot": "check" },
        "target": {
            "key": target.key.to_string(), "system": spec.profile.system, "platform": spec.platform, "mode": target.mode,
            "bounds": spec.bounds(), "settings": settings, "behavior": target.behavior,
        },
        "safety": target.safety,
        "profile": spec.profile,
        "sizes": { "members": known(target.min_replicas.into()) },
        "fingerprint": unknown, "epoch": unknown, "generation": unknown, "owner": unknown, "members": unknown,
        "vacant": unknown, "groups": unknown, "shards": unknown, "operations": unknown, "debts": unknown,
        "signals": signals(target),
    });
    serde_json::from_value(document).ok()
}

/// The signals of the document, and those that a simulated world has by itself.
fn signals(target: &TargetConfig) -> serde_json::Map<String, Value> {
    let signal = |name: &str, step_ms: u64| {
        let step_ms = i64::try_from(step_ms).unwrap_or(1_000);
        let sample = |back: i64| json!({ "atMs": WALL_MS - back * step_ms, "value": 1.0 });
        let samples: Vec<Value> = (0..SAMPLES).rev().map(sample).collect();
        let signal = json!({ "state": "ok", "ageMs": 0, "coveragePermille": 1_000, "samples": samples });
        (name.to_owned(), signal)
    };
    let is_simulated = target.platform.kind.word == sim::WORD;
    let own = SIGNALS.iter().filter(|_| is_simulated).map(|name| signal(name, 1_000));
    own.chain(target.signals.iter().map(|one| signal(&one.definition.name, one.definition.step_ms))).collect()
}
