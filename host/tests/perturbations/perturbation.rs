//! The perturbations: what is done to the daemon, one in each run.

use plimsoll_wire::snapshot::SignalState;

/// What is done to the daemon at one of its writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Perturbation {
    /// Sieve: the daemon dies, and the write is not sent.
    CrashBefore,
    /// Sieve: the write is carried out, and the daemon dies before it hears of it.
    CrashAfter,
    /// Sieve: from the write before it on, reads are answered as things stood before that one.
    StaleView,
    /// Sieve: right after the write the highest pod is replaced, before anybody looks.
    HiddenPod,
    /// Sieve: right after the write somebody changes the size and changes it back, before anybody looks.
    HiddenEdit,
    /// It is carried out, and not answered.
    Unanswered,
    /// It is lost, and not answered.
    Lost,
    /// It is not answered, and arrives later.
    Late,
    /// Somebody else wrote first.
    Conflict,
    /// The server has too much to do.
    Busy,
    /// The server is in trouble and has done nothing.
    Trouble,
}

impl Perturbation {
    pub(crate) const ALL: [Self; 11] = [
        Self::CrashBefore,
        Self::CrashAfter,
        Self::StaleView,
        Self::HiddenPod,
        Self::HiddenEdit,
        Self::Unanswered,
        Self::Lost,
        Self::Late,
        Self::Conflict,
        Self::Busy,
        Self::Trouble,
    ];
}

/// One run: from a size to a size, and what goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// What is done, and at which write, counted from 1.
    pub(crate) fault: Option<(Perturbation, usize)>,
    /// What signals are at first.
    pub(crate) signals: SignalState,
}
