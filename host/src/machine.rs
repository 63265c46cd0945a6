//! The machine's clocks, the id of its boot, and unique names.

use plimsoll_wire::snapshot::Now;
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;

/// Where the kernel tells which boot this is.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// Where it tells a name that nothing else has.
const UUID: &str = "/proc/sys/kernel/random/uuid";

/// The machine's clocks: the one place that reads them for decisions (`decisions.md` D3).
#[derive(Clone, Debug)]
pub struct Clock {
    boot: Arc<str>,
}

impl Clock {
    /// The clocks of this boot.
    ///
    /// # Errors
    /// When the kernel does not tell which boot this is.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { boot: Arc::from(boot_id()?) })
    }

    /// Now. The monotonic part goes on while the machine is suspended, as the systems that we watch see it.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { mono_ms: millis(ClockId::Boottime), wall_ms: wall(), boot: self.boot.clone() }
    }
}

/// The id of this boot.
///
/// # Errors
/// When the kernel cannot be asked.
pub(crate) fn boot_id() -> std::io::Result<String> {
    Ok(std::fs::read_to_string(BOOT)?.trim().to_owned())
}

/// A random UUID.
///
/// # Errors
/// When the kernel cannot be asked.
pub(crate) fn uuid() -> std::io::Result<String> {
    Ok(std::fs::read_to_string(UUID)?.trim().to_owned())
}

fn millis(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

fn wall() -> i64 {
    i64::try_from(millis(ClockId::Realtime)).unwrap_or(i64::MAX)
}
