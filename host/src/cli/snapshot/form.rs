//! Checks a document against its JSON Schema, as far as the schemas of our own types go, and reports by path and in
//! words what does not fit.

use crate::yaml::problem::{nearest, quote};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// More is not looked for: the document is another one.
const MOST: usize = 64;
/// Our types refer to one another less deep.
const DEEPEST: usize = 64;

/// The form of a document.
pub(super) struct Form {
    root: Value,
}

/// What does not fit.
#[derive(Debug)]
pub(super) struct Misfit {
    path: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Unknown { meant: Option<String> },
    Missing,
    Other(String),
}

impl Misfit {
    pub(super) fn is_unknown_key(&self) -> bool {
        matches!(self.kind, Kind::Unknown { .. })
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the document" } else { &self.path };
        match &self.kind {
            Kind::Unknown { meant: Some(meant) } => {
                write!(f, "{path}: is not a known key (did you mean `{meant}`?)")
            }
            Kind::Unknown { meant: None } => write!(f, "{path}: is not a known key (remove it)"),
            Kind::Missing => write!(f, "{path}: is missing"),
            Kind::Other(text) => write!(f, "{path}: {text}"),
        }
    }
}

impl Form {
    pub(super) fn new(root: Value) -> Self {
        Self { root }
    }

    /// Everything in a document that does not fit.
    pub(super) fn misfits(&self, document: &Value) -> Vec<Misfit> {
        let mut walk = Walk { form: self, found: Vec::new(), depth: 0 };
        walk.value(&self.root, document, "");
        walk.found
    }

    /// A schema and those that it refers to: together they say what a value is.
    fn parts<'a>(&'a self, schema: &'a Value) -> Vec<&'a Map<String, Value>> {
        let mut parts = Vec::new();
        let mut next = Some(schema);
        while let Some(fields) = next.and_then(Value::as_object).filter(|_| parts.len() < DEEPEST) {
            parts.push(fields);
            let name = fields.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
            next = name.and_then(|pointer| self.root.pointer(pointer));
        }
        parts
    }

    fn get<'a>(&'a self, schema: &'a Value, key: &str) -> Option<&'a Value> {
        self.parts(schema).into_iter().find_map(|part| part.get(key))
    }

    /// The fields of a map, those of what it refers to included.
    fn fields<'a>(&'a self, schema: &'a Value) -> BTreeMap<&'a str, &'a Value> {
        let parts = self.parts(schema).into_iter().rev();
        let maps = parts.filter_map(|part| part.get("properties").and_then(Value::as_object));
        maps.flatten().map(|(key, schema)| (key.as_str(), schema)).collect()
    }

    fn required<'a>(&'a self, schema: &'a Value) -> impl Iterator<Item = &'a str> {
        let lists = self.parts(schema).into_iter().filter_map(|part| part.get("required")?.as_array());
        lists.flatten().filter_map(Value::as_str)
    }
}

struct Walk<'a> {
    form: &'a Form,
    found: Vec<Misfit>,
    depth: usize,
}

impl<'a> Walk<'a> {
    fn add(&mut self, path: &str, kind: Kind) {
        if self.found.len() < MOST {
            self.found.push(Misfit { path: path.to_owned(), kind });
        }
    }

    fn other(&mut self, path: &str, text: String) {
        self.add(path, Kind::Other(text));
    }

    fn value(&mut self, schema: &'a Value, value: &Value, path: &str) {
        if self.depth >= DEEPEST || self.found.len() >= MOST {
            return;
        }
        self.depth += 1;
        let variants = ["oneOf", "anyOf"].into_iter().find_map(|key| self.form.get(schema, key)?.as_array());
        match variants {
            Some(variants) => self.variants(variants, value, path),
            None => self.one(schema, value, path),
        }
        self.depth -= 1;
    }

    /// One of several forms: a word, nothing at all, or a map that names its form in one key.
    fn variants(&mut self, variants: &'a [Value], value: &Value, path: &str) {
        let is_null = |schema: &&Value| schema["type"] == "null";
        if value.is_null() && variants.iter().any(|schema| is_null(&schema)) {
            return;
        }
        let variants: Vec<&Value> = variants.iter().filter(|schema| !is_null(schema)).collect();
        if let Some(words) = words(&variants) {
            return self.word(&words, value, path);
        }
        if let Some((tag, named)) = self.tagged(&variants) {
            let Some(fields) = value.as_object() else { return self.wrong(value, "a map", path) };
            let at = join(path, tag);
            let Some(word) = fields.get(tag) else { return self.add(&at, Kind::Missing) };
            return match named.iter().find(|(name, _)| word.as_str() == Some(name)) {
                Some((_, schema)) => self.map(schema, fields, path),
                None => self.word(&named.iter().map(|(name, _)| *name).collect::<Vec<_>>(), word, &at),
            };
        }
        // The one that fits best is the one that was meant.
        let attempts = variants.iter().map(|schema| {
            let mut walk = Walk { form: self.form, found: Vec::new(), depth: self.depth };
            walk.value(schema, value, path);
            walk.found
        });
        self.found.extend(attempts.min_by_key(Vec::len).into_iter().flatten());
    }

    /// The key by which the forms are told apart, and each with its word.
    fn tagged(&self, variants: &[&'a Value]) -> Option<(&'a str, Vec<(&'a str, &'a Value)>)> {
        let tag = |schema: &'a Value| {
            let fields = schema.get("properties")?.as_object()?;
            fields.iter().find_map(|(key, schema)| Some((key.as_str(), schema.get("const")?.as_str()?)))
        };
        let tags: Vec<(&str, &str)> = variants.iter().filter_map(|schema| tag(schema)).collect();
        let (key, _) = *tags.first()?;
        let all = tags.len() == variants.len() && tags.iter().all(|(other, _)| *other == key);
        let named = tags.iter().map(|(_, word)| *word).zip(variants.iter().copied()).collect();
        all.then_some((key, named))
    }

    fn word(&mut self, words: &[&str], value: &Value, path: &str) {
        if !value.as_str().is_some_and(|word| words.contains(&word)) {
            self.other(path, format!("{} is none of {}", shown(value), words.join(", ")));
        }
    }

    fn one(&mut self, schema: &'a Value, value: &Value, path: &str) {
        let types = self.form.get(schema, "type");
        let is_of = |kind: &str| match types {
            Some(Value::String(one)) => one == kind,
            Some(Value::Array(several)) => several.iter().any(|one| one == kind),
            Some(_) | None => false,
        };
        if let Some(words) = self.form.get(schema, "enum").and_then(Value::as_array) {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            return self.word(&words, value, path);
        }
        if types.is_none() || (value.is_null() && is_of("null")) {
            return;
        }
        match value {
            Value::Object(fields) if is_of("object") => self.map(schema, fields, path),
            Value::Array(items) if is_of("array") => {
                let Some(form) = self.form.get(schema, "items") else { return };
                for (index, item) in items.iter().enumerate() {
                    self.value(form, item, &format!("{path}[{index}]"));
                }
            }
            Value::Number(number) if is_of("integer") && !number.is_f64() => self.whole(schema, value, path),
            Value::Number(_) if is_of("number") => {}
            Value::String(_) if is_of("string") => {}
            Value::Bool(_) if is_of("boolean") => {}
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => {
                const NAMES: [(&str, &str); 6] = [
                    ("object", "a map"),
                    ("array", "a list"),
                    ("integer", "a whole number"),
                    ("number", "a number"),
                    ("string", "text"),
                    ("boolean", "true or false"),
                ];
                let belongs = NAMES.iter().find(|(kind, _)| is_of(kind)).map_or("nothing", |(_, name)| name);
                self.wrong(value, belongs, path);
            }
        }
    }

    fn whole(&mut self, schema: &'a Value, value: &Value, path: &str) {
        let (least, most) = match self.form.get(schema, "format").and_then(Value::as_str) {
            Some("uint8") => (0, i128::from(u8::MAX)),
            Some("uint16") => (0, i128::from(u16::MAX)),
            Some("uint32") => (0, i128::from(u32::MAX)),
            Some("uint64") => (0, i128::from(u64::MAX)),
            Some("int8") => (i128::from(i8::MIN), i128::from(i8::MAX)),
            Some("int32") => (i128::from(i32::MIN), i128::from(i32::MAX)),
            Some(_) | None => (i128::from(i64::MIN), i128::from(i64::MAX)),
        };
        let number = value.as_u64().map(i128::from).or_else(|| value.as_i64().map(i128::from));
        if !number.is_some_and(|number| (least..=most).contains(&number)) {
            self.other(path, format!("{} is not between {least} and {most}", shown(value)));
        }
    }

    fn map(&mut self, schema: &'a Value, fields: &Map<String, Value>, path: &str) {
        let known = self.form.fields(schema);
        for key in self.form.required(schema).filter(|key| !fields.contains_key(*key)).collect::<Vec<_>>() {
            self.add(&join(path, key), Kind::Missing);
        }
        let others = self.form.get(schema, "additionalProperties");
        for (key, value) in fields {
            let at = join(path, key);
            match (known.get(key.as_str()), others) {
                (Some(schema), _) => self.value(schema, value, &at),
                (None, Some(schema)) if schema.is_object() => self.value(schema, value, &at),
                (None, Some(Value::Bool(true))) => {}
                (None, _) if known.is_empty() => {}
                (None, _) => {
                    let meant = nearest(key, known.keys().copied()).map(ToOwned::to_owned);
                    self.add(&at, Kind::Unknown { meant });
                }
            }
        }
    }

    fn wrong(&mut self, value: &Value, belongs: &str, path: &str) {
        let is = match value {
            Value::Null => return self.other(path, format!("is empty where {belongs} belongs")),
            Value::Array(_) => return self.other(path, format!("is a list where {belongs} belongs")),
            Value::Object(_) => return self.other(path, format!("is a map where {belongs} belongs")),
            Value::Bool(_) => "a switch",
            Value::Number(number) if number.is_f64() && belongs == "a whole number" => "a fraction",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
        };
        self.other(path, format!("{} is {is} where {belongs} belongs", shown(value)));
    }
}

/// The words of which a value is one, where there is nothing else that it may be.
fn words<'a>(variants: &[&'a Value]) -> Option<Vec<&'a str>> {
    let mut words = Vec::new();
    for schema in variants {
        match (schema.get("const").and_then(Value::as_str), schema.get("enum").and_then(Value::as_array)) {
            (Some(word), _) => words.push(word),
            (None, Some(several)) => words.extend(several.iter().filter_map(Value::as_str)),
            (None, None) => return None,
        }
    }
    (!words.is_empty()).then_some(words)
}

fn shown(value: &Value) -> String {
    quote(&value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))
}

fn join(path: &str, key: &str) -> String {
    let key: String = quote(key).trim_matches('`').to_owned();
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
