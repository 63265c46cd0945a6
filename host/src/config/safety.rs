//! `spec.safety`: the invariants' parameters, which an owner may tighten or relax within hard bounds.
//!
//! [`LIMITS`] is the one table of them: it is read by the loader, and the reference is printed from it.
//! The defaults are those of [`Safety::default`], which the table looks up, so that they stand in one place.

mod form;
mod limits;

pub use limits::LIMITS;

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

/// No list of names in a document is longer: an owner who accepts that hundreds of groups are unavailable wants
/// another rule.
const MAX_NAMES: usize = 64;

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
mod tests;
