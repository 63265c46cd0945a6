//! What happened in a world, as a digest and, where asked for, as lines for people.

use crate::rng::{FNV_PRIME, FNV_START};
use std::fmt::{self, Write};

/// The most lines that are kept: a day of a busy world is a few thousand.
const MOST_LINES: usize = 100_000;

/// A running digest of everything that happened. Two runs of one seed must end with the same one.
#[derive(Clone, Debug)]
pub struct Trace {
    digest: u64,
    lines: Option<Vec<(u64, String)>>,
}

impl Default for Trace {
    fn default() -> Self {
        Self { digest: FNV_START, lines: None }
    }
}

impl Trace {
    /// Keeps lines from now on.
    pub fn keep(&mut self) {
        self.lines.get_or_insert_with(Vec::new);
    }

    /// Notes one event.
    pub fn note(&mut self, at_ms: u64, what: fmt::Arguments<'_>) {
        // Writing to a digest cannot fail; the trait asks for a result.
        let _ = writeln!(Digest(&mut self.digest), "{at_ms} {what}");
        if let Some(lines) = self.lines.as_mut().filter(|lines| lines.len() < MOST_LINES) {
            lines.push((at_ms, what.to_string()));
        }
    }

    /// The digest so far.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The kept lines, oldest first, and forgets them.
    pub fn take(&mut self) -> Vec<(u64, String)> {
        self.lines.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

struct Digest<'a>(&'a mut u64);

impl Write for Digest<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            *self.0 = (*self.0 ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        Ok(())
    }
}
