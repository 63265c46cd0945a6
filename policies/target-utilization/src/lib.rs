//! The formula of Kubernetes' horizontal pod autoscaler, on demand, for systems that hold data: the smallest
//! number of members that brings one signal to its target, with tolerance, windows, stabilisation and rates
//! for each direction, and far more patience for shrinking. What is not known never shrinks anything.
//!
//! `policies/README.md` lists the settings. `examples/policy-go` is the same policy in Go: both give the same
//! bytes, so a change here is a change there.

mod demand;
mod pace;
mod recall;

use demand::{Demand, Wanted};
use pace::Pace;
use plimsoll_policy_sdk::snapshot::SignalState;
use plimsoll_policy_sdk::{Manifest, Policy, Proposal, Refusal, Snapshot, refusal, wish};
use recall::Recall;

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
        let size = pace::size(input)?;
        let wanted = demand.wanted(input, size, &pace)?;
        let mut recall = Recall::read(input);
        let (members, why) = decide(input, &wanted, &pace, &mut recall, size);
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

/// What is said of a wish: the code of the last rule that changed it, and a sentence that every rule adds to.
struct Why {
    code: &'static str,
    message: String,
}

impl Why {
    fn because(&mut self, code: &'static str, part: &str) {
        self.code = code;
        self.message.push_str("; ");
        self.message.push_str(part);
    }
}

/// The HPA's order: bounds, stabilisation, rates, and bounds again.
fn decide(input: &Snapshot, wanted: &Wanted, pace: &Pace, recall: &mut Recall, size: u32) -> (u32, Why) {
    let code = match wanted.members.cmp(&pace.goal) {
        std::cmp::Ordering::Greater => "DemandAboveTarget",
        std::cmp::Ordering::Less => "DemandBelowTarget",
        std::cmp::Ordering::Equal => "OnTarget",
    };
    let mut why = Why { code, message: wanted.message.clone() };
    let bounded = within_bounds(input, wanted.members, &mut why);
    let steady = stabilised(input, bounded, pace, recall, &mut why);
    let paced = pace.limit(input, size, steady);
    if paced > steady {
        why.because("ScaleDownLimit", &format!("scaleDown.policies allow {paced} for now"));
    } else if paced < steady {
        why.because("ScaleUpLimit", &format!("scaleUp.policies allow {paced} for now"));
    }
    (within_bounds(input, paced, &mut why), why)
}

fn within_bounds(input: &Snapshot, members: u32, why: &mut Why) -> u32 {
    let (min, max) = input.target.member_bounds();
    let bounded = members.max(min).min(max);
    if bounded > members {
        why.because("AtMinimum", &format!("the minimum is {bounded}"));
    } else if bounded < members {
        why.because("AtMaximum", &format!("the maximum is {bounded}"));
    }
    bounded
}

/// The goal, moved only as far as every wish in the window of its direction agrees.
fn stabilised(input: &Snapshot, wanted: u32, pace: &Pace, recall: &mut Recall, why: &mut Why) -> u32 {
    let now_ms = input.now.mono_ms;
    let least = recall.least(now_ms, pace.up.window_ms, pace.goal, wanted);
    let most = recall.most(now_ms, pace.down.window_ms, pace.goal, wanted);
    let steady = pace.goal.max(least).min(most);
    if steady > wanted {
        let window_s = pace.down.window_ms / 1_000;
        why.because(
            "ScaleDownStabilized",
            &format!("within the last {window_s} s as many as {most} were wanted"),
        );
    } else if steady < wanted {
        let window_s = pace.up.window_ms / 1_000;
        why.because(
            "ScaleUpStabilized",
            &format!("within the last {window_s} s as few as {least} were wanted"),
        );
    }
    steady
}
