//! `plimsoll demo`.

mod advisor;
mod day;
mod keep;
mod picture;
mod screen;
mod story;
mod summary;
mod teller;
mod terminal;
#[cfg(test)]
mod tests;

use super::Exit;
use super::output::print;
use crate::policy::fault::one_line;
use day::Day;
use plimsoll_sim::sim::Summary;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use terminal::Terminal;

/// A day of load on a simulated sharded cluster, under the daemon's own cycle: the same code decides here that
/// decides for real clusters. Metrics go stale, a member fails, the daemon is killed twice. Nothing is installed,
/// nothing is reached over a network, nothing outlives it.
///
/// The waits between changes are shorter than the defaults, because a day is short; everything that guards data is at
/// its default.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 the day is over and no acknowledged write was lost, 1 usage or runtime error, or interrupted, 2 a write was lost.

Examples:
  plimsoll demo                              watch it, in about 40 seconds
  plimsoll demo --plain --fast --seed 7      another day, as lines, at once
  plimsoll demo --fast --record /tmp/day     keep every record, to be explained afterwards"
)]
pub(super) struct Demo {
    /// Another seed is another day: other noise, another member that fails.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Lines and no screen, as without a terminal.
    #[arg(long)]
    plain: bool,
    /// As fast as it goes.
    #[arg(long, conflicts_with = "speed")]
    fast: bool,
    /// How many times as fast as usual.
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// Keep the audit log and two snapshots in this directory; it must be empty or new.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// The policy's module; without it the shipped one beside this program, or its twin in Rust.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(times) if (0.01..=1_000.0).contains(&times) => Ok(times),
        Ok(_) | Err(_) => Err("a number from 0.01 to 1000".to_owned()),
    }
}

const FRAME: Duration = Duration::from_millis(80);
/// Simulated milliseconds in one of the clock's, while nothing moves and while something does.
const CALM: f64 = 2_900.0;
const MOVING: f64 = 700.0;

impl Demo {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        let advisor = advisor::advisor(self.policy.as_deref())?;
        let deciding = advisor.description.clone();
        let recorder = self.record.as_deref().map(keep::keeper).transpose()?;
        let seed = self.seed;
        // Meanwhile, the same day without a guard.
        let unguarded = std::thread::spawn(move || day::unguarded(seed));
        let mut day = Day::new(seed, advisor, recorder);
        let stop = interrupted()?;
        if self.plain || !Terminal::is_there() {
            self.lines(&mut day, &deciding, &stop)?;
        } else {
            self.screen(&mut day, &deciding, &stop)?;
        }
        self.end(&day, unguarded)
    }

    fn lines(&self, day: &mut Day, deciding: &str, stop: &AtomicBool) -> anyhow::Result<()> {
        let seed = self.seed;
        print(&format!(
            "plimsoll demo, seed {seed}: a day on a simulated store of 24 shards, three copies each, in three domains\n\
             wishes come from {deciding}\n\n"
        ))?;
        let mut pace = Pace::new(self);
        while !day.is_over() && !stop.load(Ordering::Relaxed) {
            day.advance();
            for line in day.take_lines() {
                print(&format!("{}\n", one_line(&line.full(), 400)))?;
            }
            pace.wait(day);
        }
        print("\n")
    }

    fn screen(&self, day: &mut Day, deciding: &str, stop: &AtomicBool) -> anyhow::Result<()> {
        let terminal = Terminal::enter()?;
        let mut pace = Pace::new(self);
        let mut next = Instant::now();
        while !day.is_over() && !stop.load(Ordering::Relaxed) {
            day.advance();
            day.take_lines();
            pace.wait(day);
            if Instant::now() >= next {
                next = Instant::now() + FRAME;
                let (width, height) = Terminal::size();
                terminal.show(&screen::draw(&day.picture(deciding), width, height))?;
            }
        }
        Ok(())
    }

    fn end(&self, day: &Day, unguarded: JoinHandle<Summary>) -> anyhow::Result<Exit> {
        let guarded = day.summary();
        let unguarded = if day.is_over() { unguarded.join().ok() } else { None };
        let ending = summary::Ending {
            seed: self.seed,
            figures: day.teller().figures(),
            guarded: &guarded,
            unguarded: unguarded.as_ref(),
            moved_bytes: day.moved_bytes(),
            kills: day.kills(),
            recorded: self.record.as_deref(),
        };
        if !day.is_over() {
            print(&format!("interrupted at {}, with {} members\n", story::clock(day.now_ms()), day.size()))?;
        }
        for line in summary::lines(&ending) {
            print(&format!("{}\n", one_line(&line, 1_000)))?;
        }
        Ok(match (day.is_over(), guarded.lost_by_us) {
            (true, 0) => Exit::Fine,
            (false, 0) => Exit::Short,
            (_, _) => Exit::Failed,
        })
    }
}

/// Becomes true when a person has seen enough.
fn interrupted() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let said = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            else {
                return;
            };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = term.recv() => {}
            }
        });
        said.store(true, Ordering::Relaxed);
    });
    Ok(stop)
}

/// Lets simulated time pass as fast as a person can follow.
struct Pace {
    /// Absent: as fast as it goes.
    speed: Option<f64>,
    due: Instant,
    at_ms: u64,
}

impl Pace {
    fn new(demo: &Demo) -> Self {
        // Lines that nobody watches need no pace.
        let watched = !demo.plain && Terminal::is_there();
        let speed = (!demo.fast && watched).then_some(demo.speed);
        Self { speed, due: Instant::now(), at_ms: 0 }
    }

    fn wait(&mut self, day: &Day) {
        let Some(speed) = self.speed else { return };
        let passed_ms = day.now_ms() - self.at_ms;
        self.at_ms = day.now_ms();
        let rate = if day.is_moving() { MOVING } else { CALM };
        #[expect(clippy::cast_precision_loss, reason = "a day has few milliseconds")]
        let wall = Duration::from_secs_f64(passed_ms as f64 / 1_000.0 / (rate * speed));
        self.due += wall;
        std::thread::sleep(self.due.saturating_duration_since(Instant::now()));
    }
}
