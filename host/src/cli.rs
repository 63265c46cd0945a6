//! The command line.

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Autoscaling for systems that hold data.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, about)]
struct Arguments {
    /// The daemon's file.
    #[arg(long, short, global = true, default_value = "plimsoll.yaml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the daemon.
    Run,
}

/// Runs the command line. Exit codes: 0 fine, 1 usage or runtime error, 2 a check failed.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Verb::Run => run(&arguments.config),
    }
}

fn run(config: &std::path::Path) -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("info").init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: starting: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(crate::daemon::run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
