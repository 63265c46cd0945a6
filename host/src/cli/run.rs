//! `plimsoll run`.

use super::{Went, ask, block_on};
use crate::config::{Log, LogFormat, LogLevel};
use clap::ValueEnum;
use std::io::IsTerminal;
use std::path::Path;
use tracing_subscriber::EnvFilter;

/// Runs the daemon until it is told to stop (SIGTERM, SIGINT). Whatever is under way stays in the journal and
/// goes on with the next start.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  plimsoll run --config /etc/plimsoll/plimsoll.yaml
  plimsoll run --log-level debug")]
pub(super) struct Run {
    /// From which severity on to log; the daemon's file says so without it.
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
    pub(super) fn run(&self, config: &Path) -> anyhow::Result<Went> {
        let daemon = ask::daemon_file(config)?;
        log(daemon.log, self.log_level);
        block_on(crate::daemon::run(config))?;
        Ok(Went::Fine)
    }
}

fn log(log: Log, asked: Option<Level>) {
    let level = match (asked, log.level) {
        (Some(Level::Error), _) | (None, LogLevel::Error) => "error",
        (Some(Level::Warn), _) | (None, LogLevel::Warn) => "warn",
        (Some(Level::Info), _) | (None, LogLevel::Info) => "info",
        (Some(Level::Debug), _) | (None, LogLevel::Debug) => "debug",
        (Some(Level::Trace), _) | (None, LogLevel::Trace) => "trace",
    };
    // What libraries have to say below a warning is of use to those who wrote them; `trace` shows it all.
    let filter =
        if level == "trace" { level.to_owned() } else { format!("warn,plimsoll={level},policy={level}") };
    let filter = if level == "error" { EnvFilter::new("error") } else { EnvFilter::new(filter) };
    let logs = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    match log.format {
        LogFormat::Text => logs.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => logs.json().init(),
    }
}
