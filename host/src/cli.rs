//! The command line: each command in its own file, each returning its exit status.

mod ask;
mod audit;
mod check;
mod crd;
mod demo;
mod explain;
mod order;
mod output;
mod plan;
pub mod plugin;
mod policy;
mod progress;
mod run;
mod schema;
mod set_aside;
mod snapshot;
mod status;
mod yaml;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

const EXIT_CODES: &str = "Exit codes:
  0  fine
  1  usage or runtime error
  2  a check, a test or a comparison failed

  `audit verify` follows its own scale: 0 clean, 1 the last record is torn (or a runtime error), 2 corrupt.";

const EXAMPLES: &str = "Examples:
  plimsoll check                             look the configuration and the policies over
  plimsoll run                               run the daemon
  plimsoll status                            what every target does
  plimsoll explain default/orders            the last decision, in sentences
  plimsoll plan default/orders --to 5        what would happen, and why
  plimsoll pause --all --why \"maintenance\"   stop the fleet before its next step";

/// An autoscaler for systems that hold data: policies wish, invariants have the last word.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, about, after_help = EXIT_CODES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
struct Arguments {
    /// The daemon's file; it says where the control socket, the state and the policies are.
    #[arg(long, short, global = true, value_name = "FILE", default_value = "plimsoll.yaml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    Run(run::Run),
    /// A day on a simulated cluster, with nothing installed.
    Demo(demo::Demo),
    /// Look the configuration and the policies over: all problems at once.
    Check(check::Check),
    /// What would happen to a target now, and why.
    Plan(plan::Plan),
    /// Decisions in sentences, from the audit log.
    Explain(explain::Explain),
    /// What every target does, and what it waits for.
    Status(status::Status),
    /// Begin nothing and go on with nothing until `resume`.
    Pause(order::Pause),
    /// Go on after `pause`.
    Resume(order::Resume),
    /// Show what waits for approval, and approve it.
    Approve(order::Approve),
    /// Take the running plan back as far as the system can.
    Cancel(order::Cancel),
    /// Wish for a size before all policies; the invariants have the last word all the same.
    Scale(order::Scale),
    /// The audit log.
    Audit(audit::Audit),
    /// Policies, one module at a time, without a daemon.
    Policy(policy::Policy),
    /// Print the JSON Schema of a document.
    Schema(schema::Schema),
    /// Print the definitions of our Kubernetes resources.
    Crd(crd::Crd),
    /// In a pod, before its member: set a removed member's data aside.
    SetAside(set_aside::SetAside),
}

/// How a command ends that met no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// 0.
    Fine,
    /// 1: something was refused, and each item is printed already.
    Short,
    /// 2: a check, a test or a comparison failed.
    Failed,
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(help) => return helped(&help),
    };
    ended(dispatch(&arguments))
}

/// Help, or what is wrong with a command line.
fn helped(help: &clap::Error) -> ExitCode {
    // Nobody can be told that nobody listens.
    let _ = help.print();
    if help.use_stderr() { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

/// The exit code of a command.
fn ended(exit: anyhow::Result<Exit>) -> ExitCode {
    match exit {
        Ok(Exit::Fine) => ExitCode::SUCCESS,
        Ok(Exit::Short) => ExitCode::from(1),
        Ok(Exit::Failed) => ExitCode::from(2),
        // The reader of our output has seen enough.
        Err(error) if error.is::<output::Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&format!("error: {error:#}"));
            ExitCode::from(1)
        }
    }
}

fn dispatch(arguments: &Arguments) -> anyhow::Result<Exit> {
    let config = &arguments.config;
    match &arguments.command {
        Command::Run(command) => command.run(config),
        Command::Demo(command) => command.run(),
        Command::Check(command) => command.run(config),
        Command::Plan(command) => command.run(config),
        Command::Explain(command) => command.run(config),
        Command::Status(command) => command.run(config),
        Command::Pause(command) => command.run(config),
        Command::Resume(command) => command.run(config),
        Command::Approve(command) => command.run(config),
        Command::Cancel(command) => command.run(config),
        Command::Scale(command) => command.run(config),
        Command::Audit(command) => command.run(config),
        Command::Policy(command) => command.run(config),
        Command::Schema(command) => command.run(),
        Command::Crd(command) => command.run(),
        Command::SetAside(command) => command.run(),
    }
}

/// Runs something asynchronous to its end.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(work)
}

/// `namespace/name`; a name alone is in the namespace `default`.
fn target(text: &str) -> Result<String, String> {
    let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
    let is_name = |part: &str| {
        !part.is_empty()
            && part.len() <= 253
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    if is_name(namespace) && is_name(name) {
        Ok(format!("{namespace}/{name}"))
    } else {
        Err("write it as `namespace/name`, or the name alone for the namespace `default`".to_owned())
    }
}
