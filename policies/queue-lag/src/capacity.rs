//! How many records a member handles in a second. Where the owner does not say, it is learned: while records wait every member
//! is at work, so what is handled then is what they can do.

use crate::backlog::Flow;
use plimsoll_policy_sdk::Snapshot;

/// What was learned fades to nothing within this time: software and records change.
const FADES_MS: u64 = 48 * 60 * 60 * 1_000;

/// The most that a member was seen to handle, and when.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Capacity {
    best: f64,
    at_ms: u64,
}

impl Capacity {
    /// Reads what [`Capacity::write`] wrote; of another boot, or unreadable, it is lost.
    pub(crate) fn read(text: Option<&str>, input: &Snapshot) -> Self {
        text.and_then(|text| parse(text, input)).unwrap_or_default()
    }

    /// What was learned, in one line.
    pub(crate) fn write(&self, input: &Snapshot) -> String {
        format!("{};{};{}", self.best, self.at_ms, input.now.boot)
    }

    /// Learns from a queue in which no member is idle. A group that stands still, because it is being rebalanced or has
    /// stopped, teaches nothing.
    pub(crate) fn learn(&mut self, input: &Snapshot, flow: Option<&Flow>, size: u32) {
        let Some(handled) = flow.and_then(|flow| flow.at_most).filter(|_| size > 0) else { return };
        let each = handled / f64::from(size);
        if each >= self.now(input) {
            (self.best, self.at_ms) = (each, input.now.mono_ms);
        }
    }

    /// Records a second that a member can handle; 0 where nothing was learned.
    pub(crate) fn now(&self, input: &Snapshot) -> f64 {
        let age_ms = input.now.mono_ms.saturating_sub(self.at_ms);
        let left = FADES_MS.saturating_sub(age_ms) as f64 / FADES_MS as f64;
        // For half of the time it is as good as new.
        self.best * (2.0 * left).min(1.0)
    }
}

fn parse(text: &str, input: &Snapshot) -> Option<Capacity> {
    let mut parts = text.splitn(3, ';');
    let (best, at_ms, boot) = (parts.next()?, parts.next()?, parts.next()?);
    let (best, at_ms) = (best.parse::<f64>().ok()?, at_ms.parse::<u64>().ok()?);
    let is_sound = best.is_finite() && best >= 0.0 && at_ms <= input.now.mono_ms && boot == &*input.now.boot;
    is_sound.then_some(Capacity { best, at_ms })
}
