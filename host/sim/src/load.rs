//! How much is asked of a world: generators and recorded traces.
//!
//! Load is a pure function of time, so that it does not depend on how often somebody looks.

use crate::rng::mix;
use thiserror::Error;

/// A demand over time, in thousandths of a request a second.
#[derive(Clone, Debug)]
pub struct Load {
    shape: Shape,
    noise_permille: u64,
    seed: u64,
}

/// How demand goes. Rates are requests a second; times are milliseconds since the start of the run.
#[derive(Clone, Debug)]
pub enum Shape {
    /// Always the same.
    Constant(u64),
    /// Up and down once a period, lowest at the start, highest in its middle.
    Daily {
        /// At the lowest.
        low: u64,
        /// At the highest.
        high: u64,
        /// A day, or less for a compressed one.
        period_ms: u64,
    },
    /// From one rate to another.
    Ramp {
        /// Before.
        from: u64,
        /// After.
        to: u64,
        /// When it begins.
        start_ms: u64,
        /// For how long it goes.
        length_ms: u64,
    },
    /// A square peak, again and again, on top of nothing.
    Spikes {
        /// How high.
        height: u64,
        /// How often.
        every_ms: u64,
        /// For how long.
        width_ms: u64,
    },
    /// One crowd: a steep rise and a slow fall, on top of nothing.
    FlashCrowd {
        /// How high.
        peak: u64,
        /// When it begins.
        start_ms: u64,
        /// How long it rises.
        rise_ms: u64,
        /// How long it falls.
        fall_ms: u64,
    },
    /// A recorded one.
    Trace(Trace),
    /// All of them together.
    Sum(Vec<Shape>),
}

/// A recorded demand, repeated when it ends.
#[derive(Clone, Debug)]
pub struct Trace {
    step_ms: u64,
    milli: Vec<u64>,
}

/// Why a recorded demand cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TraceError {
    /// The first line that is no comment is not the header.
    #[error("line {line}: expected the header `timestamp_s,value`")]
    Header {
        /// Counted from 1.
        line: usize,
    },
    /// A row is not two numbers, or its value is negative or not finite.
    #[error("line {line}: expected a time in seconds and a rate that is finite and not negative")]
    Row {
        /// Counted from 1.
        line: usize,
    },
    /// The rows are not equally spaced.
    #[error("line {line}: expected the time {expected_s}, as the rows before are equally spaced")]
    Spacing {
        /// Counted from 1.
        line: usize,
        /// Which time should stand there.
        expected_s: i64,
    },
    /// There are fewer than two rows.
    #[error("a trace needs at least two rows")]
    Short,
}

impl Load {
    /// A demand without noise.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self { shape, noise_permille: 0, seed: 0 }
    }

    /// The same demand, wrong by up to `permille` in either direction, anew every ten seconds.
    #[must_use]
    pub fn with_noise(self, permille: u64, seed: u64) -> Self {
        Self { noise_permille: permille.min(1_000), seed, ..self }
    }

    /// The demand `at_ms` milliseconds after the start, in thousandths of a request a second.
    #[must_use]
    pub fn milli_per_s(&self, at_ms: u64) -> u64 {
        let exact = self.shape.milli_per_s(at_ms);
        if self.noise_permille == 0 {
            return exact;
        }
        let dice = mix(self.seed ^ mix(at_ms / 10_000)) % (2 * self.noise_permille + 1);
        share(exact, 1_000 + dice - self.noise_permille, 1_000)
    }
}

impl Shape {
    fn milli_per_s(&self, at_ms: u64) -> u64 {
        match self {
            Self::Constant(rate) => rate * 1_000,
            Self::Daily { low, high, period_ms } => {
                let period_ms = (*period_ms).max(1);
                let swing = (high.saturating_sub(*low)) * 1_000;
                low * 1_000 + share(swing, hump(share(at_ms % period_ms, 1_000_000, period_ms)), 1_000_000)
            }
            Self::Ramp { from, to, start_ms, length_ms } => {
                let done = at_ms.saturating_sub(*start_ms).min(*length_ms);
                let (from, to) = (from * 1_000, to * 1_000);
                if to >= from {
                    from + share(to - from, done, *length_ms)
                } else {
                    from - share(from - to, done, *length_ms)
                }
            }
            Self::Spikes { height, every_ms, width_ms } => {
                if at_ms % (*every_ms).max(1) < *width_ms {
                    height * 1_000
                } else {
                    0
                }
            }
            Self::FlashCrowd { peak, start_ms, rise_ms, fall_ms } => {
                let Some(since) = at_ms.checked_sub(*start_ms) else { return 0 };
                match since.checked_sub(*rise_ms) {
                    None => share(peak * 1_000, since, *rise_ms),
                    Some(falling) => share(peak * 1_000, fall_ms.saturating_sub(falling), *fall_ms),
                }
            }
            Self::Trace(trace) => trace.milli_per_s(at_ms),
            Self::Sum(shapes) => shapes.iter().map(|shape| shape.milli_per_s(at_ms)).sum(),
        }
    }
}

impl Trace {
    /// Reads `# comment` lines, the header `timestamp_s,value` and equally spaced rows.
    ///
    /// # Errors
    /// [`TraceError`], with the line.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        match lines.next() {
            Some((_, "timestamp_s,value")) => {}
            Some((line, _)) => return Err(TraceError::Header { line }),
            None => return Err(TraceError::Short),
        }
        let mut times: Vec<i64> = Vec::new();
        let mut milli = Vec::new();
        for (line, row) in lines {
            let (time, value) = parse_row(row).ok_or(TraceError::Row { line })?;
            if let [first, second, ..] = times[..] {
                let expected_s = times.last().copied().unwrap_or(second) + (second - first);
                if time != expected_s {
                    return Err(TraceError::Spacing { line, expected_s });
                }
            } else if times.first().is_some_and(|first| time <= *first) {
                return Err(TraceError::Row { line });
            }
            times.push(time);
            milli.push(value);
        }
        let [first, second, ..] = times[..] else { return Err(TraceError::Short) };
        Ok(Self { step_ms: (second - first).unsigned_abs() * 1_000, milli })
    }

    /// The same trace, `factor` times as fast.
    #[must_use]
    pub fn compressed(self, factor: u64) -> Self {
        Self { step_ms: (self.step_ms / factor.max(1)).max(1), ..self }
    }

    /// The same trace with `peak` requests a second at its highest.
    #[must_use]
    pub fn scaled_to(self, peak: u64) -> Self {
        let highest = self.milli.iter().copied().max().unwrap_or(0).max(1);
        Self { milli: self.milli.iter().map(|value| share(*value, peak * 1_000, highest)).collect(), ..self }
    }

    /// How long it lasts, in milliseconds.
    #[must_use]
    pub fn length_ms(&self) -> u64 {
        self.step_ms * self.milli.len() as u64
    }

    fn milli_per_s(&self, at_ms: u64) -> u64 {
        let at = usize::try_from((at_ms / self.step_ms) % self.milli.len() as u64).unwrap_or(0);
        self.milli.get(at).copied().unwrap_or(0)
    }
}

/// Rates are read with three decimals: the traces have no more that matter, and integers replay exactly.
fn parse_row(row: &str) -> Option<(i64, u64)> {
    let (time, value) = row.split_once(',')?;
    let value: f64 = value.trim().parse().ok()?;
    let whole = value.is_finite() && (0.0..1e12).contains(&value);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    whole.then(|| (value * 1_000.0).round() as u64).and_then(|milli| Some((time.trim().parse().ok()?, milli)))
}

/// `value · part / whole`, without overflow; 0 where `whole` is 0.
#[must_use]
pub(crate) fn share(value: u64, part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 0;
    }
    u64::try_from(u128::from(value) * u128::from(part) / u128::from(whole)).unwrap_or(u64::MAX)
}

/// `sin²(πx)` for `x` in millionths: 0 at both ends, a million in the middle. Bhaskara's approximation of the
/// sine, because integers give the same answer on every machine.
fn hump(x: u64) -> u64 {
    let bow = share(x, 1_000_000 - x, 1_000_000);
    let sine = share(16 * bow, 1_000_000, 5_000_000 - 4 * bow);
    share(sine, sine, 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::{Load, Shape, Trace, TraceError};

    const HOUR: u64 = 3_600_000;

    #[test]
    fn a_day_is_lowest_at_night_and_highest_at_noon() {
        let load = Load::new(Shape::Daily { low: 100, high: 900, period_ms: 24 * HOUR });
        let at = |hour: u64| load.milli_per_s(hour * HOUR);
        assert_eq!((at(0), at(12), at(24)), (100_000, 900_000, 100_000));
        assert!((450_000..550_000).contains(&at(6)), "{}", at(6));
    }

    #[test]
    fn ramps_spikes_and_crowds_begin_and_end_where_they_say() {
        let ramp = Load::new(Shape::Ramp { from: 10, to: 0, start_ms: 1_000, length_ms: 10_000 });
        assert_eq!([0, 6_000, 60_000].map(|at| ramp.milli_per_s(at)), [10_000, 5_000, 0]);
        let spikes = Load::new(Shape::Spikes { height: 7, every_ms: 100, width_ms: 10 });
        assert_eq!([5, 10, 105].map(|at| spikes.milli_per_s(at)), [7_000, 0, 7_000]);
        let crowd = Load::new(Shape::FlashCrowd { peak: 100, start_ms: 1_000, rise_ms: 100, fall_ms: 1_000 });
        assert_eq!(
            [999, 1_050, 1_100, 1_600, 9_000].map(|at| crowd.milli_per_s(at)),
            [0, 50_000, 100_000, 50_000, 0]
        );
    }

    #[test]
    fn noise_stays_within_its_bound_and_repeats() {
        let load = Load::new(Shape::Constant(1_000)).with_noise(100, 3);
        let drawn: Vec<u64> = (0..1_000).map(|at| load.milli_per_s(at * 10_000)).collect();
        assert!(drawn.iter().all(|value| (900_000..=1_100_000).contains(value)));
        assert!(drawn.iter().any(|value| *value < 930_000) && drawn.iter().any(|value| *value > 1_070_000));
        assert_eq!(drawn[7], load.milli_per_s(70_000));
    }

    #[test]
    fn a_trace_is_compressed_and_scaled() -> Result<(), TraceError> {
        let text = "# a comment\ntimestamp_s,value\n100,1.5\n400,3\n700,0.0004\n";
        let trace = Trace::parse(text)?.compressed(10).scaled_to(600);
        let load = Load::new(Shape::Trace(trace));
        assert_eq!(
            [0, 30_000, 60_000, 90_000].map(|at| load.milli_per_s(at)),
            [300_000, 600_000, 0, 300_000]
        );
        Ok(())
    }

    #[test]
    fn a_bad_trace_is_refused_with_its_line() {
        let refused = |text: &str| Trace::parse(text).err();
        assert_eq!(refused("time,value\n1,2\n"), Some(TraceError::Header { line: 1 }));
        assert_eq!(refused("timestamp_s,value\n1,2\n2,NaN\n"), Some(TraceError::Row { line: 3 }));
        assert_eq!(refused("timestamp_s,value\n1,2\n2,-1\n"), Some(TraceError::Row { line: 3 }));
        let uneven = Some(TraceError::Spacing { line: 4, expected_s: 3 });
        assert_eq!(refused("timestamp_s,value\n1,2\n2,2\n4,2\n"), uneven);
        assert_eq!(refused("timestamp_s,value\n1,2\n"), Some(TraceError::Short));
    }
}
