//! The one place that reads clocks for decisions (`decisions.md` D3).

use plimsoll_wire::snapshot::Now;
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;

/// The machine's clocks.
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
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(Self { boot: Arc::from(boot.trim()) })
    }

    /// Now. The monotonic part goes on while the machine is suspended, as the systems that we watch see it.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { mono_ms: millis(ClockId::Boottime), wall_ms: wall(), boot: self.boot.clone() }
    }
}

fn millis(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

fn wall() -> i64 {
    i64::try_from(millis(ClockId::Realtime)).unwrap_or(i64::MAX)
}
