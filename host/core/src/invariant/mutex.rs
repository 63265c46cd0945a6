//! Mutual exclusion: one topology change at a time, and no delta that nobody explains.

use super::evid::label;
use super::{ADMISSION, ALWAYS, EFFECTS, Finding, Invariant, Severity};
use crate::judge::Case;
use crate::snapshot::is_serving;
use plimsoll_wire::journal::Verb;
use plimsoll_wire::snapshot::{Operation, OperationKind};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The rules of this family. MUTEX-6 (related systems) comes with systems that depend on others.
pub const FAMILY: &[Invariant] = &[
    Invariant {
        id: "MUTEX-1",
        kind: "OperationInProgress",
        severity: Severity::Defer,
        moments: ALWAYS,
        protects: "Nothing starts while something that it would collide with runs (apache/cassandra#2061).",
        check: one_operation,
    },
    Invariant {
        id: "MUTEX-2",
        kind: "MembersNotReady",
        severity: Severity::Defer,
        moments: ALWAYS,
        protects: "Every member that stays is up and at work (opensearch-k8s-operator#1590: scale-in while a \
                   restart had a member down).",
        check: no_partial_set,
    },
    Invariant {
        id: "MUTEX-4",
        kind: "DebtUnpaid",
        severity: Severity::Defer,
        moments: ADMISSION,
        protects: "What the last change left behind is cleaned up before the next (scylla-operator, proposal 1207).",
        check: debts,
    },
    Invariant {
        id: "MUTEX-5",
        kind: "ForeignChange",
        severity: Severity::Deny,
        moments: EFFECTS,
        protects: "The members are those that the plan expects, apart from what it did itself.",
        check: foreign,
    },
];

/// Operations that a change of members may not overlap with: all but the growing of a volume, and what this
/// very plan has under way.
fn collides(case: &Case, operation: &Operation) -> bool {
    let ours = case.plan().is_some_and(|plan| operation.owner == format!("plan/{}", plan.id));
    match operation.kind {
        // A command of ours that still runs has an outcome that nobody knows yet.
        OperationKind::Command => true,
        OperationKind::VolumeResize => case.shrinks(),
        OperationKind::Join
        | OperationKind::Drain
        | OperationKind::Remove
        | OperationKind::Rebalance
        | OperationKind::Repair
        | OperationKind::Cleanup
        | OperationKind::Backup
        | OperationKind::Restore
        | OperationKind::Restart
        | OperationKind::Upgrade
        | OperationKind::SchemaChange
        | OperationKind::Failover
        | OperationKind::Recovery
        | OperationKind::Reshard => !ours,
    }
}

/// Effects that give a member back to its work: right in any state of the others.
fn gives_back(case: &Case) -> bool {
    case.undoes() && matches!(case.verb(), Some(Verb::Uncordon { .. } | Verb::CancelDrain { .. }))
}

fn one_operation(case: &Case) -> Finding {
    if gives_back(case) {
        return Finding::Pass;
    }
    let Some(operations) = case.snapshot.operations.value() else {
        return Finding::unknown("operations in flight");
    };
    let mut running: Vec<String> = operations
        .iter()
        .filter(|operation| collides(case, operation))
        .map(|operation| format!("{} ({})", operation.id, operation.owner))
        .collect();
    if running.is_empty() {
        return Finding::Pass;
    }
    running.sort();
    Finding::broken(format!("running: {}", running.join(", ")), "wait until it has ended")
}

/// Looks past the plan's own member (`decisions.md` D7), and past a dead one that the change removes (D11).
fn no_partial_set(case: &Case) -> Finding {
    if gives_back(case) {
        return Finding::Pass;
    }
    let Some(members) = case.snapshot.members.value() else { return Finding::unknown("the member list") };
    let dead_victim =
        |row: &plimsoll_wire::snapshot::Member| case.is_victim(row) && row.alive.value() == Some(&false);
    let mut unready: Vec<String> = members
        .iter()
        .filter(|row| !is_serving(row) && !case.is_subject(row) && !dead_victim(row))
        .map(label)
        .collect();
    let mut pending: Vec<String> =
        members.iter().filter(|row| row.config_pending.value() == Some(&true)).map(label).collect();
    if unready.is_empty() && pending.is_empty() {
        return Finding::Pass;
    }
    unready.sort();
    pending.sort();
    let mut parts = Vec::new();
    if !unready.is_empty() {
        parts.push(format!("not at work: {}", unready.join(", ")));
    }
    if !pending.is_empty() {
        parts.push(format!("waiting for a restart: {}", pending.join(", ")));
    }
    Finding::broken(parts.join("; "), "we scale, we do not heal: bring them back first")
}

fn debts(case: &Case) -> Finding {
    match case.snapshot.debts.value() {
        Some(debts) if debts.is_empty() => Finding::Pass,
        Some(debts) => {
            let mut owed: Vec<String> =
                debts.iter().map(|debt| format!("{} for {}", debt.kind, debt.member)).collect();
            owed.sort();
            Finding::broken(format!("owed: {}", owed.join(", ")), "it is paid before the next change")
        }
        // Only what is taken away needs to know that nothing is owed.
        None if case.grows() => Finding::Pass,
        None => Finding::unknown("debts"),
    }
}

fn foreign(case: &Case) -> Finding {
    let (Some(plan), Some(members)) = (case.plan(), case.snapshot.members.value()) else {
        return Finding::Pass;
    };
    let known = |keep: &dyn Fn(&&plimsoll_wire::snapshot::Member) -> bool| -> BTreeSet<Arc<str>> {
        members.iter().filter(keep).filter_map(|row| row.id.value().cloned()).collect()
    };
    let now = known(&|row| !case.is_subject(row));
    let subject = case.subject().and_then(|subject| subject.id.clone());
    let expected: BTreeSet<Arc<str>> =
        plan.members.iter().filter(|id| subject.as_ref() != Some(id)).cloned().collect();
    if now == expected {
        return Finding::Pass;
    }
    let came: Vec<&str> = now.difference(&expected).map(|id| &**id).collect();
    let went: Vec<&str> = expected.difference(&now).map(|id| &**id).collect();
    Finding::broken(
        format!("came: [{}]; went: [{}]", came.join(", "), went.join(", ")),
        "somebody else changes this system; the plan gives up where it can",
    )
}
