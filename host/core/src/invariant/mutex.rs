//! Mutual exclusion: one topology change at a time, and no delta that nobody explains.

use super::evid::label;
use super::{ADMISSION, ALWAYS, EFFECTS, Finding, Invariant, Severity, listed};
use crate::case::Case;
use crate::change::{Change, Direction};
use crate::plan::{self, progress};
use crate::snapshot::{is_unlisted, never_joined};
use crate::step;
use crate::workload;
use plimsoll_wire::fact::Fact;
use plimsoll_wire::journal::{PlanState, Subject, SystemVerb, Verb};
use plimsoll_wire::profile::Topic;
use plimsoll_wire::snapshot::{Lifecycle, Member, Operation, OperationKind, UNKNOWN_OWNER};
use plimsoll_wire::workload::Budget;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The rule that says that something is under way already.
pub const ONE_OPERATION: &str = "MUTEX-1";

/// The rules of this family. MUTEX-6 (related systems) comes with systems that depend on others.
pub const FAMILY: &[Invariant] = &[
    Invariant {
        id: ONE_OPERATION,
        kind: "OperationInProgress",
        severity: Severity::Defer,
        moments: ALWAYS,
        protects: "Nothing begins while an operation runs that it would collide with (apache/cassandra#2061).",
        advice: "Wait until the operation has ended. If it is not Plimsoll's, end it where it was begun.",
        check: one_operation,
    },
    Invariant {
        id: "MUTEX-2",
        kind: "MembersNotReady",
        severity: Severity::Defer,
        moments: ALWAYS,
        protects: "Every member that stays is up and serves (opensearch-k8s-operator#1590: scale-in while a restart had a member down).",
        advice: "Wait for the members that the message names, or bring them back.",
        check: no_partial_set,
    },
    Invariant {
        id: "MUTEX-3",
        kind: "TooManyDisrupted",
        severity: Severity::Defer,
        moments: ALWAYS,
        protects: "A scale-in leaves as many healthy members as the platform's disruption budgets ask for. A StatefulSet does not consult them: it deletes, and does not evict.",
        advice: "Wait until enough members are healthy, or loosen the budget.",
        check: budgets,
    },
    Invariant {
        id: "MUTEX-4",
        kind: "DebtUnpaid",
        severity: Severity::Defer,
        moments: ADMISSION,
        protects: "The leftovers of the last change are cleaned up before the next (scylla-operator, proposal 1207).",
        advice: "Wait. The plan cleans up where it can; else clean up as the message says.",
        check: debts,
    },
    Invariant {
        id: "MUTEX-5",
        kind: "ForeignChange",
        severity: Severity::Deny,
        moments: EFFECTS,
        protects: "The members are those that the plan expects, apart from its own changes.",
        advice: "Find out who changed the members. The plan goes on when they are as it expects, or you can cancel it.",
        check: foreign,
    },
];

/// Operations that a change of members may not overlap with: all but the growing of a volume, and what this
/// very plan has under way.
fn collides(case: &Case, operation: &Operation) -> bool {
    let plan = case.snapshot.plan.as_ref().or(case.plan());
    let ours = plan.is_some_and(|plan| {
        operation.owner == format!("plan/{}", plan.id) || is_its_step(case, plan, operation)
    });
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

/// Whether an operation that bears nobody's name is what a plan's own step does: it is about a member that the plan moves data
/// off, or onto, and the plan has come to that step. Some systems cannot keep a mark with a move.
fn is_its_step(case: &Case, plan: &PlanState, operation: &Operation) -> bool {
    let goes = plan::direction(plan) == Some(Direction::In);
    let (step, own, kinds) = if goes {
        (step::DRAIN, &plan.leaving, [OperationKind::Drain, OperationKind::Reshard])
    } else {
        (step::SPREAD, &plan.joined, [OperationKind::Rebalance, OperationKind::Reshard])
    };
    let names = |one: &Subject| one.id.as_deref() == Some(&*operation.scope);
    let concerns = plan.subject.iter().chain(own).any(names);
    let at = step::of(progress::phases(plan, case.profile)).find(|(_, one, _)| one.name == step);
    let fits = operation.owner == UNKNOWN_OWNER && kinds.contains(&operation.kind) && concerns;
    fits && at.is_some_and(|(index, ..)| plan.phase >= index)
}

/// Effects that give a member back to its work: right in any state of the others.
pub(crate) fn gives_back(case: &Case) -> bool {
    case.undoes()
        && matches!(
            case.verb(),
            Some(Verb::System(SystemVerb::Uncordon { .. }) | Verb::System(SystemVerb::CancelDrain { .. }))
        )
}

fn one_operation(case: &Case) -> Finding {
    if gives_back(case) {
        return Finding::Pass;
    }
    // A plan is an operation of our own, and no other begins beside it.
    if let (Change::Wish { .. }, Some(plan)) = (case.change, &case.snapshot.plan) {
        return Finding::broken(
            format!("a plan is under way: {} from {} to {}", plan.id, plan.from(), plan.to()),
            "what is wished is judged when it has ended",
        );
    }
    let Some(operations) = case.snapshot.operations.value() else {
        return Finding::unknown("operations in flight");
    };
    let running: Vec<String> = operations
        .iter()
        .filter(|operation| collides(case, operation))
        .map(|operation| format!("{} ({})", operation.id, operation.owner))
        .collect();
    if running.is_empty() {
        return Finding::Pass;
    }
    Finding::broken(format!("running: {}", listed(running, ", ")), "wait until it has ended")
}

/// Whether a member has to be at work: not the one that a plan's effect is about (`decisions.md` D7), nor a dead one that
/// the change removes (D11), nor what never joined and goes too. One that gives its data away beside has to: it still holds
/// some of it.
fn must_work(case: &Case, row: &Member) -> bool {
    let dies = case.is_victim(row) && !case.leaves_beside(row) && row.alive.value() == Some(&false);
    !case.is_subject(row) && !dies && !is_cleared_away(case, row)
}

/// Whether a member serves, or gives its data away beside: whether this is the life that it should lead.
fn is_where_it_should_be(case: &Case, row: &Member, lifecycle: &Lifecycle) -> bool {
    let gives = matches!(lifecycle, Lifecycle::Draining | Lifecycle::Drained);
    *lifecycle == Lifecycle::Serving || (gives && case.leaves_beside(row))
}

/// Whether a place goes in which nobody ever was a member: it holds nothing. Where data moves by itself, not to be listed
/// proves nothing.
fn is_cleared_away(case: &Case, row: &Member) -> bool {
    let planned = case.plan().filter(|_| case.shrinks() && !case.undoes());
    let planned =
        planned.is_some_and(|plan| row.slot.as_ref().is_some_and(|slot| plan.victims.contains(slot)));
    let goes = planned || (case.shrinks() && case.is_victim(row));
    goes && !case.profile.moves_data() && never_joined(case.snapshot, row)
}

/// Whether settings wait for a restart of a member; none where that is not known. A slot without a member of the system
/// has none.
fn is_pending(case: &Case, row: &Member) -> Option<bool> {
    if case.profile.lacks(Topic::Pending) || row.id.value().is_none() {
        return Some(false);
    }
    row.config_pending.value().copied()
}

fn no_partial_set(case: &Case) -> Finding {
    if gives_back(case) {
        return Finding::Pass;
    }
    let Some(members) = case.snapshot.members.value() else { return Finding::unknown("the member list") };
    let working = || members.iter().filter(|row| must_work(case, row));
    let named = |which: &dyn Fn(&Member) -> bool| -> Vec<String> {
        working().filter(|row| which(row)).map(label).collect()
    };
    let (strays, idle) = (named(&is_unlisted), named(&|row| !is_unlisted(row) && is_idle(case, row)));
    let pending = named(&|row| is_pending(case, row) == Some(true));
    let of_members = !idle.is_empty() || !pending.is_empty();
    let kinds =
        [("not at work", idle), ("waiting for a restart", pending), ("no member of the system", strays)];
    let some = kinds.into_iter().filter(|(_, names)| !names.is_empty());
    let parts: Vec<String> = some.map(|(what, names)| format!("{what}: {}", listed(names, ", "))).collect();
    if parts.is_empty() {
        return unseen(case, working());
    }
    let hint = if of_members {
        "we scale, we do not heal: bring them back first"
    } else {
        "let it join, or wish for a size without it: what never joined may go"
    };
    Finding::broken(parts.join("; "), hint)
}

/// Whether a member is known not to do its work.
fn is_idle(case: &Case, row: &Member) -> bool {
    row.alive.value() == Some(&false)
        || row.running.value() == Some(&false)
        || row.lifecycle.value().is_some_and(|lifecycle| !is_where_it_should_be(case, row, lifecycle))
}

/// Whether a member is known to do its work.
fn is_at_work(case: &Case, row: &Member) -> bool {
    row.alive.value() == Some(&true)
        && row.running.value() == Some(&true)
        && row.lifecycle.value().is_some_and(|lifecycle| is_where_it_should_be(case, row, lifecycle))
}

fn unseen<'a>(case: &Case, working: impl Iterator<Item = &'a Member> + Clone) -> Finding {
    if let Some(name) = working.clone().filter(|row| !is_at_work(case, row)).map(label).min() {
        return Finding::unknown(format!("whether {name} is at work"));
    }
    match working.filter(|row| is_pending(case, row).is_none()).map(label).min() {
        Some(name) => Finding::unknown(format!("whether {name} waits for a restart")),
        None => Finding::Pass,
    }
}

/// Asked of a growth too: what is known to be owed bars it, and silence is never easier than a known debt.
/// Whoever goes is looked past: a member that was removed is not healthy before it ends, and that is our own doing.
fn budgets(case: &Case) -> Finding {
    // Effects between a removal's beginning and its end take nobody away.
    let takes = case.verb().is_none_or(Verb::ends);
    if !case.shrinks() || case.undoes() || !takes {
        return Finding::Pass;
    }
    let budgets = match workload::budgets(case.snapshot) {
        Fact::NotApplicable => return Finding::Pass,
        Fact::Known(known) => known.value,
        Fact::Unknown { detail, .. } => return Finding::unknown(format!("disruption budgets ({detail})")),
    };
    // One goes at a time, and the next is judged when it is its turn.
    let goes = case.subject().or(case.victims.first()).map(|subject| &subject.slot);
    let short = |budget: &Budget| {
        let counted = goes.is_some_and(|slot| budget.members.contains(slot));
        let left = budget.healthy.saturating_sub(u32::from(counted));
        (left < budget.desired)
            .then(|| format!("{} wants {}, {left} would be left", budget.name, budget.desired))
    };
    let short: Vec<String> = budgets.iter().filter_map(short).collect();
    if short.is_empty() {
        return Finding::Pass;
    }
    Finding::broken(
        format!("too few healthy members: {}", listed(short, ", ")),
        "wait until members are back, or let the budget spare one",
    )
}

fn debts(case: &Case) -> Finding {
    let Some(debts) = case.snapshot.debts.value() else { return Finding::unknown("debts") };
    if debts.is_empty() {
        return Finding::Pass;
    }
    let owed = debts.iter().map(|debt| format!("{} for {}", debt.kind, debt.member));
    Finding::broken(format!("owed: {}", listed(owed, ", ")), "it is paid before the next change")
}

fn foreign(case: &Case) -> Finding {
    if gives_back(case) {
        return Finding::Pass;
    }
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
    let names =
        |ids: &BTreeSet<Arc<str>>, others| listed(ids.difference(others).map(|id| id.to_string()), ", ");
    Finding::broken(
        format!("came: [{}]; went: [{}]", names(&now, &expected), names(&expected, &now)),
        "somebody else changes this system; the plan gives up where it can",
    )
}
