//! Sieve's three perturbations (a stale view, a state that nobody saw, a crash at each step) and a few more, at each
//! write of a plan: the production platform, journal, request layer and `step` against an API server that checks what
//! the real one checks, with a StatefulSet controller and the simulator's quorum group behind it.
//!
//! Time is the simulator's: a plan of minutes runs in a fraction of a second. The oracles see requests
//! and the world only.

#[path = "perturbations/cluster.rs"]
mod cluster;
#[path = "perturbations/daemon.rs"]
mod daemon;
#[path = "perturbations/evidence.rs"]
mod evidence;
#[path = "perturbations/objects.rs"]
mod objects;
#[path = "perturbations/oracle.rs"]
mod oracle;
#[path = "perturbations/perturbation.rs"]
mod perturbation;
#[path = "perturbations/proofs.rs"]
mod proofs;
#[path = "perturbations/runs.rs"]
mod runs;
