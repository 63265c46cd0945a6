//! The pure part of Plimsoll: what is known, what may be done, and what is done next.
//!
//! Nothing here reads a clock, a file or the network. Time arrives in events, effects leave as values, and
//! the same events give the same effects. The modules stand in the order in which a decision passes
//! through them.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

pub mod observation;
pub mod profile;

pub mod alarm;
pub mod groups;
pub mod snapshot;
pub mod workload;

pub mod combine;

pub mod case;
pub mod change;
pub mod count;
pub mod invariant;
pub mod judge;
pub mod lease;
pub mod quorum;

pub mod course;
pub mod plan;
pub mod step;

pub mod arbiter;
pub mod cycle;
pub mod pauses;
pub mod reason;

pub mod explain;
