//! What goes in and out of the machine: events and effects, each answer under the number of its request.

use super::{Command, PolicyRef, Role, Spec, Written};
use crate::observation::Observation;
use plimsoll_wire::journal::{Intent, Journal, Outcome};
use plimsoll_wire::proposal::Answer;
use plimsoll_wire::record::Record;
use plimsoll_wire::snapshot::Snapshot;
use plimsoll_wire::status::OutsideWish;
use std::sync::Arc;

/// What happened.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "an event is handed over once and dropped")]
pub enum Event {
    /// Time has passed.
    Tick,
    /// The journal was read.
    Loaded {
        /// Of which request.
        request: u64,
        /// The journal with its revision, or nothing yet, or why not.
        result: Result<Option<(Journal, u64)>, String>,
    },
    /// The target was read.
    Observed {
        /// Of which request.
        request: u64,
        /// What was read.
        observation: Box<Observation>,
    },
    /// The policies were asked.
    Evaluated {
        /// Of which request.
        request: u64,
        /// What they said.
        answers: Vec<Evaluated>,
    },
    /// The journal was written.
    Stored {
        /// Of which request.
        request: u64,
        /// The new revision, or why not. Nothing is done that was not written.
        result: Result<u64, StoreError>,
    },
    /// The audit log was written.
    Recorded {
        /// Of which request.
        request: u64,
        /// The log's newest hash, or why not. Nothing is done that was not recorded.
        result: Result<String, String>,
    },
    /// Our epoch was put on what an unfinished intent is about.
    Stamped {
        /// Of which request.
        request: u64,
        /// Whether a daemon that lost the leadership can no longer write there, or why that is not known.
        result: Result<(), String>,
    },
    /// An effect on the world was tried.
    Acted {
        /// Of which request.
        request: u64,
        /// What came of it.
        outcome: Outcome,
    },
    /// The movement budget answered.
    Permitted {
        /// Of which request.
        request: u64,
        /// Whether a plan may begin.
        granted: bool,
    },
    /// A person said something.
    Said(Command),
    /// Who leads has changed.
    Role(Role),
    /// The owner changed the document.
    Configured(Box<Spec>),
    /// What is wished from outside now: it counts beside the policies' wishes until it is told otherwise.
    Wished(Option<OutsideWish>),
    /// All orders that stand written in a place now. Each is obeyed once, however long it stands.
    Written {
        /// Which place: a document, or another object of the target's.
        place: String,
        /// What stands there.
        orders: Vec<Written>,
    },
}

/// What one policy said.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// Its name in the document.
    pub policy: String,
    /// The digest of the module that answered.
    pub module: String,
    /// Fuel that it used.
    pub fuel: u64,
    /// Its answer, or why there is none: a stable word and a line.
    pub answer: Result<Answer, (String, String)>,
}

/// Why the journal was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Somebody else wrote it.
    Conflict(String),
    /// It could not be made durable.
    Failed(String),
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Read the journal.
    Load {
        /// To be named in the answer.
        request: u64,
    },
    /// Read the target.
    Observe {
        /// To be named in the answer.
        request: u64,
        /// Past every cache.
        direct: bool,
    },
    /// Ask the policies, each with its settings and state.
    Evaluate {
        /// To be named in the answer.
        request: u64,
        /// What they see.
        asks: Vec<(PolicyRef, Arc<Snapshot>)>,
    },
    /// Write the journal where it still has this revision.
    Store {
        /// To be named in the answer.
        request: u64,
        /// The revision that it must have.
        expected: Option<u64>,
        /// What to write.
        journal: Box<Journal>,
    },
    /// Append to the audit log, durably.
    Record {
        /// To be named in the answer.
        request: u64,
        /// What to append.
        record: Box<Record>,
        /// The snapshot that a decision rests on.
        snapshot: Option<Arc<Snapshot>>,
    },
    /// Put our epoch on everything that an unfinished intent is about, before anything else is done there: what a
    /// daemon that lost the leadership has still sent is refused from then on (`decisions.md` D20).
    Stamp {
        /// To be named in the answer.
        request: u64,
        /// The epoch that was just made durable.
        epoch: u64,
    },
    /// Do something to the world, once.
    Act {
        /// To be named in the answer.
        request: u64,
        /// The epoch of the journal that the intent is in: what fences a daemon that lost the leadership.
        epoch: u64,
        /// What was journaled and recorded.
        intent: Box<Intent>,
    },
    /// Ask the movement budget.
    AskPermit {
        /// To be named in the answer.
        request: u64,
        /// Whether the plan was running before a restart.
        resumed: bool,
    },
    /// Give the permit back.
    GivePermit,
    /// Answer a person.
    Reply {
        /// Which command.
        command: u64,
        /// What was done, or why not.
        result: Result<String, String>,
    },
    /// Send a tick then, on the monotonic clock.
    Wake {
        /// Milliseconds since boot.
        at_ms: u64,
    },
}
