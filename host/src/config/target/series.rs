//! `spec.signals[].series`: how many series a signal should rest on.

use crate::collect::SeriesWatch;
use crate::yaml::form;
use crate::yaml::problem::Sink;
use crate::yaml::raw::{Field, Scalar, raw};
use crate::yaml::unit;
use crate::yaml::value::millis;
use std::ops::RangeInclusive;
use std::time::Duration;

/// As a signal's own.
const MAX_QUERY: usize = 8_192;
/// More series than this are not one target's.
const EXPECT: RangeInclusive<u32> = 0..=100_000;
/// A minute holds a few scrapes; what was there a day ago says nothing of today.
const FORGET: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(86_400);
/// Longer than a member is away for an ordinary restart, shorter than a night.
const USUAL_FORGET: Duration = Duration::from_secs(3_600);

raw! {
    /// `series` as it is written.
    struct RawSeries {
        query: Scalar = "query" => form::text(MAX_QUERY)
            .doc("What counts them, in PromQL; by default it is worked out of the signal's query."),
        expect: Scalar = "expect" => form::whole(EXPECT).doc("How many there have to be, for what does not scale with \
            the target; by default as many as there were at most. `0` asks for none: nothing is counted."),
        forget: Scalar = "forget" => form::duration(FORGET).doc(&format!(
            "For how long it is remembered how many there were; by default `{}`.",
            unit::show_duration(USUAL_FORGET)
        )),
    }
}

/// What is asked about a signal's series.
pub(super) fn series(field: &Field<RawSeries>, sink: &mut Sink) -> SeriesWatch {
    let raw = field.get();
    SeriesWatch {
        query: raw.and_then(|raw| raw.query.get()).map(|query| super::signal::promql(query, sink)),
        expect: raw.and_then(|raw| raw.expect.get()).map(|expect| expect.count(EXPECT, sink)),
        forget_ms: millis(
            raw.and_then(|raw| raw.forget.get()).map_or(USUAL_FORGET, |forget| forget.duration(FORGET, sink)),
        ),
    }
}
