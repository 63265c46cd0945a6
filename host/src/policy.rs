//! Policies: WebAssembly modules from strangers, asked for a wish and trusted with nothing.
//!
//! [`library::Library`] is what the daemon uses: a directory of modules, watched, each evaluated in a confined
//! child process ([`child`]). Whatever a guest does ends as a value: an [`Evaluation`] with an answer or a
//! [`Failure`], a [`Rejection`] in the status. See `policy-contract` in the documentation for what a guest sees.

mod answer;
mod artefact;
pub mod bench;
mod case;
pub mod child;
pub mod fault;
mod folder;
mod frame;
mod guest;
pub mod library;
pub mod limits;
mod log_budget;
mod manifest;
mod memory;
pub mod offline;
mod process;
mod release;
mod room;
mod scan;
mod shadow;
mod status;
mod version;
mod versions;
mod watch;

pub use fault::{Failure, Fault, Flaw, Rejection};
pub use frame::{Confinement, Contract, Sandbox};
pub use library::{Library, LibraryConfig};
pub use limits::{Allowance, Allowances, Class, Limits};
pub use offline::{Host, Loaded};
pub use process::Launch;
pub use scan::{Inspection, Shape};
pub use shadow::ShadowStatus;
pub use status::{PolicyStatus, RolledBack, Stopped, Trouble};
pub use version::Evaluation;
