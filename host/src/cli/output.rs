//! What commands print: tables for people, JSON and YAML for programs, and nothing that could drive a terminal.

use super::yaml;
use crate::policy::fault::one_line;
use clap::ValueEnum;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, Write as _};

/// A line of prose; a configuration's problems have one each.
const LINE_BYTES: usize = 2_048;
/// A cell of a table.
const CELL_BYTES: usize = 160;

/// How a list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For both.
    Yaml,
}

/// The choice of the form.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Form {
    /// How to print.
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    pub(super) output: Format,
}

/// The reader of our output has closed it.
#[derive(Debug, thiserror::Error)]
#[error("the output was closed")]
pub(super) struct Closed;

/// Writes to the standard output.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        Err(error) => Err(anyhow::Error::new(error).context("writing the output")),
    }
}

/// Writes lines to the standard error, each made printable.
pub(super) fn complain(text: &str) {
    let mut out = io::stderr().lock();
    for line in text.lines() {
        // Nobody can be told that nobody listens.
        let _ = writeln!(out, "{}", self::line(line));
    }
}

impl Form {
    /// Prints a document, in the chosen form; `table` makes the one for people.
    pub(super) fn show<T: Serialize>(
        self,
        document: &T,
        table: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        match self.output {
            Format::Table => print(&table()),
            Format::Json => print(&json(document)?),
            Format::Yaml => print(&yaml::document(&serde_json::to_value(document)?)),
        }
    }
}

/// JSON for people and programs, with everything spelled out that a terminal would obey.
pub(super) fn json<T: Serialize>(document: &T) -> anyhow::Result<String> {
    let mut text = spelled(&serde_json::to_string_pretty(document)?);
    text.push('\n');
    Ok(text)
}

/// The same JSON with hidden characters, which can only stand in strings, as escapes.
pub(super) fn spelled(text: &str) -> String {
    let mut spelled = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '\n' && yaml::is_hidden(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                // Writing to a string cannot fail.
                let _ = write!(spelled, "\\u{unit:04x}");
            }
        } else {
            spelled.push(character);
        }
    }
    spelled
}

/// A text on one printable line.
pub(super) fn cell(text: &str) -> String {
    one_line(text, CELL_BYTES)
}

/// A longer text on one printable line.
pub(super) fn line(text: &str) -> String {
    one_line(text, LINE_BYTES)
}

/// A number that may not be known.
pub(super) fn number(value: Option<u32>) -> String {
    value.map_or_else(|| "?".to_owned(), |value| value.to_string())
}

/// A text that may be empty.
pub(super) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// Rows below their headings, in columns.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|text| cell(text))).collect();
    let mut widths = head.map(|text| text.chars().count());
    for row in &rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    let mut lines = String::new();
    for row in std::iter::once(&head.map(str::to_owned)).chain(&rows) {
        let mut line = String::new();
        for (text, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{text:width$}  ");
        }
        lines.push_str(line.trim_end());
        lines.push('\n');
    }
    lines
}

/// A moment in RFC 3339, to the millisecond.
pub(super) fn rfc3339(wall_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(wall_ms)
        .map_or_else(|_| format!("{wall_ms} ms"), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_spelled_out() {
        let text = spelled("{\"a\":\"x\u{9b}31m\u{202e}y\u{7f}\"}");
        assert_eq!(text, "{\"a\":\"x\\u009b31m\\u202ey\\u007f\"}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["a"],
            "x\u{9b}31m\u{202e}y\u{7f}"
        );
        assert_eq!(table(["A"], &[["x\u{1b}[2J\ny".to_owned()]]), "A\nx\\u{1b}[2J\\ny\n");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["é".to_owned(), "1".to_owned()], ["long".to_owned(), String::new()]];
        assert_eq!(table(["A", "B"], &rows), "A     B\né     1\nlong\n");
    }

    #[test]
    fn moments_are_told_in_rfc_3339() {
        assert_eq!(rfc3339(1_800_000_000_123), "2027-01-15T08:00:00.123Z");
    }
}
