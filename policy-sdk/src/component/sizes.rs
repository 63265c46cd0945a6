//! Sizes by dimension, on their way from and to the contract's types.

use super::{fact_u64, wit};
use plimsoll_wire as wire;
use plimsoll_wire::size::{Bounds, Each, Leg, Observed};

pub(super) fn dimension(word: &str) -> Result<wire::Dimension, serde_json::Error> {
    let unknown =
        || serde::de::Error::custom(format_args!("`{word}` is no dimension that this policy knows"));
    wire::Dimension::named(word).ok_or_else(unknown)
}

pub(super) fn sizes(from: wit::Sizes) -> Result<wire::Sizes, serde_json::Error> {
    from.into_iter().try_fold(wire::Sizes::default(), |sizes, (word, size)| {
        let too_large = || serde::de::Error::custom(format_args!("{word}: {size} is too large"));
        sizes.with(dimension(&word)?, size).ok_or_else(too_large)
    })
}

pub(super) fn observed(from: Vec<(String, wit::FactU64)>) -> Result<Observed, serde_json::Error> {
    let mut observed = Observed::of_members(wire::Fact::NotApplicable);
    for (word, fact) in from {
        let fact = fact_u64(fact);
        // The host writes no more of them than fit.
        let count = |fact: wire::Fact<u64>| fact.map(|size| u32::try_from(size).unwrap_or(u32::MAX));
        match dimension(&word)? {
            wire::Dimension::Members => observed.members = count(fact),
            wire::Dimension::Shards => observed.shards = count(fact),
            wire::Dimension::Cpu => observed.cpu_milli = fact,
            wire::Dimension::Memory => observed.memory_bytes = fact,
            wire::Dimension::Volume => observed.volume_bytes = fact,
        }
    }
    Ok(observed)
}

pub(super) fn bounds(from: Vec<(String, wit::Bounds)>) -> Result<Each<Bounds>, serde_json::Error> {
    from.into_iter().try_fold(Each::default(), |mut all, (word, from)| {
        *all.place(dimension(&word)?) = Some(Bounds { min: from.min, max: from.max });
        Ok(all)
    })
}

pub(super) fn leg(from: wit::Leg) -> Result<Leg, serde_json::Error> {
    Ok(Leg { dimension: dimension(&from.dimension)?, from: from.from, to: from.to })
}
