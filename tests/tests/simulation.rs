//! The production cycle in simulated worlds: what must never happen, over many seeds, and plans that are disturbed
//! at each of their points.
//!
//! `PLIMSOLL_SEEDS=500` runs that many seeds of each world; `PLIMSOLL_SEED=17 PLIMSOLL_WORLD=quorum` runs one and
//! prints what happened in it.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "simulation/flight.rs"]
mod flight;
#[path = "simulation/plans.rs"]
mod plans;
#[path = "simulation/reasons.rs"]
mod reasons;
#[path = "simulation/rests.rs"]
mod rests;
#[path = "simulation/seeds.rs"]
mod seeds;
#[path = "simulation/worlds.rs"]
mod worlds;
