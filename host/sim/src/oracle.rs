//! Judges the world: what went wrong in it, and whether a step of ours is to blame.
//!
//! It sees the truth and the calls that were made, never a decision or a reason, and shares no code with the
//! judge that it checks.
//!
//! # When is it ours?
//! A group has two *margins*: how many more live voters (or in-sync copies) it may lose before it stops, and how
//! many more members before the last one that holds every acknowledged write is gone. A healthy group has a
//! margin of at least one (its *floor*; where it had less, what it had). Where members vote there is a third: how
//! many more voters may lack acknowledged writes before those who lack some are a majority, which may elect one of
//! their own; it may be used up, and not more.
//! * A harm that becomes true at the moment of a call of ours is ours.
//! * A call of ours that takes a margin below the floor *exposes* the group. Until each margin is back at what
//!   it was (at most the floor), every harm to that group is ours too, whoever struck the last blow: without the
//!   call the same blow would have been survived.
//! * Any other harm is nature's: it would have come without us. It is counted, apart.
//! * A disk that overflows is ours while, or within an hour after, data arrives on it that our calls sent there,
//!   if it would have fitted without that data. We owe room for the loss of one member: once nature took two and
//!   all copies, kept in domains of their own, cannot fit on who is left, it is nature's, for an hour.

use plimsoll_wire::journal::{PlatformVerb, SystemVerb, Verb};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who made something happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The call of that number.
    Call(u64),
    /// Faults, load and time.
    Nature,
}

/// How much a group can still lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Margin {
    /// Live voters or in-sync copies beyond those needed to go on; negative when it has stopped.
    pub live: i64,
    /// Members that hold every acknowledged write, beyond one; negative when there is none.
    pub whole: i64,
    /// Voters that may come to lack acknowledged writes before a majority could be made of those who lack some;
    /// negative when it could.
    pub sure: i64,
    /// The least margin of a healthy group.
    pub floor: i64,
}

impl Margin {
    fn least(&self) -> i64 {
        self.live.min(self.whole)
    }

    fn is_sure(&self) -> bool {
        self.sure >= 0
    }
}

/// How things stand before a call, for the rules about calls.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Members in use, as the platform counts.
    pub size: u32,
    /// Subjects (slots) whose joining or leaving has begun and not ended.
    pub open: Vec<Arc<str>>,
    /// The slot that the call is about, where it is about one.
    pub subject: Option<Arc<str>>,
    /// What the member in that slot holds: votes, leadership, copies. Empty when it holds nothing.
    pub holds: Vec<&'static str>,
    /// The member leads and another voter could.
    pub leads: bool,
    /// Members that take their data from this one, and know no other.
    pub followers: usize,
    /// The volume of the slot belongs to a member that was removed.
    pub returning_volume: bool,
}

/// What must never happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Harm {
    /// Acknowledged writes are on no remaining member.
    AcknowledgedWritesLost {
        /// Of which group.
        group: u32,
        /// How many.
        writes: u64,
    },
    /// A group can no longer confirm writes.
    MajorityLost {
        /// Which group.
        group: u32,
    },
    /// A member has more data than room.
    DiskOverfull {
        /// In which slot.
        slot: Arc<str>,
    },
    /// N4: a change of membership began while another was open.
    ChangesOverlap {
        /// The one that was open.
        open: Arc<str>,
        /// The one that began.
        begun: Arc<str>,
    },
    /// N2: a member was stopped while it still held something.
    StoppedWhileHolding {
        /// In which slot.
        slot: Arc<str>,
        /// What.
        what: String,
    },
    /// A leader was removed from the membership.
    LeaderRemoved {
        /// In which slot.
        slot: Arc<str>,
    },
    /// A member was removed from the membership while another still took its data from it.
    FollowersStranded {
        /// In which slot.
        slot: Arc<str>,
    },
    /// Fewer members own data than the system needs to agree on a failover.
    TooFewOwners {
        /// How many are left.
        left: u32,
    },
    /// N10: the platform was asked for a size that is more than one away.
    SizeJumped {
        /// Before.
        from: u32,
        /// After.
        to: u32,
    },
    /// A removed member's volume was started again.
    VolumeReturned {
        /// In which slot.
        slot: Arc<str>,
    },
}

impl Harm {
    /// The stable word for counts.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AcknowledgedWritesLost { .. } => "acknowledged-writes-lost",
            Self::MajorityLost { .. } => "majority-lost",
            Self::DiskOverfull { .. } => "disk-overfull",
            Self::ChangesOverlap { .. } => "changes-overlap",
            Self::StoppedWhileHolding { .. } => "stopped-while-holding",
            Self::LeaderRemoved { .. } => "leader-removed",
            Self::FollowersStranded { .. } => "followers-stranded",
            Self::TooFewOwners { .. } => "too-few-owners",
            Self::SizeJumped { .. } => "size-jumped",
            Self::VolumeReturned { .. } => "volume-returned",
        }
    }
}

/// One harm, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// When, in milliseconds of the world's clock.
    pub at_ms: u64,
    /// What.
    pub harm: Harm,
    /// Our call that is to blame; none when it is nature's.
    pub call: Option<u64>,
}

/// The most findings that are kept; more are counted.
const MOST_FINDINGS: usize = 1_000;

/// Watches one world.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    exposed: BTreeMap<usize, Exposure>,
    ours: Vec<Finding>,
    nature: Vec<Finding>,
    lost_by_us: u64,
}

#[derive(Clone, Copy, Debug)]
struct Exposure {
    call: u64,
    until: i64,
}

impl Oracle {
    /// What went wrong because of us.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.ours
    }

    /// What went wrong without us.
    #[must_use]
    pub fn misfortunes(&self) -> &[Finding] {
        &self.nature
    }

    /// Acknowledged writes that were lost because of us.
    #[must_use]
    pub fn lost_by_us(&self) -> u64 {
        self.lost_by_us
    }

    /// Something changed at once: margins before and after, in the order of the groups.
    pub(crate) fn changed(&mut self, at_ms: u64, cause: Cause, before: &[Margin], after: &[Margin]) {
        for (group, (before, after)) in before.iter().zip(after).enumerate() {
            self.shifted(at_ms, cause, group, before, after);
        }
    }

    /// The same of one group.
    pub(crate) fn shifted(
        &mut self,
        at_ms: u64,
        cause: Cause,
        group: usize,
        before: &Margin,
        after: &Margin,
    ) {
        self.heal(group, before);
        let floor = before.floor.min(before.least());
        if let Cause::Call(call) = cause
            && (after.least() < floor || (before.is_sure() && !after.is_sure()))
        {
            let exposure = self.exposed.entry(group).or_insert(Exposure { call, until: floor });
            exposure.until = exposure.until.max(floor);
        }
        if after.live < 0 && before.live >= 0 {
            let harm = Harm::MajorityLost { group: number(group) };
            self.blame(at_ms, harm, cause, Some(group));
        }
    }

    /// Acknowledged writes of a group are gone.
    pub(crate) fn lost(&mut self, at_ms: u64, cause: Cause, group: usize, writes: u64) {
        let harm = Harm::AcknowledgedWritesLost { group: number(group), writes };
        if self.blame(at_ms, harm, cause, Some(group)) {
            self.lost_by_us += writes;
        }
    }

    /// A disk has overflowed.
    pub(crate) fn overflowed(&mut self, at_ms: u64, slot: &Arc<str>, cause: Cause) {
        self.blame(at_ms, Harm::DiskOverfull { slot: slot.clone() }, cause, None);
    }

    /// Too few members own data.
    pub(crate) fn short_of_owners(&mut self, at_ms: u64, left: usize, cause: Cause) {
        self.blame(at_ms, Harm::TooFewOwners { left: number(left) }, cause, None);
    }

    /// A call changed something: the rules about calls, with how things stood before.
    pub(crate) fn called(&mut self, at_ms: u64, call: u64, verb: &Verb, before: &Standing) {
        let mut harms = Vec::new();
        if let Some(subject) = &before.subject {
            harms = subject_harms(verb, before, subject);
        }
        if let Verb::Platform(PlatformVerb::Start { size_after, .. })
        | Verb::Platform(PlatformVerb::Stop { size_after, .. }) = verb
            && before.size.abs_diff(*size_after) > 1
        {
            harms.push(Harm::SizeJumped { from: before.size, to: *size_after });
        }
        for harm in harms {
            self.blame(at_ms, harm, Cause::Call(call), None);
        }
    }

    fn heal(&mut self, group: usize, now: &Margin) {
        let healed = |exposure: &Exposure| now.least() >= exposure.until && now.is_sure();
        if self.exposed.get(&group).is_some_and(healed) {
            self.exposed.remove(&group);
        }
    }

    /// Files a harm with whom it belongs to; true when that is us.
    fn blame(&mut self, at_ms: u64, harm: Harm, cause: Cause, group: Option<usize>) -> bool {
        let exposure = group.and_then(|group| self.exposed.get(&group)).map(|exposure| exposure.call);
        let call = match cause {
            Cause::Call(call) => Some(call),
            Cause::Nature => exposure,
        };
        let list = if call.is_some() { &mut self.ours } else { &mut self.nature };
        if list.len() < MOST_FINDINGS {
            list.push(Finding { at_ms, harm, call });
        }
        call.is_some()
    }
}

fn subject_harms(verb: &Verb, before: &Standing, subject: &Arc<str>) -> Vec<Harm> {
    let mut harms = Vec::new();
    let begins = matches!(
        verb,
        Verb::System(SystemVerb::Register { .. })
            | Verb::Platform(PlatformVerb::Start { .. })
            | Verb::System(SystemVerb::Promote { .. })
            | Verb::System(SystemVerb::Drain { .. })
            | Verb::System(SystemVerb::Deregister { .. })
            | Verb::Platform(PlatformVerb::Stop { .. })
    );
    if begins && let Some(open) = before.open.iter().find(|open| *open != subject) {
        harms.push(Harm::ChangesOverlap { open: open.clone(), begun: subject.clone() });
    }
    let slot = subject.clone();
    if matches!(verb, Verb::Platform(PlatformVerb::Stop { .. })) && !before.holds.is_empty() {
        harms.push(Harm::StoppedWhileHolding { slot: slot.clone(), what: before.holds.join(", ") });
    }
    if matches!(verb, Verb::System(SystemVerb::Deregister { .. })) && before.leads {
        harms.push(Harm::LeaderRemoved { slot: slot.clone() });
    }
    if matches!(verb, Verb::System(SystemVerb::Deregister { .. })) && before.followers > 0 {
        harms.push(Harm::FollowersStranded { slot: slot.clone() });
    }
    if matches!(verb, Verb::Platform(PlatformVerb::Start { .. })) && before.returning_volume {
        harms.push(Harm::VolumeReturned { slot });
    }
    harms
}

fn number(group: usize) -> u32 {
    u32::try_from(group).unwrap_or(u32::MAX)
}
