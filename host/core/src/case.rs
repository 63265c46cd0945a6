//! The case before the judge: one change with everything that a rule may look at.

use crate::change::{Change, Direction, Moment};
use crate::plan;
use crate::quorum::Standing;
use crate::snapshot::is_same;
use crate::step;
use plimsoll_wire::journal::{MembershipEffect, PlanState, PlatformVerb, Subject, Verb};
use plimsoll_wire::profile::Profile;
use plimsoll_wire::snapshot::{Group, Member, Snapshot};
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Everything that a rule may look at.
#[derive(Debug)]
pub struct Case<'a> {
    /// When.
    pub moment: Moment,
    /// What is about to happen.
    pub change: &'a Change,
    /// What is known.
    pub snapshot: &'a Snapshot,
    /// What is true of the system.
    pub profile: &'a Profile,
    /// Members before.
    pub from: u32,
    /// Members after: of the plan at admission, of the unit afterwards.
    pub to: u32,
    /// Members before, as waits between plans count them: see [`plan::counted_size`].
    pub counted: u32,
    /// Who goes, where members go.
    pub victims: Vec<Subject>,
    /// Members by id, sorted when it is first asked for: each rule looks members up for each copy of each group.
    roster: OnceCell<Vec<(&'a str, &'a Member)>>,
}

impl<'a> Case<'a> {
    /// A wish, with those who would go.
    #[must_use]
    pub fn wish(change: &'a Change, snapshot: &'a Snapshot, from: u32, to: u32) -> Self {
        let profile = &*snapshot.profile;
        let victims = plan::victims(snapshot, from.saturating_sub(to));
        let counted = plan::counted_size(snapshot).unwrap_or(from);
        Self {
            moment: Moment::Admission,
            change,
            snapshot,
            profile,
            from,
            to,
            counted,
            victims,
            roster: OnceCell::new(),
        }
    }

    /// An effect of a plan.
    #[must_use]
    pub fn effect(change: &'a Change, plan: &PlanState, subject: &Subject, snapshot: &'a Snapshot) -> Self {
        let (from, to) = plan::unit_sizes(plan);
        let profile = &*snapshot.profile;
        let moment = change.moment(profile);
        let goes = change.ends() || plan::direction(plan) == Some(Direction::In);
        let mut victims = if goes { vec![subject.clone()] } else { Vec::new() };
        // What those give away who go beside has to fit as well: it is judged as if all of them went before any was empty.
        if goes && !change.ends() {
            victims.extend(plan.leaving.iter().cloned());
        }
        Self { moment, change, snapshot, profile, from, to, counted: from, victims, roster: OnceCell::new() }
    }

    /// A later step, asked about before its turn: what is not known of it yet is not refused yet.
    #[must_use]
    pub(crate) fn foreseen(self) -> Self {
        Self { moment: Moment::Step, ..self }
    }

    /// Whether members come or go.
    #[must_use]
    pub fn direction(&self) -> Option<Direction> {
        match self.change {
            Change::Wish { .. } => Direction::between(self.from, self.to),
            Change::Effect { plan, undoing, .. } => {
                let direction = Direction::between(plan.from(), plan.to());
                match (direction, undoing) {
                    (Some(Direction::Out), true) => Some(Direction::In),
                    (other, _) => other,
                }
            }
        }
    }

    /// Whether members go.
    #[must_use]
    pub fn shrinks(&self) -> bool {
        self.direction() == Some(Direction::In)
    }

    /// Whether members go, or would go in dry run of those that there would be by now (`decisions.md` D9): what a removal
    /// rests on is asked of both.
    #[must_use]
    pub fn would_shrink(&self) -> bool {
        let pretended = matches!(self.change, Change::Wish { .. }) && self.to < self.counted;
        self.shrinks() || pretended
    }

    /// Whether members come.
    #[must_use]
    pub fn grows(&self) -> bool {
        self.direction() == Some(Direction::Out)
    }

    /// The effect that is about to happen.
    #[must_use]
    pub fn verb(&self) -> Option<&Verb> {
        match self.change {
            Change::Effect { verb, .. } => Some(verb),
            Change::Wish { .. } => None,
        }
    }

    /// What the effect means for who the members are; none where no effect is about to happen yet.
    #[must_use]
    pub fn membership_effect(&self) -> Option<MembershipEffect> {
        self.verb().map(Verb::membership_effect)
    }

    /// The plan that the effect belongs to.
    #[must_use]
    pub fn plan(&self) -> Option<&PlanState> {
        match self.change {
            Change::Effect { plan, .. } => Some(plan),
            Change::Wish { .. } => None,
        }
    }

    /// The member that the effect is about.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        match self.change {
            Change::Effect { subject, .. } => Some(subject),
            Change::Wish { .. } => None,
        }
    }

    /// Whether the effect takes a unit back that had not passed its point of no return.
    #[must_use]
    pub fn undoes(&self) -> bool {
        matches!(self.change, Change::Effect { undoing: true, .. })
    }

    /// Whether a member goes that may hold something. What is taken back before its point of no return holds nothing
    /// yet, but where data moves by itself the system may have given it some: its stop is a removal like any other.
    #[must_use]
    pub fn removes(&self) -> bool {
        let stops = matches!(self.verb(), Some(Verb::Platform(PlatformVerb::Stop { .. })));
        self.shrinks() && (!self.undoes() || (self.profile.moves_data() && stops))
    }

    /// The members, empty where they are not known: EVID-1 has said so already.
    #[must_use]
    pub fn members(&self) -> &'a [Member] {
        self.snapshot.members.value().map_or(&[], Vec::as_slice)
    }

    /// The member with an id.
    #[must_use]
    pub fn member(&self, id: &str) -> Option<&'a Member> {
        let roster = self.roster.get_or_init(|| {
            let named = self.members().iter().filter_map(|row| Some((&**row.id.value()?, row)));
            let mut roster: Vec<_> = named.collect();
            roster.sort_by_key(|(id, _)| *id);
            roster
        });
        let at = roster.binary_search_by_key(&id, |(id, _)| id).ok()?;
        roster.get(at).map(|(_, row)| *row)
    }

    /// What a group needs and has; none where its placements are not known.
    #[must_use]
    pub fn standing(&self, group: &Group) -> Option<Standing> {
        Standing::of(group, |id| self.member(id))
    }

    /// The ids of those who go.
    #[must_use]
    pub fn victim_ids(&self) -> BTreeSet<Arc<str>> {
        self.victims.iter().filter_map(|subject| subject.id.clone()).collect()
    }

    /// Whether a member is one of those who go, by slot or by id.
    #[must_use]
    pub fn is_victim(&self, member: &Member) -> bool {
        self.victims.iter().any(|subject| is_same(subject, member))
    }

    /// Whether a member gives its data away beside the one that the running unit is about.
    #[must_use]
    pub fn leaves_beside(&self, member: &Member) -> bool {
        self.plan().is_some_and(|plan| plan.leaving.iter().any(|one| is_same(one, member)))
    }

    /// Whether the plan has removed the member that the unit is about from the system, and only its process is left. That it
    /// held nothing was proved before.
    #[must_use]
    pub fn was_removed(&self) -> bool {
        let asked = self.plan().zip(self.subject());
        asked.is_some_and(|(plan, subject)| step::was_removed(self.snapshot, plan, subject))
    }

    /// Whether a member is what the running unit is about.
    #[must_use]
    pub fn is_subject(&self, member: &Member) -> bool {
        self.subject().is_some_and(|subject| is_same(subject, member))
    }
}
