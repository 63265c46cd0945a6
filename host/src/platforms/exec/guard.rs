//! The guard of one command: a process of its own that outlives the daemon (`decisions.md` D14).
//!
//! It reads a [`Job`] from its standard input, takes the target's lock, writes down that the command begins,
//! runs it, ends its process group at the deadline, and writes down how it ended. A guard that has not begun
//! when its daemon is gone does nothing: the daemon's successor must be able to say what still happens.
//!
//! A service manager must not end the guard together with the daemon (systemd: `KillMode=process`).

use super::process::Process;
use super::status::{End, GuardStatus, TAIL};
use super::store::Store;
use rustix::fs::{FlockOperation, MemfdFlags, flock, memfd_create};
use rustix::process::{Pid, Signal, getppid, kill_process_group, setsid, test_kill_process_group};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Bytes of a job: a request of at most 256 KiB as a JSON string, and the daemon's own words.
pub(super) const MAX_JOB: u64 = 2 * 1024 * 1024;
/// Between a request to end and the end.
pub(super) const GRACE: Duration = Duration::from_secs(3);
/// How long to wait for a killed process group to be gone.
const KILL_WAIT: Duration = Duration::from_secs(5);
/// How often the lock, the daemon and the outputs are looked at.
const TICK: Duration = Duration::from_millis(50);
/// A command that writes more than this is ended: its output goes to a disk that others need.
const MAX_OUTPUT: u64 = 16 * 1024 * 1024;

/// How a guard ends. Anything but these means that nobody knows what it did.
pub(super) mod exit {
    /// The end of the command is stored.
    pub(in super::super) const STORED: u8 = 0;
    /// Nothing was begun: another command of this target runs.
    pub(in super::super) const BUSY: u8 = 20;
    /// Nothing was begun; the reason is on standard error.
    pub(in super::super) const NOT_BEGUN: u8 = 21;
    /// Nothing was begun now: this intent had been begun before.
    pub(in super::super) const REPEATED: u8 = 22;
    /// The command ended, but that could not be stored.
    pub(in super::super) const NOT_STORED: u8 = 23;
}

/// What a guard is to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Job {
    pub(super) state: PathBuf,
    pub(super) target: String,
    pub(super) plan: String,
    pub(super) intent: String,
    pub(super) slot: String,
    pub(super) verb: String,
    pub(super) argv: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) working_dir: PathBuf,
    /// What the command reads from its standard input.
    pub(super) request: String,
    /// How long the command may run.
    pub(super) timeout_ms: u64,
    /// On the monotonic clock: when to give up waiting for the lock.
    pub(super) lock_until_ms: u64,
    /// On the monotonic clock: when the permit ends, and the command with it.
    pub(super) permit_until_ms: u64,
    /// The daemon's process id.
    pub(super) daemon_pid: i32,
}

/// Milliseconds on the clock that all processes since the boot share.
pub(super) fn monotonic_ms() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let ms = now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000);
    u64::try_from(ms).unwrap_or(0)
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Why a guard ends, and what it says.
struct Stop(u8, String);

impl Stop {
    fn not_begun(doing: &str, error: impl std::fmt::Display) -> Self {
        Self(exit::NOT_BEGUN, format!("{doing}: {error}"))
    }
}

/// The `exec-guard` mode of the binary. Takes no arguments: its job comes on standard input.
///
/// Not for people: the daemon starts it.
pub fn guard_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    if args.into_iter().next().is_some() {
        let _ = writeln!(io::stderr(), "exec-guard takes no arguments, the daemon starts it");
        return ExitCode::from(exit::NOT_BEGUN);
    }
    match guard() {
        Ok(()) => ExitCode::from(exit::STORED),
        Err(Stop(code, message)) => {
            // Nobody may listen any more; a panic over that would change the exit code.
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::from(code)
        }
    }
}

fn guard() -> Result<(), Stop> {
    // A session of its own, so that neither a terminal nor the daemon's process group takes it along.
    setsid().map_err(|e| Stop::not_begun("starting a session", e))?;
    let job = read_job().map_err(|e| Stop::not_begun("reading the job", e))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Stop::not_begun("starting", e))?;
    runtime.block_on(async {
        // Polite requests to end are heard by the command's own group or not at all: a guard that left
        // would leave a command without a deadline. The handlers do not pass to the command.
        let mut deaf = Vec::new();
        for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
            deaf.push(signal(kind).map_err(|e| Stop::not_begun("setting a signal handler", e))?);
        }
        carry_out(&job).await
    })
}

fn read_job() -> io::Result<Job> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(MAX_JOB).read_to_end(&mut bytes)?;
    // A daemon that died in the middle leaves a torn document, which is none.
    Ok(serde_json::from_slice(&bytes)?)
}

async fn carry_out(job: &Job) -> Result<(), Stop> {
    let store = Store::new(&job.state, &job.target);
    store.create().map_err(|e| Stop::not_begun("creating the folder for statuses", e))?;
    let mut lock = store.open_lock().map_err(|e| Stop::not_begun("opening the lock", e))?;
    take_lock(&lock, &store, job).await?;
    let before = store.load(&job.intent).map_err(|e| Stop::not_begun("looking for an earlier status", e))?;
    if before.is_some() {
        return Err(Stop(exit::REPEATED, "this intent was begun before, and licenses one effect".into()));
    }
    if daemon_is_gone(job) {
        return Err(Stop::not_begun("beginning", "the daemon is gone"));
    }
    let left = job.permit_until_ms.saturating_sub(monotonic_ms()).min(job.timeout_ms);
    if left == 0 {
        return Err(Stop::not_begun("beginning", "the permit has ended"));
    }
    let deadline = Instant::now() + Duration::from_millis(left);
    let mut status = GuardStatus {
        format_version: 1,
        target: job.target.clone(),
        plan: job.plan.clone(),
        intent: job.intent.clone(),
        slot: job.slot.clone(),
        verb: job.verb.clone(),
        program: job.argv.first().cloned().unwrap_or_default(),
        guard_pid: std::process::id(),
        process: None,
        deadline_mono_ms: monotonic_ms().saturating_add(left),
        started_ms: wall_ms(),
        end: None,
        running: false,
    };
    Store::sign(&mut lock, &job.intent).map_err(|e| Stop::not_begun("signing the lock", e))?;
    store.save(&status).map_err(|e| Stop::not_begun("storing that the command begins", e))?;
    let end = run(job, &store, &mut status, deadline).await;
    store_end(&store, status, end).await?;
    // What is kept too long harms nobody, so that a failure here is none of the command's.
    let _ = store.prune(&job.intent);
    drop(lock);
    Ok(())
}

fn daemon_is_gone(job: &Job) -> bool {
    getppid().is_none_or(|parent| parent.as_raw_pid() != job.daemon_pid)
}

/// Waits, bounded, for the lock and for the end of a command whose guard was killed. Polls, because a wait
/// inside the kernel could not be given up.
async fn take_lock(lock: &File, store: &Store, job: &Job) -> Result<(), Stop> {
    let mut is_taken = false;
    loop {
        if !is_taken {
            is_taken = match flock(lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => true,
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => false,
                Err(error) => return Err(Stop::not_begun("taking the lock", error)),
            };
        }
        if is_taken {
            let orphan = store.orphan().map_err(|e| Stop::not_begun("looking at the last command", e))?;
            if orphan.is_none() {
                return Ok(());
            }
        }
        if daemon_is_gone(job) {
            return Err(Stop::not_begun("waiting for the lock", "the daemon is gone"));
        }
        if monotonic_ms() >= job.lock_until_ms {
            return Err(Stop(exit::BUSY, "a command of an earlier step still runs".into()));
        }
        sleep(TICK).await;
    }
}

async fn run(job: &Job, store: &Store, status: &mut GuardStatus, deadline: Instant) -> End {
    let outputs = [store.output(&job.intent, "out"), store.output(&job.intent, "err")];
    let mut child = match start(job, &outputs) {
        Ok(child) => child,
        Err(error) => return End { not_started: Some(error.to_string()), ..End::default() },
    };
    status.process = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Process::of);
    // Best effort: that a command began was stored before, this helps to find it should the guard be killed.
    let _ = store.save(status);
    let mut end = watch(&mut child, &outputs, deadline).await;
    end.stdout = tail(&outputs[0]);
    end.stderr = tail(&outputs[1]);
    for output in &outputs {
        // Emptied, so that a file with something in it is one that a server still writes to.
        let _ = OpenOptions::new().write(true).open(output).and_then(|file| file.set_len(0));
    }
    end
}

/// Output goes to files and not to pipes: a server that the command leaves behind may keep them open, which
/// would make the end of a pipe never come, and a closed pipe would kill the server.
fn start(job: &Job, outputs: &[PathBuf; 2]) -> io::Result<Child> {
    let (program, args) =
        job.argv.split_first().ok_or_else(|| io::Error::other("the command has no program"))?;
    let append =
        |path: &Path| OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(Stdio::from);
    Command::new(program)
        .args(args)
        .env_clear()
        .envs(&job.env)
        .current_dir(&job.working_dir)
        .stdin(memory_file(job.request.as_bytes())?)
        .stdout(append(&outputs[0])?)
        .stderr(append(&outputs[1])?)
        .process_group(0)
        .kill_on_drop(false)
        .spawn()
}

/// Bytes to read from, without a writer that could block or be waited for.
pub(super) fn memory_file(bytes: &[u8]) -> io::Result<Stdio> {
    let mut file = File::from(memfd_create("plimsoll-request", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(Stdio::from(file))
}

async fn watch(child: &mut Child, outputs: &[PathBuf; 2], deadline: Instant) -> End {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let mut ended_by_guard = None;
    let mut tick = tokio::time::interval(TICK);
    let exited = loop {
        tokio::select! {
            exited = child.wait() => break exited.ok(),
            () = sleep_until(deadline) => {
                ended_by_guard = Some("it ran past its deadline".to_owned());
            }
            _ = tick.tick() => {
                if outputs.iter().any(|path| size(path) > MAX_OUTPUT) {
                    ended_by_guard = Some(format!("it wrote more than {MAX_OUTPUT} bytes"));
                }
            }
        }
        if ended_by_guard.is_some() {
            break end_group(child, group).await;
        }
    };
    End {
        exit_code: exited.and_then(|status| status.code()),
        signal: exited.and_then(|status| status.signal()),
        ended_by_guard,
        ended_ms: wall_ms(),
        ..End::default()
    }
}

/// Ends a process group: asks, waits, kills, waits. The group's number is not given to others while it has a
/// member, and the child counts as one until it is waited for.
async fn end_group(child: &mut Child, group: Option<Pid>) -> Option<std::process::ExitStatus> {
    let group = group?;
    let _ = kill_process_group(group, Signal::TERM);
    let asked = Instant::now();
    let mut exited = timeout(GRACE, child.wait()).await.ok().and_then(Result::ok);
    while asked.elapsed() < GRACE && test_kill_process_group(group).is_ok() {
        sleep(TICK).await;
    }
    if test_kill_process_group(group).is_ok() {
        let _ = kill_process_group(group, Signal::KILL);
        let killed = Instant::now();
        if exited.is_none() {
            exited = timeout(KILL_WAIT, child.wait()).await.ok().and_then(Result::ok);
        }
        while killed.elapsed() < KILL_WAIT && test_kill_process_group(group).is_ok() {
            sleep(TICK).await;
        }
    }
    exited
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

/// The last bytes of an output; none where it cannot be read, for it explains and proves nothing.
fn tail(path: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// Stores how the command ended. A full disk may get room again, and a status without output is smaller, so
/// this tries for a while before it gives up; the lock is held meanwhile.
async fn store_end(store: &Store, mut status: GuardStatus, end: End) -> Result<(), Stop> {
    status.end = Some(end);
    let mut last = String::new();
    for attempt in 0..10 {
        match store.save(&status) {
            Ok(()) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
        if let Some(end) = &mut status.end {
            end.stdout.clear();
            end.stderr.truncate(end.stderr.floor_char_boundary(512));
        }
        if attempt > 0 {
            sleep(Duration::from_secs(1)).await;
        }
    }
    Err(Stop(exit::NOT_STORED, format!("storing how the command ended: {last}")))
}
