//! The repository's own rules: what a reviewer should not have to look for.
//!
//! `PLIMSOLL_BLESS=1` writes the tables of the documentation that are made from the code.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "tidy/code.rs"]
mod code;
#[path = "tidy/crates.rs"]
mod crates;
#[path = "tidy/design.rs"]
mod design;
#[path = "tidy/docs.rs"]
mod docs;
#[path = "tidy/licence.rs"]
mod licence;
#[path = "tidy/readme.rs"]
mod readme;
#[path = "tidy/reference.rs"]
mod reference;

use std::path::{Path, PathBuf};

/// What is ours at the top of the repository.
const FOLDERS: [&str; 9] =
    [".ci", "deploy", "docs", "examples", "host", "policies", "policy-sdk", "scripts", "tests"];

/// A text file of the repository.
struct Text {
    /// Relative to the root, with `/`.
    path: String,
    content: String,
}

impl Text {
    fn is_in(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }

    fn ends(&self, end: &str) -> bool {
        self.path.ends_with(end)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every text file that is ours: of the top folders, and those at the root itself.
fn texts() -> Vec<Text> {
    let root = root();
    let mut found = Vec::new();
    for folder in FOLDERS {
        walk(&root, &root.join(folder), &mut found);
    }
    for entry in std::fs::read_dir(&root).unwrap() {
        let path = entry.unwrap().path();
        // In a worktree `.git` is a file.
        if path.is_file() && path.file_name().is_some_and(|name| name != ".git") {
            take(&root, &path, &mut found);
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 100, "only {} files were found below {}", found.len(), root.display());
    found
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<Text>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        // What examples and builds leave behind.
        let left = path.file_name().is_some_and(|name| name == ".plimsoll" || name == "target");
        if path.is_dir() && !left {
            walk(root, &path, found);
        } else if path.is_file() {
            take(root, &path, found);
        }
    }
}

fn take(root: &Path, path: &Path, found: &mut Vec<Text>) {
    // What is no text is nobody's to read.
    if let Ok(content) = std::fs::read_to_string(path) {
        let path = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        found.push(Text { path, content });
    }
}

/// Fails with every complaint, not the first.
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n  {}", complaints.len(), complaints.join("\n  "));
}
