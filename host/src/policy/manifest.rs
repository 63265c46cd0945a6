//! The optional document beside a module: `NAME.yaml` or `NAME.json`.
//!
//! ```yaml
//! class: interpreter   # compiled (the default) or interpreter
//! fuel: 100000000      # units an evaluation
//! memory: 64Mi         # bytes of all memories together
//! wallMs: 3000         # milliseconds after which the evaluation is killed
//! sha256: 9f86d0...    # only a module with exactly this digest is taken
//! shadow: 20           # evaluations beside the running version before it takes over
//! tests:               # what it must answer before that
//!   - {name: a busy hour, snapshot: busy.json, settings: {signal: load, target: 1}, expect: {members: 5}}
//! ```

use super::case::{Case, RawCase};
use super::fault::{Flaw, Rejection};
use super::limits::{CASES, Class, Limits, SHADOW};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What an owner sets for one module.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Manifest {
    /// The class, where the manifest says one.
    pub class: Option<Class>,
    pub sha256: Option<String>,
    fuel: Option<u64>,
    memory_bytes: Option<u64>,
    wall_ms: Option<u64>,
    /// Evaluations beside the running version before a new one takes over.
    pub shadow: u32,
    /// What the module must answer before it takes over.
    pub tests: Vec<Case>,
}

impl Manifest {
    /// The class of a module of this name: what the manifest says, else what the daemon's file says.
    pub(crate) fn class_of(&self, name: &str, interpreters: &BTreeSet<String>) -> Class {
        let listed = if interpreters.contains(name) { Class::Interpreter } else { Class::Compiled };
        self.class.unwrap_or(listed)
    }

    /// Whether the module is the one that the manifest names, if it names one.
    pub(crate) fn admits(&self, module: &str) -> Result<(), Rejection> {
        match self.sha256.as_ref().filter(|wanted| *wanted != module) {
            None => Ok(()),
            Some(wanted) => {
                let detail = format!("the manifest asks for sha256 {wanted}, the module has {module}");
                Err(Rejection::new(Flaw::Digest, detail))
            }
        }
    }

    /// The limits in force, given those of the class.
    pub(crate) fn limits(&self, class: Limits) -> Limits {
        Limits {
            fuel: self.fuel.unwrap_or(class.fuel),
            memory_bytes: self.memory_bytes.unwrap_or(class.memory_bytes),
            wall_ms: self.wall_ms.unwrap_or(class.wall_ms),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Raw {
    class: Option<Class>,
    fuel: Option<u64>,
    memory: Option<Value>,
    wall_ms: Option<u64>,
    sha256: Option<String>,
    #[serde(default)]
    shadow: u32,
    #[serde(default)]
    tests: Vec<RawCase>,
}

/// Reads a manifest; all that is wrong with it in one rejection.
pub(crate) fn parse(bytes: &[u8], is_json: bool) -> Result<Manifest, Rejection> {
    let value = if is_json { json(bytes) } else { yaml(bytes) }.map_err(wrong)?;
    are_objects(&value).map_err(wrong)?;
    let raw: Raw = serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
    let mut problems = Vec::new();
    let memory_bytes = within_ceiling(&raw, &mut problems);
    let sha256 = raw.sha256.map(|digest| digest.to_ascii_lowercase());
    if sha256.as_ref().is_some_and(|hex| hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        problems.push("sha256: 64 hexadecimal digits".to_owned());
    }
    if raw.shadow > SHADOW {
        problems.push(format!("shadow: {} is more than {SHADOW} evaluations", raw.shadow));
    }
    if raw.tests.len() > CASES {
        problems.push(format!("tests: {} are more than {CASES}", raw.tests.len()));
    }
    let mut tests = Vec::new();
    for (index, case) in raw.tests.into_iter().enumerate() {
        match case.checked(index) {
            Ok(case) => tests.push(case),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(wrong(problems.join("; ")));
    }
    let (fuel, wall_ms) = (raw.fuel, raw.wall_ms);
    Ok(Manifest { class: raw.class, sha256, fuel, memory_bytes, wall_ms, shadow: raw.shadow, tests })
}

/// A list is no object, though its items could be read as the fields in their order.
fn are_objects(manifest: &Value) -> Result<(), String> {
    let is_map = |value: &Value, place: &str| match value {
        Value::Array(_) => Err(format!("{place} is a list; write its keys with their values")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => Ok(()),
    };
    is_map(manifest, "the manifest")?;
    for (index, case) in manifest["tests"].as_array().into_iter().flatten().enumerate() {
        is_map(case, &format!("tests[{index}]"))?;
        is_map(&case["expect"], &format!("tests[{index}].expect"))?;
    }
    Ok(())
}

fn wrong(detail: String) -> Rejection {
    Rejection::new(Flaw::Manifest, detail)
}

/// The bytes of memory that are asked for; what is more than any owner may give is a problem.
fn within_ceiling(raw: &Raw, problems: &mut Vec<String>) -> Option<u64> {
    let ceiling = Limits::ceiling();
    let memory_bytes = raw.memory.as_ref().and_then(quantity);
    if raw.memory.is_some() && memory_bytes.is_none() {
        problems.push("memory: bytes, or a number with Ki, Mi or Gi".to_owned());
    }
    for (name, value, most) in [
        ("fuel", raw.fuel, ceiling.fuel),
        ("memory", memory_bytes, ceiling.memory_bytes),
        ("wallMs", raw.wall_ms, ceiling.wall_ms),
    ] {
        if let Some(value) = value.filter(|value| *value == 0 || *value > most) {
            problems.push(format!("{name}: {value} is not between 1 and {most}"));
        }
    }
    memory_bytes
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

fn json(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

/// An empty manifest changes nothing.
fn yaml(bytes: &[u8]) -> Result<Value, String> {
    match crate::yaml::json(bytes, "manifest") {
        Ok(Value::Null) => Ok(Value::Object(Map::new())),
        Ok(value) => Ok(value),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
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
        assert_eq!(yaml.class, Some(Class::Interpreter));
        assert_eq!(
            yaml.limits(Limits::of(Class::Interpreter)),
            Limits { fuel: 7, memory_bytes: 64 << 20, ..Limits::of(Class::Interpreter) }
        );
    }

    #[test]
    fn an_empty_manifest_changes_nothing() {
        let limits = Limits { fuel: 1, memory_bytes: 2, wall_ms: 3 };
        assert_eq!(parse(b"", false).map(|manifest| manifest.limits(limits)), Ok(limits));
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
    fn test_cases_have_a_snapshot_and_one_expectation() {
        let text = "tests:\n- {snapshot: a.json, expect: {members: 3, code: Load}}\n- {name: x, snapshot: {}, expect: {hold: true}}\n";
        let tests = parse(text.as_bytes(), false).expect("a manifest").tests;
        assert_eq!(tests.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(), ["1", "x"]);
        for (case, said) in [
            ("{snapshot: a.json, expect: {}}", "test case `1`: expect: one of members, hold and refusal"),
            ("{snapshot: a.json, expect: {hold: true, members: 3}}", "one of members, hold and refusal"),
            ("{snapshot: a.json, expect: {refusal: X, code: Z}}", "code: belongs to members or hold"),
            ("{snapshot: 3, expect: {hold: true}}", "snapshot: the name of a file, or a document"),
            ("{expect: {hold: true}}", "missing field `snapshot`"),
            ("{snapshot: a.json, expect: {size: 3}}", "unknown field `size`"),
        ] {
            let rejection = parse(format!("tests: [{case}]").as_bytes(), false).expect_err(case);
            assert!(rejection.detail.contains(said), "{rejection}");
        }
    }

    #[test]
    fn a_deep_or_wide_manifest_is_refused() {
        for text in [format!("a: {}", "[".repeat(100_000)), format!("tests: [{}]", "1,".repeat(60_000))] {
            assert_eq!(parse(text.as_bytes(), false).map_err(|r| r.flaw), Err(Flaw::Manifest));
        }
        let deep = format!("{}{}", "[".repeat(60_000), "]".repeat(60_000));
        assert_eq!(parse(deep.as_bytes(), true).map_err(|r| r.flaw), Err(Flaw::Manifest));
    }

    #[test]
    fn refuses_aliases_and_unknown_keys() {
        for text in [
            "- compiled\n",
            "tests: [[x, {}, null, {hold: true}]]\n",
            "tests: [{snapshot: {}, expect: [3, false]}]\n",
        ] {
            let rejection = parse(text.as_bytes(), false).expect_err(text);
            assert!(rejection.detail.contains("is a list"), "{rejection}");
        }
        for text in ["a: &a [x]\nb: *a\n", "fule: 3\n", "class: huge\n", "- a\n", "fuel: 1.5\n"] {
            assert_eq!(parse(text.as_bytes(), false).map_err(|r| r.flaw), Err(Flaw::Manifest), "{text}");
        }
    }
}
