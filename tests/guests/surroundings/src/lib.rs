//! A policy that looks around: clocks, chance, environment, arguments, files, network. Built for
//! `wasm32-wasip2` it imports WASI as any component of a language with a runtime does; all of it must be inert.

use plimsoll_policy_sdk::{Manifest, Policy, Proposal, Refusal, Snapshot, refusal, wish};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// See the crate.
#[derive(Debug)]
pub struct Surroundings;

plimsoll_policy_sdk::export!(Surroundings);

impl Policy for Surroundings {
    fn describe() -> Manifest {
        Manifest::new("surroundings", env!("CARGO_PKG_VERSION"), "Tells what it can reach.")
    }

    /// Does what the setting `do` says; without one it tells what it sees, as its `state`.
    fn evaluate(input: &Snapshot) -> Result<Proposal, Refusal> {
        match input.target.settings.get("do").and_then(|word| word.as_str()) {
            Some("exit") => std::process::exit(0),
            Some("read") => Err(refusal("Read", told(std::fs::read("/etc/passwd").map(drop)))),
            Some("connect") => {
                Err(refusal("Connect", told(std::net::TcpStream::connect("127.0.0.1:9").map(drop))))
            }
            Some(_) | None => {
                let said = told(writeln!(std::io::stderr(), "looked around"));
                Ok(Proposal { state: Some(look()), ..wish(3, "Looked", said) })
            }
        }
    }
}

fn told(result: std::io::Result<()>) -> String {
    result.map_or_else(|error| format!("refused: {error:?}"), |()| "done".to_owned())
}

/// What there is to see, a line each.
fn look() -> String {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    let began = Instant::now();
    std::thread::sleep(Duration::from_millis(1));
    let lines = [
        format!("wall {wall}"),
        format!("passed {}", began.elapsed().as_millis() > 1_000),
        format!("chance {:x}", RandomState::new().hash_one(0)),
        format!("environment {}", std::env::vars().count()),
        format!("arguments {}", std::env::args().count()),
    ];
    lines.join("\n")
}
