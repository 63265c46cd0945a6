//! Chance, from a seed.
//!
//! Our own 20 lines and not a crate: a seed that found a bug must mean the same run for ever, also after an
//! upgrade of a dependency. The generator is SplitMix64 (Steele, Lea, Flood, 2014), which has no weak seeds.

/// One stream of chance. Each purpose has its own, so that one more draw in one place shifts no other place.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The stream of `seed` for one purpose.
    #[must_use]
    pub fn stream(seed: u64, purpose: &str) -> Self {
        Self { state: mix(seed ^ mix(fold(purpose.as_bytes()))) }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }

    /// A number below `end`; 0 where `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The high half of the product: no division, and a bias too small to matter for these ranges.
        u64::try_from((u128::from(self.bits()) * u128::from(end)) >> 64).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `permille` of a thousand cases.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }
}

/// Spreads the bits of a number: the finisher of SplitMix64.
#[must_use]
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// FNV-1a of some bytes.
#[must_use]
pub fn fold(bytes: &[u8]) -> u64 {
    bytes.iter().fold(FNV_START, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

pub(crate) const FNV_START: u64 = 0xCBF2_9CE4_8422_2325;
pub(crate) const FNV_PRIME: u64 = 0x0100_0000_01B3;

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let draw = |purpose| {
            let mut rng = Rng::stream(7, purpose);
            [rng.bits(), rng.bits(), rng.bits()]
        };
        assert_eq!(draw("faults"), draw("faults"));
        assert_ne!(draw("faults"), draw("load"));
    }

    #[test]
    fn draws_stay_in_their_range_and_reach_both_ends() {
        let mut rng = Rng::stream(1, "range");
        let seen: std::collections::BTreeSet<u64> = (0..200).map(|_| rng.between(3, 5)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(rng.below(0), 0);
    }
}
