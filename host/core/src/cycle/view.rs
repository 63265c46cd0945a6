//! The status of a target, for people and programs.

use super::{State, headway, note, role};
use crate::explain::describe;
use crate::plan::price;
use crate::{plan, reason, workload};
use plimsoll_wire::Fact;
use plimsoll_wire::journal::{PlanState, PlanStatus};
use plimsoll_wire::record::Verdict;
use plimsoll_wire::size::Sizes;
use plimsoll_wire::status::{Condition, Moving, Status};

/// What a plan waits for, and how far the data that it moves has come.
fn with_progress(waits: String, moving: Option<&Moving>) -> String {
    match moving {
        Some(moving) if !waits.is_empty() => format!("{waits}; {}", price::progress(moving)),
        Some(_) | None => waits,
    }
}

impl State {
    /// What this target is doing and why.
    #[must_use]
    pub fn status(&self) -> Status {
        let journal = self.durable.shown();
        let plan = journal.and_then(|journal| journal.plan.clone());
        let moving = plan.as_ref().and_then(|plan| headway::moving(self, plan));
        Status {
            target: self.spec.key.clone(),
            system: self.spec.profile.system.to_string(),
            platform: self.spec.platform.clone(),
            mode: self.spec.mode,
            bounds: self.spec.bounds(),
            sizes: self.seen.snapshot.as_deref().and_then(plan::current_size).into(),
            ghost: journal.map_or_else(Sizes::default, |journal| journal.memory.ghost),
            last_decision: self.last.clone(),
            phase: plan.as_ref().map_or("", |plan| note::phase_name(self, plan)).to_owned(),
            waiting_for: with_progress(self.waits_for(plan.as_ref()), moving.as_ref()),
            moving,
            approval: plan
                .as_ref()
                .filter(|plan| plan.status == PlanStatus::AwaitingApproval)
                .map(plan::approval_content),
            conditions: self.conditions(plan.as_ref()),
            plan,
            outside: self.seen.outside.clone(),
            orders: journal.map_or_else(Vec::new, |journal| journal.memory.answered.clone()),
            paused: journal.and_then(|journal| journal.memory.paused.clone()),
            history: journal.map_or_else(Vec::new, |journal| journal.history.clone()),
            trouble: self.trouble.clone(),
            follows: self.leader().map(str::to_owned),
        }
    }

    /// Whether decisions can be made: nothing is wrong with our own tools, the target was read, and how many members
    /// it has is known.
    fn readiness(&self) -> (bool, &'static str, String) {
        match (&self.trouble, &self.seen.snapshot) {
            (Some(trouble), _) => (false, reason::TROUBLE.word, trouble.clone()),
            (None, None) => (false, reason::NOT_OBSERVED.word, "the target has not been read yet".to_owned()),
            (None, Some(snapshot)) => match &snapshot.sizes.members {
                Fact::Known(_) => (true, reason::OBSERVED.word, String::new()),
                Fact::Unknown { reason, detail } => {
                    let detail = if detail.is_empty() { reason.kind() } else { detail };
                    (
                        false,
                        reason::SIZE_UNKNOWN.word,
                        format!("how many members there are is not known: {detail}"),
                    )
                }
                Fact::NotApplicable => {
                    (false, reason::SIZE_UNKNOWN.word, "nobody tells how many members there are".to_owned())
                }
            },
        }
    }

    /// Whether the last decision waits since its plan was given up before.
    fn waits_again(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.reason == reason::GIVEN_UP.word)
    }

    /// For what the target waits, in words: never nothing while there is a plan.
    fn waits_for(&self, plan: Option<&PlanState>) -> String {
        if let Some(leader) = self.leader() {
            return format!("the leadership, which {leader} has");
        }
        if role::is_barred(self) {
            return "the end of a call from before the leadership was lost".to_owned();
        }
        let Some(plan) = plan.filter(|_| self.attempt.waiting_for.is_empty()) else {
            return self.attempt.waiting_for.clone();
        };
        let journal = self.durable.shown();
        let intent = journal.and_then(|journal| journal.intent.as_ref());
        match intent.filter(|intent| intent.plan == plan.id && intent.outcome.is_none()) {
            Some(intent) => format!("an answer to: {}", describe(&intent.verb)),
            None => format!("the next look at the world, in {}", note::phase_name(self, plan)),
        }
    }

    fn conditions(&self, plan: Option<&PlanState>) -> Vec<Condition> {
        let condition = |kind: &str, status: bool, reason: &str, message: &str| Condition {
            kind: kind.to_owned(),
            status,
            reason: reason.to_owned(),
            message: message.to_owned(),
        };
        let judgement = self.last.as_ref().map(|last| &last.judgement);
        let verdict = judgement.map_or(Verdict::Allow, |judgement| judgement.verdict);
        let cause = judgement.and_then(|judgement| judgement.cause());
        let (kind, detail) = cause.map_or(("", ""), |violation| (&*violation.kind, &*violation.detail));
        let held = plan.filter(|plan| plan.status == PlanStatus::Held);
        let (ready, why, message) = self.readiness();
        let mut all = vec![condition("Ready", ready, why, &message)];
        // What is wrong with our own tools: nothing is admitted, and what is under way is not known for certain.
        let trouble = self.trouble.as_deref();
        all.push(match (plan, verdict) {
            _ if self.leader().is_some() => {
                condition("AbleToScale", false, reason::FOLLOWS.word, &self.waits_for(None))
            }
            _ if let Some(trouble) = trouble => {
                condition("AbleToScale", false, reason::TROUBLE.word, trouble)
            }
            // It is being scaled: that no other plan begins meanwhile is no fault.
            (Some(_), _) => condition("AbleToScale", true, reason::UNDER_WAY.word, "a plan is under way"),
            // The judge lets it pass, and it waits all the same.
            (None, Verdict::Allow | Verdict::Clamp) if self.waits_again() => {
                let why = "the same plan was given up, and waits before it begins again";
                condition("AbleToScale", false, reason::GIVEN_UP.word, why)
            }
            (None, Verdict::Allow | Verdict::Clamp) => {
                condition("AbleToScale", true, reason::ADMITTED.word, "")
            }
            (None, Verdict::Defer | Verdict::Deny) => condition("AbleToScale", false, kind, detail),
        });
        all.push(match verdict {
            Verdict::Clamp => condition("Limited", true, kind, detail),
            Verdict::Allow | Verdict::Defer | Verdict::Deny => condition("Limited", false, "", ""),
        });
        all.push(match (held, trouble) {
            (Some(plan), _) => condition("Safe", false, reason::HELD.word, &plan.why),
            (None, Some(trouble)) => condition("Safe", false, reason::TROUBLE.word, trouble),
            (None, None) => condition("Safe", true, "", ""),
        });
        let owned = self.seen.snapshot.as_deref().and_then(workload::owned_elsewhere);
        if let Some(how) = owned {
            all.push(condition("SizeOwnedElsewhere", true, reason::FIELD_MANAGER.word, &how));
        }
        let moving = plan.is_some_and(|plan| plan.subject.is_some());
        all.push(condition(
            "Moving",
            moving,
            plan.map_or("", |plan| note::phase_name(self, plan)),
            &self.waits_for(plan),
        ));
        let waits = plan.is_some_and(|plan| plan.status == PlanStatus::AwaitingApproval);
        all.push(condition("AwaitingApproval", waits, "", ""));
        let paused = self.durable.shown();
        let paused = paused.and_then(|journal| journal.memory.paused.as_ref());
        let (held, pauses) = (self.spec.held.as_deref(), &self.spec.pauses);
        let ways = [
            ("", held.or(paused.map(|note| &*note.why))),
            (reason::SCALE_IN.word, pauses.scale_in.as_deref()),
            (reason::SCALE_OUT.word, pauses.scale_out.as_deref()),
            (reason::REPLICAS.word, pauses.size.as_ref().map(|(_, why)| &**why)),
        ];
        let way = ways.into_iter().find_map(|(reason, why)| why.map(|why| (reason, why)));
        all.push(condition(
            "Paused",
            way.is_some(),
            way.map_or("", |way| way.0),
            way.map_or("", |way| way.1),
        ));
        all
    }
}
