//! `spec.safety`: the invariants' parameters, which an owner may tighten or relax within hard bounds.
//!
//! [`LIMITS`] is the one table of them: it is read by the loader, and the reference is printed from it.
//! The defaults are those of [`Safety::default`], which the table looks up, so that they stand in one place.

mod form;

use crate::yaml::problem::{At, Sink, join, quote};
use crate::yaml::raw::{self, Any, Field, List, Raw, Scalar};
use crate::yaml::tree::Node;
use crate::yaml::unit;
use plimsoll_wire::safety::Safety;
use std::time::Duration;

/// One parameter of `spec.safety`.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The key below `spec.safety`.
    pub key: &'static str,
    /// The rule that it belongs to, as in the catalogue of invariants.
    pub rule: &'static str,
    /// What it holds and between which bounds.
    pub kind: Kind,
    /// What it means, in one line.
    pub doc: &'static str,
}

/// What a parameter holds. `floor` and `ceiling` are hard: no configuration reaches beyond them.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Milliseconds, written as a duration.
    Wait(Bounds<u64>),
    /// Bytes, written as a size.
    Bytes(Bounds<u64>),
    /// Thousandths, written as percent or as a fraction.
    Ratio(Bounds<u32>),
    /// A whole number.
    Count(Bounds<u32>),
    /// A switch.
    Switch(fn(&mut Safety) -> &mut bool),
    /// A switch whose default is the system profile's.
    ProfileSwitch(fn(&mut Safety) -> &mut Option<bool>),
    /// Names of groups.
    Names(fn(&mut Safety) -> &mut Vec<String>),
}

/// Between which values a parameter may be set, and where it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<T> {
    /// The least value.
    pub floor: T,
    /// The greatest value.
    pub ceiling: T,
    /// Where it is kept.
    pub slot: fn(&mut Safety) -> &mut T,
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Waits go down to one second and not to none: a wait of none is a rule that is switched off, and a rule
/// that tests need to be quick must still be seen to be there.
const LEAST_WAIT: u64 = SECOND;

/// No list of names in a document is longer: whoever accepts that hundreds of groups are unavailable wants
/// another rule.
const MAX_NAMES: usize = 64;

const fn wait(ceiling: u64, slot: fn(&mut Safety) -> &mut u64) -> Kind {
    Kind::Wait(Bounds { floor: LEAST_WAIT, ceiling, slot })
}

const fn ratio(floor: u32, ceiling: u32, slot: fn(&mut Safety) -> &mut u32) -> Kind {
    Kind::Ratio(Bounds { floor, ceiling, slot })
}

const fn count(floor: u32, ceiling: u32, slot: fn(&mut Safety) -> &mut u32) -> Kind {
    Kind::Count(Bounds { floor, ceiling, slot })
}

const fn limit(key: &'static str, rule: &'static str, kind: Kind, doc: &'static str) -> Limit {
    Limit { key, rule, kind, doc }
}

/// Every parameter of `spec.safety`.
pub const LIMITS: [Limit; 30] = [
    // Ten minutes is ten times the default: an older fact says nothing about a system that may have failed over since.
    limit(
        "maxAge",
        "EVID-1",
        wait(10 * MINUTE, |s| &mut s.max_age_ms),
        "How old a fact may be when a change is admitted and when a step begins.",
    ),
    // What is read directly is read within one request; a minute already allows for the slowest of them.
    limit(
        "directAge",
        "EVID-1",
        wait(MINUTE, |s| &mut s.direct_age_ms),
        "How old a fact may be right before something is destroyed.",
    ),
    // A day: an all-clear that must hold longer would never be given by a system that compacts nightly.
    limit("hold", "EVID-4", wait(DAY, |s| &mut s.hold_ms), "For how long an all-clear must have held."),
    limit(
        "warmup",
        "EVID-4",
        wait(DAY, |s| &mut s.warmup_ms),
        "How long the observer of an all-clear must have been up.",
    ),
    // One read is the least there is; a hundred, a cycle each, is already most of an hour.
    limit(
        "observations",
        "EVID-4",
        count(1, 100, |s| &mut s.observations),
        "How many reads in a row must give an all-clear.",
    ),
    limit(
        "leaderStable",
        "QUORUM-3",
        wait(DAY, |s| &mut s.leader_stable_ms),
        "For how long the leader must have been the same.",
    ),
    // Three further losses need nine voters, beyond which consensus systems advise against voters at all.
    limit(
        "tolerance",
        "QUORUM-4",
        count(0, 3, |s| &mut s.tolerance),
        "How many more losses a control group must survive.",
    ),
    limit(
        "allowEven",
        "QUORUM-5",
        Kind::Switch(|s| &mut s.allow_even),
        "Whether a plan may end at an even number of voters.",
    ),
    // etcd itself refuses to promote below nine tenths.
    limit(
        "promote",
        "QUORUM-6",
        ratio(900, 1_000, |s| &mut s.promote_permille),
        "How far a learner must have caught up with the leader.",
    ),
    // More than ten spare members is not a margin but another size.
    limit(
        "spare",
        "RED-1",
        count(0, 10, |s| &mut s.spare),
        "How many members must remain beyond the number of copies.",
    ),
    // A hundred degraded groups are an outage; whoever scales in one should say so in person.
    limit(
        "maxDegraded",
        "RED-2",
        count(0, 100, |s| &mut s.max_degraded),
        "How many groups may be degraded before a change.",
    ),
    limit(
        "acceptUnavailable",
        "RED-3",
        Kind::Names(|s| &mut s.accept_unavailable),
        "Groups that may be unavailable while a member is stopped.",
    ),
    // One domain is the owner's word that domains do not matter; ten is more than any region has.
    limit(
        "spread",
        "RED-5",
        count(1, 10, |s| &mut s.spread),
        "Over how many failure domains each group's copies are spread.",
    ),
    limit(
        "syncSpare",
        "RED-7",
        count(0, 10, |s| &mut s.sync_spare),
        "How many synchronous candidates must remain beyond those required.",
    ),
    // A gibibyte of lost writes is beyond anything that is called asynchronous by intention.
    limit(
        "maxLag",
        "RED-10",
        Kind::Bytes(Bounds { floor: 0, ceiling: 1 << 30, slot: |s| &mut s.max_lag_bytes }),
        "How many bytes of writes the owner accepts to lose.",
    ),
    // A hand-over that takes an hour has failed; the plan holds and somebody looks.
    limit(
        "handoverTimeout",
        "LEAD-2",
        wait(HOUR, |s| &mut s.handover_timeout_ms),
        "How long a hand-over of leadership may take before the plan holds.",
    ),
    limit(
        "leaderQuiet",
        "LEAD-3",
        wait(DAY, |s| &mut s.leader_quiet_ms),
        "For how long leadership must not have moved.",
    ),
    // A day without any progress is not slow, it stands.
    limit(
        "stall",
        "DRAIN-5",
        wait(DAY, |s| &mut s.stall_ms),
        "After how long without progress a plan holds.",
    ),
    // Under 5 % most storage engines turn read-only; with over 90 % nothing could ever be removed.
    limit(
        "headroom",
        "CAP-1",
        ratio(50, 900, |s| &mut s.headroom_permille),
        "Which part of each survivor's disk must stay free.",
    ),
    // A fair share is 1; nothing that balances at all puts ten times the fair share on one member.
    limit(
        "skew",
        "CAP-1",
        ratio(1_000, 10_000, |s| &mut s.skew_permille),
        "How much more than its fair share a survivor may receive.",
    ),
    // Queues grow without bound on the way to 100 %; under 10 % nothing could ever be removed.
    limit(
        "utilization",
        "CAP-3",
        ratio(100, 950, |s| &mut s.utilization_permille),
        "How busy a survivor's cpu, memory and network may become.",
    ),
    // A week: a wait that is longer than the load's own rhythm is a decision not to scale, see `scaleIn`.
    limit(
        "cooldownIn",
        "STEP-3",
        wait(7 * DAY, |s| &mut s.cooldown_in_ms),
        "The wait after any change before a scale-in, except for a person's wish.",
    ),
    limit(
        "cooldownOut",
        "STEP-3",
        wait(7 * DAY, |s| &mut s.cooldown_out_ms),
        "The wait after any change before a scale-out, except for a person's wish: so long that a signal shows the new size.",
    ),
    limit(
        "reverse",
        "STEP-4",
        wait(30 * DAY, |s| &mut s.reverse_ms),
        "The wait after a scale-out before a scale-in, except for a person's wish. A scale-out never waits for it.",
    ),
    limit(
        "sustain",
        "STEP-4",
        wait(7 * DAY, |s| &mut s.sustain_ms),
        "For how long the wish for a scale-in after a scale-out must have lasted.",
    ),
    // Everything in a day is the most there is; under 1 % of the members is never a whole one.
    limit(
        "fraction",
        "STEP-6",
        ratio(10, 1_000, |s| &mut s.fraction_permille),
        "Which part of the members may be removed in 24 hours.",
    ),
    // 100 % is one legal step at a time; ten times the size in one plan is no step any more.
    limit(
        "growth",
        "STEP-7",
        ratio(1_000, 10_000, |s| &mut s.growth_permille),
        "To how much of its size one plan may grow a target; one legal step is always allowed.",
    ),
    limit(
        "together",
        "DRAIN-2",
        count(1, 64, |s| &mut s.together),
        "How many units may come or go at the same time, where the system can; they are removed one after the other all the same.",
    ),
    limit(
        "scaleIn",
        "FLOOR-4",
        Kind::ProfileSwitch(|s| &mut s.scale_in),
        "Whether members may be removed at all; the system profile's word where absent.",
    ),
    limit(
        "approveScaleIn",
        "FLOOR-4",
        Kind::Switch(|s| &mut s.approve_scale_in),
        "Whether a scale-in waits for a person's approval.",
    ),
];

/// The reference of `spec.safety`, as a table in Markdown.
pub fn safety_reference() -> String {
    let mut table =
        String::from("| key | rule | default | least | most | what it means |\n|---|---|---|---|---|---|\n");
    for limit in &LIMITS {
        let (least, most) = limit.bounds_text().unwrap_or_default();
        let Limit { key, rule, doc, .. } = limit;
        table.push_str(&format!(
            "| `{key}` | {rule} | {} | {least} | {most} | {doc} |\n",
            limit.default_text()
        ));
    }
    table
}

impl Limit {
    /// The default, as an owner would write it.
    pub fn default_text(&self) -> String {
        self.text_of(&mut Safety::default())
    }

    /// The value in force, as an owner would write it.
    pub fn text_of(&self, safety: &mut Safety) -> String {
        match self.kind {
            Kind::Wait(bounds) => show_wait(*(bounds.slot)(safety)),
            Kind::Bytes(bounds) => unit::show_bytes(*(bounds.slot)(safety)),
            Kind::Ratio(bounds) => unit::show_permille((*(bounds.slot)(safety)).into()),
            Kind::Count(bounds) => (bounds.slot)(safety).to_string(),
            Kind::Switch(slot) => slot(safety).to_string(),
            Kind::ProfileSwitch(slot) => slot(safety).map_or("the profile's", show_switch).to_owned(),
            Kind::Names(slot) => format!("[{}]", slot(safety).join(", ")),
        }
    }

    /// The least and the greatest value, as an owner would write them; none where there are no bounds.
    pub fn bounds_text(&self) -> Option<(String, String)> {
        match self.kind {
            Kind::Wait(bounds) => Some((show_wait(bounds.floor), show_wait(bounds.ceiling))),
            Kind::Bytes(bounds) => Some((unit::show_bytes(bounds.floor), unit::show_bytes(bounds.ceiling))),
            Kind::Ratio(bounds) => {
                Some((unit::show_permille(bounds.floor.into()), unit::show_permille(bounds.ceiling.into())))
            }
            Kind::Count(bounds) => Some((bounds.floor.to_string(), bounds.ceiling.to_string())),
            Kind::Switch(_) | Kind::ProfileSwitch(_) | Kind::Names(_) => None,
        }
    }

    fn set(&self, any: &Any, safety: &mut Safety, sink: &mut Sink) -> Option<()> {
        if let Kind::Names(slot) = self.kind {
            *slot(safety) = names(&List::read(&any.node, any.at.clone(), sink)?, sink);
            return Some(());
        }
        let scalar = Scalar::read(&any.node, any.at.clone(), sink)?;
        match self.kind {
            Kind::Wait(bounds) => {
                let range = Duration::from_millis(bounds.floor)..=Duration::from_millis(bounds.ceiling);
                let wait = scalar.duration(range, sink);
                *(bounds.slot)(safety) = u64::try_from(wait.as_millis()).unwrap_or(bounds.ceiling);
            }
            Kind::Bytes(bounds) => *(bounds.slot)(safety) = scalar.bytes(bounds.floor..=bounds.ceiling, sink),
            Kind::Ratio(bounds) => {
                let value = scalar.permille(bounds.floor.into()..=bounds.ceiling.into(), sink);
                *(bounds.slot)(safety) = u32::try_from(value).unwrap_or(bounds.floor);
            }
            Kind::Count(bounds) => *(bounds.slot)(safety) = scalar.count(bounds.floor..=bounds.ceiling, sink),
            Kind::Switch(slot) => *slot(safety) = scalar.switch(sink),
            Kind::ProfileSwitch(slot) => *slot(safety) = Some(scalar.switch(sink)),
            Kind::Names(_) => {}
        }
        Some(())
    }
}

fn show_switch(on: bool) -> &'static str {
    if on { "true" } else { "false" }
}

fn show_wait(ms: u64) -> String {
    unit::show_duration(Duration::from_millis(ms))
}

fn names(list: &List<Scalar>, sink: &mut Sink) -> Vec<String> {
    if list.items.len() > MAX_NAMES {
        sink.add(&list.at, format!("has more than {MAX_NAMES} names"), "");
    }
    list.items.iter().map(|name| name.text(sink)).collect()
}

/// `spec.safety` as it is written.
#[derive(Debug)]
pub(super) struct RawSafety {
    at: At,
    fields: Vec<(&'static Limit, Field<Any>)>,
}

impl Raw for RawSafety {
    fn read(node: &Node, at: At, sink: &mut Sink) -> Option<Self> {
        let mut map = raw::Map::of(node, at, sink)?;
        map.refuse_unknown(&LIMITS.map(|limit| limit.key), sink);
        let fields = LIMITS.iter().map(|limit| (limit, map.field(limit.key, sink))).collect();
        Some(Self { at: map.at, fields })
    }
}

/// The safety parameters in force: the defaults, and what the owner wrote over them.
pub(super) fn safety(raw: &Field<RawSafety>, sink: &mut Sink) -> Safety {
    let mut safety = Safety::default();
    let Some(raw) = raw.get() else { return safety };
    let before = sink.len();
    for (limit, field) in &raw.fields {
        if let Some(any) = field.get() {
            limit.set(any, &mut safety, sink);
        }
    }
    // Contradictions among values that were not read would only repeat the problem.
    if sink.len() == before {
        contradictions(raw, &safety, sink);
    }
    safety
}

fn contradictions(raw: &RawSafety, safety: &Safety, sink: &mut Sink) {
    if safety.direct_age_ms > safety.max_age_ms {
        let hint = "what is destroyed needs fresher facts than what is admitted: set `directAge` to `maxAge` or less";
        raw.clash("directAge", safety.direct_age_ms, "maxAge", safety.max_age_ms, "longer", hint, sink);
    }
    let cooldown = [("cooldownIn", safety.cooldown_in_ms), ("cooldownOut", safety.cooldown_out_ms)];
    let Some((key, longest)) = cooldown.into_iter().max_by_key(|(_, wait)| *wait) else { return };
    if safety.reverse_ms < longest {
        let hint =
            "a change of direction waits at least as long as a change: raise `reverse` or lower the cooldown";
        raw.clash("reverse", safety.reverse_ms, key, longest, "shorter", hint, sink);
    }
}

impl RawSafety {
    #[expect(
        clippy::too_many_arguments,
        reason = "two keys with their values, the relation between them and the advice"
    )]
    fn clash(
        &self,
        key: &str,
        value: u64,
        other: &str,
        bound: u64,
        relation: &str,
        hint: &str,
        sink: &mut Sink,
    ) {
        let message = format!(
            "{} is {relation} than `{other}`, {}",
            quote(&show_wait(value)),
            quote(&show_wait(bound))
        );
        sink.add(&self.place_of(key, other), message, hint);
    }

    /// Where `key` was written, else where `other` was: one of the two was, or they would not clash.
    fn place_of(&self, key: &str, other: &str) -> At {
        let written = |key: &str| {
            let field = self.fields.iter().find(|(limit, _)| limit.key == key)?;
            field.1.get().map(|any| &any.at)
        };
        let place = written(key).or_else(|| written(other)).unwrap_or(&self.at);
        At { path: join(&self.at.path, key), ..place.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_lies_within_its_bounds() {
        let mut safety = Safety::default();
        for limit in &LIMITS {
            let inside = match limit.kind {
                Kind::Wait(b) | Kind::Bytes(b) => (b.floor..=b.ceiling).contains((b.slot)(&mut safety)),
                Kind::Ratio(b) | Kind::Count(b) => (b.floor..=b.ceiling).contains((b.slot)(&mut safety)),
                Kind::Switch(_) | Kind::ProfileSwitch(_) | Kind::Names(_) => true,
            };
            assert!(inside, "{}", limit.key);
        }
    }

    /// A parameter that the wire type has and the table lacks could not be set.
    #[test]
    fn the_table_reaches_every_field_of_the_wire_type_once() {
        let fields = |safety: &Safety| match serde_json::to_value(safety) {
            Ok(serde_json::Value::Object(map)) => map,
            other => panic!("{other:?}"),
        };
        let default = fields(&Safety::default());
        let mut reached = std::collections::BTreeSet::new();
        for limit in &LIMITS {
            let mut safety = Safety::default();
            match limit.kind {
                Kind::Wait(b) | Kind::Bytes(b) => *(b.slot)(&mut safety) += 1,
                Kind::Ratio(b) | Kind::Count(b) => *(b.slot)(&mut safety) += 1,
                Kind::Switch(slot) => *slot(&mut safety) ^= true,
                Kind::ProfileSwitch(slot) => *slot(&mut safety) = Some(true),
                Kind::Names(slot) => slot(&mut safety).push("x".to_owned()),
            }
            let changed: Vec<_> =
                fields(&safety).into_iter().filter(|(key, value)| default[key] != *value).collect();
            assert_eq!(changed.len(), 1, "{}", limit.key);
            assert!(
                changed[0].0.starts_with(limit.key) || limit.key == "promote",
                "{}: {}",
                limit.key,
                changed[0].0
            );
            reached.insert(changed[0].0.clone());
        }
        assert_eq!(reached.len(), default.len());
    }
}
