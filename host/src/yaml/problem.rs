//! What is wrong with a configuration: every problem with its place, and what to do about it.

use std::fmt;
use std::sync::Arc;

/// A file with more problems than this is not read to the end: nobody reads further either.
const MAX_PROBLEMS: usize = 200;

/// How much of the owner's own text a message repeats.
const QUOTE_CHARS: usize = 60;

/// How much of a path is shown; the known ones have a tenth of it.
const MAX_PATH_CHARS: usize = 600;

/// One thing that is wrong in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named to us.
    pub file: Arc<str>,
    /// The line, counted from 1; 0 where the problem is the file itself.
    pub line: usize,
    /// The column, counted from 1; 0 where the problem is the file itself.
    pub column: usize,
    /// The path of the key, such as `spec.behavior.scaleDown.tolerance`; empty for the whole document.
    pub path: String,
    /// What is wrong: a lowercase fragment.
    pub message: String,
    /// What to do about it; empty where the message says it all.
    pub hint: String,
}

impl Problem {
    /// What is wrong and what to do about it, without the file: for who looks at that very document.
    #[must_use]
    pub fn text(&self) -> String {
        let path = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
        let hint = if self.hint.is_empty() { String::new() } else { format!(" ({})", self.hint) };
        format!("{path}{}{hint}", self.message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.text())
    }
}

/// All that is wrong, in the order in which it was found; printed one a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    found: Vec<Problem>,
    dropped: usize,
}

impl Problems {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How many problems there are, those that are not shown included.
    pub fn len(&self) -> usize {
        self.found.len() + self.dropped
    }

    /// The problems that are shown.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.found.iter()
    }

    /// Adds one; beyond a bound it is only counted.
    pub fn push(&mut self, problem: Problem) {
        if self.found.len() < MAX_PROBLEMS { self.found.push(problem) } else { self.dropped += 1 }
    }

    /// Adds those of another file.
    pub fn append(&mut self, other: Self) {
        self.dropped += other.dropped;
        for problem in other.found {
            self.push(problem);
        }
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.found.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.found.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        if self.dropped > 0 {
            write!(f, "\nand {} more", self.dropped)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Where something stands in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) path: String,
}

impl At {
    /// The place of a key below this one, for keys that are not there.
    pub(crate) fn child(&self, key: &str) -> Self {
        Self { line: self.line, column: self.column, path: join(&self.path, key) }
    }
}

/// The path of a key below another.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Collects the problems of one file.
#[derive(Debug)]
pub(crate) struct Sink {
    file: Arc<str>,
    problems: Problems,
}

impl Sink {
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.into(), problems: Problems::default() }
    }

    pub(crate) fn file(&self) -> &Arc<str> {
        &self.file
    }

    pub(crate) fn len(&self) -> usize {
        self.problems.len()
    }

    pub(crate) fn add(&mut self, at: &At, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem {
            file: self.file.clone(),
            line: at.line,
            column: at.column,
            path: at.path.chars().take(MAX_PATH_CHARS).flat_map(shown).collect(),
            message: message.into(),
            hint: hint.into(),
        });
    }

    /// The problems in the order of the file, as its owner goes through it.
    pub(crate) fn into_problems(mut self) -> Problems {
        self.problems.found.sort_by_key(|problem| (problem.line, problem.column));
        self.problems
    }
}

/// The owner's own text in a message: short, on one line, and unable to paint on a terminal.
pub(crate) fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTE_CHARS).flat_map(shown).collect();
    if text.chars().nth(QUOTE_CHARS).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// A character as it may be shown: what a terminal would act on, or would not show at all, is escaped.
fn shown(c: char) -> Vec<char> {
    let hidden =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    match c {
        '\t' => "<tab>".chars().collect(),
        // A space that is none: a person who looks for the slip sees a space.
        _ if c != ' ' && c.is_whitespace() && !c.is_control() => {
            format!("<U+{:04X}>", u32::from(c)).chars().collect()
        }
        _ if c.is_control() || hidden => c.escape_unicode().collect(),
        _ => vec![c],
    }
}

/// The known word that was probably meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    // One slip in three letters; a two-letter word is not guessed at, it is near to everything.
    let limit = (word.chars().count() / 3).min(3);
    let known: Vec<&str> = known.into_iter().collect();
    let far = |candidate: &&str| distance(&word, &candidate.to_lowercase());
    if let Some(candidate) = known.iter().copied().min_by_key(far).filter(|best| far(best) <= limit) {
        return Some(candidate);
    }
    // Or the beginning of one, when nothing else begins so: `targets` for `targetsDir`.
    let mut begun =
        known.into_iter().filter(|known| word.len() > 3 && known.to_lowercase().starts_with(&word));
    begun.next().filter(|_| begun.next().is_none())
}

/// How many letters must be changed, added or left out to come from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(&b) {
            let changed = diagonal + usize::from(left != *right);
            diagonal = *cell;
            before = changed.min(diagonal + 1).min(before + 1);
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_the_word_that_was_meant() {
        let known = ["minReplicas", "maxReplicas", "mode"];
        assert_eq!(nearest("minreplica", known), Some("minReplicas"));
        assert_eq!(nearest("maxReplcas", known), Some("maxReplicas"));
        assert_eq!(nearest("mdoe", known), None);
        assert_eq!(nearest("mod", known), Some("mode"));
        assert_eq!(nearest("zz", known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn repeats_hostile_text_harmlessly() {
        assert_eq!(quote("a\u{1b}[2Jb"), "`a\\u{1b}[2Jb`");
        assert_eq!(quote(&"x".repeat(100)).chars().count(), QUOTE_CHARS + 3);
    }

    #[test]
    fn a_space_that_is_none_is_shown_as_what_it_is() {
        assert_eq!(quote("a b\u{a0}c\td\u{2003}e\u{202f}"), "`a b<U+00A0>c<tab>d<U+2003>e<U+202F>`");
        let mut sink = Sink::new("f.yaml");
        sink.add(&At { path: "spec.min\u{a0}".to_owned(), ..At::default() }, "m", "");
        assert_eq!(sink.into_problems().to_string(), "f.yaml: spec.min<U+00A0>: m");
    }

    #[test]
    fn shows_a_bounded_number_of_problems_and_counts_the_rest() {
        let mut sink = Sink::new("f.yaml");
        for _ in 0..MAX_PROBLEMS + 5 {
            sink.add(&At::default(), "m", "");
        }
        let problems = sink.into_problems();
        assert_eq!(problems.len(), MAX_PROBLEMS + 5);
        assert!(problems.to_string().ends_with("f.yaml: m\nand 5 more"));
    }
}
