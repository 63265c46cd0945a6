//! Tables of the documentation that are made from the code.

use crate::root;

/// Compares what stands between the marks `<!-- NAME: written by ... -->` and `<!-- NAME: end -->` of a page with what
/// the code says, or writes it.
fn between_marks(path: &str, name: &str, wanted: &str, source: &str) {
    let file = root().join(path);
    let page = std::fs::read_to_string(&file).unwrap();
    let mark = page.find(&format!("<!-- {name}: written by"));
    let begin = mark.and_then(|at| page[at..].find('\n').map(|line| at + line + 1)).unwrap();
    let end = page.find(&format!("<!-- {name}: end -->")).unwrap();
    if page[begin..end] == *wanted {
        return;
    }
    if std::env::var_os("PLIMSOLL_BLESS").is_some() {
        std::fs::write(&file, format!("{}{wanted}{}", &page[..begin], &page[end..])).unwrap();
        return;
    }
    panic!(
        "{path} differs from {source}; to write it:\n  \
         PLIMSOLL_BLESS=1 cargo test -p plimsoll-tests --test tidy\nwanted:\n{wanted}"
    );
}

#[test]
fn the_table_of_safety_parameters_is_the_one_in_the_code() {
    let wanted = plimsoll::config::safety_reference();
    between_marks(
        "docs/configuration.md",
        "safety",
        &wanted,
        "the table in host/src/config/safety/limits.rs",
    );
}

#[test]
fn the_rules_of_the_design_page_are_those_in_the_code() {
    let wanted = plimsoll::reference::catalogue();
    let rules: Vec<_> = plimsoll_core::invariant::all().map(|rule| rule.id).collect();
    let missing: Vec<_> = rules.iter().filter(|id| !wanted.contains(&format!("</a>{id} |"))).collect();
    assert!(missing.is_empty(), "no family in host/src/reference.rs has {missing:?}");
    between_marks("docs/design/rules.md", "rules", &wanted, "the rules in host/core/src/invariant");
}

#[test]
fn the_page_of_words_is_the_one_in_the_code() {
    let path = root().join("docs/reference.md");
    let (page, wanted) = (std::fs::read_to_string(&path).unwrap_or_default(), plimsoll::reference::page());
    if page == wanted {
        return;
    }
    if std::env::var_os("PLIMSOLL_BLESS").is_some() {
        std::fs::write(&path, wanted).unwrap();
        return;
    }
    let differs =
        wanted.lines().find(|line| !page.lines().any(|old| old == *line)).unwrap_or("a line too many");
    panic!(
        "docs/reference.md differs from the tables in the code; to write it:\n  \
         PLIMSOLL_BLESS=1 cargo test -p plimsoll-tests --test tidy\nfirst: {differs}"
    );
}

#[test]
fn every_word_of_the_page_says_what_to_do() {
    let page = plimsoll::reference::page();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(rows.len() > 100, "{} rows", rows.len());
    for row in rows {
        let last = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        assert!(last.ends_with('.'), "{row}");
    }
}
