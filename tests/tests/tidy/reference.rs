//! Tables of the documentation that are made from the code.

use crate::root;

const BEGIN: &str = "<!-- safety: written by";
const END: &str = "<!-- safety: end -->";

#[test]
fn the_table_of_safety_parameters_is_the_one_in_the_code() {
    let path = root().join("docs/configuration.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let begin = page.find(BEGIN).and_then(|at| page[at..].find('\n').map(|line| at + line + 1)).unwrap();
    let end = page.find(END).unwrap();
    let wanted = plimsoll::config::safety_reference();
    if page[begin..end] == wanted {
        return;
    }
    if std::env::var_os("PLIMSOLL_BLESS").is_some() {
        std::fs::write(&path, format!("{}{wanted}{}", &page[..begin], &page[end..])).unwrap();
        return;
    }
    panic!(
        "docs/configuration.md differs from the table in host/src/config/safety.rs; to write it:\n  \
         PLIMSOLL_BLESS=1 cargo test -p plimsoll-tests --test tidy\nwanted:\n{wanted}"
    );
}
