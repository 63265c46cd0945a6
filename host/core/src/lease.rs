//! Who leads: one of several daemons, by a lease on one object that all of them can read and write (`decisions.md` D20).
//! A pure state machine: what was heard goes in, what is to be asked or written next comes out.
//!
//! * **The lead comes only from a write that went through**, against the very version of an object that was seen to
//!   stand still for the whole duration of the lease, or that its holder gave back. A conflict means: not leader.
//! * **No clock but our own counts**: an object is as old as the time since *we* saw it change. A holder counts from the
//!   moment *before* its write was sent, so that it stops before anybody else can think that it is gone.
//! * **An object that is not there is made without a holder**, and then has to stand still like any other. Whoever
//!   deletes it makes us wait; nobody becomes leader by it.
//! * A holder is one process. One that is started again under the same name is another one.

use std::sync::Arc;

/// The times of a lease, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// For how long an object has to stand still before somebody else may take the leadership.
    pub duration_ms: u64,
    /// For how long a holder acts after the write that gave or renewed the leadership was sent. Shorter than the duration by
    /// as long as the longest call takes that it may have sent last.
    pub renew_ms: u64,
    /// How often it renews, and how often others look.
    pub retry_ms: u64,
}

/// The longest duration that another holder's own record may ask of us, in milliseconds: as far as the daemon's file
/// lets it go. A record that was damaged must not keep everybody away for ever.
pub const LONGEST_MS: u64 = 600_000;

/// Whose the leadership is, as the object says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Nobody's yet.
    Nobody,
    /// Nobody's: the last holder gave it back, after its last call had ended.
    Released,
    /// A process's.
    Process(Arc<str>),
}

/// The object, as the server has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// What the server calls this version. Every write makes another one.
    pub version: Arc<str>,
    /// Whose the leadership is.
    pub holder: Holder,
    /// The duration that its writer goes by, in milliseconds.
    pub duration_ms: u64,
}

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Heard {
    /// Nothing: time has passed.
    Nothing,
    /// What is there now, if anything is.
    Read(Option<Record>),
    /// Our write went through; this is what the server made of it.
    Written(Record),
    /// Our write was refused: the object is not what it was, or is there already.
    Refused,
    /// Our write was refused, since there is no such object.
    Gone,
    /// There is no answer to build on. A write may have been carried out, or may be yet.
    Unanswered,
}

/// What to do next. Every one is answered by a [`Heard`] before anything else is asked; a wait by [`Heard::Nothing`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Look at the object, past every cache.
    Read,
    /// Make the object; with us as its holder only where we lead.
    Create {
        /// Its holder.
        holder: Holder,
    },
    /// Write over exactly this version.
    Replace {
        /// The version that must still be there.
        version: Arc<str>,
        /// Its holder from then on.
        holder: Holder,
    },
    /// Do nothing until then, on the monotonic clock.
    Wait {
        /// Milliseconds since boot.
        until_ms: u64,
    },
}

/// What was seen last, and since when it has been so for us.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Sight {
    record: Option<Record>,
    since_ms: u64,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asked {
    Nothing,
    Read,
    /// A write that makes us the holder, or does not.
    Write {
        sent_ms: u64,
        leads: bool,
    },
}

/// One daemon that may lead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    us: Arc<str>,
    terms: Terms,
    sight: Option<Sight>,
    asked: Asked,
    /// Until when we may act.
    leads_until_ms: Option<u64>,
    /// Whether what was seen is known to be old, or may be.
    blind: bool,
    /// When the object is looked at or renewed next.
    next_ms: u64,
    /// Whether the leadership is being given back, and none is wanted any more.
    leaving: bool,
}

impl Candidate {
    /// A process that has not looked yet. Its name must be no other process's, not even one's before a restart.
    #[must_use]
    pub fn new(us: Arc<str>, terms: Terms) -> Self {
        Self {
            us,
            terms,
            sight: None,
            asked: Asked::Nothing,
            leads_until_ms: None,
            blind: true,
            next_ms: 0,
            leaving: false,
        }
    }

    /// Until when we may act on what we hold, on the monotonic clock; none when we do not lead.
    #[must_use]
    pub fn leads_until_ms(&self) -> Option<u64> {
        self.leads_until_ms
    }

    /// Whether we may act now.
    #[must_use]
    pub fn leads(&self, now_ms: u64) -> bool {
        !self.leaving && self.holds(now_ms)
    }

    fn holds(&self, now_ms: u64) -> bool {
        self.leads_until_ms.is_some_and(|until_ms| now_ms < until_ms)
    }

    /// Whose the leadership is, as far as we have seen.
    #[must_use]
    pub fn holder(&self) -> Option<&Holder> {
        Some(&self.sight.as_ref()?.record.as_ref()?.holder)
    }

    /// From now on the leadership is not wanted; one that we have is given back. To be said only when no call of ours is out.
    pub fn leave(&mut self) {
        self.leaving = true;
        self.next_ms = 0;
    }

    /// Whether it was told so.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether there is nothing left to give back.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.leaving && self.leads_until_ms.is_none()
    }

    fn is_ours(&self, record: &Record) -> bool {
        matches!(&record.holder, Holder::Process(holder) if *holder == self.us)
    }

    /// From when on the leadership may be taken, if the object stands still until then.
    fn free_from_ms(&self, sight: &Sight) -> Option<u64> {
        let record = sight.record.as_ref()?;
        match &record.holder {
            Holder::Released => Some(sight.since_ms),
            // Nobody else can lead on a record of ours.
            Holder::Process(holder) if *holder == self.us => Some(sight.since_ms),
            Holder::Process(_) | Holder::Nobody => {
                let theirs = record.duration_ms.min(LONGEST_MS);
                Some(sight.since_ms.saturating_add(self.terms.duration_ms.max(theirs)))
            }
        }
    }
}

/// What to do next. `chance` is any number: it spreads what many daemons do at once.
pub fn elect(candidate: &mut Candidate, now_ms: u64, chance: u64, heard: Heard) -> Action {
    hear(candidate, now_ms, heard);
    if !candidate.holds(now_ms) {
        candidate.leads_until_ms = None;
    }
    let action = choose(candidate, now_ms, chance);
    candidate.asked = match &action {
        Action::Read => Asked::Read,
        Action::Create { holder } | Action::Replace { holder, .. } => {
            Asked::Write { sent_ms: now_ms, leads: matches!(holder, Holder::Process(_)) }
        }
        Action::Wait { .. } => Asked::Nothing,
    };
    action
}

fn hear(candidate: &mut Candidate, now_ms: u64, heard: Heard) {
    let asked = std::mem::replace(&mut candidate.asked, Asked::Nothing);
    match (heard, asked) {
        (Heard::Read(record), Asked::Read) => {
            candidate.blind = false;
            // A record that somebody else holds ends our leadership, whatever else we know.
            if record.as_ref().is_some_and(|record| !candidate.is_ours(record)) {
                candidate.leads_until_ms = None;
            }
            // A holder only looks when it does not know what came of its write: it renews at once. And what is not
            // there is made at once.
            if candidate.leads_until_ms.is_some() || record.is_none() {
                candidate.next_ms = now_ms;
            }
            see(candidate, now_ms, record);
        }
        (Heard::Written(record), Asked::Write { sent_ms, leads }) => {
            candidate.blind = false;
            candidate.leads_until_ms = None;
            if leads && candidate.is_ours(&record) {
                candidate.leads_until_ms = Some(sent_ms.saturating_add(candidate.terms.renew_ms));
            }
            candidate.next_ms = sent_ms.saturating_add(candidate.terms.retry_ms);
            see(candidate, now_ms, Some(record));
        }
        (Heard::Refused, Asked::Write { .. }) => {
            // It is not what we saw: we are nobody, and look again.
            candidate.blind = true;
            candidate.leads_until_ms = None;
            candidate.next_ms = now_ms.saturating_add(pause_ms(candidate));
        }
        // Whoever makes it anew makes it without a holder, and waits: our leadership is as good as it was.
        (Heard::Gone, Asked::Write { .. }) => {
            candidate.blind = false;
            candidate.next_ms = now_ms.saturating_add(pause_ms(candidate));
            see(candidate, now_ms, None);
        }
        (Heard::Unanswered, Asked::Read | Asked::Write { .. }) => {
            candidate.blind = true;
            candidate.next_ms = now_ms.saturating_add(pause_ms(candidate));
        }
        // What was not asked for tells nothing.
        (
            Heard::Nothing
            | Heard::Refused
            | Heard::Gone
            | Heard::Unanswered
            | Heard::Read(_)
            | Heard::Written(_),
            _,
        ) => {}
    }
}

/// After a call that came to nothing: sooner than usual, since the leadership may hang on it, and never at once, since the
/// next one may come to nothing as well.
fn pause_ms(candidate: &Candidate) -> u64 {
    candidate.terms.retry_ms / 4
}

fn see(candidate: &mut Candidate, now_ms: u64, record: Option<Record>) {
    let same = candidate.sight.as_ref().is_some_and(|sight| sight.record == record);
    if !same {
        candidate.sight = Some(Sight { record, since_ms: now_ms });
    }
}

fn choose(candidate: &mut Candidate, now_ms: u64, chance: u64) -> Action {
    let holds = candidate.holds(now_ms);
    let Some(sight) = candidate.sight.clone().filter(|_| !candidate.blind) else {
        return when_due(candidate, now_ms, chance, Action::Read);
    };
    if candidate.leaving {
        return leave(candidate, &sight, holds);
    }
    let ours = Holder::Process(candidate.us.clone());
    let Some(record) = &sight.record else {
        if holds {
            return Action::Create { holder: ours };
        }
        return when_due(candidate, now_ms, chance, Action::Create { holder: Holder::Nobody });
    };
    let renew = Action::Replace { version: record.version.clone(), holder: ours };
    if holds {
        return when_due(candidate, now_ms, chance, renew);
    }
    match candidate.free_from_ms(&sight) {
        Some(free_ms) if free_ms <= now_ms => renew,
        Some(_) | None => when_due(candidate, now_ms, chance, Action::Read),
    }
}

/// The lead is given back with a word that says so, which nobody else writes.
fn leave(candidate: &mut Candidate, sight: &Sight, holds: bool) -> Action {
    match &sight.record {
        Some(record) if holds && candidate.is_ours(record) => {
            Action::Replace { version: record.version.clone(), holder: Holder::Released }
        }
        Some(_) | None => {
            candidate.leads_until_ms = None;
            Action::Wait { until_ms: u64::MAX }
        }
    }
}

/// An action when its time has come, else a wait: until then, until our leadership ends, or until the lease is free.
fn when_due(candidate: &mut Candidate, now_ms: u64, chance: u64, action: Action) -> Action {
    if candidate.next_ms <= now_ms {
        // Half as long again at most, so that daemons that were started together do not stay together. A holder does
        // not spread: its time is short.
        let spread = candidate.terms.retry_ms / 2;
        let spread = if candidate.holds(now_ms) || spread == 0 { 0 } else { chance % spread };
        candidate.next_ms = now_ms.saturating_add(candidate.terms.retry_ms).saturating_add(spread);
        return action;
    }
    let free_ms = candidate.sight.as_ref().filter(|_| !candidate.blind && !candidate.holds(now_ms));
    let free_ms = free_ms.and_then(|sight| candidate.free_from_ms(sight));
    let ends_ms = candidate.leads_until_ms;
    let until_ms = [free_ms, ends_ms].into_iter().flatten().fold(candidate.next_ms, u64::min);
    Action::Wait { until_ms }
}
