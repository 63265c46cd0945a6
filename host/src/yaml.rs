//! Reading of documents: YAML as a tree with places, maps with declared keys, values with their bounds, and every problem
//! with its place. It knows no document of ours.

pub(crate) mod form;
pub(crate) mod problem;
pub(crate) mod raw;
pub(crate) mod tree;
pub(crate) mod unit;
pub(crate) mod value;
pub(crate) mod words;

use problem::{At, Problems, Sink};

/// A file with one YAML document, or none, as JSON: for what is not configuration but written like it. What makes
/// YAML dangerous or ambiguous is refused as in a document of ours.
///
/// # Errors
/// Everything that is wrong, with its place.
pub(crate) fn json(bytes: &[u8], file: &str) -> Result<serde_json::Value, Problems> {
    let mut sink = Sink::new(file);
    let parsed = tree::parse(bytes, &mut sink);
    let mut roots = parsed.documents.iter().map(|document| &document.root);
    let value = roots.next().map(|root| value::node_json(root, "", &mut sink));
    if let Some(second) = roots.next() {
        let at = At { line: second.line, column: second.column, path: String::new() };
        sink.add(&at, "is a second document", "keep one");
    }
    if sink.len() > 0 { Err(sink.into_problems()) } else { Ok(value.unwrap_or_default()) }
}
