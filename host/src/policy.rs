//! Policies: WebAssembly modules from strangers, asked for a wish and trusted with nothing.
//!
//! [`library::Library`] is what the daemon uses: a directory of modules, watched, each evaluated in a confined
//! child process ([`child`]). Whatever a guest does ends as a value: an [`Evaluation`] with an answer or a
//! [`Failure`], a [`Rejection`] in the status. See `policy-contract` in the documentation for what a guest sees.

mod answer;
mod artefact;
pub mod child;
pub mod fault;
mod frame;
mod guest;
pub mod limits;
pub mod offline;
mod process;
mod scan;
mod version;

pub use fault::{Failure, Fault, Flaw, Rejection};
pub use frame::{Confinement, Contract, Sandbox};
pub use limits::{Class, Limits};
pub use offline::{Host, Loaded};
pub use process::Launch;
pub use scan::{Inspection, Shape};
pub use version::Evaluation;
