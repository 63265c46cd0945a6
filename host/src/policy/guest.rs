//! Guest code and everything that touches it: the only module that knows wasmtime's types. All of it runs in
//! the confined child; the daemon uses [`names`] alone.

pub(crate) mod artefact;
pub(crate) mod engine;
pub(crate) mod names;
pub(crate) mod program;
pub(crate) mod store;
pub(crate) mod wasi;

use super::fault::{Failure, Rejection};
use super::frame::Contract;
use super::limits::{Class, Limits};
use store::Spent;

/// What one evaluation gives: the answer's bytes or a failure, and what was used.
pub(crate) struct Outcome {
    pub result: Result<Vec<u8>, Failure>,
    pub spent: Spent,
}

/// A compiled module that is ready to be instantiated.
pub(crate) enum Guest {
    Program(program::Program),
}

impl Guest {
    /// Loads an artefact that the compiling child made.
    pub(crate) fn load(
        artefact: &[u8],
        contract: Contract,
        class: Class,
        limits: Limits,
    ) -> Result<Self, Rejection> {
        let engine = engine::engine(class)?;
        match contract {
            Contract::Program => Ok(Self::Program(program::Program::new(
                &engine,
                artefact::module(&engine, artefact)?,
                limits,
            )?)),
            Contract::Component => Err(Rejection::new(super::fault::Flaw::Contract, "components: to come")),
        }
    }

    /// One evaluation in a fresh instance.
    pub(crate) fn evaluate(&self, snapshot: Vec<u8>, wall_ms: i64, fuel: u64) -> Outcome {
        match self {
            Self::Program(program) => program.evaluate(snapshot, wall_ms, fuel),
        }
    }

    /// What the policy says of itself; nothing for a program.
    pub(crate) fn describe(&self) -> Result<serde_json::Value, Failure> {
        match self {
            Self::Program(_) => Ok(serde_json::Value::Null),
        }
    }
}
