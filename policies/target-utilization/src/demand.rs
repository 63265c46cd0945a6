//! How many members the signal asks for.

use plimsoll_policy_sdk::behavior::Pace;
use plimsoll_policy_sdk::figures::{decimal, usable};
use plimsoll_policy_sdk::snapshot::{Signal, SignalState};
use plimsoll_policy_sdk::{Fact, Refusal, Settings, Snapshot, refusal};
use serde_json::{Value, json};

/// What is watched, and what it should be.
pub(crate) struct Demand<'a> {
    pub(crate) signal: &'a str,
    pub(crate) state: SignalState,
    samples: &'a Signal,
    target: f64,
    kind: &'static str,
    aggregate: &'static str,
    window_ms: u64,
}

/// How many members are wanted, and the sentence that says why.
pub(crate) struct Wanted {
    pub(crate) members: u32,
    pub(crate) message: String,
}

/// The signal is the same for every member, or an average over them: it falls when members are added.
const VALUE: &str = "Value";
/// The signal is a sum over all members: each has its share of it.
const AVERAGE_VALUE: &str = "AverageValue";

/// Quotients of decimal numbers miss whole numbers by a hair; this much is not demand.
const HAIR: f64 = 1e-9;

/// No system has more members; what asks for more is clamped by the owner's maximum anyway.
const MOST: f64 = 1_000_000.0;

pub(crate) fn schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["signal", "target"],
        "properties": {
            "signal": {"type": "string", "minLength": 1, "description": "the name of a signal of the target"},
            "target": {
                "type": "number",
                "exclusiveMinimum": 0,
                "description": "what the signal should be, in the signal's own unit; with AverageValue, a member's share"
            },
            "type": {
                "enum": [VALUE, AVERAGE_VALUE],
                "default": VALUE,
                "description": "Value: a figure a member, such as a utilisation; AverageValue: a sum over all members"
            },
            "window": {
                "type": "string",
                "pattern": "^[0-9]{1,6}[smh]$",
                "default": "2m",
                "description": "how far back samples count, from 1s to 24h"
            },
            "aggregate": {"enum": ["avg", "max", "last"], "default": "avg", "description": "of the samples in the window"}
        }
    })
}

impl<'a> Demand<'a> {
    /// Reads the settings and finds the signal.
    pub(crate) fn of(input: &'a Snapshot) -> Result<Self, Refusal> {
        let mut settings = Settings::of(input);
        let signal = settings.text("signal", None);
        let target = settings.positive("target");
        let kind = settings.word("type", &[VALUE, AVERAGE_VALUE]);
        let aggregate = settings.word("aggregate", &["avg", "max", "last"]);
        let window_ms = settings.duration_ms("window", 120_000);
        settings.finish()?;
        let Some(samples) = input.signals.get(signal) else {
            return Err(refusal("NoMetrics", format!("the target has no signal {signal}")));
        };
        usable(signal, samples)?;
        Ok(Self { signal, state: samples.state, samples, target, kind, aggregate, window_ms })
    }

    /// The smallest number of members that brings the signal to its target, the present one within tolerance.
    pub(crate) fn wanted(&self, input: &Snapshot, size: u32, pace: &Pace) -> Result<Wanted, Refusal> {
        let value = self.value(input)?;
        let (exact, ratio) = if self.kind == VALUE {
            (f64::from(size) * value / self.target, value / self.target)
        } else {
            (value / self.target, value / (self.target * f64::from(size)))
        };
        let tolerated =
            ratio <= 1.0 + pace.up.tolerance + HAIR && ratio >= 1.0 - pace.down.tolerance - HAIR && size > 0;
        let members = if tolerated { size } else { (exact - HAIR).ceil().clamp(0.0, MOST) as u32 };
        let Self { signal, aggregate, .. } = self;
        let (value, target, window_s) = (decimal(value), decimal(self.target), self.window_ms / 1_000);
        let verb = if tolerated { "within tolerance, there are" } else { "asks for" };
        let of = if tolerated { String::new() } else { format!(", there are {size}") };
        let message = format!(
            "{aggregate} of {signal} over {window_s} s is {value}, target {target}: {verb} {members}{of}"
        );
        Ok(Wanted { members, message })
    }

    /// The aggregate of the samples in the window. A figure a member that was measured with another number of
    /// members says nothing about the present one: it does not count.
    fn value(&self, input: &Snapshot) -> Result<f64, Refusal> {
        let signal = self.signal;
        let since = |ms: u64| input.now.wall_ms.saturating_sub_unsigned(ms);
        let settled_ms = match &input.sizes.members {
            Fact::Known(size) if self.kind == VALUE => size.stable_ms.min(self.window_ms),
            Fact::Known(_) | Fact::Unknown { .. } | Fact::NotApplicable => self.window_ms,
        };
        let samples = &self.samples.samples;
        let Some(newest) = samples.iter().map(|sample| sample.at_ms).max() else {
            return Err(refusal("NoMetrics", format!("signal {signal} has no samples")));
        };
        if newest < since(self.window_ms) {
            let window_s = self.window_ms / 1_000;
            let message = format!("signal {signal} has no sample of the last {window_s} s");
            return Err(refusal("StaleMetrics", message));
        }
        let first = since(settled_ms);
        let values: Vec<f64> =
            samples.iter().filter(|sample| sample.at_ms >= first).map(|sample| sample.value).collect();
        if values.is_empty() {
            let message = format!("signal {signal} has no sample since the number of members changed");
            return Err(refusal("SizeChanged", message));
        }
        if !values.iter().all(|value| value.is_finite() && *value >= 0.0) {
            let message = format!("signal {signal} has a sample that is negative or not a number");
            return Err(refusal("InvalidMetrics", message));
        }
        Ok(aggregate(self.aggregate, &values))
    }
}

/// Sums from the oldest to the newest: the order is part of the result.
fn aggregate(word: &str, values: &[f64]) -> f64 {
    match word {
        "max" => values.iter().copied().fold(0.0, f64::max),
        "last" => values.last().copied().unwrap_or_default(),
        _ => values.iter().fold(0.0, |sum, value| sum + value) / values.len() as f64,
    }
}
