//! Shows a waiting person that work of more than a second is still going on.

use std::io::{IsTerminal, Write as _};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_secs(1);

/// Says what is under way, on the standard error where that is a terminal; ends when it is dropped.
pub(super) struct Progress {
    ending: Option<Sender<()>>,
    teller: Option<JoinHandle<()>>,
}

impl Progress {
    /// Begins. Nothing is said in the first second.
    pub(super) fn begin(what: impl Into<String>) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { ending: None, teller: None };
        }
        let what = super::output::cell(&what.into());
        let (ending, ended) = channel::<()>();
        let began = Instant::now();
        let teller = std::thread::spawn(move || {
            let mut written = false;
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                written = true;
                // Nobody can be told that nobody listens.
                let _ = write!(std::io::stderr(), "\r\u{1b}[K{what} ({} s)", began.elapsed().as_secs());
            }
            if written {
                let _ = write!(std::io::stderr(), "\r\u{1b}[K");
            }
        });
        Self { ending: Some(ending), teller: Some(teller) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.ending.take());
        if let Some(teller) = self.teller.take() {
            // It says nothing that could be lost.
            let _ = teller.join();
        }
    }
}
