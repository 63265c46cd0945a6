//! A policy as a program: one snapshot as JSON on standard input, one answer as JSON on standard output.

use crate::{Answer, Level, Policy, ask, log, refusal};
use std::io::{Read, Write};
use std::process::ExitCode;

/// The most bytes that a snapshot may have; the host's own bound is lower.
const MAX_INPUT: u64 = 64 << 20;

/// Answers the snapshot on standard input.
///
/// The exit code is 0 whenever an answer was written, refusals included.
#[must_use]
pub fn run<P: Policy>() -> ExitCode {
    let output = read().map(|input| answer::<P>(&input));
    match output.and_then(|bytes| write(&bytes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            log(Level::Error, &message);
            ExitCode::FAILURE
        }
    }
}

fn read() -> Result<Vec<u8>, String> {
    let mut input = Vec::new();
    match std::io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut input) {
        Ok(_) if input.len() as u64 > MAX_INPUT => {
            Err(format!("the snapshot has more than {MAX_INPUT} bytes"))
        }
        Ok(_) => Ok(input),
        Err(error) => Err(format!("reading the snapshot: {error}")),
    }
}

fn write(bytes: &[u8]) -> Result<(), String> {
    let mut output = std::io::stdout().lock();
    output
        .write_all(bytes)
        .and_then(|()| output.flush())
        .map_err(|error| format!("writing the answer: {error}"))
}

/// The canonical bytes of the answer to a snapshot in JSON.
///
/// A text that is not a snapshot is refused with one fixed sentence, so that policies in every language
/// answer it alike; what was wrong goes to the log.
#[must_use]
pub fn answer<P: Policy>(input: &[u8]) -> Vec<u8> {
    let answer = match serde_json::from_slice(input) {
        Ok(snapshot) => ask::<P>(&snapshot),
        Err(error) => {
            log(Level::Error, &format!("reading the snapshot: {error}"));
            Err(refusal("UnreadableSnapshot", "the input is not a snapshot"))
        }
    };
    canonical(answer.map_or_else(|refusal| Answer::Refusal { refusal }, Answer::Proposal))
}

/// JSON cannot hold a number that is not finite; everything else in an answer can be written.
fn canonical(answer: Answer) -> Vec<u8> {
    let fallback = br#"{"refusal":{"reason":{"code":"UnwritableAnswer","message":""}}}"#;
    plimsoll_wire::canonical(&answer).unwrap_or_else(|_| fallback.to_vec())
}
