//! Prints JSON values as YAML. Strings are plain only where no reader could take them for anything else.

use crate::policy::fault::one_line;
use serde_json::Value;
use std::fmt::Write as _;

/// One document.
pub(super) fn document(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(value, 0, &mut text),
        Value::Array(list) if !list.is_empty() => block(value, 0, &mut text),
        Value::Object(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => {
            text.push_str(&scalar(value));
            text.push('\n');
        }
    }
    text
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The entries of a map or list that is not empty, each on lines of its own.
fn block(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                pad(indent, text);
                text.push_str(&string(key));
                text.push(':');
                entry(value, indent + 2, text);
            }
        }
        Value::Array(list) => {
            for value in list {
                pad(indent, text);
                text.push('-');
                item(value, indent + 2, text);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn pad(indent: usize, text: &mut String) {
    text.extend(std::iter::repeat_n(' ', indent));
}

/// What follows `key:`.
fn entry(value: &Value, indent: usize, text: &mut String) {
    if is_block(value) {
        text.push('\n');
        block(value, indent, text);
    } else {
        // Writing to a string cannot fail.
        let _ = writeln!(text, " {}", scalar(value));
    }
}

/// What follows `-`: a block begins on the same line.
fn item(value: &Value, indent: usize, text: &mut String) {
    if is_block(value) {
        let mut inner = String::new();
        block(value, indent, &mut inner);
        text.push(' ');
        text.push_str(inner.trim_start_matches(' '));
    } else {
        // Writing to a string cannot fail.
        let _ = writeln!(text, " {}", scalar(value));
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// Plain where it is a word that means nothing else, else in double quotes with the escapes of JSON.
fn string(text: &str) -> String {
    let plain = text.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        return text.to_owned();
    }
    let mut quoted = String::new();
    for character in Value::String(text.to_owned()).to_string().chars() {
        if is_hidden(character) {
            // Writing to a string cannot fail.
            let _ = write!(quoted, "\\U{:08x}", u32::from(character));
        } else {
            quoted.push(character);
        }
    }
    quoted
}

/// What readers of YAML 1.1 or 1.2 take for something else than a string.
const RESERVED: [&str; 11] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "inf", "nan"];

/// Whether a terminal obeys a character, or shows others differently because of it.
pub(super) fn is_hidden(character: char) -> bool {
    let mut bytes = [0; 4];
    let text: &str = character.encode_utf8(&mut bytes);
    one_line(text, text.len()) != text
}

#[cfg(test)]
mod tests {
    use super::*;
    use saphyr::{LoadableYamlNode, Scalar, Yaml};
    use serde_json::json;

    #[test]
    fn nested_values_stand_in_blocks() {
        let value = json!({ "a": [{ "b": 1, "c": [] }, [2, "x y"]], "d": {}, "e": "on" });
        assert_eq!(document(&value), "a:\n  - b: 1\n    c: []\n  - - 2\n    - \"x y\"\nd: {}\ne: \"on\"\n");
    }

    #[test]
    fn every_string_is_read_back_as_it_was() {
        for text in [
            "",
            "plain",
            "true",
            "No",
            "~",
            "1",
            "1e3",
            "0x1f",
            "-",
            "a: b",
            "#c",
            "x\ny",
            "\u{9b}\u{7f}\u{202e}",
            "é\u{2028}",
            "\"q\"",
            "'",
            "2026-01-01",
            "a\\b",
            " lead",
            "{}",
            "*x",
            "&x",
            "!x",
            "%x",
            "@x",
            "`x",
            "\u{feff}",
            "\u{1f600}",
        ] {
            let written = document(&json!({ "k": text }));
            let read = Yaml::load_from_str(&written).expect("YAML");
            let mapping = read[0].as_mapping().expect("a map");
            let (_, value) = mapping.iter().next().expect("an entry");
            assert!(
                matches!(value, Yaml::Value(Scalar::String(found)) if found == text),
                "{written:?} {value:?}"
            );
        }
    }
}
