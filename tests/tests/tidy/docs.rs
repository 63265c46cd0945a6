//! Rules about what is written for people.

use crate::{FOLDERS, Text, none, root, texts};
use std::path::Path;

fn pages() -> Vec<Text> {
    texts().into_iter().filter(|text| text.ends(".md")).collect()
}

/// A page without its blocks of code.
fn prose(page: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// What stands between single backticks.
fn quoted(prose: &str) -> impl Iterator<Item = &str> {
    prose.split('`').skip(1).step_by(2)
}

/// Whether something that is quoted reads as a path of the repository.
fn is_path(quoted: &str) -> bool {
    let first = quoted.split('/').next().unwrap_or_default();
    let plain = quoted.chars().all(|char| char.is_ascii_alphanumeric() || "/._-".contains(char));
    plain && quoted.contains('/') && FOLDERS.contains(&first)
}

#[test]
fn pages_name_paths_that_are_there() {
    let root = root();
    let mut complaints = Vec::new();
    for page in pages() {
        let prose = prose(&page.content);
        let gone = quoted(&prose).filter(|quoted| is_path(quoted) && !root.join(quoted).exists());
        complaints.extend(gone.map(|gone| format!("{} names {gone}", page.path)));
    }
    none(&complaints);
}

#[test]
fn pages_name_tests_that_are_there() {
    let sources = texts().into_iter().filter(|text| text.ends(".rs"));
    let sources: String = sources.map(|text| text.content).collect();
    let mut complaints = Vec::new();
    for page in pages() {
        let prose = prose(&page.content);
        // Only the name of a test is a sentence, and that of a metric.
        let named = quoted(&prose)
            .filter(|quoted| quoted.matches('_').count() > 4 && !quoted.starts_with("plimsoll_"));
        let gone = named.filter(|name| !sources.contains(&format!("fn {name}()")));
        complaints.extend(gone.map(|gone| format!("{} names the test {gone}", page.path)));
    }
    none(&complaints);
}

#[test]
fn links_lead_somewhere() {
    let root = root();
    let mut complaints = Vec::new();
    for page in pages() {
        let folder = root.join(&page.path).parent().map(Path::to_path_buf).unwrap_or_default();
        let prose = prose(&page.content);
        for target in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if file.contains("://") {
                continue;
            }
            let file = if file.is_empty() { root.join(&page.path) } else { folder.join(file) };
            if !file.exists() {
                complaints.push(format!("{} links to {target}", page.path));
            } else if !anchor.is_empty() && !anchors(&file).iter().any(|known| known == anchor) {
                complaints.push(format!("{} links to {target}, which has no such heading", page.path));
            }
        }
    }
    none(&complaints);
}

/// The anchors of a page: those of its headings, and those that it names itself.
pub(crate) fn anchors(page: &Path) -> Vec<String> {
    let content = std::fs::read_to_string(page).unwrap();
    let named = content.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let headings = content.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let text = line.trim_start_matches('#').trim().to_lowercase();
        text.chars()
            .filter(|char| char.is_alphanumeric() || " -_".contains(*char))
            .collect::<String>()
            .replace(' ', "-")
    };
    headings.map(anchor).chain(named.map(str::to_owned)).collect()
}

#[test]
fn the_folder_table_of_the_readme_names_every_folder() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let missing = FOLDERS.iter().filter(|folder| !folder.starts_with('.'));
    let missing: Vec<String> = missing
        .filter(|folder| !readme.contains(&format!("| `{folder}` |")))
        .map(|folder| format!("README.md has no row for {folder}"))
        .collect();
    none(&missing);
}

#[test]
fn the_licence_is_whole() {
    let licence = std::fs::read_to_string(root().join("LICENSE")).unwrap();
    for part in ["Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS"] {
        assert!(licence.contains(part), "LICENSE lacks {part:?}");
    }
}
