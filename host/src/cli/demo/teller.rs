//! Puts records into words: only what changed, and each kind of refusal at most once an hour.

use super::story::{HOUR, clock};
use plimsoll_core::explain::describe;
use plimsoll_wire::journal::{Outcome, PlanState, PlanStatus};
use plimsoll_wire::record::{Body, Decision, Judgement, Record, Verdict};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a line is about: for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Ordinary.
    Plain,
    /// Something was done.
    Good,
    /// Something was refused.
    Bad,
    /// Something broke.
    Fault,
}

/// One line of what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Milliseconds since midnight.
    pub(super) at_ms: u64,
    pub(super) tone: Tone,
    pub(super) text: String,
}

impl Line {
    /// With the time of day.
    pub(super) fn full(&self) -> String {
        format!("{}  {}", clock(self.at_ms), self.text)
    }
}

/// What happened so far, in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) decisions: u64,
    /// Decisions that changed nothing although something was wished or asked, by the kind of what stood against it.
    pub(super) refusals: BTreeMap<String, u64>,
    /// Plans that ended, by direction and end: `out done`.
    pub(super) plans: BTreeMap<String, u64>,
    /// Calls on the world.
    pub(super) calls: u64,
}

/// Turns records into lines.
#[derive(Debug, Default)]
pub(super) struct Teller {
    start_ms: u64,
    figures: Figures,
    /// In which hour each kind was last told.
    last_told: BTreeMap<String, u64>,
    plan: Option<(Arc<str>, PlanStatus, String, String)>,
    /// Where the running plan goes.
    goal: Option<u32>,
}

impl Teller {
    /// For a run that begins at `start_ms` of the world's clock.
    pub(super) fn new(start_ms: u64) -> Self {
        Self { start_ms, ..Self::default() }
    }

    pub(super) fn figures(&self) -> &Figures {
        &self.figures
    }

    /// What a record says, if it says something new.
    pub(super) fn tell(&mut self, record: &Record) -> Vec<Line> {
        let at_ms = record.now.mono_ms.saturating_sub(self.start_ms);
        match &record.body {
            Body::Decision(decision) => self.decision(at_ms, decision),
            Body::Plan { plan, phase, judgement } => self.plan(at_ms, plan, phase, judgement.as_ref()),
            Body::Intent { intent, .. } => {
                self.figures.calls += 1;
                vec![line(at_ms, Tone::Good, format!("         → {}", describe(&intent.verb)))]
            }
            Body::Outcome { outcome, .. } => match outcome {
                Outcome::Applied => Vec::new(),
                Outcome::Refused { message } => {
                    vec![line(at_ms, Tone::Bad, format!("         the platform refused: {message}"))]
                }
                Outcome::Unknown { message } => {
                    let text =
                        format!("         no answer ({message}); the world is read before anything else");
                    vec![line(at_ms, Tone::Fault, text)]
                }
            },
            Body::Epoch { epoch: 1 } => vec![line(at_ms, Tone::Plain, "daemon   started".to_owned())],
            Body::Epoch { epoch } => {
                let text =
                    format!("daemon   back with epoch {epoch}: reads its journal and goes on from there");
                vec![line(at_ms, Tone::Plain, text)]
            }
            Body::Command { verb, who, .. } => {
                vec![line(at_ms, Tone::Plain, format!("person   {who} said {verb}"))]
            }
            Body::Trouble { what, detail } => {
                vec![line(at_ms, Tone::Fault, format!("trouble  {what}: {detail}"))]
            }
        }
    }

    fn decision(&mut self, at_ms: u64, decision: &Decision) -> Vec<Line> {
        self.figures.decisions += 1;
        let size = decision.sizes.members.map_or_else(|| "?".to_owned(), |size| size.to_string());
        if decision.plan.is_some() {
            let to = decision.decided.members.map_or_else(|| "?".to_owned(), |to| to.to_string());
            let why = decision.answers.first().map_or("", |answer| &answer.reason.message);
            return vec![line(at_ms, Tone::Good, format!("decided  {size} → {to}: {why}"))];
        }
        if self.goal.is_some() && self.goal == decision.wish.sizes.members {
            // Refused is only a second plan beside the one that is bringing it about.
            return Vec::new();
        }
        let Some((kind, text)) = refusal(decision, &size) else { return Vec::new() };
        *self.figures.refusals.entry(kind.clone()).or_default() += 1;
        self.once_an_hour(at_ms, &kind, text)
    }

    fn once_an_hour(&mut self, at_ms: u64, kind: &str, text: String) -> Vec<Line> {
        let hour = at_ms / HOUR;
        if self.last_told.insert(kind.to_owned(), hour) == Some(hour) {
            return Vec::new();
        }
        vec![line(at_ms, Tone::Bad, text)]
    }

    fn plan(
        &mut self,
        at_ms: u64,
        plan: &PlanState,
        phase: &str,
        judgement: Option<&Judgement>,
    ) -> Vec<Line> {
        let way = if plan.to() > plan.from() { "out" } else { "in" };
        let change = format!("{} → {}", plan.from(), plan.to());
        let seat = plan.subject.as_ref().map_or_else(String::new, |subject| subject.slot.to_string());
        let before = self.plan.replace((plan.id.clone(), plan.status, phase.to_owned(), seat.clone()));
        let ended = matches!(plan.status, PlanStatus::Done | PlanStatus::Aborted);
        self.goal = (!ended).then_some(plan.to());
        let (tone, text) = match plan.status {
            PlanStatus::Done | PlanStatus::Aborted => {
                let end = if plan.status == PlanStatus::Done { "done" } else { "ended early" };
                *self.figures.plans.entry(format!("{way} {end}")).or_default() += 1;
                let why = if plan.why.is_empty() { String::new() } else { format!(": {}", plan.why) };
                (Tone::Good, format!("plan     {change} {end}{why}"))
            }
            PlanStatus::Held => {
                let kind = strongest(judgement).map_or("Held", |(kind, _)| kind).to_owned();
                *self.figures.refusals.entry(kind.clone()).or_default() += 1;
                let text = format!("plan     {change} holds before {phase}: {}", plan.why);
                return self.once_an_hour(at_ms, &kind, text);
            }
            PlanStatus::Stopping => (Tone::Bad, format!("plan     {change} is being given up: {}", plan.why)),
            PlanStatus::AwaitingApproval => (Tone::Plain, format!("plan     {change} waits for approval")),
            PlanStatus::Running => {
                let same =
                    before.is_some_and(|(id, _, was, place)| id == plan.id && was == phase && place == seat);
                if same || phase == "choose" {
                    return Vec::new();
                }
                let place = if seat.is_empty() { String::new() } else { format!(" ({seat})") };
                (Tone::Plain, format!("plan     {change}: {phase}{place}"))
            }
        };
        vec![line(at_ms, tone, text)]
    }
}

fn line(at_ms: u64, tone: Tone, text: String) -> Line {
    Line { at_ms, tone, text }
}

/// What stood against a change that was wished or asked about: its kind, and a line.
fn refusal(decision: &Decision, size: &str) -> Option<(String, String)> {
    if let Some(answer) = decision.answers.first().filter(|answer| answer.sizes.members.is_none()) {
        let what = if answer.failed { "failed" } else { "wishes nothing" };
        let text =
            format!("refused  {} {what}, {}: {}", answer.from, answer.reason.code, answer.reason.message);
        return Some((answer.reason.code.clone(), text));
    }
    let wished = decision.wish.sizes.members.filter(|wished| Some(*wished) != decision.sizes.members)?;
    let (kind, detail) = strongest(Some(&decision.judgement))?;
    let word = match decision.judgement.verdict {
        Verdict::Allow => return None,
        Verdict::Clamp if decision.decided.members != decision.sizes.members => return None,
        Verdict::Clamp => "limited",
        Verdict::Defer => "not yet",
        Verdict::Deny => "refused",
    };
    Some((kind.to_owned(), format!("{word:<8} {size} → {wished}, {kind}: {detail}")))
}

fn strongest(judgement: Option<&Judgement>) -> Option<(&str, String)> {
    let violations = judgement.into_iter().flat_map(|judgement| &judgement.violations);
    // The first of the strongest: the catalogue's order is the order of hazards.
    let strongest = violations.min_by_key(|violation| std::cmp::Reverse(violation.verdict))?;
    Some((&strongest.kind, format!("{} ({})", strongest.detail, strongest.rule)))
}
