//! What people say: it goes through the same door as everything else, and is durable before it is answered.

use super::{Action, Effect, State, rest, stamp};
use crate::count::count;
use crate::plan;
use plimsoll_wire::journal::{Approved, Asked, Journal, Note, PlanStatus};
use plimsoll_wire::record::Body;
use plimsoll_wire::size::Sizes;
use plimsoll_wire::snapshot::Now;

/// A person's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// To be named in the reply.
    pub id: u64,
    /// Who.
    pub who: String,
    /// What.
    pub order: Order,
}

/// What a person may order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Do nothing until told otherwise; a running plan keeps its place.
    Pause {
        /// Why.
        why: String,
    },
    /// Go on.
    Resume,
    /// This plan, word for word.
    Approve {
        /// The content that was shown.
        content: String,
    },
    /// Take the running plan back as far as the system can.
    Cancel,
    /// Wish for a size, before all policies; or leave it to them again.
    Scale {
        /// How many members; none to leave it to the policies.
        members: Option<u32>,
    },
}

impl Order {
    /// The stable word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pause { .. } => "pause",
            Self::Resume => "resume",
            Self::Approve { .. } => "approve",
            Self::Cancel => "cancel",
            Self::Scale { .. } => "scale",
        }
    }
}

/// Takes an order.
pub(super) fn said(state: &mut State, now: &Now, command: Command, effects: &mut Vec<Effect>) {
    let note = Note { who: command.who.clone(), why: String::new(), at: stamp(now) };
    match apply(state, now, &command.order, note) {
        Err(why) => effects.push(Effect::Reply { command: command.id, result: Err(why) }),
        Ok((text, detail)) => {
            let verb = command.order.kind().to_owned();
            let record = state.record(now, Body::Command { verb, who: command.who, detail });
            state.queue.push([Action::Record(record, None), Action::Store, Action::Reply(command.id, text)]);
        }
    }
}

pub(super) fn apply(
    state: &mut State,
    now: &Now,
    order: &Order,
    note: Note,
) -> Result<(String, String), String> {
    let key = state.spec.key.clone();
    if let Some(leader) = state.leader() {
        return Err(format!("{key} is not led from here: {leader} leads; say it there. Nothing was changed"));
    }
    let (min, max, mono) = (state.spec.min, state.spec.max, now.mono_ms);
    let Some(journal) = &mut state.durable.journal else {
        let why = state.trouble.as_deref().unwrap_or("its journal has not been read yet");
        return Err(format!("{key} is not ready ({why}); nothing was changed, try again in a few seconds"));
    };
    match order {
        Order::Pause { why } => {
            journal.memory.paused = Some(Note { why: why.clone(), ..note });
            Ok((format!("{key} is paused"), why.clone()))
        }
        Order::Resume => {
            if journal.memory.paused.take().is_none() {
                return Err(match &state.spec.held {
                    Some(why) => format!("{key} is paused in its document ({why}); take the annotation away"),
                    None => format!("{key} is not paused"),
                });
            }
            state.go_on(now);
            state.due.look_ms = mono;
            Ok((format!("{key} goes on"), String::new()))
        }
        Order::Scale { members: None } => {
            journal.memory.asked = None;
            state.due.decision_ms = mono;
            Ok((format!("{key} follows its policies again"), "follow the policies".to_owned()))
        }
        Order::Scale { members: Some(members) } => {
            if *members < min || *members > max {
                return Err(format!(
                    "{key} may have {min} to {max} members; change spec.minReplicas or maxReplicas"
                ));
            }
            // Whoever orders it again wants it tried again.
            journal.memory.attempt.take_if(|attempt| attempt.given_up > 0);
            journal.memory.asked = Some(Asked { sizes: Sizes::of_members(*members), note });
            state.due.decision_ms = mono;
            Ok((format!("{key} is asked to have {}", count(members, "member")), members.to_string()))
        }
        Order::Cancel => {
            let Some(plan) = &mut journal.plan else { return Err(format!("{key} has no running plan")) };
            if plan.status == PlanStatus::Stopping {
                return Err(format!("{key}: plan {} is being given up already: {}", plan.id, plan.why));
            }
            rest::give_up(plan, &format!("cancelled by {}", note.who));
            journal.memory.asked = None;
            state.due.look_ms = mono;
            let how = if plan.point_of_no_return {
                "ends after this member, which can no longer be taken back, at the nearest legal size"
            } else {
                "is being taken back"
            };
            Ok((format!("{key}: plan {} {how}", plan.id), plan.id.to_string()))
        }
        Order::Approve { content } => {
            let approved = approve(journal, now, &key, content, note)?;
            state.due.look_ms = mono;
            Ok(approved)
        }
    }
}

/// A plan that waits for a person goes on, if it is still what the person saw.
fn approve(
    journal: &mut Journal,
    now: &Now,
    key: &str,
    content: &str,
    note: Note,
) -> Result<(String, String), String> {
    let Some(plan) = &mut journal.plan else { return Err(format!("{key} has no plan to approve")) };
    if plan.status != PlanStatus::AwaitingApproval {
        return Err(format!("{key}: plan {} waits for no approval", plan.id));
    }
    if plan::approval_content(plan) != content {
        return Err(format!("{key}: the plan has changed since you looked; look again and approve that"));
    }
    plan.status = PlanStatus::Running;
    plan.progressed = stamp(now);
    let text = format!("{key}: plan {} is approved", plan.id);
    journal.memory.approved = Some(Approved { content: content.to_owned(), note });
    Ok((text, content.to_owned()))
}
