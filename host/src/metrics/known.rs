//! The table of metrics: what each is, in which unit, and what to do about it. The reference is printed from it.

use super::text::Kind;

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    pub(super) kind: Kind,
    /// What its value counts.
    pub unit: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
    /// What to do about it, and when.
    pub advice: &'static str,
}

impl Metric {
    /// `gauge` or `counter`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind.word()
    }
}

const fn gauge(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    advice: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, labels, help, advice }
}

const fn counter(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    advice: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, unit, labels, help, advice }
}

/// What says yes or no.
const SWITCH: &str = "0 or 1";
/// What counts members.
const MEMBERS: &str = "members";
const TARGET: &[&str] = &["target"];
const POLICY: &[&str] = &["policy"];

pub(super) const BUILD_INFO: Metric = gauge(
    "plimsoll_build_info",
    "always 1",
    &["version"],
    "Always 1; its labels name the running version.",
    "If it is absent, no daemon is scraped: check that one runs.",
);
pub(super) const CONFIGURATION_PROBLEMS: Metric = gauge(
    "plimsoll_configuration_problems",
    "problems",
    &[],
    "Problems of the configuration on disk and of the objects in the cluster.",
    "Above 0: `plimsoll check`, or the problems in `plimsoll status`, name them.",
);
pub(super) const LEADING: Metric = gauge(
    "plimsoll_leading",
    SWITCH,
    &[],
    "Whether this daemon acts; the others follow.",
    "The sum over all daemons is 1, and 0 during a fail-over. When it stays 0, look at the lease and at the daemons' logs.",
);
pub(super) const LEASE_TRANSITIONS: Metric = counter(
    "plimsoll_lease_transitions_total",
    "changes",
    &["to"],
    "How often this daemon won or lost leadership.",
    "If it keeps rising, look at the network to the API server.",
);
pub(super) const LEASE_UNANSWERED: Metric = gauge(
    "plimsoll_lease_unanswered",
    SWITCH,
    &[],
    "Whether the lease could not be asked last time.",
    "When it stays 1, look at the API server and at the daemon's rights on its lease.",
);
pub(super) const MEMBERS_NOW: Metric = gauge(
    "plimsoll_target_members",
    MEMBERS,
    TARGET,
    "Members now; absent when not known.",
    "When it is absent, see the condition `Ready`.",
);
pub(super) const MEMBERS_MIN: Metric = gauge(
    "plimsoll_target_members_min",
    MEMBERS,
    TARGET,
    "The owner's least number of members.",
    "Nothing: it is `minReplicas`.",
);
pub(super) const MEMBERS_MAX: Metric = gauge(
    "plimsoll_target_members_max",
    MEMBERS,
    TARGET,
    "The owner's greatest number of members.",
    "When the size stays there and more is wished, raise `maxReplicas`.",
);
pub(super) const MEMBERS_GHOST: Metric = gauge(
    "plimsoll_target_members_ghost",
    MEMBERS,
    TARGET,
    "Dry run: members that there would be.",
    "Compare it with the size; when it convinces you, `mode: enforce`.",
);
pub(super) const MEMBERS_WISHED: Metric = gauge(
    "plimsoll_target_members_wished",
    MEMBERS,
    TARGET,
    "Members that the last decision wished for; absent for a hold.",
    "When it is absent for long, see who holds and why (`kubectl plimsoll explain`).",
);
pub(super) const MEMBERS_DECIDED: Metric = gauge(
    "plimsoll_target_members_decided",
    MEMBERS,
    TARGET,
    "Members that the last decision decided.",
    "When it differs from what is wished for long, see the reason of the decision.",
);
pub(super) const TARGET_INFO: Metric = gauge(
    "plimsoll_target_info",
    "always 1",
    &["target", "system", "platform", "mode"],
    "Always 1; its labels tell what the target is.",
    "Nothing: join it with other metrics.",
);
pub(super) const CONDITION: Metric = gauge(
    "plimsoll_target_condition",
    SWITCH,
    &["target", "condition"],
    "Whether a condition of the status holds.",
    "See that condition above.",
);
pub(super) const PLAN_RUNNING: Metric = gauge(
    "plimsoll_target_plan_running",
    SWITCH,
    TARGET,
    "Whether a plan is under way.",
    "When it is 1 for hours, see what the plan waits for (`kubectl plimsoll plan`).",
);
pub(super) const PLAN_INFO: Metric = gauge(
    "plimsoll_target_plan_info",
    "always 1",
    &["target", "direction", "status", "phase"],
    "Always 1 while a plan is under way; its labels tell where it stands.",
    "With the status `held`: see `Safe`. With `awaiting-approval`: approve it, or cancel it.",
);
pub(super) const PLAN_BYTES_LEFT: Metric = gauge(
    "plimsoll_target_plan_left_bytes",
    "bytes",
    TARGET,
    "Data that the plan's member still has to give away, or to get. Absent while nothing is to be moved.",
    "When it does not fall for long: see what the plan waits for, and the system's own view of the move.",
);
pub(super) const PLAN_BYTES_MOVED: Metric = gauge(
    "plimsoll_target_plan_moved_bytes",
    "bytes",
    TARGET,
    "Data that the plan's member has given away, or got, since this daemon has watched it.",
    "Compare it with what is left.",
);
pub(super) const PAUSED: Metric = gauge(
    "plimsoll_target_paused",
    SWITCH,
    TARGET,
    "Whether a person has paused the target.",
    "If it is 1 for longer than intended, `kubectl plimsoll resume`.",
);
pub(super) const LAST_DECISION: Metric = gauge(
    "plimsoll_target_last_decision_timestamp_seconds",
    "seconds since 1970",
    TARGET,
    "When the last decision was made, in seconds since 1970.",
    "When it is older than a few intervals and nothing is paused, read the daemon's log.",
);
pub(super) const VIOLATIONS: Metric = gauge(
    "plimsoll_target_violations",
    "findings",
    &["target", "kind", "verdict"],
    "Findings of the last decision, by hazard and verdict.",
    "Find the hazard among the rules.",
);
pub(super) const POLICY_LOADED: Metric = gauge(
    "plimsoll_policy_loaded",
    SWITCH,
    POLICY,
    "Whether a version of the policy runs.",
    "At 0: `plimsoll status` says why; put a good module into the folder.",
);
pub(super) const POLICY_TROUBLED: Metric = gauge(
    "plimsoll_policy_troubled",
    SWITCH,
    POLICY,
    "Whether the file in the directory could not be used.",
    "At 1 the version before it keeps running: `plimsoll status` says why, and `plimsoll policy inspect` examines the file.",
);
pub(super) const POLICY_ROLLED_BACK: Metric = gauge(
    "plimsoll_policy_rolled_back",
    "targets",
    POLICY,
    "For how many targets an earlier version of the policy decides, because the newer one failed them.",
    "Above 0: `plimsoll status` says how it failed; correct the module.",
);
pub(super) const POLICIES_READABLE: Metric = gauge(
    "plimsoll_policy_directory_readable",
    SWITCH,
    &[],
    "Whether the folder of the policies can be read.",
    "At 0 the running versions go on and no new one is used: restore the folder or its permissions.",
);
pub(super) const DECISIONS: Metric = counter(
    "plimsoll_decisions_total",
    "decisions",
    &["target", "reason"],
    "Decisions, by the reason in the status.",
    "Find the word among the reasons.",
);
pub(super) const REFUSALS: Metric = counter(
    "plimsoll_refusals_total",
    "findings",
    &["target", "kind"],
    "Findings that clamped, deferred or denied a change, by hazard.",
    "Find the hazard among the rules.",
);
pub(super) const PLANS: Metric = counter(
    "plimsoll_plans_total",
    "plans",
    &["target", "direction", "outcome"],
    "Plans that ended.",
    "When `aborted` rises, see why the last one ended (`kubectl describe scalingplan`).",
);
pub(super) const EFFECTS: Metric = counter(
    "plimsoll_effects_total",
    "effects",
    &["target", "outcome"],
    "Effects on the world, by their outcome.",
    "When `unknown` or `refused` rises, look at the API server, the platform's commands or the data system.",
);
pub(super) const FAILURES: Metric = counter(
    "plimsoll_policy_failures_total",
    "evaluations",
    &["target", "policy", "kind"],
    "Evaluations that gave no answer.",
    "See the reason in the decision (`kubectl plimsoll explain`), and try the module with `plimsoll policy eval`.",
);
pub(super) const EVALUATIONS: Metric = counter(
    "plimsoll_policy_evaluations_total",
    "evaluations",
    &["target", "policy"],
    "Evaluations.",
    "When it stands still, see whether decisions are made.",
);
pub(super) const FUEL: Metric = counter(
    "plimsoll_policy_fuel_total",
    "instructions, about",
    &["target", "policy"],
    "Fuel that policies used, about one unit an instruction.",
    "When it nears the limit for each evaluation, make the policy do less.",
);
pub(super) const TROUBLES: Metric = counter(
    "plimsoll_troubles_total",
    "troubles",
    &["target", "kind"],
    "Problems of Plimsoll itself.",
    "Find the kind among the troubles.",
);
pub(super) const DROPPED: Metric = gauge(
    "plimsoll_metrics_dropped_series",
    "series",
    &[],
    "Series that were left out of this answer, beyond the limit of a family.",
    "Above 0 there are more targets than one scrape shows: spread them over several daemons.",
);

/// All of them, in the order in which they are served.
pub const METRICS: [Metric; 33] = [
    BUILD_INFO,
    CONFIGURATION_PROBLEMS,
    LEADING,
    LEASE_TRANSITIONS,
    LEASE_UNANSWERED,
    MEMBERS_NOW,
    MEMBERS_MIN,
    MEMBERS_MAX,
    MEMBERS_GHOST,
    MEMBERS_WISHED,
    MEMBERS_DECIDED,
    TARGET_INFO,
    CONDITION,
    PLAN_RUNNING,
    PLAN_INFO,
    PLAN_BYTES_LEFT,
    PLAN_BYTES_MOVED,
    PAUSED,
    LAST_DECISION,
    VIOLATIONS,
    POLICY_LOADED,
    POLICY_TROUBLED,
    POLICY_ROLLED_BACK,
    POLICIES_READABLE,
    DECISIONS,
    REFUSALS,
    PLANS,
    EFFECTS,
    FAILURES,
    EVALUATIONS,
    FUEL,
    TROUBLES,
    DROPPED,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_in_the_table_and_says_what_to_do() {
        let (code, _) = include_str!("known.rs").split_once("#[cfg(test)]").expect("tests");
        assert_eq!(code.matches(": Metric =").count(), METRICS.len(), "a metric is not in the table");
        for metric in METRICS {
            assert!(metric.name.starts_with("plimsoll_"), "{}", metric.name);
            assert!(!metric.help.is_empty() && !metric.advice.is_empty(), "{}", metric.name);
        }
    }
}
