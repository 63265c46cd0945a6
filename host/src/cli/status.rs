//! `plimsoll status`.

use super::ask::Daemon;
use super::output::{self, Form, cell, number, or_dash, rfc3339};
use super::{Exit, target};
use crate::daemon::control::Ask;
use anyhow::Context;
use plimsoll_wire::snapshot::Mode;
use plimsoll_wire::status::Status as Target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Shows what every target does and what it waits for; with a target, everything about that one. The policies and
/// what is wrong with the configuration are shown as well. `-o json` and `-o yaml` have all conditions.
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<Lease>,
}

/// How the daemon that was asked stands to the others.
#[derive(Debug, Serialize, Deserialize)]
struct Lease {
    leads: bool,
    leader: String,
    identity: String,
    lease: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Policy {
    name: String,
    module: Option<String>,
    failures: u32,
    trouble: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shadow: Option<String>,
    #[serde(default, rename = "rolledBack", skip_serializing_if = "BTreeMap::is_empty")]
    rolled_back: BTreeMap<String, String>,
}

impl Status {
    pub(super) fn run(&self, config: &Path) -> anyhow::Result<Exit> {
        let response = self.daemon.ask(config, &Ask::Status { target: self.target.clone() })?;
        let targets = serde_json::from_value(response.body).context("the daemon's status")?;
        let response = self.daemon.ask(config, &Ask::Daemon)?;
        let daemon = serde_json::from_value(response.body).context("the daemon's status")?;
        let shown = Shown { targets, daemon };
        self.form.show(&shown, || shown.text(self.target.is_some()))?;
        Ok(Exit::Fine)
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
        for (policy, target, back) in self.daemon.policies.iter().flat_map(rolled_back) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "policy {} for {}: {}", cell(policy), cell(target), output::line(back));
        }
        if let Some(lease) = &self.daemon.lease {
            text.push_str(&who_leads(lease));
        }
        for problem in &self.daemon.problems {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "problem: {}", output::line(problem));
        }
        text
    }
}

/// Plans and decisions are the leader's to tell.
fn who_leads(lease: &Lease) -> String {
    let (us, name) = (cell(&lease.identity), cell(&lease.lease));
    let mut text = if lease.leads {
        format!("\nthis daemon ({us}) leads, by the lease {name}\n")
    } else {
        format!("\nthis daemon ({us}) follows; {} leads, by the lease {name}\n", cell(&lease.leader))
    };
    if let Some(trouble) = &lease.trouble {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "the lease could not be asked: {}", output::line(trouble));
    }
    text
}

fn row(status: &Target) -> [String; 9] {
    let last = status.last_decision.as_ref();
    let plan = status.plan.as_ref();
    let size = match (status.sizes.members, status.ghost.members) {
        (Some(size), Some(ghost)) if ghost != size => format!("{size} (would be {ghost})"),
        (size, _) => number(size),
    };
    [
        status.target.to_string(),
        mode(status.mode).to_owned(),
        size,
        last.map_or_else(
            || "-".to_owned(),
            |last| last.wish.sizes.members.map_or_else(|| "hold".to_owned(), |wish| wish.to_string()),
        ),
        last.map_or_else(|| "-".to_owned(), |last| number(last.decided.members)),
        last.map_or_else(|| "-".to_owned(), |last| last.reason.clone()),
        plan.map_or_else(|| "-".to_owned(), |plan| format!("{} {}→{}", plan.id, plan.from(), plan.to())),
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
        or_dash(policy.trouble.as_ref().or(policy.shadow.as_ref()).map_or("", String::as_str)),
    ]
}

fn rolled_back(policy: &Policy) -> impl Iterator<Item = (&str, &str, &str)> {
    policy.rolled_back.iter().map(|(target, back)| (&*policy.name, &**target, &**back))
}

/// What a person should know of a target at once.
fn remarks(status: &Target) -> String {
    let mut text = String::new();
    let mut remark = |what: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}: {}", cell(&status.target), output::line(&what));
    };
    if let Some(trouble) = &status.trouble {
        remark(format!("trouble: {trouble}"));
    }
    if let Some(note) = &status.paused {
        let why = if note.why.is_empty() { String::new() } else { format!(": {}", note.why) };
        remark(format!("paused by {} at {}{why}", note.who, rfc3339(note.at.wall_ms)));
    }
    let in_document =
        status.conditions.iter().find(|condition| condition.kind == "Paused" && condition.status);
    if let Some(condition) = in_document.filter(|_| status.paused.is_none()) {
        let what = match condition.reason.as_str() {
            "ScaleIn" => "scale-in is paused",
            "ScaleOut" => "scale-out is paused",
            "Replicas" => "its size is kept",
            _ => "paused",
        };
        remark(format!("{what} in its document: {}", condition.message));
    }
    if let Some(wish) = &status.outside {
        let when = if wish.when.is_empty() { String::new() } else { format!(" at {}", wish.when) };
        remark(format!("{} wished for {} members from outside{when}", wish.who, wish.members));
    }
    for order in &status.orders {
        let (place, who) = (&order.place, &order.note.who);
        let obeyed = if order.obeyed { "obeyed" } else { "refused" };
        remark(format!("{} by {who} ({place}) was {obeyed}: {}", order.verb, order.note.why));
    }
    if let Some(content) = &status.approval {
        remark(format!("waits for approval: {content}"));
        // Not with its digest: nobody is to approve what he has not seen whole.
        remark(format!("next: plimsoll approve {}", status.target));
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
                let (from, to) = ended.members_leg();
                let sizes = format!("{from}→{to}");
                let word =
                    serde_json::to_value(ended.status).ok().and_then(|word| word.as_str().map(str::to_owned));
                [
                    ended.id.to_string(),
                    sizes,
                    ended.ended_at.members.map_or_else(String::new, |size| size.to_string()),
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
