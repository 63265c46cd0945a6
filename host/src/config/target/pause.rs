//! Pauses and approvals in a document's annotations: `plimsoll.dev/paused` and its like, each with who, why and, where
//! it ends, until when; and the plan that its owner approves.

use crate::yaml::problem::{Sink, nearest, quote};
use crate::yaml::raw::{Field, Named, Scalar};
use std::ops::RangeInclusive;

/// What Kubernetes allows an object's annotations in all is 256 KiB; ours are a dozen.
const MAX_ANNOTATIONS: usize = 128;
/// A sentence: it is shown in every decision that it stops.
const MAX_WHY: usize = 256;

const PREFIX: &str = "plimsoll.dev/";
const ALL: &str = "paused";
const SCALE_IN: &str = "paused-scale-in";
const SCALE_OUT: &str = "paused-scale-out";
const SIZE: &str = "paused-replicas";
const APPROVE: &str = "approve";
/// What is approved names each member that goes: more than a hundred at a time nobody reads through.
const MAX_APPROVAL: usize = 4_096;

const HINT: &str =
    "write who and why, and until when if it ends: `ann: disk swap; until 2026-02-01T12:00:00Z`";
/// The form of an end, of which every slip would be none.
const END_HINT: &str = "an end stands last, behind a semicolon: `ann: disk swap; until 2026-02-01T12:00:00Z`";

/// One pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Who and why, in the owner's words, with the end if there is one.
    pub why: String,
    /// When it ends, in milliseconds since 1970.
    pub until_wall_ms: Option<i64>,
}

/// The pauses of a document, those that have ended included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    /// Nothing begins and nothing goes on.
    pub all: Option<Pause>,
    /// No member goes.
    pub scale_in: Option<Pause>,
    /// No member comes.
    pub scale_out: Option<Pause>,
    /// So many members, whatever the policies wish.
    pub size: Option<(u32, Pause)>,
}

impl Pauses {
    /// Why nothing at all is done at a moment, in milliseconds since 1970.
    #[must_use]
    pub fn held_at(&self, wall_ms: i64) -> Option<String> {
        self.all.as_ref()?.at(wall_ms)
    }

    /// The other pauses in force at a moment, in milliseconds since 1970.
    #[must_use]
    pub fn at(&self, wall_ms: i64) -> plimsoll_core::pauses::Pauses {
        let why = |pause: &Option<Pause>| pause.as_ref().and_then(|pause| pause.at(wall_ms));
        let size = self.size.as_ref().and_then(|(members, pause)| Some((*members, pause.at(wall_ms)?)));
        plimsoll_core::pauses::Pauses { scale_in: why(&self.scale_in), scale_out: why(&self.scale_out), size }
    }
}

impl Pause {
    fn at(&self, wall_ms: i64) -> Option<String> {
        self.until_wall_ms.is_none_or(|until| wall_ms < until).then(|| self.why.clone())
    }
}

/// Reads the annotations; a size must lie within `bounds`. Other people's annotations are let be.
pub(super) fn pauses(field: &Field<Named<Scalar>>, bounds: RangeInclusive<u32>, sink: &mut Sink) -> Pauses {
    let mut pauses = Pauses::default();
    let Some(named) = field.get() else { return pauses };
    if let Some((name, _)) = named.items.get(MAX_ANNOTATIONS) {
        sink.add(&name.at, format!("is one of more than {MAX_ANNOTATIONS}"), "");
    }
    for (name, value) in named.items.iter().take(MAX_ANNOTATIONS) {
        if value.text.contains(char::is_control) {
            sink.add(&value.at, "has a control character", "write it in one line of plain text");
        }
        match name.text.strip_prefix(PREFIX) {
            None => {}
            Some(ALL) => pauses.all = pause(value, &value.text, sink),
            Some(SCALE_IN) => pauses.scale_in = pause(value, &value.text, sink),
            Some(SCALE_OUT) => pauses.scale_out = pause(value, &value.text, sink),
            Some(SIZE) => pauses.size = size(value, &bounds, sink),
            Some(APPROVE) => {}
            Some(ours) => unknown(name, ours, sink),
        }
    }
    pauses
}

/// The plan that is approved, word for word as the status shows it.
pub(super) fn approve(field: &Field<Named<Scalar>>, sink: &mut Sink) -> Option<String> {
    let is_it = |(name, _): &&(Scalar, Scalar)| name.text.strip_prefix(PREFIX) == Some(APPROVE);
    let (_, value) = field.get()?.items.iter().find(is_it)?;
    if value.text.trim().is_empty() {
        sink.add(&value.at, "names no plan", "write what `plimsoll status` shows, word for word");
    }
    if value.text.len() > MAX_APPROVAL {
        sink.add(&value.at, format!("is longer than {MAX_APPROVAL} bytes"), "");
        return None;
    }
    Some(value.text.trim().to_owned())
}

/// A slip in one of ours would leave a target running that its owner takes for paused.
fn unknown(name: &Scalar, ours: &str, sink: &mut Sink) {
    let known = [ALL, SCALE_IN, SCALE_OUT, SIZE, APPROVE];
    let hint = match nearest(ours, known) {
        Some(meant) => format!("did you mean `{PREFIX}{meant}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    sink.add(&name.at, "is not a known annotation", hint);
}

/// `WHO: WHY`, or `WHO: WHY; until TIME`.
fn pause(value: &Scalar, text: &str, sink: &mut Sink) -> Option<Pause> {
    let why = text.trim();
    let end = why.rsplit_once(';').and_then(|(note, end)| Some((note, end.trim().strip_prefix("until ")?)));
    let note = end.map_or(why, |(note, _)| note).trim();
    let says_both =
        note.split_once(':').is_some_and(|(who, why)| !who.trim().is_empty() && !why.trim().is_empty());
    if note.is_empty() || why.starts_with("until ") {
        sink.add(&value.at, "says neither who nor why", HINT);
        return None;
    }
    if !says_both {
        sink.add(&value.at, format!("{} does not say who and why", quote(note)), HINT);
        return None;
    }
    if let Some(word) = end_in(note) {
        sink.add(&value.at, format!("{} in the reason looks like an end and is none", quote(word)), END_HINT);
        return None;
    }
    if why.len() > MAX_WHY {
        sink.add(&value.at, format!("is longer than {MAX_WHY} bytes"), "");
        return None;
    }
    let until_wall_ms = match end.map(|(_, time)| (time, time.trim().parse::<jiff::Timestamp>())) {
        None => None,
        Some((_, Ok(time))) => Some(time.as_millisecond()),
        Some((time, Err(_))) => {
            let message = format!("{} is not a time with its offset from UTC", quote(time.trim()));
            sink.add(&value.at, message, "write it like `2026-02-01T12:00:00Z`");
            return None;
        }
    };
    Some(Pause { why: why.to_owned(), until_wall_ms })
}

/// A word of a reason that is meant to end the pause, as far as can be told.
fn end_in(note: &str) -> Option<&str> {
    let mut words = note.split_whitespace().map(|word| word.trim_matches([',', ';', '.', ':']));
    words.find(|word| word.eq_ignore_ascii_case("until") || word.parse::<jiff::Timestamp>().is_ok())
}

/// `N; WHO: WHY`, or `N; WHO: WHY; until TIME`.
fn size(value: &Scalar, bounds: &RangeInclusive<u32>, sink: &mut Sink) -> Option<(u32, Pause)> {
    let hint = "write the number, who and why: `5; ann: campaign; until 2026-02-01T12:00:00Z`";
    let (number, rest) = value.text.split_once(';').unwrap_or((&value.text, ""));
    let Ok(members) = number.trim().parse::<u32>() else {
        sink.add(&value.at, format!("{} is not a number of members", quote(number.trim())), hint);
        return None;
    };
    if !bounds.contains(&members) {
        let message = format!("`{members}` is not between `minReplicas` and `maxReplicas`");
        sink.add(&value.at, message, format!("write a number from {} to {}", bounds.start(), bounds.end()));
        return None;
    }
    if rest.trim().is_empty() {
        sink.add(&value.at, "says neither who nor why", hint);
        return None;
    }
    Some((members, pause(value, rest, sink)?))
}
