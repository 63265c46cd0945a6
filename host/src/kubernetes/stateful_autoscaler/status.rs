//! The status of a `StatefulAutoscaler`: what its target does, and why.

use super::condition::{self, Published};
use super::news::keep_old_news;
use plimsoll_core::count::count;
use plimsoll_wire::journal::{Ended, PlanState, PlanStatus};
use plimsoll_wire::record::{PolicyAnswer, Verdict, Violation};
use plimsoll_wire::snapshot::Mode;
use plimsoll_wire::status as wire;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Findings that are shown; each rule has one at most, and an owner reads the first.
const MAX_CONSTRAINTS: usize = 16;
/// A moment, in RFC 3339.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("format" = "date-time"))]
pub struct Moment(pub String);

impl Moment {
    /// From milliseconds since 1970, to the second, as Kubernetes writes it.
    #[must_use]
    pub fn of(wall_ms: i64) -> Self {
        let second = wall_ms.div_euclid(1_000);
        Self(jiff::Timestamp::from_second(second).map_or_else(|_| String::new(), |time| format!("{time:.0}")))
    }

    pub(super) fn wall_ms(&self) -> Option<i64> {
        Some(self.0.parse::<jiff::Timestamp>().ok()?.as_millisecond())
    }
}

/// What the target does and why. Only the daemon writes it, through the subresource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The generation of the document that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What the target does, in one sentence.
    pub message: String,
    /// When this was written: whenever there was news.
    pub updated: Moment,
    /// Members now; absent when not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// Dry run: members that there would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ghost_replicas: Option<u32>,
    /// Which pods are members, for autoscalers that look at pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The kind of data system.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub system: String,
    /// Where the members run.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub platform: String,
    /// The last decision that said something new: later ones that say the same do not change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<LastDecision>,
    /// The plan that is running. The `ScalingPlan` of the same name is its journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// The wish from outside, written to `scale`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_wish: Option<ExternalWish>,
    /// A person's pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
    /// The plan that ended last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_plan: Option<EndedPlan>,
    /// What is wrong with the daemon and not with the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Conditions.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A condition in the shape of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Ready`, `Active`, `AbleToScale`, `Limited`, `Safe`, `Moving`, `AwaitingApproval`, `Paused`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    pub reason: String,
    /// One sentence.
    #[serde(default)]
    pub message: String,
    /// When `status` became what it is.
    pub last_transition_time: Moment,
    /// The generation of the document that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// A decision: who wished what, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastDecision {
    /// For reading, as in `plimsoll explain`.
    pub id: String,
    /// When.
    pub time: Moment,
    /// Members then; in dry run those that there would have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_replicas: Option<u32>,
    /// The combined wish; absent for a wish to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_desired_replicas: Option<u32>,
    /// What was decided; absent when nothing could be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_desired_replicas: Option<u32>,
    /// `Out`, `In`, `None`, or `Unknown` when the size is not known.
    pub direction: String,
    /// One word: `AtSize`, or the hazard that a rule saw.
    pub reason: String,
    /// Whose wish it was: a policy's name, `a person`, or `scale` for a wish from outside.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub wished_by: String,
    /// Which line of the rule of combination made one wish of several.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rule: String,
    /// Who wished what.
    #[serde(default)]
    pub wishes: Vec<Wish>,
    /// The rules that cut, put off or refused the wish, in the order of the catalogue.
    #[serde(default)]
    pub constraints_applied: Vec<Constraint>,
}

/// What one of those who are asked said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Wish {
    /// A policy's name in the document, or `scale` for a wish from outside.
    pub from: String,
    /// How many members; absent for a wish to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// Why, in one word.
    pub reason: String,
    /// Why, in its own words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Whether it failed and gave no answer.
    #[serde(default)]
    pub failed: bool,
}

/// A rule that did not let the wish pass as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Constraint {
    /// The rule, such as `QUORUM-1`.
    pub rule: String,
    /// The hazard, such as `QuorumAtRisk`.
    pub reason: String,
    /// `Clamp`: cut; `Defer`: put off; `Deny`: refused.
    pub effect: String,
    /// What was seen.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

/// The plan that is running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Its id; `plimsoll.dev/cancel` takes it.
    pub id: String,
    /// `5 → 3, Running, Drain`: for the column.
    pub summary: String,
    /// Members at its start.
    pub from: u32,
    /// Members at its end.
    pub to: u32,
    /// `AwaitingApproval`, `Running`, `Held` or `Stopping`.
    pub status: String,
    /// The phase, in the profile's words.
    pub phase: String,
    /// What it waits for.
    pub waiting_for: String,
    /// The member that it is about now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The members that are to go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub victims: Vec<String>,
    /// Whether the member's step can no longer be taken back.
    pub point_of_no_return: bool,
    /// What a person has to approve, word for word: the value of the annotation `plimsoll.dev/approve`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// When it began.
    pub started: Moment,
    /// When it last made progress.
    pub progressed: Moment,
}

/// A plan that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndedPlan {
    /// Its id.
    pub id: String,
    /// Members at its start.
    pub from: u32,
    /// Members it was to reach.
    pub to: u32,
    /// Members at its end.
    pub ended_at: u32,
    /// `Done` or `Aborted`.
    pub status: String,
    /// Why, when it did not reach its goal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// When.
    pub time: Moment,
}

impl EndedPlan {
    pub(in crate::kubernetes) fn of(ended: &Ended) -> Self {
        Self {
            id: ended.id.to_string(),
            from: ended.members_leg().0,
            to: ended.members_leg().1,
            ended_at: ended.ended_at.members.unwrap_or_default(),
            status: word(ended.status).to_owned(),
            why: clipped(&ended.why),
            time: Moment::of(ended.at.wall_ms),
        }
    }
}

/// A wish from outside: what was written to `spec.replicas`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalWish {
    /// How many members.
    pub replicas: u32,
    /// The field manager that wrote it.
    pub manager: String,
    /// When it was written, where the server tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Moment>,
}

/// A person's pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Paused {
    /// Who.
    pub who: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Since when.
    pub time: Moment,
}

/// What is known beside the target's own status.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// `metadata.generation` of the object that was read.
    pub generation: Option<i64>,
    /// Why the document is not used, if it is not: the configuration's problems, in words.
    pub refused: Option<String>,
    /// Which pods are members.
    pub selector: Option<String>,
    /// The wish from outside.
    pub external_wish: Option<ExternalWish>,
    /// Now, in milliseconds since 1970.
    pub wall_ms: i64,
}

impl Status {
    /// The status to be written: of a target (none where its document was never accepted), of what else was seen, and of
    /// what is written now. Where there is no news, what is written now comes back, so that nothing need be written.
    #[must_use]
    pub fn of(target: Option<&wire::Status>, seen: &Seen, before: Option<&Self>) -> Self {
        let mut fresh = target.map(own_part).unwrap_or_default();
        fresh.updated = Moment::of(seen.wall_ms);
        fresh.observed_generation = seen.generation;
        fresh.selector.clone_from(&seen.selector);
        fresh.external_wish.clone_from(&seen.external_wish);
        let mut conditions = target.map(condition::all).unwrap_or_default();
        if let Some(why) = &seen.refused {
            refuse(&mut conditions, &mut fresh, why, target.is_some());
        }
        let known = before.map_or(&[][..], |before| &before.conditions);
        fresh.conditions = conditions.into_iter().map(|one| dated(one, seen, known)).collect();
        if let Some(before) = before {
            keep_old_news(&mut fresh, before, seen.wall_ms);
        }
        fresh
    }
}

/// A document with problems is not used; what was accepted before goes on.
fn refuse(conditions: &mut Vec<Published>, status: &mut Status, why: &str, goes_on: bool) {
    conditions.retain(|one| one.0 != "Ready");
    let word = ("Ready".to_owned(), condition::Holds::False, "InvalidSpec".to_owned(), clipped(why));
    conditions.insert(0, word);
    let rest = if goes_on { "; what was accepted before goes on" } else { "" };
    status.message = clipped(&format!("the document is refused: {why}{rest}"));
}

fn dated((kind, holds, reason, message): Published, seen: &Seen, known: &[Condition]) -> Condition {
    let status = holds.word().to_owned();
    let before = known.iter().find(|before| before.kind == kind && before.status == status);
    Condition {
        last_transition_time: before
            .map_or_else(|| Moment::of(seen.wall_ms), |before| before.last_transition_time.clone()),
        observed_generation: seen.generation,
        message: clipped(&message),
        kind,
        status,
        reason,
    }
}

/// The target's own part of the status.
fn own_part(target: &wire::Status) -> Status {
    let plan = target.plan.as_ref().map(|plan| running(plan, target));
    Status {
        message: sentence(target),
        replicas: target.sizes.members,
        ghost_replicas: target.ghost.members.filter(|_| target.mode == Mode::Dryrun),
        system: target.system.clone(),
        platform: target.platform.clone(),
        last_decision: target.last_decision.as_ref().map(|last| decided(last, target)),
        plan,
        paused: target.paused.as_ref().map(|note| Paused {
            who: clipped(&note.who),
            why: clipped(&note.why),
            time: Moment::of(note.at.wall_ms),
        }),
        last_plan: target.history.last().map(EndedPlan::of),
        trouble: target.trouble.as_deref().map(clipped),
        ..Status::default()
    }
}

fn decided(last: &wire::LastDecision, target: &wire::Status) -> LastDecision {
    let base = target.ghost.members.filter(|_| target.mode == Mode::Dryrun).or(target.sizes.members);
    LastDecision {
        id: last.id.to_string(),
        time: Moment::of(last.wall_ms),
        current_replicas: base,
        raw_desired_replicas: last.wish.sizes.members,
        final_desired_replicas: last.decided.members,
        direction: direction(base, last.decided.members).to_owned(),
        reason: last.reason.clone(),
        wished_by: last.wish.from.to_string(),
        rule: last.wish.rule.clone(),
        wishes: last.answers.iter().map(wish).collect(),
        constraints_applied: last
            .judgement
            .violations
            .iter()
            .take(MAX_CONSTRAINTS)
            .filter_map(constraint)
            .collect(),
    }
}

fn direction(base: Option<u32>, decided: Option<u32>) -> &'static str {
    match (base, decided) {
        (Some(base), Some(decided)) => match decided.cmp(&base) {
            std::cmp::Ordering::Less => "In",
            std::cmp::Ordering::Equal => "None",
            std::cmp::Ordering::Greater => "Out",
        },
        (Some(_), None) => "None",
        (None, Some(_) | None) => "Unknown",
    }
}

fn wish(answer: &PolicyAnswer) -> Wish {
    Wish {
        from: answer.from.to_string(),
        replicas: answer.sizes.members,
        reason: answer.reason.code.clone(),
        message: clipped(&answer.reason.message),
        failed: answer.failed,
    }
}

fn constraint(violation: &Violation) -> Option<Constraint> {
    let effect = match violation.verdict {
        Verdict::Allow => return None,
        Verdict::Clamp => "Clamp",
        Verdict::Defer => "Defer",
        Verdict::Deny => "Deny",
    };
    Some(Constraint {
        rule: violation.rule.clone(),
        reason: violation.kind.clone(),
        effect: effect.to_owned(),
        message: clipped(&violation.detail),
        hint: clipped(&violation.hint),
    })
}

fn running(plan: &PlanState, target: &wire::Status) -> Plan {
    let status = word(plan.status);
    let phase = condition::camel(&target.phase);
    Plan {
        id: plan.id.to_string(),
        summary: format!("{} → {}, {status}, {phase}", plan.from(), plan.to()),
        from: plan.from(),
        to: plan.to(),
        status: status.to_owned(),
        phase,
        waiting_for: clipped(&target.waiting_for),
        member: plan.subject.as_ref().map(|subject| subject.slot.to_string()),
        victims: plan.victims.iter().map(ToString::to_string).collect(),
        point_of_no_return: plan.point_of_no_return,
        // Whole, whatever its length: it is what is approved.
        approval: target.approval.clone(),
        started: Moment::of(plan.started.wall_ms),
        progressed: Moment::of(plan.progressed.wall_ms),
    }
}

pub(in crate::kubernetes) fn word(status: PlanStatus) -> &'static str {
    match status {
        PlanStatus::AwaitingApproval => "AwaitingApproval",
        PlanStatus::Running => "Running",
        PlanStatus::Held => "Held",
        PlanStatus::Stopping => "Stopping",
        PlanStatus::Done => "Done",
        PlanStatus::Aborted => "Aborted",
    }
}

/// What a target does, in one sentence.
fn sentence(target: &wire::Status) -> String {
    if let Some(trouble) = &target.trouble {
        return clipped(&format!("Plimsoll itself is in trouble: {trouble}"));
    }
    let size =
        target.sizes.members.map_or_else(|| "an unknown number of".to_owned(), |size| size.to_string());
    if let Some(plan) = &target.plan {
        let what = format!("from {} to {} members, {}", plan.from(), plan.to(), target.phase);
        let waits = if target.waiting_for.is_empty() { "" } else { ", waits for " };
        return clipped(&format!("{what}{waits}{}", target.waiting_for));
    }
    let Some(last) = &target.last_decision else {
        return format!("{}; nothing is decided yet", count(size, "member"));
    };
    let base = target.ghost.members.filter(|_| target.mode == Mode::Dryrun).or(target.sizes.members);
    let would = if target.mode == Mode::Enforce { "" } else { " (not carried out)" };
    match (last.wish.sizes.members, last.decided.members) {
        (_, Some(decided)) if Some(decided) != base => {
            format!("{}, decided for {decided}{would}: {}", count(size, "member"), last.reason)
        }
        (Some(wish), _) if Some(wish) != base => {
            let detail = last.judgement.cause().map_or("", |cause| &*cause.detail);
            let colon = if detail.is_empty() { "" } else { ": " };
            clipped(&format!(
                "{} stay, {wish} were wished: {}{colon}{detail}",
                count(size, "member"),
                last.reason
            ))
        }
        (Some(_) | None, _) => format!("{} stay: {}", count(size, "member"), last.reason),
    }
}

/// A text on one line, of a length that people read.
fn clipped(text: &str) -> String {
    crate::kubernetes::failure::clipped(text)
}
