//! Metrics: counters that are folded from the records, and gauges that are read from the view when they are asked
//! for. The text format is thirty lines, so no crate of metrics is linked: none of them could bound the number of
//! series, and a registry of gauges would be a second truth beside the view.

mod text;

use crate::daemon::{PolicyView, View};
use plimsoll_wire::journal::{Outcome, PlanStatus};
use plimsoll_wire::record::{Body, Decision, Record, Verdict};
use plimsoll_wire::snapshot::Mode;
use plimsoll_wire::status::Status;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use text::{Family, Kind, Text};

/// Series that are kept of one counter. What is beyond is counted without its labels' values.
const MAX_SERIES: usize = 4_096;
/// The value of every label of what is beyond.
const OTHER: &str = "other";

/// What is counted: a name, its labels, and what it means.
type Counter = (&'static str, &'static [&'static str], &'static str);

const DECISIONS: Counter =
    ("plimsoll_decisions_total", &["target", "verdict"], "Decisions, by the judge's verdict.");
const REFUSALS: Counter = (
    "plimsoll_refusals_total",
    &["target", "kind"],
    "Findings that clamped, deferred or denied a change, by hazard.",
);
const PLANS: Counter = ("plimsoll_plans_total", &["target", "direction", "outcome"], "Plans that ended.");
const EFFECTS: Counter =
    ("plimsoll_effects_total", &["target", "outcome"], "Effects on the world, by what came of them.");
const FAILURES: Counter =
    ("plimsoll_policy_failures_total", &["target", "policy", "kind"], "Evaluations that gave no answer.");
const EVALUATIONS: Counter = ("plimsoll_policy_evaluations_total", &["target", "policy"], "Evaluations.");
const FUEL: Counter = (
    "plimsoll_policy_fuel_total",
    &["target", "policy"],
    "Fuel that policies used, about one unit an instruction.",
);
const TROUBLES: Counter =
    ("plimsoll_troubles_total", &["target", "kind"], "What went wrong with Plimsoll itself.");

const ALL: [Counter; 8] = [DECISIONS, REFUSALS, PLANS, EFFECTS, FAILURES, EVALUATIONS, FUEL, TROUBLES];

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
                let direction = if plan.to < plan.from { "in" } else { "out" };
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
            Body::Trouble { what, .. } => self.add(TROUBLES, &[target, what], 1),
            Body::Plan { .. } | Body::Intent { .. } | Body::Command { .. } | Body::Epoch { .. } => {}
        }
    }

    fn decision(&self, target: &str, decision: &Decision) {
        self.add(DECISIONS, &[target, verdict(decision.judgement.verdict)], 1);
        for violation in decision.judgement.violations.iter().filter(|one| one.verdict > Verdict::Allow) {
            self.add(REFUSALS, &[target, &violation.kind], 1);
        }
        for answer in &decision.answers {
            self.add(EVALUATIONS, &[target, &answer.policy], 1);
            self.add(FUEL, &[target, &answer.policy], answer.fuel);
            if answer.failed {
                self.add(FAILURES, &[target, &answer.policy, &answer.reason.code], 1);
            }
        }
    }

    fn add(&self, counter: Counter, labels: &[&str], amount: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let series = counts.entry(counter.0).or_default();
        let mut key: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        if series.len() >= MAX_SERIES && !series.contains_key(&key) {
            key.fill(OTHER.to_owned());
        }
        let count = series.entry(key).or_default();
        *count = count.saturating_add(amount);
    }

    fn write(&self, text: &mut Text) {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, labels, help) in ALL {
            let mut family = text.family(name, Kind::Counter, help);
            for (values, count) in counts.get(name).into_iter().flatten() {
                let labels: Vec<(&str, &str)> =
                    labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
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

/// Everything, in the text format of Prometheus.
#[must_use]
pub fn exposition(view: &View, policies: &[PolicyView], counters: &Counters) -> String {
    let mut text = Text::new(MAX_SERIES);
    text.family("plimsoll_build_info", Kind::Gauge, "Always 1; its labels tell what runs.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    let problems = view.problems.len();
    text.family("plimsoll_configuration_problems", Kind::Gauge, "Problems of the configuration on disk.")
        .sample(&[], problems);
    sizes(&mut text, view);
    states(&mut text, view);
    last_decisions(&mut text, view);
    for_policies(&mut text, policies);
    counters.write(&mut text);
    text.finish()
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
    let mut gauge = |name: &'static str, help: &'static str, value: &dyn Fn(&Status) -> Option<u32>| {
        each(view, &mut text.family(name, Kind::Gauge, help), |status| value(status).map(u64::from));
    };
    gauge("plimsoll_target_members", "Members now; absent when not known.", &|status| status.size);
    gauge("plimsoll_target_members_min", "The owner's least number of members.", &|status| Some(status.min));
    gauge("plimsoll_target_members_max", "The owner's greatest number of members.", &|status| {
        Some(status.max)
    });
    gauge("plimsoll_target_members_ghost", "Dry run: members that there would be.", &|status| {
        status.ghost_size
    });
    gauge(
        "plimsoll_target_members_wished",
        "Members that the last decision wished; absent for a hold.",
        &|status| status.last_decision.as_ref().and_then(|last| last.wish.members),
    );
    gauge("plimsoll_target_members_decided", "Members that the last decision decided.", &|status| {
        status.last_decision.as_ref().and_then(|last| last.decided)
    });
}

fn states(text: &mut Text, view: &View) {
    let mut mode =
        text.family("plimsoll_target_info", Kind::Gauge, "Always 1; its labels tell what the target is.");
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
    let mut conditions =
        text.family("plimsoll_target_condition", Kind::Gauge, "Whether a condition of the status holds.");
    for status in view.targets.values() {
        for condition in &status.conditions {
            conditions.sample(
                &[("target", &*status.target), ("condition", &*condition.kind)],
                u8::from(condition.status),
            );
        }
    }
    let mut running =
        text.family("plimsoll_target_plan_running", Kind::Gauge, "Whether a plan is under way.");
    each(view, &mut running, |status| Some(u64::from(status.plan.is_some())));
    let mut phase = text.family(
        "plimsoll_target_plan_info",
        Kind::Gauge,
        "Always 1 while a plan is under way; its labels tell where it stands.",
    );
    for status in view.targets.values() {
        if let Some(plan) = &status.plan {
            let direction = if plan.to < plan.from { "in" } else { "out" };
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
    let mut paused =
        text.family("plimsoll_target_paused", Kind::Gauge, "Whether a person has paused the target.");
    each(view, &mut paused, |status| Some(u64::from(status.paused.is_some())));
}

fn last_decisions(text: &mut Text, view: &View) {
    let mut family = text.family(
        "plimsoll_target_last_decision_timestamp_seconds",
        Kind::Gauge,
        "When the last decision was made, in seconds since 1970.",
    );
    for status in view.targets.values() {
        if let Some(last) = &status.last_decision {
            let sign = if last.wall_ms < 0 { "-" } else { "" };
            let (seconds, rest) = (last.wall_ms.unsigned_abs() / 1_000, last.wall_ms.unsigned_abs() % 1_000);
            family.sample(&[("target", &*status.target)], format!("{sign}{seconds}.{rest:03}"));
        }
    }
    let mut family = text.family(
        "plimsoll_target_violations",
        Kind::Gauge,
        "Findings of the last decision, by hazard and verdict.",
    );
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
    let mut loaded =
        text.family("plimsoll_policy_loaded", Kind::Gauge, "Whether a version of the policy runs.");
    for policy in policies {
        loaded.sample(&[("policy", &*policy.name)], u8::from(policy.module.is_some()));
    }
    let mut trouble = text.family(
        "plimsoll_policy_troubled",
        Kind::Gauge,
        "Whether the file in the directory could not be taken.",
    );
    for policy in policies {
        trouble.sample(&[("policy", &*policy.name)], u8::from(policy.trouble.is_some()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_cap_is_counted_together() {
        let counters = Counters::default();
        for number in 0..MAX_SERIES + 5 {
            counters.add(TROUBLES, &[&format!("t{number}"), "X"], 2);
        }
        let text = exposition(&View::default(), &[], &counters);
        assert!(
            text.contains("plimsoll_troubles_total{target=\"other\",kind=\"other\"} 10\n"),
            "{text:.3000}"
        );
        assert!(text.contains("plimsoll_troubles_total{target=\"t0\",kind=\"X\"} 2\n"));
    }
}
