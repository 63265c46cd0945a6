//! Metrics: counters that are folded from the records, and gauges that are read from the view when they are asked
//! for. The text format is thirty lines, so no crate of metrics is linked: none of them could bound the number of
//! series, and a registry of gauges would be a second truth beside the view.

mod known;
mod text;

pub use known::{METRICS, Metric};

use crate::view::{PolicyView, View};
use known::{
    BUILD_INFO, CONDITION, CONFIGURATION_PROBLEMS, DECISIONS, EFFECTS, EVALUATIONS, FAILURES, FUEL,
    LAST_DECISION, LEADING, LEASE_TRANSITIONS, LEASE_UNANSWERED, MEMBERS_DECIDED, MEMBERS_GHOST, MEMBERS_MAX,
    MEMBERS_MIN, MEMBERS_NOW, MEMBERS_WISHED, PAUSED, PLAN_BYTES_LEFT, PLAN_BYTES_MOVED, PLAN_INFO,
    PLAN_RUNNING, PLANS, POLICIES_READABLE, POLICY_LOADED, POLICY_ROLLED_BACK, POLICY_TROUBLED, REFUSALS,
    TARGET_INFO, TROUBLES, VIOLATIONS,
};
use plimsoll_core::reason::TROUBLES as TROUBLE_WORDS;
use plimsoll_wire::journal::{Outcome, PlanStatus};
use plimsoll_wire::record::{Body, Decision, Record, Verdict};
use plimsoll_wire::snapshot::Mode;
use plimsoll_wire::status::{Condition, Status};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use text::{Family, Text};

/// Series that are kept of one counter. What is beyond is counted without its labels' values.
const MAX_SERIES: usize = 4_096;
/// The value of every label of what is beyond.
const OTHER: &str = "other";

/// What is counted as it happens.
const COUNTED: [Metric; 8] = [DECISIONS, REFUSALS, PLANS, EFFECTS, FAILURES, EVALUATIONS, FUEL, TROUBLES];

/// The kind of a trouble that is none of those that the core names: a target that stands still after a defect.
pub const FROZEN: &str = "Frozen";

/// What was counted since the start.
#[derive(Debug, Default)]
pub struct Counters {
    counts: Mutex<BTreeMap<&'static str, BTreeMap<Vec<String>, u64>>>,
}

impl Counters {
    /// Counts what a record says.
    pub fn count(&self, record: &Record) {
        let target = &*record.target;
        match &record.body {
            Body::Decision(decision) => self.decision(target, decision),
            Body::Plan { plan, .. } if matches!(plan.status, PlanStatus::Done | PlanStatus::Aborted) => {
                let direction = if plan.to() < plan.from() { "in" } else { "out" };
                let outcome = if plan.status == PlanStatus::Done { "done" } else { "aborted" };
                self.add(PLANS, &[target, direction, outcome], 1);
            }
            Body::Outcome { outcome, .. } => {
                let word = match outcome {
                    Outcome::Applied => "applied",
                    Outcome::Refused { .. } => "refused",
                    Outcome::Unknown { .. } => "unknown",
                };
                self.add(EFFECTS, &[target, word], 1);
            }
            Body::Plan { .. }
            | Body::Intent { .. }
            | Body::Command { .. }
            | Body::Epoch { .. }
            | Body::Trouble { .. } => {}
        }
    }

    /// Counts what went wrong with Plimsoll itself, once each time that it comes up: `before` is what was wrong until now.
    pub fn trouble(&self, before: Option<&str>, status: &Status) {
        let Some(now) = status.trouble.as_deref().filter(|now| before != Some(*now)) else { return };
        let word = now.split(':').next().unwrap_or_default();
        let known = TROUBLE_WORDS.iter().find(|known| known.word == word);
        self.add(TROUBLES, &[&status.target, known.map_or(FROZEN, |known| known.word)], 1);
    }

    fn decision(&self, target: &str, decision: &Decision) {
        self.add(DECISIONS, &[target, &decision.reason.code], 1);
        for violation in decision.judgement.violations.iter().filter(|one| one.verdict > Verdict::Allow) {
            self.add(REFUSALS, &[target, &violation.kind], 1);
        }
        for answer in &decision.answers {
            let policy = answer.from.to_string();
            self.add(EVALUATIONS, &[target, &policy], 1);
            self.add(FUEL, &[target, &policy], answer.fuel);
            if answer.failed {
                self.add(FAILURES, &[target, &policy, &answer.reason.code], 1);
            }
        }
    }

    fn add(&self, counter: Metric, labels: &[&str], amount: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let series = counts.entry(counter.name).or_default();
        let mut key: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        if series.len() >= MAX_SERIES && !series.contains_key(&key) {
            key.fill(OTHER.to_owned());
        }
        let count = series.entry(key).or_default();
        *count = count.saturating_add(amount);
    }

    fn write(&self, text: &mut Text) {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for metric in COUNTED {
            let mut family = text.family(metric);
            for (values, count) in counts.get(metric.name).into_iter().flatten() {
                let labels: Vec<(&str, &str)> =
                    metric.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
                family.sample(&labels, *count);
            }
        }
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

/// Everything, in the text format of Prometheus; `is_readable` says whether the policies' directory is.
#[must_use]
pub fn exposition(view: &View, policies: &[PolicyView], is_readable: bool, counters: &Counters) -> String {
    let mut text = Text::new(MAX_SERIES);
    text.family(BUILD_INFO).sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let problems = view.problems.len();
    text.family(CONFIGURATION_PROBLEMS).sample(&[], problems);
    leads(&mut text, view);
    sizes(&mut text, view);
    states(&mut text, view);
    last_decisions(&mut text, view);
    for_policies(&mut text, policies);
    text.family(POLICIES_READABLE).sample(&[], u8::from(is_readable));
    counters.write(&mut text);
    text.finish()
}

/// A daemon without a lease is the only one, and leads.
fn leads(text: &mut Text, view: &View) {
    let standing = view.standing.as_ref();
    text.family(LEADING).sample(&[], u64::from(standing.is_none_or(|standing| standing.leads)));
    let Some(standing) = standing else { return };
    let mut family = text.family(LEASE_TRANSITIONS);
    family.sample(&[("to", "leading")], standing.elected);
    family.sample(&[("to", "following")], standing.lost);
    text.family(LEASE_UNANSWERED).sample(&[], u64::from(standing.trouble.is_some()));
}

fn each(view: &View, family: &mut Family<'_>, value: impl Fn(&Status) -> Option<u64>) {
    for status in view.targets.values() {
        // What is not known has no sample: it is not zero.
        if let Some(value) = value(status) {
            family.sample(&[("target", &status.target)], value);
        }
    }
}

fn sizes(text: &mut Text, view: &View) {
    let mut gauge = |metric: Metric, value: &dyn Fn(&Status) -> Option<u32>| {
        each(view, &mut text.family(metric), |status| value(status).map(u64::from));
    };
    gauge(MEMBERS_NOW, &|status| status.sizes.members);
    gauge(MEMBERS_MIN, &|status| Some(status.member_bounds().0));
    gauge(MEMBERS_MAX, &|status| Some(status.member_bounds().1));
    gauge(MEMBERS_GHOST, &|status| status.ghost.members);
    gauge(MEMBERS_WISHED, &|status| status.last_decision.as_ref().and_then(|last| last.wish.sizes.members));
    gauge(MEMBERS_DECIDED, &|status| status.last_decision.as_ref().and_then(|last| last.decided.members));
}

fn states(text: &mut Text, view: &View) {
    let mut mode = text.family(TARGET_INFO);
    for status in view.targets.values() {
        let word = match status.mode {
            Mode::Off => "off",
            Mode::Dryrun => "dryrun",
            Mode::Enforce => "enforce",
        };
        let labels = [
            ("target", &*status.target),
            ("system", &*status.system),
            ("platform", &*status.platform),
            ("mode", word),
        ];
        mode.sample(&labels, 1);
    }
    let mut conditions = text.family(CONDITION);
    for status in view.targets.values() {
        for condition in &status.conditions {
            conditions.sample(
                &[("target", &*status.target), ("condition", &*condition.kind)],
                u8::from(condition.status),
            );
        }
    }
    let mut running = text.family(PLAN_RUNNING);
    each(view, &mut running, |status| Some(u64::from(status.plan.is_some())));
    let mut phase = text.family(PLAN_INFO);
    for status in view.targets.values() {
        if let Some(plan) = &status.plan {
            let direction = if plan.to() < plan.from() { "in" } else { "out" };
            let word = match plan.status {
                PlanStatus::AwaitingApproval => "awaiting-approval",
                PlanStatus::Running => "running",
                PlanStatus::Held => "held",
                PlanStatus::Stopping => "stopping",
                PlanStatus::Done => "done",
                PlanStatus::Aborted => "aborted",
            };
            let labels = [
                ("target", &*status.target),
                ("direction", direction),
                ("status", word),
                ("phase", &*status.phase),
            ];
            phase.sample(&labels, 1);
        }
    }
    let mut left = text.family(PLAN_BYTES_LEFT);
    each(view, &mut left, |status| status.moving.as_ref().map(|moving| moving.bytes_left));
    let mut moved = text.family(PLAN_BYTES_MOVED);
    each(view, &mut moved, |status| status.moving.as_ref().map(|moving| moving.bytes_moved));
    let mut paused = text.family(PAUSED);
    // The document's pause of everything is the condition without a reason; one direction is not the target.
    let in_document =
        |condition: &Condition| condition.kind == "Paused" && condition.status && condition.reason.is_empty();
    each(view, &mut paused, |status| {
        Some(u64::from(status.paused.is_some() || status.conditions.iter().any(in_document)))
    });
}

fn last_decisions(text: &mut Text, view: &View) {
    let mut family = text.family(LAST_DECISION);
    for status in view.targets.values() {
        if let Some(last) = &status.last_decision {
            let sign = if last.wall_ms < 0 { "-" } else { "" };
            let (seconds, rest) = (last.wall_ms.unsigned_abs() / 1_000, last.wall_ms.unsigned_abs() % 1_000);
            family.sample(&[("target", &*status.target)], format!("{sign}{seconds}.{rest:03}"));
        }
    }
    let mut family = text.family(VIOLATIONS);
    for status in view.targets.values() {
        let mut counts: BTreeMap<(&str, Verdict), u32> = BTreeMap::new();
        let violations = status.last_decision.iter().flat_map(|last| &last.judgement.violations);
        for violation in violations {
            *counts.entry((&violation.kind, violation.verdict)).or_default() += 1;
        }
        for ((kind, word), count) in counts {
            family.sample(&[("target", &*status.target), ("kind", kind), ("verdict", verdict(word))], count);
        }
    }
}

fn for_policies(text: &mut Text, policies: &[PolicyView]) {
    let mut loaded = text.family(POLICY_LOADED);
    for policy in policies {
        loaded.sample(&[("policy", &*policy.name)], u8::from(policy.module.is_some()));
    }
    let mut trouble = text.family(POLICY_TROUBLED);
    for policy in policies {
        trouble.sample(&[("policy", &*policy.name)], u8::from(policy.trouble.is_some()));
    }
    let mut back = text.family(POLICY_ROLLED_BACK);
    for policy in policies {
        back.sample(&[("policy", &*policy.name)], policy.rolled_back.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_counts_each_time_that_it_comes_up_and_by_its_word() {
        let counters = Counters::default();
        let troubled = |trouble: Option<&str>| {
            let status = serde_json::json!({
                "target": "shop/db", "system": "etcd", "platform": "kube", "mode": "enforce",
                "bounds": { "members": { "min": 3, "max": 5 } },
                "trouble": trouble, "conditions": [],
            });
            serde_json::from_value::<Status>(status).expect("a status")
        };
        let full = "AuditNotWritten: no space";
        for (before, now) in [
            (None, Some(full)),
            (Some(full), Some(full)),
            (Some(full), None),
            (None, Some(full)),
            (None, Some("it stands still: index out of bounds")),
        ] {
            counters.trouble(before, &troubled(now));
        }
        let text = exposition(&View::default(), &[], true, &counters);
        for line in [
            "plimsoll_troubles_total{target=\"shop/db\",kind=\"AuditNotWritten\"} 2",
            "plimsoll_troubles_total{target=\"shop/db\",kind=\"Frozen\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
        }
    }

    #[test]
    fn what_is_beyond_the_cap_is_counted_together() {
        let counters = Counters::default();
        for number in 0..MAX_SERIES + 5 {
            counters.add(TROUBLES, &[&format!("t{number}"), "X"], 2);
        }
        let text = exposition(&View::default(), &[], true, &counters);
        assert!(
            text.contains("plimsoll_troubles_total{target=\"other\",kind=\"other\"} 10\n"),
            "{text:.3000}"
        );
        assert!(text.contains("plimsoll_troubles_total{target=\"t0\",kind=\"X\"} 2\n"));
    }
}
