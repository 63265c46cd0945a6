//! WASI preview 2 without a world behind it, as far as the runtimes of languages call it unasked: random bytes
//! from the snapshot's digest, clocks that stand at its time, an empty environment, and a standard error that is
//! the log. Resources are named and never open.

use super::store::{Host, Stop};
use crate::policy::limits::RANDOM_BYTES;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};

/// A standard stream: 0, 1 or 2 is its handle.
struct Output;
struct Input;
struct Pollable;
struct Failed;

/// Defines what is answered. A component that imports another 0.2 version gets the same.
pub(crate) fn add(linker: &mut Linker<Host>) -> Result<()> {
    random(linker)?;
    clocks(linker)?;
    command(linker)?;
    streams(linker)
}

fn random(linker: &mut Linker<Host>) -> Result<()> {
    for (instance, bytes, number) in [
        ("wasi:random/random@0.2.0", "get-random-bytes", "get-random-u64"),
        ("wasi:random/insecure@0.2.0", "get-insecure-random-bytes", "get-insecure-random-u64"),
    ] {
        let mut instance = linker.instance(instance)?;
        instance.func_wrap(bytes, |mut store: StoreContextMut<'_, Host>, (length,): (u64,)| {
            let host = store.data_mut();
            host.enter()?;
            // More than the budget fails either way; it must not be allocated first.
            let mut bytes = vec![0; usize::try_from(length.min(RANDOM_BYTES + 1))?];
            host.fill(&mut bytes)?;
            Ok((bytes,))
        })?;
        instance.func_wrap(number, |mut store: StoreContextMut<'_, Host>, (): ()| {
            Ok((word(store.data_mut())?,))
        })?;
    }
    linker.instance("wasi:random/insecure-seed@0.2.0")?.func_wrap(
        "insecure-seed",
        |mut store: StoreContextMut<'_, Host>, (): ()| {
            let host = store.data_mut();
            Ok(((word(host)?, word(host)?),))
        },
    )
}

fn word(host: &mut Host) -> Result<u64, Stop> {
    host.enter()?;
    let mut bytes = [0; 8];
    host.fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn clocks(linker: &mut Linker<Host>) -> Result<()> {
    let mut monotonic = linker.instance("wasi:clocks/monotonic-clock@0.2.0")?;
    monotonic.func_wrap("now", |mut store: StoreContextMut<'_, Host>, (): ()| {
        store.data_mut().enter()?;
        Ok((store.data().wall_ns,))
    })?;
    monotonic.func_wrap("resolution", |_: StoreContextMut<'_, Host>, (): ()| Ok((1_000_000_u64,)))?;
    let mut wall = linker.instance("wasi:clocks/wall-clock@0.2.0")?;
    // A record of two fields is passed as one of their names; its shape is checked when it is linked.
    wall.func_wrap("now", |mut store: StoreContextMut<'_, Host>, (): ()| {
        store.data_mut().enter()?;
        Ok((Datetime::of(store.data().wall_ns),))
    })?;
    wall.func_wrap("resolution", |_: StoreContextMut<'_, Host>, (): ()| Ok((Datetime::of(1_000_000),)))
}

#[derive(wasmtime::component::ComponentType, wasmtime::component::Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

impl Datetime {
    fn of(nanos: u64) -> Self {
        Self {
            seconds: nanos / 1_000_000_000,
            nanoseconds: u32::try_from(nanos % 1_000_000_000).unwrap_or(0),
        }
    }
}

fn command(linker: &mut Linker<Host>) -> Result<()> {
    let mut environment = linker.instance("wasi:cli/environment@0.2.0")?;
    environment.func_wrap("get-environment", |_: StoreContextMut<'_, Host>, (): ()| {
        Ok((Vec::<(String, String)>::new(),))
    })?;
    environment
        .func_wrap("get-arguments", |_: StoreContextMut<'_, Host>, (): ()| Ok((Vec::<String>::new(),)))?;
    environment.func_wrap("initial-cwd", |_: StoreContextMut<'_, Host>, (): ()| Ok((None::<String>,)))?;
    linker.instance("wasi:cli/exit@0.2.0")?.func_wrap(
        "exit",
        |_: StoreContextMut<'_, Host>, (status,): (Result<(), ()>,)| -> Result<()> {
            Err(Stop::Exit(u32::from(status.is_err())).into())
        },
    )?;
    linker
        .instance("wasi:cli/stdin@0.2.0")?
        .func_wrap("get-stdin", |_: StoreContextMut<'_, Host>, (): ()| {
            Ok((Resource::<Input>::new_own(0),))
        })?;
    linker
        .instance("wasi:cli/stdout@0.2.0")?
        .func_wrap("get-stdout", |_: StoreContextMut<'_, Host>, (): ()| {
            Ok((Resource::<Output>::new_own(1),))
        })?;
    linker
        .instance("wasi:cli/stderr@0.2.0")?
        .func_wrap("get-stderr", |_: StoreContextMut<'_, Host>, (): ()| Ok((Resource::<Output>::new_own(2),)))
}

fn streams(linker: &mut Linker<Host>) -> Result<()> {
    let nothing = |_: StoreContextMut<'_, Host>, _: u32| Ok(());
    linker.instance("wasi:io/poll@0.2.0")?.resource("pollable", ResourceType::host::<Pollable>(), nothing)?;
    linker.instance("wasi:io/error@0.2.0")?.resource("error", ResourceType::host::<Failed>(), nothing)?;
    let mut streams = linker.instance("wasi:io/streams@0.2.0")?;
    streams.resource("input-stream", ResourceType::host::<Input>(), nothing)?;
    streams.resource("output-stream", ResourceType::host::<Output>(), nothing)?;
    streams.func_wrap(
        "[method]output-stream.check-write",
        |mut store: StoreContextMut<'_, Host>, (_,): (Resource<Output>,)| {
            store.data_mut().enter()?;
            Ok((Ok::<u64, Closed>(4_096),))
        },
    )?;
    for name in ["[method]output-stream.write", "[method]output-stream.blocking-write-and-flush"] {
        streams.func_wrap(
            name,
            |mut store: StoreContextMut<'_, Host>, (_, bytes): (Resource<Output>, Vec<u8>)| {
                let host = store.data_mut();
                host.enter()?;
                host.log.write(&bytes);
                Ok((Ok::<(), Closed>(()),))
            },
        )?;
    }
    for name in ["[method]output-stream.flush", "[method]output-stream.blocking-flush"] {
        streams.func_wrap(name, |mut store: StoreContextMut<'_, Host>, (_,): (Resource<Output>,)| {
            store.data_mut().enter()?;
            Ok((Ok::<(), Closed>(()),))
        })?;
    }
    Ok(())
}

/// The streams' error, which never occurs.
#[derive(wasmtime::component::ComponentType, wasmtime::component::Lower)]
#[component(variant)]
#[expect(dead_code, reason = "the shape is the contract's")]
enum Closed {
    #[component(name = "last-operation-failed")]
    Failed(Resource<Failed>),
    #[component(name = "closed")]
    Closed,
}
