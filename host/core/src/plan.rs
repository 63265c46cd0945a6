//! From an admitted size to ordered steps: who comes, who goes, and which sizes a system may rest at.

pub mod preview;
pub mod price;
pub mod progress;
pub mod together;
pub mod unit;

pub use crate::course::{direction, turns, unit_sizes};

use crate::change::Direction;
use crate::snapshot::{is_empty, is_unlisted, order};
use crate::step;
use crate::workload;
use plimsoll_wire::Safety;
use plimsoll_wire::journal::{PlanState, PlanStatus, Stamp, Subject};
use plimsoll_wire::profile::{Profile, Victim};
use plimsoll_wire::size::Leg;
use plimsoll_wire::snapshot::{GroupKind, Member, Mode, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many members there are; none where that is not known.
#[must_use]
pub fn current_size(snapshot: &Snapshot) -> Option<u32> {
    snapshot.sizes.members.value().copied()
}

/// Members as waits and budgets between changes count them: in dry run those that there would be, had we acted
/// (`decisions.md` D9).
#[must_use]
pub fn counted_size(snapshot: &Snapshot) -> Option<u32> {
    let now = current_size(snapshot)?;
    match snapshot.target.mode {
        Mode::Dryrun => Some(snapshot.history.ghost.members.unwrap_or(now)),
        Mode::Off | Mode::Enforce => Some(now),
    }
}

/// Whether a plan may end at this size (`decisions.md` D6).
#[must_use]
pub fn is_legal(size: u32, profile: &Profile, safety: &Safety) -> bool {
    let odd = !profile.members_vote || safety.allow_even || size % 2 == 1;
    size >= profile.min_size && size.is_multiple_of(profile.unit()) && odd
}

/// The next legal resting size below a size.
#[must_use]
pub fn legal_below(size: u32, profile: &Profile, safety: &Safety) -> Option<u32> {
    (profile.min_size..size).rev().find(|candidate| is_legal(*candidate, profile, safety))
}

/// The next legal resting size above a size.
#[must_use]
pub fn legal_above(size: u32, profile: &Profile, safety: &Safety) -> Option<u32> {
    // Of two units in a row one ends at an odd number, where any does.
    let last = size.max(profile.min_size).saturating_add(profile.unit().saturating_mul(2));
    (size.saturating_add(1)..=last).find(|candidate| is_legal(*candidate, profile, safety))
}

/// The legal resting size to go to from `size` when a plan from `from` to `to` is given up: back where that is
/// legal, else onward.
#[must_use]
pub fn rest_near(size: u32, from: u32, to: u32, profile: &Profile, safety: &Safety) -> u32 {
    if is_legal(size, profile, safety) {
        return size;
    }
    let legal = |candidate: &u32| is_legal(*candidate, profile, safety);
    let back =
        if from < to { (from..size).rev().find(legal) } else { (size.saturating_add(1)..=from).find(legal) };
    back.unwrap_or(to)
}

/// The nearest legal size on the other side of where a plan goes from: where it turns to when its way is barred.
#[must_use]
pub fn rest_beyond(
    size: u32,
    direction: Direction,
    profile: &Profile,
    safety: &Safety,
    within: (u32, u32),
) -> Option<u32> {
    let (least, most) = within;
    let most = profile.max_voters.filter(|_| profile.members_vote).map_or(most, |voters| voters.min(most));
    match direction {
        Direction::Out => legal_below(size, profile, safety).filter(|below| *below >= least),
        Direction::In => (size.saturating_add(1)..=most).find(|above| is_legal(*above, profile, safety)),
    }
}

/// Whose turn it is next in a plan; none where nobody can be chosen.
#[must_use]
pub fn next_subject(snapshot: &Snapshot, plan: &PlanState) -> Option<Subject> {
    let subject = match direction(plan) {
        Some(Direction::In) => victims(snapshot, 1).pop(),
        Some(Direction::Out) | None => vacancy(snapshot),
    };
    subject.filter(|subject| !subject.slot.is_empty())
}

/// The place that is filled next.
fn vacancy(snapshot: &Snapshot) -> Option<Subject> {
    let place = snapshot.vacant.value()?.first()?;
    Some(Subject {
        slot: place.slot.clone(),
        endpoints: place.endpoints.clone(),
        id: None,
        incarnation: String::new(),
    })
}

/// The member as the subject of a unit.
#[must_use]
pub fn subject_of(member: &Member) -> Subject {
    Subject {
        slot: member.slot.clone().unwrap_or_else(|| Arc::from("")),
        endpoints: member.endpoints.clone(),
        id: member.id.value().cloned(),
        incarnation: member.incarnation.value().cloned().unwrap_or_default(),
    }
}

/// Who would go, first to go first: the dead and what never joined, then what holds nothing, then followers before leaders, then from the fullest domain, then
/// the highest ordinal. The members of one unit follow each other. Where the platform chooses, its choice.
#[must_use]
pub fn victims(snapshot: &Snapshot, count: u32) -> Vec<Subject> {
    let profile = &*snapshot.profile;
    let mut left: Vec<&Member> = snapshot.members.value().map_or_else(Vec::new, |all| all.iter().collect());
    let mut crowding = crowding(&left);
    let leaders = leaders(snapshot);
    let mut chosen = Vec::new();
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    while chosen.len() < count {
        let next = left.iter().max_by_key(|member| rank(&leaders, profile, member, &crowding));
        let Some(next) = next.copied() else { break };
        let unit = match profile.victim {
            Victim::Named => unit::of(snapshot, next),
            Victim::HighestOrdinal => vec![next],
        };
        for member in unit {
            let Some(at) = left.iter().position(|one| std::ptr::eq(*one, member)) else { continue };
            left.remove(at);
            if let Some(others) = domain(member).and_then(|domain| crowding.get_mut(domain)) {
                *others -= 1;
            }
            chosen.push(subject_of(member));
        }
    }
    chosen.truncate(count);
    chosen
}

/// The names under which those who would go are approved: ids, and slots of those without one.
#[must_use]
pub fn victim_ids(victims: &[Subject]) -> Vec<Arc<str>> {
    victims.iter().map(|subject| subject.id.clone().unwrap_or_else(|| subject.slot.clone())).collect()
}

/// How many of those who are left share each domain.
fn crowding<'a>(members: &[&'a Member]) -> BTreeMap<&'a str, usize> {
    let mut count = BTreeMap::new();
    for domain in members.iter().filter_map(|member| domain(member)) {
        *count.entry(domain).or_default() += 1;
    }
    count
}

/// The widest part: what fails as one.
fn domain(member: &Member) -> Option<&str> {
    member.domain.value().map(|path| path.split('/').next().unwrap_or_default())
}

type Rank<'a> = (bool, bool, bool, usize, (bool, &'a str, u64, &'a str), Option<&'a Arc<str>>);

fn rank<'a>(
    leaders: &BTreeSet<&str>,
    profile: &Profile,
    member: &'a Member,
    crowding: &BTreeMap<&str, usize>,
) -> Rank<'a> {
    let mut place = order(member.slot.as_deref());
    // A member without a slot sorts last, but cannot be stopped by the platform.
    place.0 = !place.0;
    let id = member.id.value();
    match profile.victim {
        Victim::HighestOrdinal => (false, false, false, 0, place, id),
        Victim::Named => {
            // What never joined holds nothing at all.
            let dead = member.alive.value() == Some(&false) || is_unlisted(member);
            let crowd = domain(member).and_then(|domain| crowding.get(domain).copied()).unwrap_or(0);
            let follows = id.is_none_or(|id| !leaders.contains(&**id));
            // A plan that was given up in the middle of a unit leaves members behind to which nothing was moved yet.
            let idle = profile.moves_data() && member.hosted.value().is_some_and(is_empty);
            (dead, idle, follows, crowd, place, id)
        }
    }
}

/// Who leads a control group, by id.
fn leaders(snapshot: &Snapshot) -> BTreeSet<&str> {
    let groups = snapshot.groups.value().map_or(&[][..], Vec::as_slice);
    let control = groups.iter().filter(|group| group.kind == GroupKind::Control);
    control.filter_map(|group| group.leader.value()).map(|leader| &**leader).collect()
}

/// Whether a member leads a control group.
#[must_use]
pub fn leads(snapshot: &Snapshot, member: &Member) -> bool {
    member.id.value().is_some_and(|id| leaders(snapshot).contains(&**id))
}

/// The ids of all members, in order.
#[must_use]
pub fn member_ids(snapshot: &Snapshot) -> Vec<Arc<str>> {
    let mut ids: Vec<Arc<str>> = snapshot
        .members
        .value()
        .map_or_else(Vec::new, |all| all.iter().filter_map(|member| member.id.value().cloned()).collect());
    ids.sort();
    ids
}

/// What an approval names (`decisions.md` D10): it dies when any of it changes.
#[must_use]
pub fn approval_content(plan: &PlanState) -> String {
    let workload = plan.workload.as_deref().map_or_else(String::new, |uid| format!(" on workload {uid}"));
    format!(
        "cluster {}{workload} from {} to {} removing [{}] by module {} at {}",
        plan.fingerprint,
        plan.from(),
        plan.to(),
        plan.victims.join(", "),
        if plan.module.is_empty() { "none" } else { &plan.module },
        plan.base_epoch
    )
}

/// The phase that a plan is in, in the profile's words.
#[must_use]
pub fn phase_name(plan: &PlanState, profile: &Profile) -> &'static str {
    if plan.undoing {
        return "undo";
    }
    let index = usize::try_from(plan.phase).unwrap_or(usize::MAX);
    match (&plan.subject, progress::phases(plan, profile).get(index)) {
        (None, _) => "choose",
        (Some(_), Some(phase)) => step::find(&phase.step).map_or("", |step| step.name),
        (Some(_), None) => "finish",
    }
}

/// A plan at its beginning; none where nobody knows of which cluster it would be: EVID-1 says so.
#[must_use]
pub fn begun(snapshot: &Snapshot, from: u32, to: u32) -> Option<PlanState> {
    Some(PlanState {
        id: "".into(),
        decision: "".into(),
        legs: vec![Leg::members(from, to)],
        leg: 0,
        fingerprint: snapshot.fingerprint.value().cloned()?,
        workload: workload::uid(snapshot)?,
        base_epoch: snapshot.epoch.value().cloned().unwrap_or_default(),
        module: String::new(),
        members: member_ids(snapshot),
        victims: Vec::new(),
        status: PlanStatus::Running,
        unit: 0,
        subject: None,
        together: together::most(&snapshot.profile, &snapshot.safety, Direction::between(from, to)),
        leaving: Vec::new(),
        joined: Vec::new(),
        price: price::of(snapshot, from, to),
        phase: 0,
        point_of_no_return: false,
        undoing: false,
        why: String::new(),
        started: Stamp::default(),
        progressed: Stamp::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::{rest_beyond, rest_near};
    use crate::change::Direction;
    use crate::profile::{ETCD, SIM_SHARDED};
    use plimsoll_wire::Safety;

    #[test]
    fn a_plan_that_is_given_up_rests_where_it_is_or_goes_back_to_the_nearest_legal_size() {
        let safety = Safety::default();
        let rest = |size, from, to| rest_near(size, from, to, &ETCD, &safety);
        assert_eq!(
            [rest(5, 5, 3), rest(4, 5, 3), rest(4, 3, 5), rest(6, 7, 3), rest(5, 7, 3)],
            [5, 5, 3, 7, 5]
        );
        assert_eq!(rest_near(4, 5, 3, &SIM_SHARDED, &safety), 4, "a store rests anywhere");
    }

    #[test]
    fn a_way_that_is_barred_leads_to_the_nearest_legal_size_on_the_other_side_within_the_owners_bounds() {
        let safety = Safety::default();
        let beyond = |direction, within| rest_beyond(4, direction, &ETCD, &safety, within);
        assert_eq!(beyond(Direction::Out, (1, 9)), Some(3));
        assert_eq!(beyond(Direction::In, (1, 9)), Some(5));
        assert_eq!(beyond(Direction::Out, (4, 9)), None, "not below the owner's least");
        assert_eq!(beyond(Direction::In, (1, 4)), None, "not above the owner's most");
        assert_eq!(
            rest_beyond(8, Direction::In, &ETCD, &safety, (1, 99)),
            None,
            "not above the system's most"
        );
    }
}
