//! The status of a target, for people and programs.

use super::{State, advance};
use crate::plan;
use plimsoll_wire::journal::{PlanState, PlanStatus};
use plimsoll_wire::record::Verdict;
use plimsoll_wire::status::{Condition, Status};

impl State {
    /// What this target is doing and why.
    #[must_use]
    pub fn status(&self) -> Status {
        let journal = self.journal.as_ref();
        let plan = journal.and_then(|journal| journal.plan.clone());
        Status {
            target: self.spec.key.clone(),
            system: self.spec.profile.system.to_owned(),
            platform: self.spec.platform.clone(),
            mode: self.spec.mode,
            min: self.spec.min,
            max: self.spec.max,
            size: self.snapshot.as_deref().and_then(plan::current_size),
            ghost_size: journal.and_then(|journal| journal.memory.ghost_size),
            last_decision: self.last.clone(),
            phase: plan.as_ref().map_or("", |plan| advance::phase_name(self, plan)).to_owned(),
            waiting_for: self.waiting_for.clone(),
            approval: plan
                .as_ref()
                .filter(|plan| plan.status == PlanStatus::AwaitingApproval)
                .map(plan::approval_content),
            conditions: self.conditions(plan.as_ref()),
            plan,
            paused: journal.and_then(|journal| journal.memory.paused.clone()),
            history: journal.map_or_else(Vec::new, |journal| journal.history.clone()),
            trouble: self.trouble.clone(),
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
        let strongest = judgement
            .and_then(|judgement| judgement.violations.iter().max_by_key(|violation| violation.verdict));
        let (kind, detail) = strongest.map_or(("", ""), |violation| (&*violation.kind, &*violation.detail));
        let held = plan.filter(|plan| plan.status == PlanStatus::Held);
        let mut all = Vec::new();
        match &self.trouble {
            Some(trouble) => all.push(condition("Ready", false, "Trouble", trouble)),
            None => all.push(condition("Ready", self.snapshot.is_some(), "Observed", "")),
        }
        all.push(match verdict {
            Verdict::Allow | Verdict::Clamp => condition("AbleToScale", true, "Admitted", ""),
            Verdict::Defer | Verdict::Deny => condition("AbleToScale", false, kind, detail),
        });
        all.push(match verdict {
            Verdict::Clamp => condition("Limited", true, kind, detail),
            Verdict::Allow | Verdict::Defer | Verdict::Deny => condition("Limited", false, "", ""),
        });
        all.push(match held {
            Some(plan) => condition("Safe", false, "Held", &plan.why),
            None => condition("Safe", true, "", ""),
        });
        let moving = plan.is_some_and(|plan| plan.subject.is_some());
        all.push(condition(
            "Moving",
            moving,
            plan.map_or("", |plan| advance::phase_name(self, plan)),
            &self.waiting_for,
        ));
        let waits = plan.is_some_and(|plan| plan.status == PlanStatus::AwaitingApproval);
        all.push(condition("AwaitingApproval", waits, "", ""));
        let paused = self.journal.as_ref().and_then(|journal| journal.memory.paused.as_ref());
        let why = self.spec.held.as_deref().or(paused.map(|note| &*note.why));
        all.push(condition("Paused", why.is_some(), "", why.unwrap_or_default()));
        all
    }
}
