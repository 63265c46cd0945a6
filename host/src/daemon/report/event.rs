//! Decides which events to write, by comparing a target's status with the one before. Pure.

use plimsoll_core::reason;
use plimsoll_wire::journal::{Ended, PlanState, PlanStatus};
use plimsoll_wire::record::Verdict;
use plimsoll_wire::status::Status;

/// An event about a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Note {
    /// Whether somebody should look.
    pub(super) warning: bool,
    /// What the daemon was at: `Read`, `Decide`, `Plan` or `Obey`.
    pub(super) action: &'static str,
    /// One word.
    pub(super) reason: String,
    /// One sentence.
    pub(super) text: String,
}

/// A kind of event of ours. A refusal's reason is the hazard that a rule saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The reason, as it stands in the event.
    pub reason: &'static str,
    /// Whether somebody should look.
    pub warning: bool,
    /// What the daemon was at.
    action: &'static str,
    /// When it is written.
    pub when: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

const fn kind(
    reason: &'static str,
    warning: bool,
    action: &'static str,
    when: &'static str,
    advice: &'static str,
) -> Kind {
    Kind { reason, warning, action, when, advice }
}

pub(super) const INVALID_SPEC: Kind = kind(
    "InvalidSpec",
    true,
    "Read",
    "The document is refused; the last good document stays in force.",
    "Correct what the note names.",
);
const TROUBLE: Kind = kind(
    "Trouble",
    true,
    "Read",
    "The daemon has a problem, not the target.",
    "Find the first word of the note among the troubles.",
);
pub(super) const POLICY_ROLLED_BACK: Kind = kind(
    "PolicyRolledBack",
    true,
    "Decide",
    "A version of a policy failed the target several times in a row; the version before it decides again.",
    "Correct the module; `plimsoll status` says how it failed.",
);
const ORDER_OBEYED: Kind =
    kind("OrderObeyed", false, "Obey", "A written order was obeyed, once.", "Nothing.");
const ORDER_REFUSED: Kind = kind(
    "OrderRefused",
    true,
    "Obey",
    "A written order was not obeyed; the note says why.",
    "Remove the annotation, and write what the note asks for.",
);
const EXTERNAL_WISH: Kind = kind(
    "ExternalWish",
    false,
    "Decide",
    "Another program wishes for another size, or has withdrawn its wish.",
    "Nothing.",
);
const PAUSED: Kind = kind(
    "Paused",
    false,
    "Obey",
    "A person has paused the target.",
    "`kubectl plimsoll resume`, if the person who paused it agrees.",
);
const RESUMED: Kind = kind("Resumed", false, "Obey", "A pause has ended.", "Nothing.");
const AWAITING_APPROVAL: Kind = kind(
    "AwaitingApproval",
    false,
    "Plan",
    "A plan waits for a person, for an hour at most.",
    "Read it (`kubectl plimsoll plan`), and approve or cancel it.",
);
const PLAN_RUNNING: Kind = kind("PlanRunning", false, "Plan", "A plan has begun, or goes on.", "Nothing.");
const PLAN_HELD: Kind = kind(
    "PlanHeld",
    true,
    "Plan",
    "A plan keeps its place; the note says why.",
    "Change what the note names, or `kubectl plimsoll cancel`.",
);
const PLAN_STOPPING: Kind = kind(
    "PlanStopping",
    true,
    "Plan",
    "A plan is given up, and ends at the nearest legal size.",
    "Nothing, if somebody cancelled it; else change what the note names.",
);
const PLAN_DONE: Kind = kind("PlanDone", false, "Plan", "A plan has reached its size.", "Nothing.");
const PLAN_ABORTED: Kind = kind(
    "PlanAborted",
    true,
    "Plan",
    "A plan has ended at another size, safely.",
    "Nothing, if somebody cancelled it; else change what the note names: the next wish is tried again.",
);

/// All kinds of events, in the order in which they are written. The reference is printed from this table.
pub const EVENT_KINDS: [Kind; 14] = [
    INVALID_SPEC,
    TROUBLE,
    POLICY_ROLLED_BACK,
    ORDER_OBEYED,
    ORDER_REFUSED,
    EXTERNAL_WISH,
    PAUSED,
    RESUMED,
    AWAITING_APPROVAL,
    PLAN_RUNNING,
    PLAN_HELD,
    PLAN_STOPPING,
    PLAN_DONE,
    PLAN_ABORTED,
];

/// A note of one of our kinds.
pub(super) fn note(kind: Kind, text: impl Into<String>) -> Note {
    Note { warning: kind.warning, action: kind.action, reason: kind.reason.to_owned(), text: text.into() }
}

/// A note of a decision, whose reason is a word of the decision's.
pub(super) fn decision(warning: bool, reason: &str, text: impl Into<String>) -> Note {
    Note { warning, action: "Decide", reason: reason.to_owned(), text: text.into() }
}

/// What has happened between two statuses of a target, in the order in which it matters.
pub(super) fn between(before: &Status, after: &Status) -> Vec<Note> {
    let mut notes = Vec::new();
    if before.trouble != after.trouble {
        notes.extend(after.trouble.iter().map(|why| note(TROUBLE, why)));
    }
    for order in after.orders.iter().filter(|order| !before.orders.contains(order)) {
        let kind = if order.obeyed { ORDER_OBEYED } else { ORDER_REFUSED };
        let text = format!("{} wrote {}: {}", order.note.who, order.verb, order.note.why);
        notes.push(note(kind, text));
    }
    if before.outside != after.outside {
        let text = match &after.outside {
            Some(wish) => format!("{} wishes for {} members", wish.who, wish.members),
            None => "nothing is wished from outside any more".to_owned(),
        };
        notes.push(note(EXTERNAL_WISH, text));
    }
    if before.paused != after.paused {
        notes.push(match &after.paused {
            Some(pause) => note(PAUSED, format!("{}: {}", pause.who, pause.why)),
            None => note(RESUMED, "it goes on"),
        });
    }
    notes.extend(decided(before, after));
    notes.extend(ended(before, after));
    notes.extend(planned(before.plan.as_ref(), after));
    notes
}

fn size(size: Option<u32>) -> String {
    size.map_or_else(|| "unknown".to_owned(), |size| size.to_string())
}

/// A decision for another reason than the one before. That all is as wished, and that a plan is under way, is seen
/// elsewhere.
fn decided(before: &Status, after: &Status) -> Option<Note> {
    let last = after.last_decision.as_ref()?;
    let old = before.last_decision.as_ref().map(|last| &*last.reason);
    let quiet = [reason::AT_SIZE, reason::HOLD, reason::UNDER_WAY, reason::OFF];
    let quiet = quiet.iter().any(|word| word.word == last.reason);
    if quiet || old == Some(&*last.reason) {
        return None;
    }
    let cause = last.judgement.cause().map(|cause| match cause.hint.as_str() {
        "" => cause.detail.clone(),
        hint => format!("{}; next: {hint}", cause.detail),
    });
    let wished = last.wish.sizes.members.map_or_else(String::new, |wished| format!(", wished {wished}"));
    let done = format!("size {}{wished}, decided {}", size(after.sizes.members), size(last.decided.members));
    let text = cause.map_or_else(|| done.clone(), |cause| format!("{cause} ({done})"));
    Some(decision(last.judgement.verdict >= Verdict::Defer, &last.reason, text))
}

fn ended(before: &Status, after: &Status) -> Option<Note> {
    let last = after.history.last()?;
    if before.history.iter().any(|old| old.id == last.id) {
        return None;
    }
    let ((from, to), Ended { id, ended_at, status, why, .. }) = (last.members_leg(), last);
    if *status == PlanStatus::Done {
        return Some(note(PLAN_DONE, format!("{id}: from {from} to {to} members")));
    }
    let text = format!("{id}: from {from} to {to} members, ended at {}: {why}", size(ended_at.members));
    Some(note(PLAN_ABORTED, text))
}

/// Where a plan stands, when it stands elsewhere than before.
fn planned(before: Option<&PlanState>, after: &Status) -> Option<Note> {
    let plan = after.plan.as_ref()?;
    if before.is_some_and(|before| (&before.id, before.status) == (&plan.id, plan.status)) {
        return None;
    }
    let what = format!("{}: from {} to {} members", plan.id, plan.from(), plan.to());
    let because = |what: String| if plan.why.is_empty() { what } else { format!("{what}: {}", plan.why) };
    Some(match plan.status {
        PlanStatus::AwaitingApproval => {
            let content = after.approval.as_deref().unwrap_or_default();
            note(AWAITING_APPROVAL, format!("{what}; to approve: {content}"))
        }
        PlanStatus::Running => note(PLAN_RUNNING, what),
        PlanStatus::Held => note(PLAN_HELD, because(what)),
        PlanStatus::Stopping => note(PLAN_STOPPING, because(what)),
        PlanStatus::Done | PlanStatus::Aborted => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_wire::journal::{Answered, Note as Said, Stamp};
    use plimsoll_wire::record::{Judgement, Violation, Wish};
    use plimsoll_wire::size::{Bounds, Leg, Sizes};
    use plimsoll_wire::snapshot::Mode;
    use plimsoll_wire::status::{LastDecision, OutsideWish};

    fn status() -> Status {
        Status {
            target: "shop/db".into(),
            system: "etcd".to_owned(),
            platform: "kube".to_owned(),
            mode: Mode::Enforce,
            bounds: Bounds::of_members(3, 5),
            sizes: Sizes::of_members(3),
            ghost: Sizes::default(),
            last_decision: None,
            plan: None,
            phase: String::new(),
            moving: None,
            waiting_for: String::new(),
            approval: None,
            paused: None,
            outside: None,
            orders: Vec::new(),
            history: Vec::new(),
            trouble: None,
            follows: None,
            conditions: Vec::new(),
        }
    }

    fn last(reason: &str, verdict: Verdict, detail: &str) -> LastDecision {
        let violation = Violation {
            rule: "QUORUM-1".to_owned(),
            kind: reason.to_owned(),
            verdict,
            detail: detail.to_owned(),
            unknown: false,
            hint: "wait".to_owned(),
        };
        LastDecision {
            id: "d".into(),
            wall_ms: 0,
            answers: Vec::new(),
            wish: Wish { sizes: Sizes::of_members(5), ..Wish::default() },
            decided: Sizes::of_members(3),
            reason: reason.to_owned(),
            judgement: Judgement { verdict, sizes: Sizes::default(), violations: vec![violation] },
        }
    }

    fn plan(id: &str, status: PlanStatus) -> PlanState {
        PlanState {
            id: id.into(),
            decision: "d".into(),
            legs: vec![Leg::members(5, 3)],
            leg: 0,
            together: 1,
            leaving: Vec::new(),
            joined: Vec::new(),
            price: None,
            fingerprint: String::new(),
            workload: None,
            base_epoch: String::new(),
            module: String::new(),
            members: Vec::new(),
            victims: Vec::new(),
            status,
            unit: 0,
            subject: None,
            phase: 0,
            point_of_no_return: false,
            undoing: false,
            why: "no reason".to_owned(),
            started: Stamp::default(),
            progressed: Stamp::default(),
        }
    }

    fn events(before: &Status, after: &Status) -> Vec<(bool, String, String)> {
        between(before, after).into_iter().map(|note| (note.warning, note.reason, note.text)).collect()
    }

    #[test]
    fn every_kind_is_in_the_table_and_says_what_to_do() {
        let (code, _) = include_str!("event.rs").split_once("#[cfg(test)]").expect("tests");
        let made = code.matches(": Kind =").count();
        assert_eq!(made, EVENT_KINDS.len(), "a kind is not in the table");
        assert!(EVENT_KINDS.iter().all(|kind| !kind.when.is_empty() && !kind.advice.is_empty()));
    }

    #[test]
    fn nothing_new_is_no_event_and_a_refusal_for_the_same_reason_is_told_once() {
        assert_eq!(events(&status(), &status()), []);
        let refused = |detail: &str| Status {
            last_decision: Some(last("QuorumAtRisk", Verdict::Deny, detail)),
            ..status()
        };
        let text = "one is down; next: wait (size 3, wished 5, decided 3)".to_owned();
        let expected = [(true, "QuorumAtRisk".to_owned(), text)];
        assert_eq!(events(&status(), &refused("one is down")), expected);
        assert_eq!(events(&refused("one is down"), &refused("one is down for 3 s")), []);
        let quiet = Status { last_decision: Some(last("AtSize", Verdict::Allow, "")), ..status() };
        assert_eq!(events(&refused(""), &quiet), []);
    }

    #[test]
    fn a_plan_is_told_from_its_wait_for_approval_to_its_end() {
        let content = "cluster c from 5 to 3".to_owned();
        let waits = Status {
            plan: Some(plan("p1", PlanStatus::AwaitingApproval)),
            approval: Some(content),
            ..status()
        };
        let runs = Status { plan: Some(plan("p1", PlanStatus::Running)), ..status() };
        let held = Status { plan: Some(plan("p1", PlanStatus::Held)), ..status() };
        let ended = Ended {
            id: "p1".into(),
            legs: vec![Leg::members(5, 3)],
            ended_at: Sizes::of_members(5),
            status: PlanStatus::Aborted,
            why: "cancelled by ann".to_owned(),
            at: Stamp::default(),
        };
        let over = Status { history: vec![ended], ..status() };
        let reasons = |before: &Status, after: &Status| {
            events(before, after)
                .into_iter()
                .map(|(_, reason, text)| format!("{reason} {text}"))
                .collect::<Vec<_>>()
        };
        let line = "AwaitingApproval p1: from 5 to 3 members; to approve: cluster c from 5 to 3";
        assert_eq!(reasons(&status(), &waits), [line]);
        assert_eq!(reasons(&waits, &runs), ["PlanRunning p1: from 5 to 3 members"]);
        assert_eq!(reasons(&runs, &runs), Vec::<String>::new());
        assert_eq!(reasons(&runs, &held), ["PlanHeld p1: from 5 to 3 members: no reason"]);
        let line = "PlanAborted p1: from 5 to 3 members, ended at 5: cancelled by ann";
        assert_eq!(reasons(&held, &over), [line]);
    }

    #[test]
    fn what_people_and_others_say_is_told_with_who_said_it() {
        let order = Answered {
            place: "plan/cancel".to_owned(),
            verb: "cancel".to_owned(),
            text: "p1".to_owned(),
            note: Said { who: "ann".to_owned(), why: "no such plan".to_owned(), at: Stamp::default() },
            obeyed: false,
        };
        let wish = OutsideWish { members: 5, who: "an-hpa".to_owned(), when: String::new() };
        let after = Status { orders: vec![order], outside: Some(wish), ..status() };
        let expected = [
            (true, "OrderRefused".to_owned(), "ann wrote cancel: no such plan".to_owned()),
            (false, "ExternalWish".to_owned(), "an-hpa wishes for 5 members".to_owned()),
        ];
        assert_eq!(events(&status(), &after), expected);
        assert_eq!(events(&after, &status()).len(), 1);
    }
}
