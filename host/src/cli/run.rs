//! `plimsoll run`.

use super::{Exit, ask, block_on};
use crate::config::{Log, LogFormat, LogLevel};
use crate::daemon::LogSetter;
use clap::ValueEnum;
use std::io::IsTerminal;
use std::path::Path;
use tracing_subscriber::EnvFilter;

/// Runs the daemon until it is told to stop (SIGTERM, SIGINT, SIGQUIT). Whatever is under way stays in the journal and
/// goes on with the next start.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  plimsoll run --config /etc/plimsoll/plimsoll.yaml
  plimsoll run --log-level debug")]
pub(super) struct Run {
    /// From which severity on to log, whatever the daemon's file says.
    #[arg(long, value_enum, value_name = "LEVEL")]
    log_level: Option<Level>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Run {
    pub(super) fn run(&self, config: &Path) -> anyhow::Result<Exit> {
        let daemon = ask::daemon_file(config)?;
        let log_level = log(daemon.log, self.log_level);
        let config = config.to_owned();
        // The loop beside the tasks whose answers it takes: from a thread of its own, each answer wakes that thread.
        block_on(async {
            let looping = tokio::spawn(async move { crate::daemon::run(&config, log_level).await });
            looping.await.unwrap_or_else(|error| match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(error.into()),
            })
        })?;
        Ok(Exit::Fine)
    }
}

/// Begins to log; what comes back changes the level later. What was asked for on the command line stays.
fn log(log: Log, asked: Option<Level>) -> LogSetter {
    let logs =
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter(log.level, asked));
    match log.format {
        LogFormat::Text => {
            let logs = logs.with_ansi(std::io::stderr().is_terminal()).with_filter_reloading();
            let handle = logs.reload_handle();
            logs.init();
            setter(asked, move |filter| handle.reload(filter))
        }
        LogFormat::Json => {
            let logs = logs.json().with_filter_reloading();
            let handle = logs.reload_handle();
            logs.init();
            setter(asked, move |filter| handle.reload(filter))
        }
    }
}

fn setter(
    asked: Option<Level>,
    reload: impl Fn(EnvFilter) -> Result<(), tracing_subscriber::reload::Error> + Send + Sync + 'static,
) -> LogSetter {
    Box::new(move |level| {
        if let Err(error) = reload(filter(level, asked)) {
            tracing::error!(%error, "the level of the log stays");
        }
    })
}

fn filter(level: LogLevel, asked: Option<Level>) -> EnvFilter {
    let level = match (asked, level) {
        (Some(Level::Error), _) | (None, LogLevel::Error) => return EnvFilter::new("error"),
        (Some(Level::Warn), _) | (None, LogLevel::Warn) => "warn",
        (Some(Level::Info), _) | (None, LogLevel::Info) => "info",
        (Some(Level::Debug), _) | (None, LogLevel::Debug) => "debug",
        // What libraries have to say below a warning is of use to those who wrote them; `trace` shows it all.
        (Some(Level::Trace), _) | (None, LogLevel::Trace) => return EnvFilter::new("trace"),
    };
    EnvFilter::new(format!("warn,plimsoll={level},policy={level}"))
}
