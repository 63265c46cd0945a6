//! What the plugin shows: `status`, `explain` and `plan`, for people as tables and sentences, for programs whole.

use super::super::output::{self, Form, cell, line, number, or_dash};
use super::Exit;
use super::client::Client;
use super::objects::Shown;
use crate::kubernetes::scaling_plan::About;
use crate::kubernetes::stateful_autoscaler::{CONDITIONS, Condition, Constraint, LastDecision, Status, Wish};
use anyhow::{Context as _, bail};
use std::fmt::Write as _;

pub(super) async fn status(
    client: &Client,
    target: Option<&str>,
    everywhere: bool,
    form: Form,
) -> anyhow::Result<Exit> {
    if let Some(typed) = target {
        let shown = Shown::one(client, &client.target(typed)?).await?;
        form.show(&shown, || table(std::slice::from_ref(&shown)) + &details(&shown))?;
        return Ok(Exit::Fine);
    }
    let all = Shown::all(client, everywhere).await?;
    form.show(&all, || {
        if all.is_empty() {
            let place = if everywhere {
                "in this cluster"
            } else {
                &*format!("in the namespace {}", client.namespace)
            };
            return format!("There are no targets {place}.\n");
        }
        table(&all) + &all.iter().map(remarks).collect::<String>()
    })?;
    Ok(Exit::Fine)
}

pub(super) async fn explain(client: &Client, typed: &str, form: Form) -> anyhow::Result<Exit> {
    let target = client.target(typed)?;
    let shown = Shown::one(client, &target).await?;
    let Some(status) = &shown.autoscaler else {
        bail!(
            "{target} has no StatefulAutoscaler with a status: decisions about a target of a file are in the daemon's audit log \
             (`plimsoll explain {target}` there), its plan is `kubectl plimsoll plan {target}`"
        );
    };
    form.show(&status, || {
        let mut lines = vec![format!("{target}: {}", status.message)];
        match &status.last_decision {
            Some(last) => lines.extend(sentences(last)),
            None => lines.push("Nothing has been decided yet.".to_owned()),
        }
        lines.extend(status.conditions.iter().filter_map(advice));
        lines.iter().map(|text| format!("{}\n", line(text))).collect()
    })?;
    Ok(Exit::Fine)
}

pub(super) async fn plan(client: &Client, typed: &str, form: Form) -> anyhow::Result<Exit> {
    let target = client.target(typed)?;
    let shown = Shown::one(client, &target).await?;
    let about = shown.plan.as_ref().with_context(|| {
        format!("{target} has no plan to show: no daemon has taken it up yet, or one of an older version")
    })?;
    form.show(about, || steps(&shown.target, about))?;
    Ok(Exit::Fine)
}

fn table(all: &[Shown]) -> String {
    let head = ["TARGET", "MODE", "SIZE", "WISHED", "DECIDED", "REASON", "PLAN", "PHASE", "WAITING FOR"];
    let rows: Vec<_> = all.iter().map(row).collect();
    output::table(head, &rows)
}

fn row(shown: &Shown) -> [String; 9] {
    let status = shown.autoscaler.as_ref();
    let last = status.and_then(|status| status.last_decision.as_ref());
    let about = shown.plan.as_ref();
    let under_way = about.filter(|about| about.plan.is_some());
    let size = match status {
        Some(status) => match status.ghost_replicas {
            Some(ghost) => format!("{} ({ghost})", number(status.replicas)),
            None => number(status.replicas),
        },
        None => "-".to_owned(),
    };
    // The autoscaler knows what the plan waits for to the second; the journal what is written down.
    let waits = status.and_then(|status| status.plan.as_ref()).map(|plan| plan.waiting_for.clone());
    let waits = waits.or_else(|| about.map(|about| about.waits_for.clone())).unwrap_or_default();
    [
        shown.target.clone(),
        or_dash(if shown.mode.is_empty() { about.map_or("", |about| &*about.mode) } else { &shown.mode }),
        size,
        last.map_or_else(
            || "-".to_owned(),
            |last| last.raw_desired_replicas.map_or_else(|| "hold".to_owned(), |wish| wish.to_string()),
        ),
        last.map_or_else(|| "-".to_owned(), |last| number(last.final_desired_replicas)),
        or_dash(last.map_or("", |last| &*last.reason)),
        or_dash(&under_way.map_or_else(String::new, |about| format!("{}, {}", about.change, about.state))),
        or_dash(under_way.map_or("", |about| &*about.phase)),
        or_dash(&waits),
    ]
}

/// What a person should know of a target at once.
fn remarks(shown: &Shown) -> String {
    let mut text = String::new();
    let mut remark = |what: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}: {}", cell(&shown.target), line(what));
    };
    let conditions = shown.autoscaler.iter().flat_map(|status| &status.conditions);
    for condition in conditions.filter(|one| calls(one)) {
        remark(&format!(
            "{}={}: {} {}",
            condition.kind, condition.status, condition.reason, condition.message
        ));
    }
    let Some(about) = &shown.plan else {
        remark("no daemon has taken it up yet");
        return text;
    };
    if let Some(pause) = &about.paused {
        let why = if pause.why.is_empty() { String::new() } else { format!(": {}", pause.why) };
        remark(&format!("paused by {} at {}{why}", pause.who, pause.time.0));
    }
    if let Some(content) = about.plan.as_ref().and_then(|plan| plan.approval.as_ref()) {
        remark(&format!("waits for approval: {content}"));
        // Not with its digest: nobody is to approve what he has not seen whole.
        let (namespace, name) = shown.target.split_once('/').unwrap_or_default();
        remark(&format!("next: kubectl plimsoll approve {name} -n {namespace}"));
    }
    for order in &about.orders {
        remark(order);
    }
    text
}

fn details(shown: &Shown) -> String {
    let mut text = remarks(shown);
    if let Some(status) = &shown.autoscaler {
        let rows: Vec<_> = status
            .conditions
            .iter()
            .map(|one| [one.kind.clone(), one.status.clone(), or_dash(&one.reason), or_dash(&one.message)])
            .collect();
        text.push('\n');
        text.push_str(&output::table(["CONDITION", "STATUS", "REASON", "MESSAGE"], &rows));
        text.push_str(&outside(status));
    }
    if let Some(about) = &shown.plan {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\nplan: {}", line(&about.message));
    }
    text
}

fn outside(status: &Status) -> String {
    status.external_wish.as_ref().map_or_else(String::new, |wish| {
        format!("\n{} wishes for {} members from outside\n", cell(&wish.manager), wish.replicas)
    })
}

/// Whether a condition calls for somebody.
fn calls(condition: &Condition) -> bool {
    let known = CONDITIONS.iter().find(|known| known.kind == condition.kind);
    let holds = known.and_then(|known| known.calls);
    holds.is_some_and(|holds| condition.status == if holds { "True" } else { "False" })
}

fn advice(condition: &Condition) -> Option<String> {
    let known = CONDITIONS.iter().find(|known| known.kind == condition.kind).filter(|_| calls(condition))?;
    Some(format!(
        "{} is {} ({}): {} Next: {}",
        condition.kind, condition.status, condition.reason, condition.message, known.advice
    ))
}

fn sentences(last: &LastDecision) -> Vec<String> {
    let mut lines = vec![format!("Decision {} of {}.", last.id, last.time.0)];
    lines.extend(last.wishes.iter().map(wished));
    lines.push(match last.raw_desired_replicas {
        Some(members) => format!("The combined wish was {members} ({}: {}).", last.wished_by, last.rule),
        None => format!("There was no wish to carry out: {}.", last.rule),
    });
    lines.extend(last.constraints_applied.iter().map(found));
    let decided = number(last.final_desired_replicas);
    let size = number(last.current_replicas);
    lines.push(format!("Decided: {decided} members, of {size} then ({}).", last.reason));
    lines
}

fn wished(wish: &Wish) -> String {
    let why = match &*wish.message {
        "" => wish.reason.clone(),
        message => format!("{}: {message}", wish.reason),
    };
    match (wish.failed, wish.replicas) {
        (true, _) => format!("{} failed ({why}).", wish.from),
        (false, Some(members)) => format!("{} wished {members} ({why}).", wish.from),
        (false, None) => format!("{} wished nothing ({why}).", wish.from),
    }
}

fn found(one: &Constraint) -> String {
    let verb = match &*one.effect {
        "Clamp" => "limits it",
        "Defer" => "says not yet",
        _ => "says no",
    };
    let hint = if one.hint.is_empty() { String::new() } else { format!(" Next: {}.", one.hint) };
    format!("{} ({}) {verb}: {}.{hint}", one.reason, one.rule, one.message)
}

/// A plan, line by line.
fn steps(target: &str, about: &About) -> String {
    let mut lines = vec![format!("{target}: {}", about.message)];
    if let Some(since) = &about.since {
        lines.push(format!("since {}, epoch {}", since.0, about.epoch));
    }
    if let Some(plan) = &about.plan {
        lines.push(format!("plan {} of decision {}, asked for by {}", plan.id, plan.decision, plan.asked_by));
        lines.push(format!("began at {}, last progress at {}", plan.started.0, plan.progressed.0));
        if !plan.victims.is_empty() {
            lines.push(format!("to go: {}", plan.victims.join(", ")));
        }
        lines.push(format!(
            "member {}{}:",
            plan.unit,
            plan.member.as_ref().map_or_else(String::new, |member| format!(" ({member})"))
        ));
        lines.extend(plan.steps.iter().map(|step| format!("  {step}")));
        if plan.point_of_no_return {
            lines.push("what is under way can no longer be taken back".to_owned());
        }
        lines.extend(plan.approval.iter().map(|content| format!("waits for approval: {content}")));
    }
    lines.extend(about.orders.iter().cloned());
    if !about.commands.is_empty() {
        lines.push("what you can do:".to_owned());
    }
    let mut text: String = lines.iter().map(|text| format!("{}\n", line(text))).collect();
    // Whole: they are pasted.
    for command in &about.commands {
        let _ = writeln!(text, "  {}", output::spelled(command));
    }
    text
}
