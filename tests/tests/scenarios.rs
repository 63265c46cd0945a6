//! One file a violation kind: a snapshot, what is different in it, a change, and what the judge must say of it,
//! word for word. `tests/scenarios/README.md` tells how to write one.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use plimsoll_core::change::Change;
use plimsoll_core::explain;
use plimsoll_core::invariant;
use plimsoll_core::judge::{Judged, judge};
use plimsoll_wire::journal::Verb;
use plimsoll_wire::record::{Judgement, Verdict, Wisher};
use plimsoll_wire::snapshot::Snapshot;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A scenario as it is written.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Scenario {
    /// What happens, in a sentence.
    about: String,
    /// Which snapshot it starts from: a file in `base`.
    base: String,
    /// What is different in the snapshot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    patches: Vec<Patch>,
    change: Wanted,
    expect: Expected,
}

/// One place of the snapshot (a JSON pointer) and what stands there instead.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    at: String,
    to: Value,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
enum Wanted {
    /// A size.
    Resize {
        to: u32,
        /// The signals that the wish rests on; absent for a person's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rests_on: Option<Vec<String>>,
    },
    /// An effect of the snapshot's plan on its subject.
    Effect {
        verb: Verb,
        #[serde(default)]
        undoing: bool,
    },
}

#[derive(Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Expected {
    verdict: Verdict,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u32>,
    /// `RULE verdict`, in the order of the catalogue.
    violations: Vec<String>,
    explanation: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// The scenarios by the name of their file.
fn all() -> BTreeMap<String, PathBuf> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    files.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path)).collect()
}

fn read(path: &Path) -> Scenario {
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn snapshot(scenario: &Scenario) -> Snapshot {
    let path = folder().join("base").join(format!("{}.json", scenario.base));
    let mut value: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for patch in &scenario.patches {
        set(&mut value, &patch.at, patch.to.clone());
    }
    serde_json::from_value(value).unwrap()
}

/// Puts a value at a place; its parent must be there already, and a list is appended to with `-`.
fn set(root: &mut Value, pointer: &str, to: Value) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let parent = root.pointer_mut(parent).unwrap_or_else(|| panic!("nothing at {pointer}"));
    match parent {
        Value::Array(items) if last == "-" => items.push(to),
        Value::Array(items) => items[last.parse::<usize>().unwrap()] = to,
        Value::Object(fields) => {
            fields.insert(last.to_owned(), to);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => panic!("{pointer} is a leaf"),
    }
}

fn change(scenario: &Scenario, snapshot: &Snapshot) -> Change {
    match &scenario.change {
        Wanted::Resize { to, rests_on } => {
            let by = rests_on.as_ref().map_or(Wisher::Person, |_| Wisher::Policy("load".to_owned()));
            Change::Wish { to: *to, by, rests_on: rests_on.clone() }
        }
        Wanted::Effect { verb, undoing } => {
            let plan = Box::new(snapshot.plan.clone().expect("the base has a plan"));
            let subject = plan.subject.clone().expect("the plan has a subject");
            Change::Effect { plan, subject, verb: verb.clone(), undoing: *undoing }
        }
    }
}

fn judged(scenario: &Scenario) -> Judgement {
    let snapshot = snapshot(scenario);
    let change = change(scenario, &snapshot);
    match judge(&change, &snapshot, true) {
        Judged::Verdict(judgement) => judgement,
        Judged::NeedFacts => panic!("the facts are direct"),
    }
}

fn said(judgement: &Judgement) -> Expected {
    let word = |verdict: Verdict| serde_json::to_value(verdict).unwrap().as_str().unwrap().to_owned();
    let line = |one: &plimsoll_wire::record::Violation| format!("{} {}", one.rule, word(one.verdict));
    Expected {
        verdict: judgement.verdict,
        size: judgement.sizes.members,
        violations: judgement.violations.iter().map(line).collect(),
        explanation: explain::judgement(judgement),
    }
}

/// With `PLIMSOLL_BLESS` set, what is said now is written down as what is expected: read the difference.
#[test]
fn every_scenario_is_judged_and_explained_word_for_word() {
    let bless = std::env::var_os("PLIMSOLL_BLESS").is_some();
    let mut wrong = Vec::new();
    for (name, path) in all() {
        let mut scenario = read(&path);
        let said = said(&judged(&scenario));
        if bless {
            scenario.expect = said;
            let text = serde_json::to_string_pretty(&scenario).unwrap();
            std::fs::write(&path, format!("{text}\n")).unwrap();
        } else if said != scenario.expect {
            wrong.push(format!("{name}:\n  said     {said:?}\n  expected {:?}", scenario.expect));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_violation_kind_has_exactly_one_scenario_of_its_name() {
    let kinds: BTreeSet<String> = invariant::all().map(|rule| rule.kind.to_owned()).collect();
    let files: BTreeSet<String> = all().into_keys().collect();
    let missing: Vec<_> = kinds.difference(&files).collect();
    let orphans: Vec<_> = files.difference(&kinds).collect();
    assert!(missing.is_empty() && orphans.is_empty(), "missing {missing:?}; no such kind {orphans:?}");
}

/// What is no scenario would be passed over in silence.
#[test]
fn the_folder_holds_nothing_but_scenarios() {
    let names = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.to_str().unwrap().to_owned());
    let other = |name: &String| !name.ends_with(".json") && name != "README.md" && name != "base";
    assert_eq!(names.filter(other).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn each_scenario_is_refused_or_limited_by_the_rule_that_it_is_named_after() {
    for (name, path) in all() {
        let judgement = judged(&read(&path));
        let rules: BTreeSet<_> =
            invariant::all().filter(|rule| rule.kind == name).map(|rule| rule.id).collect();
        let found = judgement.violations.iter().find(|one| one.kind == name);
        let found = found.unwrap_or_else(|| panic!("{name} is not among {:?}", judgement.violations));
        assert!(rules.contains(&*found.rule), "{name} is told by {}", found.rule);
    }
}

#[test]
fn without_its_patches_the_base_of_each_scenario_does_not_show_its_violation() {
    for (name, path) in all() {
        let mut scenario = read(&path);
        if scenario.patches.is_empty() {
            // The change itself is what is wrong.
            continue;
        }
        scenario.patches.clear();
        let judgement = judged(&scenario);
        assert!(judgement.violations.iter().all(|one| one.kind != name), "{name}: {judgement:?}");
    }
}
