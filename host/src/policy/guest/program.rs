//! The first contract: a core module with `_start` that reads JSON and writes JSON.

use super::store::{Host, Spent, failure};
use super::{Outcome, wasi};
use crate::policy::fault::{Failure, Fault, Flaw, Rejection};
use crate::policy::limits::{Bounds, Class, Limits};
use wasmtime::{Engine, InstancePre, Module, Store};

/// A loaded program.
pub(crate) struct Program {
    ready: InstancePre<Host>,
    limits: Limits,
}

impl Program {
    /// Checks that every import fits and that an instance can be made.
    pub(crate) fn new(engine: &Engine, module: Module, limits: Limits) -> Result<Self, Rejection> {
        let linker = wasi::linker(engine)
            .map_err(|error| Rejection::new(Flaw::Sandbox, format!("linking the host: {error:#}")))?;
        let ready = linker
            .instantiate_pre(&module)
            .map_err(|error| Rejection::new(Flaw::Import, format!("{error:#}")))?;
        let program = Self { ready, limits };
        let mut store = program.store(Vec::new(), 0, limits.fuel);
        let instance = program
            .ready
            .instantiate(&mut store)
            .map_err(|error| Rejection::new(Flaw::Instantiate, reason(&error)))?;
        instance
            .get_typed_func::<(), ()>(&mut store, "_start")
            .map_err(|error| Rejection::new(Flaw::Export, format!("`_start`: {error:#}")))?;
        Ok(program)
    }

    fn store(&self, snapshot: Vec<u8>, wall_ms: i64, fuel: u64) -> Store<Host> {
        let tables = Bounds::of(Class::Interpreter).table_elements;
        let host = Host::new(snapshot, wall_ms, self.limits.memory_bytes, tables);
        let mut store = Store::new(self.ready.module().engine(), host);
        store.limiter(|host| &mut host.memory);
        // Fails only where fuel is off; then the guest has none and stops at once.
        let _ = store.set_fuel(fuel);
        store
    }

    /// One run of the program in a fresh instance.
    pub(crate) fn evaluate(&self, snapshot: Vec<u8>, wall_ms: i64, fuel: u64) -> Outcome {
        let mut store = self.store(snapshot, wall_ms, fuel);
        let end = self.run(&mut store);
        let left = store.get_fuel().unwrap_or(0);
        let host = store.into_data();
        let spent = Spent { fuel: fuel.saturating_sub(left), log: host.log.finish() };
        Outcome { result: end.map(|()| host.answer), spent }
    }

    fn run(&self, store: &mut Store<Host>) -> Result<(), Failure> {
        let instance = match self.ready.instantiate(&mut *store) {
            Ok(instance) => instance,
            Err(error) => return Err(Failure::new(Fault::Instantiate, reason(&error))),
        };
        let start = instance
            .get_typed_func::<(), ()>(&mut *store, "_start")
            .map_err(|error| Failure::new(Fault::Instantiate, format!("{error:#}")))?;
        match start.call(store, ()) {
            Ok(()) => Ok(()),
            Err(error) => failure(&error).map_or(Ok(()), Err),
        }
    }
}

fn reason(error: &wasmtime::Error) -> String {
    failure(error).map_or_else(|| "ended before it began".to_owned(), |failure| failure.to_string())
}
