//! Guest code and everything that touches it: the only module that knows wasmtime's types. All of it runs in
//! the confined child; the daemon uses [`names`] alone.

mod artefact;
mod bindings;
mod component;
mod convert;
pub(crate) mod engine;
pub(crate) mod names;
mod program;
mod store;
mod surroundings;
mod wasi;

use super::fault::{Failure, Rejection};
use super::frame::Contract;
use super::limits::{Class, Limits};
use store::Spent;
use wasmtime::{Config, Engine};

/// What one evaluation gives: the answer's bytes or a failure, and what was used.
pub(crate) struct Outcome {
    pub result: Result<Vec<u8>, Failure>,
    pub spent: Spent,
}

/// With which engine the benchmark runs a guest.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Settings {
    /// wasmtime's own defaults, without a bound.
    Bare,
    /// The same with fuel: wasmtime's own way to end a guest that loops.
    Fuel,
    /// The host's.
    Ours,
}

/// A compiled module that is ready to be instantiated.
pub(crate) enum Guest {
    Program(program::Program),
    Component(Box<component::Typed>),
}

impl Guest {
    /// Loads an artefact that the compiling child made.
    pub(crate) fn load(
        artefact: &[u8],
        contract: Contract,
        class: Class,
        limits: Limits,
    ) -> Result<Self, Rejection> {
        Self::with(&engine::engine(class)?, artefact, contract, limits)
    }

    fn with(engine: &Engine, artefact: &[u8], contract: Contract, limits: Limits) -> Result<Self, Rejection> {
        match contract {
            Contract::Program => {
                Ok(Self::Program(program::Program::new(engine, artefact::module(engine, artefact)?, limits)?))
            }
            Contract::Component => {
                let component = artefact::component(engine, artefact)?;
                Ok(Self::Component(Box::new(component::Typed::new(engine, &component, limits)?)))
            }
        }
    }

    /// One evaluation in a fresh instance.
    pub(crate) fn evaluate(&self, snapshot: Vec<u8>, wall_ms: i64, fuel: u64) -> Outcome {
        match self {
            Self::Program(program) => program.evaluate(snapshot, wall_ms, fuel),
            Self::Component(component) => component.evaluate(snapshot, wall_ms, fuel),
        }
    }

    /// What the policy says of itself; nothing for a program.
    pub(crate) fn describe(&self) -> Result<serde_json::Value, Failure> {
        match self {
            Self::Program(_) => Ok(serde_json::Value::Null),
            Self::Component(component) => component.describe(),
        }
    }

    /// For the benchmark: a trusted module in this very process.
    pub(crate) fn in_process(
        module: &[u8],
        contract: Contract,
        settings: Settings,
    ) -> wasmtime::Result<Self> {
        let class = Class::Compiled;
        let engine = match settings {
            Settings::Bare => Engine::new(&Config::new())?,
            Settings::Fuel => Engine::new(Config::new().consume_fuel(true))?,
            Settings::Ours => engine::engine(class)?,
        };
        let artefact = match contract {
            Contract::Program => engine.precompile_module(module)?,
            Contract::Component => engine.precompile_component(module)?,
        };
        Ok(Self::with(&engine, &artefact, contract, Limits::of(class))?)
    }
}
