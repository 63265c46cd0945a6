//! People's orders: `pause`, `resume`, `approve`, `cancel`, `scale`. Each goes over the control socket, and is durable
//! before the daemon says yes.

use super::ask::{Daemon, Who};
use super::output::{self, line};
use super::{Exit, target};
use crate::daemon::control::{Ask, Response};
use crate::policy::fault::one_line;
use anyhow::{Context, anyhow, bail};
use plimsoll_wire::status::Status;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Stops a target, or the whole fleet, before its next step. A running plan keeps its place; no policy and no
/// restart undoes this, only `resume`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  plimsoll pause default/orders --why \"disk swap\"
  plimsoll pause --all --why \"incident 42\"")]
pub(super) struct Pause {
    #[command(flatten)]
    whom: Whom,
    /// Why, for whoever finds it paused.
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    daemon: Daemon,
}

/// Lets a paused target, or all paused targets, go on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  plimsoll resume default/orders
  plimsoll resume --all")]
pub(super) struct Resume {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    daemon: Daemon,
}

/// One target or all.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Whom {
    /// `namespace/name`.
    #[arg(value_parser = target)]
    target: Option<String>,
    /// Every target.
    #[arg(long)]
    all: bool,
}

/// Shows what waits for approval with its digest; with that digest, approves it. What is approved is exactly what
/// was shown: cluster, sizes, victims, module and topology. When any of it changes, the approval is void.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  plimsoll approve default/orders            shows the plan and what to paste
  plimsoll approve default/orders 5f1c...    approves what was shown")]
pub(super) struct Approve {
    /// `namespace/name`.
    #[arg(value_parser = target)]
    target: String,
    /// The SHA-256 that was shown.
    digest: Option<String>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    daemon: Daemon,
}

/// Takes the running plan back. What the system cannot take back is finished, and nothing after it begins.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  plimsoll cancel default/orders")]
pub(super) struct Cancel {
    /// `namespace/name`.
    #[arg(value_parser = target)]
    target: String,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    daemon: Daemon,
}

/// Wishes for a size, before all policies, until `--clear`. It passes the same judge as every wish: the
/// invariants have the last word.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  plimsoll scale default/orders 5
  plimsoll scale default/orders --clear")]
pub(super) struct Scale {
    /// `namespace/name`.
    #[arg(value_parser = target)]
    target: String,
    /// How many members.
    #[arg(value_name = "N", required_unless_present = "clear", conflicts_with = "clear")]
    members: Option<u32>,
    /// Leave the size to the policies again.
    #[arg(long)]
    clear: bool,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    daemon: Daemon,
}

/// What an order to all came to for one of them.
#[derive(Debug, Deserialize)]
struct Each {
    target: String,
    ok: bool,
    message: String,
}

impl Pause {
    pub(super) fn run(&self, config: &Path) -> anyhow::Result<Exit> {
        let ask =
            Ask::Pause { target: self.whom.target.clone(), why: self.why.clone(), who: self.who.name() };
        tell(&self.daemon.ask(config, &ask)?)
    }
}

impl Resume {
    pub(super) fn run(&self, config: &Path) -> anyhow::Result<Exit> {
        let ask = Ask::Resume { target: self.whom.target.clone(), who: self.who.name() };
        tell(&self.daemon.ask(config, &ask)?)
    }
}

impl Cancel {
    pub(super) fn run(&self, config: &Path) -> anyhow::Result<Exit> {
        tell(&self.daemon.ask(config, &Ask::Cancel { target: self.target.clone(), who: self.who.name() })?)
    }
}

impl Scale {
    pub(super) fn run(&self, config: &Path) -> anyhow::Result<Exit> {
        let ask = Ask::Scale { target: self.target.clone(), members: self.members, who: self.who.name() };
        tell(&self.daemon.ask(config, &ask)?)
    }
}

impl Approve {
    pub(super) fn run(&self, config: &Path) -> anyhow::Result<Exit> {
        let response = self.daemon.ask(config, &Ask::Status { target: Some(self.target.clone()) })?;
        let all: Vec<Status> = serde_json::from_value(response.body).context("the daemon's status")?;
        let status = all.into_iter().next().ok_or_else(|| anyhow!("the daemon gave no status"))?;
        let Some(content) = status.approval else {
            bail!("{}: nothing waits for approval; `plimsoll status {0}` tells what it does", self.target);
        };
        let shown = digest(&content);
        match &self.digest {
            None => {
                output::print(&format!(
                    "{}\nsha256 {shown}\n\nTo approve exactly this:\n  plimsoll approve {} {shown}\n",
                    // Whole, whatever its length: it is what is approved.
                    one_line(&content, usize::MAX),
                    self.target
                ))?;
                Ok(Exit::Fine)
            }
            Some(digest) if digest.eq_ignore_ascii_case(&shown) => {
                let ask = Ask::Approve { target: self.target.clone(), content, who: self.who.name() };
                tell(&self.daemon.ask(config, &ask)?)
            }
            Some(_) => bail!(
                "the digest is not that of what waits now; the plan may have changed since you looked: look again with `plimsoll approve {}`",
                self.target
            ),
        }
    }
}

/// What an approval is named by.
pub(super) fn digest(content: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(content.as_bytes()).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Tells what was done; to all, one by one.
fn tell(response: &Response) -> anyhow::Result<Exit> {
    if response.body.is_null() {
        output::print(&format!("{}\n", line(&response.message)))?;
        return Ok(Exit::Fine);
    }
    let each: Vec<Each> = serde_json::from_value(response.body.clone()).context("the daemon's answer")?;
    if each.is_empty() {
        output::print(&format!("{}\n", line(&response.message)))?;
    }
    for one in &each {
        if one.ok {
            output::print(&format!("{}\n", line(&one.message)))?;
        } else {
            output::complain(&format!("error: {}: {}", one.target, one.message));
        }
    }
    Ok(if each.iter().all(|one| one.ok) { Exit::Fine } else { Exit::Short })
}
