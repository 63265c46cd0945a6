//! A policy that answers with all that it was told: its `state` is the snapshot. So a test sees whether both
//! contracts hand over, and take back, every field.

use plimsoll_policy_sdk::{Fact, Level, Manifest, Policy, Proposal, Refusal, Snapshot, log, refusal, wish};

/// See the crate.
#[derive(Debug)]
pub struct Echo;

plimsoll_policy_sdk::export!(Echo);

impl Policy for Echo {
    fn describe() -> Manifest {
        let mut manifest =
            Manifest::new("echo", env!("CARGO_PKG_VERSION"), "Answers with all that it was told.");
        manifest.needs = vec!["a-fact".to_owned()];
        manifest.settings(serde_json::json!({ "type": "object" }))
    }

    /// Refuses where no size is known, so that both kinds of answer are seen.
    fn evaluate(input: &Snapshot) -> Result<Proposal, Refusal> {
        let text = serde_json::to_string(input).map_err(|error| refusal("Unwritable", error.to_string()))?;
        for level in [Level::Error, Level::Warn, Level::Info, Level::Debug] {
            log(level, &input.target.key);
        }
        let Fact::Known(size) = &input.sizes.members else { return Err(refusal("NoSize", text)) };
        Ok(Proposal {
            signals: input.signals.keys().cloned().collect(),
            forecast: input.signals.values().flat_map(|signal| signal.samples.clone()).collect(),
            state: Some(text),
            ask_again_ms: Some(size.age_ms),
            ..wish(size.value, "Echo", input.target.key.to_string())
        })
    }
}
