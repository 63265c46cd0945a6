//! The identity of a process that outlives the one that started it.

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use std::fs;

/// A process, distinct from a later one with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Its number, which is also its group's.
    pub pid: i32,
    /// When it began, in the kernel's ticks since the boot.
    pub start_ticks: u64,
    /// Which boot.
    pub boot: String,
}

impl Process {
    /// The process that has this number now; `None` if none runs.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self { pid, start_ticks: start_ticks(&stat)?, boot: crate::machine::boot_id().ok()? })
    }

    /// Whether it still runs.
    pub(super) fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Ends it and its group at once, if it is alive.
    pub(super) fn kill_group(&self) {
        if self.is_alive()
            && let Some(group) = Pid::from_raw(self.pid)
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// The 22nd field of `/proc/PID/stat`. The second, the name, may hold spaces and parentheses, so that fields
/// are counted from its end. A process that only waits to be reaped does not run.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end here")]
mod tests {
    use super::*;

    #[test]
    fn reads_the_start_behind_an_odd_name() {
        let fields = "1 1 1 0 -1 4 5 6 7 8 9 10 11 12 13 20 0 1 4711 99 100";
        assert_eq!(start_ticks(&format!("7 (a) b) S {fields}")), Some(4711));
        assert_eq!(start_ticks(&format!("7 (a) Z {fields}")), None);
        assert_eq!(start_ticks("junk"), None);
    }

    #[test]
    fn a_number_that_was_given_again_is_another_process() {
        let own = Process::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.is_alive());
        assert!(!Process { start_ticks: own.start_ticks + 1, ..own.clone() }.is_alive());
        assert!(!Process { boot: "another".into(), ..own }.is_alive());
    }
}
