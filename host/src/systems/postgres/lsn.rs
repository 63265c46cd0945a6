//! Positions in the write-ahead log.

use std::fmt;

/// A position in the write-ahead log, in bytes from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lsn(pub(super) u64);

impl Lsn {
    /// Reads what the server writes: two halves of 32 bits in hexadecimal, such as `16/B374D848`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let half = |part: &str| {
            let is_hex = (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hex.then(|| u64::from_str_radix(part, 16).ok()).flatten()
        };
        let (high, low) = text.split_once('/')?;
        Some(Self((half(high)? << 32) | half(low)?))
    }

    /// How many bytes this position lies ahead of another; 0 where it does not.
    pub(super) fn ahead_of(self, other: Self) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_the_server_writes_it() {
        for (text, bytes) in [("0/0", 0), ("0/3000028", 0x300_0028), ("16/B374D848", 0x16_B374_D848)] {
            assert_eq!(Lsn::parse(text), Some(Lsn(bytes)));
            assert_eq!(Lsn(bytes).to_string(), text);
        }
        assert_eq!(Lsn::parse("FFFFFFFF/FFFFFFFF"), Some(Lsn(u64::MAX)));
    }

    #[test]
    fn what_is_no_position_is_none() {
        for text in ["", "0", "0/", "/0", "0/0/0", "+1/0", "0/ 1", "100000000/0", "x/0"] {
            assert_eq!(Lsn::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn who_is_ahead_is_not_behind() {
        assert_eq!(Lsn(10).ahead_of(Lsn(4)), 6);
        assert_eq!(Lsn(4).ahead_of(Lsn(10)), 0);
    }
}
