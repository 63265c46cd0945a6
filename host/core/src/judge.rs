//! The one judge (`decisions.md` D1): is this change safe, in this snapshot, at this moment?
//!
//! It reads nothing and changes nothing. Its callers are the cycle, the offline "what if", the re-check
//! before destruction and, later, the admission review.

mod ahead;

use crate::invariant::{self, Finding, Invariant, Severity, evid, listed, mutex};
use crate::plan;
use crate::profile::Profile;
use crate::quorum::Standing;
use crate::snapshot::{fresh, sorted};
use plimsoll_wire::journal::{Bearing, PlanState, Subject, Verb};
use plimsoll_wire::record::{Judgement, Verdict, Violation, Wisher};
use plimsoll_wire::snapshot::{Group, Member, Snapshot};
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

/// When a rule is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Before a plan is made.
    Admission,
    /// Before each effect.
    Step,
    /// Before an effect that cannot be taken back, with direct reads.
    Destroy,
}

/// Whether members come or go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Members come.
    Out,
    /// Members go.
    In,
}

impl Direction {
    /// The direction between two sizes; none when they are equal.
    #[must_use]
    pub fn between(from: u32, to: u32) -> Option<Self> {
        match to.cmp(&from) {
            std::cmp::Ordering::Greater => Some(Self::Out),
            std::cmp::Ordering::Less => Some(Self::In),
            std::cmp::Ordering::Equal => None,
        }
    }
}

/// What is about to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The number of members is to become another.
    Resize {
        /// What was wished.
        to: u32,
        /// Who wishes it: waits against flapping are no business of a person's.
        by: Wisher,
        /// The signals that the wish rests on; none means all that there are. A person's wish rests on none.
        rests_on: Option<Vec<String>>,
        /// Whether it carries on or takes back what was admitted before: waits between plans do not apply.
        resumed: bool,
    },
    /// One effect of a plan.
    Effect {
        /// The plan.
        plan: Box<PlanState>,
        /// The member that it is about.
        subject: Subject,
        /// The effect.
        verb: Verb,
        /// Whether it takes the unit back.
        undoing: bool,
    },
}

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

/// What the judge says, or what it must see first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// All findings.
    Verdict(Judgement),
    /// Everything, read past every cache.
    NeedFacts,
}

impl<'a> Case<'a> {
    /// Whether members come or go.
    #[must_use]
    pub fn direction(&self) -> Option<Direction> {
        match self.change {
            Change::Resize { .. } => Direction::between(self.from, self.to),
            Change::Effect { plan, undoing, .. } => {
                let direction = Direction::between(plan.from, plan.to);
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
        let pretended = matches!(self.change, Change::Resize { .. }) && self.to < self.counted;
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
            Change::Resize { .. } => None,
        }
    }

    /// What the effect means for who the members are; none where no effect is about to happen yet.
    #[must_use]
    pub fn bearing(&self) -> Option<Bearing> {
        self.verb().map(Verb::bearing)
    }

    /// The plan that the effect belongs to.
    #[must_use]
    pub fn plan(&self) -> Option<&PlanState> {
        match self.change {
            Change::Effect { plan, .. } => Some(plan),
            Change::Resize { .. } => None,
        }
    }

    /// The member that the effect is about.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        match self.change {
            Change::Effect { subject, .. } => Some(subject),
            Change::Resize { .. } => None,
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
        let stops = matches!(self.verb(), Some(Verb::Stop { .. }));
        self.shrinks() && (!self.undoes() || (self.profile.moves_data && stops))
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

    /// Whether a member is what the running unit is about.
    #[must_use]
    pub fn is_subject(&self, member: &Member) -> bool {
        self.subject().is_some_and(|subject| is_same(subject, member))
    }
}

/// Whether a subject is this member: by id where both have one, else by slot.
#[must_use]
pub fn is_same(subject: &Subject, member: &Member) -> bool {
    match (&subject.id, member.id.value()) {
        (Some(wanted), Some(id)) => wanted == id,
        (Some(_) | None, _) => member.slot.as_deref() == Some(&*subject.slot),
    }
}

/// Judges a change. `direct` tells whether the snapshot was read past every cache.
#[must_use]
pub fn judge(
    moment: Moment,
    change: &Change,
    snapshot: &Snapshot,
    profile: &Profile,
    direct: bool,
) -> Judged {
    if moment == Moment::Destroy && !direct {
        return Judged::NeedFacts;
    }
    let young = fresh(snapshot, max_age_ms(moment, snapshot));
    let snapshot = &*sorted(&young);
    match change {
        Change::Resize { to, .. } => Judged::Verdict(admit(change, *to, snapshot, profile)),
        Change::Effect { plan, subject, verb, .. } => {
            let (from, to) = unit_sizes(plan);
            let goes = matches!(verb.bearing(), Bearing::Leaves | Bearing::Ends)
                || Direction::between(plan.from, plan.to) == Some(Direction::In);
            let victims = if goes { vec![subject.clone()] } else { Vec::new() };
            let roster = OnceCell::new();
            let case = Case { moment, change, snapshot, profile, from, to, counted: from, victims, roster };
            let mut findings = examine(&case, &|_| true);
            ahead::of_unit(&case).into_iter().for_each(|one| note(&mut findings, one));
            Judged::Verdict(verdict(None, findings))
        }
    }
}

/// How old a fact may be (EVID-1).
fn max_age_ms(moment: Moment, snapshot: &Snapshot) -> u64 {
    match moment {
        Moment::Admission | Moment::Step => snapshot.safety.max_age_ms,
        Moment::Destroy => snapshot.safety.direct_age_ms,
    }
}

/// Members before and after the unit that is under way.
#[must_use]
pub fn unit_sizes(plan: &PlanState) -> (u32, u32) {
    match Direction::between(plan.from, plan.to) {
        Some(Direction::Out) => {
            let before = plan.from.saturating_add(plan.unit);
            (before, before.saturating_add(1))
        }
        Some(Direction::In) => {
            let before = plan.from.saturating_sub(plan.unit);
            (before, before.saturating_sub(1))
        }
        None => (plan.from, plan.to),
    }
}

/// Clamp, then deny, then defer, on the clamped size. What the wish itself would have hurt is told too.
fn admit(change: &Change, wished: u32, snapshot: &Snapshot, profile: &Profile) -> Judgement {
    let Some(current) = plan::current_size(snapshot) else {
        let case = resize(change, snapshot, profile, wished, wished);
        // Nothing begins from a size that nobody knows: EVID-1 says so.
        return verdict(None, examine(&case, &|rule| rule.severity != Severity::Clamp));
    };
    // Bounds and shapes are those of what would be there by now, had dry run acted.
    let counted = plan::counted_size(snapshot).unwrap_or(current);
    let (size, mut findings) = clamp(change, wished, counted, snapshot, profile);
    if wished == counted && size == counted {
        // No change is wanted: there is nothing that could be unsafe.
        return verdict(Some(size), findings);
    }
    // A clamp down to nothing must still tell why the wish was dangerous, so the wish itself is judged then.
    let judged = if size == counted { wished } else { size };
    let case = resize(change, snapshot, profile, current, judged);
    // While a plan of ours runs nothing else begins, and what the other rules see is its own doing (a learner on its
    // way, a member that is not at work yet): the plan is the reason.
    let runs = snapshot.plan.is_some();
    let asked = |rule: &Invariant| {
        if runs { rule.id == mutex::ONE_OPERATION } else { rule.severity != Severity::Clamp }
    };
    findings.extend(examine(&case, &asked));
    if wished == 0 && judged != 0 {
        let raw = resize(change, snapshot, profile, current, 0);
        findings.extend(examine(&raw, &|rule| rule.id == "FLOOR-3"));
    }
    // Where something stands in the way already, that is told; else what would stand in the way later.
    if !runs && findings.iter().all(|one| one.verdict <= Verdict::Clamp) {
        let later = ahead::of_plan(snapshot, profile, current, size);
        later.into_iter().for_each(|one| note(&mut findings, one));
    }
    verdict(Some(size), findings)
}

fn resize<'a>(
    change: &'a Change,
    snapshot: &'a Snapshot,
    profile: &'a Profile,
    from: u32,
    to: u32,
) -> Case<'a> {
    let count = from.saturating_sub(to);
    let victims = plan::victims(snapshot, profile, count);
    let roster = OnceCell::new();
    let counted = plan::counted_size(snapshot).unwrap_or(from);
    Case { moment: Moment::Admission, change, snapshot, profile, from, to, counted, victims, roster }
}

/// Intersects what all clamps allow. Clamps only move a size towards the present one (or up to a floor); an
/// empty intersection means the present size, or what may be reached of the floor. Bounds are asked of the wish itself, so that each that it breaks is
/// told; what a size must look like (odd, whole units) is asked of what is left.
fn clamp(
    change: &Change,
    wished: u32,
    current: u32,
    snapshot: &Snapshot,
    profile: &Profile,
) -> (u32, Vec<Violation>) {
    let (mut size, mut findings) = (wished, Vec::new());
    // Each pass may only move the size towards the present one, so this ends; the bound is for the reader.
    for _ in 0..4 {
        let before = size;
        for shape in [false, true] {
            let case = resize(change, snapshot, profile, current, size);
            let limits: Vec<Limit> = limits(&case).filter(|limit| limit.is_shape() == shape).collect();
            let least = limits.iter().map(|limit| limit.least).max().unwrap_or(0);
            let most = limits.iter().map(|limit| limit.most).min().unwrap_or(u32::MAX);
            let bites = |limit: &Limit| size < limit.least || size > limit.most;
            for limit in limits.into_iter().filter(bites) {
                note(&mut findings, limit.rule.violation(Verdict::Clamp, limit.detail, String::new()));
            }
            // Towards a floor it goes as far as it may.
            size = if least > most { most.max(current) } else { size.clamp(least, most) };
        }
        if size == before {
            break;
        }
    }
    (size, findings)
}

/// Between which sizes one rule lets a change end.
struct Limit {
    rule: &'static Invariant,
    least: u32,
    most: u32,
    detail: String,
}

impl Limit {
    /// One size and no other: the nearest that looks as it must.
    fn is_shape(&self) -> bool {
        self.least == self.most
    }
}

fn limits(case: &Case) -> impl Iterator<Item = Limit> {
    invariant::all().filter(|rule| rule.severity == Severity::Clamp).filter_map(|rule| {
        match (rule.check)(case) {
            Finding::Clamp { least, most, detail } => Some(Limit { rule, least, most, detail }),
            Finding::Pass | Finding::Broken { .. } | Finding::Unknown { .. } | Finding::Silent { .. } => None,
        }
    })
}

/// Each rule is told once, with what it first said.
fn note(findings: &mut Vec<Violation>, one: Violation) {
    if findings.iter().all(|other| other.rule != one.rule) {
        findings.push(one);
    }
}

/// Asks every rule of this moment and collects every finding, not the first.
fn examine(case: &Case, wanted: &dyn Fn(&Invariant) -> bool) -> Vec<Violation> {
    let (mut findings, mut unknown) = (Vec::new(), Vec::new());
    for rule in invariant::all().filter(|rule| wanted(rule) && rule.moments.contains(&case.moment)) {
        match (rule.check)(case) {
            Finding::Unknown { detail } => unknown.push((rule.id, detail)),
            found @ (Finding::Pass
            | Finding::Clamp { .. }
            | Finding::Broken { .. }
            | Finding::Silent { .. }) => findings.extend(finding(rule, case, found)),
        }
    }
    // It is the first rule of the catalogue.
    let silence = silence(case, unknown, &findings);
    silence.into_iter().chain(findings).collect()
}

/// What nobody knows is one finding, however many rules would have asked for it: none of them has seen its own hazard.
/// Where EVID-1 or EVID-5 says what is silent, the others say the same of what they would have read there.
fn silence(case: &Case, unknown: Vec<(&str, String)>, findings: &[Violation]) -> Option<Violation> {
    let rule = invariant::all().find(|rule| rule.id == evid::KNOWN)?;
    let of = |own: bool| unknown.iter().filter(move |(id, _)| (*id == evid::KNOWN) == own);
    let told = of(true).next().is_some();
    if !told && findings.iter().any(|one| one.rule == evid::COVERAGE) {
        return None;
    }
    let details: Vec<String> = of(told).map(|(_, detail)| detail.clone()).collect();
    (!details.is_empty()).then(|| not_known(rule, case, &listed(details, "; ")))
}

/// What nobody knows is asked again, except right before destruction.
fn not_known(rule: &Invariant, case: &Case, detail: &str) -> Violation {
    let verdict = if case.moment == Moment::Destroy { Verdict::Deny } else { Verdict::Defer };
    let hint = "restore the source of this fact; nothing is removed meanwhile".to_owned();
    let violation = rule.violation(verdict, format!("not known: {detail}"), hint);
    Violation { unknown: true, ..violation }
}

fn finding(rule: &Invariant, case: &Case, found: Finding) -> Option<Violation> {
    match found {
        Finding::Pass => None,
        // A clamp that still bites at a step means that the world has moved: wait.
        Finding::Clamp { least, most, detail } => {
            let outside = case.to < least || case.to > most;
            outside.then(|| rule.violation(Verdict::Defer, detail, String::new()))
        }
        Finding::Broken { detail, hint } => {
            let verdict = match (rule.severity, case.moment) {
                (Severity::Deny, _) => Verdict::Deny,
                (Severity::Evidence, Moment::Destroy) => Verdict::Deny,
                (Severity::Evidence, Moment::Admission | Moment::Step) => Verdict::Defer,
                (Severity::Defer | Severity::Clamp, _) => Verdict::Defer,
            };
            Some(rule.violation(verdict, detail, hint))
        }
        Finding::Unknown { detail } | Finding::Silent { detail } => Some(not_known(rule, case, &detail)),
    }
}

fn verdict(size: Option<u32>, mut violations: Vec<Violation>) -> Judgement {
    violations.dedup();
    let verdict = violations.iter().map(|violation| violation.verdict).max().unwrap_or(Verdict::Allow);
    Judgement { verdict, size, violations }
}
