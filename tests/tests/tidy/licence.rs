//! Licence expressions (SPDX), as far as crates use them.

/// Licences under which we may pass on what we build.
const ALLOWED: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether at least one way to read the expression is allowed. An empty or broken one is not.
pub(crate) fn is_allowed(expression: &str) -> bool {
    // The old way to write OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any(&mut rest).is_some_and(|allowed| allowed && rest.is_empty())
}

fn any(words: &mut &[&str]) -> Option<bool> {
    let mut allowed = all(words)?;
    while let [word, rest @ ..] = *words
        && word.eq_ignore_ascii_case("or")
    {
        *words = rest;
        allowed |= all(words)?;
    }
    Some(allowed)
}

fn all(words: &mut &[&str]) -> Option<bool> {
    let mut allowed = one(words)?;
    while let [word, rest @ ..] = *words
        && word.eq_ignore_ascii_case("and")
    {
        *words = rest;
        allowed &= one(words)?;
    }
    Some(allowed)
}

fn one(words: &mut &[&str]) -> Option<bool> {
    let [first, rest @ ..] = *words else { return None };
    *words = rest;
    if *first == "(" {
        let allowed = any(words)?;
        let [close, rest @ ..] = *words else { return None };
        *words = rest;
        return (*close == ")").then_some(allowed);
    }
    let mut name = (*first).to_owned();
    if let [with, exception, rest @ ..] = *words
        && with.eq_ignore_ascii_case("with")
    {
        name = format!("{name} WITH {exception}");
        *words = rest;
    }
    Some(ALLOWED.contains(&name.as_str()))
}

#[test]
fn reads_expressions_as_they_are_meant() {
    for allowed in [
        "MIT",
        "MIT OR Apache-2.0",
        "MIT/Apache-2.0",
        "GPL-3.0 OR MIT",
        "Apache-2.0 WITH LLVM-exception OR MIT",
        "(MIT OR GPL-2.0) AND Unicode-3.0",
    ] {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in
        ["", "GPL-3.0", "MIT AND GPL-3.0", "MIT AND (GPL-3.0 OR AGPL-3.0)", "(MIT", "MIT MIT", "OR"]
    {
        assert!(!is_allowed(refused), "{refused}");
    }
}
