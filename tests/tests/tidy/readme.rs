//! What the README says of the state of things is what the code says.

use crate::{none, root};
use std::collections::BTreeSet;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The kinds of systems that a target's document may name.
fn systems() -> BTreeSet<String> {
    let schema = read("deploy/chart/crds/definitions.yaml");
    let (_, kind) = schema.split_once("description: \"Which system.\"").expect("spec.system.kind");
    let items = kind.lines().skip_while(|line| line.trim() != "enum:").skip(1);
    items.map_while(|line| line.trim().strip_prefix("- ").map(str::to_owned)).collect()
}

#[test]
fn the_status_table_has_every_system_and_no_other() {
    let readme = read("README.md");
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| system `"));
    let named: BTreeSet<String> = rows.filter_map(|row| row.split('`').next()).map(str::to_owned).collect();
    assert!(!named.is_empty());
    assert_eq!(named, systems(), "the status table of README.md, and `spec.system.kind`");
}

#[test]
fn the_status_table_counts_the_rules() {
    let rules: Vec<_> = plimsoll_core::invariant::all().map(|rule| rule.id).collect();
    let families: BTreeSet<_> = rules.iter().filter_map(|id| id.split('-').next()).collect();
    let row = format!("| {} rules in {} families |", rules.len(), families.len());
    assert!(read("README.md").contains(&row), "the status table of README.md lacks {row:?}");
}

#[test]
fn pages_name_commands_of_make_that_are_there() {
    let makefile = read("Makefile");
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', '#', ' ', '.']))
        .filter_map(|line| line.split_once(':'))
        .filter(|(_, rest)| !rest.starts_with('='))
        .flat_map(|(names, _)| names.split_whitespace())
        .collect();
    let mut complaints = Vec::new();
    for page in ["README.md", "CONTRIBUTING.md", "examples/etcd/README.md", "docs/kubernetes/quick-start.md"]
    {
        let text = read(page);
        // At the beginning of a line of code, or of something that is quoted.
        let starts = text.lines().map(str::trim_start).chain(text.split('`').skip(1));
        let named = starts.filter_map(|start| start.strip_prefix("make "));
        let named =
            named.filter_map(|rest| rest.split(|char: char| !char.is_alphanumeric() && char != '-').next());
        let gone: BTreeSet<&str> = named.filter(|name| !targets.contains(name)).collect();
        complaints.extend(gone.into_iter().map(|name| format!("{page}: make {name}")));
    }
    none(&complaints);
}
