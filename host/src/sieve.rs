//! Sieve's three perturbations (a stale view, a state that nobody saw, a crash at each step) and a few more, at each
//! write of a plan: the production platform, journal, request layer and `step` against an API server that checks what
//! the real one checks, with a StatefulSet controller and the simulator's quorum group behind it.
//!
//! Time is the simulator's: a plan of minutes runs in a fraction of a second. The oracles see requests
//! and the world only.

mod cluster;
mod daemon;
mod evidence;
mod objects;
mod oracle;
mod perturbation;
mod proofs;
mod runs;
