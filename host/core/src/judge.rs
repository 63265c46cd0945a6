//! The one judge (`decisions.md` D1): is this change safe, in this snapshot, at this moment?
//!
//! It reads nothing and changes nothing. Its callers are the cycle, the offline "what if", the re-check
//! before destruction and, later, the admission review.

mod ahead;

use crate::case::Case;
use crate::change::{Change, Moment};
use crate::invariant::{self, Finding, Invariant, Severity, evid, listed, mutex};
use crate::plan;
use crate::snapshot::{fresh, sorted};
use plimsoll_wire::record::{Judgement, Verdict, Violation};
use plimsoll_wire::snapshot::Snapshot;

/// What the judge says, or what it must see first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// All findings.
    Verdict(Judgement),
    /// Everything, read past every cache.
    NeedFacts,
}

/// Judges a change. `direct` tells whether the snapshot was read past every cache.
#[must_use]
pub fn judge(change: &Change, snapshot: &Snapshot, direct: bool) -> Judged {
    let moment = change.moment(&snapshot.profile);
    if moment == Moment::Destroy && !direct {
        return Judged::NeedFacts;
    }
    let young = fresh(snapshot, max_age_ms(moment, snapshot));
    let snapshot = &*sorted(&young);
    match change {
        Change::Wish { to, .. } => Judged::Verdict(admit(change, *to, snapshot)),
        Change::Effect { plan, subject, .. } => {
            let case = Case::effect(change, plan, subject, snapshot);
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

/// Clamp, then deny, then defer, on the clamped size. What the wish itself would have hurt is told too.
fn admit(change: &Change, wished: u32, snapshot: &Snapshot) -> Judgement {
    let Some(current) = plan::current_size(snapshot) else {
        let case = Case::wish(change, snapshot, wished, wished);
        // Nothing begins from a size that nobody knows: EVID-1 says so.
        return verdict(None, examine(&case, &|rule| rule.severity != Severity::Clamp));
    };
    // Bounds and shapes are those of what would be there by now, had dry run acted.
    let counted = plan::counted_size(snapshot).unwrap_or(current);
    let (size, mut findings) = clamp(change, wished, counted, snapshot);
    if wished == counted && size == counted {
        // No change is wanted: there is nothing that could be unsafe.
        return verdict(Some(size), findings);
    }
    // A clamp down to nothing must still tell why the wish was dangerous, so the wish itself is judged then.
    let judged = if size == counted { wished } else { size };
    let case = Case::wish(change, snapshot, current, judged);
    // While a plan of ours runs nothing else begins, and what the other rules see is its own doing (a learner on its
    // way, a member that is not at work yet): the plan is the reason.
    let runs = snapshot.plan.is_some();
    let asked = |rule: &Invariant| {
        if runs { rule.id == mutex::ONE_OPERATION } else { rule.severity != Severity::Clamp }
    };
    findings.extend(examine(&case, &asked));
    if wished == 0 && judged != 0 {
        let raw = Case::wish(change, snapshot, current, 0);
        findings.extend(examine(&raw, &|rule| rule.id == "FLOOR-3"));
    }
    // Where something stands in the way already, that is told; else what would stand in the way later.
    if !runs && findings.iter().all(|one| one.verdict <= Verdict::Clamp) {
        let later = ahead::of_plan(snapshot, current, size);
        later.into_iter().for_each(|one| note(&mut findings, one));
    }
    verdict(Some(size), findings)
}

/// Intersects what all clamps allow. Clamps only move a size towards the present one (or up to a floor); an
/// empty intersection means the present size, or what may be reached of the floor. Bounds are asked of the wish itself, so that each that it breaks is
/// told; what a size must look like (odd, whole units) is asked of what is left.
fn clamp(change: &Change, wished: u32, current: u32, snapshot: &Snapshot) -> (u32, Vec<Violation>) {
    let (mut size, mut findings) = (wished, Vec::new());
    // Each pass may only move the size towards the present one, so this ends; the bound is for the reader.
    for _ in 0..4 {
        let before = size;
        for shape in [false, true] {
            let case = Case::wish(change, snapshot, current, size);
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
    Judgement { verdict, sizes: size.into(), violations }
}
