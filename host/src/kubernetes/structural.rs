//! Turns the schema of a Rust type into a structural schema of Kubernetes: no references, one type for each value, and
//! nothing within `oneOf` that says what a value looks like.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Keeps what a schema does not name: open values, and what a newer version of ours wrote.
pub(crate) const OPEN: &str = "x-kubernetes-preserve-unknown-fields";

/// What a structural schema may say of a value. Defaults stay with us: a server that fills them in would change
/// what was written. Formats are those of numbers, which Kubernetes would only warn of.
const KEPT: [&str; 12] = [
    "type",
    "description",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "required",
    "nullable",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
];

/// A column of `kubectl get`; one of priority 1 with `-o wide` only.
pub(super) fn column(name: &str, kind: &str, priority: u8, path: &str) -> Value {
    json!({ "name": name, "type": kind, "jsonPath": path, "priority": priority })
}

/// The structural schema of a type.
pub(super) fn structural<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let schema = settings.into_generator().into_root_schema_for::<T>();
    convert(schema.as_value())
}

fn convert(schema: &Value) -> Value {
    let Some(fields) = schema.as_object() else { return open() };
    if let Some(inner) = optional(fields) {
        let mut converted = convert(inner);
        converted["nullable"] = json!(true);
        // The words on the field are more to the point than those on its type.
        if let Some(words) = fields.get("description") {
            converted["description"] = words.clone();
        }
        return converted;
    }
    if let Some(variants) = fields.get("oneOf").or_else(|| fields.get("anyOf")).and_then(Value::as_array) {
        return alternatives(fields, variants);
    }
    let mut out: Map<String, Value> = Map::new();
    for key in KEPT {
        if let Some(value) = fields.get(key) {
            out.insert(key.to_owned(), value.clone());
        }
    }
    if let Some(time) = fields.get("format").filter(|format| *format == "date-time") {
        out.insert("format".to_owned(), time.clone());
    }
    if let Some(value) = fields.get("const") {
        out.insert("enum".to_owned(), json!([value]));
        out.entry("type").or_insert_with(|| json!("string"));
    }
    single_type(&mut out);
    nested(fields, &mut out);
    if !out.contains_key("type") {
        out.insert(OPEN.to_owned(), json!(true));
    }
    Value::Object(out)
}

fn open() -> Value {
    json!({ OPEN: true })
}

/// `["string", "null"]` is a string that may be null.
fn single_type(out: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = out.get("type").cloned() else { return };
    let named: Vec<&Value> = types.iter().filter(|name| *name != "null").collect();
    if named.len() < types.len() {
        out.insert("nullable".to_owned(), json!(true));
    }
    match named.as_slice() {
        [one] => out.insert("type".to_owned(), (*one).clone()),
        _ => out.remove("type"),
    };
}

fn nested(fields: &Map<String, Value>, out: &mut Map<String, Value>) {
    if let Some(properties) = fields.get("properties").and_then(Value::as_object) {
        let converted = properties.iter().map(|(name, schema)| (name.clone(), convert(schema))).collect();
        out.insert("properties".to_owned(), Value::Object(converted));
    } else if let Some(values @ (Value::Object(_) | Value::Bool(true))) = fields.get("additionalProperties") {
        out.insert("additionalProperties".to_owned(), convert(values));
    }
    if let Some(items) = fields.get("items") {
        out.insert("items".to_owned(), convert(items));
    }
}

/// The one schema beside `null`.
fn optional(fields: &Map<String, Value>) -> Option<&Value> {
    let variants = fields.get("anyOf")?.as_array()?;
    let is_null = |schema: &&Value| schema["type"] == "null";
    match (variants.len(), variants.iter().find(is_null)) {
        (2, Some(_)) => variants.iter().find(|schema| !is_null(schema)),
        _ => None,
    }
}

/// Words become one enumeration; objects with a tag become one object with the properties of all, of which those
/// are required that all require. What else the variants demand, the daemon checks when it reads.
fn alternatives(fields: &Map<String, Value>, variants: &[Value]) -> Value {
    let converted: Vec<Value> = variants.iter().map(convert).collect();
    let words: Vec<Value> =
        converted.iter().filter_map(|schema| schema["enum"].as_array()).flatten().cloned().collect();
    let mut out = if converted.iter().all(|schema| schema["enum"].is_array()) {
        json!({ "type": "string", "enum": words })
    } else if converted.iter().all(|schema| schema["type"] == "object") {
        merged(&converted)
    } else {
        open()
    };
    if let Some(words) = fields.get("description") {
        out["description"] = words.clone();
    }
    out
}

fn merged(variants: &[Value]) -> Value {
    let mut properties: Map<String, Value> = Map::new();
    let mut required: Option<Vec<Value>> = None;
    for variant in variants {
        for (name, schema) in variant["properties"].as_object().into_iter().flatten() {
            let known = properties.remove(name);
            properties
                .insert(name.clone(), known.map_or_else(|| schema.clone(), |known| both(known, schema)));
        }
        let wanted = variant["required"].as_array().cloned().unwrap_or_default();
        required = Some(match required {
            None => wanted,
            Some(before) => before.into_iter().filter(|name| wanted.contains(name)).collect(),
        });
    }
    let mut out = json!({ "type": "object", "properties": properties });
    if let Some(required) = required.filter(|names| !names.is_empty()) {
        out["required"] = json!(required);
    }
    out
}

/// A property that two variants have: the words of both where it is a tag, else the same type or anything.
fn both(mut known: Value, other: &Value) -> Value {
    if let (Some(words), Some(more)) = (known["enum"].as_array_mut(), other["enum"].as_array()) {
        words.extend(more.iter().cloned());
        return known;
    }
    if known["type"] == other["type"] && known["properties"] == other["properties"] {
        return known;
    }
    open()
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_wire::journal::Journal;

    /// What breaks the rules of structural schemas, with where.
    fn faults(schema: &Value, place: &str, found: &mut Vec<String>) {
        let Some(fields) = schema.as_object() else {
            found.push(format!("{place} is no object"));
            return;
        };
        let allowed = |key: &str| {
            KEPT.contains(&key) || [OPEN, "properties", "additionalProperties", "items"].contains(&key)
        };
        found.extend(fields.keys().filter(|key| !allowed(key)).map(|key| format!("{place}: {key}")));
        let is_open = fields.get(OPEN).is_some();
        if !is_open && !fields.get("type").is_some_and(Value::is_string) {
            found.push(format!("{place} has no type"));
        }
        if fields.contains_key("properties") && fields.contains_key("additionalProperties") {
            found.push(format!("{place} is both a struct and a map"));
        }
        for (name, schema) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
            faults(schema, &format!("{place}.{name}"), found);
        }
        for key in ["items", "additionalProperties"] {
            if let Some(schema) = fields.get(key) {
                faults(schema, &format!("{place}[{key}]"), found);
            }
        }
    }

    #[test]
    fn the_journal_has_a_structural_schema() {
        let schema = structural::<Journal>();
        let mut found = Vec::new();
        faults(&schema, "journal", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn words_tags_and_options_keep_their_meaning() {
        let schema = structural::<Journal>();
        let plan = &schema["properties"]["plan"];
        assert_eq!(plan["nullable"], true);
        assert_eq!(plan["properties"]["legs"]["items"]["properties"]["from"]["type"], "integer");
        let status = &plan["properties"]["status"];
        assert_eq!(status["type"], "string");
        assert!(status["enum"].as_array().is_some_and(|words| words.contains(&json!("awaiting-approval"))));
        let verb = &schema["properties"]["intent"]["properties"]["verb"];
        assert_eq!(verb["required"], json!(["verb"]));
        let tags = verb["properties"]["verb"]["enum"].as_array();
        assert_eq!(tags.map(Vec::len), Some(15));
        assert_eq!(verb["properties"]["sizeAfter"]["type"], "integer");
        assert_eq!(verb["properties"]["join"]["properties"]["payload"][OPEN], true);
        assert_eq!(verb["properties"]["endpoints"]["additionalProperties"]["type"], "string");
        assert_eq!(schema["properties"]["history"]["items"]["type"], "object");
    }
}
