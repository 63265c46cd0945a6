//! Handles the signals that people and service managers send to the process. An unhandled signal would end the daemon
//! without a word, so those that are not meant to end it are handled too.

use super::Daemon;
use crate::config;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The file would be larger than its limit: the write fails, which is reported, instead of the process.
const FILE_SIZE: i32 = 25;

/// What the process is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To read its files again, as `ExecReload=/bin/kill -HUP` wants it.
    ReadAgain,
    /// Nothing that it knows.
    Nothing(&'static str),
}

/// The signals that it goes on after.
pub(super) struct Signals {
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
    alarm: Signal,
    ready: Signal,
    file_size: Signal,
}

impl Signals {
    /// From here on none of them ends the process; what comes before the first question waits for it.
    ///
    /// # Errors
    /// When the system refuses to hand one over.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
            alarm: signal(SignalKind::alarm())?,
            ready: signal(SignalKind::io())?,
            file_size: signal(SignalKind::from_raw(FILE_SIZE))?,
        })
    }

    /// The next that comes. May be given up and asked again at any time.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            Some(()) = self.hang_up.recv() => Asked::ReadAgain,
            Some(()) = self.user_1.recv() => Asked::Nothing("SIGUSR1"),
            Some(()) = self.user_2.recv() => Asked::Nothing("SIGUSR2"),
            Some(()) = self.alarm.recv() => Asked::Nothing("SIGALRM"),
            Some(()) = self.ready.recv() => Asked::Nothing("SIGIO"),
            Some(()) = self.file_size.recv() => Asked::Nothing("SIGXFSZ"),
            // The runtime is being shut down.
            else => std::future::pending().await,
        }
    }
}

/// Until the process is told to stop. Asked for late: what comes before it ends the process at once, as it should.
pub(super) async fn stopped() {
    let signals =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::quit()));
    let (Ok(mut term), Ok(mut int), Ok(mut quit)) = signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
        _ = quit.recv() => {}
    }
}

impl Daemon {
    /// Does what a signal asks for, with a line about it whatever it is.
    pub(super) async fn heed(&mut self, asked: Asked, watch: &mut config::Watch) {
        match asked {
            Asked::ReadAgain => {
                tracing::info!("SIGHUP: reading the daemon's file, the documents and the policies again");
                self.tools.library.look_again();
                self.reload(watch).await;
            }
            Asked::Nothing(signal) => tracing::warn!("{signal}: it asks for nothing here; going on"),
        }
    }
}
