//! `plimsoll status`.

use super::ask::Daemon;
use super::output::{self, Form, cell, number, or_dash, rfc3339};
use super::{Went, order, target};
use crate::daemon::control::Ask;
use anyhow::Context;
use plimsoll_wire::snapshot::Mode;
use plimsoll_wire::status::Status as Target;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::Path;

/// Shows what every target does and what it waits for; with a target, everything about that one. The policies and
/// what is wrong with the configuration are told as well. `-o json` and `-o yaml` have all conditions.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  plimsoll status
  plimsoll status default/orders
  plimsoll status -o json | jq '.targets[] | {target, conditions}'")]
pub(super) struct Status {
    /// `namespace/name`; all without it.
    #[arg(value_parser = target)]
    target: Option<String>,
    #[command(flatten)]
    daemon: Daemon,
    #[command(flatten)]
    form: Form,
}

/// Everything that is shown.
#[derive(Debug, Serialize)]
struct Shown {
    targets: Vec<Target>,
    #[serde(flatten)]
    daemon: About,
}

/// What the daemon tells of itself.
#[derive(Debug, Default, Serialize, Deserialize)]
struct About {
    #[serde(default)]
    policies: Vec<Policy>,
    #[serde(default)]
    problems: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Policy {
    name: String,
    module: Option<String>,
    failures: u32,
    trouble: Option<String>,
}

impl Status {
    pub(super) fn run(&self, config: &Path) -> anyhow::Result<Went> {
        let told = self.daemon.ask(config, &Ask::Status { target: self.target.clone() })?;
        let targets = serde_json::from_value(told.body).context("the daemon's status")?;
        let told = self.daemon.ask(config, &Ask::Daemon)?;
        let daemon = serde_json::from_value(told.body).context("the daemon's status")?;
        let shown = Shown { targets, daemon };
        self.form.show(&shown, || shown.text(self.target.is_some()))?;
        Ok(Went::Fine)
    }
}

impl Shown {
    fn text(&self, one: bool) -> String {
        let rows: Vec<_> = self.targets.iter().map(row).collect();
        let head = ["TARGET", "MODE", "SIZE", "WISHED", "DECIDED", "REASON", "PLAN", "PHASE", "WAITING FOR"];
        let mut text =
            if rows.is_empty() { "There are no targets.\n".to_owned() } else { output::table(head, &rows) };
        if one {
            text.extend(self.targets.iter().map(details));
        } else {
            text.extend(self.targets.iter().map(remarks));
        }
        if !self.daemon.policies.is_empty() {
            text.push('\n');
            let rows: Vec<_> = self.daemon.policies.iter().map(policy).collect();
            text.push_str(&output::table(["POLICY", "MODULE", "FAILURES", "TROUBLE"], &rows));
        }
        for problem in &self.daemon.problems {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "problem: {}", crate::policy::fault::one_line(problem, 1_024));
        }
        text
    }
}

fn row(status: &Target) -> [String; 9] {
    let last = status.last_decision.as_ref();
    let plan = status.plan.as_ref();
    let size = match (status.size, status.ghost_size) {
        (Some(size), Some(ghost)) if ghost != size => format!("{size} (would be {ghost})"),
        (size, _) => number(size),
    };
    [
        status.target.to_string(),
        mode(status.mode).to_owned(),
        size,
        last.map_or_else(
            || "-".to_owned(),
            |last| last.wish.members.map_or_else(|| "hold".to_owned(), |wish| wish.to_string()),
        ),
        last.map_or_else(|| "-".to_owned(), |last| number(last.decided)),
        last.map_or_else(|| "-".to_owned(), |last| last.reason.clone()),
        plan.map_or_else(|| "-".to_owned(), |plan| format!("{} {}→{}", plan.id, plan.from, plan.to)),
        or_dash(&status.phase),
        or_dash(&status.waiting_for),
    ]
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Off => "off",
        Mode::Dryrun => "dryrun",
        Mode::Enforce => "enforce",
    }
}

fn policy(policy: &Policy) -> [String; 4] {
    let module = policy.module.as_deref().map(|digest| digest.get(..12).unwrap_or(digest));
    [
        policy.name.clone(),
        or_dash(module.unwrap_or_default()),
        policy.failures.to_string(),
        or_dash(policy.trouble.as_deref().unwrap_or_default()),
    ]
}

/// What a person should know of a target at once.
fn remarks(status: &Target) -> String {
    let mut text = String::new();
    let mut remark = |what: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}: {}", cell(&status.target), crate::policy::fault::one_line(&what, 1_024));
    };
    if let Some(trouble) = &status.trouble {
        remark(format!("trouble: {trouble}"));
    }
    if let Some(note) = &status.paused {
        let why = if note.why.is_empty() { String::new() } else { format!(": {}", note.why) };
        remark(format!("paused by {} at {}{why}", note.who, rfc3339(note.at.wall_ms)));
    }
    if let Some(content) = &status.approval {
        remark(format!("waits for approval: {content}"));
        remark(format!("next: plimsoll approve {} {}", status.target, order::digest(content)));
    }
    text
}

fn details(status: &Target) -> String {
    let mut text = remarks(status);
    let rows: Vec<_> = status
        .conditions
        .iter()
        .map(|condition| {
            let holds = if condition.status { "True" } else { "False" };
            [
                condition.kind.clone(),
                holds.to_owned(),
                or_dash(&condition.reason),
                or_dash(&condition.message),
            ]
        })
        .collect();
    text.push('\n');
    text.push_str(&output::table(["CONDITION", "STATUS", "REASON", "MESSAGE"], &rows));
    if let Some(last) = &status.last_decision {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\nlast decision {} at {}", cell(&last.id), rfc3339(last.wall_ms));
        let _ = writeln!(text, "next: plimsoll explain {}", cell(&last.id));
    }
    if !status.history.is_empty() {
        let rows: Vec<_> = status
            .history
            .iter()
            .map(|ended| {
                let sizes = format!("{}→{}", ended.from, ended.to);
                let word =
                    serde_json::to_value(ended.status).ok().and_then(|word| word.as_str().map(str::to_owned));
                [
                    ended.id.to_string(),
                    sizes,
                    ended.ended_at.to_string(),
                    word.unwrap_or_default(),
                    rfc3339(ended.at.wall_ms),
                    or_dash(&ended.why),
                ]
            })
            .collect();
        text.push('\n');
        text.push_str(&output::table(["ENDED PLAN", "SIZES", "AT", "HOW", "WHEN", "WHY"], &rows));
    }
    text
}
