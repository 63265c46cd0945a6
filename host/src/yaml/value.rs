//! From text to values: each reader reports what is wrong and then gives a stand-in, so that the reading
//! goes on and finds the next problem too. A document with a problem is never used.

use super::problem::{At, Sink, join, nearest, quote};
use super::raw::{Any, Field, Scalar};
use super::tree::{Entry, Node, Value};
use super::unit::{self, Unreadable};
use super::words::{read_otherwise, taken_for};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest text value that is read anywhere but in a query: no name, path or address needs more.
pub(crate) const MAX_TEXT: usize = 1_024;

impl Scalar {
    /// A duration within bounds.
    pub(crate) fn duration(&self, bounds: RangeInclusive<Duration>, sink: &mut Sink) -> Duration {
        self.bounded(unit::duration(&self.text), bounds, unit::show_duration, sink)
    }

    /// Bytes within bounds.
    pub(crate) fn bytes(&self, bounds: RangeInclusive<u64>, sink: &mut Sink) -> u64 {
        self.bounded(unit::bytes(&self.text), bounds, unit::show_bytes, sink)
    }

    /// A ratio within bounds, in thousandths.
    pub(crate) fn permille(&self, bounds: RangeInclusive<u64>, sink: &mut Sink) -> u64 {
        let read = unit::permille(&self.text);
        if let Ok(value) = read
            && value > *bounds.end()
            && unit::whole(&self.text).is_ok_and(|percent| bounds.contains(&(percent.saturating_mul(10))))
        {
            // `25` is far more often meant as 25 % than as 25 times.
            let message = format!("{} is {}", quote(&self.text), unit::show_permille(value));
            sink.add(&self.at, message, format!("if percent are meant, write `{}%`", self.text));
            return *bounds.start();
        }
        self.bounded(read, bounds, unit::show_permille, sink)
    }

    /// A whole number within bounds.
    pub(crate) fn whole(&self, bounds: RangeInclusive<u64>, sink: &mut Sink) -> u64 {
        if !self.plain && unit::whole(&self.text).is_ok() {
            sink.add(&self.at, format!("{} is text", quote(&self.text)), "write the number without quotes");
            return *bounds.start();
        }
        self.bounded(unit::whole(&self.text), bounds, |value| value.to_string(), sink)
    }

    /// The file name of a policy's module.
    pub(crate) fn module(&self, sink: &mut Sink) -> String {
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let name = &self.text;
        if !name.ends_with(".wasm")
            || name.starts_with('.')
            || name.len() > 128
            || !name.bytes().all(harmless)
        {
            let hint = "write the name of a file in the policies' directory, like `target-utilization.wasm`";
            sink.add(&self.at, format!("{} is not a module's name", quote(name)), hint);
        }
        name.clone()
    }

    fn bounded<T: Copy + PartialOrd>(
        &self,
        read: Result<T, Unreadable>,
        bounds: RangeInclusive<T>,
        show: impl Fn(T) -> String,
        sink: &mut Sink,
    ) -> T {
        let (floor, ceiling) = bounds.into_inner();
        let allowed = || format!("write a value from `{}` to `{}`", show(floor), show(ceiling));
        match read {
            Err(problem) => sink.add(&self.at, problem.message, problem.hint),
            Ok(value) if value < floor => {
                let message = format!("{} is below the least that is allowed", quote(&self.text));
                sink.add(&self.at, message, allowed());
            }
            Ok(value) if value > ceiling => {
                let message = format!("{} is above the most that is allowed", quote(&self.text));
                sink.add(&self.at, message, allowed());
            }
            Ok(value) => return value,
        }
        floor
    }

    /// A whole number within bounds.
    pub(crate) fn count(&self, bounds: RangeInclusive<u32>, sink: &mut Sink) -> u32 {
        let (floor, ceiling) = bounds.into_inner();
        u32::try_from(self.whole(floor.into()..=ceiling.into(), sink)).unwrap_or(floor)
    }

    /// A switch.
    pub(crate) fn switch(&self, sink: &mut Sink) -> bool {
        match self.text.as_str() {
            "true" if self.plain => true,
            "false" if self.plain => false,
            _ => {
                let message = format!("{} is neither true nor false", quote(&self.text));
                sink.add(&self.at, message, "write `true` or `false`, without quotes");
                false
            }
        }
    }

    /// Refuses text without quotes that others read otherwise.
    pub(crate) fn quoted(&self, sink: &mut Sink) {
        if let Some(what) = taken_for(&self.text).filter(|_| self.plain) {
            otherwise(&self.at, &self.text, what, sink);
        }
    }

    /// One of several words.
    pub(crate) fn choice<T: Copy>(&self, words: &[(&str, T)], stand_in: T, sink: &mut Sink) -> T {
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == self.text) {
            return *value;
        }
        let known = words.iter().map(|(word, _)| *word);
        if let Some(what) = taken_for(&self.text).filter(|_| self.plain) {
            let one_of = known.collect::<Vec<_>>().join(", ");
            let message =
                format!("{} is {what} without quotes, and no word that is known here", quote(&self.text));
            sink.add(
                &self.at,
                message,
                format!("write one of: {one_of}; in quotes where others take it for {what}"),
            );
            return stand_in;
        }
        let hint = match nearest(&self.text, known.clone()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("one of: {}", known.collect::<Vec<_>>().join(", ")),
        };
        sink.add(&self.at, format!("{} is not known", quote(&self.text)), hint);
        stand_in
    }

    /// Text that is not empty.
    pub(crate) fn text(&self, sink: &mut Sink) -> String {
        self.quoted(sink);
        if self.text.trim().is_empty() {
            sink.add(&self.at, "is empty", "give it a value or remove the key");
        } else if self.text.len() > MAX_TEXT {
            sink.add(&self.at, format!("is longer than {MAX_TEXT} bytes"), "");
        } else if self.text.contains(char::is_control) {
            sink.add(&self.at, format!("{} has a control character", quote(&self.text)), "remove it");
        }
        self.text.clone()
    }

    /// A name in the sense of DNS: what Kubernetes accepts, what is harmless in a path, and in a metric.
    pub(crate) fn name(&self, sink: &mut Sink) -> String {
        self.quoted(sink);
        if !is_dns_label(&self.text) {
            let hint = "at most 63 lowercase letters, digits and `-`, with a letter or digit at both ends";
            sink.add(&self.at, format!("{} is not a name", quote(&self.text)), hint);
        }
        self.text.clone()
    }
}

/// A duration as the machines count it.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Field<Scalar> {
    /// A path; a relative one starts at `base`.
    pub(crate) fn path(&self, base: &Path, sink: &mut Sink) -> Option<PathBuf> {
        self.get().map(|path| base.join(path.text(sink)))
    }

    /// A duration within bounds, or the default.
    pub(crate) fn wait(
        &self,
        default: Duration,
        bounds: RangeInclusive<Duration>,
        sink: &mut Sink,
    ) -> Duration {
        self.get().map_or(default, |wait| wait.duration(bounds, sink))
    }
}

fn otherwise(at: &At, text: &str, what: &str, sink: &mut Sink) {
    let message = format!("{} without quotes is {what} to some readers of YAML, such as Helm", quote(text));
    sink.add(at, message, "write it in quotes");
}

/// Whether a text is a DNS label (RFC 1123).
pub(crate) fn is_dns_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A node as JSON, for what is a policy's own to judge. What has no JSON form is reported.
pub(crate) fn json(any: &Any, sink: &mut Sink) -> serde_json::Value {
    node_json(&any.node, &any.at.path, sink)
}

pub(crate) fn node_json(node: &Node, path: &str, sink: &mut Sink) -> serde_json::Value {
    let at = At { line: node.line, column: node.column, path: path.to_owned() };
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Scalar { text, plain: false } => text.clone().into(),
        Value::Scalar { text, plain: true } => plain_json(text, &at, sink),
        Value::List(items) => {
            let item = |(index, node)| node_json(node, &format!("{path}[{index}]"), sink);
            items.iter().enumerate().map(item).collect()
        }
        Value::Map(entries) => {
            let entry =
                |entry: &Entry| (entry.key.clone(), node_json(&entry.node, &join(path, &entry.key), sink));
            serde_json::Value::Object(entries.iter().map(entry).collect())
        }
    }
}

/// Text without quotes: a switch or a number where it looks like one, by YAML's core schema.
fn plain_json(text: &str, at: &At, sink: &mut Sink) -> serde_json::Value {
    if let Some(what) = read_otherwise(text) {
        let message =
            format!("{} without quotes is {what} to some readers of YAML, such as Helm", quote(text));
        let hint = "write it in quotes, or a number with digits only, or `true` or `false`";
        sink.add(at, message, hint);
        return serde_json::Value::Null;
    }
    match text {
        "true" | "True" | "TRUE" => return true.into(),
        "false" | "False" | "FALSE" => return false.into(),
        _ => {}
    }
    let lower = text.to_ascii_lowercase();
    if matches!(lower.trim_start_matches(['+', '-']), ".nan" | ".inf" | "nan" | "inf" | "infinity") {
        sink.add(
            at,
            format!("{} is not a finite number", quote(text)),
            "write a number, or put text in quotes",
        );
        return serde_json::Value::Null;
    }
    if let Some(whole) = whole_json(text) {
        return whole.unwrap_or_else(|| {
            sink.add(at, format!("{} is too large for a number", quote(text)), "put it in quotes");
            serde_json::Value::Null
        });
    }
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    match text.parse::<f64>() {
        Ok(number) if numeric && number.is_finite() => number.into(),
        Ok(_) if numeric => {
            sink.add(at, format!("{} is too large for a number", quote(text)), "");
            serde_json::Value::Null
        }
        Ok(_) | Err(_) => text.into(),
    }
}

/// A whole number, decimal or hexadecimal (`0x1f`). One that no JSON reader would keep whole gives `Some(None)`.
fn whole_json(text: &str) -> Option<Option<serde_json::Value>> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text.strip_prefix(['-', '+']).unwrap_or(text), 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let value = i64::from_str_radix(digits, radix).ok();
    Some(value.map(|value| if text.starts_with('-') { -value } else { value }.into()))
}
