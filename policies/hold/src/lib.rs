//! A policy that never changes anything, and says so: for targets that are only to be watched, and, beside
//! other policies, to stop every shrinking for a while.

use plimsoll_policy_sdk::{Manifest, Policy, Proposal, Refusal, Settings, Snapshot, hold};
use serde_json::json;

/// See the crate.
#[derive(Debug)]
pub struct Hold;

plimsoll_policy_sdk::export!(Hold);

const WHY: &str = "this policy never changes anything";

impl Policy for Hold {
    fn describe() -> Manifest {
        Manifest::new("hold", env!("CARGO_PKG_VERSION"), "Never changes anything.").settings(json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "reason": {
                    "type": "string",
                    "minLength": 1,
                    "default": WHY,
                    "description": "why the target is held, for people"
                }
            }
        }))
    }

    fn evaluate(input: &Snapshot) -> Result<Proposal, Refusal> {
        let mut settings = Settings::of(input);
        let reason = settings.text("reason", Some(WHY));
        settings.finish()?;
        Ok(hold("Hold", reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_policy_sdk::build::snapshot;

    #[test]
    fn never_wishes_a_size_and_says_why() {
        let input = snapshot().members(3).signal("cpu", [9.0]);
        assert_eq!(Hold::evaluate(&input.clone().build()), Ok(hold("Hold", WHY)));
        let input = input.settings(json!({"reason": "migration until Friday"})).build();
        assert_eq!(Hold::evaluate(&input), Ok(hold("Hold", "migration until Friday")));
    }

    #[test]
    fn refuses_a_setting_that_it_does_not_know() {
        let refusal =
            Hold::evaluate(&snapshot().settings(json!({"reasn": "x"})).build()).expect_err("misspelt");
        assert_eq!(refusal.reason.code, "BadSettings");
        assert_eq!(refusal.reason.message, "reasn is not a setting of this policy");
    }
}
