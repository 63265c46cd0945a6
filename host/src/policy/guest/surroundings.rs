//! WASI preview 2 without a world behind it, as far as the runtimes of languages call it unasked: random bytes
//! from the snapshot's digest, clocks that stand at its time, an empty environment, and a standard error that is
//! the log. Resources are named and never open.

use super::store::{Host, Stop};
use crate::policy::limits::RANDOM_BYTES;
use std::collections::BTreeSet;
use wasmtime::component::{Component, Linker, LinkerInstance, Resource, ResourceType};
use wasmtime::{Engine, Result, StoreContextMut};

/// A standard stream: 0, 1 or 2 is its handle.
struct Output;
struct Input;
struct Pollable;
struct Failed;
struct Descriptor;

/// Versions of WASI that one component may mix: its own, and those of the adapters that it was linked with.
const VERSIONS: usize = 8;

/// Defines what is answered, under each version of 0.2 that the component imports: they differ in what they add.
pub(crate) fn add(linker: &mut Linker<Host>, component: &Component) -> Result<()> {
    for version in versions(component, linker.engine()) {
        let mut wasi = Wasi { linker, version: &version };
        resources(&mut wasi)?;
        random(&mut wasi)?;
        clocks(&mut wasi)?;
        command(&mut wasi)?;
        streams(&mut wasi)?;
        files(&mut wasi)?;
    }
    Ok(())
}

/// The versions of 0.2 in a component's imports.
fn versions(component: &Component, engine: &Engine) -> BTreeSet<String> {
    let ty = component.component_type();
    let versions = ty.imports(engine).filter_map(|(name, _)| {
        let version = name.strip_prefix("wasi:")?.split_once('@')?.1;
        version.starts_with("0.2.").then(|| version.to_owned())
    });
    versions.take(VERSIONS * 64).collect::<BTreeSet<_>>().into_iter().take(VERSIONS).collect()
}

/// WASI in one version.
struct Wasi<'a> {
    linker: &'a mut Linker<Host>,
    version: &'a str,
}

impl Wasi<'_> {
    fn instance(&mut self, name: &str) -> Result<LinkerInstance<'_, Host>> {
        self.linker.instance(&format!("{name}@{}", self.version))
    }
}

/// Which of the resources that we hand out each instance names: it has to name the very same type everywhere.
const NAMED: &[(&str, &[&str])] = &[
    ("wasi:io/poll", &["pollable"]),
    ("wasi:io/error", &["error"]),
    ("wasi:io/streams", &["error", "pollable", "input-stream", "output-stream"]),
    ("wasi:cli/stdin", &["input-stream"]),
    ("wasi:cli/stdout", &["output-stream"]),
    ("wasi:cli/stderr", &["output-stream"]),
    ("wasi:clocks/monotonic-clock", &["pollable"]),
    ("wasi:filesystem/types", &["descriptor", "error", "input-stream", "output-stream"]),
    ("wasi:filesystem/preopens", &["descriptor"]),
    ("wasi:sockets/tcp", &["pollable", "input-stream", "output-stream"]),
    ("wasi:sockets/udp", &["pollable"]),
    ("wasi:sockets/ip-name-lookup", &["pollable"]),
];

fn resources(wasi: &mut Wasi<'_>) -> Result<()> {
    for (instance, names) in NAMED {
        let mut instance = wasi.instance(instance)?;
        for name in *names {
            let ty = match *name {
                "pollable" => ResourceType::host::<Pollable>(),
                "error" => ResourceType::host::<Failed>(),
                "input-stream" => ResourceType::host::<Input>(),
                "output-stream" => ResourceType::host::<Output>(),
                _ => ResourceType::host::<Descriptor>(),
            };
            instance.resource(name, ty, closed)?;
        }
    }
    Ok(())
}

/// No directory is open, so that whatever a guest wants to open is not there.
fn files(wasi: &mut Wasi<'_>) -> Result<()> {
    wasi.instance("wasi:filesystem/preopens")?.func_wrap(
        "get-directories",
        |mut store: StoreContextMut<'_, Host>, (): ()| {
            store.data_mut().enter()?;
            Ok((Vec::<(Resource<Descriptor>, String)>::new(),))
        },
    )
}

fn random(wasi: &mut Wasi<'_>) -> Result<()> {
    for (instance, bytes, number) in [
        ("wasi:random/random", "get-random-bytes", "get-random-u64"),
        ("wasi:random/insecure", "get-insecure-random-bytes", "get-insecure-random-u64"),
    ] {
        let mut instance = wasi.instance(instance)?;
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
    wasi.instance("wasi:random/insecure-seed")?.func_wrap(
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

fn clocks(wasi: &mut Wasi<'_>) -> Result<()> {
    let mut monotonic = wasi.instance("wasi:clocks/monotonic-clock")?;
    monotonic.func_wrap("now", |mut store: StoreContextMut<'_, Host>, (): ()| {
        let host = store.data_mut();
        host.enter()?;
        Ok((host.wall_ns.saturating_add(host.slept_ns),))
    })?;
    // Time passes for the guest as it asks, and for nobody else.
    monotonic.func_wrap("subscribe-duration", |mut store: StoreContextMut<'_, Host>, (ns,): (u64,)| {
        let host = store.data_mut();
        host.enter()?;
        host.slept_ns = host.slept_ns.saturating_add(ns);
        Ok((Resource::<Pollable>::new_own(0),))
    })?;
    monotonic.func_wrap("subscribe-instant", |mut store: StoreContextMut<'_, Host>, (at,): (u64,)| {
        let host = store.data_mut();
        host.enter()?;
        host.slept_ns = host.slept_ns.max(at.saturating_sub(host.wall_ns));
        Ok((Resource::<Pollable>::new_own(0),))
    })?;
    monotonic.func_wrap("resolution", |_: StoreContextMut<'_, Host>, (): ()| Ok((1_000_000_u64,)))?;
    let mut wall = wasi.instance("wasi:clocks/wall-clock")?;
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

fn command(wasi: &mut Wasi<'_>) -> Result<()> {
    let mut environment = wasi.instance("wasi:cli/environment")?;
    environment.func_wrap("get-environment", |_: StoreContextMut<'_, Host>, (): ()| {
        Ok((Vec::<(String, String)>::new(),))
    })?;
    environment
        .func_wrap("get-arguments", |_: StoreContextMut<'_, Host>, (): ()| Ok((Vec::<String>::new(),)))?;
    environment.func_wrap("initial-cwd", |_: StoreContextMut<'_, Host>, (): ()| Ok((None::<String>,)))?;
    wasi.instance("wasi:cli/exit")?.func_wrap(
        "exit",
        |_: StoreContextMut<'_, Host>, (status,): (Result<(), ()>,)| -> Result<()> {
            Err(Stop::Exit(u32::from(status.is_err())).into())
        },
    )?;
    wasi.instance("wasi:cli/stdin")?.func_wrap("get-stdin", |_: StoreContextMut<'_, Host>, (): ()| {
        Ok((Resource::<Input>::new_own(0),))
    })?;
    wasi.instance("wasi:cli/stdout")?.func_wrap("get-stdout", |_: StoreContextMut<'_, Host>, (): ()| {
        Ok((Resource::<Output>::new_own(1),))
    })?;
    wasi.instance("wasi:cli/stderr")?
        .func_wrap("get-stderr", |_: StoreContextMut<'_, Host>, (): ()| Ok((Resource::<Output>::new_own(2),)))
}

/// A handle is given back; nothing was behind it.
fn closed(_: StoreContextMut<'_, Host>, _: u32) -> Result<()> {
    Ok(())
}

/// Whatever is waited for is ready at once.
fn poll(wasi: &mut Wasi<'_>) -> Result<()> {
    let mut poll = wasi.instance("wasi:io/poll")?;
    poll.func_wrap(
        "[method]pollable.block",
        |mut store: StoreContextMut<'_, Host>, (_,): (Resource<Pollable>,)| Ok(store.data_mut().enter()?),
    )?;
    poll.func_wrap(
        "[method]pollable.ready",
        |mut store: StoreContextMut<'_, Host>, (_,): (Resource<Pollable>,)| {
            store.data_mut().enter()?;
            Ok((true,))
        },
    )?;
    poll.func_wrap("poll", |mut store: StoreContextMut<'_, Host>, (all,): (Vec<Resource<Pollable>>,)| {
        store.data_mut().enter()?;
        Ok(((0_u32..).zip(&all).map(|(index, _)| index).collect::<Vec<u32>>(),))
    })
}

fn streams(wasi: &mut Wasi<'_>) -> Result<()> {
    poll(wasi)?;
    let mut streams = wasi.instance("wasi:io/streams")?;
    streams.func_wrap(
        "[method]output-stream.subscribe",
        |mut store: StoreContextMut<'_, Host>, (_,): (Resource<Output>,)| {
            store.data_mut().enter()?;
            Ok((Resource::<Pollable>::new_own(0),))
        },
    )?;
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
