//! How a policy's number becomes a wish: the owner's bounds and `behavior`, with the HPA's meaning and defaults that suit
//! data. A policy says how many members its figures ask for; how fast the target may follow is the same for all.

mod pace;
mod recall;

pub use pace::{Direction, Pace, size};
pub use recall::Recall;

use crate::Snapshot;

/// What is said of a wish: the code of the last rule that changed it, and a sentence that every rule adds to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// A stable word.
    pub code: &'static str,
    /// One sentence for people.
    pub message: String,
}

impl Why {
    fn because(&mut self, code: &'static str, part: &str) {
        self.code = code;
        self.message.push_str("; ");
        self.message.push_str(part);
    }
}

/// What is wished where so many members are wanted, for this reason: in the HPA's order bounds, stabilisation, rates, and
/// bounds again.
pub fn paced(
    input: &Snapshot,
    (wanted, message): (u32, &str),
    pace: &Pace,
    recall: &mut Recall,
    size: u32,
) -> (u32, Why) {
    let code = match wanted.cmp(&pace.goal) {
        std::cmp::Ordering::Greater => "DemandAboveTarget",
        std::cmp::Ordering::Less => "DemandBelowTarget",
        std::cmp::Ordering::Equal => "OnTarget",
    };
    let mut why = Why { code, message: message.to_owned() };
    let bounded = within_bounds(input, wanted, &mut why);
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
