//! Running a command that only reads, bounded in time and output. It needs no guard: nothing is lost with it.

use super::COMMAND_PATH;
use super::guard::memory_file;
use super::status::last_words;
use plimsoll_wire::fact::Gap;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::time::timeout;

/// Bytes of standard error that may end up in a message.
const MAX_COMPLAINT: usize = 4096;
/// How long the outputs may stay open after the command itself has ended.
const LINGER: Duration = Duration::from_millis(500);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It could not be started.
    #[error("could not be started: {0}")]
    NotStarted(std::io::Error),
    /// It did not end in time.
    #[error("did not answer within {} ms and was ended", .0.as_millis())]
    TimedOut(Duration),
    /// It wrote too much.
    #[error("wrote more than {0} bytes and was ended")]
    TooLong(usize),
    /// Something that it started keeps its output open.
    #[error("left a process that keeps its output open, so that the answer may be torn")]
    LeftOpen,
    /// It could not be read or waited for.
    #[error("could not be read: {0}")]
    Unreadable(std::io::Error),
    /// It says that it failed.
    #[error("failed with {status}{said}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to standard error.
        said: String,
    },
}

impl Failure {
    /// What it means for whatever was to be read.
    pub(super) fn gap(&self) -> Gap {
        match self {
            Self::TooLong(_) | Self::LeftOpen => Gap::Unparsable,
            Self::NotStarted(_) | Self::TimedOut(_) | Self::Unreadable(_) | Self::Failed { .. } => Gap::Error,
        }
    }
}

/// A command as it is called once.
pub(super) struct Call<'a> {
    pub(super) argv: &'a [String],
    pub(super) env: BTreeMap<String, String>,
    pub(super) working_dir: &'a Path,
    pub(super) timeout: Duration,
}

/// Ends a command's whole process group unless it was seen to end by itself.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// What a command writes to its standard output when it is given `request`: `most` bytes at most.
///
/// # Errors
/// See [`Failure`]. The process group is ended in every case but a clean end of the command.
pub(super) async fn capture(call: &Call<'_>, request: &[u8], most: usize) -> Result<Vec<u8>, Failure> {
    let mut child = start(call, request).map_err(Failure::NotStarted)?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    // Declared after the child, so that it is dropped first: while the child is not waited for, its number
    // belongs to nobody else.
    let mut group = Group(group);
    let ended = timeout(call.timeout, read(&mut child, most)).await;
    let (status, out, err) = ended.map_err(|_| Failure::TimedOut(call.timeout))??;
    group.0 = None;
    if status.success() {
        Ok(out)
    } else {
        Err(Failure::Failed { status, said: last_words(&String::from_utf8_lossy(&err)) })
    }
}

fn start(call: &Call<'_>, request: &[u8]) -> std::io::Result<Child> {
    let (program, args) = call.argv.split_first().ok_or_else(|| std::io::Error::other("no program"))?;
    tokio::process::Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", COMMAND_PATH)
        .envs(&call.env)
        .current_dir(call.working_dir)
        .stdin(memory_file(request)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

async fn read(child: &mut Child, most: usize) -> Result<(ExitStatus, Vec<u8>, Vec<u8>), Failure> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let outputs = async { tokio::try_join!(answer(stdout, most), complaint(stderr)) };
    tokio::pin!(outputs);
    tokio::select! {
        biased;
        read = &mut outputs => {
            let (out, err) = read?;
            let status = child.wait().await.map_err(Failure::Unreadable)?;
            Ok((status, out, err))
        }
        status = child.wait() => {
            let status = status.map_err(Failure::Unreadable)?;
            let (out, err) = timeout(LINGER, outputs).await.map_err(|_| Failure::LeftOpen)??;
            Ok((status, out, err))
        }
    }
}

async fn answer(from: Option<impl AsyncRead + Unpin>, most: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        let limit = most as u64 + 1;
        from.take(limit).read_to_end(&mut bytes).await.map_err(Failure::Unreadable)?;
    }
    if bytes.len() > most { Err(Failure::TooLong(most)) } else { Ok(bytes) }
}

/// Keeps the last part and reads on, so that a talkative command is not blocked.
async fn complaint(from: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, Failure> {
    let mut kept = Vec::new();
    let Some(mut from) = from else { return Ok(kept) };
    let mut part = [0u8; 4096];
    loop {
        let read = from.read(&mut part).await.map_err(Failure::Unreadable)?;
        if read == 0 {
            return Ok(kept);
        }
        kept.extend_from_slice(&part[..read]);
        let surplus = kept.len().saturating_sub(MAX_COMPLAINT);
        kept.drain(..surplus);
    }
}
