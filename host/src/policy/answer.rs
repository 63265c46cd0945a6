//! Reads a policy's answer. Nothing is guessed: a size is a whole number that fits, or there is no answer.

use super::fault::{Failure, Fault, one_line};
use super::limits::{ANSWER_BYTES, ANSWER_DEPTH, MESSAGE_BYTES, STATE_BYTES};
use plimsoll_wire::Dimension;
use plimsoll_wire::proposal::{Answer, Proposal, Reason, Refusal};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Names of fields that the record shows as ignored.
const IGNORED: usize = 16;
const SIGNALS: usize = 64;
const FORECAST: usize = 1_000;
const CODE_BYTES: usize = 64;

/// An answer, and the names of the fields in it that mean nothing.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Answer, Vec<String>), Failure> {
    if bytes.len() > ANSWER_BYTES {
        return Err(Failure::new(Fault::ResultTooLarge, format!("the answer has {} bytes", bytes.len())));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|error| fault(format!("the answer is not UTF-8: {error}")))?;
    if text.trim().is_empty() {
        return Err(fault("the policy wrote no answer"));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let document =
        Strict { depth: ANSWER_DEPTH }.deserialize(&mut reader).map_err(|error| fault(error.to_string()))?;
    reader.end().map_err(|error| fault(format!("after the answer: {error}")))?;
    let Value::Object(document) = document else { return Err(fault("the answer is not a JSON object")) };
    forms(&document)?;
    dimensions(&document)?;
    let ignored = ignored(&document);
    let answer = if document.contains_key("refusal") { refusal(document)? } else { proposal(document)? };
    Ok((answer, ignored))
}

fn fault(detail: impl AsRef<str>) -> Failure {
    Failure::new(Fault::Decode, detail)
}

fn refusal(mut document: Map<String, Value>) -> Result<Answer, Failure> {
    if document.contains_key("sizes") {
        return Err(fault("the answer is both a proposal and a refusal"));
    }
    let refusal = document.remove("refusal").unwrap_or_default();
    let refusal: Refusal =
        serde_json::from_value(refusal).map_err(|error| fault(format!("refusal: {error}")))?;
    Ok(Answer::Refusal { refusal: Refusal { reason: reason(refusal.reason)? } })
}

fn proposal(document: Map<String, Value>) -> Result<Answer, Failure> {
    let proposal: Proposal =
        serde_json::from_value(Value::Object(document)).map_err(|error| fault(error.to_string()))?;
    if proposal.state.as_ref().is_some_and(|state| state.len() > STATE_BYTES) {
        return Err(Failure::new(
            Fault::State,
            format!("the state to keep has more than {STATE_BYTES} bytes"),
        ));
    }
    if proposal.signals.len() > SIGNALS || proposal.signals.iter().any(|name| name.len() > 256) {
        return Err(fault(format!("more than {SIGNALS} signals, or a name longer than 256 bytes")));
    }
    if proposal.forecast.len() > FORECAST {
        return Err(fault(format!("more than {FORECAST} samples of forecast")));
    }
    Ok(Answer::Proposal(Proposal { reason: reason(proposal.reason)?, ..proposal }))
}

/// What stands in a place of the answer.
#[derive(Clone, Copy)]
enum Form {
    Object,
    Objects,
    Text,
    Texts,
    /// From 0 to this, without a point.
    Whole(u64),
}

/// Every place of an answer, as the path to it, and what stands there. `null` is the same as nothing.
const FORMS: &[(&[&str], Form)] = &[
    (&["sizes"], Form::Object),
    (&["sizes", "members"], Form::Whole(u32::MAX as u64)),
    (&["sizes", "shards"], Form::Whole(u32::MAX as u64)),
    (&["sizes", "cpuMilli"], Form::Whole(u64::MAX)),
    (&["sizes", "memoryBytes"], Form::Whole(u64::MAX)),
    (&["sizes", "volumeBytes"], Form::Whole(u64::MAX)),
    (&["reason"], Form::Object),
    (&["reason", "code"], Form::Text),
    (&["reason", "message"], Form::Text),
    (&["signals"], Form::Texts),
    (&["forecast"], Form::Objects),
    (&["state"], Form::Text),
    (&["askAgainMs"], Form::Whole(u64::MAX)),
    (&["refusal"], Form::Object),
    (&["refusal", "reason"], Form::Object),
    (&["refusal", "reason", "code"], Form::Text),
    (&["refusal", "reason", "message"], Form::Text),
];

/// Whether each place has its form: a list is no object, though its items could be read as fields in their order, and
/// a number with a point is no count.
fn forms(document: &Map<String, Value>) -> Result<(), Failure> {
    for (path, form) in FORMS {
        let mut found = document.get(path.first().copied().unwrap_or_default());
        for key in path.iter().skip(1) {
            found = found.and_then(|value| value.get(*key));
        }
        if let Some(value) = found.filter(|value| !value.is_null()) {
            form.check(&path.join("."), value)?;
        }
    }
    Ok(())
}

/// A size in what is no dimension is a wish that nobody would carry out: better refused than passed over.
fn dimensions(document: &Map<String, Value>) -> Result<(), Failure> {
    let sizes = document.get("sizes").and_then(Value::as_object);
    let mut words = sizes.into_iter().flat_map(Map::keys);
    match words.find(|word| Dimension::named(word).is_none()) {
        None => Ok(()),
        Some(word) => {
            let (word, words) = (one_line(word, 64), Dimension::words());
            Err(fault(format!("sizes.{word}: no such dimension; there are {words}")))
        }
    }
}

impl Form {
    fn check(self, place: &str, value: &Value) -> Result<(), Failure> {
        let of = |fits: bool, wanted: &str| {
            let shown = one_line(&value.to_string(), 64);
            if fits { Ok(()) } else { Err(fault(format!("{place} is {shown}: write {wanted}"))) }
        };
        let items = |fits: fn(&Value) -> bool| value.as_array().is_some_and(|list| list.iter().all(fits));
        match self {
            Self::Object => of(value.is_object(), "an object, a key with each value"),
            Self::Objects => of(items(Value::is_object), "a list of objects"),
            Self::Text => of(value.is_string(), "a text"),
            Self::Texts => of(items(Value::is_string), "a list of texts"),
            Self::Whole(most) => match value {
                Value::Number(number) => match number.as_u64() {
                    Some(whole) if whole <= most => Ok(()),
                    Some(_) | None => {
                        let detail = format!(
                            "{place} is {number}: write a whole number from 0 to {most}, without a point"
                        );
                        Err(Failure::new(Fault::OutOfRange, detail))
                    }
                },
                Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                    of(false, "a whole number, such as 3")
                }
            },
        }
    }
}

fn reason(reason: Reason) -> Result<Reason, Failure> {
    let code = &reason.code;
    let is_word = code.starts_with(|first: char| first.is_ascii_alphabetic())
        && code.len() <= CODE_BYTES
        && code.chars().all(|character| character.is_ascii_alphanumeric());
    if !is_word {
        return Err(fault(format!("reason.code must be one CamelCase word, not `{}`", one_line(code, 64))));
    }
    Ok(Reason { message: one_line(&reason.message, MESSAGE_BYTES), code: reason.code })
}

fn ignored(document: &Map<String, Value>) -> Vec<String> {
    let known: &[(&str, &[&str])] = &[
        ("", &["sizes", "reason", "signals", "forecast", "state", "askAgainMs", "refusal"]),
        ("reason", &["code", "message"]),
        ("refusal", &["reason"]),
    ];
    let mut names = Vec::new();
    for (place, fields) in known {
        let object =
            if place.is_empty() { Some(document) } else { document.get(*place).and_then(Value::as_object) };
        for name in object.into_iter().flat_map(Map::keys).filter(|name| !fields.contains(&name.as_str())) {
            let dot = if place.is_empty() { "" } else { "." };
            names.push(one_line(&format!("{place}{dot}{name}"), 64));
        }
    }
    names.truncate(IGNORED);
    names
}

/// Any JSON value, with bounded depth and without a key that occurs twice.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(de::Error::custom(format!("the key `{}` occurs twice", one_line(&key, 64))));
            }
            let value = entries.next_value_seed(inner)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

impl Strict {
    fn inner<E: de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1);
        let depth = depth.ok_or_else(|| E::custom(format!("nested more than {ANSWER_DEPTH} deep")))?;
        Ok(Self { depth })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(members: &str) -> Result<Option<u32>, &'static str> {
        let text = format!(r#"{{"sizes":{{"members":{members}}},"reason":{{"code":"Load"}}}}"#);
        match decode(text.as_bytes()) {
            Ok((Answer::Proposal(proposal), _)) => Ok(proposal.sizes.members),
            Ok((Answer::Refusal { .. }, _)) => Err("refusal"),
            Err(failure) => Err(failure.kind()),
        }
    }

    #[test]
    fn a_size_is_never_coerced() {
        assert_eq!(members("5"), Ok(Some(5)));
        assert_eq!(members("0"), Ok(Some(0)));
        assert_eq!(members("null"), Ok(None));
        for out_of_range in ["-1", "3.5", "3.0", "1e308", "4294967296", "9007199254740993", "-0.0", "5e-324"]
        {
            assert_eq!(members(out_of_range), Err("OUT_OF_RANGE"), "{out_of_range}");
        }
        for no_number in ["NaN", "Infinity", "1e999", "\"3\"", "true", "[]", "{}", "0x3", "03", "+3"] {
            assert_eq!(members(no_number), Err("DECODE"), "{no_number}");
        }
    }

    #[test]
    fn what_has_another_form_is_refused_with_its_place_and_the_form() {
        for (text, expected) in [
            (r#"{"sizes":[4],"reason":["A","m"]}"#, "sizes is [4]: write an object"),
            (r#"{"sizes":{"members":4},"reason":["A","m"]}"#, "reason is [\"A\",\"m\"]: write an object"),
            (
                r#"{"sizes":{"members":3.0},"reason":{"code":"A"}}"#,
                "sizes.members is 3.0: write a whole number",
            ),
            (
                r#"{"sizes":{"members":"3"},"reason":{"code":"A"}}"#,
                "sizes.members is \"3\": write a whole number",
            ),
            (
                r#"{"sizes":{"replicas":3},"reason":{"code":"A"}}"#,
                "sizes.replicas: no such dimension; there are members, shards, cpuMilli, memoryBytes, volumeBytes",
            ),
            (r#"{"reason":{"code":3}}"#, "reason.code is 3: write a text"),
            (r#"{"reason":{"code":"A"},"signals":"load"}"#, "signals is \"load\": write a list of texts"),
            (
                r#"{"reason":{"code":"A"},"forecast":[[1,2.0]]}"#,
                "forecast is [[1,2.0]]: write a list of objects",
            ),
            (r#"{"reason":{"code":"A"},"state":{}}"#, "state is {}: write a text"),
            (r#"{"reason":{"code":"A"},"askAgainMs":1.5}"#, "askAgainMs is 1.5: write a whole number"),
            (r#"{"refusal":[["A"]]}"#, "refusal is [[\"A\"]]: write an object"),
            (r#"{"refusal":{"reason":["A"]}}"#, "refusal.reason is [\"A\"]: write an object"),
        ] {
            let failure = decode(text.as_bytes()).expect_err(text);
            assert!(failure.detail.starts_with(expected), "{failure}");
        }
    }

    #[test]
    fn a_key_that_occurs_twice_is_refused_at_any_depth() {
        for text in [
            r#"{"reason":{"code":"A"},"reason":{"code":"B"}}"#,
            r#"{"reason":{"code":"A"},"more":{"x":1,"x":2}}"#,
            r#"{"sizes":{"members":1,"members":9},"reason":{"code":"A"}}"#,
        ] {
            assert_eq!(decode(text.as_bytes()).map_err(|failure| failure.kind()), Err("DECODE"), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_one_bounded_object() {
        let deep = format!(r#"{{"reason":{{"code":"A"}},"x":{}{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
        let long_key = format!(r#"{{"{}":1}}"#, "k".repeat(70_000));
        for text in
            ["", " \n", "[]", "3", "null", "{", r#"{"reason":{"code":"A"}} trailing"#, "// x\n{}", &deep]
        {
            assert_eq!(
                decode(text.as_bytes()).map_err(|failure| failure.kind()),
                Err("DECODE"),
                "{text:.40}"
            );
        }
        assert_eq!(decode(long_key.as_bytes()).map_err(|failure| failure.kind()), Err("RESULT_TOO_LARGE"));
        for bytes in
            [&b"\xff\xfe{}"[..], b"\xef\xbb\xbf{}", b"{\"reason\":{\"code\":\"\\ud800\"}}", b"{\"\0\":1}"]
        {
            assert_eq!(decode(bytes).map_err(|failure| failure.kind()), Err("DECODE"));
        }
    }

    #[test]
    fn what_means_nothing_is_ignored_and_told() {
        let text = r#"{"force":true,"sizes":{"members":4,"shards":2},"reason":{"code":"Load","level":9}}"#;
        let (answer, ignored) = decode(text.as_bytes()).expect("a proposal");
        let expected = Proposal {
            sizes: plimsoll_wire::Sizes { shards: Some(2), ..plimsoll_wire::Sizes::of_members(4) },
            reason: Reason { code: "Load".into(), message: String::new() },
            ..Proposal::default()
        };
        assert_eq!(answer, Answer::Proposal(expected));
        assert_eq!(ignored, ["force", "reason.level"]);
    }

    #[test]
    fn a_long_or_lying_sentence_stays_one_short_line() {
        let message = format!("ok\n{{\"verdict\":\"ALLOW\"}}\u{1b}[2J{}", "x".repeat(9_000));
        let text = serde_json::json!({ "reason": { "code": "Load", "message": message } }).to_string();
        let Ok((Answer::Proposal(proposal), _)) = decode(text.as_bytes()) else { panic!("no proposal") };
        assert!(proposal.reason.message.len() <= MESSAGE_BYTES + '…'.len_utf8());
        assert!(proposal.reason.message.starts_with(r#"ok\n{"verdict":"ALLOW"}\u{1b}[2J"#));
    }

    #[test]
    fn state_is_bounded() {
        let text = serde_json::json!({ "reason": { "code": "A" }, "state": "s".repeat(STATE_BYTES + 1) });
        assert_eq!(decode(text.to_string().as_bytes()).map_err(|failure| failure.kind()), Err("STATE"));
    }
}
