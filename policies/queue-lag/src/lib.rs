//! As many members as work a queue off in time. The lag of a consumer group says little by itself: a thousand waiting records
//! are nothing for a group that handles a thousand a second. What counts is the time to catch up, and that follows from what
//! waits, what arrives, and what a member can handle.
//!
//! `policies/README.md` lists the settings. What is not known never shrinks anything.

mod backlog;
mod capacity;
mod demand;

use backlog::Backlog;
use capacity::Capacity;
use demand::Demand;
use plimsoll_policy_sdk::behavior::{Pace, Recall, paced, size};
use plimsoll_policy_sdk::{Manifest, Policy, Proposal, Refusal, Snapshot, hold, refusal, wish};

/// See the crate.
#[derive(Debug)]
pub struct QueueLag;

plimsoll_policy_sdk::export!(QueueLag);

impl Policy for QueueLag {
    fn describe() -> Manifest {
        let sentence = "Keeps the time in which consumers catch up with a queue below a limit.";
        Manifest::new("queue-lag", env!("CARGO_PKG_VERSION"), sentence).settings(demand::schema())
    }

    fn evaluate(input: &Snapshot) -> Result<Proposal, Refusal> {
        let demand = Demand::of(input)?;
        let (pace, size) = (Pace::of(input)?, size(input)?);
        let mut memory = input.state.as_deref().unwrap_or_default().splitn(3, '\n');
        let mut recall = Recall::read(memory.next(), input);
        let mut backlog = Backlog::read(memory.next(), input);
        let mut capacity = Capacity::read(memory.next(), input);
        let seen = demand.seen(input)?;
        backlog.note(input, &seen, demand.window_ms);
        let flow = backlog.flow(&seen);
        capacity.learn(input, flow.as_ref().ok(), size);
        // What was just seen has to be kept whatever is said, or nobody would ever know how fast records arrive.
        let state = |recall: &Recall| {
            Some([recall.write(input), backlog.write(input), capacity.write(input)].join("\n"))
        };
        let limits = (&capacity, seen.partitions);
        let wanted = match flow.and_then(|flow| demand.wanted(input, &flow, limits, size, &pace)) {
            Ok(wanted) => wanted,
            Err((code, why)) => return Ok(Proposal { state: state(&recall), ..hold(code, why) }),
        };
        let (members, why) = paced(input, (wanted.members, &wanted.message), &pace, &mut recall, size);
        if seen.partial && members <= pace.goal {
            let message = format!("{}; partial data may only make the target grow", why.message);
            return Err(refusal("PartialMetrics", message));
        }
        let signals = seen.signals.iter().map(ToString::to_string).collect();
        Ok(Proposal { signals, state: state(&recall), ..wish(members, why.code, why.message) })
    }
}
