//! The versioned documents of Plimsoll (`decisions.md` D4): what policies see ([`snapshot`]), what they
//! answer ([`proposal`]), what is kept to resume ([`journal`]) and what is kept to explain ([`record`]).
//!
//! The judge reads the very document that is recorded, so that what was judged can always be judged again.
//! This crate holds data and no rules: what a value means for safety is decided in `plimsoll-core`.

pub mod alarm;
pub mod fact;
pub mod journal;
pub mod lag;
pub mod profile;
pub mod proposal;
pub mod record;
pub mod safety;
pub mod shards;
pub mod size;
pub mod snapshot;
pub mod status;
pub mod verb;
pub mod workload;

pub use fact::{Authority, Fact, Gap, Known};
pub use proposal::{Answer, Proposal, Refusal};
pub use safety::Safety;
pub use size::{Dimension, Sizes};
pub use snapshot::Snapshot;

/// The version of every document in this crate. A reader that meets another version holds.
pub const FORMAT_VERSION: u32 = 2;

/// The canonical bytes of a document: its fields in the order in which they are declared, maps sorted by
/// key, no white space. These bytes are what digests are taken of.
///
/// # Errors
/// When a value cannot be written as JSON (a non-finite number inside an open value).
pub fn canonical<T: serde::Serialize>(document: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(document)
}
