//! Rules about crates: what ours may use, and what anybody's may be.

use crate::{licence, none, root};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// What the pure crates may use. Another one needs a reason in ARCHITECTURE.md.
const MAY_USE: [(&str, &[&str]); 4] = [
    ("plimsoll-wire", &["schemars", "serde", "serde_json", "thiserror"]),
    ("plimsoll-core", &["plimsoll-wire", "serde", "serde_json", "thiserror"]),
    ("plimsoll-sim", &["plimsoll-core", "plimsoll-wire", "serde", "serde_json", "thiserror"]),
    ("plimsoll-policy-sdk", &["plimsoll-wire", "serde", "serde_json", "wit-bindgen"]),
];
/// Crates that we do not take: a second TLS, or no longer maintained.
const BANNED: [&str; 14] = [
    "atty",
    "aws-lc-rs",
    "backoff",
    "derivative",
    "failure",
    "instant",
    "native-tls",
    "openssl",
    "openssl-sys",
    "serde_yaml",
    "serde_yml",
    "structopt",
    "tempdir",
    "yaml-rust",
];

/// What Cargo knows of the workspace and of everything that it is built from on this platform; asked once.
fn metadata() -> &'static Value {
    static KNOWN: OnceLock<Value> = OnceLock::new();
    KNOWN.get_or_init(ask)
}

fn ask() -> Value {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let told = Command::new(rustc).arg("-vV").output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let here = told.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", here])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// The crates of the workspace: those that come from no registry.
fn ours(metadata: &Value) -> impl Iterator<Item = &Value> {
    list(metadata, "packages").iter().filter(|package| package["source"].is_null())
}

/// The crates that are built in, ours left out: what Cargo resolved for this platform.
fn theirs(metadata: &Value) -> Vec<&Value> {
    let resolved: BTreeSet<&str> =
        list(&metadata["resolve"], "nodes").iter().map(|node| text(node, "id")).collect();
    let packages = list(metadata, "packages").iter();
    packages
        .filter(|package| !package["source"].is_null() && resolved.contains(text(package, "id")))
        .collect()
}

/// The files at which compilation of our crates begins.
pub(crate) fn roots() -> Vec<PathBuf> {
    let metadata = metadata();
    let targets = ours(metadata).flat_map(|package| list(package, "targets"));
    let roots: Vec<PathBuf> = targets.map(|target| PathBuf::from(text(target, "src_path"))).collect();
    assert!(roots.len() > 8);
    roots
}

#[test]
fn the_pure_crates_use_what_they_may() {
    let metadata = metadata();
    let mut complaints = Vec::new();
    for (name, allowed) in MAY_USE {
        let package = ours(metadata).find(|package| text(package, "name") == name);
        let Some(package) = package else {
            complaints.push(format!("{name} is gone"));
            continue;
        };
        let used = list(package, "dependencies").iter().filter(|dependency| dependency["kind"].is_null());
        let other = used.map(|dependency| text(dependency, "name")).filter(|used| !allowed.contains(used));
        complaints.extend(other.map(|used| format!("{name} uses {used}")));
    }
    none(&complaints);
}

#[test]
fn policies_know_the_sdk_and_no_crate_of_the_host() {
    let metadata = metadata();
    let mut complaints = Vec::new();
    for package in ours(metadata).filter(|package| text(package, "name").starts_with("plimsoll-policy-")) {
        let name = text(package, "name");
        if name == "plimsoll-policy-sdk" {
            continue;
        }
        let used = list(package, "dependencies").iter().filter(|dependency| dependency["kind"].is_null());
        let host = used.map(|dependency| text(dependency, "name"));
        let host = host.filter(|used| used.starts_with("plimsoll") && *used != "plimsoll-policy-sdk");
        complaints.extend(host.map(|used| format!("{name} uses {used}")));
    }
    none(&complaints);
}

#[test]
fn each_crate_of_ours_has_the_licence_and_the_lints_of_the_workspace() {
    let metadata = metadata();
    let mut complaints = Vec::new();
    for package in ours(metadata) {
        let name = text(package, "name");
        if text(package, "license") != "Apache-2.0" {
            complaints.push(format!("{name}: its licence is not Apache-2.0"));
        }
        if text(package, "description").is_empty() {
            complaints.push(format!("{name}: has no description"));
        }
        let manifest = std::fs::read_to_string(text(package, "manifest_path")).unwrap();
        if !manifest.contains("[lints]\nworkspace = true\n") {
            complaints.push(format!("{name}: does not inherit the workspace's lints"));
        }
    }
    none(&complaints);
}

#[test]
fn every_dependency_has_a_licence_that_we_may_use() {
    let metadata = metadata();
    let mut complaints = Vec::new();
    for package in theirs(metadata) {
        let expression = text(package, "license");
        if !licence::is_allowed(expression) {
            complaints.push(format!(
                "{} {}: {expression:?}",
                text(package, "name"),
                text(package, "version")
            ));
        }
    }
    none(&complaints);
}

#[test]
fn no_banned_crate_is_built_in() {
    let metadata = metadata();
    let found = theirs(metadata).into_iter().map(|package| text(package, "name"));
    let found: Vec<String> = found.filter(|name| BANNED.contains(name)).map(str::to_owned).collect();
    none(&found);
}

#[test]
fn versions_stand_in_the_workspace() {
    let metadata = metadata();
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in ours(metadata) {
        let manifest = std::fs::read_to_string(text(package, "manifest_path")).unwrap();
        let pinned = manifest.lines().filter(|line| {
            let is_version =
                |value: &str| value.starts_with(|char: char| char.is_ascii_digit() || "=^~".contains(char));
            line.split_once("= \"").is_some_and(|(key, value)| {
                is_version(value) && !["version", "edition", "rust-version"].contains(&key.trim())
            })
        });
        places.entry(text(package, "name").to_owned()).or_default().extend(pinned.map(str::to_owned));
    }
    // It must be the version with which `wit-bindgen` writes, and nothing else uses it.
    places.remove("plimsoll-componentize");
    let complaints: Vec<String> = places
        .into_iter()
        .flat_map(|(name, lines)| lines.into_iter().map(move |line| format!("{name}: {line}")))
        .collect();
    none(&complaints);
}
