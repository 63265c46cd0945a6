//! The second contract: a component of the world `plimsoll:policy/policy`.

use super::bindings::plimsoll::policy::types::{Host as TypesHost, Level};
use super::bindings::{Policy, PolicyImports, PolicyPre};
use super::store::{Host, Spent, failure};
use super::{Outcome, convert, surroundings};
use crate::policy::fault::{Failure, Fault, Flaw, Rejection, one_line};
use crate::policy::limits::{ANSWER_BYTES, Bounds, Class, Limits};
use plimsoll_wire::Snapshot;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Store};

/// Bytes of a component's description of itself.
const MANIFEST_BYTES: usize = 256 << 10;

/// Bytes (and elements, each by its size on our side) that one call may carry out of the guest.
const COPIED_BYTES: usize = 1 << 20;

/// A loaded component.
pub(crate) struct Typed {
    ready: PolicyPre<Host>,
    limits: Limits,
}

impl PolicyImports for Host {
    fn log(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        self.enter()?;
        let level = match level {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        };
        self.log.write(format!("{level}: {}\n", one_line(&message, message.len())).as_bytes());
        Ok(())
    }
}

impl TypesHost for Host {}

impl Typed {
    /// Checks that imports and exports fit and that an instance can be made.
    pub(crate) fn new(engine: &Engine, component: &Component, limits: Limits) -> Result<Self, Rejection> {
        let mut linker = Linker::<Host>::new(engine);
        let linked = Policy::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)
            .and_then(|()| surroundings::add(&mut linker, component))
            // What is left of WASI is accepted and traps when it is called: nothing is open to call it on.
            .and_then(|()| linker.define_unknown_imports_as_traps(component));
        linked.map_err(|error| Rejection::new(Flaw::Import, format!("{error:#}")))?;
        let ready = linker
            .instantiate_pre(component)
            .map_err(|error| Rejection::new(Flaw::Import, format!("{error:#}")))?;
        let ready =
            PolicyPre::new(ready).map_err(|error| Rejection::new(Flaw::Contract, format!("{error:#}")))?;
        let typed = Self { ready, limits };
        let mut store = typed.store(Vec::new(), 0, limits.fuel);
        typed.ready.instantiate(&mut store).map_err(|error| {
            let detail = failure(&error).map_or_else(String::new, |failure| failure.to_string());
            Rejection::new(Flaw::Instantiate, detail)
        })?;
        Ok(typed)
    }

    fn store(&self, snapshot: Vec<u8>, wall_ms: i64, fuel: u64) -> Store<Host> {
        let tables = Bounds::of(Class::Interpreter).table_elements;
        let host = Host::new(snapshot, wall_ms, self.limits.memory_bytes, tables);
        let mut store = Store::new(self.ready.engine(), host);
        store.limiter(|host| &mut host.memory);
        // What one call of the host may copy out of the guest: fuel does not see that work.
        store.set_hostcall_fuel(COPIED_BYTES);
        // Fails only where fuel is off; then the guest has none and stops at once.
        let _ = store.set_fuel(fuel);
        store
    }

    /// One call of `evaluate` in a fresh instance.
    pub(crate) fn evaluate(&self, snapshot: Vec<u8>, wall_ms: i64, fuel: u64) -> Outcome {
        let parsed: Result<Snapshot, _> = serde_json::from_slice(&snapshot);
        let mut store = self.store(snapshot, wall_ms, fuel);
        let result = match &parsed {
            Ok(parsed) => self.call(&mut store, parsed),
            Err(error) => Err(Failure::new(Fault::Input, format!("reading the snapshot: {error}"))),
        };
        let left = store.get_fuel().unwrap_or(0);
        let host = store.into_data();
        Outcome { result, spent: Spent { fuel: fuel.saturating_sub(left), log: host.log.finish() } }
    }

    fn call(&self, store: &mut Store<Host>, snapshot: &Snapshot) -> Result<Vec<u8>, Failure> {
        let input = convert::snapshot(snapshot).map_err(|detail| Failure::new(Fault::Input, detail))?;
        let policy = self.instance(store)?;
        let answer = policy.call_evaluate(store, &input).map_err(|error| ended(&error))?;
        let answer = serde_json::to_vec(&convert::answer(answer)?)
            .map_err(|error| Failure::new(Fault::Decode, format!("the answer: {error}")))?;
        if answer.len() > ANSWER_BYTES {
            let detail = format!("the answer has more than {ANSWER_BYTES} bytes");
            return Err(Failure::new(Fault::ResultTooLarge, detail));
        }
        Ok(answer)
    }

    fn instance(&self, store: &mut Store<Host>) -> Result<Policy, Failure> {
        self.ready
            .instantiate(store)
            .map_err(|error| Failure::new(Fault::Instantiate, ended(&error).to_string()))
    }

    /// What the component says of itself.
    pub(crate) fn describe(&self) -> Result<serde_json::Value, Failure> {
        let mut store = self.store(Vec::new(), 0, self.limits.fuel);
        let policy = self.instance(&mut store)?;
        let manifest = policy.call_describe(&mut store).map_err(|error| ended(&error))?;
        let manifest = convert::manifest(manifest)?;
        if manifest.to_string().len() > MANIFEST_BYTES {
            let detail = format!("its description has more than {MANIFEST_BYTES} bytes");
            return Err(Failure::new(Fault::ResultTooLarge, detail));
        }
        Ok(manifest)
    }
}

/// A component has no way to end with success but to return.
fn ended(error: &wasmtime::Error) -> Failure {
    failure(error).unwrap_or_else(|| Failure::new(Fault::Exit, "the component ended instead of returning"))
}
