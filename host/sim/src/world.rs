//! What every simulated world can do, whatever kind of system lives in it.

use crate::clients::Clients;
use crate::oracle::{Cause, Margin, Standing};
use crate::platform::Platform;
use crate::trace::Trace;
use plimsoll_core::observation::SystemReport;
use plimsoll_wire::journal::{Outcome, PlatformVerb, SystemVerb, Verb};
use std::fmt::Debug;
use std::sync::Arc;

/// The truth. It does what it is told, and refuses only what the real system would refuse.
pub trait World: Debug + Send {
    /// Where its members run.
    fn platform(&self) -> &Platform;
    /// Where its members run, to be changed.
    fn platform_mut(&mut self) -> &mut Platform;
    /// How many groups it has; they never change.
    fn groups(&self) -> usize;
    /// Lets time pass up to `to_ms` under a demand in thousandths of a request a second. Returns what went
    /// wrong by itself on the way: nearly always nothing.
    fn tick(&mut self, to_ms: u64, asked: u64, clients: &mut Clients, trace: &mut Trace) -> Vec<Mishap>;
    /// Whether nothing is on its way, so that time may pass in longer strides.
    fn is_calm(&self) -> bool;
    /// Bytes that went from member to member so far, for whatever reason.
    fn moved_bytes(&self) -> u64 {
        0
    }
    /// What it can serve now, in thousandths of a request a second.
    fn capacity(&self) -> u64;
    /// Does what a verb says, on behalf of `owner`.
    fn act(&mut self, call: &Call<'_>, trace: &mut Trace) -> Effect;
    /// What people do by hand where a group has lost its majority for good: the member in a slot goes on without the
    /// others. No plan does this, and no verb can.
    fn recover(&mut self, _slot: &str, _trace: &mut Trace) -> Effect {
        Effect::refused("the store repairs itself")
    }
    /// Something breaks.
    fn strike(&mut self, now_ms: u64, blow: &Blow, trace: &mut Trace);
    /// How much each group can still lose.
    fn margins(&self) -> Vec<Margin>;
    /// How things stand, as far as a verb is concerned.
    fn standing(&self, verb: &Verb) -> Standing;
    /// Acknowledged writes that no remaining member holds, by group, since this was last asked.
    fn take_losses(&mut self) -> Vec<(usize, u64)>;
    /// What the system says when asked.
    fn system_report(&self, now_ms: u64) -> SystemReport;
}

/// One call of ours.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// When.
    pub now_ms: u64,
    /// Which one, counted from 1.
    pub number: u64,
    /// What.
    pub verb: &'a Verb,
    /// For whom, as the system remembers it: `plan/<id>` for a plan.
    pub owner: &'a str,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// What the caller is told.
    pub outcome: Outcome,
    /// When the caller is told: so many milliseconds later.
    pub took_ms: u64,
    /// Whether the world is another one now.
    pub changed: bool,
}

impl Effect {
    pub(crate) fn applied(took_ms: u64, changed: bool) -> Self {
        Self { outcome: Outcome::Applied, took_ms, changed }
    }

    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Refused { message: message.into() }, took_ms: 50, changed: false }
    }

    pub(crate) fn timed_out(message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Unknown { message: message.into() }, took_ms: 5_000, changed: false }
    }
}

/// Something that breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The process in a slot dies; it comes back at a time, or never, and then its data is gone too.
    Crash {
        /// Where.
        slot: usize,
        /// When it is back.
        until_ms: Option<u64>,
    },
    /// A member takes in data at so many thousandths of its usual rate.
    Slow {
        /// Where.
        slot: usize,
        /// Until when.
        until_ms: u64,
        /// How fast.
        permille: u64,
    },
    /// Data moves at so many thousandths of its usual rate; 0 stalls it.
    SlowMoves {
        /// Until when.
        until_ms: u64,
        /// How fast.
        permille: u64,
    },
}

/// Something that went wrong as time passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// A disk overflowed.
    Overflow {
        /// In which slot.
        slot: Arc<str>,
        /// By whose data.
        cause: Cause,
    },
    /// A group came to be held by others, or by fewer.
    Shifted {
        /// Which.
        group: usize,
        /// Who moved it.
        cause: Cause,
        /// What it could lose before.
        before: Margin,
        /// What it can lose now.
        after: Margin,
    },
    /// Fewer members own data than the system needs to agree on a failover.
    TooFewOwners {
        /// How many are left.
        left: usize,
        /// Who took the last of its data off one.
        cause: Cause,
    },
}

/// Whom a verb takes in or out, or empties: by the place, or by the name of the member.
pub(crate) enum About<'a> {
    /// What runs, or will run, there.
    Place(&'a str),
    /// A member that the system knows.
    Member(&'a str),
    /// Nobody, or the whole.
    Nobody,
}

impl<'a> About<'a> {
    /// What a verb is about.
    pub(crate) fn of(verb: &'a Verb) -> Self {
        match verb {
            Verb::System(SystemVerb::Register { slot, .. })
            | Verb::System(SystemVerb::Admit { slot, .. })
            | Verb::Platform(PlatformVerb::Start { slot, .. })
            | Verb::Platform(PlatformVerb::Stop { slot, .. }) => Self::Place(slot),
            Verb::System(SystemVerb::Promote { member })
            | Verb::System(SystemVerb::Drain { member })
            | Verb::System(SystemVerb::Deregister { member }) => Self::Member(member),
            Verb::System(SystemVerb::MoveLeader { .. })
            | Verb::System(SystemVerb::Cordon { .. })
            | Verb::System(SystemVerb::Uncordon { .. })
            | Verb::System(SystemVerb::CancelDrain { .. })
            | Verb::System(SystemVerb::Barrier)
            | Verb::System(SystemVerb::Rebalance)
            | Verb::System(SystemVerb::Spread { .. })
            | Verb::System(SystemVerb::PayDebt { .. }) => Self::Nobody,
        }
    }
}
