//! The terminal: another screen while the demo runs, and the old one afterwards, however it ends.

use super::super::output;
use super::screen::{Row, Shade};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
const LEAVE: &str = "\u{1b}[0m\u{1b}[?25h\u{1b}[?1049l";

/// A terminal that shows the demo's screen. Dropping it brings the old screen back.
pub(super) struct Terminal {
    colours: bool,
}

impl Terminal {
    /// Whether the standard output is a terminal that understands what we write.
    pub(super) fn is_there() -> bool {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        std::io::stdout().is_terminal() && !dumb
    }

    pub(super) fn enter() -> anyhow::Result<Self> {
        output::print(ENTER)?;
        Ok(Self { colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) })
    }

    /// Columns and rows; what every terminal has where it does not say.
    pub(super) fn size() -> (usize, usize) {
        match rustix::termios::tcgetwinsize(std::io::stdout()) {
            Ok(size) if size.ws_col >= 20 && size.ws_row >= 10 => (size.ws_col.into(), size.ws_row.into()),
            Ok(_) | Err(_) => (80, 24),
        }
    }

    /// One frame, in one write.
    pub(super) fn show(&self, rows: &[Row]) -> anyhow::Result<()> {
        let mut frame = String::from("\u{1b}[H");
        for (at, row) in rows.iter().enumerate() {
            let colour = if self.colours { code(row.tone) } else { "" };
            let reset = if colour.is_empty() { "" } else { "\u{1b}[0m" };
            let end = if at + 1 == rows.len() { "" } else { "\r\n" };
            // Writing to a string cannot fail.
            let _ = write!(frame, "{colour}{}{reset}\u{1b}[K{end}", row.text);
        }
        frame.push_str("\u{1b}[J");
        output::print(&frame)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = std::io::stdout().write_all(LEAVE.as_bytes());
        let _ = std::io::stdout().flush();
    }
}

fn code(shade: Shade) -> &'static str {
    match shade {
        Shade::Plain => "",
        Shade::Strong => "\u{1b}[1m",
        Shade::Faint => "\u{1b}[2m",
        Shade::Good => "\u{1b}[32m",
        Shade::Bad => "\u{1b}[33m",
        Shade::Fault => "\u{1b}[31m",
        Shade::Chart => "\u{1b}[36m",
    }
}
