//! The pure part of Plimsoll: what is known, what may be done, and what is done next.
//!
//! Nothing here reads a clock, a file or the network. Time arrives in events, effects leave as values.

pub mod observation;
