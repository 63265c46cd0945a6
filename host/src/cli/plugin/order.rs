//! Writes orders as annotations of a `ScalingPlan`, with the rights of the person who gives them, and waits until the
//! daemon has written its answer there.

use super::super::ask::person;
use super::super::order::digest;
use super::super::output::{self, line};
use super::super::progress::Progress;
use super::Exit;
use super::client::{Client, Kind, Target};
use crate::kubernetes::scaling_plan::{MAX_ORDER, ORDERS_PREFIX};
use crate::policy::fault::one_line;
use anyhow::bail;
use plimsoll_wire::journal::{Answered, Note};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// The target, and how long the daemon is waited for.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Whom {
    /// The target: the name of its StatefulAutoscaler, which is also that of its ScalingPlan.
    #[arg(value_name = "TARGET")]
    pub(super) target: String,
    #[command(flatten)]
    pub(super) wait: Wait,
}

/// How long the daemon is waited for.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Wait {
    /// Whether to wait until the daemon has answered.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    wait: bool,
    /// For how many seconds at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    timeout: u64,
}

impl Wait {
    pub(super) fn until(self) -> Option<Instant> {
        self.wait.then(|| Instant::now() + Duration::from_secs(self.timeout))
    }

    pub(super) fn seconds(self) -> u64 {
        self.timeout
    }
}

/// Stops a target before its next step; a running plan keeps its place.
#[derive(Debug, clap::Args)]
pub(super) struct Pause {
    #[command(flatten)]
    whom: Whom,
    /// Why, for whoever finds it paused.
    #[arg(long, value_name = "TEXT")]
    why: String,
}

/// Ends a pause, whoever began it: on the plan, in the document, or over the daemon's socket.
#[derive(Debug, clap::Args)]
pub(super) struct Resume {
    #[command(flatten)]
    whom: Whom,
}

/// What is approved is exactly what was shown: cluster, sizes, victims, module and topology.
#[derive(Debug, clap::Args)]
pub(super) struct Approve {
    #[command(flatten)]
    whom: Whom,
    /// The SHA-256 that was shown.
    digest: Option<String>,
}

/// What the system cannot take back is finished, and nothing after it begins.
#[derive(Debug, clap::Args)]
pub(super) struct Cancel {
    #[command(flatten)]
    whom: Whom,
}

impl Pause {
    pub(super) async fn run(&self, client: &Client) -> anyhow::Result<Exit> {
        let target = client.target(&self.whom.target)?;
        let text = format!("{}: {}", person(), self.why.trim());
        if self.why.trim().is_empty() || text.len() > MAX_ORDER {
            bail!("`--why` takes a sentence of at most {MAX_ORDER} bytes");
        }
        let plan = client.get(Kind::Plan, &target).await?;
        let in_force = paused(&plan).is_some_and(|note| note.why == text);
        Order { client, target: &target, name: "paused", text: &text, wait: self.whom.wait }
            .give(&plan, in_force)
            .await
    }
}

impl Cancel {
    pub(super) async fn run(&self, client: &Client) -> anyhow::Result<Exit> {
        let target = client.target(&self.whom.target)?;
        let plan = client.get(Kind::Plan, &target).await?;
        let Some(id) = plan["status"]["journal"]["plan"]["id"].as_str() else {
            bail!("{target} has no running plan; `kubectl plimsoll status {target}` tells what it does");
        };
        Order { client, target: &target, name: "cancel", text: id, wait: self.whom.wait }
            .give(&plan, true)
            .await
    }
}

impl Approve {
    pub(super) async fn run(&self, client: &Client) -> anyhow::Result<Exit> {
        let target = client.target(&self.whom.target)?;
        let plan = client.get(Kind::Plan, &target).await?;
        let Some(content) = plan["status"]["about"]["plan"]["approval"].as_str() else {
            bail!(
                "{target}: nothing waits for approval; `kubectl plimsoll status {target}` tells what it does"
            );
        };
        let shown = digest(content);
        match &self.digest {
            None => {
                output::print(&format!(
                    "{}\nsha256 {shown}\n\nTo approve exactly this:\n  kubectl plimsoll approve {} {shown} -n {}\n",
                    // Whole, whatever its length: it is what is approved.
                    one_line(content, usize::MAX),
                    target.name,
                    target.namespace
                ))?;
                Ok(Exit::Fine)
            }
            Some(digest) if digest.eq_ignore_ascii_case(&shown) => {
                let order =
                    Order { client, target: &target, name: "approve", text: content, wait: self.whom.wait };
                // Given once it approves no second plan; a person who says it again means this one.
                order.give(&plan, false).await
            }
            Some(_) => bail!(
                "the digest is not that of what waits now; the plan may have changed since you looked: look again with \
                 `kubectl plimsoll approve {} -n {}`",
                target.name,
                target.namespace
            ),
        }
    }
}

impl Resume {
    pub(super) async fn run(&self, client: &Client) -> anyhow::Result<Exit> {
        let target = client.target(&self.whom.target)?;
        let paused_all = format!("{ORDERS_PREFIX}paused");
        let has = |object: &Value| object["metadata"]["annotations"][&paused_all].is_string();
        let plan = client.get(Kind::Plan, &target).await?;
        let in_document = client.find(Kind::Autoscaler, &target).await?.is_some_and(|object| has(&object));
        if !in_document && !has(&plan) && paused(&plan).is_none() {
            bail!(
                "{target} is not paused as a whole; `kubectl plimsoll status {target}` tells whether one direction is"
            );
        }
        if in_document {
            client.annotate(Kind::Autoscaler, &target, &paused_all, None).await?;
            output::print(&format!("{target}: the pause in its document is taken away\n"))?;
        }
        if has(&plan) {
            client.annotate(Kind::Plan, &target, &paused_all, None).await?;
            output::print(&format!("{target}: the pause on its plan is taken away\n"))?;
        }
        let Some(note) = paused(&plan) else { return self.document_taken_up(client, &target).await };
        if !has(&plan) {
            let id = note.at.wall_ms.to_string();
            let order = Order { client, target: &target, name: "resume", text: &id, wait: self.whom.wait };
            return order.give(&plan, false).await;
        }
        let Some(deadline) = self.whom.wait.until() else { return Ok(Exit::Fine) };
        let _progress = Progress::begin("waiting for the daemon");
        let goes_on = |plan: &Value| paused(plan).is_none_or(|now| now.at != note.at).then_some(());
        match client.until(Kind::Plan, &target, deadline, goes_on).await? {
            Some(()) => output::print(&format!("{target} goes on\n")).map(|()| Exit::Fine),
            None => bail!("{}", silence(client, &target, self.whom.wait).await),
        }
    }
}

impl Resume {
    /// Waits until the daemon has seen that nothing is paused in the document any more.
    async fn document_taken_up(&self, client: &Client, target: &Target) -> anyhow::Result<Exit> {
        let Some(deadline) = self.whom.wait.until() else { return Ok(Exit::Fine) };
        let _progress = Progress::begin("waiting for the daemon");
        let goes_on = |object: &Value| {
            let conditions = object["status"]["conditions"].as_array()?;
            let paused = conditions.iter().find(|one| one["type"] == "Paused")?;
            (paused["status"] != "True" || paused["reason"] != "Everything").then_some(())
        };
        match client.until(Kind::Autoscaler, target, deadline, goes_on).await? {
            Some(()) => output::print(&format!("{target} goes on\n")).map(|()| Exit::Fine),
            None => bail!("{}", silence(client, target, self.whom.wait).await),
        }
    }
}

/// The pause that is in force, as the journal has it.
fn paused(plan: &Value) -> Option<Note> {
    serde_json::from_value(plan["status"]["journal"]["memory"]["paused"].clone()).ok()
}

/// What was answered to the order that stands in a place of a plan.
fn answered(plan: &Value, place: &str) -> Option<Answered> {
    let all = plan["status"]["journal"]["memory"]["answered"].as_array()?;
    let found = all.iter().find(|answered| answered["place"] == place)?;
    serde_json::from_value(found.clone()).ok()
}

/// Nobody has answered: what that means, and who could have.
pub(super) async fn silence(client: &Client, target: &Target, wait: Wait) -> String {
    format!(
        "{target}: no daemon has answered within {} s ({}). What was written stands, and is obeyed once when one leads; \
         next: see that a daemon runs and takes this namespace, or raise `--timeout`",
        wait.seconds(),
        client.leaders().await
    )
}

/// One order on its way.
struct Order<'a> {
    client: &'a Client,
    target: &'a Target,
    name: &'a str,
    text: &'a str,
    wait: Wait,
}

impl Order<'_> {
    /// Writes it, waits, and tells what came of it. Where the very same stands and was answered, it is not given again if
    /// that is in force still; else it is taken away first, since each order is obeyed once.
    async fn give(&self, plan: &Value, in_force: bool) -> anyhow::Result<Exit> {
        let Self { client, target, name, text, wait } = *self;
        let (annotation, place) = (format!("{ORDERS_PREFIX}{name}"), format!("plan/{name}"));
        let until = wait.until();
        let _progress = Progress::begin("waiting for the daemon");
        let before = answered(plan, &place).filter(|old| old.text == text);
        if let Some(old) = before {
            if old.obeyed && in_force {
                return tell(&old);
            }
            client.annotate(Kind::Plan, target, &annotation, None).await?;
            let deadline = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(wait.seconds()));
            let gone = |plan: &Value| answered(plan, &place).is_none().then_some(());
            if client.until(Kind::Plan, target, deadline, gone).await?.is_none() {
                bail!("{}", silence(client, target, wait).await);
            }
        }
        client.annotate(Kind::Plan, target, &annotation, Some(text)).await?;
        let Some(deadline) = until else {
            output::print(&format!("{target}: the order is written\n"))?;
            return Ok(Exit::Fine);
        };
        let came = |plan: &Value| answered(plan, &place).filter(|answer| answer.text == text);
        match client.until(Kind::Plan, target, deadline, came).await? {
            Some(answer) => tell(&answer),
            None => {
                let silence = silence(client, target, wait).await;
                bail!(
                    "{silence}, or take it back with `kubectl annotate scalingplan/{} -n {} {annotation}-`",
                    target.name,
                    target.namespace
                )
            }
        }
    }
}

fn tell(answer: &Answered) -> anyhow::Result<Exit> {
    if answer.obeyed {
        output::print(&format!("{}\n", line(&answer.note.why)))?;
        return Ok(Exit::Fine);
    }
    bail!("refused: {}", line(&answer.note.why))
}
