//! What a fresh instance holds: its input, what it wrote, and what it has used of its limits.

use crate::policy::fault::{Failure, Fault, one_line};
use crate::policy::limits::{ANSWER_BYTES, HOST_CALLS, LOG_BYTES, LOG_LINES, RANDOM_BYTES};
use sha2::{Digest, Sha256};
use std::fmt;
use wasmtime::{ResourceLimiter, Trap};

/// The host's side of one evaluation.
pub(crate) struct Host {
    pub input: Vec<u8>,
    /// How much of the input was read.
    pub read: usize,
    pub answer: Vec<u8>,
    pub log: Log,
    /// Nanoseconds since 1970: the snapshot's time, which stands still.
    pub wall_ns: u64,
    /// Nanoseconds for which the guest asked to sleep: time passes for it alone.
    pub slept_ns: u64,
    pub random: Random,
    pub memory: Memory,
    calls: u32,
}

/// What one evaluation used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spent {
    pub fuel: u64,
    pub log: Vec<String>,
}

impl Host {
    pub(crate) fn new(input: Vec<u8>, wall_ms: i64, memory_bytes: u64, table_elements: u64) -> Self {
        let wall_ms = u64::try_from(wall_ms).unwrap_or(0);
        Self {
            input,
            read: 0,
            answer: Vec::new(),
            log: Log::default(),
            wall_ns: wall_ms.saturating_mul(1_000_000),
            slept_ns: 0,
            random: Random::default(),
            memory: Memory::new(memory_bytes, table_elements),
            calls: 0,
        }
    }

    /// Counts a call of the host.
    pub(crate) fn enter(&mut self) -> Result<(), Stop> {
        self.calls += 1;
        if self.calls > HOST_CALLS {
            return Err(Stop::Failed(Failure::new(
                Fault::HostcallBudget,
                format!("more than {HOST_CALLS} calls of the host"),
            )));
        }
        Ok(())
    }

    /// Takes a part of the answer.
    pub(crate) fn write_answer(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if self.answer.len() + bytes.len() > ANSWER_BYTES {
            let detail = format!("the answer has more than {ANSWER_BYTES} bytes");
            return Err(Stop::Failed(Failure::new(Fault::ResultTooLarge, detail)));
        }
        self.answer.extend_from_slice(bytes);
        Ok(())
    }

    /// Random bytes that are the same for the same snapshot.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Stop> {
        self.random.fill(&self.input, bytes)
    }
}

/// Why the host ended a guest.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// The guest asked to end, with this status.
    Exit(u32),
    Failed(Failure),
}

impl Stop {
    pub(crate) fn pointer(what: &str) -> Self {
        Self::Failed(Failure::new(Fault::BadPointer, format!("{what}: a pointer out of the guest's memory")))
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(status) => write!(f, "exit status {status}"),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for Stop {}

/// What an error of a guest's call means; `None` when the guest ended of its own will, with success.
pub(crate) fn failure(error: &wasmtime::Error) -> Option<Failure> {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match stop {
            Stop::Exit(0) => None,
            Stop::Exit(status) => {
                Some(Failure::new(Fault::Exit, format!("the program ended with status {status}")))
            }
            Stop::Failed(failure) => Some(failure.clone()),
        };
    }
    let Some(trap) = error.downcast_ref::<Trap>() else {
        // What it stands in is a list of places in the guest, which its author cannot look up.
        return Some(Failure::new(Fault::Guest, error.root_cause().to_string()));
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of traps is open")]
    let fault = match trap {
        Trap::OutOfFuel => Fault::Fuel,
        Trap::StackOverflow => Fault::Stack,
        _ => Fault::Guest,
    };
    let more =
        if fault == Fault::Fuel { "; `fuel` in the manifest beside the module gives more" } else { "" };
    Some(Failure::new(fault, format!("{trap}{more}")))
}

/// The guest's log, cut at its limit.
#[derive(Default)]
pub(crate) struct Log {
    lines: Vec<String>,
    open: Vec<u8>,
    bytes: usize,
    cut: bool,
}

impl Log {
    /// Takes bytes of a stream; lines end at line feeds.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let room = LOG_BYTES - self.bytes;
        self.cut |= bytes.len() > room;
        let bytes = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.bytes += bytes.len();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.open.extend_from_slice(part.strip_suffix(b"\n").unwrap_or(part));
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.open);
        if self.lines.len() < LOG_LINES {
            self.lines.push(one_line(&String::from_utf8_lossy(&line), LOG_BYTES));
        } else {
            self.cut = true;
        }
    }

    /// All lines, and a last one that says so if some are missing.
    pub(crate) fn finish(mut self) -> Vec<String> {
        if !self.open.is_empty() {
            self.end_line();
        }
        if self.cut {
            self.lines.push(format!("[log cut at {LOG_BYTES} bytes or {LOG_LINES} lines]"));
        }
        self.lines
    }
}

/// Random bytes from the snapshot's digest.
#[derive(Default)]
pub(crate) struct Random {
    seed: Option<[u8; 32]>,
    block: u64,
    given: u64,
}

impl Random {
    fn fill(&mut self, input: &[u8], bytes: &mut [u8]) -> Result<(), Stop> {
        self.given = self.given.saturating_add(bytes.len() as u64);
        if self.given > RANDOM_BYTES {
            let detail = format!("more than {RANDOM_BYTES} random bytes");
            return Err(Stop::Failed(Failure::new(Fault::HostcallBudget, detail)));
        }
        let seed = *self.seed.get_or_insert_with(|| Sha256::digest(input).into());
        for chunk in bytes.chunks_mut(32) {
            let block = Sha256::new().chain_update(seed).chain_update(self.block.to_le_bytes()).finalize();
            self.block += 1;
            for (byte, random) in chunk.iter_mut().zip(block) {
                *byte = random;
            }
        }
        Ok(())
    }
}

/// Bytes of an element of a table: a pointer of ours.
const ELEMENT_BYTES: u64 = 8;

/// Bounds the memories and tables of all instances together, and each table.
pub(crate) struct Memory {
    left_bytes: u64,
    table_elements: u64,
}

impl Memory {
    fn new(left_bytes: u64, table_elements: u64) -> Self {
        Self { left_bytes, table_elements }
    }

    fn take(&mut self, bytes: u64) -> bool {
        let left = self.left_bytes.checked_sub(bytes);
        self.left_bytes = left.unwrap_or(self.left_bytes);
        left.is_some()
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.take(desired.saturating_sub(current) as u64))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        Ok(desired as u64 <= self.table_elements && self.take(more.saturating_mul(ELEMENT_BYTES)))
    }

    fn instances(&self) -> usize {
        200
    }

    fn tables(&self) -> usize {
        200
    }

    fn memories(&self) -> usize {
        100
    }
}
