//! What comments, messages and pages refer to is a page of this repository.

use crate::{Text, none, root, texts};
use std::collections::BTreeSet;

/// Where ids have their anchors.
const PAGES: [&str; 3] =
    ["docs/design/decisions.md", "docs/design/hostile-modules.md", "docs/design/rules.md"];
/// What people write; data of tests and lists of checksums are not read.
const WRITTEN: [&str; 9] = [".rs", ".md", ".sh", ".yaml", ".yml", ".tpl", ".txt", ".wit", "Makefile"];
/// The families of rules, those without a rule in the code too.
const FAMILIES: [&str; 14] = [
    "BKP", "CAP", "DRAIN", "EVID", "FLOOR", "HEALTH", "IDENT", "LEAD", "MUTEX", "QUORUM", "RED", "SHARD",
    "STEP", "VOL",
];

fn written() -> impl Iterator<Item = Text> {
    let fits = |text: &Text| {
        let name = text.path.rsplit('/').next().unwrap_or_default();
        WRITTEN.iter().any(|end| name.ends_with(end)) && !text.is_in("tests/data")
    };
    texts().into_iter().filter(move |text| fits(text))
}

/// Whether a word is the id of a decision (`D20`), a property (`N7`), a rule of the engine (`P3`), a hostile module
/// (`W33`) or a rule (`QUORUM-4`).
fn is_id(word: &str) -> bool {
    let number = |text: &str, most: usize| {
        !text.is_empty() && text.len() <= most && text.chars().all(|char| char.is_ascii_digit())
    };
    if let Some((family, rest)) = word.split_once('-') {
        return FAMILIES.contains(&family) && number(rest, 2);
    }
    let Some(rest) = word.strip_prefix(['D', 'N', 'P', 'W']) else { return false };
    number(rest, 2) && (rest.len() == 2 || !word.starts_with('W'))
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|char: char| !char.is_ascii_alphanumeric() && !"-_".contains(char))
}

fn anchors() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for page in PAGES {
        let content = std::fs::read_to_string(root().join(page)).unwrap();
        let anchors = content.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next());
        for anchor in anchors {
            assert!(
                all.insert(anchor.to_owned()),
                "{page} has the anchor {anchor}, and a page before it too"
            );
        }
    }
    all
}

#[test]
fn every_id_leads_to_an_anchor_of_the_design_pages() {
    let anchors = anchors();
    let mut complaints = Vec::new();
    for text in written() {
        for (index, line) in text.content.lines().enumerate() {
            let lost = words(line).filter(|word| is_id(word) && !anchors.contains(&word.to_lowercase()));
            complaints.extend(lost.map(|word| format!("{}:{}: {word}", text.path, index + 1)));
        }
    }
    none(&complaints);
}

#[test]
fn an_id_is_told_from_other_words() {
    for id in ["D1", "D28", "N7", "P3", "W01", "W33", "QUORUM-4"] {
        assert!(is_id(id), "{id}");
    }
    for other in ["D", "D100", "W1", "P99x", "X7", "UTF-8", "QUORUM-", "SHA-256", "EVID-one"] {
        assert!(!is_id(other), "{other}");
    }
}

/// The names of pages in a line, with their anchors.
fn pages_named(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let words = line.split(|char: char| !char.is_ascii_alphanumeric() && !"-_./#".contains(char));
    let parts = words.map(|word| word.split_once('#').unwrap_or((word, "")));
    // A path in the code climbs to the root first.
    let parts = parts.map(|(file, anchor)| (file.rsplit("../").next().unwrap_or(file), anchor));
    parts.filter(|(file, _)| file.ends_with(".md") && !file.starts_with('.'))
}

#[test]
fn every_page_that_is_named_is_there() {
    let pages: Vec<Text> = texts().into_iter().filter(|text| text.ends(".md")).collect();
    let is_there = |file: &str, anchor: &str| {
        let fits = |page: &&Text| page.path == file || page.path.ends_with(&format!("/{file}"));
        let known = pages.iter().find(fits);
        known.is_some_and(|page| anchor.is_empty() || anchors_of(page).iter().any(|one| one == anchor))
    };
    let mut complaints = Vec::new();
    for text in written().filter(|text| !text.ends(".md")) {
        for (index, line) in text.content.lines().enumerate() {
            let gone = pages_named(line).filter(|(file, anchor)| !is_there(file, anchor));
            complaints.extend(gone.map(|(file, _)| format!("{}:{}: {file}", text.path, index + 1)));
        }
    }
    none(&complaints);
}

fn anchors_of(page: &Text) -> Vec<String> {
    crate::docs::anchors(&root().join(&page.path))
}
