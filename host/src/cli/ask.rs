//! Asking the running daemon over its control socket.

use super::progress::Progress;
use crate::config::{self, DaemonConfig};
use crate::daemon::control::{Ask, Response};
use anyhow::{Context, anyhow};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longer than the daemon takes for any answer.
const DEADLINE: Duration = Duration::from_secs(35);
/// An answer with thousands of targets.
const MAX_ANSWER: u64 = 256 << 20;

/// Where the daemon is.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Daemon {
    /// The control socket; without it the daemon's file says where it is.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Who says something to the daemon.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Who {
    /// Who says this, for the record; $SUDO_USER or $USER without it.
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
}

impl Who {
    pub(super) fn name(&self) -> String {
        self.name.clone().unwrap_or_else(person)
    }
}

/// Who sits at the terminal, as far as the environment tells.
pub(super) fn person() -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|name| !name.is_empty());
    let name = variable("SUDO_USER").or_else(|| variable("USER"));
    name.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

/// The daemon's configuration, or everything that is wrong with it.
pub(super) fn daemon_file(config: &Path) -> anyhow::Result<DaemonConfig> {
    config::load_daemon(config).map_err(|problems| anyhow!("{problems}"))
}

impl Daemon {
    /// Asks, and gives the answer where it was yes.
    pub(super) fn ask(&self, config: &Path, ask: &Ask) -> anyhow::Result<Response> {
        let socket = match &self.socket {
            Some(socket) => socket.clone(),
            None => daemon_file(config)?.control_socket,
        };
        let _progress = Progress::begin("waiting for the daemon");
        let response = exchange(&socket, config, ask)?;
        if response.ok { Ok(response) } else { Err(anyhow!("{}", response.message)) }
    }
}

fn exchange(socket: &Path, config: &Path, ask: &Ask) -> anyhow::Result<Response> {
    let mut stream =
        UnixStream::connect(socket).map_err(|error| unreachable_daemon(socket, config, &error))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    let mut line = serde_json::to_vec(ask)?;
    line.push(b'\n');
    // As text: a pipe that breaks here is not the reader of our output.
    stream.write_all(&line).map_err(|error| anyhow!("asking the daemon: {error}"))?;
    let mut answer = String::new();
    let read = BufReader::new(stream.take(MAX_ANSWER)).read_line(&mut answer);
    read.map_err(
        |error| if is_late(&error) { unanswered() } else { anyhow!("the daemon's answer: {error}") },
    )?;
    if answer.is_empty() {
        return Err(unanswered());
    }
    serde_json::from_str(&answer).context("the daemon's answer is not one; is it of another version?")
}

fn is_late(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Why the socket cannot be spoken to, and what to do about it.
fn unreachable_daemon(socket: &Path, config: &Path, error: &std::io::Error) -> anyhow::Error {
    let (place, file) = (socket.display(), config.display());
    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) {
        anyhow!(
            "no daemon answers at {place}; start it with `plimsoll run --config {file}`, or name its file with \
             `--config`"
        )
    } else if error.kind() == ErrorKind::PermissionDenied {
        anyhow!("{place} belongs to another user; run this as the daemon's user, such as with `sudo -u`")
    } else {
        anyhow!("{place}: {error}")
    }
}

fn unanswered() -> anyhow::Error {
    anyhow!("the daemon has not answered in time; what was asked may still be done: see `plimsoll status`")
}
