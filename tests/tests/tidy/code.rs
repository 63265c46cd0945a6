//! Rules about the sources.

use crate::{Text, none, root, texts};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Lines of a file. Beyond that it holds more than one idea.
const MAX_LINES: usize = 500;
/// Files that are longer all the same, and how long they may be: to be split by whoever changes them much.
const LONGER: [(&str, usize); 1] = [("host/wire/src/snapshot.rs", 600)];
/// Where compiled guest code is loaded, inside the confined child.
const UNSAFE: &str = "host/src/policy/guest/artefact.rs";
/// Where `unsafe_code` is allowed for code that `wit-bindgen` writes into guests.
const GENERATED: [&str; 2] = ["policy-sdk/src/component.rs", "policy-sdk/src/lib.rs"];
/// Names that say nothing.
const EMPTY_NAMES: [&str; 7] =
    ["common.rs", "helpers.rs", "manager.rs", "misc.rs", "mod.rs", "types.rs", "utils.rs"];
/// What pure crates do not name.
const IMPURE: [&str; 8] =
    ["std::env", "std::fs", "std::net", "std::process", "std::thread", "std::time", "SystemTime", "Instant"];
/// Stages of a decision in `host/src`, and which others each may name.
const STAGES: [(&str, &[&str]); 7] = [
    ("collect", &[]),
    ("policy", &[]),
    ("platforms", &["actuate"]),
    // A simulated system lives in the world of its platform, and each system says on which kinds it runs. What no server
    // fences asks for leadership itself.
    ("systems", &["actuate", "leadership", "platforms"]),
    ("actuate", &[]),
    ("audit", &[]),
    ("leadership", &[]),
];

fn sources() -> Vec<Text> {
    texts().into_iter().filter(|text| text.ends(".rs")).collect()
}

/// The code of a line, without a comment that fills it or ends it.
fn code(line: &str) -> &str {
    let line = line.trim_start();
    if line.starts_with("//") { "" } else { line.split(" // ").next().unwrap_or_default() }
}

/// Where the code of a file names something.
fn naming<'a>(text: &'a Text, word: &'a str) -> impl Iterator<Item = String> + 'a {
    let lines = text.content.lines().enumerate();
    lines
        .filter(move |(_, line)| has_word(code(line), word))
        .map(move |(index, line)| format!("{}:{}: {}", text.path, index + 1, line.trim()))
}

fn has_word(line: &str, word: &str) -> bool {
    let part = |char: Option<char>| char.is_some_and(|char| char.is_alphanumeric() || char == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !part(before.chars().next_back()) && !part(after.chars().next())
    })
}

#[test]
fn files_hold_one_idea() {
    let limit =
        |path: &str| LONGER.iter().find(|(known, _)| *known == path).map_or(MAX_LINES, |(_, most)| *most);
    let complaints: Vec<String> = sources()
        .iter()
        .map(|text| (text, text.content.lines().count(), limit(&text.path)))
        .filter(|(_, lines, most)| lines > most)
        .map(|(text, lines, most)| format!("{} has {lines} lines, {most} are the most", text.path))
        .collect();
    none(&complaints);
}

#[test]
fn files_are_named_by_what_they_hold() {
    let empty = |text: &&Text| text.path.rsplit('/').next().is_some_and(|name| EMPTY_NAMES.contains(&name));
    none(&sources().iter().filter(empty).map(|text| text.path.clone()).collect::<Vec<_>>());
}

#[test]
fn unsafe_code_stands_in_one_file() {
    let mut complaints = Vec::new();
    for text in sources().iter().filter(|text| text.path != UNSAFE) {
        for form in ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe trait"] {
            let used = naming(text, "unsafe").filter(|line| line.contains(form));
            complaints.extend(used.filter(|line| !line.contains(&format!("\"{form}"))));
        }
        if !GENERATED.contains(&text.path.as_str()) {
            complaints.extend(
                naming(text, "unsafe_code")
                    .filter(|line| line.contains("allow(") || line.contains("expect(")),
            );
        }
    }
    // This file names what it looks for.
    complaints.retain(|line| !line.starts_with("tests/tests/tidy/"));
    none(&complaints);
}

#[test]
fn no_test_is_ignored() {
    let marked =
        |text: &Text| naming(text, "ignore").filter(|line| line.contains("#[ignore")).collect::<Vec<_>>();
    let mut complaints: Vec<String> = sources().iter().flat_map(marked).collect();
    complaints.retain(|line| !line.starts_with("tests/tests/tidy/"));
    none(&complaints);
}

#[test]
fn the_pure_crates_name_no_clock_no_file_and_no_network() {
    let pure = ["host/core/src", "host/wire/src", "host/sim/src"];
    let mut complaints = Vec::new();
    for text in sources().iter().filter(|text| pure.iter().any(|folder| text.is_in(folder))) {
        for word in IMPURE {
            complaints.extend(naming(text, word));
        }
    }
    none(&complaints);
}

#[test]
fn the_oracle_shares_no_code_with_the_judge() {
    let mut complaints = Vec::new();
    for text in sources().iter().filter(|text| text.is_in("host/sim/src")) {
        if text.path.contains("oracle") {
            complaints.extend(naming(text, "plimsoll_core"));
        }
        for word in ["plimsoll_core::invariant", "plimsoll_core::judge", "invariant"] {
            complaints.extend(naming(text, word));
        }
    }
    none(&complaints);
}

#[test]
fn stages_do_not_reach_into_one_another() {
    let mut complaints = Vec::new();
    for text in sources() {
        let Some(rest) = text.path.strip_prefix("host/src/") else { continue };
        let stage = rest.split(['/', '.']).next().unwrap_or_default();
        let Some((_, known)) = STAGES.iter().find(|(name, _)| *name == stage) else { continue };
        // Tests of a stage may look around.
        if rest.contains("tests") {
            continue;
        }
        for (other, _) in STAGES.iter().filter(|(other, _)| *other != stage && !known.contains(other)) {
            complaints.extend(naming(&text, &format!("crate::{other}")));
        }
        for word in ["crate::daemon", "crate::cli", "crate::api"] {
            complaints.extend(naming(&text, word));
        }
    }
    none(&complaints);
}

#[test]
fn guests_are_known_to_the_policy_host_only() {
    let elsewhere = |text: &&Text| text.is_in("host/src") && !text.path.starts_with("host/src/policy");
    none(
        &sources()
            .iter()
            .filter(elsewhere)
            .flat_map(|text| naming(text, "wasmtime").collect::<Vec<_>>())
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_source_file_is_part_of_a_crate() {
    let mut reached = BTreeSet::new();
    for start in crate::crates::roots() {
        let folder = start.parent().unwrap().to_path_buf();
        follow(&start, &folder, &mut reached);
    }
    let root = root();
    let orphans: Vec<String> = sources()
        .into_iter()
        .filter(|text| !reached.contains(&root.join(&text.path)))
        .map(|text| format!("{} is named by no `mod`", text.path))
        .collect();
    none(&orphans);
}

/// Follows `mod name;` from a file whose submodules lie in `folder`.
fn follow(file: &Path, folder: &Path, reached: &mut BTreeSet<PathBuf>) {
    if !reached.insert(file.to_path_buf()) {
        return;
    }
    let content = std::fs::read_to_string(file).unwrap();
    let mut elsewhere: Option<String> = None;
    for line in content.lines().map(code) {
        if let Some(path) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            elsewhere = Some(path.to_owned());
            continue;
        }
        let Some(name) = module(line) else {
            if !line.starts_with("#[") && !line.is_empty() {
                elsewhere = None;
            }
            continue;
        };
        match elsewhere.take() {
            Some(path) => {
                let path = file.parent().unwrap().join(path);
                let inside = path.parent().unwrap().to_path_buf();
                follow(&path, &inside, reached);
            }
            None => {
                let path = folder.join(format!("{name}.rs"));
                assert!(
                    path.is_file(),
                    "{} names {name}, and {} is not there",
                    file.display(),
                    path.display()
                );
                follow(&path, &folder.join(name), reached);
            }
        }
    }
}

/// The name in `mod name;`, whatever its visibility.
fn module(line: &str) -> Option<&str> {
    let line = line.strip_suffix(';')?;
    let rest = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => line,
    };
    let name = rest.strip_prefix("mod ")?;
    name.chars().all(|char| char.is_alphanumeric() || char == '_').then_some(name)
}

#[test]
fn nothing_names_a_place_of_one_machine() {
    // In parts, so that this file does not name them itself.
    let places = [["/ho", "me/"], ["/Us", "ers/"], ["/ro", "ot/"], ["/wo", "rk/"], ["/tmp", "/wt"]];
    let mut complaints = Vec::new();
    for text in texts() {
        for (index, line) in text.content.lines().enumerate() {
            for place in places.map(|parts| parts.concat()) {
                let named = line.match_indices(&place).any(|(at, _)| {
                    // `.../home/x` of a URL or of a relative path is no place on a machine.
                    let before = line[..at].chars().next_back();
                    before.is_none_or(|char| !char.is_alphanumeric() && !"./-_}$".contains(char))
                });
                if named {
                    complaints.push(format!("{}:{}: {place}", text.path, index + 1));
                }
            }
        }
    }
    none(&complaints);
}
