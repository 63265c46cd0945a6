//! A `ScalingPlan` in words, for people. It is made from the journal alone, so that equal journals give equal bytes; it
//! holds moments and no ages. The daemon never reads it.

use super::{MAX_ORDER, ORDERS_PREFIX};
use crate::kubernetes::failure::clipped;
use crate::kubernetes::stateful_autoscaler::{EndedPlan, Moment, camel, word};
use plimsoll_core::explain::describe;
use plimsoll_core::plan::{approval_content, phase_name, progress, turns};
use plimsoll_wire::journal::{Answered, Journal, Note, PlanState, PlanStatus};
use plimsoll_wire::profile::{Phase, Profile};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Members that are named of those that are to go; the journal has all of them.
const MAX_VICTIMS: usize = 32;
/// What is shown of a module's digest.
const SHORT: usize = 12;

/// The journal in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct About {
    /// What the target does, in one sentence.
    pub message: String,
    /// `AwaitingApproval`, `Running`, `Held`, `Stopping` or `Paused`; without a plan how the last one ended, `Done` or
    /// `Aborted`, and `NoPlan` before the first.
    pub state: String,
    /// `3 → 5`: members before and after, of the plan that is under way or else of the last one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub change: String,
    /// The phase of the member that is under way.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// What the plan waits for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub waits_for: String,
    /// Since when: the last progress, the pause, or the end of the last plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Moment>,
    /// `Enforce` while a plan is under way, `DryRun` where decisions are only remembered; absent where the journal does not
    /// tell.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// Dry run: members that there would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ghost_replicas: Option<u32>,
    /// How often a daemon has taken the target over.
    pub epoch: u64,
    /// The plan that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Running>,
    /// A person's pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// Orders that stand written, each with what was answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<String>,
    /// The plan that ended last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_plan: Option<EndedPlan>,
    /// What a person can do about it, to be pasted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
}

/// A plan that is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Running {
    /// Its id; `plimsoll.dev/cancel` takes it.
    pub id: String,
    /// Who wished for it.
    pub asked_by: String,
    /// The decision that it carries out, as in `plimsoll explain`.
    pub decision: String,
    /// `2 of 3`: which of its members comes or goes now.
    pub unit: String,
    /// The place of that member, once it was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The members that are to go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub victims: Vec<String>,
    /// The steps of that member, and what follows.
    pub steps: Vec<String>,
    /// Whether what is under way can no longer be taken back.
    pub point_of_no_return: bool,
    /// What a person has to approve, word for word: the value of the annotation `plimsoll.dev/approve`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// When it began.
    pub started: Moment,
    /// When it last made progress.
    pub progressed: Moment,
}

/// A person's pause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Pause {
    /// Who.
    pub who: String,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Since when.
    pub time: Moment,
    /// What names it: the value of the annotation `plimsoll.dev/resume` that ends it.
    pub id: String,
}

impl About {
    /// A journal in words; the phases are those of the profile.
    #[must_use]
    pub fn of(journal: &Journal, profile: &Profile) -> Self {
        let mut about = match (&journal.plan, journal.history.last().map(EndedPlan::of)) {
            (Some(plan), _) => under_way(journal, plan, profile),
            (None, Some(ended)) => Self {
                message: sentence(&ended),
                state: ended.status.clone(),
                change: change(ended.from, ended.to),
                since: Some(ended.time),
                ..Self::default()
            },
            (None, None) => Self {
                message: "no plan has been made yet".to_owned(),
                state: "NoPlan".to_owned(),
                ..Self::default()
            },
        };
        let memory = &journal.memory;
        about.epoch = journal.epoch;
        about.ghost_replicas = memory.ghost.members;
        if about.mode.is_empty() && memory.ghost.members.is_some() {
            "DryRun".clone_into(&mut about.mode);
        }
        about.orders = memory.answered.iter().map(answered).collect();
        about.last_plan = journal.history.last().map(EndedPlan::of);
        if let Some(note) = &memory.paused {
            about.pause(note);
        }
        about.commands = commands(journal, &about);
        about
    }

    fn pause(&mut self, note: &Note) {
        let pause = Pause {
            who: clipped(&note.who),
            why: clipped(&note.why),
            time: Moment::of(note.at.wall_ms),
            id: note.at.wall_ms.to_string(),
        };
        let why = if pause.why.is_empty() { String::new() } else { format!(": {}", pause.why) };
        "Paused".clone_into(&mut self.state);
        self.waits_for = format!("the end of the pause by {}{why}", pause.who);
        self.message = clipped(&format!("paused by {}{why}; {}", pause.who, self.message));
        self.since = Some(pause.time.clone());
        self.paused = Some(pause);
    }
}

fn change(from: u32, to: u32) -> String {
    format!("{from} → {to}")
}

fn sentence(ended: &EndedPlan) -> String {
    let EndedPlan { from, to, ended_at, why, .. } = ended;
    let because = if why.is_empty() { String::new() } else { format!(": {why}") };
    clipped(&format!(
        "no plan is under way; the last one, from {from} to {to} members, ended at {ended_at}{because}"
    ))
}

fn under_way(journal: &Journal, plan: &PlanState, profile: &Profile) -> About {
    let phase = phase_name(plan, profile);
    let waits_for = waits_for(journal, plan, phase);
    let count = turns(plan);
    let unit = format!("{} of {count}", count.min(plan.unit.saturating_add(1)));
    let member = plan.subject.as_ref().map(|subject| subject.slot.to_string());
    let place = member.as_ref().map_or_else(String::new, |member| format!(" ({member})"));
    let (from, to, status) = (plan.from(), plan.to(), word(plan.status));
    let message = format!(
        "from {from} to {to} members, {status}: member {unit}{place}, {phase}; waits for {waits_for}"
    );
    let approval =
        Some(plan).filter(|plan| plan.status == PlanStatus::AwaitingApproval).map(approval_content);
    let running = Running {
        id: plan.id.to_string(),
        asked_by: asked_by(journal, plan),
        decision: plan.decision.to_string(),
        unit,
        member,
        victims: plan.victims.iter().take(MAX_VICTIMS).map(ToString::to_string).collect(),
        steps: steps(plan, profile),
        point_of_no_return: plan.point_of_no_return,
        // Whole or not at all: it is what is approved, and a longer one is no order.
        approval: approval.filter(|content| content.len() <= MAX_ORDER),
        started: Moment::of(plan.started.wall_ms),
        progressed: Moment::of(plan.progressed.wall_ms),
    };
    About {
        message: clipped(&message),
        state: status.to_owned(),
        change: change(from, to),
        phase: camel(phase),
        waits_for,
        since: Some(running.progressed.clone()),
        mode: "Enforce".to_owned(),
        plan: Some(running),
        ..About::default()
    }
}

/// What a plan waits for, as far as it is written down.
fn waits_for(journal: &Journal, plan: &PlanState, phase: &str) -> String {
    let asked = journal.intent.as_ref().filter(|intent| intent.plan == plan.id && intent.outcome.is_none());
    match (plan.status, asked) {
        (PlanStatus::AwaitingApproval, _) => "a person's approval".to_owned(),
        (PlanStatus::Held, _) if !plan.why.is_empty() => clipped(&plan.why),
        (_, Some(intent)) => clipped(&format!("an answer to: {}", describe(&intent.verb))),
        (_, None) => format!("the end of {phase}"),
    }
}

fn asked_by(journal: &Journal, plan: &PlanState) -> String {
    let asked = journal.memory.asked.as_ref().filter(|asked| asked.sizes.members == Some(plan.to()));
    match (asked, plan.module.get(..SHORT).unwrap_or(&plan.module)) {
        (Some(asked), _) => clipped(&format!("{}, for {} members", asked.note.who, plan.to())),
        (None, "") => "a wish from outside, or the document: see the decision".to_owned(),
        (None, module) => format!("a policy, module {module}"),
    }
}

/// The steps of the member that is under way, each with where it stands, and what follows.
fn steps(plan: &PlanState, profile: &Profile) -> Vec<String> {
    if plan.undoing {
        return vec!["undo: under way; the member is taken back".to_owned()];
    }
    let now = plan.subject.as_ref().map(|_| usize::try_from(plan.phase).unwrap_or(usize::MAX));
    let step = |(index, phase): (usize, &Phase)| {
        let stands = match now.map(|now| index.cmp(&now)) {
            Some(Ordering::Less) => "done",
            Some(Ordering::Equal) => "under way",
            Some(Ordering::Greater) | None => "to come",
        };
        let one_way = if phase.no_return { "; cannot be taken back from here on" } else { "" };
        format!("{}: {stands}{one_way}", phase.step)
    };
    let mut steps: Vec<String> = progress::phases(plan, profile).iter().enumerate().map(step).collect();
    match turns(plan).saturating_sub(plan.unit.saturating_add(1)) {
        0 => {}
        1 => steps.push("then one more member, in the same way".to_owned()),
        more => steps.push(format!("then {more} more members, one by one, in the same way")),
    }
    steps
}

fn answered(order: &Answered) -> String {
    let how = if order.obeyed { "obeyed" } else { "refused" };
    let when = Moment::of(order.note.at.wall_ms).0;
    clipped(&format!("{} by {} was {how} at {when}: {}", order.verb, order.note.who, order.note.why))
}

/// What a person can do, each a line of a shell.
fn commands(journal: &Journal, about: &About) -> Vec<String> {
    let Some((namespace, name)) = journal.target.split_once('/') else { return Vec::new() };
    let annotate = |order: &str, value: &str| {
        let value = quoted(value);
        format!(
            "kubectl annotate scalingplan/{name} -n {namespace} --overwrite {ORDERS_PREFIX}{order}={value}"
        )
    };
    let mut commands = Vec::new();
    if let Some(plan) = &about.plan {
        commands.extend(plan.approval.as_deref().map(|content| annotate("approve", content)));
        commands.push(annotate("cancel", &plan.id));
    }
    commands.push(match &about.paused {
        Some(pause) => annotate("resume", &pause.id),
        None => annotate("paused", "WHO: WHY"),
    });
    commands
}

/// A word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
