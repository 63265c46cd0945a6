//! Compiled code: made by one confined child, kept by the daemon as bytes that it never looks into, loaded by
//! another confined child.

use crate::policy::fault::{Flaw, Rejection};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

/// Loads a compiled core module.
#[expect(unsafe_code, reason = "the one place: see the comment")]
pub(crate) fn module(engine: &Engine, bytes: &[u8]) -> Result<Module, Rejection> {
    // SAFETY: wasmtime asks that the bytes come from its own `precompile`, unaltered. They come from the child
    // that compiled them; the caller has compared their SHA-256 with what that child said, and wasmtime
    // compares its version and settings. Should somebody forge them all the same (whoever writes the cache
    // directory can), what runs is native code in *this* process, which holds no secret, no descriptor but its
    // two pipes, and no system call to get another: the confinement is made for exactly that. The daemon
    // itself never loads an artefact.
    unsafe { Module::deserialize(engine, bytes) }
        .map_err(|error| Rejection::new(Flaw::Artefact, format!("{error:#}")))
}

/// Loads a compiled component.
#[expect(unsafe_code, reason = "the one place: see the comment in `module`")]
pub(crate) fn component(engine: &Engine, bytes: &[u8]) -> Result<Component, Rejection> {
    // SAFETY: as in `module`.
    unsafe { Component::deserialize(engine, bytes) }
        .map_err(|error| Rejection::new(Flaw::Artefact, format!("{error:#}")))
}
