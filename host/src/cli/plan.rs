//! `plimsoll plan`.

use super::ask::Daemon;
use super::output::{self, Form, cell, line, number, or_dash, rfc3339};
use super::{Exit, snapshot, target};
use crate::daemon::control::Ask;
use anyhow::{Context, anyhow, bail};
use plimsoll_core::count::count;
use plimsoll_core::plan::preview::{Asked, Foresight, Preview, preview};
use plimsoll_core::plan::price;
use plimsoll_wire::record::{Verdict, Wisher};
use plimsoll_wire::snapshot::Mode;
use plimsoll_wire::status::Status;
use plimsoll_wire::{FORMAT_VERSION, Snapshot};
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A snapshot of a thousand members is a few megabytes.
const MAX_SNAPSHOT: u64 = 64 << 20;

/// Shows what would happen to a target now, and why: the verdict of every invariant, and the plan step by step
/// with the point that the system cannot take back. It changes nothing and leaves nothing behind.
///
/// Without `--to` the size is what the last decision wished. With `--from` no daemon is asked: a saved snapshot
/// (`plimsoll explain ID --snapshot`, or anything that follows `plimsoll schema snapshot`) is judged.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 shown (with --to: and admitted), 1 usage or runtime error, 2 the size asked for with --to is not admitted, or limited to the size that there is.

Examples:
  plimsoll plan default/orders
  plimsoll plan default/orders --to 3
  plimsoll explain default/orders --snapshot > now.json
  plimsoll plan --from now.json --to 3 -o json"
)]
pub(super) struct Plan {
    /// `namespace/name`.
    #[arg(value_parser = target, required_unless_present = "from", conflicts_with = "from")]
    target: Option<String>,
    /// A saved snapshot; `-` reads the standard input.
    #[arg(long, value_name = "FILE", requires = "to")]
    from: Option<PathBuf>,
    /// The size to ask about.
    #[arg(long, value_name = "N")]
    to: Option<u32>,
    /// Judge the wish as one that rests on these signals (comma-separated; `all` for all of them) and not as a
    /// person's: bad data may then not shrink.
    #[arg(long, value_name = "SIGNALS", value_delimiter = ',')]
    resting_on: Option<Vec<String>>,
    #[command(flatten)]
    daemon: Daemon,
    #[command(flatten)]
    form: Form,
}

impl Plan {
    pub(super) fn run(&self, config: &Path) -> anyhow::Result<Exit> {
        let (snapshot, wished) = match (&self.from, &self.target) {
            (Some(file), _) => (read(file)?, self.to.map(|to| self.named(to))),
            (None, Some(target)) => self.newest(config, target)?,
            (None, None) => bail!("name a target, or a saved snapshot with `--from`"),
        };
        let Some(asked) = wished else {
            return self.show_hold(config, &snapshot);
        };
        let preview = preview(&snapshot, asked);
        self.form.show(&preview, || table(&preview, snapshot.now.wall_ms))?;
        Ok(if self.to.is_some() && !preview.admitted { Exit::Failed } else { Exit::Fine })
    }

    /// The size that is asked about: a person's wish, or one that rests on the signals that are named.
    fn named(&self, to: u32) -> Asked {
        let all = |names: &Vec<String>| names.iter().any(|name| name == "all");
        // No name at all means all signals that there are; see `Change::Resize`.
        let rests_on =
            self.resting_on.as_ref().map(|names| if all(names) { Vec::new() } else { names.clone() });
        let by = rests_on.as_ref().map_or(Wisher::Person, |_| Wisher::Policy(String::new()));
        Asked { to, by, rests_on }
    }

    /// The newest snapshot, and the size that is asked about, or else what was wished last, judged as whose it was. Which
    /// signals a policy named is not kept: its wish is judged as one that rests on all of them.
    fn newest(&self, config: &Path, target: &str) -> anyhow::Result<(Snapshot, Option<Asked>)> {
        let response = self.daemon.ask(config, &Ask::Snapshot { target: target.to_owned() })?;
        let snapshot = serde_json::from_value(response.body).context("the daemon's snapshot")?;
        let wished = match self.to {
            Some(to) => Some(self.named(to)),
            None => self.status(config, target)?.last_decision.and_then(|last| {
                let named = self.named(last.wish.sizes.members?);
                let rests_on = last.wish.from.policy().map(|_| Vec::new());
                Some(Asked { by: last.wish.from, rests_on: named.rests_on.or(rests_on), ..named })
            }),
        };
        Ok((snapshot, wished))
    }

    fn status(&self, config: &Path, target: &str) -> anyhow::Result<Status> {
        let response = self.daemon.ask(config, &Ask::Status { target: Some(target.to_owned()) })?;
        let all: Vec<Status> = serde_json::from_value(response.body).context("the daemon's status")?;
        all.into_iter().next().ok_or_else(|| anyhow!("the daemon gave no status of {target}"))
    }

    /// Nobody wishes anything: say why, and what may be asked instead.
    fn show_hold(&self, config: &Path, snapshot: &Snapshot) -> anyhow::Result<Exit> {
        let status = self.status(config, &snapshot.target.key)?;
        let why = match &status.last_decision {
            Some(last) => format!("{} ({})", last.reason, last.wish.rule),
            None => "no decision yet".to_owned(),
        };
        let document = serde_json::json!({
            "target": status.target, "system": status.system, "mode": status.mode, "sizes": status.sizes,
            "wished": null, "why": why, "running": status.plan.as_ref().map(|plan| &plan.id),
        });
        self.form.show(&document, || {
            let size = number(status.sizes.members);
            format!(
                "{}: {}, and nobody wishes another size: {}.\n{}Ask about one with `--to N`.\n",
                status.target,
                count(size, "member"),
                cell(&why),
                match status.mode {
                    Mode::Enforce | Mode::Dryrun => mode(status.mode),
                    Mode::Off => "The target is in mode off: nothing is decided, and nothing is done.\n",
                }
            )
        })?;
        Ok(Exit::Fine)
    }
}

fn read(file: &Path) -> anyhow::Result<Snapshot> {
    let name = if file == Path::new("-") { "<stdin>".to_owned() } else { file.display().to_string() };
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(MAX_SNAPSHOT + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(MAX_SNAPSHOT + 1).read_to_string(&mut text))
    };
    read.with_context(|| format!("reading the snapshot {name}"))?;
    if text.len() as u64 > MAX_SNAPSHOT {
        bail!("{name}: more than {MAX_SNAPSHOT} bytes are no snapshot");
    }
    parse(&text, &name)
}

fn parse(text: &str, name: &str) -> anyhow::Result<Snapshot> {
    let hint = "`plimsoll schema snapshot` tells what belongs there";
    let document: serde_json::Value =
        serde_json::from_str(text).map_err(|error| anyhow!("{}; {hint}", at(name, &error)))?;
    match document.get("formatVersion").map(serde_json::Value::as_u64) {
        Some(Some(version)) if version == u64::from(FORMAT_VERSION) => {}
        Some(_) => bail!("{name}: formatVersion: this version of Plimsoll reads {FORMAT_VERSION} only"),
        None => bail!("{name}: formatVersion: is missing; {hint}"),
    }
    let snapshot = snapshot::read(document).map_err(|misfit| anyhow!("{name}: {misfit}; {hint}"))?;
    // An unknown step, or one that is missing, would be left out of the plan in silence.
    match plimsoll_core::profile::flaws(&snapshot.profile) {
        flaws if flaws.is_empty() => Ok(snapshot),
        flaws => bail!("{name}: profile: {}", flaws.join("; ")),
    }
}

fn at(name: &str, error: &serde_json::Error) -> String {
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or_default();
    format!("{name}:{}:{}: {message}", error.line(), error.column())
}

fn table(preview: &Preview, wall_ms: i64) -> String {
    let mut text = String::new();
    let size = number(preview.size);
    let verdict = verdict(preview.judgement.verdict);
    // Writing to a string cannot fail, here and below.
    let (target, system) = (cell(&preview.target), cell(&preview.system));
    let _ = writeln!(text, "{target} ({system}), seen {}", rfc3339(wall_ms));
    let ghost = preview.ghost.map(|ghost| format!(" ({ghost}, had dry run acted)")).unwrap_or_default();
    let _ = write!(text, "{}{ghost}, {} wished: {verdict}", count(size, "member"), preview.wished);
    if let (true, Some(to)) = (preview.judgement.verdict <= Verdict::Clamp, preview.judgement.sizes.members) {
        let word = if to == preview.wished { "decided" } else { "is the limit" };
        let _ = write!(text, ", {to} {word}");
    }
    text.push('\n');
    text.push_str(mode(preview.mode));
    for violation in &preview.judgement.violations {
        let detail = line(&violation.detail);
        let _ = writeln!(
            text,
            "  {} {} ({}): {detail}",
            self::verdict(violation.verdict),
            cell(&violation.kind),
            cell(&violation.rule)
        );
        if !violation.hint.is_empty() {
            let _ = writeln!(text, "      next: {}", line(&violation.hint));
        }
    }
    match (&preview.plan, &preview.running) {
        (Some(plan), _) => text.push_str(&steps(plan)),
        (None, Some(id)) => {
            let _ = writeln!(text, "Plan {} is under way; until it ends, no other begins.", cell(id));
        }
        (None, None) => {
            let _ = writeln!(text, "{}", nothing(preview));
        }
    }
    text
}

/// What becomes of a decision where it is not carried out.
fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "",
        Mode::Dryrun => "The target is in mode dryrun: this is recorded, and nothing is done.\n",
        Mode::Off => "The target is in mode off: nothing is decided, and nothing is done. In mode enforce:\n",
    }
}

/// Why nothing would be done.
fn nothing(preview: &Preview) -> String {
    let (judgement, counted) = (&preview.judgement, preview.ghost.or(preview.size));
    let cause = judgement.cause().map(|cause| format!("{} ({})", cell(&cause.kind), cell(&cause.rule)));
    match (counted, judgement.sizes.members, cause) {
        (Some(from), _, _) if from == preview.wished && preview.ghost.is_some() => {
            format!("Nothing would be done: there would be {} by now.", count(from, "member"))
        }
        (Some(from), _, _) if from == preview.wished => {
            format!("Nothing would be done: there are {} already.", count(from, "member"))
        }
        (Some(from), Some(to), _) if preview.admitted => format!("Would go from {from} to {to}."),
        (_, Some(to), Some(cause)) if judgement.verdict == Verdict::Clamp => {
            format!("Nothing would be done: {cause} limits the wish to {to}, and there are as many.")
        }
        (_, _, Some(cause)) if judgement.verdict == Verdict::Defer => {
            format!("Nothing would be done: {cause} says not yet.")
        }
        (_, _, Some(cause)) => format!("Nothing would be done: {cause} says no."),
        (_, _, None) => "Nothing would be done.".to_owned(),
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Clamp => "clamp",
        Verdict::Defer => "defer",
        Verdict::Deny => "deny",
    }
}

fn steps(plan: &Foresight) -> String {
    let mut text = format!("Plan from {} to {} members", plan.from, plan.to);
    if plan.together > 1 {
        let _ = write!(text, ", up to {} at the same time", plan.together);
    }
    if let Some(price) = &plan.price {
        let _ = write!(text, ", {}", price::told(price));
    }
    text.push_str(if plan.needs_approval { ", after a person's approval:\n" } else { ":\n" });
    let mut rows = Vec::new();
    for unit in &plan.units {
        for step in &unit.steps {
            rows.push([
                unit.unit.to_string(),
                or_dash(unit.slot.as_deref().unwrap_or_default()),
                step.phase.to_owned(),
                step.check.to_owned(),
                if step.point_of_no_return { "no return".to_owned() } else { String::new() },
                step.does.clone(),
            ]);
        }
    }
    text.push_str(&output::table(["UNIT", "SLOT", "PHASE", "CHECK", "", "WHAT"], &rows));
    if plan.units_left_out > 0 {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "... and {} more units.", plan.units_left_out);
    }
    text
}
