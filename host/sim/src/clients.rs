//! Clients that write at the demanded rate and remember what was acknowledged.
//!
//! The writes of one group are numbered from 1 in the order in which they are acknowledged, and every copy
//! holds a prefix of them. So what a client remembers is one number a group, and what a copy holds is one
//! number too: a day of writes costs nothing to keep, and no acknowledged write is left out of the check.

/// What the clients of a world remember.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    groups: Vec<Memory>,
    /// Requests that were asked for, in thousandths.
    pub asked_milli: u64,
    /// Requests that were served, in thousandths.
    pub served_milli: u64,
    /// Milliseconds in which less than 99 % of the requests were served.
    pub violated_ms: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Memory {
    acknowledged: u64,
    lost: u64,
}

impl Clients {
    /// Clients of so many groups.
    #[must_use]
    pub fn new(groups: usize) -> Self {
        Self { groups: vec![Memory::default(); groups], ..Self::default() }
    }

    /// Writes of a group were acknowledged.
    pub(crate) fn acknowledged(&mut self, group: usize, writes: u64) {
        if let Some(memory) = self.groups.get_mut(group) {
            memory.acknowledged += writes;
        }
    }

    /// Acknowledged writes of a group can no longer be read.
    pub(crate) fn lost(&mut self, group: usize, writes: u64) {
        if let Some(memory) = self.groups.get_mut(group) {
            memory.lost += writes;
        }
    }

    /// Some time in which so much was asked for and so much was served.
    pub(crate) fn lived(&mut self, for_ms: u64, asked_milli_per_s: u64, served_milli_per_s: u64) {
        self.asked_milli += asked_milli_per_s * for_ms / 1_000;
        self.served_milli += served_milli_per_s * for_ms / 1_000;
        if served_milli_per_s < asked_milli_per_s - asked_milli_per_s / 100 {
            self.violated_ms += for_ms;
        }
    }

    /// How many writes were acknowledged.
    #[must_use]
    pub fn acknowledged_writes(&self) -> u64 {
        self.groups.iter().map(|memory| memory.acknowledged).sum()
    }

    /// How many acknowledged writes can no longer be read, for whatever reason.
    #[must_use]
    pub fn lost_writes(&self) -> u64 {
        self.groups.iter().map(|memory| memory.lost).sum()
    }
}
