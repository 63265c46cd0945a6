//! The child process in which guests are compiled and run: no credentials, no files, no network, no
//! environment, no descriptor but two pipes. It confines itself before it reads its first byte.
//!
//! One process compiles one module, another evaluates one version of one policy, so that a guest that breaks
//! out finds nobody else's snapshots.

mod confine;
mod probe;

use super::fault::{Failure, Fault, Flaw, Rejection};
use super::frame::{self, Ask, Boot, Contract, Reply, Role};
use super::guest::{Guest, engine};
use super::limits::{Bounds, Class, Limits, SNAPSHOT_BYTES};
use super::scan;
use sha2::{Digest, Sha256};
use std::io::{self, BufReader, BufWriter, Stdin, Stdout};
use std::process::ExitCode;
use std::time::Instant;

/// The hidden mode of the binary: `plimsoll policy-child JSON`.
///
/// The caller must not have started a thread: the confinement binds the calling thread and its children.
#[must_use]
pub fn child_main() -> ExitCode {
    let Some(boot) = std::env::args().nth(2).and_then(|text| serde_json::from_str::<Boot>(&text).ok()) else {
        eprintln!("plimsoll policy-child is started by plimsoll itself");
        return ExitCode::from(64);
    };
    let mut out = io::stdout();
    let confinement = match confine::confine(&boot) {
        Ok(confinement) => confinement,
        Err(gap) => {
            let reply = Reply::Unconfined { step: gap.step.to_owned(), detail: gap.detail };
            return end(frame::write(&mut out, &reply, &[]));
        }
    };
    if boot.role == Role::Probe {
        return end(probe::report(&mut out, &confinement));
    }
    if frame::write(&mut out, &Reply::Ready { confinement }, &[]).is_err() {
        return ExitCode::FAILURE;
    }
    let mut child = Child {
        class: boot.class,
        bounds: Bounds { module_bytes: boot.module_bytes, ..Bounds::of(boot.class) },
        input: BufReader::with_capacity(64 << 10, io::stdin()),
        out: BufWriter::with_capacity(64 << 10, out),
        guest: None,
    };
    end(child.serve(boot.role))
}

fn end(result: io::Result<()>) -> ExitCode {
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Child {
    class: Class,
    bounds: Bounds,
    input: BufReader<Stdin>,
    out: BufWriter<Stdout>,
    guest: Option<Guest>,
}

impl Child {
    /// Answers until the daemon closes the pipe.
    fn serve(&mut self, role: Role) -> io::Result<()> {
        let bounds = &self.bounds;
        let most = bounds.artefact_bytes.max(bounds.module_bytes).max(SNAPSHOT_BYTES as u64);
        while let Some((ask, body)) = frame::read::<Ask>(&mut self.input, most)? {
            match (ask, role) {
                (Ask::Compile { limits }, Role::Compile) => self.compile(&body, &limits)?,
                (Ask::Load { contract, sha256, limits }, Role::Evaluate) => {
                    let reply = self.load(&body, contract, &sha256, limits);
                    frame::write(&mut self.out, &reply, &[])?;
                }
                (Ask::Describe, Role::Evaluate) => self.describe()?,
                (Ask::Evaluate { wall_ms, fuel }, Role::Evaluate) => self.evaluate(body, wall_ms, fuel)?,
                (
                    Ask::Compile { .. } | Ask::Load { .. } | Ask::Describe | Ask::Evaluate { .. },
                    Role::Compile | Role::Evaluate | Role::Probe,
                ) => return Err(frame::invalid("not asked of this child")),
            }
        }
        Ok(())
    }

    fn compile(&mut self, module: &[u8], limits: &Limits) -> io::Result<()> {
        let inspection = match scan::scan(module, self.class, &self.bounds, limits) {
            Ok(mut inspection) => {
                inspection.digest = digest(module);
                Box::new(inspection)
            }
            Err(rejection) => return frame::write(&mut self.out, &Reply::Rejected { rejection }, &[]),
        };
        match translate(module, self.class, inspection.contract) {
            Ok(artefact) => {
                let sha256 = digest(&artefact);
                frame::write(&mut self.out, &Reply::Compiled { inspection, sha256 }, &artefact)
            }
            Err(rejection) => frame::write(&mut self.out, &Reply::Rejected { rejection }, &[]),
        }
    }

    fn load(&mut self, artefact: &[u8], contract: Contract, sha256: &str, limits: Limits) -> Reply {
        if digest(artefact) != sha256 {
            let rejection = Rejection::new(Flaw::Artefact, "the compiled artefact is damaged");
            return Reply::Rejected { rejection };
        }
        let loaded = Guest::load(artefact, contract, self.class, limits).and_then(|guest| {
            // No code is mapped from here on.
            confine::seal().map_err(|gap| Rejection::new(Flaw::Sandbox, gap.to_string()))?;
            Ok(guest)
        });
        match loaded {
            Ok(guest) => {
                self.guest = Some(guest);
                Reply::Loaded
            }
            Err(rejection) => Reply::Rejected { rejection },
        }
    }

    fn describe(&mut self) -> io::Result<()> {
        let described = self.guest.as_ref().map(Guest::describe);
        let reply = match described {
            Some(Ok(manifest)) => Reply::Described { manifest },
            Some(Err(failure)) => {
                let detail = format!("`describe` failed: {failure}");
                Reply::Rejected { rejection: Rejection::new(Flaw::Contract, detail) }
            }
            None => return Err(frame::invalid("nothing is loaded")),
        };
        frame::write(&mut self.out, &reply, &[])
    }

    fn evaluate(&mut self, snapshot: Vec<u8>, wall_ms: i64, fuel: u64) -> io::Result<()> {
        let Some(guest) = &self.guest else { return Err(frame::invalid("nothing is loaded")) };
        let began = Instant::now();
        let outcome = guest.evaluate(snapshot, wall_ms, fuel);
        let guest_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (answer, failure) = match outcome.result {
            Ok(answer) => (answer, None),
            Err(failure) => (Vec::new(), Some(failure)),
        };
        let mut reply =
            Reply::Evaluated { fuel: outcome.spent.fuel, guest_us, log: outcome.spent.log, failure };
        if frame::prefix(&reply, 0).is_err() {
            let failure = Failure::new(Fault::Protocol, "the log does not fit into a frame");
            reply = Reply::Evaluated {
                fuel: outcome.spent.fuel,
                guest_us,
                log: Vec::new(),
                failure: Some(failure),
            };
        }
        frame::write(&mut self.out, &reply, &answer)
    }
}

fn translate(module: &[u8], class: Class, contract: Option<Contract>) -> Result<Vec<u8>, Rejection> {
    let engine = engine::engine(class)?;
    let compiled = match contract {
        Some(Contract::Component) => engine.precompile_component(module),
        Some(Contract::Program) | None => engine.precompile_module(module),
    };
    let artefact = compiled.map_err(|error| Rejection::new(Flaw::CompileFailed, format!("{error:#}")))?;
    let most = Bounds::of(class).artefact_bytes;
    if artefact.len() as u64 > most {
        let detail = format!("compiled to {} bytes; its class allows {most}", artefact.len());
        return Err(Rejection::new(Flaw::CompileLimit, detail));
    }
    Ok(artefact)
}

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
