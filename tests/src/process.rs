//! Child processes of tests: free ports, log files, an end by their own id, and waiting with a deadline.

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A process of a test; it ends, by its own id, when this goes.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command with its output in `log` and nothing to read.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().to_string_lossy()))?;
        Ok(Self { child, log: log.to_path_buf() })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Ends it at once (`SIGKILL`) and waits for it.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if self.ended()?.is_none() {
            self.child.kill()?;
        }
        self.child.wait()?;
        Ok(())
    }

    /// The end of its log, for messages of failed tests.
    #[must_use]
    pub fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing can be done about a process that cannot be ended while a test is being torn down.
        let _ = self.kill();
    }
}

/// Below the range from which the system gives ports to outgoing connections, which would take them away
/// between the choice of a port and its use.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A block of ports on loopback that no other test takes while this lives, in this process or another.
#[derive(Debug)]
pub struct Ports {
    next: u16,
    end: u16,
    /// Its lock is the reservation; the system gives it back with the process.
    _lock: File,
}

impl Ports {
    /// How many ports a block has.
    const BLOCK: u16 = 40;

    /// Takes a block of which every port is free now.
    ///
    /// # Errors
    /// When no block is left, or the lock files cannot be written.
    pub fn reserve() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join("plimsoll-test-ports");
        std::fs::create_dir_all(&folder)?;
        for first in PORTS.step_by(usize::from(Self::BLOCK)) {
            let lock = File::create(folder.join(first.to_string()))?;
            let end = first + Self::BLOCK;
            let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
            if lock.try_lock().is_ok() && end <= PORTS.end && (first..end).all(is_free) {
                return Ok(Self { next: first, end, _lock: lock });
            }
        }
        anyhow::bail!("no block of ports is free in {PORTS:?}")
    }

    /// One port of the block.
    ///
    /// # Errors
    /// When the block is used up.
    pub fn take(&mut self) -> anyhow::Result<u16> {
        anyhow::ensure!(self.next < self.end, "a test may use {} ports", Self::BLOCK);
        self.next += 1;
        Ok(self.next - 1)
    }
}

/// Asks again and again until there is an answer, and fails with the last refusal after the deadline.
///
/// # Errors
/// The last refusal, when there was no answer in time.
pub async fn wait_until<T, F>(what: &str, within: Duration, mut ask: F) -> anyhow::Result<T>
where
    F: AsyncFnMut() -> anyhow::Result<T>,
{
    let deadline = Instant::now() + within;
    loop {
        match ask().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => {
                return Err(error.context(format!("waited {within:?} in vain for: {what}")));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Sends a process a signal.
///
/// # Errors
/// When it is not there.
pub fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("no process id")?;
    Ok(kill_process(pid, signal)?)
}

/// Whether a process with this id exists and is not a zombie.
#[must_use]
pub fn is_running(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The state follows the name, which is in parentheses and may hold anything.
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}
