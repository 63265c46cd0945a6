//! The formula of Kubernetes' horizontal pod autoscaler, on demand, for systems that hold data: the smallest
//! number of members that brings one signal to its target, with tolerance, windows, stabilisation and rates
//! for each direction, and far more patience for shrinking. What is not known never shrinks anything.
//!
//! `policies/README.md` lists the settings. `examples/policy-go` is the same policy in Go: both give the same
//! bytes, so a change here is a change there.

mod demand;

use demand::Demand;
use plimsoll_policy_sdk::behavior::{Pace, Recall, paced, size};
use plimsoll_policy_sdk::snapshot::SignalState;
use plimsoll_policy_sdk::{Manifest, Policy, Proposal, Refusal, Snapshot, refusal, wish};

/// See the crate.
#[derive(Debug)]
pub struct TargetUtilization;

plimsoll_policy_sdk::export!(TargetUtilization);

impl Policy for TargetUtilization {
    fn describe() -> Manifest {
        let sentence = "Keeps one signal at its target: the HPA's formula, patient when it shrinks.";
        Manifest::new("target-utilization", env!("CARGO_PKG_VERSION"), sentence).settings(demand::schema())
    }

    fn evaluate(input: &Snapshot) -> Result<Proposal, Refusal> {
        let demand = Demand::of(input)?;
        let pace = Pace::of(input)?;
        let size = size(input)?;
        let wanted = demand.wanted(input, size, &pace)?;
        let mut recall = Recall::read(input.state.as_deref(), input);
        let (members, why) = paced(input, (wanted.members, &wanted.message), &pace, &mut recall, size);
        if demand.state == SignalState::Partial && members <= pace.goal {
            let message = format!("{}; partial data may only make the target grow", why.message);
            return Err(refusal("PartialMetrics", message));
        }
        Ok(Proposal {
            signals: vec![demand.signal.to_owned()],
            state: Some(recall.write(input)),
            ..wish(members, why.code, why.message)
        })
    }
}
