//! What is to be done, one thing at a time: actions in their order, and the request whose answer is waited for.

use super::Effect;
use plimsoll_wire::journal::Intent;
use plimsoll_wire::record::Record;
use plimsoll_wire::snapshot::Snapshot;
use std::collections::VecDeque;
use std::sync::Arc;

/// One thing to do, in its place in the queue.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Load,
    Observe {
        direct: bool,
    },
    Evaluate,
    Store,
    Record(Box<Record>, Option<Arc<Snapshot>>),
    /// Our epoch on everything that an unfinished intent is about.
    Stamp,
    Act(Box<Intent>),
    Permit {
        resumed: bool,
    },
    GivePermit,
    /// What a person is told once everything before it is durable.
    Reply(u64, String),
}

impl Action {
    /// Whether it only reads or asks, so that its answer may be done without.
    fn only_reads(&self) -> bool {
        match self {
            Self::Observe { .. } | Self::Evaluate => true,
            Self::Load
            | Self::Store
            | Self::Record(..)
            | Self::Stamp
            | Self::Act(_)
            | Self::Permit { .. }
            | Self::GivePermit
            | Self::Reply(..) => false,
        }
    }
}

/// The request whose answer is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    request: u64,
    only_reads: bool,
    /// Whether it changes the world.
    pub(super) acts: bool,
}

/// The actions that wait for their turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    pub(super) actions: VecDeque<Action>,
    /// One at a time.
    pub(super) waiting: Option<Waiting>,
    /// A call that was out when the leadership was lost: its end is waited for before anything is begun again.
    pub(super) left_out: Option<u64>,
    pub(super) requests: u64,
}

impl Queue {
    /// Puts actions behind all others.
    pub(super) fn push(&mut self, actions: impl IntoIterator<Item = Action>) {
        self.actions.extend(actions);
    }

    /// Numbers the request that an action becomes, and waits for its answer.
    pub(super) fn begin(&mut self, action: &Action) -> u64 {
        self.requests += 1;
        let request = self.requests;
        let answered = !matches!(action, Action::GivePermit | Action::Reply(..));
        let (only_reads, acts) = (action.only_reads(), matches!(action, Action::Act(_)));
        self.waiting = answered.then_some(Waiting { request, only_reads, acts });
        request
    }

    /// Takes the answer of the request that is waited for; an answer to another one is dropped.
    pub(super) fn answered(&mut self, request: u64) -> bool {
        self.waiting.take_if(|waiting| waiting.request == request).is_some()
    }

    /// What is being read or asked, and was to be, is done without.
    pub(super) fn drop_reads(&mut self) {
        self.waiting.take_if(|waiting| waiting.only_reads);
        self.actions.retain(|action| !action.only_reads());
    }

    /// Drops all that was to be done. Whoever was to hear that it was done hears why it may not have been.
    pub(super) fn give_up(&mut self, why: &str, effects: &mut Vec<Effect>) {
        for action in self.actions.drain(..) {
            if let Action::Reply(command, _) = action {
                effects.push(Effect::Reply { command, result: Err(why.to_owned()) });
            }
        }
    }

    /// Forgets everything but a call that is out, whose answer belongs to nobody from now on.
    pub(super) fn leave_out(&mut self) {
        if let Some(Waiting { request, acts: true, .. }) = self.waiting.take() {
            self.left_out = Some(request);
        }
    }
}
