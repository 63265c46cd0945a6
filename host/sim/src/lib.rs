//! Simulated worlds: seeded, deterministic, synchronous, and judged by an oracle that sees only them.
//!
//! A run is driven from outside, one call at a time:
//!
//! ```
//! use plimsoll_sim::faults::FaultSetup;
//! use plimsoll_sim::load::{Load, Shape};
//! use plimsoll_sim::quorum::QuorumSetup;
//! use plimsoll_sim::sim::{Setup, Sim, WorldSetup};
//!
//! let mut sim = Sim::new(Setup {
//!     seed: 7,
//!     world: WorldSetup::Quorum(QuorumSetup::default()),
//!     load: Load::new(Shape::Constant(800)),
//!     faults: FaultSetup::None,
//!     sample_ms: 15_000,
//!     window_ms: 600_000,
//! });
//! for _ in 0..6 {
//!     let to_ms = sim.now_ms() + 10_000;
//!     sim.advance(to_ms);
//!     let observation = sim.observe(false);
//!     // The daemon's cycle decides here. Each verb goes to `sim.act(&verb, owner)`, and its answer comes
//!     // `took_ms` later; between any two effects `sim.kill_now()` says whether the daemon dies.
//!     assert!(observation.system.members.value().is_some_and(|members| members.len() == 3));
//! }
//! assert_eq!(sim.summary().lost_by_us, 0);
//! ```
//!
//! Integers decide: milliseconds, bytes, thousandths. Nothing reads a clock, and every draw comes from the seed.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

pub mod clients;
pub mod faults;
pub mod load;
pub mod oracle;
pub mod pilot;
pub mod platform;
pub mod quorum;
pub mod rng;
pub mod sharded;
pub mod shards;
pub mod sim;
pub mod trace;
pub mod world;
