//! One line of the log, and its place in the chain of hashes.

use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// The longest line, with its end: one write of this size is far below what the kernel may split.
pub(super) const MAX_LINE: usize = 64 * 1024;

const SEQUENCE: &[u8] = b"{\"sequence\":";
const TIME: &[u8] = b",\"time\":\"";
const PREV: &[u8] = b"\",\"prev\":\"";
const RECORD: &[u8] = b"\",\"record\":";
const EVENT: &[u8] = b"\",\"event\":";
const HASH: &[u8] = b",\"hash\":\"";
const END: &[u8] = b"\"}";
const DIGITS: usize = 64;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What stands before the first line.
    pub const ZERO: Self = Self([0; 32]);

    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Only lower-case digits: one hash has one spelling, so that a changed byte shows.
    fn parse(digits: &[u8]) -> Option<Self> {
        let digits: &[u8; DIGITS] = digits.try_into().ok()?;
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(hash))
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Hash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text.as_bytes()).ok_or("not 64 lower-case hexadecimal digits")
    }
}

/// The newest line of a log, written `<sequence>:<hash>`. The sequence tells a line that was cut off from
/// one that was retired long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Counts all lines from 1; 0 is before the first.
    pub sequence: u64,
    /// The line's hash.
    pub hash: Hash,
}

impl Head {
    pub(super) const NONE: Self = Self { sequence: 0, hash: Hash::ZERO };
}

impl fmt::Display for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.sequence, self.hash)
    }
}

impl FromStr for Head {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (sequence, hash) = text.split_once(':').ok_or("not of the form <sequence>:<hash>")?;
        let number = sequence.parse().map_err(|_| "its sequence is not a number")?;
        Ok(Self { sequence: number, hash: hash.parse()? })
    }
}

/// A head and the log that it is of, as journals keep it: `<log>/<sequence>:<hash>`. A log that was begun before logs
/// had a name has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known<'a> {
    pub(super) log: &'a str,
    pub(super) head: Head,
}

impl fmt::Display for Known<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.log {
            "" => fmt::Display::fmt(&self.head, formatter),
            log => write!(formatter, "{log}/{}", self.head),
        }
    }
}

impl<'a> Known<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, &'static str> {
        let (log, head) = text.split_once('/').unwrap_or(("", text));
        Ok(Self { log, head: head.parse()? })
    }
}

/// What a line carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Record,
    Event,
}

/// A line whose bytes agree with its hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link<'a> {
    pub(super) head: Head,
    pub(super) prev: Hash,
    pub(super) time: &'a [u8],
    pub(super) content: Content,
    /// The JSON of the record or the event.
    pub(super) body: &'a [u8],
}

/// The bytes of the line after `after`, with its end, and its place.
pub(super) fn build(after: Head, time: &str, content: Content, body: &[u8]) -> (Vec<u8>, Head) {
    let sequence = after.sequence + 1;
    let mut line = Vec::with_capacity(body.len() + 256);
    line.extend_from_slice(SEQUENCE);
    line.extend_from_slice(sequence.to_string().as_bytes());
    line.extend_from_slice(TIME);
    line.extend_from_slice(time.as_bytes());
    line.extend_from_slice(PREV);
    line.extend_from_slice(after.hash.to_string().as_bytes());
    line.extend_from_slice(match content {
        Content::Record => RECORD,
        Content::Event => EVENT,
    });
    line.extend_from_slice(body);
    let hash = Hash::of(&line);
    line.extend_from_slice(HASH);
    line.extend_from_slice(hash.to_string().as_bytes());
    line.extend_from_slice(END);
    line.push(b'\n');
    (line, Head { sequence, hash })
}

/// Reads a line without its end and checks it against its own hash.
pub(super) fn check(line: &[u8]) -> Result<Link<'_>, &'static str> {
    const SHAPE: &str = "it has not the shape of a record";
    let tail_length = HASH.len() + DIGITS + END.len();
    let (hashed, tail) = line.split_at_checked(line.len().wrapping_sub(tail_length)).ok_or(SHAPE)?;
    let digits = tail.strip_prefix(HASH).and_then(|rest| rest.strip_suffix(END)).ok_or(SHAPE)?;
    let hash = Hash::parse(digits).ok_or("its hash is not one")?;
    if Hash::of(hashed) != hash {
        return Err("its hash does not match its content");
    }
    let rest = hashed.strip_prefix(SEQUENCE).ok_or(SHAPE)?;
    let (sequence, rest) = until(rest, TIME).ok_or(SHAPE)?;
    let (time, rest) = until(rest, PREV).ok_or(SHAPE)?;
    let (prev, rest) = rest.split_at_checked(DIGITS).ok_or(SHAPE)?;
    let (content, body) = match (rest.strip_prefix(RECORD), rest.strip_prefix(EVENT)) {
        (Some(body), _) => (Content::Record, body),
        (None, Some(body)) => (Content::Event, body),
        (None, None) => return Err(SHAPE),
    };
    let number = std::str::from_utf8(sequence).ok().and_then(|text| text.parse().ok()).ok_or(SHAPE)?;
    let prev = Hash::parse(prev).ok_or(SHAPE)?;
    Ok(Link { head: Head { sequence: number, hash }, prev, time, content, body })
}

fn until<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    // The parts before the body are short: no search runs through it.
    let start = bytes.windows(mark.len()).take(64).position(|window| window == mark)?;
    Some((&bytes[..start], &bytes[start + mark.len()..]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_reads_back_as_it_was_built() {
        let after = Head { sequence: 41, hash: Hash::of(b"before") };
        let (line, head) = build(after, "2026-01-02T03:04:05Z", Content::Record, b"{\"a\":1}");
        let link = check(line.strip_suffix(b"\n").unwrap()).unwrap();
        assert_eq!((link.head, link.prev, link.content), (head, after.hash, Content::Record));
        assert_eq!((link.time, link.body), (&b"2026-01-02T03:04:05Z"[..], &b"{\"a\":1}"[..]));
        assert_eq!(head.sequence, 42);
        serde_json::from_slice::<serde_json::Value>(&line).unwrap();
    }

    #[test]
    fn every_changed_bit_of_a_line_shows() {
        let (line, _) = build(Head::NONE, "2026-01-02T03:04:05Z", Content::Event, b"{\"kind\":\"x\"}");
        let line = line.strip_suffix(b"\n").unwrap();
        for place in 0..line.len() {
            for bit in 0..8 {
                let mut changed = line.to_vec();
                changed[place] ^= 1 << bit;
                assert!(check(&changed).is_err(), "byte {place}, bit {bit}");
            }
        }
    }

    #[test]
    fn every_shortened_line_shows() {
        let (line, _) = build(Head::NONE, "2026-01-02T03:04:05Z", Content::Record, b"{}");
        for length in 0..line.len() - 1 {
            assert!(check(&line[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_head_has_one_spelling() {
        let head = Head { sequence: 7, hash: Hash::of(b"x") };
        assert_eq!(head.to_string().parse(), Ok(head));
        assert!(head.to_string().to_uppercase().parse::<Head>().is_err());
        for log in ["", "b2f6"] {
            let known = Known { log, head };
            assert_eq!(Known::parse(&known.to_string()), Ok(known));
        }
        assert!(Known::parse("b2f6/7").is_err());
    }
}
