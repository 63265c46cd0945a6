//! YAML as a tree in which every node knows its place. What makes YAML dangerous or ambiguous is refused:
//! anchors and aliases (which expand), tags, duplicate keys, keys that are not text.

use super::problem::{At, Sink, join, quote};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

/// A document of ours fits in a few kilobytes; a megabyte is also what a ConfigMap can hold.
pub(crate) const MAX_FILE_BYTES: usize = 1 << 20;
/// The deepest known key is six levels down; policies' settings may go deeper.
pub(crate) const MAX_DEPTH: usize = 24;
/// Bounds the memory that a file of a megabyte can take as a tree.
pub(crate) const MAX_NODES: usize = 50_000;
/// No map of ours has a hundred keys but the owner's own lists of names, of which a thousand are read.
const MAX_KEYS: usize = 2_000;
/// No key of ours has more than 30 letters; annotations may have 253 and a slash and 63.
const MAX_KEY_CHARS: usize = 320;

/// Something in a file, with its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Nothing at all, `~` or `null`.
    Null,
    /// One value; `plain` where it stands without quotes, so that it may be a number or a switch.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key with its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Whether the key stands without quotes.
    pub(crate) plain: bool,
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) node: Node,
}

/// One document of a file.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) root: Node,
    /// Whether nothing was refused while it was read.
    pub(crate) sound: bool,
}

/// The documents of a file.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) documents: Vec<Document>,
    /// Whether the file was read to its end.
    pub(crate) whole: bool,
}

/// Reads the documents of a file. What is refused goes to `sink`.
pub(crate) fn parse(bytes: &[u8], sink: &mut Sink) -> Parsed {
    let Some(text) = text_of(bytes, sink) else { return Parsed::default() };
    let mut parser = Parser::new_from_str(text);
    let mut parsed = Parsed::default();
    let mut builder = Builder::default();
    let mut before = sink.len();
    loop {
        let (event, span) = match parser.next_event() {
            None => {
                parsed.whole = true;
                return parsed;
            }
            Some(Err(error)) => {
                report(&error, text, sink);
                return parsed;
            }
            Some(Ok(event)) => event,
        };
        match builder.take(event, span, sink) {
            Taken::Going => {}
            Taken::Document(root) => {
                if root.value != Value::Null {
                    parsed.documents.push(Document { root, sound: sink.len() == before });
                }
                before = sink.len();
            }
            Taken::TooMuch => return parsed,
        }
    }
}

/// The text of a file, if it is text.
fn text_of<'a>(bytes: &'a [u8], sink: &mut Sink) -> Option<&'a str> {
    if bytes.len() > MAX_FILE_BYTES {
        sink.add(&At::default(), "is larger than 1 MiB", "split it into several files");
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
            let at = At { line, column: 1, path: String::new() };
            sink.add(&at, "is not UTF-8 text", "save the file as UTF-8");
            return None;
        }
    };
    // A zero byte would end the text for the parser, and what follows would be left out without a word.
    for (index, line) in text.lines().enumerate() {
        if let Some(odd) = line.chars().find(|c| c.is_control() && *c != '\t') {
            let at = At { line: index + 1, column: 1, path: String::new() };
            sink.add(&at, format!("has the control character {}", quote(&odd.to_string())), "remove it");
            return None;
        }
    }
    Some(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Says what the parser could not read, in words that help.
fn report(error: &ScanError, text: &str, sink: &mut Sink) {
    let mark = error.marker();
    let line = mark.line();
    // The parser may notice a tab only on the line after it, or blame the value that stands before it.
    let near = [line, line.saturating_sub(1), line + 1];
    let tab = near.into_iter().find(|n| *n > 0 && text.lines().nth(*n - 1).is_some_and(is_tab_indented));
    if let Some(line) = tab {
        let at = At { line, column: 1, path: String::new() };
        sink.add(&at, "a tab stands where YAML wants spaces", "indent with spaces");
        return;
    }
    let at = At { line, column: mark.col() + 1, path: String::new() };
    let (message, hint) = reworded(error.info(), text.lines().nth(line.saturating_sub(1)));
    sink.add(&at, message, hint);
}

/// The parser's own words where they help, else ours.
fn reworded(info: &str, line: Option<&str>) -> (String, &'static str) {
    if info.contains("recursion limit") {
        return (format!("lists and maps are nested more than {MAX_DEPTH} deep"), "");
    }
    if info.contains("unknown anchor") {
        return ("aliases (`*name`) are not read".to_owned(), "write the value out, or put it in quotes");
    }
    let hint = if info.contains("quoted scalar") {
        "close the quotes; a backslash means itself in single quotes only"
    } else if info.contains("flow") {
        "close every bracket and brace, and put a value that contains `,`, `[` or `{` in quotes"
    } else {
        hint_for(line)
    };
    (format!("is not YAML: {info}"), hint)
}

fn is_tab_indented(line: &str) -> bool {
    line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t')
}

/// The slips that make up most of what a YAML parser cannot read.
fn hint_for(line: Option<&str>) -> &'static str {
    match line.map(str::trim) {
        Some(line) if line.matches(": ").count() > 1 => "put a value that contains `: ` in quotes",
        Some(_) | None => "look at the indentation of this line and the one before",
    }
}

/// What came of one event.
enum Taken {
    Going,
    Document(Node),
    /// A bound was reached; the file is not read on.
    TooMuch,
}

/// A list or map that is being read.
enum Open {
    List(Node, Vec<Node>),
    Map(Node, Vec<Entry>, Option<Key>),
}

/// A key that waits for its value.
struct Key {
    text: String,
    plain: bool,
    line: usize,
    column: usize,
    /// A key that was refused: its value is read and forgotten.
    refused: bool,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    nodes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span, sink: &mut Sink) -> Taken {
        let (line, column) = (span.start.line(), span.start.col() + 1);
        let node = |value| Node { line, column, value };
        match event {
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Taken::Going,
            Event::Alias(_) => {
                let hint = "write the value out in both places";
                self.refuse(line, column, "aliases (`*name`) are not read", hint, sink);
                self.close(node(Value::Null), sink)
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_marks(line, column, anchor, tag.is_some(), sink);
                let plain = style == ScalarStyle::Plain;
                let value = if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    Value::Null
                } else {
                    Value::Scalar { text: text.into_owned(), plain }
                };
                self.close(node(value), sink)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_marks(line, column, anchor, tag.is_some(), sink);
                self.begin(Open::List(node(Value::Null), Vec::new()), sink)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_marks(line, column, anchor, tag.is_some(), sink);
                self.begin(Open::Map(node(Value::Null), Vec::new(), None), sink)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(start, items)) => {
                    self.close(Node { value: Value::List(items), ..start }, sink)
                }
                Some(Open::Map(start, entries, _)) => {
                    self.close(Node { value: Value::Map(entries), ..start }, sink)
                }
                None => Taken::TooMuch,
            },
        }
    }

    fn begin(&mut self, open: Open, sink: &mut Sink) -> Taken {
        if self.open.len() >= MAX_DEPTH {
            let (Open::List(node, _) | Open::Map(node, _, _)) = &open;
            let (line, column) = (node.line, node.column);
            let message = format!("lists and maps are nested more than {MAX_DEPTH} deep");
            self.refuse(line, column, &message, "", sink);
            return Taken::TooMuch;
        }
        self.open.push(open);
        Taken::Going
    }

    /// Hands a finished node to what it stands in.
    fn close(&mut self, node: Node, sink: &mut Sink) -> Taken {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("the file has more than {MAX_NODES} values");
            self.refuse(node.line, node.column, &message, "split it into several files", sink);
            return Taken::TooMuch;
        }
        let path = self.path();
        match self.open.last_mut() {
            None => return Taken::Document(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, entries, None)) if entries.len() >= MAX_KEYS => {
                let at = At { line: node.line, column: node.column, path };
                sink.add(&at, format!("a map has more than {MAX_KEYS} keys"), "split it into several files");
                return Taken::TooMuch;
            }
            Some(Open::Map(_, entries, waiting @ None)) => {
                *waiting = Some(key_of(node, entries, &path, sink))
            }
            Some(Open::Map(_, entries, waiting)) => {
                if let Some(key) = waiting.take()
                    && !key.refused
                {
                    let Key { text, plain, line, column, .. } = key;
                    entries.push(Entry { key: text, plain, line, column, node });
                }
            }
        }
        Taken::Going
    }

    fn refuse_marks(&self, line: usize, column: usize, anchor: usize, tag: bool, sink: &mut Sink) {
        if anchor != 0 {
            self.refuse(
                line,
                column,
                "anchors (`&name`) are not read",
                "write the value out in both places",
                sink,
            );
        }
        if tag {
            self.refuse(line, column, "tags (`!name`) are not read", "remove the tag", sink);
        }
    }

    fn refuse(&self, line: usize, column: usize, message: &str, hint: &str, sink: &mut Sink) {
        sink.add(&At { line, column, path: self.path() }, message, hint);
    }

    /// The path of what is being read.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match open {
                Open::List(_, items) => path.push_str(&format!("[{}]", items.len())),
                Open::Map(_, _, Some(key)) => path = join(&path, &key.text),
                Open::Map(_, _, None) => {}
            }
        }
        path
    }
}

/// A node in the place of a key.
fn key_of(node: Node, entries: &[Entry], path: &str, sink: &mut Sink) -> Key {
    let (line, column) = (node.line, node.column);
    let at = |text: &str| At { line, column, path: join(path, text) };
    let refused = |text: String| Key { text, plain: false, line, column, refused: true };
    let Value::Scalar { text, plain } = node.value else {
        sink.add(&at(""), "a key must be a word", "a list, a map or nothing cannot be a key");
        return refused(String::new());
    };
    if text.chars().count() > MAX_KEY_CHARS {
        let short: String = text.chars().take(20).collect();
        sink.add(&at(&short), format!("a key has more than {MAX_KEY_CHARS} letters"), "");
        return refused(short);
    }
    if let Some(first) = entries.iter().find(|entry| entry.key == text) {
        sink.add(&at(&text), format!("stands here twice, first in line {}", first.line), "keep one");
        return refused(text);
    }
    Key { text, plain, line, column, refused: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        let mut sink = Sink::new("f.yaml");
        parse(text.as_bytes(), &mut sink);
        sink.into_problems().to_string()
    }

    #[test]
    fn knows_the_place_of_every_node() {
        let mut sink = Sink::new("f.yaml");
        let parsed = parse(b"a:\n  - b: 1\n    c: 'x'\n---\nd:\n", &mut sink);
        assert_eq!(sink.len(), 0);
        assert!(parsed.whole);
        let scalar = |line, column, text: &str, plain| Node {
            line,
            column,
            value: Value::Scalar { text: text.to_owned(), plain },
        };
        let entry =
            |key: &str, line, column, node| Entry { key: key.to_owned(), plain: true, line, column, node };
        let inner = Value::Map(vec![
            entry("b", 2, 5, scalar(2, 8, "1", true)),
            entry("c", 3, 5, scalar(3, 8, "x", false)),
        ]);
        let list = Value::List(vec![Node { line: 2, column: 5, value: inner }]);
        let first = &parsed.documents[0].root;
        assert_eq!(first.value, Value::Map(vec![entry("a", 1, 1, Node { line: 2, column: 3, value: list })]));
        assert_eq!(parsed.documents.len(), 2);
    }

    #[test]
    fn refuses_aliases_so_that_none_can_expand() {
        let mut bomb = String::from("a: &a [x, x, x]\n");
        for (before, name) in ["a", "b", "c", "d"].iter().zip(["b", "c", "d", "e"]) {
            bomb.push_str(&format!("{name}: &{name} [*{before}, *{before}, *{before}]\n"));
        }
        let said = problems(&bomb);
        assert!(said.starts_with(
            "f.yaml:1: a: anchors (`&name`) are not read (write the value out in both places)\n\
             f.yaml:2: b: anchors"
        ));
        assert!(said.contains("f.yaml:2: b[0]: aliases (`*name`) are not read"));
    }

    #[test]
    fn refuses_a_second_value_for_a_key() {
        assert_eq!(
            problems("a:\n  b: 1\n  c: 2\n  b: 3\n"),
            "f.yaml:4: a.b: stands here twice, first in line 2 (keep one)"
        );
    }

    #[test]
    fn says_in_words_that_a_tab_is_in_the_way() {
        assert_eq!(
            problems("a:\n  b: 1\n\tc: 2\n"),
            "f.yaml:3: a tab stands where YAML wants spaces (indent with spaces)"
        );
    }

    #[test]
    fn a_zero_byte_does_not_hide_the_rest_of_a_file() {
        assert_eq!(problems("a: 1\nb: \0 2\n"), "f.yaml:2: has the control character `\\u{0}` (remove it)");
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = format!("a: {}", "[".repeat(100_000));
        assert_eq!(problems(&deep), "f.yaml:1: lists and maps are nested more than 24 deep");
        let block = (0..100).map(|depth| format!("{}- \n", " ".repeat(depth))).collect::<String>();
        assert!(problems(&block).contains("nested more than 24 deep"), "{}", problems(&block));
        let wide = format!("a: [{}]", "1,".repeat(400_000));
        assert!(problems(&wide).contains("more than 50000 values"));
        assert_eq!(
            problems(&"#".repeat(MAX_FILE_BYTES + 1)),
            "f.yaml: is larger than 1 MiB (split it into several files)"
        );
        assert!(problems(&format!("a: &{} 1", "x".repeat(1_000_000))).contains("anchors"));
    }
}
