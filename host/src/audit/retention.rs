//! Decides which segments and snapshots to remove. The log says what will be removed before it is.

use super::AuditConfig;
use super::chain::{Hash, Head};
use super::walk::Segment;
use std::collections::HashMap;

/// Up to which sealed segment, and its last line, records may go: by size, and by age all but the newest.
pub(super) fn through(sealed: &[Segment], config: &AuditConfig, now_ms: i64) -> Option<(u32, Head)> {
    let too_old = now_ms.saturating_sub(i64::try_from(config.keep_ms).unwrap_or(i64::MAX));
    let mut left: u64 = sealed.iter().map(|segment| segment.length).sum();
    let mut through = None;
    for (index, segment) in sealed.iter().enumerate() {
        let is_old = segment.wall_ms < too_old && index + 1 < sealed.len();
        if left <= config.keep_bytes && !is_old {
            break;
        }
        left -= segment.length;
        through = Some((segment.number, segment.last));
    }
    through
}

/// The snapshots that records of the log mention.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    known: HashMap<Hash, Mention>,
    total: u64,
}

#[derive(Clone, Copy, Debug)]
struct Mention {
    /// The newest record that mentions it.
    last: u64,
    wall_ms: i64,
    bytes: u64,
}

/// Snapshots that may go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// Records before this may lack theirs.
    pub(super) before: u64,
    pub(super) digests: Vec<Hash>,
}

impl Snapshots {
    /// Record `sequence` mentions a snapshot.
    pub(super) fn mention(&mut self, digest: Hash, sequence: u64, wall_ms: i64) {
        let mention = self.known.entry(digest).or_insert(Mention { last: sequence, wall_ms, bytes: 0 });
        mention.last = mention.last.max(sequence);
        mention.wall_ms = mention.wall_ms.max(wall_ms);
    }

    /// A snapshot takes this much of the disk; says whether any record mentions it.
    pub(super) fn measure(&mut self, digest: Hash, bytes: u64) -> bool {
        let Some(mention) = self.known.get_mut(&digest) else { return false };
        self.total = self.total - mention.bytes + bytes;
        mention.bytes = bytes;
        true
    }

    pub(super) fn forget(&mut self, digest: Hash) {
        if let Some(mention) = self.known.remove(&digest) {
            self.total -= mention.bytes;
        }
    }

    /// Whether all together are larger than they may be.
    pub(super) fn are_too_large(&self, config: &AuditConfig) -> bool {
        self.total > config.keep_snapshot_bytes
    }

    /// Those that no record from `sequence` on mentions.
    pub(super) fn only_before(&self, sequence: u64) -> Vec<Hash> {
        self.known.iter().filter(|(_, mention)| mention.last < sequence).map(|(digest, _)| *digest).collect()
    }

    /// The oldest ones beyond what is kept, by size and by age, never those of the newest records.
    pub(super) fn due(&self, config: &AuditConfig, newest: u64, now_ms: i64) -> Option<Due> {
        // A tenth more than has to go, so that this is rare.
        let room = config.keep_snapshot_bytes - config.keep_snapshot_bytes / 10;
        let spared = newest.saturating_sub(config.keep_snapshot_records);
        let too_old = now_ms.saturating_sub(i64::try_from(config.keep_snapshot_ms).unwrap_or(i64::MAX));
        let mut oldest: Vec<_> = self.known.iter().filter(|(_, mention)| mention.last <= spared).collect();
        oldest.sort_unstable_by_key(|(digest, mention)| (mention.last, **digest));
        let mut left = self.total;
        let shrink = self.are_too_large(config);
        let mut due = Due { before: 0, digests: Vec::new() };
        for (digest, mention) in oldest {
            if !(mention.wall_ms < too_old || (shrink && left > room)) {
                break;
            }
            left -= mention.bytes;
            due.before = mention.last + 1;
            due.digests.push(*digest);
        }
        (!due.digests.is_empty()).then_some(due)
    }
}
