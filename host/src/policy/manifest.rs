//! The optional document beside a module: `NAME.yaml` or `NAME.json`.
//!
//! ```yaml
//! class: interpreter   # compiled (the default) or interpreter
//! fuel: 100000000      # units an evaluation
//! memory: 64Mi         # bytes of all memories together
//! wallMs: 3000         # milliseconds after which the evaluation is killed
//! sha256: 9f86d0...    # only a module with exactly this digest is taken
//! ```

use super::fault::{Flaw, Rejection};
use super::limits::{Class, Limits};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Bytes of a manifest.
pub(crate) const MANIFEST_BYTES: u64 = 16 << 10;

/// What an owner sets for one module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub class: Class,
    pub sha256: Option<String>,
    pub limits: Option<Limits>,
}

impl Manifest {
    /// The limits in force.
    pub(crate) fn limits(&self) -> Limits {
        self.limits.unwrap_or_else(|| Limits::of(self.class))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    class: Class,
    fuel: Option<u64>,
    memory: Option<Value>,
    wall_ms: Option<u64>,
    sha256: Option<String>,
}

/// Reads a manifest; all that is wrong with it in one rejection.
pub(crate) fn parse(bytes: &[u8], is_json: bool) -> Result<Manifest, Rejection> {
    let wrong = |detail: String| Rejection::new(Flaw::Manifest, detail);
    let text = std::str::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
    let value = if is_json { serde_json::from_str(text).map_err(|e| e.to_string()) } else { yaml(text) };
    let raw: Raw = serde_json::from_value(value.map_err(wrong)?).map_err(|error| wrong(error.to_string()))?;
    let mut problems = Vec::new();
    let (normal, ceiling) = (Limits::of(raw.class), Limits::ceiling());
    let memory = match raw.memory.as_ref().map(quantity) {
        None => normal.memory_bytes,
        Some(Some(bytes)) => bytes,
        Some(None) => {
            problems.push("memory: bytes, or a number with Ki, Mi or Gi".to_owned());
            normal.memory_bytes
        }
    };
    let limits = Limits {
        fuel: raw.fuel.unwrap_or(normal.fuel),
        memory_bytes: memory,
        wall_ms: raw.wall_ms.unwrap_or(normal.wall_ms),
    };
    for (name, value, most) in [
        ("fuel", limits.fuel, ceiling.fuel),
        ("memory", limits.memory_bytes, ceiling.memory_bytes),
        ("wallMs", limits.wall_ms, ceiling.wall_ms),
    ] {
        if value == 0 || value > most {
            problems.push(format!("{name}: {value} is not between 1 and {most}"));
        }
    }
    let sha256 = raw.sha256.map(|digest| digest.to_ascii_lowercase());
    if sha256.as_ref().is_some_and(|hex| hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        problems.push("sha256: 64 hexadecimal digits".to_owned());
    }
    if !problems.is_empty() {
        return Err(wrong(problems.join("; ")));
    }
    Ok(Manifest { class: raw.class, sha256, limits: Some(limits) })
}

fn quantity(value: &Value) -> Option<u64> {
    if let Some(bytes) = value.as_u64() {
        return Some(bytes);
    }
    let text = value.as_str()?;
    let (number, shift) = [("Ki", 10), ("Mi", 20), ("Gi", 30)]
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
        .unwrap_or((text, 0));
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// YAML of scalars under one mapping. Anchors are refused before parsing: a few lines of them can stand for
/// gigabytes.
fn yaml(text: &str) -> Result<Value, String> {
    if text.contains(['&', '*']) {
        return Err("a manifest has no anchors and no aliases".to_owned());
    }
    let documents = Yaml::load_from_str(text).map_err(|error| error.to_string())?;
    match documents.as_slice() {
        [] => Ok(Value::Object(Map::new())),
        [document] => value(document),
        _ => Err("more than one document".to_owned()),
    }
}

fn value(node: &Yaml<'_>) -> Result<Value, String> {
    match node {
        Yaml::Value(Scalar::Null) => Ok(Value::Object(Map::new())),
        Yaml::Value(Scalar::Boolean(value)) => Ok(Value::Bool(*value)),
        Yaml::Value(Scalar::Integer(value)) => Ok(Value::Number((*value).into())),
        Yaml::Value(Scalar::String(value)) => Ok(Value::String(value.to_string())),
        Yaml::Mapping(entries) => {
            let mut map = Map::new();
            for (key, entry) in entries {
                let Yaml::Value(Scalar::String(key)) = key else { return Err("a key is no word".to_owned()) };
                map.insert(key.to_string(), value(entry)?);
            }
            Ok(Value::Object(map))
        }
        Yaml::Value(Scalar::FloatingPoint(_))
        | Yaml::Representation(..)
        | Yaml::Sequence(_)
        | Yaml::Tagged(..)
        | Yaml::Alias(_)
        | Yaml::BadValue => Err("a manifest has words and whole numbers only".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_json_say_the_same() {
        let yaml = parse(b"class: interpreter\nmemory: 64Mi\nfuel: 7\n", false).expect("a manifest");
        let json = parse(br#"{"class":"interpreter","memory":67108864,"fuel":7}"#, true).expect("a manifest");
        assert_eq!(yaml, json);
        assert_eq!(yaml.class, Class::Interpreter);
        assert_eq!(
            yaml.limits(),
            Limits { fuel: 7, memory_bytes: 64 << 20, ..Limits::of(Class::Interpreter) }
        );
    }

    #[test]
    fn an_empty_manifest_changes_nothing() {
        assert_eq!(parse(b"", false).map(|manifest| manifest.limits()), Ok(Limits::of(Class::Compiled)));
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let rejection = parse(b"fuel: 0\nmemory: lots\nsha256: abc\n", false).expect_err("a rejection");
        assert_eq!(rejection.kind(), "MANIFEST");
        for part in ["fuel", "memory", "sha256"] {
            assert!(rejection.detail.contains(part), "{rejection}");
        }
    }

    #[test]
    fn refuses_aliases_and_unknown_keys() {
        for text in ["a: &a [x]\nb: *a\n", "fule: 3\n", "class: huge\n", "- a\n", "fuel: 1.5\n"] {
            assert_eq!(parse(text.as_bytes(), false).map_err(|r| r.flaw), Err(Flaw::Manifest), "{text}");
        }
    }
}
