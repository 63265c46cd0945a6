//! Both contracts hand over, and take back, every field: snapshots are made from the published JSON Schema, with every
//! property set and every alternative in turn, and a guest that answers with all that it was told is asked in both
//! forms. A field or a word that is added to the documents and forgotten in a conversion fails here.

use plimsoll::policy::{Class, Evaluation, Host, Launch, Loaded, Sandbox};
use plimsoll_tests::guest::{assemble, wish, write};
use plimsoll_wire::proposal::Answer;
use plimsoll_wire::{Fact, Snapshot};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Enough for the longest list of words, each of which is reached in every third snapshot only.
const SNAPSHOTS: usize = 96;

fn schema(document: &str) -> Value {
    let output = std::process::Command::new(plimsoll_tests::binary()).args(["schema", document]).output();
    serde_json::from_slice(&output.expect("the command runs").stdout).expect("a schema")
}

/// Makes values of a schema; every number and text is another one, so that no two fields can be confused.
struct Maker {
    root: Value,
    count: u64,
    /// Which alternative of each place is next.
    turns: BTreeMap<String, usize>,
    alternatives: BTreeSet<(String, usize)>,
    made: BTreeSet<(String, usize)>,
}

impl Maker {
    fn new(root: Value) -> Self {
        Self { root, count: 0, turns: BTreeMap::new(), alternatives: BTreeSet::new(), made: BTreeSet::new() }
    }

    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn turn<'a>(&mut self, place: &str, choices: &'a [Value]) -> &'a Value {
        let turn = self.turns.entry(place.to_owned()).or_default();
        let index = *turn % choices.len();
        *turn += 1;
        self.alternatives.extend((0..choices.len()).map(|index| (place.to_owned(), index)));
        self.made.insert((place.to_owned(), index));
        &choices[index]
    }

    fn make(&mut self, schema: &Value, place: &str) -> Value {
        let mut made = self.own(schema, place);
        if let Some(name) = schema["$ref"].as_str() {
            let definition = self.root.pointer(name.trim_start_matches('#')).expect("a definition").clone();
            let referred = self.make(&definition, name);
            made = match (made, referred) {
                (Some(Value::Object(mut own)), Value::Object(referred)) => {
                    own.extend(referred);
                    Some(Value::Object(own))
                }
                (_, referred) => Some(referred),
            };
        }
        // A schema without any word allows everything.
        made.unwrap_or_else(|| json!({ "anything": self.next() }))
    }

    /// What the schema itself says, without what it refers to.
    fn own(&mut self, schema: &Value, place: &str) -> Option<Value> {
        if let Some(fixed) = schema.get("const") {
            return Some(fixed.clone());
        }
        for word in ["enum", "oneOf", "anyOf"] {
            let Some(choices) = schema[word].as_array() else { continue };
            let some: Vec<Value> = choices
                .iter()
                .filter(|choice| **choice != Value::Null && choice["type"] != "null")
                .cloned()
                .collect();
            let chosen = self.turn(&format!("{place}/{word}"), &some).clone();
            return Some(if word == "enum" { chosen } else { self.make(&chosen, place) });
        }
        let kind = &schema["type"];
        // Of an optional value, the one that is not nothing.
        let kind =
            kind.as_array().and_then(|kinds| kinds.iter().find(|kind| **kind != "null")).unwrap_or(kind);
        match kind.as_str()? {
            "object" => Some(self.object(schema, place)),
            "array" => Some(json!([self.make(&schema["items"], &format!("{place}/items"))])),
            "string" => Some(format!("text {} \"é\"", self.next()).into()),
            "boolean" => Some(self.next().is_multiple_of(2).into()),
            "number" => Some((self.next() as f64 + 0.1).into()),
            "integer" => Some(self.integer(schema)),
            other => panic!("{place} is of type {other}"),
        }
    }

    fn object(&mut self, schema: &Value, place: &str) -> Value {
        let mut made = Map::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            made.insert(name.clone(), self.make(property, &format!("{place}/{name}")));
        }
        if schema["additionalProperties"].is_object() || schema["additionalProperties"] == true {
            let value = self.make(&schema["additionalProperties"], &format!("{place}/*"));
            made.insert(format!("key {}", self.next()), value);
        }
        Value::Object(made)
    }

    fn integer(&mut self, schema: &Value) -> Value {
        let next = self.next();
        match schema["format"].as_str() {
            Some("int8") => (i64::try_from(next % 256).expect("small") - 128).into(),
            Some("uint8") => (next % 256).into(),
            Some("uint16") => (next % 65_536).into(),
            Some("uint32") => (u64::from(u32::MAX) - next).into(),
            // Numbers that a double cannot hold.
            Some("int64") => (-9_007_199_254_740_993 - i64::try_from(next).expect("small")).into(),
            Some("uint64") => (9_007_199_254_740_993 + next).into(),
            other => panic!("an integer of format {other:?}"),
        }
    }
}

fn snapshots() -> Vec<Snapshot> {
    let mut maker = Maker::new(schema("snapshot"));
    let root = maker.root.clone();
    let made: Vec<Snapshot> = (0..SNAPSHOTS)
        .map(|_| {
            let mut document = maker.make(&root, "#");
            document["formatVersion"] = plimsoll_wire::FORMAT_VERSION.into();
            // Of sizes, to be absent and not to exist are one.
            let sizes = document["sizes"].as_object_mut().expect("sizes");
            sizes.retain(|name, fact| name == "members" || fact["state"] != "not-applicable");
            let read: Snapshot =
                serde_json::from_value(document.clone()).expect("a snapshot of its own schema");
            let written = serde_json::to_value(&read).expect("JSON");
            assert_eq!(written, document, "the schema and the types say the same");
            read
        })
        .collect();
    let left: Vec<_> = maker.alternatives.difference(&maker.made).collect();
    assert!(left.is_empty(), "more SNAPSHOTS are needed to see {left:?}");
    made
}

async fn load(file: &str) -> Loaded {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bin/guests").join(file);
    assert!(path.is_file(), "{} is missing: run scripts/build-policies.sh first", path.display());
    let launch =
        Launch { program: plimsoll_tests::binary(), sandbox: Sandbox::Required, ..Launch::default() };
    let host = Host { launch, cache: None };
    host.load_file(&path, Class::Compiled).await.expect("a guest that loads")
}

fn answer(evaluation: Evaluation) -> Answer {
    evaluation.result.expect("an answer")
}

#[tokio::test]
async fn both_contracts_see_and_say_the_same_to_the_last_field() {
    let (program, component) = (load("echo.wasm").await, load("echo.component.wasm").await);
    let wanted = schema("proposal");
    let mut answer_of = 0;
    for snapshot in snapshots() {
        let (first, second) = (program.evaluate(&snapshot).await, component.evaluate(&snapshot).await);
        assert_eq!(first.log.len(), 4);
        assert_eq!(first.log, second.log);
        let (first, second) = (answer(first), answer(second));
        assert_eq!(first, second);
        match first {
            Answer::Proposal(proposal) => {
                let state = proposal.state.clone().expect("a state");
                let seen: Snapshot = serde_json::from_str(&state).expect("a snapshot");
                assert_eq!(seen, snapshot, "what the guest saw is what it was handed");
                let document = serde_json::to_value(&proposal).expect("JSON");
                for (name, _) in wanted["$defs"]["Proposal"]["properties"].as_object().expect("properties") {
                    let rests_on_nothing = name == "forecast" && proposal.forecast.is_empty();
                    assert!(rests_on_nothing || document.get(name).is_some(), "{name} was not answered");
                }
                answer_of += usize::from(!proposal.forecast.is_empty());
            }
            Answer::Refusal { refusal } => {
                assert_eq!(refusal.reason.code, "NoSize");
                assert!(!matches!(snapshot.sizes.members, Fact::Known(_)));
            }
        }
    }
    assert!(answer_of >= SNAPSHOTS / 4, "only {answer_of} whole proposals");
}

#[tokio::test]
async fn a_component_describes_itself_in_full() {
    let described = load("echo.component.wasm").await.inspection().manifest.clone();
    let expected = json!({
        "name": "echo",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Answers with all that it was told.",
        "needs": ["a-fact"],
        "settingsSchema": { "type": "object" },
    });
    assert_eq!(described, Some(expected));
}

/// WASI of a language's runtime: there, and inert.
#[tokio::test]
async fn a_component_with_wasi_sees_a_still_clock_and_an_empty_world() {
    let loaded = load("surroundings.component.wasm").await;
    let imports = &loaded.inspection().imports;
    for package in
        ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"]
    {
        assert!(imports.iter().any(|import| import.starts_with(package)), "{package} in {imports:?}");
    }
    let mut snapshot = plimsoll_tests::guest::snapshot();
    let look = |evaluation: Evaluation| match answer(evaluation) {
        Answer::Proposal(proposal) => proposal.state.expect("a state"),
        Answer::Refusal { refusal } => panic!("{refusal:?}"),
    };
    let first = loaded.evaluate(&snapshot).await;
    assert_eq!(first.log, ["looked around"]);
    let first = look(first);
    let lines: Vec<&str> = first.lines().collect();
    assert_eq!(lines[0], format!("wall {}", snapshot.now.wall_ms));
    assert!(lines[2].starts_with("chance "), "{first}");
    assert_eq!(&lines[3..], ["environment 0", "arguments 0"]);
    assert_eq!(look(loaded.evaluate(&snapshot).await), first, "chance comes from the snapshot");
    snapshot.now.mono_ms += 1;
    assert_ne!(look(loaded.evaluate(&snapshot).await), first);
    snapshot.target.settings = json!({ "do": "read" });
    let Answer::Refusal { refusal } = answer(loaded.evaluate(&snapshot).await) else { panic!("a refusal") };
    let refused = refusal.reason.message.starts_with("refused");
    assert_eq!((refusal.reason.code.as_str(), refused), ("Read", true), "{}", refusal.reason.message);
    // There is no network to refuse anything: to ask for a socket is a trap.
    for (what, kind) in [("connect", "GUEST"), ("exit", "EXIT")] {
        snapshot.target.settings = json!({ "do": what });
        let failure = loaded.evaluate(&snapshot).await.result.expect_err("no answer");
        assert_eq!(failure.kind(), kind, "{failure}");
    }
}

/// What a standard stream answers where a file would have a place, as wasmtime has it; Zig's writers rely on it.
#[tokio::test]
async fn standard_streams_are_pipes_and_not_closed() {
    const SPIPE: u32 = 70;
    const BADF: u32 = 8;
    let parameters = |name: &str| match name {
        "pread" | "pwrite" => "i32 i32 i32 i64 i32",
        "seek" => "i32 i64 i32 i32",
        _ => "i32 i32",
    };
    let arguments = |name: &str| match name {
        "pread" | "pwrite" => "(i32.const 0) (i32.const 0) (i64.const 0) (i32.const 8)",
        "seek" => "(i64.const 0) (i32.const 1) (i32.const 8)",
        _ => "(i32.const 128)",
    };
    for (name, expected) in [
        ("pread", [SPIPE, BADF, BADF, BADF]),
        ("pwrite", [BADF, SPIPE, SPIPE, BADF]),
        ("seek", [SPIPE, SPIPE, SPIPE, BADF]),
        ("tell", [SPIPE, SPIPE, SPIPE, BADF]),
        ("filestat_get", [0, 0, 0, BADF]),
    ] {
        let calls: String = expected
            .iter()
            .enumerate()
            .map(|(descriptor, number)| {
                let call = format!("(call $asked (i32.const {descriptor}) {})", arguments(name));
                format!("(if (i32.ne {call} (i32.const {number})) (then unreachable))")
            })
            .collect();
        let answer = wish("3");
        let data: String = answer.bytes().map(|byte| format!("\\{byte:02x}")).collect();
        let module = assemble(&format!(
            r#"(module
                (import "wasi_snapshot_preview1" "fd_{name}" (func $asked (param {}) (result i32)))
                (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
                (memory (export "memory") 1) (data (i32.const 256) "{data}")
                (func (export "_start") {calls} {}))"#,
            parameters(name),
            write(1, 256, answer.len())
        ));
        let launch = Launch { program: plimsoll_tests::binary(), ..Launch::default() };
        let host = Host { launch, cache: None };
        let limits = plimsoll::policy::Limits::of(Class::Compiled);
        let loaded = host.load_bytes(&module, Class::Compiled, limits).await.expect(name);
        let asked = loaded.evaluate(&plimsoll_tests::guest::snapshot()).await;
        assert_eq!(plimsoll_tests::library::answer_of(&asked), "3", "fd_{name}");
    }
}
