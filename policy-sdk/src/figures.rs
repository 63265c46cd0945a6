//! Figures that a policy reads, and figures that it tells people.

use crate::snapshot::{Signal, SignalState};
use crate::{Refusal, refusal};

/// Whether a signal can be used at all: `ok`, or `partial`, which may only make a target grow.
///
/// # Errors
/// A refusal that names its state.
pub fn usable(name: &str, signal: &Signal) -> Result<(), Refusal> {
    let (code, what) = match signal.state {
        SignalState::Ok | SignalState::Partial => return Ok(()),
        SignalState::Stale => ("StaleMetrics", "stale"),
        SignalState::Absent => ("NoMetrics", "absent"),
        SignalState::NotANumber => ("InvalidMetrics", "not a number"),
        SignalState::Malformed => ("InvalidMetrics", "malformed"),
        SignalState::Ambiguous => ("AmbiguousMetrics", "ambiguous"),
        SignalState::Skewed => ("SkewedMetrics", "from the future"),
        SignalState::Unavailable => ("MetricsUnavailable", "unavailable"),
    };
    let detail = if signal.detail.is_empty() { String::new() } else { format!(": {}", signal.detail) };
    Err(refusal(code, format!("signal {name} is {what}{detail}")))
}

/// The most decimals of a number for people.
const PLACES: usize = 12;

/// A number for people, written alike in every language: three decimals, and of a small one three digits that count.
#[must_use]
pub fn decimal(value: f64) -> String {
    let (mut places, mut power) = (3, 1_000_u64);
    while value > 0.0 && value * (power as f64) < 100.0 && places < PLACES {
        (places, power) = (places + 1, power * 10);
    }
    let parts = (value * power as f64).round();
    if parts >= 1e15 {
        return "more than 10^12".to_owned();
    }
    let parts = parts as u64;
    if parts == 0 && value > 0.0 {
        return "less than 10^-12".to_owned();
    }
    let text = format!("{}.{:0places$}", parts / power, parts % power);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn a_number_for_people_keeps_three_digits_that_count() {
        for (value, text) in [
            (0.0, "0"),
            (0.0004, "0.0004"),
            (0.000_812_345, "0.000812"),
            (0.07, "0.07"),
            (0.123_456, "0.123"),
            (1.0 / 3.0, "0.333"),
            (1_234.567_89, "1234.568"),
            (0.099_96, "0.1"),
            (1e-10, "0.0000000001"),
            (1.234e-11, "0.000000000012"),
            (1e-13, "less than 10^-12"),
            (1e12, "more than 10^12"),
        ] {
            assert_eq!(decimal(value), text, "{value}");
        }
    }
}
