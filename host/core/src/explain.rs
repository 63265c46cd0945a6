//! A record in sentences.

use crate::count::count;
use crate::plan::price;
use plimsoll_wire::journal::{Outcome, PlanStatus, PlatformVerb, SystemVerb, Verb};
use plimsoll_wire::record::{Body, Decision, Judgement, PolicyAnswer, Record, Verdict, Violation, Wisher};
use plimsoll_wire::snapshot::Mode;

/// What a record says, a sentence a line.
#[must_use]
pub fn explain(record: &Record) -> Vec<String> {
    match &record.body {
        Body::Decision(decision) => decide(decision),
        Body::Intent { intent, judgement } => {
            let mut lines = vec![format!("About to {} (intent {}).", describe(&intent.verb), intent.id)];
            lines.extend(self::judgement(judgement));
            lines
        }
        Body::Outcome { intent, outcome } => vec![match outcome {
            Outcome::Applied => format!("Intent {intent} was accepted; done is what is seen afterwards."),
            Outcome::Refused { message } => {
                format!("Intent {intent} was refused, nothing changed: {message}.")
            }
            Outcome::Unknown { message } => {
                format!(
                    "What came of intent {intent} is not known ({message}); the world is read before anything else."
                )
            }
        }],
        Body::Plan { plan, phase, judgement } => {
            let member = plan.subject.as_ref().map_or("", |subject| &subject.slot);
            let others: Vec<&str> = plan.leaving.iter().map(|one| &*one.slot).collect();
            let place = match (member.is_empty(), others.is_empty()) {
                (true, true) => String::new(),
                (false, true) => format!(" with {member}"),
                (true, false) => format!(" with {}", others.join(", ")),
                (false, false) => format!(" with {member}, and {} beside", others.join(", ")),
            };
            let mut lines = vec![format!(
                "Plan {} from {} to {} is {} in phase {phase}{place}{}.",
                plan.id,
                plan.from(),
                plan.to(),
                status(plan.status),
                if plan.why.is_empty() { String::new() } else { format!(": {}", plan.why) }
            )];
            // Said once, before its first member: afterwards the status tells how far it has come.
            let price = plan.price.as_ref().filter(|_| plan.subject.is_none() && plan.unit == 0);
            lines.extend(price.map(|price| format!("It {}.", price::told(price))));
            lines.extend(judgement.iter().flat_map(self::judgement));
            lines
        }
        Body::Command { verb, who, detail } => {
            vec![if detail.is_empty() {
                format!("{who} said {verb}.")
            } else {
                format!("{who} said {verb}: {detail}.")
            }]
        }
        Body::Epoch { epoch } => vec![format!("A daemon took this target over, epoch {epoch}.")],
        Body::Trouble { what, detail } => vec![format!("{what}: {detail}.")],
    }
}

fn status(status: PlanStatus) -> &'static str {
    match status {
        PlanStatus::AwaitingApproval => "waiting for approval",
        PlanStatus::Running => "running",
        PlanStatus::Held => "held",
        PlanStatus::Stopping => "being given up",
        PlanStatus::Done => "done",
        PlanStatus::Aborted => "ended early",
    }
}

fn decide(decision: &Decision) -> Vec<String> {
    let mut lines = vec![match decision.sizes.members {
        Some(size) => format!("There were {}.", count(size, "member")),
        None => "How many members there were was not known.".to_owned(),
    }];
    lines.extend(decision.answers.iter().map(policy));
    lines.push(match decision.wish.sizes.members {
        Some(members) => {
            format!("The combined wish was {members} ({}: {}).", decision.wish.from, decision.wish.rule)
        }
        None => format!("There was no wish to carry out: {}.", decision.wish.rule),
    });
    lines.extend(self::judgement(&decision.judgement));
    lines.push(conclusion(decision));
    lines
}

fn policy(answer: &PolicyAnswer) -> String {
    let why = if answer.reason.message.is_empty() {
        answer.reason.code.clone()
    } else {
        format!("{}: {}", answer.reason.code, answer.reason.message)
    };
    let from = &answer.from;
    let who = match from {
        Wisher::Outside => format!("Whoever writes to `{from}`"),
        Wisher::Policy(name) => format!("Policy {name}"),
        Wisher::Person => "A person".to_owned(),
        Wisher::Nobody => "Nobody".to_owned(),
    };
    match (answer.failed, answer.sizes.members) {
        (true, _) => format!("{who} failed ({why})."),
        (false, Some(members)) => format!("{who} wished {members} ({why})."),
        (false, None) => format!("{who} wished nothing ({why})."),
    }
}

/// What the judge found, a sentence a finding.
#[must_use]
pub fn judgement(judgement: &Judgement) -> Vec<String> {
    judgement.violations.iter().map(violation).collect()
}

fn violation(violation: &Violation) -> String {
    let verb = match violation.verdict {
        Verdict::Allow => "notes",
        Verdict::Clamp => "limits it",
        Verdict::Defer => "says not yet",
        Verdict::Deny => "says no",
    };
    let hint = if violation.hint.is_empty() { String::new() } else { format!(" Next: {}.", violation.hint) };
    format!("{} ({}) {verb}: {}.{hint}", violation.kind, violation.rule, violation.detail)
}

fn conclusion(decision: &Decision) -> String {
    let reason = &decision.reason.code;
    // In dry run what would be done follows upon what would have been done before.
    match (decision.decided.members, decision.ghost.members.or(decision.sizes.members), &decision.plan) {
        (Some(to), Some(from), Some(plan)) => format!("Decided to go from {from} to {to} by plan {plan}."),
        (Some(to), Some(from), None) if to != from && decision.mode == Mode::Dryrun => {
            format!("Would go from {from} to {to}; this target is in dry run, so nothing was done.")
        }
        (Some(to), Some(_), None) if !decision.ghost.is_empty() && decision.mode == Mode::Dryrun => {
            format!("There would be {} by now; nothing more would be done ({reason}).", count(to, "member"))
        }
        (_, _, _) => format!("Nothing was changed ({reason})."),
    }
}

/// What an effect is, in words.
#[must_use]
pub fn describe(verb: &Verb) -> String {
    match verb {
        Verb::System(SystemVerb::Register { slot, .. }) => {
            format!("register a new member for {slot}, without a vote")
        }
        Verb::System(SystemVerb::Admit { slot, .. }) => format!("let {slot} into the membership"),
        Verb::Platform(PlatformVerb::Start { slot, size_after, .. }) => {
            format!("start {slot}, making {}", count(size_after, "member"))
        }
        Verb::System(SystemVerb::Promote { member }) => format!("give member {member} its vote"),
        Verb::System(SystemVerb::MoveLeader { group, from, to: Some(to) }) => {
            format!("move leadership of group {group} from {from} to {to}")
        }
        Verb::System(SystemVerb::MoveLeader { group, from, to: None }) => {
            format!("move leadership of group {group} off {from}, to whom the system chooses")
        }
        Verb::System(SystemVerb::Cordon { member }) => format!("keep new data off member {member}"),
        Verb::System(SystemVerb::Uncordon { member }) => format!("let member {member} take data again"),
        Verb::System(SystemVerb::Drain { member }) => format!("drain member {member}"),
        Verb::System(SystemVerb::CancelDrain { member }) => format!("take the drain of member {member} back"),
        Verb::System(SystemVerb::Deregister { member }) => {
            format!("remove member {member} from the membership")
        }
        Verb::System(SystemVerb::Barrier) => "commit one write".to_owned(),
        Verb::Platform(PlatformVerb::Stop { slot, size_after, .. }) => {
            format!("stop {slot}, leaving {}", count(size_after, "member"))
        }
        Verb::System(SystemVerb::Rebalance) => "spread the data".to_owned(),
        Verb::System(SystemVerb::Spread { onto }) => {
            format!("move the next part of the data onto {}", onto.join(", "))
        }
        Verb::System(SystemVerb::PayDebt { member, kind }) => {
            format!("pay the debt {kind} of member {member}")
        }
    }
}
