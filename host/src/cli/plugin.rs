//! `kubectl plimsoll`: the same program under the name `kubectl-plimsoll`. It reads and orders through the API server with
//! the caller's rights, and needs no connection to a daemon.

mod client;
mod objects;
mod order;
mod show;
mod wish;

use super::output::Form;
use super::{Exit, block_on, ended};
use clap::{Parser, Subcommand};
use client::Client;
use std::path::PathBuf;
use std::process::ExitCode;

/// What the program is called then; `kubectl` finds it by that name.
pub const NAME: &str = "kubectl-plimsoll";

const EXAMPLES: &str = "Examples:
  kubectl plimsoll status -A                     what every target does
  kubectl plimsoll explain etcd                  the last decision, in sentences
  kubectl plimsoll plan etcd                     the plan that is under way, step by step
  kubectl plimsoll pause etcd --why \"disk swap\"  nothing begins and nothing goes on

Exit codes: 0 done or shown, 1 refused, not answered in time, or an error.";

/// Asks and orders Plimsoll through the API server: with your own rights, without a way to the daemon.
#[derive(Debug, Parser)]
#[command(name = "kubectl plimsoll", bin_name = "kubectl plimsoll", version, after_help = EXAMPLES)]
struct Plugin {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    verb: Verb,
}

/// Which cluster and which namespace: the flags of `kubectl`.
#[derive(Clone, Debug, clap::Args)]
struct Place {
    /// The namespace; without it the one of the context.
    #[arg(long, short, global = true, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// The context of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// The kubeconfig; without it those of $KUBECONFIG, or ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// What every target does, and what it waits for; with a name everything about that one.
    Status(Status),
    /// The last decision in sentences: who wished what, what the rules said, what to do about it.
    Explain(One),
    /// The plan that is under way: where it stands, what is to come, what it waits for.
    Plan(One),
    /// Begin nothing and go on with nothing until `resume`.
    Pause(order::Pause),
    /// Go on after a pause, whoever began it.
    Resume(order::Resume),
    /// Show what waits for approval with its digest; with that digest, approve it.
    Approve(order::Approve),
    /// Take the plan that is under way back as far as the system can.
    Cancel(order::Cancel),
    /// Wish for a size from outside; the invariants have the last word.
    Scale(wish::Scale),
}

/// Targets to be shown.
#[derive(Debug, clap::Args)]
struct Status {
    /// The target: the name of its StatefulAutoscaler, which is also that of its ScalingPlan.
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// Of all namespaces.
    #[arg(long, short = 'A', conflicts_with = "target")]
    all_namespaces: bool,
    #[command(flatten)]
    form: Form,
}

/// One target to be shown.
#[derive(Debug, clap::Args)]
struct One {
    /// The target: the name of its StatefulAutoscaler, which is also that of its ScalingPlan.
    #[arg(value_name = "TARGET")]
    target: String,
    #[command(flatten)]
    form: Form,
}

/// Runs the plugin.
#[must_use]
pub fn main() -> ExitCode {
    match Plugin::try_parse() {
        Ok(plugin) => ended(block_on(run(&plugin))),
        Err(help) => super::helped(&help),
    }
}

async fn run(plugin: &Plugin) -> anyhow::Result<Exit> {
    let client = Client::open(&plugin.place).await?;
    match &plugin.verb {
        Verb::Status(Status { target, all_namespaces, form }) => {
            show::status(&client, target.as_deref(), *all_namespaces, *form).await
        }
        Verb::Explain(One { target, form }) => show::explain(&client, target, *form).await,
        Verb::Plan(One { target, form }) => show::plan(&client, target, *form).await,
        Verb::Pause(order) => order.run(&client).await,
        Verb::Resume(order) => order.run(&client).await,
        Verb::Approve(order) => order.run(&client).await,
        Verb::Cancel(order) => order.run(&client).await,
        Verb::Scale(wish) => wish.run(&client).await,
    }
}

#[cfg(test)]
mod tests;
