//! What a key may hold, as a schema of Kubernetes: the API server refuses at once what the reader would refuse later.
//! It stands beside the key in its declaration (`raw!`). It must never be stricter than the reader. What it lets pass
//! and the reader refuses shows in the status.

use super::unit;
use crate::kubernetes::structural::OPEN;
use serde_json::{Map, Value, json};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Rules across the fields of a value, in CEL.
const RULES: &str = "x-kubernetes-validations";
const DURATION: &str = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";
const SIZE: &str = r"^[0-9]+(\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$";
const RATIO: &str = r"^[0-9]+(\.[0-9]+)?[m%]?$";
const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// Nobody writes a longer duration, size or ratio; the server asks for a bound before it compares any.
const MAX_WORD: usize = 64;
const MILLIS_A_DAY: u128 = 86_400_000;

/// The form of one key's value.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    schema: Map<String, Value>,
    required: bool,
}

impl Form {
    fn of(schema: &Value) -> Self {
        Self { schema: schema.as_object().cloned().unwrap_or_default(), required: false }
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.schema.insert(key.to_owned(), value);
        self
    }

    /// What it means, as `kubectl explain` tells it.
    pub(crate) fn doc(self, doc: &str) -> Self {
        self.with("description", json!(doc))
    }

    /// Nothing works without it.
    pub(crate) fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// What must hold, and what is said otherwise: what is wrong and what to do.
    pub(crate) fn rule(mut self, rule: &str, message: &str) -> Self {
        let rules = self.schema.entry(RULES).or_insert_with(|| json!([]));
        if let Some(rules) = rules.as_array_mut() {
            rules.push(json!({ "rule": rule, "message": message }));
        }
        self
    }

    /// The schema.
    pub(crate) fn schema(self) -> Value {
        Value::Object(self.schema)
    }
}

/// A map with these keys.
pub(crate) fn map<'a>(keys: impl IntoIterator<Item = (&'a str, Form)>) -> Form {
    let (mut required, mut properties) = (Vec::new(), Map::new());
    for (key, form) in keys {
        if form.required {
            required.push(key);
        }
        properties.insert(key.to_owned(), form.schema());
    }
    let form = Form::of(&json!({ "type": "object", "properties": properties }));
    if required.is_empty() { form } else { form.with("required", json!(required)) }
}

/// A map of somebody else's own.
pub(crate) fn open_map() -> Form {
    Form::of(&json!({ "type": "object", OPEN: true, "nullable": true }))
}

/// A list.
pub(crate) fn list(items: Form, most: usize) -> Form {
    Form::of(&json!({ "type": "array", "items": items.schema(), "maxItems": most }))
}

/// A list whose items have a `name` that no other one has.
pub(crate) fn named_list(items: Form, most: usize) -> Form {
    list(items, most)
        .with("x-kubernetes-list-type", json!("map"))
        .with("x-kubernetes-list-map-keys", json!(["name"]))
}

/// A list that is not empty.
pub(crate) fn some(items: Form, most: usize) -> Form {
    list(items, most).with("minItems", json!(1))
}

/// One of several words: the very table that the reader chooses from.
pub(crate) fn words<T>(table: &[(&str, T)]) -> Form {
    let words: Vec<&str> = table.iter().map(|(word, _)| *word).collect();
    Form::of(&json!({ "type": "string", "enum": words }))
}

/// One of several words, or `false`, which YAML 1.1 makes of `off`. The server knows no type that is text or a switch.
pub(crate) fn words_or_false<T>(table: &[(&str, T)]) -> Form {
    let words = table.iter().map(|(word, _)| json!(word)).chain([json!(false)]);
    Form::of(&json!({ OPEN: true, "enum": words.collect::<Vec<_>>() }))
}

/// A DNS label.
pub(crate) fn name() -> Form {
    text(63).with("minLength", json!(1)).with("pattern", json!(LABEL))
}

/// Text of so many bytes; the server counts letters, which are no more.
pub(crate) fn text(most: usize) -> Form {
    Form::of(&json!({ "type": "string", "maxLength": most }))
}

/// Text that a pattern fits.
pub(crate) fn pattern(pattern: &str, most: usize) -> Form {
    text(most).with("pattern", json!(pattern))
}

/// A switch.
pub(crate) fn switch() -> Form {
    Form::of(&json!({ "type": "boolean" }))
}

/// A whole number.
pub(crate) fn whole(bounds: RangeInclusive<u32>) -> Form {
    Form::of(&json!({ "type": "integer", "minimum": bounds.start(), "maximum": bounds.end() }))
}

/// Thousandths, as a number, percent or `250m`. The server knows no type that is a fraction or text.
pub(crate) fn ratio(permille: RangeInclusive<u32>) -> Form {
    let [least, most] = [*permille.start(), *permille.end()].map(|permille| f64::from(permille) / 1_000.0);
    Form::of(
        &json!({ OPEN: true, "minimum": least, "maximum": most, "pattern": RATIO, "maxLength": MAX_WORD }),
    )
}

/// Bytes, as a number or with a unit.
pub(crate) fn bytes(bounds: RangeInclusive<u64>) -> Form {
    Form::of(&json!({
        "x-kubernetes-int-or-string": true, "minimum": bounds.start(), "maximum": bounds.end(),
        "pattern": SIZE, "maxLength": MAX_WORD,
    }))
}

/// A duration. Days are ours and not the server's language's: beside other units they are left to the reader.
pub(crate) fn duration(bounds: RangeInclusive<Duration>) -> Form {
    let days = [bounds.start().as_millis().div_ceil(MILLIS_A_DAY), bounds.end().as_millis() / MILLIS_A_DAY];
    let [least, most] = [bounds.start(), bounds.end()].map(|bound| format!("{}ms", bound.as_millis()));
    let in_days = format!(
        "int(self.substring(0, size(self) - 1)) >= {} && int(self.substring(0, size(self) - 1)) <= {}",
        days[0], days[1]
    );
    let rule = format!(
        "self.matches('^[0-9]{{1,9}}d$') ? {in_days} : self.contains('d') || \
         (duration(self) >= duration('{least}') && duration(self) <= duration('{most}'))"
    );
    let [least, most] = [bounds.start(), bounds.end()].map(|bound| unit::show_duration(*bound));
    pattern(DURATION, MAX_WORD)
        .with("minLength", json!(2))
        .rule(&rule, &format!("write a duration from `{least}` to `{most}`, like `30s`, `5m` or `1h30m`"))
}

/// In CEL: that one duration is not longer than another, each the value of a key or what holds where it is absent. Those in
/// days are left to the reader.
pub(crate) fn not_longer(one: (&str, Duration), other: (&str, Duration)) -> String {
    let value = |(key, absent): (&str, Duration)| {
        format!("(has(self.{key}) ? self.{key} : '{}')", unit::show_duration(absent))
    };
    let (one, two) = (value(one), value(other));
    format!("{one}.contains('d') || {two}.contains('d') || duration({one}) <= duration({two})")
}
