//! What a group needs and has: the arithmetic under the rules of QUORUM and RED.

use plimsoll_wire::snapshot::{Group, GroupModel, Member, Placement, PlacementState};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A group's votes or copies, with what is known of the members that hold them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Every holder with its weight, and whether it is alive and in sync. Unknown counts as down, and as
    /// present for what is needed.
    pub holders: Vec<(Arc<str>, u32, bool)>,
    model: GroupModel,
    min_ack: Option<u32>,
}

impl Standing {
    /// The standing of a group; none where its placements are not known.
    #[must_use]
    pub fn of<'a>(group: &Group, members: impl Fn(&str) -> Option<&'a Member>) -> Option<Self> {
        let placements = group.placements.value()?;
        let holders = placements
            .iter()
            .filter(|placement| counts(placement))
            .map(|placement| {
                (placement.member.clone(), placement.weight.max(1), is_sound(placement, &members))
            })
            .collect();
        Some(Self { holders, model: group.model, min_ack: group.min_ack.value().copied() })
    }

    /// Without these members.
    #[must_use]
    pub fn without(&self, gone: &BTreeSet<Arc<str>>) -> Self {
        let holders = self.holders.iter().filter(|(id, ..)| !gone.contains(id)).cloned().collect();
        Self { holders, ..self.clone() }
    }

    /// With one more voter, which counts as down until it is seen to serve (QUORUM-6).
    #[must_use]
    pub fn with_newcomer(&self) -> Self {
        let mut next = self.clone();
        next.holders.push((Arc::from(""), 1, false));
        next
    }

    /// With a member that serves.
    #[must_use]
    pub fn with_serving(&self, id: &Arc<str>) -> Self {
        let mut next = self.clone();
        next.holders.retain(|(holder, ..)| holder != id);
        next.holders.push((id.clone(), 1, true));
        next
    }

    /// The weight that must agree; none where the system has not said.
    #[must_use]
    pub fn need(&self) -> Option<u32> {
        match self.model {
            GroupModel::StaticMajority => Some(weigh(self.holders.iter()) / 2 + 1),
            GroupModel::AckSet => self.min_ack,
            // The primary itself confirms in any case.
            GroupModel::AsyncPrimary => self.min_ack.map(|ack| ack.max(1)),
        }
    }

    /// The weight that is alive and in sync.
    #[must_use]
    pub fn have(&self) -> u32 {
        weigh(self.holders.iter().filter(|(_, _, sound)| *sound))
    }

    /// How many further losses it survives; negative when it already does not agree.
    #[must_use]
    pub fn tolerance(&self) -> Option<i64> {
        Some(i64::from(self.have()) - i64::from(self.need()?))
    }

    /// How many holders there are.
    #[must_use]
    pub fn size(&self) -> u32 {
        u32::try_from(self.holders.len()).unwrap_or(u32::MAX)
    }
}

/// The weight of holders; no system has so much that the bound matters.
fn weigh<'a>(holders: impl Iterator<Item = &'a (Arc<str>, u32, bool)>) -> u32 {
    holders.fold(0, |sum, (_, weight, _)| sum.saturating_add(*weight))
}

/// Whether a placement counts towards what is needed: a learner does not, whatever it has.
fn counts(placement: &Placement) -> bool {
    match placement.state {
        PlacementState::InSync
        | PlacementState::CatchingUp
        | PlacementState::Stale
        | PlacementState::Leaving => placement.weight > 0,
        PlacementState::Learner => false,
    }
}

/// Whether a copy is alive and has everything.
fn is_sound<'a>(placement: &Placement, members: impl Fn(&str) -> Option<&'a Member>) -> bool {
    placement.state == PlacementState::InSync && members(&placement.member).is_some_and(is_alive)
}

/// Whether a member is known to be alive.
#[must_use]
pub fn is_alive(member: &Member) -> bool {
    member.alive.value() == Some(&true)
}

/// The member with an id.
#[must_use]
pub fn member<'a>(members: &'a [Member], id: &str) -> Option<&'a Member> {
    members.iter().find(|member| member.id.value().is_some_and(|known| &**known == id))
}
