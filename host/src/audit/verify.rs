//! Verifies that a log is still what was written.

use super::AuditError;
use super::blob::{self, Unavailable};
use super::chain::{Hash, Head, Known};
use super::finding::{Finding, Problem};
use super::log::snapshot_of;
use super::walk::{self, Walked, segment_name};
use crate::disk::{Disk, Exclusive, RealDisk};
use plimsoll_wire::journal::Journal;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::Path;

/// What a journal knows of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedHead {
    /// Whose journal.
    pub target: String,
    /// Its `auditHead`, or one of `otherAuditHeads`; empty for a target that never had a record.
    pub head: String,
    /// Whether it may be of another daemon's log. Else a log of another name was put in the place of this one.
    pub may_be_of_another: bool,
}

impl ExpectedHead {
    /// What a journal knows of the logs of all daemons that led. Of `several` each has a log; one daemon alone has the
    /// log of the newest head, and the others are of logs that it began over.
    #[must_use]
    pub fn of(journal: &Journal, several: bool) -> Vec<Self> {
        let head = |head: &String, may_be_of_another| Self {
            target: journal.target.to_string(),
            head: head.clone(),
            may_be_of_another,
        };
        let others = journal.other_audit_heads.iter().map(|other| head(other, true));
        std::iter::once(head(&journal.audit_head, several)).chain(others).collect()
    }
}

/// How sound a log is, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Soundness {
    /// Nothing is wrong.
    Clean,
    /// The last record is half-written, as a crash leaves it. Nothing that was acknowledged is missing.
    TornTail,
    /// Something was altered, taken out, put in or cut off.
    Corrupt,
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// The directory.
    pub place: String,
    /// Segments that were read.
    pub segments: usize,
    /// Sound records in them.
    pub records: u64,
    /// Sound snapshots that they mention.
    pub snapshots: u64,
    /// Heads of journals that the log holds.
    pub heads: usize,
    /// Heads of journals that are of other logs, each of which only its own can be checked against.
    pub elsewhere: usize,
    /// The newest record.
    pub head: Option<Head>,
    /// What is wrong, in the order of the log.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// The worst finding.
    #[must_use]
    pub fn soundness(&self) -> Soundness {
        self.findings.iter().map(|finding| soundness_of(&finding.problem)).max().unwrap_or(Soundness::Clean)
    }

    /// 0 clean, 1 torn tail, 2 corruption.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.soundness() {
            Soundness::Clean => 0,
            Soundness::TornTail => 1,
            Soundness::Corrupt => 2,
        }
    }
}

fn soundness_of(problem: &Problem) -> Soundness {
    match problem {
        Problem::Torn { .. } => Soundness::TornTail,
        Problem::Altered { .. }
        | Problem::Broken { .. }
        | Problem::MissingSegments { .. }
        | Problem::Unsealed
        | Problem::CutShort { .. }
        | Problem::SnapshotMissing { .. }
        | Problem::SnapshotAltered { .. }
        | Problem::CutOff { .. }
        | Problem::Rewritten { .. }
        | Problem::HeadUnreadable { .. } => Soundness::Corrupt,
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(formatter, "{finding}")?;
        }
        let verdict = match self.soundness() {
            Soundness::Clean => "clean",
            Soundness::TornTail => "torn tail",
            Soundness::Corrupt => "CORRUPT",
        };
        write!(
            formatter,
            "{}: {verdict}: {} segments, {} records, {} snapshots, {} journal heads found",
            self.place, self.segments, self.records, self.snapshots, self.heads
        )?;
        if self.elsewhere > 0 {
            write!(formatter, ", {} of other logs", self.elsewhere)?;
        }
        match self.head {
            Some(head) => write!(formatter, ", newest record {head}"),
            None => write!(formatter, ", no record"),
        }
    }
}

/// Checks a whole log from its files alone: every record, every snapshot, and that it still holds what the
/// journals know of it. The journals are read before this is called. A daemon may be writing meanwhile.
///
/// # Errors
/// [`AuditError::Unreadable`] when the directory or a file in it cannot be read.
pub fn verify(directory: &Path, heads: &[ExpectedHead]) -> Result<VerifyReport, AuditError> {
    const ATTEMPTS: usize = 5;
    let unreadable = |source| AuditError::Unreadable { place: directory.display().to_string(), source };
    if !directory.is_dir() {
        return Err(unreadable(io::ErrorKind::NotFound.into()));
    }
    let disk = RealDisk::at(directory);
    let mut attempt = 1;
    loop {
        let result = verify_on(&disk, heads);
        // While a daemon writes, a line may be caught half-way and a segment may be retired under our eyes.
        let unsettled = match &result {
            Ok(report) => report.soundness() != Soundness::Clean,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if !unsettled || attempt == ATTEMPTS || !Exclusive::is_taken(directory) {
            return result.map_err(unreadable);
        }
        attempt += 1;
    }
}

pub(super) fn verify_on(disk: &dyn Disk, heads: &[ExpectedHead]) -> io::Result<VerifyReport> {
    let mut expected = Expected::new(heads);
    let mut mentions = Vec::new();
    let walked = walk::walk(disk, &mut |seen| {
        expected.see(seen.link.head);
        if let Some(digest) = snapshot_of(seen) {
            mentions.push(Mention {
                digest,
                segment: seen.segment,
                line: seen.line,
                sequence: seen.link.head.sequence,
            });
        }
    })?;
    let mut report = VerifyReport {
        place: disk.place(""),
        segments: walked.segments.len(),
        records: walked.lines,
        snapshots: 0,
        heads: 0,
        elsewhere: 0,
        head: walked.head,
        findings: walked.findings.clone(),
    };
    check_snapshots(disk, &mentions, walked.snapshots_before, &mut report)?;
    expected.compare(disk, &walked, &mut report);
    Ok(report)
}

struct Mention {
    digest: Hash,
    segment: u32,
    line: u64,
    sequence: u64,
}

fn check_snapshots(
    disk: &dyn Disk,
    mentions: &[Mention],
    retired_before: u64,
    report: &mut VerifyReport,
) -> io::Result<()> {
    for mention in mentions {
        let (place, line, problem) = match blob::load(disk, mention.digest) {
            Ok(_) => {
                report.snapshots += 1;
                continue;
            }
            Err(Unavailable::Missing) if mention.sequence < retired_before => continue,
            Err(Unavailable::Missing) => (
                disk.place(&segment_name(mention.segment)),
                Some(mention.line),
                Problem::SnapshotMissing { digest: mention.digest },
            ),
            Err(Unavailable::Altered(why)) => {
                (disk.place(&blob::name(mention.digest)), None, Problem::SnapshotAltered { why })
            }
            Err(Unavailable::Unreadable(error)) => return Err(error),
        };
        report.findings.push(Finding { place, line, problem });
    }
    Ok(())
}

/// The heads that journals know, and those of them that were met.
struct Expected<'a> {
    heads: Vec<(&'a ExpectedHead, Result<Known<'a>, &'static str>)>,
    /// The hash that the log has at each expected sequence.
    met: HashMap<u64, Option<Hash>>,
}

impl<'a> Expected<'a> {
    fn new(heads: &'a [ExpectedHead]) -> Self {
        let heads: Vec<_> = heads
            .iter()
            .filter(|expected| !expected.head.is_empty())
            .map(|expected| (expected, Known::parse(&expected.head)))
            .collect();
        let met =
            heads.iter().filter_map(|(_, head)| Some((head.as_ref().ok()?.head.sequence, None))).collect();
        Self { heads, met }
    }

    fn see(&mut self, head: Head) {
        if let Some(met) = self.met.get_mut(&head.sequence) {
            *met = Some(head.hash);
        }
    }

    fn compare(&self, disk: &dyn Disk, walked: &Walked, report: &mut VerifyReport) {
        let end = walked.head.map_or(0, |head| head.sequence);
        let begin = walked.first.map_or(1, |(sequence, _)| sequence);
        let place = walked.segments.last().map_or_else(String::new, |segment| segment_name(segment.number));
        for (expected, known) in &self.heads {
            let target = expected.target.clone();
            let problem = match known {
                Err(_) => Problem::HeadUnreadable { target, head: expected.head.clone() },
                Ok(Known { log, .. }) if *log != walked.log && expected.may_be_of_another => {
                    report.elsewhere += 1;
                    continue;
                }
                Ok(Known { log, head }) if *log != walked.log => Problem::Rewritten { target, head: *head },
                Ok(Known { head, .. }) => match self.met.get(&head.sequence).copied().flatten() {
                    Some(hash) if hash == head.hash => {
                        report.heads += 1;
                        continue;
                    }
                    // Retired with the segment that held it; the chain's own beginning is checked elsewhere.
                    None if head.sequence < begin && walked.retired.is_some() => continue,
                    None if head.sequence > end => Problem::CutOff { target, head: *head, end },
                    Some(_) | None => Problem::Rewritten { target, head: *head },
                },
            };
            report.findings.push(Finding { place: disk.place(&place), line: None, problem });
        }
    }
}
