//! A module's own tests: snapshots in its manifest, and what it must answer to each before it may take over.

use super::child::digest;
use super::fault::{Failure, Flaw, Rejection, one_line};
use super::version::Version;
use plimsoll_core::count::count;
use plimsoll_wire::Snapshot;
use plimsoll_wire::proposal::Answer;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Bytes of a case's name that are shown.
const NAME_BYTES: usize = 64;

/// One case, as the manifest has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Case {
    /// Its name, printable; its number where it has none.
    pub name: String,
    pub snapshot: Source,
    /// In the place of the snapshot's own settings: recorded snapshots have none.
    settings: Option<Value>,
    expect: Expect,
}

/// Where a case's snapshot is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// In a file of the policy directory.
    File(String),
    /// In the manifest.
    Inline(Value),
}

/// What must be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Expect {
    answer: Expected,
    /// The code of the reason, where it matters.
    code: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expected {
    Members(u32),
    Hold,
    Refusal,
}

/// A case as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCase {
    name: Option<String>,
    snapshot: Value,
    settings: Option<Value>,
    expect: RawExpect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExpect {
    members: Option<u32>,
    #[serde(default)]
    hold: bool,
    refusal: Option<String>,
    code: Option<String>,
}

impl RawCase {
    /// The case, or what is wrong with it.
    pub(crate) fn checked(self, index: usize) -> Result<Case, String> {
        let name = self.name.map_or_else(|| (index + 1).to_string(), |name| one_line(&name, NAME_BYTES));
        let wrong = |what: &str| Err(format!("test case `{name}`: {what}"));
        let snapshot = match self.snapshot {
            Value::String(file) => Source::File(file),
            document @ Value::Object(_) => Source::Inline(document),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                return wrong("snapshot: the name of a file, or a document");
            }
        };
        let RawExpect { members, hold, refusal, code } = self.expect;
        let expect = match (members, hold, refusal) {
            (Some(members), false, None) => Expect { answer: Expected::Members(members), code },
            (None, true, None) => Expect { answer: Expected::Hold, code },
            (None, false, Some(_)) if code.is_some() => {
                return wrong("expect.code: belongs to members or hold");
            }
            (None, false, Some(code)) => Expect { answer: Expected::Refusal, code: Some(code) },
            (Some(_) | None, _, Some(_) | None) => {
                return wrong("expect: one of members, hold and refusal");
            }
        };
        Ok(Case { name, snapshot, settings: self.settings, expect })
    }
}

/// Files of snapshots, as they were read.
pub(crate) type Files = BTreeMap<String, Result<Vec<u8>, Rejection>>;

/// What tells these cases from others, files included.
pub(crate) fn fingerprint(cases: &[Case], files: &Files) -> String {
    let mut text = format!("{cases:?}").into_bytes();
    for (name, content) in files {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(content.as_deref().unwrap_or_default());
    }
    digest(&text)
}

/// Asks a version all of them.
///
/// # Errors
/// A rejection that names every case that fails.
pub(crate) async fn check(version: &Version, cases: &[Case], files: &Files) -> Result<(), Rejection> {
    let mut failed = Vec::new();
    for case in cases {
        let outcome = match case.snapshot(files) {
            Ok(snapshot) => case.judge(&version.evaluate(&snapshot).await.result),
            Err(problem) => Err(problem),
        };
        if let Err(problem) = outcome {
            failed.push(format!("`{}`: {problem}", case.name));
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let detail = format!("{} of {} test cases fail: {}", failed.len(), cases.len(), failed.join("; "));
    Err(Rejection::new(Flaw::Test, detail))
}

impl Case {
    fn snapshot(&self, files: &Files) -> Result<Snapshot, String> {
        let read = match &self.snapshot {
            Source::Inline(document) => {
                serde_json::from_value(document.clone()).map_err(|error| format!("snapshot: {error}"))
            }
            Source::File(name) => match files.get(name) {
                Some(Ok(bytes)) => serde_json::from_slice(bytes).map_err(|error| format!("{name}: {error}")),
                Some(Err(rejection)) => Err(rejection.detail.clone()),
                None => Err(format!("{name} was not read")),
            },
        };
        let mut snapshot: Snapshot = read?;
        if let Some(settings) = &self.settings {
            snapshot.target.settings = settings.clone();
        }
        Ok(snapshot)
    }

    fn judge(&self, result: &Result<Answer, Failure>) -> Result<(), String> {
        let (answer, code) = match result {
            Ok(Answer::Proposal(proposal)) => {
                let answer = proposal.sizes.members.map_or(Expected::Hold, Expected::Members);
                (answer, &proposal.reason.code)
            }
            Ok(Answer::Refusal { refusal }) => (Expected::Refusal, &refusal.reason.code),
            Err(failure) => return Err(format!("expected {}, got {failure}", self.expect)),
        };
        let same_code = self.expect.code.as_ref().is_none_or(|expected| expected == code);
        if answer == self.expect.answer && same_code {
            return Ok(());
        }
        let got = Expect { answer, code: Some(code.clone()) };
        Err(format!("expected {}, got {got}", self.expect))
    }
}

impl std::fmt::Display for Expect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.answer {
            Expected::Members(members) => f.write_str(&count(members, "member"))?,
            Expected::Hold => f.write_str("a hold")?,
            Expected::Refusal => f.write_str("a refusal")?,
        }
        self.code.as_ref().map_or(Ok(()), |code| write!(f, " ({code})"))
    }
}
