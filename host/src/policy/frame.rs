//! The language between the daemon and its policy child: frames of a JSON head and a body of raw bytes, each
//! with its length in front. Both ends treat the other's frames as untrusted and bound them before reading.

use super::fault::{Failure, Rejection};
use super::limits::{Class, Limits};
use super::scan::Inspection;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// Bytes of a head: the largest is an evaluation's log, escaped.
pub(crate) const HEAD_BYTES: u32 = 1 << 20;

/// What a child is started for; its one argument, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Boot {
    pub role: Role,
    pub class: Class,
    pub sandbox: Sandbox,
    /// Address space in bytes.
    pub space_bytes: u64,
    /// Processor seconds in its whole life; absent for a child that evaluates, which fuel bounds.
    pub cpu_s: Option<u64>,
    /// Bytes of a module.
    pub module_bytes: u64,
}

/// What a child does with the bytes that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Scans and compiles one module.
    Compile,
    /// Loads one artefact and evaluates it, many times.
    Evaluate,
    /// Tries what the confinement forbids and tells how it was refused.
    Probe,
}

/// Whether a child may run where the kernel cannot confine it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// It refuses to start. The default.
    #[default]
    Required,
    /// It starts with what the kernel has. By the operator's explicit choice.
    BestEffort,
}

/// What the daemon asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "camelCase")]
pub(crate) enum Ask {
    /// Body: the module.
    Compile { limits: Limits },
    /// Body: the artefact.
    Load { contract: Contract, sha256: String, limits: Limits },
    /// A component's own description of itself.
    Describe,
    /// Body: the snapshot.
    Evaluate { wall_ms: i64, fuel: u64 },
}

/// What a child answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "camelCase")]
pub(crate) enum Reply {
    /// First word of a confined child.
    Ready {
        confinement: Confinement,
    },
    /// First and last word of a child that could not confine itself.
    Unconfined {
        step: String,
        detail: String,
    },
    /// Body: the artefact.
    Compiled {
        inspection: Box<Inspection>,
        sha256: String,
    },
    Rejected {
        rejection: Rejection,
    },
    Loaded,
    Described {
        manifest: serde_json::Value,
    },
    /// Body: the answer's bytes, where there is no failure.
    Evaluated {
        fuel: u64,
        guest_us: u64,
        log: Vec<String>,
        failure: Option<Failure>,
    },
}

/// Which of the two contracts a module follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contract {
    /// A core module with `_start`: JSON on standard input and output.
    Program,
    /// A component of the world `plimsoll:policy/policy`.
    Component,
}

impl Contract {
    /// The word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Program => "WASI program",
            Self::Component => "component",
        }
    }
}

/// What a child has taken from itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confinement {
    /// The number of the user that it became, or why it stayed who it was.
    pub user: String,
    /// No new privileges through execution.
    pub no_new_privileges: bool,
    /// `full`, `partial` (an older kernel; seccomp covers the rest) or `none`.
    pub landlock: String,
    /// Whether the system call filter is in force.
    pub seccomp: bool,
    /// The resource limits that are in force.
    pub limits: Vec<String>,
}

/// Writes one frame.
pub(crate) fn write<T: Serialize>(out: &mut impl Write, head: &T, body: &[u8]) -> io::Result<()> {
    out.write_all(&prefix(head, body.len() as u64)?)?;
    out.write_all(body)?;
    out.flush()
}

/// A frame up to its body.
pub(crate) fn prefix<T: Serialize>(head: &T, body: u64) -> io::Result<Vec<u8>> {
    let head = serde_json::to_vec(head)?;
    let length = u32::try_from(head.len()).ok().filter(|length| *length <= HEAD_BYTES);
    let length = length.ok_or_else(|| invalid("head of a frame is too long"))?;
    let mut bytes = Vec::with_capacity(12 + head.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&body.to_le_bytes());
    bytes.extend_from_slice(&head);
    Ok(bytes)
}

/// The lengths of a frame's head and body, if they are within bounds.
pub(crate) fn lengths(prefix: [u8; 12], most: u64) -> io::Result<(usize, u64)> {
    let [a, b, c, d, body @ ..] = prefix;
    let (head, body) = (u32::from_le_bytes([a, b, c, d]), u64::from_le_bytes(body));
    if head > HEAD_BYTES || body > most {
        return Err(invalid("a frame is too long"));
    }
    Ok((head as usize, body))
}

/// Reads one frame whose body has at most `most` bytes; `None` at the end of the stream.
pub(crate) fn read<T: for<'a> Deserialize<'a>>(
    input: &mut impl Read,
    most: u64,
) -> io::Result<Option<(T, Vec<u8>)>> {
    let mut prefix = [0; 12];
    if let Err(error) = input.read_exact(&mut prefix) {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
    }
    let (head, body) = lengths(prefix, most)?;
    let mut bytes = vec![0; head];
    input.read_exact(&mut bytes)?;
    let head = serde_json::from_slice(&bytes)?;
    let mut body_bytes = Vec::new();
    let got = input.take(body).read_to_end(&mut body_bytes)?;
    if got as u64 != body {
        return Err(invalid("a frame ended early"));
    }
    Ok(Some((head, body_bytes)))
}

pub(crate) fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
