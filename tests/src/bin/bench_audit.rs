//! How many records a second the audit log and the journal store make durable.
//!
//! `bench_audit [--records N] [--size BYTES] [DIRECTORY]` prints the figures; `bench_audit --endless DIRECTORY`
//! appends until it is killed and prints the head after every record, for the test that kills it.

use anyhow::{Context, Result, bail};
use plimsoll::actuate::journal::FileJournals;
use plimsoll::audit::{AuditConfig, AuditLog};
use plimsoll_tests::audit::{TARGET, decision, snapshot, trouble};
use plimsoll_wire::FORMAT_VERSION;
use plimsoll_wire::journal::Journal;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

struct Arguments {
    records: u64,
    size: usize,
    endless: bool,
    directory: Option<PathBuf>,
}

fn arguments() -> Result<Arguments> {
    let mut parsed = Arguments { records: 2_000, size: 300, endless: false, directory: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--records" => parsed.records = words.next().context("--records wants a number")?.parse()?,
            "--size" => parsed.size = words.next().context("--size wants bytes")?.parse()?,
            "--endless" => parsed.endless = true,
            other if other.starts_with('-') => bail!("unknown option {other}"),
            other => parsed.directory = Some(other.into()),
        }
    }
    Ok(parsed)
}

fn main() -> Result<()> {
    let arguments = arguments()?;
    if arguments.endless {
        return endless(arguments.directory.as_deref().context("--endless wants a directory")?);
    }
    let parent = arguments.directory.unwrap_or_else(|| PathBuf::from("."));
    let directory = tempfile::Builder::new().prefix(".bench-audit").tempdir_in(parent)?;
    records(&directory.path().join("records"), arguments.records, arguments.size)?;
    decisions(&directory.path().join("decisions"), arguments.records / 4)?;
    journals(&directory.path().join("journals"), arguments.records / 4)
}

fn open(directory: &Path) -> Result<AuditLog> {
    let config = AuditConfig { ballast_bytes: 1 << 20, min_free_bytes: 1 << 20, ..AuditConfig::default() };
    Ok(AuditLog::open(directory, config)?)
}

fn records(directory: &Path, count: u64, size: usize) -> Result<()> {
    let log = open(directory)?;
    let bytes = serde_json::to_vec(&trouble(0, size))?.len();
    measure(&format!("audit records of {bytes} bytes, one fsync each"), count, |number| {
        log.append(&trouble(number, size))?;
        Ok(())
    })
}

fn decisions(directory: &Path, count: u64) -> Result<()> {
    let log = open(directory)?;
    measure("decisions with a snapshot, three fsyncs each", count, |number| {
        log.append_decision(decision(number)?, &snapshot(number)?)?;
        Ok(())
    })
}

fn journals(directory: &Path, count: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let store = FileJournals::open(directory)?;
    let mut revision = None;
    measure("journal writes, two fsyncs each", count, |sequence| {
        let target = TARGET.into();
        let journal = Journal { format_version: FORMAT_VERSION, target, sequence, ..Journal::default() };
        revision = Some(runtime.block_on(store.store(TARGET, revision, &journal))?);
        Ok(())
    })
}

fn measure(what: &str, count: u64, mut work: impl FnMut(u64) -> Result<()>) -> Result<()> {
    let mut times = Vec::new();
    let begin = Instant::now();
    for number in 1..=count {
        let one = Instant::now();
        work(number)?;
        times.push(one.elapsed());
    }
    let seconds = begin.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or(Duration::ZERO);
    let rate = count as f64 / seconds;
    println!("{what}: {rate:.0} a second (median {:?}, p99 {:?}, {count} in {seconds:.2} s)", at(50), at(99));
    Ok(())
}

fn endless(directory: &Path) -> Result<()> {
    let config = AuditConfig {
        segment_bytes: 16 << 10,
        ballast_bytes: 0,
        min_free_bytes: 0,
        ..AuditConfig::default()
    };
    let log = AuditLog::open(directory, config)?;
    let mut out = std::io::stdout().lock();
    for number in 1.. {
        if number % 4 == 0 {
            log.append_decision(decision(number)?, &snapshot(number)?)?;
        } else {
            log.append(&trouble(number, (number * 37 % 900) as usize))?;
        }
        writeln!(out, "{}", log.head())?;
        out.flush()?;
    }
    Ok(())
}
