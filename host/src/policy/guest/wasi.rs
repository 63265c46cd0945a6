//! WASI preview 1 without a world behind it: standard input is the snapshot, standard output the answer,
//! standard error the log; the clock stands at the snapshot's time, random bytes come from its digest, the
//! environment is empty, and nothing else is open.

use super::names::{INERT, PREVIEW1, UNSEEKABLE};
use super::store::{Host, Stop};
use wasmtime::{Caller, Engine, Extern, FuncType, Linker, Memory, Result, Val, ValType};

/// Error numbers of WASI preview 1.
mod errno {
    pub(super) const SUCCESS: i32 = 0;
    pub(super) const BADF: i32 = 8;
    pub(super) const INVAL: i32 = 28;
    pub(super) const SPIPE: i32 = 70;
}

/// Buffers of one scattered read or write; the usual limit of systems.
const VECTORS: u32 = 1_024;
/// Subscriptions of one poll.
const SUBSCRIPTIONS: u32 = 64;

/// A linker that knows all of preview 1 and nothing else.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<Host>> {
    let mut linker = Linker::<Host>::new(engine);
    let inert = INERT.iter().map(|(name, parameters)| (*name, *parameters, &[][..]));
    for (name, parameters, unseekable) in inert.chain(UNSEEKABLE.iter().copied()) {
        let parameters = parameters.chars().map(|c| if c == 'I' { ValType::I64 } else { ValType::I32 });
        let ty = FuncType::new(engine, parameters, [ValType::I32]);
        linker.func_new(PREVIEW1, name, ty, move |mut caller, arguments, results| {
            caller.data_mut().enter()?;
            let of = arguments.first().and_then(Val::i32);
            let is_stream = of.is_some_and(|descriptor| unseekable.contains(&descriptor));
            if let Some(result) = results.first_mut() {
                *result = Val::I32(if is_stream { errno::SPIPE } else { errno::BADF });
            }
            Ok(())
        })?;
    }
    streams(&mut linker)?;
    surroundings(&mut linker)?;
    time(&mut linker)?;
    Ok(linker)
}

fn streams(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(PREVIEW1, "fd_read", fd_read)?;
    linker.func_wrap(PREVIEW1, "fd_write", fd_write)?;
    linker.func_wrap(PREVIEW1, "fd_close", |mut caller: Caller<'_, Host>, fd: i32| -> Result<i32> {
        caller.data_mut().enter()?;
        Ok(if (0..3).contains(&fd) { errno::SUCCESS } else { errno::BADF })
    })?;
    linker.func_wrap(
        PREVIEW1,
        "fd_fdstat_get",
        |mut caller: Caller<'_, Host>, fd: i32, at: i32| -> Result<i32> {
            caller.data_mut().enter()?;
            // Reading for standard input, writing for the other two, as a pipe.
            let rights: u64 = match fd {
                0 => 1 << 1,
                1 | 2 => 1 << 6,
                _ => return Ok(errno::BADF),
            };
            let mut stat = [0; 24];
            stat[8..16].copy_from_slice(&rights.to_le_bytes());
            stat[16..24].copy_from_slice(&rights.to_le_bytes());
            put(&mut caller, at, &stat)?;
            Ok(errno::SUCCESS)
        },
    )?;
    linker.func_wrap(
        PREVIEW1,
        "fd_filestat_get",
        |mut caller: Caller<'_, Host>, fd: i32, at: i32| -> Result<i32> {
            caller.data_mut().enter()?;
            if !(0..3).contains(&fd) {
                return Ok(errno::BADF);
            }
            // Of no device and no kind, without a size or a time.
            put(&mut caller, at, &[0; 64])?;
            Ok(errno::SUCCESS)
        },
    )?;
    Ok(())
}

fn surroundings(linker: &mut Linker<Host>) -> Result<()> {
    for name in ["args_sizes_get", "environ_sizes_get"] {
        linker.func_wrap(
            PREVIEW1,
            name,
            |mut caller: Caller<'_, Host>, count: i32, size: i32| -> Result<i32> {
                caller.data_mut().enter()?;
                put(&mut caller, count, &[0; 4])?;
                put(&mut caller, size, &[0; 4])?;
                Ok(errno::SUCCESS)
            },
        )?;
    }
    for name in ["args_get", "environ_get"] {
        linker.func_wrap(PREVIEW1, name, |mut caller: Caller<'_, Host>, _: i32, _: i32| -> Result<i32> {
            caller.data_mut().enter()?;
            Ok(errno::SUCCESS)
        })?;
    }
    linker.func_wrap(
        PREVIEW1,
        "random_get",
        |mut caller: Caller<'_, Host>, at: i32, length: i32| -> Result<i32> {
            caller.data_mut().enter()?;
            let memory = memory(&mut caller)?;
            let (data, host) = memory.data_and_store_mut(&mut caller);
            let target = slice_mut(data, at, length)?;
            host.fill(target)?;
            Ok(errno::SUCCESS)
        },
    )?;
    linker.func_wrap(PREVIEW1, "proc_exit", |_: Caller<'_, Host>, status: i32| -> Result<()> {
        Err(Stop::Exit(status.cast_unsigned()).into())
    })?;
    linker.func_wrap(PREVIEW1, "sched_yield", |mut caller: Caller<'_, Host>| -> Result<i32> {
        caller.data_mut().enter()?;
        Ok(errno::SUCCESS)
    })?;
    Ok(())
}

fn time(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        PREVIEW1,
        "clock_time_get",
        |mut caller: Caller<'_, Host>, clock: i32, _: i64, at: i32| -> Result<i32> {
            caller.data_mut().enter()?;
            let host = caller.data();
            // The clock on the wall stands; the others move by what the guest slept, so that a sleep ends.
            let now = if clock == 0 { host.wall_ns } else { host.wall_ns.saturating_add(host.slept_ns) };
            put(&mut caller, at, &now.to_le_bytes())?;
            Ok(errno::SUCCESS)
        },
    )?;
    linker.func_wrap(
        PREVIEW1,
        "clock_res_get",
        |mut caller: Caller<'_, Host>, _: i32, at: i32| -> Result<i32> {
            caller.data_mut().enter()?;
            put(&mut caller, at, &1_000_000_u64.to_le_bytes())?;
            Ok(errno::SUCCESS)
        },
    )?;
    linker.func_wrap(PREVIEW1, "poll_oneoff", poll_oneoff)?;
    Ok(())
}

fn fd_read(mut caller: Caller<'_, Host>, fd: i32, vectors: i32, count: i32, result: i32) -> Result<i32> {
    caller.data_mut().enter()?;
    if fd != 0 {
        return Ok(errno::BADF);
    }
    let Some(vectors) = read_vectors(&mut caller, vectors, count)? else { return Ok(errno::INVAL) };
    let memory = memory(&mut caller)?;
    let (data, host) = memory.data_and_store_mut(&mut caller);
    let before = host.read;
    for (at, length) in vectors {
        let left = host.input.get(host.read..).unwrap_or_default();
        let target = slice_mut(data, at, length)?;
        let part = left.len().min(target.len());
        target[..part].copy_from_slice(&left[..part]);
        host.read += part;
    }
    let read = (host.read - before) as u64;
    put(&mut caller, result, &u32::try_from(read).unwrap_or(u32::MAX).to_le_bytes())?;
    Ok(errno::SUCCESS)
}

fn fd_write(mut caller: Caller<'_, Host>, fd: i32, vectors: i32, count: i32, result: i32) -> Result<i32> {
    caller.data_mut().enter()?;
    if fd != 1 && fd != 2 {
        return Ok(errno::BADF);
    }
    let Some(vectors) = read_vectors(&mut caller, vectors, count)? else { return Ok(errno::INVAL) };
    let memory = memory(&mut caller)?;
    let (data, host) = memory.data_and_store_mut(&mut caller);
    let mut written: u32 = 0;
    for (at, length) in vectors {
        let bytes = &*slice_mut(data, at, length)?;
        match fd {
            1 => host.write_answer(bytes)?,
            _ => host.log.write(bytes),
        }
        written = written.saturating_add(length.cast_unsigned());
    }
    put(&mut caller, result, &written.to_le_bytes())?;
    Ok(errno::SUCCESS)
}

/// Every subscription is ready at once: a clock because time passes for the guest as it asks, a descriptor
/// because it never blocks.
fn poll_oneoff(
    mut caller: Caller<'_, Host>,
    subscriptions: i32,
    events: i32,
    count: i32,
    result: i32,
) -> Result<i32> {
    caller.data_mut().enter()?;
    if count.cast_unsigned() > SUBSCRIPTIONS || count == 0 {
        return Ok(errno::INVAL);
    }
    for index in 0..count {
        let subscription: [u8; 48] = take(&mut caller, offset(subscriptions, index, 48))?;
        let [u0, u1, u2, u3, u4, u5, u6, u7, kind, ..] = subscription;
        let mut event = [0; 32];
        event[..8].copy_from_slice(&[u0, u1, u2, u3, u4, u5, u6, u7]);
        event[10] = kind;
        if kind == 0 {
            sleep(&mut caller, &subscription);
        }
        put(&mut caller, offset(events, index, 32), &event)?;
    }
    put(&mut caller, result, &count.to_le_bytes())?;
    Ok(errno::SUCCESS)
}

fn sleep(caller: &mut Caller<'_, Host>, subscription: &[u8; 48]) {
    let mut timeout = [0; 8];
    timeout.copy_from_slice(&subscription[24..32]);
    let timeout = u64::from_le_bytes(timeout);
    let absolute = subscription[40] & 1 == 1;
    let host = caller.data_mut();
    let now = host.wall_ns.saturating_add(host.slept_ns);
    let more = if absolute { timeout.saturating_sub(now) } else { timeout };
    host.slept_ns = host.slept_ns.saturating_add(more);
}

fn offset(start: i32, index: i32, size: i32) -> i32 {
    start.wrapping_add(index.wrapping_mul(size))
}

/// The buffers of a scattered read or write; `None` for too many.
fn read_vectors(caller: &mut Caller<'_, Host>, at: i32, count: i32) -> Result<Option<Vec<(i32, i32)>>> {
    if count.cast_unsigned() > VECTORS {
        return Ok(None);
    }
    let mut vectors = Vec::with_capacity(count.cast_unsigned() as usize);
    for index in 0..count {
        let [a, b, c, d, e, f, g, h]: [u8; 8] = take(caller, offset(at, index, 8))?;
        vectors.push((i32::from_le_bytes([a, b, c, d]), i32::from_le_bytes([e, f, g, h])));
    }
    Ok(Some(vectors))
}

fn memory(caller: &mut Caller<'_, Host>) -> Result<Memory> {
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(memory),
        _ => Err(Stop::pointer("no memory is exported").into()),
    }
}

fn slice_mut(data: &mut [u8], at: i32, length: i32) -> Result<&mut [u8], Stop> {
    let (at, length) = (at.cast_unsigned() as usize, length.cast_unsigned() as usize);
    let end = at.checked_add(length).ok_or_else(|| Stop::pointer("a buffer"))?;
    data.get_mut(at..end).ok_or_else(|| Stop::pointer("a buffer"))
}

fn put(caller: &mut Caller<'_, Host>, at: i32, bytes: &[u8]) -> Result<()> {
    let memory = memory(caller)?;
    memory.write(caller, at.cast_unsigned() as usize, bytes).map_err(|_| Stop::pointer("a result").into())
}

fn take<const N: usize>(caller: &mut Caller<'_, Host>, at: i32) -> Result<[u8; N]> {
    let memory = memory(caller)?;
    let mut bytes = [0; N];
    memory.read(caller, at.cast_unsigned() as usize, &mut bytes).map_err(|_| Stop::pointer("an argument"))?;
    Ok(bytes)
}
